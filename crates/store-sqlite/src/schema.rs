//! The tables, and how an older file becomes one of today.

use fleetwire_server_core::store::StoreError;
use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Done, Failure};

/// Marks a file as this program's: "Flwt".
const APPLICATION_ID: i32 = 0x466c_7774;

/// The steps from nothing to today. A released step is never changed; new ones are put at the end.
const STEPS: &[&str] = &[
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_events.sql"),
    include_str!("../migrations/0003_work.sql"),
    include_str!("../migrations/0004_provisioning.sql"),
    include_str!("../migrations/0005_fleets.sql"),
    include_str!("../migrations/0006_instructions.sql"),
    include_str!("../migrations/0007_standing.sql"),
    include_str!("../migrations/0008_files.sql"),
    include_str!("../migrations/0009_history.sql"),
];

/// Looks whether the file is ours and of a version that is known, before anything in it is changed; then brings
/// it up to today.
pub(crate) fn prepare(connection: &mut Connection) -> Done<()> {
    let version = version(connection)?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0) {
        return Err(refused("it belongs to another program".to_owned()));
    }
    if version > STEPS.len() {
        return Err(refused(format!(
            "it is of version {version}, and this program knows versions up to {}: it was written by a newer one",
            STEPS.len()
        )));
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let why = format!("no write-ahead log can be kept there (journal mode {mode})");
        return Err(Failure::Store(StoreError::Unavailable(why)));
    }
    for (number, step) in (1..).zip(STEPS) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Asked for again under the lock: another process may have been quicker.
        if self::version(&transaction)? < number {
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", i64::try_from(number).unwrap_or(i64::MAX))?;
            transaction.commit()?;
            tracing::info!(version = number, "the store's tables are of a new version");
        }
    }
    Ok(())
}

fn version(connection: &Connection) -> Done<usize> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    usize::try_from(version).map_err(|_| refused(format!("it is of version {version}, which cannot be")))
}

fn refused(why: String) -> Failure {
    Failure::Store(StoreError::Corrupt(why))
}
