//! `parsctl engine devices`: what the engine finds on this machine, and what it makes of it.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use pars_engine::{DeviceReport, Routing, SelfTestReport};
use serde_json::{Value, json};

use super::table::Table;
use super::{Adapters, CtlError, ready_engine};

#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) adapters: Adapters,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<ExitCode, CtlError> {
    let engine = ready_engine(options.adapters.policy(), Routing::Measured, &[])?;
    let report = engine.devices();
    if options.json {
        serde_json::to_writer_pretty(&mut *out, &json(&report))?;
        writeln!(out)?;
    } else {
        text(&report, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(report: &DeviceReport, out: &mut dyn Write) -> Result<(), CtlError> {
    let mut table = Table::new(5, ["back end", "kind", "interface", "driver", "state"]);
    let cpu = &report.cpu;
    let threads = if cpu.threads == 1 {
        "thread"
    } else {
        "threads"
    };
    table.row([
        "cpu".to_owned(),
        format!("{} {threads}", cpu.threads),
        "-".to_owned(),
        cpu.features.clone(),
        "in use".to_owned(),
    ]);
    for adapter in &report.adapters {
        let about = &adapter.adapter;
        table.row([
            about.name.clone(),
            about.kind.to_string(),
            about.backend.clone(),
            about.driver.clone(),
            adapter.state.to_string(),
        ]);
    }
    table.write(out)?;
    writeln!(out)?;
    if !report.gpu_built_in {
        writeln!(out, "This build has no GPU code.")?;
    } else if report.adapters.is_empty() && report.policy != "off" {
        writeln!(
            out,
            "No adapter was found: no Vulkan, Metal or DirectX 12 driver is installed."
        )?;
    }
    writeln!(out, "GPU policy: {}", report.policy)?;
    for route in &report.routes {
        writeln!(out, "{}: {}", route.kernel, route.why)?;
        let cpu = route.cpu;
        writeln!(
            out,
            "  one CPU thread: {} a batch and {} a job",
            time(cpu.fixed),
            time(cpu.job)
        )?;
        for (name, cost, _) in &route.devices {
            writeln!(
                out,
                "  {name}: {} a batch and {} a job",
                time(cost.fixed),
                time(cost.job)
            )?;
        }
    }
    writeln!(out)?;
    for test in self_tests(report) {
        writeln!(out, "self-test {test}")?;
    }
    Ok(())
}

fn self_tests(report: &DeviceReport) -> impl Iterator<Item = &SelfTestReport> {
    let devices = report
        .adapters
        .iter()
        .flat_map(|adapter| &adapter.self_tests);
    report.cpu.self_tests.iter().chain(devices)
}

/// A time in the unit that suits it.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else if seconds >= 1e-3 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{:.2} us", seconds * 1e6)
    }
}

fn json(report: &DeviceReport) -> Value {
    let test = |test: &SelfTestReport| {
        json!({
            "kernel": test.kernel, "backend": test.backend, "answers": test.answers,
            "undecided": test.undecided, "seconds": test.time.as_secs_f64(),
            "passed": test.passed(), "failure": test.failure,
        })
    };
    let adapters: Vec<Value> = report
        .adapters
        .iter()
        .map(|adapter| {
            json!({
                "name": adapter.adapter.name,
                "kind": adapter.adapter.kind.to_string(),
                "interface": adapter.adapter.backend,
                "driver": adapter.adapter.driver,
                "used": adapter.state == pars_engine::DeviceState::Ready,
                "state": adapter.state.to_string(),
                "failures": adapter.failures,
                "self_tests": adapter.self_tests.iter().map(test).collect::<Vec<_>>(),
            })
        })
        .collect();
    let routes: Vec<Value> = report
        .routes
        .iter()
        .map(|route| {
            let devices: Vec<Value> = route
                .devices
                .iter()
                .map(|(name, cost, from)| {
                    json!({
                        "name": name, "batch_seconds": cost.fixed.as_secs_f64(),
                        "job_seconds": cost.job.as_secs_f64(), "from_batch": from,
                    })
                })
                .collect();
            json!({
                "kernel": route.kernel, "cpu_batch_seconds": route.cpu.fixed.as_secs_f64(),
                "cpu_job_seconds": route.cpu.job.as_secs_f64(),
                "devices": devices, "why": route.why,
            })
        })
        .collect();
    json!({
        "cpu": {
            "features": report.cpu.features, "threads": report.cpu.threads,
            "self_tests": report.cpu.self_tests.iter().map(test).collect::<Vec<_>>(),
        },
        "gpu_built_in": report.gpu_built_in,
        "policy": report.policy,
        "adapters": adapters,
        "routes": routes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pars_engine::{Engine, GpuPolicy, fault::FaultScript};

    fn report() -> DeviceReport {
        let engine = Engine::builder()
            .gpu(GpuPolicy::Off)
            .faulty_device(FaultScript::new().named("Sound One"))
            .build()
            .unwrap();
        assert!(engine.wait_ready(Duration::from_secs(60)));
        engine.devices()
    }

    #[test]
    fn text_names_back_ends_and_reasons() {
        let mut out = Vec::new();
        text(&report(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for part in [
            "cpu ",
            "Sound One",
            "scripted",
            "in use",
            "mldsa/verify: ",
            "self-test mldsa/verify on cpu: ",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn json_has_the_same_facts() {
        let value = json(&report());
        assert_eq!(value["adapters"][0]["name"], "Sound One");
        assert_eq!(value["adapters"][0]["used"], true);
        assert_eq!(value["cpu"]["self_tests"][0]["passed"], true);
        assert_eq!(value["routes"][0]["kernel"], "mldsa/verify");
    }
}
