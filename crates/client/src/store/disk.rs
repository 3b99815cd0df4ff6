use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ring::digest::{Context, SHA256};

use super::seal::SealKey;
use super::{Change, Saved, Store};

/// Keeps an agent's state in a folder of its own, for its user's eyes only.
///
/// ```text
/// lock              held while an agent is at work here
/// state             what the agent must not forget; its keys are in it
/// state.previous    the one before
/// spool/            one file for each message that waits, in the order of their names
/// ```
///
/// A file is written beside its place, flushed to the disk and then moved to it, and the folder is flushed after
/// that: a power cut leaves the old one or the new one. Each file begins with a line that holds its serial number and
/// the SHA-256 of the rest. One that does not match is set aside under another name and reported; in place of a
/// damaged state the one before it is taken.
#[derive(Debug)]
pub struct DiskStore {
    folder: PathBuf,
    key: Option<SealKey>,
    serial: u64,
    /// Held until this is dropped; `None` for who only looks.
    _lock: Option<File>,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The file system said no.
    #[error("{}: {error}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// Another agent is at work in the folder.
    #[error("another agent is at work in {}", .0.display())]
    InUse(PathBuf),
    /// There was a state, and neither it nor the one before can be read.
    #[error("the state in {} is damaged, and there is none before it", .0.display())]
    Damaged(PathBuf),
    /// What is kept is sealed, and not with this key.
    #[error("{} is sealed with another key", .0.display())]
    Sealed(PathBuf),
    /// There is no randomness to seal with.
    #[error("the system has no randomness")]
    NoRandomness,
}

const STATE: &str = "state";
const FRESH: &str = "state.new";
const PREVIOUS: &str = "state.previous";
const SPOOL: &str = "spool";
const PLAIN: &str = "fleetwire-1-plain";
const SEALED: &str = "fleetwire-1-sealed";

