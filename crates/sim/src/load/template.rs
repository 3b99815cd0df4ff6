//! Requests that are made once and patched for each time that they are sent.

use chrono::{DateTime, Utc};
use fleetwire_protocol::codec::{self, EncodeError};
use fleetwire_protocol::wire::Timestamp;
use fleetwire_protocol::{Auth, Call, Endpoint};

use super::engine::Target;

/// What a place in a template is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Id,
    Name,
    Key,
    Model,
    Time,
    Number,
    Uptime,
    Load,
}

/// What stands in a message where something is to be filled in. Texts are such that neither JSON nor a path escapes
/// them; numbers are such that no message holds them by itself.
pub(super) mod mark {
    pub(in crate::load) const ID: &str = "mark-of-simulated-id";
    pub(in crate::load) const NAME: &str = "mark-of-simulated-name";
    pub(in crate::load) const KEY: &str = "mark-of-simulated-key";
    pub(in crate::load) const MODEL: &str = "mark-of-simulated-model";
    pub(in crate::load) const NUMBER: i64 = 7_070_424_242_001;
    pub(in crate::load) const UPTIME: u32 = 4_242_424_203;
    pub(in crate::load) const LOAD: u32 = 4_242_424_207;
    /// A moment that is long over.
    pub(in crate::load) const TIME: i64 = 1_000_000_007;
}

/// What fills a template.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filling<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) key: &'a str,
    pub(super) model: &'a str,
    /// The time of now, RFC 3339 in UTC.
    pub(super) time: &'a str,
    pub(super) number: u64,
    /// Seconds.
    pub(super) uptime: u64,
    /// Percent.
    pub(super) load: u64,
}

#[derive(Debug)]
enum Piece {
    Text(Box<[u8]>),
    Slot(Slot),
    /// The length of the body, which is known once it is known what fills it.
    Length,
}

/// A request with slots.
#[derive(Debug)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    /// Bytes of the body that never vary.
    fixed: usize,
    /// Slots of the body.
    body: Vec<Slot>,
}

/// A call as a request with slots; its time is that of the mark.
pub(super) fn marked<E: Endpoint>(
    base: &Base,
    credentials: &<E::Auth as Auth>::Credentials,
    call: &Call<E>,
) -> Result<Template, EncodeError> {
    let at = DateTime::from_timestamp(mark::TIME, 0).unwrap_or_default();
    written(base, credentials, at, call).map(|request| Template::new(&request))
}

/// A call as the bytes of a request, to be sent at `now`.
pub(super) fn written<E: Endpoint>(
    base: &Base,
    credentials: &<E::Auth as Auth>::Credentials,
    now: DateTime<Utc>,
    call: &Call<E>,
) -> Result<Vec<u8>, EncodeError> {
    // The target has its prefix.
    let request = codec::encode("", credentials, now, call)?;
    let mut bytes = Vec::new();
    base.target.write(&request, base.keep_alive, &mut bytes);
    Ok(bytes)
}

/// Where requests of one vendor go, and how.
#[derive(Debug, Clone)]
pub(super) struct Base {
    pub(super) target: Target,
    /// Whether a connection is kept for the next request.
    pub(super) keep_alive: bool,
}

/// The time of the mark as messages have it.
pub(super) fn marked_time() -> Timestamp {
    Timestamp::seconds(DateTime::from_timestamp(mark::TIME, 0).unwrap_or_default())
}

impl Template {
    fn new(request: &[u8]) -> Self {
        const LENGTH: &[u8] = b"content-length: ";
        let end = memchr::memmem::find(request, b"\r\n\r\n").map_or(request.len(), |end| end + 4);
        let (head, content) = request.split_at(end);
        let mut pieces = Vec::new();
        let (mut fixed, mut body) = (0, Vec::new());
        match memchr::memmem::find(head, LENGTH).map(|at| head.split_at(at + LENGTH.len())) {
            Some((before, after)) => {
                split(before, &mut pieces);
                pieces.push(Piece::Length);
                let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
                split(&after[digits..], &mut pieces);
            }
            None => split(head, &mut pieces),
        }
        let begin = pieces.len();
        split(content, &mut pieces);
        for piece in &pieces[begin..] {
            match piece {
                Piece::Text(text) => fixed += text.len(),
                Piece::Slot(slot) => body.push(*slot),
                Piece::Length => {}
            }
        }
        Self { pieces, fixed, body }
    }

    /// Appends the request, filled.
    pub(super) fn write(&self, filling: &Filling<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Slot(slot) => match filling.of(*slot) {
                    Value::Text(text) => out.extend_from_slice(text.as_bytes()),
                    Value::Number(number) => decimal(number, out),
                },
                Piece::Length => {
                    let filled: usize = self.body.iter().map(|slot| filling.of(*slot).len()).sum();
                    decimal((self.fixed + filled) as u64, out);
                }
            }
        }
    }
}

