//! Rows and reports as they lie in memory: a few dozen bytes each, since there may be a million of them.
//!
//! This form never leaves the process, so that it may change with every version. What is read is what was written here;
//! should that ever not be so, what is missing reads as nothing.

mod same;

use std::cell::RefCell;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Number, Value};

use crate::domain::{Agent, Kind, No, Observation, Standing, Vendor};
use crate::lease::Report;

/// Names that reports are full of: each is a byte.
const NAMES: &[&str] = &[
    "uptime_seconds",
    "cpu_percent",
    "memory_percent",
    "memory_mb",
    "total_memory_mb",
    "disk_free_mb",
    "process_cpu_percent",
    "process_memory_mb",
    "queue_depth",
    "disk_total_bytes",
    "disk_free_bytes",
    "ram_gb",
    "ip_address",
    "reconnect_reason",
    "current_task",
    "last_task_completed",
];

const STANDINGS: [Standing; 4] =
    [Standing::Active, Standing::Disabled, Standing::Decommissioned, Standing::Uninstalled];

struct Writer<'a>(&'a mut Vec<u8>);

/// Writes what takes no more room than it needs: what is kept for long is not to lie among holes.
fn pack(write: impl FnOnce(&mut Writer<'_>)) -> Box<[u8]> {
    thread_local! {
        static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    ROOM.with_borrow_mut(|room| {
        room.clear();
        write(&mut Writer(room));
        let packed = Box::from(room.as_slice());
        // One that was large is not held for those that are small.
        room.shrink_to(4096);
        packed
    })
}

impl Writer<'_> {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Seven bits a byte, the lowest first.
    fn count(&mut self, mut number: u64) {
        while number >= 0x80 {
            #[expect(clippy::cast_possible_truncation, reason = "the lowest seven bits are meant")]
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is below 0x80")]
        self.byte(number as u8);
    }

    /// Small numbers of either sign are short.
    fn number(&mut self, number: i64) {
        self.count((number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.count(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    /// A time, as the milliseconds since another and what it has beyond them.
    fn time(&mut self, time: DateTime<Utc>, since: i64) {
        let millis = time.timestamp_millis();
        self.number(millis.wrapping_sub(since));
        self.count(u64::from(time.timestamp_subsec_nanos() % 1_000_000));
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.byte(0),
            Value::Bool(false) => self.byte(1),
            Value::Bool(true) => self.byte(2),
            Value::String(text) => {
                self.byte(3);
                self.text(text);
            }
            Value::Number(number) => self.figure(number),
            Value::Array(values) => {
                self.byte(8);
                self.count(values.len() as u64);
                values.iter().for_each(|value| self.value(value));
            }
            Value::Object(members) => {
                self.byte(9);
                self.members(members);
            }
        }
    }

    fn figure(&mut self, number: &Number) {
        let float = number.as_f64().filter(|float| Number::from_f64(*float).as_ref() == Some(number));
        if let Some(whole) = number.as_u64() {
            self.byte(4);
            self.count(whole);
        } else if let Some(whole) = number.as_i64() {
            self.byte(5);
            self.number(whole);
        } else if let Some(float) = float {
            self.byte(6);
            self.bytes(&float.to_le_bytes());
        } else {
            self.byte(7);
            self.text(&number.to_string());
        }
    }

    fn members(&mut self, members: &Map<String, Value>) {
        self.count(members.len() as u64);
        for (name, value) in members {
            self.text(name);
            self.value(value);
        }
    }

    fn agent(&mut self, agent: &Agent) {
        let flags = [
            (DISABLED, agent.disabled),
            (ACTIVATED, agent.activated),
            (ROTATING, agent.rotating),
            (HAS_PARENT, agent.parent.is_some()),
            (HAS_NAME, agent.name != agent.id),
            (HAS_VERSION, agent.version.is_some()),
            (HAS_DESIRED, agent.desired_model.is_some()),
            (HAS_CURRENT, agent.current_model.is_some()),
            (HAS_DESIRED_AT, agent.desired_at.is_some()),
        ];
        let flags: u16 = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).sum();
        self.bytes(&[0; Head::LENGTH]);
        if let Some(parent) = agent.parent {
            self.bytes(&parent.to_le_bytes());
        }
        self.text(&agent.id);
        let behind_id = self.0.len();
        if agent.name != agent.id {
            self.text(&agent.name);
        }
        for text in [&agent.version, &agent.desired_model, &agent.current_model].into_iter().flatten() {
            self.text(text);
        }
        self.time(agent.created_at, 0);
        let since = agent.created_at.timestamp_millis();
        self.time(agent.updated_at, since);
        if let Some(at) = agent.desired_at {
            self.time(at, since);
        }
        let head = Head {
            flags,
            departed: agent.departed.map_or(0, |standing| place_of(&STANDINGS, &standing) + 1),
            turns: agent.turns,
            rotation: agent.rotation,
            labels: u32::try_from(self.0.len() - behind_id).unwrap_or(u32::MAX),
        };
        if let Some(place) = self.0.first_chunk_mut() {
            *place = head.bytes();
        }
        self.count(agent.labels.len() as u64);
        for (name, label) in &agent.labels {
            self.text(name);
            self.text(label);
        }
        self.members(&agent.facts);
    }

    /// A name and a bit.
    fn name(&mut self, name: &str, bit: bool) {
        let known = NAMES.iter().position(|known| *known == name);
        let place = known.map_or(0, |place| place as u64 + 1);
        self.count(place << 1 | u64::from(bit));
        if known.is_none() {
            self.text(name);
        }
    }
}

fn text(unread: &[u8]) -> &str {
    std::str::from_utf8(unread).unwrap_or_default()
}

#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at_checked(count).unwrap_or((self.0, &[]));
        self.0 = rest;
        bytes
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    fn count(&mut self) -> u64 {
        // Most are that short.
        if let [number @ ..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return u64::from(*number);
        }
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    /// How many follow; not more than there are bytes.
    fn length(&mut self) -> usize {
        usize::try_from(self.count()).unwrap_or(usize::MAX).min(self.0.len())
    }

    fn number(&mut self) -> i64 {
        let number = self.count();
        (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
    }

    fn text(&mut self) -> &'a str {
        text(self.unread())
    }

    /// A text that may not be wanted.
    fn unread(&mut self) -> &'a [u8] {
        let length = self.length();
        self.bytes(length)
    }

    /// A time, as the milliseconds since another and what it has beyond them.
    fn time(&mut self, since: i64) -> DateTime<Utc> {
        let millis = DateTime::from_timestamp_millis(self.number().wrapping_add(since)).unwrap_or_default();
        let beyond = TimeDelta::nanoseconds(i64::try_from(self.count()).unwrap_or_default());
        millis.checked_add_signed(beyond).unwrap_or(millis)
    }

    /// A number that takes as much room whatever it is.
    fn whole(&mut self) -> i64 {
        self.bytes(8).try_into().map(i64::from_le_bytes).unwrap_or_default()
    }

    fn float(&mut self) -> f64 {
        self.bytes(8).try_into().map(f64::from_le_bytes).unwrap_or_default()
    }

    fn value(&mut self) -> Value {
        match self.byte() {
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::String(self.text().to_owned()),
            4 => Value::from(self.count()),
            5 => Value::from(self.number()),
            6 => Value::from(self.float()),
            7 => serde_json::from_str(self.text()).unwrap_or_default(),
            8 => (0..self.length()).map(|_| self.value()).collect(),
            9 => Value::Object(self.members()),
            _ => Value::Null,
        }
    }

    fn members(&mut self) -> Map<String, Value> {
        (0..self.length()).map(|_| (self.text().to_owned(), self.value())).collect()
    }

    /// Passes over a value.
    fn pass_over(&mut self) {
        match self.byte() {
            3 | 7 => {
                self.unread();
            }
            4 | 5 => {
                self.count();
            }
            6 => {
                self.float();
            }
            8 => (0..self.length()).for_each(|_| self.pass_over()),
            9 => (0..self.length()).for_each(|_| {
                self.unread();
                self.pass_over();
            }),
            _ => {}
        }
    }

    fn figure(&mut self) -> (&'a str, f64) {
        let (name, is_whole) = self.name();
        #[expect(clippy::cast_precision_loss, reason = "it came from such a figure")]
        let figure = if is_whole { self.number() as f64 } else { self.float() };
        (name, figure)
    }

    fn name(&mut self) -> (&'a str, bool) {
        let code = self.count();
        let known = usize::try_from(code >> 1).ok().and_then(|place| NAMES.get(place.checked_sub(1)?));
        (known.copied().unwrap_or_else(|| self.text()), code & 1 == 1)
    }
}

/// The times of a row.
struct Times {
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    desired_at: Option<DateTime<Utc>>,
}

/// Who an agent is: what of it never changes, and is known without a look at its row.
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) no: No,
    pub(crate) tenant: No,
    pub(crate) vendor: Vendor,
    pub(crate) kind: Kind,
}

impl Identity {
    pub(crate) const fn of(agent: &Agent) -> Self {
        Self { no: agent.no, tenant: agent.tenant, vendor: agent.vendor, kind: agent.kind }
    }
}

/// An agent's row, without its identity.
///
/// What nearly every request asks for lies at its beginning, where it always is: the head, the parent if there is one,
/// and the id. Texts and times behind it are found by passing over what comes before them, by whoever needs them; the
/// head says where labels and facts begin.
#[derive(Default)]
pub(crate) struct PackedAgent(Box<[u8]>);

const DISABLED: u16 = 1;
const ACTIVATED: u16 = 1 << 1;
const ROTATING: u16 = 1 << 2;
const HAS_PARENT: u16 = 1 << 3;
/// It has a name that is not its id.
const HAS_NAME: u16 = 1 << 4;
const HAS_VERSION: u16 = 1 << 5;
const HAS_DESIRED: u16 = 1 << 6;
const HAS_CURRENT: u16 = 1 << 7;
const HAS_DESIRED_AT: u16 = 1 << 8;

/// What may follow the id, in this order.
const TEXTS: [u16; 4] = [HAS_NAME, HAS_VERSION, HAS_DESIRED, HAS_CURRENT];

/// The beginning of a row.
struct Head {
    flags: u16,
    /// The place of its standing among [`STANDINGS`], counted from 1; 0 if it has not departed.
    departed: u8,
    turns: u32,
    rotation: u32,
    /// Where the labels begin, with the facts after them, counted from the end of the id.
    labels: u32,
}

impl Head {
    const LENGTH: usize = 15;

    fn bytes(&self) -> [u8; Self::LENGTH] {
        let [f0, f1] = self.flags.to_le_bytes();
        let [t0, t1, t2, t3] = self.turns.to_le_bytes();
        let [r0, r1, r2, r3] = self.rotation.to_le_bytes();
        let [l0, l1, l2, l3] = self.labels.to_le_bytes();
        [f0, f1, self.departed, t0, t1, t2, t3, r0, r1, r2, r3, l0, l1, l2, l3]
    }

    fn read(bytes: &[u8; Self::LENGTH]) -> Self {
        let [f0, f1, departed, t0, t1, t2, t3, r0, r1, r2, r3, l0, l1, l2, l3] = *bytes;
        Self {
            flags: u16::from_le_bytes([f0, f1]),
            departed,
            turns: u32::from_le_bytes([t0, t1, t2, t3]),
            rotation: u32::from_le_bytes([r0, r1, r2, r3]),
            labels: u32::from_le_bytes([l0, l1, l2, l3]),
        }
    }
}

/// A row that is looked at and not copied.
#[derive(Clone, Copy)]
pub(crate) struct AgentLook<'a> {
    pub(crate) no: No,
    pub(crate) tenant: No,
    pub(crate) vendor: Vendor,
    pub(crate) kind: Kind,
    pub(crate) disabled: bool,
    pub(crate) activated: bool,
    pub(crate) rotating: bool,
    pub(crate) rotation: u32,
    pub(crate) departed: Option<Standing>,
    pub(crate) turns: u32,
    pub(crate) parent: Option<No>,
    id: &'a [u8],
    flags: u16,
    /// What follows the id: texts and times.
    behind_id: Reader<'a>,
    /// Labels, and facts after them.
    labels: Reader<'a>,
}

