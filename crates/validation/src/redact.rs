use std::borrow::Cow;

use fleetwire_protocol::{achilles, acusight, agentmc, zstack};

/// What the keys and tokens of all vendors begin with; `apt_` is a provisioning token of Acusight, `fwo_` an
/// operator's.
const PREFIXES: [&str; 7] = [
    acusight::DeviceKey::PREFIX,
    zstack::BearerToken::PREFIX,
    agentmc::ApiKey::PREFIX,
    achilles::AgentKey::PREFIX,
    achilles::EnrollmentToken::PREFIX,
    "apt_",
    "fwo_",
];

/// The scheme before a token that may have any form.
const BEARER: &str = "Bearer ";

/// Cuts off whatever looks like a key or token behind its prefix, so that a text can be shown.
///
/// ```
/// use fleetwire_validation::redact;
///
/// assert_eq!(redact(r#"not string "adk_00ff""#), r#"not string "adk_…""#);
/// assert_eq!(redact("Authorization: Bearer 12.ab-c"), "Authorization: Bearer …");
/// assert_eq!(redact("must be at least 1"), "must be at least 1");
/// ```
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut shown: Option<String> = None;
    let (mut done, mut rest) = (0, text);
    while let Some((start, length)) = first_secret(rest) {
        let at = text.len() - rest.len();
        let shown = shown.get_or_insert_default();
        shown.push_str(&text[done..at + start]);
        shown.push('…');
        done = at + start + length;
        rest = &text[done..];
    }
    match shown {
        Some(mut shown) => {
            shown.push_str(&text[done..]);
            Cow::Owned(shown)
        }
        None => Cow::Borrowed(text),
    }
}

/// From this length on the name of a member may be a key that was put in the wrong place; a shorter one that begins
/// like a key is more likely a name.
#[cfg(feature = "look")]
const SHORTEST_KEY: usize = 16;

/// The same of the name of a member.
#[cfg(feature = "look")]
pub(crate) fn redact_name(name: &str) -> Cow<'_, str> {
    if name.len() < SHORTEST_KEY { Cow::Borrowed(name) } else { redact(name) }
}

/// Where the first secret begins behind its prefix, and how long it is.
fn first_secret(text: &str) -> Option<(usize, usize)> {
    let begins = |prefix: &str| {
        text.match_indices(prefix).find_map(|(at, _)| {
            let is_inside_word = text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            let start = at + prefix.len();
            let secret = text[start..].find(|c: char| !is_secret(c)).unwrap_or(text.len() - start);
            (!is_inside_word && secret > 0).then_some((start, secret))
        })
    };
    PREFIXES.iter().chain([&BEARER]).filter_map(|prefix| begins(prefix)).min()
}

fn is_secret(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '+' | '/' | '=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_of_a_text_is_cut_off() {
        for (text, shown) in [
            ("adk_1 zsk_2,cc_3 ak_4", "adk_… zsk_…,cc_… ak_…"),
            ("acht_00ff", "acht_…"),
            ("Bearer ak_00ff", "Bearer …"),
            ("ä ak_00 ä", "ä ak_… ä"),
            ("ak_", "ak_"),
            ("the prefix `adk_`", "the prefix `adk_`"),
            ("soak_test", "soak_test"),
            ("", ""),
        ] {
            assert_eq!(redact(text), shown);
        }
    }
}
