//! Bodies and captured messages as JSON, one in a file or one a line.
//!
//! A captured message is an object with `method` and `path` or `url`, and besides, as far as the capture has them,
//! `headers` (an object of texts or lists of texts), `body` (JSON, or a text that holds the body), `time` and
//! `status`. With a status the headers and the body are those of the answer. All lines of a file are of one kind:
//! the first one says which.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;

use fleetwire_protocol::wire::Timestamp;
use fleetwire_validation::message::{Request, Response};
use fleetwire_validation::redact;
use http::HeaderMap;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::LONGEST_MESSAGE;
use super::lines::{Line, Lines};
use super::session::{At, Session, Stop, Within, headers, status};

/// A message as a line of a capture has it.
#[derive(Deserialize)]
struct Captured<'a> {
    #[serde(borrow, default)]
    method: Option<Text<'a>>,
    #[serde(borrow, default)]
    path: Option<Text<'a>>,
    #[serde(borrow, default)]
    url: Option<Text<'a>>,
    #[serde(borrow, default)]
    headers: Option<Headers<'a>>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
    #[serde(borrow, default)]
    time: Option<Text<'a>>,
    #[serde(default)]
    status: Option<f64>,
}

/// What tells a captured message from a body, whatever else is wrong with it.
#[derive(Deserialize)]
struct Sign {
    method: Option<IgnoredAny>,
    path: Option<IgnoredAny>,
    url: Option<IgnoredAny>,
}

/// Text that is borrowed unless it is escaped.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// Names and values of an object of texts or lists of texts.
struct Headers<'a>(Vec<(Text<'a>, Text<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Headers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeadersVisitor;
        impl<'de> Visitor<'de> for HeadersVisitor {
            type Value = Headers<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Headers<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, Values(values))) = members.next_entry::<Text<'de>, Values<'de>>()? {
                    for value in values {
                        pairs.push((Text(name.0.clone()), value));
                    }
                }
                Ok(Headers(pairs))
            }
        }
        deserializer.deserialize_map(HeadersVisitor)
    }
}

/// The values of one header.
struct Values<'a>(Vec<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Values<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValuesVisitor;
        impl<'de> Visitor<'de> for ValuesVisitor {
            type Value = Values<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Values<'de>, E> {
                Ok(Values(vec![Text(Cow::Borrowed(text))]))
            }
            fn visit_str<E>(self, text: &str) -> Result<Values<'de>, E> {
                Ok(Values(vec![Text(Cow::Owned(text.to_owned()))]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Values<'de>, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = items.next_element()? {
                    values.push(value);
                }
                Ok(Values(values))
            }
        }
        deserializer.deserialize_any(ValuesVisitor)
    }
}

/// Reads a file that is one message.
pub(super) fn read_one(source: impl Read, name: &str, session: &mut Session) -> Result<(), Stop> {
    let at = At { file: name, within: Within::Whole };
    let mut text = Vec::new();
    let mut source = source.take(LONGEST_MESSAGE as u64 + 1);
    source.read_to_end(&mut text).map_err(|error| Stop::Unreadable(format!(": cannot be read: {error}")))?;
    if text.len() > LONGEST_MESSAGE {
        let message = format!("has more than {LONGEST_MESSAGE} bytes and is not looked at");
        return Ok(session.captured_badly(at, "capture.too_long", message)?);
    }
    let text = text.trim_ascii();
    read(at, text, is_captured(text), session)
}

/// Reads a file that is one message a line.
pub(super) fn read_lines(source: impl Read, name: &str, session: &mut Session) -> Result<(), Stop> {
    let mut lines = Lines::new(source, LONGEST_MESSAGE);
    let mut has_request_lines = None;
    loop {
        let next = lines.next().map_err(|error| Stop::Unreadable(format!(": cannot be read: {error}")))?;
        let Some((number, line)) = next else { return Ok(()) };
        let at = At { file: name, within: Within::Line(number) };
        let text = match line {
            Line::Text(text) => text.trim_ascii(),
            Line::TooLong(length) => {
                let message =
                    format!("has {length} bytes, more than {LONGEST_MESSAGE}, and is not looked at");
                session.captured_badly(at, "capture.too_long", message)?;
                continue;
            }
        };
        if text.is_empty() {
            continue;
        }
        has_request_lines = has_request_lines.or_else(|| is_captured(text));
        read(at, text, has_request_lines, session)?;
    }
}

/// Whether a text is a captured message rather than a body; `None` if it is no JSON, which says neither.
fn is_captured(text: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<Sign>(text) {
        Ok(sign) => Some(sign.method.is_some() && (sign.path.is_some() || sign.url.is_some())),
        Err(error) => error.is_data().then_some(false),
    }
}

fn read(at: At<'_>, text: &[u8], is_captured: Option<bool>, session: &mut Session) -> Result<(), Stop> {
    match is_captured {
        Some(true) => captured(at, text, session),
        // Where it is not known what a body is, this at least is known of it.
        None if session.alone().is_none() => captured(at, text, session),
        _ => Ok(session.body(at, text)?),
    }
}

/// Checks a captured message.
fn captured(at: At<'_>, text: &[u8], session: &mut Session) -> Result<(), Stop> {
    let redacted = |why: String| redact(&why).into_owned();
    let read = std::str::from_utf8(text)
        .map_err(|error| redacted(format!("is not UTF-8 at byte {}", error.valid_up_to())))
        .and_then(|text| {
            serde_json::from_str::<Captured<'_>>(text)
                .map_err(|error| redacted(format!("is not a captured message: {error}")))
        });
    let captured = match read {
        Ok(captured) => captured,
        Err(why) => return Ok(session.captured_badly(at, "capture.form", why)?),
    };
    let target = captured.path.as_ref().or(captured.url.as_ref());
    let (Some(Text(method)), Some(Text(target))) = (&captured.method, target) else {
        let message = "has no method with a path or url, as the lines before it have".to_owned();
        return Ok(session.captured_badly(at, "capture.form", message)?);
    };
    let map: Option<HeaderMap> = captured
        .headers
        .as_ref()
        .map(|Headers(pairs)| headers(pairs.iter().map(|(name, value)| (&*name.0, value.0.as_bytes()))));
    // Credentials stand in requests: the headers of an answer do not say whose line it is.
    let requests = if captured.status.is_some() { None } else { map.as_ref() };
    let Ok(route) = session.recognise(at, method, target, requests) else { return Ok(()) };
    let unescaped;
    let body = match captured.body.map(RawValue::get) {
        Some(quoted) if quoted.starts_with('"') => {
            // It has been read once as JSON, so that only lone surrogates are left to fail.
            unescaped = match serde_json::from_str::<String>(quoted) {
                Ok(text) => text,
                Err(error) => {
                    let message = format!("has a body that is no text: {error}");
                    return Ok(session.captured_badly(at, "capture.form", message)?);
                }
            };
            Some(unescaped.as_bytes())
        }
        Some(json) => Some(json.as_bytes()),
        None => None,
    };
    if let Some(number) = captured.status {
        let Some(status) = status(number) else {
            let message = format!("has the status {number}, which HTTP does not have");
            return Ok(session.captured_badly(at, "capture.form", message)?);
        };
        let response = Response { status: Some(status), headers: map.as_ref(), body };
        return Ok(session.response(at, route.operation, &response)?);
    }
    let time = captured.time.and_then(|time| Timestamp::from_text(time.0).parse());
    let request = Request { route: Some(&route), headers: map.as_ref(), body, credentials: true };
    Ok(session.request(at, route.operation, &request, time)?)
}
