//! Tells the linker to keep one copy of functions that came out the same, which generic code has many of. Rust's own
//! linker knows how and is the default on this target; where another one is chosen, nothing is asked of it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let other_linker = ["linker=", "fuse-ld", "linker-features"].iter().any(|word| flags.contains(word));
    let configured = std::env::var_os("RUSTC_LINKER").is_some();
    if is("PROFILE", "release") && is("TARGET", "x86_64-unknown-linux-gnu") && !other_linker && !configured {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
