//! Values by dotted key, each from the layer that speaks last.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Config, ConfigError, DEFAULT};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// The command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

/// The configuration as it is put together: a value and its origin for each key.
#[derive(Debug, Clone)]
pub struct Layers {
    /// By dotted key, such as `rpc.port`. Holds every key there is.
    values: BTreeMap<String, (Value, Origin)>,
}

impl Default for Layers {
    fn default() -> Self {
        // The text is part of the program; a test parses it.
        let table: Table = DEFAULT.parse().unwrap_or_default();
        let values = leaves(table)
            .into_iter()
            .map(|(key, value)| (key, (value, Origin::Default)))
            .collect();
        Self { values }
    }
}

/// Every value of a table with its dotted key. Arrays are values.
fn leaves(table: Table) -> Vec<(String, Value)> {
    let mut leaves = Vec::new();
    let mut rest: Vec<(String, Value)> = table.into_iter().collect();
    while let Some((key, value)) = rest.pop() {
        match value {
            Value::Table(inner) => {
                // An empty section holds no key, but its name is checked like one.
                if inner.is_empty() {
                    leaves.push((key, Value::Table(inner)));
                } else {
                    rest.extend(
                        inner
                            .into_iter()
                            .map(|(name, value)| (format!("{key}.{name}"), value)),
                    );
                }
            }
            value => leaves.push((key, value)),
        }
    }
    leaves
}

impl Layers {
    /// Lays a file over what is there.
    ///
    /// # Errors
    /// If the file cannot be read, is no TOML, or names a key that does not exist.
    pub fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let table: Table = text.parse().map_err(|source| ConfigError::Syntax {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let origin = Origin::File(path.to_owned());
        for (key, value) in leaves(table) {
            let is_section = matches!(&value, Value::Table(inner) if inner.is_empty());
            if !(is_section && self.has_section(&key)) {
                self.put(&key, value, origin.clone())?;
            }
        }
        Ok(())
    }

    /// Lays the environment over what is there: `PARS_RPC_PORT` sets `rpc.port`. Other variables
    /// that begin with `PARS_` are left alone, unless they name a section.
    ///
    /// # Errors
    /// If a variable names a section and no key of it, or its value is no value for the key.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        let names: BTreeMap<String, String> = self
            .values
            .keys()
            .map(|key| (variable(key), key.clone()))
            .collect();
        for (name, text) in variables {
            if let Some(key) = names.get(&name) {
                self.set(key, &text, Origin::Environment(name))?;
            } else if let Some(key) = self.in_section(&name) {
                return Err(self.unknown(&key, Origin::Environment(name)));
            }
        }
        Ok(())
    }