impl PackedAgent {
    pub(crate) fn of(agent: &Agent) -> Self {
        Self(pack(|writer| writer.agent(agent)))
    }

    /// The row of this agent.
    pub(crate) fn look(&self, identity: Identity) -> AgentLook<'_> {
        let (head, rest) = self.0.split_first_chunk().unwrap_or((&[0; Head::LENGTH], &[]));
        let (Head { flags, departed, turns, rotation, labels }, mut rest) = (Head::read(head), Reader(rest));
        let has = |flag| flags & flag != 0;
        let parent = has(HAS_PARENT).then(|| rest.whole());
        let id = rest.unread();
        let mut behind = rest;
        behind.bytes(labels as usize);
        let Identity { no, tenant, vendor, kind } = identity;
        AgentLook {
            no,
            tenant,
            vendor,
            kind,
            disabled: has(DISABLED),
            activated: has(ACTIVATED),
            rotating: has(ROTATING),
            rotation,
            departed: departed.checked_sub(1).and_then(|place| STANDINGS.get(usize::from(place)).copied()),
            turns,
            parent,
            id,
            flags,
            behind_id: rest,
            labels: behind,
        }
    }
}

/// The place of one among a few.
pub(crate) fn place_of<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().zip(0..).find_map(|(other, place)| (other == one).then_some(place)).unwrap_or_default()
}

