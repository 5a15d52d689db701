//! The `bearertokenauth` extension (also `bearer_token_auth`): a token on outgoing requests (RFC 6750).
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

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::factory::Component;
use steadyline_component::{
    AuthError, Authenticator, CreateContext, Extension, Factory, Host, Payload, Spec, Stability, StartError,
    async_trait,
};
use steadyline_config::Secret;
use steadyline_http::{WatchedSecret, is_refusal};

/// The factory.
pub const FACTORY: Factory = Factory::extension::<BearerTokenAuthFactory>();

/// Authenticates outgoing requests by a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The word before the token; empty for the token alone.
    pub scheme: String,
    /// The token.
    pub token: Secret,
    /// A file that holds the token in its first line; may be replaced at any time.
    pub filename: String,
    /// The header that carries it.
    pub header: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            scheme: "Bearer".into(),
            token: Secret::default(),
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
        summary: "A token on outgoing requests.",
        unsupported: &[("tokens", "several tokens are for servers; an outgoing request carries one: use `token`")],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        let source = match (config.token.is_empty(), config.filename.as_str()) {
            (true, "") => {
                context.error("token", "must be set, or `filename`");
                return None;
            }
            (false, "") => Source::Given(config.token),
            (true, file) => Source::File(WatchedSecret::new(file)),
            (false, _) => {
                context.error("filename", "`token` is given too; give one of them");
                return None;
            }
        };
        let Ok(header) = HeaderName::try_from(config.header.as_str()) else {
            context.error("header", "it is not a name that a header can have");
            return None;
        };
        let auth = BearerTokenAuth { header, scheme: config.scheme, source };
        // A token that is given can be judged now; one in a file when it is read.
        if let (Source::Given(_), Err(error)) = (&auth.source, auth.value()) {
            context.error("token", error.message);
            return None;
        }
        Some(Arc::new(auth))
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
    Given(Secret),
    File(WatchedSecret),
}

impl BearerTokenAuth {
    fn value(&self) -> Result<HeaderValue, AuthError> {
        let token = match &self.source {
            Source::Given(token) => token.clone(),
            Source::File(file) => file.get()?,
        };
        let token = token.expose().lines().next().unwrap_or_default().trim();
        let text = format!("{} {token}", self.scheme);
        let mut value = HeaderValue::from_str(text.trim_start()).map_err(|_| AuthError {
            message: "the token holds characters that a header cannot (line ends, controls)".into(),
            // A file may be corrected; what is given is refused when the config is checked.
            retryable: matches!(self.source, Source::File(_)),
        })?;
        value.set_sensitive(true);
        Ok(value)
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
