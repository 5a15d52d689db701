//! A backend for tests: real sockets, scripted answers, everything it was sent kept. With TLS if wanted, and
//! with certificates made on the spot.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use steadyline_component::Outcome;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Method and path: `POST /v1/metrics`.
    pub line: String,
    /// Whom it was for: the `:authority` of HTTP/2, the `Host` of HTTP/1.
    pub authority: String,
    /// The HTTP version.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, still compressed.
    pub body: Bytes,
}

impl Recorded {
    /// The text of a header, or `-`.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("-", |value| value.to_str().unwrap_or("?"))
    }
}

/// What the backend does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers.
    Answer(Response<Bytes>),
    /// Answers, with trailers after the body (gRPC).
    Trailers(Response<Bytes>, HeaderMap),
    /// Begins to answer and closes the connection in the middle of the body.
    CloseMidResponse,
    /// Never answers.
    Hang,
}

impl Reply {
    /// An answer of a status with a text.
    pub fn status(status: u16, body: &str) -> Reply {
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        Reply::Answer(response)
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Reply {
        if let Reply::Answer(response) | Reply::Trailers(response, _) = &mut self {
            response.headers_mut().insert(name, value.parse().expect("a header value"));
        }
        self
    }
}

type Script = dyn Fn(&Recorded, usize) -> Reply + Send + Sync;

/// A backend on a port of its own. Gone when dropped.
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Recorded>>>,
    task: JoinHandle<()>,
}

impl Backend {
    /// Answers by `script`, which gets each request and its number, from 0.
    pub async fn start(script: impl Fn(&Recorded, usize) -> Reply + Send + Sync + 'static) -> Backend {
        Self::start_at(([127, 0, 0, 1], 0).into(), script).await
    }

    /// The same at an address that is known beforehand.
    pub async fn start_at(
        address: SocketAddr,
        script: impl Fn(&Recorded, usize) -> Reply + Send + Sync + 'static,
    ) -> Backend {
        Self::listen(address, None, Arc::new(script)).await
    }

    /// The same over TLS.
    pub async fn start_tls(
        tls: rustls::ServerConfig,
        script: impl Fn(&Recorded, usize) -> Reply + Send + Sync + 'static,
    ) -> Backend {
        Self::listen(([127, 0, 0, 1], 0).into(), Some(Arc::new(tls)), Arc::new(script)).await
    }

    async fn listen(address: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>, script: Arc<Script>) -> Backend {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                match &tls {
                    None => drop(tokio::spawn(serve(stream, script, log))),
                    Some(tls) => {
                        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(tls));
                        tokio::spawn(async move {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, script, log).await;
                            }
                        });
                    }
                }
            }
        });
        Backend { address, requests, task }
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that arrived so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A URL at which nobody listens.
pub async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("a bound socket has an address"))
}

/// Every way in which a backend gives no answer is a retry that says why, and names the host. `send` sends something by
/// an exporter with these keys, `endpoint` and `timeout` among them.
///
/// # Panics
/// It is something else.
pub async fn no_answer_is_a_retry(send: impl AsyncFn(&str) -> Outcome) {
    let hanging = Backend::start(|_, _| Reply::Hang).await;
    let closing = Backend::start(|_, _| Reply::CloseMidResponse).await;
    for (endpoint, timeout, expected) in [
        (hanging.url(), "200ms", "timeout"),
        (closing.url(), "30s", "closed"),
        (nobody().await, "30s", "connect"),
        ("http://no-such-host.invalid:1".to_string(), "30s", "dns"),
        (hanging.url().replace("http:", "https:"), "30s", "tls"),
    ] {
        let outcome = send(&format!("endpoint: {endpoint}\ntimeout: {timeout}")).await;
        let Outcome::Retry { reason, message, after: None } = &outcome else { panic!("{endpoint}: {outcome:?}") };
        // A resolver that takes its time is a timeout.
        let is_as_expected = reason == expected || (reason == "timeout" && expected == "dns");
        assert!(is_as_expected, "{endpoint}: {outcome:?}");
        let host = endpoint.split("//").nth(1).and_then(|rest| rest.split(':').next()).expect("a URL with a port");
        assert!(message.contains(host), "{message}");
    }
}

