//! The `bearertokenauth` extension (also `bearer_token_auth`): a token (RFC 6750), on outgoing requests or asked of
//! incoming ones.
//!
//! ```yaml
//! extensions:
//!   bearertokenauth: {token: "${env:TOKEN}"}
//!   bearertokenauth/rotated: {filename: /var/run/secrets/token}
//! exporters:
//!   otlp: {endpoint: "host:4317", auth: {authenticator: bearertokenauth}}
//! ```
//!
//! `filename` is read at start, and again when it changes or the backend refuses; a request that was refused is then
//! repeated once with the new token.
//!
//! ```yaml
//! extensions:
//!   bearertokenauth/senders: {tokens: ["${env:TOKEN_NOW}", "${env:TOKEN_NEXT}"]}
//! receivers:
//!   otlp: {protocols: {grpc: {endpoint: ":4317", auth: {authenticator: bearertokenauth/senders}}}}
//! ```
//!
//! An incoming request must carry one of the tokens: `token`, any of `tokens`, or any line of the file. An outgoing one
//! carries the first. Tokens are compared in constant time.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::factory::Component;
use steadyline_component::{
    AuthError, Authenticator, CreateContext, Extension, Factory, Host, Payload, Refusal, ServerAuthenticator, Spec,
    Stability, StartError, async_trait,
};
use steadyline_config::{Secret, path_index};
use steadyline_http::{WatchedSecret, is_refusal};
use subtle::{Choice, ConstantTimeEq};

/// The factory.
pub const FACTORY: Factory = Factory::extension::<BearerTokenAuthFactory>();

/// Authenticates requests by a token: what outgoing ones carry, and incoming ones must.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The word before the token; empty for the token alone.
    pub scheme: String,
    /// The token.
    pub token: Secret,
    /// Several tokens: incoming requests may carry any of them, outgoing ones carry the first.
    pub tokens: Vec<Secret>,
    /// A file of tokens, one a line; may be replaced at any time.
    pub filename: String,
    /// The header that carries it.
    pub header: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            scheme: "Bearer".into(),
            token: Secret::default(),
            tokens: Vec::new(),
            filename: String::new(),
            header: "Authorization".into(),
        }
    }
}

/// Makes `bearertokenauth` extensions.
#[derive(Debug)]
pub struct BearerTokenAuthFactory;

impl Component for BearerTokenAuthFactory {
    type Config = Config;
    type Made = Arc<dyn Extension>;
    const SPEC: Spec = Spec {
        name: "bearertokenauth",
        aliases: &["bearer_token_auth"],
        stability: Stability::Beta,
        signals: &[],
        summary: "A token, on outgoing requests or asked of incoming ones.",
        unsupported: &[],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        let source = source(&config, context)?;
        let Ok(header) = HeaderName::try_from(config.header.as_str()) else {
            context.error("header", "it is not a name that a header can have");
            return None;
        };
        let auth = BearerTokenAuth { header, scheme: config.scheme, source };
        // Tokens that are given can be judged now; those in a file when it is read.
        if let Source::Given(tokens) = &auth.source {
            for (at, token) in tokens.iter().enumerate() {
                let key = if config.tokens.is_empty() { "token".into() } else { path_index("tokens", at) };
                auth.header_of(token.expose()).map_err(|error| context.error(&key, error.message)).ok()?;
            }
        }
        Some(Arc::new(auth))
    }
}

fn source(config: &Config, context: &mut CreateContext<'_>) -> Option<Source> {
    let given = [!config.token.is_empty(), !config.tokens.is_empty(), !config.filename.is_empty()];
    let mut wrong = |key: &str, message: &str| context.error(key, message);
    match given {
        [true, false, false] => Some(Source::Given(vec![config.token.clone()])),
        [false, true, false] => match config.tokens.iter().position(Secret::is_empty) {
            Some(at) => {
                wrong(&path_index("tokens", at), "an empty token would let everybody in");
                None
            }
            None => Some(Source::Given(config.tokens.clone())),
        },
        [false, false, true] => Some(Source::File(WatchedSecret::new(&config.filename))),
        [false, false, false] => {
            wrong("token", "must be set, or `tokens` or `filename`");
            None
        }
        [_, true, _] => {
            wrong("tokens", "`token` or `filename` is given too; give one of them");
            None
        }
        [_, _, true] => {
            wrong("filename", "`token` is given too; give one of them");
            None
        }
    }
}

