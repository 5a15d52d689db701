//! The `tls` block with the Collector's keys, and rustls (always with ring) made from it.
//! Files are read at start or at the first connection, never when config is checked; on a timer again, if asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_config::{Duration, Secret};

use crate::error::{ConfigProblem, TransportError, TransportErrorKind};

/// How connections to a backend are secured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Plaintext for an endpoint that does not name its scheme. An endpoint that does is taken at its word.
    pub insecure: bool,
    /// Accepts any certificate. Whoever sits in between can read and change everything.
    pub insecure_skip_verify: bool,
    /// A file with the PEM certificates of the authorities that are trusted, instead of the system's.
    pub ca_file: String,
    /// The same, inline.
    pub ca_pem: String,
    /// Trusts the system's authorities as well as those of `ca_file` or `ca_pem`.
    pub include_system_ca_certs_pool: bool,
    /// A file with our own PEM certificate chain, for backends that ask for one (mutual TLS).
    pub cert_file: String,
    /// The same, inline.
    pub cert_pem: String,
    /// A file with the private key of our certificate, PEM.
    pub key_file: String,
    /// The same, inline.
    pub key_pem: Secret,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The newest version that is spoken; the newest there is, unless given.
    pub max_version: Option<TlsVersion>,
    /// The name that the backend's certificate must have, if it is not the host of the endpoint.
    pub server_name_override: String,
    /// How often the files are read again; 0 = never. What fails to read leaves in force what was read before.
    pub reload_interval: Duration,
}

/// A version of TLS that is still safe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

impl TlsConfig {
    /// What is wrong with the block as far as can be told without reading files.
    pub fn problems(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let mut wrong = |path: &str, message: &str| problems.push(ConfigProblem::new(format!("tls.{path}"), message));
        let has_key = !self.key_file.is_empty() || !self.key_pem.is_empty();
        let has_cert = !self.cert_file.is_empty() || !self.cert_pem.is_empty();
        if !self.ca_file.is_empty() && !self.ca_pem.is_empty() {
            wrong("ca_pem", "`ca_file` is given too; give one of them");
        }
        if !self.cert_file.is_empty() && !self.cert_pem.is_empty() {
            wrong("cert_pem", "`cert_file` is given too; give one of them");
        }
        if !self.key_file.is_empty() && !self.key_pem.is_empty() {
            wrong("key_pem", "`key_file` is given too; give one of them");
        }
        if has_cert && !has_key {
            wrong("cert_file", "a certificate needs its private key: give `key_file` or `key_pem`");
        }
        if has_key && !has_cert {
            wrong("key_file", "a private key needs its certificate: give `cert_file` or `cert_pem`");
        }
        if self.max_version.is_some_and(|max| max < self.min_version) {
            wrong("max_version", "it is below `min_version`");
        }
        if !self.ca_pem.is_empty() && certificates(self.ca_pem.as_bytes()).is_err() {
            wrong("ca_pem", "there is no PEM certificate in it");
        }
        if !self.cert_pem.is_empty() && certificates(self.cert_pem.as_bytes()).is_err() {
            wrong("cert_pem", "there is no PEM certificate in it");
        }
        if !self.key_pem.is_empty() && PrivateKeyDer::from_pem_slice(self.key_pem.expose().as_bytes()).is_err() {
            wrong("key_pem", "there is no PEM private key in it");
        }
        if !self.server_name_override.is_empty() && ServerName::try_from(self.server_name_override.as_str()).is_err() {
            wrong("server_name_override", "it is neither a host name nor an IP address");
        }
        problems
    }
}

impl TlsConfig {
    /// The client side for a protocol of its own, without ALPN. Reads the files.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TransportError> {
        make(self, &[]).map_err(|message| TransportError::new(TransportErrorKind::Tls, message))
    }
}

/// The versions from the oldest to the newest that is wanted.
pub(crate) fn versions(min: TlsVersion, max: Option<TlsVersion>) -> Vec<&'static rustls::SupportedProtocolVersion> {
    let all = [(TlsVersion::V1_2, &rustls::version::TLS12), (TlsVersion::V1_3, &rustls::version::TLS13)];
    let wanted = |version| version >= min && max.is_none_or(|max| version <= max);
    all.into_iter().filter(|(version, _)| wanted(*version)).map(|(_, version)| version).collect()
}