    /// Sets one key from text, as the environment and flags give it: strings without quotes, lists
    /// with commas.
    ///
    /// # Errors
    /// If there is no such key or the text is no value for it.
    pub fn set(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let Some((old, _)) = self.values.get(key) else {
            return Err(self.unknown(key, origin));
        };
        let wrong = |expected: &str| ConfigError::Value {
            origin: origin.clone(),
            key: key.to_owned(),
            problem: format!("is `{text}`, which is not {expected}"),
        };
        let value = match old {
            Value::Integer(_) => {
                let digits = text.trim().replace('_', "");
                Value::Integer(digits.parse().map_err(|_| wrong("a whole number"))?)
            }
            Value::Boolean(_) => match text.trim() {
                "true" | "1" | "yes" => Value::Boolean(true),
                "false" | "0" | "no" => Value::Boolean(false),
                _ => return Err(wrong("true or false")),
            },
            Value::Array(_) => Value::Array(
                text.split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Value::String(item.to_owned()))
                    .collect(),
            ),
            _ => Value::String(text.to_owned()),
        };
        self.put(key, value, origin)
    }

    /// Every key with its value as TOML writes it, and where it comes from, sections last.
    pub fn entries(&self) -> impl Iterator<Item = (&str, String, &Origin)> {
        let mut entries: Vec<_> = self.values.iter().collect();
        entries.sort_by_key(|(key, _)| (key.contains('.'), *key));
        entries
            .into_iter()
            .map(|(key, (value, origin))| (key.as_str(), value.to_string(), origin))
    }

    /// The whole configuration.
    ///
    /// # Errors
    /// If a value does not fit its key; the error names who set it.
    pub fn finish(&self) -> Result<Config, ConfigError> {
        let table = self.table(|_, value| value.clone());
        match table.try_into() {
            Ok(config) => Ok(config),
            Err(error) => Err(self.find_culprit(&error)),
        }
    }

    /// A table of the values that `pick` makes of each.
    fn table(&self, mut pick: impl FnMut(&str, &Value) -> Value) -> Table {
        let mut table = Table::new();
        for (key, (value, _)) in &self.values {
            let value = pick(key, value);
            match key.split_once('.') {
                None => {
                    table.insert(key.clone(), value);
                }
                Some((section, name)) => {
                    let section = table
                        .entry(section)
                        .or_insert_with(|| Value::Table(Table::new()));
                    if let Value::Table(section) = section {
                        section.insert(name.to_owned(), value);
                    }
                }
            }
        }
        table
    }

    /// The value that does not fit: the first that cannot stand alone among defaults.
    fn find_culprit(&self, error: &toml::de::Error) -> ConfigError {
        let defaults = Self::default();
        for (key, (value, origin)) in &self.values {
            if *origin == Origin::Default {
                continue;
            }
            let alone = defaults.table(|name, default| {
                if name == key {
                    value.clone()
                } else {
                    default.clone()
                }
            });
            if let Err(error) = alone.try_into::<Config>() {
                return ConfigError::Value {
                    origin: origin.clone(),
                    key: key.clone(),
                    problem: format!("is {value}: {}", error.message()),
                };
            }
        }
        ConfigError::Value {
            origin: Origin::Default,
            key: "configuration".to_owned(),
            problem: format!("cannot be read: {}", error.message()),
        }
    }

    /// Where the value of a key comes from.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.values.get(key).map(|(_, origin)| origin)
    }

    fn put(&mut self, key: &str, value: Value, origin: Origin) -> Result<(), ConfigError> {
        match self.values.get_mut(key) {
            Some(slot) => {
                *slot = (value, origin);
                Ok(())
            }
            None => Err(self.unknown(key, origin)),
        }
    }

    fn unknown(&self, key: &str, origin: Origin) -> ConfigError {
        let near = self
            .values
            .keys()
            .map(|known| (distance(key, known), known))
            .min()
            .filter(|(distance, _)| *distance <= 3)
            .map(|(_, known)| known.clone());
        ConfigError::UnknownKey {
            origin,
            key: key.to_owned(),
            near,
        }
    }

    fn has_section(&self, name: &str) -> bool {
        self.values.keys().any(|key| {
            key.split_once('.')
                .is_some_and(|(section, _)| section == name)
        })
    }

    /// The key that a variable would name, if it names a section.
    fn in_section(&self, variable: &str) -> Option<String> {
        let rest = variable.strip_prefix("PARS_")?.to_ascii_lowercase();
        let (section, name) = rest.split_once('_')?;
        self.has_section(section)
            .then(|| format!("{section}.{name}"))
    }
}

