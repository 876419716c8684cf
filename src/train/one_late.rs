//! What a device is asked for, and told of when the next thing has been asked for as well: the host
//! then waits for the first while the device is at the second.

use crate::model::Classifier;

/// Hands things on one late where the model is on a device of its own, else at once.
pub struct OneLate<T> {
    is_late: bool,
    waiting: Option<T>,
}

impl<T> OneLate<T> {
    /// For what `model` computes.
    pub fn of(model: &Classifier) -> Self {
        Self {
            is_late: model.is_on_device(),
            waiting: None,
        }
    }

    /// What is due now that `begun` was asked for.
    pub fn next(&mut self, begun: T) -> Option<T> {
        if self.is_late {
            self.waiting.replace(begun)
        } else {
            Some(begun)
        }
    }

    /// What was not handed on yet.
    pub fn rest(&mut self) -> Option<T> {
        self.waiting.take()
    }
}