impl<'a> AgentLook<'a> {
    pub(crate) fn id(&self) -> &'a str {
        text(self.id)
    }

    pub(crate) fn name(&self) -> &'a str {
        text(self.name_unread())
    }

    fn name_unread(&self) -> &'a [u8] {
        self.text_behind_id(HAS_NAME).unwrap_or(self.id)
    }

    pub(crate) fn created_at(&self) -> DateTime<Utc> {
        self.times().created_at
    }

    pub(crate) fn updated_at(&self) -> DateTime<Utc> {
        self.times().updated_at
    }

    pub(crate) fn version(&self) -> Option<&'a str> {
        self.text_behind_id(HAS_VERSION).map(text)
    }

    pub(crate) fn desired_model(&self) -> Option<&'a str> {
        self.text_behind_id(HAS_DESIRED).map(text)
    }

    pub(crate) fn current_model(&self) -> Option<&'a str> {
        self.text_behind_id(HAS_CURRENT).map(text)
    }

    /// The text of this flag, if there is one.
    fn text_behind_id(&self, flag: u16) -> Option<&'a [u8]> {
        if self.flags & flag == 0 {
            return None;
        }
        let mut behind_id = self.behind_id;
        TEXTS.into_iter().filter(|text| self.flags & text != 0).find_map(|text| {
            let unread = behind_id.unread();
            (text == flag).then_some(unread)
        })
    }

    fn times(&self) -> Times {
        let mut behind_texts = self.behind_id;
        for _ in TEXTS.into_iter().filter(|text| self.flags & text != 0) {
            behind_texts.unread();
        }
        let created_at = behind_texts.time(0);
        let since = created_at.timestamp_millis();
        let updated_at = behind_texts.time(since);
        let desired_at = (self.flags & HAS_DESIRED_AT != 0).then(|| behind_texts.time(since));
        Times { created_at, updated_at, desired_at }
    }

    /// The whole row.
    pub(crate) fn agent(&self) -> Agent {
        let Times { created_at, updated_at, desired_at } = self.times();
        let mut rest = self.labels;
        let labels = (0..rest.length()).map(|_| (rest.text().to_owned(), rest.text().to_owned())).collect();
        Agent {
            no: self.no,
            tenant: self.tenant,
            vendor: self.vendor,
            kind: self.kind,
            id: self.id().to_owned(),
            parent: self.parent,
            name: self.name().to_owned(),
            version: self.version().map(str::to_owned),
            facts: rest.members(),
            labels,
            disabled: self.disabled,
            departed: self.departed,
            turns: self.turns,
            activated: self.activated,
            desired_model: self.desired_model().map(str::to_owned),
            desired_at,
            current_model: self.current_model().map(str::to_owned),
            rotation: self.rotation,
            rotating: self.rotating,
            created_at,
            updated_at,
        }
    }

    /// What it is marked with.
    pub(crate) fn labels(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut rest = self.labels;
        (0..rest.length()).map(move |_| (rest.text(), rest.text()))
    }

    /// Where the facts begin, with how many there are.
    fn facts(&self) -> Reader<'a> {
        let mut rest = self.labels;
        for _ in 0..rest.length() {
            rest.unread();
            rest.unread();
        }
        rest
    }

    /// Finds a fact; those before it are passed over.
    fn reader_of(&self, fact: &str) -> Option<Reader<'_>> {
        let mut rest = self.facts();
        for _ in 0..rest.length() {
            if rest.unread() == fact.as_bytes() {
                return Some(rest);
            }
            rest.pass_over();
        }
        None
    }

    /// A fact that is a text.
    pub(crate) fn text(&self, fact: &str) -> Option<&str> {
        let mut reader = self.reader_of(fact)?;
        (reader.byte() == 3).then(|| reader.text())
    }

    /// Whether an observation says anything that the row does not say already, as [`Observation::changes`] has it.
    pub(crate) fn is_changed_by(&self, seen: &Observation) -> bool {
        let is_other = |fact: &str, value: &Value| match value {
            Value::String(text) => self
                .reader_of(fact)
                .is_none_or(|mut reader| reader.byte() != 3 || reader.unread() != text.as_bytes()),
            value => self.reader_of(fact).map(|mut reader| reader.value()).as_ref() != Some(value),
        };
        seen.name.as_ref().is_some_and(|name| name.as_bytes() != self.name_unread())
            || seen
                .version
                .as_ref()
                .is_some_and(|version| Some(version.as_bytes()) != self.text_behind_id(HAS_VERSION))
            || seen.parent.is_some_and(|parent| Some(parent) != self.parent)
            || seen.facts.iter().any(|(fact, value)| is_other(fact, value))
    }
}

