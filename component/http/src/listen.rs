//! Listening: `host:port`, every interface, or a unix socket whose file comes and goes with the listener.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::StartError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// Over what a server is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP; the endpoint is `host:port`.
    #[default]
    Tcp,
    /// A unix socket; the endpoint is the path of its file.
    Unix,
}

/// A bound listener.
#[derive(Debug)]
pub enum Listener {
    /// On a port.
    Tcp(TcpListener),
    /// On a file.
    Unix(UnixSocket),
}

/// A unix socket that removes its file when it is dropped.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: (u64, u64),
}

/// The bytes of a connection, whatever it runs over.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

impl Listener {
    /// Binds an endpoint.
    ///
    /// # Errors
    /// The endpoint does not read or resolve, or somebody else listens there.
    pub async fn bind(transport: Transport, endpoint: &str) -> Result<Listener, StartError> {
        let bound = match transport {
            Transport::Tcp => bind_tcp(endpoint).await.map(Listener::Tcp),
            Transport::Unix => UnixSocket::bind(endpoint).await.map(Listener::Unix),
        };
        bound.map_err(|error| StartError(format!("cannot listen on `{endpoint}`: {error}")))
    }

    /// Where it listens: `127.0.0.1:4317`, with the port that was found for port 0, or the path of the socket.
    pub fn address(&self) -> String {
        match self {
            Listener::Tcp(listener) => listener.local_addr().map_or_else(|_| "?".into(), |address| address.to_string()),
            Listener::Unix(socket) => socket.path.display().to_string(),
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the system says; worth another try after a while.
    pub async fn accept(&self) -> io::Result<Box<dyn Wire>> {
        Ok(match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Without it small answers wait for acknowledgements; a socket that refuses still works.
                let _ = stream.set_nodelay(true);
                Box::new(stream)
            }
            Listener::Unix(socket) => Box::new(socket.listener.accept().await?.0),
        })
    }
}

async fn bind_tcp(endpoint: &str) -> io::Result<TcpListener> {
    if let Some(port) = endpoint.strip_prefix(':') {
        let port = port.parse().map_err(|_| io::Error::other("expected `host:port`"))?;
        // Both families where the system has IPv6, else IPv4 alone.
        return match TcpListener::bind((IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind(("0.0.0.0", port)).await,
        };
    }
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host(endpoint).await?.collect();
    // `localhost` is two addresses; probes that say 127.0.0.1 must find the first.
    addresses.sort_by_key(|address| !address.is_ipv4());
    TcpListener::bind(addresses.as_slice()).await
}

impl UnixSocket {
    async fn bind(endpoint: &str) -> io::Result<UnixSocket> {
        let path = PathBuf::from(endpoint.strip_prefix("unix://").unwrap_or(endpoint));
        remove_stale(&path)?;
        let listener = UnixListener::bind(&path)?;
        let inode = inode(&path)?;
        Ok(UnixSocket { listener, path, inode })
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Somebody else may have put a socket of theirs into its place.
        if inode(&self.path).is_ok_and(|now| now == self.inode) {
            // A file that cannot be removed is found stale at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Removes a socket at which nobody listens any more. Anything else that is there stays there.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::other("there is a file of that name, and it is no socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::other("somebody else listens there")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_file_comes_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("otlp.sock");
        let text = path.display().to_string();
        let first = Listener::bind(Transport::Unix, &format!("unix://{text}")).await.unwrap();
        assert_eq!(first.address(), text);
        let error = Listener::bind(Transport::Unix, &text).await.unwrap_err().to_string();
        assert!(error.contains("somebody else listens there"), "{error}");
        drop(first);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_crash_left_is_removed_and_what_others_put_there_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("otlp.sock");
        let text = path.display().to_string();
        // A standard listener leaves its file behind, as a crash does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = Listener::bind(Transport::Unix, &text).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "theirs").unwrap();
        drop(listener);
        assert!(path.exists());
        let error = Listener::bind(Transport::Unix, &text).await.unwrap_err().to_string();
        assert!(error.contains("it is no socket"), "{error}");
    }
}
