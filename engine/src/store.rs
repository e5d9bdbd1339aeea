//! What the engine has measured and wants to know again at the next start: short texts by key, in one
//! small file.
//!
//! The file is a help and never a need: one that is missing, damaged or of another version is read as
//! empty, and what was in it is measured again. It is written to a second file that then takes its
//! place, so nobody ever sees half of it. Processes that share it keep each other's entries.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// First line of the file; another version is another line.
const HEADER: &str = "pars-engine store 1";
/// Name of the file.
const FILE: &str = "engine-store";
/// Most bytes of a file that is read.
const MOST_BYTES: u64 = 4 << 20;
/// Most entries that are kept; the ones written longest ago go.
const MOST_ENTRIES: usize = 512;
/// Longest value.
const MOST_VALUE: usize = 64 << 10;

/// Texts by key. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Store {
    /// `None` keeps everything in memory.
    file: Option<Arc<PathBuf>>,
    entries: Arc<Mutex<Entries>>,
}

/// Key, seconds since 1970 of its writing, value.
type Entries = BTreeMap<String, (u64, String)>;

/// Why a file is read as empty.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("it is larger than {MOST_BYTES} bytes")]
    TooLarge,
    #[error("it is not UTF-8 text")]
    NoText,
    #[error("its first line is not {HEADER:?}")]
    Version,
    #[error("its checksum does not fit")]
    Checksum,
    #[error("one of its lines cannot be read")]
    Line,
}

impl Store {
    /// The store in a folder, which is made when something is first written.
    pub(crate) fn open(folder: &Path) -> Self {
        let path = folder.join(FILE);
        let entries = read(&path).unwrap_or_else(|error| {
            tracing::info!(
                file = %path.display(), %error,
                "what was measured at earlier starts cannot be read and is measured again"
            );
            Entries::new()
        });
        Self {
            file: Some(Arc::new(path)),
            entries: Arc::new(Mutex::new(entries)),
        }
    }

    /// The folder of the file.
    #[cfg(feature = "gpu")]
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.file.as_ref()?.parent()
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let entries = self.entries.lock();
        entries.get(key).map(|(_, value)| value.clone())
    }

    /// Keeps a value, and writes the file if there is one. A value that is too long is not kept.
    pub(crate) fn put(&self, key: &str, value: &str) {
        if value.len() > MOST_VALUE || key.len() > MOST_VALUE {
            return;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let mut entries = self.entries.lock();
        entries.insert(key.to_owned(), (now, value.to_owned()));
        let Some(path) = &self.file else {
            bound(&mut entries);
            return;
        };
        // Another process may have written since.
        for (key, entry) in read(path).unwrap_or_default() {
            match entries.get(&key) {
                Some((at, _)) if *at >= entry.0 => {}
                _ => {
                    entries.insert(key, entry);
                }
            }
        }
        bound(&mut entries);
        let file = text(&entries);
        if let Err(error) = write_whole(path, file.as_bytes()) {
            tracing::info!(
                file = %path.display(), %error,
                "what was measured cannot be kept and will be measured again at the next start"
            );
        }
    }
}

/// Drops the entries written longest ago.
fn bound(entries: &mut Entries) {
    while entries.len() > MOST_ENTRIES {
        let oldest = entries.iter().min_by_key(|(_, (at, _))| *at);
        let Some(key) = oldest.map(|(key, _)| key.clone()) else {
            return;
        };
        entries.remove(&key);
    }
}

/// The folder of this user's caches, by the customs of the system. `None` where the environment names none.
pub(crate) fn user_folder() -> Option<PathBuf> {
    let named = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        let path = PathBuf::from(value);
        path.is_absolute().then_some(path)
    };
    let base = if cfg!(windows) {
        named("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        named("HOME").map(|home| home.join("Library/Caches"))
    } else {
        named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("pars"))
}

/// What tells builds apart: measurements of one say nothing of another.
pub(crate) fn build() -> String {
    let executable = std::env::current_exe().and_then(|path| path.metadata());
    let (bytes, written) = executable.map_or((0, 0), |about| {
        let written = about.modified().ok();
        let since = written.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        (about.len(), since.map_or(0, |since| since.as_nanos()))
    });
    format!(
        "{}-{}-{bytes:x}-{written:x}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    )
}

/// Writes a file that others see whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unique = std::process::id();
    let thread = std::thread::current().id();
    let draft = folder.join(format!(".{name}.{unique}.{thread:?}"));
    let written = std::fs::File::create(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()
    });
    let placed = written.and_then(|()| std::fs::rename(&draft, path));
    if placed.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    placed
}

/// Reads a file that may be any size.
pub(crate) fn read_bounded(path: &Path, most: u64) -> std::io::Result<Option<Vec<u8>>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Some(Vec::new())),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|len| len <= most);
    Ok(fits.then_some(bytes))
}

