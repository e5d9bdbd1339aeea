//! What the tests of this crate share.

use std::path::PathBuf;

/// The folder of official vectors, where it is present.
pub fn vectors() -> Option<PathBuf> {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let relative = [
        "../shared/vectors",
        "../../shared/vectors",
        "../../../shared/vectors",
    ];
    std::env::var_os("PARS_VECTORS")
        .map(PathBuf::from)
        .into_iter()
        .chain(relative.iter().map(PathBuf::from))
        .chain(relative.iter().map(|path| manifest.join(path)))
        .find(|path| path.is_dir())
}
