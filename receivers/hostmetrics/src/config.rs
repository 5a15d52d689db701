//! The keys of the receiver, the Collector's, and the scrapers made from them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use steadyline_component::{CreateContext, Schedule};
use steadyline_config::Duration;

use crate::filter::{Filter, MatchType, filter};
use crate::scrape::{Cpu, Disk, Filesystem, Load, Memory, Network, Process, Processes, Scrape};
use crate::sheet::{MetricSpec, Switches};

/// What the receiver can be told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// From reading to reading.
    pub collection_interval: Duration,
    /// Before the first reading.
    pub initial_delay: Duration,
    /// How long one reading may take; 0: the interval.
    pub timeout: Duration,
    /// Where the machine's root folder is, if it is not `/`: where a container has it mounted, such as `/hostfs`.
    pub root_path: String,
    /// What is read; at least one. An empty body is enough.
    pub scrapers: Scrapers,
}

/// The scrapers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scrapers {
    /// Time of each logical CPU by state.
    #[serde(deserialize_with = "present")]
    pub cpu: Option<CpuConfig>,
    /// Memory by state.
    #[serde(deserialize_with = "present")]
    pub memory: Option<MemoryConfig>,
    /// What disks read and write.
    #[serde(deserialize_with = "present")]
    pub disk: Option<DiskConfig>,
    /// How full file systems are.
    #[serde(deserialize_with = "present")]
    pub filesystem: Option<FilesystemConfig>,
    /// What network interfaces carry, and TCP connections by state.
    #[serde(deserialize_with = "present")]
    pub network: Option<NetworkConfig>,
    /// Load averages.
    #[serde(deserialize_with = "present")]
    pub load: Option<LoadConfig>,
    /// How many processes there are, by status.
    #[serde(deserialize_with = "present")]
    pub processes: Option<ProcessesConfig>,
    /// CPU, memory and disk use of each process.
    #[serde(deserialize_with = "present")]
    pub process: Option<ProcessConfig>,
}

/// `cpu:` without a body switches a scraper on, as in the Collector.
fn present<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

/// Metrics by name, each switched on or off.
type MetricSwitches = BTreeMap<String, Switch>;

/// Whether a metric is given.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// Whether it is.
    pub enabled: bool,
}

/// The scraper `cpu`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CpuConfig {
    /// Which metrics are given.
    pub metrics: MetricSwitches,
}

/// The scraper `memory`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// Which metrics are given.
    pub metrics: MetricSwitches,
}

/// The scraper `processes`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessesConfig {
    /// Which metrics are given.
    pub metrics: MetricSwitches,
}

/// The scraper `load`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoadConfig {
    /// Divides the load by the number of logical CPUs.
    pub cpu_average: bool,
    /// Which metrics are given.
    pub metrics: MetricSwitches,
}

/// The scraper `disk`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiskConfig {
    /// Only these devices.
    pub include: Option<Devices>,
    /// Not these devices.
    pub exclude: Option<Devices>,
    /// Which metrics are given.
    pub metrics: MetricSwitches,
}

/// The scraper `network`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Only these interfaces.
    pub include: Option<Interfaces>,
    /// Not these interfaces.
    pub exclude: Option<Interfaces>,
    /// Which metrics are given.
    pub metrics: MetricSwitches,
}

/// The scraper `filesystem`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FilesystemConfig {
    /// Only file systems on these devices.
    pub include_devices: Option<Devices>,
    /// No file systems on these devices.
    pub exclude_devices: Option<Devices>,
    /// Only file systems of these types.
    pub include_fs_types: Option<FsTypes>,
    /// No file systems of these types.
    pub exclude_fs_types: Option<FsTypes>,
    /// Only file systems that are mounted here.
    pub include_mount_points: Option<MountPoints>,
    /// No file systems that are mounted here.
    pub exclude_mount_points: Option<MountPoints>,
    /// Also file systems that stand on no device (tmpfs, overlay, proc).
    pub include_virtual_filesystems: bool,
    /// Which metrics are given.
    pub metrics: MetricSwitches,
}

/// The scraper `process`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessConfig {
    /// Only processes of these names (`process.executable.name`).
    pub include: Option<Names>,
    /// No processes of these names.
    pub exclude: Option<Names>,
    /// Does not count what of a process may not be read.
    pub mute_process_all_errors: bool,
    /// The same for its name.
    pub mute_process_name_error: bool,
    /// The same for its executable.
    pub mute_process_exe_error: bool,
    /// The same for its reads and writes.
    pub mute_process_io_error: bool,
    /// The same for its owner.
    pub mute_process_user_error: bool,
    /// The same for its control group, which is not read anyway.
    pub mute_process_cgroup_error: bool,
    /// Processes that are younger are left out.
    pub scrape_process_delay: Duration,
    /// Which metrics are given.
    pub metrics: MetricSwitches,
}

/// A list of names under the key that the Collector has for it.
macro_rules! lists {
    ($($(#[$meta:meta])* $name:ident { $field:ident }),* $(,)?) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            /// The names, or expressions that match anywhere in a name.
            pub $field: Vec<String>,
            /// How they match.
            pub match_type: MatchType,
        }

        impl $name {
            fn parts(list: &Option<$name>) -> Option<(&[String], MatchType)> {
                list.as_ref().map(|list| (list.$field.as_slice(), list.match_type))
            }
        }
    )*};
}
lists! {
    /// Devices by name.
    Devices { devices },
    /// Network interfaces by name.
    Interfaces { interfaces },
    /// Types of file systems.
    FsTypes { fs_types },
    /// Places where file systems are mounted.
    MountPoints { mount_points },
    /// Processes by name.
    Names { names },
}

