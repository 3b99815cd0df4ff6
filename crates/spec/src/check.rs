use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use fleetwire_protocol::Endpoint;
use fleetwire_validation as validation;
use serde::Serialize;
use serde_json::Value;

use crate::baseline::{self, BaselineError};
use crate::claims::{self, Claimed, Ends, Ours, Standing};
use crate::coverage::{self, Compared, Coverage, Name, Silence};
use crate::deviations::{self, Deviation, DeviationsError};
use crate::document::Dialect;
use crate::files::{FileError, Mode, settle};
use crate::finding::{Finding, Fix, Kind};
use crate::generate::{self, Document};
use crate::inclusion::{Prover, Settings};
use crate::pairing::{Pair, Pairing, Plain};
use crate::source::{self, Source, SourceError};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What it comes to.
    pub verdict: Verdict,
    /// The disagreements: vendor by vendor, then the files.
    pub findings: Vec<Finding>,
    /// The claims of inclusion, operation by operation.
    pub claims: Vec<Held>,
    /// The places of which the sources say nothing.
    pub silent: Vec<Silence>,
    /// The deviations, in their order.
    pub deviations: Vec<Deviation>,
    /// How much was compared.
    pub compared: Compared,
    /// How many files were compared.
    pub files: usize,
}

impl Report {
    fn new(proof: Proof, files: Vec<Finding>, deviations: Vec<Deviation>, count: usize) -> Self {
        let Proof { coverage: Coverage { mut findings, silent, compared }, claims } = proof;
        findings.extend(files);
        Self { verdict: Verdict::of(&findings), findings, claims, silent, deviations, compared, files: count }
    }
}

/// A claim with the patches that it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Held {
    /// The claim, and how it stands.
    #[serde(flatten)]
    pub claimed: Claimed,
    /// The deviations without which it would stand otherwise, by their places in the list, from 1.
    pub rests_on: Vec<usize>,
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

/// What is proved of all vendors, with their deviations proved to be needed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Proof {
    /// The claim of coverage, with a finding for every claim of inclusion that is not proved.
    pub coverage: Coverage,
    /// The claims of inclusion.
    pub claims: Vec<Held>,
}

/// The documents of ours about a vendor's operations, as OpenAPI 3.1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Contracts {
    /// What we write.
    pub emit: Value,
    /// What we read.
    pub accept: Value,
}

impl Contracts {
    /// Those of a vendor, from the wire types and their rules.
    ///
    /// # Errors
    /// There is no such vendor.
    pub fn of(vendor: &str) -> Result<Self, generate::Error> {
        Ok(Self {
            emit: generate::contract(vendor, validation::Side::Emit)?,
            accept: generate::contract(vendor, validation::Side::Accept)?,
        })
    }
}

/// Proves the five claims of each vendor's operations against its source after the deviations, and asks of each
/// deviation whether leaving it out alone changes a result.
#[must_use]
pub fn prove(
    sources: &[Source],
    deviations: &[Deviation],
    ours: &BTreeMap<String, Contracts>,
    names: &[Name],
) -> Proof {
    let nothing = Value::Object(serde_json::Map::new());
    let no_contracts = Contracts { emit: nothing.clone(), accept: nothing.clone() };
    let sources: BTreeMap<&str, &Value> =
        sources.iter().map(|source| (source.vendor.as_str(), &source.document)).collect();
    let vendors: BTreeSet<&str> = sources.keys().copied().chain(ours.keys().map(String::as_str)).collect();
    let mut prover = Prover::new(Settings::default());
    let mut all = Proof { coverage: Coverage::default(), claims: Vec::new() };
    for vendor in &vendors {
        let vendor = Vendor {
            name: vendor,
            source: sources.get(vendor).copied().unwrap_or(&nothing),
            ours: ours.get(*vendor).unwrap_or(&no_contracts),
            names,
            code: Ours::new(),
        };
        vendor.prove_with_needs(deviations, &mut prover, &mut all);
    }
    for (index, deviation) in deviations.iter().enumerate() {
        if !vendors.iter().any(|vendor| deviations::belongs_to(deviation, vendor)) {
            all.coverage.findings.push(about_deviation(Kind::DeviationMisplaced, None, index, deviation));
        }
    }
    all
}

