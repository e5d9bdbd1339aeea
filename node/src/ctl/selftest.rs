//! `parsctl engine selftest`: known answers on every back end.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use pars_engine::{DeviceState, Engine, Routing};

use super::table::Table;
use super::{Adapters, CtlError, devices::time, kernels, ready_engine, require_named};

#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    adapters: Adapters,
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<ExitCode, CtlError> {
    let policy = options.adapters.policy();
    let engine = ready_engine(policy.clone(), Routing::PreferDevice, &kernels::ALL)?;
    require_named(&policy, &engine)?;
    report(&engine, out)
}

fn report(engine: &Engine, out: &mut dyn Write) -> Result<ExitCode, CtlError> {
    let reports = engine.self_test();
    let mut table = Table::new(
        2,
        [
            "back end",
            "kernel",
            "answers",
            "undecided",
            "time",
            "result",
        ],
    );
    for report in &reports {
        table.row([
            report.backend.clone(),
            report.kernel.to_owned(),
            report.answers.to_string(),
            report.undecided.to_string(),
            time(report.time),
            if report.passed() {
                "right".to_owned()
            } else {
                "WRONG".to_owned()
            },
        ]);
    }
    table.write(out)?;
    writeln!(out)?;
    let mut failures = reports.iter().filter(|report| !report.passed()).count();
    for report in reports.iter().filter(|report| !report.passed()) {
        writeln!(out, "{report}")?;
    }
    for adapter in engine.devices().adapters {
        match &adapter.state {
            DeviceState::Ready => {}
            DeviceState::NotChosen { .. } => {
                writeln!(out, "{}: {}", adapter.adapter.name, adapter.state)?;
            }
            // A device that did not even open has no self-test to show.
            state => {
                writeln!(out, "{}: {state}", adapter.adapter.name)?;
                failures += usize::from(adapter.self_tests.is_empty());
            }
        }
    }
    if failures == 0 {
        writeln!(
            out,
            "passed: {} self-tests, every answer right",
            reports.len()
        )?;
        Ok(ExitCode::SUCCESS)
    } else {
        writeln!(
            out,
            "FAILED: {failures}. The engine does not use a device that fails."
        )?;
        Ok(ExitCode::FAILURE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pars_engine::GpuPolicy;
    use pars_engine::fault::{Fault, FaultScript};
    use std::time::Duration;

    fn outcome(script: FaultScript) -> (String, ExitCode) {
        let engine = Engine::builder()
            .gpu(GpuPolicy::Off)
            .faulty_device(script)
            .build()
            .unwrap();
        assert!(engine.wait_ready(Duration::from_secs(60)));
        let mut out = Vec::new();
        let code = report(&engine, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), code)
    }

    #[test]
    fn a_sound_machine_passes() {
        let (text, code) = outcome(FaultScript::new());
        assert_eq!(code, ExitCode::SUCCESS, "{text}");
        assert!(text.contains("passed: 2 self-tests"), "{text}");
    }

    #[test]
    fn a_wrong_or_dead_device_fails_the_command() {
        for script in [
            FaultScript::new().in_self_test(Fault::Garbage),
            FaultScript::new().in_self_test(Fault::Panic),
            FaultScript::new().opens(0),
        ] {
            let (text, code) = outcome(script);
            assert_eq!(code, ExitCode::FAILURE, "{text}");
            assert!(text.contains("FAILED: 1."), "{text}");
        }
    }
}
