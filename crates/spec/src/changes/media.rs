//! Media types and ranges of them, as the keys of a body's `content`.

/// The place of the media type that takes in all of `name`: the same one if there is one, else the narrowest range.
pub(super) fn covering<'n>(name: &str, others: impl Iterator<Item = &'n str>) -> Option<usize> {
    let mut best: Option<(u8, usize)> = None;
    for (index, other) in others.enumerate() {
        if let Some(width) = width(other, name)
            && best.is_none_or(|(least, _)| width < least)
        {
            best = Some((width, index));
        }
    }
    best.map(|(_, index)| index)
}

/// Whether a media type or range takes in all of another.
pub(super) fn covers(range: &str, name: &str) -> bool {
    width(range, name).is_some()
}

/// How much more a range takes in than a name; nothing if it does not take it in.
fn width(range: &str, name: &str) -> Option<u8> {
    let (range, name) = (parsed(range), parsed(name));
    if range == name {
        return Some(0);
    }
    if !range.parameters.iter().all(|parameter| name.parameters.contains(parameter)) {
        return None;
    }
    match (range.kind.as_str(), range.subkind.as_str()) {
        (kind, subkind) if kind == name.kind && subkind == name.subkind => Some(1),
        (kind, "*") if kind == name.kind => Some(2),
        ("*", "*") => Some(3),
        _ => None,
    }
}

#[derive(PartialEq)]
struct MediaType {
    kind: String,
    subkind: String,
    /// Sorted, without `charset`: JSON is always UTF-8, and of other texts documents rarely mean it.
    parameters: Vec<String>,
}

fn parsed(name: &str) -> MediaType {
    let name = name.to_ascii_lowercase();
    let mut parts = name.split(';').map(str::trim);
    let (kind, subkind) = parts.next().and_then(|essence| essence.split_once('/')).unwrap_or((&name, ""));
    let mut parameters: Vec<String> = parts
        .filter(|parameter| !parameter.is_empty() && !parameter.starts_with("charset="))
        .map(|parameter| parameter.split('=').map(str::trim).collect::<Vec<_>>().join("="))
        .collect();
    parameters.sort_unstable();
    MediaType { kind: kind.to_owned(), subkind: subkind.to_owned(), parameters }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrowest_range_that_takes_it_all_in_is_found() {
        let others = ["*/*", "application/*", "application/json; charset=utf-8"];
        assert_eq!(covering("application/json", others.into_iter()), Some(2));
        assert_eq!(covering("Application/XML", others.into_iter()), Some(1));
        assert_eq!(covering("text/plain", others.into_iter()), Some(0));
        assert_eq!(covering("text/plain", others.into_iter().skip(1)), None);
    }

    #[test]
    fn range_is_not_taken_in_by_one_of_its_types() {
        assert!(!covers("application/json", "application/*"));
        assert!(covers("application/*", "application/*"));
        assert!(!covers("application/vnd.a+json", "application/json"));
    }

    #[test]
    fn parameter_other_than_the_charset_makes_another_media_type() {
        assert!(!covers("application/json;v=1", "application/json;v=2"));
        assert!(!covers("application/json;v=1", "application/json"));
        assert!(covers("application/json", "application/json;v=1"));
        assert!(covers("application/json; v = 1; charset=utf-8", "application/json;v=1"));
    }

    #[test]
    fn word_that_is_no_media_type_is_only_itself() {
        assert!(covers("json", "JSON"));
        assert!(!covers("json", "application/json"));
        assert!(!covers("*", "application/json"));
    }
}
