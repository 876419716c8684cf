//! Files that `torch.save` writes, read without running anything in them.
//!
//! Such a file is a pickle that says which tensors there are, and their numbers beside it: in a
//! ZIP archive since PyTorch 1.6, one after the other in the older format. Python's pickles
//! call functions. Here the few that make tensors are known by name ([`Known`]), what they
//! would do is done by this file, and any other one is an error; every opcode makes at most one
//! value, values refer to each other by number, and their count is limited, so that no file
//! takes much more memory than it has bytes. The formats are those of `torch/serialization.py`
//! at PyTorch 2.15.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use safetensors::tensor::Dtype;

use crate::model::weights::Place;
use crate::model::zip;
use crate::pickle::{Opcode, Opcodes};

/// A tensor takes some 25 opcodes; this is room for forty thousand of them.
const MAX_OPCODES: usize = 1_000_000;

/// Twice what the weights of any text encoder have.
const MAX_DIMENSIONS: usize = 8;

/// The number that files of the older format start with.
const LEGACY_MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// The version of the older format; there has never been another one.
const LEGACY_VERSION: i128 = 1001;

type Step<T> = Result<T, String>;

/// The tensors of a state dict by their names.
///
/// # Errors
/// A file that is not one of PyTorch's, is cut off, holds something else than a state dict, or
/// would run something; a tensor beyond its numbers.
pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, Place>, String> {
    if bytes.starts_with(zip::START) {
        read_zip(bytes)
    } else if bytes.starts_with(b"\x80\x02\x8a\x0a") {
        read_legacy(bytes)
    } else {
        Err("it starts like no file of `torch.save`".to_owned())
    }
}

fn read_zip(bytes: &[u8]) -> Step<BTreeMap<String, Place>> {
    let entries = zip::entries(bytes)?;
    let pickles: Vec<&str> = entries
        .keys()
        .filter_map(|name| name.strip_suffix("/data.pkl"))
        .collect();
    let [folder] = pickles[..] else {
        return Err("the archive has no `data.pkl`, or several".to_owned());
    };
    if let Some(order) = entries.get(format!("{folder}/byteorder").as_str()) {
        check_byte_order(&bytes[order.clone()] == b"little")?;
    }
    let pickle = &bytes[entries[format!("{folder}/data.pkl").as_str()].clone()];
    let mut machine = Machine::default();
    let root = machine.run(&mut Opcodes::new(pickle))?;
    machine.places(root, |key| {
        entries
            .get(format!("{folder}/data/{key}").as_str())
            .cloned()
    })
}

/// The older format: a number, a version, the machine's byte order and the state dict, each a
/// pickle; a pickled list of storages; the storages, each a count and its numbers.
fn read_legacy(bytes: &[u8]) -> Step<BTreeMap<String, Place>> {
    let mut opcodes = Opcodes::new(bytes);
    let mut header = Machine::default();
    for expected in [LEGACY_MAGIC, LEGACY_VERSION] {
        let found = header.run(&mut opcodes)?;
        if !matches!(header.values[found], Value::Integer(x) if x == expected) {
            return Err("it starts like no file of `torch.save`".to_owned());
        }
    }
    let system = header.run(&mut opcodes)?;
    let little = header.item(system, "little_endian");
    check_byte_order(!matches!(little, Some(Value::Bool(false))))?;

    let mut machine = Machine::default();
    let root = machine.run(&mut opcodes)?;
    let keys = machine.run(&mut opcodes)?;
    let mut storages: HashMap<&str, Range<usize>> = HashMap::new();
    for key in machine.sequence(keys)? {
        let key = machine.text(*key)?;
        let dtype = machine.storages.get(key);
        let dtype = dtype.ok_or_else(|| format!("no tensor uses the storage `{key}`"))?;
        let count = opcodes.take(8)?.try_into().map(u64::from_le_bytes);
        let n_bytes = count
            .ok()
            .and_then(|n| n.checked_mul(n_bytes(*dtype) as u64));
        let start = opcodes.position();
        let data = opcodes.take(n_bytes.ok_or("it ends in the middle")?)?;
        storages.insert(key, start..start + data.len());
    }
    machine.places(root, |key| storages.get(key).cloned())
}

