//! What a server runs with: defaults, then the file, then the environment, then flags.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use fleetwire_server::{Rooting, Settings, mounts};
use fleetwire_server_core::Rate;
use fleetwire_server_core::domain::BatchLimits;
use fleetwire_server_core::lease::Cadence;
use fleetwire_validation::{HouseRules, NotSwitchable, Rule, rules};
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
    /// Bounds on what strangers can send.
    pub(crate) limits: Limits,
    /// Seconds between two check-ins, by vendor.
    pub(crate) interval: Intervals,
    /// What devices may put where.
    pub(crate) batches: Batches,
    /// What is kept of what has happened.
    pub(crate) events: Events,
    /// Rules that are ours.
    pub(crate) rules: Rules,
}

/// Bounds on what strangers can send.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    connections: Option<usize>,
    header_seconds: Option<u64>,
    body_seconds: Option<u64>,
    requests_per_minute: Option<u32>,
    burst: Option<u32>,
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

impl File {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not a configuration", path.display()))
    }

    /// The server's bounds.
    pub(crate) fn settings(&self) -> Result<Settings> {
        for (host, vendor) in &self.hosts {
            let known = mounts().iter().any(|mount| mount.vendor == vendor);
            let names: Vec<_> = mounts().iter().map(|mount| mount.vendor).collect();
            ensure!(known, "hosts.{host}: there is no vendor {vendor}; there are {}", names.join(", "));
        }
        if let Some(url) = &self.public_url {
            let good = url.starts_with("http://") || url.starts_with("https://");
            ensure!(good, "public_url: {url} does not begin with http:// or https://");
        }
        let mut settings = Settings {
            public_url: self.public_url.clone(),
            rooting: Rooting { hosts: self.hosts.clone(), listener: None },
            ..Settings::default()
        };
        if let Some(connections) = self.limits.connections {
            ensure!(connections > 0, "limits.connections: at least 1");
            settings.connections = connections;
        }
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
        if let Some(days) = self.events.keep_days {
            ensure!((1..=3650).contains(&days), "events.keep_days: between 1 and 3650, not {days}");
            config.keep_events = Duration::from_secs(u64::from(days) * 24 * 3600);
        }
        config.house_rules = self.rules.in_force()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<File> {
        Ok(toml::from_str(text)?)
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_with_those_that_there_are() {
        let error = read("lisen = \"127.0.0.1:1\"").unwrap_err().to_string();
        assert!(error.contains("`lisen`") && error.contains("`listen`"), "{error}");
        let error = read("[limits]\nconections = 1").unwrap_err().to_string();
        assert!(error.contains("`conections`") && error.contains("`connections`"), "{error}");
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
            ("[events]\nkeep_days = 0", "events.keep_days"),
        ] {
            let error = read(text).unwrap().core().unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
        for (text, place) in [
            ("public_url = \"fleet.example\"", "public_url"),
            ("[limits]\nconnections = 0", "limits.connections"),
            ("[hosts]\n\"a.example\" = \"nobody\"", "hosts.a.example"),
        ] {
            let error = read(text).unwrap().settings().unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
    }
}
