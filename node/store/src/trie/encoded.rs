//! Encodings of nodes.

use std::{fmt, ops::Deref, sync::Arc};

/// The encoding of a node: bytes of its own, or a part of those that an update made. Cheap to clone.
#[derive(Clone)]
pub struct Encoded(Bytes);

#[derive(Clone)]
enum Bytes {
    Own(Arc<[u8]>),
    Part(Arc<Vec<u8>>, u32, u32),
}

impl Encoded {
    /// The bytes of `all` from `start` to `end`; nothing where there are none.
    pub(super) fn part(all: &Arc<Vec<u8>>, (start, end): (u32, u32)) -> Self {
        Self(Bytes::Part(Arc::clone(all), start, end))
    }

    /// The same bytes, apart from any others.
    pub(super) fn apart(&self) -> Self {
        match &self.0 {
            Bytes::Own(_) => self.clone(),
            Bytes::Part(..) => Self::from(&self[..]),
        }
    }
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Own(bytes) => bytes,
            Bytes::Part(all, start, end) => {
                let bound = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
                all.get(bound(*start)..bound(*end)).unwrap_or_default()
            }
        }
    }
}

impl From<&[u8]> for Encoded {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::Own(bytes.into()))
    }
}

impl From<Vec<u8>> for Encoded {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Bytes::Own(bytes.into()))
    }
}

impl PartialEq for Encoded {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Encoded {}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encoded").field(&&self[..]).finish()
    }
}
