//! Compiles our CUDA kernels where the feature `cuda` is asked for, and does nothing else.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some() {
        compile_kernels();
    }
}

/// Writes `$OUT_DIR/kernels.ptx`: one module for compute capability 8.0, which later ones run too.
fn compile_kernels() {
    use std::env::{var, var_os};
    use std::path::PathBuf;
    use std::process::Command;

    const FOLDER: &str = "src/nn/kernels";
    println!("cargo::rerun-if-changed={FOLDER}");
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let installed = |variable| Some(PathBuf::from(var_os(variable)?).join("bin/nvcc"));
    let compiler = var_os("NVCC")
        .map(PathBuf::from)
        .or_else(|| installed("CUDA_HOME"))
        .or_else(|| installed("CUDA_PATH"))
        .unwrap_or_else(|| "nvcc".into());
    let ptx = PathBuf::from(var("OUT_DIR").unwrap_or_default()).join("kernels.ptx");
    let finished = Command::new(&compiler)
        .args(["--ptx", "-arch=compute_80", "-std=c++17", "-O3", "-o"])
        .arg(&ptx)
        .arg(format!("{FOLDER}/all.cu"))
        .status();
    let compiler = compiler.display();
    match finished {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{compiler} could not compile the kernels: {status}"),
        Err(error) => panic!(
            "the feature `cuda` needs CUDA's compiler, and {compiler} could not be started: {error}"
        ),
    }
}
