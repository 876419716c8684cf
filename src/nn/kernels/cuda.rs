//! What kernels need of a CUDA device: memory, copies, launches and large products.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::c_int;

use candle_core::backend::BackendDevice;
use candle_core::cuda_backend::cudarc::cublas::{result as cublas, sys as cublas_sys};
use candle_core::cuda_backend::cudarc::driver::{
    CudaContext, CudaEvent, CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PinnedHostSlice,
    PushKernelArg, result, sys,
};
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Device, Storage, Tensor, WithDType};
use half::bf16;

use super::product::{Operand, Product};
use super::{Argument, DeviceMasks, Grid};
use crate::error::{Error, ErrorKind, Problem, Result};

/// All kernels, compiled by build.rs; the driver makes them the device's own when they are loaded.
const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));
/// What it is called among candle's modules.
const MODULE: &str = "enginora";
/// The compute capability that the kernels are compiled for; later ones run them, too.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);
/// Shared memory that a kernel gets without asking.
const SHARED_BYTES_FOR_ALL: usize = 48 * 1024;

// SAFETY: a struct of 32-bit numbers, laid out as C has it, with the same fields on the device.
unsafe impl DeviceRepr for DeviceMasks {}

/// Device `number`, with a stream of its own, no events, and a pool that keeps freed memory.
pub(super) fn open(number: usize) -> Result<Device> {
    let n_devices = CudaContext::device_count().map_err(|error| {
        no_device(format!(
            "no CUDA device can be used: {}",
            described(&error.to_string())
        ))
    })?;
    if number as i64 >= i64::from(n_devices) {
        return Err(no_device(format!(
            "there is no CUDA device {number}; the driver knows {n_devices}"
        )));
    }
    // cuBLAS and cuRAND are opened here; candle reports what they say.
    let opened = std::panic::catch_unwind(|| CudaDevice::new_with_stream(number));
    let device = opened
        .map_err(|_| no_device("CUDA's libraries cannot be used".to_owned()))?
        .map_err(|error| no_device(described(&error.to_string())))?;
    let context = device.cuda_stream().context().clone();
    let capability = context.compute_capability().w()?;
    if capability < LEAST_CAPABILITY {
        return Err(no_device(format!(
            "CUDA device {number} has compute capability {}.{}; the kernels need {}.{}",
            capability.0, capability.1, LEAST_CAPABILITY.0, LEAST_CAPABILITY.1
        )));
    }
    // SAFETY: there is one stream, so everything happens in the order in which it is launched.
    unsafe { device.disable_event_tracking() };
    if context.has_async_alloc() {
        let mut kept = u64::MAX;
        // SAFETY: the device's own pool, and a value of the attribute's type.
        unsafe {
            let pool = result::device::get_default_mem_pool(context.cu_device()).w()?;
            result::mem_pool::set_attribute(
                pool,
                sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                std::ptr::from_mut(&mut kept).cast(),
            )
            .w()?;
        }
    }
    // A driver that is too old for the kernels is found out here and not in the midst of a run.
    device
        .get_or_load_custom_func("fill", MODULE, PTX)
        .map_err(|error| no_device(described(&error.to_string())))?;
    Ok(Device::Cuda(device))
}

fn no_device(message: String) -> Error {
    let hint = "`--device cpu` needs none; a GPU needs its driver (580 or newer) and, of CUDA 13, libcublas, libcublasLt and libcurand in a folder of LD_LIBRARY_PATH";
    Error::new(ErrorKind::MissingInput, Problem::new(message).hint(hint))
}

/// What went wrong, in words for those who do not know CUDA's names.
fn described(message: &str) -> String {
    let known = [
        ("NO_DEVICE", "there is no driver (libcuda.so.1) or no GPU"),
        (
            "CUBLAS_STATUS_NOT_INITIALIZED",
            "cuBLAS (libcublas.so.13, libcublasLt.so.13) is missing or cannot start",
        ),
        (
            "CURAND",
            "cuRAND (libcurand.so.10) is missing or cannot start",
        ),
        (
            "UNSUPPORTED_PTX_VERSION",
            "the driver is too old for CUDA 13's kernels",
        ),
    ];
    let found = known.iter().find(|(name, _)| message.contains(name));
    found.map_or_else(
        || message.lines().next().unwrap_or(message).to_owned(),
        |(name, words)| format!("{words} ({name})"),
    )
}

