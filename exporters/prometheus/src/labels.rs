//! A label set as one string of bytes: the key of a series. Byte order of keys is the order of names, then values.
//!
//! Each text is followed by a zero byte. A zero byte inside a text is followed by 0xff, which UTF-8 never has, so that
//! no two label sets share a key and a shorter text stands before a longer one.

use std::borrow::Cow;

const END: u8 = 0;
const INSIDE: u8 = 0xff;

/// Appends a label.
pub(crate) fn put_label(key: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    put_text(key, name);
    put_text(key, value);
}

fn put_text(key: &mut Vec<u8>, text: &[u8]) {
    for (at, part) in text.split(|byte| *byte == END).enumerate() {
        if at > 0 {
            key.extend_from_slice(&[END, INSIDE]);
        }
        key.extend_from_slice(part);
    }
    key.push(END);
}

/// Names and values by turns.
pub(crate) fn texts(mut key: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    std::iter::from_fn(move || {
        if key.is_empty() {
            return None;
        }
        let (first, mut rest) = split(key);
        let mut text = String::from_utf8_lossy(first);
        while let Some(inner) = rest.strip_prefix(&[INSIDE]) {
            let (part, after) = split(inner);
            text.to_mut().push('\0');
            text.to_mut().push_str(&String::from_utf8_lossy(part));
            rest = after;
        }
        key = rest;
        Some(text)
    })
}

/// What stands before and behind the next zero byte.
fn split(key: &[u8]) -> (&[u8], &[u8]) {
    let end = key.iter().position(|byte| *byte == END).unwrap_or(key.len());
    (&key[..end], key.get(end + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(labels: &[(&str, &str)]) -> Vec<u8> {
        let mut key = Vec::new();
        labels.iter().for_each(|(name, value)| put_label(&mut key, name.as_bytes(), value.as_bytes()));
        key
    }

    #[test]
    fn keys_read_back_and_sort_like_their_labels() {
        let sorted: [&[(&str, &str)]; 9] = [
            &[],
            &[("a", "")],
            &[("a", "1")],
            &[("a", "1"), ("b", "2")],
            &[("a", "1\0")],
            &[("a", "1\0\0x")],
            &[("a", "10")],
            &[("ab", "1")],
            &[("é", "\u{10ffff}")],
        ];
        for labels in sorted {
            let key = key(labels);
            let back: Vec<_> = texts(&key).collect();
            let flat: Vec<&str> = labels.iter().flat_map(|(name, value)| [*name, *value]).collect();
            assert_eq!(back, flat);
        }
        assert!(sorted.map(key).windows(2).all(|pair| pair[0] < pair[1]));
    }
}
