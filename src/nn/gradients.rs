//! The gradients of all parameters.

use std::cell::RefCell;

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::nn::kernels::Kernels;
use crate::nn::parameters::views_of;
use crate::nn::{Parameter, Parameters, Precision, Rows, Start, raw};

/// The gradients of all parameters: one storage of N numbers, in the order of the names.
///
/// A gradient is not set to 0 before it is added to: the first product of a step is written over
/// what the last step left. In a table only rows that were looked up are ever other than 0.
#[derive(Debug)]
pub struct Gradients {
    flat: Tensor,
    views: Vec<Tensor>,
    contents: RefCell<Vec<Contents>>,
}

/// What lies in the place of one parameter's gradient.
#[derive(Debug, Clone)]
enum Contents {
    /// What an earlier step left; it counts as 0.
    Leftovers,
    /// The gradient.
    Gradient,
    /// The gradient, which is 0 but for these rows.
    GradientOf(LookedUp),
}

/// The rows of a table that were looked up.
#[derive(Debug, Clone)]
struct LookedUp {
    /// In the order of the first time.
    rows: Vec<u32>,
    is_listed: Vec<bool>,
}

impl Gradients {
    /// A gradient of 0 for each parameter.
    ///
    /// # Errors
    /// No memory on the device.
    pub(super) fn new(parameters: &Parameters) -> Result<Self> {
        let device = parameters.state().device();
        let flat = Tensor::zeros(parameters.n_elements(), DType::F32, device)?;
        let contents = parameters.specs().iter().map(|spec| match spec.rows {
            Rows::All => Contents::Gradient,
            Rows::LookedUp => Contents::GradientOf(LookedUp {
                rows: Vec::new(),
                is_listed: vec![false; spec.shape[0]],
            }),
        });
        Ok(Self {
            views: views_of(&flat, parameters.specs(), parameters.offsets())?,
            contents: RefCell::new(contents.collect()),
            flat,
        })
    }

    /// All N gradients.
    ///
    /// # Errors
    /// A device without kernels.
    pub fn flat(&self) -> Result<&Tensor> {
        for slot in 0..self.views.len() {
            self.settle(slot)?;
        }
        Ok(&self.flat)
    }

    /// Each parameter's gradient, in the order of the names.
    ///
    /// # Errors
    /// A device without kernels.
    pub fn values(&self) -> Result<&[Tensor]> {
        self.flat()?;
        Ok(&self.views)
    }

    /// Makes all of them 0.
    ///
    /// # Errors
    /// A device without kernels.
    pub fn clear(&self) -> Result<()> {
        for (contents, view) in self.contents.borrow_mut().iter_mut().zip(&self.views) {
            match contents {
                Contents::Leftovers => {}
                Contents::Gradient => *contents = Contents::Leftovers,
                Contents::GradientOf(looked_up) => {
                    if let Some(kernels) = Kernels::of(view) {
                        // Which rows were looked up only the device knows.
                        kernels.fill(view, 0.0)?;
                        continue;
                    }
                    let width = view.dim(1)?;
                    raw::update(view, |values| {
                        for row in looked_up.rows.drain(..) {
                            let row = row as usize;
                            values[row * width..(row + 1) * width].fill(0.0);
                            looked_up.is_listed[row] = false;
                        }
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The gradient of a parameter that is no table, to be added to.
    ///
    /// # Errors
    /// A device without kernels.
    pub fn of(&self, parameter: &Parameter) -> Result<&Tensor> {
        let slot = parameter.slot();
        self.settle(slot)?;
        match self.contents.borrow()[slot] {
            Contents::GradientOf(_) => Err(Error::internal("a table's gradient goes by rows")),
            _ => Ok(&self.views[slot]),
        }
    }

    /// Adds `a b`, (m, k) and (k, n), to the gradient (m, n) of a parameter that is no table.
    ///
    /// # Errors
    /// As [`raw::product_into`].
    pub fn add_product(
        &self,
        parameter: &Parameter,
        a: &Tensor,
        b: &Tensor,
        precision: Precision,
    ) -> Result<()> {
        let slot = parameter.slot();
        let contents = &mut self.contents.borrow_mut()[slot];
        let start = match contents {
            Contents::Leftovers => Start::Zeros,
            Contents::Gradient => Start::Destination,
            Contents::GradientOf(_) => {
                return Err(Error::internal("a table's gradient goes by rows"));
            }
        };
        *contents = Contents::Gradient;
        raw::product_into(&self.views[slot], a, b, start, precision)
    }

    /// Adds each row of `dy` (T, D) to the row of a table's gradient (V, D) that `ids` (T), each
    /// below V, names, in their order.
    ///
    /// # Errors
    /// A parameter that is no table, or a device without kernels.
    pub fn add_rows(&self, table: &Parameter, ids: &[u32], dy: &[f32]) -> Result<()> {
        let view = &self.views[table.slot()];
        let Contents::GradientOf(looked_up) = &mut self.contents.borrow_mut()[table.slot()] else {
            return Err(Error::internal("the rows of a parameter that is no table"));
        };
        let width = view.dim(1)?;
        raw::update(view, |values| {
            for (id, dy) in ids.iter().zip(dy.chunks_exact(width)) {
                let row = *id as usize;
                raw::add_to(&mut values[row * width..(row + 1) * width], dy);
                if !looked_up.is_listed[row] {
                    looked_up.is_listed[row] = true;
                    looked_up.rows.push(*id);
                }
            }
        })
    }

    /// As [`Gradients::add_rows`], with ids (T) and dy (T, D) on the device.
    ///
    /// # Errors
    /// As [`Gradients::add_rows`].
    pub(super) fn add_rows_by(
        &self,
        kernels: &Kernels,
        table: &Parameter,
        ids: &Tensor,
        dy: &Tensor,
    ) -> Result<()> {
        match self.contents.borrow()[table.slot()] {
            Contents::GradientOf(_) => {
                kernels.embedding_backward(&self.views[table.slot()], ids, dy)
            }
            _ => Err(Error::internal("the rows of a parameter that is no table")),
        }
    }

    /// Calls `see` with the rows of a table that were looked up since the last
    /// [`Gradients::clear`]; `slot` is its number in the order of the names.
    pub fn for_looked_up(&self, slot: usize, see: impl FnOnce(&[u32])) {
        if let Contents::GradientOf(looked_up) = &self.contents.borrow()[slot] {
            see(&looked_up.rows);
        }
    }

    /// Puts 0 where leftovers are.
    fn settle(&self, slot: usize) -> Result<()> {
        let contents = &mut self.contents.borrow_mut()[slot];
        if matches!(contents, Contents::Leftovers) {
            match Kernels::of(&self.views[slot]) {
                Some(kernels) => kernels.fill(&self.views[slot], 0.0)?,
                None => raw::update(&self.views[slot], |values| values.fill(0.0))?,
            }
            *contents = Contents::Gradient;
        }
        Ok(())
    }
}
