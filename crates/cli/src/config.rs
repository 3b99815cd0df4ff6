//! What a server runs with: defaults, then the file, then the environment, then flags.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use fleetwire_server::{AddressLimits, ObjectLimits, Rooting, Settings, mounts};
use fleetwire_server_core::Rate;
use fleetwire_server_core::domain::BatchLimits;
use fleetwire_server_core::lease::{Cadence, Sampling};
use fleetwire_validation::{HouseRules, NotSwitchable, Rule, rules};
use ipnet::IpNet;
use serde::Deserialize;

/// The file `fleetwire.toml`. Everything may be left out; a key that is not listed here is an error.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    /// Address to listen on.
    pub(crate) listen: Option<SocketAddr>,
    /// Folder of the database.
    pub(crate) data: Option<PathBuf>,
    /// Address that agents are told to use.
    pub(crate) public_url: Option<String>,
    /// Host names at whose root a vendor stands.
    pub(crate) hosts: HashMap<String, String>,
    /// Further addresses to listen on, each for one vendor at its root.
    pub(crate) listeners: Vec<OwnListener>,
    /// What stands before this server.
    pub(crate) server: Server,
    /// Bounds on what strangers can send.
    pub(crate) limits: Limits,
    /// Seconds between two check-ins, by vendor.
    pub(crate) interval: Intervals,
    /// What devices may put where.
    pub(crate) batches: Batches,
    /// What is kept of what has happened.
    pub(crate) events: Events,
    /// What is kept of what agents have reported.
    pub(crate) history: History,
    /// What is committed when.
    pub(crate) durability: Durability,
    /// The files that agents fetch.
    pub(crate) objects: ObjectFiles,
    /// Rules that are ours.
    pub(crate) rules: Rules,
}

/// The files that agents fetch.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ObjectFiles {
    /// Their folder; beside the database if nothing is said.
    dir: Option<PathBuf>,
    /// Mebibytes that the file of a release may have.
    release_mib: Option<u64>,
    /// Mebibytes that a binary may have.
    binary_mib: Option<u64>,
    /// Mebibytes that a model may have.
    model_mib: Option<u64>,
}

impl ObjectFiles {
    fn limits(&self) -> Result<ObjectLimits> {
        let mut limits = ObjectLimits::default();
        for (name, mib, limit) in [
            ("release_mib", self.release_mib, &mut limits.release),
            ("binary_mib", self.binary_mib, &mut limits.binary),
            ("model_mib", self.model_mib, &mut limits.model),
        ] {
            if let Some(mib) = mib {
                ensure!((1..=1 << 20).contains(&mib), "objects.{name}: between 1 and 1048576, not {mib}");
                *limit = mib << 20;
            }
        }
        Ok(limits)
    }
}

/// An address to listen on for one vendor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnListener {
    /// The address; port 0 takes a free one.
    pub(crate) address: SocketAddr,
    /// The vendor that stands at its root.
    pub(crate) vendor: String,
}

/// What stands before this server.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// Addresses and networks of proxies whose `X-Forwarded-For` is believed.
    trusted_proxies: Vec<String>,
}

impl Server {
    fn trusted(&self) -> Result<Vec<IpNet>> {
        let network = |text: &String| {
            let address = text.parse::<IpAddr>().map(IpNet::from);
            address.or_else(|_| text.parse()).map_err(|_| {
                anyhow!("server.trusted_proxies: {text} is no address and no network such as 10.0.0.0/8")
            })
        };
        self.trusted_proxies.iter().map(network).collect()
    }
}

/// Bounds on what strangers can send.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    connections: Option<usize>,
    /// Requests of agents under way at one time.
    in_flight: Option<usize>,
    /// Mebibytes that bodies may hold which arrive piece by piece.
    body_mib: Option<usize>,
    /// How often an address may ask.
    address: Address,
    header_seconds: Option<u64>,
    body_seconds: Option<u64>,
    requests_per_minute: Option<u32>,
    burst: Option<u32>,
    agents_per_tenant: Option<u64>,
    agents_per_host: Option<u32>,
}

