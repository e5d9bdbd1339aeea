//! The metrics page and the quarantine of a device that fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use pars_engine::fault::{Fault, FaultScript};
use pars_engine::{DeviceState, Engine, GpuPolicy, MlDsaVerify, Routing};
use support::{Toy, ToyJob, quiet_workers, reference};

const LONG: Duration = Duration::from_secs(20);

/// The values of a page by name and labels; checks the form of every line.
fn values(page: &str) -> HashMap<String, f64> {
    let mut values = HashMap::new();
    let mut kinds = HashSet::new();
    let mut kind = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, _) = rest.split_once(' ').unwrap();
            assert!(kinds.insert(name.to_owned()), "{name} twice");
            kind = name.to_owned();
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with(&kind), "{name} is not of {kind}");
            let value = value.parse().unwrap();
            assert!(
                values.insert(name.to_owned(), value).is_none(),
                "{name} twice"
            );
        }
    }
    values
}

fn ask(engine: &Engine, numbers: std::ops::Range<u64>) {
    let expected: Vec<_> = numbers.clone().map(reference).collect();
    let jobs = numbers.map(ToyJob::new).collect();
    assert_eq!(engine.call_many_blocking::<Toy>(jobs).unwrap(), expected);
}

#[test]
fn the_page_says_what_the_snapshot_says() {
    // Two devices of one name.
    let engine = Engine::builder()
        .gpu(GpuPolicy::Off)
        .kernel::<Toy>()
        .routing(Routing::PreferDevice)
        .faulty_device(FaultScript::new().named("a \"b\" \\"))
        .faulty_device(FaultScript::new().named("a \"b\" \\"))
        .build()
        .unwrap();
    assert!(engine.wait_ready(LONG));
    ask(&engine, 0..500);
    let (jobs, verdicts): (Vec<_>, Vec<_>) =
        pars_kernels::mldsa::known_answers().into_iter().unzip();
    assert_eq!(
        engine.call_many_blocking::<MlDsaVerify>(jobs).unwrap(),
        verdicts
    );
    let values = values(&engine.prometheus());
    let stats = engine.stats();
    for kernel in &stats.kernels {
        let of = format!("{{kernel=\"{}\"}}", kernel.kernel);
        let submitted = values[&format!("pars_engine_submitted_jobs_total{of}")];
        assert!((submitted - kernel.submitted as f64).abs() < 0.5);
        let answered: f64 = (0..3)
            .map(|slot| {
                let name = if slot == 0 { "cpu" } else { "a \\\"b\\\" \\\\" };
                let of = format!(
                    "{{kernel=\"{}\",backend=\"{name}\",slot=\"{slot}\"",
                    kernel.kernel
                );
                let count = values[&format!("pars_engine_batch_jobs_count{of}}}")];
                let all = values[&format!("pars_engine_batch_jobs_bucket{of},le=\"+Inf\"}}")];
                assert!((count - all).abs() < 0.5);
                values[&format!("pars_engine_backend_answered_total{of}}}")]
            })
            .sum();
        assert!((answered - kernel.answered() as f64).abs() < 0.5);
    }
    let misses = values["pars_engine_cache_misses_total{kernel=\"mldsa/verify\"}"];
    assert!(
        misses >= 0.0 && !values.contains_key("pars_engine_cache_misses_total{kernel=\"toy\"}")
    );
    assert!((values["pars_engine_jobs_limit"] - 65_536.0).abs() < 0.5);
}

#[test]
fn quarantine_rests_longer_each_time_tests_anew_and_is_seen() {
    quiet_workers();
    let mut script = FaultScript::new();
    for batch in 0..2 {
        script = script.at(batch, Fault::Lose);
    }
    let pause = Duration::from_millis(300);
    let engine = Engine::builder()
        .gpu(GpuPolicy::Off)
        .without_standard_kernels()
        .kernel::<Toy>()
        .routing(Routing::PreferDevice)
        .device_retries(5, pause)
        .faulty_device(script)
        .build()
        .unwrap();
    assert!(engine.wait_ready(LONG));
    let state = |name: &str| {
        let labels = format!("adapter=\"scripted device\",number=\"0\",state=\"{name}\"");
        values(&engine.prometheus())[&format!("pars_engine_device_state{{{labels}}}")] > 0.5
    };
    assert!(state("in_use") && !state("resting"));
    for failure in 1..=2_u32 {
        ask(&engine, 0..20);
        let start = Instant::now();
        let rests = loop {
            match engine.devices().adapters[0].state.clone() {
                DeviceState::Resting { pause, reason } => break (pause, reason),
                other => assert!(start.elapsed() < LONG, "{other:?}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(rests.0, pause * 2_u32.pow(failure - 1), "the pause doubles");
        assert!(rests.1.contains("as scripted"));
        assert!(failure > 1 || state("resting"));
        // Meanwhile the CPU answers.
        ask(&engine, 20..40);
        while engine.devices().adapters[0].state != DeviceState::Ready {
            assert!(start.elapsed() < LONG);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(start.elapsed() >= rests.0 / 2);
        let adapter = engine.devices().adapters.remove(0);
        assert_eq!(adapter.failures, failure);
        assert!(
            adapter
                .self_tests
                .iter()
                .all(pars_engine::SelfTestReport::passed)
        );
    }
    let before = engine.stats().kernels[0].backends[1].answered;
    ask(&engine, 0..50);
    assert_eq!(engine.stats().kernels[0].backends[1].answered, before + 50);
    let failures = "pars_engine_device_failures_total{adapter=\"scripted device\",number=\"0\"}";
    assert!((values(&engine.prometheus())[failures] - 2.0).abs() < 0.5);
}
