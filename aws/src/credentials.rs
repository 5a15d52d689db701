//! Where credentials come from: fixed keys, the standard chain with a word about every provider that was tried, and
//! roles.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_sts::types::Credentials as StsCredentials;

use crate::access::AssumeRole;
use crate::cache::Source;
use crate::failure::chain;
use crate::{AwsFailure, FailureKind};

/// How long one provider of the chain may take. The metadata services answer in milliseconds or not at all.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(10);
const METADATA_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const METADATA_READ_TIMEOUT: Duration = Duration::from_secs(2);
const METADATA_ATTEMPTS: u32 = 2;

/// Keys from the config.
#[derive(Debug)]
pub(crate) struct Fixed(pub(crate) Credentials);

#[async_trait]
impl Source for Fixed {
    async fn load(&self) -> Result<Credentials, AwsFailure> {
        Ok(self.0.clone())
    }
}

/// Providers in the order in which they are asked. The first that has something to say decides: one that is configured
/// and fails is not passed over, because the next would be another identity.
#[derive(Debug)]
pub(crate) struct Chain {
    providers: Vec<Provider>,
    /// How long each of them may take.
    timeout: Duration,
}

impl Chain {
    /// The standard chain; `by_proxy` for what lies outside of this machine, `direct` for its metadata services.
    pub(crate) fn standard(by_proxy: &ProviderConfig, direct: &ProviderConfig) -> Self {
        let container = EcsCredentialsProvider::builder()
            .configure(direct)
            .connect_timeout(METADATA_CONNECT_TIMEOUT)
            .read_timeout(METADATA_READ_TIMEOUT)
            .build();
        let instance =
            ImdsCredentialsProvider::builder().configure(direct).imds_client(metadata_client(direct)).build();
        let environment = EnvironmentVariableCredentialsProvider::new();
        let profile = ProfileFileCredentialsProvider::builder().configure(by_proxy).build();
        let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(by_proxy).build();
        let providers = vec![
            Provider::new("environment", environment).absent("AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set"),
            Provider::new("profile", profile)
                .absent("no credentials in the profile that AWS_PROFILE names, or `default`"),
            Provider::new("web identity", web_identity).absent("AWS_WEB_IDENTITY_TOKEN_FILE is not set"),
            Provider::new("container", container)
                .absent("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI are not set"),
            Provider::new("instance metadata", instance),
        ];
        Self { providers, timeout: PROVIDER_TIMEOUT }
    }

    /// One profile and nothing else.
    pub(crate) fn profile(name: &str, by_proxy: &ProviderConfig) -> Self {
        let provider = ProfileFileCredentialsProvider::builder().configure(by_proxy).profile_name(name).build();
        let provider = Provider::new(&format!("profile `{name}`"), provider)
            .absent("no such profile in the AWS config and credentials files, or no credentials in it");
        Self { providers: vec![provider], timeout: PROVIDER_TIMEOUT }
    }
}

/// One place to look.
#[derive(Debug)]
struct Provider {
    name: String,
    provider: SharedCredentialsProvider,
    /// What it means that it has nothing; the provider's own words if this is not said.
    absent: Option<&'static str>,
}

impl Provider {
    fn new(name: &str, provider: impl ProvideCredentials + 'static) -> Self {
        Self { name: name.to_owned(), provider: SharedCredentialsProvider::new(provider), absent: None }
    }

    fn absent(mut self, words: &'static str) -> Self {
        self.absent = Some(words);
        self
    }

    fn explain(&self, error: &CredentialsError) -> String {
        let absent = self.absent.filter(|_| is_absent(error));
        match (absent, std::error::Error::source(error)) {
            (Some(words), _) => words.to_owned(),
            (None, Some(source)) => chain(source),
            (None, None) => error.to_string(),
        }
    }
}

fn is_absent(error: &CredentialsError) -> bool {
    matches!(error, CredentialsError::CredentialsNotLoaded(_))
}

#[async_trait]
impl Source for Chain {
    async fn load(&self) -> Result<Credentials, AwsFailure> {
        let mut tried: Vec<String> = Vec::new();
        for place in &self.providers {
            let answer = tokio::time::timeout(self.timeout, place.provider.provide_credentials()).await;
            let (why, go_on) = match answer {
                Ok(Ok(credentials)) => {
                    tracing::debug!(provider = place.name, "found AWS credentials");
                    return Ok(credentials);
                }
                Ok(Err(error)) => (place.explain(&error), is_absent(&error)),
                Err(_) => (format!("no answer within {:?}", self.timeout), false),
            };
            tried.push(format!("{}: {why}", place.name));
            if !go_on {
                break;
            }
        }
        Err(AwsFailure::new(FailureKind::NoCredentials, format!("no AWS credentials; tried {}", tried.join("; "))))
    }
}

