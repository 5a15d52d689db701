//! One resolved AWS config per region, identity and way to the net, shared by all components of the process. Nothing
//! is looked up before it is first needed, and what failed is tried again at the next call.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use steadyline_component::{CheckRow, Verdict};
use tokio::sync::OnceCell;

use crate::cache::CredentialCache;
use crate::clock::{DateProbe, Skew};
use crate::credentials::{Chain, Fixed, Role, metadata_client};
use crate::{AwsConfig, AwsFailure, FailureKind, http_client};

/// Region, credentials and HTTP client for one [`AwsConfig`].
#[derive(Debug)]
pub struct SharedConfig {
    config: AwsConfig,
    resolved: OnceCell<Resolved>,
}

#[derive(Debug)]
struct Resolved {
    sdk: SdkConfig,
    credentials: CredentialCache,
    /// The clients of roles sign with these; kept alive as long as the role is.
    _base: Option<Arc<SharedConfig>>,
}

/// Who AWS says we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account's number.
    pub account: String,
    /// The user's or session's ARN.
    pub arn: String,
}

/// The version of the SDK's defaults that all clients are built with. Raised by hand, when its changes are known.
pub fn behavior_version() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);
const REGION_TIMEOUT: Duration = Duration::from_secs(6);

impl SharedConfig {
    /// The shared one for this config. It lives as long as somebody holds it.
    pub fn of(config: &AwsConfig) -> Arc<Self> {
        static KNOWN: OnceLock<Mutex<HashMap<AwsConfig, Weak<SharedConfig>>>> = OnceLock::new();
        let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = known.get(config).and_then(Weak::upgrade) {
            return shared;
        }
        known.retain(|_, shared| shared.strong_count() > 0);
        let shared = Arc::new(Self { config: config.clone(), resolved: OnceCell::new() });
        known.insert(config.clone(), Arc::downgrade(&shared));
        shared
    }

    /// What it was made from.
    pub fn config(&self) -> &AwsConfig {
        &self.config
    }

    /// The config for clients of the SDK: region, endpoint, HTTP client, credentials, time-outs (3 s to connect, 5 s an
    /// attempt, 20 s an operation with its retries). A component sets its own retries and shorter time-outs on top.
    ///
    /// # Errors
    /// No region, or certificates or a proxy that cannot be used. Credentials are not asked for here.
    pub async fn sdk(&self) -> Result<&SdkConfig, AwsFailure> {
        Ok(&self.resolved().await?.sdk)
    }

    /// The region.
    ///
    /// # Errors
    /// As [`SharedConfig::sdk`].
    pub async fn region(&self) -> Result<&str, AwsFailure> {
        let sdk = self.sdk().await?;
        Ok(sdk.region().map(Region::as_ref).unwrap_or_default())
    }

    /// Credentials that are valid now. They are renewed ahead of their end, in the background.
    ///
    /// # Errors
    /// As [`SharedConfig::sdk`]; or none could be had, with every provider that was tried. Each of these is worth
    /// another try, whatever its kind: a role may be allowed, a metadata service may come up.
    pub async fn credentials(&self) -> Result<Credentials, AwsFailure> {
        self.resolved().await?.credentials.get().await
    }

    /// To be told of failures of requests with these credentials: expired ones are fetched anew at the next call.
    pub fn note(&self, failure: &AwsFailure) {
        if failure.kind == FailureKind::ExpiredToken
            && let Some(resolved) = self.resolved.get()
        {
            resolved.credentials.refused();
        }
    }

    /// Asks STS who we are, with the role if one is assumed.
    ///
    /// # Errors
    /// As [`SharedConfig::credentials`], and what STS answers.
    pub async fn who_am_i(&self) -> Result<Identity, AwsFailure> {
        self.identity(None).await
    }

    async fn identity(&self, probe: Option<&DateProbe>) -> Result<Identity, AwsFailure> {
        let mut call = self.sts(self.sdk().await?).get_caller_identity().customize();
        if let Some(probe) = probe {
            call = call.interceptor(probe.clone());
        }
        let answer = call.send().await;
        let answer = answer.map_err(|error| AwsFailure::from_sdk("sts:GetCallerIdentity", &error))?;
        Ok(Identity { account: answer.account.unwrap_or_default(), arn: answer.arn.unwrap_or_default() })
    }

    /// Who we are, and whether our clock agrees with that of AWS, as rows of what `check` prints.
    /// Without an answer there is nothing to say about the clock.
    pub async fn check(&self) -> Vec<CheckRow> {
        let what = match self.config.role() {
            Some(role) => format!("AWS identity, as {}", role.arn),
            None => "AWS identity".to_owned(),
        };
        let probe = DateProbe::default();
        let identity = match self.identity(Some(&probe)).await {
            Ok(who) => CheckRow { what, verdict: Verdict::Pass, detail: who.arn, advice: String::new() },
            Err(failure) => failure.row(what),
        };
        std::iter::once(identity).chain(probe.skew().map(Skew::row)).collect()
    }

    async fn resolved(&self) -> Result<&Resolved, AwsFailure> {
        self.resolved.get_or_try_init(|| self.resolve()).await
    }

