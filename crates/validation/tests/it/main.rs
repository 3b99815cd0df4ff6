//! The rules as data, one by one at their bounds, and over whole requests.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy sees only the functions marked as tests"
)]

mod boundaries;
mod common;
mod requests;
mod rules;
