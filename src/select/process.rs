//! A program that is fed and listened to at the same time.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::config::Program;

/// As many of the last lines that a program wrote to its standard error are kept.
const LAST_LINES: usize = 10;

/// How a program ended.
pub(super) struct End {
    /// What it said to the system.
    pub status: ExitStatus,
    /// Whether it was stopped because its time was up.
    pub timed_out: bool,
    /// The last lines of its standard error.
    pub last_lines: Vec<String>,
}

/// Runs a program: `feed` writes its standard input, `hear` gets each line of its standard
/// output, without the line's end, and stops the program with `Break`. Its standard error goes
/// to the log.
///
/// Input is written on a thread of its own, so that neither side waits for the other; a
/// program that does not read all of it is fine. When `timeout` is over, the program and all
/// that it has started are killed.
///
/// # Errors
/// A program that cannot be started, or a pipe that fails.
pub(super) fn talk(
    program: &Program,
    timeout: Option<Duration>,
    feed: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send,
    mut hear: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<End> {
    let mut child = command(program, timeout.is_some()).spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let id = child.id();
    let is_over = Mutex::new(false);
    let over = Condvar::new();
    thread::scope(|scope| {
        let writer = scope.spawn(move || write_all(stdin, feed));
        let errors = scope.spawn(move || stderr.map(log_lines).unwrap_or_default());
        let watchdog = timeout.map(|timeout| {
            let (is_over, over) = (&is_over, &over);
            scope.spawn(move || {
                let guard = is_over.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = over.wait_timeout_while(guard, timeout, |is_over| !*is_over);
                let (guard, _) = waited.unwrap_or_else(PoisonError::into_inner);
                let timed_out = !*guard;
                if timed_out {
                    kill_group(id);
                }
                timed_out
            })
        });
        let heard = stdout.map_or(Ok(()), |stdout| {
            for_each_line(BufReader::with_capacity(1 << 16, stdout), b"\n", |line| {
                let flow = hear(line);
                if flow.is_break() {
                    stop(&mut child, timeout.is_some());
                }
                flow
            })
        });
        let status = child.wait();
        let written = writer.join();
        let last_lines = errors.join().unwrap_or_default();
        *is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        over.notify_all();
        let timed_out = watchdog.is_some_and(|watchdog| watchdog.join().unwrap_or(false));
        heard?;
        written.unwrap_or_else(|_| Err(io::Error::other("writing its input failed")))?;
        Ok(End {
            status: status?,
            timed_out,
            last_lines,
        })
    })
}

/// The program with all its pipes. One that may be killed for its time gets a process group of
/// its own, which takes what it starts along; any other stays in ours, so that Ctrl-C at the
/// terminal stops it with us.
fn command(program: &Program, own_group: bool) -> Command {
    let mut command = match program {
        Program::Shell(line) => {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(line);
            shell
        }
        Program::Arguments(arguments) => {
            let mut words = arguments.iter();
            let mut command = Command::new(words.next().map_or("", String::as_str));
            command.args(words);
            command
        }
    };
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    #[cfg(unix)]
    if own_group {
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
    }
    command
}

fn stop(child: &mut Child, own_group: bool) {
    if own_group {
        kill_group(child.id());
    }
    // One that has ended by itself cannot be killed, and need not be.
    let _ = child.kill();
}

/// Kills a process group. The standard library has no call for it; the shell's own `kill` does.
fn kill_group(id: u32) {
    let _ = Command::new("sh")
        .args(["-c", "kill -s KILL -- \"-$0\"", &id.to_string()])
        .stderr(Stdio::null())
        .status();
}

fn write_all(
    stdin: Option<impl Write>,
    feed: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let Some(stdin) = stdin else { return Ok(()) };
    let mut stdin = BufWriter::with_capacity(1 << 16, stdin);
    match feed(&mut stdin).and_then(|()| stdin.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
            // What is still in the buffer has no reader.
            let _ = stdin.into_parts();
            Ok(())
        }
        written => written,
    }
}

/// Logs every line of a program's standard error, and returns the last of them.
fn log_lines(stderr: impl Read) -> Vec<String> {
    let mut last = VecDeque::new();
    // A bar that is drawn anew in its line ends each time with a carriage return.
    let read = for_each_line(BufReader::new(stderr), b"\r\n", |line| {
        let line = String::from_utf8_lossy(line).trim_end().to_owned();
        if !line.is_empty() {
            tracing::info!("command: {line}");
            last.push_back(line);
            if last.len() > LAST_LINES {
                last.pop_front();
            }
        }
        ControlFlow::Continue(())
    });
    if let Err(error) = read {
        tracing::warn!("the command's standard error cannot be read: {error}");
    }
    last.into()
}

/// Calls `f` with every line, without its end, until `f` breaks.
fn for_each_line(
    mut input: impl BufRead,
    ends: &[u8],
    mut f: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        let bytes = match input.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        if bytes.is_empty() {
            break;
        }
        let end = bytes.iter().position(|byte| ends.contains(byte));
        let n = end.unwrap_or(bytes.len());
        line.extend_from_slice(&bytes[..n]);
        input.consume(n + usize::from(end.is_some()));
        if end.is_some() {
            if f(&line).is_break() {
                return Ok(());
            }
            line.clear();
        }
    }
    if !line.is_empty() {
        let _ = f(&line);
    }
    Ok(())
}
