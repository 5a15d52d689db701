//! An EC2 instance, by its metadata service (IMDSv2: a token first).
//! Source: AWS, "Access instance metadata"; OpenTelemetry semantic conventions, cloud and host.

use std::time::Duration;

use http::{Method, StatusCode};
use regex::RegexSet;
use serde::Deserialize;

use super::{DetectError, Gathered, Known};
use crate::attribute::Attribute;
use crate::config::{Ec2Config, Wanted};
use crate::fetch::FetchError;
use crate::machine::Machine;

pub(crate) const ATTRIBUTES: Known = &[
    ("cloud.account.id", true),
    ("cloud.availability_zone", true),
    ("cloud.platform", true),
    ("cloud.provider", true),
    ("cloud.region", true),
    ("host.id", true),
    ("host.image.id", true),
    ("host.name", true),
    ("host.type", true),
];

/// The service answers from the next hop; one that does not within this is not there.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Document {
    account_id: String,
    availability_zone: String,
    region: String,
    instance_id: String,
    image_id: String,
    instance_type: String,
}

/// What the service says about the instance.
pub(crate) async fn detect(
    machine: &Machine,
    config: &Ec2Config,
    tags: &RegexSet,
    timeout: Duration,
) -> Result<Vec<Attribute>, DetectError> {
    let imds = match Imds::open(machine, config.max_attempts, config.max_backoff.get(), timeout).await {
        Err(DetectError::Absent(message)) if config.fail_on_missing_metadata => {
            return Err(DetectError::Failed(message));
        }
        opened => opened?,
    };
    let text = imds.get("dynamic/instance-identity/document").await?;
    let document: Document = serde_json::from_str(&text)
        .map_err(|error| DetectError::Failed(format!("the instance's identity document is nonsense: {error}")))?;
    let wanted = Wanted::new(ATTRIBUTES, &config.resource_attributes);
    let mut found = Gathered::new(&wanted);
    found.text("cloud.provider", "aws");
    found.text("cloud.platform", "aws_ec2");
    found.text("cloud.region", &document.region);
    found.text("cloud.account.id", &document.account_id);
    found.text("cloud.availability_zone", &document.availability_zone);
    found.text("host.id", &document.instance_id);
    found.text("host.image.id", &document.image_id);
    found.text("host.type", &document.instance_type);
    if wanted.has("host.name") {
        found.text("host.name", imds.get("meta-data/hostname").await?);
    }
    if !tags.is_empty() {
        for key in imds.tags().await?.into_iter().filter(|key| tags.is_match(key)) {
            let value = imds.tag(&key).await?;
            found.attributes.push(Attribute::text(format!("ec2.tag.{key}"), value));
        }
    }
    Ok(found.attributes)
}

/// The metadata service, opened with a token.
pub(crate) struct Imds<'a> {
    machine: &'a Machine,
    base: String,
    token: String,
    attempt: Duration,
}

impl<'a> Imds<'a> {
    /// Gets a token. A service that nobody answers for is absent.
    pub(crate) async fn open(
        machine: &'a Machine,
        attempts: u32,
        longest_pause: Duration,
        timeout: Duration,
    ) -> Result<Imds<'a>, DetectError> {
        if machine.var("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(DetectError::Absent("AWS_EC2_METADATA_DISABLED is set".into()));
        }
        let is_v6 =
            machine.var("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").is_some_and(|m| m.eq_ignore_ascii_case("ipv6"));
        let default = if is_v6 { "http://[fd00:ec2::254]" } else { "http://169.254.169.254" };
        let base = machine.var("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| default.into());
        let base = base.trim_end_matches('/').to_owned();
        let url = format!("{base}/latest/api/token");
        // All attempts and the pauses between them stay within the time.
        let attempt = (timeout / (2 * attempts)).min(LONGEST_ATTEMPT);
        let mut pause = FIRST_PAUSE;
        for number in 1.. {
            let headers = [("x-aws-ec2-metadata-token-ttl-seconds", "300"), ("content-length", "0")];
            match machine.fetcher.ask(Method::PUT, &url, &headers, attempt).await {
                Ok(token) => return Ok(Imds { machine, base, token, attempt }),
                Err(FetchError::Unreachable(..)) if number < attempts => {
                    tokio::time::sleep(pause.min(longest_pause).min(attempt)).await;
                    pause *= 2;
                }
                Err(error @ FetchError::Unreachable(..)) => {
                    let message = format!("no instance metadata, this is not EC2 or a hop too far from it: {error}");
                    return Err(DetectError::Absent(message));
                }
                Err(FetchError::Refused(url, status @ (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND))) => {
                    return Err(DetectError::Absent(format!(
                        "instance metadata is switched off: `{url}` answers {status}"
                    )));
                }
                Err(FetchError::Refused(_, status)) if status.is_server_error() && number < attempts => {
                    tokio::time::sleep(pause.min(longest_pause).min(attempt)).await;
                    pause *= 2;
                }
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// What stands at a path below `latest/`.
    pub(crate) async fn get(&self, path: &str) -> Result<String, DetectError> {
        Ok(self.fetch(path).await?)
    }

    async fn fetch(&self, path: &str) -> Result<String, FetchError> {
        let url = format!("{}/latest/{path}", self.base);
        let headers = [("x-aws-ec2-metadata-token", self.token.as_str())];
        Ok(self.machine.fetcher.get(&url, &headers, self.attempt).await?.trim().to_owned())
    }

    /// The keys of the instance's tags; none if the instance's metadata does not have them.
    pub(crate) async fn tags(&self) -> Result<Vec<String>, DetectError> {
        match self.fetch("meta-data/tags/instance").await {
            Ok(keys) => Ok(keys.lines().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty()).collect()),
            Err(FetchError::Refused(_, StatusCode::NOT_FOUND)) => {
                tracing::warn!("the instance's metadata has no tags; allow tags in instance metadata to have them");
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The value of a tag.
    pub(crate) async fn tag(&self, key: &str) -> Result<String, DetectError> {
        self.get(&format!("meta-data/tags/instance/{}", encoded(key))).await
    }
}

/// A tag's key as part of a path.
fn encoded(key: &str) -> String {
    let mut path = String::new();
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' | b'+' | b'=' | b'@' => {
                path.push(byte as char)
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}
