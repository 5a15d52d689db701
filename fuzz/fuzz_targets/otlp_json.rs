//! OTLP/JSON of each signal: what becomes protobuf is protobuf that can be decoded.
//! Only limits may refuse it then.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use steadyline_otlp::json::to_protobuf;
use steadyline_telemetry::{DecodeError, Limits, Metrics, Opaque, Signal};

fuzz_target!(|json: &[u8]| {
    let limits = Limits::default();
    if let Ok(request) = to_protobuf(Signal::Metrics, json) {
        let decoded = Metrics::decode(Bytes::from(request), &limits);
        assert!(matches!(decoded, Ok(_) | Err(DecodeError::Limit { .. })), "{:?}", decoded.err());
    }
    for signal in [Signal::Traces, Signal::Logs] {
        if let Ok(request) = to_protobuf(signal, json) {
            let counted = Opaque::count(signal, Bytes::from(request), &limits);
            assert!(matches!(counted, Ok(_) | Err(DecodeError::Limit { .. })), "{:?}", counted.err());
        }
    }
});
