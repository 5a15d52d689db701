//! What a component author sees: traits, factories, typed config, clock, a test kit.