/// How often an address may ask.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Address {
    /// As often as it likes.
    off: bool,
    /// Callers on the same machine are counted too.
    loopback: bool,
    /// Agents are not held to the paces that vendors document.
    no_paces: bool,
    newcomers: Option<Pace>,
    downloads: Option<Pace>,
    failures: Option<Pace>,
}

/// So many requests a minute, and so many at once after a quiet time.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pace {
    per_minute: u32,
    burst: Option<u32>,
}

impl Pace {
    fn rate(self, place: &str) -> Result<Rate> {
        let Self { per_minute, burst } = self;
        let burst = burst.unwrap_or(per_minute);
        let sensible = (1..=60_000).contains(&per_minute);
        ensure!(sensible, "{place}.per_minute: between 1 and 60000, not {per_minute}");
        // More would be worked off after a day only, and be remembered for that long.
        ensure!(burst >= 1 && burst / per_minute <= 1440, "{place}.burst: between 1 and a day's requests");
        Ok(Rate { per_minute, burst })
    }
}

impl Address {
    fn limits(&self, trusted_proxies: Vec<IpNet>) -> Result<AddressLimits> {
        let documented =
            AddressLimits { trusted_proxies, loopback: self.loopback, ..AddressLimits::default() };
        let said = [self.newcomers, self.downloads, self.failures].iter().any(Option::is_some);
        let said = said || self.loopback || self.no_paces;
        ensure!(!(self.off && said), "limits.address.off: then nothing else can be said of it");
        let rate = |name: &str, pace: Option<Pace>, documented: Option<Rate>| match pace {
            _ if self.off => Ok(None),
            Some(pace) => pace.rate(&format!("limits.address.{name}")).map(Some),
            None => Ok(documented),
        };
        Ok(AddressLimits {
            newcomers: rate("newcomers", self.newcomers, documented.newcomers)?,
            downloads: rate("downloads", self.downloads, documented.downloads)?,
            failures: rate("failures", self.failures, documented.failures)?,
            paces: !self.off && !self.no_paces,
            ..documented
        })
    }
}

/// What is kept of what agents have reported.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct History {
    /// Minutes between two reports that are kept.
    minutes: Option<u64>,
    /// For how many days they are kept.
    keep_days: Option<u64>,
}

impl History {
    fn sampling(&self) -> Result<Sampling> {
        let minutes = self.minutes.unwrap_or(60);
        let days = self.keep_days.unwrap_or(30);
        ensure!((1..=1440).contains(&minutes), "history.minutes: between 1 and 1440, not {minutes}");
        ensure!((1..=366).contains(&days), "history.keep_days: between 1 and 366, not {days}");
        Ok(Sampling { every: Duration::from_secs(minutes * 60), keep: Duration::from_secs(days * 86_400) })
    }
}

/// What is committed when.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Durability {
    heartbeat: Commit,
}

/// When a check-in that changes nothing else is committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Commit {
    /// With the next flush, once a second.
    #[default]
    Lease,
    /// Before it is answered.
    Committed,
}

/// Seconds between two check-ins, by vendor.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Intervals {
    acusight: Option<u64>,
    zstack: Option<u64>,
    agentmc: Option<u64>,
    achilles: Option<u64>,
}

/// What devices may put where.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Batches {
    images: Option<u32>,
    minutes: Option<u64>,
    quota: Option<u64>,
}

/// What is kept of what has happened.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Events {
    /// For how many days.
    keep_days: Option<u32>,
}

/// Rules that are ours.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rules {
    /// The ids of those that are switched off.
    off: Vec<String>,
}

impl Rules {
    fn in_force(&self) -> Result<HouseRules> {
        HouseRules::without(&self.off).map_err(|error| match &error {
            NotSwitchable::Unknown(id) => anyhow!("rules.off: {error}; the nearest is {}", nearest(id)),
            _ => anyhow!("rules.off: {error}, which cannot be switched off"),
        })
    }
}

