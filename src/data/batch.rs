//! Packed batches: the tokens of several examples laid end to end, without padding.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};

use crate::data::ExampleIndex;
use crate::error::Result;

/// Where each of B sequences begins and ends among T tokens.
#[derive(Debug, Clone)]
pub struct Sequences {
    cu_seqlens: Vec<u32>,
    remembered: Arc<Mutex<Vec<Remembered>>>,
}

/// What was made of some sequences for a device.
#[derive(Debug)]
struct Remembered {
    /// The maker's.
    key: [usize; 3],
    tensor: Tensor,
}

impl PartialEq for Sequences {
    fn eq(&self, other: &Self) -> bool {
        self.cu_seqlens == other.cu_seqlens
    }
}

impl Eq for Sequences {}

impl Sequences {
    /// Sequences of these lengths, one after the other.
    pub fn of_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut cu_seqlens = vec![0];
        let mut end = 0;
        for length in lengths {
            end += length as u32;
            cu_seqlens.push(end);
        }
        Self {
            cu_seqlens,
            remembered: Arc::default(),
        }
    }

    /// B, the number of sequences.
    pub fn len(&self) -> usize {
        self.cu_seqlens.len() - 1
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// T, the number of tokens.
    pub fn n_tokens(&self) -> usize {
        self.cu_seqlens.last().copied().unwrap_or(0) as usize
    }

    /// The (B + 1) cumulated lengths, from 0 to T.
    pub fn cu_seqlens(&self) -> &[u32] {
        &self.cu_seqlens
    }

    /// What `make` makes of the sequences: layer after layer asks for the same, and it is copied
    /// to the device once. The key says what it is and all that it depends on beside the sequences.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn remembered(
        &self,
        key: [usize; 3],
        make: impl FnOnce() -> Result<Tensor>,
    ) -> Result<Tensor> {
        // What is in the list is whole, so a list that a panic left behind is sound.
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = remembered.iter().find(|entry| entry.key == key) {
            return Ok(found.tensor.clone());
        }
        let tensor = make()?;
        remembered.push(Remembered {
            key,
            tensor: tensor.clone(),
        });
        Ok(tensor)
    }

    /// Each sequence's tokens.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = Range<usize>> + '_ {
        self.cu_seqlens
            .windows(2)
            .map(|pair| pair[0] as usize..pair[1] as usize)
    }
}

/// B examples with T tokens, on the device: a sequence for each, or for each of its options.
#[derive(Debug, Clone)]
pub struct PackedBatch {
    /// Which examples of the data set these are (B).
    pub example_indices: Vec<ExampleIndex>,
    /// Token ids (T), u32.
    pub input_ids: Tensor,
    /// Which text of a pair a token belongs to (T), u32.
    pub token_type_ids: Tensor,
    /// A token's place in its sequence, from 0 (T), u32.
    pub positions: Tensor,
    /// The sequences' limits.
    pub sequences: Sequences,
    /// Class indices (B), u32.
    pub labels: Tensor,
}

/// One sequence of an example, as a batch takes it in.
#[derive(Debug, Clone, Copy)]
pub struct TokenizedExample<'a> {
    /// Which example of the data set it is.
    pub index: ExampleIndex,
    /// Token ids, special tokens included.
    pub input_ids: &'a [u32],
    /// 0 for the first text's tokens, 1 for the second's.
    pub token_type_ids: &'a [u32],
    /// The class index.
    pub label: u32,
}

impl PackedBatch {
    /// Lays examples of one sequence each end to end and copies them to `device`.
    ///
    /// # Errors
    /// No memory on the device.
    pub fn new(examples: &[TokenizedExample<'_>], device: &Device) -> Result<Self> {
        Self::of_options(examples, 1, device)
    }

    /// As [`PackedBatch::new`], with `n_options` sequences for each example, one after the other.
    ///
    /// # Errors
    /// As [`PackedBatch::new`].
    pub fn of_options(
        options: &[TokenizedExample<'_>],
        n_options: usize,
        device: &Device,
    ) -> Result<Self> {
        let sequences = Sequences::of_lengths(options.iter().map(|e| e.input_ids.len()));
        let n_tokens = sequences.n_tokens();
        let mut input_ids = Vec::with_capacity(n_tokens);
        let mut token_type_ids = Vec::with_capacity(n_tokens);
        let mut positions = Vec::with_capacity(n_tokens);
        for option in options {
            input_ids.extend_from_slice(option.input_ids);
            token_type_ids.extend_from_slice(option.token_type_ids);
            positions.extend(0..option.input_ids.len() as u32);
        }
        let examples = || options.iter().step_by(n_options);
        let labels: Vec<u32> = examples().map(|e| e.label).collect();
        let n_examples = labels.len();
        Ok(Self {
            example_indices: examples().map(|e| e.index).collect(),
            input_ids: Tensor::from_vec(input_ids, n_tokens, device)?,
            token_type_ids: Tensor::from_vec(token_type_ids, n_tokens, device)?,
            positions: Tensor::from_vec(positions, n_tokens, device)?,
            labels: Tensor::from_vec(labels, n_examples, device)?,
            sequences,
        })
    }

    /// B, the number of examples.
    pub fn len(&self) -> usize {
        self.example_indices.len()
    }

    /// Whether it holds no example.
    pub fn is_empty(&self) -> bool {
        self.example_indices.is_empty()
    }
}
