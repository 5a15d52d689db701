//! Targets: from the labels of a discovery to what is scraped and how its series are labelled.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Uri;
use steadyline_scrape::Labels;
use steadyline_scrape::relabel::Rules;
use xxhash_rust::xxh3::xxh3_64;

use crate::discovery::{ADDRESS, Found};
use crate::emit::Place;
use crate::http::encoded;
use crate::series::Origin;

const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM: &str = "__param_";
const META: &str = "__meta_";

/// What a job says about all of its targets.
#[derive(Debug, Clone)]
pub(crate) struct TargetDefaults {
    /// The job's name.
    pub(crate) job: String,
    /// How often targets are scraped.
    pub(crate) interval: Duration,
    /// How long a scrape may take.
    pub(crate) timeout: Duration,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// The path.
    pub(crate) path: String,
    /// Parameters of the URL.
    pub(crate) params: BTreeMap<String, Vec<String>>,
    /// Relabelling.
    pub(crate) relabel: Rules,
}

/// One target.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    /// Tells it from all others: labels and URL.
    pub(crate) key: String,
    /// What is scraped.
    pub(crate) url: Uri,
    /// How often.
    pub(crate) interval: Duration,
    /// How long a scrape may take.
    pub(crate) timeout: Duration,
    /// The labels of its series, sorted.
    pub(crate) labels: Vec<(String, String)>,
    /// Where it is.
    pub(crate) place: Place,
}

impl TargetDefaults {
    /// The target of a discovery; `None` if relabelling drops it.
    ///
    /// # Errors
    /// What its labels lack, in words.
    pub(crate) fn target(&self, found: &Found) -> Result<Option<Target>, String> {
        let mut labels = Labels::from_iter(found.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let interval = steadyline_config::Duration::from(self.interval).to_string();
        let timeout = steadyline_config::Duration::from(self.timeout).to_string();
        let params = self.params.iter().filter_map(|(name, values)| Some((format!("{PARAM}{name}"), values.first()?)));
        let params: Vec<(String, &String)> = params.collect();
        let own = [("job", self.job.as_str()), (INTERVAL, &interval), (TIMEOUT, &timeout), (PATH, &self.path)];
        let own = own.into_iter().chain([(SCHEME, self.scheme)]);
        for (name, value) in own.chain(params.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
            if labels.get(name).is_none_or(str::is_empty) {
                labels.set(name, value);
            }
        }
        if !self.relabel.apply(&mut labels) {
            return Ok(None);
        }
        labels.retain(|name, _| !name.starts_with(META));
        let address = labels.get(ADDRESS).unwrap_or_default().to_string();
        if address.is_empty() {
            return Err("there is no address".to_string());
        }
        if address.contains('/') {
            return Err(format!("`{address}` is not an address: expected `host:port` without scheme and path"));
        }
        if labels.get("instance").is_none_or(str::is_empty) {
            labels.set("instance", &address);
        }
        self.finish(&labels, &address).map(Some)
    }

    fn finish(&self, labels: &Labels, address: &str) -> Result<Target, String> {
        let text = |name: &str| labels.get(name).unwrap_or_default().to_string();
        let (interval, timeout) = (span(labels, INTERVAL)?, span(labels, TIMEOUT)?);
        if timeout > interval {
            return Err(format!("`{TIMEOUT}` is above `{INTERVAL}`"));
        }
        let scheme = text(SCHEME);
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(format!("`{scheme}` is not a scheme to scrape by: expected `http` or `https`"));
        }
        let (host, port) = split(address);
        let url = format!("{scheme}://{address}{}{}", absolute(&text(PATH)), self.query(labels));
        let url: Uri = url.parse().map_err(|_| format!("`{url}` is not a URL"))?;
        let own = labels.iter().filter(|(name, _)| !name.starts_with("__"));
        let own: Vec<(String, String)> = own.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let rest = own.iter().filter(|(name, _)| !matches!(name.as_str(), "job" | "instance")).cloned().collect();
        let origin = Origin { job: text("job"), instance: text("instance"), scope: Vec::new() };
        let key = labels.iter().map(|(name, value)| format!("{name}={value:?},")).collect::<String>();
        Ok(Target {
            key: format!("{key}{url}"),
            url,
            interval,
            timeout,
            labels: own,
            place: Place { origin, labels: rest, host, port, scheme },
        })
    }

