//! The operating system: kernel, `/etc`, DNS.
//! Source: OpenTelemetry semantic conventions, host and operating system.

use std::time::Duration;

use super::{Gathered, Known};
use crate::attribute::Attribute;
use crate::config::{HostnameSource, SystemConfig, Wanted};
use crate::machine::Machine;

pub(crate) const ATTRIBUTES: Known = &[
    ("host.arch", false),
    ("host.id", false),
    ("host.name", true),
    ("os.description", false),
    ("os.name", false),
    ("os.type", true),
    ("os.version", false),
];

/// What the system says, in about half of the time if DNS does not answer.
pub(crate) async fn detect(machine: &Machine, config: &SystemConfig, timeout: Duration) -> Vec<Attribute> {
    let wanted = Wanted::new(ATTRIBUTES, &config.resource_attributes);
    let mut found = Gathered::new(&wanted);
    if wanted.has("host.name") {
        found.text("host.name", host_name(machine, &config.hostname_sources, timeout / 2).await);
    }
    found.text("os.type", os_type());
    found.text("host.arch", arch());
    let id = ["etc/machine-id", "var/lib/dbus/machine-id"].into_iter().find_map(|path| machine.file(path));
    found.text("host.id", id.unwrap_or_default());
    let release = ["etc/os-release", "usr/lib/os-release"].into_iter().find_map(|path| machine.file(path));
    let release = release.unwrap_or_default();
    let field = |name: &str| release_field(&release, name).unwrap_or_default();
    found.text("os.name", field("NAME"));
    found.text("os.version", field("VERSION_ID"));
    found.text("os.description", field("PRETTY_NAME"));
    found.attributes
}

/// The name by the first source that knows it.
async fn host_name(machine: &Machine, sources: &[HostnameSource], timeout: Duration) -> String {
    let nodename = machine.nodename();
    for source in sources {
        match source {
            HostnameSource::Os => return nodename,
            HostnameSource::Dns => {
                let asked = tokio::time::timeout(timeout, full_name(machine, &nodename)).await;
                if let Ok(Some(name)) = asked {
                    return name;
                }
            }
        }
    }
    nodename
}

/// The name with its domain: as it is, as `/etc/hosts` has it, or with the first search domain under which it resolves.
async fn full_name(machine: &Machine, nodename: &str) -> Option<String> {
    if nodename.contains('.') {
        return Some(nodename.to_owned());
    }
    let hosts = machine.file("etc/hosts").unwrap_or_default();
    for line in hosts.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let names: Vec<&str> = line.split_whitespace().skip(1).collect();
        if names.contains(&nodename)
            && let Some(full) = names.iter().find(|name| name.contains('.') && !name.starts_with("localhost"))
        {
            return Some((*full).to_owned());
        }
    }
    let resolver = machine.file("etc/resolv.conf").unwrap_or_default();
    let lines = resolver.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let domains = lines.filter(|words| matches!(words.first(), Some(&("search" | "domain"))));
    for domain in domains.flat_map(|words| words[1..].iter().map(|word| word.to_string()).collect::<Vec<_>>()) {
        let name = format!("{nodename}.{}", domain.trim_matches('.'));
        if tokio::net::lookup_host((name.as_str(), 0)).await.is_ok_and(|mut addresses| addresses.next().is_some()) {
            return Some(name);
        }
    }
    None
}

fn release_field(release: &str, name: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

fn os_type() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        os => os,
    }
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "x86",
        "arm" => "arm32",
        "powerpc64" => "ppc64",
        arch => arch,
    }
}
