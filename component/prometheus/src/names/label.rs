//! Label names: one legal name per attribute key, the same that the Collector would write.

use super::{NameError, TranslationStrategy, is_label_byte, only_underscores};

/// Appends the label name of the attribute `key` to `out`; on an error `out` is as it was.
///
/// With the escaping strategies every character outside `[A-Za-z0-9_]` becomes `_` and runs of `_` become one; a reserved
/// name (`__x__`) keeps its ends; a leading digit gets the prefix `key_`, a leading `_` the prefix `key`. `permissive`
/// leaves a leading `_` alone (the Collector's `PermissiveLabelSanitization`). The result is a fixed point.
/// With the UTF-8 strategies the key is the name.
///
/// Errors: an empty key, and one of which nothing but underscores is left. Short ones (`_`, `...`) become `key_`, as in the
/// Collector, unless `permissive`.
pub fn label_name(
    out: &mut String,
    key: &str,
    strategy: TranslationStrategy,
    permissive: bool,
) -> Result<(), NameError> {
    if key.is_empty() {
        return Err(NameError::Empty);
    }
    let start = out.len();
    if !strategy.escapes() {
        out.push_str(key);
    } else if let Some(inner) = reserved(key) {
        out.push_str("__");
        put_collapsed(out, inner);
        out.push_str("__");
    } else {
        put_collapsed(out, key);
        match out.as_bytes()[start] {
            b'0'..=b'9' => out.insert_str(start, "key_"),
            b'_' if !permissive => out.insert_str(start, "key"),
            _ => {}
        }
    }
    if only_underscores(&out[start..]) {
        out.truncate(start);
        return Err(NameError::NothingLegal);
    }
    Ok(())
}

/// The middle of `__x__`; names like these belong to Prometheus, and are passed on as they are.
fn reserved(key: &str) -> Option<&str> {
    key.strip_prefix("__")?.strip_suffix("__")
}

fn put_collapsed(out: &mut String, key: &str) {
    let mut after_underscore = false;
    for c in key.chars() {
        let legal = c.is_ascii() && is_label_byte(c as u8) && c != '_';
        if legal {
            out.push(c);
        } else if !after_underscore {
            out.push('_');
        }
        after_underscore = !legal;
    }
}
