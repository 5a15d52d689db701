//! The reference: JSON Schema and one page a component, generated from the config types and nothing else.

use std::path::Path;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use steadyline_component::{Factory, Kind};
use steadyline_engine::Registry;
use steadyline_engine::config::{PipelineConfig, ServiceKeys};

const SECTIONS: [Kind; 5] = [Kind::Extension, Kind::Receiver, Kind::Processor, Kind::Exporter, Kind::Connector];

/// The JSON Schema of the whole config: one generator, so that all definitions stand once, at the root.
pub fn schema(registry: &Registry) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut properties = Map::new();
    for kind in SECTIONS {
        let mut patterns = Map::new();
        for factory in registry.of(kind) {
            let body = json!({"anyOf": [body_schema(factory, &mut generator), {"type": "null"}]});
            patterns.insert(id_pattern(factory), body);
        }
        let section = json!({"type": ["object", "null"], "patternProperties": patterns, "additionalProperties": false});
        properties.insert(kind.section().into(), section);
    }
    properties.insert("service".into(), service_schema(&mut generator));
    let definitions = generator.take_definitions(true);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Steadyline",
        "type": "object",
        "properties": properties,
        "required": ["service"],
        "additionalProperties": false,
        "$defs": definitions,
    })
}

fn body_schema(factory: &Factory, generator: &mut SchemaGenerator) -> Value {
    (factory.schema)(generator).to_value()
}

fn id_pattern(factory: &Factory) -> String {
    let names: Vec<&str> = std::iter::once(factory.spec.name).chain(factory.spec.aliases.iter().copied()).collect();
    format!("^({})(/.+)?$", names.join("|"))
}

fn service_schema(generator: &mut SchemaGenerator) -> Value {
    let keys = generator.subschema_for::<ServiceKeys>().to_value();
    let pipeline = generator.subschema_for::<PipelineConfig>().to_value();
    let mut service = resolve(&keys, generator);
    let pipelines = json!({
        "type": "object",
        "description": "The pipelines, by signal and name.",
        "patternProperties": {"^(metrics|traces|logs)(/.+)?$": pipeline},
        "additionalProperties": false,
    });
    service["properties"]["pipelines"] = pipelines;
    service["required"] = json!(["pipelines"]);
    service
}

fn resolve(schema: &Value, generator: &SchemaGenerator) -> Value {
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    name.and_then(|name| generator.definitions().get(name).cloned()).unwrap_or_else(|| schema.clone())
}

/// Writes the schema and one page a component into a folder.
pub fn write(registry: &Registry, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let schema = schema(registry);
    std::fs::write(folder.join("schema.json"), format!("{schema:#}\n"))?;
    let mut index = String::from(INDEX);
    for kind in SECTIONS {
        let mut factories: Vec<&Factory> = registry.of(kind).collect();
        factories.sort_by_key(|factory| factory.spec.name);
        if factories.is_empty() {
            continue;
        }
        index +=
            &format!("\n## {}\n\n| type | stability | what it does |\n|---|---|---|\n", capitalized(kind.section()));
        for factory in factories {
            let file = page_name(factory);
            let spec = &factory.spec;
            index += &format!("| [`{}`]({file}) | {} | {} |\n", spec.name, spec.stability.name(), spec.summary);
            std::fs::write(folder.join(file), page(factory, &schema))?;
        }
    }
    std::fs::write(folder.join("README.md"), index)
}

/// The page of one component; what the config types of a distribution's own say.
pub fn page_of(factory: &Factory) -> String {
    page(factory, &schema(&Registry::new(vec![*factory])))
}

/// Writes the pages of the components of one type into a folder, nothing else. Their number.
///
/// # Errors
/// A page cannot be written.
pub fn write_only(registry: &Registry, name: &str, folder: &Path) -> std::io::Result<usize> {
    std::fs::create_dir_all(folder)?;
    let mut count = 0;
    for factory in SECTIONS.iter().flat_map(|kind| registry.of(*kind)).filter(|factory| factory.spec.name == name) {
        std::fs::write(folder.join(page_name(factory)), page_of(factory))?;
        count += 1;
    }
    Ok(count)
}

const INDEX: &str = "# Reference\n\nGenerated from the config types by `steadyline reference docs/reference`; a test fails when it is stale.\n`schema.json` is the JSON Schema of the whole config, for editors.\n";

