//! Ring signatures and the curves under them: our paths and their peers in one run, on one thread.
//!
//! Ids are `<path>/<operation>/<who>/<batch>`; throughput is in signatures. Every who starts from the bytes that a caller has, checks
//! every signature, and its answers are compared with the expected ones before it is timed. A file for each curve.
//!
//! `cargo bench -p pars-benches --bench ring` times one row after another. With `-- --save FOLDER` all rows of a group take turns,
//! round after round, so that a neighbour's load strikes all alike; 10th percentiles are compared, and `ring.md` and `ring.svg`
//! (throughput against batch size) are written there. That takes about two minutes. Software drivers are no GPUs to be timed: `pars-gpu` is there on
//! hardware, and anywhere if `PARS_BENCH_SOFTWARE_GPU=1` is set.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../compare/report.rs"]
#[allow(dead_code, reason = "the comparison of ML-DSA uses all of it")]
mod compare;
mod device;
mod edwards25519;
#[path = "../../../kernels/tests/common/monero.rs"]
mod monero;
#[path = "../../../node/src/plot.rs"]
#[allow(dead_code, reason = "the node's tool uses all of it")]
mod plot;
mod report;
mod secp256k1;
#[path = "../compare/turns.rs"]
#[allow(dead_code, reason = "the other benchmarks use all of it")]
mod turns;

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{BenchmarkId, Criterion, Throughput};
use pars_kernels::cpu::Level;
use report::Table;
use turns::{Rounds, Runner};

/// What happens to the rows.
enum Bench {
    /// Criterion times one after another.
    Criterion(Box<Criterion>),
    /// They take turns, or one turn only.
    Turns { quick: bool, tables: Vec<Table> },
}

/// Time that the turns of a group take, roughly, in seconds.
const GROUP_SECONDS: f64 = 6.0;
/// Fewest rounds of a group.
const FEWEST: usize = 11;

impl Bench {
    /// Batch sizes: few, or enough for a plot.
    const fn batches(&self) -> &'static [usize] {
        match self {
            Self::Criterion(_) => &[1, 64, 1_024],
            Self::Turns { .. } => &[1, 2, 4, 8, 16, 64, 256, 1_024],
        }
    }

    /// Rings in a batch.
    const fn rings(&self) -> &'static [usize] {
        match self {
            Self::Criterion(_) => &[1, 32],
            Self::Turns { .. } => &[1, 2, 4, 8, 16, 32],
        }
    }
}

/// Everybody who answers the same questions.
struct Group<'a> {
    id: &'static str,
    rows: Vec<Row<'a>>,
}

/// One of them, with a batch.
struct Row<'a> {
    who: String,
    items: usize,
    run: Box<dyn Fn() + 'a>,
}

impl<'a> Group<'a> {
    const fn new(id: &'static str) -> Self {
        Self {
            id,
            rows: Vec::new(),
        }
    }

    /// `run` answers all items at once, and must answer each with `expected`.
    fn row<T, A: PartialEq>(
        &mut self,
        who: impl Into<String>,
        items: &'a [T],
        expected: A,
        run: impl Fn(&[T]) -> Vec<A> + 'a,
    ) {
        let who = who.into();
        let answers = run(items);
        assert!(
            answers.len() == items.len() && answers.iter().all(|answer| *answer == expected),
            "{who} gives other answers"
        );
        self.rows.push(Row {
            who,
            items: items.len(),
            run: Box::new(move || drop(black_box(run(black_box(items))))),
        });
    }

    fn finish(self, bench: &mut Bench) {
        match bench {
            Bench::Criterion(criterion) => {
                let mut group = criterion.benchmark_group(self.id);
                for row in self.rows {
                    group.throughput(Throughput::Elements(row.items as u64));
                    let id = BenchmarkId::new(row.who, row.items);
                    group.bench_function(id, |bencher| bencher.iter(&row.run));
                }
                group.finish();
            }
            Bench::Turns { quick, tables } => tables.push(self.turns(*quick)),
        }
    }

    /// Round after round, everybody once in each.
    fn turns(self, quick: bool) -> Table {
        let items: Vec<usize> = self.rows.iter().map(|row| row.items).collect();
        let mut runners: Vec<Runner<'_>> = self
            .rows
            .into_iter()
            .map(|row| Runner::new(row.who, row.run))
            .collect();
        let rounds = match quick {
            true => Rounds::Once,
            false => Rounds::Fill(GROUP_SECONDS, FEWEST..=usize::MAX),
        };
        let times = turns::take(&mut runners, rounds);
        let rounds = times.first().map_or(0, Vec::len);
        let rows = runners.iter().zip(times).zip(items);
        let table = Table {
            id: self.id,
            rounds,
            rows: rows
                .map(|((runner, times), items)| {
                    let entry = compare::Entry::of_turns(&runner.who, times, items);
                    (items, entry)
                })
                .collect(),
        };
        println!("{}", table.markdown());
        table
    }
}

/// The levels that this processor has.
fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let save = arguments
        .iter()
        .position(|argument| argument == "--save")
        .map(|at| PathBuf::from(arguments.get(at + 1).expect("--save takes a folder")));
    let mut bench = match save {
        // Criterion reads the command line by itself, and knows no `--save`.
        None => Bench::Criterion(Box::new(Criterion::default().configure_from_args())),
        Some(_) => Bench::Turns {
            quick: !arguments.iter().any(|argument| argument == "--bench"),
            tables: Vec::new(),
        },
    };
    let machine = compare::machine();
    println!("{machine}\n");
    let device = device::open();
    secp256k1::bench(&mut bench, device.as_ref());
    edwards25519::bench(&mut bench, device.as_ref());
    match (bench, save) {
        (Bench::Turns { tables, .. }, Some(folder)) => {
            println!("{}", report::goals(&tables));
            let device = device.as_ref().map(|opened| opened.device.info());
            report::save(&folder, &machine, device, &tables).expect("the results are written");
            println!("written to {}", folder.display());
        }
        (Bench::Criterion(criterion), _) => criterion.final_summary(),
        _ => {}
    }
}