/// What an agent last said of itself, packed.
///
/// ```
/// use fleetwire_server_core::lease::{PackedReport, Report};
///
/// let said = Report { status: Some("idle".to_owned()), ..Report::default() };
/// assert_eq!(PackedReport::from(&said).report(), said);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PackedReport(Box<[u8]>);

impl PackedReport {
    /// Packs figures and texts, each in the order of their names and no name twice.
    #[must_use]
    pub fn new<'a>(
        status: Option<&str>,
        metrics: impl ExactSizeIterator<Item = (&'a str, f64)>,
        notes: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        Self(pack(|writer| {
            writer.count(status.map_or(0, |status| status.len() as u64 + 1));
            writer.bytes(status.unwrap_or_default().as_bytes());
            writer.count(metrics.len() as u64);
            for (name, figure) in metrics {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "what does not come back the same is not taken"
                )]
                let whole = figure as i64;
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "what does not come back the same is not taken"
                )]
                let is_whole = (whole as f64).to_bits() == figure.to_bits();
                writer.name(name, is_whole);
                if is_whole {
                    writer.number(whole);
                } else {
                    writer.bytes(&figure.to_le_bytes());
                }
            }
            writer.count(notes.len() as u64);
            for (name, note) in notes {
                writer.name(name, false);
                writer.text(note);
            }
        }))
    }

    fn read(&self) -> (Option<&str>, Reader<'_>) {
        let mut reader = Reader(&self.0);
        let length = reader.count().checked_sub(1).and_then(|length| usize::try_from(length).ok());
        let status = length.map(|length| std::str::from_utf8(reader.bytes(length)).unwrap_or_default());
        (status, reader)
    }

    /// What it is doing or how it is, in its own word.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        self.read().0
    }

    /// Figures by name, in the order of the names.
    pub fn metrics(&self) -> impl Iterator<Item = (&str, f64)> {
        let mut reader = self.read().1;
        (0..reader.length()).map(move |_| reader.figure())
    }

    /// Texts by name, in the order of the names.
    pub fn notes(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut reader = self.read().1;
        for _ in 0..reader.length() {
            reader.figure();
        }
        (0..reader.length()).map(move |_| (reader.name().0, reader.text()))
    }

    /// All of it.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            status: self.status().map(str::to_owned),
            metrics: self.metrics().map(|(name, figure)| (name.to_owned(), figure)).collect(),
            notes: self.notes().map(|(name, note)| (name.to_owned(), note.to_owned())).collect(),
        }
    }
}

