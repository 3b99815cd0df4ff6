//! Agents and a server under a virtual clock.
