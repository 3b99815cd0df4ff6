//! Load over real sockets.
//!
//! [`engine`] sends requests and measures; the rest is whole fleets upon it: a [`Party`] of agents of one vendor, taken
//! in by [`enrol`], proved by [`probe`], and let loose by [`load`], which comes to a [`Report`].
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use fleetwire_server_core::domain::Vendor;
//! use fleetwire_sim::load::{self, Party, Settings, engine::Target};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let base = Target::find("http://127.0.0.1:8787/acusight/api")?;
//! let mut party = Party::new(Vendor::Acusight, base, true).token("apt_0000");
//! load::enrol(&mut party, 1000, &load::Enrolling::default(), &mut ())?;
//! let settings = Settings::every(Duration::from_secs(60), Duration::from_secs(600));
//! let (report, _) = load::load(vec![party], &settings, &mut ())?;
//! println!("{}", report.generator.verdict());
//! # Ok(())
//! # }
//! ```

pub mod engine;

mod drive;
mod enrol;
mod fleet;
mod report;
mod room;
mod schedule;
mod state;
mod template;

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

pub use drive::{Settings, load, probe};
pub use enrol::{Enrolling, enrol};
pub use fleet::{Agent, Party};
pub use report::{
    Asked, Bar, EnrolmentReport, Example, FORMAT, Figures, Generator, Latency, Limits, Report, Second,
    ServerReport, ServerSecond, Threshold,
};
pub use room::Room;
pub use schedule::Rhythm;
pub use state::{State, StateError};

/// Why there is no load.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The server cannot be reached.
    #[error("cannot connect to {address}: is the server running there?")]
    Unreachable {
        /// Host and port.
        address: String,
    },
    /// A request that should be taken was not, and would not be if it were sent again.
    #[error("{what} at {url}: {came}{hint}")]
    Refused {
        /// What was sent.
        what: &'static str,
        /// Where to.
        url: String,
        /// What came of it.
        came: String,
        /// What to try; empty, or begins with `; `.
        hint: String,
        /// The status, if there was one.
        status: Option<u16>,
    },
    /// A token or an id holds what no request can carry.
    #[error("a request cannot be written: {0}")]
    Request(#[from] fleetwire_protocol::codec::EncodeError),
    /// The vendors' servers are at different addresses.
    #[error("one load goes to one address")]
    Addresses,
    /// There is nobody to send anything.
    #[error("there are no agents")]
    Nobody,
    /// It was asked to stop before it began to measure.
    #[error("stopped before anything was measured")]
    Stopped,
    /// The named process is not there, or the system does not tell of it.
    #[error("nothing can be learnt of process {pid}: {error}")]
    Process {
        /// The process.
        pid: u32,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The system has no event queue.
    #[error("the system gives no event queue: {0}")]
    System(#[source] io::Error),
}

/// Who watches a load. `()` does not.
pub trait Watch {
    /// So many of so many agents are taken in. A break stops it.
    fn enrolled(&mut self, done: usize, of: usize) -> ControlFlow<()> {
        let _ = (done, of);
        ControlFlow::Continue(())
    }

    /// Another second has passed. A break ends the load as if its time were over.
    fn second(&mut self, live: &Live) -> ControlFlow<()> {
        let _ = live;
        ControlFlow::Continue(())
    }
}

impl Watch for () {}

/// How a load stands.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Live {
    /// Since the start.
    pub at: Duration,
    /// The last second.
    pub second: Second,
    /// Errors since the start.
    pub errors: u64,
    /// Connections that are held.
    pub connections: usize,
    /// How long the oldest request waits that should have left.
    pub behind: Duration,
}
