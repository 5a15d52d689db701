//! The `basicauth` extension (also `basic_auth`): user name and password on outgoing requests (RFC 7617).
//!
//! ```yaml
//! extensions:
//!   basicauth:
//!     client_auth: {username: writer, password: "${env:PASSWORD}"}
//! exporters:
//!   prometheusremotewrite: {endpoint: "https://host/api/v1/write", auth: {authenticator: basicauth}}
//! ```
//!
//! `username_file` and `password_file` are read at start, and again when they change or the backend refuses.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::AUTHORIZATION;
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
pub const FACTORY: Factory = Factory::extension::<BasicAuthFactory>();

/// Authenticates outgoing requests by user name and password.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What outgoing requests say.
    pub client_auth: ClientAuth,
}

/// User name and password, each given or in a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientAuth {
    /// The user name.
    pub username: String,
    /// A file that holds the user name.
    pub username_file: String,
    /// The password.
    pub password: Secret,
    /// A file that holds the password.
    pub password_file: String,
}

/// Makes `basicauth` extensions.
#[derive(Debug)]
pub struct BasicAuthFactory;

impl Component for BasicAuthFactory {
    type Config = Config;
    type Made = Arc<dyn Extension>;
    const SPEC: Spec = Spec {
        name: "basicauth",
        aliases: &["basic_auth"],
        stability: Stability::Beta,
        signals: &[],
        summary: "User name and password on outgoing requests.",
        unsupported: &[
            ("htpasswd", "it is for servers; no receiver asks its senders for passwords yet. Use `client_auth`"),
            (
                "client_auth.aws_secrets_manager",
                "let the platform put the secret into a variable or file: `password: ${env:X}` or `password_file`",
            ),
        ],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        let auth = config.client_auth;
        let mut wrong = |key: &str, message: &str| context.error(&format!("client_auth.{key}"), message);
        let is_sound = match (auth.username.as_str(), auth.username_file.as_str()) {
            ("", "") => {
                wrong("username", "must be set, or `username_file`");
                false
            }
            (name, "") if name.contains(':') => {
                wrong("username", "a user name with a colon cannot be told from its password");
                false
            }
            (_, "") | ("", _) => true,
            _ => {
                wrong("username_file", "`username` is given too; give one of them");
                false
            }
        };
        if !auth.password.is_empty() && !auth.password_file.is_empty() {
            wrong("password_file", "`password` is given too; give one of them");
            return None;
        }
        is_sound.then(|| Arc::new(BasicAuth::new(auth)) as Arc<dyn Extension>)
    }
}

/// The extension.
#[derive(Debug)]
pub struct BasicAuth {
    username: Part,
    password: Part,
}

#[derive(Debug)]
enum Part {
    Given(Secret),
    File(WatchedSecret),
}

impl Part {
    fn new(given: Secret, file: &str) -> Part {
        if file.is_empty() { Part::Given(given) } else { Part::File(WatchedSecret::new(file)) }
    }

    fn get(&self) -> Result<Secret, AuthError> {
        match self {
            Part::Given(secret) => Ok(secret.clone()),
            Part::File(file) => file.get(),
        }
    }

    fn doubt(&self) {
        if let Part::File(file) = self {
            file.doubt();
        }
    }
}

impl BasicAuth {
    fn new(auth: ClientAuth) -> Self {
        BasicAuth {
            username: Part::new(Secret::new(auth.username), &auth.username_file),
            password: Part::new(auth.password, &auth.password_file),
        }
    }

    fn header(&self) -> Result<HeaderValue, AuthError> {
        let pair = format!("{}:{}", self.username.get()?.expose(), self.password.get()?.expose());
        let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)))
            .map_err(|error| AuthError { message: error.to_string(), retryable: false })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[async_trait]
impl Extension for BasicAuth {
    async fn start(&self, _: &Host) -> Result<(), StartError> {
        self.header().map(|_| ()).map_err(StartError::new)
    }

    fn as_authenticator(self: Arc<Self>) -> Option<Arc<dyn Authenticator>> {
        Some(self)
    }
}

#[async_trait]
impl Authenticator for BasicAuth {
    async fn authenticate(&self, head: &mut http::request::Parts, _: &Payload) -> Result<(), AuthError> {
        head.headers.insert(AUTHORIZATION, self.header()?);
        Ok(())
    }

    fn observe(&self, head: &http::response::Parts) {
        if is_refusal(head) {
            self.username.doubt();
            self.password.doubt();
        }
    }
}