    /// The query of the URL: configured parameters, of which labels may have replaced the first values.
    fn query(&self, labels: &Labels) -> String {
        let mut params = self.params.clone();
        for (name, value) in labels.iter() {
            let Some(name) = name.strip_prefix(PARAM).filter(|name| !name.is_empty()) else { continue };
            match params.entry(name.to_string()).or_default() {
                values if values.is_empty() => values.push(value.to_string()),
                values => values[0] = value.to_string(),
            }
        }
        let pairs = params.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        let pairs: Vec<String> = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

impl Target {
    /// When the target is scraped: so many nanoseconds after each whole interval since the epoch. Spreads targets, and is
    /// the same after a restart.
    pub(crate) fn offset(&self) -> u64 {
        xxh3_64(self.key.as_bytes()) % (self.interval.as_nanos() as u64).max(1)
    }
}

fn span(labels: &Labels, name: &str) -> Result<Duration, String> {
    let text = labels.get(name).unwrap_or_default();
    let span: steadyline_config::Duration = text.parse().map_err(|error| format!("`{name}`: {error}"))?;
    if span.is_zero() { Err(format!("`{name}` is zero")) } else { Ok(span.get()) }
}

/// Host and port of an address, an IPv6 host without its brackets.
fn split(address: &str) -> (String, String) {
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) => (host, port),
        _ => (address, ""),
    };
    (host.trim_start_matches('[').trim_end_matches(']').to_string(), port.to_string())
}

/// The path with a slash in front, and everything in it that a URL cannot hold written as `%XX`.
fn absolute(path: &str) -> String {
    let mut out = String::from(if path.starts_with('/') { "" } else { "/" });
    for byte in path.bytes() {
        match byte {
            b'?' | b'#' | b' ' | b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'\\' | b'^' => {
                out += &format!("%{byte:02X}")
            }
            0x21..=0x7e => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use steadyline_scrape::relabel::RelabelConfig;

    use super::*;

    fn defaults(relabel: &[RelabelConfig]) -> TargetDefaults {
        TargetDefaults {
            job: "app".into(),
            interval: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            scheme: "http",
            path: "/metrics".into(),
            params: BTreeMap::from([("module".into(), vec!["a b".into(), "c".into()])]),
            relabel: Rules::new(relabel).unwrap(),
        }
    }

    fn found(pairs: &[(&str, &str)]) -> Found {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn rule(yaml: &str) -> RelabelConfig {
        steadyline_config::decode_text(yaml, &|_: &str| None).unwrap()
    }

    #[test]
    fn a_target_of_defaults() {
        let target =
            defaults(&[]).target(&found(&[(ADDRESS, "h:1"), ("zone", "x"), ("__meta_a", "b")])).unwrap().unwrap();
        assert_eq!(target.url.to_string(), "http://h:1/metrics?module=a+b&module=c");
        let labels: Vec<_> = target.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(labels, [("instance", "h:1"), ("job", "app"), ("zone", "x")]);
        assert_eq!((target.place.host.as_str(), target.place.port.as_str()), ("h", "1"));
        assert_eq!(target.place.labels, [("zone".to_string(), "x".to_string())]);
        assert!(target.offset() < 15_000_000_000);
        assert!(!target.key.contains("__meta"));
    }

    #[test]
    fn relabelling_decides_about_everything() {
        let rules = [
            rule("{source_labels: [__meta_path], target_label: __metrics_path__}"),
            rule("{target_label: __scheme__, replacement: https}"),
            rule("{target_label: __param_module, replacement: z}"),
            rule("{target_label: __scrape_interval__, replacement: 30s}"),
            rule("{target_label: instance, replacement: me}"),
            rule("{source_labels: [__meta_keep], regex: no, action: drop}"),
        ];
        let target =
            defaults(&rules).target(&found(&[(ADDRESS, "[::1]:9"), ("__meta_path", "/p q")])).unwrap().unwrap();
        assert_eq!(target.url.to_string(), "https://[::1]:9/p%20q?module=z&module=c");
        assert_eq!(target.interval, Duration::from_secs(30));
        assert_eq!((target.place.origin.instance.as_str(), target.place.host.as_str()), ("me", "::1"));
        let dropped = defaults(&rules).target(&found(&[(ADDRESS, "h:1"), ("__meta_keep", "no")]));
        assert_eq!(dropped, Ok(None));
    }

    #[test]
    fn what_cannot_be_scraped_is_said() {
        for (pairs, expected) in [
            (vec![], "no address"),
            (vec![(ADDRESS, "http://h:1/x")], "without scheme and path"),
            (vec![(ADDRESS, "h:1"), (SCHEME, "ftp")], "not a scheme"),
            (vec![(ADDRESS, "h:1"), (TIMEOUT, "1m")], "above"),
            (vec![(ADDRESS, "h:1"), (INTERVAL, "soon")], "__scrape_interval__"),
            (vec![(ADDRESS, "h 1")], "not a URL"),
        ] {
            let error = defaults(&[]).target(&found(&pairs)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
