//! The kernels on the CPU: their own sources, compiled for it, thread by thread.
//!
//! It is slow and for tests alone: `tests/cuda/build-emulator.sh` makes the library.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::path::Path;
use std::sync::Arc;

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use half::bf16;

use super::{Argument, Grid};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::nn::values::from_storage;

/// A library of kernels for the CPU, and the order in which the threads of a block take turns.
#[derive(Debug, Clone)]
pub struct Emulator {
    library: Arc<Library>,
    order: c_int,
}

#[derive(Debug)]
struct Library {
    emulate: Emulate,
}

type Emulate = unsafe extern "C" fn(
    name: *const c_char,
    grid: *const c_uint,
    threads: c_uint,
    shared_bytes: usize,
    arguments: *mut *mut c_void,
    order: c_int,
) -> c_int;

thread_local! {
    static IN_USE: RefCell<Option<Emulator>> = const { RefCell::new(None) };
}

impl Emulator {
    /// The number of different orders of threads.
    pub const N_ORDERS: usize = 3;

    /// Opens a library of kernels.
    ///
    /// # Errors
    /// A file that is no such library, or a system without such libraries.
    #[cfg(unix)]
    pub fn open(path: &Path) -> Result<Self> {
        let refused = |message: String| {
            Error::new(ErrorKind::MissingInput, Problem::new(message).in_file(path))
        };
        let name = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| refused("is no file's name".to_owned()))?;
        // SAFETY: the name ends with a 0; the library runs nothing when it is opened, and is
        // never closed.
        let symbol = unsafe {
            let handle = libc::dlopen(name.as_ptr(), libc::RTLD_NOW);
            if handle.is_null() {
                let message = CStr::from_ptr(libc::dlerror()).to_string_lossy();
                return Err(refused(format!("cannot be opened: {message}")));
            }
            libc::dlsym(handle, c"emulate".as_ptr())
        };
        if symbol.is_null() {
            return Err(refused("holds no kernels".to_owned()));
        }
        // SAFETY: the library's one function of that name has this type.
        let emulate = unsafe { std::mem::transmute::<*mut c_void, Emulate>(symbol) };
        Ok(Self {
            library: Arc::new(Library { emulate }),
            order: 0,
        })
    }

    /// The same, whose threads take turns in order `number`, below [`Emulator::N_ORDERS`].
    #[must_use]
    pub fn in_order(&self, number: usize) -> Self {
        Self {
            library: Arc::clone(&self.library),
            order: number as c_int,
        }
    }

    /// Does `work` with kernels in the place of the CPU's blocks, on this thread.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Emulator>);
        impl Drop for Restore {
            fn drop(&mut self) {
                IN_USE.set(self.0.take());
            }
        }
        let _restore = Restore(IN_USE.replace(Some(self.clone())));
        work()
    }

    pub(super) fn in_use() -> Option<Self> {
        IN_USE.with_borrow(Clone::clone)
    }

    pub(super) fn launch(&self, name: &str, grid: Grid, arguments: &[Argument]) -> Result<()> {
        let symbol = CString::new(name).map_err(|_| Error::internal("a kernel's name"))?;
        let mut arguments = arguments.to_vec();
        let mut pointers: Vec<*mut c_void> = arguments
            .iter_mut()
            .map(|argument| match argument {
                Argument::U32(x) => std::ptr::from_mut(x).cast(),
                Argument::U64(x) => std::ptr::from_mut(x).cast(),
                Argument::F32(x) => std::ptr::from_mut(x).cast(),
                Argument::F64(x) => std::ptr::from_mut(x).cast(),
                Argument::Masks(x) => std::ptr::from_mut(x).cast(),
            })
            .collect();
        let blocks = grid.blocks.map(|n| n as c_uint);
        // SAFETY: the arguments are those that the kernel of this name takes, as on a device; the
        // tensors among them live as long as the call, which returns when the kernel is done.
        let found = unsafe {
            (self.library.emulate)(
                symbol.as_ptr(),
                blocks.as_ptr(),
                grid.threads as c_uint,
                grid.shared_bytes,
                pointers.as_mut_ptr(),
                self.order,
            )
        };
        if found == 0 {
            return Err(Error::internal(format!("there is no kernel `{name}`")));
        }
        Ok(())
    }
}

/// A tensor in host memory whose values are not numbers until they are set.
pub(super) fn empty(shape: &[usize], dtype: DType) -> Result<Tensor> {
    let n = shape.iter().product();
    let storage = match dtype {
        DType::F32 => CpuStorage::F32(vec![f32::NAN; n]),
        DType::BF16 => CpuStorage::BF16(vec![bf16::NAN; n]),
        DType::F64 => CpuStorage::F64(vec![f64::NAN; n]),
        DType::U32 => CpuStorage::U32(vec![u32::MAX; n]),
        other => return Err(Error::internal(format!("no kernel writes {other:?}"))),
    };
    from_storage(storage, shape, &Device::Cpu)
}

/// Where the tensor's first value lies. Kernels write through it, as through a device's address.
pub(super) fn address(tensor: &Tensor) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    let start = layout.start_offset();
    let Storage::Cpu(storage) = &*storage else {
        return Err(Error::internal("a tensor that is not in host memory"));
    };
    let address = match storage {
        CpuStorage::F32(values) => values.as_ptr().wrapping_add(start) as u64,
        CpuStorage::BF16(values) => values.as_ptr().wrapping_add(start) as u64,
        CpuStorage::F64(values) => values.as_ptr().wrapping_add(start) as u64,
        CpuStorage::U32(values) => values.as_ptr().wrapping_add(start) as u64,
        _ => return Err(Error::internal("a tensor of a type that no kernel takes")),
    };
    Ok(address)
}
