//! The kernels by themselves, point by point: also what no verdict shows, because no signature that needs it can be made.
#![allow(unsafe_code)]

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::{EdwardsPoint, Scalar};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::super::challenge::BLOCK_WORDS;
use super::*;
use crate::edwards25519::{codec, fe::Fe, monero};

/// Places of the programs below.
const SUM: usize = 0;
const EIGHT_TIMES: usize = 1;

fn programs() -> [Program; 2] {
    // a, b, where to: the sum, and whether it is the neutral point.
    let mut sum = Program::default();
    sum.reset();
    sum.add(0);
    sum.add(1);
    sum.cache(2, 0);
    sum.test();
    let mut eight_times = Program::default();
    eight_times.reset();
    eight_times.add(0);
    eight_times.double(3);
    eight_times.cache(1, 0);
    [sum, eight_times]
}

/// A machine, its programs and a submission in the making.
struct Desk {
    machine: Machine,
    programs: Vec<Stored>,
    launch: Launch,
}

/// Points that were compressed or encoded: where, and their bytes.
type Expected = Vec<(u32, [u8; 32])>;

impl Desk {
    fn new(device: &Device, tuning: Tuning) -> Self {
        let (machine, programs) = Machine::new(device, tuning, &programs()).unwrap();
        let launch = machine.launch();
        Self {
            machine,
            programs,
            launch,
        }
    }

    /// Decompresses into a new place.
    fn point(&mut self, stage: StageId, encoded: &[u8; 32], negate: bool) -> u32 {
        let from = self.launch.input(&words(encoded));
        let to = self.launch.points(1);
        let result = self.launch.results(1).start;
        self.launch
            .task(stage, &[from, to, u32::from(negate), result]);
        to
    }

    /// What a kernel makes of 32 bytes, in a new place.
    fn made(&mut self, stage: StageId, bytes: &[u8; 32]) -> u32 {
        let from = self.launch.input(&words(bytes));
        let to = self.launch.points(1);
        let result = self.launch.results(1).start;
        self.launch.task(stage, &[from, to, result]);
        to
    }

    /// The sum of two points, in a new place.
    fn sum(&mut self, stage: StageId, a: u32, b: u32) -> u32 {
        let to = self.launch.points(1);
        let result = self.launch.results(1).start;
        let program = self.programs[SUM];
        self.launch.sum(stage, program, result, &[a, b, to]);
        to
    }

    /// Writes points out two by two, by a kernel that does.
    fn written(&mut self, kernel: Kernel, points: &[u32], expected: &[[u8; 32]]) -> Expected {
        let stage = self.launch.stage(kernel);
        let mut out = Vec::new();
        for (pair, expected) in points.chunks(2).zip(expected.chunks(2)) {
            let to = self.launch.words(16);
            let other = *pair.last().unwrap();
            self.launch.task(stage, &[pair[0], other, to]);
            out.extend((to..).step_by(8).zip(expected.iter().copied()));
        }
        out
    }

    /// Runs what was laid out: the results, after the bytes of points were compared.
    #[track_caller]
    fn run(&mut self, expected: &Expected) -> Vec<u32> {
        let empty = self.machine.launch();
        let launch = std::mem::replace(&mut self.launch, empty);
        let flight = self.machine.submit(launch).unwrap();
        let results = self.machine.collect(flight).unwrap();
        let arena = self.machine.arena();
        for (i, (at, bytes)) in expected.iter().enumerate() {
            let found = &arena[*at as usize..][..8];
            assert_eq!(found, words(bytes), "point {i}");
        }
        results
    }
}

fn verdict_of(yes: bool) -> u32 {
    if yes { YES } else { NO }
}

fn random_point(rng: &mut StdRng) -> EdwardsPoint {
    let torsion = EIGHT_TORSION[rng.random_range(0..8)];
    match rng.random_range(0..4) {
        0 => torsion,
        1 => ED25519_BASEPOINT_POINT,
        _ => EdwardsPoint::mul_base(&Scalar::from_bytes_mod_order(rng.random())) + torsion,
    }
}

