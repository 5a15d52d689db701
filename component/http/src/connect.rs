//! Dialling: DNS, TCP, perhaps a proxy, perhaps TLS. Each step fails under its own name, with words of what was tried.
//! A connection is made for a URL: `https` means TLS, by the `tls` block of the client.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use steadyline_config::Secret;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::error::{ConfigProblem, TransportError, TransportErrorKind, chain_words, find};
use crate::keys::ClientOptions;
use crate::tls::TlsSource;

/// So that a peer that went away without a word is noticed even where nothing else watches.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// Makes connections for URLs; what hyper's client and tonic's channel take. Cheap to clone.
#[derive(Clone)]
pub struct Connector(Arc<Shared>);

struct Shared {
    tcp: HttpConnector<Resolver>,
    tls: TlsSource,
    proxy: ProxyRule,
    versions: Versions,
    connect_timeout: Duration,
}

/// Which application protocols are offered in the TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 where the peer has it.
    Any,
    /// HTTP/2 alone, as gRPC needs it.
    Http2,
}

enum ProxyRule {
    /// As the environment says; asked when the first connection is made.
    Environment(OnceLock<Matcher>),
    Given(Matcher),
}

impl Connector {
    /// A connector.
    ///
    /// # Errors
    /// Everything that is wrong with `tls` and `proxy_url`.
    pub fn new(options: &ClientOptions, versions: Versions) -> Result<Connector, Vec<ConfigProblem>> {
        Connector::build(options, versions, ProxyRule::new(&options.proxy_url))
    }

    /// A connector that asks `proxy` alone which proxy to use, whatever the environment says: for protocols with
    /// proxy keys of their own. An empty matcher means no proxy.
    ///
    /// # Errors
    /// Everything that is wrong with `tls`.
    pub fn with_proxy(
        options: &ClientOptions,
        versions: Versions,
        proxy: Matcher,
    ) -> Result<Connector, Vec<ConfigProblem>> {
        Connector::build(options, versions, Ok(ProxyRule::Given(proxy)))
    }

    fn build(
        options: &ClientOptions,
        versions: Versions,
        proxy: Result<ProxyRule, ConfigProblem>,
    ) -> Result<Connector, Vec<ConfigProblem>> {
        let mut problems = options.tls.problems();
        let proxy = proxy.map_err(|problem| problems.push(problem)).ok();
        let (Some(proxy), true) = (proxy, problems.is_empty()) else { return Err(problems) };
        let alpn: &[&[u8]] = match versions {
            Versions::Http1 => &[b"http/1.1"],
            Versions::Any => &[b"h2", b"http/1.1"],
            Versions::Http2 => &[b"h2"],
        };
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.set_connect_timeout(Some(options.connect_timeout));
        let tls = TlsSource::new(options.tls.clone(), alpn.iter().map(|name| name.to_vec()).collect());
        let connect_timeout = options.connect_timeout;
        Ok(Connector(Arc::new(Shared { tcp, tls, proxy, versions, connect_timeout })))
    }

    /// Reads the certificates and keys now, so that one that is not there stops the start.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn load_tls(&self) -> Result<(), TransportError> {
        self.0.tls.current().map(|_| ())
    }

    /// The same for one target alone.
    pub fn to(self, target: Uri) -> TargetConnector {
        TargetConnector { connector: self, target }
    }

    async fn connect(self, url: Uri) -> Result<Stream, TransportError> {
        let peer = peer_of(&url);
        let bound = self.0.connect_timeout;
        let late = |what: &str| {
            let message = format!("{what} `{peer}` took longer than {bound:?}");
            TransportError::new(TransportErrorKind::Timeout, message)
        };
        let dialled = tokio::time::timeout(bound, self.0.dial(&url, &peer));
        let (tcp, absolute_form) = dialled.await.unwrap_or_else(|_| Err(late("connecting to")))?;
        if url.scheme() != Some(&Scheme::HTTPS) {
            return Ok(Stream::Plain { tcp, absolute_form });
        }
        let config = self.0.tls.current()?;
        let name = self.0.tls.server_name(url.host().unwrap_or_default())?;
        let handshake = tokio_rustls::TlsConnector::from(config).connect(name, tcp.into_inner());
        match tokio::time::timeout(bound, handshake).await {
            Err(_) => Err(late("the TLS handshake with")),
            Ok(Err(error)) => Err(tls_error(&error, &peer)),
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(TokioIo::new(stream)))),
        }
    }
}

impl Shared {
    /// A TCP connection on which the URL's host listens, and whether requests on it carry whole URLs.
    async fn dial(&self, url: &Uri, peer: &str) -> Result<(TokioIo<TcpStream>, bool), TransportError> {
        let mut tcp = self.tcp.clone();
        let Some(proxy) = self.proxy.intercept(url) else {
            return Ok((tcp.call(url.clone()).await.map_err(|error| dial_error(&error, peer))?, false));
        };
        let via = peer_of(proxy.uri());
        let refused = |error: &(dyn std::error::Error + 'static)| {
            let error = dial_error(error, &via);
            TransportError { message: format!("through the proxy for `{peer}`: {}", error.message), ..error }
        };
        if proxy.uri().scheme_str().is_some_and(|scheme| scheme.starts_with("socks5")) {
            let remote_dns = proxy.uri().scheme_str() == Some("socks5h");
            let mut socks = SocksV5::new(proxy.uri().clone(), tcp).local_dns(!remote_dns);
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_string(), password.to_string());
            }
            return Ok((socks.call(with_port(url)).await.map_err(|error| refused(&error))?, false));
        }
        // Proxies pass plain requests on by their URL. They cannot do so for plaintext HTTP/2, and a request does not
        // carry their password: these go through a tunnel, as TLS does.
        let is_plain = url.scheme() != Some(&Scheme::HTTPS) && self.versions != Versions::Http2;
        if is_plain && proxy.basic_auth().is_none() {
            return Ok((tcp.call(proxy.uri().clone()).await.map_err(|error| refused(&error))?, true));
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        Ok((tunnel.call(with_port(url)).await.map_err(|error| refused(&error))?, false))
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, TransportError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        Box::pin(self.clone().connect(url))
    }
}

