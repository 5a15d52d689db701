//! `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`.
//! Source: OpenTelemetry, "Resource SDK": pairs `key=value` by commas, percent-encoded; one that does not read spoils all.

use super::DetectError;
use crate::attribute::Attribute;
use crate::machine::Machine;

/// What the variables say.
pub(crate) fn detect(machine: &Machine) -> Result<Vec<Attribute>, DetectError> {
    let service = machine.var("OTEL_SERVICE_NAME");
    let pairs = machine.var("OTEL_RESOURCE_ATTRIBUTES");
    if service.is_none() && pairs.is_none() {
        let message = "neither OTEL_RESOURCE_ATTRIBUTES nor OTEL_SERVICE_NAME is set";
        return Err(DetectError::Absent(message.into()));
    }
    let mut attributes: Vec<Attribute> =
        service.iter().map(|service| Attribute::text("service.name", service.trim())).collect();
    for pair in pairs.iter().flat_map(|pairs| pairs.split(',')).map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = read(pair).ok_or_else(|| {
            DetectError::Failed(format!("`{pair}` in OTEL_RESOURCE_ATTRIBUTES is not `key=value`, percent-encoded"))
        })?;
        if !attributes.iter().any(|known| known.name == key) {
            attributes.push(Attribute::text(key, value));
        }
    }
    Ok(attributes)
}

fn read(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=')?;
    let (key, value) = (decode(key.trim())?, decode(value.trim().trim_matches('"'))?);
    (!key.is_empty()).then_some((key, value))
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}
