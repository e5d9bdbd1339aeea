//! Poseidon's partial rounds as a recurrence in one variable.
//!
//! In a partial round only the first word s meets the S-box; the other n = t - 1 words x pass a fixed linear map. With z = u^5 for
//! the S-box input u, and the matrix cut into `[m v; w A]`:
//!
//! ```text
//! s' = m z + v·x        x' = w z + A x
//! ```
//!
//! This is a linear system with input z and output s that does not change over time, so its output obeys a recurrence whose
//! coefficients are those of the characteristic polynomial q of A (Cayley-Hamilton):
//!
//! ```text
//! U_{r+1} = m z_r + Σ_{i=1..n} β_i z_{r-i} - Σ_{j=1..n} q_j U_{r+1-j}
//! β_i = h_i + Σ_{j=1..i} q_j h_{i-j},   h_0 = m,  h_i = v·A^{i-1} w
//! ```
//!
//! where u_r = U_r + d_r carries the round constants. The x of the partial rounds is never computed: a round costs 2 n products and
//! **one** reduction, where the sparse-matrix form costs 2 n + 1 products and n + 1 reductions. The first n rounds read the starting
//! x instead of values before the first; at the end x is recovered from the last n values of u and of z.
//!
//! Scaling by u_r = k_r û_r with k_{r+1} = m k_r^5 makes the coefficient of the newest z one, which saves a product and takes
//! everything but the S-box off the chain from one round to the next.

use super::parameters::{Dense, FULL_ROUNDS};
use crate::field::{Fr, batch_inverse};

/// Full rounds on each side.
pub(super) const HALF: usize = FULL_ROUNDS / 2;

/// What a permutation reads, in the constants `C` of a representation. n is the width less one.
pub(super) struct Schedule<C> {
    pub(super) width: usize,
    /// Added to the state at the start.
    pub(super) first: Vec<C>,
    /// The dense matrix, row by row.
    pub(super) matrix: Vec<C>,
    /// Added after each of the first full rounds; the last row adds to the first word only.
    pub(super) before: Vec<C>,
    /// A row of 2 n factors and an addend for each partial round. Round r < n reads x (n) and the r last z, newest first; the others
    /// read the n last u and the n last z.
    pub(super) partial: Vec<C>,
    /// k at the end.
    pub(super) scale: C,
    /// A row of 2 n factors and an addend for each of the n words of x at the end, read from the n last u and the n last z.
    pub(super) close: Vec<C>,
    /// Added after each of the last full rounds; the last row is zero.
    pub(super) after: Vec<C>,
}

/// A square matrix, row by row.
#[derive(Clone)]
struct Square {
    size: usize,
    cells: Vec<Fr>,
}

impl Square {
    fn identity(size: usize) -> Self {
        let mut cells = vec![Fr::ZERO; size * size];
        cells
            .iter_mut()
            .step_by(size + 1)
            .for_each(|cell| *cell = Fr::ONE);
        Self { size, cells }
    }

    fn row(&self, i: usize) -> &[Fr] {
        &self.cells[i * self.size..(i + 1) * self.size]
    }

    /// The matrix times a column.
    fn apply(&self, column: &[Fr]) -> Vec<Fr> {
        (0..self.size)
            .map(|i| Fr::dot(self.row(i), column))
            .collect()
    }

    /// A row times the matrix.
    fn apply_left(&self, row: &[Fr]) -> Vec<Fr> {
        let mut out = vec![Fr::ZERO; self.size];
        for (i, factor) in row.iter().enumerate() {
            for (sum, cell) in out.iter_mut().zip(self.row(i)) {
                *sum += *factor * *cell;
            }
        }
        out
    }

    fn times(&self, b: &Self) -> Self {
        let cells = (0..self.size)
            .flat_map(|i| b.apply_left(self.row(i)))
            .collect();
        Self {
            size: self.size,
            cells,
        }
    }

    /// q_0 = 1, q_1, ... q_n: the characteristic polynomial from its highest power down (Faddeev and LeVerrier).
    fn characteristic(&self) -> Vec<Fr> {
        let mut q = vec![Fr::ONE];
        let mut m = Self::identity(self.size);
        for k in 1..=self.size as u64 {
            let product = self.times(&m);
            let trace = product
                .cells
                .iter()
                .step_by(self.size + 1)
                .fold(Fr::ZERO, |sum, cell| sum + *cell);
            // k is small and not zero in the field.
            let coefficient = -(trace * Fr::from_u64(k).inverse().unwrap_or_default());
            q.push(coefficient);
            m = product;
            m.cells
                .iter_mut()
                .step_by(self.size + 1)
                .for_each(|cell| *cell += coefficient);
        }
        q
    }

    /// The inverse (Gauss and Jordan); nothing if there is none.
    fn inverse(&self) -> Option<Self> {
        let n = self.size;
        let (mut a, mut b) = (self.clone(), Self::identity(n));
        for column in 0..n {
            let pivot = (column..n).find(|row| !a.cells[row * n + column].is_zero())?;
            for j in 0..n {
                a.cells.swap(pivot * n + j, column * n + j);
                b.cells.swap(pivot * n + j, column * n + j);
            }
            let factor = a.cells[column * n + column].inverse()?;
            for j in 0..n {
                a.cells[column * n + j] *= factor;
                b.cells[column * n + j] *= factor;
            }
            for row in (0..n).filter(|row| *row != column) {
                let factor = a.cells[row * n + column];
                for j in 0..n {
                    let (from_a, from_b) = (a.cells[column * n + j], b.cells[column * n + j]);
                    a.cells[row * n + j] -= factor * from_a;
                    b.cells[row * n + j] -= factor * from_b;
                }
            }
        }
        Some(b)
    }
}