impl Default for Config {
    fn default() -> Self {
        Config {
            collection_interval: Duration::from_secs(60),
            initial_delay: Duration::from_secs(1),
            timeout: Duration::ZERO,
            root_path: String::new(),
            scrapers: Scrapers::default(),
        }
    }
}

impl Config {
    pub(crate) fn schedule(&self) -> Schedule {
        Schedule {
            interval: self.collection_interval.get(),
            initial_delay: self.initial_delay.get(),
            timeout: self.timeout.get(),
        }
    }

    /// The scrapers; `None` after having reported what is wrong.
    pub(crate) fn scrapers(&self, context: &mut CreateContext<'_>) -> Option<Vec<Box<dyn Scrape>>> {
        let mut is_good = true;
        if self.collection_interval < Duration::from_secs(1) {
            context.error("collection_interval", "expected at least 1s");
            is_good = false;
        }
        let mut made: Vec<Box<dyn Scrape>> = Vec::new();
        let mut maker = Maker { context, is_good: &mut is_good };
        let Scrapers { cpu, memory, disk, filesystem, network, load, processes, process } = &self.scrapers;
        if let Some(config) = cpu {
            made.push(Box::new(Cpu::new(maker.switches("cpu", &config.metrics, crate::scrape::CPU))));
        }
        if let Some(config) = memory {
            made.push(Box::new(Memory::new(maker.switches("memory", &config.metrics, crate::scrape::MEMORY))));
        }
        if let Some(config) = disk {
            let (include, exclude) = (Devices::parts(&config.include), Devices::parts(&config.exclude));
            let devices = maker.filter("disk", ("include", "exclude"), include, exclude);
            made.push(Box::new(Disk::new(maker.switches("disk", &config.metrics, crate::scrape::DISK), devices)));
        }
        if let Some(config) = filesystem {
            made.push(Box::new(maker.filesystem(config)));
        }
        if let Some(config) = network {
            let (include, exclude) = (Interfaces::parts(&config.include), Interfaces::parts(&config.exclude));
            let interfaces = maker.filter("network", ("include", "exclude"), include, exclude);
            let switches = maker.switches("network", &config.metrics, crate::scrape::NETWORK);
            made.push(Box::new(Network::new(switches, interfaces)));
        }
        if let Some(config) = load {
            let switches = maker.switches("load", &config.metrics, crate::scrape::LOAD);
            made.push(Box::new(Load::new(switches, config.cpu_average)));
        }
        if let Some(config) = processes {
            let switches = maker.switches("processes", &config.metrics, crate::scrape::PROCESSES);
            made.push(Box::new(Processes::new(switches)));
        }
        if let Some(config) = process {
            let (include, exclude) = (Names::parts(&config.include), Names::parts(&config.exclude));
            let names = maker.filter("process", ("include", "exclude"), include, exclude);
            let switches = maker.switches("process", &config.metrics, crate::scrape::PROCESS);
            made.push(Box::new(Process::new(switches, names, config)));
        }
        if made.is_empty() {
            context.error(
                "scrapers",
                "expected at least one of cpu, memory, disk, filesystem, network, load, processes, process",
            );
            return None;
        }
        is_good.then_some(made)
    }
}

/// Makes the parts of scrapers, and reports what is wrong with them.
struct Maker<'a, 'c> {
    context: &'a mut CreateContext<'c>,
    is_good: &'a mut bool,
}

impl Maker<'_, '_> {
    fn switches(&mut self, scraper: &str, config: &MetricSwitches, specs: &'static [MetricSpec]) -> Switches {
        for name in config.keys().filter(|name| specs.iter().all(|spec| spec.name != name.as_str())) {
            let known: Vec<&str> = specs.iter().map(|spec| spec.name).collect();
            let message = format!("the scraper has no metric `{name}`; it has {}", known.join(", "));
            self.context.error(&format!("scrapers.{scraper}.metrics"), message);
            *self.is_good = false;
        }
        Switches::new(specs, |name| config.get(name).map(|switch| switch.enabled))
    }

    fn filter(
        &mut self,
        scraper: &str,
        (include_key, exclude_key): (&str, &str),
        include: Option<(&[String], MatchType)>,
        exclude: Option<(&[String], MatchType)>,
    ) -> Filter {
        filter(include, exclude).unwrap_or_else(|(is_include, why)| {
            let key = if is_include { include_key } else { exclude_key };
            self.context.error(&format!("scrapers.{scraper}.{key}"), why);
            *self.is_good = false;
            Filter::default()
        })
    }

    fn filesystem(&mut self, config: &FilesystemConfig) -> Filesystem {
        let (include, exclude) = (Devices::parts(&config.include_devices), Devices::parts(&config.exclude_devices));
        let devices = self.filter("filesystem", ("include_devices", "exclude_devices"), include, exclude);
        let (include, exclude) = (FsTypes::parts(&config.include_fs_types), FsTypes::parts(&config.exclude_fs_types));
        let types = self.filter("filesystem", ("include_fs_types", "exclude_fs_types"), include, exclude);
        let include = MountPoints::parts(&config.include_mount_points);
        let exclude = MountPoints::parts(&config.exclude_mount_points);
        let places = self.filter("filesystem", ("include_mount_points", "exclude_mount_points"), include, exclude);
        let switches = self.switches("filesystem", &config.metrics, crate::scrape::FILESYSTEM);
        Filesystem::new(switches, [devices, types, places], config.include_virtual_filesystems)
    }
}