/// The TLS side of a client: made when it is first needed, made anew when its files may have changed.
#[derive(Debug)]
pub(crate) struct TlsSource {
    config: TlsConfig,
    alpn: Vec<Vec<u8>>,
    made: Mutex<Option<(Arc<ClientConfig>, Instant)>>,
}

impl TlsSource {
    pub(crate) fn new(config: TlsConfig, alpn: Vec<Vec<u8>>) -> Self {
        TlsSource { config, alpn, made: Mutex::new(None) }
    }

    /// The config for the next connection. Reads small files now and then; not worth a thread of its own.
    pub(crate) fn current(&self) -> Result<Arc<ClientConfig>, TransportError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = self.config.reload_interval;
        if let Some((config, at)) = &*made
            && (interval.is_zero() || at.elapsed() < interval.get())
        {
            return Ok(Arc::clone(config));
        }
        match (make(&self.config, &self.alpn), &mut *made) {
            (Ok(config), made) => {
                *made = Some((Arc::clone(&config), Instant::now()));
                Ok(config)
            }
            (Err(message), Some((old, at))) => {
                tracing::warn!(error = message, "TLS files could not be read again; the old ones stay in force");
                *at = Instant::now();
                Ok(Arc::clone(old))
            }
            (Err(message), None) => Err(TransportError::new(TransportErrorKind::Tls, message)),
        }
    }

    /// The name that a certificate must have for a connection to `host`.
    pub(crate) fn server_name(&self, host: &str) -> Result<ServerName<'static>, TransportError> {
        let name = match self.config.server_name_override.as_str() {
            "" => host.trim_start_matches('[').trim_end_matches(']'),
            name => name,
        };
        ServerName::try_from(name.to_string()).map_err(|_| {
            let message = format!("`{name}` is neither a host name nor an IP address that a certificate can have");
            TransportError::new(TransportErrorKind::Tls, message)
        })
    }
}

fn make(tls: &TlsConfig, alpn: &[Vec<u8>]) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls.min_version, tls.max_version))
        .map_err(|error| format!("no TLS version is left to speak: {error}"))?;
    let builder = match tls.insecure_skip_verify {
        true => builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider))),
        false => builder.with_root_certificates(roots(tls)?),
    };
    let mut config = match identity(tls)? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("our certificate and its key cannot be used: {error}"))?,
    };
    config.alpn_protocols = alpn.to_vec();
    Ok(Arc::new(config))
}

fn roots(tls: &TlsConfig) -> Result<rustls::RootCertStore, String> {
    let mut store = rustls::RootCertStore::empty();
    let own = read(&tls.ca_file, &tls.ca_pem, "tls.ca_file")?;
    if let Some(pem) = &own {
        for certificate in certificates(pem).map_err(|_| format!("no PEM certificate in `{}`", tls.ca_file))? {
            store.add(certificate).map_err(|error| format!("a trusted certificate cannot be used: {error}"))?;
        }
    }
    if own.is_none() || tls.include_system_ca_certs_pool {
        let system = rustls_native_certs::load_native_certs();
        let (added, _) = store.add_parsable_certificates(system.certs);
        if added == 0 && store.is_empty() {
            return Err("this system has no trusted certificates; install its package of them (ca-certificates), \
                        or set `tls.ca_file`"
                .to_string());
        }
    }
    Ok(store)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(tls: &TlsConfig) -> Result<Option<Identity>, String> {
    let Some(chain) = read(&tls.cert_file, &tls.cert_pem, "tls.cert_file")? else { return Ok(None) };
    let chain = certificates(&chain).map_err(|_| format!("no PEM certificate in `{}`", tls.cert_file))?;
    let key = read(&tls.key_file, tls.key_pem.expose(), "tls.key_file")?.unwrap_or_default();
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| format!("no PEM private key in `{}`", tls.key_file))?;
    Ok(Some((chain, key)))
}

/// The bytes of a file, or those given inline; `None` if neither is given.
pub(crate) fn read(file: &str, inline: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
    match (file, inline) {
        ("", "") => Ok(None),
        ("", inline) => Ok(Some(inline.as_bytes().to_vec())),
        (file, _) => match std::fs::read(file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => Err(format!("cannot read `{file}` ({key}): {error}")),
        },
    }
}

/// The certificates of a PEM text; an error if there is none.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, rustls_pki_types::pem::Error> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    match all.is_empty() {
        true => Err(rustls_pki_types::pem::Error::NoItemsFound),
        false => Ok(all),
    }
}

/// Takes any certificate, and still insists that the peer holds its key.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
