//! Targets that DNS lists. A name that fails keeps its last answer; one that is said not to exist has no targets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{RData, RecordType};

use super::{ADDRESS, Context, Found};
use crate::config::{DnsRecord, DnsSdConfig};

/// Asks for the names of one `dns_sd_configs` entry.
pub(crate) struct DnsProvider {
    config: DnsSdConfig,
    resolver: ResolverSource,
}

impl std::fmt::Debug for DnsProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DnsProvider").field(&self.config).finish()
    }
}

/// Makes the resolver when the provider starts: making one looks at the system's configuration.
pub(crate) type ResolverSource = Arc<dyn Fn() -> Result<TokioResolver, String> + Send + Sync>;

/// A resolver as `/etc/resolv.conf` says.
pub(crate) fn system_resolver() -> Result<TokioResolver, String> {
    let mut builder = TokioResolver::builder_tokio().map_err(|error| error.to_string())?;
    // Every refresh is to see what is true now.
    builder.options_mut().cache_size = 0;
    builder.build().map_err(|error| error.to_string())
}

impl DnsProvider {
    /// A provider that has asked nothing yet.
    pub(crate) fn new(config: DnsSdConfig, resolver: ResolverSource) -> Self {
        DnsProvider { config, resolver }
    }

    pub(super) async fn run(self, context: Context) {
        let refresh = self.config.refresh_interval.get().max(Duration::from_millis(1));
        loop {
            match (self.resolver)() {
                Ok(resolver) => return self.ask_on(&resolver, refresh, &context).await,
                Err(error) => {
                    context.failures.add(1.0);
                    tracing::warn!(error, "there is no DNS resolver; trying again");
                }
            }
            context.clock.sleep(refresh).await;
        }
    }

    async fn ask_on(&self, resolver: &TokioResolver, refresh: Duration, context: &Context) {
        let mut known: BTreeMap<&str, Vec<Found>> = BTreeMap::new();
        let mut told: Option<Vec<Found>> = None;
        loop {
            let now = context.clock.now().mono;
            let answers = self.config.names.iter().map(|name| async move { (name, self.ask(resolver, name).await) });
            for (name, answer) in futures_util::future::join_all(answers).await {
                match answer {
                    Ok(found) => drop(known.insert(name, found)),
                    Err(error) => {
                        context.failures.add(1.0);
                        let error = error.to_string();
                        tracing::warn!(name, error, "a name could not be looked up; its last answer stays");
                    }
                }
            }
            // Nothing is said until something is known: a DNS that fails at start is no reason to scrape nobody.
            let found: Vec<Found> = known.values().flatten().cloned().collect();
            if !known.is_empty() && told.as_ref() != Some(&found) {
                context.tell(found.clone());
                told = Some(found);
            }
            context.clock.sleep_until(now + refresh).await;
        }
    }

    async fn ask(&self, resolver: &TokioResolver, name: &str) -> Result<Vec<Found>, Arc<NetError>> {
        let kind = match self.config.kind {
            DnsRecord::Srv => RecordType::SRV,
            DnsRecord::A => RecordType::A,
            DnsRecord::Aaaa => RecordType::AAAA,
            DnsRecord::Mx => RecordType::MX,
        };
        let lookup = match resolver.lookup(name, kind).await {
            Ok(lookup) => lookup,
            Err(NetError::Dns(DnsError::NoRecordsFound(_))) => return Ok(Vec::new()),
            Err(error) => return Err(Arc::new(error)),
        };
        let found = lookup.answers().iter().filter_map(|record| self.target(name, &record.data));
        let mut found: Vec<Found> = found.collect();
        found.sort();
        Ok(found)
    }

    fn target(&self, name: &str, data: &RData) -> Option<Found> {
        let port = self.config.port.unwrap_or_default();
        let (address, meta): (String, Vec<(&str, String)>) = match (self.config.kind, data) {
            (DnsRecord::A, RData::A(address)) => (format!("{address}:{port}"), Vec::new()),
            (DnsRecord::Aaaa, RData::AAAA(address)) => (format!("[{address}]:{port}"), Vec::new()),
            (DnsRecord::Srv, RData::SRV(srv)) => {
                let host = srv.target.to_string();
                let port = srv.port.to_string();
                let address = format!("{}:{port}", host.trim_end_matches('.'));
                (address, vec![("__meta_dns_srv_record_target", host), ("__meta_dns_srv_record_port", port)])
            }
            (DnsRecord::Mx, RData::MX(mx)) => {
                let host = mx.exchange.to_string();
                let address = format!("{}:{port}", host.trim_end_matches('.'));
                (address, vec![("__meta_dns_mx_record_target", host)])
            }
            _ => return None,
        };
        let mut found: Found = meta.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        found.insert("__meta_dns_name".to_string(), name.to_string());
        found.insert(ADDRESS.to_string(), address);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicU8, Ordering};