    /// Boxed, because the config of a role resolves that of its base.
    fn resolve(&self) -> Pin<Box<dyn Future<Output = Result<Resolved, AwsFailure>> + Send + '_>> {
        Box::pin(async {
            let http = http_client::client(&self.config)?;
            let providers = Providers::new(&http);
            let region = self.resolve_region(&providers).await?;
            let providers = providers.in_region(&region);
            let (credentials, base) = self.credential_cache(&providers, &region).await?;
            let sdk = self.load(http, region, credentials.clone()).await;
            Ok(Resolved { sdk, credentials, _base: base })
        })
    }

    async fn resolve_region(&self, providers: &Providers) -> Result<Region, AwsFailure> {
        if !self.config.region.is_empty() {
            return Ok(Region::new(self.config.region.clone()));
        }
        let profile = ProfileFileRegionProvider::builder().configure(&providers.by_proxy);
        let profile = if self.config.access.profile.is_empty() {
            profile
        } else {
            profile.profile_name(&self.config.access.profile)
        };
        let local = EnvironmentVariableRegionProvider::new().region().await;
        if let Some(region) = match local {
            Some(region) => Some(region),
            None => profile.build().region().await,
        } {
            return Ok(region);
        }
        let machine = ImdsRegionProvider::builder()
            .configure(&providers.direct)
            .imds_client(metadata_client(&providers.direct))
            .build();
        let found = tokio::time::timeout(REGION_TIMEOUT, machine.region()).await;
        found.ok().flatten().ok_or_else(|| {
            AwsFailure::new(
                FailureKind::Config,
                "no AWS region; tried the key `region`, AWS_REGION, AWS_DEFAULT_REGION, the profile, instance metadata",
            )
        })
    }

    async fn credential_cache(
        &self,
        providers: &Providers,
        region: &Region,
    ) -> Result<(CredentialCache, Option<Arc<SharedConfig>>), AwsFailure> {
        let time = SharedTimeSource::new(SystemTimeSource::new());
        let config = &self.config;
        if let Some(role) = config.role() {
            let mut base = config.base();
            if base.region.is_empty() {
                base.region = region.to_string();
            }
            let base = SharedConfig::of(&base);
            let sts = self.sts(base.sdk().await?);
            let source = Role { sts, role: role.clone() };
            return Ok((CredentialCache::new(source, time), Some(base)));
        }
        let cache = if !config.access.access_key_id.is_empty() {
            let token =
                (!config.access.session_token.is_empty()).then(|| config.access.session_token.expose().to_owned());
            let secret = config.access.secret_access_key.expose();
            let keys = Credentials::new(&config.access.access_key_id, secret, token, None, "config");
            CredentialCache::new(Fixed(keys), time)
        } else if !config.access.profile.is_empty() {
            CredentialCache::new(Chain::profile(&config.access.profile, &providers.by_proxy), time)
        } else {
            CredentialCache::new(Chain::standard(&providers.by_proxy, &providers.direct), time)
        };
        Ok((cache, None))
    }

    fn sts(&self, sdk: &SdkConfig) -> aws_sdk_sts::Client {
        let mut builder = aws_sdk_sts::config::Builder::from(sdk);
        let role = &self.config.access.assume_role;
        // The endpoint of the component's own service is not that of STS.
        builder.set_endpoint_url((!role.sts_endpoint.is_empty()).then(|| role.sts_endpoint.clone()));
        aws_sdk_sts::Client::from_conf(builder.build())
    }

    async fn load(&self, http: SharedHttpClient, region: Region, credentials: CredentialCache) -> SdkConfig {
        let config = &self.config;
        let mut loader = aws_config::defaults(behavior_version())
            .region(region)
            .http_client(http)
            .credentials_provider(credentials)
            // Our cache is the only one: the SDK's would drop credentials that are still valid when a renewal fails.
            .identity_cache(IdentityCache::no_cache())
            .timeout_config(timeouts());
        if !config.access.profile.is_empty() {
            loader = loader.profile_name(&config.access.profile);
        }
        if !config.endpoint.is_empty() {
            loader = loader.endpoint_url(&config.endpoint);
        }
        if let Some(fips) = config.access.use_fips {
            loader = loader.use_fips(fips);
        }
        if let Some(dual_stack) = config.access.use_dual_stack {
            loader = loader.use_dual_stack(dual_stack);
        }
        loader.load().await
    }
}

/// What the SDK's own providers are configured with.
struct Providers {
    by_proxy: ProviderConfig,
    direct: ProviderConfig,
}

impl Providers {
    fn new(http: &SharedHttpClient) -> Self {
        let base = ProviderConfig::without_region()
            .with_behavior_version(Some(behavior_version()))
            .with_retry_config(RetryConfig::standard())
            .with_timeout_config(timeouts());
        Self {
            by_proxy: base.clone().with_http_client(http.clone()),
            direct: base.with_http_client(http_client::direct()),
        }
    }

    fn in_region(self, region: &Region) -> Self {
        Self {
            by_proxy: self.by_proxy.with_region(Some(region.clone())),
            direct: self.direct.with_region(Some(region.clone())),
        }
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}
