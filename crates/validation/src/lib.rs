//! Rules of the fleet protocols beyond their types, each with its source.
//!
//! A rule stands once, as a row of a table beside its vendor: id, place, keyword, bound, sides, origin. The
//! row is both plain data ([`rules()`], for documents) and the typed check that [`check`] and [`lint`] run.
//!
//! # Invariants
//! * Pure functions: no clock, no IO. The time is part of [`Context`].
//! * A request that breaks no rule costs no allocation.
//! * Only [`check`] makes a [`Checked`], so a handler that takes one cannot be given an unchecked call.
//!
//! ```
//! use chrono::DateTime;
//! use fleetwire_protocol::{Call, zstack};
//! use fleetwire_validation::{Context, check};
//!
//! let context = Context::at(DateTime::UNIX_EPOCH);
//! let call = |cpu: f64| -> Call<zstack::Heartbeat> {
//!     let body = zstack::HeartbeatRequest::new("1.2.3", 86400, cpu, 35.2);
//!     Call::with(zstack::AgentPath::new("agent-1"), body)
//! };
//! assert!(check(call(12.5), &context).is_ok());
//!
//! let faults = check(call(112.5), &context).unwrap_err();
//! assert_eq!(faults.to_string(), "/cpuUsage: must be between 0 and 100, not 112.5");
//! assert_eq!(faults.as_slice()[0].rule, "zstack.heartbeat.cpuUsage.range");
//! ```

mod house;
mod keyword;
#[cfg(feature = "look")]
pub mod look;
mod measure;
#[cfg(feature = "look")]
pub mod message;
mod redact;
mod report;
mod rule;
#[macro_use]
mod table;

mod achilles;
pub mod acusight;
mod agentmc;
mod zstack;

#[cfg(feature = "arbitrary")]
pub mod strategies;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fleetwire_protocol::{Call, Endpoint, Request, Violation, Violations};

pub use house::{HouseRules, NotSwitchable};
pub use keyword::Keyword;
pub use redact::redact;
pub use report::MAX_REPORTED;
pub use rule::{How, Origin, Rule, Severity, Side, Sides};

/// The most members that an open object may have, besides those that its type names.
///
/// What is left open is kept, stored and shown again; this and the next two bound what a stranger can make us
/// carry.
pub const MAX_OPEN_MEMBERS: usize = table::max_open_members!();

/// How deep an open object may go: it is one level, each object or list within is one more.
pub const MAX_OPEN_DEPTH: usize = table::max_open_depth!();

/// The most bytes that an open object may take as JSON without spaces and escapes.
pub const MAX_OPEN_BYTES: usize = table::max_open_bytes!();

/// How far a sender's clock may be from ours, unless the context says otherwise; inclusive.
pub const CLOCK_WINDOW: Duration = Duration::from_secs(table::clock_window!());

/// What a check needs to know besides the call.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The time.
    pub now: DateTime<Utc>,
    /// How far from `now` a time may be that has to be recent, inclusive; `None` takes every time, and every
    /// text in its place.
    pub clock_window: Option<Duration>,
    /// The house rules in force.
    pub house_rules: HouseRules,
}

impl Context {
    /// A check at a time, with the usual window and every house rule.
    #[must_use]
    pub const fn at(now: DateTime<Utc>) -> Self {
        Self { now, clock_window: Some(CLOCK_WINDOW), house_rules: HouseRules::ALL }
    }

    /// The same with another window.
    #[must_use]
    pub const fn with_clock_window(self, clock_window: Option<Duration>) -> Self {
        Self { clock_window, ..self }
    }

    /// The same with other house rules.
    #[must_use]
    pub const fn with_house_rules(self, house_rules: HouseRules) -> Self {
        Self { house_rules, ..self }
    }
}

/// An operation with rules.
pub trait Validate: Endpoint {
    /// Its rules, in the order in which they are checked.
    const RULES: &'static [Rule];

    /// Adds a violation for every place that breaks a rule of a side, up to [`MAX_REPORTED`] in all, and tells how
    /// many more there are.
    fn violations(call: &Call<Self>, context: &Context, side: Side, out: &mut Vec<Violation>) -> usize;
}

/// A call that keeps the rules.
pub struct Checked<E: Endpoint> {
    call: Call<E>,
    at: DateTime<Utc>,
}

impl<E: Endpoint> Checked<E> {
    /// The time that it was checked for: the one time of all that follows from it.
    #[must_use]
    pub const fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// Its parameters.
    #[must_use]
    pub const fn params(&self) -> &E::Params {
        &self.call.params
    }

    /// Its body.
    #[must_use]
    pub const fn body(&self) -> &<E::Request as Request>::Body {
        &self.call.body
    }

    /// The call.
    #[must_use]
    pub fn into_inner(self) -> Call<E> {
        self.call
    }
}

impl<E: Endpoint> fmt::Debug for Checked<E>
where
    Call<E>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("call", &self.call).field("at", &self.at).finish()
    }
}

/// Checks a call that came in.
///
/// # Errors
/// Every place that breaks a rule of the accepting side, up to [`MAX_REPORTED`], and how many more there are.
pub fn check<E: Validate>(call: Call<E>, context: &Context) -> Result<Checked<E>, Violations> {
    let mut out = Vec::new();
    let more = E::violations(&call, context, Side::Accept, &mut out);
    Violations::check(out).map_err(|violations| violations.with_more(more))?;
    Ok(Checked { call, at: context.now })
}

/// Checks a call that is to be sent. Stricter than [`check`]: what a server puts up with is not yet what its
/// source asks for.
#[must_use]
pub fn lint<E: Validate>(call: &Call<E>, context: &Context) -> Vec<Violation> {
    let mut out = Vec::new();
    E::violations(call, context, Side::Emit, &mut out);
    out
}

/// The rules of all operations.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    house::TABLES.iter().flat_map(|(_, rules)| rules.iter())
}

/// The rules of one operation, by its id; none for an unknown one.
#[must_use]
pub fn rules_of(operation: &str) -> &'static [Rule] {
    house::TABLES.iter().find(|(id, _)| *id == operation).map_or(&[], |(_, rules)| rules)
}

/// The rule with an id.
#[must_use]
pub fn find_rule(id: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.id == id)
}
