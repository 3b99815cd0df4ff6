//! Documents by the path of a file, or by `REV:PATH` out of a git repository.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use fleetwire_spec::document::{Document, Limits};

/// Reads a document. An existing file wins over a revision of the same name.
pub(super) fn read(argument: &str) -> Result<Document> {
    let path = Path::new(argument);
    match argument.split_once(':') {
        Some((revision, file)) if !path.exists() => from_git(argument, revision, file),
        _ => Ok(Document::read(path)?),
    }
}

fn from_git(argument: &str, revision: &str, file: &str) -> Result<Document> {
    if revision.starts_with('-') {
        bail!("{argument} names no revision: one does not begin with a dash");
    }
    if file.is_empty() {
        bail!("{argument} names no file: write REV:PATH");
    }
    let limits = Limits::default();
    let text = blob(revision, file, &limits)?;
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let document = Document::gather(argument, &text, &limits, &mut |other| {
        let path = if folder.is_empty() { other.to_owned() } else { format!("{folder}/{other}") };
        blob(revision, &path, &limits).map_err(|error| error.to_string())
    });
    Ok(document?)
}

/// The content of a file at a revision.
fn blob(revision: &str, file: &str, limits: &Limits) -> Result<Vec<u8>> {
    let object = format!("{revision}:{file}");
    let size = git(["cat-file", "-s", &object])?;
    if !size.status.success() {
        return Err(why_missing(revision, file)?);
    }
    let size = String::from_utf8_lossy(&size.stdout).trim().parse::<u64>().unwrap_or_default();
    if size > limits.bytes {
        bail!("{object} is longer than {} bytes, which is the limit", limits.bytes);
    }
    // Neither filters nor programs that a repository may configure are run.
    let mut child = command(["cat-file", "blob", &object])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| cannot_run(&error))?;
    let mut content = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(limits.bytes + 1).read_to_end(&mut content).context("git cannot be read")?;
    }
    let output = child.wait_with_output().context("git cannot be waited for")?;
    if output.status.success() { Ok(content) } else { Err(why_missing(revision, file)?) }
}

/// What is wrong with `REV:PATH`, found out step by step, so that the answer does not depend on git's language.
fn why_missing(revision: &str, file: &str) -> Result<anyhow::Error> {
    let object = format!("{revision}:{file}");
    let repository = git(["rev-parse", "--git-dir"])?;
    if !repository.status.success() {
        let said = String::from_utf8_lossy(&repository.stderr);
        let said = said.lines().next().unwrap_or_default();
        return Ok(anyhow!(
            "{object} is no file, and git has no repository here that could have it ({said})"
        ));
    }
    // What is staged has no revision.
    if !revision.is_empty() {
        let tree = format!("{revision}^{{tree}}");
        if !git(["rev-parse", "--verify", "--quiet", &tree])?.status.success() {
            return Ok(anyhow!("{object}: git knows no revision `{revision}`"));
        }
    }
    let kind = git(["cat-file", "-t", &object])?;
    Ok(match String::from_utf8_lossy(&kind.stdout).trim() {
        "" => anyhow!(
            "{object}: there is no `{file}` in that revision; the path counts from the repository's root"
        ),
        "tree" => anyhow!("{object} is a folder"),
        kind => anyhow!("{object} cannot be read: git has a {kind} there"),
    })
}

fn command<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new("git");
    // A clone without all of its objects must not fetch them now.
    command.args(arguments.map(OsStr::new)).stdin(Stdio::null()).env("GIT_NO_LAZY_FETCH", "1");
    command
}

fn git<const N: usize>(arguments: [&str; N]) -> Result<Output> {
    command(arguments).output().map_err(|error| cannot_run(&error))
}

fn cannot_run(error: &io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!("git is not installed, and REV:PATH needs it"),
        _ => anyhow!("git cannot be run: {error}"),
    }
}
