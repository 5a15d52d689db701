//! Whose trace a message belongs to: W3C `traceparent`, `tracestate` and `baggage`, and X-Ray's header where they are missing.
//! Source: W3C Trace Context, section 3; W3C Baggage, section 3.2; AWS X-Ray, "Tracing header".

use std::collections::HashMap;

/// The place in a trace that a message was sent from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TraceContext {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) sampled: bool,
    pub(crate) state: String,
}

/// The longest `tracestate` and `baggage` that are passed on, as their specifications bound them.
const MAX_STATE: usize = 512;
const MAX_BAGGAGE: usize = 8192;

impl TraceContext {
    /// From a message's attributes and X-Ray's header; W3C counts where both are there.
    pub(crate) fn of(attributes: &HashMap<String, String>, xray: Option<&str>) -> Option<Self> {
        let w3c = attributes.get("traceparent").and_then(|text| Self::parse(text));
        if let Some(mut context) = w3c {
            context.state =
                attributes.get("tracestate").filter(|state| state.len() <= MAX_STATE).cloned().unwrap_or_default();
            return Some(context);
        }
        Self::parse_xray(xray?)
    }

    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.trim().split('-').collect();
        let [version, trace, span, flags, rest @ ..] = parts.as_slice() else { return None };
        if version.len() != 2 || *version == "ff" || (*version == "00" && !rest.is_empty()) {
            return None;
        }
        let [_] = hex::<1>(version)?;
        let [flags] = hex::<1>(flags)?;
        Self::new(hex(trace)?, hex(span)?, flags & 1 == 1)
    }

    /// `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`
    fn parse_xray(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut fields = text.split(';').filter_map(|field| field.trim().split_once('='));
            fields.find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        let (epoch, unique) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
        if (epoch.len(), unique.len()) != (8, 24) {
            return None;
        }
        Self::new(hex(&format!("{epoch}{unique}"))?, hex(field("Parent")?)?, field("Sampled") == Some("1"))
    }

    fn new(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool) -> Option<Self> {
        let is_valid = trace_id != [0; 16] && span_id != [0; 8];
        is_valid.then_some(Self { trace_id, span_id, sampled, state: String::new() })
    }
}

/// Lower-case hexadecimal of exactly `N` bytes.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

/// The entries of a `baggage` header, their properties left out.
pub(crate) fn baggage(text: &str) -> Vec<(String, String)> {
    if text.len() > MAX_BAGGAGE {
        return Vec::new();
    }
    let entry = |entry: &str| {
        let (key, value) = entry.split(';').next()?.split_once('=')?;
        Some((key.trim().to_owned(), percent_decoded(value.trim())?))
    };
    text.split(',').filter_map(entry).collect()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = after;
            }
            (b'%', _) => return None,
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn of(traceparent: &str, xray: Option<&str>) -> Option<(String, bool)> {
        let attributes = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
        let context = TraceContext::of(&attributes, xray)?;
        Some((
            format!("{:032x}/{:016x}", u128::from_be_bytes(context.trace_id), u64::from_be_bytes(context.span_id)),
            context.sampled,
        ))
    }

    #[test]
    fn contexts_are_read_strictly_and_w3c_counts_first() {
        let good = format!("00-{TRACE}-b7ad6b7169203331-01");
        let place = format!("{TRACE}/b7ad6b7169203331");
        let xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        let xray_place = "5759e988bd862e3fe1be46a994272793/53995c3f42cd8ad8".to_owned();
        assert_eq!(of(&good, Some(xray)), Some((place.clone(), true)));
        assert_eq!(of(&format!("00-{TRACE}-b7ad6b7169203331-00"), None), Some((place.clone(), false)));
        assert_eq!(of(&format!("cc-{TRACE}-b7ad6b7169203331-01-what"), None), Some((place, true)), "a later version");
        assert_eq!(of("", Some(xray)), Some((xray_place, true)));
        for bad in [
            String::new(),
            good.to_uppercase(),
            format!("{good}-x"),
            format!("ff-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-b7ad6b716920333-01"),
            format!("00-{TRACE}-b7ad6b7169203331"),
        ] {
            assert_eq!(of(&bad, None), None, "{bad}");
        }
        for bad in
            ["", "Root=1-5759e988-bd862e3fe1be46a994272793", "Root=2-5759e988-bd;Parent=53995c3f42cd8ad8", "Self=1"]
        {
            assert_eq!(of("", Some(bad)), None, "{bad}");
        }
    }

    #[test]
    fn baggage_is_decoded() {
        let pairs = baggage("tenant=acme%20corp;ttl=1, user = 7 ,broken,x=%zz");
        assert_eq!(pairs, [("tenant".to_owned(), "acme corp".to_owned()), ("user".to_owned(), "7".to_owned())]);
        assert_eq!(baggage(&"a=b,".repeat(3000)), []);
    }
}