pub(super) fn empty(device: &CudaDevice, shape: &[usize], dtype: DType) -> Result<Tensor> {
    // The driver refuses to allocate nothing.
    let n = shape.iter().product::<usize>().max(1);
    // SAFETY: whoever asks for it sets all values before any is read.
    let slice = unsafe {
        match dtype {
            DType::F32 => CudaStorageSlice::F32(device.alloc::<f32>(n)?),
            DType::BF16 => CudaStorageSlice::BF16(device.alloc::<bf16>(n)?),
            DType::F64 => CudaStorageSlice::F64(device.alloc::<f64>(n)?),
            DType::U32 => CudaStorageSlice::U32(device.alloc::<u32>(n)?),
            other => return Err(Error::internal(format!("no kernel writes {other:?}"))),
        }
    };
    let storage = CudaStorage {
        slice,
        device: device.clone(),
    };
    let storage = Storage::Cuda(storage);
    Ok(Tensor::from_storage(
        storage,
        shape,
        BackpropOp::none(),
        false,
    ))
}

/// Where the tensor's first value lies on the device.
pub(super) fn address(device: &CudaDevice, tensor: &Tensor) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        return Err(Error::internal("a tensor that is not on the device"));
    };
    if !storage.device.same_device(device) {
        return Err(Error::internal("a tensor on another device"));
    }
    let stream = device.cuda_stream();
    let (start, size) = match &storage.slice {
        CudaStorageSlice::F32(values) => (values.device_ptr(&stream).0, 4),
        CudaStorageSlice::BF16(values) => (values.device_ptr(&stream).0, 2),
        CudaStorageSlice::F64(values) => (values.device_ptr(&stream).0, 8),
        CudaStorageSlice::U32(values) => (values.device_ptr(&stream).0, 4),
        _ => return Err(Error::internal("a tensor of a type that no kernel takes")),
    };
    Ok(start + (layout.start_offset() * size) as u64)
}

pub(super) fn launch(
    device: &CudaDevice,
    name: &str,
    grid: Grid,
    arguments: &[Argument],
) -> Result<()> {
    let function = device.get_or_load_custom_func(name, MODULE, PTX)?;
    if grid.shared_bytes > SHARED_BYTES_FOR_ALL {
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        function
            .set_attribute(attribute, grid.shared_bytes as i32)
            .w()?;
    }
    let mut builder = function.builder();
    for argument in arguments {
        match argument {
            Argument::U32(x) => builder.arg(x),
            Argument::U64(x) => builder.arg(x),
            Argument::F32(x) => builder.arg(x),
            Argument::F64(x) => builder.arg(x),
            Argument::Masks(x) => builder.arg(x),
        };
    }
    let config = LaunchConfig {
        grid_dim: (grid.blocks[0] as u32, grid.blocks[1] as u32, 1),
        block_dim: (grid.threads as u32, 1, 1),
        shared_mem_bytes: grid.shared_bytes as u32,
    };
    // SAFETY: the arguments are those that the kernel of this name takes; memory that is freed
    // after this is freed in the order of the stream, so after the kernel is done.
    unsafe { builder.launch(config) }.w()?;
    Ok(())
}

/// Copies `n` values from the device, when all that was launched is done.
pub(super) fn download<T: WithDType>(
    device: &CudaDevice,
    address: u64,
    n: usize,
) -> Result<Vec<T>> {
    let mut values = vec![T::zero(); n];
    let stream = device.cuda_stream();
    stream.context().bind_to_thread().w()?;
    // SAFETY: the caller has seen that `n` values of this type lie there; they have arrived when
    // the stream has been waited for.
    unsafe { result::memcpy_dtoh_async(&mut values, address, stream.cu_stream()) }.w()?;
    stream.synchronize().w()?;
    Ok(values)
}

