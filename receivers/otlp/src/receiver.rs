//! The receiver as it runs: opens its doors at start, answers at each of them until the shutdown.

use std::sync::Arc;

use steadyline_component::{Host, Outputs, Receiver, ServerAuthenticator, Shutdown, StartError, Until, async_trait};
use steadyline_http::{Cors, Door, headers};

use crate::body::Bounds;
use crate::config::{GrpcConfig, HttpConfig, OtlpReceiverConfig};
use crate::desk::Desk;
use crate::grpc::{self, GrpcService};
use crate::http::{self, HttpService};

type Auth = Option<Arc<dyn ServerAuthenticator>>;

/// An `otlp` receiver.
pub(crate) struct OtlpReceiver {
    source: Arc<str>,
    config: OtlpReceiverConfig,
    grpc_auth: Auth,
    http_auth: Auth,
    pub(crate) grpc_door: Option<Door>,
    pub(crate) http_door: Option<Door>,
}

impl OtlpReceiver {
    /// A receiver with a config that was checked.
    pub(crate) fn new(id: &str, config: OtlpReceiverConfig, grpc_auth: Auth, http_auth: Auth) -> OtlpReceiver {
        OtlpReceiver { source: Arc::from(id), config, grpc_auth, http_auth, grpc_door: None, http_door: None }
    }

    /// What it was made from.
    #[cfg(test)]
    pub(crate) fn config(&self) -> OtlpReceiverConfig {
        self.config.clone()
    }
}

#[async_trait]
impl Receiver for OtlpReceiver {
    async fn start(&mut self, _: &Host) -> Result<(), StartError> {
        let receiver = &*self.source;
        if let Some(grpc) = &self.config.protocols.grpc {
            let door = Door::open(grpc.transport, &grpc.endpoint, grpc.tls.as_ref(), grpc.door()).await?;
            tracing::info!(receiver, protocol = "grpc", endpoint = door.address(), "listening");
            self.grpc_door = Some(door);
        }
        if let Some(http) = &self.config.protocols.http {
            let door = Door::open(http.transport, &http.endpoint, http.tls.as_ref(), http.door()).await?;
            tracing::info!(receiver, protocol = "http", endpoint = door.address(), "listening");
            self.http_door = Some(door);
        }
        Ok(())
    }

    async fn run(self: Box<Self>, outputs: Outputs, shutdown: Shutdown) -> Result<(), StartError> {
        let OtlpReceiver { source, config, grpc_auth, http_auth, grpc_door, http_door } = *self;
        let until = if config.wait_for_result { Until::Settled } else { Until::Enqueued };
        let desk = Desk::new(outputs, source, until);
        let grpc = async {
            if let (Some(door), Some(config)) = (grpc_door, &config.protocols.grpc) {
                let service = Arc::new(grpc_service(desk.clone(), config, grpc_auth));
                let answer = move |request| {
                    let service = Arc::clone(&service);
                    async move { service.answer(request).await }
                };
                door.serve(answer, shutdown.clone()).await;
            }
        };
        let http = async {
            if let (Some(door), Some(config)) = (http_door, &config.protocols.http) {
                let service = Arc::new(http_service(desk.clone(), config, http_auth));
                let answer = move |request| {
                    let service = Arc::clone(&service);
                    async move { service.answer(request).await }
                };
                door.serve(answer, shutdown.clone()).await;
            }
        };
        tokio::join!(grpc, http);
        Ok(())
    }
}

fn grpc_service(desk: Desk, config: &GrpcConfig, auth: Auth) -> GrpcService {
    let timeout = config.read_timeout.get();
    GrpcService { desk, auth, bounds: Bounds { limit: config.limit(), limit_key: grpc::LIMIT_KEY, timeout } }
}

fn http_service(desk: Desk, config: &HttpConfig, auth: Auth) -> HttpService {
    let timeout = config.read_timeout.get();
    HttpService {
        desk,
        auth,
        bounds: Bounds { limit: config.limit(), limit_key: http::LIMIT_KEY, timeout },
        answer_timeout: config.write_timeout.get(),
        paths: config.paths(),
        packings: config.packings(),
        // Both were checked when the config was.
        cors: config.cors.as_ref().and_then(|cors| Cors::new(cors).ok()),
        headers: headers::from_config(&config.response_headers).unwrap_or_default(),
    }
}
