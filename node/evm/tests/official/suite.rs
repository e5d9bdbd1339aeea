//! Finding the files of a suite, running them on all cores, and counting.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
};

use serde_json::Value;

use crate::exceptions;

/// The official vectors; `None`, said aloud, where this machine has none.
pub fn folder(name: &str) -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = std::env::var_os("PARS_VECTORS")
        .map(PathBuf::from)
        .into_iter()
        .chain(["../shared/vectors", "../../../shared/vectors"].map(PathBuf::from))
        .chain([manifest.join("../../../shared/vectors")])
        .map(|path| path.join(name))
        .find(|path| path.is_dir());
    if found.is_none() {
        println!("{name}: no official vectors here; set PARS_VECTORS to their folder");
    }
    found
}

/// The JSON files of a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

pub fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Runs every named test of every file; fails the Rust test if one fails that is not excepted, or
/// if one that is excepted passes.
pub fn run(title: &str, files: &[PathBuf], check: impl Fn(&Value) -> Result<(), String> + Sync) {
    let queue = Mutex::new(files.to_vec());
    let results = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(file) = queue.lock().unwrap().pop() else {
                        break;
                    };
                    let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
                    for (name, test) in read(&file).as_object().unwrap() {
                        let result = catch_unwind(AssertUnwindSafe(|| check(test)))
                            .unwrap_or_else(|panic| Err(words(&*panic)));
                        let name = format!("{stem}/{name}");
                        results.lock().unwrap().insert(name, result);
                    }
                }
            });
        }
    });
    report(title, results.into_inner().unwrap());
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without words"))
}

/// Prints the totals and the failures.
pub fn report(title: &str, results: BTreeMap<String, Result<(), String>>) {
    let (mut passed, mut excepted) = (0, 0);
    let mut failed = Vec::new();
    for (name, result) in results {
        match (result, exceptions::reason(title, &name)) {
            (Ok(()), None) => passed += 1,
            (Ok(()), Some(_)) => failed.push(format!("{name}: is excepted, but passes")),
            (Err(_), Some(_)) => excepted += 1,
            (Err(error), None) => failed.push(format!("{name}: {error}")),
        }
    }
    println!(
        "{title}: {passed} passed, {} failed, {excepted} excepted",
        failed.len()
    );
    for (name, reason) in exceptions::of(title) {
        println!("  excepted {name}: {reason}");
    }
    for failure in failed.iter().take(60) {
        println!("  FAILED {failure}");
    }
    assert!(failed.is_empty(), "{title}: {} failed", failed.len());
    assert!(passed > 0, "{title}: nothing was run");
}
