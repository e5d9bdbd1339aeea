//! Poseidon2 over small fields against Plonky3: `poseidon2-<field>/permute/<who>/<states>`.
//!
//! | who | what |
//! |---|---|
//! | `pars-portable`, `pars-avx2`, `pars-avx512` | the kernel at one level: numbers below p in memory in, and out |
//! | `p3-default` | Plonky3's permutation of its packed type, whose words already stand in lanes and in Montgomery form |
//! | `p3-native-avx512`, `p3-native-avx2` | the same, in a process built with `-C target-cpu=native`, named after the vectors that it has |
//!
//! Plonky3 chooses its vectors when it is built, and everything else here is built as always. So the benchmark builds Plonky3 once more by
//! itself and has that process take its turns, timed there, each after one that is not timed. (Where the benchmark itself is built for
//! this processor, `p3-default` is called `p3-avx512` or `p3-avx2` instead.)

use std::{hint::black_box, rc::Rc};

use pars_bench_plonky3::{Peer, STATES, VECTORS, peers};
use pars_kernels::poseidon::small::{Instance, Word};

use crate::{native, rows::Rows};

fn rows<W: Word>(
    peer: Peer,
    instance: Instance,
    word: fn(u64) -> W,
    native: Option<&native::Shared>,
) -> Rows {
    let name = peer.name;
    let digest = peer.digest();
    let mut rows = Rows::new(format!("poseidon2-{name}/permute"), STATES);
    let words =
        |numbers: &[u64]| -> Vec<W> { numbers.iter().map(|number| word(*number)).collect() };
    let (states, expected) = (words(&peer.states), words(&peer.permuted));
    for level in crate::levels() {
        let mut permuted = states.clone();
        instance.permute_many_at(level, &mut permuted).unwrap();
        assert!(permuted == expected, "{name}, {level}");
        rows.push(format!("pars-{level}"), move || {
            instance
                .permute_many_at(level, black_box(&mut permuted))
                .unwrap();
        });
    }
    rows.push(format!("p3-{VECTORS}"), peer.turn);
    if let Some(process) = native {
        let process = Rc::clone(process);
        let who = format!("p3-native-{}", process.borrow().vectors());
        rows.push_elsewhere(who, move || {
            process.borrow_mut().turn_of(name, digest).unwrap()
        });
    }
    rows
}

pub fn all() -> Vec<Rows> {
    let native = native::start();
    let narrow = |number| u32::try_from(number).unwrap();
    peers()
        .into_iter()
        .map(|peer| {
            let instance = match peer.name {
                "koalabear-16" => Instance::KoalaBear16,
                "babybear-16" => Instance::BabyBear16,
                "mersenne31-16" => Instance::Mersenne31Width16,
                "goldilocks-8" => Instance::Goldilocks8,
                "goldilocks-12" => Instance::Goldilocks12,
                other => panic!("{other} has no instance"),
            };
            match instance {
                Instance::Goldilocks8 | Instance::Goldilocks12 => {
                    rows(peer, instance, |number| number, native.as_ref())
                }
                _ => rows(peer, instance, narrow, native.as_ref()),
            }
        })
        .collect()
}