/// The id, of those that can be switched off, that is the most like a text.
fn nearest(id: &str) -> &'static str {
    let likeness = |rule: &&Rule| strsim::jaro_winkler(id, rule.id);
    let switchable = rules().filter(|rule| rule.is_switchable());
    let nearest = switchable.max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    nearest.map_or("none", |rule| rule.id)
}

/// The known key that is the most like the unknown one of a complaint, which names both in this order:
/// ``unknown field `a`, expected one of `b`, `c` ``.
fn nearest_key(complaint: &str) -> Option<&str> {
    let names = complaint.strip_prefix("unknown field ")?;
    let mut names = names.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let likeness = |known: &&str| strsim::jaro_winkler(unknown, known);
    names.max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
}

impl File {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not a configuration", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error: toml::de::Error| match nearest_key(error.message()) {
            Some(nearest) => anyhow!("{}\nthe nearest is `{nearest}`", error.to_string().trim_end()),
            None => error.into(),
        })
    }

    /// The server's bounds.
    pub(crate) fn settings(&self) -> Result<Settings> {
        for (host, vendor) in &self.hosts {
            check_vendor(&format!("hosts.{host}"), vendor)?;
        }
        for (place, listener) in (1..).zip(&self.listeners) {
            check_vendor(&format!("listeners, number {place}"), &listener.vendor)?;
        }
        if let Some(url) = &self.public_url {
            let good = url.starts_with("http://") || url.starts_with("https://");
            ensure!(good, "public_url: {url} does not begin with http:// or https://");
        }
        let mut settings = Settings {
            public_url: self.public_url.clone(),
            objects: self.objects.dir.clone(),
            object_limits: self.objects.limits()?,
            rooting: Rooting { hosts: self.hosts.clone(), listener: None },
            ..Settings::default()
        };
        if let Some(connections) = self.limits.connections {
            ensure!(connections > 0, "limits.connections: at least 1");
            settings.connections = connections;
        }
        if let Some(in_flight) = self.limits.in_flight {
            ensure!(in_flight > 0, "limits.in_flight: at least 1");
            settings.in_flight = in_flight;
        }
        if let Some(mib) = self.limits.body_mib {
            ensure!((1..=65_536).contains(&mib), "limits.body_mib: between 1 and 65536, not {mib}");
            settings.body_bytes = mib << 20;
        }
        settings.addresses = self.limits.address.limits(self.server.trusted()?)?;
        if let Some(seconds) = self.limits.header_seconds {
            settings.header_timeout = Duration::from_secs(seconds);
        }
        if let Some(seconds) = self.limits.body_seconds {
            settings.body_timeout = Duration::from_secs(seconds);
        }
        Ok(settings)
    }

    /// What the core decides with.
    pub(crate) fn core(&self) -> Result<fleetwire_server_core::Config> {
        let mut config = fleetwire_server_core::Config::default();
        let cadences = [
            ("acusight", self.interval.acusight, &mut config.acusight),
            ("zstack", self.interval.zstack, &mut config.zstack),
            ("agentmc", self.interval.agentmc, &mut config.agentmc),
            ("achilles", self.interval.achilles, &mut config.achilles),
        ];
        for (vendor, seconds, cadence) in cadences {
            if let Some(seconds) = seconds {
                let sensible = (1..=86_400).contains(&seconds);
                ensure!(sensible, "interval.{vendor}: between 1 and 86400 seconds, not {seconds}");
                *cadence = Cadence::seconds(seconds);
            }
        }
        let defaults = BatchLimits::default();
        config.batches = BatchLimits {
            images: self.batches.images.unwrap_or(defaults.images),
            age: self
                .batches
                .minutes
                .map_or(defaults.age, |minutes| Duration::from_secs(minutes.saturating_mul(60))),
            quota: self.batches.quota.unwrap_or(defaults.quota),
        };
        ensure!(config.batches.images > 0, "batches.images: at least 1");
        if let Some(per_minute) = self.limits.requests_per_minute {
            ensure!(per_minute > 0, "limits.requests_per_minute: at least 1");
            let burst = self.limits.burst.unwrap_or(per_minute);
            ensure!(burst > 0, "limits.burst: at least 1");
            config.rate = Some(Rate { per_minute, burst });
        } else {
            ensure!(self.limits.burst.is_none(), "limits.burst: means nothing without requests_per_minute");
        }
        if let Some(agents) = self.limits.agents_per_tenant {
            ensure!(agents > 0, "limits.agents_per_tenant: at least 1");
            config.agents_per_tenant = agents;
        }
        if let Some(agents) = self.limits.agents_per_host {
            ensure!(agents > 0, "limits.agents_per_host: at least 1");
            config.agents_per_host = agents;
        }
        if let Some(days) = self.events.keep_days {
            ensure!((1..=3650).contains(&days), "events.keep_days: between 1 and 3650, not {days}");
            config.keep_events = Duration::from_secs(u64::from(days) * 24 * 3600);
        }
        config.sampling = self.history.sampling()?;
        config.commits_check_ins = self.durability.heartbeat == Commit::Committed;
        config.house_rules = self.rules.in_force()?;
        Ok(config)
    }
}

