//! Where in a text the members stand that pointers name.

use super::cursor::{Cursor, Start};

/// The offsets of some pointers, in one pass over a text that is JSON. What is not there stands at the end of
/// the object in which it would be.
pub(super) fn find(text: &str, pointers: &[&str]) -> Vec<usize> {
    let mut offsets = vec![0; pointers.len()];
    let wanted = pointers.iter().enumerate().map(|(index, pointer)| Wanted { index, rest: pointer });
    let mut cursor = Cursor::new(text);
    if text.is_empty() {
        return offsets;
    }
    descend(&mut cursor, &wanted.filter(|wanted| !wanted.rest.is_empty()).collect::<Vec<_>>(), &mut offsets);
    offsets
}

/// A pointer, without the steps that are behind.
#[derive(Debug, Clone, Copy)]
struct Wanted<'p> {
    index: usize,
    rest: &'p str,
}

impl<'p> Wanted<'p> {
    /// The next step, and what is wanted behind it.
    fn step(self) -> (&'p str, Self) {
        let rest = self.rest.strip_prefix('/').unwrap_or(self.rest);
        let end = rest.find('/').unwrap_or(rest.len());
        let (step, rest) = rest.split_at(end);
        (step, Self { rest, ..self })
    }
}

/// Goes into the value that begins here. It goes no deeper than the longest pointer.
fn descend(cursor: &mut Cursor<'_>, wanted: &[Wanted<'_>], offsets: &mut [usize]) {
    let start = cursor.start();
    if wanted.is_empty() || !matches!(start, Start::Object | Start::List) {
        cursor.skip();
        return;
    }
    // Few are wanted, and there may be very many members: they are looked up, not gone through.
    let mut steps: Vec<_> = wanted.iter().map(|wanted| wanted.step()).collect();
    steps.sort_by_key(|(step, _)| *step);
    let mut is_found = vec![false; steps.len()];
    cursor.enter();
    let mut index = 0_usize;
    while cursor.next() {
        let from = cursor.at;
        let number;
        let step = if start == Start::Object {
            let name = cursor.name();
            // Names that schemas know need no escape.
            name.trim_matches('"')
        } else {
            number = index.to_string();
            index += 1;
            &number
        };
        let first = steps.partition_point(|(own, _)| *own < step);
        let inside: Vec<_> = steps[first..].iter().take_while(|(own, _)| *own == step).collect();
        for (offset, (_, wanted)) in inside.iter().enumerate() {
            // Of a member that is there twice the first one counts.
            let is_again = std::mem::replace(&mut is_found[first + offset], true);
            if wanted.rest.is_empty() && !is_again {
                offsets[wanted.index] = from;
            }
        }
        let inside: Vec<_> =
            inside.into_iter().map(|(_, wanted)| *wanted).filter(|wanted| !wanted.rest.is_empty()).collect();
        descend(cursor, &inside, offsets);
    }
    let end = cursor.at.saturating_sub(1);
    for ((_, wanted), is_found) in steps.iter().zip(is_found) {
        if !is_found {
            offsets[wanted.index] = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn members_elements_and_what_is_missing_have_a_place() {
        let text = r#"{"a":[{"x":1},{"y":2}],"b":{}}"#;
        let at = |part: &str| text.find(part).unwrap();
        assert_eq!(
            find(text, &["/b", "/a/1/y", "/a/0", "", "/b/none", "/none", "/a/7", "/a/0/x/deep"]),
            [at("\"b\""), at("\"y\""), at("{\"x"), 0, text.len() - 2, text.len() - 1, at("],"), 0]
        );
    }

    #[test]
    fn a_text_that_is_no_json_has_places_too() {
        for text in ["", "{", "[", "{\"a\"", "nonsense"] {
            assert!(find(text, &["/a", "/0/b"]).iter().all(|at| *at <= text.len()), "{text}");
        }
    }
}
