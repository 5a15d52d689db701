//! Which process it is that says something about itself: the attributes of the resource.

use std::collections::BTreeMap;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use crate::config::AttributeValue;

/// What the process calls itself unless config says otherwise.
pub(super) const SERVICE_NAME: &str = "steadyline";

/// `service.telemetry.resource`: a name without a value takes away a default attribute.
type Configured = BTreeMap<String, AttributeValue>;

/// All attributes: name and version of the program, a random id of this process, and what config says.
pub(super) fn of_process(configured: &Configured) -> Resource {
    let defaults = [
        ("service.name", SERVICE_NAME.to_string()),
        ("service.version", env!("CARGO_PKG_VERSION").to_string()),
        ("service.instance.id", random_uuid()),
    ];
    let attributes = merge(defaults, configured).into_iter().map(|(name, value)| KeyValue::new(name, value));
    Resource::builder_empty().with_attributes(attributes).build()
}

/// Those that are the same at every start and for every version, for data that must not fork.
pub(super) fn that_stays(configured: &Configured) -> Vec<(String, String)> {
    merge([("service.name", SERVICE_NAME.to_string())], configured)
}

fn merge(defaults: impl IntoIterator<Item = (&'static str, String)>, configured: &Configured) -> Vec<(String, String)> {
    let mut all: BTreeMap<&str, String> = defaults.into_iter().collect();
    for (name, value) in configured {
        match &value.0 {
            Some(value) => drop(all.insert(name, value.clone())),
            None => drop(all.remove(name.as_str())),
        }
    }
    all.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

/// A random UUID, version 4.
fn random_uuid() -> String {
    let mut id = u128::from_be_bytes(RandomIdGenerator::default().new_trace_id().to_bytes());
    id = id & !(0xf << 76) | 0x4 << 76;
    id = id & !(0x3 << 62) | 0x2 << 62;
    let hex = format!("{id:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_adds_replaces_and_takes_away() {
        let configured = Configured::from([
            ("service.name".into(), AttributeValue(Some("sidecar".into()))),
            ("service.instance.id".into(), AttributeValue(None)),
            ("deployment.environment".into(), AttributeValue(Some("prod".into()))),
        ]);
        let resource = of_process(&configured);
        let get = |name: &'static str| resource.get(&name.into()).map(|value| value.to_string());
        assert_eq!(get("service.name").as_deref(), Some("sidecar"));
        assert_eq!(get("service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(get("service.instance.id"), None);
        let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
        let expected = [pair("deployment.environment", "prod"), pair("service.name", "sidecar")];
        assert_eq!(that_stays(&configured), expected);
    }

    #[test]
    fn instances_are_told_apart_by_version_4_uuids() {
        let (one, other) = (random_uuid(), random_uuid());
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[14..15]), (36, "4"));
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"), "{one}");
    }
}
