//! The ONE list of what the standard distribution contains. Adding a component is a folder and a line here.

use steadyline_component::Factory;

/// The factories of the standard distribution.
pub fn standard() -> Vec<Factory> {
    vec![
        // receivers
        steadyline_receiver_awssqs::FACTORY,
        steadyline_receiver_dynamodb::FACTORY,
        steadyline_receiver_exec::FACTORY,
        steadyline_receiver_hostmetrics::FACTORY,
        steadyline_receiver_http_json::FACTORY,
        steadyline_receiver_internal::FACTORY,
        steadyline_receiver_otlp::FACTORY,
        steadyline_receiver_prometheus::FACTORY,
        steadyline_receiver_sqlquery::FACTORY,
        steadyline_receiver_wasm::FACTORY,
        // processors
        steadyline_processor_attributes::FACTORY,
        steadyline_processor_batch::FACTORY,
        steadyline_processor_cumulativetodelta::FACTORY,
        steadyline_processor_deltatocumulative::FACTORY,
        steadyline_processor_filter::FACTORY,
        steadyline_processor_groupbyattrs::FACTORY,
        steadyline_processor_labels::FACTORY,
        steadyline_processor_lastvalue::FACTORY,
        steadyline_processor_memory_limiter::FACTORY,
        steadyline_processor_progress::FACTORY,
        steadyline_processor_resource::FACTORY,
        steadyline_processor_resourcedetection::FACTORY,
        steadyline_processor_wasm::FACTORY,
        // connectors
        steadyline_connector_count::FACTORY,
        steadyline_connector_failover::FACTORY,
        steadyline_connector_forward::FACTORY,
        // exporters
        steadyline_exporter_awssqs::FACTORY,
        steadyline_exporter_debug::FACTORY,
        steadyline_exporter_file::FACTORY,
        steadyline_exporter_otlp::FACTORY,
        steadyline_exporter_otlphttp::FACTORY,
        steadyline_exporter_prometheus::FACTORY,
        steadyline_exporter_prometheusremotewrite::FACTORY,
        // extensions
        steadyline_extension_basicauth::FACTORY,
        steadyline_extension_bearertokenauth::FACTORY,
        #[cfg(feature = "embedded-dynamodb")]
        steadyline_extension_embedded_dynamodb::FACTORY,
        steadyline_extension_dynamodb_storage::FACTORY,
        steadyline_extension_file_storage::FACTORY,
        steadyline_extension_headers_setter::FACTORY,
        steadyline_extension_health_check::FACTORY,
        steadyline_extension_leader::FACTORY,
        steadyline_extension_sigv4auth::FACTORY,
    ]
}
