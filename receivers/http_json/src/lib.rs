//! The receiver `http_json`: gets a JSON document on a cadence and makes metrics of its items, in the mapping language of
//! the `dynamodb` receiver.
//!
//! ```yaml
//! receivers:
//!   http_json/queues:
//!     endpoint: https://queues.example.com/api/queues?size=500
//!     auth: {authenticator: bearertokenauth}
//!     items: data.queues
//!     pagination: {next: links.next}
//!     identity: {queue: name}
//!     metrics:
//!       - {name: queue.depth, value: {attribute: depth}, unit: "{message}"}
//!       - {name: queue.age, value: now() - date(oldest), unit: s}
//! extensions:
//!   bearertokenauth: {token: "${env:QUEUES_TOKEN}"}
//! exporters:
//!   debug: {}
//! service:
//!   extensions: [bearertokenauth]
//!   pipelines:
//!     metrics: {receivers: [http_json/queues], exporters: [debug]}
//! ```
//!
//! **Items**: `items` says where they are in the document, as names with dots (`data.queues`) or as a JSON pointer
//! (`/data/queues`); empty, it is the document itself. A list is one item an element; an object is one item, or with
//! `key_attribute` one item an entry, whose name becomes that attribute. An element that is no object is an item with the one
//! attribute `value`.
//!
//! **Pages**: `pagination` has one of `next` (where in the document the URL of the next page is, absolute or relative),
//! `cursor` with `parameter` (where the next cursor is, and the query parameter that takes it) and `link_header`
//! (`Link: <url>; rel="next"`). The last page has none of it, null or the empty text. Pages of another host are not asked
//! for: they would get the credentials of this one. A page that was there before, and one above `max_pages`, fail the pass.
//!
//! **Bounds**: `request_timeout` a request, `timeout` a pass, `max_body_bytes` a page. Redirects are not followed. With
//! `conditional` a document that has not changed (`ETag`, `Last-Modified`) need not be sent again: the last one is kept in
//! memory and read anew, so that its series stay confirmed. That works without pages only.
//!
//! **A pass** is complete if every page was read. What its items are worth is told as by `dynamodb`; counted are
//! `http_json_items`, `http_json_skipped` and `http_json_poll_errors` by reason, `http_json_pages`, `http_json_not_modified`.
//!
//! | file | what it holds |
//! |---|---|
//! | `config` | the keys and their checks |
//! | `fetch` | one request, one document |
//! | `locate` | where items, links and cursors are |
//! | `link` | the next page's URL |
//! | `poller`, `report` | a pass; what is told of it |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod fetch;
mod link;
mod locate;
mod poller;
mod report;
#[cfg(test)]
mod tests;

use steadyline_component::config::Flat;
use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Factory, Polling, Spec, Stability};
use steadyline_mapping::config::MappingConfig;

pub use config::{ClientConfig, Config};

/// The factory.
pub const FACTORY: Factory = Factory::poller::<HttpJsonFactory>();

/// Makes `http_json` receivers.
#[derive(Debug)]
pub struct HttpJsonFactory;

impl Component for HttpJsonFactory {
    type Config = Flat<Flat<Config, MappingConfig>, ClientConfig>;
    type Made = Polling;
    const SPEC: Spec = Spec {
        name: "http_json",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics],
        summary: "Gets a JSON document on a cadence and turns its items into metrics.",
        unsupported: &[],
    };

    fn create(config: Self::Config, context: &mut CreateContext<'_>) -> Option<Polling> {
        let Flat { own: Flat { own: config, shared: mapping }, shared: client } = config;
        let parts = config.check(&mapping, &client, context)?;
        Some(Polling {
            schedule: config.schedule(&client),
            identity: parts.plan.identity().map(std::sync::Arc::from).collect(),
            poller: Box::new(poller::HttpJsonPoller::new(config, mapping.resource, parts, context)),
            leadership: None,
        })
    }
}
