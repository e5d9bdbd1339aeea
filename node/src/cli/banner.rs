//! What `parsd dev` prints when it is ready.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use alloy_primitives::U256;
use alloy_primitives::utils::{format_ether, format_units};
use pars_engine::{DeviceReport, DeviceState};

use crate::Node;
use crate::accounts::{DEV_MNEMONIC, DevAccount};

const TITLE: &str = r"
 ___  __ _ _ __ ___
| _ \/ _` | '_/ __|
|  _/ (_| | | \__ \   post-quantum checks, in batches
|_|  \__,_|_| |___/";

/// What the banner tells besides what the node itself knows.
pub(super) struct Facts<'a> {
    pub(super) accounts: &'a [DevAccount],
    pub(super) balance: U256,
    pub(super) mnemonic: &'a str,
    pub(super) data_dir: Option<&'a Path>,
    pub(super) pace: Speed,
}

/// When blocks come, as the user asked for it.
pub(super) enum Speed {
    /// After transactions, and perhaps after a time without any.
    OnWork(Option<Duration>),
    /// At an interval.
    Every(Duration),
}

/// The whole text.
pub(super) fn text(node: &Node, facts: &Facts<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, node, facts);
    out
}

fn write_all(out: &mut String, node: &Node, facts: &Facts<'_>) -> std::fmt::Result {
    let context = node.context();
    let head = context.store.head();
    writeln!(out, "{TITLE}\n\nparsd {}\n", env!("CARGO_PKG_VERSION"))?;

    section(out, "Available Accounts")?;
    let balance = format_ether(facts.balance);
    let balance = balance
        .strip_suffix(".000000000000000000")
        .unwrap_or(&balance);
    for (index, account) in facts.accounts.iter().enumerate() {
        writeln!(out, "({index}) {} ({balance} PARS)", account.address)?;
    }
    section(out, "Private Keys")?;
    for (index, account) in facts.accounts.iter().enumerate() {
        writeln!(out, "({index}) {}", account.private_key)?;
    }
    section(out, "Wallet")?;
    writeln!(out, "Mnemonic:          {}", facts.mnemonic)?;
    writeln!(out, "Derivation path:   m/44'/60'/0'/0/")?;
    if facts.mnemonic == DEV_MNEMONIC {
        writeln!(out)?;
        writeln!(
            out,
            "WARNING: these keys are PUBLIC, everybody knows them. Anything sent to these"
        )?;
        writeln!(
            out,
            "         accounts on a real network is lost at once. Use them here only."
        )?;
    } else {
        writeln!(out)?;
        writeln!(
            out,
            "WARNING: these keys were just printed in the clear. Use them on this development"
        )?;
        writeln!(out, "         chain only, never for anything of value.")?;
    }

    section(out, "Chain")?;
    writeln!(out, "Network:           {}", context.spec.name)?;
    writeln!(out, "Chain ID:          {}", context.spec.chain_id)?;
    writeln!(out, "Head:              {} ({})", head.number, head.hash)?;
    writeln!(
        out,
        "Base Fee:          {} gwei",
        gwei(context.spec.next_base_fee(&head.header))
    )?;
    writeln!(out, "Gas Limit:         {}", head.header.gas_limit)?;
    let blocks = match facts.pace {
        Speed::Every(interval) => format!("every {} s", interval.as_secs_f64()),
        Speed::OnWork(None) => "within 400 ms of a transaction, none without".to_owned(),
        Speed::OnWork(Some(beat)) => {
            format!(
                "within 400 ms of a transaction, else every {} s",
                beat.as_secs_f64()
            )
        }
    };
    writeln!(out, "Blocks:            {blocks}")?;
    match facts.data_dir {
        Some(path) => writeln!(out, "Data:              {}", path.display())?,
        None => writeln!(
            out,
            "Data:              in memory, gone at the end (keep it with --data-dir)"
        )?,
    }

    section(out, "Engine")?;
    engine(out, &context.engine.devices())?;

    writeln!(
        out,
        "\nListening on http://{0} and ws://{0}\n",
        node.rpc_address()
    )
}

fn section(out: &mut String, title: &str) -> std::fmt::Result {
    writeln!(out, "\n{title}\n==================")
}

fn gwei(wei: u64) -> String {
    let text = format_units(wei, "gwei").unwrap_or_else(|_| wei.to_string());
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// The back end in use, and why.
fn engine(out: &mut String, report: &DeviceReport) -> std::fmt::Result {
    writeln!(
        out,
        "CPU:               {} threads, {}",
        report.cpu.threads, report.cpu.features
    )?;
    for adapter in &report.adapters {
        writeln!(
            out,
            "Adapter:           {}: {}",
            adapter.adapter, adapter.state
        )?;
    }
    if !report.gpu_built_in {
        writeln!(out, "Adapters:          none, this build has no GPU code")?;
    } else if report.adapters.is_empty() {
        let found = if report.starting {
            "still looking"
        } else {
            "none found"
        };
        writeln!(
            out,
            "Adapters:          {found} (policy: {})",
            report.policy
        )?;
    }
    let ready = report
        .adapters
        .iter()
        .any(|adapter| adapter.state == DeviceState::Ready);
    if !ready && !report.starting {
        writeln!(
            out,
            "In use:            the CPU alone (policy: {})",
            report.policy
        )?;
    }
    for route in &report.routes {
        writeln!(out, "{:<18} {}", format!("{}:", route.kernel), route.why)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_are_short() {
        assert_eq!(gwei(1_000_000_000), "1");
        assert_eq!(gwei(25_000_000_000), "25");
        assert_eq!(gwei(7), "0.000000007");
        assert_eq!(gwei(0), "0");
    }
}
