//! Values that depend on a counter `n`, for generated items and for repeated changes. The same seed
//! and the same `n` always give the same value, whatever stands around it.

use crate::error::Fault;
use crate::plain::Plain;

/// What a template may draw on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw {
    /// Counts the items of a generator, or the times that a change was applied, from 0.
    pub(crate) n: u64,
    /// The seed of the file.
    pub(crate) seed: u64,
}

/// A value with holes.
#[derive(Debug, Clone)]
pub(crate) enum Template {
    Fixed(Plain),
    /// Text with `{n}` in it.
    Pattern(Vec<Piece>),
    /// `{choose: [...]}`: one of them, by chance.
    Choose(u64, Vec<Template>),
    /// `{cycle: [...]}`: one after the other.
    Cycle(Vec<Template>),
    /// `{first_of: [...]}`: none, some or all of them, in order, by chance.
    FirstOf(u64, Vec<Template>),
    /// `{integer: [from, to]}`: by chance, both ends included.
    Integer(u64, i64, i64),
    List(Vec<Template>),
    Map(Vec<(String, Template)>),
}

/// A part of a pattern.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Text(String),
    /// `{n%modulus+offset:0width}`
    Counter {
        modulus: Option<u64>,
        offset: u64,
        width: usize,
    },
}

const GENERATORS: [&str; 4] = ["choose", "cycle", "first_of", "integer"];

impl Template {
    /// Reads the holes of a value. `salt` tells one attribute's draws from another's.
    pub(crate) fn compile(plain: &Plain, salt: u64) -> Result<Self, Fault> {
        Ok(match plain {
            Plain::Text(text) if text.contains(['{', '}']) => Self::Pattern(pattern(text)?),
            Plain::List(values) => Self::List(compile_list(values, salt)?),
            Plain::Map(entries) => match entries.as_slice() {
                [(name, value)] if GENERATORS.contains(&name.as_str()) => {
                    generator(name, value, salt).map_err(|fault| fault.within(name.as_str()))?
                }
                [(name, Plain::Map(inner))] if name == "M" => {
                    Self::Map(vec![(name.clone(), compile_map(inner, salt).map_err(|fault| fault.within("M"))?)])
                }
                entries => compile_map(entries, salt)?,
            },
            other => Self::Fixed(other.clone()),
        })
    }

    pub(crate) fn value(&self, draw: Draw) -> Plain {
        match self {
            Self::Fixed(plain) => plain.clone(),
            Self::Pattern(pieces) => Plain::Text(fill(pieces, draw.n)),
            Self::Choose(salt, options) => options[index(options.len(), random(draw, *salt))].value(draw),
            Self::Cycle(options) => options[index(options.len(), draw.n)].value(draw),
            Self::FirstOf(salt, options) => {
                let count = index(options.len() + 1, random(draw, *salt));
                Plain::List(options[..count].iter().map(|t| t.value(draw)).collect())
            }
            Self::Integer(salt, from, to) => Plain::Number(integer(*from, *to, random(draw, *salt))),
            Self::List(values) => Plain::List(values.iter().map(|t| t.value(draw)).collect()),
            Self::Map(entries) => {
                Plain::Map(entries.iter().map(|(name, template)| (name.clone(), template.value(draw))).collect())
            }
        }
    }
}

fn compile_list(values: &[Plain], salt: u64) -> Result<Vec<Template>, Fault> {
    values
        .iter()
        .enumerate()
        .map(|(i, value)| Template::compile(value, mix(salt ^ i as u64)).map_err(|fault| fault.within(i)))
        .collect()
}

fn compile_map(entries: &[(String, Plain)], salt: u64) -> Result<Template, Fault> {
    let compiled: Result<Vec<_>, Fault> = entries
        .iter()
        .map(|(name, value)| {
            let template = Template::compile(value, salted(salt, name)).map_err(|fault| fault.within(name.as_str()))?;
            Ok((name.clone(), template))
        })
        .collect();
    Ok(Template::Map(compiled?))
}

fn generator(name: &str, value: &Plain, salt: u64) -> Result<Template, Fault> {
    let Plain::List(values) = value else {
        return Err(value.unexpected("a list"));
    };
    if name == "integer" {
        return match bounds(values) {
            Some((from, to)) => Ok(Template::Integer(salt, from, to)),
            None => Err(Fault::new("expected two integers, the smaller first: `{integer: [1, 100]}`")),
        };
    }
    if values.is_empty() {
        return Err(Fault::new("the list is empty, expected values to take from"));
    }
    let options = compile_list(values, salt)?;
    Ok(match name {
        "choose" => Template::Choose(salt, options),
        "cycle" => Template::Cycle(options),
        _ => Template::FirstOf(salt, options),
    })
}

fn bounds(values: &[Plain]) -> Option<(i64, i64)> {
    match values {
        [Plain::Number(from), Plain::Number(to)] => {
            let (from, to) = (from.parse().ok()?, to.parse().ok()?);
            (from <= to).then_some((from, to))
        }
        _ => None,
    }
}

