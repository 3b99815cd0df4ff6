//! House rules, and which of them are switched off.

use fleetwire_protocol::{Endpoint, for_each_endpoint};

use crate::table::same;
use crate::{Rule, Validate, find_rule};

/// The rules of all operations, operation by operation.
macro_rules! tables {
    ([] $($operation:path,)*) => {
        [$((<$operation as Endpoint>::ID, <$operation as Validate>::RULES)),*]
    };
}

/// Every operation's id with its rules.
pub(crate) const TABLES: &[(&str, &[Rule])] = &for_each_endpoint!(tables!());

const _: () = assert!(count() <= u128::BITS, "every house rule has a bit");

/// The house rules that are in force. Each is a bit, so that asking for one costs nothing.
///
/// A house rule is one that no source states. What a source states cannot be switched off, and neither can
/// what a wire type holds by itself.
///
/// ```
/// use chrono::DateTime;
/// use fleetwire_validation::{Context, HouseRules};
///
/// let rules = HouseRules::without(["acusight.notify_image.annotations.geometry.range"])?;
/// let context = Context::at(DateTime::UNIX_EPOCH).with_house_rules(rules);
/// assert_ne!(context.house_rules, HouseRules::ALL);
///
/// let refused = HouseRules::without(["zstack.heartbeat.cpuUsage.range"]).unwrap_err();
/// assert_eq!(refused.to_string(), "zstack.heartbeat.cpuUsage.range is a rule of the source");
/// # Ok::<(), fleetwire_validation::NotSwitchable>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HouseRules {
    off: u128,
}

impl Default for HouseRules {
    fn default() -> Self {
        Self::ALL
    }
}

impl HouseRules {
    /// All of them.
    pub const ALL: Self = Self { off: 0 };

    /// All but those with these ids.
    ///
    /// # Errors
    /// The first id that no rule has, or whose rule cannot be switched off.
    pub fn without<I: AsRef<str>>(ids: impl IntoIterator<Item = I>) -> Result<Self, NotSwitchable> {
        let mut off = 0;
        for id in ids {
            let id = id.as_ref();
            let rule = find_rule(id).ok_or_else(|| NotSwitchable::Unknown(id.to_owned()))?;
            match bit(rule) {
                Some(bit) => off |= 1 << bit,
                None if rule.is_house_rule() => return Err(NotSwitchable::HeldByType(rule.id)),
                None => return Err(NotSwitchable::Sourced(rule.id)),
            }
        }
        Ok(Self { off })
    }

    /// Whether a rule is in force; one that cannot be switched off always is.
    #[must_use]
    pub const fn keeps(self, rule: &Rule) -> bool {
        self.has(bit(rule))
    }

    /// The same of a rule's bit.
    pub(crate) const fn has(self, bit: Option<u32>) -> bool {
        match bit {
            Some(bit) => self.off & (1 << bit) == 0,
            None => true,
        }
    }
}

/// Why a rule cannot be switched off.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSwitchable {
    /// No rule has this id.
    Unknown(String),
    /// A source states it.
    Sourced(&'static str),
    /// The wire type holds it by itself.
    HeldByType(&'static str),
}

impl std::fmt::Display for NotSwitchable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(id) => write!(f, "there is no rule {id:?}"),
            Self::Sourced(id) => write!(f, "{id} is a rule of the source"),
            Self::HeldByType(id) => write!(f, "{id} is held by the type of its member"),
        }
    }
}

impl std::error::Error for NotSwitchable {}

/// The place of a rule among those that can be switched off.
pub(crate) const fn bit(rule: &Rule) -> Option<u32> {
    if !rule.is_switchable() {
        return None;
    }
    let mut bit = 0;
    let mut table = 0;
    while table < TABLES.len() {
        let (operation, rules) = TABLES[table];
        let own = same(operation, rule.operation);
        let mut row = 0;
        while row < rules.len() {
            if own && same(rules[row].id, rule.id) {
                return Some(bit);
            }
            bit += rules[row].is_switchable() as u32;
            row += 1;
        }
        table += 1;
    }
    None
}

const fn count() -> u32 {
    let mut count = 0;
    let mut table = 0;
    while table < TABLES.len() {
        let rules = TABLES[table].1;
        let mut row = 0;
        while row < rules.len() {
            count += rules[row].is_switchable() as u32;
            row += 1;
        }
        table += 1;
    }
    count
}
