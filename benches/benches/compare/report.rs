//! Tables of what was measured, as Markdown and JSON.

use std::{fmt::Write, io, path::Path};

/// One competitor's rounds, in seconds an item.
pub struct Entry {
    pub who: String,
    pub p10: f64,
    pub median: f64,
}

impl Entry {
    pub fn new(who: &str, mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        Self {
            who: who.to_owned(),
            p10: at(0.1),
            median: at(0.5),
        }
    }

    /// From the seconds of turns of so many items.
    pub fn of_turns(who: &str, mut times: Vec<f64>, items: usize) -> Self {
        for time in &mut times {
            *time /= items as f64;
        }
        Self::new(who, times)
    }

    fn is_ours(&self) -> bool {
        self.who.starts_with("pars-")
    }
}

/// One comparison.
pub struct Table {
    pub id: String,
    pub items: usize,
    /// Cores that everybody has.
    pub cores: usize,
    pub rounds: usize,
    pub entries: Vec<Entry>,
}

impl Table {
    /// The quickest of the others, by the 10th percentile.
    fn best_peer(&self) -> Option<&Entry> {
        self.entries
            .iter()
            .filter(|entry| !entry.is_ours())
            .min_by(|a, b| a.p10.total_cmp(&b.p10))
    }

    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let best = self.best_peer();
        let _ = writeln!(
            out,
            "### {}, batch of {}\n\n| who | µs, 10th percentile | µs, median | a second on {} | ratio to {} |\n| --- | ---: | ---: | ---: | ---: |",
            self.id,
            self.items,
            if self.cores == 1 {
                "one core".to_owned()
            } else {
                format!("{} cores", self.cores)
            },
            best.map_or("a peer", |best| &best.who),
        );
        for entry in &self.entries {
            let ratio = best.map_or("–".to_owned(), |best| {
                format!("{:.2}", best.p10 / entry.p10)
            });
            let _ = writeln!(
                out,
                "| `{}` | {:.3} | {:.3} | {:.0} | {ratio} |",
                entry.who,
                entry.p10 * 1e6,
                entry.median * 1e6,
                1.0 / entry.p10,
            );
        }
        let _ = writeln!(out, "\n{} rounds.\n", self.rounds);
        out
    }

    fn json(&self) -> String {
        let entries: Vec<String> = self
            .entries
            .iter()
            .map(|entry| {
                format!(
                    r#"{{"who":"{}","p10_ns":{:.1},"median_ns":{:.1}}}"#,
                    entry.who,
                    entry.p10 * 1e9,
                    entry.median * 1e9
                )
            })
            .collect();
        format!(
            r#"{{"id":"{}","batch":{},"cores":{},"rounds":{},"entries":[{}]}}"#,
            self.id,
            self.items,
            self.cores,
            self.rounds,
            entries.join(",")
        )
    }
}

/// Processor, its features, threads and compiler profile.
pub fn machine() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| "unknown processor".to_owned());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let profile = if cfg!(debug_assertions) {
        "development profile: no figures to quote"
    } else {
        "release profile, no target-cpu flag"
    };
    format!(
        "{model}, {threads} threads, {}; {profile}",
        pars_kernels::cpu::features()
    )
}

/// Permutations of Keccak in a verification with a fresh key: matrix, key hash, final hash, message and challenge.
const PERMUTATIONS: [(&str, f64); 3] = [("mldsa44", 99.0), ("mldsa65", 174.0), ("mldsa87", 311.0)];

/// What share of a verification in a batch of 64 its permutations alone would take, at the rate of the permutation's
/// own table: the fraction of the hashing bound that is reached.
pub fn hashing_bound(tables: &[Table]) -> String {
    let mut out = String::from(
        "### The hashing bound\n\nA verification with a fresh key cannot be quicker than its permutations of Keccak.\n\n\
         | who | set | permutations | they alone, µs | verification, µs | fraction of the bound |\n\
         | --- | --- | ---: | ---: | ---: | ---: |\n",
    );
    let table = |id: &str, items: Option<usize>| {
        let mut of_id = tables.iter().filter(|table| table.id.starts_with(id));
        of_id.find(|table| items.is_none_or(|items| table.items == items))
    };
    let Some(permutation) = table("keccak/f1600", None) else {
        return out;
    };
    for (set, count) in PERMUTATIONS {
        let Some(verify) = table(&format!("{set}/verify, 64-byte"), Some(64)) else {
            continue;
        };
        for one in permutation.entries.iter().filter(|entry| entry.is_ours()) {
            let same = |entry: &&Entry| entry.who == one.who;
            if let Some(whole) = verify.entries.iter().find(same) {
                let _ = writeln!(
                    out,
                    "| `{}` | {set} | {count} | {:.2} | {:.2} | {:.0} % |",
                    one.who,
                    one.p10 * count * 1e6,
                    whole.p10 * 1e6,
                    one.p10 * count / whole.p10 * 100.0,
                );
            }
        }
    }
    out.push('\n');
    out
}

/// Writes `README.md`, `figures.json` and `throughput.svg`.
pub fn save(folder: &Path, machine: &str, tables: &[Table], svg: &str) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut markdown = format!(
        "# Measured side by side\n\n{machine}.\n\nOne thread where nothing else is said; everybody takes turns in one process, and a turn of less than a\nmillisecond is timed right after one that is not. A ratio compares 10th percentiles, above 1 is quicker than the best peer.\nMade by `cargo bench -p pars-benches --bench compare -- --save`.\n\n![throughput against batch size](throughput.svg)\n\n"
    );
    for table in tables {
        markdown.push_str(&table.markdown());
    }
    markdown.push_str(&hashing_bound(tables));
    while markdown.ends_with("\n\n") {
        markdown.pop();
    }
    std::fs::write(folder.join("README.md"), markdown)?;
    let json: Vec<String> = tables.iter().map(Table::json).collect();
    std::fs::write(
        folder.join("figures.json"),
        format!(
            "{{\"machine\":\"{machine}\",\"tables\":[\n{}\n]}}\n",
            json.join(",\n")
        ),
    )?;
    std::fs::write(folder.join("throughput.svg"), svg)
}
