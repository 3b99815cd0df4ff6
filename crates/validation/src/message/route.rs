use std::fmt;

use fleetwire_protocol::codec;
use http::HeaderMap;

use super::Operation;

/// Where a request line leads.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// The operation.
    pub operation: Operation,
    /// The query behind the path, as it stands on the wire.
    pub query: Option<&'a str>,
    pattern: &'static str,
    path: &'a str,
}

impl<'a> Route<'a> {
    /// A segment of the path by the name that the operation has for it, as it stands on the wire.
    #[must_use]
    pub fn segment(&self, name: &str) -> Option<&'a str> {
        let named = |pattern: &str| {
            pattern.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).is_some_and(|word| word == name)
        };
        let mut pairs = self.pattern.rsplit('/').zip(self.path.rsplit('/'));
        pairs.find(|(pattern, _)| named(pattern)).map(|(_, segment)| segment)
    }
}

/// Why a request line leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unrecognised {
    /// No operation has the path.
    NoOperation,
    /// An operation has the path and another method.
    OtherMethod(Operation),
    /// The operation exists and is none of those that are looked for.
    NotAmong(Operation),
    /// Two vendors have this line for different things, and neither path, host nor credentials tell which.
    Shared([&'static str; 2]),
}

impl fmt::Display for Unrecognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOperation => f.write_str("no operation has this path"),
            Self::OtherMethod(operation) => {
                write!(f, "{} has this path and the method {}", operation.id(), operation.0.method)
            }
            Self::NotAmong(operation) => write!(f, "{} is not looked for", operation.id()),
            Self::Shared([one, other]) => {
                write!(f, "{one} and {other} both have this request line: the vendor has to be named (D-3)")
            }
        }
    }
}

/// Finds the operation of a request line, whatever stands in front of the operation's path: a vendor's own base,
/// a mount, an address.
///
/// Where two vendors have the same line, a mount in front of the path decides, then the host, then the
/// credentials among the headers.
///
/// # Errors
/// Why it leads nowhere.
///
/// ```
/// use fleetwire_validation::message::{Operation, Unrecognised, recognise};
///
/// let all: Vec<_> = Operation::all().collect();
/// let operation = |target| recognise("POST", target, None, &all).map(|route| route.operation.id());
/// assert_eq!(operation("https://acusight.io/api/core/agent/checkin?x=1"), Ok("acusight.checkin"));
/// assert_eq!(operation("/agentmc/api/v1/agents/heartbeat"), Ok("agentmc.heartbeat"));
/// assert_eq!(operation("/api/v1/agents/heartbeat"), Err(Unrecognised::Shared(["agentmc", "zstack"])));
/// assert_eq!(operation("/favicon.ico"), Err(Unrecognised::NoOperation));
/// ```
pub fn recognise<'a>(
    method: &str,
    target: &'a str,
    headers: Option<&HeaderMap>,
    among: &[Operation],
) -> Result<Route<'a>, Unrecognised> {
    let Target { host, path, query } = Target::of(target);
    let host = host.or_else(|| super::text(headers?, "host"));
    let (mut found, mut elsewhere, mut other_method) = (Vec::new(), None, None);
    for operation in Operation::all() {
        let entry = operation.0;
        for pattern in std::iter::once(&entry.path).chain(entry.aliases).copied() {
            let Some(base) = base_of(pattern, path) else { continue };
            let mount = mount_of(base);
            if mount.is_some_and(|vendor| vendor != entry.vendor) {
                continue;
            }
            if codec::select(std::iter::once(entry.selected_by), query).is_none() {
                continue;
            }
            if entry.method.as_str() != method {
                other_method = Some(operation);
            } else if among.contains(&operation) {
                let names_vendor =
                    mount.is_some() || host.is_some_and(|host| is_host_of(host, entry.address));
                found.push((Route { operation, query, pattern, path }, names_vendor));
            } else {
                elsewhere = Some(operation);
            }
        }
    }
    let mut vendors: Vec<(Route<'a>, bool)> = Vec::new();
    while let Some((first, _)) = found.first() {
        let vendor = first.operation.vendor();
        let of_vendor: Vec<_> =
            found.extract_if(.., |(route, _)| route.operation.vendor() == vendor).collect();
        vendors.extend(meant(&of_vendor, query));
    }
    let has = |name: &str| headers.is_some_and(|headers| headers.contains_key(name));
    let presents = |(route, _): &&(Route<'a>, bool)| {
        let mut headers = route.operation.0.alternatives.iter().copied().flatten();
        headers.any(|header| header.secret && has(header.name))
    };
    let the_only_one = |mut fitting: Vec<&(Route<'a>, bool)>| {
        let first = fitting.pop()?;
        fitting.is_empty().then_some(first.0)
    };
    match vendors.as_slice() {
        [] => Err(match (elsewhere, other_method) {
            (Some(operation), _) => Unrecognised::NotAmong(operation),
            (None, Some(operation)) => Unrecognised::OtherMethod(operation),
            (None, None) => Unrecognised::NoOperation,
        }),
        [(route, _)] => Ok(*route),
        [(one, _), (other, _), ..] => the_only_one(vendors.iter().filter(|(_, named)| *named).collect())
            .or_else(|| the_only_one(vendors.iter().filter(presents).collect()))
            .ok_or_else(|| {
                let mut shared = [one.operation.vendor(), other.operation.vendor()];
                shared.sort_unstable();
                Unrecognised::Shared(shared)
            }),
    }
}

