use crate::openapi::Operation;

/// Which operations of two documents are the same ones.
pub(super) struct Pairs {
    pub(super) both: Vec<(Operation, Operation)>,
    pub(super) lost: Vec<Operation>,
    pub(super) added: Vec<Operation>,
}

/// Whether two operations are the same one.
type Rule = fn(&Operation, &Operation) -> bool;

/// Pairs operations by their request lines. What is left over is paired by the path alone, then by the method
/// and a path that is nearly the same, so that one changed word is one finding.
pub(super) fn of(mut theirs: Vec<Operation>, mut ours: Vec<Operation>) -> Pairs {
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
    Pairs { both, lost: theirs, added: ours }
}

fn same_path(one: &Operation, other: &Operation) -> bool {
    without_names(&one.path) == without_names(&other.path)
}

/// A path with its parameters unnamed: their names do not travel.
pub(super) fn without_names(path: &str) -> String {
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
        let pairs = of(list(theirs), list(ours));
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
