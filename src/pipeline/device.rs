//! Where a command computes.

use candle_core::Device;

use crate::error::Result;
#[cfg(not(feature = "cuda"))]
use crate::error::{Error, ErrorKind, Problem};

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first GPU where one works, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The graphics processor of this number.
    Cuda(usize),
}

/// The device that the command line asks for.
///
/// # Errors
/// A GPU that is asked for and cannot be used: a build without kernels
/// ([`ErrorKind::Usage`](crate::error::ErrorKind)), or what is missing on this machine.
#[cfg(not(feature = "cuda"))]
pub fn open_device(choice: DeviceChoice) -> Result<Device> {
    match choice {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(_) => {
            let problem = Problem::new("this build of enginora-rs has no CUDA kernels");
            let hint = "build it with `cargo build --release --features cuda` (the README says what that needs), or use `--device cpu`";
            Err(Error::new(ErrorKind::Usage, problem.hint(hint)))
        }
    }
}

/// The device that the command line asks for.
///
/// # Errors
/// A GPU that is asked for and cannot be used: what is missing on this machine.
#[cfg(feature = "cuda")]
pub fn open_device(choice: DeviceChoice) -> Result<Device> {
    use crate::nn::kernels;

    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(number) => kernels::open(number),
        DeviceChoice::Auto => match kernels::open(0) {
            Ok(device) => {
                tracing::info!("computing on CUDA device 0; `--device cpu` computes on the CPU");
                Ok(device)
            }
            Err(error) => {
                let reason = &error.problems()[0].message;
                tracing::info!("computing on the CPU: {reason}");
                Ok(Device::Cpu)
            }
        },
    }
}
