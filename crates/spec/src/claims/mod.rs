//! What is claimed of every operation, in both roles, and whether it is proved.
//!
//! | claim | role | |
//! |---|---|---|
//! | [`RequestsAccepted`](Claim::RequestsAccepted) | server | every request of the source is one that we accept |
//! | [`RequestsPromised`](Claim::RequestsPromised) | client | every request that we write is one of the source |
//! | [`AnswersPromised`](Claim::AnswersPromised) | server | every answer that we write is one of the source |
//! | [`AnswersRead`](Claim::AnswersRead) | client | every answer of the source is one that we read |
//!
//! What we write is held against the *closed* source: a member that it does not name is forbidden, unless it
//! declares the object open. A source is open otherwise, so that inclusion alone is blind to a renamed optional
//! member; the fifth claim, [coverage](crate::coverage), is not.
//!
//! Four tolerances are named. *Machine integers*: where the source does not bound an integer, it means those of 64
//! bits with a sign, and its numbers are finite doubles. *Unknown members*: a reader ignores what it does not know,
//! so that what we read is never held against a closed schema. *Foreign names*: a member that we read because another
//! document of the vendor has it, and that the source names nowhere in the message, is not sent by those who keep to
//! the source, unless the source declares the object open. *Limits*: an object that the source leaves open has no
//! more members than our server takes; the limit is ours, and stands in the rules.
//!
//! [`conform`] proves the claims of one role for any two OpenAPI documents:
//!
//! ```
//! use fleetwire_spec::claims::{Role, conform};
//! use fleetwire_spec::document::Document;
//! use fleetwire_spec::inclusion::{Prover, Settings};
//!
//! let document = |least: u32| Document::parse("beat.yaml", format!("
//! openapi: 3.0.3
//! info: {{title: beat, version: '1'}}
//! paths:
//!   /beat:
//!     post:
//!       requestBody: {{content: {{application/json: {{schema: {{type: integer, minimum: {least}}} }} }} }}
//!       responses: {{'204': {{description: taken}} }}
//! ").as_bytes());
//! let (source, ours) = (document(0)?, document(1)?);
//! let found = conform(&source, &ours, Role::Server, &[], &mut Prover::new(Settings::default()));
//! let refuted = found.refuted().next().unwrap();
//! assert_eq!(refuted.to_string(), "POST /beat request: every request of the source is accepted: refuted by 0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod code;
mod conform;
mod parts;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) use self::code::Ours;
pub use self::conform::{Conformance, conform};
use self::parts::{Part, Silence};
use crate::document::Dialect;
use crate::finding::Side;
use crate::inclusion::{Inclusion, Prover};
use crate::openapi::{self, Operation};
use crate::pairing::Pairing;

/// What is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// Every request of the source is one that our server accepts.
    RequestsAccepted,
    /// Every request that our client writes is one of the source.
    RequestsPromised,
    /// Every answer that our server writes is one of the source.
    AnswersPromised,
    /// Every answer of the source is one that our client reads.
    AnswersRead,
}

impl Claim {
    /// All of them, in the order in which they are numbered.
    pub const ALL: [Self; 4] =
        [Self::RequestsAccepted, Self::RequestsPromised, Self::AnswersPromised, Self::AnswersRead];

    /// Whose claim it is.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::RequestsAccepted | Self::AnswersPromised => Role::Server,
            Self::RequestsPromised | Self::AnswersRead => Role::Client,
        }
    }

    /// Whether it is about what we write, and not about what we read.
    #[must_use]
    pub const fn is_about_writing(self) -> bool {
        matches!(self, Self::RequestsPromised | Self::AnswersPromised)
    }

    /// Its stable name.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::RequestsAccepted => "requests-accepted",
            Self::RequestsPromised => "requests-promised",
            Self::AnswersPromised => "answers-promised",
            Self::AnswersRead => "answers-read",
        }
    }

    const fn is_about(self, side: &Side) -> bool {
        matches!(
            (self, side),
            (Self::RequestsAccepted | Self::RequestsPromised, Side::Request)
                | (Self::AnswersPromised | Self::AnswersRead, Side::Response(_))
        )
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestsAccepted => "every request of the source is accepted",
            Self::RequestsPromised => "every request written is one of the source",
            Self::AnswersPromised => "every answer written is one of the source",
            Self::AnswersRead => "every answer of the source is read",
        })
    }
}

