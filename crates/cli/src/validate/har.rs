//! HTTP Archive 1.2, entry by entry: no more than one entry is held, however many there are.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleetwire_protocol::wire::Timestamp;
use fleetwire_validation::message::{Request, Response};
use fleetwire_validation::redact;
use http::HeaderMap;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::Text;
use super::session::{At, Session, Stop, Within, headers, status};

/// The longest entry that is read. Browsers keep whole pictures in them.
const LONGEST_ENTRY: u64 = 64 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow, default)]
    started_date_time: Option<Text<'a>>,
    #[serde(borrow)]
    request: Sent<'a>,
    #[serde(borrow, default)]
    response: Option<Answered<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow, default)]
    headers: Option<Vec<Pair<'a>>>,
    #[serde(borrow, default)]
    post_data: Option<Content<'a>>,
    #[serde(default)]
    body_size: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    status: f64,
    #[serde(borrow, default)]
    headers: Option<Vec<Pair<'a>>>,
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(default)]
    body_size: Option<f64>,
}

#[derive(Deserialize)]
struct Pair<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    /// Null where what recorded it does not know.
    #[serde(borrow, default)]
    value: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    encoding: Option<Text<'a>>,
    #[serde(default)]
    size: Option<f64>,
}

/// Reads a file.
pub(super) fn read(source: impl Read, name: &str, session: &mut Session) -> Result<(), Stop> {
    let budget = Rc::new(Cell::new(None));
    let source = Limited { source, budget: Rc::clone(&budget) };
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(128 * 1024, source));
    let mut reader = Reader { name, session, budget: &budget, entries: None, stop: None };
    let read = (&mut reader).deserialize(&mut json).and_then(|()| json.end());
    if let Some(stop) = reader.stop {
        return Err(stop);
    }
    match (read, reader.entries) {
        (Ok(()), Some(_)) => Ok(()),
        (Ok(()), None) => Err(Stop::Unreadable(" is no HAR: it has no list /log/entries".to_owned())),
        (Err(error), entries) => {
            let after = match entries {
                None => String::new(),
                Some(0) => " before its first entry is over".to_owned(),
                Some(count) => format!(" after entry {}", count - 1),
            };
            let error = error.to_string();
            Err(Stop::Unreadable(format!(" cannot be read{after}: {}", redact(&error))))
        }
    }
}

/// A stream that gives no more than a budget while there is one.
struct Limited<R> {
    source: R,
    budget: Rc<Cell<Option<u64>>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.budget.get() == Some(0) {
            return Err(io::Error::other(format!("an entry has more than {LONGEST_ENTRY} bytes")));
        }
        let count = self.source.read(buffer)?;
        self.budget.set(self.budget.get().map(|left| left.saturating_sub(count as u64)));
        Ok(count)
    }
}

struct Reader<'a> {
    name: &'a str,
    session: &'a mut Session,
    budget: &'a Cell<Option<u64>>,
    /// How many entries were read; `None` before their list has begun.
    entries: Option<u64>,
    /// Why reading was given up, if that was not for what was read.
    stop: Option<Stop>,
}

impl<'de> DeserializeSeed<'de> for &mut Reader<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(Member { name: "log", then: Log(self) })
    }
}

/// Reads one member of an object and passes over the others.
struct Member<T> {
    name: &'static str,
    then: T,
}

/// What may be read several times: an object may have a member twice.
trait Again {
    fn read<'de, A: MapAccess<'de>>(&mut self, members: &mut A) -> Result<(), A::Error>;
}

impl<'de, T: Again> Visitor<'de> for Member<T> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with `{}`", self.name)
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            if name == self.name {
                self.then.read(&mut members)?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Log<'r, 'a>(&'r mut Reader<'a>);

impl Again for Log<'_, '_> {
    fn read<'de, A: MapAccess<'de>>(&mut self, members: &mut A) -> Result<(), A::Error> {
        members.next_value_seed(self)
    }
}

impl<'de> DeserializeSeed<'de> for &mut Log<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(Member { name: "entries", then: Entries(self.0) })
    }
}

struct Entries<'r, 'a>(&'r mut Reader<'a>);

impl Again for Entries<'_, '_> {
    fn read<'de, A: MapAccess<'de>>(&mut self, members: &mut A) -> Result<(), A::Error> {
        members.next_value_seed(self)
    }
}

