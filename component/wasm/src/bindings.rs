//! The border, generated from `plugins/wit`: what plugins export and what they may call.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

/// The world `receiver`, and the interfaces that all worlds import.
pub mod receiver {
    wasmtime::component::bindgen!({
        path: "../../plugins/wit",
        world: "receiver",
        imports: { "steadyline:plugin/http.send": async },
        exports: { default: async },
        require_store_data_send: true,
    });
}

/// The world `processor`. What the host hands over is borrowed from the batch.
pub mod processor {
    wasmtime::component::bindgen!({
        path: "../../plugins/wit",
        world: "processor",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
        require_store_data_send: true,
        with: {
            "steadyline:plugin/log": super::receiver::steadyline::plugin::log,
            "steadyline:plugin/state": super::receiver::steadyline::plugin::state,
        },
    });
}

/// The world `logs-and-traces-processor`.
pub mod otlp {
    wasmtime::component::bindgen!({
        path: "../../plugins/wit",
        world: "logs-and-traces-processor",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
        require_store_data_send: true,
        with: {
            "steadyline:plugin/log": super::receiver::steadyline::plugin::log,
            "steadyline:plugin/state": super::receiver::steadyline::plugin::state,
        },
    });
}
