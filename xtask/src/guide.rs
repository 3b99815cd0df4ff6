//! Follows `docs/add-an-operation.md` to the letter, in a copy of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{cargo, files, package};

/// The page, from the root.
const PAGE: &str = "docs/add-an-operation.md";

/// The five places: what the headings of the page begin with, and where the files of each may be.
const PLACES: [(&str, &[&str]); 5] = [
    ("1. ", &["crates/protocol/src/"]),
    ("2. ", &["crates/protocol/src/operations.rs"]),
    ("3. ", &["crates/validation/src/"]),
    ("4. ", &["crates/server-core/src/"]),
    ("5. ", &["fixtures/"]),
];

/// What notices that a place was forgotten: the command, and a part of what it says.
const NOTICED: [(usize, &[&str], &str); 4] = [
    (2, &["test", "-p", "fleetwire-protocol", "--test", "fixtures"], "every fixture belongs to an operation"),
    (3, &["check", "-p", "fleetwire-server"], "Note: Validate` is not satisfied"),
    (4, &["check", "-p", "fleetwire-server"], "Handle<Note>` is not satisfied"),
    (5, &["test", "-p", "fleetwire-protocol", "--test", "fixtures"], "zstack.note"),
];

/// A fenced block of the page.
#[derive(Debug, PartialEq)]
struct Block {
    /// The number of the place that it stands under; 0 before the first and after the last.
    place: usize,
    kind: Kind,
    text: String,
}

#[derive(Debug, PartialEq)]
enum Kind {
    /// A new file.
    New(PathBuf),
    /// Lines that are taken out (`-`), kept (blank) and put in (`+`).
    Change(PathBuf),
    /// Lines for the end of a file.
    Addition(PathBuf),
    /// A script that makes files.
    Script,
    /// Commands that must succeed.
    Commands,
}

/// Adds the operation, runs the page's commands, then forgets each place in turn.
///
/// # Errors
/// The page touches another place, does not fit the workspace, a command fails, or a loss is not noticed.
pub(crate) fn check(root: &Path) -> Result<()> {
    let page = fs::read_to_string(root.join(PAGE)).with_context(|| format!("{PAGE} cannot be read"))?;
    let blocks = blocks(&page).with_context(|| format!("{PAGE} cannot be understood"))?;
    check_places(&blocks)?;

    // Always the same folders, so that a second run finds what the first has built. The copy has a build folder
    // of its own: cargo tells members apart by their path from the root, so that in a common one the copy's would
    // pass for the workspace's.
    let folder = package::build_folder()?.join("guide");
    let (copy, target) = (folder.join("workspace"), folder.join("build"));
    let workspace = workspace(root)?;

    fill(&copy, &applied(&workspace, &blocks, None)?)?;
    scripts(&copy, &blocks, None)?;
    for block in blocks.iter().filter(|block| block.kind == Kind::Commands) {
        for command in block.text.lines().filter_map(|line| line.strip_prefix("$ ")) {
            println!("$ {command}");
            let status = shell(&copy, &target, command).status().context("sh could not be started")?;
            ensure!(status.success(), "`{command}` of {PAGE} ended with {status}");
        }
    }

    for (place, command, says) in NOTICED {
        fill(&copy, &applied(&workspace, &blocks, Some(place))?)?;
        scripts(&copy, &blocks, Some(place))?;
        let shown = format!("cargo {}", command.join(" "));
        println!("$ {shown} # without place {place}");
        // As one stream: cargo's words and a test's are both evidence.
        let output = shell(&copy, &target, &format!("INSTA_UPDATE=no {shown} 2>&1")).output();
        let output = output.context("sh could not be started")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(!output.status.success(), "`{shown}` does not notice that place {place} was forgotten");
        ensure!(said.contains(says), "`{shown}` fails without place {place}, and not by `{says}`:\n{said}");
    }
    println!("the operation of {PAGE} works, and the loss of each place is noticed");
    Ok(())
}

