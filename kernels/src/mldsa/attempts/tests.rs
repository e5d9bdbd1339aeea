//! The loop against the `ml-dsa` crate and against the official vectors.

use super::*;
use ml_dsa::{ExpandedSigningKey, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, SigningKey};
use rand::{Rng, SeedableRng, rngs::StdRng};

const MU: [u8; 64] = [7; 64];

/// The `ml-dsa` crate's expanded secret key of a seed.
fn secret_key<P: MlDsaParams>(seed: [u8; 32]) -> Vec<u8> {
    let key = SigningKey::<P>::from_seed(&seed.into());
    #[expect(deprecated, reason = "the expanded form is what is signed with here")]
    key.expanded_key().to_expanded().to_vec()
}

/// The `ml-dsa` crate's deterministic signature with an expanded key.
fn signature<P: MlDsaParams>(key: &[u8], context: &[u8], message: &[u8]) -> Vec<u8> {
    let encoded = key.try_into().unwrap();
    #[expect(deprecated, reason = "the expanded form is what is signed with here")]
    let key = ExpandedSigningKey::<P>::from_expanded(&encoded);
    key.sign_deterministic(message, context)
        .unwrap()
        .encode()
        .to_vec()
}

/// Attempts until one succeeds: their number and c̃.
fn run(key: &[u8], message: Message<'_>, rnd: &[u8; 32]) -> (u16, Vec<u8>) {
    let mut attempts = Attempts::new(key, message, rnd).unwrap();
    loop {
        if let Some(c_tilde) = attempts.attempt() {
            return (attempts.made(), c_tilde);
        }
        assert!(attempts.made() < 814, "no signature");
    }
}

/// The number of attempts read off a finished signature: the one whose first mask polynomial is z − c·s1.
///
/// Independent of the checks in [`Attempts::attempt`]: a check that were too strict or too lax would end the loop at
/// another attempt than the one the signature was made in.
fn attempts_of(key: &[u8], message: Message<'_>, signature: &[u8]) -> u16 {
    let attempts = Attempts::new(key, message, &[0; 32]).unwrap();
    let params = attempts.params;
    let (c_tilde, rest) = signature.split_at(params.c_tilde_len);
    let mut z = [0; N];
    decode::z_poly(params, &rest[..params.z_poly_len()], &mut z);
    let mut c = sample::in_ball(params, c_tilde);
    ntt::forward(&mut c);
    let mut cs1 = [0; N];
    product(&c, &attempts.s1[0], &mut cs1);
    let y: Poly = std::array::from_fn(|i| z[i] - centred(cs1[i]));
    let mut mask = [0; N];
    (0..814)
        .find(|i| {
            attempts.mask(i * params.l as u16, &mut mask);
            mask == y
        })
        .expect("the signature was made within 814 attempts")
        + 1
}

fn agrees<P: MlDsaParams>(rounds: u64) {
    let mut rng = StdRng::seed_from_u64(65);
    let mut most = 0;
    for round in 0..rounds {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let key = secret_key::<P>(seed);
        let mut message = vec![0; (round * 13 % 300) as usize];
        rng.fill_bytes(&mut message);
        let context = &seed[..(round % 33) as usize];
        let expected = signature::<P>(&key, context, &message);
        let pure = Message::Pure {
            context,
            message: &message,
        };
        let (made, c_tilde) = run(&key, pure, &[0; 32]);
        assert_eq!(c_tilde, expected[..c_tilde.len()]);
        assert_eq!(made, attempts_of(&key, pure, &expected));
        most = most.max(made);
    }
    assert!(most > 3, "the vectors never made the loop run: {most}");
}

#[test]
fn attempts_are_those_of_ml_dsa_44() {
    agrees::<MlDsa44>(100);
}

#[test]
fn attempts_are_those_of_ml_dsa_65() {
    agrees::<MlDsa65>(100);
}

#[test]
fn attempts_are_those_of_ml_dsa_87() {
    agrees::<MlDsa87>(100);
}

#[test]
fn rounding_of_every_residue() {
    for set in [ParameterSet::MlDsa44, ParameterSet::MlDsa65] {
        let params = set.params();
        let rounding = Rounding::new(params);
        let (gamma2, alpha) = (params.gamma2 as i32, 2 * params.gamma2 as i32);
        for r in 0..Q32 {
            // Decompose as the standard writes it.
            let mut r0 = r % alpha;
            if r0 > gamma2 {
                r0 -= alpha;
            }
            let expected = if r - r0 == Q32 - 1 {
                (0, r0 - 1)
            } else {
                ((r - r0) / alpha, r0)
            };
            assert_eq!(rounding.split(r), expected, "{set}: {r}");
        }
    }
}

