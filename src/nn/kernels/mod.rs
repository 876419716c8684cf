//! The layers' CUDA kernels and the functions that launch them.
//!
//! A layer asks `Kernels::of` whether the tensors at hand lie where kernels work on them, and
//! then calls one of the functions here instead of its block for the CPU. Each `.cu` file has the
//! kernels, the `.rs` file beside it what launches them; both are written for `Device::Cuda` and,
//! in tests, run on the CPU as well (see [`Emulator`]): only memory, launches and large products
//! differ between the two.
//!
//! Launches are asynchronous and in order, on one stream. Nothing here waits for the device but
//! what reads values back.

mod attention;
mod batch;
mod cross_entropy;
#[cfg(feature = "cuda")]
mod cuda;
pub(super) mod device;
mod disentangled_attention;
mod elementwise;
mod embedding;
mod emulated;
mod layer_norm;
mod optimizer;
mod product;
mod rotary;
mod sums;

use candle_core::{DType, Device, Tensor};

pub(super) use attention::{Scores, Tiles, tokens_per_tile};
pub use batch::send;
pub(super) use batch::{limits, numbers, positions};
pub use device::Arriving;
pub(super) use disentangled_attention::Disentangled;
pub use emulated::Emulator;
pub(crate) use optimizer::{DeviceAdamW, Piece, StepFactors};

use crate::error::{Error, Result};
use crate::nn::Precision;
use crate::nn::dropout::Masks;

/// Makes tensors on CUDA device `number` possible.
///
/// # Errors
/// What is missing: a driver, a device, or one of CUDA's libraries.
#[cfg(feature = "cuda")]
pub fn open(number: usize) -> Result<Device> {
    cuda::open(number)
}

/// Refuses attention heads that are too wide for the kernels of a GPU, before anything is done.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind) on a GPU, where `head_width` is above 256.
pub fn check_head_width(head_width: usize, device: &Device) -> Result<()> {
    if device.is_cuda() {
        tokens_per_tile(head_width)?;
    }
    Ok(())
}

/// The kernels for the device that some tensors are on.
#[derive(Debug, Clone)]
pub(crate) struct Kernels(Backend);

#[derive(Debug, Clone)]
enum Backend {
    #[cfg(feature = "cuda")]
    Cuda(candle_core::CudaDevice),
    Emulated(Emulator),
}

impl Kernels {
    /// Those for the device that the tensor is on; none where the CPU's blocks are to be used.
    pub(crate) fn of(tensor: &Tensor) -> Option<Self> {
        match tensor.device() {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => Some(Self(Backend::Cuda(device.clone()))),
            Device::Cpu => Emulator::in_use().map(|emulator| Self(Backend::Emulated(emulator))),
            _ => None,
        }
    }

    /// A tensor whose values are not set.
    pub(super) fn empty(&self, shape: &[usize], dtype: DType) -> Result<Tensor> {
        match &self.0 {
            #[cfg(feature = "cuda")]
            Backend::Cuda(device) => cuda::empty(device, shape, dtype),
            Backend::Emulated(_) => emulated::empty(shape, dtype),
        }
    }

    /// A tensor of f32 or bf16 whose values are not set.
    pub(super) fn output(&self, shape: &[usize], stored: Precision) -> Result<Tensor> {
        self.empty(shape, stored.dtype())
    }

    /// Where the values of a contiguous tensor begin.
    fn address(&self, tensor: &Tensor) -> Result<u64> {
        if tensor.layout().contiguous_offsets().is_none() {
            return Err(Error::internal("a kernel's tensor is not contiguous"));
        }
        self.address_of_first(tensor)
    }

    /// Where the first value of a tensor of any layout lies.
    fn address_of_first(&self, tensor: &Tensor) -> Result<u64> {
        match &self.0 {
            #[cfg(feature = "cuda")]
            Backend::Cuda(device) => cuda::address(device, tensor),
            Backend::Emulated(_) => emulated::address(tensor),
        }
    }

