//! Against tonic's own server: an independent reading of our framing, and its own limit on message sizes.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Buf;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use prost::Message;
use steadyline_component::{Attempt, Batch, Encoded, Exporter, Outcome, Tally, testkit};
use steadyline_exporter_otlp::OtlpFactory;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tower_service::Service;

type Received = Arc<Mutex<Vec<ExportMetricsServiceRequest>>>;

/// `MetricsService` with a limit of 600 bytes a message.
#[derive(Clone)]
struct MetricsService(Received);

impl NamedService for MetricsService {
    const NAME: &'static str = "opentelemetry.proto.collector.metrics.v1.MetricsService";
}

impl Service<http::Request<tonic::body::Body>> for MetricsService {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let export = Export(self.0.clone());
        let mut grpc = Grpc::new(Prost(PhantomData)).max_decoding_message_size(600);
        Box::pin(async move { Ok(grpc.unary(export, request).await) })
    }
}

struct Export(Received);

impl UnaryService<ExportMetricsServiceRequest> for Export {
    type Response = ExportMetricsServiceResponse;
    type Future = Ready<Result<Response<ExportMetricsServiceResponse>, Status>>;

    fn call(&mut self, request: Request<ExportMetricsServiceRequest>) -> Self::Future {
        self.0.lock().unwrap().push(request.into_inner());
        ready(Ok(Response::new(ExportMetricsServiceResponse::default())))
    }
}

struct Prost<E, D>(PhantomData<(E, D)>);

impl<E: Message + 'static, D: Message + Default + 'static> Codec for Prost<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Prost<E, D>;
    type Decoder = Prost<E, D>;

    fn encoder(&mut self) -> Self::Encoder {
        Prost(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        Prost(PhantomData)
    }
}

impl<E: Message, D> Encoder for Prost<E, D> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

impl<E, D: Message + Default> Decoder for Prost<E, D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        let bytes = message.copy_to_bytes(message.remaining());
        D::decode(bytes).map(Some).map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

#[tokio::test]
async fn tonic_reads_what_we_write_and_its_limit_halves_it() {
    let received = Received::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = Server::builder().add_service(MetricsService(received.clone())).serve_with_incoming(incoming);
    let server = tokio::spawn(server);

    let yaml = format!("endpoint: http://{address}\ncompression: none");
    let Exporter::Queued { mut encoder, sender, .. } = testkit::create::<OtlpFactory>(&yaml).unwrap() else { panic!() };
    let points: String = (0..16).map(|i| format!("steps{{account=\"account-{i}\"}} {i} @10\n")).collect();
    let batch = Batch::metrics(testkit::metrics(&points));
    let mut blocks = Vec::new();
    encoder.encode(&batch, 1, &mut Encoded { blocks: &mut blocks, tally: &Tally::default() });

    let mut split = 0;
    while let Some(block) = blocks.pop() {
        match sender.send(&block, &Attempt::FIRST).await {
            Outcome::TooLarge { .. } => {
                let (first, second) = sender.split(&block).unwrap();
                blocks.extend([second, first]);
                split += 1;
            }
            outcome => assert_eq!(outcome, Outcome::DELIVERED),
        }
    }
    server.abort();
    let received = received.lock().unwrap();
    let merged: Vec<u8> = received.iter().flat_map(Message::encode_to_vec).collect();
    let merged = ExportMetricsServiceRequest::decode(&*merged).unwrap();
    let points = merged.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics);
    let values: Vec<_> = points
        .flat_map(|metric| match &metric.data {
            Some(opentelemetry_proto::tonic::metrics::v1::metric::Data::Gauge(gauge)) => gauge.data_points.clone(),
            _ => Vec::new(),
        })
        .map(|point| point.value)
        .collect();
    let expected = |i| Some(opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsInt(i));
    assert_eq!(values, (0..16).map(expected).collect::<Vec<_>>());
    assert!(split > 0 && received.len() > 1, "{split} splits, {} requests", received.len());
}
