//! Official vectors, read from outside the repository.

// Each test file uses a part of this.
#![allow(dead_code)]

use serde_json::Value;
use std::path::{Path, PathBuf};

/// The folder of the vectors: `PARS_VECTORS`, else `shared/vectors` beside the repository.
pub fn folder() -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let near = [
        "../shared/vectors",
        "../../shared/vectors",
        "../../../shared/vectors",
    ];
    std::env::var_os("PARS_VECTORS")
        .map(PathBuf::from)
        .into_iter()
        .chain(near.iter().map(PathBuf::from))
        .chain(near.iter().map(|path| manifest.join(path)))
        .find(|folder| folder.join("mldsa").is_dir())
}

/// A JSON file of the ML-DSA folder. Says so and gives nothing where the vectors are absent.
pub fn mldsa(file: &str) -> Option<Value> {
    json("mldsa", file)
}

/// A JSON file of a folder. Says so and gives nothing where the vectors are absent.
pub fn json(of: &str, file: &str) -> Option<Value> {
    let Some(folder) = folder() else {
        eprintln!("vectors absent: {file} not checked (set PARS_VECTORS to their folder)");
        return None;
    };
    let path = folder.join(of).join(file);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_slice(&text).unwrap())
}

/// The bytes of a hex string; nothing for an absent field.
pub fn bytes(value: &Value) -> Vec<u8> {
    value
        .as_str()
        .map_or_else(Vec::new, |text| hex::decode(text).unwrap())
}

/// The elements of an array.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}
