//! A source, after its deviations, operation by operation beside ours.

use std::sync::Arc;

use serde_json::Value;

use crate::coverage::Name;
use crate::deviations::{Deviation, belongs_to};
use crate::openapi::{self, Operation};

/// Two documents beside each other.
pub(crate) struct Pairing {
    /// The source, with what its deviations change of the document as a whole.
    pub(crate) source: Arc<Value>,
    /// The operations that both have.
    pub(crate) pairs: Vec<Pair>,
    /// The operations that only the source has.
    pub(crate) lost: Vec<Operation>,
    /// The operations that only ours has, with their ids.
    pub(crate) added: Vec<(String, Operation)>,
    /// The deviations that cannot be applied, and why.
    pub(crate) misplaced: Vec<(Deviation, String)>,
}

/// An operation that both have.
#[derive(Clone)]
pub(crate) struct Pair {
    /// Our id of it; its request line where it has none.
    pub(crate) id: String,
    /// The source's, after the deviations.
    pub(crate) theirs: Operation,
    /// Ours.
    pub(crate) ours: Operation,
}

/// Two documents beside each other before the deviations of single operations. One of these changes nothing of
/// another operation, so that what is found with and without it is compared in its own alone.
pub(crate) struct Plain(Pairing);

impl Plain {
    /// `deviations` are those of the document as a whole.
    pub(crate) fn new<'a>(
        vendor: &str,
        source: &Value,
        ours: &Value,
        names: &[Name],
        deviations: impl Iterator<Item = &'a Deviation>,
    ) -> Self {
        let mut misplaced = Vec::new();
        let mut source = source.clone();
        for deviation in deviations.filter(|deviation| deviation.operation == vendor) {
            let outcome = if deviation.side == "document" {
                deviation.apply(&mut source)
            } else {
                Err("what stands in the document as a whole has the side `document`".to_owned())
            };
            if let Err(reason) = outcome {
                misplaced.push((deviation.clone(), reason));
            }
        }
        let matched = matched(openapi::operations(&source), openapi::operations(ours));
        let id_of = |operation: &Operation| {
            let same = |name: &&Name| name.method == operation.method && name.path == operation.path;
            names.iter().find(same).map_or_else(|| operation.request_line(), |name| name.id.clone())
        };
        let pair = |(theirs, ours)| Pair { id: id_of(&ours), theirs, ours };
        let pairs = matched.both.into_iter().map(pair).collect();
        let added = matched.added.into_iter().map(|operation| (id_of(&operation), operation)).collect();
        Self(Pairing { source: Arc::new(source), pairs, lost: matched.lost, added, misplaced })
    }

    /// With the deviations of single operations.
    pub(crate) fn with<'a>(self, deviations: impl Iterator<Item = &'a Deviation>) -> Pairing {
        let Self(mut pairing) = self;
        pairing.place(deviations);
        pairing
    }

    /// One operation, with its deviations.
    pub(crate) fn only<'a>(&self, id: &str, deviations: impl Iterator<Item = &'a Deviation>) -> Pairing {
        let Self(all) = self;
        let mut pairing = Pairing {
            source: Arc::clone(&all.source),
            pairs: all.pairs.iter().filter(|pair| pair.id == id).cloned().collect(),
            lost: Vec::new(),
            added: all.added.iter().filter(|(own, _)| own == id).cloned().collect(),
            misplaced: Vec::new(),
        };
        pairing.place(deviations);
        pairing
    }
}

impl Pairing {
    /// Deviations whose operation belongs to another vendor are not looked at.
    pub(crate) fn new(
        vendor: &str,
        source: &Value,
        ours: &Value,
        names: &[Name],
        deviations: &[&Deviation],
    ) -> Self {
        let own = || deviations.iter().copied().filter(|deviation| belongs_to(deviation, vendor));
        Plain::new(vendor, source, ours, names, own())
            .with(own().filter(|deviation| deviation.operation != vendor))
    }

    /// Patches the source's operations.
    fn place<'a>(&mut self, deviations: impl Iterator<Item = &'a Deviation>) {
        for deviation in deviations {
            let mut pairs = self.pairs.iter_mut().filter(|pair| pair.id == deviation.operation);
            let outcome = match pairs.next() {
                Some(pair) => patch(&self.source, &mut pair.theirs, deviation),
                // One for an operation that the source has lost is not worth a second finding.
                None if self.added.iter().any(|(id, _)| *id == deviation.operation) => Ok(()),
                None => Err("the source has no such operation".to_owned()),
            };
            if let Err(reason) = outcome {
                self.misplaced.push((deviation.clone(), reason));
            }
        }
    }
}

