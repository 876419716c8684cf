//! A model's parameters: one storage for values and optimizer state, one for gradients.
//!
//! `state` is [values | first moments | second moments], 3N numbers when the model is to be
//! trained and N when it is not; `gradients` holds N. A parameter is a view of its part, made
//! once. The order inside is the order of the names, so it never depends on how a model was
//! put together.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::nn::{Gradients, Precision, raw};
use crate::random::{Purpose, Stream};

/// A layer's handle on one of its parameters.
#[derive(Debug, Clone)]
pub struct Parameter {
    slot: usize,
    value: Tensor,
}

impl Parameter {
    /// Its number in the order of the names.
    pub(super) fn slot(&self) -> usize {
        self.slot
    }

    /// The values, a view of the shared storage.
    pub fn value(&self) -> &Tensor {
        &self.value
    }
}

/// What a parameter is before it has values.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// The name in checkpoints, as Hugging Face's.
    pub name: String,
    /// The shape in checkpoints.
    pub shape: Vec<usize>,
    /// Its first values.
    pub initialization: Initialization,
    /// Whether weight decay acts on it.
    pub decay: Decay,
    /// Which of its rows a step's gradient may touch.
    pub rows: Rows,
}

impl ParameterSpec {
    /// The number of values.
    pub fn n_elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A parameter's first values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initialization {
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Normal with mean 0 and this standard deviation, drawn again where it is more than
    /// `cutoff` standard deviations from 0.
    TruncatedNormal {
        /// Before it is cut off.
        std: f64,
        /// In standard deviations, at least 0.
        cutoff: f64,
    },
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
}

/// Whether a layer has a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bias {
    /// It has, at first all 0.
    Yes,
    /// It has none.
    No,
}

impl Bias {
    /// The parameter `bias` of `width` features, if there is to be one.
    pub(super) fn of(self, vars: &Vars<'_>, width: usize) -> Result<Option<Parameter>> {
        match self {
            Self::Yes => {
                let bias = vars.get("bias", &[width], Initialization::Zeros, Decay::No)?;
                Ok(Some(bias))
            }
            Self::No => Ok(None),
        }
    }
}

/// Whether weight decay acts on a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decay {
    /// It does: weight matrices and embeddings.
    Yes,
    /// It does not: biases and layer norms.
    No,
}

/// Which rows of a parameter a step's gradient touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// All of them.
    All,
    /// Those that the batch looks up: the gradient of every other row is exactly 0.
    LookedUp,
}

/// Whether the optimizer's state is kept beside the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Moments and gradients are allocated.
    Training,
    /// Values only.
    Inference,
}

/// All parameters of a model, in the order of their names.
#[derive(Debug)]
pub struct Parameters {
    specs: Vec<ParameterSpec>,
    offsets: Vec<usize>,
    views: Vec<Tensor>,
    state: Tensor,
    n_elements: usize,
}

impl Parameters {
    /// Room for the parameters that `build` asks for, all 0.
    ///
    /// `build` makes the model's layers; it is run here to see what they need, and once more
    /// with [`Parameters::binder`] to bind them.
    ///
    /// # Errors
    /// `build`'s own errors, two parameters of one name, or no memory on the device.
    pub fn declare<M>(
        build: impl Fn(&Vars<'_>) -> Result<M>,
        purpose: Use,
        device: &Device,
    ) -> Result<Self> {
        // A GPU would refuse to allocate nothing.
        let nothing = Tensor::zeros(0, DType::F32, &Device::Cpu)?;
        let binder = Binder {
            source: Source::Declaring(RefCell::default(), nothing),
            n_dropouts: Cell::new(0),
            precision: Precision::F32,
        };
        build(&binder.vars())?;
        let Source::Declaring(specs, _) = binder.source else {
            unreachable!("the source was made six lines above");
        };
        let mut specs = specs.into_inner();
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = specs.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(Error::internal(format!(
                "two parameters are called `{}`",
                pair[0].name
            )));
        }
        let mut offsets = Vec::with_capacity(specs.len());
        let mut n_elements = 0;
        for spec in &specs {
            offsets.push(n_elements);
            n_elements += spec.n_elements();
        }
        let copies = match purpose {
            Use::Training => 3,
            Use::Inference => 1,
        };
        let state = Tensor::zeros(copies * n_elements, DType::F32, device)?;
        let views = views_of(&state, &specs, &offsets)?;
        Ok(Self {
            specs,
            offsets,
            views,
            state,
            n_elements,
        })
    }

