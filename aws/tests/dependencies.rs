//! One TLS provider for the whole workspace, whatever features are on: ring. The other one costs a C build and minutes, and
//! comes in by a single default feature of any crate.

/// Name and version of every package that any feature could bring: those of the lock file.
fn packages() -> Vec<String> {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));
    let lock = lock.expect("the workspace has a lock file");
    let value = |line: Option<&str>, key: &str| {
        line?.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"').map(str::to_owned)
    };
    let package = |entry: &str| {
        let mut lines = entry.lines();
        Some(format!("{} {}", value(lines.next(), "name")?, value(lines.next(), "version")?))
    };
    lock.split("[[package]]\n").filter_map(package).collect()
}

#[test]
fn aws_lc_is_not_in_the_dependency_graph() {
    let packages = packages();
    assert!(packages.len() > 300 && packages.iter().any(|package| package.starts_with("ring ")), "{packages:?}");
    let unwanted = ["aws-lc-", "openssl ", "openssl-sys ", "native-tls ", "rustls 0.21", "hyper 0.14"];
    let found: Vec<&String> =
        packages.iter().filter(|package| unwanted.iter().any(|name| package.starts_with(name))).collect();
    assert!(found.is_empty(), "{found:?}");
}
