//! Randomness on a machine whose every node must draw the same.
//!
//! The entropy of a call is public: whoever sees the block can compute it. A key made in a transaction is not secret.

use crate::{
    call::{Address, Call},
    host::{EntropyInputs, EntropyUnavailable, Host},
};
use pars_kernels::keccak::{self, Shake256};

/// Separates this derivation from every other use of SHAKE256.
const DOMAIN: &[u8] = b"PARS/PRECOMPILE-RNG/v1";
/// Rate of Keccak-256 in bytes.
const KECCAK256_RATE: usize = 136;

/// `N` bytes for a function that takes no seed: from the operating system in a direct off-chain call, else derived
/// from the block, the transaction and the call. Raises the host's counter unless the frame is static.
///
/// # Errors
/// [`EntropyUnavailable`] if the operating system should have given the bytes and did not.
pub fn draw<const N: usize>(
    call: &Call<'_>,
    contract: &Address,
    selector: [u8; 4],
    host: &mut dyn Host,
) -> Result<[u8; N], EntropyUnavailable> {
    if host.os_rng() {
        let mut out = [0; N];
        host.os_entropy(&mut out)?;
        return Ok(out);
    }
    let counter = host.counter(contract);
    if !call.is_static {
        host.set_counter(contract, counter.wrapping_add(1));
    }
    Ok(derive(
        &host.entropy_inputs(),
        call,
        contract,
        selector,
        counter,
    ))
}

/// SHAKE256 of everything that distinguishes one draw from another; integers big endian.
fn derive<const N: usize>(
    inputs: &EntropyInputs,
    call: &Call<'_>,
    contract: &Address,
    selector: [u8; 4],
    counter: u64,
) -> [u8; N] {
    Shake256::digest(&[
        DOMAIN,
        &inputs.chain_id.to_be_bytes(),
        contract,
        &selector,
        &inputs.parent_hash,
        &inputs.number.to_be_bytes(),
        &inputs.prevrandao,
        &inputs.origin,
        &inputs.origin_nonce.to_be_bytes(),
        &call.caller,
        &counter.to_be_bytes(),
        &keccak256(call.input),
    ])
}

