//! The engine's end of what a ticket waits for.

use std::sync::Arc;
use std::time::Instant;

use crate::error::EngineError;
use crate::gate::{Load, Share};
use crate::options::Priority;
use crate::sheaf::Sheaf;
use crate::slot::{Slot, Terms};
use crate::ticket::{Answer, claim_id};

/// Where a claim's answer goes.
enum End<T> {
    One(Arc<Slot<Answer<T>>>),
    /// One of those handed over together.
    Of(Arc<Sheaf<Answer<T>>>, u32),
}

/// One ticket's end of a job. Dropped without an answer, it reports the shutdown.
pub(crate) struct Claim<T> {
    /// `None` once it is answered.
    end: Option<End<T>>,
    /// What it takes of the bounds.
    share: Share,
}

impl<T> Claim<T> {
    pub(crate) const fn one(slot: Arc<Slot<Answer<T>>>, share: Share) -> Self {
        Self {
            end: Some(End::One(slot)),
            share,
        }
    }

    pub(crate) const fn of(sheaf: Arc<Sheaf<Answer<T>>>, index: u32, share: Share) -> Self {
        Self {
            end: Some(End::Of(sheaf, index)),
            share,
        }
    }

    fn terms(&self) -> Option<&Terms> {
        match self.end.as_ref()? {
            End::One(slot) => Some(slot.terms()),
            End::Of(sheaf, _) => Some(sheaf.terms()),
        }
    }

    pub(crate) fn id(&self) -> usize {
        match &self.end {
            Some(End::One(slot)) => claim_id(slot),
            Some(End::Of(sheaf, index)) => sheaf.id(*index),
            None => 0,
        }
    }

    pub(crate) fn accepted(&self) -> Instant {
        self.terms().map_or_else(Instant::now, Terms::accepted)
    }

    pub(crate) fn priority(&self) -> Priority {
        self.terms().map_or(Priority::Pool, Terms::priority)
    }

    /// What it takes of the bounds, and on whose account.
    pub(crate) fn load(&self) -> Load {
        let caller = self.terms().and_then(Terms::caller);
        self.share.load(self.priority(), caller)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.terms().and_then(Terms::deadline)
    }

    /// Takes nothing of the bounds in bytes and in work any more; what it did take.
    pub(crate) const fn give_up(&mut self) -> Share {
        std::mem::replace(&mut self.share, Share::NOTHING)
    }

    /// Takes the share of the bounds of another claim, which is going. It has none of its own.
    pub(crate) const fn take_over(&mut self, other: &mut Self) {
        self.share = other.give_up();
    }

    /// Leaves the answer for the ticket, which may be gone; then nobody wants it.
    pub(crate) fn answer(mut self, answer: Answer<T>) {
        self.leave(answer);
    }

    fn leave(&mut self, answer: Answer<T>) {
        match self.end.take() {
            Some(End::One(slot)) => slot.fill(answer),
            Some(End::Of(sheaf, index)) => sheaf.fill([(index, answer)]),
            None => {}
        }
    }

    /// Leaves answers of claims. Those that follow each other and were handed over together cost one lock.
    pub(crate) fn answer_all(claims: impl Iterator<Item = (Self, Answer<T>)>) {
        let mut claims = claims.peekable();
        while let Some((mut claim, answer)) = claims.next() {
            match claim.end.take() {
                Some(End::One(slot)) => slot.fill(answer),
                Some(End::Of(sheaf, index)) => {
                    let alike = std::iter::from_fn(|| {
                        let (mut claim, answer) =
                            claims.next_if(|(claim, _)| claim.is_of(&sheaf))?;
                        match claim.end.take() {
                            Some(End::Of(_, index)) => Some((index, answer)),
                            _ => None,
                        }
                    });
                    sheaf.fill(std::iter::once((index, answer)).chain(alike));
                }
                None => {}
            }
        }
    }

    fn is_of(&self, sheaf: &Arc<Sheaf<Answer<T>>>) -> bool {
        matches!(&self.end, Some(End::Of(own, _)) if Arc::ptr_eq(own, sheaf))
    }
}

impl<T> Drop for Claim<T> {
    fn drop(&mut self) {
        if self.end.is_some() {
            self.leave(Err(Box::new(EngineError::ShuttingDown)));
        }
    }
}

/// The claims of identical jobs. Rare, so that there is a pointer in each job for them and no more.
pub(crate) struct More<T>(
    #[allow(clippy::box_collection, reason = "a third of a vector's bytes")]
    Option<Box<Vec<Claim<T>>>>,
);

impl<T> Default for More<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> More<T> {
    pub(crate) fn as_slice(&self) -> &[Claim<T>] {
        self.0.as_ref().map_or(&[], |claims| claims.as_slice())
    }

    pub(crate) fn extend(&mut self, claims: Vec<Claim<T>>) {
        if !claims.is_empty() {
            self.0.get_or_insert_default().extend(claims);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Claim<T>> {
        self.0.as_mut()?.pop()
    }

    pub(crate) fn remove(&mut self, id: usize) -> Option<Claim<T>> {
        let claims = self.0.as_mut()?;
        let index = claims.iter().position(|claim| claim.id() == id)?;
        Some(claims.swap_remove(index))
    }

    pub(crate) fn into_vec(self) -> Vec<Claim<T>> {
        self.0.map_or_else(Vec::new, |claims| *claims)
    }
}
