//! The claim of coverage, both ways: everything that a source names is carried by ours, and everything that
//! ours names is named by the source.
//!
//! Compared are the paths and methods, operation ids and tags (where the source gives any), parameters,
//! bodies and their media types, members at every depth, types, required marks, words, bounds of values,
//! statuses, headers of answers, security schemes and what each operation requires of them. What follows from
//! a bound, how unions are cut and where null may stand are the business of [inclusion](crate::claims) and not
//! of coverage.
//!
//! # Named tolerances
//! * *Unstated status*: a status `2XX` of the source is met by any statuses of ours in that class.
//! * *Silence*: under a node with `x-silent` the source says that there is something and not what. Members
//!   that it does name must be carried; ours may have more. Silent places are listed.
//! * *Open words*: a list of words is compared as a list, whether it is closed (`enum`, `const`) or not
//!   (`x-words`, `x-known-values`). That it is closed is compared as a bound.
//! * *Machine numbers*: ours may bound a number by the width of its type where the source does not.
//! * *Rules beyond the source*: ours may bound a value by a rule that says that it is ours, or that a later
//!   document or deployed code asks for it.
//!
//! Any two OpenAPI documents can be compared; here ours has lost a member:
//!
//! ```
//! use fleetwire_spec::coverage::compare;
//! use fleetwire_spec::source::parse;
//!
//! let document = |member: &str| {
//!     parse(&format!(
//!         "{{openapi: 3.0.3, info: {{title: t, version: '1'}}, paths: {{/beat: {{post: {{
//!           requestBody: {{content: {{application/json: {{schema: {{type: object, properties: {{ {member} }} }} }} }} }},
//!           responses: {{'200': {{description: taken}} }} }} }} }} }}"
//!     ))
//! };
//! let source = document("id: {type: string}, uptime: {type: integer}")?;
//! let ours = document("id: {type: string}")?;
//! let found = compare("ours", &source, &ours, &[], &[]);
//! assert_eq!(found.findings.len(), 1);
//! assert!(found.findings[0].to_string().contains("uptime"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod shape;

use std::collections::{BTreeMap, BTreeSet};

use fleetwire_validation::{self as validation, rules_of};
use serde::Serialize;
use serde_json::Value;

use self::shape::{Bound, Shape};
use crate::deviations::Deviation;
use crate::finding::{Finding, Kind, Side};
use crate::openapi::{self, Operation, contents, meets, responses, schema_of};
use crate::pairing::{Pairing, without_names};
use crate::source::Origin;

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Coverage {
    /// The disagreements.
    pub findings: Vec<Finding>,
    /// The places of which the source says nothing, so that there is nothing to compare.
    pub silent: Vec<Silence>,
    /// How much was compared.
    pub compared: Compared,
}

/// How much was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Compared {
    /// Operations that both have.
    pub operations: usize,
    /// Members that the source names, counted in each message.
    pub members: usize,
    /// Words that the source names, likewise.
    pub words: usize,
}

/// A place of which the source says that there is something and not what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silence {
    /// Our id of the operation.
    pub operation: String,
    /// The part of the operation.
    pub side: Side,
    /// Where in the message.
    pub pointer: String,
}

/// What one of our operations is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its id.
    pub id: String,
    /// Its method, in capitals.
    pub method: String,
    /// Its path, as the document writes it.
    pub path: String,
}

/// Compares two OpenAPI documents, `source` after its deviations with `ours`.
///
/// `names` gives our operations their ids; one that is not among them goes by its request line. Deviations
/// whose operation belongs to another vendor are not looked at.
#[must_use]
pub fn compare(
    vendor: &str,
    source: &Value,
    ours: &Value,
    names: &[Name],
    deviations: &[&Deviation],
) -> Coverage {
    let pairing = Pairing::new(vendor, source, ours, names, deviations);
    compare_paired(vendor, &pairing, ours)
}

/// The same of documents whose operations are paired already.
pub(crate) fn compare_paired(vendor: &str, pairing: &Pairing, ours: &Value) -> Coverage {
    let mut comparison = Comparison {
        vendor,
        operation: None,
        side: None,
        theirs: &pairing.source,
        ours,
        found: Coverage::default(),
    };
    for (deviation, reason) in &pairing.misplaced {
        comparison.misplaced(deviation, reason);
    }
    comparison.run(pairing);
    comparison.found
}