impl<'de> DeserializeSeed<'de> for &mut Entries<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Entries<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let reader = &mut *self.0;
        loop {
            let number = *reader.entries.get_or_insert(0);
            reader.budget.set(Some(LONGEST_ENTRY));
            let item = items.next_element::<Box<RawValue>>()?;
            reader.budget.set(None);
            let Some(item) = item else { return Ok(()) };
            let at = At { file: reader.name, within: Within::Entry(number) };
            if let Err(stop) = entry(at, item.get(), reader.session) {
                reader.stop = Some(stop);
                return Err(A::Error::custom("given up"));
            }
            reader.entries = Some(number + 1);
        }
    }
}

/// Checks both sides of an entry.
fn entry(at: At<'_>, text: &str, session: &mut Session) -> Result<(), Stop> {
    let entry: Entry<'_> = match serde_json::from_str(text) {
        Ok(entry) => entry,
        Err(error) => {
            // Lines are counted from where the entry begins, which helps nobody.
            let error = error.to_string();
            let error = error.rsplit_once(" at line ").map_or(error.as_str(), |(error, _)| error);
            let message = format!("is no entry of a HAR: {}", redact(error));
            return Ok(session.captured_badly(at, "capture.form", message)?);
        }
    };
    let sent = &entry.request;
    let request_headers = header_map(sent.headers.as_deref());
    let (method, url) = (&*sent.method.0, &*sent.url.0);
    let Ok(route) = session.recognise(at, method, url, request_headers.as_ref()) else { return Ok(()) };
    // A size that is not known is -1.
    let has_none = sent.post_data.is_none() && sent.body_size == Some(0.0);
    match body(sent.post_data.as_ref(), has_none) {
        Ok(body) => {
            let time = entry.started_date_time.and_then(|time| Timestamp::from_text(time.0).parse());
            let request = Request {
                route: Some(&route),
                headers: request_headers.as_ref(),
                body: body.as_deref(),
                credentials: true,
            };
            session.request(at, route.operation, &request, time)?;
        }
        Err(why) => session.captured_badly(at, "capture.base64", format!("has a request {why}"))?,
    }

    // Browsers write 0 for an answer that never came.
    let Some(answered) = entry.response.filter(|answered| answered.status != 0.0) else { return Ok(()) };
    let Some(status) = status(answered.status) else {
        let message = format!("has the status {}, which HTTP does not have", answered.status);
        return Ok(session.captured_badly(at, "capture.form", message)?);
    };
    // Browsers give a body that they did not keep the size 0 as well.
    let has_none = answered.content.as_ref().is_some_and(|content| content.size == Some(0.0))
        && answered.body_size.is_none_or(|size| size == 0.0);
    let body = match body(answered.content.as_ref(), has_none) {
        Ok(body) => body,
        Err(why) => {
            let message = format!("has an answer {why}");
            return Ok(session.captured_badly(at, "capture.base64", message)?);
        }
    };
    let mut headers = header_map(answered.headers.as_deref());
    if let Some(headers) = &mut headers {
        // What the file holds of an answer has been unpacked.
        headers.remove(http::header::CONTENT_ENCODING);
    }
    let response = Response { status: Some(status), headers: headers.as_ref(), body: body.as_deref() };
    Ok(session.response(at, route.operation, &response)?)
}

/// The headers; `None` where the list is empty, since none is sent without any: they were taken out.
fn header_map(pairs: Option<&[Pair<'_>]>) -> Option<HeaderMap> {
    let pairs = pairs.filter(|pairs| !pairs.is_empty())?;
    let known =
        pairs.iter().filter_map(|Pair { name, value }| Some((&*name.0, value.as_ref()?.0.as_bytes())));
    Some(headers(known))
}

/// The bytes of a body; `None` if the file does not have them.
fn body<'a>(
    content: Option<&'a Content<'a>>,
    has_none: bool,
) -> Result<Option<std::borrow::Cow<'a, [u8]>>, String> {
    let Some(content) = content else { return Ok(has_none.then(|| (&[][..]).into())) };
    let Some(text) = &content.text else { return Ok(has_none.then(|| (&[][..]).into())) };
    match content.encoding.as_ref().map(|encoding| &*encoding.0) {
        None | Some("") => Ok(Some(text.0.as_bytes().into())),
        Some("base64") => match STANDARD.decode(text.0.as_bytes()) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) => Err(format!("whose body is no base64: {error}")),
        },
        Some(_) => Err("whose body has an encoding that is not base64".to_owned()),
    }
}