fn patch(source: &Value, operation: &mut Operation, deviation: &Deviation) -> Result<(), String> {
    let object = &mut operation.object;
    let part = match deviation.side.split_once('.') {
        None if deviation.side == "operation" => Some(object),
        None if deviation.side == "request" => object.get_mut("requestBody").and_then(openapi::json_schema),
        Some(("response", status)) => object
            .get_mut("responses")
            .and_then(|responses| responses.get_mut(status))
            .and_then(openapi::json_schema),
        _ => return Err(format!("there is no side `{}`", deviation.side)),
    };
    let part = part.ok_or_else(|| format!("the source has no schema for the {}", deviation.side))?;
    let mut deviation = deviation.clone();
    deviation.value = deviation.value.map(|value| openapi::inlined(source, &value));
    deviation.apply(part)
}

/// Which operations of two documents are the same ones.
struct Matched {
    both: Vec<(Operation, Operation)>,
    lost: Vec<Operation>,
    added: Vec<Operation>,
}

/// Whether two operations are the same one.
type Rule = fn(&Operation, &Operation) -> bool;

/// Pairs operations by their request lines. What is left over is paired by the path alone, then by the method
/// and a path that is nearly the same, so that one changed word is one finding.
fn matched(mut theirs: Vec<Operation>, mut ours: Vec<Operation>) -> Matched {
    let steps: [Rule; 4] = [
        |one, other| one.method == other.method && same_path(one, other),
        same_path,
        |one, other| one.id().is_some() && one.id() == other.id(),
        |one, other| one.method == other.method && nearly_same(&one.path, &other.path),
    ];
    let mut both = Vec::new();
    for is_pair in steps {
        let mut rest = Vec::new();
        for operation in theirs {
            match ours.iter().position(|own| is_pair(&operation, own)) {
                Some(index) => both.push((operation, ours.remove(index))),
                None => rest.push(operation),
            }
        }
        theirs = rest;
    }
    Matched { both, lost: theirs, added: ours }
}

fn same_path(one: &Operation, other: &Operation) -> bool {
    without_names(&one.path) == without_names(&other.path)
}

/// A path with its parameters unnamed: their names do not travel.
pub(crate) fn without_names(path: &str) -> String {
    let unnamed = |segment: &str| match (segment.find('{'), segment.rfind('}')) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &segment[..=from], &segment[to..]),
        _ => segment.to_owned(),
    };
    path.split('/').map(unnamed).collect::<Vec<_>>().join("/")
}

/// Whether two paths of the same length differ in one segment.
fn nearly_same(one: &str, other: &str) -> bool {
    let (one, other) = (without_names(one), without_names(other));
    let (one, other): (Vec<_>, Vec<_>) = (one.split('/').collect(), other.split('/').collect());
    one.len() == other.len()
        && one.len() > 2
        && one.iter().zip(&other).filter(|(one, other)| one != other).count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(line: &str) -> Operation {
        let (method, path) = line.split_once(' ').unwrap();
        Operation { method: method.to_owned(), path: path.to_owned(), object: serde_json::json!({}) }
    }

    fn pairs(theirs: &[&str], ours: &[&str]) -> (Vec<(String, String)>, usize, usize) {
        let list = |lines: &[&str]| lines.iter().map(|line| operation(line)).collect();
        let pairs = matched(list(theirs), list(ours));
        let both = pairs.both.iter().map(|(a, b)| (a.request_line(), b.request_line())).collect();
        (both, pairs.lost.len(), pairs.added.len())
    }

    #[test]
    fn exact_request_line_wins_over_a_near_one() {
        let (both, lost, added) = pairs(&["GET /a/x", "GET /a/y"], &["GET /a/y", "GET /a/z"]);
        assert_eq!((both.len(), lost, added), (2, 0, 0));
        assert_eq!(both[0], ("GET /a/y".to_owned(), "GET /a/y".to_owned()));
        assert_eq!(both[1], ("GET /a/x".to_owned(), "GET /a/z".to_owned()));
    }

    #[test]
    fn operation_of_both_is_no_pair_for_a_lost_or_an_added_one_beside_it() {
        let beside = ("GET /a/x".to_owned(), "GET /a/x".to_owned());
        assert_eq!(pairs(&["GET /a/w", "GET /a/x"], &["GET /a/x"]), (vec![beside.clone()], 1, 0));
        assert_eq!(pairs(&["GET /a/x"], &["GET /a/w", "GET /a/x"]), (vec![beside], 0, 1));
    }

    #[test]
    fn names_of_path_parameters_do_not_part_a_pair() {
        assert_eq!(pairs(&["PUT /a/{uuid}/b"], &["PUT /a/{id}/b"]).0.len(), 1);
    }

    #[test]
    fn strangers_are_not_paired() {
        assert_eq!(pairs(&["GET /a/b"], &["GET /c/d"]), (vec![], 1, 1));
        assert_eq!(pairs(&["GET /a"], &["GET /b"]), (vec![], 1, 1));
        assert_eq!(pairs(&["GET /a/b"], &["POST /a/c"]), (vec![], 1, 1));
    }
}