fn check_byte_order(is_little: bool) -> Step<()> {
    if is_little {
        Ok(())
    } else {
        Err("it was written on a machine that stores the highest byte first".to_owned())
    }
}

/// The names of Python's that a state dict needs.
#[derive(Debug, Clone, Copy)]
enum Known {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

impl Known {
    fn from_name(module: &str, name: &str) -> Step<Self> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "FloatStorage") => Self::Storage(Dtype::F32),
            ("torch", "HalfStorage") => Self::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Dtype::BF16),
            ("torch", "DoubleStorage") => Self::Storage(Dtype::F64),
            ("torch", "LongStorage") => Self::Storage(Dtype::I64),
            ("torch", "IntStorage") => Self::Storage(Dtype::I32),
            ("torch", "ShortStorage") => Self::Storage(Dtype::I16),
            ("torch", "CharStorage") => Self::Storage(Dtype::I8),
            ("torch", "ByteStorage") => Self::Storage(Dtype::U8),
            ("torch", "BoolStorage") => Self::Storage(Dtype::BOOL),
            _ => {
                // Names of any length and kind may stand in a file that means harm.
                let name: String = format!("{module}.{name}").chars().take(100).collect();
                return Err(format!("it would run `{}`: refused", name.escape_debug()));
            }
        })
    }
}