struct Comparison<'a> {
    vendor: &'a str,
    operation: Option<String>,
    side: Option<Side>,
    theirs: &'a Value,
    ours: &'a Value,
    found: Coverage,
}

/// Pairs of schemas that contain themselves and have been compared already.
type Seen = BTreeSet<[(BTreeSet<String>, String); 2]>;

impl Comparison<'_> {
    fn run(&mut self, pairing: &Pairing) {
        let schemes = self.schemes();
        for operation in &pairing.lost {
            self.operation = Some(operation.request_line());
            let origin = Origin::of(&operation.object);
            self.report(Kind::OperationLost, "", operation.request_line(), origin, NOTHING);
        }
        for (id, operation) in &pairing.added {
            self.operation = Some(id.clone());
            self.report(Kind::OperationAdded, "", NOTHING, None, operation.request_line());
        }
        for pair in &pairing.pairs {
            self.operation = Some(pair.id.clone());
            self.found.compared.operations += 1;
            self.operations(&pair.theirs, &pair.ours, &schemes);
        }
    }

    fn misplaced(&mut self, deviation: &Deviation, reason: &str) {
        self.operation = Some(deviation.operation.clone());
        self.side = None;
        let pointer = format!("{} {}", deviation.side, deviation.at);
        self.report(Kind::DeviationMisplaced, &pointer, reason, None, deviation.to_string());
    }

    fn report(
        &mut self,
        kind: Kind,
        pointer: &str,
        source: impl Into<String>,
        origin: Option<Origin>,
        ours: impl Into<String>,
    ) {
        self.found.findings.push(Finding {
            id: kind,
            severity: kind.severity(),
            fix: kind.fix(),
            vendor: Some(self.vendor.to_owned()),
            operation: self.operation.clone(),
            side: self.side.clone(),
            pointer: pointer.to_owned(),
            source: source.into(),
            origin,
            ours: ours.into(),
            witness: None,
            advice: kind.advice().to_owned(),
        });
    }

    /// Compares the security schemes; returns what ours are called where the names differ.
    fn schemes(&mut self) -> BTreeMap<String, String> {
        fn listed(document: &Value) -> BTreeMap<String, (String, Option<Origin>)> {
            let schemes = document.pointer("/components/securitySchemes").and_then(Value::as_object);
            let scheme = |scheme: &Value| {
                let scheme = openapi::inlined(document, scheme);
                (scheme_text(&scheme), Origin::of(&scheme))
            };
            schemes.into_iter().flatten().map(|(name, node)| (name.clone(), scheme(node))).collect()
        }
        let (theirs, ours) = (listed(self.theirs), listed(self.ours));
        let mut added: Vec<&String> = ours.keys().filter(|name| !theirs.contains_key(*name)).collect();
        let mut renamed = BTreeMap::new();
        for (name, (text, origin)) in &theirs {
            let pointer = format!("securitySchemes/{name}");
            match ours.get(name) {
                Some((own, _)) if own == text => {}
                Some((own, _)) => self.report(Kind::SchemeDiffers, &pointer, text, origin.clone(), own),
                None => match added.iter().position(|added| ours[*added].0 == *text) {
                    Some(index) => {
                        let own = added.remove(index);
                        self.report(Kind::SchemeRenamed, &pointer, name, origin.clone(), own);
                        renamed.insert(name.clone(), own.clone());
                    }
                    None => self.report(Kind::SchemeLost, &pointer, text, origin.clone(), NOTHING),
                },
            }
        }
        for name in added {
            let pointer = format!("securitySchemes/{name}");
            self.report(Kind::SchemeAdded, &pointer, NOTHING, None, &ours[name].0);
        }
        renamed
    }

    fn operations(&mut self, theirs: &Operation, ours: &Operation, schemes: &BTreeMap<String, String>) {
        let origin = Origin::of(&theirs.object);
        self.side = None;
        if theirs.method != ours.method {
            self.report(Kind::MethodDiffers, "", &theirs.method, origin.clone(), &ours.method);
        }
        if without_names(&theirs.path) != without_names(&ours.path) {
            self.report(Kind::PathDiffers, "", &theirs.path, origin.clone(), &ours.path);
        }
        if let Some(id) = theirs.id()
            && ours.id() != Some(id)
        {
            let own = ours.id().unwrap_or(NOTHING);
            self.report(Kind::OperationIdDiffers, "", id, origin.clone(), own);
        }
        let (tags, own) = (tags(&theirs.object), tags(&ours.object));
        if !tags.is_empty() && tags != own {
            self.report(Kind::TagsDiffer, "", listed(&tags), origin.clone(), listed(&own));
        }
        self.security(theirs, ours, schemes, origin.as_ref());

        self.side = Some(Side::Request);
        self.parameters(&theirs.object, &ours.object, origin.as_ref());
        let (body, own) = (theirs.object.get("requestBody"), ours.object.get("requestBody"));
        self.request_bodies(body, own, origin.as_ref());
        self.responses(&theirs.object, &ours.object, origin.as_ref());
        self.side = None;
    }

    fn security(
        &mut self,
        theirs: &Operation,
        ours: &Operation,
        renamed: &BTreeMap<String, String>,
        origin: Option<&Origin>,
    ) {
        let (theirs, ours) =
            (alternatives(&theirs.object, renamed), alternatives(&ours.object, &BTreeMap::new()));
        for set in theirs.difference(&ours) {
            self.report(Kind::SecurityLost, "security", credentials(set), origin.cloned(), NOTHING);
        }
        for set in ours.difference(&theirs) {
            self.report(Kind::SecurityAdded, "security", NOTHING, origin.cloned(), credentials(set));
        }
    }

    fn parameters(&mut self, theirs: &Value, ours: &Value, around: Option<&Origin>) {
        let (theirs, mut ours) = (parameters(theirs, around), parameters(ours, None));
        let mut lost = Vec::new();
        let mut both = Vec::new();
        for (key, parameter) in theirs {
            match ours.remove(&key) {
                Some(own) => both.push((parameter, own)),
                None => lost.push(parameter),
            }
        }
        let mut added: Vec<Field> = ours.into_values().collect();
        for parameter in lost {
            let alike =
                |own: &Field| own.place == parameter.place && own.shape.types == parameter.shape.types;
            match added.iter().position(alike) {
                Some(index) => {
                    let own = added.remove(index);
                    let (pointer, name) = (parameter.pointer(), own.name.clone());
                    let origin = parameter.shape.origin.clone();
                    self.report(Kind::ParameterRenamed, &pointer, &parameter.name, origin, name);
                    both.push((parameter, own));
                }
                None => {
                    let origin = parameter.shape.origin.clone();
                    self.report(Kind::ParameterLost, &parameter.pointer(), parameter.text(), origin, NOTHING);
                }
            }
        }
        for own in added {
            self.report(Kind::ParameterAdded, &own.pointer(), NOTHING, around.cloned(), own.text());
        }
        for (parameter, own) in both {
            let pointer = parameter.pointer();
            if parameter.required != own.required {
                self.required(&pointer, parameter.required, parameter.shape.origin.clone());
            }
            self.shapes(&pointer, &parameter.shape, &own.shape, &mut Seen::new());
        }
    }

    fn required(&mut self, pointer: &str, theirs: bool, origin: Option<Origin>) {
        let text = |required| if required { "required" } else { "optional" };
        self.report(Kind::RequiredDiffers, pointer, text(theirs), origin, text(!theirs));
    }

    fn request_bodies(&mut self, theirs: Option<&Value>, ours: Option<&Value>, around: Option<&Origin>) {
        let body = match (theirs, ours) {
            (None, None) => return,
            (Some(theirs), Some(ours)) => (theirs, ours),
            (Some(theirs), None) => {
                let origin = Origin::of(theirs).or_else(|| around.cloned());
                return self.report(Kind::BodyLost, "", "a body", origin, NOTHING);
            }
            (None, Some(_)) => {
                return self.report(Kind::BodyAdded, "", NOTHING, around.cloned(), "a body");
            }
        };
        let (theirs, ours) = body;
        let origin = Origin::of(theirs).or_else(|| around.cloned());
        let required = |body: &Value| body.get("required") == Some(&Value::Bool(true));
        if required(theirs) != required(ours) {
            self.required("", required(theirs), origin.clone());
        }
        self.contents(theirs, ours, origin.as_ref());
    }

    /// Compares the bodies of a request or an answer, media type by media type.
    fn contents(&mut self, theirs: &Value, ours: &Value, origin: Option<&Origin>) {
        let silent = |node: &Value| node.get("x-silent") == Some(&Value::Bool(true));
        if silent(theirs) {
            self.silent("");
            return;
        }
        let (theirs, mut ours) = (contents(theirs), contents(ours));
        match (theirs.is_empty(), ours.is_empty()) {
            (true, true) => return,
            (true, false) => return self.report(Kind::BodyAdded, "", NOTHING, origin.cloned(), "a body"),
            (false, true) => return self.report(Kind::BodyLost, "", "a body", origin.cloned(), NOTHING),
            (false, false) => {}
        }
        for (media, schema) in theirs {
            match ours.remove(&media) {
                None => self.report(Kind::MediaTypeLost, "", media, origin.cloned(), NOTHING),
                Some(own) => {
                    let (shape, own) = (Shape::of(schema, origin), Shape::of(own, None));
                    self.shapes("", &shape, &own, &mut Seen::new());
                }
            }
        }
        for media in ours.into_keys() {
            self.report(Kind::MediaTypeAdded, "", NOTHING, origin.cloned(), media);
        }
    }

    fn silent(&mut self, pointer: &str) {
        if let (Some(operation), Some(side)) = (self.operation.clone(), self.side.clone()) {
            let silence = Silence { operation, side, pointer: pointer.to_owned() };
            // An answer of several media types is looked at once for each.
            if !self.found.silent.contains(&silence) {
                self.found.silent.push(silence);
            }
        }
    }

    fn responses(&mut self, theirs: &Value, ours: &Value, around: Option<&Origin>) {
        let (theirs, ours) = (responses(theirs), responses(ours));
        let mut met: BTreeSet<&str> = BTreeSet::new();
        for (status, response) in &theirs {
            let answers: Vec<_> = ours.iter().filter(|(own, _)| meets(status, own, &ours)).collect();
            let origin = Origin::of(response).or_else(|| around.cloned());
            self.side = Some(Side::Response((*status).to_owned()));
            if answers.is_empty() {
                self.report(Kind::StatusLost, "", *status, origin, NOTHING);
                continue;
            }
            met.extend(answers.iter().map(|(own, _)| *own));
            self.headers(response, &answers, origin.as_ref());
            // Of several answers to a status that the source leaves open, those with a body are compared.
            let full: Vec<_> = answers.iter().filter(|(_, own)| !contents(own).is_empty()).collect();
            match full.as_slice() {
                [] => self.contents(response, answers[0].1, origin.as_ref()),
                full => full.iter().for_each(|(_, own)| self.contents(response, own, origin.as_ref())),
            }
        }
        for own in ours.keys().filter(|own| !met.contains(*own)) {
            self.side = Some(Side::Response((*own).to_owned()));
            self.report(Kind::StatusAdded, "", NOTHING, around.cloned(), *own);
        }
    }

    fn headers(&mut self, response: &Value, answers: &[(&&str, &&Value)], origin: Option<&Origin>) {
        let theirs = headers(response, origin);
        let mut ours: BTreeMap<String, Field> = BTreeMap::new();
        for (_, own) in answers {
            ours.extend(headers(own, None));
        }
        let mut lost = Vec::new();
        for (key, header) in theirs {
            match ours.remove(&key) {
                Some(own) => self.shapes(&header.pointer(), &header.shape, &own.shape, &mut Seen::new()),
                None => lost.push(header),
            }
        }
        let mut added: Vec<Field> = ours.into_values().collect();
        for header in lost {
            let origin = header.shape.origin.clone();
            match added.iter().position(|own| own.shape.types == header.shape.types) {
                Some(index) => {
                    let own = added.remove(index).name;
                    self.report(Kind::HeaderRenamed, &header.pointer(), header.name, origin, own);
                }
                None => self.report(Kind::HeaderLost, &header.pointer(), header.text(), origin, NOTHING),
            }
        }
        for own in added {
            self.report(Kind::HeaderAdded, &own.pointer(), NOTHING, origin.cloned(), own.text());
        }
    }

    fn shapes(&mut self, at: &str, theirs: &Shape, ours: &Shape, seen: &mut Seen) {
        if !theirs.cycles.is_empty() || !ours.cycles.is_empty() {
            // Where one end is finite the comparison ends with it.
            let key = |shape: &Shape| (shape.cycles.clone(), shape.type_names());
            let endless = !theirs.cycles.is_empty() && !ours.cycles.is_empty();
            if endless && !seen.insert([key(theirs), key(ours)]) {
                return;
            }
            let theirs = unrolled(self.theirs, theirs);
            let ours = unrolled(self.ours, ours);
            return self.unrolled_shapes(at, &theirs, &ours, seen);
        }
        self.unrolled_shapes(at, theirs, ours, seen);
    }

    fn unrolled_shapes(&mut self, at: &str, theirs: &Shape, ours: &Shape, seen: &mut Seen) {
        let origin = || theirs.origin.clone();
        if theirs.silent {
            self.silent(at);
        }
        let unsaid = theirs.silent && theirs.types.is_none();
        if theirs.types != ours.types && !unsaid {
            self.report(Kind::TypeDiffers, at, theirs.type_names(), origin(), ours.type_names());
        }
        self.bounds(at, theirs, ours);
        // What lies under a type that the other end does not have is said by the difference of types.
        if theirs.may_be("string") && ours.may_be("string") {
            self.words(at, theirs, ours);
        }
        if theirs.may_be("object") && ours.may_be("object") {
            self.members(at, theirs, ours, seen);
            self.elements(at, theirs, theirs.values.as_deref(), ours.values.as_deref(), seen);
        }
        if theirs.may_be("array") && ours.may_be("array") {
            self.elements(at, theirs, theirs.items.as_deref(), ours.items.as_deref(), seen);
        }
    }

    /// Compares what bounds a value. Whether a peer would be broken by a difference is the business of inclusion;
    /// here a bound that only one end states is one that somebody has lost, or made up.
    fn bounds(&mut self, at: &str, theirs: &Shape, ours: &Shape) {
        let text = |bound: &Bound| format!("{} {}", bound.keyword, bound.value);
        for bound in theirs.bounds.difference(&ours.bounds) {
            let own: Vec<_> =
                ours.bounds.iter().filter(|own| own.keyword == bound.keyword).map(text).collect();
            let own = if own.is_empty() { NOTHING.to_owned() } else { own.join(", ") };
            self.report(Kind::BoundLost, at, text(bound), theirs.origin.clone(), own);
        }
        if theirs.silent {
            return;
        }
        let beyond = self.beyond_the_source(at);
        let lost: Vec<_> = theirs.bounds.difference(&ours.bounds).map(|bound| bound.keyword).collect();
        for bound in ours.bounds.difference(&theirs.bounds) {
            let replaced = lost.contains(&bound.keyword);
            if !replaced && !is_of_a_machine(bound, ours) && !beyond.contains(bound) {
                self.report(Kind::BoundAdded, at, NOTHING, theirs.origin.clone(), text(bound));
            }
        }
    }

    /// The bounds by rules that say that they are not the source's.
    fn beyond_the_source(&self, at: &str) -> BTreeSet<Bound> {
        use validation::{How, Origin};
        let Some(operation) = &self.operation else { return BTreeSet::new() };
        let place = at.strip_prefix("header ").map_or_else(|| at.to_owned(), |name| format!("header:{name}"));
        let is_the_sources = |rule: &validation::Rule| {
            matches!(rule.origin, Origin::Source { how: How::Structure | How::Prose | How::Slice, .. })
        };
        let stated = rules_of(operation)
            .iter()
            .filter(|rule| rule.pointer == place && !is_the_sources(rule))
            .filter_map(|rule| rule.keyword.schema());
        stated.flat_map(|schema| Shape::of(&schema, None).bounds).collect()
    }

    fn words(&mut self, at: &str, theirs: &Shape, ours: &Shape) {
        self.found.compared.words += theirs.words.len();
        for word in theirs.words.difference(&ours.words) {
            self.report(Kind::WordLost, at, word, theirs.origin.clone(), listed(&ours.words));
        }
        if theirs.silent {
            return;
        }
        for word in ours.words.difference(&theirs.words) {
            self.report(Kind::WordAdded, at, listed(&theirs.words), theirs.origin.clone(), word);
        }
    }

    /// Compares what the items of a list, or the values of a map, are.
    fn elements(
        &mut self,
        at: &str,
        around: &Shape,
        theirs: Option<&Shape>,
        ours: Option<&Shape>,
        seen: &mut Seen,
    ) {
        let anything = Shape { origin: around.origin.clone(), ..Shape::default() };
        // Where a source does not say what a list or a map holds, its silence covers that too.
        if (theirs.is_none() && ours.is_none()) || (theirs.is_none() && around.silent) {
            return;
        }
        let (theirs, ours) = (theirs.unwrap_or(&anything), ours.unwrap_or(&anything));
        self.shapes(&format!("{at}/*"), theirs, ours, seen);
    }

    fn members(&mut self, at: &str, theirs: &Shape, ours: &Shape, seen: &mut Seen) {
        self.found.compared.members += theirs.members.len();
        let lost: Vec<_> = theirs.members.keys().filter(|name| !ours.members.contains_key(*name)).collect();
        let added: Vec<_> = ours.members.keys().filter(|name| !theirs.members.contains_key(*name)).collect();
        let pointer = |name: &str| format!("{at}/{}", openapi::escape(name));
        let text = |member: &shape::Member| {
            let mark = if member.required { "required" } else { "optional" };
            format!("{}, {mark}", member.shape.type_names())
        };

        let mut pairs: Vec<(&str, &str)> = theirs
            .members
            .keys()
            .filter(|name| ours.members.contains_key(*name))
            .map(|name| (name.as_str(), name.as_str()))
            .collect();
        match (lost.as_slice(), added.as_slice()) {
            ([name], [own])
                if !theirs.silent && theirs.members[*name].shape.types == ours.members[*own].shape.types =>
            {
                let origin = theirs.members[*name].shape.origin.clone();
                self.report(Kind::MemberRenamed, &pointer(name), *name, origin, *own);
                pairs.push((name, own));
            }
            _ => {
                for name in lost {
                    let member = &theirs.members[name];
                    let origin = member.shape.origin.clone();
                    self.report(Kind::MemberLost, &pointer(name), text(member), origin, NOTHING);
                }
                if !theirs.silent {
                    for name in added {
                        let origin = theirs.origin.clone();
                        let own = text(&ours.members[name]);
                        self.report(Kind::MemberAdded, &pointer(name), NOTHING, origin, own);
                    }
                }
            }
        }
        for (name, own) in pairs {
            let (member, own) = (&theirs.members[name], &ours.members[own]);
            let at = pointer(name);
            if member.required != own.required {
                self.required(&at, member.required, member.shape.origin.clone());
            }
            self.shapes(&at, &member.shape, &own.shape, seen);
        }
    }
}

