//! What holds strangers back: who is asking, how often, and how much at once.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use fleetwire_protocol::{AuthHeader, Fault, Pace, Traffic};
use fleetwire_server_core::{Meters, Rate};
use http::HeaderMap;
use ipnet::IpNet;

/// Addresses, and agents at addresses, that are counted at one time.
const COUNTS: usize = 1 << 18;

/// How long a key that was good is known to be, where others from the same address were not.
const REMEMBERED: chrono::Duration = chrono::Duration::hours(1);

/// Where a request comes from: an extension of each that reaches the [`AgentService`](crate::AgentService).
///
/// [`serve`](crate::serve) puts it there. Without it nobody is held to limits by address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// How often an address may ask. Addresses of IPv6 count by their networks of 64 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressLimits {
    /// How often one address may enrol, provision or register something.
    pub newcomers: Option<Rate>,
    /// How often one address may begin a download.
    pub downloads: Option<Rate>,
    /// Whether agents are held to the pace that their vendor documents, each at its address.
    pub paces: bool,
    /// How often one address may fail to sign in. Then nobody there is heard, whatever key they present, but who
    /// has signed in from there within the last hour.
    pub failures: Option<Rate>,
    /// Whether all this is for callers on the same machine too.
    pub loopback: bool,
    /// The proxies whose word in `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for AddressLimits {
    /// The numbers of the one vendor that documents some: 300 in 15 minutes for enrolments and for downloads. A
    /// key is not guessed by 60 tries a minute, and a fleet whose keys have ended is not shut out by fewer.
    fn default() -> Self {
        let documented = Rate { per_minute: 20, burst: 300 };
        Self {
            newcomers: Some(documented),
            downloads: Some(documented),
            paces: true,
            failures: Some(Rate { per_minute: 60, burst: 300 }),
            loopback: false,
            trusted_proxies: Vec::new(),
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Count {
    Newcomers(Network),
    Downloads(Network),
    Failures(Network),
    /// What comes with a key.
    Requests(Network, u64),
    /// Not a count: that a key was good.
    Good(Network, u64),
}

/// Addresses that are one to us: of IPv6 a household has as many as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(IpAddr);

impl Network {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self(address),
            IpAddr::V6(address) => Self(IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into())),
        }
    }
}

/// A request of somebody who is held to limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visit {
    network: Network,
    /// The key that was presented, of which nothing is kept that could be used.
    key: Option<u64>,
}

/// Counts who comes, by address.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: AddressLimits,
    counts: Meters<Count>,
    hashes: RandomState,
}

impl Gate {
    pub(crate) fn new(limits: AddressLimits) -> Self {
        Self { limits, counts: Meters::new(COUNTS), hashes: RandomState::new() }
    }

    /// Who is asking, if they are held to limits. `secrets` are the headers in which a key may be.
    pub(crate) fn visit<'a>(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        secrets: impl Iterator<Item = &'a str>,
    ) -> Option<Visit> {
        let address = self.address(peer.to_canonical(), headers);
        if address.is_loopback() && !self.limits.loopback {
            return None;
        }
        let mut hasher = self.hashes.build_hasher();
        let mut presented = false;
        for value in secrets.filter_map(|name| headers.get(name)) {
            value.as_bytes().hash(&mut hasher);
            presented = true;
        }
        Some(Visit { network: Network::of(address), key: presented.then(|| hasher.finish()) })
    }

    /// The address that a request comes from: what proxies say that are trusted, read from the last one on, and
    /// no further than the first that is not.
    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusted =
            |address: &IpAddr| self.limits.trusted_proxies.iter().any(|network| network.contains(address));
        if !trusted(&peer) {
            return peer;
        }
        let hops = headers.get_all("x-forwarded-for").into_iter().rev();
        let mut hops = hops.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        let mut address = peer;
        while trusted(&address) {
            // Who cannot be made out is whoever passed the request on.
            let Some(hop) = hops.next().and_then(hop) else { break };
            address = hop;
        }
        address
    }

    /// Lets a request come on, or says when to come back. It is asked before anybody looks at a key.
    pub(crate) fn admit(
        &self,
        visit: &Visit,
        traffic: Option<Traffic>,
        pace: Option<Pace>,
        now: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let Visit { network, key } = *visit;
        let counted = match (traffic, key) {
            (Some(Traffic::Newcomer), _) => Some((Count::Newcomers(network), self.limits.newcomers)),
            (Some(Traffic::Download), _) => Some((Count::Downloads(network), self.limits.downloads)),
            (Some(Traffic::Routine), Some(key)) => {
                Some((Count::Requests(network, key), pace.filter(|_| self.limits.paces).map(rate)))
            }
            _ => None,
        };
        let limited = |retry_after| Fault::Limited { retry_after };
        if let Some((count, Some(rate))) = counted {
            self.counts.take(count, now, rate).map_err(limited)?;
        }
        let Some(failures) = self.limits.failures else { return Ok(()) };
        let good = || key.is_some_and(|key| self.counts.is_marked(&Count::Good(network, key), now));
        match self.counts.look(&Count::Failures(network), now, failures) {
            Err(retry_after) if !good() => Err(limited(retry_after)),
            _ => Ok(()),
        }
    }

    /// Counts a sign-in that failed.
    pub(crate) fn refused(&self, visit: &Visit, now: DateTime<Utc>) {
        if let Some(failures) = self.limits.failures {
            // One too many changes nothing: the next one is not heard.
            let _ = self.counts.take(Count::Failures(visit.network), now, failures);
        }
    }

    /// Remembers a key that was good.
    pub(crate) fn welcomed(&self, visit: &Visit, now: DateTime<Utc>) {
        if let (Some(_), Some(key)) = (self.limits.failures, visit.key)
            && let Some(until) = now.checked_add_signed(REMEMBERED)
        {
            self.counts.mark(Count::Good(visit.network, key), now, until);
        }
    }

    /// Forgets whoever has not been here for a while.
    pub(crate) fn forget(&self, now: DateTime<Utc>) {
        self.counts.forget_settled(now);
    }
}

