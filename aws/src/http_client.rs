//! The HTTP client of the SDK: rustls with ring, a proxy or none, private authorities besides those of the system.

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::{AwsConfig, AwsFailure, FailureKind};

/// Hosts that a proxy cannot reach for us.
const NEVER_PROXIED: &str =
    "localhost,127.0.0.0/8,::1,169.254.169.254,169.254.170.2,169.254.170.23,fd00:ec2::254,fd00:ec2::23";

/// The client for AWS' own endpoints: by the proxy, if there is one.
///
/// # Errors
/// [`FailureKind::Config`] if the certificates or the proxy's URL cannot be read.
pub(crate) fn client(config: &AwsConfig) -> Result<SharedHttpClient, AwsFailure> {
    let proxy = match config.access.proxy_url.expose() {
        "" if is_loopback(&config.endpoint) => ProxyConfig::disabled(),
        "" => ProxyConfig::from_env(),
        url => ProxyConfig::all(url)
            .map_err(|error| failed(format!("proxy_url: {}", crate::failure::chain(&error))))?
            .no_proxy(NEVER_PROXIED),
    };
    Ok(build(proxy, tls_context(config)?))
}

/// The client for the metadata services of this machine or container: never by a proxy.
pub(crate) fn direct() -> SharedHttpClient {
    build(ProxyConfig::disabled(), TlsContext::default())
}

fn build(proxy: ProxyConfig, tls: TlsContext) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).tls_context(tls.clone()).build()
    })
}

fn tls_context(config: &AwsConfig) -> Result<TlsContext, AwsFailure> {
    let mut trusted = TrustStore::default();
    if let Some((key, file)) = authorities(&config.access.ca_file) {
        let pem = std::fs::read(&file).map_err(|error| failed(format!("{key}: cannot read `{file}`: {error}")))?;
        check_certificates(&pem).map_err(|why| failed(format!("{key}: `{file}` {why}")))?;
        trusted = trusted.with_pem_certificate(pem);
    }
    TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|error| failed(format!("TLS: {}", crate::failure::chain(&error))))
}

/// The file of private authorities, and who names it.
fn authorities(ca_file: &str) -> Option<(&'static str, String)> {
    let named = (!ca_file.is_empty()).then(|| ("ca_file", ca_file.to_owned()));
    named.or_else(|| {
        std::env::var("AWS_CA_BUNDLE").ok().filter(|file| !file.is_empty()).map(|file| ("AWS_CA_BUNDLE", file))
    })
}

/// The client panics on certificates that it cannot read, so they are read here first.
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

fn is_loopback(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<http::Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
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
    fn loopback_endpoints_are_known() {
        for endpoint in ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:2", "http://127.3.2.1"] {
            assert!(is_loopback(endpoint), "{endpoint}");
        }
        for endpoint in ["", "http://example.com", "http://127.0.0.1.example.com"] {
            assert!(!is_loopback(endpoint), "{endpoint}");
        }
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
