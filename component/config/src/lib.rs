//! Config files: the spanned tree, expansion, merging, diagnostics, typed decoding.
//! Knows nothing of components: it turns sources into a tree, and parts of the tree into the types that others define.
//!
//! | to | use |
//! |---|---|
//! | read sources, merge, set, expand | [`load`], [`Source`], [`Environment`], giving a [`Tree`] |
//! | walk the tree | [`Node`], [`Kind`], [`Entry`], [`Key`], [`Place`] |
//! | turn a part of it into a type, all errors at once | [`decode`], [`decode_with`], [`Unsupported`], [`decode_text`] |
//! | report | [`Diagnostics`], [`Diagnostic`], [`suggest`], [`RULES`] |
//! | show what was resolved | [`to_yaml`], [`to_json`], [`Redact`] |
//! | give several types the same keys | [`Flat`] |
//! | values with a spelling of their own | [`Duration`], [`ByteSize`], [`Secret`], [`ComponentId`] |
//!
//! Rules for config types: plain structs with `deny_unknown_fields`, externally tagged or unit enums; never
//! `flatten` (there is [`Flat`]), `untagged` or an internal tag, because these lose the place of an error. A type that accepts two forms
//! writes its own `Deserialize` (by `deserialize_any`). Defaults come from `#[serde(default)]`: an empty body keeps all of them.
//!
//! ```
//! use steadyline_config::{Duration, Source, decode, load};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Exporter {
//!     endpoint: String,
//!     #[serde(default)]
//!     timeout: Duration,
//! }
//!
//! let text = "exporters: {otlp: {endpoint: \"${env:HOST}:4317\", timeut: 5s}}";
//! let env = |name: &str| (name == "HOST").then(|| "backend".to_owned());
//! let (tree, mut diags) = load(&[Source::inline("config.yaml", text)], &[], &env);
//! let tree = tree.expect("the text is YAML");
//!
//! let node = tree.root.at_path("exporters.otlp").expect("it is there");
//! let exporter: Option<Exporter> = decode(node, "exporters.otlp", &mut diags);
//! assert_eq!(exporter.map(|exporter| exporter.endpoint).as_deref(), Some("backend:4317"));
//!
//! let report = diags.to_text(false);
//! assert!(report.starts_with("error[unknown-key]: unknown key `timeut`"));
//! assert!(report.contains("--> config.yaml:1:50") && report.contains("did you mean `timeout`?"));
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod decode;
mod diagnostic;
mod expand;
mod flat;
mod load;
mod merge;
mod node;
mod parse;
mod path;
mod place;
mod render;
mod rules;
mod scalar;
mod source;
mod suggest;
mod types;
mod write;

pub use decode::{Unsupported, decode, decode_text, decode_with};
pub use diagnostic::{Diagnostic, Diagnostics, Note, SecretPaths, Severity};
pub use flat::Flat;
pub use load::{Tree, load};
pub use merge::merge;
pub use node::{Entry, Key, Kind, Node, Origin, Poison};
pub use parse::{MAX_ALIASES, MAX_DEPTH, MAX_NODES};
pub use path::{index as path_index, join as path_join};
pub use place::{Place, SourceId, SourceMap};
pub use rules::RULES;
pub use source::{Environment, MAX_FILE_BYTES, ProcessEnvironment, Source};
pub use suggest::suggest;
pub use types::{ByteSize, ComponentId, Duration, InvalidValue, Secret};
pub use write::{REDACTED, Redact, to_json, to_yaml};