/// Which of one vendor's routes is meant: the one whose path says the most, a segment that is written out winning over
/// one that may be anything; and of several with that path the one that the query selects.
fn meant<'a>(routes: &[(Route<'a>, bool)], query: Option<&str>) -> Option<(Route<'a>, bool)> {
    let most = routes.iter().map(|(route, _)| written_out(route.pattern)).max()?;
    let nearest: Vec<_> = routes.iter().filter(|(route, _)| written_out(route.pattern) == most).collect();
    let selected = codec::select(nearest.iter().map(|(route, _)| route.operation.0.selected_by), query)?;
    nearest.get(selected).copied().copied()
}

/// How many segments of a pattern are written out.
fn written_out(pattern: &str) -> usize {
    pattern.split('/').filter(|segment| !segment.is_empty() && !segment.starts_with('{')).count()
}

/// A request target in its parts.
struct Target<'a> {
    host: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of(target: &'a str) -> Self {
        let target = target.split('#').next().unwrap_or_default();
        let (rest, query) = match target.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (target, None),
        };
        let Some((_, rest)) = rest.split_once("://").filter(|_| !rest.starts_with('/')) else {
            return Self { host: None, path: rest, query };
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Self { host: Some(authority), path, query }
    }
}

/// What stands in front of a pattern in a path, if the path ends as the pattern says.
fn base_of<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let mut rest = path;
    for wanted in pattern.trim_start_matches('/').rsplit('/') {
        let (before, segment) = rest.rsplit_once('/')?;
        let fits = if wanted.starts_with('{') { !segment.is_empty() } else { wanted == segment };
        if !fits {
            return None;
        }
        rest = before;
    }
    Some(rest)
}

/// The vendor whose mount a path goes through.
fn mount_of(base: &str) -> Option<&'static str> {
    let vendors = Operation::all().map(Operation::vendor);
    vendors.into_iter().find(|vendor| base.split('/').any(|segment| segment == *vendor))
}

