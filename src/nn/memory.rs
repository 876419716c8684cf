//! What the allocator does with memory that is freed.

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
        // SAFETY: both calls only set numbers that malloc reads.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST_KEPT);
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        }
    }
}
