//! `health`: asks a running process whether it is ready. For containers that have no curl.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args as ClapArgs;

use super::{Failure, data};

/// Arguments of `health`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Where the `health_check` extension listens.
    #[arg(long, default_value = "localhost:13133", value_name = "HOST:PORT")]
    endpoint: String,
    /// What to ask for: `/` is readiness, `/live` liveness.
    #[arg(long, default_value = "/")]
    path: String,
    /// How long the answer may take, in seconds.
    #[arg(long, default_value_t = 3)]
    timeout: u64,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let answer = ask(args).with_context(|| format!("no answer from {}{}", args.endpoint, args.path))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).unwrap_or("none");
    if status != "200" {
        return Err(anyhow::anyhow!("not ready (status {status}): {}", body.trim()).into());
    }
    data(&format!("{}\n", body.trim()))
}

fn ask(args: &Args) -> anyhow::Result<String> {
    let timeout = Duration::from_secs(args.timeout.max(1));
    let mut last = None;
    for address in args.endpoint.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return exchange(stream, args, timeout),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(error.into()),
        None => bail!("the name has no address"),
    }
}

fn exchange(mut stream: TcpStream, args: &Args, timeout: Duration) -> anyhow::Result<String> {
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(stream, "GET {} HTTP/1.0\r\nHost: {}\r\n\r\n", args.path, args.endpoint)?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
