//! What requests prove themselves by, and the headers that config adds. Secrets in files are read again when they change.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use steadyline_config::Secret;
use steadyline_http::WatchedSecret;

use super::FetchError;
use super::oauth::TokenSource;

/// A text that is given, or in a file.
#[derive(Debug)]
pub(crate) enum Text {
    Given(Secret),
    File(WatchedSecret),
}

impl Text {
    /// A text; the file counts if there is one.
    pub(crate) fn new(given: Secret, file: &str) -> Text {
        if file.is_empty() { Text::Given(given) } else { Text::File(WatchedSecret::new(file)) }
    }

    pub(super) fn get(&self) -> Result<Secret, FetchError> {
        match self {
            Text::Given(secret) => Ok(secret.clone()),
            Text::File(file) => file.get().map_err(|error| FetchError::Credentials(error.message)),
        }
    }

    /// It was refused: a file is read again. Whether that may help.
    pub(super) fn doubt(&self) -> bool {
        match self {
            Text::Given(_) => false,
            Text::File(file) => {
                let before = file.get().ok();
                file.doubt();
                file.get().ok() != before
            }
        }
    }
}

/// The header `Authorization`.
#[derive(Debug)]
pub(crate) enum Credentials {
    None,
    Basic { username: Text, password: Text },
    Header { kind: String, credentials: Text },
    Token(Box<TokenSource>),
}

impl Credentials {
    pub(super) async fn put(&self, headers: &mut HeaderMap) -> Result<(), FetchError> {
        let text = match self {
            Credentials::None => return Ok(()),
            Credentials::Basic { username, password } => basic(username.get()?.expose(), password.get()?.expose()),
            Credentials::Header { kind, credentials } => format!("{kind} {}", credentials.get()?.expose()),
            Credentials::Token(source) => source.header().await?,
        };
        headers.insert(AUTHORIZATION, sensitive(text.trim(), "the credentials")?);
        Ok(())
    }

    /// Whether an answer refuses what was sent, and something else can be sent now.
    pub(super) fn refused<B>(&self, response: &Response<B>) -> bool {
        if !matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return false;
        }
        match self {
            Credentials::None => false,
            Credentials::Basic { username, password } => {
                let (username, password) = (username.doubt(), password.doubt());
                username || password
            }
            Credentials::Header { credentials, .. } => credentials.doubt(),
            Credentials::Token(source) => response.status() == StatusCode::UNAUTHORIZED && source.forget(),
        }
    }
}

/// User name and password as RFC 7617 has them.
pub(super) fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

/// Headers from config.
#[derive(Debug, Default)]
pub(crate) struct ExtraHeaders(pub(super) Vec<(HeaderName, Text)>);

impl ExtraHeaders {
    pub(super) fn put(&self, headers: &mut HeaderMap) -> Result<(), FetchError> {
        for (name, _) in &self.0 {
            headers.remove(name);
        }
        for (name, text) in &self.0 {
            headers.append(name, sensitive(text.get()?.expose(), name.as_str())?);
        }
        Ok(())
    }
}

fn sensitive(text: &str, what: &str) -> Result<HeaderValue, FetchError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| FetchError::Credentials(format!("{what} hold characters that a header cannot")))?;
    value.set_sensitive(true);
    Ok(value)
}
