//! OTLP over gRPC, with tonic's client: what is taken, how it is answered, what it holds.

use bytes::{Buf, BufMut, Bytes};
use steadyline_component::telemetry::Signal;
use steadyline_component::{Data, SendError, SettleError, Until};
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::{ALL, BOTH, gauges, request, run, run_with};

/// Messages as bytes.
#[derive(Debug, Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

pub(super) fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

pub(super) async fn connect(address: &str) -> Grpc<Channel> {
    Grpc::new(Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap())
}

pub(super) async fn call(grpc: &mut Grpc<Channel>, path: &'static str, body: Vec<u8>) -> Result<Bytes, Status> {
    call_with(grpc, path, Request::new(body)).await
}

pub(super) async fn call_with(
    grpc: &mut Grpc<Channel>,
    path: &'static str,
    request: Request<Vec<u8>>,
) -> Result<Bytes, Status> {
    grpc.ready().await.unwrap();
    let answer = grpc.unary(request, http::uri::PathAndQuery::from_static(path), Raw).await?;
    Ok(answer.into_inner())
}

#[tokio::test]
async fn every_signal_arrives_whatever_its_compression() {
    let receiver = run(BOTH).await;
    for compression in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        for signal in ALL {
            let mut grpc = connect(&receiver.grpc).await;
            if let Some(compression) = compression {
                grpc = grpc.send_compressed(compression).accept_compressed(compression);
            }
            let sent = request(signal, 100);
            assert_eq!(call(&mut grpc, path(signal), sent.clone()).await.unwrap(), Bytes::new());
            assert_eq!(receiver.intake.last_until(), Some(Until::Enqueued));
            let batch = receiver.intake.take().pop().unwrap();
            assert_eq!((batch.signal(), batch.items(), &*batch.header.source), (signal, 100, "otlp"));
            assert!(batch.header.permit.is_some());
            match batch.data {
                Data::Metrics(metrics) => assert_eq!(metrics.wire(), sent),
                Data::Opaque(opaque) => assert_eq!(opaque.bytes(), &sent),
            }
        }
    }
}

#[tokio::test]
async fn a_batch_holds_its_memory_until_it_is_gone() {
    let receiver = run(BOTH).await;
    let outputs = receiver.intake.outputs(&ALL);
    let budget = outputs.budget().unwrap();
    let mut grpc = connect(&receiver.grpc).await.send_compressed(CompressionEncoding::Gzip);
    let sent = gauges(1000);
    call(&mut grpc, path(Signal::Metrics), sent.clone()).await.unwrap();
    let batches = receiver.intake.take();
    assert!(budget.used() >= sent.len() as u64, "{} of {}", budget.used(), sent.len());
    drop(batches);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn an_empty_request_is_taken_and_goes_nowhere() {
    let receiver = run(BOTH).await;
    let mut grpc = connect(&receiver.grpc).await;
    for signal in ALL {
        assert_eq!(call(&mut grpc, path(signal), Vec::new()).await.unwrap(), Bytes::new());
    }
    assert!(receiver.intake.take().is_empty());
    assert!(receiver.intake.take_refused().is_empty());
}

#[tokio::test]
async fn what_the_pipelines_say_is_what_the_sender_is_told() {
    let receiver = run(&format!("{BOTH}\nwait_for_result: true")).await;
    let mut grpc = connect(&receiver.grpc).await;
    let settle = |error| Some(SendError::NotSettled(error));
    for (answer, code, is_retryable, refused) in [
        (Some(SendError::Busy { retry_after: None }), Code::Unavailable, true, 7),
        (Some(SendError::ShuttingDown), Code::Unavailable, true, 0),
        (settle(SettleError::Retryable("503".into())), Code::Unavailable, true, 0),
        (settle(SettleError::Final("400".into())), Code::Internal, false, 0),
    ] {
        receiver.intake.answer(answer.clone());
        let status = call(&mut grpc, path(Signal::Logs), request(Signal::Logs, 7)).await.unwrap_err();
        assert_eq!(status.code(), code, "{answer:?}");
        let outcome = steadyline_otlp::grpc::status_outcome(8, status.message(), status.details());
        assert_eq!(matches!(outcome, steadyline_component::Outcome::Retry { .. }), is_retryable, "{answer:?}");
        let counted: u64 = receiver.intake.take_refused().iter().map(|(_, items)| items).sum();
        assert_eq!(counted, refused, "{answer:?}");
    }
    receiver.intake.answer(None);
    call(&mut grpc, path(Signal::Logs), request(Signal::Logs, 7)).await.unwrap();
    assert_eq!(receiver.intake.last_until(), Some(Until::Settled));
}

#[tokio::test]
async fn without_room_or_memory_the_sender_is_told_when_to_try_again() {
    let receiver = run(BOTH).await;
    let outputs = receiver.intake.outputs(&ALL);
    let budget = outputs.budget().unwrap();
    let mut grpc = connect(&receiver.grpc).await;
    receiver.intake.set_room(false);
    let full = call(&mut grpc, path(Signal::Metrics), gauges(5)).await.unwrap_err();
    receiver.intake.set_room(true);
    let held: Vec<_> = (0..4).map_while(|_| budget.try_acquire(u64::MAX)).collect();
    let spent = call(&mut grpc, path(Signal::Metrics), gauges(5)).await.unwrap_err();
    drop(held);
    for status in [full, spent] {
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!status.details().is_empty(), "{status:?}");
    }
    assert_eq!(receiver.intake.take_refused(), [("queue_full", 5), ("memory", 1)]);
    call(&mut grpc, path(Signal::Metrics), gauges(5)).await.unwrap();
}

#[tokio::test]
async fn signals_that_no_pipeline_takes_are_unimplemented() {
    let receiver = run_with(BOTH, Default::default(), 64 << 20, &[Signal::Logs]).await.unwrap();
    let mut grpc = connect(&receiver.grpc).await;
    for path in [path(Signal::Metrics), path(Signal::Traces), "/grpc.health.v1.Health/Check"] {
        assert_eq!(call(&mut grpc, path, Vec::new()).await.unwrap_err().code(), Code::Unimplemented, "{path}");
    }
    call(&mut grpc, path(Signal::Logs), request(Signal::Logs, 1)).await.unwrap();
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_for_good() {
    let receiver = run("protocols: {grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size_mib: 1}}").await;
    let large = gauges(30_000);
    assert!(large.len() > 1 << 20);
    for compression in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let mut grpc = connect(&receiver.grpc).await;
        if let Some(compression) = compression {
            grpc = grpc.send_compressed(compression);
        }
        let status = call(&mut grpc, path(Signal::Metrics), large.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{compression:?}: {status:?}");
        assert!(status.details().is_empty() && status.message().contains("larger than max"), "{status:?}");
        // The connection is none the worse for it.
        call(&mut grpc, path(Signal::Metrics), gauges(3)).await.unwrap();
    }
    assert_eq!(receiver.intake.take_refused(), [("too_large", 1); 3]);
}

#[tokio::test]
async fn a_message_beyond_a_quarter_of_the_memory_is_refused_for_good() {
    let receiver = run_with(BOTH, Default::default(), 1 << 20, &ALL).await.unwrap();
    let mut grpc = connect(&receiver.grpc).await;
    let status = call(&mut grpc, path(Signal::Metrics), gauges(10_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("a quarter of the memory budget"), "{status:?}");
}