/// Equal, opposite, neutral and small-order points, each kind in every thread of a workgroup in turn; decompressed with both signs.
fn sums_of_points(desk: &mut Desk) {
    let mut rng = StdRng::seed_from_u64(2);
    let decompress = desk.launch.stage(Kernel::Decompress);
    let adds = desk.launch.stage(Kernel::Sum);
    let (mut points, mut encoded, mut neutral) = (Vec::new(), Vec::new(), Vec::new());
    // 7 has no common divisor with the size of a workgroup.
    for i in 0..7 * 64 {
        let a = random_point(&mut rng);
        let b = match i % 7 {
            0 => a,
            1 => -a,
            2 => EIGHT_TORSION[0],
            3 => a + EIGHT_TORSION[i / 7 % 8],
            4 => EIGHT_TORSION[i / 7 % 8] - a,
            _ => random_point(&mut rng),
        };
        let negate = i / 7 % 2 == 1;
        let at_a = desk.point(decompress, &a.compress().to_bytes(), false);
        let signed = if negate { -b } else { b };
        let at_b = desk.point(decompress, &signed.compress().to_bytes(), negate);
        points.push(desk.sum(adds, at_a, at_b));
        let sum = a + b;
        encoded.push(sum.compress().to_bytes());
        neutral.push(verdict_of(sum == EIGHT_TORSION[0]));
    }
    let expected = desk.written(Kernel::Compress, &points, &encoded);
    let results = desk.run(&expected);
    let found: Vec<_> = results.chunks(3).map(|of_sum| of_sum[2]).collect();
    assert_eq!(found, neutral);
    let all = results.chunks(3).flat_map(|of_sum| &of_sum[..2]);
    assert!(all.copied().all(|decompressed| decompressed == YES));
}

/// Monero's map, whose points the CPU gives (its own test has Monero's answers).
fn points_of_hashes(desk: &mut Desk) {
    let mut rng = StdRng::seed_from_u64(3);
    let mut hashes = vec![[0; 32], [0xff; 32], [1; 32]];
    hashes.extend((0..120).map(|_| rng.random::<[u8; 32]>()));
    let map = desk.launch.stage(Kernel::MoneroMap);
    let sum = desk.launch.stage(Kernel::Sum);
    let mut points = Vec::new();
    for hash in &hashes {
        let eighth = desk.made(map, hash);
        let to = desk.launch.points(1);
        let program = desk.programs[EIGHT_TIMES];
        desk.launch.sum(sum, program, 0, &[eighth, to]);
        points.push(to);
    }
    let encoded: Vec<_> = hashes
        .iter()
        .map(|hash| {
            // SAFETY: scalar elements need no instruction set.
            unsafe {
                let point = monero::hash_to_point::<Fe>(&[*hash]);
                codec::compress_pair(point, point).0[0]
            }
        })
        .collect();
    let expected = desk.written(Kernel::Compress, &points, &encoded);
    let results = desk.run(&expected);
    assert_eq!(results, vec![YES; hashes.len()]);
}

/// Both halves of uniform bytes, mapped and added, are the element that `curve25519-dalek` derives.
fn elements_of_uniform_bytes(desk: &mut Desk) {
    let mut rng = StdRng::seed_from_u64(4);
    let map = desk.launch.stage(Kernel::RistrettoMap);
    let adds = desk.launch.stage(Kernel::Sum);
    let (mut points, mut encoded) = (Vec::new(), Vec::new());
    for i in 0..120 {
        let mut uniform = [[0; 32]; 2];
        match i {
            0 => {}
            1 => uniform = [[0xff; 32]; 2],
            _ => uniform = rng.random(),
        }
        let halves = uniform.map(|half| desk.made(map, &half));
        points.push(desk.sum(adds, halves[0], halves[1]));
        let bytes: [u8; 64] = uniform.as_flattened().try_into().unwrap();
        let element = RistrettoPoint::from_uniform_bytes(&bytes);
        encoded.push(element.compress().to_bytes());
    }
    let expected = desk.written(Kernel::RistrettoEncode, &points, &encoded);
    desk.run(&expected);
}

/// The four points of an element have one encoding, the one that it was decoded from.
fn encodings_of_elements(desk: &mut Desk) {
    let mut rng = StdRng::seed_from_u64(5);
    let decode = desk.launch.stage(Kernel::RistrettoDecode);
    let decompress = desk.launch.stage(Kernel::Decompress);
    let adds = desk.launch.stage(Kernel::Sum);
    let (mut points, mut encoded) = (Vec::new(), Vec::new());
    for i in 0..120 {
        let scalar = match i / 4 {
            0 => Scalar::ZERO,
            1 => Scalar::ONE,
            _ => Scalar::from_bytes_mod_order(rng.random()),
        };
        let bytes = RistrettoPoint::mul_base(&scalar).compress().to_bytes();
        let point = desk.made(decode, &bytes);
        let torsion = EIGHT_TORSION[i % 4 * 2].compress().to_bytes();
        let torsion = desk.point(decompress, &torsion, false);
        points.push(desk.sum(adds, point, torsion));
        encoded.push(bytes);
    }
    let expected = desk.written(Kernel::RistrettoEncode, &points, &encoded);
    desk.run(&expected);
}

