//! Structs of keys that stand in one map: what several components can be told alike is one struct, and each of them puts
//! its own keys beside it.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

/// Two config structs in one map, without a key of their own around either: as `#[serde(flatten)]`, but with every error in
/// its place and unknown keys refused. Both are structs with `#[serde(default, deny_unknown_fields)]`, or `Flat` again, and
/// have no key in common.
///
/// Reads as the first of them. It can be had from a config only, by [`crate::decode`]: other formats know of no such thing.
///
/// ```
/// use steadyline_config::{Flat, decode_text};
///
/// #[derive(Debug, Default, serde::Deserialize)]
/// #[serde(default, deny_unknown_fields)]
/// struct Own {
///     table: String,
/// }
///
/// #[derive(Debug, Default, serde::Deserialize)]
/// #[serde(default, deny_unknown_fields)]
/// struct Access {
///     region: String,
/// }
///
/// let both: Flat<Own, Access> = decode_text("{table: t, region: us-east-1}", &|_: &str| None).expect("it is right");
/// assert_eq!((both.table.as_str(), both.shared.region.as_str()), ("t", "us-east-1"));
///
/// let wrong = decode_text::<Flat<Own, Access>>("{table: t, regoin: us-east-1}", &|_: &str| None).expect_err("it is not");
/// assert!(wrong.to_text(false).contains("did you mean `region`?"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "Parts<A, B>")]
pub struct Flat<A, B> {
    /// What the component alone has.
    pub own: A,
    /// What it shares with others.
    pub shared: B,
}

/// How [`crate::decode`] knows it.
#[derive(Deserialize)]
#[serde(rename = "$steadyline::Flat")]
struct Parts<A, B>(A, B);

impl<A, B> From<Parts<A, B>> for Flat<A, B> {
    fn from(Parts(own, shared): Parts<A, B>) -> Self {
        Flat { own, shared }
    }
}

impl<A, B> Deref for Flat<A, B> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.own
    }
}

impl<A, B> DerefMut for Flat<A, B> {
    fn deref_mut(&mut self) -> &mut A {
        &mut self.own
    }
}

impl<A: JsonSchema, B: JsonSchema> JsonSchema for Flat<A, B> {
    fn schema_name() -> Cow<'static, str> {
        A::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("{}+{}", A::schema_id(), B::schema_id()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = A::json_schema(generator);
        let shared = B::json_schema(generator);
        let object = schema.ensure_object();
        for (keyword, value) in shared.as_object().into_iter().flatten() {
            match (object.get_mut(keyword), value) {
                (Some(serde_json::Value::Object(own)), serde_json::Value::Object(more)) => own.extend(more.clone()),
                (Some(serde_json::Value::Array(own)), serde_json::Value::Array(more)) => own.extend(more.clone()),
                (Some(_), _) => {}
                (None, _) => drop(object.insert(keyword.clone(), value.clone())),
            }
        }
        schema
    }
}
