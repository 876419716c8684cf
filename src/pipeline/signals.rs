//! SIGINT and SIGTERM: a training saves a checkpoint first, everything else stops at once, which
//! leaves nothing half made, as every file is there whole or not at all.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use crate::error::{Error, ErrorKind, Problem, Result};

/// The signal that has come; 0: none.
static COME: AtomicI32 = AtomicI32::new(0);

/// How many want to finish something before the process ends.
static N_FINISHING: AtomicUsize = AtomicUsize::new(0);

/// How to go on after a stop.
static HOW_TO_GO_ON: OnceLock<String> = OnceLock::new();

/// As long as there is one, a first signal only makes [`check`] fail; a second one still ends the
/// process at once.
pub struct Finishing;

impl Finishing {
    /// From now on.
    pub fn begin() -> Self {
        N_FINISHING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        N_FINISHING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Sets what a process that is stopped says last; the first call counts.
pub fn say_at_stop(how_to_go_on: String) {
    let _ = HOW_TO_GO_ON.set(how_to_go_on);
}

/// Whether to go on.
///
/// # Errors
/// [`ErrorKind::Stopped`] after a signal.
pub fn check() -> Result<()> {
    match COME.load(Ordering::SeqCst) {
        0 => Ok(()),
        signal => {
            let problem = Problem::new(format!("stopped by {}", name(signal)));
            let problem = match HOW_TO_GO_ON.get() {
                Some(how) => problem.hint(how),
                None => problem,
            };
            Err(Error::new(ErrorKind::Stopped(signal as u8), problem))
        }
    }
}

#[cfg(unix)]
fn name(signal: i32) -> &'static str {
    if signal == libc::SIGTERM {
        "SIGTERM"
    } else {
        "SIGINT"
    }
}

#[cfg(not(unix))]
fn name(_signal: i32) -> &'static str {
    "a signal"
}

/// Begins to listen to SIGINT and SIGTERM; one that the process was started to ignore stays so.
#[cfg(unix)]
pub fn listen() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: both actions are valid for the calls; zeros are a valid `sigaction` (no flags, an
        // empty mask, the default action), and the handler does only what a handler may do.
        unsafe {
            let mut old: libc::sigaction = std::mem::zeroed();
            let mut new: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(libc::c_int) = on_signal;
            new.sa_sigaction = handler as libc::sighandler_t;
            new.sa_flags = libc::SA_RESTART;
            let is_known = libc::sigaction(signal, std::ptr::null(), &raw mut old) == 0;
            if is_known && old.sa_sigaction != libc::SIG_IGN {
                libc::sigaction(signal, &raw const new, std::ptr::null_mut());
            }
        }
    }
}

/// Nothing where there are no signals.
#[cfg(not(unix))]
pub fn listen() {}

/// What a handler may do: read and write atomics, `write`, `_exit` (signal-safety(7)).
#[cfg(unix)]
extern "C" fn on_signal(signal: libc::c_int) {
    let is_first = COME
        .compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst)
        .is_ok();
    if is_first && N_FINISHING.load(Ordering::SeqCst) > 0 {
        return;
    }
    say(b"stopped by ");
    say(name(signal).as_bytes());
    if let Some(how) = HOW_TO_GO_ON.get() {
        say(b"\n  hint: ");
        say(how.as_bytes());
    }
    say(b"\n");
    // SAFETY: it takes a number, and does not return.
    unsafe { libc::_exit(128 + signal) }
}

#[cfg(unix)]
fn say(text: &[u8]) {
    // SAFETY: the pointer and the length are those of a slice. Nobody can be told of a failure.
    let _ = unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}
