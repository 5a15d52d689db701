//! The `headers_setter` extension: sets, changes and removes headers of outgoing requests.
//!
//! ```yaml
//! extensions:
//!   headers_setter:
//!     headers:
//!       - {key: X-Scope-OrgID, value: "${env:TENANT:-}", default_value: shared}
//!       - {action: delete, key: User-Agent}
//! exporters:
//!   otlphttp: {endpoint: "https://host", auth: {authenticator: headers_setter}}
//! ```
//!
//! * Actions run in order. Headers that a protocol prescribes (`Content-Type` and the like) stay as they are.
//! * With `additional_auth` another authenticator goes over the request after that: a signature covers these headers.
//! * Values are fixed. Batches of several senders share a request here, so there is no sender's context to take them from.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::factory::Component;
use steadyline_component::{
    AuthError, Authenticator, CreateContext, Extension, Factory, Payload, Spec, Stability, async_trait,
};
use steadyline_config::{ComponentId, Secret};

/// The factory.
pub const FACTORY: Factory = Factory::extension::<HeadersSetterFactory>();

/// Sets headers on outgoing requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is done to the headers, in order.
    pub headers: Vec<HeaderConfig>,
    /// The id of another authenticator, which goes over the request afterwards.
    pub additional_auth: Option<ComponentId>,
}

/// One action on one header.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderConfig {
    /// What is done.
    pub action: Action,
    /// The header's name.
    pub key: String,
    /// The header's value.
    pub value: Secret,
    /// The value if `value` is empty, as when it comes from a variable that is not set.
    pub default_value: Secret,
    /// Not supported: values are fixed.
    pub from_context: Option<String>,
    /// Not supported: values are fixed.
    pub from_attribute: Option<String>,
}

/// What is done to a header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Sets it if it is not there.
    Insert,
    /// Sets it if it is there.
    Update,
    /// Sets it.
    #[default]
    Upsert,
    /// Removes it.
    Delete,
}

/// Headers that say how a message is transferred; changing them breaks it.
const TRANSFER: [&str; 4] = ["content-length", "transfer-encoding", "connection", "host"];

/// Makes `headers_setter` extensions.
#[derive(Debug)]
pub struct HeadersSetterFactory;

impl Component for HeadersSetterFactory {
    type Config = Config;
    type Made = Arc<dyn Extension>;
    const SPEC: Spec = Spec {
        name: "headers_setter",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[],
        summary: "Sets, changes and removes headers of outgoing requests.",
        unsupported: &[],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        if config.headers.is_empty() {
            context.error("headers", "must be set: a list such as `[{key: X-Scope-OrgID, value: team}]`");
            return None;
        }
        let count = config.headers.len();
        let checked = config.headers.into_iter().enumerate().filter_map(|(row, header)| step(row, header, context));
        let steps: Vec<Step> = checked.collect();
        let next = match &config.additional_auth {
            Some(id) => Some(context.authenticator("additional_auth", id)?),
            None => None,
        };
        (steps.len() == count).then(|| Arc::new(HeadersSetter { steps, next }) as Arc<dyn Extension>)
    }
}

/// The action as it is carried out; `None` after having reported what is wrong.
fn step(row: usize, header: HeaderConfig, context: &mut CreateContext<'_>) -> Option<Step> {
    let at = |key: &str| format!("headers[{row}].{key}");
    for (key, value) in [("from_context", &header.from_context), ("from_attribute", &header.from_attribute)] {
        if value.is_some() {
            let message = "requests are made of batches of several senders, so there is no one context to take it from; \
                           use `value`";
            context.error(&at(key), message);
            return None;
        }
    }
    let Ok(name) = HeaderName::try_from(header.key.as_str()) else {
        context.error(&at("key"), format!("`{}` is not a name that a header can have", header.key));
        return None;
    };
    if TRANSFER.contains(&name.as_str()) {
        context.error(&at("key"), format!("`{name}` says how the message is transferred and cannot be set"));
        return None;
    }
    let given = if header.value.is_empty() { &header.default_value } else { &header.value };
    if header.action == Action::Delete {
        if !given.is_empty() {
            context.error(&at("value"), "a header that is deleted has no value; remove it");
            return None;
        }
        return Some(Step { action: header.action, name, value: HeaderValue::from_static("") });
    }
    if given.is_empty() {
        context.error(&at("value"), "must be set, or `default_value`");
        return None;
    }
    let Ok(mut value) = HeaderValue::from_str(given.expose()) else {
        context.error(&at("value"), "it holds characters that a header cannot (line ends, controls)");
        return None;
    };
    value.set_sensitive(true);
    Some(Step { action: header.action, name, value })
}

/// The extension.
pub struct HeadersSetter {
    steps: Vec<Step>,
    next: Option<Arc<dyn Authenticator>>,
}

struct Step {
    action: Action,
    name: HeaderName,
    value: HeaderValue,
}

impl Step {
    fn apply(&self, headers: &mut HeaderMap) {
        let is_there = headers.contains_key(&self.name);
        match (self.action, is_there) {
            (Action::Insert, true) | (Action::Update, false) => {}
            (Action::Delete, _) => drop(headers.remove(&self.name)),
            (Action::Insert | Action::Update | Action::Upsert, _) => {
                headers.insert(self.name.clone(), self.value.clone());
            }
        }
    }
}

#[async_trait]
impl Extension for HeadersSetter {
    fn as_authenticator(self: Arc<Self>) -> Option<Arc<dyn Authenticator>> {
        Some(self)
    }
}

#[async_trait]
impl Authenticator for HeadersSetter {
    async fn authenticate(&self, head: &mut http::request::Parts, payload: &Payload) -> Result<(), AuthError> {
        self.steps.iter().for_each(|step| step.apply(&mut head.headers));
        match &self.next {
            Some(next) => next.authenticate(head, payload).await,
            None => Ok(()),
        }
    }

    fn observe(&self, head: &http::response::Parts) {
        if let Some(next) = &self.next {
            next.observe(head);
        }
    }

    fn validate(&self, url: &http::Uri) -> Result<(), String> {
        self.next.as_ref().map_or(Ok(()), |next| next.validate(url))
    }
}
