//! From the tree to types: every error of a value in one pass, each with its path, place, expectation and suggestion.
//!
//! Serde stops at the first error. So the value is decoded again and again: what failed is noted and left out, a field
//! that is missing is made up, until the type is satisfied. A value is handed out only if nothing was made up.

mod access;
mod context;
mod error;
mod flat;
mod node;
mod wild;

use serde::de::DeserializeOwned;

use crate::diagnostic::Diagnostics;
use crate::node::Node;
use crate::source::Environment;
use context::{Context, Path};
use error::Target;
use node::De;

pub(crate) const SECRET: &str = "$steadyline::Secret";
pub(crate) const DURATION: &str = "$steadyline::Duration";
pub(crate) const BYTE_SIZE: &str = "$steadyline::ByteSize";
pub(crate) const COMPONENT_ID: &str = "$steadyline::ComponentId";
/// As `flat.rs` spells it, too.
const FLAT: &str = "$steadyline::Flat";

/// More errors than this in one value help nobody.
const MAX_ERRORS: usize = 200;

/// Keys that the Collector has and this component has not, each with what to do instead: `("wal", "use sending_queue")`.
/// A key is a path relative to the decoded value, such as `tls.tpm`; `**.tpm` means that key at any depth.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unsupported<'a>(pub &'a [(&'a str, &'a str)]);

/// Decodes a node that stands at `path` of the config. Reports all that is wrong with it.
///
/// Gives a value even if a key was unknown (which is reported), so that later checks can go on: ask
/// [`Diagnostics::has_errors`] before anything is started. Gives none if any value was wrong or missing.
///
/// `null` is an empty body: a struct takes all its defaults, a field keeps its own, an `Option` is `None`. Where
/// `grpc:` alone should mean "with defaults", the field must be told apart from absent by a `Deserialize` of its own.
pub fn decode<T: DeserializeOwned>(node: &Node, path: &str, diags: &mut Diagnostics) -> Option<T> {
    decode_with(node, path, &Unsupported::default(), diags)
}

/// As [`decode`], with better words for keys that are known to be missing.
pub fn decode_with<T: DeserializeOwned>(
    node: &Node,
    path: &str,
    unsupported: &Unsupported<'_>,
    diags: &mut Diagnostics,
) -> Option<T> {
    let context = Context::new(unsupported);
    let value = attempt(node, path, &context);
    context.finish(path, diags);
    value
}

/// Decodes a text by itself, as the tests of a component do; an empty text is an empty body. It must be wholly right:
/// an unknown key is an error here, too.
///
/// # Errors
/// All that is wrong with it; the text goes by the name `config`.
pub fn decode_text<T: DeserializeOwned>(text: &str, env: &dyn Environment) -> Result<T, Box<Diagnostics>> {
    let (node, mut diags) = crate::load::load_text(text, env);
    let value = node.and_then(|node| decode(&node, "", &mut diags));
    value.filter(|_| !diags.has_errors()).ok_or_else(|| Box::new(diags))
}

fn attempt<T: DeserializeOwned>(node: &Node, path: &str, context: &Context<'_>) -> Option<T> {
    let mut is_whole = true;
    for _ in 0..MAX_ERRORS {
        let failure = match T::deserialize(De::root(node, &Path::Root(path), context)) {
            Ok(value) => return is_whole.then_some(value),
            Err(error) => error.into_failure(),
        };
        is_whole &= failure.is_null_field();
        let at = failure.at?;
        let progress = match at.target {
            Target::Value(address) => context.omit(address) && address != De::address(node),
            Target::Missing { map, field } => context.make_up(map, field),
        };
        if let Some(diagnostic) = at.diagnostic {
            context.report(diagnostic);
        }
        if !progress {
            return None;
        }
    }
    None
}
