//! Arguments behind `cargo bench --bench NAME -- `: `--series 1000000 --rounds 5`.

/// The number behind `--name`, or the default.
///
/// # Panics
/// If what stands there is no number.
pub fn number(name: &str, default: usize) -> usize {
    let flag = format!("--{name}");
    let mut args = std::env::args().skip_while(|arg| *arg != flag).skip(1);
    args.next()
        .map_or(default, |text| text.replace('_', "").parse().unwrap_or_else(|_| panic!("{flag} takes a number")))
}
