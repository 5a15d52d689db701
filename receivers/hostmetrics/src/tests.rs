//! A machine of files, and the one that the test runs on.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use steadyline_component::telemetry::Signal;
use steadyline_component::testkit::{TestExtensions, TestIntake, create, create_with, render};
use steadyline_component::{Clock, Header, Meter, PassEnd, PollError, PollOutput, Polling, Shutdown, Tick};

use crate::HostMetricsFactory;

const BOOT: u64 = 1_000_000;
const NOW: u64 = BOOT + 1000;

const FILES: &[(&str, &str)] = &[
    (
        "proc/stat",
        "cpu  300 0 200 1000 50 1 2 0 0 0\ncpu0 100 0 100 500 50 1 2 0 0 0\ncpu1 200 0 100 500 0 0 0 0 0 0\n\
         intr 1\nctxt 12\nbtime 1000000\nprocesses 77\nprocs_running 1\nprocs_blocked 0\n",
    ),
    ("proc/loadavg", "0.50 1.25 2.00 1/200 300\n"),
    (
        "proc/meminfo",
        "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\nBuffers: 50 kB\nCached: 200 kB\nSwapCached: 0 kB\n\
         Active: 1 kB\nInactive: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nDirty: 0 kB\nWriteback: 0 kB\nMapped: 1 kB\n\
         Slab: 30 kB\nSReclaimable: 20 kB\nSUnreclaim: 10 kB\nCommitted_AS: 1 kB\nVmallocTotal: 1 kB\n\
         VmallocUsed: 1 kB\nVmallocChunk: 1 kB\n",
    ),
    (
        "proc/cpuinfo",
        "processor\t: 0\nphysical id\t: 0\ncore id\t: 0\ncpu MHz\t: 2000.5\n\n\
         processor\t: 1\nphysical id\t: 0\ncore id\t: 0\ncpu MHz\t: 1000\n\n",
    ),
    (
        "proc/diskstats",
        "   8       0 sda 10 1 100 500 20 2 200 1500 3 2500 3500 0 0 0 0\n   7       0 loop0 1 0 2 0 0 0 0 0 0 0 0 0 0 0 0\n",
    ),
    (
        "proc/1/net/dev",
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n\
         \x20 eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n",
    ),
    (
        "proc/1/net/tcp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
         \x20  0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n\
         \x20  1: 0100007F:1538 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0\n",
    ),
    ("proc/sys/net/netfilter/nf_conntrack_count", "12\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "1000\n"),
    ("proc/filesystems", "nodev\tproc\nnodev\ttmpfs\n\text4\n"),
    (
        "proc/1/mountinfo",
        "1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
         2 1 0:5 / /proc rw - proc proc rw\n\
         3 1 8:2 / /mnt/my\\040data ro - ext4 /dev/sda2 ro\n\
         4 1 8:3 / /gone rw - ext4 /dev/sda3 rw\n\
         5 1 0:6 / /tmp rw - tmpfs tmpfs rw\n",
    ),
    ("mnt/my data/file", ""),
    ("tmp/file", ""),
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndb:x:70:70::/:/bin/sh\n"),
    (
        "proc/7/stat",
        "7 (post gres) S 1 7 7 0 -1 4194304 100 0 5 0 250 150 0 0 20 0 3 0 50000 1048576 16 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 75 0 0 0 0 0 0 0 0 0 0\n",
    ),
    (
        "proc/7/status",
        "Name:\tpost gres\nState:\tS (sleeping)\nTgid:\t7\nPid:\t7\nPPid:\t1\nTracerPid:\t0\nUid:\t70\t70\t70\t70\nGid:\t70\t70\t70\t70\nFDSize:\t64\nGroups:\t70\nThreads:\t3\nSigQ:\t2/100\nSigPnd:\t0\nShdPnd:\t0\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nvoluntary_ctxt_switches:\t8\nnonvoluntary_ctxt_switches:\t9\n",
    ),
    ("proc/7/cmdline", "postgres\0-D\0/data\0"),
    (
        "proc/7/io",
        "rchar: 1\nwchar: 1\nsyscr: 11\nsyscw: 12\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n",
    ),
    (
        "proc/9/stat",
        "9 (kthread) I 2 0 0 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 10 0 0 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
    ),
];

struct Host {
    folder: tempfile::TempDir,
    polling: Polling,
    meter: Meter,
}

fn host(keys: &str) -> Host {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in FILES {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    std::os::unix::fs::symlink("/usr/bin/postgres", folder.path().join("proc/7/exe")).unwrap();
    let yaml = format!("root_path: {}\nscrapers: {keys}", folder.path().display());
    let meter = Meter::default();
    let polling =
        create_with::<HostMetricsFactory>(&yaml, &mut TestExtensions::default(), &Clock::manual(0), &meter).unwrap();
    Host { folder, polling, meter }
}

async fn poll(polling: &mut Polling, time: u64) -> (Result<PassEnd, PollError>, Vec<String>) {
    let intake = TestIntake::new(64 << 20);
    let output = PollOutput::of(intake.outputs(&[Signal::Metrics]), Header::default());
    let (_trigger, shutdown) = Shutdown::new();
    let deadline = Duration::from_secs(60);
    let tick = Tick { epoch: 1, time: time * 1_000_000_000, deadline, last_complete: None, shutdown };
    let end = polling.poller.poll(&tick, &output).await;
    (end, intake.take().iter().filter_map(|batch| batch.as_metrics()).flat_map(render).collect())
}

impl Host {
    /// The lines of a pass, without their common time.
    async fn lines(&mut self) -> Vec<String> {
        let (end, lines) = poll(&mut self.polling, NOW).await;
        assert_eq!(end.unwrap(), PassEnd::Complete);
        let suffix = format!(" @{NOW}");
        lines.iter().map(|line| line.strip_suffix(&suffix).unwrap_or(line).to_string()).collect()
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.folder.path().join(path), text).unwrap();
    }
}

async fn check(keys: &str, expected: &[&str]) {
    assert_eq!(host(keys).lines().await, expected);
}

#[tokio::test]
async fn cpu() {
    let mut host = host("{cpu: }");
    let lines = host.lines().await;
    assert_eq!(lines.len(), 16);
    assert_eq!(
        lines[..8],
        [
            "counter system.cpu.time{cpu=\"cpu0\",state=\"user\"} 1",
            "counter system.cpu.time{cpu=\"cpu0\",state=\"system\"} 1",
            "counter system.cpu.time{cpu=\"cpu0\",state=\"idle\"} 5",
            "counter system.cpu.time{cpu=\"cpu0\",state=\"interrupt\"} 0.01",
            "counter system.cpu.time{cpu=\"cpu0\",state=\"nice\"} 0",
            "counter system.cpu.time{cpu=\"cpu0\",state=\"softirq\"} 0.02",
            "counter system.cpu.time{cpu=\"cpu0\",state=\"steal\"} 0",
            "counter system.cpu.time{cpu=\"cpu0\",state=\"wait\"} 0.5",
        ]
    );
}

const ALL_CPU: &str = "{cpu: {metrics: {system.cpu.time: {enabled: false}, system.cpu.utilization: {enabled: true}, \
     system.cpu.frequency: {enabled: true}, system.cpu.logical.count: {enabled: true}, system.cpu.physical.count: {enabled: true}}}}";

#[tokio::test]
async fn cpu_by_choice() {
    let mut host = host(ALL_CPU);
    let counts = [
        "updown system.cpu.logical.count 2",
        "system.cpu.frequency{cpu=\"cpu0\"} 2000500000",
        "system.cpu.frequency{cpu=\"cpu1\"} 1000000000",
        "updown system.cpu.physical.count 1",
    ];
    assert_eq!(host.lines().await, counts, "a utilization needs two readings");
    let stat = FILES[0].1.replace("cpu0 100 0 100 500 50", "cpu0 125 0 100 575 50");
    host.write("proc/stat", &stat);
    let lines = host.lines().await;
    assert!(lines.contains(&"system.cpu.utilization{cpu=\"cpu0\",state=\"user\"} 0.25".to_string()), "{lines:?}");
    assert!(lines.contains(&"system.cpu.utilization{cpu=\"cpu0\",state=\"idle\"} 0.75".to_string()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("utilization{cpu=\"cpu1\"")), "no time has passed for it");
}

#[tokio::test]
async fn memory_and_load() {
    check(
        "{memory: , load: {cpu_average: true}}",
        &[
            "updown system.memory.usage{state=\"used\"} 645120",
            "updown system.memory.usage{state=\"free\"} 102400",
            "updown system.memory.usage{state=\"buffered\"} 51200",
            "updown system.memory.usage{state=\"cached\"} 225280",
            "updown system.memory.usage{state=\"slab_reclaimable\"} 20480",
            "updown system.memory.usage{state=\"slab_unreclaimable\"} 10240",
            "system.cpu.load_average.1m 0.25",
            "system.cpu.load_average.5m 0.625",
            "system.cpu.load_average.15m 1",
        ],
    )
    .await;
    let lines = host(
        "{memory: {metrics: {system.memory.usage: {enabled: false}, system.memory.utilization: {enabled: true}, \
         system.memory.limit: {enabled: true}, system.linux.memory.available: {enabled: true}}}}",
    )
    .lines()
    .await;
    assert_eq!(lines[0], "system.memory.utilization{state=\"used\"} 0.63");
    assert_eq!(lines[6..], ["updown system.memory.limit 1024000", "updown system.linux.memory.available 409600"]);
}

#[tokio::test]
async fn disk() {
    check(
        "{disk: {exclude: {devices: [\"^loop\"], match_type: regexp}}}",
        &[
            "counter system.disk.io{device=\"sda\",direction=\"read\"} 51200",
            "counter system.disk.io{device=\"sda\",direction=\"write\"} 102400",
            "counter system.disk.operations{device=\"sda\",direction=\"read\"} 10",
            "counter system.disk.operations{device=\"sda\",direction=\"write\"} 20",
            "counter system.disk.operation_time{device=\"sda\",direction=\"read\"} 0.5",
            "counter system.disk.operation_time{device=\"sda\",direction=\"write\"} 1.5",
            "counter system.disk.merged{device=\"sda\",direction=\"read\"} 1",
            "counter system.disk.merged{device=\"sda\",direction=\"write\"} 2",
            "counter system.disk.io_time{device=\"sda\"} 2.5",
            "counter system.disk.weighted_io_time{device=\"sda\"} 3.5",
            "updown system.disk.pending_operations{device=\"sda\"} 3",
        ],
    )
    .await;
}

#[tokio::test]
async fn network() {
    let mut host = host(
        "{network: {include: {interfaces: [eth0]}, metrics: {system.network.conntrack.count: {enabled: true}, system.network.conntrack.max: {enabled: true}}}}",
    );
    let lines = host.lines().await;
    assert_eq!(
        lines[..8],
        [
            "counter system.network.io{device=\"eth0\",direction=\"receive\"} 1000",
            "counter system.network.io{device=\"eth0\",direction=\"transmit\"} 2000",
            "counter system.network.packets{device=\"eth0\",direction=\"receive\"} 10",
            "counter system.network.packets{device=\"eth0\",direction=\"transmit\"} 20",
            "counter system.network.errors{device=\"eth0\",direction=\"receive\"} 1",
            "counter system.network.errors{device=\"eth0\",direction=\"transmit\"} 3",
            "counter system.network.dropped{device=\"eth0\",direction=\"receive\"} 2",
            "counter system.network.dropped{device=\"eth0\",direction=\"transmit\"} 4",
        ]
    );
    assert_eq!(lines.len(), 8 + 12 + 2, "{lines:?}");
    for state in ["ESTABLISHED", "LISTEN"] {
        let line = format!("updown system.network.connections{{protocol=\"tcp\",state=\"{state}\"}} 1");
        assert!(lines.contains(&line), "{lines:?}");
    }
    assert_eq!(lines[20..], ["updown system.network.conntrack.count 12", "updown system.network.conntrack.max 1000"]);
}

#[tokio::test]
async fn filesystems_that_stand_on_devices() {
    let mut made = host("{filesystem: {metrics: {system.filesystem.utilization: {enabled: true}}}}");
    let lines = made.lines().await;
    let series: BTreeSet<&str> = lines.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    let data = "device=\"/dev/sda2\",mode=\"ro\",mountpoint=\"/mnt/my data\",type=\"ext4\"";
    for state in ["used", "free", "reserved"] {
        let line = format!("updown system.filesystem.usage{{{data},state=\"{state}\"}}");
        assert!(series.contains(line.as_str()), "{line}: {series:?}");
    }
    assert!(series.contains(format!("updown system.filesystem.inodes.usage{{{data},state=\"free\"}}").as_str()));
    assert!(series.contains(format!("system.filesystem.utilization{{{data}}}").as_str()));
    assert!(!lines.iter().any(|line| line.contains("tmpfs") || line.contains("sda3")), "{lines:?}");
    let unread: f64 = made.meter.read().iter().map(|counter| counter.value()).sum();
    assert_eq!(unread, 1.0, "the one that is gone is counted");
    let lines =
        host("{filesystem: {include_virtual_filesystems: true, include_fs_types: {fs_types: [tmpfs]}}}").lines().await;
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("mountpoint=\"/tmp\"")), "{lines:?}");
}

