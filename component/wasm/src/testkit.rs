//! Plugins for tests and benches, built when they are asked for. Needs the Rust target `wasm32-wasip2`; `tests/wasm.sh`
//! installs it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The workspace of plugins, `plugins/` of the repository.
pub fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins")
}

/// The component of a package of `plugins/`, built now.
///
/// # Panics
/// It cannot be built; cargo's words are on standard error.
pub fn plugin(package: &str) -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Beside what the test itself was built into: .../target/debug/deps/test.
    let test = std::env::current_exe().expect("the test is a file");
    let target = test.ancestors().nth(3).expect("it lies in a target folder").join("plugins");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--target", "wasm32-wasip2", "--package", package])
        .arg("--manifest-path")
        .arg(plugins().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        // The flags of the test are not for the plugin.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .expect("cargo can be run");
    assert!(
        status.success(),
        "cannot build the plugin `{package}`; is the target there? rustup target add wasm32-wasip2"
    );
    target.join(format!("wasm32-wasip2/release/{}.wasm", package.replace('-', "_")))
}

/// The plugin that does what its config says, built once for all tests of a process.
///
/// # Panics
/// As [`plugin`].
pub fn probe() -> &'static str {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| plugin("probe")).to_str().expect("a path of ours")
}

/// The component of a Python plugin, by its module. `tests/wasm.sh` builds them and says where they are.
///
/// # Panics
/// It is not there.
pub fn python_plugin(module: &str) -> PathBuf {
    let folder = std::env::var_os("STEADYLINE_PYTHON_PLUGINS").expect("tests/wasm.sh sets STEADYLINE_PYTHON_PLUGINS");
    let path = Path::new(&folder).join(format!("{module}.wasm"));
    assert!(path.is_file(), "{} is not there", path.display());
    path
}
