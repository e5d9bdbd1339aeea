//! What the engine costs, and what it does under load.
//!
//! `engine/mldsa65-verify/<who>/<batch>`: `direct` is the kernel on the calling thread, `pars-engine` an engine of
//! one CPU thread, asked by a blocking call; both are given the jobs and drop them. Reports follow:
//!
//! - overhead: the two take turns, so that a neighbour's load strikes both alike; 10th percentiles are compared, in a dozen
//!   processes, as the places that memory falls into favour one or the other for a process's life. Once
//!   without the look for identical jobs in flight, as the same 64 jobs come over and over, and once with it and with
//!   jobs that all differ;
//! - bookkeeping: the engine's own time for a job that takes none;
//! - latency: one job on an idle engine against the kernel called directly, by every way to ask;
//! - load: an open loop offers 10 % to 150 % of what batches reach (`node/src/load.rs` says how), one job in a
//!   hundred of the class of consensus.
//!
//! At the end stands what was asked of the engine, and what was measured.
//!
//! `cargo bench -p pars-benches --bench engine`; `-- load` and the like choose. `-- --save FOLDER` writes the
//! reports and a plot there. Without `--bench`, as `cargo test` calls it, everything runs once and briefly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../../node/src/load.rs"]
#[allow(dead_code, reason = "the node's tool uses all of it")]
mod load;
#[path = "../../../node/src/plot.rs"]
#[allow(dead_code, reason = "the node's tool uses all of it")]
mod plot;
#[path = "../mldsa/signed.rs"]
mod signed;

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput};
use load::{Load, quantile};
use pars_engine::{Engine, EngineBuilder, GpuPolicy, Kernel, MlDsaVerify, VerifyJob};
use pars_kernels::mldsa::{self, ParameterSet};
use plot::{Axis, Curve, Panel, Scale};

/// Batch sizes of the groups, and of the report on overhead.
const BATCHES: [usize; 4] = [1, 64, 1_024, 8_192];
const LARGE: [usize; 3] = [64, 1_024, 8_192];

/// The argument that asks for one sitting: six of the largest batches each way.
const SITTING: &str = "--sitting";
const SITTING_ROUNDS: usize = 6;

/// Offered loads, as shares of the capacity.
const LOADS: [f64; 9] = [0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5];

/// Bound on the jobs in the engine under load: soon reached, and many batches deep.
const QUEUE: usize = 4_096;

/// How long each report may take, roughly.
struct Effort {
    rounds: usize,
    /// Processes that measure the overhead; 0 is this one.
    sittings: usize,
    singles: usize,
    load: Duration,
}

impl Effort {
    const FULL: Self = Self {
        rounds: 60,
        sittings: 12,
        singles: 4_000,
        load: Duration::from_secs(4),
    };
    const QUICK: Self = Self {
        rounds: 1,
        sittings: 0,
        singles: 3,
        load: Duration::from_millis(30),
    };
}

fn builder() -> EngineBuilder {
    Engine::builder()
        .gpu(GpuPolicy::Off)
        .key_cache_bytes(0)
        .share_identical(false)
}

fn one_thread() -> Engine {
    builder().cpu_threads(1).build().unwrap()
}

/// A kernel that does nothing: what its jobs take is the engine's own time.
struct Nothing;

/// Of four words, as a verification's handle.
#[derive(Clone)]
struct NoJob([u64; 4]);

impl Kernel for Nothing {
    type Job = NoJob;
    type Output = bool;
    type State = ();
    const NAME: &'static str = "nothing";
    const CPU_CHUNK: usize = 64;

    fn job_bytes(_: &NoJob) -> usize {
        32
    }

    fn run_cpu(job: &NoJob) -> bool {
        job.0[0] == 0
    }

    fn known_answers() -> Vec<(NoJob, bool)> {
        vec![(NoJob([0; 4]), true), (NoJob([1; 4]), false)]
    }
}

fn pool() -> Vec<VerifyJob> {
    signed::signed(ParameterSet::MlDsa65, 64)
        .iter()
        .map(|one| VerifyJob::pure(&one.public_key, b"", &one.message, &one.signature).unwrap())
        .collect()
}

fn batch(pool: &[VerifyJob], size: usize) -> Vec<VerifyJob> {
    pool.iter().cloned().cycle().take(size).collect()
}

