//! What was released stays: our documents of every version are kept in `schemas/baseline/<version>/`, and what we
//! write and read today is held against them.
//!
//! Three things are asked of each version and each vendor. The published document must have changed for no peer's
//! worse ([`changes`]); what that version wrote must still be read; and what is written today must be what
//! that version read, since fleets are never of one version. A break is a finding until `CHANGELOG.md` names it
//! under *Breaking*, in a code span: the name stands in the finding.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::changelog::broken_since;
use crate::changes::{self, Options, Policy};
use crate::check::Contracts;
use crate::claims::{self, Claim, Claimed, Ends, Standing};
use crate::coverage::Name;
use crate::document::{Dialect, Document, DocumentError};
use crate::files::FileError;
use crate::finding::{Finding, Kind, Severity};
use crate::inclusion::Prover;
use crate::pairing::Pairing;

/// The folder of the baselines, seen from the root of the work tree.
pub const FOLDER: &str = "schemas/baseline";

const CHANGELOG: &str = "CHANGELOG.md";

/// Why a baseline cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A document of a baseline is none.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A document of a baseline is no OpenAPI.
    #[error(transparent)]
    Incomparable(#[from] changes::Incomparable),
    /// A document cannot be written as JSON.
    #[error("a document cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// The documents of a version.
struct Baseline {
    version: String,
    vendors: BTreeMap<String, Contracts>,
}

/// Compares the documents of every version that has any with those of today.
///
/// # Errors
/// A baseline or the changelog cannot be read.
pub fn compare(
    root: &Path,
    today: &BTreeMap<String, Contracts>,
    names: &[Name],
    prover: &mut Prover,
) -> Result<Vec<Finding>, BaselineError> {
    let baselines = read(root)?;
    if baselines.is_empty() {
        return Ok(Vec::new());
    }
    let path = root.join(CHANGELOG);
    let changelog = match fs::read_to_string(&path) {
        Ok(text) => text,
        // Nothing is named then.
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(FileError { path, error }.into()),
    };
    let nothing = Contracts::default();
    let mut findings = Vec::new();
    for baseline in &baselines {
        let named = broken_since(&baseline.version, &changelog);
        for (vendor, then) in &baseline.vendors {
            let now = today.get(vendor).unwrap_or(&nothing);
            let mut breaks = published(vendor, then, now, names, prover)?;
            breaks.extend(spoken(vendor, then, now, names, prover));
            breaks.retain(|broken| !named.contains(&broken.name.as_str()));
            findings.extend(breaks.into_iter().map(|broken| broken.finding(vendor, &baseline.version)));
        }
    }
    Ok(findings)
}

/// Something that a version promised and that is no longer so.
struct Broken {
    /// What the changelog calls it.
    name: String,
    operation: Option<String>,
    was: String,
    is: String,
    witness: Option<Value>,
}

impl Broken {
    fn finding(self, vendor: &str, version: &str) -> Finding {
        let kind = Kind::BaselineBroken;
        Finding {
            id: kind,
            severity: kind.severity(),
            fix: kind.fix(),
            vendor: Some(vendor.to_owned()),
            operation: self.operation,
            side: None,
            pointer: format!("`{}`", self.name),
            source: format!("{version}: {}", self.was),
            origin: None,
            ours: self.is,
            witness: self.witness,
            advice: kind.advice().to_owned(),
        }
    }
}

/// What has changed in the published document for the worse.
fn published(
    vendor: &str,
    then: &Contracts,
    now: &Contracts,
    names: &[Name],
    prover: &mut Prover,
) -> Result<Vec<Broken>, BaselineError> {
    let document = |value: &Value| Document::parse(&format!("{vendor}.json"), value.to_string().as_bytes());
    let mut policy = Policy::default();
    // Whether the version says enough is what the changelog is asked.
    policy.grades.set(changes::Rule::VersionNotBumped, changes::Grade::Off);
    let options = Options { policy, ..Options::default() };
    let found = changes::compare(&document(&then.emit)?, &document(&now.emit)?, &options, prover)?;
    let worse = found.findings.into_iter().filter(|change| change.severity == Severity::Error);
    Ok(worse
        .map(|change| {
            let operation = change.operation.as_ref().map(|operation| {
                let same = |name: &&Name| name.method == operation.method && name.path == operation.path;
                names.iter().find(same).map_or_else(|| operation.request_line(), |name| name.id.clone())
            });
            let place = [operation.clone().unwrap_or_else(|| vendor.to_owned()), change.part, change.at];
            let place: Vec<_> = place.into_iter().filter(|part| !part.is_empty()).collect();
            Broken {
                name: format!("{} {}", place.join(" "), change.rule.as_str()),
                operation,
                was: change.old.text,
                is: change.new.text,
                witness: change.witness.map(|witness| witness.document),
            }
        })
        .collect())
}

/// What peers of that version and peers of today can no longer say to each other.
fn spoken(
    vendor: &str,
    then: &Contracts,
    now: &Contracts,
    names: &[Name],
    prover: &mut Prover,
) -> Vec<Broken> {
    let mut broken = Vec::new();
    // What was written must be read today; what is written today must have been read.
    for (old, about_writing) in [(&then.emit, false), (&then.accept, true)] {
        let pairing = Pairing::new(vendor, old, &now.emit, names, &[]);
        let ends = Ends {
            source: Dialect::OpenApi31,
            ours: Dialect::OpenApi31,
            emit: &now.emit,
            accept: &now.accept,
            open_members: None,
            source_is_open: true,
        };
        let claims = claims::claims(&pairing, &ends, None, prover);
        let of_these = |claimed: &Claimed| claimed.claim.is_about_writing() == about_writing;
        broken.extend(claims.into_iter().filter(of_these).filter_map(misunderstood));
    }
    broken
}

fn misunderstood(claimed: Claimed) -> Option<Broken> {
    let (is, witness) = match &claimed.standing {
        Standing::Refuted(refutation) => (
            format!("refused at {:?} by {}", refutation.pointer, refutation.keyword),
            Some(refutation.document.clone()),
        ),
        Standing::Undecided { reasons } => (reasons.join("; "), None),
        _ => return None,
    };
    let was = match claimed.claim {
        Claim::RequestsAccepted => "its clients' requests are read",
        Claim::RequestsPromised => "its servers read our requests",
        Claim::AnswersPromised => "its clients read our answers",
        Claim::AnswersRead => "its servers' answers are read",
    };
    let part = if claimed.part.is_empty() { String::new() } else { format!(" {}", claimed.part) };
    Some(Broken {
        name: format!("{} {}{part} {}", claimed.operation, claimed.side, claimed.claim.id()),
        operation: Some(claimed.operation),
        was: was.to_owned(),
        is,
        witness,
    })
}

fn read(root: &Path) -> Result<Vec<Baseline>, BaselineError> {
    let folder = root.join(FOLDER);
    let mut baselines = Vec::new();
    for version in entries(&folder)? {
        let mut vendors: BTreeMap<String, Contracts> = BTreeMap::new();
        for path in entries(&version)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some((vendor, contract)) = name.strip_suffix(".json").and_then(|name| name.split_once('.'))
            else {
                continue;
            };
            let document = Document::read(&path)?.value().as_ref().clone();
            let contracts = vendors.entry(vendor.to_owned()).or_default();
            match contract {
                "emit" => contracts.emit = document,
                "accept" => contracts.accept = document,
                _ => {}
            }
        }
        let version = version.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !vendors.is_empty() {
            baselines.push(Baseline { version, vendors });
        }
    }
    Ok(baselines)
}

/// What is in a folder, in the order of the names; nothing if there is no folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let fault = |error| FileError { path: folder.to_owned(), error };
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(fault(error)),
    };
    let mut paths =
        listed.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(fault)?;
    paths.sort();
    Ok(paths)
}

/// Keeps the documents of today as what their version promises. The caller sees to it that they break no promise.
/// Returns the files that were written.
///
/// # Errors
/// A file cannot be written.
pub fn keep(root: &Path, today: &BTreeMap<String, Contracts>) -> Result<Vec<String>, BaselineError> {
    let mut written = Vec::new();
    for (vendor, contracts) in today {
        let version = contracts.emit.pointer("/info/version").and_then(Value::as_str).unwrap_or_default();
        for (contract, document) in [("emit", &contracts.emit), ("accept", &contracts.accept)] {
            let file = format!("{FOLDER}/{version}/{vendor}.{contract}.json");
            let path = root.join(&file);
            let text = serde_json::to_string_pretty(document)? + "\n";
            if fs::read_to_string(&path).is_ok_and(|own| own == text) {
                continue;
            }
            let outcome =
                path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
            outcome.map_err(|error| FileError { path, error })?;
            written.push(file);
        }
    }
    Ok(written)
}
