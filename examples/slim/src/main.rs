//! A distribution with what one pipeline needs: a table in, steady lines out. What the list does not name is not linked.

fn main() -> std::process::ExitCode {
    steadyline::main(steadyline::Registry::new(vec![
        steadyline_exporter_debug::FACTORY,
        steadyline_exporter_otlp::FACTORY,
        steadyline_exporter_prometheus::FACTORY,
        steadyline_exporter_prometheusremotewrite::FACTORY,
        steadyline_extension_health_check::FACTORY,
        steadyline_extension_sigv4auth::FACTORY,
        steadyline_processor_labels::FACTORY,
        steadyline_processor_lastvalue::FACTORY,
        steadyline_receiver_dynamodb::FACTORY,
    ]))
}
