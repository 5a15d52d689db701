//! `schema`: the JSON Schema of the whole config, from the same types that read it.

use steadyline_engine::Registry;

use super::{Failure, data};

pub(super) fn run(registry: &Registry) -> Result<(), Failure> {
    let schema = crate::reference::schema(registry);
    data(&(serde_json::to_string_pretty(&schema)? + "\n"))
}