/// Proves the five claims of one vendor's operations, and leaves open whether every deviation is needed.
#[must_use]
pub fn prove_vendor(
    vendor: &str,
    source: &Value,
    ours: &Contracts,
    deviations: &[Deviation],
    names: &[Name],
    prover: &mut Prover,
) -> Proof {
    let vendor = Vendor { name: vendor, source, ours, names, code: Ours::new() };
    let pairing = vendor.pairing(deviations.iter());
    let mut coverage = coverage::compare_paired(vendor.name, &pairing, &ours.emit);
    let claims = vendor.claims(&pairing, prover);
    coverage.findings.extend(claims.iter().filter_map(|claimed| vendor.unproved(claimed)));
    let claims = claims.into_iter().map(|claimed| Held { claimed, rests_on: Vec::new() }).collect();
    Proof { coverage, claims }
}

struct Vendor<'a> {
    name: &'a str,
    source: &'a Value,
    ours: &'a Contracts,
    names: &'a [Name],
    code: Ours,
}

impl Vendor<'_> {
    fn prove_with_needs(&self, deviations: &[Deviation], prover: &mut Prover, all: &mut Proof) {
        let about: Vec<(usize, &Deviation)> = deviations
            .iter()
            .enumerate()
            .filter(|(_, deviation)| deviations::belongs_to(deviation, self.name))
            .collect();
        let whole = self.pairing(about.iter().map(|(_, deviation)| *deviation));
        let coverage = coverage::compare_paired(self.name, &whole, &self.ours.emit);
        let claims = self.claims(&whole, prover);
        let mut held: Vec<Held> =
            claims.into_iter().map(|claimed| Held { claimed, rests_on: Vec::new() }).collect();

        let (source, emit) = (self.source, &self.ours.emit);
        let plain =
            Plain::new(self.name, source, emit, self.names, about.iter().map(|(_, deviation)| *deviation));
        let found = |pairing: &Pairing| coverage::compare_paired(self.name, pairing, emit).findings;
        let mut with_all = BTreeMap::new();
        let mut needless = Vec::new();
        for &(left_out, deviation) in &about {
            let kept = about.iter().filter(|(index, _)| *index != left_out).map(|(_, kept)| *kept);
            let id = deviation.operation.as_str();
            let mut bites;
            let mut pairing;
            if id == self.name {
                pairing = self.pairing(kept);
                bites = found(&pairing) != coverage.findings;
            } else {
                let own = |deviation: &&Deviation| deviation.operation == id;
                let with_it = with_all.entry(id).or_insert_with(|| {
                    found(&plain.only(id, about.iter().map(|(_, deviation)| *deviation).filter(own)))
                });
                pairing = plain.only(id, kept.filter(own));
                bites = found(&pairing) != *with_it;
            }
            // What the deviation does not touch stands as it stood.
            let touched = |pair: &Pair| {
                whole.pairs.iter().all(|own| own.id != pair.id || own.theirs.object != pair.theirs.object)
            };
            pairing.pairs.retain(touched);
            let touched: Vec<String> = pairing.pairs.iter().map(|pair| pair.id.clone()).collect();
            let without = self.claims(&pairing, prover);
            for held in held.iter_mut().filter(|held| touched.contains(&held.claimed.operation)) {
                if !without.contains(&held.claimed) {
                    held.rests_on.push(left_out + 1);
                    bites = true;
                }
            }
            if !bites {
                let vendor = Some(self.name);
                needless.push(about_deviation(Kind::DeviationNeedless, vendor, left_out, deviation));
            }
        }

        let unproved = held.iter().filter_map(|held| self.unproved(&held.claimed));
        all.coverage.findings.extend(coverage.findings);
        all.coverage.findings.extend(unproved);
        all.coverage.findings.extend(needless);
        all.coverage.silent.extend(coverage.silent);
        all.coverage.compared.operations += coverage.compared.operations;
        all.coverage.compared.members += coverage.compared.members;
        all.coverage.compared.words += coverage.compared.words;
        all.claims.extend(held);
    }

    fn pairing<'a>(&self, deviations: impl Iterator<Item = &'a Deviation>) -> Pairing {
        let deviations: Vec<_> = deviations.collect();
        Pairing::new(self.name, self.source, &self.ours.emit, self.names, &deviations)
    }

    fn claims(&self, pairing: &Pairing, prover: &mut Prover) -> Vec<Claimed> {
        let ends = Ends {
            source: Dialect::OpenApi30,
            ours: Dialect::OpenApi31,
            emit: &self.ours.emit,
            accept: &self.ours.accept,
            open_members: Some(validation::MAX_OPEN_MEMBERS),
            source_is_open: false,
        };
        claims::claims(pairing, &ends, Some(&self.code), prover)
    }

    /// The finding that a claim is which is neither proved nor silent.
    fn unproved(&self, claimed: &Claimed) -> Option<Finding> {
        let (kind, said, witness) = match &claimed.standing {
            Standing::Refuted(refutation) => {
                let at = if refutation.pointer.is_empty() { "the root" } else { &refutation.pointer };
                let mut said =
                    format!("{} is refused at {at} by {}", refutation.document, refutation.keyword);
                if let Some(code) = &refutation.code {
                    said = format!("{said} ({code})");
                }
                (Kind::ClaimRefuted, said, Some(refutation.document.clone()))
            }
            Standing::Undecided { reasons } => (Kind::ClaimUndecided, reasons.join("; "), None),
            Standing::Untrue { document, disagreement } => {
                (Kind::SchemaUntrue, format!("{disagreement}: {document}"), Some(document.clone()))
            }
            _ => return None,
        };
        Some(Finding {
            id: kind,
            severity: kind.severity(),
            fix: kind.fix(),
            vendor: Some(self.name.to_owned()),
            operation: Some(claimed.operation.clone()),
            side: Some(claimed.side.clone()),
            pointer: claimed.part.clone(),
            source: format!("claimed: {}", claimed.claim),
            origin: None,
            ours: said,
            witness,
            advice: kind.advice().to_owned(),
        })
    }
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
        witness: None,
        advice: kind.advice().to_owned(),
    }
}