/// Whether a bound says no more than that numbers are those of a machine.
fn is_of_a_machine(bound: &Bound, ours: &Shape) -> bool {
    const WIDTHS: [&str; 10] =
        ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double"];
    let is_power = |value: f64, powers: &[i32]| powers.iter().any(|power| value == 2_f64.powi(*power));
    let value = bound.value.parse::<f64>().unwrap_or_default();
    match bound.keyword {
        "format" => WIDTHS.contains(&bound.value.as_str()),
        "minimum" if value == 0.0 => {
            ours.bounds.iter().any(|own| own.keyword == "format" && own.value.starts_with("uint"))
        }
        "minimum" => is_power(-value, &[7, 15, 31, 63]),
        "maximum" => [7, 8, 15, 16, 31, 32, 63, 64].iter().any(|power| {
            let power = 2_f64.powi(*power);
            value == power || value == power - 1.0
        }),
        _ => false,
    }
}

/// What an end says that does not say anything.
const NOTHING: &str = "nothing";

/// A parameter, or a header of an answer.
struct Field {
    name: String,
    place: String,
    required: bool,
    shape: Shape,
}

impl Field {
    fn pointer(&self) -> String {
        match self.place.as_str() {
            "header" => format!("header {}", self.name),
            place => format!("{place} parameter {}", self.name),
        }
    }

