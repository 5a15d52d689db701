//! Takes OTLP in.
//! Over gRPC and HTTP.
