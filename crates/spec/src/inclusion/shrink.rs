use serde_json::Value;

/// How many smaller documents are tried.
const MOST_TRIES: usize = 500;

/// The document without whatever can be left out of it, as long as `fits` holds.
pub(super) fn shrunk(mut document: Value, fits: impl Fn(&Value) -> bool) -> Value {
    let mut tries = MOST_TRIES;
    'again: loop {
        let mut places = Vec::new();
        list(&document, &mut Vec::new(), &mut places);
        for place in places {
            tries = match tries.checked_sub(1) {
                Some(left) => left,
                None => return document,
            };
            let mut smaller = document.clone();
            if leave_out(&mut smaller, &place) && fits(&smaller) {
                document = smaller;
                continue 'again;
            }
        }
        return document;
    }
}

/// The places of members and items, outer ones first.
fn list(value: &Value, path: &mut Vec<String>, places: &mut Vec<Vec<String>>) {
    let mut visit = |name: String, inner: &Value| {
        path.push(name);
        places.push(path.clone());
        list(inner, path, places);
        path.pop();
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, inner)| visit(name.clone(), inner)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, inner)| visit(index.to_string(), inner));
        }
        _ => {}
    }
}

fn leave_out(value: &mut Value, place: &[String]) -> bool {
    let Some((last, path)) = place.split_last() else { return false };
    let mut at = value;
    for step in path {
        let next = match at {
            Value::Object(members) => members.get_mut(step),
            Value::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => return false,
        }
    }
    match at {
        Value::Object(members) => members.remove(last).is_some(),
        Value::Array(items) => match last.parse::<usize>() {
            Ok(index) if index < items.len() => {
                items.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    }
}
