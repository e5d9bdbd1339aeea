//! A folder of key files, readable by their owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::{Keystore, KeystoreError, MOST_BYTES};

/// A folder of key files; other files in it are left alone.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

/// A key file in a folder.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub keystore: Keystore,
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> KeystoreError {
    let path = path.to_owned();
    move |source| KeystoreError::Io { path, source }
}

impl Folder {
    /// The folder at this path; made when the first key is written.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Reads one key file, wherever it lies.
    ///
    /// # Errors
    /// If it cannot be read or is no key file.
    pub fn read(path: &Path) -> Result<StoredKey, KeystoreError> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text))
            .map_err(io(path))?;
        if text.len() as u64 > MOST_BYTES {
            return Err(KeystoreError::Form(format!("more than {MOST_BYTES} bytes")));
        }
        Ok(StoredKey {
            path: path.to_owned(),
            keystore: Keystore::parse(&text)?,
        })
    }

    /// Every key file, by name. A folder that is not there holds none.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self) -> Result<Vec<StoredKey>, KeystoreError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(io(&self.path))? {
            let path = entry.map_err(io(&self.path))?.path();
            if path.is_file()
                && let Ok(key) = Self::read(&path)
            {
                keys.push(key);
            }
        }
        keys.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(keys)
    }

    /// The one key whose file name, address or public key is or begins with `name`; a path to a file
    /// is taken too.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub fn find(&self, name: &str) -> Result<StoredKey, KeystoreError> {
        let path = Path::new(name);
        if path.is_file() {
            return Self::read(path);
        }
        let wanted = name.strip_prefix("0x").unwrap_or(name).to_ascii_lowercase();
        let fits = |key: &StoredKey| {
            let file = key.path.file_name().and_then(|file| file.to_str());
            file.is_some_and(|file| file.starts_with(name))
                || (!wanted.is_empty()
                    && key
                        .keystore
                        .named()
                        .is_some_and(|named| named.starts_with(&wanted)))
        };
        let mut found: Vec<_> = self.list()?.into_iter().filter(fits).collect();
        match found.len() {
            0 => Err(KeystoreError::Name(format!(
                "there is no key `{name}` in {}",
                self.path.display()
            ))),
            1 => Ok(found.remove(0)),
            several => Err(KeystoreError::Name(format!(
                "{several} keys in {} begin with `{name}`; write more of the name",
                self.path.display()
            ))),
        }
    }

    /// Writes a new key file under a name of its algorithm and its public key; whole or not at all,
    /// for its owner alone.
    ///
    /// # Errors
    /// If the key is there already, or the folder cannot be written.
    pub fn add(&self, keystore: &Keystore) -> Result<PathBuf, KeystoreError> {
        let named = keystore.named().unwrap_or_default();
        if let Some(key) = self
            .list()?
            .into_iter()
            .find(|key| key.keystore.named().is_some_and(|other| other == named))
        {
            return Err(KeystoreError::Exists(key.path));
        }
        let short: String = named.chars().take(40).collect();
        let algorithm = keystore.algorithm().to_string().to_ascii_lowercase();
        let path = self.path.join(format!("{algorithm}--{short}.json"));
        make_folder(&self.path)?;
        write_new(&path, keystore.to_json().as_bytes())?;
        Ok(path)
    }

    /// Puts another encryption of the same key in the place of a file.
    ///
    /// # Errors
    /// If the file cannot be written; the old one is then still there.
    pub fn replace(key: &StoredKey, keystore: &Keystore) -> Result<(), KeystoreError> {
        let fresh = key.path.with_extension("json.new");
        write_new(&fresh, keystore.to_json().as_bytes())?;
        fs::rename(&fresh, &key.path).map_err(io(&key.path))
    }
}

fn make_folder(path: &Path) -> Result<(), KeystoreError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(io(path))
}

/// Writes a file that was not there. What was begun and failed is taken away again.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), KeystoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => KeystoreError::Exists(path.to_owned()),
        _ => io(path)(source),
    })?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|source| {
            let _ = fs::remove_file(path);
            io(path)(source)
        })
}
