//! Simulated fleets.
//!
//! * [`load`] sends requests over real sockets at a constant rate, and measures what comes back.
//! * [`world`] runs agents and a server under a virtual clock: days in seconds, the same each time.

mod dice;
pub mod load;
mod page;
pub mod world;