/// Reads the fenced blocks.
fn blocks(page: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut place = 0;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            place = PLACES.iter().position(|(start, _)| heading.starts_with(start)).map_or(0, |at| at + 1);
        }
        let Some(fence) = line.strip_prefix("```") else { continue };
        let mut text = String::new();
        loop {
            match lines.next().with_context(|| format!("a block `{fence}` has no end"))? {
                "```" => break,
                line => text.extend([line, "\n"]),
            }
        }
        let kind = match fence.split_once(' ') {
            None if fence == "sh" => Kind::Script,
            None if fence == "console" => Kind::Commands,
            Some(("diff", file)) => Kind::Change(file.into()),
            Some(("toml", file)) => Kind::Addition(file.into()),
            Some((_, file)) => Kind::New(file.into()),
            None => bail!("a block `{fence}` names no file"),
        };
        blocks.push(Block { place, kind, text });
    }
    Ok(blocks)
}

/// The five places are all there, and each touches only its own files.
fn check_places(blocks: &[Block]) -> Result<()> {
    for (index, (_, folders)) in PLACES.iter().enumerate() {
        let place = index + 1;
        let mut own = blocks.iter().filter(|block| block.place == place).peekable();
        ensure!(own.peek().is_some(), "{PAGE} has nothing under place {place}");
        for block in own {
            let (Kind::New(file) | Kind::Change(file) | Kind::Addition(file)) = &block.kind else { continue };
            let allowed =
                folders.iter().any(|folder| file.to_str().is_some_and(|file| file.starts_with(folder)));
            ensure!(allowed, "{PAGE} touches {} under place {place}", file.display());
        }
    }
    for block in blocks.iter().filter(|block| block.place == 0) {
        let harmless = match &block.kind {
            Kind::New(file) => file.components().any(|part| part.as_os_str() == "tests"),
            Kind::Commands => true,
            Kind::Change(_) | Kind::Addition(_) | Kind::Script => false,
        };
        ensure!(harmless, "{PAGE} touches more than the five places: {:?}", block.kind);
    }
    Ok(())
}

/// The files of the workspace, with links followed.
fn workspace(root: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    fn collect(folder: &Path, shown: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
        let unreadable = || format!("{} cannot be read", folder.display());
        for entry in fs::read_dir(folder).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            let (path, name) = (entry.path(), entry.file_name());
            if name == "target" || name == ".git" {
                continue;
            }
            let shown = shown.join(&name);
            if path.is_dir() {
                collect(&path, &shown, found)?;
            } else {
                let bytes = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
                found.insert(shown, bytes);
            }
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    collect(root, Path::new(""), &mut found)?;
    Ok(found)
}

/// The workspace with the page's changes, but for those of a forgotten place.
fn applied(
    workspace: &BTreeMap<PathBuf, Vec<u8>>,
    blocks: &[Block],
    forgotten: Option<usize>,
) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = workspace.clone();
    for block in blocks.iter().filter(|block| Some(block.place) != forgotten) {
        match &block.kind {
            Kind::New(file) => {
                let old = files.insert(file.clone(), block.text.clone().into());
                ensure!(old.is_none(), "{} is there already", file.display());
            }
            Kind::Change(file) => {
                let old = files.get_mut(file).with_context(|| format!("{} is not there", file.display()))?;
                let text = std::str::from_utf8(old)?;
                *old = changed(text, &block.text).with_context(|| file.display().to_string())?.into();
            }
            Kind::Addition(file) => {
                let old = files.get_mut(file).with_context(|| format!("{} is not there", file.display()))?;
                old.extend(b"\n");
                old.extend(block.text.as_bytes());
            }
            Kind::Script | Kind::Commands => {}
        }
    }
    Ok(files)
}

/// Applies a block of changed lines, which must fit at exactly one place.
fn changed(text: &str, change: &str) -> Result<String> {
    let side = |dropped: char| -> String {
        let kept = change.lines().filter(|line| !line.starts_with(dropped));
        kept.flat_map(|line| [line.get(1..).unwrap_or_default(), "\n"]).collect()
    };
    let (old, new) = (side('+'), side('-'));
    match text.matches(&old).count() {
        1 => Ok(text.replacen(&old, &new, 1)),
        found => bail!("these lines are there {found} times, not once:\n{old}"),
    }
}