#[test]
fn norms_at_their_edges() {
    for (a, expected) in [
        (9, 0),
        (-9, 0),
        (10, -1),
        (-10, -1),
        (i32::MIN / 2, -1),
        (0, 0),
    ] {
        assert_eq!(at_least(a, 10), expected, "{a}");
    }
    assert_eq!(centred(Q32 / 2), Q32 / 2);
    assert_eq!(centred(Q32 / 2 + 1), -(Q32 / 2));
    assert_eq!(centred(Q32 - 1), -1);
}

/// Every value of every coefficient that no key generation makes is refused.
#[test]
fn coefficients_out_of_range_are_refused() {
    for (key, eta, bits, polys) in [
        (secret_key::<MlDsa44>([1; 32]), 2, 3, 8),
        (secret_key::<MlDsa65>([1; 32]), 4, 4, 11),
        (secret_key::<MlDsa87>([1; 32]), 2, 3, 15),
    ] {
        assert!(Attempts::new(&key, Message::Mu(&MU), &[0; 32]).is_ok());
        for at in [0, 1, 255, 256, 5 * 256 + 77, polys * 256 - 1] {
            for value in 0..1u16 << bits {
                let mut key = key.clone();
                for bit in 0..bits {
                    let position = at * bits + bit;
                    let byte = &mut key[128 + position / 8];
                    *byte &= !(1 << (position % 8));
                    *byte |= ((value >> bit & 1) as u8) << (position % 8);
                }
                let result = Attempts::new(&key, Message::Mu(&MU), &[0; 32]).err();
                let expected = (value > 2 * eta).then_some(SecretKeyError::Range);
                assert_eq!(result, expected, "coefficient {at} = {value}");
            }
        }
    }
}

#[test]
fn impossible_inputs_are_values() {
    for len in [0, 1312, 2559, 2561, 4895, 5000] {
        let error = Attempts::new(&vec![0; len], Message::Mu(&MU), &[0; 32]).err();
        assert_eq!(error, Some(SecretKeyError::Length { len }));
    }
    let key = secret_key::<MlDsa44>([2; 32]);
    let long = Message::Pure {
        context: &[0; 256],
        message: b"",
    };
    let error = Attempts::new(&key, long, &[0; 32]).err();
    assert_eq!(error, Some(SecretKeyError::ContextTooLong { len: 256 }));
}

/// t0 with the largest coefficients everywhere and random signs: c·t0 then asks for more than ω hints nearly always.
#[test]
fn a_doctored_key_can_make_the_loop_endless() {
    let mut key = secret_key::<MlDsa44>([3; 32]);
    let t0 = key.len() - 4 * T0_POLY_LEN;
    let mut rng = StdRng::seed_from_u64(3);
    // Eight coefficients of 13 bits fill 13 bytes; all zeros is 4096, all ones -4095.
    for bytes in key[t0..].chunks_exact_mut(13) {
        let signs = rng.next_u32();
        let word = (0..8).fold(0u128, |word, i| {
            word | ((u128::from(signs >> i & 1) * 0x1fff) << (13 * i))
        });
        bytes.copy_from_slice(&word.to_le_bytes()[..13]);
    }
    let mut attempts = Attempts::new(&key, Message::Mu(&MU), &[0; 32]).unwrap();
    for made in 1..=814 {
        assert_eq!(attempts.attempt(), None);
        assert_eq!(attempts.made(), made);
    }
}

/// The nonce is a 16-bit number; past its end there are no attempts, and no panic.
#[test]
fn masks_run_out() {
    let key = secret_key::<MlDsa87>([4; 32]);
    let mut attempts = Attempts::new(&key, Message::Mu(&MU), &[0; 32]).unwrap();
    attempts.made = u16::MAX / 7;
    assert_eq!(attempts.attempt(), None);
    attempts.made = u16::MAX;
    assert_eq!(attempts.attempt(), None);
}

#[test]
fn all_forms_of_a_message_agree() {
    let key = secret_key::<MlDsa65>([5; 32]);
    let pure = Message::Pure {
        context: b"ctx",
        message: b"text",
    };
    let formatted = Message::Formatted {
        prefix: b"\0\x03ctx",
        message: b"text",
    };
    let tr = &key[64..128];
    let mu = shake256(&[tr, b"\0\x03ctxtext"]);
    assert_eq!(Attempts::new(&key, pure, &[0; 32]).unwrap().mu(), &*mu);
    let expected = run(&key, pure, &[0; 32]);
    assert_eq!(run(&key, formatted, &[0; 32]), expected);
    assert_eq!(run(&key, Message::Mu(&mu), &[0; 32]), expected);
    assert_ne!(run(&key, pure, &[1; 32]).1, expected.1);
}

#[test]
fn debug_shows_no_secret() {
    let key = secret_key::<MlDsa44>([6; 32]);
    let attempts = Attempts::new(&key, Message::Mu(&MU), &[0; 32]).unwrap();
    assert_eq!(format!("{attempts:?}"), "Attempts { made: 0, .. }");
}