    /// What a model's layers take their parameters from.
    pub fn binder(&self) -> Binder<'_> {
        Binder {
            source: Source::Binding(self),
            n_dropouts: Cell::new(0),
            precision: Precision::F32,
        }
    }

    /// The specifications, in the order of the names.
    pub fn specs(&self) -> &[ParameterSpec] {
        &self.specs
    }

    /// The values of each parameter, in the order of the names.
    pub fn values(&self) -> &[Tensor] {
        &self.views
    }

    /// The values of the parameter of that name.
    pub fn value(&self, name: &str) -> Option<&Tensor> {
        self.slot(name).map(|slot| &self.views[slot])
    }

    /// Where each parameter begins among all N values, in the order of the names.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// N, the number of values.
    pub fn n_elements(&self) -> usize {
        self.n_elements
    }

    /// All N values, a view of the state.
    ///
    /// # Errors
    /// None but bugs.
    pub fn flat(&self) -> Result<Tensor> {
        Ok(self.state.narrow(0, 0, self.n_elements)?)
    }

    /// [values | first moments | second moments], or the values alone.
    pub fn state(&self) -> &Tensor {
        &self.state
    }

    /// Gives every parameter that is not in `except` its first values, drawn from `seed`.
    ///
    /// A parameter's values depend on the seed and its name's hash alone, so a new head is the
    /// same on every encoder.
    ///
    /// # Errors
    /// A device without kernels.
    pub fn initialize(&self, seed: u64, except: &BTreeSet<String>) -> Result<()> {
        for (spec, view) in self.specs.iter().zip(&self.views) {
            if except.contains(&spec.name) {
                continue;
            }
            let [a, b] = hash_of_name(&spec.name);
            let stream = Stream::new(seed, Purpose::Initialization, a, b);
            raw::update(view, |values| match spec.initialization {
                Initialization::Normal(std) => {
                    for (i, value) in values.iter_mut().enumerate() {
                        *value = (std * stream.normal_at(i as u64)) as f32;
                    }
                }
                Initialization::TruncatedNormal { std, cutoff } => {
                    for (i, value) in values.iter_mut().enumerate() {
                        *value = (std * truncated_normal(&stream, i as u64, cutoff)) as f32;
                    }
                }
                Initialization::Zeros => values.fill(0.0),
                Initialization::Ones => values.fill(1.0),
            })?;
        }
        Ok(())
    }

    /// Gives the parameter of that name its values.
    ///
    /// # Errors
    /// An unknown name or another number of values: bugs of the caller.
    pub fn set(&self, name: &str, new_values: &[f32]) -> Result<()> {
        let slot = self
            .slot(name)
            .ok_or_else(|| Error::internal(format!("no parameter is called `{name}`")))?;
        if new_values.len() != self.specs[slot].n_elements() {
            return Err(Error::internal(format!("`{name}` has another size")));
        }
        raw::update(&self.views[slot], |values| {
            values.copy_from_slice(new_values);
        })
    }

    /// A gradient of 0 for each parameter.
    ///
    /// # Errors
    /// No memory on the device.
    pub fn gradients(&self) -> Result<Gradients> {
        Gradients::new(self)
    }

    fn slot(&self, name: &str) -> Option<usize> {
        self.specs
            .binary_search_by(|spec| spec.name.as_str().cmp(name))
            .ok()
    }
}

/// Where a model's layers get their parameters from: a declaration or the real storage.
pub struct Binder<'a> {
    source: Source<'a>,
    n_dropouts: Cell<u32>,
    precision: Precision,
}

impl Binder<'_> {
    /// The same, for layers that multiply in `precision` instead of f32.
    #[must_use]
    pub fn in_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The root of the names.
    pub fn vars(&self) -> Vars<'_> {
        Vars {
            prefix: String::new(),
            shared: false,
            binder: self,
        }
    }
}