/// Keccak-256 as Ethereum uses it: the sponge of SHA3-256 with the padding of the original submission.
pub fn keccak256(data: &[u8]) -> [u8; 32] {
    let mut state = [0u64; keccak::LANES];
    let mut absorb = |block: &[u8; KECCAK256_RATE]| {
        let (lanes, _) = block.as_chunks::<8>();
        for (lane, bytes) in state.iter_mut().zip(lanes) {
            *lane ^= u64::from_le_bytes(*bytes);
        }
        keccak::permute(&mut state);
    };
    let (blocks, rest) = data.as_chunks::<KECCAK256_RATE>();
    for block in blocks {
        absorb(block);
    }
    let mut last = [0; KECCAK256_RATE];
    for (to, from) in last.iter_mut().zip(rest.iter().chain(&[0x01])) {
        *to = *from;
    }
    last[KECCAK256_RATE - 1] |= 0x80;
    absorb(&last);
    let mut out = [0; 32];
    let (words, _) = out.as_chunks_mut::<8>();
    for (bytes, lane) in words.iter_mut().zip(&state) {
        *bytes = lane.to_le_bytes();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keccak256_is_ethereums() {
        let data: Vec<u8> = (0..700u32).map(|i| (i * 7 + 1) as u8).collect();
        for len in [0, 1, 31, 135, 136, 137, 271, 272, 273, 700] {
            let expected = alloy_sol_types::private::keccak256(&data[..len]);
            assert_eq!(keccak256(&data[..len]), expected.0, "length {len}");
        }
    }

    /// A host whose every fact can be set.
    struct Facts {
        inputs: EntropyInputs,
        counter: u64,
        os: Option<Result<u8, EntropyUnavailable>>,
    }

    impl Host for Facts {
        fn entropy_inputs(&self) -> EntropyInputs {
            self.inputs
        }
        fn counter(&mut self, _: &Address) -> u64 {
            self.counter
        }
        fn set_counter(&mut self, _: &Address, value: u64) {
            self.counter = value;
        }
        fn os_rng(&self) -> bool {
            self.os.is_some()
        }
        fn os_entropy(&mut self, out: &mut [u8]) -> Result<(), EntropyUnavailable> {
            out.fill(self.os.ok_or(EntropyUnavailable)??);
            Ok(())
        }
    }

    fn facts() -> Facts {
        Facts {
            inputs: EntropyInputs {
                chain_id: 6133,
                parent_hash: [1; 32],
                number: 7,
                prevrandao: [2; 32],
                origin: [3; 20],
                origin_nonce: 9,
            },
            counter: 0,
            os: None,
        }
    }

    const CALL: Call<'static> = Call {
        input: b"calldata",
        gas_limit: 0,
        is_static: false,
        is_direct: true,
        value_nonzero: false,
        caller: [4; 20],
    };

    #[test]
    fn the_formula_is_the_specified_one() {
        // Assembled by hand here, field by field, and hashed by another implementation.
        use pars_kernels::keccak::Shake256;
        let mut message = b"PARS/PRECOMPILE-RNG/v1".to_vec();
        message.extend(6133u64.to_be_bytes());
        message.extend([5; 20]);
        message.extend([0xf7, 0x9f, 0xa0, 0x94]);
        message.extend([1; 32]);
        message.extend(7u64.to_be_bytes());
        message.extend([2; 32]);
        message.extend([3; 20]);
        message.extend(9u64.to_be_bytes());
        message.extend([4; 20]);
        message.extend(0u64.to_be_bytes());
        message.extend(alloy_sol_types::private::keccak256(b"calldata"));
        assert_eq!(
            message.len(),
            22 + 8 + 20 + 4 + 32 + 8 + 32 + 20 + 8 + 20 + 8 + 32
        );
        let expected: [u8; 48] = Shake256::digest(&[&message]);
        let drawn = draw::<48>(&CALL, &[5; 20], [0xf7, 0x9f, 0xa0, 0x94], &mut facts());
        assert_eq!(drawn, Ok(expected));
    }

    #[test]
    fn every_input_matters() {
        let selector = [1, 2, 3, 4];
        let with = |change: &dyn Fn(&mut Facts)| {
            let mut host = facts();
            change(&mut host);
            draw::<32>(&CALL, &[5; 20], selector, &mut host).unwrap()
        };
        let draws = [
            with(&|_| {}),
            with(&|host| host.inputs.chain_id += 1),
            with(&|host| host.inputs.parent_hash[31] ^= 1),
            with(&|host| host.inputs.number += 1),
            with(&|host| host.inputs.prevrandao[0] ^= 1),
            with(&|host| host.inputs.origin[19] ^= 1),
            with(&|host| host.inputs.origin_nonce += 1),
            with(&|host| host.counter += 1),
            draw::<32>(&CALL, &[6; 20], selector, &mut facts()).unwrap(),
            draw::<32>(&CALL, &[5; 20], [1, 2, 3, 5], &mut facts()).unwrap(),
            draw::<32>(
                &Call {
                    caller: [9; 20],
                    ..CALL
                },
                &[5; 20],
                selector,
                &mut facts(),
            )
            .unwrap(),
            draw::<32>(
                &Call {
                    input: b"other",
                    ..CALL
                },
                &[5; 20],
                selector,
                &mut facts(),
            )
            .unwrap(),
        ];
        assert_eq!(draws.iter().collect::<HashSet<_>>().len(), draws.len());
    }

    #[test]
    fn the_counter_moves_only_where_state_may_change() {
        let mut host = facts();
        let first = draw::<32>(&CALL, &[5; 20], [0; 4], &mut host);
        let second = draw::<32>(&CALL, &[5; 20], [0; 4], &mut host);
        assert_ne!(first, second);
        assert_eq!(host.counter, 2);
        let still = Call {
            is_static: true,
            ..CALL
        };
        assert_eq!(
            draw::<32>(&still, &[5; 20], [0; 4], &mut host),
            draw::<32>(&still, &[5; 20], [0; 4], &mut host)
        );
        assert_eq!(host.counter, 2);
    }

    #[test]
    fn the_operating_system_is_never_replaced() {
        let mut host = facts();
        host.os = Some(Ok(0xab));
        assert_eq!(draw::<8>(&CALL, &[5; 20], [0; 4], &mut host), Ok([0xab; 8]));
        assert_eq!(host.counter, 0);
        host.os = Some(Err(EntropyUnavailable));
        assert_eq!(
            draw::<8>(&CALL, &[5; 20], [0; 4], &mut host),
            Err(EntropyUnavailable)
        );
    }
}
