//! The backend's URL, and what can be told from it: whether it is Amazon Managed Prometheus, which region and workspace.

use http::Uri;

/// A URL that can be sent to.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// The URL.
    pub(crate) uri: Uri,
    /// The workspace, if it is one of Amazon Managed Prometheus.
    pub(crate) workspace: Option<Workspace>,
}

/// A workspace of Amazon Managed Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workspace {
    /// `us-east-1`.
    pub(crate) region: String,
    /// `ws-...`.
    pub(crate) id: String,
}

const EXAMPLE: &str = "https://aps-workspaces.us-east-1.amazonaws.com/workspaces/ws-0123/api/v1/remote_write";
const AMP_PATH: &str = "/api/v1/remote_write";

impl Endpoint {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it and what would be right, as a sentence.
    pub(crate) fn parse(text: &str) -> Result<Endpoint, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err(format!(
                "`endpoint` is empty; it must be the URL that takes remote write, such as `{EXAMPLE}`"
            ));
        }
        let uri: Uri = text
            .parse()
            .map_err(|error| format!("`{text}` is not a URL: {error}; expected one such as `{EXAMPLE}`"))?;
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(format!("`{text}` is not a whole URL: write it with scheme and path, such as `{EXAMPLE}`"));
        };
        if !matches!(scheme, "http" | "https") {
            return Err(format!("the scheme `{scheme}` is not supported; use `https` or `http`"));
        }
        let workspace = match region(host) {
            Some(region) => Some(workspace(&uri, region)?),
            None => None,
        };
        Ok(Endpoint { uri, workspace })
    }
}

impl Workspace {
    /// The workspace's ARN, with a placeholder for the account, which the URL does not say.
    pub(crate) fn arn(&self) -> String {
        let partition = match &self.region {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        format!("arn:{partition}:aps:{}:<account>:workspace/{}", self.region, self.id)
    }
}

/// The region of a host of Amazon Managed Prometheus: `aps-workspaces[-fips].<region>.amazonaws.com[.cn]` or `.api.aws`.
fn region(host: &str) -> Option<&str> {
    let mut parts = host.splitn(3, '.');
    let (service, region, domain) = (parts.next()?, parts.next()?, parts.next()?);
    let is_amp = matches!(service, "aps-workspaces" | "aps-workspaces-fips")
        && matches!(domain, "amazonaws.com" | "amazonaws.com.cn" | "api.aws");
    is_amp.then_some(region)
}

fn workspace(uri: &Uri, region: &str) -> Result<Workspace, String> {
    if uri.scheme_str() == Some("http") {
        return Err("Amazon Managed Prometheus is reached by `https` only".to_owned());
    }
    let path = uri.path();
    if let Some(without) = path.strip_suffix('/').filter(|path| path.ends_with(AMP_PATH)) {
        return Err(format!(
            "the URL must not end in a slash: Amazon Managed Prometheus answers 403 to it; end it with `{without}`"
        ));
    }
    let id = path.strip_prefix("/workspaces/").and_then(|rest| rest.strip_suffix(AMP_PATH));
    match id.filter(|id| !id.is_empty() && !id.contains('/')) {
        Some(id) => Ok(Workspace { region: region.to_owned(), id: id.to_owned() }),
        None => Err(format!(
            "the path `{path}` does not take remote write at Amazon Managed Prometheus; it is `/workspaces/<id>{AMP_PATH}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_are_recognised() {
        for (url, region, arn) in [
            (EXAMPLE, "us-east-1", "arn:aws:aps:us-east-1:<account>:workspace/ws-0123"),
            (
                "https://aps-workspaces-fips.us-gov-west-1.amazonaws.com/workspaces/ws-a/api/v1/remote_write",
                "us-gov-west-1",
                "arn:aws-us-gov:aps:us-gov-west-1:<account>:workspace/ws-a",
            ),
            (
                "https://aps-workspaces.eu-west-1.api.aws/workspaces/ws-a/api/v1/remote_write",
                "eu-west-1",
                "arn:aws:aps:eu-west-1:<account>:workspace/ws-a",
            ),
        ] {
            let workspace = Endpoint::parse(url).unwrap().workspace.unwrap();
            assert_eq!((workspace.region.as_str(), workspace.arn().as_str()), (region, arn));
        }
        for url in ["http://127.0.0.1:9090/api/v1/write", "https://aps-workspaces.example.com/x/", "http://h"] {
            assert_eq!(Endpoint::parse(url).unwrap().workspace, None, "{url}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_would() {
        let amp = "https://aps-workspaces.us-east-1.amazonaws.com";
        for (url, words) in [
            ("", "`endpoint` is empty"),
            ("localhost:9090", "not a whole URL"),
            ("/api/v1/write", "not a whole URL"),
            ("ftp://host/x", "`ftp` is not supported"),
            ("invalid://localhost:9999", "`invalid` is not supported"),
            ("http://a b/", "not a URL"),
            (&EXAMPLE.replace("https", "http"), "`https` only"),
            (&format!("{EXAMPLE}/"), "must not end in a slash"),
            (&format!("{amp}/workspaces/ws-0123/"), "does not take remote write"),
            (&format!("{amp}/workspaces/ws-0123/api/v1/query"), "does not take remote write"),
            (&format!("{amp}/workspaces//api/v1/remote_write"), "does not take remote write"),
        ] {
            let error = Endpoint::parse(url).unwrap_err();
            assert!(error.contains(words), "{url}: {error}");
        }
    }
}
