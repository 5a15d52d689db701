//! One TLS provider for the whole workspace: ring. The other one costs a C build and minutes, and comes in by a single
//! default feature of any crate.

use std::process::Command;

#[test]
fn aws_lc_is_not_in_the_dependency_graph() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--workspace", "--all-features", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs this test, so it can be run");
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    assert!(tree.lines().any(|line| line.starts_with("ring v")), "the graph is the right one");
    let unwanted = ["aws-lc", "openssl v", "openssl-sys", "native-tls", "rustls v0.21", "hyper v0.14"];
    let found: Vec<&str> = tree.lines().filter(|line| unwanted.iter().any(|name| line.starts_with(name))).collect();
    assert!(found.is_empty(), "{found:?}");
}
