//! From config keys to a client, with everything that is wrong told at its key.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use steadyline_component::Clock;
use steadyline_config::{Secret, path_join};
use steadyline_http::{ClientOptions, ConfigProblem, Connector, TlsConfig, TlsVersion, Versions};

use super::HttpClient;
use super::auth::{Credentials, ExtraHeaders, Text};
use super::oauth::TokenSource;
use crate::config::{BasicAuth, HeaderValues, HttpKeys, OAuth2, TlsKeys, TlsVersionName};

/// The client of some keys. Does no I/O.
///
/// # Errors
/// Everything that is wrong, each with its path below the keys.
pub(crate) fn client(keys: &HttpKeys, clock: &Clock) -> Result<HttpClient, Vec<ConfigProblem>> {
    let mut problems = Vec::new();
    let credentials = credentials(keys, clock, &mut problems);
    let headers = extra_headers(&keys.http_headers, &mut problems);
    let versions = if keys.enable_http2 { Versions::Any } else { Versions::Http1 };
    let proxy = Proxy { url: &keys.proxy_url, no_proxy: &keys.no_proxy, from_environment: keys.proxy_from_environment };
    let connector = connector(&keys.tls_config, proxy, versions, &mut problems);
    match (connector, problems.is_empty()) {
        (Some(connector), true) => Ok(HttpClient::new(connector, credentials, headers, keys.follow_redirects)),
        _ => Err(problems),
    }
}

struct Proxy<'a> {
    url: &'a Secret,
    no_proxy: &'a str,
    from_environment: bool,
}

impl Proxy<'_> {
    /// Who decides about proxies; `None`: the environment.
    fn matcher(&self, problems: &mut Vec<ConfigProblem>) -> Option<Matcher> {
        let has_url = !self.url.is_empty();
        if self.from_environment && (has_url || !self.no_proxy.is_empty()) {
            let message = "the environment names the proxy; remove `proxy_url` and `no_proxy`, or this key";
            problems.push(ConfigProblem::new("proxy_from_environment", message));
        }
        if !self.no_proxy.is_empty() && !has_url {
            problems.push(ConfigProblem::new("no_proxy", "there is no `proxy_url` that it could be about"));
        }
        if has_url {
            return Some(Matcher::builder().all(self.url.expose()).no(self.no_proxy).build());
        }
        (!self.from_environment).then(|| Matcher::builder().build())
    }
}

fn connector(
    tls: &TlsKeys,
    proxy: Proxy<'_>,
    versions: Versions,
    problems: &mut Vec<ConfigProblem>,
) -> Option<Connector> {
    let options = ClientOptions { tls: tls_config(tls), proxy_url: proxy.url.clone(), ..ClientOptions::default() };
    let matcher = proxy.matcher(problems);
    // Also where a matcher of our own decides: it tells what is wrong with the proxy's URL.
    let checked = Connector::new(&options, versions);
    let made = match (checked, matcher) {
        (Ok(_), Some(matcher)) => Connector::with_proxy(&options, versions, matcher),
        (checked, _) => checked,
    };
    made.map_err(|wrong| problems.extend(wrong.into_iter().map(in_our_spelling))).ok()
}

/// The keys of `tls_config` under the names that the shared client knows.
fn tls_config(keys: &TlsKeys) -> TlsConfig {
    let version = |name| match name {
        TlsVersionName::Tls12 => TlsVersion::V1_2,
        TlsVersionName::Tls13 => TlsVersion::V1_3,
    };
    TlsConfig {
        insecure_skip_verify: keys.insecure_skip_verify,
        ca_file: keys.ca_file.clone(),
        ca_pem: keys.ca.clone(),
        cert_file: keys.cert_file.clone(),
        cert_pem: keys.cert.clone(),
        key_file: keys.key_file.clone(),
        key_pem: keys.key.clone(),
        min_version: keys.min_version.map(version).unwrap_or_default(),
        max_version: keys.max_version.map(version),
        server_name_override: keys.server_name.clone(),
        // As Prometheus: certificates that are renewed are noticed.
        reload_interval: steadyline_config::Duration::from_secs(60),
        ..TlsConfig::default()
    }
}

fn in_our_spelling(problem: ConfigProblem) -> ConfigProblem {
    let spelt = |text: &str| {
        [("ca_pem", "ca"), ("cert_pem", "cert"), ("key_pem", "key"), ("server_name_override", "server_name")]
            .iter()
            .fold(text.to_string(), |text, (theirs, ours)| text.replace(theirs, ours))
    };
    let path = match problem.path.strip_prefix("tls.") {
        Some(rest) => format!("tls_config.{}", spelt(rest)),
        None => problem.path,
    };
    ConfigProblem { path, message: spelt(&problem.message) }
}

