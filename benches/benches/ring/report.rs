//! Tables and plots of groups whose rows took turns.

use std::fmt::Write;
use std::{io, path::Path};

use pars_kernels::gpu::AdapterInfo;

use crate::compare::Entry;
use crate::plot::{self, Axis, Curve, Panel, Scale};

/// A group: batch and figures of each row.
pub struct Table {
    pub id: &'static str,
    pub rounds: usize,
    pub rows: Vec<(usize, Entry)>,
}

/// What was asked: group, who, fewest items of a batch, how many times as quick as the best peer.
const GOALS: [(&str, &str, usize, f64); 6] = [
    ("clsag16/verify", "pars-avx512", 32, 6.0),
    ("clsag16/verify", "pars-avx2", 32, 1.3),
    ("lsag16-secp256k1/verify", "pars-avx512", 32, 5.0),
    ("secp256k1/recover", "pars-avx512", 64, 5.0),
    ("secp256k1/recover", "pars-avx2", 64, 1.0),
    ("ed25519/verify", "pars-avx512", 64, 2.5),
];

fn is_ours(entry: &Entry) -> bool {
    entry.who.starts_with("pars-")
}

impl Table {
    /// The quickest of the others, by the 10th percentile.
    fn best_peer(&self) -> Option<&Entry> {
        self.rows
            .iter()
            .map(|(_, entry)| entry)
            .filter(|entry| !is_ours(entry))
            .min_by(|a, b| a.p10.total_cmp(&b.p10))
    }

    /// How many times as quick as the best peer.
    fn ratio(&self, entry: &Entry) -> Option<f64> {
        Some(self.best_peer()?.p10 / entry.p10)
    }

    pub fn markdown(&self) -> String {
        let peer = self.best_peer().map_or("a peer", |peer| &peer.who);
        let mut out = format!(
            "### {}\n\n| who | batch | µs an item, 10th percentile | µs, median | a second on one core | ratio to {peer} |\n| --- | ---: | ---: | ---: | ---: | ---: |\n",
            self.id
        );
        for (items, entry) in &self.rows {
            let ratio = self.ratio(entry).unwrap_or(f64::NAN);
            let _ = writeln!(
                out,
                "| `{}` | {items} | {:.2} | {:.2} | {:.0} | {ratio:.2} |",
                entry.who,
                entry.p10 * 1e6,
                entry.median * 1e6,
                1.0 / entry.p10
            );
        }
        let _ = writeln!(out, "\n{} rounds.\n", self.rounds);
        out
    }

    /// Throughput against batch size. Peers take one item after another, so theirs is the same for all batches.
    fn panel(&self) -> Panel {
        let largest = self.rows.iter().map(|(items, _)| *items).max();
        let across = [1.0, largest.unwrap_or(1) as f64];
        let mut curves: Vec<Curve> = Vec::new();
        for (items, entry) in &self.rows {
            let rate = 1.0 / entry.p10;
            match curves.iter_mut().find(|curve| curve.name == entry.who) {
                Some(curve) => curve.points.push((*items as f64, rate)),
                None => curves.push(Curve {
                    name: entry.who.clone(),
                    // Prepared members beside those that are not.
                    dashed: !is_ours(entry) || entry.who.ends_with("-known"),
                    points: match is_ours(entry) {
                        true => vec![(*items as f64, rate)],
                        false => across.map(|at| (at, rate)).to_vec(),
                    },
                }),
            }
        }
        Panel {
            title: self.id.to_owned(),
            x: Axis::new("signatures in a batch", Scale::Log2),
            y: Axis::new("a second", Scale::Log10),
            curves,
        }
    }
}

/// What was asked and what was measured, in the smallest batch that the goal speaks of.
pub fn goals(tables: &[Table]) -> String {
    let mut out = String::from(
        "### asked and measured\n\nTimes as quick as the best peer, on one core.\n\n| group | who | batch | asked | measured |\n| --- | --- | ---: | ---: | ---: |\n",
    );
    for (id, who, fewest, asked) in GOALS {
        let found = tables
            .iter()
            .filter(|table| table.id == id)
            .find_map(|table| {
                let mut rows = table.rows.iter();
                let (items, entry) =
                    rows.find(|(items, entry)| entry.who == who && *items >= fewest)?;
                Some((items, table.ratio(entry)?))
            });
        // A processor without the level has no such row.
        if let Some((items, measured)) = found {
            let _ = writeln!(
                out,
                "| {id} | `{who}` | {items} | {asked} | {measured:.2} |"
            );
        }
    }
    out.push('\n');
    out
}

/// Writes `ring.md` and `ring.svg`.
pub fn save(
    folder: &Path,
    machine: &str,
    device: Option<&AdapterInfo>,
    tables: &[Table],
) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let device = match device {
        Some(info) => format!("`pars-gpu` is {info}"),
        None => "No GPU".to_owned(),
    };
    let mut markdown = format!(
        "# Ring signatures and the curves under them\n\n{machine}. {device}.\n\nOne thread; the rows of a group take turns in one process, and a turn of less than a millisecond is timed right after one that is not.\nA ratio compares 10th percentiles, above 1 is quicker than the best peer. Made by `cargo bench -p pars-benches --bench ring -- --save`.\n\n![throughput against batch size](ring.svg)\n\n"
    );
    markdown.push_str(&goals(tables));
    for table in tables {
        markdown.push_str(&table.markdown());
    }
    std::fs::write(
        folder.join("ring.md"),
        markdown.trim_end().to_owned() + "\n",
    )?;
    let panels: Vec<_> = tables.iter().map(Table::panel).collect();
    let title = "Signatures a second on one core, against batch size";
    std::fs::write(folder.join("ring.svg"), plot::svg(title, 2, &panels))
}
