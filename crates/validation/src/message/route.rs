use std::fmt;

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
    /// A vendor has an operation with this line that is not among ours.
    NotHere {
        /// The short name of the vendor.
        vendor: &'static str,
    },
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
            Self::NotHere { vendor } => write!(f, "an operation of {vendor} that is not known here"),
            Self::Shared([one, other]) => {
                write!(f, "{one} and {other} both have this request line: the vendor has to be named (D-3)")
            }
        }
    }
}

/// A line that one vendor documents and this crate has no operation for, while another vendor's operation has
/// the same (D-3): `zstack`'s automatic registration.
const STRANGER: Stranger = Stranger {
    vendor: "zstack",
    method: "POST",
    path: "/api/v1/agents/heartbeat",
    credentials: "authorization",
};

struct Stranger {
    vendor: &'static str,
    method: &'static str,
    path: &'static str,
    credentials: &'static str,
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
    let (mut found, mut elsewhere, mut other_method) = (None, None, None);
    for operation in Operation::all() {
        let entry = operation.0;
        for pattern in std::iter::once(&entry.path).chain(entry.aliases).copied() {
            let Some(base) = base_of(pattern, path) else { continue };
            if mount_of(base).is_some_and(|vendor| vendor != entry.vendor) {
                continue;
            }
            if entry.method.as_str() != method {
                other_method = Some(operation);
            } else if among.contains(&operation) {
                found = Some((Route { operation, query, pattern, path }, base));
            } else {
                elsewhere = Some(operation);
            }
        }
    }
    let strangers_line = method == STRANGER.method && base_of(STRANGER.path, path).is_some();
    let may_be_stranger =
        strangers_line && among.iter().any(|operation| operation.vendor() == STRANGER.vendor);
    let Some((route, base)) = found else {
        return Err(match (elsewhere, other_method) {
            _ if may_be_stranger => Unrecognised::NotHere { vendor: STRANGER.vendor },
            (Some(operation), _) => Unrecognised::NotAmong(operation),
            (None, Some(operation)) => Unrecognised::OtherMethod(operation),
            (None, None) => Unrecognised::NoOperation,
        });
    };
    if may_be_stranger && mount_of(base).is_none() {
        let entry = route.operation.0;
        let host = host.or_else(|| super::text(headers?, "host"));
        let has = |name: &str| headers.is_some_and(|headers| headers.contains_key(name));
        let own =
            entry.alternatives.iter().copied().flatten().any(|header| header.secret && has(header.name));
        match (own, has(STRANGER.credentials)) {
            _ if host.is_some_and(|host| is_host_of(host, entry.address)) => {}
            (true, false) => {}
            (false, true) => return Err(Unrecognised::NotHere { vendor: STRANGER.vendor }),
            _ => return Err(Unrecognised::Shared([entry.vendor, STRANGER.vendor])),
        }
    }
    Ok(route)
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
                let path = pattern.replace("{uuid}", "a%2F1").replace("{id}", "t-1");
                for base in ["", "/some/base", &format!("/{}/api", entry.vendor), "http://h:8787/x"] {
                    let found =
                        id(entry.method.as_str(), &format!("{base}{path}?q=/a"), &of_vendor(entry.vendor));
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
    fn line_of_two_vendors_is_told_by_name_mount_host_or_credentials() {
        const LINE: &str = "/api/v1/agents/heartbeat";
        let shared = Err(Unrecognised::Shared(["agentmc", "zstack"]));
        let stranger = Err(Unrecognised::NotHere { vendor: "zstack" });
        let ours = Ok("agentmc.heartbeat");
        assert_eq!(id("POST", LINE, &all()), shared);
        assert_eq!(id("POST", LINE, &of_vendor("agentmc")), ours);
        assert_eq!(id("POST", LINE, &of_vendor("zstack")), stranger);
        assert_eq!(id("POST", &format!("/agentmc{LINE}"), &all()), ours);
        assert_eq!(id("POST", &format!("/zstack{LINE}"), &all()), stranger);
        assert_eq!(id("POST", &format!("https://AgentMC.ai:443{LINE}"), &all()), ours);
        assert_eq!(id("POST", "/agents/heartbeat", &all()), ours);
        for (sent, expected) in [
            (headers(&[("x-api-key", "cc_1")]), ours),
            (headers(&[("authorization", "Bearer zsk_1")]), stranger),
            (headers(&[("x-api-key", "cc_1"), ("authorization", "Bearer zsk_1")]), shared),
            (headers(&[("host", "agentmc.ai")]), ours),
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
