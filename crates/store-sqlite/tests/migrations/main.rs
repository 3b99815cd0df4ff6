//! Files of earlier versions, opened by this one.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod files;
mod fleet;
mod history;
mod provisioning;
mod standing;
mod work;

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::Connection;
use tempfile::TempDir;

/// The steps that earlier versions knew, the first one first.
const STEPS: [&str; 3] = [
    include_str!("../../migrations/0001_initial.sql"),
    include_str!("../../migrations/0002_events.sql"),
    include_str!("../../migrations/0003_work.sql"),
];

/// A file as a version that knew so many steps has left it, with these rows.
fn left_by(steps: usize, rows: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.db");
    let connection = Connection::open(&path).unwrap();
    for step in &STEPS[..steps] {
        connection.execute_batch(step).unwrap();
    }
    connection.pragma_update(None, "application_id", 0x466c_7774).unwrap();
    connection.pragma_update(None, "user_version", i64::try_from(steps).unwrap()).unwrap();
    connection.execute_batch(rows).unwrap();
    connection.close().unwrap();
    (folder, path)
}

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis)
}
