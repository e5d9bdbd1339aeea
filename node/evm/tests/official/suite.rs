//! Finding the files of a suite, running them on all cores, and counting.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
};

use serde_json::Value;

use crate::{exceptions, spec};

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

/// The test files of a folder and of those below it.
pub struct Files {
    folder: PathBuf,
    paths: Vec<PathBuf>,
}

impl Files {
    /// The JSON files of `folder`, which has some.
    pub fn of(folder: &Path) -> Self {
        Self::matching(folder, |_| true)
    }

    /// Those whose path below `folder` begins so; `None`, said aloud, where there is no such
    /// folder.
    pub fn beginning(folder: &Path, start: &str) -> Option<Self> {
        if !folder.is_dir() {
            println!("no folder {}: nothing of it is run", folder.display());
            return None;
        }
        Some(Self::matching(folder, |path| path.starts_with(start)))
    }

    /// Those of them whose path below the folder passes `wanted`.
    pub fn matching(folder: &Path, wanted: impl Fn(&str) -> bool) -> Self {
        let mut all = Vec::new();
        collect(folder, &mut all);
        all.retain(|path| {
            let below = path.strip_prefix(folder).unwrap();
            wanted(&below.to_string_lossy())
        });
        all.sort();
        assert!(!all.is_empty(), "nothing in {}", folder.display());
        Self {
            folder: folder.to_owned(),
            paths: all,
        }
    }

    /// The names and contents of them all.
    pub fn read(&self) -> impl Iterator<Item = (String, Value)> {
        self.paths.iter().map(|path| (self.name(path), read(path)))
    }

    /// A file's path below the folder, without its ending.
    fn name(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.folder).unwrap();
        below.with_extension("").to_string_lossy().into_owned()
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "json") {
            files.push(path);
        }
    }
}

pub fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The tests of a file by name.
fn tests(path: &Path) -> Result<serde_json::Map<String, Value>, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("no file of tests: {error}"))
}

/// Runs every named test of every file; fails the Rust test if one fails that is not excepted, or
/// if one that is excepted passes. Tests of forks that are not followed are counted, not run.
pub fn run(title: &str, files: &Files, check: impl Fn(&Value) -> Result<(), String> + Sync) {
    let queue = Mutex::new(files.paths.clone());
    let results = Mutex::new(BTreeMap::new());
    let not_run = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(file) = queue.lock().unwrap().pop() else {
                        break;
                    };
                    let stem = files.name(&file);
                    let tests = match tests(&file) {
                        Ok(tests) => tests,
                        Err(error) => {
                            results.lock().unwrap().insert(stem, Err(error));
                            continue;
                        }
                    };
                    for (name, test) in &tests {
                        if let Some(reason) = spec::not_run(test) {
                            *not_run.lock().unwrap().entry(reason).or_insert(0) += 1;
                            continue;
                        }
                        let result = catch_unwind(AssertUnwindSafe(|| check(test)))
                            .unwrap_or_else(|panic| Err(words(&*panic)));
                        let name = format!("{stem}/{name}");
                        results.lock().unwrap().insert(name, result);
                    }
                }
            });
        }
    });
    for (reason, count) in not_run.into_inner().unwrap() {
        println!("{title}: {count} not run: {reason}");
    }
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
    let (mut passed, mut excepted) = (0, BTreeMap::<_, u32>::new());
    let mut failed = Vec::new();
    for (name, result) in results {
        match (result, exceptions::reason(title, &name)) {
            (Ok(()), None) => passed += 1,
            (Ok(()), Some(_)) => {
                failed.push(format!("{name}: is excepted, but passes"));
            }
            (Err(_), Some(reason)) => *excepted.entry(reason).or_default() += 1,
            (Err(error), None) => failed.push(format!("{name}: {error}")),
        }
    }
    println!(
        "{title}: {passed} passed, {} failed, {} excepted",
        failed.len(),
        excepted.values().sum::<u32>()
    );
    for (reason, count) in excepted {
        println!("  {count} excepted: {reason}");
    }
    // All of them where a list is asked for, a screenful otherwise.
    let shown = if std::env::var_os("PARS_LIST_FAILURES").is_some() {
        failed.len()
    } else {
        60
    };
    for failure in failed.iter().take(shown) {
        println!("  FAILED {failure}");
    }
    assert!(failed.is_empty(), "{title}: {} failed", failed.len());
    assert!(passed > 0, "{title}: nothing was run");
}
