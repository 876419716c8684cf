//! Libraries that panic at damaged files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is caught and told as an error.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// What `read` gives, or what is wrong.
///
/// The libraries panic at some files with a wrong byte: parquet 60.1 where a length leads out of a
/// page, tokenizers 0.23 where a decoder lacks a key. Nothing that they worked on is used after
/// that, and the panic's own message is not printed: the error tells it.
pub(crate) fn caught<T, E: std::fmt::Display>(
    read: impl FnOnce() -> Result<T, E>,
) -> Result<T, String> {
    static HOOK: Once = Once::new();
    // The hook is the whole process's, so it is put there once and for all, and passes on the
    // panics of all threads but those that are in here.
    HOOK.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_CAUGHT.get() {
                earlier(panic);
            }
        }));
    });
    IS_CAUGHT.set(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    IS_CAUGHT.set(false);
    match result {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("the file is damaged".to_owned()),
    }
}