/// Makes a folder hold exactly these files. What is as it should be is not touched, so that cargo sees what
/// has changed.
fn fill(copy: &Path, wanted: &BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    fs::create_dir_all(copy).with_context(|| format!("{} cannot be made", copy.display()))?;
    let present: BTreeSet<_> = files::all_under(copy)?.into_iter().collect();
    for file in present.iter().filter(|file| !wanted.contains_key(files::relative(file, copy))) {
        fs::remove_file(file).with_context(|| format!("{} cannot be removed", file.display()))?;
    }
    for (file, bytes) in wanted {
        let file = copy.join(file);
        if fs::read(&file).is_ok_and(|old| old == *bytes) {
            continue;
        }
        let unwritable = || format!("{} cannot be written", file.display());
        fs::create_dir_all(file.parent().unwrap_or(copy)).with_context(unwritable)?;
        fs::write(&file, bytes).with_context(unwritable)?;
    }
    Ok(())
}

fn scripts(copy: &Path, blocks: &[Block], forgotten: Option<usize>) -> Result<()> {
    for block in blocks.iter().filter(|block| block.kind == Kind::Script && Some(block.place) != forgotten) {
        let status = shell(copy, copy, &block.text).status().context("sh could not be started")?;
        ensure!(status.success(), "a script of {PAGE} ended with {status}:\n{}", block.text);
    }
    Ok(())
}

fn shell(copy: &Path, target: &Path, script: &str) -> Command {
    let mut command = Command::new("sh");
    cargo::clean_environment(&mut command);
    command.args(["-c", script]).current_dir(copy).stdin(Stdio::null());
    command.env("CARGO_TARGET_DIR", target).env("CARGO_TERM_COLOR", "never");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_is_read_with_its_place_and_its_file() {
        let page = "# t\n\n## 2. List\n\n```diff a/b.rs\n x\n+y\n```\n\n## After\n\n```console\n$ ls\n```\n";
        let expected = [
            Block { place: 2, kind: Kind::Change("a/b.rs".into()), text: " x\n+y\n".to_owned() },
            Block { place: 0, kind: Kind::Commands, text: "$ ls\n".to_owned() },
        ];
        assert_eq!(blocks(page).unwrap(), expected);
        assert!(blocks("```rust\nfn a() {}\n```\n").is_err(), "a block without a file");
        assert!(blocks("```sh\nls\n").is_err(), "a block without an end");
    }

    #[test]
    fn change_must_fit_at_exactly_one_place() {
        let text = "mod a;\nmod c;\n";
        assert_eq!(changed(text, " mod a;\n+mod b;\n").unwrap(), "mod a;\nmod b;\nmod c;\n");
        assert_eq!(changed(text, "-mod a;\n+mod b;\n").unwrap(), "mod b;\nmod c;\n");
        assert!(changed(text, " mod x;\n+mod b;\n").is_err());
        assert!(changed("x\nx\n", " x\n+y\n").is_err());
    }

    #[test]
    fn sixth_place_and_missing_place_are_refused() {
        let block = |place, kind| Block { place, kind, text: String::new() };
        let five = || -> Vec<Block> {
            PLACES
                .iter()
                .enumerate()
                .map(|(at, (_, folders))| block(at + 1, Kind::New(PathBuf::from(folders[0]))))
                .collect()
        };
        assert!(check_places(&five()).is_ok());
        assert!(check_places(&five()[1..]).is_err());
        let with = |kind| five().into_iter().chain([block(0, kind)]).collect::<Vec<_>>();
        assert!(check_places(&with(Kind::New("crates/server/tests/a.rs".into()))).is_ok());
        assert!(check_places(&with(Kind::New("crates/server/src/a.rs".into()))).is_err());
        assert!(check_places(&with(Kind::Change("crates/server/src/lib.rs".into()))).is_err());
    }
}