enum Source<'a> {
    Declaring(RefCell<Vec<ParameterSpec>>, Tensor),
    Binding(&'a Parameters),
}

/// A prefix of parameter names, handed down as a model is put together.
pub struct Vars<'a> {
    prefix: String,
    shared: bool,
    binder: &'a Binder<'a>,
}

impl Vars<'_> {
    /// The names below `name`.
    #[must_use]
    pub fn pp(&self, name: impl std::fmt::Display) -> Self {
        Self {
            prefix: self.full_name(name),
            shared: self.shared,
            binder: self.binder,
        }
    }

    /// The same names, of parameters that several layers may ask for and then share: each adds
    /// to the one gradient.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self {
            prefix: self.prefix.clone(),
            shared: true,
            binder: self.binder,
        }
    }

    /// The parameter `name` below the prefix.
    ///
    /// # Errors
    /// A parameter that was not declared: a bug of the layer.
    pub fn get(
        &self,
        name: &str,
        shape: &[usize],
        initialization: Initialization,
        decay: Decay,
    ) -> Result<Parameter> {
        self.declared(name, shape, initialization, decay, Rows::All)
    }

    /// The table `name` (rows, features) below the prefix, whose rows are looked up.
    ///
    /// # Errors
    /// As [`Vars::get`].
    pub fn table(
        &self,
        name: &str,
        shape: [usize; 2],
        initialization: Initialization,
    ) -> Result<Parameter> {
        self.declared(name, &shape, initialization, Decay::Yes, Rows::LookedUp)
    }

    fn declared(
        &self,
        name: &str,
        shape: &[usize],
        initialization: Initialization,
        decay: Decay,
        rows: Rows,
    ) -> Result<Parameter> {
        let name = self.full_name(name);
        match &self.binder.source {
            Source::Declaring(specs, nothing) => {
                let spec = ParameterSpec {
                    name,
                    shape: shape.to_vec(),
                    initialization,
                    decay,
                    rows,
                };
                let mut specs = specs.borrow_mut();
                if !(self.shared && specs.contains(&spec)) {
                    specs.push(spec);
                }
                Ok(Parameter {
                    slot: usize::MAX,
                    value: nothing.clone(),
                })
            }
            Source::Binding(parameters) => {
                let slot = parameters.slot(&name).ok_or_else(|| {
                    Error::internal(format!("the parameter `{name}` was not declared"))
                })?;
                Ok(Parameter {
                    slot,
                    value: parameters.views[slot].clone(),
                })
            }
        }
    }

    /// What the layers' products are computed in.
    pub fn precision(&self) -> Precision {
        self.binder.precision
    }

    /// The number of one more place with dropout, counted in the order of construction.
    pub fn next_dropout(&self) -> u32 {
        let number = self.binder.n_dropouts.get();
        self.binder.n_dropouts.set(number + 1);
        number
    }

    fn full_name(&self, name: impl std::fmt::Display) -> String {
        if self.prefix.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }
}

pub(super) fn views_of(
    flat: &Tensor,
    specs: &[ParameterSpec],
    offsets: &[usize],
) -> Result<Vec<Tensor>> {
    specs
        .iter()
        .zip(offsets)
        .map(|(spec, &offset)| {
            let part = flat.narrow(0, offset, spec.n_elements())?;
            Ok(part.reshape(spec.shape.as_slice())?)
        })
        .collect()
}

/// A standard normal number within `cutoff`: the first such one of a value's own draws.
fn truncated_normal(stream: &Stream, index: u64, cutoff: f64) -> f64 {
    /// No parameter has as many values, so no two values share a draw.
    const MOST_VALUES: u64 = 1 << 27;
    let draws = (0..1 << 5).map(|attempt| stream.normal_at(index + attempt * MOST_VALUES));
    // At the usual cutoff of 2 no draw at all is within it once in 10^43 values.
    draws.into_iter().find(|x| x.abs() <= cutoff).unwrap_or(0.0)
}

/// 64 bits of the name by FNV-1a, which is the same in every build and on every machine.
fn hash_of_name(name: &str) -> [u32; 2] {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    [(hash >> 32) as u32, hash as u32]
}
