//! Config to checked graph to running pipelines: lifecycle, delivery, budgets, self-telemetry.
