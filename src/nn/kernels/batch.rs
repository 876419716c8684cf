//! What layers read of a batch, on its way to a device: copied once, while the host goes on.

use candle_core::{Device, Tensor};

use crate::data::{PackedBatch, Sequences};
use crate::error::Result;
#[cfg(feature = "cuda")]
use crate::nn::kernels::cuda;
use crate::nn::raw;

/// u32 numbers on a device; what was launched there before is not waited for.
///
/// # Errors
/// No memory on the device.
pub fn numbers(values: &[u32], shape: &[usize], device: &Device) -> Result<Tensor> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => cuda::send(device, values, shape),
        device => Ok(Tensor::from_slice(values, shape, device)?),
    }
}

/// The same batch of the CPU on another device.
///
/// # Errors
/// No memory on the device.
pub fn send(batch: PackedBatch, device: &Device) -> Result<PackedBatch> {
    if device.is_cpu() {
        return Ok(batch);
    }
    let sent = |tensor: &Tensor| numbers(&raw::read::<u32>(tensor)?, tensor.dims(), device);
    Ok(PackedBatch {
        input_ids: sent(&batch.input_ids)?,
        token_type_ids: sent(&batch.token_type_ids)?,
        positions: sent(&batch.positions)?,
        labels: sent(&batch.labels)?,
        ..batch
    })
}

/// The cumulated lengths (B + 1).
pub(in crate::nn) fn limits(sequences: &Sequences, device: &Device) -> Result<Tensor> {
    sequences.remembered([0; 3], || {
        let limits = sequences.cu_seqlens();
        numbers(limits, &[limits.len()], device)
    })
}

/// Each token's place in its sequence, from 0 (T).
pub(in crate::nn) fn positions(sequences: &Sequences, device: &Device) -> Result<Tensor> {
    sequences.remembered([1, 0, 0], || {
        let lengths = sequences.ranges().map(|range| range.len() as u32);
        let positions: Vec<u32> = lengths.flat_map(|length| 0..length).collect();
        numbers(&positions, &[positions.len()], device)
    })
}
