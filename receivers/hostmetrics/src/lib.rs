//! The receiver `hostmetrics`: the state of a Linux machine, under the Collector's scrapers, metric names, attributes and
//! units.
//!
//! ```yaml
//! receivers:
//!   hostmetrics:
//!     collection_interval: 30s
//!     root_path: /hostfs          # in a container, where the machine's / is mounted
//!     scrapers:
//!       cpu:
//!       memory:
//!         metrics: {system.memory.utilization: {enabled: true}}
//!       disk: {exclude: {devices: ["^(loop|ram)"], match_type: regexp}}
//!       filesystem:
//!       network: {exclude: {interfaces: [lo], match_type: strict}}
//!       load:
//!       processes:
//!       process: {include: {names: [postgres], match_type: strict}}
//! exporters:
//!   debug: {}
//! service:
//!   pipelines:
//!     metrics: {receivers: [hostmetrics], exporters: [debug]}
//! ```
//!
//! | scraper | on by default | by `metrics.<name>.enabled: true` |
//! |---|---|---|
//! | `cpu` | `system.cpu.time{cpu,state}` | `system.cpu.utilization{cpu,state}`, `system.cpu.frequency{cpu}`, `system.cpu.logical.count`, `system.cpu.physical.count` |
//! | `memory` | `system.memory.usage{state}` | `system.memory.utilization{state}`, `system.memory.limit`, `system.linux.memory.available` |
//! | `disk` | `system.disk.io`, `.operations`, `.operation_time`, `.merged` `{device,direction}`; `.io_time`, `.weighted_io_time`, `.pending_operations` `{device}` | |
//! | `filesystem` | `system.filesystem.usage`, `system.filesystem.inodes.usage` `{device,mode,mountpoint,type,state}` | `system.filesystem.utilization` |
//! | `network` | `system.network.io`, `.packets`, `.errors`, `.dropped` `{device,direction}`; `system.network.connections{protocol,state}` | `system.network.conntrack.count`, `system.network.conntrack.max` |
//! | `load` | `system.cpu.load_average.1m`, `.5m`, `.15m` | |
//! | `processes` | `system.processes.count{status}`, `system.processes.created` | |
//! | `process` | `process.cpu.time{state}`, `process.memory.usage`, `process.memory.virtual`, `process.disk.io{direction}` | `process.cpu.utilization{state}`, `process.memory.utilization`, `process.threads`, `process.open_file_descriptors`, `process.paging.faults{type}`, `process.signals_pending`, `process.context_switches{type}`, `process.disk.operations{direction}`, `process.uptime` |
//!
//! Sums are cumulative and start at the machine's boot, those of a process at its own start. Utilizations need two readings.
//! Each process is a resource: `process.pid`, `process.parent_pid`, `process.executable.name`, `process.executable.path`,
//! `process.command`, `process.command_line`, `process.owner`.
//!
//! As in the Collector, `used` memory is total less free, buffered and cached, and cached memory includes what slabs can
//! give back; file systems that stand on no device are left out unless `include_virtual_filesystems` is set. Different:
//! every count of `system.processes.count` is taken from the processes themselves; the owner of a process that
//! `etc/passwd` does not know is its number; what of a process may not be read is left out and counted by
//! `hostmetrics_unreadable`, nothing is an error because of it.
//!
//! A scraper that fails is told, and the pass is partial; the others' points count. The machine is read on a thread of its
//! own; while a reading hangs (a network file system that does not answer), polls fail and nothing piles up.
//!
//! | file | what it holds |
//! |---|---|
//! | `config`, `filter` | the keys; what they include and exclude |
//! | `machine` | where the files are, and what holds for all of them |
//! | `sheet` | points under their metrics, as far as these are enabled |
//! | `scrape` | one file a scraper |
//! | `poller` | a pass |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod filter;
mod machine;
mod poller;
mod scrape;
mod sheet;
#[cfg(test)]
mod tests;

use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Factory, Polling, Spec, Stability};

pub use config::Config;

/// The factory.
pub const FACTORY: Factory = Factory::poller::<HostMetricsFactory>();

/// Makes `hostmetrics` receivers.
#[derive(Debug)]
pub struct HostMetricsFactory;

const NO_ATTRIBUTES: &str =
    "every attribute of a process is given; drop those you do not want with the processor `resource`";

impl Component for HostMetricsFactory {
    type Config = Config;
    type Made = Polling;
    const SPEC: Spec = Spec {
        name: "hostmetrics",
        aliases: &["host_metrics"],
        stability: Stability::Beta,
        signals: &[Signal::Metrics],
        summary: "Reads CPU, memory, disks, file systems, network and processes of a Linux machine.",
        unsupported: &[
            ("metadata_collection_interval", "there are no entity events; remove it"),
            ("scrapers.paging", "paging is not read; print it with the receiver `exec` from /proc/vmstat"),
            ("scrapers.system", "its uptime is what the other sums start at; remove it"),
            ("scrapers.nfs", "NFS is not read; use the receiver `prometheus` with a node exporter"),
            ("scrapers.process.resource_attributes", NO_ATTRIBUTES),
        ],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Polling> {
        let scrapers = config.scrapers(context)?;
        Some(Polling {
            schedule: config.schedule(),
            poller: Box::new(poller::HostPoller::new(&config, scrapers, context)),
            identity: Default::default(),
            leadership: None,
        })
    }
}
