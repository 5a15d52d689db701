//! A relabelling rule over a set of labels.
//! The input is lines: action, regex, target label, replacement, source labels, then labels as `name=value`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steadyline_scrape::Labels;
use steadyline_scrape::relabel::{Action, RelabelConfig, Rules};

const ACTIONS: [Action; 11] = [
    Action::Replace,
    Action::Keep,
    Action::Drop,
    Action::KeepEqual,
    Action::DropEqual,
    Action::HashMod,
    Action::LabelMap,
    Action::LabelDrop,
    Action::LabelKeep,
    Action::Lowercase,
    Action::Uppercase,
];

fuzz_target!(|input: &str| {
    let mut lines = input.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let action = next();
    let action = ACTIONS.into_iter().find(|known| known.as_str() == action).unwrap_or_default();
    let mut config = RelabelConfig { action, regex: next().into(), ..RelabelConfig::default() };
    config.target_label = next().into();
    let replacement = next();
    if !replacement.is_empty() {
        config.replacement = replacement.into();
    }
    config.source_labels = next().split(',').filter(|name| !name.is_empty()).map(Into::into).collect();
    config.modulus = if action == Action::HashMod { input.len() as u64 } else { 0 };
    let Ok(rules) = Rules::new(&[config]) else { return };
    let mut labels: Labels =
        lines.filter_map(|line| line.split_once('=')).filter(|(name, _)| !name.is_empty()).collect();
    let before = labels.len();
    rules.apply(&mut labels);
    steadyline_fuzz::check_set(&labels);
    assert!(labels.len() <= 2 * before + 1, "a rule adds a label, or one for each");
});
