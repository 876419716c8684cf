//! The program `enginora-rs`; see [`enginora_rs::cli`].

use enginora_rs::nn::CacheLineAllocator;

#[global_allocator]
static ALLOCATOR: CacheLineAllocator = CacheLineAllocator;

fn main() -> std::process::ExitCode {
    enginora_rs::cli::main()
}
