//! The program `enginora-rs`; see [`enginora_rs::cli`].

fn main() -> std::process::ExitCode {
    enginora_rs::cli::main()
}
