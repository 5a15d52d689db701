//! Requests of a plugin: to the hosts that config allows and to no other, with bounds on what comes back. Redirects are not
//! followed, so no answer leads out of the list.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use steadyline_component::{Authenticator, Clock};
use steadyline_http::{Client, ConfigProblem, TransportErrorKind};

use crate::config::HttpConfig;

/// What may be asked for, and by whom it is done. Cheap to clone.
#[derive(Clone)]
pub struct Grant(Arc<Inner>);

struct Inner {
    client: Client,
    auth: Option<Arc<dyn Authenticator>>,
    allow: Vec<Rule>,
    /// Names of headers that config sets; the plugin's own of these names are left out.
    reserved: Vec<HeaderName>,
    max_body: usize,
    max_requests: u32,
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Grant").field(&self.0.allow).finish()
    }
}

/// A host that may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    host: Host,
    /// None: the scheme's own.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Exact(String),
    /// Every host below this one: `.example.com`.
    Below(String),
}

/// A request as the plugin makes it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names and values; values that are no text are left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Config does not allow it.
    Denied(String),
    /// The request is none.
    Invalid(String),
    /// The answer is too large.
    TooLarge,
    /// There was none.
    Failed(String),
}

impl Grant {
    /// What config allows. Does no I/O.
    ///
    /// # Errors
    /// Everything that is wrong, each at its key.
    pub fn new(
        config: &HttpConfig,
        auth: Option<Arc<dyn Authenticator>>,
        clock: &Clock,
    ) -> Result<Grant, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let allow: Vec<Rule> = config
            .allow
            .iter()
            .filter_map(|text| {
                let rule = Rule::parse(text);
                rule.map_err(|words| problems.push(ConfigProblem::new("http.allow", format!("`{text}`: {words}")))).ok()
            })
            .collect();
        if config.timeout.is_zero() {
            problems.push(ConfigProblem::new("http.timeout", "expected more than 0"));
        }
        if config.max_body_bytes.bytes() == 0 {
            problems.push(ConfigProblem::new("http.max_body_bytes", "expected more than 0"));
        }
        let client = Client::build(&config.client_options(), clock).map_err(|wrong| {
            let below = |problem: ConfigProblem| ConfigProblem { path: format!("http.{}", problem.path), ..problem };
            problems.extend(wrong.into_iter().map(below));
        });
        let reserved = config.headers.keys().filter_map(|name| name.parse().ok());
        let reserved = reserved.chain(auth.is_some().then_some(header::AUTHORIZATION)).collect();
        match client {
            Ok(client) if problems.is_empty() => Ok(Grant(Arc::new(Inner {
                client,
                auth,
                allow,
                reserved,
                max_body: config.max_body_bytes.as_usize(),
                max_requests: config.max_requests,
            }))),
            _ => Err(problems),
        }
    }

    /// Sends a request, the `number`th of its call, counted from 0.
    ///
    /// # Errors
    /// There is no answer. Any answer at all, whatever its status, is `Ok`.
    pub async fn send(&self, request: Request, number: u32) -> Result<Response, Error> {
        let Inner { client, auth, max_body, max_requests, .. } = &*self.0;
        if number >= *max_requests {
            return Err(Error::Denied(format!("a call may make {max_requests} requests (`http.max_requests`)")));
        }
        let url: Uri = request.url.parse().map_err(|error| Error::Invalid(format!("the URL is none: {error}")))?;
        self.check(&url)?;
        let method = Method::from_bytes(request.method.as_bytes())
            .ok()
            .filter(|method| *method != Method::CONNECT)
            .ok_or_else(|| Error::Invalid(format!("`{}` is no method", shown(&request.method))))?;
        let headers = self.headers(&request.headers)?;
        let payload = Bytes::from(request.body).into();
        let answer = client
            .request(method, &url, &headers, &payload, auth.as_deref(), max_body.saturating_add(1))
            .await
            .map_err(|error| match error.kind {
                TransportErrorKind::Timeout => Error::Failed(format!("timeout: {error}")),
                _ => Error::Failed(error.to_string()),
            })?;
        if answer.body.len() > *max_body {
            return Err(Error::TooLarge);
        }
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let headers =
            answer.headers.iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect();
        Ok(Response { status: answer.status.as_u16(), headers, body: answer.body.to_vec() })
    }

    fn check(&self, url: &Uri) -> Result<(), Error> {
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(Error::Invalid("the URL must begin with http:// or https://".into()));
        };
        if authority.as_str().contains('@') {
            return Err(Error::Invalid("credentials do not belong into a URL".into()));
        }
        let own = if scheme == "https" { 443 } else { 80 };
        let (host, port) = (authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(own));
        if self.0.allow.iter().any(|rule| rule.allows(&host, port, own)) {
            return Ok(());
        }
        Err(Error::Denied(format!("`{}` is not in `http.allow`", shown(authority.as_str()))))
    }

    fn headers(&self, pairs: &[(String, String)]) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let invalid = |what: &str| Error::Invalid(format!("the {what} of the header `{}` is none", shown(name)));
            let name: HeaderName = name.parse().map_err(|_| invalid("name"))?;
            let value: HeaderValue = value.parse().map_err(|_| invalid("value"))?;
            // What says where a message ends or leads to is the client's, what config sets is config's.
            if !FIXED.contains(&name.as_str()) && !self.0.reserved.contains(&name) {
                headers.append(name, value);
            }
        }
        Ok(headers)
    }
}

