//! The tensors of a checkpoint's files, by name, whichever format they are in.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;
use crate::model::torch_file;

/// The names that weights may have in a model folder, the first that is there being read. An
/// index lists the files over which a large model is spread.
pub(super) const FILES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// The tensors of one checkpoint.
#[derive(Debug)]
pub(super) struct Weights {
    path: PathBuf,
    files: Vec<Vec<u8>>,
    tensors: BTreeMap<String, (usize, Place)>,
}

/// Where a tensor lies in its file.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The type of its numbers.
    pub dtype: Dtype,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// How many numbers to go for one step in each dimension; none: they lie in order.
    pub strides: Option<Vec<usize>>,
    /// From its first number to its last, all of them in the file.
    pub bytes: Range<usize>,
}

impl Weights {
    /// Reads the weights in a model folder.
    ///
    /// # Errors
    /// No such file ([`ErrorKind::MissingInput`]), or one that is not what its name says
    /// ([`ErrorKind::Data`]).
    pub fn read(folder: &Path) -> Result<Self> {
        let found = FILES.into_iter().map(|name| folder.join(name));
        let Some(path) = found.into_iter().find(|path| path.exists()) else {
            return Err(missing(folder));
        };
        let mut weights = Self {
            path: path.clone(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
        };
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            for (file, names) in read_index(&path)? {
                weights.add(&folder.join(file), Some(&names))?;
            }
        } else {
            weights.add(&path, None)?;
        }
        Ok(weights)
    }

    /// Adds the tensors of a file, or those of these names.
    fn add(&mut self, path: &Path, names: Option<&BTreeSet<String>>) -> Result<()> {
        let bytes = fsio::read(path)?;
        let mut places = if path.extension().is_some_and(|extension| extension == "bin") {
            torch_file::read(&bytes).map_err(|what| {
                let problem = Problem::new(format!("not a PyTorch checkpoint: {what}"));
                let hint = "expected is what `torch.save(model.state_dict(), path)` writes";
                Error::data(problem.in_file(path).hint(hint))
            })?
        } else {
            read_safetensors(&bytes, path)?
        };
        if let Some(names) = names {
            places.retain(|name, _| names.contains(name));
            if let Some(lacking) = names.iter().find(|name| !places.contains_key(*name)) {
                let message = format!("lacks `{lacking}`, which the index says it holds");
                return Err(Error::data(Problem::new(message).in_file(path)));
            }
        }
        let file = self.files.len();
        let places = places.into_iter();
        self.tensors
            .extend(places.map(|(name, place)| (name, (file, place))));
        self.files.push(bytes);
        Ok(())
    }

    /// The file that was read, for messages; of several, their index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The dimensions of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        let (_, place) = self.tensors.get(name)?;
        Some(&place.shape)
    }

    /// No fewer numbers than the files hold: none has less than two bytes.
    pub fn most_numbers(&self) -> u128 {
        self.files.iter().map(|bytes| bytes.len() as u128 / 2).sum()
    }

    /// The numbers of a tensor, in order.
    ///
    /// # Errors
    /// No such tensor, a type that is none of f32, f16, bf16 and f64, a number that is not
    /// finite: the rest of a sentence that begins with the tensor's name.
    pub fn to_f32(&self, name: &str) -> Result<Vec<f32>, String> {
        let (file, place) = self.tensors.get(name).ok_or("is missing")?;
        let bytes = place.in_order(&self.files[*file]);
        let values: Vec<f32> = match place.dtype {
            Dtype::F32 => numbers(&bytes, f32::from_le_bytes),
            Dtype::F64 => numbers(&bytes, |b: [u8; 8]| f64::from_le_bytes(b) as f32),
            Dtype::F16 => numbers(&bytes, |b: [u8; 2]| half::f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => numbers(&bytes, |b: [u8; 2]| half::bf16::from_le_bytes(b).to_f32()),
            other => return Err(format!("is {other:?}; supported: F32, F16, BF16, F64")),
        };
        match values.iter().find(|x| !x.is_finite()) {
            Some(x) => Err(format!("holds the value {x}")),
            None => Ok(values),
        }
    }
}

