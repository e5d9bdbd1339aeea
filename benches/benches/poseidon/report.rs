//! Ratios to the peers, measured side by side: everybody takes turns, as in the comparison of ML-DSA.

use std::{hint::black_box, path::Path, rc::Rc};

use pars_kernels::{field::Fr, poseidon::Instance};

use crate::{
    GROUPS, Shared, hasher, levels, multipliers, pairs, peers, plot,
    rows::Rows,
    tables::{Entry, Table, machine},
    turns::{self, Rounds, Runner},
};

/// Time that a table takes, roughly, in seconds.
const TABLE_SECONDS: f64 = 4.0;
/// Rounds of a table.
const ROUNDS: std::ops::RangeInclusive<usize> = 11..=2_000;
/// Batch sizes of the plot: powers of two up to this one.
const LARGEST: u32 = 12;
/// The largest with a software adapter, and of a peer.
const SMALL: usize = 1_024;
/// Turns of a point of the plot; the best counts.
const TURNS: usize = 9;

/// Lets everybody take turns on one core.
fn compete(rows: Rows) -> Table {
    let Rows {
        id,
        items,
        mut runners,
    } = rows;
    let times = turns::take(&mut runners, Rounds::Fill(TABLE_SECONDS, ROUNDS));
    let rounds = times.first().map_or(0, Vec::len);
    let entries = runners.iter().zip(times);
    let table = Table {
        id,
        items,
        cores: 1,
        rounds,
        entries: entries
            .map(|(runner, times)| Entry::of_turns(&runner.who, times, items))
            .collect(),
    };
    println!("{}", table.markdown());
    table
}

/// Batch size and items a second in the best of some turns.
fn point(size: usize, runner: &mut Runner<'_>) -> (f64, f64) {
    let best = (0..=TURNS)
        .map(|_| runner.seconds())
        .fold(f64::MAX, f64::min);
    (size as f64, size as f64 / best)
}

fn curve(name: String, dashed: bool, points: Vec<(f64, f64)>) -> plot::Curve {
    plot::Curve {
        name,
        dashed,
        points,
    }
}

/// Throughput against batch size: each level on one core, the first adapter, and the peers with gaps.
fn panel(instance: Instance, gpu: Option<&(Shared, bool)>) -> plot::Panel {
    let sizes: Vec<usize> = (0..=LARGEST).map(|power| 1 << power).collect();
    let inputs: Vec<[Fr; 2]> = pairs(1 << LARGEST);
    let mut curves = Vec::new();
    for level in levels() {
        let at = |size: &usize| {
            let inputs = &inputs[..*size];
            let turn = || {
                drop(black_box(
                    instance.compress_many_at(level, black_box(inputs)),
                ))
            };
            point(*size, &mut Runner::new("", turn))
        };
        let points = sizes.iter().map(at).collect();
        curves.push(curve(format!("pars-{level}"), false, points));
    }
    if let Some((hasher, software)) = gpu {
        let hasher = Rc::clone(hasher);
        let most = if *software { SMALL } else { 1 << LARGEST };
        let at = |size: &usize| {
            let inputs = &inputs[..*size];
            let turn = || {
                let hashes = hasher
                    .borrow_mut()
                    .compress_many(instance, black_box(inputs));
                black_box(hashes.unwrap());
            };
            point(*size, &mut Runner::new("", turn))
        };
        let points = sizes.iter().filter(|size| **size <= most).map(at).collect();
        let kind = if *software { " (software)" } else { "" };
        curves.push(curve(format!("pars-gpu{kind}"), false, points));
    }
    let mut of_peers: Vec<plot::Curve> = Vec::new();
    for size in sizes.into_iter().filter(|size| *size <= SMALL) {
        let mut rows = Rows::new("", size);
        peers(&mut rows, instance);
        for mut runner in rows.runners {
            let found = point(size, &mut runner);
            match of_peers.iter_mut().find(|peer| peer.name == runner.who) {
                Some(peer) => peer.points.push(found),
                None => of_peers.push(curve(runner.who, true, vec![found])),
            }
        }
    }
    curves.extend(of_peers);
    plot::Panel {
        title: instance.to_string(),
        x: plot::Axis::new("hashes in a batch", plot::Scale::Log2),
        y: plot::Axis::new(
            "hashes a second, one core or the device",
            plot::Scale::Log10,
        ),
        curves,
    }
}

/// Measures everything, and writes `README.md` and `throughput.svg`.
pub fn save(folder: &Path) {
    let machine = machine();
    println!("{machine}\n");
    let tables: Vec<Table> = GROUPS
        .into_iter()
        .flat_map(|group| group())
        .map(compete)
        .collect();
    let bound = multipliers::bound(&tables);
    println!("{bound}");
    let gpu = hasher();
    let adapter = match &gpu {
        Some((_, true)) => "The adapter of `pars-gpu` is a software driver on all cores.",
        Some(_) => "The adapter of `pars-gpu` is hardware; transfers are counted.",
        None => "There is no adapter.",
    };
    let panels = [Instance::Circom, Instance::Poseidon2].map(|one| panel(one, gpu.as_ref()));
    let mut markdown = format!(
        "# Poseidon, Poseidon2, small fields and Pedersen, side by side\n\n{machine}.\n\nOne thread; everybody takes turns in one process, and Plonky3 built for this processor (`p3-native-…`) in its own; a turn of less\nthan a millisecond is timed right after one that is not. A ratio compares 10th percentiles, above 1 is quicker than the best\npeer. {adapter}\nMade by `cargo bench -p pars-benches --bench poseidon -- --save`.\n\n![throughput against batch size](throughput.svg)\n\n"
    );
    for table in &tables {
        markdown.push_str(&table.markdown());
    }
    markdown.push_str(bound.trim_end());
    markdown.push('\n');
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("README.md"), markdown).unwrap();
    let svg = plot::svg("Compressions of two elements", 2, &panels);
    std::fs::write(folder.join("throughput.svg"), svg).unwrap();
}
