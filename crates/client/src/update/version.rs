use std::cmp::Ordering;

/// Which of two versions is the later one; `None` where one of them has a form that is not known, so that nobody can
/// tell.
///
/// The form is that of Semantic Versioning, read leniently: a `v` before it, any number of numeric parts, missing ones
/// being 0, and zeros before a number. What stands behind a `+` counts for nothing.
pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    Some(Version::parse(one)?.cmp(&Version::parse(other)?))
}

/// Whether two texts name the same version.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    one == other || compare(one, other) == Some(Ordering::Equal)
}

/// Parts as texts: a number of any length is read.
struct Version<'a> {
    numbers: Vec<&'a str>,
    /// Empty for a release.
    pre: Vec<&'a str>,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (numbers, pre) = text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
        let numbers = parts(numbers, is_number)?;
        let pre = pre.map_or(Some(Vec::new()), |pre| parts(pre, is_identifier))?;
        build.is_none_or(|build| parts(build, is_identifier).is_some()).then_some(Self { numbers, pre })
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let number = |of: &Self, at: usize| of.numbers.get(at).copied().unwrap_or("0").to_owned();
        let numbers = (0..self.numbers.len().max(other.numbers.len()))
            .map(|at| by_number(&number(self, at), &number(other, at)));
        let pre = || match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            // A release comes after what was tried before it.
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let parts = self.pre.iter().zip(&other.pre).map(|(one, other)| by_part(one, other));
                first(parts).then(self.pre.len().cmp(&other.pre.len()))
            }
        };
        first(numbers).then_with(pre)
    }
}

/// The first difference.
fn first(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn parts(text: &str, is_part: fn(&str) -> bool) -> Option<Vec<&str>> {
    text.split('.').map(|part| is_part(part).then_some(part)).collect()
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_identifier(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn by_number(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

fn by_part(one: &str, other: &str) -> Ordering {
    match (is_number(one), is_number(other)) {
        (true, true) => by_number(one, other),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => one.cmp(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_in_the_order_of_semantic_versioning() {
        let rising = [
            "0",
            "0.5.9-rc.1",
            "0.5.9",
            "0.5.12",
            "v0.5.12.1",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1-0",
            "18446744073709551615.0",
            "18446744073709551616",
            "99999999999999999999999999999999999999999.1",
        ];
        for (at, one) in rising.iter().enumerate() {
            for (place, other) in rising.iter().enumerate() {
                assert_eq!(compare(one, other), Some(at.cmp(&place)), "{one} {other}");
            }
        }
    }

    #[test]
    fn what_is_written_otherwise_may_be_the_same() {
        for (one, other) in [("1", "1.0.0"), ("v1.2", "1.2.0"), ("1.02", "1.2"), ("1.0+a", "1.0+b.c")] {
            assert_eq!(compare(one, other), Some(Ordering::Equal), "{one} {other}");
        }
    }

    #[test]
    fn a_form_that_is_not_known_has_no_place_among_the_others() {
        for text in [
            "",
            "v",
            "latest",
            "1.",
            ".1",
            "1..2",
            "1.x",
            "1.2-",
            "1.2-a..b",
            "1+",
            "-1",
            " 1",
            "1.2_3",
            "１.０",
            "2024-11-22a/b",
        ] {
            assert_eq!(compare(text, "1.0"), None, "{text}");
            assert_eq!(compare("1.0", text), None, "{text}");
            assert!(is_same(text, text), "but it is itself");
        }
    }
}
