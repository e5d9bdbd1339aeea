//! What one submission computes: words that go up, memory on the device, and stages of tasks one after another.

use std::ops::Range;

use super::program::Program;
use super::shaders::{Kernel, OPERANDS, point_words};
use crate::field::wgsl::Form;

/// A program among the constants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    /// Its first word.
    pub(crate) at: u32,
    /// Its steps.
    pub(crate) steps: u32,
}

impl Stored {
    /// A program that is put at a word.
    pub(super) fn new(at: u32, program: &Program) -> Self {
        Self {
            at,
            steps: program.len(),
        }
    }
}

/// Tasks of one kernel, side by side.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) kernel: Kernel,
    /// All words of all tasks.
    pub(super) tasks: Vec<u32>,
    pub(super) count: u32,
}

/// A submission in the making.
#[derive(Debug)]
pub(crate) struct Launch {
    form: Form,
    pub(super) input: Vec<u32>,
    pub(super) arena: u32,
    pub(super) results: u32,
    pub(super) stages: Vec<Stage>,
}

/// A stage of a [`Launch`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct StageId(usize);

impl Launch {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            input: Vec::new(),
            arena: 0,
            results: 0,
            stages: Vec::new(),
        }
    }

    /// Words go up; gives their address. A submission has less than 2^31 words, by the bounds of its cutting.
    pub(crate) fn input(&mut self, words: &[u32]) -> u32 {
        let at = self.input.len() as u32;
        self.input.extend(words);
        at
    }

    /// Memory for so many points.
    pub(crate) fn points(&mut self, count: u32) -> u32 {
        self.words(count * point_words(self.form))
    }

    /// Memory for so many words, at a multiple of eight.
    pub(crate) fn words(&mut self, count: u32) -> u32 {
        let at = self.arena;
        self.arena += count.next_multiple_of(8);
        at
    }

    /// Words of a prepared point.
    pub(crate) fn point_words(&self) -> u32 {
        point_words(self.form)
    }

    /// Places for so many results.
    pub(crate) fn results(&mut self, count: u32) -> Range<u32> {
        let at = self.results;
        self.results += count;
        at..self.results
    }

    /// A stage after those that are there.
    pub(crate) fn stage(&mut self, kernel: Kernel) -> StageId {
        self.stages.push(Stage {
            kernel,
            tasks: Vec::new(),
            count: 0,
        });
        StageId(self.stages.len() - 1)
    }

    /// A task of a stage, in the words of the stage's kernel.
    pub(crate) fn task(&mut self, stage: StageId, words: &[u32]) {
        if let Some(stage) = self.stages.get_mut(stage.0) {
            debug_assert_eq!(words.len(), stage.kernel.task_words());
            stage.tasks.extend(words);
            stage.count += 1;
        }
    }

    /// A task of a stage of [`Kernel::Sum`].
    pub(crate) fn sum(&mut self, stage: StageId, program: Stored, result: u32, operands: &[u32]) {
        let mut words = [0; OPERANDS + 3];
        words[..3].copy_from_slice(&[program.at, program.steps, result]);
        for (word, operand) in words[3..].iter_mut().zip(operands) {
            *word = *operand;
        }
        self.task(stage, &words);
    }
}