    /// The call of a kernel, whose arguments are to be added in their order.
    fn call(&self, name: &'static str) -> Call<'_> {
        Call {
            kernels: self,
            name,
            arguments: Vec::with_capacity(16),
            error: None,
        }
    }
}

impl Precision {
    /// How values in it are stored.
    pub(super) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// One argument of a kernel, as it lies in memory.
#[derive(Debug, Clone, Copy)]
enum Argument {
    U32(u32),
    U64(u64),
    F32(f32),
    F64(f64),
    Masks(DeviceMasks),
}

/// The `Masks` of common.cuh.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct DeviceMasks {
    key: [u32; 2],
    high: [u32; 3],
    threshold: u32,
    scale: f32,
    are_on: u32,
}

/// A kernel with its arguments; what is wrong with one of these is said at the launch.
struct Call<'a> {
    kernels: &'a Kernels,
    name: &'static str,
    arguments: Vec<Argument>,
    error: Option<Error>,
}

impl Call<'_> {
    fn with(mut self, argument: Result<Argument>) -> Self {
        match argument {
            Ok(argument) => self.arguments.push(argument),
            Err(error) => self.error = self.error.or(Some(error)),
        }
        self
    }

    /// A contiguous tensor of a type that the kernel knows.
    fn pointer(self, tensor: &Tensor) -> Self {
        let address = self.kernels.address(tensor);
        self.with(address.map(Argument::U64))
    }

    /// A tensor, or null.
    fn optional(self, tensor: Option<&Tensor>) -> Self {
        match tensor {
            Some(tensor) => self.pointer(tensor),
            None => self.with(Ok(Argument::U64(0))),
        }
    }

    /// A contiguous tensor of f32 or bf16, with which it is.
    fn values(self, tensor: &Tensor) -> Self {
        let is_bf16 = match tensor.dtype() {
            DType::F32 => Ok(0),
            DType::BF16 => Ok(1),
            other => Err(Error::internal(format!("a kernel's values are {other:?}"))),
        };
        self.pointer(tensor).with(is_bf16.map(Argument::U32))
    }

    /// A number of things that fits 32 bits.
    fn count(self, n: usize) -> Self {
        let number = u32::try_from(n)
            .map_err(|_| Error::internal(format!("{n} values are too many for a kernel")));
        self.with(number.map(Argument::U32))
    }

    fn u64(self, number: usize) -> Self {
        self.with(Ok(Argument::U64(number as u64)))
    }

    fn f32(self, number: f32) -> Self {
        self.with(Ok(Argument::F32(number)))
    }

    fn f64(self, number: f64) -> Self {
        self.with(Ok(Argument::F64(number)))
    }

    /// The masks of a place with dropout, or none.
    fn masks(self, masks: Option<Masks>) -> Self {
        let masks = masks.map_or_else(DeviceMasks::default, |masks| {
            let (key, high) = masks.stream().words();
            DeviceMasks {
                key,
                high,
                threshold: masks.threshold(),
                scale: masks.scale(),
                are_on: 1,
            }
        });
        self.with(Ok(Argument::Masks(masks)))
    }

    /// Runs the kernel after all that was launched before.
    fn launch(self, grid: Grid) -> Result<()> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if grid.blocks.contains(&0) {
            return Ok(());
        }
        // The numbers of threads are 32 bits wide.
        if grid.blocks[0].saturating_mul(grid.threads) > u32::MAX as usize {
            let message = format!("`{}` needs more threads than it can count", self.name);
            return Err(Error::internal(message));
        }
        match &self.kernels.0 {
            #[cfg(feature = "cuda")]
            Backend::Cuda(device) => cuda::launch(device, self.name, grid, &self.arguments),
            Backend::Emulated(emulator) => emulator.launch(self.name, grid, &self.arguments),
        }
    }
}

/// How many blocks of how many threads run a kernel.
#[derive(Debug, Clone, Copy)]
struct Grid {
    blocks: [usize; 2],
    threads: usize,
    /// Of shared memory, beside what the kernel declares.
    shared_bytes: usize,
}

impl Grid {
    /// Blocks of 256 threads.
    fn blocks(x: usize, y: usize) -> Self {
        Self {
            blocks: [x, y],
            threads: 256,
            shared_bytes: 0,
        }
    }

    /// A thread for each of `n` things.
    fn threads(n: usize) -> Self {
        Self::blocks(n.div_ceil(256), 1)
    }

    /// A warp for each of `n` things.
    fn warps(n: usize) -> Self {
        Self::blocks(n.div_ceil(8), 1)
    }

    fn with_shared(self, shared_bytes: usize) -> Self {
        Self {
            shared_bytes,
            ..self
        }
    }
}
