//! What the linker is told. Rust's own linker understands it and is the default on this target; where another one is chosen,
//! nothing is asked of it.
//!
//! - Functions that came out the same, of which generic code has many, are kept once.
//! - `STEADYLINE_LINK_ORDER` names a file with the functions to lay out first; `deploy/link-order.sh` makes one.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=STEADYLINE_LINK_ORDER");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let other_linker = ["linker=", "fuse-ld", "linker-features"].iter().any(|word| flags.contains(word));
    let configured = std::env::var_os("RUSTC_LINKER").is_some();
    if !is("PROFILE", "release") || !is("TARGET", "x86_64-unknown-linux-gnu") || other_linker || configured {
        return;
    }
    println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    if let Some(order) = std::env::var("STEADYLINE_LINK_ORDER").ok().filter(|order| !order.is_empty()) {
        println!("cargo:rerun-if-changed={order}");
        println!("cargo:rustc-link-arg-bins=-Wl,--symbol-ordering-file={order},--no-warn-symbol-ordering");
    }
}
