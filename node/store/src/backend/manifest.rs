//! A check of the engine's lists of files before it reads them. It keeps a checksum beside each
//! list and does not look at it when it opens, and a list with a wrong count in it can make it ask
//! for more memory than there is, which ends the process without a word.

use crate::StoreError;
use std::{fs, path::Path};

/// Number (8) of the list in use, its XXH3-128 (16) and the kind of checksum (1), little-endian.
const CURRENT: &str = "current";
/// The kind of checksum that is known here.
const XXH3: u8 = 0;

/// Compares the list of each keyspace with its checksum. Whatever is missing or has another form
/// is left for the engine to judge.
pub(super) fn check(database: &Path) -> Result<(), StoreError> {
    let Ok(keyspaces) = fs::read_dir(database.join("keyspaces")) else {
        return Ok(());
    };
    for keyspace in keyspaces.flatten() {
        let folder = keyspace.path();
        if let Some(list) = fs::read(folder.join(CURRENT))
            .ok()
            .and_then(|current| wrong_list(&folder, &current))
        {
            return Err(StoreError::Engine {
                doing: "open its files",
                reason: format!("the list of files {list} does not have its checksum"),
            });
        }
    }
    Ok(())
}

/// The list in use, where it is there and is not what was written.
fn wrong_list(folder: &Path, current: &[u8]) -> Option<String> {
    let (number, rest) = current.split_first_chunk::<8>()?;
    let (checksum, kind) = rest.split_first_chunk::<16>()?;
    let path = folder.join(format!("v{}", u64::from_le_bytes(*number)));
    let list = fs::read(&path).ok()?;
    let whole = xxhash_rust::xxh3::xxh3_128(&list) == u128::from_le_bytes(*checksum);
    (kind == [XXH3] && !whole).then(|| path.display().to_string())
}