async fn serve<S>(stream: S, script: Arc<Script>, log: Arc<Mutex<Vec<Recorded>>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (script, log) = (Arc::clone(&script), Arc::clone(&log));
        async move { Ok::<_, Infallible>(reply(request, &*script, &log).await) }
    });
    // A client that goes away ends its connection, not the test.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

type Body = BoxBody<Bytes, io::Error>;

async fn reply(request: Request<Incoming>, script: &Script, log: &Mutex<Vec<Recorded>>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let line = format!("{} {}", head.method, head.uri.path());
    let host = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let authority = head.uri.authority().map(|authority| authority.as_str()).or(host).unwrap_or_default().to_string();
    let recorded = Recorded { line, authority, version: head.version, headers: head.headers, body };
    let number = {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(recorded.clone());
        log.len() - 1
    };
    let frames = |frames: Vec<io::Result<Frame<Bytes>>>| BodyExt::boxed(StreamBody::new(stream::iter(frames)));
    match script(&recorded, number) {
        Reply::Answer(response) => response.map(|body| BodyExt::boxed(http_body_util::Full::new(body).map_err(never))),
        Reply::Trailers(response, trailers) => {
            response.map(|body| frames(vec![Ok(Frame::data(body)), Ok(Frame::trailers(trailers))]))
        }
        Reply::CloseMidResponse => {
            let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"half of")))]);
            // The connection must be seen to break after the first part has gone out.
            let then = stream::once(async {
                tokio::task::yield_now().await;
                Err(io::Error::other("closed by the script"))
            });
            let response = Response::builder().header("content-length", "1000");
            response.body(BodyExt::boxed(StreamBody::new(first.chain(then)))).expect("a valid response")
        }
        Reply::Hang => std::future::pending().await,
    }
}

fn never(error: Infallible) -> io::Error {
    match error {}
}

/// Certificates for a test: an authority, and what it issued. All PEM.
pub struct TestCertificates {
    /// The authority's certificate.
    pub ca: String,
    /// A server's certificate, for `localhost` and `127.0.0.1` unless it was asked for other names, and its key.
    pub server: (String, String),
    /// A client's certificate and its key.
    pub client: (String, String),
}

/// The paths of the authority's certificate, of a client's, and of its key.
pub struct ClientFiles {
    /// The authority's certificate.
    pub ca: String,
    /// The client's certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

impl TestCertificates {
    /// A new authority and its certificates.
    pub fn new() -> TestCertificates {
        TestCertificates::of(&["localhost", "127.0.0.1"])
    }

    /// The same for a server of other names.
    pub fn of(server: &[&str]) -> TestCertificates {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("the ring can make keys");
        let issuer = CertifiedIssuer::self_signed(authority, key).expect("valid parameters");
        let issue = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            let key = KeyPair::generate().expect("the ring can make keys");
            let params = CertificateParams::new(names).expect("valid names");
            (params.signed_by(&key, &issuer).expect("valid parameters").pem(), key.serialize_pem())
        };
        TestCertificates { ca: issuer.pem(), server: issue(server), client: issue(&["client"]) }
    }

    /// What a client needs, as files in a folder.
    pub fn client_files(&self, folder: &Path) -> ClientFiles {
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("the folder can be written to");
            path.display().to_string()
        };
        let (cert, key) = &self.client;
        ClientFiles { ca: file("ca.pem", &self.ca), cert: file("cert.pem", cert), key: file("key.pem", key) }
    }

    /// A server's TLS; with `ask_client` it insists on a client certificate of the same authority.
    pub fn server_config(&self, ask_client: bool) -> rustls::ServerConfig {
        let chain = CertificateDer::pem_slice_iter(self.server.0.as_bytes()).collect::<Result<_, _>>();
        let key = PrivateKeyDer::from_pem_slice(self.server.1.as_bytes()).expect("a key of our own");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the ring speaks the default versions");
        let builder = if ask_client {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).expect("PEM")).expect("a certificate");
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("there is a root"))
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(chain.expect("PEM"), key).expect("a matching pair");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

impl Default for TestCertificates {
    fn default() -> Self {
        TestCertificates::new()
    }
}