/// An end of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The one that takes requests.
    Server,
    /// The one that writes them.
    Client,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

/// How a claim stands of a part of an operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
#[non_exhaustive]
pub enum Standing {
    /// It is proved.
    Proved,
    /// The source says that there is something and not what: there is nothing to prove.
    Silent,
    /// Not known.
    Undecided {
        /// Why not.
        reasons: Vec<String>,
    },
    /// It is false.
    Refuted(Refutation),
    /// The schema of ours and our code disagree about a document, so that a proof from the schema is worth nothing.
    Untrue {
        /// The document.
        document: Value,
        /// What each says.
        disagreement: String,
    },
}

/// Why a claim is false.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Refutation {
    /// A document of the one side that the other refuses.
    pub document: Value,
    /// Where in the document it is refused, as a JSON pointer.
    pub pointer: String,
    /// The keyword that refuses it.
    pub keyword: String,
    /// What our code says, where it is our code that refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A claim about a part of an operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Claimed {
    /// Our id of the operation; its request line where it has none.
    pub operation: String,
    /// The side of the operation.
    pub side: Side,
    /// Which part of it: nothing for the JSON body, else `header X` or `path parameter x`, or a media type.
    pub part: String,
    /// What is claimed.
    pub claim: Claim,
    /// How it stands.
    pub standing: Standing,
}

impl fmt::Display for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.side)?;
        if !self.part.is_empty() {
            write!(f, ", {}", self.part)?;
        }
        write!(f, ": {}: ", self.claim)?;
        match &self.standing {
            Standing::Proved => f.write_str("proved"),
            Standing::Silent => f.write_str("silent"),
            Standing::Undecided { reasons } => write!(f, "undecided, because {}", reasons.join("; ")),
            Standing::Refuted(refutation) => {
                write!(f, "refuted by {}", refutation.document)?;
                if !refutation.pointer.is_empty() {
                    write!(f, ", at {}", refutation.pointer)?;
                }
                Ok(())
            }
            Standing::Untrue { document, disagreement } => write!(f, "{disagreement}: {document}"),
        }
    }
}

/// Our documents, as the claims need them.
pub(crate) struct Ends<'a> {
    /// The language of the source's schemas.
    pub(crate) source: Dialect,
    /// The language of the schemas of ours.
    pub(crate) ours: Dialect,
    /// What we write.
    pub(crate) emit: &'a Value,
    /// What we read.
    pub(crate) accept: &'a Value,
    /// How many members an open object may have by our limits.
    pub(crate) open_members: Option<usize>,
    /// Whether the source is a reader, which ignores members that it does not name.
    pub(crate) source_is_open: bool,
}

/// The claims about all operations that both documents have. With `code`, a witness counts only when the code
/// behind our documents says the same of it.
pub(crate) fn claims(
    pairing: &Pairing,
    ends: &Ends<'_>,
    code: Option<&Ours>,
    prover: &mut Prover,
) -> Vec<Claimed> {
    if pairing.pairs.is_empty() {
        return Vec::new();
    }
    let mut roots = Roots::default();
    let mut work = Vec::new();
    for pair in &pairing.pairs {
        let accepting = openapi::operations_at(ends.accept, &pair.ours.path);
        let same = |own: &&Operation| own.method == pair.ours.method;
        let accept = accepting.iter().find(same).map_or(&pair.ours.object, |own| &own.object);
        let parts = parts::of(&pair.theirs.object, &pair.ours.object, accept);
        let mut narrow = parts::without_silence(&pair.theirs.object, Silence::Nothing);
        if let Some(most) = ends.open_members {
            parts::bound_open_objects(&mut narrow, most);
        }
        for part in &parts {
            parts::leave_out_foreign_names(&mut narrow, part, accept);
        }
        roots.narrow.insert(pair.id.clone(), narrow);
        roots.wide.insert(pair.id.clone(), parts::without_silence(&pair.theirs.object, Silence::Anything));
        roots.emit.insert(pair.id.clone(), pair.ours.object.clone());
        roots.accept.insert(pair.id.clone(), accept.clone());
        work.push((&pair.id, parts));
    }
    let roots = roots.rooted(pairing, ends);
    let mut claims = Vec::new();
    for (id, parts) in work {
        for claim in Claim::ALL {
            for part in parts.iter().filter(|part| claim.is_about(&part.side)) {
                let standing = standing(claim, id, part, &roots, ends, code, prover);
                claims.push(Claimed {
                    operation: id.clone(),
                    side: part.side.clone(),
                    part: part.name.clone(),
                    claim,
                    standing,
                });
            }
        }
    }
    claims
}

