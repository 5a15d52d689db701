//! The keys of the receiver, and the parts made from them.

use std::sync::Arc;

use http::Uri;
use schemars::JsonSchema;
use serde::Deserialize;
use steadyline_component::{Authenticator, CreateContext, Schedule};
use steadyline_config::{ByteSize, Diagnostic, Duration};
use steadyline_http::{Client, ClientOptions, ConfigProblem};
use steadyline_mapping::config::MappingConfig;
use steadyline_mapping::mapping::Plan;

use crate::locate::Place;

/// Gets a JSON document and turns its items into metrics.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The URL of the document.
    #[schemars(example = "https://api.example.com/queues")]
    pub endpoint: String,
    /// How it is asked for.
    pub method: Method,
    /// The body of a `post`.
    pub body: String,
    /// Where the items are in the document: names with dots, or a JSON pointer; empty: it is the document itself.
    pub items: String,
    /// Makes each entry of an object an item; this attribute is the entry's name.
    pub key_attribute: String,
    /// How the next page is found, if there are pages.
    pub pagination: Pagination,
    /// Asks only for what has changed (`ETag`, `Last-Modified`), and keeps the last document in memory.
    pub conditional: bool,
    /// From poll to poll.
    pub collection_interval: Duration,
    /// Before the first poll.
    pub initial_delay: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// The largest document, or page, that is read.
    pub max_body_bytes: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoint: String::new(),
            method: Method::Get,
            body: String::new(),
            items: String::new(),
            key_attribute: String::new(),
            pagination: Pagination::default(),
            conditional: false,
            collection_interval: Duration::from_secs(60),
            initial_delay: Duration::from_secs(1),
            request_timeout: Duration::from_secs(10),
            max_body_bytes: ByteSize::mib(8),
        }
    }
}

steadyline_http::with_client_keys! {
    /// How its server is asked. These keys stand behind those of the mapping.
    #[derive(Debug, Clone, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct ClientConfig {
        /// How long one poll may take, all pages together; 0: the interval.
        pub timeout: Duration = Duration::ZERO,
    }
}

/// How a document is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By GET.
    #[default]
    Get,
    /// By POST, with `body`.
    Post,
}

/// How the next page is found: by one of `next`, `cursor` and `link_header`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pagination {
    /// Where in the document the URL of the next page is.
    pub next: String,
    /// Where in the document the cursor of the next page is.
    pub cursor: String,
    /// The query parameter that takes the cursor.
    pub parameter: String,
    /// The header `Link` has the URL of the next page.
    pub link_header: bool,
    /// A pass with more pages fails.
    pub max_pages: u32,
}

impl Default for Pagination {
    fn default() -> Self {
        let none = String::new;
        Pagination { next: none(), cursor: none(), parameter: none(), link_header: false, max_pages: 100 }
    }
}

/// Where the next page's address comes from.
#[derive(Debug)]
pub(crate) enum Next {
    /// There is one page.
    None,
    /// A URL in the document.
    Url(Place),
    /// A cursor in the document, for this parameter.
    Cursor(Place, String),
    /// The header `Link`.
    Header,
}

/// What config is made into.
pub(crate) struct Parts {
    pub(crate) plan: Plan,
    pub(crate) client: Client,
    pub(crate) url: Uri,
    pub(crate) auth: Option<Arc<dyn Authenticator>>,
    pub(crate) items: Place,
    pub(crate) next: Next,
}

impl Config {
    pub(crate) fn schedule(&self, client: &ClientConfig) -> Schedule {
        Schedule {
            interval: self.collection_interval.get(),
            initial_delay: self.initial_delay.get(),
            timeout: client.timeout.get(),
        }
    }

