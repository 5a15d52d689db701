//! Metric names: tokens, unit, type suffix, namespace, in the order in which the Collector applies them.

use super::units::UnitWords;
use super::{NameError, NameKind, TranslationStrategy, only_underscores};

/// Appends the Prometheus name of a metric to `out`; on an error `out` is as it was.
///
/// `unit` is the UCUM unit as OTLP carries it, `namespace` may be empty. With the escaping strategies the name is split
/// into tokens of `[A-Za-z0-9:]`; each word of the unit is added unless the name has it as a token; `total` (monotonic
/// sums) and `ratio` (gauges whose unit is `1`) move to the end; then come the namespace and, before a digit, a `_`.
/// Without a namespace the result is a fixed point: translating it again, unit and kind unchanged, changes nothing.
///
/// It gives what the Collector's translator gives (OpenTelemetry-Prometheus compatibility as implemented at v0.156) but
/// - `TiBy` is `tebibytes` (theirs: `tibibytes`) and `kBy` is `kilobytes` (theirs: `kBy`), as the specification has it;
/// - the namespace is sanitized with every escaping strategy (theirs: only without suffixes);
/// - a unit without a known word is trimmed: `s%` gives `_s_total` (theirs: `_s__total`);
/// - a unit of several words is left out if the name ends with them (theirs: it is repeated);
/// - with suffixes and UTF-8, a suffix counts as present only after a `_` or `.`, or if it is the whole name:
///   `subtotal` gives `subtotal_total` (theirs: `su_total`), `per_second` stays (theirs: `per_second_per_second`);
/// - a name without a legal character is always an error (theirs: a counter is then called `total`).
pub fn metric_name(
    out: &mut String,
    name: &str,
    unit: &str,
    kind: NameKind,
    namespace: &str,
    strategy: TranslationStrategy,
) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    let legal = if strategy.escapes() { name.bytes().any(is_token_byte) } else { !only_underscores(name) };
    if !legal {
        return Err(NameError::NothingLegal);
    }
    match strategy {
        TranslationStrategy::UnderscoreEscapingWithSuffixes => {
            with_tokens(out, name, unit, kind, namespace);
        }
        TranslationStrategy::UnderscoreEscapingWithoutSuffixes => {
            escaped(out, name, namespace);
        }
        TranslationStrategy::NoUtf8EscapingWithSuffixes => {
            with_suffixes(out, name, unit, kind, namespace);
        }
        TranslationStrategy::NoTranslation => {
            put_namespace(out, namespace);
            out.push_str(name);
        }
    }
    Ok(())
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b':'
}

fn tokens(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|token| !token.is_empty())
}

fn with_tokens(out: &mut String, name: &str, unit: &str, kind: NameKind, namespace: &str) {
    let suffix = type_suffix(unit, kind);
    let words = UnitWords::of(unit).without(suffix);
    let mut parts: Vec<&str> = tokens(name).collect();
    add_unit(&mut parts, &words, suffix);
    if let Some(suffix) = suffix {
        parts.retain(|part| *part != suffix);
        parts.push(suffix);
    }
    let start = out.len();
    put_joined(out, start, tokens(namespace));
    put_joined(out, start, parts.into_iter());
    guard_digit(out, start);
}

fn type_suffix(unit: &str, kind: NameKind) -> Option<&'static str> {
    match kind {
        NameKind::MonotonicSum => Some("total"),
        NameKind::Gauge if unit == "1" => Some("ratio"),
        NameKind::Gauge | NameKind::Other => None,
    }
}

fn add_unit<'a>(parts: &mut Vec<&'a str>, words: &'a UnitWords, suffix: Option<&str>) {
    let end = parts.len() - parts.iter().rev().take_while(|p| Some(**p) == suffix).count();
    let has_per = words.per.is_empty() || has_words(&parts[..end], &words.per, "");
    // What is put behind the main word must not hide it when the name is translated again.
    let behind = if has_per { words.per.as_str() } else { "" };
    if !words.main.is_empty() && !has_words(&parts[..end], &words.main, behind) {
        parts.push(&words.main);
    }
    if !has_per {
        parts.push("per");
        parts.push(&words.per);
    }
}

/// Whether the name has these words: one word anywhere, several at its end (before `per_<behind>`, if that ends it).
fn has_words(parts: &[&str], words: &str, behind: &str) -> bool {
    if !words.contains('_') {
        return parts.contains(&words);
    }
    let tail = |parts: &[&str], words: &str| {
        let count = words.split('_').count();
        let found = parts.len() >= count && parts[parts.len() - count..].iter().copied().eq(words.split('_'));
        found.then(|| parts.len() - count)
    };
    let rest = match tail(parts, behind) {
        Some(at) if !behind.is_empty() && at > 0 && parts[at - 1] == "per" => &parts[..at - 1],
        _ => parts,
    };
    tail(rest, words).is_some()
}

/// Appends `parts` joined by `_`, with a `_` before them if `out` has grown beyond `start`.
fn put_joined<'a>(out: &mut String, start: usize, parts: impl Iterator<Item = &'a str>) {
    for part in parts {
        if out.len() > start {
            out.push('_');
        }
        out.push_str(part);
    }
}

fn guard_digit(out: &mut String, start: usize) {
    if out.as_bytes().get(start).is_some_and(u8::is_ascii_digit) {
        out.insert(start, '_');
    }
}

/// Runs of illegal characters become one `_`, none at the ends; underscores of the name itself stay.
fn escaped(out: &mut String, name: &str, namespace: &str) {
    let start = out.len();
    for part in [namespace, name] {
        let kept =
            part.split(|c: char| !c.is_ascii_alphanumeric() && c != ':' && c != '_').filter(|run| !run.is_empty());
        put_joined(out, start, kept);
    }
    guard_digit(out, start);
}

fn put_namespace(out: &mut String, namespace: &str) {
    if !namespace.is_empty() {
        out.push_str(namespace);
        out.push('_');
    }
}

/// The UTF-8 way: known suffixes are taken off from the outside in, and put back in their order.
fn with_suffixes(out: &mut String, name: &str, unit: &str, kind: NameKind, namespace: &str) {
    let words = UnitWords::of(unit);
    let suffix = type_suffix(unit, kind);
    let mut per = String::new();
    if !words.per.is_empty() {
        per.push_str("per_");
        per.push_str(&words.per);
    }
    let mut base = name;
    for known in [suffix.unwrap_or_default(), &per] {
        base = without_suffix(base, known);
    }
    put_namespace(out, namespace);
    let start = out.len();
    out.push_str(base);
    let present = base == words.main || without_suffix(base, &words.main) != base;
    let main = if present { "" } else { &words.main };
    for suffix in [main, &per, suffix.unwrap_or_default()] {
        if !suffix.is_empty() && out[start..] != *suffix {
            out.push('_');
            out.push_str(suffix);
        }
    }
}

fn without_suffix<'a>(name: &'a str, suffix: &str) -> &'a str {
    if suffix.is_empty() {
        return name;
    }
    name.strip_suffix(suffix)
        .and_then(|rest| rest.strip_suffix(['_', '.']))
        .filter(|rest| !rest.is_empty())
        .unwrap_or(name)
}
