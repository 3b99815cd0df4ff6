use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::files::Files;
use super::journal::{Journal, Program, Stage};
use super::offer::{Offer, Trust, check_version, hex, unhex};
use super::version;
use super::{Started, UpdateError};

/// The largest program that is taken: no server fills a disk.
pub(super) const LARGEST: u64 = 1 << 30;

/// The program on disk, what lies beside it, and the steps from one version to the next.
///
/// The journal says before each step what is about to be done, so that whoever starts next can tell by it and by the
/// digest of the program how far it went.
pub(super) struct Swap<F> {
    pub(super) files: F,
    program: PathBuf,
    staged: PathBuf,
    previous: PathBuf,
    aside: PathBuf,
    journal: PathBuf,
    fresh_journal: PathBuf,
}

fn beside(program: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(program);
    name.push(ending);
    PathBuf::from(name)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> UpdateError {
    let path = path.to_owned();
    move |error| UpdateError::Io { path, error }
}

/// What judges a program before it takes another's place.
pub(super) struct Rules<'a> {
    pub(super) running: &'a str,
    pub(super) trust: &'a Trust,
    pub(super) enrolled: Option<&'a str>,
    pub(super) trial: &'a dyn Fn(&Path) -> Result<(), String>,
}

impl<F: Files> Swap<F> {
    pub(super) fn new(files: F, program: PathBuf) -> Self {
        Self {
            files,
            staged: beside(&program, ".new"),
            previous: beside(&program, ".previous"),
            aside: beside(&program, ".aside"),
            journal: beside(&program, ".update"),
            fresh_journal: beside(&program, ".update.new"),
            program,
        }
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// The journal; an empty one where there is none. One that cannot be read is set aside: it says nothing, and the
    /// program is there all the same.
    fn load(&self) -> Result<Journal, UpdateError> {
        let Some(bytes) = self.files.read(&self.journal).map_err(at(&self.journal))? else {
            return Ok(Journal::default());
        };
        match serde_json::from_slice(&bytes) {
            Ok(journal) => Ok(journal),
            Err(_) => {
                let damaged = beside(&self.program, ".update.damaged");
                self.rename(&self.journal, &damaged)?;
                Ok(Journal::default())
            }
        }
    }

    fn save(&self, journal: &Journal) -> Result<(), UpdateError> {
        let bytes = serde_json::to_vec(journal).map_err(|error| at(&self.journal)(error.into()))?;
        let written = self.files.write(&self.fresh_journal, None, &mut bytes.as_slice());
        written.map_err(at(&self.fresh_journal))?;
        self.rename(&self.fresh_journal, &self.journal)?;
        self.sync()
    }

    fn enter(&self, journal: &mut Journal, stage: Option<Stage>) -> Result<(), UpdateError> {
        journal.stage = stage;
        self.save(journal)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), UpdateError> {
        self.files.rename(from, to).map_err(at(from))
    }

    fn remove(&self, path: &Path) -> Result<(), UpdateError> {
        self.files.remove(path).map_err(at(path))
    }

    fn sync(&self) -> Result<(), UpdateError> {
        self.files.sync(&self.program).map_err(at(&self.program))
    }

    /// SHA-256 of a file in hex; `None` where there is none.
    fn digest(&self, path: &Path) -> Result<Option<String>, UpdateError> {
        let digest = self.files.digest(path).map_err(at(path))?;
        Ok(digest.map(|(_, sha256)| hex(&sha256)))
    }

    /// Everything that can be said of an offer without its bytes.
    pub(super) fn look_at(&self, offer: &Offer, rules: &Rules<'_>) -> Result<[u8; 32], UpdateError> {
        let sha256: [u8; 32] = unhex(&offer.sha256).ok_or(UpdateError::NoDigest)?;
        if offer.size > LARGEST {
            return Err(UpdateError::TooLarge { size: offer.size, most: LARGEST });
        }
        rules.trust.check(rules.enrolled, &sha256, offer.signature.as_deref())?;
        check_version(offer, rules.running)?;
        let journal = self.load()?;
        if let Some(before) = journal.given_up(&offer.version, &offer.sha256) {
            let version = before.program.version.clone();
            return Err(UpdateError::GivenUpBefore { version, why: before.why.clone() });
        }
        Ok(sha256)
    }

    /// Puts a program in the place of the one that runs, if it is what was offered and may be.
    pub(super) fn install(
        &self,
        offer: &Offer,
        bytes: &mut dyn Read,
        rules: &Rules<'_>,
    ) -> Result<(), UpdateError> {
        let mut journal = self.load()?;
        if let Some(Stage::Staged { to, .. } | Stage::Swapped { to, .. }) = &journal.stage {
            return Err(UpdateError::Unconfirmed(to.version.clone()));
        }
        let to = match self.stage(offer, bytes, rules) {
            Ok(to) => to,
            Err(error) => {
                // What could not be removed is removed at the next start.
                let _ = self.files.remove(&self.staged);
                return Err(error);
            }
        };
        let from = self.digest(&self.program)?.ok_or_else(|| UpdateError::NoProgram(self.program.clone()))?;
        let from = Program { version: rules.running.to_owned(), sha256: from };
        let staged = Stage::Staged { from: from.clone(), to: to.clone() };
        let swapped = self
            .enter(&mut journal, Some(staged))
            .and_then(|()| self.swap())
            .and_then(|()| self.enter(&mut journal, Some(Stage::Swapped { from, to, starts: 0 })));
        swapped.or_else(|error| match self.recover() {
            // The new one was in its place when it failed, and now the journal says so.
            Ok(Journal { stage: Some(Stage::Swapped { .. }), .. }) => Ok(()),
            _ => Err(error),
        })
    }

    /// Writes the program beside the one that runs and judges it: size, SHA-256, signature, version.
    fn stage(&self, offer: &Offer, bytes: &mut dyn Read, rules: &Rules<'_>) -> Result<Program, UpdateError> {
        if offer.size > LARGEST {
            return Err(UpdateError::TooLarge { size: offer.size, most: LARGEST });
        }
        // One byte more than there should be tells that there are more.
        let mut bytes = bytes.take(offer.size.saturating_add(1));
        let written = self.files.write(&self.staged, Some(&self.program), &mut bytes);
        let (size, sha256) = written.map_err(at(&self.staged))?;
        if size != offer.size {
            return Err(UpdateError::WrongSize { promised: offer.size, came: size });
        }
        if unhex(&offer.sha256) != Some(sha256) {
            return Err(UpdateError::WrongDigest { promised: offer.sha256.clone(), came: hex(&sha256) });
        }
        self.look_at(offer, rules)?;
        (rules.trial)(&self.staged).map_err(UpdateError::Trial)?;
        Ok(Program { version: offer.version.clone(), sha256: hex(&sha256) })
    }

    /// The new program takes the place of the old one, which is kept.
    fn swap(&self) -> Result<(), UpdateError> {
        self.remove(&self.previous)?;
        if self.files.replaces_running() {
            self.files.keep(&self.program, &self.previous).map_err(at(&self.previous))?;
        } else {
            self.rename(&self.program, &self.previous)?;
        }
        self.sync()?;
        self.rename(&self.staged, &self.program)?;
        self.sync()
    }

    /// Finds out how far an update went that ended between two steps, and leaves one of the two programs in place.
    fn recover(&self) -> Result<Journal, UpdateError> {
        let mut journal = self.load()?;
        let mut now = self.digest(&self.program)?;
        if now.is_none() {
            // The instant between two moves.
            self.rename(&self.previous, &self.program)?;
            self.sync()?;
            now = self.digest(&self.program)?;
        }
        match &journal.stage {
            Some(Stage::Staged { from, to }) if now.as_ref() == Some(&to.sha256) => {
                let stage = Stage::Swapped { from: from.clone(), to: to.clone(), starts: 0 };
                self.sync()?;
                self.enter(&mut journal, Some(stage))?;
            }
            Some(Stage::Staged { .. }) => {
                self.remove(&self.staged)?;
                self.enter(&mut journal, None)?;
            }
            Some(Stage::Swapped { to, .. }) if now.as_ref() != Some(&to.sha256) => {
                // Somebody else has put another program there: that is not ours to judge.
                self.enter(&mut journal, None)?;
            }
            _ => {}
        }
        Ok(journal)
    }

    /// What is to be done at the start of the program.
    pub(super) fn start(&self, running: &str, starts_allowed: u32) -> Result<Started, UpdateError> {
        let before = self.load()?;
        let journal = self.recover()?;
        match (before.stage, journal.stage.clone()) {
            (Some(Stage::Staged { to, .. }), None) => Ok(Started::Abandoned { version: to.version }),
            (_, Some(Stage::Swapped { from, to, starts })) => {
                if !version::is_same(&to.version, running) {
                    let why = format!("it calls itself {running}");
                    return self.give_up(journal, &from, to, why);
                }
                if starts >= starts_allowed {
                    return self.give_up(journal, &from, to, format!("{starts} starts went unconfirmed"));
                }
                let start = starts.saturating_add(1);
                let (version, mut journal) = (to.version.clone(), journal);
                self.enter(&mut journal, Some(Stage::Swapped { from, to, starts: start }))?;
                Ok(Started::OnTrial { version, start, of: starts_allowed })
            }
            (_, Some(Stage::Returning { from, to, why })) => self.put_back(journal, &from, to, why),
            (_, Some(Stage::Returned { to, why })) => {
                let mut journal = journal;
                self.enter(&mut journal, None)?;
                Ok(Started::Returned { version: to.version, why })
            }
            _ => {
                // What a crash has left between two steps.
                self.remove(&self.staged)?;
                self.remove(&self.aside)?;
                Ok(Started::Settled)
            }
        }
    }

    /// The program that runs is well. Whether there was anything to confirm.
    pub(super) fn confirm(&self) -> Result<bool, UpdateError> {
        let mut journal = self.load()?;
        match journal.stage {
            // One that was never started has not been well: it is the old one that says so.
            Some(Stage::Swapped { starts: 1.., .. }) => self.enter(&mut journal, None).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Puts the old program back, if the new one is on trial.
    pub(super) fn revert(&self, why: String) -> Result<Started, UpdateError> {
        let journal = self.load()?;
        match journal.stage.clone() {
            Some(Stage::Swapped { from, to, .. }) => self.give_up(journal, &from, to, why),
            _ => Ok(Started::Settled),
        }
    }

    fn give_up(
        &self,
        mut journal: Journal,
        from: &Program,
        to: Program,
        why: String,
    ) -> Result<Started, UpdateError> {
        journal.give_up(to.clone(), why.clone());
        let stage = Stage::Returning { from: from.clone(), to: to.clone(), why: why.clone() };
        self.enter(&mut journal, Some(stage))?;
        self.put_back(journal, from, to, why)
    }

    fn put_back(
        &self,
        mut journal: Journal,
        from: &Program,
        to: Program,
        why: String,
    ) -> Result<Started, UpdateError> {
        let version = to.version.clone();
        let now = self.digest(&self.program)?;
        if now.as_ref() == Some(&from.sha256) {
            // It was put back, and the crash came before that was written down: the old one is it that starts.
            self.sync()?;
            self.enter(&mut journal, None)?;
            return Ok(Started::Returned { version, why });
        }
        if now.as_ref() != Some(&to.sha256) {
            self.enter(&mut journal, None)?;
            return Ok(Started::Settled);
        }
        if self.digest(&self.previous)?.as_ref() != Some(&from.sha256) {
            return Err(UpdateError::NothingToReturnTo(self.previous.clone()));
        }
        if !self.files.replaces_running() {
            self.remove(&self.aside)?;
            self.rename(&self.program, &self.aside)?;
        }
        self.rename(&self.previous, &self.program)?;
        self.sync()?;
        self.enter(&mut journal, Some(Stage::Returned { to, why: why.clone() }))?;
        Ok(Started::RolledBack { version, why })
    }
}
