//! The claims about any two documents.

use serde::Serialize;

use super::{Claimed, Ends, Role, Standing, claims};
use crate::coverage::{self, Coverage};
use crate::deviations::Deviation;
use crate::document::Document;
use crate::finding::Kind;
use crate::inclusion::Prover;
use crate::pairing::Pairing;

/// How another project's two documents conform.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Conformance {
    /// Whose claims were proved.
    pub role: Role,
    /// The claims, operation by operation.
    pub claims: Vec<Claimed>,
    /// The claim of coverage, both ways.
    pub coverage: Coverage,
}

impl Conformance {
    /// The claims that are false, or rest on a schema that is untrue.
    pub fn refuted(&self) -> impl Iterator<Item = &Claimed> {
        let is_refuted =
            |standing: &Standing| matches!(standing, Standing::Refuted(_) | Standing::Untrue { .. });
        self.claims.iter().filter(move |claimed| is_refuted(&claimed.standing))
    }

    /// The claims of which it is not known whether they are true.
    pub fn undecided(&self) -> impl Iterator<Item = &Claimed> {
        self.claims.iter().filter(|claimed| matches!(claimed.standing, Standing::Undecided { .. }))
    }

    /// Whether every claim is proved or silent and coverage found nothing.
    #[must_use]
    pub fn holds(&self) -> bool {
        let stands = |claimed: &Claimed| matches!(claimed.standing, Standing::Proved | Standing::Silent);
        self.claims.iter().all(stands) && self.coverage.findings.is_empty()
    }
}

/// Proves the claims of a role: `ours` against what `source` says, after its deviations. Deviations are about
/// operations by their request lines (`POST /beat`), and about the document as `document`.
#[must_use]
pub fn conform(
    source: &Document,
    ours: &Document,
    role: Role,
    deviations: &[Deviation],
    prover: &mut Prover,
) -> Conformance {
    let deviations: Vec<&Deviation> = deviations.iter().collect();
    let pairing = Pairing::new(WHOLE, source.value(), ours.value(), &[], &deviations);
    let mut coverage = coverage::compare_paired(WHOLE, &pairing, ours.value());
    // What a bound comes to, the claims say.
    coverage.findings.retain(|finding| !matches!(finding.id, Kind::BoundLost | Kind::BoundAdded));
    for finding in &mut coverage.findings {
        finding.advice = advice(finding.id).to_owned();
    }
    let ends = Ends {
        source: source.dialect(),
        ours: ours.dialect(),
        emit: ours.value(),
        accept: ours.value(),
        open_members: None,
        source_is_open: false,
    };
    let mut claims = claims(&pairing, &ends, None, prover);
    claims.retain(|claimed| claimed.claim.role() == role);
    Conformance { role, claims, coverage }
}

/// What two parties may do about a difference of names.
fn advice(kind: Kind) -> &'static str {
    let id = kind.as_str();
    if kind == Kind::DeviationMisplaced {
        "correct the deviation, or delete it"
    } else if id.ends_with("-lost") {
        "have it too, or remove it by a deviation that says why"
    } else if id.ends_with("-added") {
        "drop it, or add it by a deviation that says why"
    } else {
        "say what the source says, or change it by a deviation that says why"
    }
}

/// Stands for a document as a whole, where documents have no vendor.
const WHOLE: &str = "document";
