//! The embedded store of a fleet server: one SQLite file.
//!
//! ```
//! use fleetwire_server_core::store::{Directory, StoreError};
//! use fleetwire_store_sqlite::SqliteStore;
//!
//! # async fn look() -> Result<(), StoreError> {
//! let store = SqliteStore::open("fleet.sqlite")?;
//! assert!(store.agent(1).await?.is_none());
//! store.close()
//! # }
//! ```
//!
//! # Invariants
//! * One writer: a single thread owns the only connection that writes. What waits for it is committed as one
//!   group, so that many requests share one wait for the disk; a request that fails within a group, or panics,
//!   is undone alone.
//! * Answered means committed: WAL with `synchronous=FULL`, and a call returns after its group's commit. If
//!   that commit fails, every call of the group fails.
//! * Reads have connections and threads of their own and never wait for the disk to sync; they see everything
//!   that was answered before they were asked.
//! * Waiting room is bounded: a call that finds it full fails at once with
//!   [`StoreError::Unavailable`].
//! * Every table keeps its rowid. Keys and ids are random; a table without rowid would keep whole rows in the
//!   order of those, and rewrite pages all over the file at every insert.
//! * Nothing is decided here that another store has to decide likewise: such rules are methods of the domain.
//!
//! One process at a time: a server keeps in memory what it knows of its agents, so that two servers on one file
//! would not see each other's changes.

mod catalogue;
mod directory;
mod error;
mod events;
mod findings;
mod founding;
mod images;
mod keys;
mod lane;
mod rows;
mod schema;
mod work;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fleetwire_server_core::store::{Outcome, StoreError};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use error::{Done, Failure};
use lane::{Lane, Manner};

/// Calls that may wait for the writer, or for a reader.
const WAITING_ROOM: usize = 4096;

/// Calls that share one commit.
const GROUP: usize = 256;

/// Threads that read. Two, so that a long list does not keep sign-ins waiting.
const READERS: usize = 2;

/// Pages of the write-ahead log after which it is folded in: 16 MiB. A page that was written many times meanwhile is folded
/// once.
const FOLDED_AFTER: u32 = 4096;

/// How long to wait for a lock that another process holds, such as a backup.
const BUSY: Duration = Duration::from_secs(5);

/// A store in a SQLite file.
///
/// Dropping it waits for what is under way and folds the write-ahead log into the file, as
/// [`close`](Self::close) does, which also says whether that went well.
pub struct SqliteStore {
    path: PathBuf,
    // The readers end first, so that the writer, closing last, can remove the write-ahead log.
    readers: Lane,
    writer: Lane,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store in this file; makes it if there is none, for its owner only since it holds secrets. The
    /// folder must be there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file cannot be opened or written. [`StoreError::Corrupt`] if it is no
    /// SQLite database, another program's, damaged, or of a newer version of this program; it is left as it is.
    pub fn open(path: impl AsRef<Path>) -> Outcome<Self> {
        let path = path.as_ref();
        let open = || -> Done<(Connection, Vec<Connection>)> {
            create(path)?;
            let mut writer = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
            set_up(&writer)?;
            // What a savepoint keeps to go back to: otherwise a file of its own, made and removed each time.
            writer.pragma_update(None, "temp_store", "MEMORY")?;
            writer.pragma_update(None, "wal_autocheckpoint", FOLDED_AFTER)?;
            schema::prepare(&mut writer)?;
            let readers = (0..READERS).map(|_| {
                let reader = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))?;
                set_up(&reader)?;
                Ok(reader)
            });
            Ok((writer, readers.collect::<Done<_>>()?))
        };
        let (writer, readers) = open().map_err(|failure| match StoreError::from(failure) {
            StoreError::Corrupt(why) => StoreError::Corrupt(format!("{}: {why}", path.display())),
            StoreError::Unavailable(why) => StoreError::Unavailable(format!("{}: {why}", path.display())),
            other => other,
        })?;
        Ok(Self {
            path: path.to_owned(),
            readers: Lane::start("store-reader", readers, WAITING_ROOM, Manner::READ)?,
            writer: Lane::start("store-writer", vec![writer], WAITING_ROOM, Manner::WRITE)?,
        })
    }

    /// Waits for what is under way, folds the write-ahead log into the file and closes it. This blocks.
    ///
    /// # Errors
    /// The log could not be folded in. Nothing is lost: the next start reads it.
    pub fn close(mut self) -> Outcome<()> {
        self.readers.finish()?;
        self.writer.finish()
    }

    /// How many groups of calls that write were committed since it was opened, and how many calls were in them: how
    /// well waiting for the disk is shared.
    #[must_use]
    pub fn committed(&self) -> (u64, u64) {
        self.writer.committed()
    }

    async fn read<T, F>(&self, job: F) -> Outcome<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Done<T> + Send + 'static,
    {
        self.readers.ask(job).await
    }

    async fn write<T, F>(&self, job: F) -> Outcome<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Done<T> + Send + 'static,
    {
        self.writer.ask(job).await
    }
}

fn flags(access: OpenFlags) -> OpenFlags {
    // Each connection stays in the thread that it is given to, so that SQLite need not lock.
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Makes an empty file if there is none. SQLite gives the files that it puts beside it the same permissions.
fn create(path: &Path) -> Done<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made = match options.open(path) {
        // SQLite syncs the folder for the files that it makes, and this one it finds made.
        Ok(_) => sync_folder(path),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    made.map_err(|error| Failure::Store(StoreError::Unavailable(error.to_string())))
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// What every connection needs.
fn set_up(connection: &Connection) -> Done<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(128);
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // A plan does not depend on what is asked for, or it would be made anew each time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}