impl Place {
    /// The bytes of the tensor's numbers in order, copied only where they lie otherwise.
    fn in_order<'a>(&self, file: &'a [u8]) -> Cow<'a, [u8]> {
        let bytes = &file[self.bytes.clone()];
        let n: usize = self.shape.iter().product();
        let Some(strides) = self.strides.as_ref().filter(|_| n > 0) else {
            return bytes.into();
        };
        if is_in_order(&self.shape, strides) {
            return bytes.into();
        }
        let size = self.dtype.bitsize() / 8;
        let mut copy = Vec::with_capacity(n * size);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..n {
            let at: usize = index
                .iter()
                .zip(strides)
                .map(|(i, stride)| i * stride)
                .sum();
            copy.extend_from_slice(&bytes[at * size..(at + 1) * size]);
            // The next index: the last dimension runs fastest.
            for (i, d) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < *d {
                    break;
                }
                *i = 0;
            }
        }
        copy.into()
    }
}

/// Whether a tensor without a dimension of 0 has its numbers one after the other.
fn is_in_order(shape: &[usize], strides: &[usize]) -> bool {
    let mut step = 1;
    shape.iter().zip(strides).rev().all(|(d, stride)| {
        let fits = *d == 1 || *stride == step;
        step *= d;
        fits
    })
}

/// Whether a folder has weights, all files of them.
#[cfg(feature = "hub")]
pub(super) fn are_there(folder: &Path) -> bool {
    let mut found = FILES.into_iter().map(|name| folder.join(name));
    match found.find(|path| path.is_file()) {
        Some(path)
            if path
                .extension()
                .is_some_and(|extension| extension == "json") =>
        {
            read_index(&path)
                .is_ok_and(|parts| parts.keys().all(|part| folder.join(part).is_file()))
        }
        found => found.is_some(),
    }
}

fn read_safetensors(bytes: &[u8], path: &Path) -> Result<BTreeMap<String, Place>> {
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| {
        let problem = Problem::new(format!("not a safetensors file: {e}")).in_file(path);
        Error::data(problem)
    })?;
    // The numbers begin after the header's length, which has 8 bytes, and the header.
    let start = 8 + header;
    let mut places = BTreeMap::new();
    for name in metadata.offset_keys() {
        if let Some(info) = metadata.info(&name) {
            let (from, to) = info.data_offsets;
            let place = Place {
                dtype: info.dtype,
                shape: info.shape.clone(),
                strides: None,
                bytes: start + from..start + to,
            };
            places.insert(name, place);
        }
    }
    Ok(places)
}

/// Which tensors to take from which file beside the index.
fn read_index(path: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let bad = |message: String| Error::data(Problem::new(message).in_file(path));
    let index: Value = serde_json::from_slice(&fsio::read(path)?)
        .map_err(|e| Error::json(path, "valid JSON", &e))?;
    let map = index.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| bad("`weight_map` is missing".into()))?;
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (tensor, file) in map {
        let name = file.as_str().filter(|name| is_plain_name(name));
        let name = name.ok_or_else(|| bad(format!("`{file}` is no name of a file beside it")))?;
        files
            .entry(name.to_owned())
            .or_default()
            .insert(tensor.clone());
    }
    Ok(files)
}

/// Whether a name stays in the folder that it is joined to.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(_)), None)
    )
}

fn missing(folder: &Path) -> Error {
    let problem = Problem::new("there are no weights").in_file(folder.join(FILES[0]));
    let others = ["tf_model.h5", "flax_model.msgpack", "model.onnx"];
    let hint = match others.iter().find(|name| folder.join(name).exists()) {
        Some(other) => format!(
            "`{other}` is another framework's: load the model in Python with PyTorch and save it with `save_pretrained`"
        ),
        None => format!("the folder needs one of {}", FILES.join(", ")),
    };
    Error::new(ErrorKind::MissingInput, problem.hint(hint))
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|chunk| number(*chunk)).collect()
}
