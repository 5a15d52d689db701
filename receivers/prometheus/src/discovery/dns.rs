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
