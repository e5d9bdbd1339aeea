//! Reads Prometheus' text exposition format, version 0.0.4, as far as the engine writes it.

use std::collections::BTreeMap;

/// Why a text is no metrics page of an engine.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(in crate::ctl) enum PageError {
    #[error("line {line} of the page is no sample: {text:?}")]
    Line { line: usize, text: String },
    #[error("the page has no metrics of a Pars engine; is it another program's?")]
    Stranger,
}

/// Labels by name.
pub(super) type Labels = BTreeMap<String, String>;

/// The samples of one name.
pub(super) type Samples = Vec<(Labels, f64)>;

/// A page: samples by the metric's name, which here goes without its prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct Page(BTreeMap<String, Samples>);

const PREFIX: &str = "pars_engine_";

impl Page {
    /// Reads a page; metrics of others on it are passed over.
    pub(super) fn parse(text: &str) -> Result<Self, PageError> {
        let mut page = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || !line.starts_with(PREFIX) {
                continue;
            }
            let (name, labels, value) = sample(line).ok_or_else(|| PageError::Line {
                line: number + 1,
                text: line.chars().take(80).collect(),
            })?;
            let name = name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
            page.0.entry(name).or_default().push((labels, value));
        }
        if page.0.contains_key("jobs") {
            Ok(page)
        } else {
            Err(PageError::Stranger)
        }
    }

    pub(super) fn samples(&self, name: &str) -> &[(Labels, f64)] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The one sample of a name that has these labels among its own. 0 if there is none.
    pub(super) fn value(&self, name: &str, labels: &Labels) -> f64 {
        let found = self.samples(name).iter().find(|(of, _)| has(of, labels));
        found.map_or(0.0, |(_, value)| *value)
    }

    /// The buckets of a histogram: upper bound and number of values up to there.
    pub(super) fn buckets(&self, name: &str, labels: &Labels) -> Vec<(f64, f64)> {
        self.samples(&format!("{name}_bucket"))
            .iter()
            .filter(|(of, _)| has(of, labels))
            .filter_map(|(of, count)| Some((number(of.get("le")?)?, *count)))
            .collect()
    }
}

fn has(labels: &Labels, wanted: &Labels) -> bool {
    wanted
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value))
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at_checked(end)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    // A time stamp may follow the value.
    let value = number(rest.split_whitespace().next()?)?;
    Some((name, labels, value))
}

/// Reads labels up to the closing brace; also what follows it.
fn labels(mut text: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
        text = rest.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn samples_are_found_by_some_of_their_labels() {
        let page = Page::parse(
            "# HELP pars_engine_jobs x\npars_engine_jobs 3\nother{a=\"b\"} 1 2\n\
             pars_engine_x_total{kernel=\"k\",backend=\"a \\\"b\\\" \\\\ }\\n\",slot=\"1\"} 4.5e3\n\
             pars_engine_t_bucket{kernel=\"k\",le=\"0.5\"} 1\npars_engine_t_bucket{kernel=\"k\",le=\"+Inf\"} 2\n",
        )
        .unwrap();
        assert!((page.value("jobs", &Labels::new()) - 3.0).abs() < 1e-9);
        let labels = of(&[("backend", "a \"b\" \\ }\n"), ("slot", "1")]);
        assert!((page.value("x_total", &labels) - 4_500.0).abs() < 1e-9);
        assert!(page.value("x_total", &of(&[("slot", "2")])).abs() < 1e-9);
        assert_eq!(
            page.buckets("t", &of(&[("kernel", "k")])),
            [(0.5, 1.0), (f64::INFINITY, 2.0)]
        );
    }

    #[test]
    fn what_is_no_page_of_an_engine_is_refused() {
        assert_eq!(Page::parse("<html>").unwrap_err(), PageError::Stranger);
        assert_eq!(Page::parse("").unwrap_err(), PageError::Stranger);
        for line in [
            "pars_engine_jobs",
            "pars_engine_jobs x",
            "pars_engine_jobs{a=\"b} 1",
            "pars_engine_jobs{a} 1",
            "pars_engine_jobs{a=\"\\",
        ] {
            let text = format!("pars_engine_jobs 1\n{line}\n");
            assert!(
                matches!(Page::parse(&text), Err(PageError::Line { line: 2, .. })),
                "{line}"
            );
        }
    }

    #[test]
    fn a_real_page_is_read() {
        let engine = pars_engine::Engine::builder()
            .gpu(pars_engine::GpuPolicy::Off)
            .build()
            .unwrap();
        let page = Page::parse(&engine.prometheus()).unwrap();
        assert!(page.value("jobs_limit", &Labels::new()) > 1.0);
        assert!(!page.samples("backend_answered_total").is_empty());
    }
}
