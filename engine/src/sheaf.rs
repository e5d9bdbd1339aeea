//! Where the answers are left of jobs that one caller handed over together.

use std::task::{Context, Poll, Waker};

use crate::slot::Terms;
use crate::sync::Mutex;

/// A place for each of some answers. The caller is woken once, when the last one is there.
pub(crate) struct Sheaf<T> {
    terms: Terms,
    /// Where the first place lies, and the distance from one to the next.
    address: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    places: Box<[Option<T>]>,
    /// Places without an answer.
    open: usize,
    waker: Option<Waker>,
}

impl<T> State<T> {
    fn put(&mut self, index: u32, answer: T) {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(place @ None) = self.places.get_mut(index) {
            *place = Some(answer);
            self.open -= 1;
        }
    }
}

impl<T> Sheaf<T> {
    pub(crate) fn new(terms: Terms, count: usize) -> Self {
        let places: Box<[Option<T>]> = (0..count).map(|_| None).collect();
        Self {
            terms,
            address: places.as_ptr().addr(),
            state: Mutex::new(State {
                places,
                open: count,
                waker: None,
            }),
        }
    }

    pub(crate) const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Tells this answer apart from any other that is waited for: the address of its place.
    pub(crate) fn id(&self, index: u32) -> usize {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.address + index * size_of::<Option<T>>()
    }

    /// Leaves answers, under one lock. Second answers are dropped.
    pub(crate) fn fill(&self, answers: impl IntoIterator<Item = (u32, T)>) {
        let waker = {
            let mut state = self.state.lock();
            for (index, answer) in answers {
                state.put(index, answer);
            }
            if state.open > 0 {
                return;
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether all answers are there.
    pub(crate) fn is_full(&self) -> bool {
        self.state.lock().open == 0
    }

    /// The places that have no answer yet.
    pub(crate) fn open(&self) -> Vec<u32> {
        let state = self.state.lock();
        if state.open == 0 {
            return Vec::new();
        }
        let places = (0..).zip(&state.places);
        places
            .filter_map(|(index, place)| place.is_none().then_some(index))
            .collect()
    }

    /// Takes the answers that are there; afterwards there are no places.
    pub(crate) fn take(&self) -> Box<[Option<T>]> {
        let mut state = self.state.lock();
        state.open = 0;
        std::mem::take(&mut state.places)
    }

    /// Ready when all answers are there; else the waker is told of it.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        // A waker dropped under the lock could come back to it.
        let _old;
        let mut state = self.state.lock();
        if state.open == 0 {
            return Poll::Ready(());
        }
        if !state
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            _old = state.waker.replace(context.waker().clone());
        }
        Poll::Pending
    }
}