/// A value; others are called by their number in [`Machine::values`].
#[derive(Debug, Clone)]
enum Value<'a> {
    /// None or a real number, which no tensor depends on.
    Other,
    Bool(bool),
    Integer(i128),
    Text(&'a str),
    Known(Known),
    Sequence(Vec<usize>),
    Dict(Vec<(usize, usize)>),
    Storage(&'a str, Dtype),
    Tensor(Tensor<'a>),
}

#[derive(Debug, Clone)]
struct Tensor<'a> {
    storage: &'a str,
    dtype: Dtype,
    /// In elements, as the strides.
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// What the opcodes work on.
#[derive(Debug, Default)]
struct Machine<'a> {
    values: Vec<Value<'a>>,
    stack: Vec<usize>,
    marks: Vec<usize>,
    memo: HashMap<u32, usize>,
    n_opcodes: usize,
    /// The type of every storage that was named, the first time counting.
    storages: HashMap<&'a str, Dtype>,
}

impl<'a> Machine<'a> {
    /// Reads one pickle and returns its value.
    fn run(&mut self, opcodes: &mut Opcodes<'a>) -> Step<usize> {
        self.stack.clear();
        self.marks.clear();
        self.memo.clear();
        loop {
            self.n_opcodes += 1;
            if self.n_opcodes > MAX_OPCODES {
                return Err(format!("it has more than {MAX_OPCODES} opcodes"));
            }
            match opcodes.next_opcode()? {
                Opcode::Header => {}
                Opcode::Stop => return self.pop(),
                Opcode::Mark => self.marks.push(self.stack.len()),
                Opcode::None | Opcode::Real(_) => self.push(Value::Other),
                Opcode::Bool(x) => self.push(Value::Bool(x)),
                Opcode::Integer(x) => self.push(Value::Integer(x)),
                Opcode::Text(text) => self.push(Value::Text(text)),
                Opcode::EmptyList => self.push(Value::Sequence(Vec::new())),
                Opcode::EmptyDict => self.push(Value::Dict(Vec::new())),
                Opcode::Tuple(n) => {
                    let start = self.stack.len().checked_sub(n).ok_or(MISSING)?;
                    self.tuple(start);
                }
                Opcode::TupleFromMark => {
                    let start = self.mark()?;
                    self.tuple(start);
                }
                Opcode::Append => self.extend(self.stack.len().saturating_sub(1))?,
                Opcode::SetItem => self.extend(self.stack.len().saturating_sub(2))?,
                Opcode::Appends | Opcode::SetItems => {
                    let start = self.mark()?;
                    self.extend(start)?;
                }
                Opcode::Memoize => self.memoize(self.memo.len() as u32)?,
                Opcode::Put(number) => self.memoize(number)?,
                Opcode::Get(number) => {
                    let value = self.memo.get(&number).ok_or(MISSING)?;
                    self.stack.push(*value);
                }
                Opcode::Global(module, name) => {
                    self.push(Value::Known(Known::from_name(module, name)?));
                }
                Opcode::StackGlobal => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let known = Known::from_name(self.text(module)?, self.text(name)?)?;
                    self.push(Value::Known(known));
                }
                Opcode::PersistentId => self.storage()?,
                Opcode::Reduce => self.reduce()?,
                Opcode::Build => self.build()?,
                Opcode::Other(byte) => {
                    return Err(format!(
                        "the byte 0x{byte:02x} has no place in a state dict"
                    ));
                }
            }
        }
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Step<usize> {
        Ok(self.stack.pop().ok_or(MISSING)?)
    }

    fn mark(&mut self) -> Step<usize> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len());
        mark.ok_or_else(|| "a mark is missing".to_owned())
    }

    fn tuple(&mut self, start: usize) {
        let items = self.stack.split_off(start);
        self.push(Value::Sequence(items));
    }

    /// Puts the values from `start` on into the list or dict below them.
    fn extend(&mut self, start: usize) -> Step<()> {
        if start == 0 || start > self.stack.len() {
            return Err(MISSING.to_owned());
        }
        let items = self.stack.split_off(start);
        match &mut self.values[self.stack[start - 1]] {
            Value::Sequence(list) => list.extend(items),
            Value::Dict(dict) if items.len().is_multiple_of(2) => {
                dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            _ => return Err("something else than a list or dict takes values".to_owned()),
        }
        Ok(())
    }

    fn memoize(&mut self, number: u32) -> Step<()> {
        let value = self.stack.last().ok_or(MISSING)?;
        self.memo.insert(number, *value);
        Ok(())
    }

    /// `('storage', type, key, device, count)`, with `None` after it in the older format.
    fn storage(&mut self) -> Step<()> {
        let id = self.pop()?;
        let (dtype, key) = match *self.sequence(id)? {
            [_, dtype, key, _, _] => (dtype, key),
            [_, dtype, key, _, _, view] if matches!(self.values[view], Value::Other) => {
                (dtype, key)
            }
            _ => return Err("a storage is described in an unknown way".to_owned()),
        };
        let Value::Known(Known::Storage(dtype)) = self.values[dtype] else {
            return Err("a storage has no type".to_owned());
        };
        let key = self.text(key)?;
        self.storages.entry(key).or_insert(dtype);
        self.push(Value::Storage(key, dtype));
        Ok(())
    }

    fn reduce(&mut self) -> Step<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let arguments = self.sequence(arguments)?;
        let value = match (&self.values[function], arguments) {
            (Value::Known(Known::OrderedDict), []) => Value::Dict(Vec::new()),
            (Value::Known(Known::RebuildTensor), [storage, offset, shape, strides, ..]) => {
                Value::Tensor(self.tensor([*storage, *offset, *shape, *strides])?)
            }
            (Value::Known(Known::RebuildParameter), [data, ..]) => match &self.values[*data] {
                Value::Tensor(tensor) => Value::Tensor(tensor.clone()),
                _ => return Err("a parameter is made of no tensor".to_owned()),
            },
            _ => return Err("something is called in an unknown way".to_owned()),
        };
        self.push(value);
        Ok(())
    }

    /// An ordered dict's attributes (`_metadata`, the versions of its modules) say nothing here.
    fn build(&mut self) -> Step<()> {
        let _state = self.pop()?;
        match self.stack.last().map(|object| &self.values[*object]) {
            Some(Value::Dict(_)) => Ok(()),
            _ => Err("something else than a dict has a state".to_owned()),
        }
    }

    fn tensor(&self, [storage, offset, shape, strides]: [usize; 4]) -> Step<Tensor<'a>> {
        let Value::Storage(storage, dtype) = self.values[storage] else {
            return Err("a tensor has no storage".to_owned());
        };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return Err("a tensor has more dimensions than strides, or fewer".to_owned());
        }
        Ok(Tensor {
            storage,
            dtype,
            offset: self.size(offset)?,
            shape,
            strides,
        })
    }

    fn sizes(&self, sequence: usize) -> Step<Vec<usize>> {
        let sizes = self.sequence(sequence)?;
        if sizes.len() > MAX_DIMENSIONS {
            return Err(format!(
                "a tensor has more than {MAX_DIMENSIONS} dimensions"
            ));
        }
        sizes.iter().map(|size| self.size(*size)).collect()
    }

    fn size(&self, value: usize) -> Step<usize> {
        match self.values[value] {
            Value::Integer(x) => usize::try_from(x)
                .map_err(|_| format!("a tensor has the size, stride or offset {x}")),
            _ => Err("a tensor's size, stride or offset is no whole number".to_owned()),
        }
    }

    fn text(&self, value: usize) -> Step<&'a str> {
        match self.values[value] {
            Value::Text(text) => Ok(text),
            _ => Err("something else stands in the place of a text".to_owned()),
        }
    }

    fn sequence(&self, value: usize) -> Step<&[usize]> {
        match &self.values[value] {
            Value::Sequence(items) => Ok(items),
            _ => Err("something else stands in the place of a list or tuple".to_owned()),
        }
    }

    /// What a dict has under this key.
    fn item(&self, dict: usize, key: &str) -> Option<&Value<'a>> {
        let Value::Dict(items) = &self.values[dict] else {
            return None;
        };
        let found = items
            .iter()
            .find(|(k, _)| matches!(self.values[*k], Value::Text(text) if text == key));
        found.map(|(_, value)| &self.values[*value])
    }

    /// The tensors of the dict `root` with their places in the file.
    fn places(
        &self,
        root: usize,
        storage: impl Fn(&str) -> Option<Range<usize>>,
    ) -> Step<BTreeMap<String, Place>> {
        let Value::Dict(items) = &self.values[root] else {
            return Err("it holds something else than a state dict".to_owned());
        };
        let mut places = BTreeMap::new();
        for (key, value) in items {
            if let (Value::Text(name), Value::Tensor(tensor)) =
                (&self.values[*key], &self.values[*value])
            {
                let range = storage(tensor.storage);
                let place = range.and_then(|range| tensor.place(&range)).ok_or_else(|| {
                    format!(
                        "the tensor `{name}` of shape {:?} and strides {:?} does not fit into its storage",
                        tensor.shape, tensor.strides
                    )
                })?;
                places.insert((*name).to_owned(), place);
            }
        }
        if places.is_empty() {
            return Err("it holds no tensors by name; a state dict is expected".to_owned());
        }
        Ok(places)
    }
}

