//! Which level data goes to as pipelines fail and recover; what config may not say.

use std::collections::BTreeMap;
use std::sync::Arc;

use steadyline_component::Outlook::{Absent, Failing, Full, Works};
use steadyline_component::factory::Extensions;
use steadyline_component::{Clock, Extension, Meter, OwnMetrics};
use steadyline_config::{Diagnostic, Diagnostics, Source, load};

use super::*;

fn id(name: &str) -> ComponentId {
    name.parse().unwrap()
}

/// Levels of one pipeline each, `a` to `c`, and a second one at the first level.
fn levels() -> Levels {
    let of = |names: &[&str]| names.iter().map(|name| id(&format!("traces/{name}"))).collect();
    Levels::new(vec![of(&["a", "a2"]), of(&["b"]), of(&["c"])], Duration::from_secs(60))
}

#[test]
fn the_first_level_that_works_and_back_after_a_while() {
    let mut levels = levels();
    for (second, a, a2, b, c, expected) in [
        (0, Works, Works, Works, Works, 0),
        (1, Works, Failing, Works, Works, 1),
        (2, Works, Works, Works, Works, 1),
        (3, Works, Works, Full, Works, 2),
        (60, Works, Works, Works, Works, 2),
        (61, Works, Works, Works, Works, 0),
        (70, Full, Works, Works, Works, 1),
        (130, Full, Works, Works, Works, 1),
        (189, Works, Works, Works, Works, 1),
        (190, Works, Works, Works, Works, 0),
        (200, Failing, Works, Full, Full, 0),
        (201, Full, Full, Full, Failing, 2),
        (202, Full, Full, Full, Full, 0),
        (203, Works, Works, Full, Full, 0),
        (204, Absent, Works, Full, Full, 0),
        (205, Absent, Absent, Full, Works, 2),
        (206, Absent, Absent, Full, Full, 1),
    ] {
        let known = BTreeMap::from([("traces/a", a), ("traces/a2", a2), ("traces/b", b), ("traces/c", c)]);
        let choice = levels.choose(Duration::from_secs(second), &|id| known[id.as_str()]);
        assert_eq!(choice.level, expected, "at {second} s: {choice:?}");
    }
    assert_eq!(levels.pipelines(0), [id("traces/a"), id("traces/a2")]);
}

/// Knows which pipelines are fed.
struct Fed(Vec<ComponentId>);

impl Extensions for Fed {
    fn resolve(&mut self, _: &ComponentId, _: &mut Diagnostics) -> Option<Arc<dyn Extension>> {
        None
    }

    fn ids(&self) -> Vec<String> {
        Vec::new()
    }

    fn fed_by(&self, connector: &ComponentId) -> Vec<ComponentId> {
        if connector.as_str() == "failover" { self.0.clone() } else { Vec::new() }
    }
}

struct NothingToRead;

impl OwnMetrics for NothingToRead {
    fn read(&self, _: u64) -> steadyline_component::telemetry::Metrics {
        Default::default()
    }
}

/// What is said of a config, and whether there is a connector, when it feeds these pipelines.
fn created(fed: &[&str], yaml: &str) -> (bool, Vec<String>) {
    let (tree, mut diagnostics) = load(&[Source::inline("x.yaml", format!("x: {yaml}"))], &[], &|_: &str| None);
    let tree = tree.unwrap();
    let own: Arc<dyn OwnMetrics> = Arc::new(NothingToRead);
    let mut context = CreateContext {
        id: &id("failover"),
        pipeline: "",
        signal: Signal::Traces,
        clock: &Clock::manual(0),
        meter: &Meter::default(),
        own_metrics: &own,
        node: tree.root.get("x").unwrap(),
        path: "x".into(),
        diagnostics: &mut diagnostics,
        extensions: &mut Fed(fed.iter().map(|name| id(name)).collect()),
    };
    let config = steadyline_config::decode(context.node, "x", context.diagnostics).unwrap();
    let made = FailoverFactory::create(config, &mut context).is_some();
    let line = |d: &Diagnostic| {
        let column = d.place.as_ref().map_or(0, |place| place.column);
        format!(
            "{column} {}: {}{}",
            d.path,
            d.message,
            d.help.as_ref().map_or(String::new(), |help| format!("; {help}"))
        )
    };
    (made, diagnostics.sorted().into_iter().map(line).collect())
}

#[test]
fn levels_name_pipelines_that_are_fed_each_once_and_all_of_them() {
    let fed = ["traces/a", "traces/b", "metrics/m"];
    let good = "{priority_levels: [[traces/a, metrics/m], [traces/b]], retry_interval: 1m}";
    assert_eq!(created(&fed, good), (true, vec![]));
    let said = |yaml: &str| {
        let (made, said) = created(&fed, yaml);
        assert!(!made, "{yaml}");
        said
    };
    assert_eq!(
        said("{priority_levels: [[traces/a, traces/bb], [metrics/m]]}"),
        [
            "22 x.priority_levels: pipeline `traces/b` has `failover` as a receiver and is at no level",
            "34 x.priority_levels[0][1]: `traces/bb` is no pipeline that has `failover` as a receiver; did you mean `traces/b`?",
        ]
    );
    let twice = said("{priority_levels: [[traces/a, metrics/m], [traces/b], [traces/a], []], retry_interval: 0s}");
    assert_eq!(twice.len(), 3, "{twice:?}");
    assert!(
        twice.iter().any(|line| line.contains("priority_levels[2][0]: `traces/a` stands at two places")),
        "{twice:?}"
    );
    assert!(twice.iter().any(|line| line.contains("priority_levels[3]: the level has no pipeline")), "{twice:?}");
    assert!(twice.iter().any(|line| line.contains("retry_interval: it must be more than 0")), "{twice:?}");
    assert!(said("{}")[0].contains("there are no levels"));
}

#[test]
fn keys_without_effect_say_so() {
    let (made, said) = created(&["traces/a"], "{priority_levels: [[traces/a]], retry_gap: 30s, max_retries: 10}");
    assert!(made);
    assert!(said.len() == 2 && said.iter().all(|line| line.contains("it has no effect")), "{said:?}");
}
