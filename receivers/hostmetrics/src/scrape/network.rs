//! The scraper `network`: `proc/net`.

use procfs::net::{InterfaceDeviceStatus, TcpNetEntries, TcpState};

use super::{Scrape, Unread};
use crate::filter::Filter;
use crate::machine::{Machine, Unreadable, read, read_si, read_text};
use crate::sheet::{MetricSpec, Sheet, Switches};

pub(crate) const NETWORK: &[MetricSpec] = &[
    MetricSpec::counter("system.network.io", "By", "Bytes received and transmitted."),
    MetricSpec::counter("system.network.packets", "{packets}", "Packets received and transmitted."),
    MetricSpec::counter("system.network.errors", "{errors}", "Errors."),
    MetricSpec::counter("system.network.dropped", "{packets}", "Packets dropped."),
    MetricSpec::updown("system.network.connections", "{connections}", "TCP connections by state."),
    MetricSpec::updown("system.network.conntrack.count", "{entries}", "Entries of the connection tracking table.")
        .off(),
    MetricSpec::updown("system.network.conntrack.max", "{entries}", "The most entries that the table takes.").off(),
];

pub(crate) struct Network {
    on: Switches,
    interfaces: Filter,
}

impl Network {
    pub(crate) fn new(on: Switches, interfaces: Filter) -> Network {
        Network { on, interfaces }
    }

    fn interfaces(&self, machine: &Machine, sheet: &mut Sheet) -> Result<(), Unreadable> {
        let InterfaceDeviceStatus(all) = read(&machine.net("dev"))?;
        let mut all: Vec<_> = all.into_values().filter(|one| self.interfaces.admits(&one.name)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        for one in all {
            let received = (one.recv_bytes, one.recv_packets, one.recv_errs, one.recv_drop);
            let sent = (one.sent_bytes, one.sent_packets, one.sent_errs, one.sent_drop);
            for (direction, (bytes, packets, errors, dropped)) in [("receive", received), ("transmit", sent)] {
                let attributes = [("device", one.name.as_str()), ("direction", direction)];
                sheet.int(&self.on, "system.network.io", &attributes, bytes);
                sheet.int(&self.on, "system.network.packets", &attributes, packets);
                sheet.int(&self.on, "system.network.errors", &attributes, errors);
                sheet.int(&self.on, "system.network.dropped", &attributes, dropped);
            }
        }
        Ok(())
    }

    fn connections(&self, machine: &Machine, sheet: &mut Sheet) -> Result<(), Unreadable> {
        let mut counts = STATES.map(|_| 0u64);
        for file in ["tcp", "tcp6"] {
            let path = machine.net(file);
            // Without IPv6 there is no file for it.
            if file == "tcp6" && !path.exists() {
                continue;
            }
            let TcpNetEntries(entries) = read_si(&path)?;
            entries.iter().for_each(|entry| counts[row(&entry.state)] += 1);
        }
        for (state, count) in STATES.into_iter().zip(counts) {
            sheet.int(&self.on, "system.network.connections", &[("protocol", "tcp"), ("state", state)], count);
        }
        Ok(())
    }

    fn conntrack(&self, machine: &Machine, sheet: &mut Sheet) -> Result<(), Unreadable> {
        for (name, file) in [
            ("system.network.conntrack.count", "nf_conntrack_count"),
            ("system.network.conntrack.max", "nf_conntrack_max"),
        ] {
            if self.on.has(name) {
                let text = read_text(&machine.path(&format!("proc/sys/net/netfilter/{file}")))?;
                if let Ok(entries) = text.trim().parse() {
                    sheet.int(&self.on, name, &[], entries);
                }
            }
        }
        Ok(())
    }
}

/// The Collector's words.
const STATES: [&str; 12] = [
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECEIVED",
    "FIN_WAIT_1",
    "FIN_WAIT_2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "DELETE",
];

fn row(state: &TcpState) -> usize {
    match state {
        TcpState::Established => 0,
        TcpState::SynSent => 1,
        TcpState::SynRecv | TcpState::NewSynRecv => 2,
        TcpState::FinWait1 => 3,
        TcpState::FinWait2 => 4,
        TcpState::TimeWait => 5,
        TcpState::Close => 6,
        TcpState::CloseWait => 7,
        TcpState::LastAck => 8,
        TcpState::Listen => 9,
        TcpState::Closing => 10,
    }
}

impl Scrape for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    fn scrape(&mut self, machine: &Machine, sheet: &mut Sheet, _: &Unread) -> Result<(), Unreadable> {
        self.interfaces(machine, sheet)?;
        if self.on.has("system.network.connections") {
            self.connections(machine, sheet)?;
        }
        self.conntrack(machine, sheet)
    }
}