/// How many may be at something at one time.
#[derive(Debug)]
pub(crate) struct Places {
    free: AtomicUsize,
}

impl Places {
    pub(crate) const fn new(count: usize) -> Self {
        Self { free: AtomicUsize::new(count) }
    }

    /// Takes a place until it is dropped, if there is one.
    pub(crate) fn take(&self) -> Option<Place<'_>> {
        let one_less = |free: usize| free.checked_sub(1);
        let taken = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
        taken.is_ok().then(|| Place(self))
    }
}

/// A place that is taken.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a Places);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::AcqRel);
    }
}

/// The headers in which keys of an operation may be.
pub(crate) fn secrets(alternatives: &'static [&'static [AuthHeader]]) -> impl Iterator<Item = &'static str> {
    let headers = alternatives.iter().copied().flatten();
    headers.filter(|header| header.secret).map(|header| header.name)
}

fn rate(pace: Pace) -> Rate {
    let seconds = pace.within.max(Duration::from_secs(1)).as_secs();
    let per_minute = u64::from(pace.requests).saturating_mul(60) / seconds;
    Rate { per_minute: u32::try_from(per_minute).unwrap_or(u32::MAX).max(1), burst: pace.requests }
}

/// An address as proxies write it, with or without a port.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(limits: AddressLimits) -> Gate {
        Gate::new(limits)
    }

    fn behind(proxies: &[&str]) -> Gate {
        let trusted_proxies = proxies.iter().map(|network| network.parse().unwrap()).collect();
        gate(AddressLimits { trusted_proxies, ..AddressLimits::default() })
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn visit(gate: &Gate, peer: &str, key: Option<&str>) -> Option<Visit> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert("x-key", key.parse().unwrap());
        }
        gate.visit(peer.parse().unwrap(), &headers, ["X-Key"].into_iter())
    }

    fn seen(gate: &Gate, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        gate.address(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn nobody_is_believed_who_is_no_trusted_proxy() {
        assert_eq!(seen(&behind(&[]), "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(seen(&behind(&["10.0.0.0/8"]), "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
    }

    #[test]
    fn the_rightmost_address_that_is_no_trusted_proxy_is_the_callers() {
        let gate = behind(&["10.0.0.0/8", "2001:db8:1::/48"]);
        for (forwarded, address) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            (&["6.6.6.6", "198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            (&["198.51.100.1:4711 ,10.1.1.1"], "198.51.100.1"),
            (&["[2001:db8:2::7]:4711,2001:db8:1::1"], "2001:db8:2::7"),
            (&["[2001:db8:2::7]"], "2001:db8:2::7"),
            (&["::ffff:198.51.100.1"], "198.51.100.1"),
            (&["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
            (&["198.51.100.1, unknown, 10.1.1.1"], "10.1.1.1"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(seen(&gate, "10.0.0.1", forwarded), address, "{forwarded:?}");
        }
    }

    #[test]
    fn callers_on_the_same_machine_are_counted_only_if_that_is_wanted() {
        let calm = gate(AddressLimits::default());
        assert!(visit(&calm, "127.0.0.1", None).is_none() && visit(&calm, "::1", None).is_none());
        assert!(visit(&calm, "::ffff:127.0.0.1", None).is_none());
        assert!(visit(&calm, "192.0.2.1", None).is_some());
        let strict = gate(AddressLimits { loopback: true, ..AddressLimits::default() });
        assert!(visit(&strict, "127.0.0.1", None).is_some());
    }

    #[test]
    fn a_place_is_free_again_once_it_is_dropped() {
        let places = Places::new(2);
        let (first, second) = (places.take(), places.take());
        assert!(first.is_some() && second.is_some() && places.take().is_none());
        drop(first);
        let third = places.take();
        assert!(third.is_some() && places.take().is_none());
    }

    #[test]
    fn newcomers_are_counted_by_address_and_apart_from_everything_else() {
        let gate = gate(AddressLimits::default());
        let enrol = |peer: &str| {
            let visit = visit(&gate, peer, None).unwrap();
            gate.admit(&visit, Some(Traffic::Newcomer), None, at(0))
        };
        for _ in 0..300 {
            assert_eq!(enrol("2001:db8::1"), Ok(()));
        }
        let refused = Err(Fault::Limited { retry_after: Duration::from_secs(3) });
        assert_eq!(enrol("2001:db8::1"), refused);
        assert_eq!(enrol("2001:db8::ffff:1"), refused, "the same network");
        assert_eq!(enrol("2001:db8:0:1::1"), Ok(()), "another network");
        let agent = visit(&gate, "2001:db8::1", Some("k")).unwrap();
        assert_eq!(gate.admit(&agent, Some(Traffic::Routine), None, at(0)), Ok(()));
        assert_eq!(gate.admit(&agent, Some(Traffic::Download), None, at(0)), Ok(()));
    }

    #[test]
    fn agents_at_one_address_have_a_pace_each() {
        let gate = gate(AddressLimits::default());
        let pace = Some(Pace { requests: 30, within: Duration::from_secs(60) });
        let beat = |key| {
            let visit = visit(&gate, "192.0.2.1", Some(key)).unwrap();
            gate.admit(&visit, Some(Traffic::Routine), pace, at(0))
        };
        for _ in 0..30 {
            assert_eq!(beat("a"), Ok(()));
        }
        assert_eq!(beat("a"), Err(Fault::Limited { retry_after: Duration::from_secs(2) }));
        assert_eq!(beat("b"), Ok(()));
    }

    #[test]
    fn who_fails_too_often_is_not_heard_whatever_key_they_present_but_the_known_ones_are() {
        let gate = gate(AddressLimits {
            failures: Some(Rate { per_minute: 60, burst: 5 }),
            ..AddressLimits::default()
        });
        let of = |key| visit(&gate, "192.0.2.1", Some(key)).unwrap();
        let admit = |key, seconds| gate.admit(&of(key), Some(Traffic::Routine), None, at(seconds));
        gate.welcomed(&of("known"), at(0));
        for guess in ["1", "2", "3", "4", "5"] {
            assert_eq!(admit(guess, 0), Ok(()));
            gate.refused(&of(guess), at(0));
        }
        let refused = Err(Fault::Limited { retry_after: Duration::from_secs(1) });
        assert_eq!((admit("6", 0), admit("good but new here", 0)), (refused.clone(), refused));
        assert_eq!(admit("known", 0), Ok(()));
        assert_eq!(admit("6", 1), Ok(()), "one more a second later");
        let elsewhere = visit(&gate, "192.0.2.2", Some("6")).unwrap();
        assert_eq!(gate.admit(&elsewhere, Some(Traffic::Routine), None, at(0)), Ok(()));
    }

    #[test]
    fn what_is_known_of_addresses_is_forgotten() {
        let gate = gate(AddressLimits::default());
        for last in 0..=255 {
            let visit = visit(&gate, &format!("192.0.2.{last}"), Some("k")).unwrap();
            gate.admit(&visit, Some(Traffic::Newcomer), None, at(0)).unwrap();
            gate.refused(&visit, at(0));
            gate.welcomed(&visit, at(0));
        }
        assert_eq!(gate.counts.count(), 3 * 256);
        gate.forget(at(60));
        assert_eq!(gate.counts.count(), 256, "good keys are known for an hour");
        gate.forget(at(3600));
        assert_eq!(gate.counts.count(), 0);
    }
}
