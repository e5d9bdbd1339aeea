//! Round trips and differential tests against `alloy-sol-types`.

use super::*;
use alloy_sol_types::{
    SolType, SolValue,
    private::{Bytes, FixedBytes},
    sol_data,
};
use proptest::prelude::*;

type Key = (sol_data::Uint<8>, sol_data::FixedBytes<32>);
type Three = (sol_data::Bytes, sol_data::Bytes, sol_data::Bytes);
type Arrays = (
    sol_data::Array<sol_data::Bytes>,
    sol_data::Array<sol_data::Bytes>,
);

/// Ours: `(uint8, bytes32)`.
fn key(data: &[u8]) -> Result<(u8, [u8; 32]), Malformed> {
    let arguments = Arguments::new(data, 2)?;
    Ok((arguments.uint8(0)?, *arguments.bytes32(1)?))
}

/// Ours: `(bytes, bytes, bytes)`.
fn three(data: &[u8]) -> Result<[Vec<u8>; 3], Malformed> {
    let arguments = Arguments::new(data, 3)?;
    Ok([
        arguments.bytes(0)?.to_vec(),
        arguments.bytes(1)?.to_vec(),
        arguments.bytes(2)?.to_vec(),
    ])
}

/// Ours: `(bytes[], bytes[])`.
fn arrays(data: &[u8]) -> Result<[Vec<Vec<u8>>; 2], Malformed> {
    let arguments = Arguments::new(data, 2)?;
    let owned = |array: BytesArray<'_>| -> Result<Vec<Vec<u8>>, Malformed> {
        Ok(array.elements()?.into_iter().map(<[u8]>::to_vec).collect())
    };
    Ok([
        owned(arguments.bytes_array(0)?)?,
        owned(arguments.bytes_array(1)?)?,
    ])
}

/// The peer's reading of the same bytes; its validation refuses dirty bits as solc does.
fn peer_key(data: &[u8]) -> Option<(u8, [u8; 32])> {
    Key::abi_decode_params_validate(data)
        .ok()
        .map(|(mode, seed)| (mode, seed.0))
}

fn peer_three(data: &[u8]) -> Option<[Vec<u8>; 3]> {
    Three::abi_decode_params(data)
        .ok()
        .map(|(a, b, c)| [a.to_vec(), b.to_vec(), c.to_vec()])
}

fn peer_arrays(data: &[u8]) -> Option<[Vec<Vec<u8>>; 2]> {
    let owned = |array: Vec<Bytes>| array.iter().map(|bytes| bytes.to_vec()).collect();
    Arrays::abi_decode_params(data)
        .ok()
        .map(|(a, b)| [owned(a), owned(b)])
}

/// A change to some word of an encoding: small numbers, huge numbers, sign bits, a cut.
#[derive(Clone, Debug)]
enum Mutation {
    Word(usize, u64),
    Byte(usize, u8),
    Cut(usize),
    Append(Vec<u8>),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (0usize..40, prop_oneof![0u64..600, Just(u64::MAX), Just(u64::MAX - 31), Just(1 << 63)])
            .prop_map(|(at, value)| Mutation::Word(at, value)),
        2 => (0usize..1300, any::<u8>()).prop_map(|(at, value)| Mutation::Byte(at, value)),
        1 => (0usize..1300).prop_map(Mutation::Cut),
        1 => prop::collection::vec(any::<u8>(), 0..70).prop_map(Mutation::Append),
    ]
}

fn mutate(mut data: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        match mutation {
            Mutation::Word(at, value) => {
                if let Some(slot) = data.get_mut(at * 32..at * 32 + 32) {
                    slot.copy_from_slice(&word(*value));
                }
            }
            Mutation::Byte(at, value) => {
                if let Some(slot) = data.get_mut(*at) {
                    *slot = *value;
                }
            }
            Mutation::Cut(at) => data.truncate(*at),
            Mutation::Append(more) => data.extend(more),
        }
    }
    data
}

fn chunk() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..100)
}

fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(chunk(), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn static_words(mode: u8, seed: [u8; 32], mutations in prop::collection::vec(mutation(), 0..4)) {
        let honest = Key::abi_encode_params(&(mode, FixedBytes(seed)));
        prop_assert_eq!(key(&honest), Ok((mode, seed)));
        let data = mutate(honest, &mutations);
        prop_assert_eq!(key(&data).ok(), peer_key(&data));
    }

    #[test]
    fn three_bytes(a in chunk(), b in chunk(), c in chunk(), mutations in prop::collection::vec(mutation(), 0..4)) {
        let honest = (Bytes::from(a.clone()), Bytes::from(b.clone()), Bytes::from(c.clone())).abi_encode_params();
        prop_assert_eq!(three(&honest), Ok([a, b, c]));
        let data = mutate(honest, &mutations);
        prop_assert_eq!(three(&data).ok(), peer_three(&data));
    }

    #[test]
    fn arrays_of_bytes(a in chunks(), b in chunks(), mutations in prop::collection::vec(mutation(), 0..4)) {
        let bytes = |list: &[Vec<u8>]| list.iter().cloned().map(Bytes::from).collect::<Vec<_>>();
        let honest = (bytes(&a), bytes(&b)).abi_encode_params();
        prop_assert_eq!(arrays(&honest), Ok([a, b]));
        let data = mutate(honest, &mutations);
        prop_assert_eq!(arrays(&data).ok(), peer_arrays(&data));
    }

    #[test]
    fn any_bytes(data in prop::collection::vec(prop_oneof![3 => Just(0u8), 1 => any::<u8>()], 0..400)) {
        prop_assert_eq!(key(&data).ok(), peer_key(&data));
        prop_assert_eq!(three(&data).ok(), peer_three(&data));
        prop_assert_eq!(arrays(&data).ok(), peer_arrays(&data));
    }

    #[test]
    fn results(a in chunk(), b in chunk(), flag: bool, flags in prop::collection::vec(any::<bool>(), 0..9)) {
        let pair = (Bytes::from(a.clone()), Bytes::from(b.clone())).abi_encode_params();
        prop_assert_eq!(encode(&[Value::Bytes(&a), Value::Bytes(&b)]), pair);
        prop_assert_eq!(encode(&[Value::Bool(flag)]), flag.abi_encode());
        prop_assert_eq!(encode(&[Value::Bools(&flags)]), (flags,).abi_encode_params());
        prop_assert_eq!(encode(&[Value::Bytes(&a)]), (Bytes::from(a.clone()),).abi_encode_params());
    }
}

#[test]
fn dirty_high_bits_are_refused() {
    let mut data = [0; 64];
    data[31] = 3;
    assert!(key(&data).is_ok());
    for at in 0..31 {
        let mut dirty = data;
        dirty[at] = 1;
        assert_eq!(key(&dirty), Err(Malformed), "byte {at}");
    }
}

#[test]
fn unpadded_end_trailing_bytes_gaps_and_overlaps_are_accepted() {
    // One `bytes` of 3 bytes, without the 29 bytes of padding.
    let mut data = [word(0x20), word(3)].concat();
    data.extend(*b"abc");
    let read = |data: &[u8]| {
        Arguments::new(data, 1)
            .unwrap()
            .bytes(0)
            .map(<[u8]>::to_vec)
    };
    assert_eq!(read(&data), Ok(b"abc".to_vec()));
    assert_eq!(read(&data[..data.len() - 1]), Err(Malformed));
    data.extend([0xff; 77]);
    assert_eq!(read(&data), Ok(b"abc".to_vec()));
    // A gap of one word before the tail.
    let gap = [word(0x40), word(7), word(1), word(u64::MAX)].concat();
    assert_eq!(read(&gap), Ok(vec![0]));
    // The offset points at the head itself, which then is read as a length.
    let own_head = [word(0), word(1)].concat();
    assert_eq!(read(&own_head), Ok(vec![]));
}

#[test]
fn overlapping_elements_are_borrowed() {
    // 1000 elements, all the same 4,096 bytes.
    let count = 1000usize;
    let mut data = [word(0x20), word(count as u64)].concat();
    for _ in 0..count {
        data.extend(word(count as u64 * 32));
    }
    data.extend(word(4096));
    data.extend([7; 4096]);
    let array = Arguments::new(&data, 1).unwrap().bytes_array(0).unwrap();
    assert_eq!(array.count(), count);
    let elements = array.elements().unwrap();
    let first = elements[0];
    assert_eq!(first, [7; 4096]);
    assert!(
        elements
            .iter()
            .all(|element| element.as_ptr() == first.as_ptr())
    );
}

#[test]
fn huge_numbers_do_not_wrap() {
    for huge in [
        u64::MAX,
        u64::MAX - 31,
        u64::MAX - 32,
        1 << 63,
        u64::MAX / 32 + 1,
    ] {
        for data in [
            [word(huge), word(0), word(0)].concat(),
            [word(0x20), word(huge), word(0)].concat(),
        ] {
            let arguments = Arguments::new(&data, 1).unwrap();
            assert_eq!(arguments.bytes(0), Err(Malformed), "{huge:#x}");
            assert_eq!(arguments.bytes_array(0).err(), Some(Malformed), "{huge:#x}");
        }
    }
    assert!(Arguments::new(&[0; 64], usize::MAX).is_err());
}

#[test]
fn selectors_need_four_bytes() {
    assert_eq!(split_selector(&[1, 2, 3]), None);
    assert_eq!(
        split_selector(&[1, 2, 3, 4, 5]),
        Some(([1, 2, 3, 4], &[5][..]))
    );
}