/// A state: its serial number, the name of its file, what it says.
type Best = (u64, &'static str, Vec<u8>);

/// What a file turned out to be.
enum Read {
    Good { serial: u64, body: Vec<u8> },
    Damaged,
    Missing,
}

impl DiskStore {
    /// Opens a folder, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made or locked, or another agent is at work in it.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, DiskError> {
        Self::open_with(folder.into(), None)
    }

    /// Opens a folder whose files are sealed with a key. Files that were written without one are read and sealed when
    /// they are written next.
    ///
    /// # Errors
    /// The folder cannot be made or locked, or another agent is at work in it.
    pub fn open_sealed(folder: impl Into<PathBuf>, key: SealKey) -> Result<Self, DiskError> {
        Self::open_with(folder.into(), Some(key))
    }

    fn open_with(folder: PathBuf, key: Option<SealKey>) -> Result<Self, DiskError> {
        let spool = folder.join(SPOOL);
        make_folder(&spool).map_err(|error| DiskError::Io { path: spool, error })?;
        let path = folder.join("lock");
        let lock = private_file(&path, false).and_then(|file| match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        });
        match lock {
            Ok(Some(lock)) => Ok(Self { folder, key, serial: 0, _lock: Some(lock) }),
            Ok(None) => Err(DiskError::InUse(folder)),
            Err(error) => Err(DiskError::Io { path, error }),
        }
    }

    /// What is kept in a folder, without changing any of it, and whether or not an agent is at work there.
    ///
    /// # Errors
    /// The folder cannot be read, or there is a state and it is damaged.
    pub fn look(folder: impl Into<PathBuf>) -> Result<Saved, DiskError> {
        let looking = Self { folder: folder.into(), key: None, serial: 0, _lock: None };
        let mut damaged = Vec::new();
        let state = looking.best_state(&mut damaged)?.map(|(_, _, body)| body.into());
        let messages = looking.load_messages(&mut damaged, false)?;
        Ok(Saved { state, messages, damaged })
    }

    fn message(&self, seq: u64) -> PathBuf {
        self.folder.join(SPOOL).join(format!("{seq:020}"))
    }

    /// The newest of the good states, and the names of damaged ones.
    fn best_state(&self, damaged: &mut Vec<String>) -> Result<Option<Best>, DiskError> {
        let mut best: Option<Best> = None;
        let mut bad = Vec::new();
        // A new one that was not moved to its place any more is as good as one that was.
        for name in [STATE, FRESH, PREVIOUS] {
            match self.read(&self.folder.join(name), STATE)? {
                Read::Good { serial, body } => {
                    if best.as_ref().is_none_or(|(other, ..)| serial > *other) {
                        best = Some((serial, name, body));
                    }
                }
                Read::Damaged => bad.push(name),
                Read::Missing => {}
            }
        }
        // Half of a new one is what a power cut leaves: nothing was lost.
        bad.retain(|name| *name != FRESH);
        damaged.extend(bad.iter().map(|name| (*name).to_owned()));
        if best.is_none() && !bad.is_empty() {
            return Err(DiskError::Damaged(self.folder.clone()));
        }
        Ok(best)
    }

    fn load_state(&mut self, damaged: &mut Vec<String>) -> Result<Option<Bytes>, DiskError> {
        let Some((serial, name, body)) = self.best_state(damaged)? else { return Ok(None) };
        self.serial = serial;
        let state = self.folder.join(STATE);
        if damaged.iter().any(|name| name == STATE) {
            // It must not take the place of the good one before it.
            self.rename(&state, &self.folder.join("state.damaged"))?;
        }
        if name == FRESH {
            self.rename(&self.folder.join(FRESH), &state)?;
            sync(&self.folder)?;
        }
        Ok(Some(body.into()))
    }

    /// The messages. Those that are damaged are set aside if `tidy`, and what was never kept is removed.
    fn load_messages(&self, damaged: &mut Vec<String>, tidy: bool) -> Result<Vec<(u64, Bytes)>, DiskError> {
        let spool = self.folder.join(SPOOL);
        let io = |error| DiskError::Io { path: spool.clone(), error };
        let mut messages = Vec::new();
        for entry in fs::read_dir(&spool).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let Ok(seq) = name.parse() else {
                if tidy && name.ends_with(".new") {
                    // It was never said to be kept.
                    fs::remove_file(&path).map_err(io)?;
                }
                continue;
            };
            match self.read(&path, name)? {
                Read::Good { body, .. } => messages.push((seq, Bytes::from(body))),
                Read::Missing => {}
                Read::Damaged => {
                    damaged.push(format!("{SPOOL}/{name}"));
                    if tidy {
                        self.rename(&path, &path.with_extension("damaged"))?;
                    }
                }
            }
        }
        messages.sort_unstable_by_key(|(seq, _)| *seq);
        Ok(messages)
    }

    fn read(&self, path: &Path, place: &str) -> Result<Read, DiskError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Read::Missing),
            Err(error) => return Err(DiskError::Io { path: path.to_owned(), error }),
        };
        let Some((sealed, serial, body)) = parse(&bytes) else { return Ok(Read::Damaged) };
        let body = match (&self.key, sealed) {
            (_, false) => Some(body.to_vec()),
            (Some(key), true) => key.open(place, body),
            (None, true) => None,
        };
        // The checksum was right, so that the bytes are those that were written.
        body.map(|body| Read::Good { serial, body }).ok_or_else(|| DiskError::Sealed(path.to_owned()))
    }

    /// Writes a file whole: beside its place first.
    fn write(&self, fresh: &Path, serial: u64, place: &str, body: &[u8]) -> Result<(), DiskError> {
        let sealed = match &self.key {
            Some(key) => Some(key.seal(place, body).ok_or(DiskError::NoRandomness)?),
            None => None,
        };
        let kind = if sealed.is_some() { SEALED } else { PLAIN };
        let body = sealed.as_deref().unwrap_or(body);
        let write = || {
            let mut file = private_file(fresh, true)?;
            // Formatted first: a file would take each piece of the head by a call of its own.
            let mut whole = format!("{kind} {serial:020} {}\n", checksum(kind, serial, body)).into_bytes();
            whole.extend_from_slice(body);
            file.write_all(&whole)?;
            file.sync_all()
        };
        write().map_err(|error| DiskError::Io { path: fresh.to_owned(), error })
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        fs::rename(from, to).map_err(|error| DiskError::Io { path: from.to_owned(), error })
    }
}

impl Store for DiskStore {
    type Error = DiskError;

    fn folder(&self) -> Option<&Path> {
        Some(&self.folder)
    }

    fn load(&mut self) -> Result<Saved, DiskError> {
        let mut damaged = Vec::new();
        let state = self.load_state(&mut damaged)?;
        let messages = self.load_messages(&mut damaged, true)?;
        Ok(Saved { state, messages, damaged })
    }