    fn text(&self) -> String {
        let mark = if self.required { "required" } else { "optional" };
        format!("{}, {mark}", self.shape.type_names())
    }
}

/// A header parameter of one of these names is not one: HTTP or the security schemes own them.
const NOT_PARAMETERS: [&str; 3] = ["accept", "content-type", "authorization"];

fn parameters(operation: &Value, around: Option<&Origin>) -> BTreeMap<(String, String), Field> {
    let list = operation.get("parameters").and_then(Value::as_array);
    let field = |parameter: &Value| {
        let text = |key: &str| parameter.get(key)?.as_str().map(str::to_owned);
        let (name, place) = (text("name")?, text("in")?);
        let key = if place == "header" { name.to_ascii_lowercase() } else { name.clone() };
        if place == "header" && NOT_PARAMETERS.contains(&key.as_str()) {
            return None;
        }
        let origin = Origin::of(parameter).or_else(|| around.cloned());
        let mut shape = Shape::of(schema_of(parameter), origin.as_ref());
        shape.origin = origin;
        let required = parameter.get("required") == Some(&Value::Bool(true));
        Some(((place.clone(), key), Field { name, place, required, shape }))
    };
    list.into_iter().flatten().filter_map(field).collect()
}

fn headers(response: &Value, around: Option<&Origin>) -> BTreeMap<String, Field> {
    let list = response.get("headers").and_then(Value::as_object);
    let field = |(name, header): (&String, &Value)| {
        let key = name.to_ascii_lowercase();
        if key == "content-type" || key.starts_with("x-origin") {
            return None;
        }
        let origin = Origin::of(header).or_else(|| around.cloned());
        let mut shape = Shape::of(schema_of(header), origin.as_ref());
        shape.origin = origin;
        let required = header.get("required") == Some(&Value::Bool(true));
        Some((key, Field { name: name.clone(), place: "header".to_owned(), required, shape }))
    };
    list.into_iter().flatten().filter_map(field).collect()
}

