//! How arguments are read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use clap::builder::PossibleValuesParser;
use fleetwire_server::control::Bound;
use fleetwire_server_core::domain::Vendor;
use fleetwire_server_core::keys::hex;
use ring::digest;
use serde_json::{Map, Value};

/// The short name of a vendor.
pub(super) fn vendor() -> PossibleValuesParser {
    PossibleValuesParser::new(Vendor::ALL.map(Vendor::as_str))
}

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair(pub(super) String, pub(super) String);

impl Pair {
    /// Name and value, the value as JSON if it is some, and else as a text.
    pub(super) fn with_json_value(self) -> (String, Value) {
        let Self(name, value) = self;
        let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
        (name, value)
    }
}

pub(super) fn pair(text: &str) -> Result<Pair, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(Pair(name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

/// A time such as `24h` or `1h30m`, in seconds.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    const FORM: &str = "must be numbers with their units, such as 90s, 30m, 24h, 7d or 1h30m";
    let mut seconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(FORM)?;
        let (number, unit) = rest.split_at(digits);
        let unit_seconds = match unit.as_bytes().first() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            Some(b'd') => 86_400,
            _ => return Err(FORM.to_owned()),
        };
        if number.is_empty() {
            return Err(FORM.to_owned());
        }
        seconds = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(unit_seconds))
            .and_then(|part| seconds.checked_add(part))
            .ok_or("is too long")?;
        rest = &unit[1..];
    }
    if seconds == 0 { Err(FORM.to_owned()) } else { Ok(seconds) }
}

/// How long a token lives: a time, or `never` if no time is to end it.
pub(super) fn lifetime(text: &str) -> Result<Bound<u64>, String> {
    if text == "never" { Ok(Bound::Lifted) } else { duration(text).map(Bound::Of) }
}

/// How many agents a token makes: a number, or `unlimited`.
pub(super) fn uses(text: &str) -> Result<Bound<u32>, String> {
    if text == "unlimited" {
        return Ok(Bound::Lifted);
    }
    text.parse().map(Bound::Of).map_err(|_| "must be a number, or `unlimited`".to_owned())
}

/// A JSON object, or `@FILE` that holds one.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, String> {
    let read;
    let json = match text.strip_prefix('@') {
        Some(path) => {
            read = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
            &read
        }
        None => text,
    };
    serde_json::from_str(json).map_err(|error| format!("must be a JSON object: {error}"))
}

/// SHA-256 in hex and size of a file, however large it is.
pub(super) fn digest_file(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut size = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        digest.update(&buffer[..count]);
        size += count as u64;
    }
    Ok((hex(digest.finish().as_ref()), size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_are_read_in_every_unit_and_together() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1800),
            ("24h", 86_400),
            ("7d", 604_800),
            ("1h30m", 5400),
            ("007s", 7),
            ("0h1s", 1),
        ] {
            assert_eq!(duration(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "24", "h", "1w", "-1h", "1.5h", "1h ", " 1h", "1h30", "0s", "1H", "1ä", "½h", "1h-1m"]
        {
            assert!(duration(text).is_err_and(|fault| fault.contains("24h")), "{text}");
        }
        for text in ["99999999999999999999s", "18446744073709551615d", "18446744073709551615s1s"] {
            assert_eq!(duration(text), Err("is too long".to_owned()), "{text}");
        }
    }

    #[test]
    fn pair_is_split_at_its_first_sign() {
        assert_eq!(pair("a=b=c"), Ok(Pair("a".to_owned(), "b=c".to_owned())));
        assert_eq!(pair("a="), Ok(Pair("a".to_owned(), String::new())));
        for text in ["", "a", "=b"] {
            assert!(pair(text).is_err(), "{text}");
        }
    }

    #[test]
    fn value_of_a_fact_is_json_if_it_can_be() {
        for (text, value) in
            [("7", json!(7)), ("true", json!(true)), ("north", json!("north")), ("{}", json!({}))]
        {
            assert_eq!(Pair("f".to_owned(), text.to_owned()).with_json_value(), ("f".to_owned(), value));
        }
    }

    #[test]
    fn payload_is_an_object_given_there_or_in_a_file() {
        assert_eq!(object("{\"a\":1}").map(Value::Object), Ok(json!({"a": 1})));
        for text in ["", "[]", "7", "{", "@/nowhere/to/be/found"] {
            assert!(object(text).is_err(), "{text}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"b\":2}").unwrap();
        assert_eq!(object(&format!("@{}", file.path().display())).map(Value::Object), Ok(json!({"b": 2})));
    }

    #[test]
    fn file_longer_than_the_buffer_is_digested_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        std::fs::write(file.path(), &content).unwrap();
        let expected = hex(digest::digest(&digest::SHA256, &content).as_ref());
        assert_eq!(digest_file(file.path()).unwrap(), (expected, 200_000));
        assert!(digest_file(Path::new("/nowhere/to/be/found")).is_err());
    }
}
