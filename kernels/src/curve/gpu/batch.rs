//! What goes up for a batch of sums.

use super::{Curve, Shape};
use crate::{curve::windows::Digits, field::Element};
use std::marker::PhantomData;

/// Bits of a digit of half a factor.
const WINDOW: u32 = 4;

/// What is known of the y of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ordinate<T> {
    /// All of it.
    Given(T),
    /// Whether it is odd, as a number below p.
    Odd(bool),
}

/// A multiple of a point of the sum's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term<T> {
    pub(crate) x: T,
    pub(crate) y: Ordinate<T>,
    /// The halves of the factor: size below 2^128 and whether it is negative.
    pub(crate) halves: [(u128, bool); 2],
}

/// Sums of one shape, one after another.
#[derive(Debug)]
pub(crate) struct Plan<C: Curve> {
    shape: Shape,
    count: usize,
    elements: Vec<u32>,
    digits: Vec<u32>,
    flags: Vec<u32>,
    fixed: Vec<u32>,
    curve: PhantomData<C>,
}

/// The words of a plan, and where its parts start.
pub(super) struct Inputs {
    pub(super) words: Vec<u32>,
    pub(super) digits: usize,
    pub(super) flags: usize,
    pub(super) fixed: usize,
}

impl<C: Curve> Plan<C> {
    /// No sum yet.
    pub(crate) fn new(shape: Shape) -> Self {
        Self {
            shape,
            count: 0,
            elements: Vec::new(),
            digits: Vec::new(),
            flags: Vec::new(),
            fixed: Vec::new(),
            curve: PhantomData,
        }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Number of sums.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds a sum: as many terms and fixed factors (limbs of numbers below 2^256) as its shape has.
    pub(crate) fn push(&mut self, terms: &[Term<Element<C::Base>>], fixed: &[[u64; 4]]) {
        debug_assert!(terms.len() == self.shape.points && fixed.len() == self.shape.fixed);
        for term in terms {
            let (y, flag) = match term.y {
                Ordinate::Given(y) => (y, 2),
                Ordinate::Odd(odd) => (Element::ZERO, u32::from(odd)),
            };
            for element in [term.x, y] {
                words(element.montgomery(), &mut self.elements);
            }
            self.flags.push(flag);
            for (magnitude, negative) in term.halves {
                let digits = Digits::new(WINDOW, magnitude, negative);
                self.digits.extend(digits.words());
            }
        }
        for factor in fixed {
            words(*factor, &mut self.fixed);
        }
        self.count += 1;
    }

    /// All words in order.
    pub(super) fn words(&self) -> Inputs {
        let digits = self.elements.len();
        let flags = digits + self.digits.len();
        let fixed = flags + self.flags.len();
        Inputs {
            words: [&self.elements[..], &self.digits, &self.flags, &self.fixed].concat(),
            digits,
            flags,
            fixed,
        }
    }
}

/// The words of a number, lowest first.
fn words(limbs: [u64; 4], to: &mut Vec<u32>) {
    for limb in limbs {
        to.extend([limb as u32, (limb >> 32) as u32]);
    }
}
