//! The work that agents do: it harms nothing, so that what a crash interrupted is simply done again.

pub(super) mod achilles;
pub(super) mod acusight;
pub(super) mod agentmc;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use fleetwire_client::agent::Dialect;
use fleetwire_client::work::{Context, WorkError};
use ring::digest::{self, SHA256};

/// The folder of the files that work may name, within that of the state.
const FILES: &str = "files";

/// The place of a file within a folder. A name that leads elsewhere, by itself or by a link, is refused.
fn inside(folder: &Path, name: &str) -> Result<PathBuf, WorkError> {
    let refused = || WorkError::Refused(format!("{name:?} is no file of the agent's folder {FILES:?}"));
    let mut parts = Path::new(name).components();
    let (Some(Component::Normal(part)), None) = (parts.next(), parts.next()) else { return Err(refused()) };
    // A name such as `a/` has one part and is no file's.
    if part != name || name.contains(['/', '\\']) {
        return Err(refused());
    }
    let path = folder.join(part);
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => Ok(path),
        _ => Err(refused()),
    }
}

/// Size and SHA-256 of a file, in hex, unless the work is called off meanwhile.
fn sha256<D: Dialect>(path: &Path, context: &Context<D>) -> Result<(u64, String), WorkError> {
    let failed = |error: io::Error| WorkError::Failed(format!("the file cannot be read: {error}"));
    let mut file = File::open(path).map_err(failed)?;
    let mut sum = digest::Context::new(&SHA256);
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0_u64;
    loop {
        if context.is_called_off() {
            return Err(WorkError::CalledOff);
        }
        let read = file.read(&mut buffer).map_err(failed)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
        sum.update(piece);
        size = size.saturating_add(read as u64);
    }
    Ok((size, hex(sum.finish())))
}

fn hex(sum: digest::Digest) -> String {
    sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts a whole file in its place: whoever looks finds the old one or the new one, and finds it after a power cut too.
fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
    fresh.write_all(content)?;
    fresh.as_file().sync_all()?;
    fresh.persist(path).map_err(|error| error.error)?;
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_the_agents_own_folder_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join(FILES);
        fs::create_dir_all(files.join("deeper")).unwrap();
        fs::write(folder.path().join("state"), "secret").unwrap();
        fs::write(files.join("model.bin"), "x").unwrap();
        fs::write(files.join("deeper/model.bin"), "x").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path().join("state"), files.join("link")).unwrap();
        assert_eq!(inside(&files, "model.bin"), Ok(files.join("model.bin")));
        for name in [
            "",
            ".",
            "..",
            "/",
            "../state",
            "/etc/passwd",
            "deeper",
            "deeper/model.bin",
            "model.bin/",
            "./model.bin",
            "link",
            "missing",
            "..\\state",
            "\0",
        ] {
            assert!(matches!(inside(&files, name), Err(WorkError::Refused(_))), "{name:?}");
        }
    }
}
