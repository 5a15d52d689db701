//! Which service and region a host belongs to, for signing; and what is wrong with a URL before it is tried.

use http::Uri;

/// What a signature must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The signing name of the service: `aps`, `es`, ...
    pub service: &'static str,
    /// The region.
    pub region: String,
}

/// Hosts of the form `[...]<label>[-fips].<region>.<suffix>`, and the signing names that go with them.
const BEFORE_REGION: [(&str, &str); 8] = [
    ("aps-workspaces", "aps"),
    ("aps", "aps"),
    ("logs", "logs"),
    ("xray", "xray"),
    ("monitoring", "monitoring"),
    ("dynamodb", "dynamodb"),
    ("sqs", "sqs"),
    ("sts", "sts"),
];

/// Hosts of the form `<name>.<region>.<label>.<suffix>`.
const AFTER_REGION: [(&str, &str); 3] = [("es", "es"), ("aoss", "aoss"), ("osis", "osis")];

/// Service and region of an AWS host, private endpoints (`*.vpce.amazonaws.com`) included; `None` for any other
/// host, whose service and region must be configured.
pub fn infer(host: &str) -> Option<Scope> {
    let host = host.to_ascii_lowercase();
    let suffixes = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".on.aws"];
    let name = suffixes.iter().find_map(|suffix| host.strip_suffix(suffix))?;
    let labels: Vec<&str> = name.split('.').collect();
    let at = labels.iter().rposition(|label| is_region(label))?;
    let before = at.checked_sub(1).map_or("", |index| labels[index]);
    let before = before.strip_suffix("-fips").unwrap_or(before);
    let after = labels.get(at + 1).copied().unwrap_or_default();
    let find = |table: &[(&str, &'static str)], label: &str| {
        table.iter().find(|(name, _)| *name == label).map(|(_, service)| *service)
    };
    let service = find(&AFTER_REGION, after).or_else(|| find(&BEFORE_REGION, before))?;
    Some(Scope { service, region: labels[at].to_owned() })
}

/// Whether a text has the form of a region: `us-east-1`, `us-gov-west-1`.
pub fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = parts.split_last() else {
        return false;
    };
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let number_ok = (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    (2..=4).contains(&words.len()) && words.iter().all(word) && number_ok
}

/// What is wrong with the URL of a service, as far as the URL alone can tell.
///
/// # Errors
/// A sentence that says what was expected. AMP answers a wrong path with 403, which reads like a missing permission;
/// it is better said before.
pub fn validate_url(url: &Uri, service: &str) -> Result<(), String> {
    if url.host().is_none() {
        return Err(format!("`{url}` has no host, expected a URL such as `https://host/path`"));
    }
    if service != "aps" || infer(url.host().unwrap_or_default()).is_none() {
        return Ok(());
    }
    let expected = "expected `https://aps-workspaces.<region>.amazonaws.com/workspaces/<id>/api/v1/remote_write`";
    let path = url.path();
    let segments: Vec<&str> = path.split('/').collect();
    match segments[..] {
        ["", "workspaces", id, "api", "v1", _] if !id.is_empty() && !path.ends_with('/') => {}
        _ if path.ends_with('/') && path.len() > 1 => {
            return Err(format!("the path `{path}` ends with a slash, which is answered 403; {expected}"));
        }
        _ => return Err(format!("the path `{path}` is not that of a workspace; {expected}")),
    }
    match url.scheme_str() {
        Some("https") => Ok(()),
        _ => Err(format!("`{url}` is not https; {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_aws_name_their_service_and_region() {
        let cases = [
            ("aps-workspaces.us-east-1.amazonaws.com", "aps", "us-east-1"),
            ("aps-workspaces-fips.us-gov-west-1.amazonaws.com", "aps", "us-gov-west-1"),
            ("aps-workspaces.eu-central-1.api.aws", "aps", "eu-central-1"),
            ("vpce-0ab1.aps-workspaces.eu-west-1.vpce.amazonaws.com", "aps", "eu-west-1"),
            ("APS-Workspaces.us-west-2.amazonaws.com", "aps", "us-west-2"),
            ("search-logs-abc.us-east-2.es.amazonaws.com", "es", "us-east-2"),
            ("x1.ap-southeast-2.aoss.amazonaws.com", "aoss", "ap-southeast-2"),
            ("pipe-1.us-east-1.osis.amazonaws.com", "osis", "us-east-1"),
            ("logs.cn-north-1.amazonaws.com.cn", "logs", "cn-north-1"),
            ("xray.us-east-1.amazonaws.com", "xray", "us-east-1"),
            ("monitoring.us-east-1.amazonaws.com", "monitoring", "us-east-1"),
            ("dynamodb.us-east-1.amazonaws.com", "dynamodb", "us-east-1"),
        ];
        for (host, service, region) in cases {
            assert_eq!(infer(host), Some(Scope { service, region: region.into() }), "{host}");
        }
    }

    #[test]
    fn other_hosts_name_nothing() {
        for host in [
            "",
            "localhost",
            "prometheus.example.com",
            "aps-workspaces.us-east-1.example.com",
            "amazonaws.com",
            "sts.amazonaws.com",
            "evil-aps-workspaces.us-east-1.amazonaws.com.evil.org",
            "unknown.us-east-1.amazonaws.com",
        ] {
            assert_eq!(infer(host), None, "{host}");
        }
    }

    #[test]
    fn regions_have_a_form() {
        for good in ["us-east-1", "us-gov-west-1", "ap-southeast-5", "us-iso-east-1", "eu-isoe-west-1"] {
            assert!(is_region(good), "{good}");
        }
        for bad in ["", "us-east", "useast1", "us-east-1a", "US-EAST-1", "global", "us--1", "vpce-0ab1"] {
            assert!(!is_region(bad), "{bad}");
        }
    }

    #[test]
    fn a_workspace_url_is_checked_before_it_is_tried() {
        let host = "https://aps-workspaces.us-east-1.amazonaws.com";
        let check = |path: &str| validate_url(&format!("{host}{path}").parse().unwrap(), "aps");
        assert_eq!(check("/workspaces/ws-1/api/v1/remote_write"), Ok(()));
        assert!(check("/workspaces/ws-1/api/v1/remote_write/").unwrap_err().contains("ends with a slash"));
        assert!(check("/api/v1/write").unwrap_err().contains("not that of a workspace"));
        assert!(check("").unwrap_err().contains("not that of a workspace"));
        let plain = "http://aps-workspaces.us-east-1.amazonaws.com/workspaces/w/api/v1/remote_write";
        assert!(validate_url(&plain.parse().unwrap(), "aps").unwrap_err().contains("not https"));
        assert_eq!(validate_url(&"http://127.0.0.1:9090/api/v1/write".parse().unwrap(), "aps"), Ok(()));
        assert!(validate_url(&"/relative".parse().unwrap(), "aps").unwrap_err().contains("no host"));
    }
}
