//! An agent without IO, and what every vendor's agent is made of.
//!
//! [`Machine`] decides: when to report, with which key, what to save first, when to try again. It is generic over a
//! [`Dialect`], which puts its steps into a vendor's words. It takes a [`Moment`] and an [`Input`] and gives one
//! [`Command`] at a time, so that the same machine is driven by the drivers of this crate, blocking or async, by a
//! test under a virtual clock, or by a loop of your own.
//!
#![cfg_attr(feature = "zstack", doc = "```")]
#![cfg_attr(not(feature = "zstack"), doc = "```ignore")]
//! use std::time::Duration;
//!
//! use chrono::DateTime;
//! use fleetwire_client::agent::{Command, Input, Machine, Moment, Settings};
//! use fleetwire_client::protocol::zstack::HeartbeatRequest;
//! use fleetwire_client::store::Saved;
//! use fleetwire_client::zstack::ZStack;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let moment = Moment { monotonic: Duration::ZERO, wall: DateTime::UNIX_EPOCH, random: 7 };
//! let dialect = ZStack::new("https://fleet.example", "agent-1", "zsk_00ff");
//! let mut machine = Machine::start(dialect, Settings::default(), &Saved::default(), &moment, None)?;
//! // Whatever is to be known after a crash is saved first.
//! assert!(matches!(machine.next(&moment), Command::Persist(_)));
//! machine.input(&moment, Input::Persisted(Ok(())));
//! assert!(matches!(machine.next(&moment), Command::Collect));
//! machine.input(&moment, Input::Collected(HeartbeatRequest::new("1.2.3", 60, 1, 2).into()));
//! let Command::Send(request) = machine.next(&moment) else { panic!("the first heartbeat leaves at once") };
//! assert_eq!(request.uri().path(), "/api/v1/agents/agent-1/heartbeat");
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! * The first heartbeat leaves at once, the others at the server's interval. Every wait is spread after it was
//!   capped, and the first one is drawn from the whole interval: agents that were cut off or started together do not
//!   report together.
//! * What a server asks for in `Retry-After` is obeyed, up to a day.
//! * No key is thrown away because it was refused. An offered key is saved before it is used, and takes the place of
//!   the old one when the server has accepted it.
//! * A clock that is wrong is corrected for by the server's time. An agent never enrols again by itself.
//! * Work is saved before it is begun, and is begun once. Its end is kept until the server has taken it.
//! * One piece of work at a time, one request at a time.

mod cadence;
mod clock;
mod command;
mod dialect;
mod event;
mod gap;
mod input;
mod keyring;
mod machine;
mod moment;
mod settings;
mod spool;
mod state;
mod status;

pub use cadence::Cadence;
pub use command::{Assignment, Command, Stopped};
#[cfg(any(feature = "acusight", feature = "agentmc"))]
pub(crate) use dialect::code_of;
pub use dialect::{
    Answer, Beat, Dialect, Ended, Ending, Never, Progress, Signing, Step, Stream, Taken, Trouble,
    TroubleKind, read_reply,
};
pub use event::Event;
pub use gap::{Away, Reconnect};
pub use input::{Input, NoAnswer, Signer};
pub use keyring::Secret;
pub use machine::{Machine, StartError};
pub(crate) use moment::Dice;
pub use moment::Moment;
pub use settings::Settings;
pub use spool::SpoolLimits;
pub use status::Status;