impl From<Report> for PackedReport {
    fn from(report: Report) -> Self {
        Self::from(&report)
    }
}

impl From<&Report> for PackedReport {
    fn from(report: &Report) -> Self {
        let metrics = report.metrics.iter().map(|(name, figure)| (name.as_str(), *figure));
        let notes = report.notes.iter().map(|(name, note)| (name.as_str(), note.as_str()));
        Self::new(report.status.as_deref(), metrics, notes)
    }
}

impl fmt::Debug for PackedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    const ANYBODY: Identity = Identity { no: 1, tenant: 1, vendor: Vendor::Acusight, kind: Kind::Agent };

    fn times() -> impl Strategy<Value = DateTime<Utc>> {
        (-62_000_000_000_i64..200_000_000_000, 0_u32..1_000_000_000)
            .prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap())
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,9}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                vec((".{0,4}", inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    prop_compose! {
        fn agents()(
            no in any::<i64>(),
            tenant in any::<i64>(),
            (vendor, kind) in (0_usize..4, any::<bool>()),
            (id, name, same_name) in (".{0,40}", ".{0,200}", any::<bool>()),
            (parent, version) in (any::<Option<i64>>(), proptest::option::of(".{0,9}")),
            facts in vec((".{0,9}", values()), 0..5),
            labels in btree_map(".{0,9}", ".{0,9}", 0..4),
            (disabled, activated, rotating) in any::<(bool, bool, bool)>(),
            departed in proptest::option::of(0_usize..4),
            (turns, rotation) in any::<(u32, u32)>(),
            (desired_model, current_model) in
                (proptest::option::of(".{0,9}"), proptest::option::of(".{0,9}")),
            (created_at, updated_at, desired_at) in (times(), times(), proptest::option::of(times())),
        ) -> Agent {
            let name = if same_name { id.clone() } else { name };
            Agent {
                no, tenant, vendor: Vendor::ALL[vendor], kind: if kind { Kind::Host } else { Kind::Agent },
                id, parent, name, version, facts: facts.into_iter().collect(), labels, disabled,
                departed: departed.map(|place| STANDINGS[place]), turns, activated, desired_model, desired_at,
                current_model, rotation, rotating, created_at, updated_at,
            }
        }
    }

    proptest! {
        #[test]
        fn a_row_is_read_as_it_was_written(agent in agents()) {
            let packed = PackedAgent::of(&agent);
            let look = packed.look(Identity::of(&agent));
            prop_assert_eq!(&look.agent(), &agent);
            for (fact, value) in &agent.facts {
                prop_assert_eq!(look.text(fact), value.as_str());
            }
        }

        #[test]
        fn what_changes_a_row_changes_it_packed(agent in agents(), other in agents(), same in any::<[bool; 4]>()) {
            let packed = PackedAgent::of(&agent);
            let from = |is_same: bool| if is_same { &agent } else { &other };
            let mut seen = Observation {
                name: Some(from(same[0]).name.clone()),
                version: from(same[1]).version.clone(),
                facts: from(same[2]).facts.clone(),
                parent: from(same[3]).parent,
            };
            prop_assert_eq!(packed.look(Identity::of(&agent)).is_changed_by(&seen), seen.changes(&agent));
            seen.name = None;
            prop_assert_eq!(packed.look(Identity::of(&agent)).is_changed_by(&seen), seen.changes(&agent));
        }

        #[test]
        fn a_row_has_facts_just_where_they_would_change_nothing(
            agent in agents(),
            other in agents(),
            same in any::<proptest::sample::Index>(),
        ) {
            let packed = PackedAgent::of(&agent);
            let look = packed.look(Identity::of(&agent));
            // Some of its own, and perhaps others.
            let own = agent.facts.iter().take(same.index(agent.facts.len() + 1));
            let mut said: Map<_, _> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
            prop_assert!(look.has_facts(&said, &[]));
            said.extend(other.facts);
            let is_said = said.iter().all(|(name, value)| agent.facts.get(name) == Some(value));
            prop_assert_eq!(look.has_facts(&said, &[]), is_said);
            // Within a fact each member counts.
            let of = |facts: &Map<String, Value>| Map::from_iter([("in".to_owned(), Value::Object(facts.clone()))]);
            let within = PackedAgent::of(&Agent { facts: of(&agent.facts), ..agent.clone() });
            prop_assert_eq!(within.look(Identity::of(&agent)).has_facts(&of(&said), &[]), said == agent.facts);
        }

        #[test]
        fn a_report_is_read_as_it_was_written(
            status in proptest::option::of(".{0,20}"),
            mut metrics in btree_map(".{0,9}", any::<f64>(), 0..5),
            notes in btree_map(".{0,9}", ".{0,99}", 0..4),
            whole in any::<i64>(),
        ) {
            metrics.insert("cpu_percent".to_owned(), whole as f64);
            metrics.retain(|_, figure| !figure.is_nan());
            let report = Report { status, metrics, notes };
            let packed = PackedReport::from(&report);
            prop_assert_eq!(&packed.report(), &report);
            prop_assert_eq!(packed.status(), report.status.as_deref());
        }

        #[test]
        fn bytes_that_nobody_wrote_are_read_to_their_end(bytes in vec(any::<u8>(), 0..200)) {
            let bytes: Box<[u8]> = bytes.into();
            drop(PackedReport(bytes.clone()).report());
            let packed = PackedAgent(bytes);
            let look = packed.look(ANYBODY);
            drop((look.agent(), look.text("os").map(str::to_owned)));
        }
    }

    #[derive(serde::Serialize)]
    struct Said {
        os: &'static str,
        disk: Option<u8>,
        cpu: Cpu,
        arch: char,
        up: i32,
    }

    #[derive(serde::Serialize)]
    struct Cpu {
        model: &'static str,
        cores: u8,
    }

    #[test]
    fn facts_are_found_in_whichever_order_they_are_said() {
        let known = |said: &Said, facts: Value, except: &[&str]| {
            let Value::Object(facts) = facts else { panic!("facts are an object") };
            let mut agent = PackedAgent::default().look(ANYBODY).agent();
            agent.facts = facts;
            agent.labels.insert("os".to_owned(), "amiga".to_owned());
            PackedAgent::of(&agent).look(ANYBODY).has_facts(said, except)
        };
        let cpu = Cpu { model: "Xeon", cores: 8 };
        let said = Said { os: "linux", disk: None, cpu, arch: 'x', up: -5 };
        let facts = serde_json::to_value(&said).unwrap();
        assert!(known(&said, facts.clone(), &[]));
        for (fact, other) in [
            ("os", "plan9".into()),
            ("disk", 0.into()),
            ("cpu", serde_json::json!({"model": "Xeon"})),
            ("cpu", serde_json::json!({"model": "Xeon", "cores": 8, "more": 1})),
            ("cpu", serde_json::json!({"model": "Xeon", "cores": 8.0})),
            ("cpu", "Xeon".into()),
            ("arch", "xx".into()),
            ("up", 5.into()),
        ] {
            let mut changed = facts.clone();
            changed[fact] = other;
            assert!(!known(&said, changed.clone(), &["sys"]), "{changed}");
            assert!(known(&said, changed, &["sys", fact]), "{fact}");
            let mut fewer = facts.clone();
            fewer.as_object_mut().unwrap().remove(fact);
            assert!(!known(&said, fewer.clone(), &[]), "{fewer}");
            assert!(known(&said, fewer, &[fact]), "{fact}");
        }
        let mut more = facts;
        more["another"] = 1.into();
        assert!(known(&said, more, &[]));
    }

    #[test]
    fn figures_that_are_no_numbers_and_zeros_of_either_sign_stay_what_they_are() {
        let figures = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e300, 9_007_199_254_740_993.0];
        for figure in figures {
            let packed = PackedReport::new(
                None,
                [("x", figure)].into_iter(),
                std::iter::empty::<(&str, &str)>().take(0),
            );
            let read: Vec<_> = packed.metrics().map(|(_, read)| read.to_bits()).collect();
            assert_eq!(read, [figure.to_bits()]);
        }
    }

    #[test]
    fn usual_rows_and_reports_are_small() {
        let report = Report {
            status: Some("online".to_owned()),
            notes: [("ip_address".to_owned(), "192.168.1.100".to_owned())].into(),
            ..Report::default()
        };
        assert!(PackedReport::from(&report).0.len() <= 24);
    }
}
