//! The version-bump rule: whoever breaks peers raises the major number.

use crate::document::{Document, child};

use super::change::{Change, Said};
use super::rules::Rule;
use crate::finding::Severity;

/// What the versions of two documents say of the findings between them.
pub(super) fn finding(old: &Document, new: &Document, findings: &[&Change]) -> Option<Change> {
    let text = |document: &Document| {
        document.value().pointer("/info/version").and_then(|version| version.as_str()).map(str::to_owned)
    };
    let said = |version: Option<&String>| Said {
        pointer: Some(child("/info", "version")),
        text: version.map_or_else(|| "no version".to_owned(), String::clone),
    };
    let (was, is) = (text(old), text(new));
    let (before, after) = (was.as_deref().and_then(parsed), is.as_deref().and_then(parsed));
    let breaks = findings.iter().filter(|change| change.severity == Severity::Error).count();
    let rule = match (before, after) {
        (Some(before), Some(after)) if after < before => Rule::VersionWentBack,
        _ if breaks == 0 => return None,
        (Some(before), Some(after)) if is_major(before, after) => return None,
        (Some(_), Some(_)) => Rule::VersionNotBumped,
        _ => Rule::VersionUndecidable,
    };
    let mut change = Change::new(rule, said(was.as_ref()), said(is.as_ref()));
    if rule != Rule::VersionWentBack {
        let findings = if breaks == 1 { "finding breaks" } else { "findings break" };
        change.new.text = format!("{}, and {breaks} {findings} peers", change.new.text);
    }
    Some(change)
}

/// Whether the step allows a break. Below 1.0.0 the minor number counts, as with Cargo.
fn is_major(before: [u64; 3], after: [u64; 3]) -> bool {
    after[0] > before[0] || (after[0] == 0 && before[0] == 0 && after[1] > before[1])
}

/// Major, minor and patch; what is missing is 0. A lone number with something behind it may be a date.
fn parsed(version: &str) -> Option<[u64; 3]> {
    let version = version.trim();
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let numbers = version.find(['-', '+']).map_or(version, |end| &version[..end]);
    let suffixed = numbers.len() < version.len();
    let mut parts = [0; 3];
    let mut count = 0;
    for part in numbers.split('.') {
        let all_digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        *parts.get_mut(count)? = part.parse().ok().filter(|_| all_digits)?;
        count += 1;
    }
    (count > 1 || !suffixed).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_up_to_three_numbers_are_read() {
        assert_eq!(parsed("v1.2.3-rc.1+5"), Some([1, 2, 3]));
        assert_eq!(parsed("2"), Some([2, 0, 0]));
        assert_eq!(parsed("0.3-beta"), Some([0, 3, 0]));
        for other in ["", "v", "1.2.3.4", "1.x", "2026-11-22", "latest", "1..2", "+1", "99999999999999999999"]
        {
            assert_eq!(parsed(other), None, "{other}");
        }
    }

    #[test]
    fn minor_counts_below_one() {
        assert!(is_major([0, 3, 38], [0, 4, 0]));
        assert!(!is_major([0, 3, 38], [0, 3, 169]));
        assert!(is_major([0, 9, 0], [1, 0, 0]));
        assert!(!is_major([1, 2, 0], [1, 3, 0]));
        assert!(is_major([1, 2, 0], [2, 0, 0]));
    }
}
