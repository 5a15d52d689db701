//! The `basicauth` extension (also `basic_auth`): user name and password (RFC 7617), on outgoing requests or asked of
//! incoming ones.
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
//!
//! ```yaml
//! extensions:
//!   basicauth/senders:
//!     htpasswd: {file: /etc/steadyline/htpasswd, inline: "agent:${env:AGENT_PASSWORD}"}
//! receivers:
//!   otlp: {protocols: {http: {endpoint: ":4318", auth: {authenticator: basicauth/senders}}}}
//! ```
//!
//! Each line of `htpasswd` is `user:password`; empty lines and those that begin with `#` are nothing. A user who is in
//! both places has the password of `inline`. Passwords are bcrypt hashes (`htpasswd -B`), of a cost of at most 14, or
//! stand there as they are. The weak hashes of old (`$apr1$`, `{SHA}`, crypt) are refused at start.
//!
//! The file is read at start, and again within a second after it changed; a file that does not read leaves in force
//! what was read before. A bcrypt password is checked once and remembered (as a digest) until the file changes, so that
//! it costs a sender one slow check and not one a request. Slow checks happen one at a time, beside all other work.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod client;
mod htpasswd;
mod server;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::factory::Component;
use steadyline_component::{
    Authenticator, CreateContext, Extension, Factory, Host, ServerAuthenticator, Spec, Stability, StartError,
    async_trait,
};
use steadyline_config::Secret;

use client::Client;
use server::Doorkeeper;

/// The factory.
pub const FACTORY: Factory = Factory::extension::<BasicAuthFactory>();

/// Authenticates requests by user name and password: outgoing ones by `client_auth`, incoming ones by `htpasswd`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What outgoing requests say.
    pub client_auth: Option<ClientAuth>,
    /// Who may come in.
    pub htpasswd: Option<Htpasswd>,
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

/// Users and their passwords, a line each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Htpasswd {
    /// A file of them; may be replaced at any time.
    pub file: String,
    /// The same, inline; these come first.
    pub inline: Secret,
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
        summary: "User name and password, on outgoing requests or asked of incoming ones.",
        unsupported: &[(
            "client_auth.aws_secrets_manager",
            "let the platform put the secret into a variable or file: `password: ${env:X}` or `password_file`",
        )],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        let side = match (config.client_auth, config.htpasswd) {
            (Some(auth), None) => Side::Client(Arc::new(client(auth, context)?)),
            (None, Some(htpasswd)) => Side::Server(Arc::new(server(&htpasswd, context)?)),
            (Some(_), Some(_)) => {
                context.error("htpasswd", "`client_auth` is given too; make two extensions, one for each direction");
                return None;
            }
            (None, None) => {
                context.error("client_auth", "must be set for outgoing requests, or `htpasswd` for incoming ones");
                return None;
            }
        };
        Some(Arc::new(BasicAuth { side }))
    }
}

fn client(auth: ClientAuth, context: &mut CreateContext<'_>) -> Option<Client> {
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
    is_sound.then(|| Client::new(auth))
}

fn server(htpasswd: &Htpasswd, context: &mut CreateContext<'_>) -> Option<Doorkeeper> {
    if htpasswd.file.is_empty() && htpasswd.inline.is_empty() {
        context.error("htpasswd", "`file` or `inline` must be set");
        return None;
    }
    Doorkeeper::new(htpasswd).map_err(|error| context.error("htpasswd.inline", error.to_string())).ok()
}

/// The extension.
#[derive(Debug)]
struct BasicAuth {
    side: Side,
}

#[derive(Debug)]
enum Side {
    Client(Arc<Client>),
    Server(Arc<Doorkeeper>),
}

#[async_trait]
impl Extension for BasicAuth {
    async fn start(&self, _: &Host) -> Result<(), StartError> {
        match &self.side {
            Side::Client(client) => client.header().map(drop).map_err(StartError::new),
            Side::Server(server) => server.load().map_err(StartError::new),
        }
    }

    fn as_authenticator(self: Arc<Self>) -> Option<Arc<dyn Authenticator>> {
        match &self.side {
            Side::Client(client) => Some(Arc::clone(client) as _),
            Side::Server(_) => None,
        }
    }

    fn as_server_authenticator(self: Arc<Self>) -> Option<Arc<dyn ServerAuthenticator>> {
        match &self.side {
            Side::Client(_) => None,
            Side::Server(server) => Some(Arc::clone(server) as _),
        }
    }
}