/// The environment's name of a key.
fn variable(key: &str) -> String {
    format!("PARS_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// How many letters must be changed, put in or taken out (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (above, b) in row.iter_mut().skip(1).zip(&other) {
            let value = (diagonal + usize::from(a != *b))
                .min(left + 1)
                .min(*above + 1);
            diagonal = *above;
            *above = value;
            left = value;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(layers: &Layers, key: &str) -> (String, Origin) {
        let (value, origin) = &layers.values[key];
        (value.to_string(), origin.clone())
    }

    #[test]
    fn the_default_text_is_a_whole_configuration() {
        DEFAULT.parse::<Table>().unwrap();
        let config = Layers::default().finish().unwrap();
        assert_eq!(config.rpc.port, 8545);
    }

    #[test]
    fn the_last_layer_speaks() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pars.toml");
        std::fs::write(
            &file,
            "network = \"dev\"\n[rpc]\nport = 1\nmax_logs = 7\n[pool]\n",
        )
        .unwrap();
        let mut layers = Layers::default();
        layers.file(&file).unwrap();
        layers
            .environment([
                ("PARS_RPC_PORT".to_owned(), "2".to_owned()),
                (
                    "PARS_RPC_CORS".to_owned(),
                    "https://a.example, https://b.example".to_owned(),
                ),
                ("PARS_METRICS_ENABLED".to_owned(), "false".to_owned()),
                // Not about the configuration.
                ("PARS_VECTORS".to_owned(), "x".to_owned()),
                ("HOME".to_owned(), "x".to_owned()),
            ])
            .unwrap();
        layers
            .set("rpc.port", "3", Origin::Flag("--port".to_owned()))
            .unwrap();
        let config = layers.finish().unwrap();
        assert_eq!((config.rpc.port, config.rpc.max_logs), (3, 7));
        assert_eq!(config.rpc.cors, ["https://a.example", "https://b.example"]);
        assert_eq!(config.network, "dev");
        assert!(!config.metrics.enabled);
        assert_eq!(
            text(&layers, "rpc.max_logs"),
            ("7".to_owned(), Origin::File(file))
        );
        assert_eq!(text(&layers, "pool.max_bytes").1, Origin::Default);
    }

    #[test]
    fn a_key_that_does_not_exist_is_named_with_a_neighbour() {
        let mut layers = Layers::default();
        let error = layers
            .set("rpc.prot", "1", Origin::Flag("--set".to_owned()))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "--set: there is no key `rpc.prot`; did you mean `rpc.port`?; `parsd config default` lists them all"
        );
        let error = layers
            .environment([("PARS_RPC_PROT".to_owned(), "1".to_owned())])
            .unwrap_err();
        assert!(
            error.to_string().contains("did you mean `rpc.port`"),
            "{error}"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pars.toml");
        for wrong in ["x = 1", "[rpc]\nx = 1", "[x]", "[rpc.port]\nx = 1"] {
            std::fs::write(&file, wrong).unwrap();
            let error = layers.file(&file).unwrap_err();
            assert!(
                matches!(error, ConfigError::UnknownKey { .. }),
                "{wrong}: {error}"
            );
        }
    }

    #[test]
    fn a_value_that_does_not_fit_is_named_with_its_origin() {
        for (key, value, words) in [
            ("rpc.port", "70000", "`rpc.port` is 70000"),
            ("rpc.port", "x", "not a whole number"),
            ("rpc.port", "-1", "`rpc.port` is -1"),
            ("rpc.address", "localhost", "`rpc.address` is \"localhost\""),
            ("metrics.enabled", "maybe", "not true or false"),
            ("log.format", "xml", "`log.format` is \"xml\""),
            ("blocks.beneficiary", "0x12", "`blocks.beneficiary`"),
        ] {
            let mut layers = Layers::default();
            let error = layers
                .set(key, value, Origin::Environment("HERE".to_owned()))
                .and_then(|()| layers.finish())
                .unwrap_err()
                .to_string();
            assert!(error.contains(words) && error.contains("HERE"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pars.toml");
        std::fs::write(&file, "[rpc]\ncors = \"*\"\n").unwrap();
        let mut layers = Layers::default();
        layers.file(&file).unwrap();
        let error = layers.finish().unwrap_err().to_string();
        assert!(error.contains("pars.toml: `rpc.cors` is \"*\""), "{error}");
        std::fs::write(&file, "[rpc\n").unwrap();
        assert!(matches!(
            layers.file(&file),
            Err(ConfigError::Syntax { .. })
        ));
        let error = layers.file(&folder.path().join("none")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read"), "{error}");
    }

    #[test]
    fn distances() {
        for (one, other, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("port", "prot", 2),
        ] {
            assert_eq!(distance(one, other), expected);
            assert_eq!(distance(other, one), expected);
        }
    }
}