fn tags(operation: &Value) -> BTreeSet<String> {
    let list = operation.get("tags").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The sets of schemes that an operation takes; a set that is empty asks for nothing.
fn alternatives(operation: &Value, renamed: &BTreeMap<String, String>) -> BTreeSet<BTreeSet<String>> {
    let list = operation.get("security").and_then(Value::as_array);
    let own = |name: &String| renamed.get(name).unwrap_or(name).clone();
    let sets: BTreeSet<BTreeSet<String>> = list
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .map(|set| set.keys().map(own).collect())
        .collect();
    if sets.is_empty() { BTreeSet::from([BTreeSet::new()]) } else { sets }
}

fn credentials(set: &BTreeSet<String>) -> String {
    match set.is_empty() {
        true => "no credentials".to_owned(),
        false => set.iter().map(String::as_str).collect::<Vec<_>>().join(" + "),
    }
}

fn scheme_text(scheme: &Value) -> String {
    let text = |key: &str| scheme.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "apiKey" if text("in") == "header" => {
            format!("apiKey in header {}", text("name").to_ascii_lowercase())
        }
        "apiKey" => format!("apiKey in {} {}", text("in"), text("name")),
        "http" => format!("http {}", text("scheme").to_ascii_lowercase()),
        "openIdConnect" => format!("openIdConnect {}", text("openIdConnectUrl")),
        other => other.to_owned(),
    }
}

fn listed(words: &BTreeSet<String>) -> String {
    if words.is_empty() {
        return NOTHING.to_owned();
    }
    words.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn unrolled(document: &Value, shape: &Shape) -> Shape {
    let mut unrolled = Shape { cycles: BTreeSet::new(), ..shape.clone() };
    for reference in &shape.cycles {
        let target = openapi::target(document, reference).unwrap_or_default();
        unrolled = unrolled.or(Shape::of(&target, shape.origin.as_ref()));
    }
    unrolled
}
