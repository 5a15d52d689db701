//! A server that answers with what a test tells it, and keeps what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// As it stood in the request line: a proxy sees the whole URL.
    pub(crate) target: String,
    pub(crate) authorization: String,
    pub(crate) body: String,
}

/// What to answer.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status and a body.
    Body(u16, String),
    /// A status and a body from a clock that shows so many seconds more than ours.
    From(i64, u16, String),
    /// What EC2's metadata service says to this path.
    Metadata,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers request number `n` (from 0) with `reply(n)`.
    pub(crate) async fn start(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let (asked, reply) = (Arc::clone(&server.asked), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, reply) = (Arc::clone(&asked), Arc::clone(&reply));
                let service = service_fn(move |request| answer(request, Arc::clone(&asked), Arc::clone(&reply)));
                // A client that goes away ends its connection with an error; nothing hangs on it.
                tokio::spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(
    request: hyper::Request<hyper::body::Incoming>,
    asked: Arc<Mutex<Vec<Asked>>>,
    reply: Arc<impl Fn(usize) -> Reply>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let authorization = head.headers.get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned();
    let body = body.collect().await.unwrap().to_bytes();
    let number = {
        let mut asked = asked.lock().unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        asked.push(Asked { target: head.uri.to_string(), authorization, body });
        asked.len() - 1
    };
    match reply(number) {
        Reply::Body(status, body) => Ok(response(status, body)),
        Reply::From(seconds, status, body) => {
            let now = std::time::SystemTime::now();
            let by = std::time::Duration::from_secs(seconds.unsigned_abs());
            let theirs = if seconds < 0 { now - by } else { now + by };
            let mut response = response(status, body);
            response.headers_mut().insert("date", httpdate::fmt_http_date(theirs).parse().unwrap());
            Ok(response)
        }
        Reply::Metadata => Ok(metadata(head.uri.path())),
    }
}

fn response(status: u16, body: impl Into<Bytes>) -> hyper::Response<Full<Bytes>> {
    let response = hyper::Response::builder().status(status).header("x-amzn-requestid", "req-1");
    response.body(Full::new(body.into())).unwrap()
}

fn metadata(path: &str) -> hyper::Response<Full<Bytes>> {
    let credentials = r#"{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"NODEKEY","SecretAccessKey":"x","Token":"t",
        "LastUpdated":"2020-01-01T00:00:00Z","Expiration":"2999-01-01T00:00:00Z","AccountId":"123456789012"}"#;
    match path {
        "/latest/api/token" => {
            let mut token = response(200, "session");
            token.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", 21600.into());
            token
        }
        "/latest/meta-data/placement/region" => response(200, "ap-south-1"),
        path if path.ends_with("/node-role") => response(200, credentials),
        path if path.contains("/security-credentials") => response(200, "node-role"),
        _ => response(404, ""),
    }
}

/// STS' answer to AssumeRole.
pub(crate) fn session(id: &str) -> Reply {
    Reply::Body(
        200,
        format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
             <AccessKeyId>{id}</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey>\
             <SessionToken>role-token</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>\
             </AssumeRoleResult></AssumeRoleResponse>"
        ),
    )
}

/// STS' answer to GetCallerIdentity.
pub(crate) fn identity(arn: &str) -> Reply {
    Reply::Body(
        200,
        format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
             <Arn>{arn}</Arn><UserId>AID</UserId><Account>123456789012</Account></GetCallerIdentityResult>\
             </GetCallerIdentityResponse>"
        ),
    )
}

/// An error as STS sends it.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::Body(
        status,
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>req-1</RequestId></ErrorResponse>"
        ),
    )
}
