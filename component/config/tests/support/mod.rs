//! What the tests of this crate share: a config type with one of everything, and short ways to load and decode.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use steadyline_config::{
    ByteSize, ComponentId, Diagnostics, Duration, Node, Secret, Source, Tree, Unsupported, decode_with, load,
};

/// One of everything that a component's config may hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Everything {
    pub endpoint: String,
    pub name: String,
    #[serde(default)]
    pub interval: Duration,
    #[serde(default)]
    pub limit: ByteSize,
    #[serde(default = "default_workers")]
    pub workers: u16,
    #[serde(default)]
    pub ratio: f64,
    #[serde(default)]
    pub enabled: bool,
    #[serde(default)]
    pub verbosity: Verbosity,
    #[serde(default)]
    pub value: Option<Value>,
    #[serde(default)]
    pub password: Secret,
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    #[serde(default)]
    pub tls: Option<Tls>,
    #[serde(default)]
    pub auth: Option<ComponentId>,
    #[serde(default)]
    pub keep: Vec<String>,
    #[serde(default)]
    pub rules: Vec<Rule>,
    #[serde(default)]
    pub counts: BTreeMap<u32, i64>,
}

fn default_workers() -> u16 {
    4
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    pub insecure: bool,
    pub ca_file: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub from: String,
    pub to: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verbosity {
    #[default]
    Basic,
    Detailed,
    Changes,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    Size(String),
    Constant(f64),
    Path { of: Vec<String> },
    Present,
}

/// Keys that the type does not have, on purpose.
pub const UNSUPPORTED: Unsupported<'_> =
    Unsupported(&[("wal", "use sending_queue with a storage extension"), ("**.tpm", "keys in a TPM cannot be used")]);

/// An environment that holds what the tests refer to, and nothing of this process.
pub fn environment(name: &str) -> Option<String> {
    let value = match name {
        "PORT" => "8080",
        "ZEROS" => "0123",
        "EXPONENT" => "1e5",
        "LIST" => "[a, b]",
        "MAP" => "{insecure: true}",
        "INJECTION" => "x\nadmin: true",
        "EMPTY" => "",
        "NAME" => "PORT",
        "INDIRECT" => "${env:PORT}",
        "LOOP" => "a${env:LOOP}",
        "BOMB" => "${env:BOMB}${env:BOMB}",
        "TOKEN" => "hunter2-do-not-show",
        "USER_PASSWORD" => "{hunter2: hunter2-too}",
        "DOLLARS" => "pa$$word$1",
        "CONFIG" => "exporters: {debug: }",
        _ => return None,
    };
    Some(value.to_owned())
}

/// Loads one text as the file `config.yaml`.
pub fn load_text(text: &str) -> (Option<Tree>, Diagnostics) {
    load(&[Source::inline("config.yaml", text)], &[], &environment)
}

/// Loads a text that must be right.
pub fn tree(text: &str) -> Tree {
    let (tree, diags) = load_text(text);
    tree.unwrap_or_else(|| panic!("{}", diags.to_text(false)))
}

/// The key `it` of a text, decoded as [`Everything`], and all that was found.
pub fn everything(text: &str) -> (Option<Everything>, Diagnostics) {
    let (tree, mut diags) = load_text(text);
    let value = tree.and_then(|tree| {
        let node: &Node = tree.root.get("it").unwrap();
        decode_with(node, "it", &UNSUPPORTED, &mut diags)
    });
    (value, diags)
}
