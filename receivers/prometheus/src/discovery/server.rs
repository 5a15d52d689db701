//! Targets that an HTTP server lists.

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::{Context, Found, Groups, group_targets};
use crate::http::{HttpClient, shown};

/// An answer with more is refused.
const MAX_BYTES: usize = 64 << 20;

/// Asks one server.
#[derive(Debug)]
pub(crate) struct ServerProvider {
    client: HttpClient,
    url: Uri,
    refresh: Duration,
}

impl ServerProvider {
    /// A provider that has asked nothing yet.
    pub(crate) fn new(client: HttpClient, url: Uri, refresh: Duration) -> Self {
        ServerProvider { client, url, refresh: refresh.max(Duration::from_millis(1)) }
    }

    pub(super) async fn run(self, context: Context) {
        let mut last: Option<Vec<Found>> = None;
        loop {
            let now = context.clock.now().mono;
            let answer = context.clock.timeout(self.refresh, self.ask()).await;
            let answer = answer.unwrap_or_else(|| Err(format!("no answer within {:?}", self.refresh)));
            match answer {
                Ok(found) if last.as_ref() != Some(&found) => {
                    last = Some(found.clone());
                    context.tell(found);
                }
                Ok(_) => {}
                Err(error) => {
                    context.failures.add(1.0);
                    let url = shown(&self.url);
                    tracing::warn!(url, error, "targets could not be listed; those known before stay");
                }
            }
            context.clock.sleep_until(now + self.refresh).await;
        }
    }

    async fn ask(&self) -> Result<Vec<Found>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let seconds = self.refresh.as_secs_f64().to_string();
        let interval = HeaderName::from_static("x-prometheus-refresh-interval-seconds");
        headers.insert(interval, HeaderValue::try_from(seconds).map_err(|error| error.to_string())?);
        let fetched = self.client.get(&self.url, &headers, MAX_BYTES, None).await.map_err(|error| error.to_string())?;
        let kind = fetched.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let kind = String::from_utf8_lossy(kind).into_owned();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(format!("expected the content type `application/json`, found `{kind}`"));
        }
        let groups: Groups = serde_json::from_slice(&fetched.body).map_err(|error| error.to_string())?;
        let url = self.url.to_string();
        Ok(groups.into_groups().flat_map(|group| group_targets(&group, &[("__meta_url", &url)])).collect())
    }
}