    use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, AAAA, MX, SRV};
    use hickory_resolver::proto::rr::{Name, Record};
    use hickory_resolver::proto::serialize::binary::{BinDecodable, BinEncodable};
    use steadyline_component::{Clock, Meter};
    use tokio::net::UdpSocket;
    use tokio::sync::mpsc;

    use super::*;
    use crate::discovery::Place;

    /// What the server does: 0 answers, 1 fails, 2 knows no such name.
    type Mood = Arc<AtomicU8>;

    /// A name server that has one record of each kind for every name.
    async fn server(mood: Mood) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((len, peer)) = socket.recv_from(&mut packet).await {
                let request = Message::from_bytes(&packet[..len]).unwrap();
                let reply = answer(&request, mood.load(Ordering::Relaxed));
                socket.send_to(&reply.to_bytes().unwrap(), peer).await.unwrap();
            }
        });
        address
    }

    fn answer(request: &Message, mood: u8) -> Message {
        let query = request.queries[0].clone();
        let mut reply = Message::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
        let host = Name::from_ascii("host.example.").unwrap();
        let data = match query.query_type() {
            RecordType::A => RData::A(A::new(10, 0, 0, 1)),
            RecordType::AAAA => RData::AAAA(AAAA::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
            RecordType::MX => RData::MX(MX::new(1, host)),
            _ => RData::SRV(SRV::new(1, 1, 9100, host)),
        };
        match mood {
            0 => drop(reply.add_answer(Record::from_rdata(query.name().clone(), 60, data))),
            1 => reply.metadata.response_code = ResponseCode::ServFail,
            _ => reply.metadata.response_code = ResponseCode::NXDomain,
        }
        reply.add_query(query);
        reply
    }

    fn resolver(address: SocketAddr) -> ResolverSource {
        Arc::new(move || {
            let mut server = NameServerConfig::udp(address.ip());
            server.connections[0].port = address.port();
            let config = ResolverConfig::from_name_servers(vec![server]);
            let mut options = ResolverOpts::default();
            (options.cache_size, options.attempts) = (0, 0);
            let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            builder.with_options(options).build().map_err(|error| error.to_string())
        })
    }

    struct Rig {
        clock: Clock,
        meter: Meter,
        inbox: mpsc::UnboundedReceiver<crate::discovery::Update>,
        _task: tokio::task::JoinHandle<()>,
    }

    async fn rig(kind: DnsRecord, mood: &Mood) -> Rig {
        let address = server(Arc::clone(mood)).await;
        let config = DnsSdConfig { names: vec!["app.example.".into()], kind, port: Some(80), ..DnsSdConfig::default() };
        let provider = DnsProvider::new(config, resolver(address));
        let (updates, inbox) = mpsc::unbounded_channel();
        let (clock, meter) = (Clock::manual(0), Meter::default());
        let failures = meter.counter("failures", "", &[]);
        let place = Place { job: 0, provider: 0 };
        let task = tokio::spawn(provider.run(Context { clock: clock.clone(), updates, place, failures }));
        Rig { clock, meter, inbox, _task: task }
    }

    #[tokio::test]
    async fn records_of_all_kinds_are_targets() {
        for (kind, address, meta) in [
            (DnsRecord::A, "10.0.0.1:80", None),
            (DnsRecord::Aaaa, "[fd00::1]:80", None),
            (DnsRecord::Srv, "host.example:9100", Some(("__meta_dns_srv_record_target", "host.example."))),
            (DnsRecord::Mx, "host.example:80", Some(("__meta_dns_mx_record_target", "host.example."))),
        ] {
            let mut rig = rig(kind, &Mood::default()).await;
            let found = rig.inbox.recv().await.unwrap().found;
            assert_eq!(found.len(), 1);
            assert_eq!((found[0][ADDRESS].as_str(), found[0]["__meta_dns_name"].as_str()), (address, "app.example."));
            if let Some((name, value)) = meta {
                assert_eq!(found[0][name], value);
            }
        }
    }

    #[tokio::test]
    async fn a_fault_keeps_the_last_answer_and_no_such_name_ends_it() {
        let mood = Mood::default();
        let mut rig = rig(DnsRecord::A, &mood).await;
        assert_eq!(rig.inbox.recv().await.unwrap().found.len(), 1);
        mood.store(1, Ordering::Relaxed);
        rig.clock.advance(Duration::from_secs(30));
        while rig.meter.read()[0].value() < 1.0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(rig.inbox.try_recv().is_err(), "nothing is told");
        mood.store(2, Ordering::Relaxed);
        rig.clock.advance(Duration::from_secs(30));
        assert_eq!(rig.inbox.recv().await.unwrap().found, Vec::<Found>::new());
    }
}