const MISSING: &str = "a value is missing";

impl Tensor<'_> {
    /// The tensor's place in the file, given that of its storage; none if it does not fit, or
    /// repeats numbers (a stride of 0), which would make a large tensor of a small file.
    fn place(&self, storage: &Range<usize>) -> Option<Place> {
        let size = n_bytes(self.dtype);
        let n_stored = storage.len() / size;
        let n_elements = self
            .shape
            .iter()
            .try_fold(1_usize, |n, d| n.checked_mul(*d))?;
        // Offsets in elements: of the first one, and of the one after the last.
        let end = if n_elements == 0 {
            self.offset
        } else {
            let steps = self.shape.iter().zip(&self.strides);
            let last = steps
                .map(|(d, stride)| (d - 1).checked_mul(*stride))
                .try_fold(self.offset, |at, step| at.checked_add(step?));
            last?.checked_add(1)?
        };
        (end <= n_stored && n_elements <= n_stored).then(|| Place {
            dtype: self.dtype,
            shape: self.shape.clone(),
            strides: Some(self.strides.clone()),
            bytes: storage.start + self.offset * size..storage.start + end * size,
        })
    }
}

/// Bytes of a number; all of PyTorch's types have whole ones.
fn n_bytes(dtype: Dtype) -> usize {
    dtype.bitsize() / 8
}