    fn apply(&mut self, change: &Change) -> Result<(), DiskError> {
        match change {
            Change::Save(body) => {
                let (fresh, state) = (self.folder.join(FRESH), self.folder.join(STATE));
                self.write(&fresh, self.serial + 1, STATE, body)?;
                match fs::rename(&state, self.folder.join(PREVIOUS)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(DiskError::Io { path: state, error });
                    }
                    _ => {}
                }
                self.rename(&fresh, &state)?;
                self.serial += 1;
                sync(&self.folder)
            }
            Change::Append(seq, body) => {
                let path = self.message(*seq);
                let fresh = path.with_extension("new");
                self.write(&fresh, *seq, &format!("{seq:020}"), body)?;
                self.rename(&fresh, &path)?;
                sync(&self.folder.join(SPOOL))
            }
            Change::Remove(seq) => {
                let path = self.message(*seq);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(DiskError::Io { path, error })
                    }
                    _ => sync(&self.folder.join(SPOOL)),
                }
            }
        }
    }
}

/// Whether a file is sealed, its serial number and its body; `None` if it is not what was written.
fn parse(bytes: &[u8]) -> Option<(bool, u64, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (head, body) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    let mut words = std::str::from_utf8(head).ok()?.split(' ');
    let (kind, serial, sum) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    let sealed = match kind {
        PLAIN => false,
        SEALED => true,
        _ => return None,
    };
    (words.next().is_none() && sum == checksum(kind, serial, body)).then_some((sealed, serial, body))
}

/// SHA-256 of everything in a file but itself, in hex.
fn checksum(kind: &str, serial: u64, body: &[u8]) -> String {
    let mut sum = Context::new(&SHA256);
    sum.update(format!("{kind} {serial:020} ").as_bytes());
    sum.update(body);
    let digits = sum.finish().as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]).collect::<Vec<_>>();
    digits.into_iter().filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file to be written, from its beginning if `anew`, for its user only.
