//! The keys by which a component is told where an SQS queue is, and what the queue's URL says: its name, its region, or, if
//! it is none of AWS, where its service is.

use schemars::JsonSchema;
use serde::Deserialize;
use steadyline_component::config::Diagnostic;
use steadyline_component::{CreateContext, IamStatement};
use steadyline_config::Flat;

use crate::access::{AccessConfig, described_as};
use crate::config::AwsConfig;
use crate::iam;

/// Where an SQS queue is, and as whom it is asked.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(transparent)]
pub struct QueueConfig(Flat<QueueKeys, AccessConfig>);

described_as!(QueueConfig, Flat<QueueKeys, AccessConfig>);

#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct QueueKeys {
    /// The queue's URL: `https://sqs.us-east-1.amazonaws.com/123456789012/events`. The name of a FIFO queue ends with `.fifo`.
    queue_url: String,
    /// The region, such as `us-east-1`. Empty: from the queue's URL, the environment, the profile or the machine.
    region: String,
    /// The URL of SQS, for emulators and private endpoints. Empty: the region's own, or that of `queue_url` if it is none of AWS.
    endpoint: String,
}

impl QueueConfig {
    /// Reports what is wrong with the keys.
    pub fn check(&self, context: &mut CreateContext<'_>) {
        if self.url().is_empty() {
            return context.error("queue_url", "no queue is named");
        }
        if QueueUrl::parse(self.url()).is_none() {
            let diagnostic = Diagnostic::error("invalid-value", format!("`{}` is no queue's URL", self.url()));
            let expected = "a URL such as `https://sqs.us-east-1.amazonaws.com/123456789012/events`";
            return context.report("queue_url", diagnostic.with_expected(expected));
        }
        for problem in self.aws().problems() {
            context.error(problem.path, problem.message);
        }
    }

    /// The queue's URL.
    pub fn url(&self) -> &str {
        &self.0.queue_url
    }

    /// The queue's name; empty if the URL is none.
    pub fn name(&self) -> &str {
        QueueUrl::parse(self.url()).map_or("", |url| url.name)
    }

    /// Whether the queue keeps the order of groups.
    pub fn is_fifo(&self) -> bool {
        self.name().ends_with(".fifo")
    }

    /// How AWS, or what stands in its place, is reached.
    pub fn aws(&self) -> AwsConfig {
        let Flat { own: keys, shared } = &self.0;
        let url = QueueUrl::parse(&keys.queue_url);
        let or = |given: &'_ str, found: Option<&str>| match given.is_empty() {
            true => found.unwrap_or_default().to_owned(),
            false => given.to_owned(),
        };
        let region = or(&keys.region, url.as_ref().and_then(|url| url.region));
        let endpoint = or(&keys.endpoint, url.as_ref().and_then(|url| url.endpoint));
        shared.at(&region, &endpoint)
    }

    /// What it takes to do this with the queue: `actions` of SQS on it; those of KMS through SQS alone, which a queue that is
    /// encrypted with a key of one's own wants; and to assume the role, if there is one.
    pub fn permissions(&self, sid: &str, actions: &[&str], kms_actions: &[&str]) -> Vec<IamStatement> {
        let aws = self.aws();
        let account = self.url().trim_end_matches('/').rsplit('/').nth(1).unwrap_or_default();
        let named = |service: &str, actions: &[&str]| actions.iter().map(|name| format!("{service}:{name}")).collect();
        let queue = IamStatement {
            sid: sid.to_owned(),
            actions: named("sqs", actions),
            resources: vec![iam::arn("sqs", &aws.region, account, self.name())],
            conditions: Vec::new(),
        };
        let domain = if aws.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let region = if aws.region.is_empty() { "<region>" } else { &aws.region };
        let key = IamStatement {
            sid: format!("{sid}Encrypted"),
            actions: named("kms", kms_actions),
            resources: vec![iam::arn("kms", &aws.region, account, "key/*")],
            conditions: vec![(
                "StringEquals".to_owned(),
                "kms:ViaService".to_owned(),
                format!("sqs.{region}.{domain}"),
            )],
        };
        [queue, key].into_iter().chain(aws.permissions()).collect()
    }
}

/// The URL of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueUrl<'a> {
    /// The queue's name.
    pub name: &'a str,
    /// The region, if the host is one of AWS.
    pub region: Option<&'a str>,
    /// The URL of the service, if the host is none of AWS.
    pub endpoint: Option<&'a str>,
}

impl<'a> QueueUrl<'a> {
    /// Reads `https://host/account/name`; `None` if it is no queue's URL.
    pub fn parse(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let mut parts = rest.trim_end_matches('/').split('/');
        let host = parts.next()?;
        let name = parts.clone().next_back()?;
        if !matches!(scheme, "http" | "https") || host.is_empty() || parts.any(str::is_empty) {
            return None;
        }
        let is_aws = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
        // sqs.us-east-1.amazonaws.com, sqs-fips.us-east-1.amazonaws.com, us-east-1.queue.amazonaws.com
        let mut labels = host.split('.');
        let region = match (labels.next(), labels.next()) {
            (Some(region), Some("queue")) => Some(region),
            (Some(service), Some(region)) if service.starts_with("sqs") => Some(region),
            _ => None,
        };
        let endpoint = (!is_aws).then(|| &url[..scheme.len() + 3 + host.len()]);
        Some(Self { name, region: region.filter(|_| is_aws), endpoint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_says_where_the_queue_is() {
        for (url, region, endpoint) in [
            ("https://sqs.us-east-1.amazonaws.com/123456789012/events", Some("us-east-1"), None),
            ("https://sqs-fips.us-west-2.amazonaws.com/123456789012/events", Some("us-west-2"), None),
            ("https://eu-west-1.queue.amazonaws.com/123456789012/events", Some("eu-west-1"), None),
            ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/events/", Some("cn-north-1"), None),
            ("http://127.0.0.1:5000/123456789012/events", None, Some("http://127.0.0.1:5000")),
        ] {
            assert_eq!(QueueUrl::parse(url), Some(QueueUrl { name: "events", region, endpoint }), "{url}");
        }
        for url in ["", "events", "https://host", "https:///a/b", "https://host//events", "ftp://host/a/events"] {
            assert_eq!(QueueUrl::parse(url), None, "{url}");
        }
    }
}
