//! Where each vendor's operations are found: the one place that names them.

use bytes::Bytes;
use fleetwire_protocol::achilles::Achilles;
use fleetwire_protocol::acusight::Acusight;
use fleetwire_protocol::agentmc::AgentMc;
use fleetwire_protocol::zstack::ZStack;
use fleetwire_protocol::{Envelope, Fault, Vendor, codec};
use http::{HeaderMap, Response};

/// A vendor's place on the server.
///
/// Two vendors use the same request line for different things, so that each has a prefix of its own, in front
/// of the path that its agents know. Agents of all of them take a base address.
#[derive(Debug, Clone, Copy)]
pub struct Mount {
    /// The vendor's short name.
    pub vendor: &'static str,
    /// The path in front of the vendor's own base.
    pub prefix: &'static str,
    /// The vendor's own base, which its agents' base address ends with.
    pub base: &'static str,
    unrouted: fn(&HeaderMap) -> Fault,
    refuse: fn(&Fault) -> Response<Bytes>,
}

impl Mount {
    const fn of<V: Vendor>(prefix: &'static str) -> Self {
        Self {
            vendor: V::ID,
            prefix,
            base: V::BASE,
            unrouted: V::unrouted,
            refuse: |fault| codec::encode_fault::<V::Error>(V::Error::status(fault), fault),
        }
    }

    /// Answers a request that reaches no operation.
    pub(crate) fn unrouted(&self, headers: &HeaderMap) -> Response<Bytes> {
        (self.refuse)(&(self.unrouted)(headers))
    }

    /// Answers a fault in the vendor's words, outside any operation.
    pub(crate) fn refuse(&self, fault: &Fault) -> Response<Bytes> {
        (self.refuse)(fault)
    }

    /// Whether a path lies below the prefix.
    pub(crate) fn holds(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

const MOUNTS: [Mount; 4] = [
    Mount::of::<Acusight>("/acusight"),
    Mount::of::<ZStack>("/zstack"),
    Mount::of::<AgentMc>("/agentmc"),
    Mount::of::<Achilles>("/achilles"),
];

/// Every vendor's place.
#[must_use]
pub const fn mounts() -> &'static [Mount] {
    &MOUNTS
}

/// The place of a vendor's operations.
pub(crate) fn mount_of<V: Vendor>() -> Option<&'static Mount> {
    MOUNTS.iter().find(|mount| mount.vendor == V::ID)
}