const FIXED: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

impl Rule {
    fn parse(text: &str) -> Result<Rule, &'static str> {
        if text.contains("://") || text.contains('/') || text.contains('@') {
            return Err("expected a host, or host and port, and no URL");
        }
        let is_address = text.starts_with('[');
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !is_address || host.ends_with(']') => {
                (host, Some(port.parse().ok().filter(|port| *port > 0).ok_or("the port is none")?))
            }
            _ => (text, None),
        };
        let host = host.to_ascii_lowercase();
        match host.strip_prefix('*') {
            Some(below) if below.len() > 1 && below.starts_with('.') && !below.contains('*') => {
                Ok(Rule { host: Host::Below(below.into()), port })
            }
            None if !host.is_empty() && !host.contains('*') && (is_address || !host.contains(':')) => {
                Ok(Rule { host: Host::Exact(host), port })
            }
            _ => Err("expected `host`, `host:port`, `[address]:port` or `*.domain`"),
        }
    }

    fn allows(&self, host: &str, port: u16, own: u16) -> bool {
        let is_host = match &self.host {
            Host::Exact(name) => name == host,
            Host::Below(domain) => host.len() > domain.len() && host.ends_with(domain.as_str()),
        };
        is_host && port == self.port.unwrap_or(own)
    }
}

#[cfg(test)]
mod tests {
    use steadyline_http::testkit::{Backend, Reply};

    use super::*;

    fn grant(allow: &[&str]) -> Result<Grant, Vec<ConfigProblem>> {
        let mut config =
            HttpConfig { allow: allow.iter().map(|text| text.to_string()).collect(), ..Default::default() };
        config.headers.insert("x-key".into(), steadyline_config::Secret::new("s3cret"));
        config.max_requests = 5;
        config.max_body_bytes = steadyline_config::ByteSize::kib(1);
        Grant::new(&config, None, &Clock::system())
    }

    fn get(url: &str) -> Request {
        Request { method: "GET".into(), url: url.into(), ..Request::default() }
    }

    #[test]
    fn only_what_is_listed_is_allowed() {
        let grant = grant(&["API.example.com", "other.example.com:8443", "*.inner.test", "[::1]:9000"]).unwrap();
        for (url, allowed) in [
            ("https://api.example.com/x?y", true),
            ("http://api.EXAMPLE.com:80/", true),
            ("https://api.example.com:8443/", false),
            ("https://other.example.com:8443/", true),
            ("https://other.example.com/", false),
            ("https://a.inner.test/", true),
            ("https://inner.test/", false),
            ("https://notinner.test/", false),
            ("https://api.example.com.evil.test/", false),
            ("http://[::1]:9000/", true),
            ("http://127.0.0.1/", false),
        ] {
            let checked = grant.check(&url.parse().unwrap());
            assert_eq!(checked.is_ok(), allowed, "{url}: {checked:?}");
        }
        for url in ["ftp://api.example.com/", "/x", "https://me@api.example.com/"] {
            assert!(matches!(grant.check(&url.parse().unwrap()), Err(Error::Invalid(_))), "{url}");
        }
    }

    #[test]
    fn lists_are_checked() {
        for wrong in ["", "https://x", "x/y", "a:b", "a:0", "*", "*x.com", "*.", "a*b", "::1", "me@x"] {
            let problems = grant(&[wrong]).unwrap_err();
            assert_eq!(problems[0].path, "http.allow", "{wrong}");
        }
    }

    #[tokio::test]
    async fn bounds_and_headers_hold_and_redirects_are_answers() {
        let backend = Backend::start(|request, number| {
            assert_eq!((request.header("x-key"), request.header("x-mine")), ("s3cret", "1"));
            match number {
                0 => Reply::status(302, "").with("location", "http://127.0.0.1:1/"),
                1 => Reply::status(200, &"x".repeat(2000)),
                _ => Reply::status(200, "fine"),
            }
        })
        .await;
        let grant = grant(&[backend.url().strip_prefix("http://").unwrap()]).unwrap();
        let mut request = get(&backend.url());
        request.headers =
            vec![("x-mine".into(), "1".into()), ("x-key".into(), "mine".into()), ("host".into(), "e".into())];
        let answer = grant.send(request.clone(), 0).await.unwrap();
        assert_eq!(answer.status, 302);
        assert_eq!(grant.send(request.clone(), 1).await.unwrap_err(), Error::TooLarge);
        assert_eq!(grant.send(request.clone(), 4).await.unwrap().body, b"fine");
        assert!(
            matches!(grant.send(request.clone(), 5).await, Err(Error::Denied(words)) if words.contains("max_requests"))
        );
        assert_eq!(backend.requests().len(), 3);
        for (name, value) in [("a b", "1"), ("a", "1\n2")] {
            let request = Request { headers: vec![(name.into(), value.into())], ..get(&backend.url()) };
            assert!(matches!(grant.send(request, 0).await, Err(Error::Invalid(_))));
        }
        assert!(matches!(
            grant.send(Request { method: "CONNECT".into(), ..get(&backend.url()) }, 0).await,
            Err(Error::Invalid(_))
        ));
    }
}
