use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use ring::digest::{Context, SHA256};

/// What an update needs of a file system. Each call is one step: a crash comes before, within or after it.
pub(super) trait Files {
    /// Whether a program that runs can be replaced by moving another one over it. Where it cannot, it is moved away
    /// first, and for an instant there is none.
    fn replaces_running(&self) -> bool;

    /// All of a file; `None` where there is none.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;

    /// Size and SHA-256 of a file; `None` where there is none.
    fn digest(&self, path: &Path) -> io::Result<Option<(u64, [u8; 32])>>;

    /// Writes a new file whose content survives a power cut once its name does, with the mode of `like`. Gives the size
    /// and SHA-256 of what was written.
    fn write(&self, path: &Path, like: Option<&Path>, bytes: &mut dyn Read) -> io::Result<(u64, [u8; 32])>;

    /// Puts a file in the place of another.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, which nothing has.
    fn keep(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; that there is none is no error.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in the folder of a file survive a power cut.
    fn sync(&self, path: &Path) -> io::Result<()>;
}

/// The file system of the machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk;

/// `None` in place of the error that there is none.
fn found<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Hands bytes on, and gives their number and SHA-256.
fn pour(from: &mut dyn Read, into: &mut dyn Write) -> io::Result<(u64, [u8; 32])> {
    let (mut size, mut digest) = (0_u64, Context::new(&SHA256));
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes =
            piece.get(..length).ok_or_else(|| io::Error::other("more was read than there was room for"))?;
        into.write_all(bytes)?;
        digest.update(bytes);
        size = size.saturating_add(length as u64);
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest.finish().as_ref());
    Ok((size, sha256))
}

impl Files for Disk {
    fn replaces_running(&self) -> bool {
        !cfg!(windows)
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        found(fs::read(path))
    }

    fn digest(&self, path: &Path) -> io::Result<Option<(u64, [u8; 32])>> {
        found(File::open(path))?.map(|mut file| pour(&mut file, &mut io::sink())).transpose()
    }

    fn write(&self, path: &Path, like: Option<&Path>, bytes: &mut dyn Read) -> io::Result<(u64, [u8; 32])> {
        self.remove(path)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let written = pour(bytes, &mut file)?;
        if let Some(like) = like {
            file.set_permissions(fs::metadata(like)?.permissions())?;
        }
        file.sync_all()?;
        Ok(written)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn keep(&self, from: &Path, to: &Path) -> io::Result<()> {
        if fs::hard_link(from, to).is_ok() {
            return Ok(());
        }
        // Some file systems have no second names.
        let mut bytes = File::open(from)?;
        self.write(to, Some(from), &mut bytes).map(drop)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        found(fs::remove_file(path)).map(drop)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        // Windows has no way to flush a folder; its file system journals names.
        if cfg!(windows) {
            return Ok(());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new("."))).and_then(|folder| folder.sync_all())
    }
}
