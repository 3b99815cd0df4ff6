use crate::Keyword;

/// A rule in plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// Its stable id: the operation's, the place and the keyword.
    pub id: &'static str,
    /// The operation's id.
    pub operation: &'static str,
    /// The place: a JSON pointer in wire names with `*` for each element of a list, or `header:` and a name.
    pub pointer: &'static str,
    /// What is asked of the place.
    pub keyword: Keyword,
    /// The same for people: what follows the name of the place in a sentence.
    pub statement: &'static str,
    /// Who is held to it.
    pub sides: Sides,
    /// What breaking it means where the message is read.
    pub severity: Severity,
    /// Who says so.
    pub origin: Origin,
    /// Whether the wire type already keeps it, so that no check runs: an unsigned integer is never negative.
    pub held_by_type: bool,
}

impl Rule {
    /// Whether no source states it: it is ours, or only somebody's later document or deployed code has it.
    #[must_use]
    pub const fn is_house_rule(&self) -> bool {
        matches!(self.origin, Origin::HouseRule { .. } | Origin::Source { how: How::Deployed, .. })
    }

    /// Whether it can be switched off ([`HouseRules`](crate::HouseRules)): a house rule that a check runs.
    #[must_use]
    pub const fn is_switchable(&self) -> bool {
        self.is_house_rule() && !self.held_by_type
    }
}

/// What breaking a rule means where the message is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The message is taken as if nothing were wrong; only its sender's own check speaks of it.
    Lint,
    /// The message is taken, and what breaks the rule is marked.
    Mark,
    /// The message is refused.
    Refuse,
}

/// A side of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The server, which takes requests.
    Accept,
    /// The client, which writes them.
    Emit,
}

/// The sides that a rule holds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sides {
    /// A server refuses what breaks it; a client is not held to it.
    Accept,
    /// A client does not send what breaks it; a server puts up with it.
    Emit,
    /// Both.
    Both,
}

impl Sides {
    /// Whether a side is among them.
    #[must_use]
    pub const fn cover(self, side: Side) -> bool {
        matches!((self, side), (Self::Both, _) | (Self::Accept, Side::Accept) | (Self::Emit, Side::Emit))
    }
}

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Somebody else's document.
    Source {
        /// The document's name.
        document: &'static str,
        /// The place in it: a heading, a path, or a JSON pointer.
        place: &'static str,
        /// How it says so.
        how: How,
    },
    /// Ours.
    HouseRule {
        /// What it is for.
        why: &'static str,
    },
}

/// How a document states a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// By the form of a source: a required mark, a type.
    Structure,
    /// In a source's prose.
    Prose,
    /// In the slice of the vendor's OpenAPI document from which a source was made.
    Slice,
    /// Not in a source: in the vendor's later document or deployed code.
    Deployed,
}

/// A rule of ours.
pub(crate) const fn house(why: &'static str) -> Origin {
    Origin::HouseRule { why }
}

/// Why open objects are bounded.
pub(crate) const BOUNDED: Origin = house("bounds what a stranger can make the server keep");