/// Operations by their ids, each kind below a key of its own in a document that holds what they refer to.
#[derive(Default)]
struct Roots {
    narrow: Map<String, Value>,
    wide: Map<String, Value>,
    emit: Map<String, Value>,
    accept: Map<String, Value>,
}

/// The key under which the operations of [`Roots`] stand. No OpenAPI document has it.
const OPERATIONS: &str = "x-claimed-operations";

struct Rooted {
    narrow: Arc<Value>,
    wide: Arc<Value>,
    emit: Arc<Value>,
    accept: Arc<Value>,
}

impl Roots {
    fn rooted(self, pairing: &Pairing, ends: &Ends<'_>) -> Rooted {
        let below = |document: &Value, operations: Map<String, Value>| {
            let mut document = document.as_object().cloned().unwrap_or_default();
            document.insert(OPERATIONS.to_owned(), operations.into());
            Arc::new(Value::Object(document))
        };
        Rooted {
            narrow: below(&pairing.source, self.narrow),
            wide: below(&pairing.source, self.wide),
            emit: below(ends.emit, self.emit),
            accept: below(ends.accept, self.accept),
        }
    }
}

fn standing(
    claim: Claim,
    id: &str,
    part: &Part,
    roots: &Rooted,
    ends: &Ends<'_>,
    code: Option<&Ours>,
    prover: &mut Prover,
) -> Standing {
    if part.silent {
        return Standing::Silent;
    }
    let at = |pointer: &str| format!("/{OPERATIONS}/{}{pointer}", openapi::escape(id));
    let (source, ours) = if claim.is_about_writing() {
        (prover.read(&roots.wide, ends.source, &at(&part.source)), &roots.emit)
    } else {
        (prover.read(&roots.narrow, ends.source, &at(&part.source)), &roots.accept)
    };
    let ours = prover.read(ours, ends.ours, &at(&part.ours));
    let (source, ours) = match (source, ours) {
        (Ok(source), Ok(ours)) => (source, ours),
        (Err(error), _) => return Standing::Undecided { reasons: vec![format!("the source: {error}")] },
        (_, Err(error)) => return Standing::Undecided { reasons: vec![format!("ours: {error}")] },
    };
    let (narrow, wide) = if claim.is_about_writing() {
        // What we write has no member that the type does not name.
        let wide = if ends.source_is_open { source } else { prover.closed(source) };
        (prover.closed(ours), wide)
    } else {
        (prover.machine_integers(source), ours)
    };
    let witness = match prover.included(narrow, wide) {
        Inclusion::Proved => return Standing::Proved,
        Inclusion::Undecided(reasons) => {
            let reasons = reasons.iter().map(ToString::to_string).collect();
            return Standing::Undecided { reasons };
        }
        Inclusion::Refuted(witness) => witness,
    };
    let mut refutation = Refutation {
        document: witness.document,
        pointer: witness.pointer,
        keyword: witness.keyword,
        code: None,
    };
    let said =
        code.filter(|_| part.is_body()).and_then(|code| code.rewrite(id, &part.side, &refutation.document));
    let untrue =
        |document, disagreement: &str| Standing::Untrue { document, disagreement: disagreement.to_owned() };
    match (said, claim.is_about_writing()) {
        (None, _) => {}
        (Some(Err(fault)), false) => refutation.code = Some(fault),
        (Some(Ok(_)), false) => {
            return untrue(refutation.document, "our accept schema refuses what our code reads");
        }
        (Some(Err(fault)), true) => {
            return untrue(
                refutation.document,
                &format!("our emit schema takes what our code refuses ({fault})"),
            );
        }
        (Some(Ok(written)), true) => {
            if prover.accepts(wide, &written) {
                return untrue(refutation.document, "our emit schema takes what our code never writes");
            }
            refutation.document = written;
        }
    }
    Standing::Refuted(refutation)
}
