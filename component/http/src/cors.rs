//! Which web pages may send: the `cors` block with the Collector's keys, and the headers that browsers ask for.
//! Source: the Fetch standard, "HTTP CORS protocol".

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ConfigProblem;

/// Which web pages may send.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins of pages, `https://app.example.com`; one `*` in each stands for anything. None: no page may.
    pub allowed_origins: Vec<String>,
    /// Headers that pages may send besides `Accept`, `Content-Type` and `X-Requested-With`; `*` for any.
    pub allowed_headers: Vec<String>,
    /// Headers of answers that pages may read.
    pub exposed_headers: Vec<String>,
    /// For how many seconds a browser may remember the answer to a preflight request; 0 = its own default.
    pub max_age: u32,
}

const ALWAYS_ALLOWED: [&str; 3] = ["accept", "content-type", "x-requested-with"];

/// A `cors` block, ready to answer.
#[derive(Debug, Clone)]
pub struct Cors {
    origins: Vec<Pattern>,
    any_header: bool,
    headers: Vec<HeaderName>,
    exposed: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

/// An origin, as what is before and after its `*`.
#[derive(Debug, Clone)]
struct Pattern {
    before: String,
    after: Option<String>,
}

impl Cors {
    /// Checks a block.
    ///
    /// # Errors
    /// Origins with more than one `*`, impossible header names; paths are below the block.
    pub fn new(config: &CorsConfig) -> Result<Cors, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut wrong = |key: &str, at: usize, message: String| {
            problems.push(ConfigProblem::new(steadyline_config::path_index(key, at), message));
        };
        let mut origins = Vec::new();
        for (at, origin) in config.allowed_origins.iter().enumerate() {
            let origin = origin.to_ascii_lowercase();
            match origin.split_once('*') {
                Some((_, after)) if after.contains('*') => {
                    wrong("allowed_origins", at, "only one `*` can stand in an origin".into());
                }
                Some((before, after)) => {
                    origins.push(Pattern { before: before.into(), after: Some(after.into()) });
                }
                None => origins.push(Pattern { before: origin, after: None }),
            }
        }
        let mut names = |key: &str, list: &[String]| -> Vec<HeaderName> {
            let mut names = Vec::new();
            for (at, name) in list.iter().enumerate().filter(|(_, name)| *name != "*") {
                match HeaderName::try_from(name.as_str()) {
                    Ok(name) => names.push(name),
                    Err(_) => wrong(key, at, format!("`{name}` is not a name that a header can have")),
                }
            }
            names
        };
        let headers = names("allowed_headers", &config.allowed_headers);
        names("exposed_headers", &config.exposed_headers);
        let value = |text: String| HeaderValue::try_from(text).ok();
        let cors = Cors {
            origins,
            any_header: config.allowed_headers.iter().any(|name| name == "*"),
            headers,
            exposed: Some(config.exposed_headers.join(", ")).filter(|text| !text.is_empty()).and_then(value),
            max_age: Some(config.max_age).filter(|age| *age > 0).map(HeaderValue::from),
        };
        if problems.is_empty() { Ok(cors) } else { Err(problems) }
    }