fn private_file(path: &Path, anew: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(anew);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the names in a folder survive a power cut.
fn sync(folder: &Path) -> Result<(), DiskError> {
    // Windows has no way to flush a folder; its file system journals names.
    if cfg!(windows) {
        return Ok(());
    }
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| DiskError::Io { path: folder.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> DiskStore {
        DiskStore::open(folder).unwrap()
    }

    fn save(store: &mut DiskStore, text: &'static str) {
        store.apply(&Change::Save(Bytes::from_static(text.as_bytes()))).unwrap();
    }

    fn state(folder: &Path) -> Option<Bytes> {
        open(folder).load().unwrap().state
    }

    #[test]
    fn what_was_applied_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        assert!(store.load().unwrap().state.is_none());
        save(&mut store, "one");
        save(&mut store, "two");
        for seq in [2, 10, 1] {
            store.apply(&Change::Append(seq, Bytes::from(seq.to_string()))).unwrap();
        }
        store.apply(&Change::Remove(2)).unwrap();
        store.apply(&Change::Remove(77)).unwrap();
        drop(store);
        let saved = open(folder.path()).load().unwrap();
        assert_eq!(saved.state.unwrap(), "two");
        assert_eq!(saved.messages, [(1, Bytes::from("1")), (10, Bytes::from("10"))]);
        assert!(saved.damaged.is_empty());
    }

    #[test]
    fn a_state_cut_at_any_byte_gives_way_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        save(&mut store, "one");
        save(&mut store, "two");
        drop(store);
        let whole = fs::read(folder.path().join(STATE)).unwrap();
        for length in 0..whole.len() {
            fs::write(folder.path().join(STATE), &whole[..length]).unwrap();
            let saved = open(folder.path()).load().unwrap();
            assert_eq!(saved.state.unwrap(), "one", "cut after {length}");
            assert_eq!(saved.damaged, [STATE]);
        }
        let mut store = open(folder.path());
        assert_eq!(store.load().unwrap().state.unwrap(), "one");
        save(&mut store, "three");
        drop(store);
        assert_eq!(state(folder.path()).unwrap(), "three");
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found() {
        let folder = tempfile::tempdir().unwrap();
        save(&mut open(folder.path()), "one");
        let whole = fs::read(folder.path().join(STATE)).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(folder.path().join(STATE), &flipped).unwrap();
            assert!(matches!(open(folder.path()).load(), Err(DiskError::Damaged(_))), "{at}");
        }
    }

    #[test]
    fn a_crash_between_the_steps_of_a_save_leaves_one_whole_state() {
        for step in 0..4 {
            let folder = tempfile::tempdir().unwrap();
            let mut store = open(folder.path());
            save(&mut store, "one");
            save(&mut store, "two");
            let path = |name| folder.path().join(name);
            store.write(&path(FRESH), 3, STATE, b"three").unwrap();
            if step == 0 {
                let half = fs::read(path(FRESH)).unwrap();
                fs::write(path(FRESH), &half[..half.len() / 2]).unwrap();
            }
            if step >= 2 {
                fs::rename(path(STATE), path(PREVIOUS)).unwrap();
            }
            if step >= 3 {
                fs::rename(path(FRESH), path(STATE)).unwrap();
            }
            drop(store);
            for _ in 0..2 {
                let saved = open(folder.path()).load().unwrap();
                assert_eq!(saved.state.unwrap(), if step == 0 { "two" } else { "three" }, "{step}");
                assert!(saved.damaged.is_empty());
            }
        }
    }

    #[test]
    fn a_damaged_message_is_set_aside_and_the_others_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        store.apply(&Change::Append(1, Bytes::from_static(b"one"))).unwrap();
        store.apply(&Change::Append(2, Bytes::from_static(b"two"))).unwrap();
        fs::write(store.message(1), "fleetwire-1-plain").unwrap();
        fs::write(folder.path().join(SPOOL).join("3.new"), "half").unwrap();
        drop(store);
        let saved = open(folder.path()).load().unwrap();
        assert_eq!(saved.messages, [(2, Bytes::from("two"))]);
        assert_eq!(saved.damaged.len(), 1);
        assert!(open(folder.path()).load().unwrap().damaged.is_empty(), "it is told once");
    }

    #[test]
    fn a_folder_has_room_for_one_agent() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        assert!(matches!(DiskStore::open(folder.path()), Err(DiskError::InUse(_))));
        drop(store);
        open(folder.path());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_any_of_it() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let mut store = open(&folder.path().join("agent"));
        save(&mut store, "one");
        store.apply(&Change::Append(1, Bytes::from_static(b"one"))).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.folder), 0o700);
        for path in [store.folder.join(STATE), store.message(1), store.folder.join("lock")] {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }

    #[test]
    fn who_looks_sees_what_is_kept_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        save(&mut store, "one");
        store.apply(&Change::Append(3, Bytes::from_static(b"three"))).unwrap();
        fs::write(folder.path().join(FRESH), "half").unwrap();
        fs::write(folder.path().join(SPOOL).join("00000000000000000004.new"), "half").unwrap();
        let files = || -> Vec<_> {
            let all = [folder.path().to_owned(), folder.path().join(SPOOL)];
            let all = all.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
            let mut all: Vec<_> = all.map(|entry| entry.unwrap().path()).collect();
            all.sort();
            all
        };
        let before = files();
        // The agent is at work meanwhile.
        let saved = DiskStore::look(folder.path()).unwrap();
        assert_eq!(saved.state.unwrap(), "one");
        assert_eq!(saved.messages, [(3, Bytes::from_static(b"three"))]);
        assert_eq!(files(), before);
    }

    #[test]
    fn sealed_files_show_nothing_and_open_with_their_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let sealed =
            |byte: u8| DiskStore::open_sealed(folder.path(), SealKey::new(&[byte; 32]).unwrap()).unwrap();
        let mut store = sealed(1);
        save(&mut store, "ak_5ec2e7");
        drop(store);
        let bytes = fs::read(folder.path().join(STATE)).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"ak_5ec2e7"));
        assert_eq!(sealed(1).load().unwrap().state.unwrap(), "ak_5ec2e7");
        assert!(matches!(sealed(2).load(), Err(DiskError::Sealed(_))));
        assert!(matches!(open(folder.path()).load(), Err(DiskError::Sealed(_))));
    }

    #[test]
    fn a_plain_folder_is_sealed_from_the_next_change_on() {
        let folder = tempfile::tempdir().unwrap();
        save(&mut open(folder.path()), "one");
        let mut store = DiskStore::open_sealed(folder.path(), SealKey::new(&[1; 32]).unwrap()).unwrap();
        assert_eq!(store.load().unwrap().state.unwrap(), "one");
        save(&mut store, "two");
        assert!(fs::read(folder.path().join(STATE)).unwrap().starts_with(SEALED.as_bytes()));
    }
}
