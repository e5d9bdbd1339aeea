//! Where one JSON value of a stream ends and the next begins.
//!
//! On an IPC connection requests follow one another with or without space between them, as geth takes
//! them: the end of a value is told by its brackets alone.

/// Cuts a stream of bytes into JSON objects and arrays. What is inside them is not looked at beyond
/// brackets and strings.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were looked at.
    seen: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

/// A stream that cannot be cut further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FramingError {
    /// Something other than an object or an array where a value should begin.
    NoValue,
    /// A value of more bytes than allowed.
    TooLarge,
}

impl Framer {
    /// Adds what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a value has begun and not ended.
    pub(crate) fn is_within(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next whole value of at most `most` bytes, if there is one.
    pub(crate) fn next(&mut self, most: usize) -> Result<Option<Vec<u8>>, FramingError> {
        if self.depth == 0 {
            let space = self
                .buffer
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count();
            self.buffer.drain(..space);
            match self.buffer.first() {
                None => return Ok(None),
                Some(b'{' | b'[') => {}
                Some(_) => return Err(FramingError::NoValue),
            }
        }
        for byte in self.buffer.iter().skip(self.seen) {
            self.seen += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.depth += 1,
                b'}' | b']' if !self.in_string => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        let rest = self.buffer.split_off(self.seen);
                        self.seen = 0;
                        let value = std::mem::replace(&mut self.buffer, rest);
                        return if value.len() > most {
                            Err(FramingError::TooLarge)
                        } else {
                            Ok(Some(value))
                        };
                    }
                }
                _ => {}
            }
        }
        if self.buffer.len() > most {
            return Err(FramingError::TooLarge);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(parts: &[&[u8]], most: usize) -> (Vec<String>, Option<FramingError>) {
        let mut framer = Framer::default();
        let mut values = Vec::new();
        for part in parts {
            framer.push(part);
            loop {
                match framer.next(most) {
                    Ok(Some(value)) => values.push(String::from_utf8(value).unwrap()),
                    Ok(None) => break,
                    Err(error) => return (values, Some(error)),
                }
            }
        }
        (values, None)
    }

    const STREAM: &str = "{\"a\":1}{\"b\":\"}{\"}\n\t [1,[2],{\"c\":\"\\\"]\\\\\"}]  {}";

    #[test]
    fn values_are_cut_wherever_the_reads_fall() {
        let expected = [
            "{\"a\":1}",
            "{\"b\":\"}{\"}",
            "[1,[2],{\"c\":\"\\\"]\\\\\"}]",
            "{}",
        ];
        let bytes = STREAM.as_bytes();
        assert_eq!(cut(&[bytes], 100).0, expected);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(cut(&single, 100).0, expected);
        for at in 0..bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(cut(&[left, right], 100).0, expected, "{at}");
        }
    }

    #[test]
    fn what_begins_no_value_and_what_is_too_large_ends_the_stream() {
        for start in [&b"x"[..], b"1", b"\"a\"", b"}", b"]", b"\0"] {
            assert_eq!(
                cut(&[b" \n", start], 100),
                (vec![], Some(FramingError::NoValue))
            );
        }
        assert_eq!(
            cut(&[b"{}", b"null"], 100),
            (vec!["{}".to_owned()], Some(FramingError::NoValue))
        );
        assert_eq!(cut(&[b"[1,2,3]"], 6).1, Some(FramingError::TooLarge));
        assert_eq!(cut(&[b"[1,2,3]"], 7).1, None);
        assert_eq!(
            cut(&[b"[\"", &[b'a'; 100]], 50).1,
            Some(FramingError::TooLarge)
        );
    }

    #[test]
    fn the_middle_of_a_value_is_known() {
        let mut framer = Framer::default();
        assert!(!framer.is_within());
        framer.push(b"{\"a\"");
        assert_eq!(framer.next(10), Ok(None));
        assert!(framer.is_within());
        framer.push(b":1} \n");
        assert_eq!(framer.next(10), Ok(Some(b"{\"a\":1}".to_vec())));
        assert_eq!(framer.next(10), Ok(None));
        assert!(!framer.is_within());
    }
}
