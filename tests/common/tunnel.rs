//! The way out of a closed network: a proxy that tunnels (`CONNECT`), and behind it hosts of the wide world, which are
//! servers of the test with certificates of a private authority.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use steadyline_http::testkit::TestCertificates;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A proxy on a port of its own; gone when dropped.
pub struct Tunnel {
    address: SocketAddr,
    folder: TempDir,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    targets: BTreeSet<String>,
    passwords: BTreeSet<String>,
}

impl Tunnel {
    /// Leads `name`, on port 443 and over TLS, to the server of a URL, for each of these. To anywhere else
    /// there is no way.
    pub async fn to(hosts: &[(&str, &str)]) -> Tunnel {
        let names: Vec<&str> = hosts.iter().map(|(name, _)| *name).collect();
        let certificates = TestCertificates::of(&names);
        let mut tls = certificates.server_config(false);
        tls.alpn_protocols.clear();
        let tls = TlsAcceptor::from(Arc::new(tls));

        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("ca.pem"), &certificates.ca).expect("the temporary folder takes a file");

        let behind = |(name, url): &(&str, &str)| {
            let url: http::Uri = url.parse().expect("a URL");
            (format!("{name}:443"), url.authority().expect("a URL has a host").to_string())
        };
        let hosts: Arc<Vec<(String, String)>> = Arc::new(hosts.iter().map(behind).collect());
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // A client that goes away ends its connection, not the test.
                connections.spawn(tunnel(stream, tls.clone(), Arc::clone(&hosts), Arc::clone(&log)));
            }
        });
        Tunnel { address, folder, seen, task }
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The file with the authority's certificate.
    pub fn ca_file(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// Every `host:port` that it was asked for, in order of the alphabet.
    pub fn targets(&self) -> Vec<String> {
        self.seen.lock().unwrap().targets.iter().cloned().collect()
    }

    /// Every `proxy-authorization` that it was given.
    pub fn passwords(&self) -> Vec<String> {
        self.seen.lock().unwrap().passwords.iter().cloned().collect()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tunnel(
    client: TcpStream,
    tls: TlsAcceptor,
    hosts: Arc<Vec<(String, String)>>,
    seen: Arc<Mutex<Seen>>,
) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        client.read_line(&mut line).await?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let Some(target) = head.first().and_then(|line| line.strip_prefix("CONNECT ")?.split(' ').next()) else {
        return client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n").await;
    };
    {
        let mut seen = seen.lock().unwrap();
        seen.targets.insert(target.to_owned());
        let fields = head.iter().filter_map(|line| line.split_once(": "));
        let passwords = fields.filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
        seen.passwords.extend(passwords.map(|(_, value)| value.to_owned()));
    }
    let Some((_, server)) = hosts.iter().find(|(host, _)| host == target) else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    };
    let mut server = TcpStream::connect(server).await?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let mut client = tls.accept(client).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
