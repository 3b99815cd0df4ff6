use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fleetwire_protocol::Endpoint;
use serde::Serialize;
use serde_json::Value;

use crate::coverage::{self, Compared, Coverage, Name, Silence};
use crate::deviations::{self, Deviation, DeviationsError};
use crate::files::{FileError, Mode, settle};
use crate::finding::{Finding, Fix, Kind};
use crate::generate::{self, Document, Version};
use crate::source::{self, Source, SourceError};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What it comes to.
    pub verdict: Verdict,
    /// The disagreements: vendor by vendor, then the files.
    pub findings: Vec<Finding>,
    /// The places of which the sources say nothing.
    pub silent: Vec<Silence>,
    /// How many deviations there are.
    pub deviations: usize,
    /// How much was compared.
    pub compared: Compared,
    /// How many files were compared.
    pub files: usize,
}

impl Report {
    fn new(proof: Proof, files: Vec<Finding>, count: usize) -> Self {
        let Proof { coverage: Coverage { mut findings, silent, compared }, deviations } = proof;
        findings.extend(files);
        Self { verdict: Verdict::of(&findings), findings, silent, deviations, compared, files: count }
    }
}

/// What a check comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The three documents agree.
    Agreement,
    /// Committed files are not what is generated, and that is all.
    Stale,
    /// Source and types disagree.
    Broken,
}

impl Verdict {
    /// What findings come to.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Self {
        if findings.iter().any(|finding| finding.fix == Fix::Think) {
            Self::Broken
        } else if findings.is_empty() {
            Self::Agreement
        } else {
            Self::Stale
        }
    }

    /// The exit code of a command that checks: 0, 4 or 1.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Agreement => 0,
            Self::Stale => 4,
            Self::Broken => 1,
        }
    }
}

/// The claim of coverage for all vendors, with its deviations proved to be needed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proof {
    /// What was found.
    pub coverage: Coverage,
    /// How many deviations there are.
    pub deviations: usize,
}

/// Compares each source, after its deviations, with our document of the same vendor, and asks of each
/// deviation whether leaving it out alone changes the result.
#[must_use]
pub fn prove(
    sources: &[Source],
    deviations: &[Deviation],
    ours: &BTreeMap<String, Value>,
    names: &[Name],
) -> Proof {
    let nothing = Value::Object(serde_json::Map::new());
    let sources: BTreeMap<&str, &Value> =
        sources.iter().map(|source| (source.vendor.as_str(), &source.document)).collect();
    let mut vendors: Vec<&str> = sources.keys().copied().chain(ours.keys().map(String::as_str)).collect();
    vendors.sort_unstable();
    vendors.dedup();

    let mut all = Coverage::default();
    for vendor in &vendors {
        let source = sources.get(vendor).copied().unwrap_or(&nothing);
        let own = ours.get(*vendor).unwrap_or(&nothing);
        let about: Vec<(usize, &Deviation)> = deviations
            .iter()
            .enumerate()
            .filter(|(_, deviation)| coverage::belongs_to(deviation, vendor))
            .collect();
        let without = |left_out: Option<usize>| {
            let kept: Vec<_> =
                about.iter().filter(|(index, _)| Some(*index) != left_out).map(|(_, kept)| *kept).collect();
            coverage::compare(vendor, source, own, names, &kept)
        };
        let found = without(None);
        let needless: Vec<Finding> = about
            .iter()
            .filter(|(index, _)| without(Some(*index)).findings == found.findings)
            .map(|(index, deviation)| {
                about_deviation(Kind::DeviationNeedless, Some(vendor), *index, deviation)
            })
            .collect();
        all.findings.extend(found.findings);
        all.findings.extend(needless);
        all.silent.extend(found.silent);
        all.compared.operations += found.compared.operations;
        all.compared.members += found.compared.members;
        all.compared.words += found.compared.words;
    }
    for (index, deviation) in deviations.iter().enumerate() {
        if !vendors.iter().any(|vendor| coverage::belongs_to(deviation, vendor)) {
            all.findings.push(about_deviation(Kind::DeviationMisplaced, None, index, deviation));
        }
    }
    Proof { coverage: all, deviations: deviations.len() }
}

fn about_deviation(kind: Kind, vendor: Option<&str>, index: usize, deviation: &Deviation) -> Finding {
    let source = match vendor {
        Some(_) => "the same findings without this deviation",
        None => "no source of this vendor",
    };
    Finding {
        id: kind,
        severity: kind.severity(),
        fix: kind.fix(),
        vendor: vendor.map(str::to_owned),
        operation: Some(deviation.operation.clone()),
        side: None,
        pointer: format!("deviation {}", index + 1),
        source: source.to_owned(),
        origin: None,
        ours: deviation.to_string(),
        advice: kind.advice().to_owned(),
    }
}

/// The names of all our operations.
#[must_use]
pub fn names() -> Vec<Name> {
    fn name<E: Endpoint>() -> Name {
        Name { id: E::ID.to_owned(), method: E::METHOD.to_string(), path: E::PATH.to_owned() }
    }
    macro_rules! names { ([] $($endpoint:ty,)*) => { vec![$(name::<$endpoint>()),*] } }
    fleetwire_protocol::for_each_endpoint!(names!())
}

/// Reconciles the sources, the committed files and the generated ones under the root of a work tree. Nothing
/// is written.
///
/// # Errors
/// One of the three cannot be read or made.
pub fn check(root: &Path) -> Result<Report, CheckError> {
    let sources = source::read(root)?;
    let deviations = deviations::read(root)?;
    let mut ours = BTreeMap::new();
    for vendor in generate::vendors() {
        ours.insert(vendor.to_owned(), generate::openapi(vendor, Version::V31)?);
    }
    let proof = prove(&sources, &deviations, &ours, &names());
    let generated = generated(root)?;
    let files = settle(root, &generated, Mode::Check)?;
    Ok(Report::new(proof, files, generated.len()))
}

/// Writes the generated files under the root of a work tree, and removes from the generated folders what does
/// not belong there. Returns what was settled.
///
/// # Errors
/// A file cannot be made, read or written.
pub fn generate_into(root: &Path) -> Result<Vec<Finding>, CheckError> {
    Ok(settle(root, &generated(root)?, Mode::Write)?)
}

/// The file whose table of operations is generated, and the rest of it is not.
const README: &str = "README.md";

fn generated(root: &Path) -> Result<Vec<Document>, CheckError> {
    let mut documents = generate::documents()?;
    let path = root.join(README);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let content = generate::with_operations(&text)?;
            documents.push(Document { path: README.to_owned(), content });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(FileError { path, error }.into()),
    }
    Ok(documents)
}

/// Why a check cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// A source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The deviations cannot be read.
    #[error(transparent)]
    Deviations(#[from] DeviationsError),
    /// The documents cannot be made.
    #[error(transparent)]
    Generate(#[from] generate::Error),
    /// A committed file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}
