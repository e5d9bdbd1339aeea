//! Which blocks may be another's uncles (yellow paper, section 11.1).

use std::collections::HashSet;

use alloy_primitives::B256;
use pars_store::{Block, Tip};
use thiserror::Error;

use crate::{
    error::{ExecutionError, VerifyError},
    header::{HeaderError, check_header},
    spec::ChainSpec,
};

/// How many of a block's ancestors count: an uncle is a child of the second to the last of them.
const GENERATIONS: usize = 7;

/// Why a header is not an uncle of a block.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OmmerError {
    /// The block or one of its ancestors names it already.
    #[error("{hash} is an uncle already")]
    Repeated {
        /// Its hash.
        hash: B256,
    },
    /// It is one of the block's own ancestors.
    #[error("{hash} is an ancestor of the block")]
    Ancestor {
        /// Its hash.
        hash: B256,
    },
    /// Its parent is no recent ancestor of the block's parent.
    #[error("its parent {parent} is none of the six blocks before the block's parent")]
    Unrelated {
        /// Its parent's hash.
        parent: B256,
    },
    /// Its header breaks a rule.
    #[error("{0}")]
    Header(#[from] HeaderError),
}

/// Checks the uncles of a block on `tip`, but for their proof of work: each is a child of an
/// ancestor at most seven generations back, new, and follows the rules of headers.
pub(crate) fn check_ommers(spec: &ChainSpec, tip: &Tip, block: &Block) -> Result<(), VerifyError> {
    if block.ommers.is_empty() {
        return Ok(());
    }
    let mut ancestors = Vec::with_capacity(GENERATIONS);
    let mut used = HashSet::new();
    for number in (0..=tip.head().number).rev().take(GENERATIONS) {
        let Some(ancestor) = tip.block(number).map_err(ExecutionError::from)? else {
            break;
        };
        used.extend(ancestor.ommers.iter().map(|ommer| ommer.hash_slow()));
        ancestors.push((ancestor.hash, ancestor.header));
    }
    for (index, ommer) in block.ommers.iter().enumerate() {
        let refused = |reason| VerifyError::Ommer { index, reason };
        let hash = ommer.hash_slow();
        if !used.insert(hash) {
            return Err(refused(OmmerError::Repeated { hash }));
        }
        if ancestors.iter().any(|(ancestor, _)| *ancestor == hash) {
            return Err(refused(OmmerError::Ancestor { hash }));
        }
        // A child of the block's parent is its brother.
        let parent = ommer.parent_hash;
        let Some((_, header)) = ancestors.iter().skip(1).find(|(hash, _)| *hash == parent) else {
            return Err(refused(OmmerError::Unrelated { parent }));
        };
        check_header(spec, header, parent, ommer).map_err(|error| refused(error.into()))?;
    }
    Ok(())
}
