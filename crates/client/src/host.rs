//! What a machine says of itself (feature `host-facts`).
//!
//! An agent that is given no source of reports makes them of these [`Facts`]. One that has more to say takes them and
//! adds to them:
//!
#![cfg_attr(feature = "achilles", doc = "```no_run")]
#![cfg_attr(not(feature = "achilles"), doc = "```ignore")]
//! use fleetwire_client::achilles::Agent;
//! use fleetwire_client::host::Host;
//! use fleetwire_client::protocol::achilles::SystemMetrics;
//!
//! # fn main() -> Result<(), fleetwire_client::AddressError> {
//! let mut host = Host::new("/var/lib/agent");
//! let agent = Agent::enroll("https://fleet.example/achilles", "acht_00ff")?.report(move || {
//!     let mut report = SystemMetrics::from(&host.facts());
//!     report.hostname = "bench-7".to_owned();
//!     report
//! });
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use sysinfo::{
    CpuRefreshKind, DiskRefreshKind, Disks, MemoryRefreshKind, Networks, ProcessRefreshKind,
    ProcessesToUpdate, RefreshKind, System,
};

use crate::runtime::since_start;

/// What a machine says of itself at one time.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Facts {
    /// Its name on the network; empty if it has none.
    pub hostname: String,
    /// Its operating system, as Rust calls it: `linux`, `macos`, `windows`.
    pub os: &'static str,
    /// The version of that, such as `24.04`; empty if it is not known.
    pub os_version: String,
    /// Its architecture, as Rust calls it: `x86_64`, `aarch64`.
    pub arch: &'static str,
    /// What its processor is called; empty if that is not known.
    pub cpu: String,
    /// Its cores, at least 1.
    pub cores: u32,
    /// Since when it is up.
    pub uptime: Duration,
    /// CPU in use since the facts before these, 0 to 100; since the machine was started where there were none.
    pub cpu_percent: f64,
    /// Memory there is, in bytes.
    pub memory: u64,
    /// Memory in use, in bytes.
    pub memory_used: u64,
    /// Size of the disk, in bytes; 0 if it is not known.
    pub disk: u64,
    /// What is free of it, in bytes.
    pub disk_free: u64,
    /// Its address within its network; IPv4 before IPv6, `None` if it has none but its own.
    pub ip: Option<IpAddr>,
    /// Tells it from all other machines: 64 hex digits, which give away nothing of what they were made of. `None`
    /// where the system has no `machine-id`.
    pub fingerprint: Option<String>,
    /// For how long this process has been an agent.
    pub process_uptime: Duration,
    /// CPU that this process has used since the facts before these, in percent of one core.
    pub process_cpu_percent: f64,
    /// Memory that this process uses, in bytes.
    pub process_memory: u64,
}

/// Asks the machine for its [`Facts`].
pub struct Host {
    system: System,
    networks: Networks,
    disks: Disks,
    folder: PathBuf,
}

