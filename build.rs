//! What the linker is told. Rust's own linker understands it and is the default on this target; where another one is chosen,
//! nothing is asked of it.
//!
//! - Functions that came out the same, of which generic code has many, are kept once.
//! - What runs at start and while nothing happens is laid out side by side, in the order of `link/x86_64.order`, which
//!   `link/record.sh` records. Names that are not there are passed over: another compiler or other dependencies cost
//!   resident memory and nothing else.

const ORDER: &str = "link/x86_64.order";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={ORDER}");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let other_linker = ["linker=", "fuse-ld", "linker-features"].iter().any(|word| flags.contains(word));
    let configured = std::env::var_os("RUSTC_LINKER").is_some();
    if !is("PROFILE", "release") || !is("TARGET", "x86_64-unknown-linux-gnu") || other_linker || configured {
        return;
    }
    println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    let order = std::path::absolute(ORDER).ok().filter(|order| order.exists());
    // A comma would end the argument.
    if let Some(order) = order.as_ref().and_then(|order| order.to_str()).filter(|order| !order.contains(',')) {
        println!("cargo:rustc-link-arg-bins=-Wl,--symbol-ordering-file={order},--no-warn-symbol-ordering");
    }
}
