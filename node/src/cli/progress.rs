//! Progress bars with rates and the time left.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle, style::TemplateError};

/// What a bar counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Bytes.
    Bytes,
    /// Blocks, accounts.
    Count,
}

/// A bar over so many units; none to be seen if it is to be silent, or where there is no terminal.
pub(super) fn bar(silent: bool, length: u64, unit: Unit) -> Result<ProgressBar, TemplateError> {
    if silent {
        return Ok(ProgressBar::hidden());
    }
    let rate = match unit {
        Unit::Bytes => "{bytes}/{total_bytes} ({binary_bytes_per_sec})",
        Unit::Count => "{human_pos}/{human_len} ({per_sec})",
    };
    let template = format!("{{msg}} {{wide_bar}} {rate}, {{elapsed}} elapsed, {{eta}} left");
    let bar = ProgressBar::new(length).with_style(ProgressStyle::with_template(&template)?);
    bar.enable_steady_tick(Duration::from_millis(250));
    Ok(bar)
}
