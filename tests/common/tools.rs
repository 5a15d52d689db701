//! Where the programs are that `tests/setup.sh` installs.

use std::path::{Path, PathBuf};

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program or folder below `.tools`.
pub fn tool(path: &str) -> PathBuf {
    let found = root().join(".tools").join(path);
    assert!(found.exists(), "{} is not there: run tests/setup.sh, or all tests by tests/run.sh", found.display());
    found
}

/// Python with the packages of `tests/python/requirements.txt`.
pub fn python() -> PathBuf {
    tool("python/bin/python")
}

/// A script of `tests/python`.
pub fn script(name: &str) -> PathBuf {
    root().join("tests/python").join(name)
}