/// Copies values to the device, after all that was launched.
pub(super) fn upload<T: Copy>(device: &CudaDevice, address: u64, values: &[T]) -> Result<()> {
    let stream = device.cuda_stream();
    stream.context().bind_to_thread().w()?;
    // SAFETY: the caller has seen that there is room for the values; they are no longer read when
    // the stream has been waited for.
    unsafe { result::memcpy_htod_async(address, values, stream.cu_stream()) }.w()?;
    stream.synchronize().w()?;
    Ok(())
}

/// Copies values to a new tensor, after all that was launched, and waits for nothing.
pub(super) fn send(device: &CudaDevice, values: &[u32], shape: &[usize]) -> Result<Tensor> {
    let n_bytes = size_of_val(values);
    let tensor = empty(device, shape, DType::U32)?;
    let to = address(device, &tensor)?;
    let stream = device.cuda_stream();
    let mut memory = PageLocked::take(&stream, n_bytes)?;
    let room = &mut memory.bytes()?[..n_bytes];
    for (room, value) in room.chunks_exact_mut(4).zip(values) {
        room.copy_from_slice(&value.to_ne_bytes());
    }
    // SAFETY: the tensor has room for the values; `memory` is neither written nor freed before the
    // copy is over.
    unsafe { result::memcpy_htod_async(to, room, stream.cu_stream()) }.w()?;
    memory.is_used_up_to_now(&stream)?;
    SENT.with_borrow_mut(|sent| sent.push_back(memory));
    Ok(tensor)
}

thread_local! {
    /// Memory that nobody uses. It is kept, since making and freeing it takes long.
    static UNUSED: RefCell<Vec<PinnedHostSlice<u8>>> = const { RefCell::new(Vec::new()) };
    /// What may still be copied from, the oldest first.
    static SENT: RefCell<VecDeque<PageLocked>> = const { RefCell::new(VecDeque::new()) };
}

/// Page-locked memory of the host, which a copy goes to or comes from; it becomes one of those
/// that nobody uses when that is over.
#[derive(Debug)]
struct PageLocked {
    /// There until it is dropped.
    memory: Option<PinnedHostSlice<u8>>,
    /// Follows the copy in the stream. The events of cudarc's own are not recorded, since tracking
    /// is off.
    copied: CudaEvent,
}

impl PageLocked {
    /// At least `n_bytes`, used before where there is such memory.
    fn take(stream: &CudaStream, n_bytes: usize) -> Result<Self> {
        /// Enough for most.
        const LEAST_BYTES: usize = 1 << 14;
        let over = || {
            SENT.with_borrow_mut(|sent| {
                let is_over = sent.front()?.copied.is_complete();
                is_over.then(|| sent.pop_front()).flatten()
            })
        };
        while let Some(memory) = over() {
            drop(memory);
        }
        let context = stream.context();
        let copied = context.new_event(None).w()?;
        let used_before = UNUSED.with_borrow_mut(|unused| {
            let fits = |memory: &PinnedHostSlice<u8>| memory.num_bytes() >= n_bytes;
            let at = unused.iter().position(fits)?;
            Some(unused.swap_remove(at))
        });
        let memory = if let Some(memory) = used_before {
            memory
        } else {
            let n_bytes = n_bytes.max(LEAST_BYTES);
            // SAFETY: nobody reads it before it was copied to.
            unsafe { context.alloc_pinned_with_flags::<u8>(n_bytes, 0) }.w()?
        };
        Ok(Self {
            memory: Some(memory),
            copied,
        })
    }

    fn bytes(&mut self) -> Result<&mut [u8]> {
        match &mut self.memory {
            Some(memory) => Ok(memory.as_mut_slice().w()?),
            None => Err(Error::internal("page-locked memory that is gone")),
        }
    }

    /// Says that a copy was launched. Where that cannot be noted it is waited for.
    fn is_used_up_to_now(&self, stream: &CudaStream) -> Result<()> {
        let recorded = self.copied.record(stream);
        if recorded.is_err() {
            stream.synchronize().w()?;
        }
        Ok(recorded.w()?)
    }
}

impl Drop for PageLocked {
    fn drop(&mut self) {
        // The copy may still be under way where nobody waited for it. A device that failed copies
        // no more.
        let _ = self.copied.synchronize();
        if let Some(memory) = self.memory.take() {
            // At the thread's end the list may be gone.
            let _ = UNUSED.try_with(|unused| unused.borrow_mut().push(memory));
        }
    }
}

