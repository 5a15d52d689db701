//! The SDK's way to the net, which is that of all of us: one client, with a proxy or none, and with private authorities
//! besides those of the system.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::shared::IntoShared;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use steadyline_http::{ClientOptions, Connector, TlsConfig, TransportError, TransportErrorKind, Versions, peer_of};

use crate::{AwsConfig, AwsFailure, FailureKind};

/// Less than an attempt may take, so that a connection that fails is told from an answer that does not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Hosts that a proxy cannot reach for us.
const NEVER_PROXIED: &str =
    "localhost,127.0.0.0/8,::1,169.254.169.254,169.254.170.2,169.254.170.23,fd00:ec2::254,fd00:ec2::23";

/// The client for AWS' own endpoints: by the proxy, if there is one.
///
/// # Errors
/// [`FailureKind::Config`] if the certificates or the proxy's URL cannot be read.
pub(crate) fn client(config: &AwsConfig) -> Result<SharedHttpClient, AwsFailure> {
    let options = options(tls(config)?);
    let connector = match config.access.proxy_url.expose() {
        "" => Connector::new(&options, Versions::Http1),
        url => {
            let proxy = Matcher::builder().all(url).no(NEVER_PROXIED).build();
            Connector::with_proxy(&options, Versions::Http1, proxy)
        }
    };
    let told = |problems: Vec<steadyline_http::ConfigProblem>| {
        let words: Vec<String> = problems.iter().map(|one| format!("{}: {}", one.path, one.message)).collect();
        failed(words.join("; "))
    };
    Ok(Way::over(connector.map_err(told)?).into_shared())
}

/// A client that asks nobody for the way: for the metadata services of this machine or container, and for emulators.
pub fn direct() -> SharedHttpClient {
    let connector = Connector::with_proxy(&options(TlsConfig::default()), Versions::Http1, Matcher::builder().build());
    // There is nothing configured that could be wrong.
    Way::over(connector.unwrap_or_else(|problems| unreachable!("{problems:?}"))).into_shared()
}

fn options(tls: TlsConfig) -> ClientOptions {
    ClientOptions { tls, connect_timeout: CONNECT_TIMEOUT, ..ClientOptions::default() }
}

/// Connections that are kept, and requests over them.
#[derive(Debug, Clone)]
struct Way(legacy::Client<Connector, Full<Bytes>>);

impl Way {
    fn over(connector: Connector) -> Self {
        let mut pool = legacy::Client::builder(TokioExecutor::new());
        Way(pool.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).build(connector))
    }

    async fn exchange(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let peer = peer_of(request.uri());
        let (head, body) = request.into_parts();
        let Some(body) = body.bytes().map(Bytes::copy_from_slice) else {
            return Err(ConnectorError::user("the body of a request is not in memory".into()));
        };
        let answer = self.0.request(http::Request::from_parts(head, Full::new(body))).await;
        let answer = answer.map_err(|error| connector_error(TransportError::from_chain(&error, &peer)))?;
        let answer = HttpResponse::try_from(answer.map(SdkBody::from_body_1_x));
        answer.map_err(|error| ConnectorError::other(error.into(), None))
    }
}

impl HttpConnector for Way {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().exchange(request))
    }
}

impl HttpClient for Way {
    /// Time-outs of operations are the SDK's own; that of connecting is ours.
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.clone().into_shared()
    }
}

/// As the SDK's retries want to know it.
fn connector_error(error: TransportError) -> ConnectorError {
    use TransportErrorKind as K;
    match error.kind {
        K::Timeout => ConnectorError::timeout(error.into()),
        K::Closed => ConnectorError::other(error.into(), Some(ErrorKind::TransientError)),
        K::Protocol => ConnectorError::other(error.into(), None),
        _ => ConnectorError::io(error.into()),
    }
}

/// TLS as the config wants it.
///
/// # Errors
/// The certificates cannot be read.
fn tls(config: &AwsConfig) -> Result<TlsConfig, AwsFailure> {
    let Some((key, file)) = authorities(&config.access.ca_file) else { return Ok(TlsConfig::default()) };
    let pem = std::fs::read(&file).map_err(|error| failed(format!("{key}: cannot read `{file}`: {error}")))?;
    check_certificates(&pem).map_err(|why| failed(format!("{key}: `{file}` {why}")))?;
    Ok(TlsConfig { ca_file: file, include_system_ca_certs_pool: true, ..TlsConfig::default() })
}

/// The file of private authorities, and who names it.
fn authorities(ca_file: &str) -> Option<(&'static str, String)> {
    let named = (!ca_file.is_empty()).then(|| ("ca_file", ca_file.to_owned()));
    let environment = || std::env::var("AWS_CA_BUNDLE").ok().filter(|file| !file.is_empty());
    named.or_else(|| environment().map(|file| ("AWS_CA_BUNDLE", file)))
}

/// Read before anything is asked, so that a bad file is told as a mistake in the config and not as a failed connection.
fn check_certificates(pem: &[u8]) -> Result<(), String> {
    let mut store = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("is not PEM: {error}"))?;
        store.add(certificate).map_err(|error| format!("holds a certificate that is no authority's: {error}"))?;
    }
    if store.is_empty() { Err("holds no certificate, expected PEM".to_owned()) } else { Ok(()) }
}

fn failed(text: String) -> AwsFailure {
    AwsFailure::new(FailureKind::Config, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AccessConfig;

    fn trusting(ca_file: &str) -> AwsConfig {
        let access = AccessConfig { ca_file: ca_file.to_owned(), ..AccessConfig::default() };
        AwsConfig { access, ..AwsConfig::default() }
    }

    #[test]
    fn a_bad_authority_file_is_an_error_and_no_panic() {
        let directory = tempfile::tempdir().unwrap();
        let missing = trusting("/nonexistent/ca.pem");
        assert!(client(&missing).unwrap_err().text.contains("cannot read `/nonexistent/ca.pem`"));
        let contents = [
            ("empty", "", "holds no certificate"),
            ("text", "not a certificate", "holds no certificate"),
            ("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no authority's"),
            ("cut", "-----BEGIN CERTIFICATE-----\nAAAA\n", "is not PEM"),
        ];
        for (name, content, expected) in contents {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            let config = trusting(&path.display().to_string());
            let failure = client(&config).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Config);
            assert!(failure.text.contains(expected), "{name}: {failure}");
        }
    }
}
