//! Requests of version 2.0 taken apart again: cut in two, joined, turned into version 1.0, or named in a log.
//! References are followed and checked: nothing here trusts them to be in range.

use super::{
    EXEMPLARS, HISTOGRAMS, LABELS, METADATA, Request, SAMPLES, SERIES, SYMBOLS, put_metadata_fields, put_refs,
};
use crate::wire::read::packed;
use crate::wire::{Fields, Malformed, Symbols, middle, put_len_prefixed, rw1};

/// A label's name and value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// A request's parts, as they stand in its bytes.
struct Parts<'a> {
    symbols: Vec<&'a [u8]>,
    series: Vec<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn of(request: &'a [u8]) -> Result<Self, Malformed> {
        let mut parts = Self { symbols: Vec::new(), series: Vec::new() };
        for field in Fields::new(request) {
            let field = field?;
            match field.number {
                SYMBOLS => parts.symbols.push(field.bytes()?),
                SERIES => parts.series.push(field.bytes()?),
                _ => {}
            }
        }
        Ok(parts)
    }

    fn symbol(&self, r: u64) -> Result<&'a [u8], Malformed> {
        let at = usize::try_from(r).map_err(|_| Malformed)?;
        self.symbols.get(at).copied().ok_or(Malformed)
    }

    /// The names and values that packed references stand for.
    fn labels(&self, refs: &'a [u8]) -> Result<Vec<Pair<'a>>, Malformed> {
        let flat: Vec<&[u8]> = packed(refs).map(|r| self.symbol(r?)).collect::<Result<_, Malformed>>()?;
        if flat.len() % 2 == 1 {
            return Err(Malformed);
        }
        Ok(flat.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }
}

/// What the references of a request are in another one, which grows by the symbols that it lacks.
struct Translation<'a> {
    from: &'a Parts<'a>,
    /// By reference: one of the new request, once it was asked for.
    known: Vec<Option<u32>>,
}

impl<'a> Translation<'a> {
    fn of(from: &'a Parts<'a>) -> Self {
        Self { from, known: vec![None; from.symbols.len()] }
    }

    fn reference(&mut self, r: u64, symbols: &mut Symbols) -> Result<u32, Malformed> {
        let symbol = self.from.symbol(r)?;
        // The symbol is there, so its place is.
        let known = &mut self.known[r as usize];
        Ok(*known.get_or_insert_with(|| symbols.intern(symbol)))
    }
}

/// Cuts a request in two of about the same size, between two series, each with a table of just its own symbols.
/// `None` if there is nothing to cut: fewer than two series, or bytes that are no request.
pub fn split(request: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let parts = Parts::of(request).ok()?;
    let cut = middle(parts.series.iter().map(|series| series.len()))?;
    let (first, second) = parts.series.split_at(cut);
    let half = |series: &[&[u8]]| {
        let mut half = Request::new();
        half.copy(&parts, series).ok()?;
        Some(half.written())
    };
    Some((half(first)?, half(second)?))
}

/// One request with the series of all of them, in order, and each symbol once. `None` if any of them is no request.
pub fn join(requests: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut whole = Request::new();
    for request in requests {
        let parts = Parts::of(request).ok()?;
        whole.copy(&parts, &parts.series).ok()?;
    }
    Some(whole.written())
}

impl Request {
    /// Appends series of another request, their references translated.
    fn copy(&mut self, from: &Parts<'_>, messages: &[&[u8]]) -> Result<(), Malformed> {
        let Self { symbols, series, refs } = self;
        let mut translation = Translation::of(from);
        for message in messages {
            let mut copied = Ok(());
            put_len_prefixed(series, SERIES, |buf| {
                copied = copy_fields(buf, symbols, refs, &mut translation, message);
            });
            copied?;
        }
        Ok(())
    }

    fn written(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_to(&mut out);
        out
    }
}

fn copy_fields(
    buf: &mut Vec<u8>,
    symbols: &mut Symbols,
    refs: &mut Vec<u32>,
    from: &mut Translation<'_>,
    message: &[u8],
) -> Result<(), Malformed> {
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            LABELS => copy_refs(buf, symbols, refs, from, field.bytes()?)?,
            EXEMPLARS => {
                let exemplar = field.bytes()?;
                let mut copied = Ok(());
                put_len_prefixed(buf, EXEMPLARS, |buf| {
                    copied = copy_exemplar(buf, symbols, refs, from, exemplar);
                });
                copied?;
            }
            METADATA => copy_metadata(buf, symbols, from, field.bytes()?)?,
            _ => buf.extend_from_slice(field.raw),
        }
    }
    Ok(())
}