/// A copy of a tensor that is being made.
#[derive(Debug)]
pub struct Arriving {
    landing: PageLocked,
    n_bytes: usize,
    dtype: DType,
    shape: Vec<usize>,
}

impl Arriving {
    pub(super) fn of(device: &CudaDevice, address: u64, tensor: &Tensor) -> Result<Self> {
        let n_bytes = tensor.elem_count() * tensor.dtype().size_in_bytes();
        let stream = device.cuda_stream();
        let mut landing = PageLocked::take(&stream, n_bytes)?;
        let room = &mut landing.bytes()?[..n_bytes];
        // SAFETY: the tensor's values lie at this address, and its memory is freed in the order of
        // the stream; `landing` is neither read nor freed before the copy is over.
        unsafe { result::memcpy_dtoh_async(room, address, stream.cu_stream()) }.w()?;
        landing.is_used_up_to_now(&stream)?;
        Ok(Self {
            landing,
            n_bytes,
            dtype: tensor.dtype(),
            shape: tensor.dims().to_vec(),
        })
    }

    pub(super) fn wait(mut self) -> Result<Tensor> {
        self.landing.copied.synchronize().w()?;
        let bytes = &self.landing.bytes()?[..self.n_bytes];
        let tensor = Tensor::from_raw_buffer(bytes, self.dtype, &self.shape, &Device::Cpu)?;
        Ok(tensor)
    }
}

/// `destination = start + a b` by cuBLAS; all three are rows of f32 or bf16 on the device.
pub(super) fn multiply(device: &CudaDevice, product: &Product) -> Result<()> {
    let (a, b, c) = (&product.a, &product.b, &product.destination);
    let one = 1.0_f32;
    let beta: f32 = if product.accumulate { 1.0 } else { 0.0 };
    // cuBLAS takes columns where we have rows, so it is asked for the transpose: b^T a^T.
    let (b_operation, b_leading) = operation(b)?;
    let (a_operation, a_leading) = operation(a)?;
    let kind = |dtype| match dtype {
        DType::F32 => Ok(cublas_sys::cudaDataType::CUDA_R_32F),
        DType::BF16 => Ok(cublas_sys::cudaDataType::CUDA_R_16BF),
        other => Err(Error::internal(format!("a product of {other:?}"))),
    };
    let compute = if a.dtype == DType::F32 && !product.is_exact {
        cublas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32
    } else {
        cublas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F
    };
    let size = |n: usize| {
        c_int::try_from(n).map_err(|_| Error::internal(format!("{n} rows are too many")))
    };
    device.cuda_stream().context().bind_to_thread().w()?;
    // SAFETY: the operands hold as many rows and columns as they say, at the strides they say,
    // and are freed after the product in the order of the stream.
    unsafe {
        cublas::gemm_ex(
            *device.cublas_handle().handle(),
            b_operation,
            a_operation,
            size(b.columns)?,
            size(a.rows)?,
            size(a.columns)?,
            std::ptr::from_ref(&one).cast(),
            b.address as *const _,
            kind(b.dtype)?,
            size(b_leading)?,
            a.address as *const _,
            kind(a.dtype)?,
            size(a_leading)?,
            std::ptr::from_ref(&beta).cast(),
            c.address as *mut _,
            kind(c.dtype)?,
            size(c.row_stride)?,
            compute,
            cublas_sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
        )
    }
    .w()?;
    Ok(())
}

/// How cuBLAS is to read the transpose of an operand, and the distance of its columns.
fn operation(operand: &Operand) -> Result<(cublas_sys::cublasOperation_t, usize)> {
    // A matrix of one row or column may have any stride across it.
    if operand.column_stride == 1 || operand.columns == 1 {
        let leading = operand.row_stride.max(operand.columns);
        Ok((cublas_sys::cublasOperation_t::CUBLAS_OP_N, leading))
    } else if operand.row_stride == 1 || operand.rows == 1 {
        let leading = operand.column_stride.max(operand.rows);
        Ok((cublas_sys::cublasOperation_t::CUBLAS_OP_T, leading))
    } else {
        Err(Error::internal("a factor with strides both ways"))
    }
}