#[tokio::test]
async fn processes() {
    check(
        "{processes: }",
        &[
            "updown system.processes.count{status=\"blocked\"} 0",
            "updown system.processes.count{status=\"idle\"} 1",
            "updown system.processes.count{status=\"running\"} 0",
            "updown system.processes.count{status=\"sleeping\"} 1",
            "updown system.processes.count{status=\"stopped\"} 0",
            "updown system.processes.count{status=\"unknown\"} 0",
            "updown system.processes.count{status=\"zombies\"} 0",
            "counter system.processes.created 77",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_process_is_a_resource() {
    let page = procfs::page_size();
    check(
        "{process: {include: {names: [post gres]}}}",
        &[
            "resource{process.pid=7,process.parent_pid=1,process.executable.name=\"post gres\",\
             process.executable.path=\"/usr/bin/postgres\",process.command=\"postgres\",\
             process.command_line=\"postgres -D /data\",process.owner=\"db\"}",
            "counter process.cpu.time{state=\"user\"} 2.5",
            "counter process.cpu.time{state=\"system\"} 1.5",
            "counter process.cpu.time{state=\"wait\"} 0.75",
            &format!("updown process.memory.usage {}", 16 * page),
            "updown process.memory.virtual 1048576",
            "counter process.disk.io{direction=\"read\"} 4096",
            "counter process.disk.io{direction=\"write\"} 8192",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_process_by_choice() {
    let on: Vec<String> =
        crate::scrape::PROCESS.iter().map(|spec| format!("{}: {{enabled: true}}", spec.name)).collect();
    let mut host = host(&format!("{{process: {{metrics: {{{}}}}}}}", on.join(", ")));
    let lines = host.lines().await;
    for line in [
        "updown process.threads 3",
        "updown process.signals_pending 2",
        "counter process.paging.faults{type=\"major\"} 5",
        "counter process.paging.faults{type=\"minor\"} 100",
        "counter process.context_switches{type=\"involuntary\"} 9",
        "counter process.disk.operations{direction=\"write\"} 12",
        "process.uptime 500",
    ] {
        assert!(lines.iter().any(|seen| seen == line), "{line}: {lines:?}");
    }
    let unread: f64 = host.meter.read().iter().map(|counter| counter.value()).sum();
    assert_eq!(unread, 3.0, "descriptors of one, and two that have no status");
    host.write(
        "proc/7/stat",
        &FILES.iter().find(|(path, _)| *path == "proc/7/stat").unwrap().1.replace(" 250 150 ", " 350 150 "),
    );
    let (_, lines) = poll(&mut host.polling, NOW + 10).await;
    let line = format!("process.cpu.utilization{{state=\"user\"}} 0.05 @{}", NOW + 10);
    assert!(lines.contains(&line), "1 s of 2 CPUs' 10 s: {lines:?}");
}

#[tokio::test]
async fn young_processes_and_muted_errors() {
    assert!(host("{process: {scrape_process_delay: 10m}}").lines().await.is_empty());
    let mut muted = host("{process: {mute_process_all_errors: true}}");
    muted.lines().await;
    assert!(muted.meter.read().iter().all(|counter| counter.value() == 0.0));
}

#[tokio::test]
async fn sums_start_at_the_boot_and_at_the_process_start() {
    let mut host = host("{memory: , process: , load: }");
    let intake = TestIntake::new(1 << 20);
    let output = PollOutput::of(intake.outputs(&[Signal::Metrics]), Header::default());
    let (_trigger, shutdown) = Shutdown::new();
    let tick =
        Tick { epoch: 1, time: NOW * 1_000_000_000, deadline: Duration::from_secs(60), last_complete: None, shutdown };
    host.polling.poller.poll(&tick, &output).await.unwrap();
    let starts: Vec<BTreeSet<u64>> = intake
        .take()
        .iter()
        .map(|batch| batch.as_metrics().unwrap().tables().points.iter().map(|point| point.start).collect())
        .collect();
    let seconds = |second: u64| BTreeSet::from([second * 1_000_000_000]);
    assert_eq!(starts, [seconds(BOOT), seconds(0), seconds(BOOT + 500)], "memory, load, process");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_the_rest_counts() {
    let mut host = host("{memory: , load: }");
    host.write("proc/meminfo", "nonsense");
    let (end, lines) = poll(&mut host.polling, NOW).await;
    assert_eq!((end.unwrap(), lines.len()), (PassEnd::Partial, 3));
    std::fs::remove_file(host.folder.path().join("proc/loadavg")).unwrap();
    let error = poll(&mut host.polling, NOW).await.0.unwrap_err();
    assert!(error.message.contains("proc/loadavg") && error.message.contains("memory: "), "{error}");
    assert!(!error.message.contains("panic"));
}

#[tokio::test]
async fn this_machine() {
    let mut polling = create::<HostMetricsFactory>(
        "scrapers: {cpu: , memory: , disk: , filesystem: {include_virtual_filesystems: true}, network: , load: , processes: , process: }",
    )
    .unwrap();
    let (end, lines) = poll(&mut polling, NOW).await;
    assert_eq!(end.unwrap(), PassEnd::Complete);
    for name in [
        "system.cpu.time",
        "system.memory.usage",
        "system.filesystem.usage",
        "system.network.io",
        "system.cpu.load_average.1m",
        "system.processes.count",
        "process.cpu.time",
    ] {
        assert!(lines.iter().any(|line| line.contains(name)), "{name}");
    }
    let own = format!("resource{{process.pid={},", std::process::id());
    assert!(lines.iter().any(|line| line.starts_with(&own)), "the test itself");
    assert!(Path::new("/proc/self").exists());
}

#[test]
fn bad_config_is_refused_in_words() {
    let wrong = |yaml: &str| create::<HostMetricsFactory>(yaml).err().unwrap();
    for (yaml, word) in [
        ("{}", "expected at least one of cpu"),
        ("scrapers: {cpu: }\ncollection_interval: 1ms", "at least 1s"),
        ("scrapers: {cpus: }", "cpu"),
        ("scrapers: {paging: }", "exec"),
        ("scrapers: {cpu: {metrics: {system.cpu.tim: {enabled: true}}}}", "system.cpu.time"),
        ("scrapers: {disk: {include: {devices: [\"(\"], match_type: regexp}}}", "scrapers.disk.include"),
        ("scrapers: {filesystem: {exclude_mount_points: {mount_points: []}}}", "exclude_mount_points"),
        ("scrapers: {network: {include: {interfaces: [a], match_type: glob}}}", "regexp"),
    ] {
        let words = wrong(yaml);
        assert!(words.contains(word), "{yaml}: {words}");
    }
}