fn credentials(keys: &HttpKeys, clock: &Clock, problems: &mut Vec<ConfigProblem>) -> Credentials {
    let bearer = !keys.bearer_token.is_empty() || !keys.bearer_token_file.is_empty();
    let given = [
        (keys.basic_auth.is_some(), "basic_auth"),
        (keys.authorization.is_some(), "authorization"),
        (keys.oauth2.is_some(), "oauth2"),
        (bearer, if keys.bearer_token.is_empty() { "bearer_token_file" } else { "bearer_token" }),
    ];
    let mut given = given.iter().filter(|(is_given, _)| *is_given).map(|(_, key)| *key);
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        problems.push(ConfigProblem::new(second, format!("`{first}` is given too; a request can have one of them")));
    }
    if let Some(auth) = &keys.basic_auth {
        return basic_auth(auth, problems);
    }
    if let Some(auth) = &keys.authorization {
        either("authorization", &auth.credentials, ("credentials", &auth.credentials_file), problems);
        if auth.kind.trim().eq_ignore_ascii_case("basic") {
            problems.push(ConfigProblem::new("authorization.type", "use `basic_auth` for user name and password"));
        }
        let credentials = Text::new(auth.credentials.clone(), &auth.credentials_file);
        return Credentials::Header { kind: auth.kind.trim().to_string(), credentials };
    }
    if let Some(oauth2) = &keys.oauth2 {
        return token(oauth2, clock, problems).map_or(Credentials::None, |source| Credentials::Token(Box::new(source)));
    }
    if bearer {
        either("", &keys.bearer_token, ("bearer_token", &keys.bearer_token_file), problems);
        let credentials = Text::new(keys.bearer_token.clone(), &keys.bearer_token_file);
        return Credentials::Header { kind: "Bearer".to_string(), credentials };
    }
    Credentials::None
}

fn basic_auth(auth: &BasicAuth, problems: &mut Vec<ConfigProblem>) -> Credentials {
    let username = Secret::new(auth.username.as_str());
    either("basic_auth", &username, ("username", &auth.username_file), problems);
    either("basic_auth", &auth.password, ("password", &auth.password_file), problems);
    if username.expose().contains(':') {
        problems.push(ConfigProblem::new("basic_auth.username", "a user name cannot hold a colon"));
    }
    Credentials::Basic {
        username: Text::new(username, &auth.username_file),
        password: Text::new(auth.password.clone(), &auth.password_file),
    }
}

/// A value and the file that holds it cannot both be given.
fn either(base: &str, given: &Secret, (key, file): (&str, &str), problems: &mut Vec<ConfigProblem>) {
    if !given.is_empty() && !file.is_empty() {
        let message = format!("`{key}_file` is given too; give one of them");
        problems.push(ConfigProblem::new(path_join(base, key), message));
    }
}

fn token(oauth2: &OAuth2, clock: &Clock, problems: &mut Vec<ConfigProblem>) -> Option<TokenSource> {
    let mut found = Vec::new();
    either("", &oauth2.client_secret, ("client_secret", &oauth2.client_secret_file), &mut found);
    if oauth2.client_id.is_empty() {
        found.push(ConfigProblem::new("client_id", "expected the id of a client"));
    }
    let url: Option<Uri> = oauth2.token_url.parse().ok().filter(is_http);
    if url.is_none() {
        found.push(ConfigProblem::new("token_url", "expected an http or https URL"));
    }
    let proxy =
        Proxy { url: &oauth2.proxy_url, no_proxy: &oauth2.no_proxy, from_environment: oauth2.proxy_from_environment };
    let connector = connector(&oauth2.tls_config, proxy, Versions::Any, &mut found);
    problems.extend(found.into_iter().map(|p| ConfigProblem { path: format!("oauth2.{}", p.path), ..p }));
    let scopes = oauth2.scopes.join(" ");
    let mut parameters: Vec<(&str, &str)> = Vec::new();
    if !scopes.is_empty() {
        parameters.push(("scope", &scopes));
    }
    parameters.extend(oauth2.endpoint_params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let secret = Text::new(oauth2.client_secret.clone(), &oauth2.client_secret_file);
    Some(TokenSource::new(connector?, url?, (oauth2.client_id.clone(), secret), &parameters, clock.clone()))
}

/// Whether a URL is one that can be asked.
pub(crate) fn is_http(url: &Uri) -> bool {
    matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
}

/// Headers that say what a scrape is about; config cannot change them, as in Prometheus.
const RESERVED: [&str; 19] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "www-authenticate",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
    "keep-alive",
];

fn extra_headers(config: &BTreeMap<String, HeaderValues>, problems: &mut Vec<ConfigProblem>) -> ExtraHeaders {
    let mut headers = Vec::new();
    for (name, values) in config {
        let path = path_join("http_headers", name);
        let Ok(header) = HeaderName::try_from(name.as_str()) else {
            problems.push(ConfigProblem::new(path, format!("`{name}` is not a name that a header can have")));
            continue;
        };
        if RESERVED.contains(&header.as_str()) {
            problems.push(ConfigProblem::new(path, format!("`{name}` is set by the scrape itself")));
            continue;
        }
        let values_given = values.values.iter().map(|value| Secret::new(value.as_str()));
        let given: Vec<Secret> = values_given.chain(values.secrets.iter().cloned()).collect();
        if given.iter().any(|value| HeaderValue::from_str(value.expose()).is_err()) {
            let message = format!("a value of `{name}` holds characters that a header cannot (line ends, controls)");
            problems.push(ConfigProblem::new(path, message));
            continue;
        }
        headers.extend(given.into_iter().map(|value| (header.clone(), Text::Given(value))));
        headers.extend(values.files.iter().map(|file| (header.clone(), Text::new(Secret::default(), file))));
    }
    ExtraHeaders(headers)
}