/// The names of all our operations, as the documents have them: of those that share a request line, the first.
#[must_use]
pub fn names() -> Vec<Name> {
    fn name<E: Endpoint>() -> Name {
        Name { id: E::ID.to_owned(), method: E::METHOD.to_string(), path: E::PATH.to_owned() }
    }
    macro_rules! names { ([] $($endpoint:ty,)*) => { [$(name::<$endpoint>()),*] } }
    let mut lines = BTreeSet::new();
    let all = fleetwire_protocol::for_each_endpoint!(names!());
    all.into_iter().filter(|name| lines.insert((name.method.clone(), name.path.clone()))).collect()
}

/// Reconciles the sources, the committed files and the generated ones under the root of a work tree. Nothing
/// is written.
///
/// # Errors
/// One of the three cannot be read or made.
pub fn check(root: &Path) -> Result<Report, CheckError> {
    check_with(root, Vec::new())
}

/// As [`check`], with `further` generated documents that are made elsewhere.
///
/// # Errors
/// As of [`check`].
pub fn check_with(root: &Path, further: Vec<Document>) -> Result<Report, CheckError> {
    let sources = source::read(root)?;
    let deviations = deviations::read(root)?;
    let ours = contracts()?;
    let names = names();
    let mut proof = prove(&sources, &deviations, &ours, &names);
    let mut prover = Prover::new(Settings::default());
    proof.coverage.findings.extend(baseline::compare(root, &ours, &names, &mut prover)?);
    let generated = generated(root, further)?;
    let files = settle(root, &generated, Mode::Check)?;
    Ok(Report::new(proof, files, deviations, generated.len()))
}

/// Our documents about every vendor's operations.
///
/// # Errors
/// One cannot be made.
pub fn contracts() -> Result<BTreeMap<String, Contracts>, generate::Error> {
    generate::vendors().into_iter().map(|vendor| Ok((vendor.to_owned(), Contracts::of(vendor)?))).collect()
}

/// Writes the generated files under the root of a work tree, and removes from the generated folders what does
/// not belong there. Returns what was settled.
///
/// # Errors
/// A file cannot be made, read or written.
pub fn generate_into(root: &Path) -> Result<Vec<Finding>, CheckError> {
    generate_with(root, Vec::new())
}

/// As [`generate_into`], with `further` generated documents that are made elsewhere.
///
/// # Errors
/// As of [`generate_into`].
pub fn generate_with(root: &Path, further: Vec<Document>) -> Result<Vec<Finding>, CheckError> {
    Ok(settle(root, &generated(root, further)?, Mode::Write)?)
}

/// The file whose table of operations is generated, and the rest of it is not.
const README: &str = "README.md";

fn generated(root: &Path, further: Vec<Document>) -> Result<Vec<Document>, CheckError> {
    let mut documents = generate::documents()?;
    documents.extend(further);
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
    /// The documents of a released version cannot be compared.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// A committed file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}
