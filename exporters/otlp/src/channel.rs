//! tonic's channel over the shared connector: TLS, proxies and the names of failures are the same as over HTTP.

use std::sync::OnceLock;

use http::Uri;
use steadyline_http::{ClientOptions, ConfigProblem, Connector, TargetConnector, TransportError, Versions};
use tonic::transport::{Channel, Endpoint};

use crate::config::OtlpConfig;

/// A channel that is made at its first use, for that needs a runtime; it connects by itself, again and again.
pub(crate) struct LazyChannel {
    endpoint: Endpoint,
    connector: TargetConnector,
    made: OnceLock<Channel>,
}

impl LazyChannel {
    /// A channel to `target`.
    ///
    /// # Errors
    /// What is wrong with `tls` and `authority`.
    pub(crate) fn new(config: &OtlpConfig, target: &Uri) -> Result<LazyChannel, Vec<ConfigProblem>> {
        let options = ClientOptions { tls: config.tls.clone(), ..ClientOptions::default() };
        let connector = Connector::new(&options, Versions::Http2)?;
        let origin = origin(config, target).map_err(|problem| vec![problem])?;
        let peer = steadyline_http::peer_of(target);
        // TLS is the connector's; were the scheme https here, tonic would do it.
        let endpoint = Endpoint::from_shared(format!("http://{peer}"))
            .map_err(|error| vec![ConfigProblem::new("endpoint", error.to_string())])?;
        let keepalive = &config.keepalive;
        let mut endpoint = endpoint.origin(origin).keep_alive_timeout(keepalive.timeout.get());
        if !keepalive.time.is_zero() {
            endpoint = endpoint
                .http2_keep_alive_interval(keepalive.time.get())
                .keep_alive_while_idle(keepalive.permit_without_stream);
        }
        let connector = connector.to(target.clone());
        Ok(LazyChannel { endpoint, connector, made: OnceLock::new() })
    }

    /// Reads the certificates, so that a missing file is told at start.
    pub(crate) fn start(&self) -> Result<(), TransportError> {
        self.connector.load_tls()
    }

    /// The channel. Needs a tokio runtime around it.
    pub(crate) fn get(&self) -> Channel {
        let make = || self.endpoint.connect_with_connector_lazy(self.connector.clone());
        self.made.get_or_init(make).clone()
    }
}

fn origin(config: &OtlpConfig, target: &Uri) -> Result<Uri, ConfigProblem> {
    if config.authority.is_empty() {
        return Ok(target.clone());
    }
    let scheme = target.scheme_str().unwrap_or("http");
    let origin: Option<Uri> = format!("{scheme}://{}", config.authority).parse().ok();
    let is_bare = |uri: &Uri| uri.path() == "/" && uri.query().is_none();
    origin.filter(is_bare).ok_or_else(|| ConfigProblem::new("authority", "expected `host` or `host:port`"))
}
