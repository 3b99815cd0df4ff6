use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, Digest, SHA256};

use super::DownloadError;

/// What has come of a file, beside the place where it will lie: `.NAME.part`, for its user's eyes only, and the entity
/// tag of the object that it is of in `.NAME.tag`.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    tag_path: PathBuf,
    place: PathBuf,
    digest: Context,
    len: u64,
}

impl Part {
    /// Opens the part of a file, with what was kept of it and its tag. Nothing is kept of what is longer than `longest`.
    pub(super) fn open(
        folder: &Path,
        name: &str,
        longest: u64,
    ) -> Result<(Self, Option<String>), DownloadError> {
        let place = folder.join(name);
        make_folder(folder).map_err(|error| disk(folder, error))?;
        let path = folder.join(format!(".{name}.part"));
        let tag_path = folder.join(format!(".{name}.tag"));
        let mut file = private_file(&path).map_err(|error| disk(&path, error))?;
        match file.try_lock() {
            Ok(()) if is_at(&file, &path) => {}
            // Whoever was at it has finished since it was opened here: it is the file at its place by now.
            Ok(()) => return Err(DownloadError::InUse(path)),
            Err(fs::TryLockError::WouldBlock) => return Err(DownloadError::InUse(path)),
            Err(fs::TryLockError::Error(error)) => return Err(disk(&path, error)),
        }
        let (digest, len) = digest_of(&mut file, longest).map_err(|error| disk(&path, error))?;
        let tag = fs::read_to_string(&tag_path).ok().filter(|_| len > 0);
        let mut part = Self { file, path, tag_path, place, digest, len };
        match digest_fits(&part.file, len) {
            true => Ok((part, tag)),
            false => {
                part.start_over(None)?;
                Ok((part, None))
            }
        }
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Forgets what has come; what comes now is of the object with this tag.
    pub(super) fn start_over(&mut self, tag: Option<&str>) -> Result<(), DownloadError> {
        if self.len > 0 || !digest_fits(&self.file, 0) {
            let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
            emptied.map_err(|error| disk(&self.path, error))?;
        }
        (self.digest, self.len) = (Context::new(&SHA256), 0);
        // The bytes of one object never lie beside the tag of another: they are gone before it is written.
        let _not_there = fs::remove_file(&self.tag_path);
        if let Some(tag) = tag {
            let written = private_file(&self.tag_path).and_then(|mut file| file.write_all(tag.as_bytes()));
            written.map_err(|error| disk(&self.tag_path, error))?;
        }
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        if let Err(error) = self.file.write_all(bytes) {
            let error = disk(&self.path, error);
            if matches!(error, DownloadError::DiskFull(_)) {
                // What cannot be finished must not keep the disk full.
                self.forget();
            }
            return Err(error);
        }
        self.digest.update(bytes);
        self.len = self.len.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// The digest of all that has come, in hex.
    pub(super) fn sha256(&self) -> String {
        hex(&self.digest.clone().finish())
    }

    /// Moves the file to its place, once it is safe on the disk.
    pub(super) fn finish(self) -> Result<PathBuf, DownloadError> {
        self.file.sync_all().map_err(|error| disk(&self.path, error))?;
        fs::rename(&self.path, &self.place).map_err(|error| disk(&self.place, error))?;
        let _not_there = fs::remove_file(&self.tag_path);
        // Windows has no way to flush a folder; its file system journals names.
        if let Some(folder) = self.place.parent().filter(|_| !cfg!(windows)) {
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|error| disk(folder, error))?;
        }
        Ok(self.place)
    }

    /// Takes away what has come.
    pub(super) fn forget(&self) {
        let _gone = fs::remove_file(&self.path);
        let _gone = fs::remove_file(&self.tag_path);
    }
}

/// The digest in hex and the length of the file at its place, if there is one that is not longer than `longest`.
pub(super) fn look_at(place: &Path, longest: u64) -> Option<(String, u64)> {
    let mut file = File::open(place).ok()?;
    let (digest, len) = digest_of(&mut file, longest).ok()?;
    digest_fits(&file, len).then(|| (hex(&digest.finish()), len))
}

/// The digest and length of a file's beginning, up to `longest` bytes.
fn digest_of(file: &mut File, longest: u64) -> io::Result<(Context, u64)> {
    let (mut digest, mut len) = (Context::new(&SHA256), 0);
    let mut buffer = vec![0; 64 << 10];
    let mut file = file.take(longest.saturating_add(1));
    loop {
        let count = match file.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        digest.update(bytes);
        len += bytes.len() as u64;
    }
    Ok(if len > longest { (Context::new(&SHA256), 0) } else { (digest, len) })
}

/// Whether a file is as long as what was read of it.
fn digest_fits(file: &File, len: u64) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.len() == len)
}

/// Whether an open file is the one at a path.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
        (open.dev(), open.ino()) == (there.dev(), there.ino())
    }
    #[cfg(not(unix))]
    {
        let _same_unless_moved = file;
        path.exists()
    }
}

fn hex(digest: &Digest) -> String {
    use std::fmt::Write as _;

    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _never_fails = write!(text, "{byte:02x}");
        text
    })
}

fn disk(path: &Path, error: io::Error) -> DownloadError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            DownloadError::DiskFull(path.to_owned())
        }
        _ => DownloadError::Disk { path: path.to_owned(), error },
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file to be read and written, for its user only.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