fn copy_refs(
    buf: &mut Vec<u8>,
    symbols: &mut Symbols,
    refs: &mut Vec<u32>,
    from: &mut Translation<'_>,
    bytes: &[u8],
) -> Result<(), Malformed> {
    refs.clear();
    for r in packed(bytes) {
        refs.push(from.reference(r?, symbols)?);
    }
    put_refs(buf, refs);
    Ok(())
}

fn copy_exemplar(
    buf: &mut Vec<u8>,
    symbols: &mut Symbols,
    refs: &mut Vec<u32>,
    from: &mut Translation<'_>,
    message: &[u8],
) -> Result<(), Malformed> {
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            LABELS => copy_refs(buf, symbols, refs, from, field.bytes()?)?,
            _ => buf.extend_from_slice(field.raw),
        }
    }
    Ok(())
}

fn copy_metadata(
    buf: &mut Vec<u8>,
    symbols: &mut Symbols,
    from: &mut Translation<'_>,
    message: &[u8],
) -> Result<(), Malformed> {
    let (mut kind, mut help, mut unit) = (0, 0, 0);
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            1 => kind = field.varint()?,
            3 => help = from.reference(field.varint()?, symbols)?,
            4 => unit = from.reference(field.varint()?, symbols)?,
            _ => {}
        }
    }
    put_metadata_fields(buf, kind, help, unit);
    Ok(())
}

/// The same request in version 1.0, for a receiver that does not know 2.0. Start times and descriptions stay behind:
/// the text of 1.0 has neither.
pub fn to_rw1(request: &[u8]) -> Result<Vec<u8>, Malformed> {
    let parts = Parts::of(request)?;
    let mut out = Vec::with_capacity(request.len() * 2);
    for series in &parts.series {
        let mut written = Ok(());
        put_len_prefixed(&mut out, 1, |buf| written = put_series_rw1(buf, &parts, series));
        written?;
    }
    Ok(out)
}

fn put_series_rw1(buf: &mut Vec<u8>, parts: &Parts<'_>, series: &[u8]) -> Result<(), Malformed> {
    for field in Fields::new(series) {
        let field = field?;
        match field.number {
            LABELS => put_labels_rw1(buf, parts, field.bytes()?)?,
            SAMPLES => put_without(buf, 2, field.bytes()?, 3)?,
            HISTOGRAMS => put_without(buf, 4, field.bytes()?, 17)?,
            EXEMPLARS => {
                let exemplar = field.bytes()?;
                let mut written = Ok(());
                put_len_prefixed(buf, 3, |buf| written = put_exemplar_rw1(buf, parts, exemplar));
                written?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn put_labels_rw1(buf: &mut Vec<u8>, parts: &Parts<'_>, refs: &[u8]) -> Result<(), Malformed> {
    for (name, value) in parts.labels(refs)? {
        rw1::put_label(buf, name, value);
    }
    Ok(())
}

fn put_exemplar_rw1(buf: &mut Vec<u8>, parts: &Parts<'_>, message: &[u8]) -> Result<(), Malformed> {
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            LABELS => put_labels_rw1(buf, parts, field.bytes()?)?,
            _ => buf.extend_from_slice(field.raw),
        }
    }
    Ok(())
}

/// Appends `message` as field `field`, without its own field `left_out`.
fn put_without(buf: &mut Vec<u8>, field: u32, message: &[u8], left_out: u32) -> Result<(), Malformed> {
    let mut written = Ok(());
    put_len_prefixed(buf, field, |buf| {
        for inner in Fields::new(message) {
            match inner {
                Ok(inner) if inner.number == left_out => {}
                Ok(inner) => buf.extend_from_slice(inner.raw),
                Err(malformed) => written = Err(malformed),
            }
        }
    });
    written
}

/// The labels of each series of a request, for a log: text that is not UTF-8 is shown with replacement characters.
pub fn series_labels(request: &[u8]) -> Result<Vec<Vec<(String, String)>>, Malformed> {
    let parts = Parts::of(request)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut all = Vec::with_capacity(parts.series.len());
    for series in &parts.series {
        let mut labels = Vec::new();
        for field in Fields::new(series) {
            let field = field?;
            if field.number == LABELS {
                let pairs = parts.labels(field.bytes()?)?;
                labels.extend(pairs.into_iter().map(|(name, value)| (text(name), text(value))));
            }
        }
        all.push(labels);
    }
    Ok(all)
}