/// Encodings that are let in are those of points, and of those of ristretto255 the ones that stand for their element: a second one
/// would be a second key image.
fn what_decodes(desk: &mut Desk) {
    let mut rng = StdRng::seed_from_u64(1);
    let decompress = desk.launch.stage(Kernel::Decompress);
    let decode = desk.launch.stage(Kernel::RistrettoDecode);
    let mut expected = Vec::new();
    for i in 0..300 {
        let mut bytes: [u8; 32] = rng.random();
        desk.point(decompress, &bytes, i % 2 == 1);
        expected.push(CompressedEdwardsY(bytes).decompress().is_some());
        // The host lets in what is canonical and not negative.
        bytes[0] &= 0xfe;
        bytes[31] &= 0x3f;
        desk.made(decode, &bytes);
        expected.push(CompressedRistretto(bytes).decompress().is_some());
    }
    // Small numbers and those just below p; p − 1 would have y = 0.
    for low in (0..=0xec).step_by(2) {
        for mut bytes in [[0; 32], [0xff; 32]] {
            bytes[0] = low;
            bytes[31] &= 0x7f;
            desk.made(decode, &bytes);
            expected.push(CompressedRistretto(bytes).decompress().is_some());
        }
    }
    assert!(expected.contains(&true) && expected.contains(&false));
    let results = desk.run(&Vec::new());
    let expected: Vec<_> = expected.into_iter().map(verdict_of).collect();
    assert_eq!(results, expected);
}

/// A challenge that is zero modulo the order is refused. Nobody knows what hashes to one, so the hash is given as the state that the
/// kernel starts from, with no block to take in; c1 is compared in the last round only.
fn challenges_of_states(desk: &mut Desk) {
    let challenge = desk.launch.stage(Kernel::ClsagChallenge);
    let order: [u8; 32] = {
        let mut bytes = (-Scalar::ONE).to_bytes();
        bytes[0] += 1;
        bytes
    };
    let mut after = order;
    after[0] += 1;
    let one = Scalar::ONE.to_bytes();
    let most = Scalar::from_bytes_mod_order([0xff; 32]).to_bytes();
    let cases = [
        // The hash, whether it is the last, c1, the verdict.
        ([0; 32], false, one, false),
        ([0; 32], true, [0; 32], false),
        (order, false, one, false),
        (order, true, [0; 32], false),
        (after, false, [0; 32], true),
        (after, true, one, true),
        (after, true, [0; 32], false),
        (after, true, after, false),
        ([0xff; 32], true, most, true),
        ([0xff; 32], true, one, false),
        ([0xff; 32], false, one, true),
    ];
    for (hash, is_last, c1, _) in cases {
        let mut state = [0; 50];
        state[..8].copy_from_slice(&words(&hash));
        // Then two blocks, which are not read, and the factors.
        let at = desk.launch.input(&state);
        desk.launch.input(&[0; 2 * BLOCK_WORDS as usize + 16]);
        let points = desk.launch.words(16);
        let out = desk.launch.words(40);
        let c1 = desk.launch.input(&words(&c1));
        let result = desk.launch.results(1).start;
        let task = [at, 0, 0, points, out, u32::from(is_last), c1, result];
        desk.launch.task(challenge, &task);
    }
    let results = desk.run(&Vec::new());
    assert_eq!(results, cases.map(|case| verdict_of(case.3)));
}

#[test]
fn every_kernel_computes_what_the_cpu_does() {
    for adapter in adapters() {
        let device = adapter.open(Duration::from_secs(120)).unwrap();
        let mut narrow = Tuning::of(&device);
        narrow.wide = false;
        for tuning in [Tuning::of(&device), narrow] {
            eprintln!("{}, 64-bit sums: {}", adapter.info(), tuning.wide);
            let mut desk = Desk::new(&device, tuning);
            sums_of_points(&mut desk);
            points_of_hashes(&mut desk);
            elements_of_uniform_bytes(&mut desk);
            encodings_of_elements(&mut desk);
            what_decodes(&mut desk);
            challenges_of_states(&mut desk);
        }
    }
}
