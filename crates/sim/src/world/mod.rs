//! Agents and a server under a virtual clock: days in seconds, the same each time.
//!
//! The agents are the SDK's own machines, each in its vendor's dialect; the server is the real core over a store in
//! memory. Every request is encoded, routed, decoded, checked and handled as over a socket, and so is every answer.
//! What is made up is the time, the line between the two, and what befalls them: a [`Scenario`] says it, a plain value
//! that can be drawn from a seed, written as JSON and lived again. Meanwhile somebody watches that every [`Law`] holds.
//!
//! ```
//! use fleetwire_sim::world::{Fleet, Scenario, live};
//!
//! let scenario = Scenario::draw(7, Fleet::mixed(12), 3600);
//! let world = live(&scenario);
//! assert_eq!(world.broken, None);
//! assert_eq!(world.digest, live(&scenario).digest, "the same to the last event");
//! ```

mod chance;
mod hub;
mod laws;
mod life;
mod report;
mod roles;
mod run;
mod scenario;
mod server;
mod shrink;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use fleetwire_server_core::domain::{DEFAULT_TENANT, No};
use http::{Request, Response};
use serde::Serialize;

pub use laws::{Law, Violation};
pub use report::{DrawError, page};
pub use scenario::{Fault, Fleet, Numbers, Scenario, What, Who};
pub use shrink::{Shrunk, shrink};

/// Two tenants, so that there is something to keep apart.
const TENANTS: [No; 2] = [DEFAULT_TENANT, DEFAULT_TENANT + 1];

/// What came of a world.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct World {
    /// The law that was broken first; the world ends there.
    pub broken: Option<Violation>,
    /// SHA-256 over the journals of all tenants.
    pub digest: String,
    /// How long it lasted, in seconds.
    pub seconds: u64,
    /// Requests in a usual second.
    pub usual: f64,
    /// Heartbeats and polls in the busiest second, first ones aside.
    pub busiest: u32,
    /// What was counted.
    pub counts: Counts,
    /// What changed over time.
    pub series: Series,
}

/// What was counted in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Requests that agents sent.
    pub requests: u64,
    /// Requests that the server answered, repeated ones among them.
    pub served: u64,
    /// Reports that the server took.
    pub beats: u64,
    /// Steps of agents that failed.
    pub failures: u64,
    /// Requests that were answered by something before the server.
    pub refused: u64,
    /// Requests or answers that were lost.
    pub lost: u64,
    /// Requests or answers that took their time.
    pub delayed: u64,
    /// Requests that arrived twice.
    pub duplicated: u64,
    /// Returns of the server.
    pub returns: u64,
    /// Pieces of work that were queued.
    pub work: u64,
    /// Executions that were begun.
    pub runs: u64,
    /// Results that the server took.
    pub results: u64,
    /// Keys that were changed.
    pub keys: u64,
    /// Keys that were tried on another tenant's agents.
    pub trespasses: u64,
    /// Events in the journals.
    pub events: u64,
}

/// What changed over time in a world.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Series {
    /// Requests that agents sent in each second.
    pub sent: Vec<u32>,
    /// The seconds in which the server came back.
    pub returns: Vec<u32>,
    /// How everybody was, now and then.
    pub samples: Vec<Sample>,
}

/// How everybody was at a second.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Sample {
    /// When.
    pub second: u32,
    /// Whether the server was there.
    pub server: bool,
    /// Agents that reported in time.
    pub online: u32,
    /// Agents that were late.
    pub delayed: u32,
    /// Agents that were silent for too long.
    pub offline: u32,
    /// Agents that had never reported.
    pub never: u32,
    /// Pieces of work in each state.
    pub work: Vec<(String, u32)>,
}

/// Something that is broken on purpose, to see that a law notices it.
pub trait Defect {
    /// Stands before the server, and may answer in its place.
    fn intercept(&mut self, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let _ = request;
        None
    }

    /// Whether an agent that gets this answer forgets all that it has kept, and starts anew.
    fn forgets(&mut self, response: &Response<Bytes>) -> bool {
        let _ = response;
        false
    }
}

/// Nothing is broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sound;

impl Defect for Sound {}

/// Lives through a scenario.
#[must_use]
pub fn live(scenario: &Scenario) -> World {
    live_with(scenario, &mut Sound)
}

/// Lives through a scenario with something broken on purpose.
pub fn live_with<F: Defect>(scenario: &Scenario, defect: &mut F) -> World {
    match catch_unwind(AssertUnwindSafe(|| run::run(scenario, defect))) {
        Ok(world) => world,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why");
            let how = format!("panicked: {text}");
            World {
                broken: Some(Violation { law: Law::NoPanic, at: 0, agent: None, how }),
                digest: String::new(),
                seconds: 0,
                usual: 0.0,
                busiest: 0,
                counts: Counts::default(),
                series: Series::default(),
            }
        }
    }
}