impl Host {
    /// This machine. The disk is the one that `folder` lies on, such as that of the agent's state.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let wanted = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing().with_cpu_usage());
        Self {
            system: System::new_with_specifics(wanted),
            networks: Networks::new(),
            disks: Disks::new(),
            // Places of disks are told without links and from the root.
            folder: folder.canonicalize().unwrap_or(folder),
        }
    }

    /// The facts as they are now. Takes some hundred microseconds and waits for nothing.
    pub fn facts(&mut self) -> Facts {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        self.networks.refresh(true);
        self.disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage());
        let (process_cpu_percent, process_memory) = self.process();
        // The disk that lies deepest on the way to the folder.
        let disk = self.disks.iter().filter(|disk| self.folder.starts_with(disk.mount_point()));
        let disk = disk.max_by_key(|disk| disk.mount_point().as_os_str().len());
        Facts {
            hostname: System::host_name().unwrap_or_default(),
            os: std::env::consts::OS,
            os_version: System::os_version().unwrap_or_default(),
            arch: std::env::consts::ARCH,
            cpu: self.system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default(),
            cores: u32::try_from(self.system.cpus().len()).unwrap_or(u32::MAX).max(1),
            uptime: Duration::from_secs(System::uptime()),
            cpu_percent: percent(self.system.global_cpu_usage().into()).min(100.0),
            memory: self.system.total_memory(),
            memory_used: self.system.used_memory(),
            disk: disk.map_or(0, sysinfo::Disk::total_space),
            disk_free: disk.map_or(0, sysinfo::Disk::available_space),
            ip: self.ip(),
            fingerprint: fingerprint(),
            process_uptime: since_start(),
            process_cpu_percent,
            process_memory,
        }
    }

    fn process(&mut self) -> (f64, u64) {
        let Ok(id) = sysinfo::get_current_pid() else { return (0.0, 0) };
        let wanted = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), true, wanted);
        self.system
            .process(id)
            .map_or((0.0, 0), |process| (percent(process.cpu_usage().into()), process.memory()))
    }

    fn ip(&self) -> Option<IpAddr> {
        let all = self.networks.values().flat_map(|network| network.ip_networks());
        // In the order of their numbers: the map of networks has a different order each time.
        all.map(|network| network.addr).filter(|ip| is_reachable(*ip)).min()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Whether others on the network can use an address.
fn is_reachable(ip: IpAddr) -> bool {
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(ip.is_loopback() || ip.is_unspecified() || local)
}

/// A share, as one decimal: finer is noise.
fn percent(share: f64) -> f64 {
    let share = if share.is_finite() { share.max(0.0) } else { 0.0 };
    (share * 10.0).round() / 10.0
}

/// Tells this machine from all others.
fn fingerprint() -> Option<String> {
    let id = ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .into_iter()
        .find_map(|path| std::fs::read_to_string(path).ok().filter(|id| id.trim().len() >= 32))?;
    // The id itself is not for strangers (machine-id(5)).
    Some(fingerprint_of(id.trim()))
}

fn fingerprint_of(id: &str) -> String {
    let digest = digest(&SHA256, format!("fleetwire host fingerprint 1\n{id}").as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// In the dialects' units and words.
impl Facts {
    /// A report of a host and of one agent on it, for AgentMC. The host is known by `fingerprint`, which has 64 to 128
    /// characters, the agent by the id that the server has given it, from 1. The machine does not know its address
    /// outside: the one inside stands there as well. `None` for a machine without an address.
    #[cfg(feature = "agentmc")]
    #[must_use]
    pub fn for_agentmc(
        &self,
        fingerprint: &str,
        id: i64,
        agent: &str,
        version: &str,
    ) -> Option<fleetwire_protocol::agentmc::HeartbeatRequest> {
        use fleetwire_protocol::agentmc::{
            AgentReport, Disk, HeartbeatRequest, HostFacts, HostReport, HostRuntime, Network, Runtime,
            RuntimeMeta,
        };
        use fleetwire_protocol::wire::TextOr;

        let ip = self.ip?.to_string();
        let host = HostFacts::new(
            self.hostname.as_str(),
            ip.as_str(),
            Network::new(ip.as_str(), ip.as_str()),
            self.os,
            or_unknown(&self.os_version),
            self.arch,
            TextOr::Text(or_unknown(&self.cpu).to_owned()),
            self.cores.min(4096),
            (self.memory as f64 / 1e8).round() / 10.0,
            Disk::new(self.disk, self.disk_free),
            self.uptime.as_secs(),
            HostRuntime::new(agent, version),
        );
        Some(HeartbeatRequest::new(
            RuntimeMeta::new(Runtime::new(agent, version)),
            HostReport::new(fingerprint, self.hostname.as_str(), host),
            AgentReport::new(id, agent, TextOr::Text(agent.to_owned())),
        ))
    }

    /// A report of an agent of this version, for ZStack.
    #[cfg(feature = "zstack")]
    #[must_use]
    pub fn for_zstack(&self, version: &str) -> fleetwire_protocol::zstack::HeartbeatRequest {
        let memory = self.memory_used as f64 / self.memory.max(1) as f64 * 100.0;
        fleetwire_protocol::zstack::HeartbeatRequest::new(
            version,
            self.process_uptime.as_secs_f64().floor(),
            self.cpu_percent,
            percent(memory).min(100.0),
        )
    }
}

/// A check-in of a device that is well. Which device it is, its agent fills in.
#[cfg(feature = "acusight")]
impl From<&Facts> for fleetwire_protocol::acusight::CheckinRequest {
    fn from(facts: &Facts) -> Self {
        let mut report = Self::new("");
        report.ip_address = facts.ip.map(|ip| ip.to_string());
        report.status = Some("healthy".to_owned());
        report
    }
}

/// The operating system and the architecture are in Go's words, memory and disk in units of 2^20 bytes, as the
/// vendor's own agent has them.
#[cfg(feature = "achilles")]
impl From<&Facts> for fleetwire_protocol::achilles::SystemMetrics {
    fn from(facts: &Facts) -> Self {
        let megabytes = |bytes: u64| (bytes >> 20) as f64;
        let mut report = Self::new(
            facts.hostname.as_str(),
            crate::achilles::os(facts.os),
            crate::achilles::arch(facts.arch),
            facts.uptime.as_secs() as f64,
            facts.cpu_percent,
            megabytes(facts.memory_used),
            megabytes(facts.disk_free),
        );
        report.total_memory_mb = Some(megabytes(facts.memory).into());
        report.process_cpu_percent = Some(facts.process_cpu_percent.into());
        report.process_memory_mb = Some(megabytes(facts.process_memory).into());
        report
    }
}

#[cfg(feature = "agentmc")]
fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_nobody_else_can_use_is_none() {
        for own in ["127.0.0.1", "0.0.0.0", "169.254.3.4", "::1", "::", "fe80::1"] {
            assert!(!is_reachable(own.parse().unwrap()), "{own}");
        }
        for good in ["10.0.2.15", "192.0.2.1", "2001:db8::1"] {
            assert!(is_reachable(good.parse().unwrap()), "{good}");
        }
        let both: [IpAddr; 2] = ["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()];
        assert_eq!(both.into_iter().min(), Some(both[1]), "IPv4 is preferred");
    }

    #[test]
    fn a_share_that_is_no_number_is_none() {
        assert_eq!(percent(f64::NAN), 0.0);
        assert_eq!(percent(-3.0), 0.0);
        assert_eq!(percent(12.345), 12.3);
    }

    #[test]
    fn a_fingerprint_gives_nothing_away_and_differs_by_machine() {
        let (one, other) = ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdee");
        assert_eq!(fingerprint_of(one).len(), 64);
        assert_eq!(fingerprint_of(one), fingerprint_of(one));
        assert_ne!(fingerprint_of(one), fingerprint_of(other));
        assert!(!fingerprint_of(one).contains(&one[..8]));
    }
}