enum Value<'a> {
    Text(&'a str),
    Number(u64),
}

impl Value<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(number) => number.checked_ilog10().map_or(1, |log| log as usize + 1),
        }
    }
}

impl<'a> Filling<'a> {
    const fn of(&self, slot: Slot) -> Value<'a> {
        match slot {
            Slot::Id => Value::Text(self.id),
            Slot::Name => Value::Text(self.name),
            Slot::Key => Value::Text(self.key),
            Slot::Model => Value::Text(self.model),
            Slot::Time => Value::Text(self.time),
            Slot::Number => Value::Number(self.number),
            Slot::Uptime => Value::Number(self.uptime),
            Slot::Load => Value::Number(self.load),
        }
    }
}

/// Appends a number in decimal.
fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || at == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Cuts a text at the marks in it.
fn split(text: &[u8], pieces: &mut Vec<Piece>) {
    let time = marked_time();
    let numbers = [
        (mark::NUMBER.to_string(), Slot::Number),
        (mark::UPTIME.to_string(), Slot::Uptime),
        (mark::LOAD.to_string(), Slot::Load),
    ];
    let marks = [
        (mark::ID, Slot::Id),
        (mark::NAME, Slot::Name),
        (mark::KEY, Slot::Key),
        (mark::MODEL, Slot::Model),
        (time.as_str(), Slot::Time),
    ];
    let marks: Vec<_> =
        marks.into_iter().chain(numbers.iter().map(|(text, slot)| (text.as_str(), *slot))).collect();
    let (mut begin, mut at) = (0, 0);
    while at < text.len() {
        match marks.iter().find(|(mark, _)| text[at..].starts_with(mark.as_bytes())) {
            Some((mark, slot)) => {
                if begin < at {
                    pieces.push(Piece::Text(text[begin..at].into()));
                }
                pieces.push(Piece::Slot(*slot));
                at += mark.len();
                begin = at;
            }
            None => at += 1,
        }
    }
    if begin < at {
        pieces.push(Piece::Text(text[begin..at].into()));
    }
}

#[cfg(test)]
mod tests {
    use fleetwire_protocol::achilles::{
        AgentCredentials, AgentStatus, Arch, Heartbeat, HeartbeatRequest, Os, SystemMetrics,
    };
    use fleetwire_protocol::zstack::{self, AgentPath, BearerToken};

    use super::*;

    fn base(url: &str) -> Base {
        Base { target: Target::find(url).unwrap(), keep_alive: true }
    }

    fn filled(template: &Template, filling: &Filling<'_>) -> String {
        let mut out = Vec::new();
        template.write(filling, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_filled_template_is_what_the_codec_writes_for_the_same_values() {
        let base = base("http://127.0.0.1:1/achilles");
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let call = |name: &str, uptime: u32, load: u32, time: Timestamp| {
            let system = SystemMetrics::new(name, Os::Linux, Arch::Amd64, uptime, load, 4096, 50_000);
            Call::<Heartbeat>::new(HeartbeatRequest::new(time, AgentStatus::Idle, system, "1.0.0"))
        };
        let template = marked(
            &base,
            &AgentCredentials::new(mark::ID, mark::KEY),
            &call(mark::NAME, mark::UPTIME, mark::LOAD, marked_time()),
        )
        .unwrap();
        let time = Timestamp::seconds(now);
        let straight = written(
            &base,
            &AgentCredentials::new("agent-1", "ak_00"),
            now,
            &call("host-1", 1009, 7, time.clone()),
        )
        .unwrap();
        let filling = Filling {
            id: "agent-1",
            key: "ak_00",
            name: "host-1",
            uptime: 1009,
            load: 7,
            time: time.as_str(),
            ..Filling::default()
        };
        assert_eq!(filled(&template, &filling), String::from_utf8(straight).unwrap());
    }

    #[test]
    fn a_slot_in_the_path_is_filled_and_does_not_count_as_body() {
        let base = base("http://127.0.0.1:1");
        let body = zstack::HeartbeatRequest::new("1", mark::UPTIME, 1, 1);
        let call = Call::<zstack::Heartbeat>::with(AgentPath::new(mark::ID), body);
        let template = marked(&base, &BearerToken::from(mark::KEY), &call).unwrap();
        let text =
            filled(&template, &Filling { id: "agent-abc", key: "zsk_1", uptime: 0, ..Filling::default() });
        assert!(text.starts_with("PUT /api/v1/agents/agent-abc/heartbeat HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("\r\nauthorization: Bearer zsk_1\r\n"), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{text}");
        assert!(body.contains(r#""uptime":0"#), "{body}");
    }

    #[test]
    fn decimals_have_the_length_that_is_said_of_them() {
        for number in [0, 9, 10, 99, 100, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            decimal(number, &mut out);
            assert_eq!(String::from_utf8(out.clone()).unwrap(), number.to_string());
            assert_eq!(Value::Number(number).len(), out.len());
        }
    }
}