/// Jobs that all differ, and cost what valid ones do: another commitment hash is found out by the last comparison.
fn distinct(size: usize) -> Vec<VerifyJob> {
    let signed = signed::signed(ParameterSet::MlDsa65, 64);
    (0..size)
        .map(|at| {
            let one = &signed[at % signed.len()];
            let mut signature = one.signature.clone();
            signature[..8].copy_from_slice(&u64::try_from(at).unwrap().to_le_bytes());
            VerifyJob::pure(&one.public_key, b"", &one.message, &signature).unwrap()
        })
        .collect()
}

fn direct(jobs: Vec<VerifyJob>) {
    let verdicts = mldsa::verify_batch(&jobs.iter().collect::<Vec<_>>());
    all_equal(&verdicts);
}

fn all_equal(verdicts: &[bool]) {
    assert!(verdicts.windows(2).all(|pair| pair[0] == pair[1]));
}

fn through(engine: &Engine, jobs: Vec<VerifyJob>) {
    let verdicts = engine.call_many_blocking::<MlDsaVerify>(jobs).unwrap();
    all_equal(&verdicts);
}

fn groups(criterion: &mut Criterion, pool: &[VerifyJob]) {
    let engine = one_thread();
    let mut group = criterion.benchmark_group("engine/mldsa65-verify");
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(800));
    for size in BATCHES {
        let jobs = batch(pool, size);
        group.throughput(Throughput::Elements(u64::try_from(size).unwrap()));
        group.bench_function(BenchmarkId::new("direct", size), |bencher| {
            bencher.iter_batched(|| jobs.clone(), direct, BatchSize::LargeInput);
        });
        group.bench_function(BenchmarkId::new("pars-engine", size), |bencher| {
            let ask = |jobs| through(&engine, jobs);
            bencher.iter_batched(|| jobs.clone(), ask, BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn time(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

fn sorted(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_unstable_by(f64::total_cmp);
    times
}

fn at(times: &[f64], share: f64) -> f64 {
    quantile(times, share).unwrap_or(f64::NAN)
}

/// Seconds that all threads of this process have run. Unlike the clock on the wall it does not count what
/// neighbours take of a core. `None` on systems that do not say it in `/proc`.
fn processor_time() -> Option<f64> {
    let mut nanos: u64 = 0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanos += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanos).as_secs_f64())
}

/// A turn's time on the wall and on the processor.
fn both(run: impl FnOnce()) -> (f64, f64) {
    let before = processor_time();
    let wall = time(run);
    let spent = processor_time().zip(before);
    (
        wall,
        spent.map_or(f64::NAN, |(after, before)| after - before),
    )
}

/// What was asked, what was measured, in words.
type Asked = Vec<(String, String)>;

/// What one process found: the time of a job called directly and through the engine, on the wall and on the processor, us.
struct Sitting {
    identical: String,
    size: usize,
    /// Direct and through the engine, each on the wall and on the processor.
    times: [f64; 4],
}

impl Sitting {
    /// By how many hundredths the engine takes longer, on the wall or on the processor.
    fn over(&self, clock: usize) -> f64 {
        (self.times[clock + 2] / self.times[clock] - 1.0) * 100.0
    }

    fn line(&self) -> String {
        let [a, b, c, d] = self.times;
        format!("{};{};{a};{b};{c};{d}", self.identical, self.size)
    }

    fn parse(line: &str) -> Self {
        let mut parts = line.split(';');
        let identical = parts.next().unwrap().to_owned();
        let size = parts.next().unwrap().parse().unwrap();
        let times = std::array::from_fn(|_| parts.next().unwrap().parse().unwrap());
        Self {
            identical,
            size,
            times,
        }
    }
}

/// The engine of one thread against the kernel, in turns.
fn sitting(rounds: usize) -> Vec<Sitting> {
    let sharing = builder().share_identical(true).cpu_threads(1);
    let most = LARGE[2];
    let engines = [
        ("not looked for", one_thread(), batch(&pool(), most)),
        ("looked for", sharing.build().unwrap(), distinct(most)),
    ];
    let mut found = Vec::new();
    for (name, engine, jobs) in engines {
        for size in LARGE {
            let jobs = batch(&jobs, size);
            // Small batches are measured more often.
            let rounds = rounds * (most / size).min(32);
            let mut wall: [Vec<f64>; 2] = Default::default();
            let mut spent: [Vec<f64>; 2] = Default::default();
            for _ in 0..rounds {
                // Copied just before: each finds its jobs where the copy left them.
                let first = jobs.clone();
                let plain = both(|| direct(black_box(first)));
                let second = jobs.clone();
                let asked = both(|| through(&engine, black_box(second)));
                for (who, (a, b)) in [plain, asked].into_iter().enumerate() {
                    wall[who].push(a);
                    spent[who].push(b);
                }
            }
            let [a, c] = wall.map(|times| at(&sorted(times), 0.1) / size as f64 * 1e6);
            // The system counts in ticks: a mean over many turns is finer than any one of them.
            let mean = |times: Vec<f64>| times.iter().sum::<f64>() / (rounds * size) as f64 * 1e6;
            let [b, d] = spent.map(mean);
            found.push(Sitting {
                identical: name.to_owned(),
                size,
                times: [a, b, c, d],
            });
        }
    }
    found
}

/// Where memory comes to lie makes either side quicker by some hundredths for as long as a process lives. So many processes
/// sit, one after another, and the median of their ratios counts.
fn overhead(effort: &Effort, asked: &mut Asked) -> String {
    let mut sittings = Vec::new();
    if effort.sittings == 0 {
        sittings = sitting(effort.rounds);
    }
    for _ in 0..effort.sittings {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .arg(SITTING)
            .output()
            .unwrap();
        assert!(child.status.success(), "a sitting failed");
        let text = String::from_utf8(child.stdout).unwrap();
        sittings.extend(text.lines().map(Sitting::parse));
    }
    let mut report = format!(
        "us a job, medians over {} processes of each one's 10th percentile on the wall and mean on the processor; the overhead is the median of theirs.\n\n| identical jobs | batch | direct | pars-engine | overhead | from | to | direct, processor | pars-engine, processor | overhead |\n|---|---|---|---|---|---|---|---|---|---|\n",
        effort.sittings.max(1)
    );
    for identical in ["not looked for", "looked for"] {
        for size in LARGE {
            let of = |sitting: &&Sitting| sitting.identical == identical && sitting.size == size;
            let of: Vec<&Sitting> = sittings.iter().filter(of).collect();
            let all = |what: &dyn Fn(&Sitting) -> f64| {
                sorted(of.iter().map(|sitting| what(sitting)).collect())
            };
            let [a, b, c, d] =
                std::array::from_fn(|clock| at(&all(&|sitting| sitting.times[clock]), 0.5));
            let overs = all(&|sitting| sitting.over(0));
            let (wall, least, most) = (at(&overs, 0.5), at(&overs, 0.0), at(&overs, 1.0));
            let processor = at(&all(&|sitting| sitting.over(1)), 0.5);
            let _ = writeln!(
                report,
                "| {identical} | {size} | {a:.3} | {c:.3} | {wall:+.2} % | {least:+.2} | {most:+.2} | {b:.3} | {d:.3} | {processor:+.2} % |",
            );
            if size >= 1_024 {
                asked.push((
                    format!(
                        "overhead at batches of {size}, identical jobs {identical}: at most 2 %"
                    ),
                    format!("{wall:+.2} % on the wall, {processor:+.2} % on the processor"),
                ));
            }
        }
    }
    report
}

/// What the engine itself takes for a job, by batches of jobs that take nothing.
fn bookkeeping(effort: &Effort) -> String {
    let engine = builder()
        .without_standard_kernels()
        .kernel::<Nothing>()
        .cpu_threads(1)
        .build()
        .unwrap();
    let mut report =
        String::from("ns a job, 10th percentile.\n\n| batch | rounds | ns |\n|---|---|---|\n");
    for size in LARGE {
        let jobs = vec![NoJob([0; 4]); size];
        let rounds = effort.rounds * 16;
        let turns = (0..rounds).map(|_| {
            let jobs = jobs.clone();
            time(|| {
                let answers = engine.call_many_blocking::<Nothing>(black_box(jobs));
                assert!(answers.unwrap().into_iter().all(|yes| yes));
            })
        });
        let nanos = at(&sorted(turns.collect()), 0.1) / size as f64 * 1e9;
        let _ = writeln!(report, "| {size} | {rounds} | {nanos:.0} |");
    }
    report
}

/// One job at a time on an idle engine. Each way takes turns with the direct call and with no other: threads that
/// another way has woken would be in its way.
fn latency(effort: &Effort, pool: &[VerifyJob], asked_for: &mut Asked) -> String {
    let engine = builder().build().unwrap();
    let ways: [(&str, &dyn Fn(VerifyJob) -> bool); 3] = [
        ("call_blocking", &|job| {
            engine.call_blocking::<MlDsaVerify>(job).unwrap()
        }),
        ("submit, wait", &|job| {
            let ticket = engine.submit::<MlDsaVerify>(job).unwrap();
            ticket.wait().unwrap()
        }),
        ("call, block_on", &|job| {
            futures::executor::block_on(engine.call::<MlDsaVerify>(job)).unwrap()
        }),
    ];
    let mut report = format!(
        "{} jobs each way, us.\n\n| way | direct p50 | direct p99 | p50 | p99 | added p50 | added p99 |\n|---|---|---|---|---|---|---|\n",
        effort.singles
    );
    for (name, way) in ways {
        let (mut plain, mut asked) = (Vec::new(), Vec::new());
        for _ in 0..effort.singles {
            let [first, second] = [pool[0].clone(), pool[0].clone()];
            plain.push(time(|| assert!(mldsa::verify(black_box(&first)))));
            asked.push(time(|| assert!(way(black_box(second)))));
        }
        let (plain, asked) = (sorted(plain), sorted(asked));
        let [a, b, c, d] = [
            at(&plain, 0.5),
            at(&plain, 0.99),
            at(&asked, 0.5),
            at(&asked, 0.99),
        ]
        .map(|seconds| seconds * 1e6);
        let _ = writeln!(
            report,
            "| {name} | {a:.1} | {b:.1} | {c:.1} | {d:.1} | {:+.1} | {:+.1} |",
            c - a,
            d - b
        );
        asked_for.push((
            format!(
                "one job on an idle engine, {name}: at most 20 us more at the median, 100 us at p99"
            ),
            format!("{:+.1} us, {:+.1} us", c - a, d - b),
        ));
    }
    report
}

/// An open loop at shares of the capacity; also the curves of a plot.
fn under_load(effort: &Effort, asked: &mut Asked) -> (String, Vec<Panel>) {
    // The generator has a core of its own, where there is more than one.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (threads - 1).max(1);
    let engine = builder()
        .cpu_threads(threads)
        .queue_jobs(QUEUE)
        .build()
        .unwrap();
    // More than are in flight: no two threads hold the same one.
    let all = distinct(2 * QUEUE);
    let jobs = batch(&all, QUEUE / 2);
    let turns: Vec<f64> = (0..effort.rounds.min(9))
        .map(|_| {
            let jobs = jobs.clone();
            time(|| through(&engine, jobs))
        })
        .collect();
    let capacity = jobs.len() as f64 / at(&sorted(turns), 0.5);
    let mut report = format!(
        "{threads} CPU threads, {capacity:.0} verifications a second in batches of {}, at most {QUEUE} jobs in the engine. ms.\n\n| offered | arrived | answered a second | of capacity | refused | p50 | p99 | consensus p50 | consensus p99 | most jobs |\n|---|---|---|---|---|---|---|---|---|---|\n",
        jobs.len()
    );
    let mut points: [Vec<(f64, f64)>; 4] = Default::default();
    let (mut quiet, mut busy) = (f64::NAN, f64::NAN);
    let (mut least, mut most_bytes) = (f64::INFINITY, 0);
    for share in LOADS {
        let load = Load {
            rate: capacity * share,
            time: effort.load,
            warm_up: effort.load / 4,
            urgent_every: 100,
        };
        let mut jobs = all.iter().cloned().cycle();
        let outcome =
            load::offer::<MlDsaVerify>(&engine, &load, |_| jobs.next(), |valid| !*valid).unwrap();
        assert_eq!(outcome.wrong, 0, "an answer is wrong or missing");
        assert!(outcome.peak_jobs <= QUEUE);
        let millis = |times: &[f64], share| at(times, share) * 1e3;
        let (p50, p99) = (
            millis(&outcome.latencies, 0.5),
            millis(&outcome.latencies, 0.99),
        );
        let urgent = millis(&outcome.urgent, 0.99);
        if share == LOADS[0] {
            quiet = urgent;
        }
        busy = urgent;
        most_bytes = most_bytes.max(outcome.peak_bytes);
        if share > 1.05 {
            least = least.min(outcome.throughput / capacity * 100.0);
        }
        let percent = share * 100.0;
        let _ = writeln!(
            report,
            "| {percent:.0} % | {} | {:.0} | {:.1} % | {} | {p50:.2} | {p99:.2} | {:.2} | {urgent:.2} | {} |",
            outcome.offered,
            outcome.throughput,
            outcome.throughput / capacity * 100.0,
            outcome.refused,
            millis(&outcome.urgent, 0.5),
            outcome.peak_jobs
        );
        let figures = [outcome.throughput, p50, p99, urgent];
        for (points, figure) in points.iter_mut().zip(figures) {
            points.push((percent, figure));
        }
    }
    let stats = engine.stats();
    let longest = &stats.kernels[0].backends[0].kernel_time;
    let _ = writeln!(
        report,
        "\nThe p99 of consensus rose by {:.2} ms from the first load to the last. A batch ran {:.2} ms at p99 and {:.2} ms at most.",
        busy - quiet,
        longest.quantile(0.99) as f64 / 1e6,
        longest.max() as f64 / 1e6
    );
    asked.extend([
        (
            "throughput past saturation: at least 95 % of capacity".to_owned(),
            format!("{least:.1} % at the least, from 110 % to 150 % offered"),
        ),
        (
            "queue under its bounds".to_owned(),
            format!("{most_bytes} bytes at the most; never more than {QUEUE} jobs"),
        ),
        (
            "consensus p99 rises by no more than one batch's time".to_owned(),
            format!(
                "{:+.2} ms; a batch ran {:.2} ms at p99, {:.2} ms at most",
                busy - quiet,
                longest.quantile(0.99) as f64 / 1e6,
                longest.max() as f64 / 1e6
            ),
        ),
    ]);
    let offered = || Axis::new("offered load, % of capacity", Scale::Linear);
    let [rate, p50, p99, urgent] = points;
    let curve = |name: &str, points| Curve {
        name: name.to_owned(),
        dashed: false,
        points,
    };
    let panels = vec![
        Panel {
            title: "Throughput".to_owned(),
            x: offered(),
            y: Axis::new("verifications a second", Scale::Linear),
            curves: vec![curve("answered", rate)],
        },
        Panel {
            title: "Latency from arrival".to_owned(),
            x: offered(),
            y: Axis::new("milliseconds", Scale::Log10),
            curves: vec![
                curve("pool, p50", p50),
                curve("pool, p99", p99),
                curve("consensus, p99", urgent),
            ],
        },
    ];
    (report, panels)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == SITTING) {
        for found in sitting(SITTING_ROUNDS) {
            println!("{}", found.line());
        }
        return;
    }
    let full = arguments.iter().any(|argument| argument == "--bench");
    let effort = if full { Effort::FULL } else { Effort::QUICK };
    let save = arguments
        .iter()
        .position(|argument| argument == "--save")
        .and_then(|at| arguments.get(at + 1))
        .map(PathBuf::from);
    let chosen: Vec<&str> = ["groups", "overhead", "bookkeeping", "latency", "load"]
        .into_iter()
        .filter(|name| arguments.iter().any(|argument| argument == name))
        .collect();
    let wanted = |name| chosen.is_empty() || chosen.contains(&name);
    println!("cpu: {}", pars_kernels::cpu::features());
    let pool = pool();
    if wanted("groups") {
        // Criterion reads the command line by itself, but knows no `--save` and none of our names.
        let criterion = Criterion::default();
        if full {
            groups(&mut criterion.with_output_color(false), &pool);
        } else {
            let mut criterion = criterion.configure_from_args();
            groups(&mut criterion, &pool);
        }
    }
    let mut reports = Vec::new();
    let mut panels = Vec::new();
    let mut asked = Asked::new();
    if wanted("overhead") {
        reports.push((
            "engine/mldsa65-verify: overhead",
            overhead(&effort, &mut asked),
        ));
    }
    if wanted("bookkeeping") {
        reports.push((
            "engine/nothing: the engine's own time",
            bookkeeping(&effort),
        ));
    }
    if wanted("latency") {
        reports.push((
            "engine/mldsa65-verify: one job",
            latency(&effort, &pool, &mut asked),
        ));
    }
    if wanted("load") {
        let (report, drawn) = under_load(&effort, &mut asked);
        reports.push(("engine/mldsa65-verify: offered load", report));
        panels = drawn;
    }
    let mut text = String::new();
    for (name, report) in reports {
        let _ = writeln!(text, "## {name}\n\n{report}");
    }
    if !asked.is_empty() {
        let _ = writeln!(
            text,
            "## asked and measured\n\n| asked | measured |\n|---|---|"
        );
    }
    for (what, measured) in &asked {
        let _ = writeln!(text, "| {what} | {measured} |");
    }
    print!("{text}");
    if let Some(folder) = save {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("engine.md"), text).unwrap();
        let drawn = plot::svg("The engine under offered load, ML-DSA-65", 2, &panels);
        std::fs::write(folder.join("engine.svg"), drawn).unwrap();
    }
}