fn check_vendor(place: &str, vendor: &str) -> Result<()> {
    let names: Vec<_> = mounts().iter().map(|mount| mount.vendor).collect();
    ensure!(names.contains(&vendor), "{place}: there is no vendor {vendor}; there are {}", names.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<File> {
        File::parse(text)
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_with_those_that_there_are() {
        let error = read("lisen = \"127.0.0.1:1\"").unwrap_err().to_string();
        assert!(error.contains("`lisen`") && error.contains("`listen`"), "{error}");
        let error = read("[limits]\nconections = 1").unwrap_err().to_string();
        assert!(error.contains("`conections`") && error.contains("`connections`"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_at_every_depth() {
        for (text, nearest) in [
            ("lisen = \"127.0.0.1:1\"", "listen"),
            ("[limits]\nin_fligt = 1", "in_flight"),
            ("[limits.address]\nnewcomer = { per_minute = 1 }", "newcomers"),
            ("[limits.address]\nfailures = { per_minutes = 1 }", "per_minute"),
            ("[[listeners]]\naddres = \"127.0.0.1:1\"", "address"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.ends_with(&format!("the nearest is `{nearest}`")), "{error}");
        }
        for text in ["[server]\ntrusted_proxy = []", "[durability]\nheartbeats = \"lease\""] {
            let error = read(text).unwrap_err().to_string();
            assert!(
                error.contains("the nearest is `trusted_proxies`") || error.contains("`heartbeat`"),
                "{error}"
            );
        }
        assert!(!read("listen = 7").unwrap_err().to_string().contains("nearest"));
    }

    #[test]
    fn addresses_are_held_to_the_documented_numbers_or_to_those_that_are_said() {
        let limits = |text| read(text).unwrap().settings().unwrap().addresses;
        assert_eq!(limits(""), AddressLimits::default());
        let off = limits("[limits.address]\noff = true");
        assert_eq!((off.newcomers, off.downloads, off.failures, off.paces), (None, None, None, false));
        let set = limits("[limits.address]\nloopback = true\nnewcomers = { per_minute = 2, burst = 9 }");
        assert_eq!(set.newcomers, Some(Rate { per_minute: 2, burst: 9 }));
        assert!(set.loopback && set.paces && set.downloads == AddressLimits::default().downloads);
        let behind = limits("[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]").trusted_proxies;
        let expected: [IpNet; 2] = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        assert_eq!(behind, expected);
    }

    #[test]
    fn heartbeats_are_leases_unless_they_are_to_be_committed() {
        let commits = |text| read(text).unwrap().core().unwrap().commits_check_ins;
        assert!(!commits("") && !commits("[durability]\nheartbeat = \"lease\""));
        assert!(commits("[durability]\nheartbeat = \"committed\""));
        assert!(read("[durability]\nheartbeat = \"never\"").is_err());
    }

    #[test]
    fn an_interval_sets_what_silence_means() {
        let config = read("[interval]\nzstack = 10").unwrap().core().unwrap();
        assert_eq!(config.zstack.offline_after, Duration::from_secs(30));
        assert_eq!(config.acusight.interval, Duration::from_secs(30));
    }

    #[test]
    fn events_are_kept_for_thirty_days_or_as_long_as_is_said() {
        let kept = |text| read(text).unwrap().core().unwrap().keep_events;
        assert_eq!(kept(""), Duration::from_secs(30 * 86_400));
        assert_eq!(kept("[events]\nkeep_days = 7"), Duration::from_secs(7 * 86_400));
    }

    #[test]
    fn a_tenant_has_room_for_a_hundred_thousand_agents_or_as_many_as_is_said() {
        let room = |text| read(text).unwrap().core().unwrap().agents_per_tenant;
        assert_eq!(room(""), 100_000);
        assert_eq!(room("[limits]\nagents_per_tenant = 7"), 7);
    }

    #[test]
    fn a_house_rule_is_switched_off_by_its_id() {
        let id = "acusight.notify_image.annotations.geometry.range";
        let config = read(&format!("[rules]\noff = [{id:?}]")).unwrap().core().unwrap();
        let rule = fleetwire_validation::find_rule(id).unwrap();
        assert!(HouseRules::ALL.keeps(rule) && !config.house_rules.keeps(rule));
        assert_eq!(read("").unwrap().core().unwrap().house_rules, HouseRules::ALL);
    }

    #[test]
    fn a_rule_that_cannot_be_switched_off_is_refused_by_name() {
        for (id, said) in [
            (
                "acusight.notify_image.annotation.geometry.range",
                "rules.off: there is no rule \"acusight.notify_image.annotation.geometry.range\"; the nearest is \
                 acusight.notify_image.annotations.geometry.range",
            ),
            (
                "zstack.heartbeat.cpuUsage.range",
                "rules.off: zstack.heartbeat.cpuUsage.range is a rule of the source, which cannot be switched off",
            ),
        ] {
            let error = read(&format!("[rules]\noff = [{id:?}]")).unwrap().core().unwrap_err().to_string();
            assert_eq!(error, said);
        }
    }

    #[test]
    fn values_that_make_no_sense_are_refused_by_place() {
        for (text, place) in [
            ("[interval]\nachilles = 0", "interval.achilles"),
            ("[batches]\nimages = 0", "batches.images"),
            ("[limits]\nagents_per_tenant = 0", "limits.agents_per_tenant"),
            ("[events]\nkeep_days = 0", "events.keep_days"),
            ("[history]\nminutes = 0", "history.minutes"),
            ("[history]\nkeep_days = 367", "history.keep_days"),
        ] {
            let error = read(text).unwrap().core().unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
        for (text, place) in [
            ("public_url = \"fleet.example\"", "public_url"),
            ("[limits]\nconnections = 0", "limits.connections"),
            ("[limits]\nin_flight = 0", "limits.in_flight"),
            ("[limits]\nbody_mib = 0", "limits.body_mib"),
            ("[limits.address]\nnewcomers = { per_minute = 0 }", "limits.address.newcomers.per_minute"),
            (
                "[limits.address]\nfailures = { per_minute = 1, burst = 1441 }",
                "limits.address.failures.burst",
            ),
            ("[limits.address]\noff = true\nloopback = true", "limits.address.off"),
            ("[server]\ntrusted_proxies = [\"proxy.example\"]", "server.trusted_proxies"),
            ("[[listeners]]\naddress = \"127.0.0.1:0\"\nvendor = \"nobody\"", "listeners, number 1"),
            ("[hosts]\n\"a.example\" = \"nobody\"", "hosts.a.example"),
        ] {
            let error = read(text).unwrap().settings().unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
    }
}
