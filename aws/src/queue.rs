//! What the URL of an SQS queue says: its name, its region, or, if it is none of AWS, where its service is.

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
