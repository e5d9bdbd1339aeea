//! The Solidity ABI, read by borrowing and never by copying.
//!
//! The decoder accepts exactly what code compiled by solc 0.8 accepts for the same types (ABI coder v2): offsets and
//! lengths lie inside the input, unused high bits of small types are zero; bytes after or between the values are
//! ignored and values may overlap. The rule is part of consensus. Because overlapping elements are borrowed, a call
//! cannot make the decoder hold more than its calldata; what the elements add up to is the caller's to pay for.

/// Bytes of one ABI word.
const WORD: usize = 32;

/// The input is not an encoding of the expected types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the arguments are not the ABI encoding of this function's types")]
pub struct Malformed;

/// Splits calldata into the function's selector and the encoding of its arguments.
pub fn split_selector(input: &[u8]) -> Option<([u8; 4], &[u8])> {
    input
        .split_first_chunk::<4>()
        .map(|(selector, rest)| (*selector, rest))
}

/// The encoded arguments of a function.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    data: &'a [u8],
}

impl<'a> Arguments<'a> {
    /// Arguments whose head, one word per parameter, has `count` words.
    ///
    /// # Errors
    /// [`Malformed`] if `data` is shorter than that.
    pub fn new(data: &'a [u8], count: usize) -> Result<Self, Malformed> {
        match count.checked_mul(WORD) {
            Some(head) if head <= data.len() => Ok(Self { data }),
            _ => Err(Malformed),
        }
    }

    /// Parameter `index` as `uint8`.
    ///
    /// # Errors
    /// [`Malformed`] if the word is missing or has bits above the lowest eight.
    pub fn uint8(&self, index: usize) -> Result<u8, Malformed> {
        match self.bytes32(index)? {
            [high @ .., low] if high.iter().all(|&byte| byte == 0) => Ok(*low),
            _ => Err(Malformed),
        }
    }

    /// Parameter `index` as `bytes32`.
    ///
    /// # Errors
    /// [`Malformed`] if the word is missing.
    pub fn bytes32(&self, index: usize) -> Result<&'a [u8; WORD], Malformed> {
        word_at(self.data, index.checked_mul(WORD).ok_or(Malformed)?)
    }

    /// Parameter `index` as `bytes`.
    ///
    /// # Errors
    /// [`Malformed`] if its offset or length points outside the input.
    pub fn bytes(&self, index: usize) -> Result<&'a [u8], Malformed> {
        tail_bytes(self.data, index)
    }

    /// Parameter `index` as `bytes[]`.
    ///
    /// # Errors
    /// [`Malformed`] if its offset or length points outside the input. The elements are looked at by
    /// [`BytesArray::elements`].
    pub fn bytes_array(&self, index: usize) -> Result<BytesArray<'a>, Malformed> {
        let (len, data) = length_prefixed(self.data, offset_at(self.data, index)?)?;
        match len.checked_mul(WORD) {
            Some(head) if head <= data.len() => Ok(BytesArray { len, data }),
            _ => Err(Malformed),
        }
    }
}

/// A `bytes[]` whose head is known to be there.
#[derive(Clone, Copy, Debug)]
pub struct BytesArray<'a> {
    len: usize,
    /// From the first offset word to the end of the input; element offsets count from here.
    data: &'a [u8],
}

impl<'a> BytesArray<'a> {
    /// Number of elements, at most a 32nd of the input's length.
    pub const fn count(&self) -> usize {
        self.len
    }

    /// All elements, borrowed. They may overlap.
    ///
    /// # Errors
    /// [`Malformed`] if an offset or a length points outside the input.
    pub fn elements(&self) -> Result<Vec<&'a [u8]>, Malformed> {
        (0..self.len)
            .map(|index| tail_bytes(self.data, index))
            .collect()
    }
}

/// The word that begins at byte `at`.
fn word_at(data: &[u8], at: usize) -> Result<&[u8; WORD], Malformed> {
    data.get(at..)
        .and_then(|rest| rest.first_chunk::<WORD>())
        .ok_or(Malformed)
}

/// The word that begins at byte `at`, as a number. solc refuses offsets and lengths of 2^64 and more; a number too
/// large for `usize` lies outside any input as well.
fn usize_at(data: &[u8], at: usize) -> Result<usize, Malformed> {
    let (high, low) = word_at(data, at)?
        .split_last_chunk::<8>()
        .ok_or(Malformed)?;
    if high.iter().any(|&byte| byte != 0) {
        return Err(Malformed);
    }
    usize::try_from(u64::from_be_bytes(*low)).map_err(|_| Malformed)
}

/// The offset in head word `index`.
fn offset_at(data: &[u8], index: usize) -> Result<usize, Malformed> {
    usize_at(data, index.checked_mul(WORD).ok_or(Malformed)?)
}

/// The length at `offset` and everything after it.
fn length_prefixed(data: &[u8], offset: usize) -> Result<(usize, &[u8]), Malformed> {
    let len = usize_at(data, offset)?;
    let start = offset.checked_add(WORD).ok_or(Malformed)?;
    Ok((len, data.get(start..).ok_or(Malformed)?))
}

/// The `bytes` whose offset stands in head word `index`. The padding to a whole word need not be there.
fn tail_bytes(data: &[u8], index: usize) -> Result<&[u8], Malformed> {
    let (len, rest) = length_prefixed(data, offset_at(data, index)?)?;
    rest.get(..len).ok_or(Malformed)
}

/// A number as an ABI word.
pub fn word(value: u64) -> [u8; WORD] {
    let mut out = [0; WORD];
    if let Some(low) = out.last_chunk_mut::<8>() {
        *low = value.to_be_bytes();
    }
    out
}

/// A result value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `bool`
    Bool(bool),
    /// `bytes`
    Bytes(&'a [u8]),
    /// `bool[]`
    Bools(&'a [bool]),
}

impl Value<'_> {
    /// Bytes of the part after the head.
    fn tail_len(&self) -> usize {
        match self {
            Self::Bool(_) => 0,
            Self::Bytes(bytes) => WORD + bytes.len().div_ceil(WORD) * WORD,
            Self::Bools(bools) => WORD + bools.len() * WORD,
        }
    }
}

/// The standard encoding of `values` as a function's results.
pub fn encode(values: &[Value<'_>]) -> Vec<u8> {
    let head = values.len() * WORD;
    let mut out = Vec::with_capacity(head + values.iter().map(Value::tail_len).sum::<usize>());
    let mut offset = head;
    for value in values {
        match value {
            Value::Bool(bool) => out.extend(word(u64::from(*bool))),
            Value::Bytes(_) | Value::Bools(_) => out.extend(count(offset)),
        }
        offset += value.tail_len();
    }
    for value in values {
        match value {
            Value::Bool(_) => {}
            Value::Bytes(bytes) => {
                out.extend(count(bytes.len()));
                out.extend_from_slice(bytes);
                out.resize(out.len().next_multiple_of(WORD), 0);
            }
            Value::Bools(bools) => {
                out.extend(count(bools.len()));
                for &bool in *bools {
                    out.extend(word(u64::from(bool)));
                }
            }
        }
    }
    out
}

/// A length or offset of something in memory as a word.
fn count(value: usize) -> [u8; WORD] {
    word(u64::try_from(value).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
