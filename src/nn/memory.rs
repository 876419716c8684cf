//! Where large buffers lie, and what happens to them when they are freed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Write};

use crate::error::ErrorKind;

/// Makes the C library's allocator keep what is freed, for a program that asks for the same large
/// buffers in every step: else each of them is given back to the kernel and fetched again page by
/// page, which costs 15 to 25 % of a training step.
///
/// Elsewhere than in the GNU C library this changes nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Larger buffers are still mapped on their own; the largest are made once.
        const LARGEST_KEPT: i32 = 1 << 30;
        /// The heap grows by this much at once.
        const GROWTH: i32 = 64 << 20;
        // SAFETY: the calls only set numbers that malloc reads.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST_KEPT);
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
            libc::mallopt(libc::M_TOP_PAD, GROWTH);
        }
    }
}

/// The system's allocator, which begins large buffers at the beginning of a cache line, so that a
/// vector of 64 bytes lies in one line instead of two, and asks the kernel for large pages for the
/// largest: the rows of a matrix lie in so many small ones that looking those up takes longer than
/// writing the rows.
///
/// Where there is no more memory it says so and ends the process with the exit code 74, as for any
/// other resource that the system refuses; no file is left half written by that.
#[derive(Debug, Default, Clone, Copy)]
pub struct CacheLineAllocator;

/// Bytes of a buffer that large pages are asked for around.
const SMALLEST_LARGE: usize = 1 << 20;

impl CacheLineAllocator {
    fn aligned(layout: Layout) -> Layout {
        /// Smaller ones would waste more than they gain.
        const SMALLEST: usize = 1 << 12;
        const CACHE_LINE: usize = 64;
        if layout.size() < SMALLEST {
            return layout;
        }
        layout.align_to(CACHE_LINE).unwrap_or(layout)
    }

    /// The buffer, if there is one; else the end of the process.
    fn or_exit(buffer: *mut u8, n_bytes: usize) -> *mut u8 {
        if buffer.is_null() {
            exit_without_memory(n_bytes);
        }
        buffer
    }

    /// Asks for large pages around a new buffer; Linux has them.
    #[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
    fn ask_for_large_pages(buffer: *mut u8, layout: Layout) {
        #[cfg(target_os = "linux")]
        {
            const LARGE_PAGE: usize = 2 << 20;
            if layout.size() < SMALLEST_LARGE {
                return;
            }
            let first = buffer.addr() / LARGE_PAGE * LARGE_PAGE;
            let end = (buffer.addr() + layout.size()).next_multiple_of(LARGE_PAGE);
            // SAFETY: a hint, which changes no byte; where it cannot be followed it fails.
            unsafe {
                libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE);
            }
        }
    }
}

// SAFETY: every call goes to the system's allocator, with the same layout for the same buffer: it
// depends on nothing but the layout that the caller names. A buffer that grows or shrinks across
// the limit is copied to a new one.
unsafe impl GlobalAlloc for CacheLineAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let buffer = Self::or_exit(
            unsafe { System.alloc(Self::aligned(layout)) },
            layout.size(),
        );
        Self::ask_for_large_pages(buffer, layout);
        buffer
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let buffer = unsafe { System.alloc_zeroed(Self::aligned(layout)) };
        let buffer = Self::or_exit(buffer, layout.size());
        Self::ask_for_large_pages(buffer, layout);
        buffer
    }

    unsafe fn dealloc(&self, buffer: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(buffer, Self::aligned(layout)) }
    }

    unsafe fn realloc(&self, buffer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let aligned = Self::aligned(layout);
        if aligned == layout {
            let new = Layout::from_size_align(new_size, layout.align());
            if new.is_ok_and(|new| Self::aligned(new) == new) {
                // SAFETY: the caller's; the buffer keeps its alignment.
                let moved = unsafe { System.realloc(buffer, layout, new_size) };
                return Self::or_exit(moved, new_size);
            }
        }
        // SAFETY: the caller's: the sizes are not 0, and the new one with this alignment is a
        // layout; the two buffers do not overlap.
        unsafe {
            let new_layout = Layout::from_size_align_unchecked(new_size, layout.align());
            let new = self.alloc(new_layout);
            std::ptr::copy_nonoverlapping(buffer, new, layout.size().min(new_size));
            self.dealloc(buffer, layout);
            new
        }
    }
}

/// Says that `n_bytes` more bytes cannot be had, and ends the process. It asks for no memory itself.
#[cold]
fn exit_without_memory(n_bytes: usize) -> ! {
    let mut message = [0; 256];
    let mut rest = &mut message[..];
    let written = writeln!(
        rest,
        "error: out of memory: the system has no {n_bytes} bytes more\n  hint: close other programs, raise the limit (`ulimit -v`), or use smaller files or batches"
    );
    let n_left = rest.len();
    if written.is_ok() {
        let _ = io::stderr().write_all(&message[..message.len() - n_left]);
    }
    let code = i32::from(ErrorKind::Io.exit_code());
    // What runs at an ordinary exit may ask for memory, too.
    // SAFETY: it ends the process.
    #[cfg(unix)]
    unsafe {
        libc::_exit(code)
    }
    #[cfg(not(unix))]
    std::process::exit(code)
}
