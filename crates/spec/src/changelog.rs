//! Breaks that the changelog names.

/// The names in code spans under *Breaking*, of every version that came after the given one and of the
/// unreleased one.
pub(crate) fn broken_since<'a>(version: &str, changelog: &'a str) -> Vec<&'a str> {
    let own = format!("[{version}]");
    let released =
        changelog.lines().any(|line| line.strip_prefix("## ").is_some_and(|h| h.starts_with(&own)));
    let mut breaking = false;
    let mut names = Vec::new();
    for line in changelog.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let older =
                if released { heading.starts_with(&own) } else { !heading.starts_with("[Unreleased]") };
            if older {
                break;
            }
            breaking = false;
        } else if let Some(heading) = line.strip_prefix("### ") {
            breaking = heading.trim() == "Breaking";
        } else if breaking {
            names.extend(line.split('`').skip(1).step_by(2));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_stays_named_when_its_version_is_released() {
        let changelog = "## [Unreleased]\n\n## [0.3.0] - 2026\n\n### Breaking\n\n- `a` and `b`\n\n### Fixed\n\n- `c`\n\n\
            ## [0.2.0]\n\n### Breaking\n\n- `d`\n\n## [0.1.0]\n\n### Breaking\n\n- `e`\n";
        assert_eq!(broken_since("0.1.0", changelog), ["a", "b", "d"]);
        assert_eq!(broken_since("0.2.0", changelog), ["a", "b"]);
        assert_eq!(broken_since("0.3.0", changelog), [""; 0]);
        assert_eq!(
            broken_since("0.4.0", changelog),
            [""; 0],
            "it is not released, so that only the first counts"
        );
    }
}
