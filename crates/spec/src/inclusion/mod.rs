//! Is every document of one schema a document of another?
//!
//! A [`Prover`] reads schemas from documents and answers with a proof, with a [`Witness`] (a document that is valid
//! under the one and not under the other) or with the reasons why it cannot tell. It never proves or refutes
//! wrongly: what it does not understand it treats as anything at all, and a witness is shown only after two judges
//! have confirmed it.
//!
//! ```
//! use std::sync::Arc;
//!
//! use fleetwire_spec::document::Dialect;
//! use fleetwire_spec::inclusion::{Inclusion, Prover, Settings};
//! use serde_json::json;
//!
//! let old = Arc::new(json!({"type": "object", "properties": {"state": {"enum": ["up", "down"]}}}));
//! let new = Arc::new(json!({"type": "object", "properties": {"state": {"enum": ["up"]}}}));
//! let mut prover = Prover::new(Settings::default());
//! let old = prover.read(&old, Dialect::Draft202012, "")?;
//! let new = prover.read(&new, Dialect::Draft202012, "")?;
//!
//! assert_eq!(prover.included(new, old), Inclusion::Proved);
//! let Inclusion::Refuted(witness) = prover.included(old, new) else { panic!("a word was taken away") };
//! assert_eq!(witness.document, json!({"state": "down"}));
//! assert_eq!((witness.pointer.as_str(), witness.keyword.as_str()), ("/state", "enum"));
//! # Ok::<(), fleetwire_spec::inclusion::SchemaError>(())
//! ```
//!
//! # How it is decided
//! `narrow ⊆ wide` holds if nothing satisfies `narrow` and not `wide`. Logic is taken apart into alternatives, and
//! what remains is solved for each JSON type by itself. A goal that is met again inside itself is taken to be empty
//! there, since a smallest document does not contain another of its kind. What is not modelled exactly is left out
//! of the proof, so that a proof holds all the more, and every document that is then found is judged as it stands.

mod answer;
mod array;
mod bundle;
mod choices;
mod conjunction;
mod judge;
mod members;
mod names;
mod object;
mod scalar;
mod search;
mod shrink;
mod unevaluated;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

pub use self::answer::{Inclusion, Inhabitant, Reason, Witness};
use self::judge::{Files, Judge, Origin, Refusal};
use self::search::{Memory, Search, Sought};
use crate::document::Dialect;
use crate::schema::{Arena, Automata, Change, Changed, Lexicon, Literal};
pub use crate::schema::{SchemaError, SchemaId};

/// What `format` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Formats {
    /// A remark: every text will do.
    Annotation,
    /// A demand, for the formats that are known here.
    #[default]
    Assertion,
}

/// How a [`Prover`] works.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// What `format` says. Unless set, a demand.
    pub formats: Formats,
    /// Steps that one question may take, 100,000 unless set. When they are used up, the answer is *undecided*.
    pub budget: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { formats: Formats::default(), budget: 100_000 }
    }
}

/// Reads schemas and compares them. What it has found out is kept for further questions.
#[derive(Debug)]
pub struct Prover {
    settings: Settings,
    arena: Arena,
    automata: Automata,
    lexicons: Vec<Lexicon>,
    /// The number of each document, by where it lies in memory: it is kept, so that no other will lie there.
    documents: HashMap<(usize, Dialect), usize>,
    places: HashMap<SchemaId, Arc<str>>,
    changed: Changed,
    memory: Memory,
    judge: Judge,
    inclusions: HashMap<(SchemaId, SchemaId), Inclusion>,
}

/// Values that are looked at when the first one does not convince both judges.
const MORE_CANDIDATES: usize = 6;
/// Steps of evaluation that may be spent on making a witness small.
const SHRINKING: usize = 5_000_000;