impl Schedule<Fr> {
    /// The schedule of a dense Poseidon; nothing if its matrix has an invariant subspace that hides part of x from s, which secure
    /// matrices have not.
    pub(super) fn derive(dense: &Dense) -> Option<Self> {
        let t = dense.width;
        let n = t - 1;
        let rounds = dense.partial_rounds;
        let constant = |round: usize, word: usize| dense.constants[round * t + word];

        let m = dense.matrix[0];
        let v = dense.matrix[1..t].to_vec();
        let w: Vec<Fr> = (1..t).map(|i| dense.matrix[i * t]).collect();
        let a = Square {
            size: n,
            cells: (1..t)
                .flat_map(|i| dense.matrix[i * t + 1..(i + 1) * t].to_vec())
                .collect(),
        };

        // v A^j and the answers h_j to a single z.
        let mut observed = vec![v.clone()];
        for _ in 1..n {
            let next = observed.last().map(|row| a.apply_left(row))?;
            observed.push(next);
        }
        let mut h = vec![m];
        h.extend(observed.iter().map(|row| Fr::dot(row, &w)));
        let q = a.characteristic();
        let beta: Vec<Fr> = (0..=n)
            .map(|i| (0..=i).fold(Fr::ZERO, |sum, j| sum + q[j] * h[i - j]))
            .collect();

        // The constants' own path through x, and what they add to u.
        let mut drift = vec![Fr::ZERO; n];
        let mut d = vec![constant(HALF, 0)];
        for r in 0..rounds {
            for (i, word) in drift.iter_mut().enumerate() {
                *word += constant(HALF + r, i + 1);
            }
            d.push(Fr::dot(&v, &drift) + constant(HALF + r + 1, 0));
            drift = a.apply(&drift);
        }

        // Scales, their fifth powers and inverses.
        let mut k = vec![Fr::ONE];
        let mut fifth = Vec::new();
        for r in 0..rounds {
            let square = k[r].square();
            fifth.push(square.square() * k[r]);
            k.push(m * fifth[r]);
        }
        let mut inverse = k.clone();
        batch_inverse(&mut inverse);

        let mut partial = Vec::with_capacity(rounds * (2 * n + 1));
        for r in 0..rounds {
            let scale = inverse[r + 1];
            let mut row = vec![Fr::ZERO; 2 * n + 1];
            if r < n {
                for i in 0..n {
                    row[i] = observed[r][i] * scale;
                }
                for back in 1..=r {
                    row[n + back - 1] = h[back] * fifth[r - back] * scale;
                }
                row[2 * n] = d[r + 1] * scale;
            } else {
                let mut addend = d[r + 1];
                for j in 1..=n {
                    row[j - 1] = -(q[j] * k[r + 1 - j] * scale);
                    row[n + j - 1] = beta[j] * fifth[r - j] * scale;
                    addend += q[j] * d[r + 1 - j];
                }
                row[2 * n] = addend * scale;
            }
            partial.extend(row);
        }

        // X at round `rounds - n` from the outputs after it, then on by n rounds.
        let solve = Square {
            size: n,
            cells: observed.concat(),
        }
        .inverse()?;
        let mut power = Square::identity(n);
        let mut shots = vec![w];
        for _ in 1..n {
            power = a.times(&power);
            let next = shots.last().map(|column| a.apply(column))?;
            shots.push(next);
        }
        let from_u = a.times(&power).times(&solve);
        let mut close = Vec::with_capacity(n * (2 * n + 1));
        for i in 0..n {
            let mut row = vec![Fr::ZERO; 2 * n + 1];
            let mut addend = drift[i] + constant(HALF + rounds, i + 1);
            // Value j of n, oldest first; newest first in the row.
            for j in 0..n {
                let at = rounds - n + 1 + j;
                let factor = from_u.row(i)[j];
                row[n - 1 - j] = factor * k[at];
                addend -= factor * d[at];
                let mut shot = shots[n - 1 - j][i];
                for later in j..n {
                    shot -= from_u.row(i)[later] * h[later - j];
                }
                row[2 * n - 1 - j] = shot * fifth[at - 1];
            }
            row[2 * n] = addend;
            close.extend(row);
        }

        let full = |round: usize| (0..t).map(move |word| constant(round, word));
        let mut before: Vec<Fr> = (1..HALF).flat_map(full).collect();
        before.push(constant(HALF, 0));
        before.extend(std::iter::repeat_n(Fr::ZERO, n));
        let mut after: Vec<Fr> = (1..HALF).flat_map(|i| full(HALF + rounds + i)).collect();
        after.extend(std::iter::repeat_n(Fr::ZERO, t));
        Some(Self {
            width: t,
            first: full(0).collect(),
            matrix: dense.matrix.clone(),
            before,
            partial,
            scale: k[rounds],
            close,
            after,
        })
    }

    /// The same in the constants of another representation.
    pub(super) fn map<C>(&self, to: impl Fn(Fr) -> C) -> Schedule<C> {
        let each = |list: &[Fr]| list.iter().map(|element| to(*element)).collect();
        Schedule {
            width: self.width,
            first: each(&self.first),
            matrix: each(&self.matrix),
            before: each(&self.before),
            partial: each(&self.partial),
            scale: to(self.scale),
            close: each(&self.close),
            after: each(&self.after),
        }
    }
}
