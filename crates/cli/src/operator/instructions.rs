//! `fleetwire instructions`: the files that agents are to work by.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use fleetwire_client::Transport;
use fleetwire_server::control::{InstructionText, InstructionsBody, NewInstructionsBody};
use fleetwire_server_core::domain::Instructions;
use http::Method;

use super::Form;
use super::api::Api;
use crate::table::{self, Table};

/// How deep folders are looked into.
const DEEPEST: usize = 16;

/// What is wanted of instructions.
#[derive(Debug, Subcommand)]
pub(crate) enum InstructionsCommand {
    /// Set the files of a folder, in place of those that were there.
    Set {
        /// The folder: every file below it, as text; their paths become those that agents see
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        #[command(flatten)]
        whose: Whose,
    },
    /// Show what an agent is to work by: its own files, else everybody's.
    Show(Whose),
    /// Forget the files of an agent, so that it works by everybody's; or those.
    Clear(Whose),
}

/// Whose files they are.
#[derive(Debug, Args)]
pub(crate) struct Whose {
    /// Only this agent's, by its number [default: those of all agents that have none of their own]
    #[arg(long, value_name = "NUMBER")]
    agent: Option<String>,
}

impl Whose {
    /// The address of the files.
    fn path(&self) -> Vec<&str> {
        match &self.agent {
            Some(agent) => vec!["agents", "agentmc", agent, "instructions"],
            None => vec!["instructions"],
        }
    }
}

impl InstructionsCommand {
    pub(super) async fn ask<T: Transport>(self, api: &Api<T>, form: Form) -> Result<String> {
        match self {
            Self::Set { folder, whose } => {
                let body = NewInstructionsBody { files: files_below(&folder)? };
                let answer = api.send(Method::PUT, &whose.path(), &body).await?;
                form.show(answer, |set: InstructionsBody| shown(&set))
            }
            Self::Show(whose) => {
                form.show(api.get(&whose.path(), &()).await?, |set: InstructionsBody| shown(&set))
            }
            Self::Clear(whose) => {
                let answer = api.send(Method::DELETE, &whose.path(), &()).await?;
                match form {
                    Form::Text => Ok("They are forgotten.\n".to_owned()),
                    Form::Json | Form::Quiet if answer.is_null() => Ok(String::new()),
                    Form::Json | Form::Quiet => Ok(format!("{answer:#}\n")),
                }
            }
        }
    }
}

fn shown(set: &InstructionsBody) -> String {
    let whose =
        set.agent.map_or_else(|| "all agents without their own".to_owned(), |no| format!("agent {no}"));
    let mut table = Table::new(["path", "bytes"]);
    for file in &set.files {
        table.row([&file.path, &file.content.len().to_string()]);
    }
    let facts = [("for", whose.as_str()), ("version", &set.version), ("set", &set.set_at)];
    format!("{}\n{}", table::pairs(&facts), table.finish("No files."))
}

/// The files below a folder as text, with `/` between folders, in the order of their paths.
fn files_below(folder: &Path) -> Result<Vec<InstructionText>> {
    let mut files = Vec::new();
    collect(folder, "", DEEPEST, &mut files)?;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

fn collect(folder: &Path, path: &str, levels: usize, files: &mut Vec<InstructionText>) -> Result<()> {
    let unreadable = || format!("cannot read {}", folder.display());
    ensure!(levels > 0, "{} is more than {DEEPEST} folders deep", folder.display());
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let place = entry.path();
        let name = entry.file_name();
        let name = name.to_str().with_context(|| format!("the name of {} is not UTF-8", place.display()))?;
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        let kind = entry.file_type().with_context(unreadable)?;
        if kind.is_dir() {
            collect(&place, &path, levels - 1, files)?;
            continue;
        }
        ensure!(kind.is_file(), "{} is neither a file nor a folder", place.display());
        let size = entry.metadata().with_context(unreadable)?.len();
        ensure!(size <= Instructions::MAX_BYTES as u64, "{} is too large: {size} bytes", place.display());
        ensure!(
            files.len() < Instructions::MAX_FILES,
            "there are more than {} files",
            Instructions::MAX_FILES
        );
        let content = std::fs::read_to_string(&place)
            .with_context(|| format!("{} cannot be read as text", place.display()))?;
        files.push(InstructionText { path, content });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_folder_come_with_their_paths_in_order() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("skills/deep")).unwrap();
        for (path, text) in [("z.md", "last"), ("skills/deep/one.md", "🤖"), ("AGENTS.md", "")] {
            std::fs::write(folder.path().join(path), text).unwrap();
        }
        let files: Vec<_> =
            files_below(folder.path()).unwrap().into_iter().map(|file| (file.path, file.content)).collect();
        let expected = [("AGENTS.md", ""), ("skills/deep/one.md", "🤖"), ("z.md", "last")];
        assert_eq!(files, expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    }

    #[test]
    fn what_is_no_text_or_too_much_is_refused_before_it_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        assert!(files_below(&folder.path().join("nowhere")).is_err());
        std::fs::write(folder.path().join("a"), [0xff, 0xfe]).unwrap();
        assert!(format!("{:#}", files_below(folder.path()).unwrap_err()).contains("as text"));
        std::fs::write(folder.path().join("a"), "x".repeat(Instructions::MAX_BYTES + 1)).unwrap();
        assert!(files_below(folder.path()).unwrap_err().to_string().contains("too large"));
        std::fs::write(folder.path().join("a"), "x").unwrap();
        for number in 0..Instructions::MAX_FILES {
            std::fs::write(folder.path().join(number.to_string()), "x").unwrap();
        }
        assert!(files_below(folder.path()).unwrap_err().to_string().contains("more than 64 files"));
    }
}
