//! The authenticator: finds service and region, has credentials looked up, signs, and learns from refusals.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_async::time::SharedTimeSource;
use http::Uri;
use sha2::{Digest, Sha256};
use steadyline_aws::{AwsFailure, FailureKind, SharedConfig, Signer, endpoint};
use steadyline_component::{AuthError, Authenticator, CheckRow, Extension, IamStatement, Payload, async_trait};

use crate::config::Config;

/// Signs requests.
#[derive(Debug)]
pub struct SigV4Auth {
    config: Config,
    time: SharedTimeSource,
    targets: Mutex<BTreeMap<Scope, Arc<Target>>>,
}

/// What a signature is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Scope {
    service: String,
    region: String,
}

/// Where requests go that are signed alike.
#[derive(Debug)]
struct Target {
    signer: Signer,
    credentials: Arc<SharedConfig>,
}

impl SigV4Auth {
    /// An authenticator by this clock; looks nothing up yet.
    pub(crate) fn new(config: Config, time: SharedTimeSource) -> SigV4Auth {
        SigV4Auth { config, time, targets: Mutex::default() }
    }

    /// Service and region for a URL, from config and host.
    ///
    /// # Errors
    /// What is missing, or does not fit.
    fn scope(&self, url: &Uri) -> Result<Scope, String> {
        let host = url.host().unwrap_or_default();
        let of_host = endpoint::infer(host);
        let (service, region) = of_host.as_ref().map_or(("", ""), |scope| (scope.service, scope.region.as_str()));
        let config = &self.config;
        for (key, configured, found) in [("service", &config.service, service), ("region", &config.region, region)] {
            if !configured.is_empty() && !found.is_empty() && configured != found {
                return Err(format!(
                    "`{host}` belongs to the {key} `{found}`, but `{key}` of the extension is `{configured}`"
                ));
            }
        }
        let service = if config.service.is_empty() { service } else { &config.service };
        let region = if config.region.is_empty() { region } else { &config.region };
        let missing: Vec<&str> = [("service", service), ("region", region)]
            .iter()
            .filter(|(_, value)| value.is_empty())
            .map(|(k, _)| *k)
            .collect();
        if missing.is_empty() {
            return Ok(Scope { service: service.to_owned(), region: region.to_owned() });
        }
        let missing = missing.join("` and `");
        Err(format!("cannot tell the {} of `{host}`, expected `{missing}` in the extension", missing.replace('`', "")))
    }

    fn target(&self, scope: Scope) -> Arc<Target> {
        let mut targets = self.targets();
        let make = || {
            let signer = Signer::with_time(&scope.service, &scope.region, self.time.clone());
            let credentials = SharedConfig::of(&self.config.shared.at(&scope.region, ""));
            Arc::new(Target { signer, credentials })
        };
        Arc::clone(targets.entry(scope.clone()).or_insert_with(make))
    }

    /// At most as many as there are AWS endpoints in the config of exporters.
    fn targets(&self) -> MutexGuard<'_, BTreeMap<Scope, Arc<Target>>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How credentials are had, once for each region that is written to.
    fn identities(&self) -> Vec<Arc<SharedConfig>> {
        let mut identities: Vec<Arc<SharedConfig>> = Vec::new();
        for target in self.targets().values() {
            if !identities.iter().any(|known| known.config() == target.credentials.config()) {
                identities.push(Arc::clone(&target.credentials));
            }
        }
        if identities.is_empty() {
            identities.push(SharedConfig::of(&self.config.shared.at(&self.config.region, "")));
        }
        identities
    }
}

#[async_trait]
impl Authenticator for SigV4Auth {
    async fn authenticate(&self, head: &mut http::request::Parts, payload: &Payload) -> Result<(), AuthError> {
        let refused = |message: String| AuthError { message, retryable: false };
        let target = self.target(self.scope(&head.uri).map_err(refused)?);
        let credentials = target.credentials.credentials().await.map_err(no_credentials)?;
        let digest = payload.sha256(|bytes| Sha256::digest(bytes).into());
        target.signer.sign(head, digest, &credentials).map_err(|error| refused(error.to_string()))
    }

    fn observe(&self, head: &http::response::Parts) {
        let targets: Vec<Arc<Target>> = self.targets().values().cloned().collect();
        let skews: Vec<_> = targets.iter().filter_map(|target| target.signer.observe(head)).collect();
        if let Some(skew) = skews.first() {
            tracing::warn!("{skew}; requests are signed by AWS' clock from now on");
        }
        if is_expired(head) {
            let failure = AwsFailure::new(FailureKind::ExpiredToken, "the session token has expired");
            targets.iter().for_each(|target| target.credentials.note(&failure));
        }
    }

    fn validate(&self, url: &Uri) -> Result<(), String> {
        let scope = self.scope(url)?;
        endpoint::validate_url(url, &scope.service)?;
        // Known from now on, so that `check` asks for the regions that are written to.
        self.target(scope);
        Ok(())
    }
}

#[async_trait]
impl Extension for SigV4Auth {
    fn as_authenticator(self: Arc<Self>) -> Option<Arc<dyn Authenticator>> {
        Some(self)
    }

    async fn check(&self) -> Vec<CheckRow> {
        let mut rows = Vec::new();
        for identity in self.identities() {
            rows.extend(identity.check().await);
        }
        rows
    }

    fn permissions(&self) -> Vec<IamStatement> {
        self.config.shared.at(&self.config.region, "").permissions()
    }
}

/// Whatever it was, it may be better at the next try: a role may be allowed, a metadata service may come up.
fn no_credentials(failure: AwsFailure) -> AuthError {
    let advice = failure.advice();
    let advice = if advice.is_empty() { String::new() } else { format!(" ({advice})") };
    AuthError { message: format!("{failure}{advice}"), retryable: true }
}

/// Whether an answer says that the session is over. The body would say so too, but the header does not need to be read.
fn is_expired(head: &http::response::Parts) -> bool {
    let kind = head.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.starts_with("ExpiredToken")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_call_the_session_over() {
        let rows = [
            (Some("ExpiredTokenException"), true),
            (Some("ExpiredToken:http://internal.amazon.com/"), true),
            (Some("AccessDeniedException"), false),
            (None, false),
        ];
        for (kind, expected) in rows {
            let mut answer = http::Response::builder().status(403);
            if let Some(kind) = kind {
                answer = answer.header("x-amzn-errortype", kind);
            }
            assert_eq!(is_expired(&answer.body(()).unwrap().into_parts().0), expected, "{kind:?}");
        }
    }
}
