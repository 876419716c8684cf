//! Values between a CUDA device and the host.
//!
//! Reading and writing wait for all that was launched. A copy that is [`Arriving`] does not: it
//! is there when what was launched before it is done, whatever was launched since.

use candle_core::{Tensor, WithDType};

use crate::error::Result;
#[cfg(feature = "cuda")]
use crate::nn::kernels::{Backend, Kernels, cuda};
use crate::nn::raw;

/// The values of a contiguous tensor on a device.
///
/// # Errors
/// Another type than the tensor's, or a device without kernels.
pub fn read<T: WithDType>(tensor: &Tensor) -> Result<Vec<T>> {
    #[cfg(feature = "cuda")]
    if let Some(kernels @ Kernels(Backend::Cuda(device))) = &Kernels::of(tensor) {
        if tensor.dtype() != T::DTYPE {
            return Err(crate::error::Error::internal("values of another type"));
        }
        return cuda::download(device, kernels.address(tensor)?, tensor.elem_count());
    }
    Err(raw::no_kernels(tensor.device()))
}

/// Sets the values of a contiguous f32 tensor on a device.
///
/// # Errors
/// As [`read`].
pub fn write(tensor: &Tensor, values: &[f32]) -> Result<()> {
    #[cfg(feature = "cuda")]
    if let Some(kernels @ Kernels(Backend::Cuda(device))) = &Kernels::of(tensor) {
        if tensor.dtype() != candle_core::DType::F32 || tensor.elem_count() != values.len() {
            return Err(crate::error::Error::internal("values of another shape"));
        }
        return cuda::upload(device, kernels.address(tensor)?, values);
    }
    let _ = values;
    Err(raw::no_kernels(tensor.device()))
}

/// A copy of a tensor on its way to host memory.
#[derive(Debug)]
pub enum Arriving {
    /// It was there.
    Here(Tensor),
    /// It is being copied.
    #[cfg(feature = "cuda")]
    FromDevice(cuda::Arriving),
}

impl Arriving {
    /// The copy of a contiguous tensor as it is after all that was launched up to now.
    ///
    /// # Errors
    /// A device without kernels, or one that failed.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        if tensor.device().is_cpu() {
            return Ok(Self::Here(tensor.clone()));
        }
        #[cfg(feature = "cuda")]
        if let Some(kernels @ Kernels(Backend::Cuda(device))) = &Kernels::of(tensor) {
            let address = kernels.address(tensor)?;
            return Ok(Self::FromDevice(cuda::Arriving::of(
                device, address, tensor,
            )?));
        }
        Err(raw::no_kernels(tensor.device()))
    }

    /// Waits for the copy, a tensor on the CPU.
    ///
    /// # Errors
    /// A device that failed.
    pub fn wait(self) -> Result<Tensor> {
        match self {
            Self::Here(tensor) => Ok(tensor),
            #[cfg(feature = "cuda")]
            Self::FromDevice(arriving) => arriving.wait(),
        }
    }
}