pub(crate) fn metadata_client(config: &ProviderConfig) -> imds::Client {
    imds::Client::builder()
        .configure(config)
        .connect_timeout(METADATA_CONNECT_TIMEOUT)
        .read_timeout(METADATA_READ_TIMEOUT)
        .max_attempts(METADATA_ATTEMPTS)
        .build()
}

/// A role, assumed with the credentials that the client signs with.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) sts: aws_sdk_sts::Client,
    pub(crate) role: AssumeRole,
}

#[async_trait]
impl Source for Role {
    async fn load(&self) -> Result<Credentials, AwsFailure> {
        let role = &self.role;
        let seconds = i32::try_from(role.duration.get().as_secs()).unwrap_or(i32::MAX);
        let request = self
            .sts
            .assume_role()
            .role_arn(&role.arn)
            .role_session_name(&role.session_name)
            .set_external_id((!role.external_id.is_empty()).then(|| role.external_id.clone()))
            .duration_seconds(seconds);
        let what = format!("cannot assume {}", role.arn);
        let answer = request.send().await;
        let answer = answer.map_err(|error| AwsFailure::from_sdk("sts:AssumeRole", &error).during(&what))?;
        let credentials = answer.credentials.and_then(from_sts);
        let cut =
            || AwsFailure::new(FailureKind::Malformed, "sts:AssumeRole: an answer without credentials").during(&what);
        credentials.ok_or_else(cut)
    }
}

fn from_sts(credentials: StsCredentials) -> Option<Credentials> {
    let expiry = credentials.expiration.try_into().ok()?;
    Some(Credentials::new(
        credentials.access_key_id,
        credentials.secret_access_key,
        Some(credentials.session_token),
        Some(expiry),
        "AssumeRole",
    ))
}

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::future;

    use super::*;

    #[derive(Debug)]
    struct Says(fn() -> Result<Credentials, CredentialsError>);

    impl ProvideCredentials for Says {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready((self.0)())
        }
    }

    #[derive(Debug)]
    struct Hangs;

    impl ProvideCredentials for Hangs {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(std::future::pending())
        }
    }

    fn chain_of(providers: Vec<Provider>) -> Chain {
        Chain { providers, timeout: Duration::from_millis(1) }
    }

    fn empty(name: &str) -> Provider {
        Provider::new(name, Says(|| Err(CredentialsError::not_loaded("no variable AWS_ACCESS_KEY_ID"))))
    }

    fn keys(name: &str) -> Provider {
        Provider::new(name, Says(|| Ok(Credentials::new("AKID", "secret", None, None, "test"))))
    }

    #[tokio::test]
    async fn the_first_provider_that_has_credentials_gives_them() {
        let chain = chain_of(vec![empty("environment"), keys("profile")]);
        assert_eq!(chain.load().await.unwrap().access_key_id(), "AKID");
    }

    #[tokio::test]
    async fn a_failure_names_every_provider_that_was_tried_and_why_it_failed() {
        let nothing = Provider::new("container", Says(|| Err(CredentialsError::not_loaded_no_source())));
        let nothing = nothing.absent("not in a container");
        let failure = chain_of(vec![empty("environment"), nothing]).load().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::NoCredentials);
        assert_eq!(
            failure.text,
            "no AWS credentials; tried environment: no variable AWS_ACCESS_KEY_ID; container: not in a container"
        );
        assert!(failure.retryable());
    }

    #[tokio::test]
    async fn a_provider_that_is_configured_and_fails_is_not_passed_over() {
        let broken =
            Provider::new("web identity", Says(|| Err(CredentialsError::provider_error("the token file is gone"))));
        let failure = chain_of(vec![broken, keys("instance metadata")]).load().await.unwrap_err();
        assert_eq!(failure.text, "no AWS credentials; tried web identity: the token file is gone");
    }

    #[tokio::test]
    async fn a_provider_that_hangs_is_given_up() {
        let failure = chain_of(vec![Provider::new("instance metadata", Hangs)]).load().await.unwrap_err();
        assert!(failure.text.contains("instance metadata: no answer within 1ms"), "{failure}");
    }
}