impl Prover {
    /// One that has read nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            arena: Arena::new(),
            automata: Automata::default(),
            lexicons: Vec::new(),
            documents: HashMap::new(),
            places: HashMap::new(),
            changed: Changed::new(),
            memory: Memory::new(),
            judge: Judge::default(),
            inclusions: HashMap::new(),
        }
    }

    /// The schema at a JSON pointer of a document. Reading the same place of the same document again costs nothing.
    ///
    /// Keywords that a dialect does not have are remarks, `discriminator` among them. In OpenAPI 3.0 `nullable` holds
    /// where `type` stands beside it, and around `allOf`, `anyOf` and `oneOf`, as documents mean it.
    ///
    /// # Errors
    /// When there is no schema at that place or in one of the places it refers to, when a reference leads out of the
    /// document or only to itself, or when schemas are nested too deeply.
    pub fn read(
        &mut self,
        root: &Arc<Value>,
        dialect: Dialect,
        pointer: &str,
    ) -> Result<SchemaId, SchemaError> {
        let number = *self.documents.entry((Arc::as_ptr(root) as usize, dialect)).or_insert_with(|| {
            self.lexicons.push(Lexicon::new(Arc::clone(root), dialect));
            self.lexicons.len() - 1
        });
        let Some(lexicon) = self.lexicons.get_mut(number) else {
            return Err(SchemaError { pointer: pointer.to_owned(), message: "no such document".to_owned() });
        };
        let formats = self.settings.formats == Formats::Assertion;
        let schema = self.arena.read(&mut self.automata, lexicon, &mut self.places, formats, pointer)?;
        self.came_from(schema, Origin::Read(number, pointer.to_owned()));
        Ok(schema)
    }

    /// The schema of every document.
    pub fn always(&mut self) -> SchemaId {
        Arena::ALWAYS
    }

    /// The schema of no document.
    pub fn never(&mut self) -> SchemaId {
        Arena::NEVER
    }

    /// What all of these accept; everything when there are none.
    pub fn all(&mut self, schemas: &[SchemaId]) -> SchemaId {
        let schema = self.arena.all(schemas.iter().copied());
        let schema = self.arena.low(schema);
        self.came_from(schema, Origin::All(schemas.to_vec()));
        schema
    }

    /// What at least one of these accepts; nothing when there are none.
    pub fn any(&mut self, schemas: &[SchemaId]) -> SchemaId {
        let schema = self.arena.any(schemas.iter().copied());
        let schema = self.arena.low(schema);
        self.came_from(schema, Origin::Any(schemas.to_vec()));
        schema
    }

    /// What this does not accept.
    pub fn not(&mut self, schema: SchemaId) -> SchemaId {
        let not = self.arena.not(schema);
        let not = self.arena.low(not);
        self.came_from(not, Origin::Not(schema));
        not
    }

    /// The same with every member forbidden that the schema does not name, unless it declares the object open.
    ///
    /// Names are collected from all schemas of the same object (`allOf`, `anyOf`, `oneOf`, `if`, references), at every
    /// depth of the document. Open is an object with `additionalProperties` or `unevaluatedProperties` other than
    /// `false`, and one that names no member at all; with `patternProperties` it is open for names that match.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fleetwire_spec::{document::Dialect, inclusion::{Prover, Settings}};
    /// # use serde_json::json;
    /// let source = Arc::new(json!({"type": "object", "properties": {"up": {"type": "integer"}}}));
    /// let mut prover = Prover::new(Settings::default());
    /// let open = prover.read(&source, Dialect::OpenApi31, "")?;
    /// let closed = prover.closed(open);
    /// assert!(prover.accepts(open, &json!({"uptime": 3})));
    /// assert!(!prover.accepts(closed, &json!({"uptime": 3})));
    /// # Ok::<(), fleetwire_spec::inclusion::SchemaError>(())
    /// ```
    pub fn closed(&mut self, schema: SchemaId) -> SchemaId {
        self.narrowed(Change::Closed, schema)
    }

    /// The same for a peer whose numbers are those of a machine: integers without bounds of their own are those of
    /// 64 bits with a sign (−2⁶³ to 2⁶³−1). Other numbers are finite doubles here in any case.
    pub fn machine_integers(&mut self, schema: SchemaId) -> SchemaId {
        self.narrowed(Change::MachineIntegers, schema)
    }

    fn narrowed(&mut self, change: Change, schema: SchemaId) -> SchemaId {
        let changed = self.arena.changed(&mut self.changed, change, schema);
        if changed != schema {
            self.came_from(changed, Origin::Narrowed(schema));
        }
        changed
    }

    fn came_from(&mut self, schema: SchemaId, origin: Origin) {
        if schema != Arena::ALWAYS && schema != Arena::NEVER {
            self.judge.origins.entry(schema).or_insert(origin);
        }
    }

    /// Is every document of `narrow` one of `wide`?
    pub fn included(&mut self, narrow: SchemaId, wide: SchemaId) -> Inclusion {
        if narrow == wide {
            return Inclusion::Proved;
        }
        if let Some(known) = self.inclusions.get(&(narrow, wide)) {
            return known.clone();
        }
        let inclusion = self.compare(narrow, wide);
        self.inclusions.insert((narrow, wide), inclusion.clone());
        inclusion
    }

    fn compare(&mut self, narrow: SchemaId, wide: SchemaId) -> Inclusion {
        let goal = vec![Literal::holds(narrow), Literal::fails(wide)];
        let mut doubts = Vec::new();
        for want in [1, MORE_CANDIDATES] {
            match self.search(goal.clone(), want) {
                Sought::Empty => return Inclusion::Proved,
                Sought::Unknown { reasons, .. } => return Inclusion::Undecided(reasons),
                Sought::Found { values, .. } => {
                    for value in values {
                        match self.witness(narrow, wide, value) {
                            Ok(witness) => return Inclusion::Refuted(witness),
                            Err(doubt) => doubts.push(doubt),
                        }
                    }
                }
            }
        }
        doubts.dedup();
        Inclusion::Undecided(doubts)
    }

    fn search(&mut self, goal: Vec<Literal>, want: usize) -> Sought {
        let budget = self.settings.budget;
        Search::new(&mut self.arena, &mut self.automata, &self.places, &mut self.memory, budget)
            .solve(goal, want)
            .sought
    }

    /// The witness that a value is, if both judges say so.
    fn witness(&mut self, narrow: SchemaId, wide: SchemaId, value: Value) -> Result<Witness, Reason> {
        let arena = &self.arena;
        let steps = Cell::new(SHRINKING);
        let fits = |value: &Value| {
            arena.holds_within(narrow, value, &steps) == Some(true)
                && arena.holds_within(wide, value, &steps) == Some(false)
        };
        let doubt = |message: String| Reason { pointer: String::new(), message };
        if !fits(&value) {
            return Err(doubt(format!("the search and the evaluation of {value} disagree")));
        }
        let document = shrink::shrunk(value, fits);
        let mut files = Files {
            arena: &self.arena,
            lexicons: &mut self.lexicons,
            formats: self.settings.formats == Formats::Assertion,
        };
        match (
            self.judge.accepts(&mut files, narrow, &document),
            self.judge.accepts(&mut files, wide, &document),
        ) {
            (Some(true), Some(false)) => {}
            (None, _) | (_, None) => {
                return Err(doubt(format!("the second judge cannot tell whether {document} is valid")));
            }
            (one, _) => {
                let side = if one == Some(true) { "wide" } else { "narrow" };
                return Err(doubt(format!("the two judges disagree on {document} under the {side} schema")));
            }
        }
        let refusal = self.judge.refusal(&mut files, wide, &document);
        let refusal = refusal.unwrap_or_else(|| self.own_refusal(wide, &document));
        Ok(Witness { document, pointer: refusal.pointer, keyword: refusal.keyword, schema: refusal.schema })
    }

    fn own_refusal(&self, wide: SchemaId, document: &Value) -> Refusal {
        let fault = self.arena.fault(wide, document);
        let schema = fault.as_ref().map_or(wide, |fault| fault.schema);
        Refusal {
            pointer: fault.map(|fault| fault.pointer).unwrap_or_default(),
            keyword: self.arena.keyword(schema).to_owned(),
            schema: self.places.get(&schema).map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// A document that the schema accepts, as small as one was found.
    pub fn inhabitant(&mut self, schema: SchemaId) -> Inhabitant {
        match self.search(vec![Literal::holds(schema)], 1) {
            Sought::Empty => Inhabitant::Empty,
            Sought::Unknown { reasons, .. } => Inhabitant::Undecided(reasons),
            Sought::Found { values, .. } => {
                let judged = values.into_iter().find(|value| self.accepts(schema, value));
                match judged {
                    Some(value) => Inhabitant::Found(value),
                    None => Inhabitant::Undecided(vec![Reason {
                        pointer: String::new(),
                        message: "the search and the evaluation of its document disagree".to_owned(),
                    }]),
                }
            }
        }
    }

    /// Does the schema accept the document? Where that cannot be told, because the document is nested very deeply or
    /// a pattern is beyond what can be judged, the answer is no.
    #[must_use]
    pub fn accepts(&self, schema: SchemaId, document: &Value) -> bool {
        self.arena.holds(schema, document) == Some(true)
    }
}