/// The extension.
#[derive(Debug)]
pub struct BearerTokenAuth {
    header: HeaderName,
    scheme: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Given(Vec<Secret>),
    File(WatchedSecret),
}

impl BearerTokenAuth {
    /// Runs `with` on all tokens, the first one first; there is at least one.
    fn with_tokens<T>(&self, with: impl FnOnce(&mut dyn Iterator<Item = &str>) -> T) -> Result<T, AuthError> {
        match &self.source {
            Source::Given(tokens) => Ok(with(&mut tokens.iter().map(Secret::expose))),
            Source::File(file) => {
                let text = file.get()?;
                let mut lines = text.expose().lines().map(str::trim).filter(|line| !line.is_empty());
                Ok(with(&mut lines))
            }
        }
    }

    fn value(&self) -> Result<HeaderValue, AuthError> {
        self.with_tokens(|tokens| self.header_of(tokens.next().unwrap_or_default()))?
    }

    fn header_of(&self, token: &str) -> Result<HeaderValue, AuthError> {
        let text = format!("{} {token}", self.scheme);
        let mut value = HeaderValue::from_str(text.trim_start()).map_err(|_| AuthError {
            message: "the token holds characters that a header cannot (line ends, controls)".into(),
            // A file may be corrected; what is given is refused when the config is checked.
            retryable: matches!(self.source, Source::File(_)),
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn refusal(&self, message: &'static str) -> Refusal {
        let challenge = self.scheme.eq_ignore_ascii_case("bearer").then(|| r#"Bearer realm="steadyline""#.into());
        Refusal { message, challenge }
    }

    /// The token that a request carries behind the scheme, whose case does not matter (RFC 9110, section 11.1).
    fn carried<'h>(&self, head: &'h http::request::Parts) -> Result<&'h [u8], Refusal> {
        let value = head.headers.get(&self.header).ok_or_else(|| self.refusal("a token is required"))?.as_bytes();
        if self.scheme.is_empty() {
            return Ok(value);
        }
        let (scheme, rest) = value.split_at_checked(self.scheme.len()).unwrap_or_default();
        match rest.strip_prefix(b" ") {
            Some(token) if scheme.eq_ignore_ascii_case(self.scheme.as_bytes()) => Ok(token.trim_ascii()),
            _ => Err(self.refusal("the authorization is not of the expected scheme")),
        }
    }
}

#[async_trait]
impl Extension for BearerTokenAuth {
    async fn start(&self, _: &Host) -> Result<(), StartError> {
        self.value().map(|_| ()).map_err(StartError::new)
    }

    fn as_authenticator(self: Arc<Self>) -> Option<Arc<dyn Authenticator>> {
        Some(self)
    }

    fn as_server_authenticator(self: Arc<Self>) -> Option<Arc<dyn ServerAuthenticator>> {
        Some(self)
    }
}

#[async_trait]
impl ServerAuthenticator for BearerTokenAuth {
    async fn admit(&self, head: &http::request::Parts) -> Result<(), Refusal> {
        let carried = self.carried(head)?;
        // All of them, whichever fits: time must not tell which.
        let found = self
            .with_tokens(|tokens| tokens.fold(Choice::from(0), |found, token| found | token.as_bytes().ct_eq(carried)));
        match found {
            Ok(found) if found.into() => Ok(()),
            Ok(_) => Err(self.refusal("the token is wrong")),
            Err(_) => Err(self.refusal("the tokens cannot be read now")),
        }
    }
}

#[async_trait]
impl Authenticator for BearerTokenAuth {
    async fn authenticate(&self, head: &mut http::request::Parts, _: &Payload) -> Result<(), AuthError> {
        head.headers.insert(self.header.clone(), self.value()?);
        Ok(())
    }

    fn observe(&self, head: &http::response::Parts) {
        if let Source::File(file) = &self.source
            && is_refusal(head)
        {
            file.doubt();
        }
    }
}