/// Whether a host, with or without its port, is that of a vendor's own service.
fn is_host_of(host: &str, address: &str) -> bool {
    let name = host.rsplit('@').next().unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default();
    Target::of(address).host.is_some_and(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn all() -> Vec<Operation> {
        Operation::all().collect()
    }

    fn of_vendor(vendor: &str) -> Vec<Operation> {
        Operation::all().filter(|operation| operation.vendor() == vendor).collect()
    }

    fn id(method: &str, target: &str, among: &[Operation]) -> Result<&'static str, Unrecognised> {
        recognise(method, target, None, among).map(|route| route.operation.id())
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).try_into().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn every_operation_is_found_below_any_base() {
        for operation in Operation::all() {
            let entry = operation.0;
            for pattern in std::iter::once(&entry.path).chain(entry.aliases) {
                let segments = pattern.split('/').map(|one| if one.starts_with('{') { "a%2F1" } else { one });
                let path = segments.collect::<Vec<_>>().join("/");
                let query: String = entry.selected_by.iter().map(|name| format!("{name}=&")).collect();
                for base in ["", "/some/base", &format!("/{}/api", entry.vendor), "http://h:8787/x"] {
                    let found = id(
                        entry.method.as_str(),
                        &format!("{base}{path}?{query}q=/a"),
                        &of_vendor(entry.vendor),
                    );
                    // The one line that is not this vendor's alone is found where its vendor is named.
                    assert_eq!(found, Ok(entry.id), "{base}{path}");
                }
            }
        }
    }

    #[test]
    fn what_no_operation_has_leads_nowhere() {
        let operation = |id: &str| Operation::all().find(|operation| operation.id() == id).unwrap();
        for (method, target, why) in [
            ("GET", "/core/agent/checkin", Unrecognised::OtherMethod(operation("acusight.checkin"))),
            ("post", "/core/agent/checkin", Unrecognised::OtherMethod(operation("acusight.checkin"))),
            ("POST", "/core/agent/checkin/", Unrecognised::NoOperation),
            ("POST", "core/agent/checkin", Unrecognised::NoOperation),
            ("POST", "/zstack/core/agent/checkin", Unrecognised::NoOperation),
            ("PUT", "/api/v1/agents//heartbeat", Unrecognised::NoOperation),
            ("GET", "", Unrecognised::NoOperation),
            ("GET", "*", Unrecognised::NoOperation),
            ("GET", "https://", Unrecognised::NoOperation),
        ] {
            assert_eq!(id(method, target, &all()), Err(why), "{method} {target}");
        }
        let wanted = of_vendor("achilles");
        let why = Err(Unrecognised::NotAmong(operation("acusight.checkin")));
        assert_eq!(id("POST", "/core/agent/checkin", &wanted), why);
    }

    #[test]
    fn segment_that_is_written_out_wins_over_one_that_may_be_anything() {
        let among = of_vendor("zstack");
        for (method, path, operation) in [
            ("POST", "/api/v1/agents/heartbeat", "zstack.auto_register_heartbeat"),
            ("PUT", "/api/v1/agents/heartbeat/heartbeat", "zstack.heartbeat"),
            ("GET", "/api/v1/agents/by-lifecycle-status/online", "zstack.list_by_lifecycle_status"),
            ("POST", "/api/v1/agents/actions/actions/start", "zstack.send_action"),
            ("POST", "/api/v1/agents", "zstack.register"),
        ] {
            assert_eq!(id(method, path, &among), Ok(operation), "{method} {path}");
        }
    }

    #[test]
    fn line_of_two_vendors_is_told_by_name_mount_host_or_credentials() {
        const LINE: &str = "/api/v1/agents/heartbeat";
        let shared = Err(Unrecognised::Shared(["agentmc", "zstack"]));
        let zstack = Ok("zstack.auto_register_heartbeat");
        let agentmc = Ok("agentmc.heartbeat");
        assert_eq!(id("POST", LINE, &all()), shared);
        assert_eq!(id("POST", LINE, &of_vendor("agentmc")), agentmc);
        assert_eq!(id("POST", LINE, &of_vendor("zstack")), zstack);
        assert_eq!(id("POST", &format!("/agentmc{LINE}"), &all()), agentmc);
        assert_eq!(id("POST", &format!("/zstack{LINE}"), &all()), zstack);
        assert_eq!(id("POST", &format!("https://AgentMC.ai:443{LINE}"), &all()), agentmc);
        assert_eq!(id("POST", "/agents/heartbeat", &all()), agentmc);
        for (sent, expected) in [
            (headers(&[("x-api-key", "cc_1")]), agentmc),
            (headers(&[("authorization", "Bearer zsk_1")]), zstack),
            (headers(&[("x-api-key", "cc_1"), ("authorization", "Bearer zsk_1")]), shared),
            (headers(&[("host", "agentmc.ai")]), agentmc),
        ] {
            let found = recognise("POST", LINE, Some(&sent), &all()).map(|route| route.operation.id());
            assert_eq!(found, expected, "{sent:?}");
        }
    }

    #[test]
    fn segments_and_query_are_handed_on_as_they_came() {
        let all = all();
        let route = recognise("PUT", "/x/api/v1/agents/a%201/heartbeat?b=c#d", None, &all).unwrap();
        assert_eq!(
            (route.segment("uuid"), route.segment("id"), route.query),
            (Some("a%201"), None, Some("b=c"))
        );
    }
}
