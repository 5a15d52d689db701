//! What outgoing requests say: user name and password, each given or in a file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use steadyline_component::{AuthError, Authenticator, Payload, async_trait};
use steadyline_config::Secret;
use steadyline_http::{WatchedSecret, is_refusal};

use crate::ClientAuth;

/// Authenticates outgoing requests.
#[derive(Debug)]
pub(crate) struct Client {
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

impl Client {
    pub(crate) fn new(auth: ClientAuth) -> Self {
        Client {
            username: Part::new(Secret::new(auth.username), &auth.username_file),
            password: Part::new(auth.password, &auth.password_file),
        }
    }

    pub(crate) fn header(&self) -> Result<HeaderValue, AuthError> {
        let pair = format!("{}:{}", self.username.get()?.expose(), self.password.get()?.expose());
        let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)))
            .map_err(|error| AuthError { message: error.to_string(), retryable: false })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[async_trait]
impl Authenticator for Client {
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