    /// The parts; `None` after having reported everything that is wrong.
    pub(crate) fn check(
        &self,
        mapping: &MappingConfig,
        client: &ClientConfig,
        context: &mut CreateContext<'_>,
    ) -> Option<Parts> {
        let mut problems = self.problems();
        if client.timeout > self.collection_interval {
            problems.push(ConfigProblem::new("timeout", "expected at most `collection_interval`"));
        }
        if mapping.max_label_bytes == 0 {
            problems.push(ConfigProblem::new("max_label_bytes", "expected at least 1"));
        }
        let url = self.url().map_err(|message| problems.push(ConfigProblem::new("endpoint", message))).ok();
        let options = ClientOptions { timeout: self.request_timeout.get(), ..client.client_options() };
        let built = Client::build(&options, context.clock).map_err(|wrong| problems.extend(wrong)).ok();
        let mut place = |key: &str, text: &str| {
            Place::parse(text).map_err(|message| problems.push(ConfigProblem::new(key, message))).ok()
        };
        let items = place("items", &self.items);
        let pages = &self.pagination;
        let next = match (pages.next.as_str(), pages.cursor.as_str()) {
            ("", "") if pages.link_header => Some(Next::Header),
            ("", "") => Some(Next::None),
            ("", cursor) => place("pagination.cursor", cursor).map(|at| Next::Cursor(at, pages.parameter.clone())),
            (next, _) => place("pagination.next", next).map(Next::Url),
        };
        let is_good = problems.is_empty();
        ConfigProblem::report(problems, context);
        let plan = Plan::compile(mapping).map_err(|errors| {
            for error in errors {
                let diagnostic = Diagnostic::error("invalid-mapping", error.message);
                context.report(&error.path, error.help.into_iter().fold(diagnostic, Diagnostic::with_help));
            }
        });
        let auth = match &client.auth {
            Some(auth) => {
                Some(self.authenticator(context.authenticator("auth.authenticator", &auth.authenticator)?, context)?)
            }
            None => None,
        };
        let plan = plan.ok().filter(|_| is_good)?;
        Some(Parts { plan, client: built?, url: url?, auth, items: items?, next: next? })
    }

    fn authenticator(
        &self,
        auth: Arc<dyn Authenticator>,
        context: &mut CreateContext<'_>,
    ) -> Option<Arc<dyn Authenticator>> {
        let url = self.url().ok()?;
        auth.validate(&url).map_err(|message| context.error("auth.authenticator", message)).ok()?;
        Some(auth)
    }

    fn url(&self) -> Result<Uri, String> {
        if self.endpoint.is_empty() {
            return Err("it must be set: the URL of the document".into());
        }
        let url: Uri = self.endpoint.parse().map_err(|error| format!("it is no URL: {error}"))?;
        match (url.scheme_str(), url.authority()) {
            (Some("http" | "https"), Some(authority)) if !authority.as_str().contains('@') => Ok(url),
            (Some("http" | "https"), Some(_)) => Err("credentials do not belong into a URL; use `auth`".into()),
            _ => Err("expected a URL that begins with http:// or https://".into()),
        }
    }

    fn problems(&self) -> Vec<ConfigProblem> {
        let pages = &self.pagination;
        let ways =
            [!pages.next.is_empty(), !pages.cursor.is_empty(), pages.link_header].iter().filter(|is| **is).count();
        let rules = [
            (self.collection_interval < Duration::from_secs(1), "collection_interval", "expected at least 1s"),
            (self.request_timeout.is_zero(), "request_timeout", "expected more than 0"),
            (self.max_body_bytes.bytes() == 0, "max_body_bytes", "expected more than 0"),
            (self.max_body_bytes > ByteSize::mib(256), "max_body_bytes", "expected at most 256MiB; use pages"),
            (self.method == Method::Get && !self.body.is_empty(), "body", "only `method: post` sends one"),
            (ways > 1, "pagination", "expected one of `next`, `cursor`, `link_header`"),
            (
                pages.cursor.is_empty() != pages.parameter.is_empty(),
                "pagination.parameter",
                "`cursor` and `parameter` go together",
            ),
            (pages.max_pages == 0, "pagination.max_pages", "expected at least 1"),
            (self.conditional && ways > 0, "conditional", "it works for a document without pages only"),
            (
                self.conditional && self.method == Method::Post,
                "conditional",
                "only what is asked for by GET can be unchanged",
            ),
        ];
        let wrong = rules.into_iter().filter(|(is_wrong, ..)| *is_wrong);
        wrong.map(|(_, path, message)| ConfigProblem::new(path, message)).collect()
    }
}