/// Splits `acct-{n:05}` into its parts; `{{` and `}}` stand for braces.
fn pattern(text: &str) -> Result<Vec<Piece>, Fault> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let tail = &rest[at..];
        if tail.starts_with("{{") || tail.starts_with("}}") {
            literal.push_str(&tail[..1]);
            rest = &tail[2..];
            continue;
        }
        let hole = tail
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'))
            .and_then(|(hole, after)| Some((counter(hole)?, after)));
        let Some((piece, after)) = hole else {
            return Err(Fault::new(format!(
                "\"{text}\" has a brace that is no counter, expected `{{n}}`, `{{n:05}}`, `{{n%16}}` or `{{n%16+1:02}}`; a brace itself is written twice"
            )));
        };
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(piece);
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// Widest number that a pattern pads to; a longer one is a slip of the pen.
const MAX_WIDTH: usize = 64;

fn counter(hole: &str) -> Option<Piece> {
    let (sum, width) = match hole.split_once(':') {
        Some((sum, width)) => (sum, width.strip_prefix('0')?.parse().ok()?),
        None => (hole, 0),
    };
    let (product, offset) = match sum.split_once('+') {
        Some((product, offset)) => (product, offset.parse().ok()?),
        None => (sum, 0),
    };
    let modulus = match product.split_once('%') {
        Some(("n", modulus)) => Some(modulus.parse().ok().filter(|m| *m > 0)?),
        None if product == "n" => None,
        _ => return None,
    };
    (width <= MAX_WIDTH).then_some(Piece::Counter { modulus, offset, width })
}

fn fill(pieces: &[Piece], n: u64) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Counter { modulus, offset, width } => {
                let value = modulus.map_or(n, |m| n % m).saturating_add(*offset);
                text.push_str(&format!("{value:0width$}"));
            }
        }
    }
    text
}

fn random(draw: Draw, salt: u64) -> u64 {
    mix(mix(draw.seed ^ salt).wrapping_add(draw.n))
}

/// Folds a name into a salt.
pub(crate) fn salted(salt: u64, name: &str) -> u64 {
    name.bytes().fold(mix(salt), |hash, byte| mix(hash ^ u64::from(byte)))
}

/// The finalizer of SplitMix64: a bijection that scatters neighbouring inputs.
fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn index(len: usize, number: u64) -> usize {
    // The remainder is below `len`, so it fits.
    (number % len as u64) as usize
}

fn integer(from: i64, to: i64, number: u64) -> String {
    let span = i128::from(to) - i128::from(from) + 1;
    (i128::from(from) + i128::from(number) % span).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(yaml: &str) -> Result<Template, Fault> {
        Template::compile(&serde_yaml::from_str(yaml).unwrap(), 0)
    }

    fn text(yaml: &str, n: u64) -> String {
        match compile(yaml).unwrap().value(Draw { n, seed: 1 }) {
            Plain::Text(text) | Plain::Number(text) => text,
            other => panic!("no text: {other:?}"),
        }
    }

    #[test]
    fn patterns_count_pad_wrap_and_offset() {
        assert_eq!(text("acct-{n:05}", 42), "acct-00042");
        assert_eq!(text("'{n}'", 123_456), "123456");
        assert_eq!(text("shard-{n%16:02}/{n+1000}", 18), "shard-02/1018");
        assert_eq!(text("'{{n}}'", 3), "{n}");
    }

    #[test]
    fn broken_patterns_are_refused() {
        for bad in ["'{m}'", "'{n'", "'n}'", "'{n:5}'", "'{n%0}'", "'{n:0999}'"] {
            let fault = compile(bad).unwrap_err();
            assert!(fault.message.contains("expected `{n}`"), "{bad}: {fault:?}");
        }
    }

    #[test]
    fn draws_depend_on_seed_counter_and_place_only() {
        let yaml = "{a: {choose: [x, y, z]}, b: {integer: [1, 1000000]}, c: {first_of: [p, q]}}";
        let template = compile(yaml).unwrap();
        let draw = Draw { n: 7, seed: 3 };
        assert_eq!(template.value(draw), compile(yaml).unwrap().value(draw));
        let numbers: std::collections::BTreeSet<String> =
            (0..100).map(|n| text("{integer: [1, 1000000]}", n)).collect();
        assert!(numbers.len() > 95, "100 draws of a million: {}", numbers.len());
        let lengths: std::collections::BTreeSet<usize> = (0..100)
            .map(|n| match compile("{first_of: [p, q]}").unwrap().value(Draw { n, seed: 1 }) {
                Plain::List(values) => values.len(),
                other => panic!("no list: {other:?}"),
            })
            .collect();
        assert_eq!(lengths, [0, 1, 2].into());
    }

    #[test]
    fn cycles_go_round() {
        let values: Vec<String> = (0..4).map(|n| text("{cycle: [a, b, c]}", n)).collect();
        assert_eq!(values, ["a", "b", "c", "a"]);
    }

    #[test]
    fn generators_say_what_they_want() {
        for (bad, wanted) in [
            ("{choose: []}", "expected values"),
            ("{cycle: x}", "expected a list"),
            ("{integer: [5, 1]}", "two integers"),
            ("{integer: [5]}", "two integers"),
        ] {
            let fault = compile(bad).unwrap_err();
            assert!(fault.message.contains(wanted), "{bad}: {fault:?}");
        }
    }

    #[test]
    fn integers_reach_both_ends_of_any_range() {
        assert_eq!(integer(i64::MIN, i64::MAX, 0), i64::MIN.to_string());
        assert_eq!(integer(2, 2, 99), "2");
    }
}
