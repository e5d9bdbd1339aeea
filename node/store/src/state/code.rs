//! Analysed code, kept by hash.

use crate::{Held, memory::figure};
use alloy_primitives::B256;
use lru::LruCache;
use parking_lot::Mutex;
use revm::bytecode::Bytecode;
use std::{fmt, num::NonZeroUsize};

/// How many codes are kept: at most some 25 MB of the largest that Ethereum allows.
const CODES: NonZeroUsize = NonZeroUsize::new(512).unwrap();

/// The codes that were run last, with their jump destinations found. Code never changes under
/// its hash, so one cache serves the views of all blocks.
pub(crate) struct CodeCache(Mutex<LruCache<B256, Bytecode>>);

impl Default for CodeCache {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(CODES)))
    }
}

impl fmt::Debug for CodeCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeCache")
    }
}

impl CodeCache {
    /// What it holds. The bound is of entries.
    pub(crate) fn held(&self) -> Held {
        let codes = self.0.lock();
        Held {
            part: "codes",
            entries: Some(figure(codes.len())),
            bytes: codes.iter().map(|(_, code)| figure(code.len())).sum(),
            bound: None,
        }
    }

    /// The code with this hash, from the cache or from `read`. Two readers may both read; the
    /// lock is not held meanwhile.
    pub(crate) fn get_or<E>(
        &self,
        hash: &B256,
        read: impl FnOnce() -> Result<Bytecode, E>,
    ) -> Result<Bytecode, E> {
        if let Some(code) = self.0.lock().get(hash) {
            return Ok(code.clone());
        }
        let code = read()?;
        self.0.lock().put(*hash, code.clone());
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_once_and_errors_are_not_kept() {
        let cache = CodeCache::default();
        let hash = B256::repeat_byte(1);
        let code = Bytecode::new_raw(vec![0x5b].into());
        assert_eq!(cache.get_or(&hash, || Err("no")), Err("no"));
        assert_eq!(
            cache.get_or(&hash, || Ok::<_, &str>(code.clone())),
            Ok(code.clone())
        );
        assert_eq!(cache.get_or(&hash, || Err("read again")), Ok(code));
        for n in 0..CODES.get() {
            let other = B256::left_padding_from(&(n as u64 + 9).to_be_bytes());
            cache
                .get_or(&other, || Ok::<_, &str>(Bytecode::default()))
                .unwrap();
        }
        assert_eq!(cache.get_or(&hash, || Err("gone")), Err("gone"));
        assert_eq!(cache.held().entries, Some(figure(CODES.get())));
    }
}