fn page_name(factory: &Factory) -> String {
    format!("{}-{}.md", factory.kind.name(), factory.spec.name)
}

fn page(factory: &Factory, schema: &Value) -> String {
    let spec = &factory.spec;
    let mut text = format!("# {} `{}`\n\n{}\n\n", capitalized(factory.kind.name()), spec.name, spec.summary);
    if !spec.signals.is_empty() {
        let signals: Vec<&str> = spec.signals.iter().map(|signal| signal.name()).collect();
        text += &format!("Signals: {}. ", signals.join(", "));
    }
    text += &format!("Stability: {}.", spec.stability.name());
    if !spec.aliases.is_empty() {
        let aliases: Vec<String> = spec.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        text += &format!(" Also spelt {}.", aliases.join(", "));
    }
    let body = &schema["properties"][factory.kind.section()]["patternProperties"][id_pattern(factory)]["anyOf"][0];
    let mut rows = Vec::new();
    keys(body, schema, "", &mut rows, &mut Vec::new());
    text += "\n\n## Keys\n\n";
    if rows.is_empty() {
        text += "None: an empty body is the whole config.\n";
    } else {
        text += "| key | type | default | meaning |\n|---|---|---|---|\n";
        text.extend(rows);
    }
    if !spec.unsupported.is_empty() {
        text += "\n## Keys of the Collector that are not supported\n\n| key | instead |\n|---|---|\n";
        text.extend(spec.unsupported.iter().map(|(key, hint)| format!("| `{key}` | {hint} |\n")));
    }
    text
}

fn keys(schema: &Value, root: &Value, prefix: &str, rows: &mut Vec<String>, open: &mut Vec<String>) {
    let (schema, name) = follow(schema, root);
    if let Some(name) = &name {
        if open.contains(name) {
            return;
        }
        open.push(name.clone());
    }
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let (target, _) = follow(value, root);
        let meaning = value["description"].as_str().or(target["description"].as_str()).unwrap_or_default();
        let default = match (&value["default"], required.contains(&key.as_str())) {
            (_, true) => "required".into(),
            (Value::Null, _) => String::new(),
            (Value::Object(_), _) => String::new(),
            (default, _) => format!("`{default}`"),
        };
        let meaning = meaning.replace('\n', " ").replace('|', "\\|");
        rows.push(format!("| `{path}` | {} | {} | {meaning} |\n", type_of(value, root), default.replace('|', "\\|")));
        keys(value, root, &path, rows, open);
        if target["type"] == "array" {
            keys(&target["items"], root, &format!("{path}[]"), rows, open);
        }
        if target["additionalProperties"].is_object() {
            keys(&target["additionalProperties"], root, &format!("{path}.<name>"), rows, open);
        }
    }
    for variant in schema["oneOf"].as_array().into_iter().flatten() {
        if variant["properties"].is_object() {
            keys(variant, root, prefix, rows, open);
        }
    }
    if name.is_some() {
        open.pop();
    }
}

/// Follows references and optional wrappers to the schema that says something.
fn follow<'a>(schema: &'a Value, root: &'a Value) -> (&'a Value, Option<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return (&root["$defs"][name], Some(name.to_string()));
    }
    if let Some(inner) = schema["anyOf"].as_array().and_then(|any| any.iter().find(|one| one["type"] != "null")) {
        return follow(inner, root);
    }
    (schema, None)
}

fn type_of(schema: &Value, root: &Value) -> String {
    let (target, name) = follow(schema, root);
    if let Some(words) = target["enum"].as_array() {
        return words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let constants: Vec<String> = target["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["const"].as_str().map(|word| format!("`{word}`")))
        .collect();
    if !constants.is_empty() {
        return constants.join(", ");
    }
    match (&target["type"], name.as_deref()) {
        (_, Some(name @ ("Duration" | "ByteSize" | "Secret" | "ComponentId"))) => match name {
            "Duration" => "duration".into(),
            "ByteSize" => "size".into(),
            "Secret" => "secret".into(),
            _ => "id".into(),
        },
        (Value::String(word), _) if word == "array" => format!("list of {}", type_of(&target["items"], root)),
        (Value::String(word), _) => word.clone(),
        (Value::Array(words), _) => {
            words.iter().filter_map(Value::as_str).filter(|word| *word != "null").collect::<Vec<_>>().join(" or ")
        }
        _ => "any".into(),
    }
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
