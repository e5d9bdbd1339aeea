//! Which tracer was asked for, and how long it may take.

use std::time::Duration;

use alloy_rpc_types_trace::geth::{
    GethDebugBuiltInTracerType, GethDebugTracerType, GethDebugTracingOptions,
};

use super::TraceError;

/// Time one transaction may take under a tracer where nothing else is said, as in geth.
const DEFAULT_TIME: Duration = Duration::from_secs(5);

/// What a tracer may use.
#[derive(Clone, Copy, Debug)]
pub struct TraceLimits {
    /// Longest time of one answer, whatever timeout its client names.
    pub time: Duration,
    /// Most bytes that one answer may hold in memory, roughly counted.
    pub bytes: usize,
}

impl Default for TraceLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
            bytes: 256 << 20,
        }
    }
}

/// What of each instruction a tracer keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    /// The instructions themselves.
    pub(super) steps: bool,
    pub(super) stack: bool,
    pub(super) memory: bool,
    pub(super) storage: bool,
    pub(super) returndata: bool,
}

impl Kept {
    pub(super) fn by(options: &GethDebugTracingOptions) -> Self {
        let config = &options.config;
        match &options.tracer {
            None => Self {
                steps: true,
                stack: !config.disable_stack.unwrap_or_default(),
                memory: config.is_memory_enabled(),
                storage: !config.disable_storage.unwrap_or_default(),
                returndata: config.is_return_data_enabled(),
            },
            Some(GethDebugTracerType::JsTracer(name)) if name.is_empty() => Self::by(
                // An empty name means the struct logger, as no name does.
                &GethDebugTracingOptions {
                    tracer: None,
                    ..options.clone()
                },
            ),
            Some(GethDebugTracerType::BuiltInTracer(GethDebugBuiltInTracerType::Erc7562Tracer)) => {
                Self {
                    steps: true,
                    stack: true,
                    memory: true,
                    storage: true,
                    returndata: false,
                }
            }
            Some(_) => Self::default(),
        }
    }
}

/// The time one transaction may take: what the client says, as a Go duration such as `10s`, but
/// no longer than `most`.
pub(super) fn time(
    options: &GethDebugTracingOptions,
    most: Duration,
) -> Result<Duration, TraceError> {
    let Some(text) = &options.timeout else {
        return Ok(DEFAULT_TIME.min(most));
    };
    go_duration(text)
        .map(|time| time.min(most))
        .ok_or_else(|| TraceError::Settings(format!("time: invalid duration {text:?}")))
}

/// `text` as Go's `time.ParseDuration` reads it; `None` for what it refuses, and for less than
/// nothing.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest
            .find(|char: char| !char.is_ascii_digit() && char != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|char: char| char.is_ascii_digit() || char == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = after;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [
            ("0", 0),
            ("300ms", 300),
            ("10s", 10_000),
            ("1.5s", 1_500),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("+5s", 5_000),
            ("2000us", 2),
        ] {
            assert_eq!(
                go_duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "1.2.3s",
            "5 s",
            "1d",
            "9999999999999999999h",
            "+",
        ] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn the_operator_limits_the_time() {
        let most = Duration::from_secs(7);
        let mut options = GethDebugTracingOptions::default();
        assert_eq!(time(&options, most).unwrap(), DEFAULT_TIME);
        options.timeout = Some("1h".to_owned());
        assert_eq!(time(&options, most).unwrap(), most);
        options.timeout = Some("soon".to_owned());
        assert!(time(&options, most).is_err());
    }
}
