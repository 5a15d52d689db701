//! The `tls` block of a server with the Collector's keys, and rustls (with ring) made from it. Files are read at
//! start, and again by interval or when the file of client authorities changes; a bad file leaves the old one in force.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_config::{Duration, Secret};

use crate::error::ConfigProblem;
use crate::tls::{TlsVersion, certificates, read, versions};

/// How a server secures its connections.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerTlsConfig {
    /// A file with the server's PEM certificate chain.
    pub cert_file: String,
    /// The same, inline.
    pub cert_pem: String,
    /// A file with the private key of the certificate, PEM.
    pub key_file: String,
    /// The same, inline.
    pub key_pem: Secret,
    /// A file with the PEM certificates of authorities. If given, every client must show a certificate of one of them
    /// (mutual TLS).
    pub client_ca_file: String,
    /// Reads `client_ca_file` again as soon as it changes.
    pub client_ca_file_reload: bool,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The newest version that is spoken; the newest there is, unless given.
    pub max_version: Option<TlsVersion>,
    /// How often the files are read again; 0 = never. What fails to read leaves in force what was read before.
    pub reload_interval: Duration,
}

impl ServerTlsConfig {
    /// What is wrong with the block as far as can be told without reading files; paths are below the block.
    pub fn problems(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let mut wrong = |path: &str, message: &str| problems.push(ConfigProblem::new(path, message));
        match (self.cert_file.is_empty(), self.cert_pem.is_empty()) {
            (true, true) => wrong("cert_file", "a server needs a certificate: give `cert_file` or `cert_pem`"),
            (false, false) => wrong("cert_pem", "`cert_file` is given too; give one of them"),
            _ => {}
        }
        match (self.key_file.is_empty(), self.key_pem.is_empty()) {
            (true, true) => wrong("key_file", "the certificate needs its private key: give `key_file` or `key_pem`"),
            (false, false) => wrong("key_pem", "`key_file` is given too; give one of them"),
            _ => {}
        }
        if self.max_version.is_some_and(|max| max < self.min_version) {
            wrong("max_version", "it is below `min_version`");
        }
        if self.client_ca_file_reload && self.client_ca_file.is_empty() {
            wrong("client_ca_file_reload", "there is no `client_ca_file` to read again");
        }
        if !self.cert_pem.is_empty() && certificates(self.cert_pem.as_bytes()).is_err() {
            wrong("cert_pem", "there is no PEM certificate in it");
        }
        if !self.key_pem.is_empty() && PrivateKeyDer::from_pem_slice(self.key_pem.expose().as_bytes()).is_err() {
            wrong("key_pem", "there is no PEM private key in it");
        }
        problems
    }
}

/// The TLS side of a server, made anew when its files may have changed.
#[derive(Debug)]
pub(crate) struct ServerTls {
    config: ServerTlsConfig,
    alpn: Vec<Vec<u8>>,
    made: Mutex<Made>,
}

#[derive(Debug)]
struct Made {
    config: Arc<ServerConfig>,
    at: Instant,
    clients: Stamp,
}

type Stamp = Option<(SystemTime, u64)>;

impl ServerTls {
    /// Reads the files for the first time.
    pub(crate) fn load(config: ServerTlsConfig, alpn: &[&[u8]]) -> Result<ServerTls, String> {
        let alpn: Vec<Vec<u8>> = alpn.iter().map(|name| name.to_vec()).collect();
        let clients = stamp(&config);
        let made = Made { config: make(&config, &alpn)?, at: Instant::now(), clients };
        Ok(ServerTls { config, alpn, made: Mutex::new(made) })
    }

    /// The config for the next connection. Reads small files now and then; not worth a thread of its own.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = self.config.reload_interval;
        let is_due = !interval.is_zero() && made.at.elapsed() >= interval.get();
        let clients = if self.config.client_ca_file_reload { stamp(&self.config) } else { made.clients };
        if is_due || clients != made.clients {
            (made.at, made.clients) = (Instant::now(), clients);
            match make(&self.config, &self.alpn) {
                Ok(config) => made.config = config,
                Err(error) => {
                    tracing::warn!(error, "TLS files could not be read again; the old ones stay in force");
                }
            }
        }
        Arc::clone(&made.config)
    }
}

fn stamp(tls: &ServerTlsConfig) -> Stamp {
    let metadata = std::fs::metadata(&tls.client_ca_file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn make(tls: &ServerTlsConfig, alpn: &[Vec<u8>]) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls.min_version, tls.max_version))
        .map_err(|error| format!("no TLS version is left to speak: {error}"))?;
    let builder = match read(&tls.client_ca_file, "", "tls.client_ca_file")? {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = rustls::RootCertStore::empty();
            let file = &tls.client_ca_file;
            for certificate in certificates(&pem).map_err(|_| format!("no PEM certificate in `{file}`"))? {
                roots.add(certificate).map_err(|error| format!("an authority in `{file}` cannot be used: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| format!("`{file}`: {error}"))?)
        }
    };
    let chain = read(&tls.cert_file, &tls.cert_pem, "tls.cert_file")?.unwrap_or_default();
    let chain = certificates(&chain).map_err(|_| format!("no PEM certificate in `{}`", tls.cert_file))?;
    let key = read(&tls.key_file, tls.key_pem.expose(), "tls.key_file")?.unwrap_or_default();
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| format!("no PEM private key in `{}`", tls.key_file))?;
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("the certificate and its key cannot be used: {error}"))?;
    config.alpn_protocols = alpn.to_vec();
    Ok(Arc::new(config))
}