/// A [`Connector`] for one target, whatever it is asked for: for tonic, which would do TLS itself were it told `https`.
#[derive(Debug, Clone)]
pub struct TargetConnector {
    connector: Connector,
    target: Uri,
}

impl TargetConnector {
    /// Reads the certificates now if the target wants TLS, so that one that is not there stops the start.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn load_tls(&self) -> Result<(), TransportError> {
        match self.target.scheme() == Some(&Scheme::HTTPS) {
            true => self.connector.load_tls(),
            false => Ok(()),
        }
    }
}

impl Service<Uri> for TargetConnector {
    type Response = Stream;
    type Error = TransportError;
    type Future = <Connector as Service<Uri>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        self.connector.call(self.target.clone())
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl ProxyRule {
    fn new(url: &Secret) -> Result<ProxyRule, ConfigProblem> {
        if url.is_empty() {
            return Ok(ProxyRule::Environment(OnceLock::new()));
        }
        let wrong = |message: &str| ConfigProblem::new("proxy_url", message);
        let parsed: Uri = url.expose().parse().map_err(|_| wrong("it is not a URL"))?;
        match (parsed.scheme_str(), parsed.host()) {
            (Some("http" | "socks5" | "socks5h"), Some(_)) => {
                Ok(ProxyRule::Given(Matcher::builder().all(url.expose()).build()))
            }
            (Some("https"), _) => Err(wrong("proxies that are spoken to over TLS are not supported; use `http://`")),
            _ => Err(wrong("expected a URL such as `http://proxy:3128` or `socks5://proxy:1080`")),
        }
    }

    fn intercept(&self, url: &Uri) -> Option<Intercept> {
        match self {
            ProxyRule::Given(matcher) => matcher.intercept(url),
            // As in Go, the environment's proxy is not asked for this machine itself.
            ProxyRule::Environment(_) if is_loopback(url.host()?) => None,
            ProxyRule::Environment(matcher) => matcher.get_or_init(Matcher::from_env).intercept(url),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address: Option<std::net::IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

/// `host:port` of a URL, for messages.
pub fn peer_of(url: &Uri) -> String {
    let port = url.port_u16().unwrap_or(if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 });
    format!("{}:{port}", url.host().unwrap_or_default())
}

/// The URL with its port spelt out, for proxies that guess 80 or 443 by less than the scheme.
fn with_port(url: &Uri) -> Uri {
    let scheme = url.scheme_str().unwrap_or("http");
    format!("{scheme}://{}/", peer_of(url)).parse().unwrap_or_else(|_| url.clone())
}

fn dial_error(error: &(dyn std::error::Error + 'static), peer: &str) -> TransportError {
    if let Some(NotResolved(error)) = find::<NotResolved>(error) {
        let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
        return TransportError::new(TransportErrorKind::Dns, format!("cannot resolve `{host}`: {error}"));
    }
    let words = chain_words(error);
    match find::<io::Error>(error) {
        Some(io) if io.kind() == io::ErrorKind::TimedOut => {
            TransportError::new(TransportErrorKind::Timeout, format!("connecting to `{peer}` timed out"))
        }
        _ => TransportError::new(TransportErrorKind::Connect, format!("cannot connect to `{peer}`: {words}")),
    }
}

fn tls_error(error: &io::Error, peer: &str) -> TransportError {
    use rustls::{CertificateError, Error};
    let advice = match find::<Error>(error) {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "; nobody that is trusted here issued its certificate: set `tls.ca_file`"
        }
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "; its certificate is for another name: correct the endpoint, or set `tls.server_name_override`",
        Some(Error::InvalidMessage(_)) => "; does it speak TLS on this port at all?",
        Some(Error::AlertReceived(_)) => "; it may want a certificate of ours: see `tls.cert_file`",
        _ => "",
    };
    TransportError::new(TransportErrorKind::Tls, format!("the TLS handshake with `{peer}` failed: {error}{advice}"))
}

/// A resolver whose failures can be told from those of connecting.
#[derive(Debug, Clone)]
struct Resolver(GaiResolver);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotResolved(io::Error);

impl Service<Name> for Resolver {
    type Response = <GaiResolver as Service<Name>>::Response;
    type Error = NotResolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NotResolved>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NotResolved>> {
        self.0.poll_ready(cx).map_err(NotResolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let found = self.0.call(name);
        Box::pin(async move { found.await.map_err(NotResolved) })
    }
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Without TLS.
    Plain {
        /// The connection.
        tcp: TokioIo<TcpStream>,
        /// Whether the peer is a proxy that wants whole URLs in requests.
        absolute_form: bool,
    },
    /// With TLS.
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Stream::Plain { absolute_form, .. } => Connected::new().proxy(*absolute_form),
            Stream::Tls(stream) if stream.inner().get_ref().1.alpn_protocol() == Some(b"h2") => {
                Connected::new().negotiated_h2()
            }
            Stream::Tls(_) => Connected::new(),
        }
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain { tcp, .. } => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain { tcp, .. } => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain { tcp, .. } => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain { tcp, .. } => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain { tcp, .. } => tcp.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain { tcp, .. } => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }
}