/// FNV-1a, 64 bits: finds damage, not malice.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A file that is not there is an empty one.
fn read(path: &Path) -> Result<Entries, Unreadable> {
    let bytes = read_bounded(path, MOST_BYTES)?.ok_or(Unreadable::TooLarge)?;
    if bytes.is_empty() {
        return Ok(Entries::new());
    }
    let text = String::from_utf8(bytes).map_err(|_| Unreadable::NoText)?;
    let (header, rest) = text.split_once('\n').ok_or(Unreadable::Version)?;
    if header != HEADER {
        return Err(Unreadable::Version);
    }
    let (sum, body) = rest.split_once('\n').ok_or(Unreadable::Checksum)?;
    if u64::from_str_radix(sum, 16).ok() != Some(checksum(body.as_bytes())) {
        return Err(Unreadable::Checksum);
    }
    body.lines()
        .map(|line| {
            let mut parts = line.split('\t');
            let mut next = || parts.next().and_then(unescaped);
            let entry = (next(), next().and_then(|at| at.parse().ok()), next());
            match (entry, parts.next()) {
                ((Some(key), Some(at), Some(value)), None) => Ok((key, (at, value))),
                _ => Err(Unreadable::Line),
            }
        })
        .collect()
}

fn text(entries: &Entries) -> String {
    let mut body = String::new();
    for (key, (at, value)) in entries {
        let _ = writeln!(body, "{}\t{at}\t{}", escaped(key), escaped(value));
    }
    format!("{HEADER}\n{:016x}\n{body}", checksum(body.as_bytes()))
}

/// Without tabs, ends of lines and other control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == '%' || letter.is_control() {
            let _ = write!(out, "%{:x};", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
    out
}

fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_once(';')?;
        out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        out.push_str(rest);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that goes with its test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pars-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_was_put_is_there_at_the_next_start() {
        let folder = Folder::new("store-again");
        let key = "GPU\t1 (driver\n2)|mldsa/verify";
        let value = "100% of\tit\r\n\u{1F511};";
        let store = Store::open(&folder.0);
        assert_eq!(store.get(key), None);
        store.put(key, value);
        store.put("other", "");
        let again = Store::open(&folder.0);
        assert_eq!(again.get(key).as_deref(), Some(value));
        assert_eq!(again.get("other").as_deref(), Some(""));
        again.put(key, "new");
        assert_eq!(Store::open(&folder.0).get(key).as_deref(), Some("new"));
        let left: Vec<_> = std::fs::read_dir(&folder.0).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn processes_keep_each_others_entries() {
        let folder = Folder::new("store-share");
        let (one, other) = (Store::open(&folder.0), Store::open(&folder.0));
        one.put("a", "1");
        other.put("b", "2");
        one.put("c", "3");
        let all = Store::open(&folder.0);
        let got = ["a", "b", "c"].map(|key| all.get(key).unwrap_or_default());
        assert_eq!(got, ["1", "2", "3"]);
    }

    #[test]
    fn damaged_and_foreign_files_are_empty_and_are_replaced() {
        let folder = Folder::new("store-damage");
        Store::open(&folder.0).put("key", "value");
        let path = folder.0.join(FILE);
        let good = std::fs::read(&path).unwrap();
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let longer = [good.as_slice(), b"x\n"].concat();
        let newer = String::from_utf8(good.clone())
            .unwrap()
            .replace("store 1", "store 2");
        let wrong: [&[u8]; 6] = [
            b"something else",
            &good[..good.len() - 3],
            &flipped,
            &longer,
            newer.as_bytes(),
            &[0xff; 100],
        ];
        for bytes in wrong {
            std::fs::write(&path, bytes).unwrap();
            assert!(read(&path).is_err(), "{}", String::from_utf8_lossy(bytes));
            let store = Store::open(&folder.0);
            assert_eq!(store.get("key"), None);
            store.put("key", "again");
            assert_eq!(Store::open(&folder.0).get("key").as_deref(), Some("again"));
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_costs_only_the_memory_of_it() {
        let folder = Folder::new("store-no-folder");
        std::fs::write(&folder.0, b"a file").unwrap();
        let store = Store::open(&folder.0.join("below"));
        store.put("key", "value");
        assert_eq!(store.get("key").as_deref(), Some("value"));
        let _ = std::fs::remove_file(&folder.0);
    }

    #[test]
    fn the_store_is_bounded() {
        let store = Store::default();
        for number in 0..MOST_ENTRIES + 10 {
            store.put(&number.to_string(), "x");
        }
        assert_eq!(store.entries.lock().len(), MOST_ENTRIES);
        store.put("long", &"x".repeat(MOST_VALUE + 1));
        assert_eq!(store.get("long"), None);
    }

    #[test]
    fn damaged_escapes_are_refused() {
        for text in ["%", "%zz;", "%110000;", "%41"] {
            assert_eq!(unescaped(text), None, "{text}");
        }
        assert_eq!(unescaped("%41;b").as_deref(), Some("Ab"));
    }
}