    /// Whether a request is a browser's question beforehand.
    pub fn is_preflight(head: &request::Parts) -> bool {
        head.method == Method::OPTIONS
            && head.headers.contains_key(ORIGIN)
            && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The headers that answer a preflight request; without leave, none that gives any.
    pub fn preflight(&self, asked: &HeaderMap) -> HeaderMap {
        let mut answer = HeaderMap::new();
        answer.insert(VARY, HeaderValue::from_static("Origin, Access-Control-Request-Headers"));
        let method = asked.get(ACCESS_CONTROL_REQUEST_METHOD).map(HeaderValue::as_bytes);
        if method != Some(b"POST") || !self.allows_headers(asked) || !self.admit(asked, &mut answer) {
            return answer;
        }
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        if let Some(headers) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        }
        if let Some(max_age) = &self.max_age {
            answer.insert(ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        answer
    }

    /// Adds to the answer of a request what lets the page read it.
    pub fn decorate(&self, asked: &HeaderMap, answer: &mut HeaderMap) {
        answer.append(VARY, HeaderValue::from_static("Origin"));
        if self.admit(asked, answer)
            && let Some(exposed) = &self.exposed
        {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }

    /// Gives an allowed origin its leave. An origin that is named may send credentials; to `*` alone browsers grant
    /// none.
    fn admit(&self, asked: &HeaderMap, answer: &mut HeaderMap) -> bool {
        let Some(origin) = asked.get(ORIGIN) else { return false };
        let text = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        let Some(pattern) = self.origins.iter().find(|pattern| pattern.matches(&text)) else { return false };
        if pattern.is_any() {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        true
    }

    fn allows_headers(&self, asked: &HeaderMap) -> bool {
        let text = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).map_or(Ok(""), HeaderValue::to_str).unwrap_or("?");
        let known = |name: &str| {
            ALWAYS_ALLOWED.iter().any(|always| always.eq_ignore_ascii_case(name))
                || self.headers.iter().any(|header| header.as_str().eq_ignore_ascii_case(name))
        };
        self.any_header || text.split(',').map(str::trim).filter(|name| !name.is_empty()).all(known)
    }
}

impl Pattern {
    fn matches(&self, origin: &str) -> bool {
        match &self.after {
            None => origin == self.before,
            Some(after) => {
                origin.len() >= self.before.len() + after.len()
                    && origin.starts_with(&self.before)
                    && origin.ends_with(after.as_str())
            }
        }
    }

    fn is_any(&self) -> bool {
        self.before.is_empty() && self.after.as_deref() == Some("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(origin: &str, method: &str, headers: &str) -> HeaderMap {
        let pairs = [("origin", origin), ("access-control-request-method", method)];
        let pairs = pairs.into_iter().chain([("access-control-request-headers", headers)]);
        let named = pairs.filter(|(_, value)| !value.is_empty());
        named.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_what_is_listed_gets_leave() {
        let config = CorsConfig {
            allowed_origins: vec!["https://*.example.com".into(), "http://localhost:3000".into()],
            allowed_headers: vec!["X-Tenant".into()],
            max_age: 600,
            ..CorsConfig::default()
        };
        let cors = Cors::new(&config).unwrap();
        for (origin, method, headers, allowed) in [
            ("https://app.example.com", "POST", "content-type, x-tenant", true),
            ("https://APP.example.com", "POST", "", true),
            ("http://localhost:3000", "POST", "Content-Type", true),
            ("https://example.com", "POST", "", false),
            ("https://app.example.com.evil.org", "POST", "", false),
            ("http://localhost:3001", "POST", "", false),
            ("null", "POST", "", false),
            ("http://localhost:3000", "DELETE", "", false),
            ("http://localhost:3000", "POST", "authorization", false),
        ] {
            let answer = cors.preflight(&asked(origin, method, headers));
            let leave = answer.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap());
            assert_eq!(leave, allowed.then_some(origin), "{origin} {method} {headers}");
            assert_eq!(answer.contains_key(ACCESS_CONTROL_MAX_AGE), allowed);
        }
    }

    #[test]
    fn everybody_gets_leave_without_credentials() {
        let config = CorsConfig {
            allowed_origins: vec!["*".into()],
            allowed_headers: vec!["*".into()],
            exposed_headers: vec!["Retry-After".into()],
            max_age: 0,
        };
        let cors = Cors::new(&config).unwrap();
        let mut answer = HeaderMap::new();
        cors.decorate(&asked("https://anywhere", "", ""), &mut answer);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(answer[ACCESS_CONTROL_EXPOSE_HEADERS], "Retry-After");
        assert!(!answer.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
        assert!(cors.preflight(&asked("https://x", "POST", "a, b")).contains_key(ACCESS_CONTROL_ALLOW_HEADERS));
    }

    #[test]
    fn impossible_blocks_are_named() {
        let config = CorsConfig {
            allowed_origins: vec!["https://*.*".into()],
            allowed_headers: vec!["a b".into()],
            ..CorsConfig::default()
        };
        let problems = Cors::new(&config).unwrap_err();
        let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["allowed_origins[0]", "allowed_headers[0]"]);
    }
}
