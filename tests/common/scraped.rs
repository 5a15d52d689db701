//! A target that we and somebody else scrape at the same time, and the pages on which both must agree.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};

use super::server::{Reply, Server};

/// The content type of Prometheus' text format.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A counter whose help and labels need every escape.
pub const ESCAPES: &str = r#"# HELP plain a counter with \\ and \n in its help
# TYPE plain counter
plain{path="C:\\x",quote="\"",line="a\nb",empty="",z="1",A="2"} 1027
"#;

/// A gauge with values that are no ordinary numbers.
pub const LEVELS: &str = r#"# TYPE level gauge
level{kind="nan"} NaN
level{kind="inf"} +Inf
level{kind="minus"} -Inf
level{kind="large"} 1.7976931348623157e308
"#;

/// A histogram, a summary, and a series without a type whose labels are those of the scrape.
pub const FAMILIES: &str = r#"# TYPE took_seconds histogram
took_seconds_bucket{route="/",le="0.5"} 24
took_seconds_bucket{route="/",le="1"} 33
took_seconds_bucket{route="/",le="+Inf"} 144
took_seconds_sum{route="/"} 53.25
took_seconds_count{route="/"} 144
# TYPE wait_seconds summary
wait_seconds{quantile="0.5"} 4.5
wait_seconds{quantile="0.99"} NaN
wait_seconds_sum 17
wait_seconds_count 2
untyped_thing{job="mine",instance="theirs",exported_job="both"} 7
"#;

/// A target of which a part is gone when it is told.
pub struct Target {
    server: Server,
    gone: Arc<AtomicBool>,
}

impl Target {
    /// Serves `leaves` and after it `page` as one document of a type of content.
    pub async fn start(kind: &'static str, leaves: &[u8], page: &[u8]) -> Target {
        let gone = Arc::new(AtomicBool::new(false));
        let (whole, rest) = (Bytes::from([leaves, page].concat()), Bytes::copy_from_slice(page));
        let is_gone = Arc::clone(&gone);
        let server = Server::start(move |_| {
            let mut response = Response::new(if is_gone.load(Ordering::SeqCst) { rest.clone() } else { whole.clone() });
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            async move { Reply::Answer(response) }
        })
        .await;
        Target { server, gone }
    }

    /// Where it is scraped.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// What leaves is gone from now on.
    pub fn leave(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}
