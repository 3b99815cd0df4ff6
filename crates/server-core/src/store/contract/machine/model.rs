//! The small pure model: what the core promises, without a store, a cache or a transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::call::{Answer, Ask, Refusal, Signed, Wish, device, hosted, model, version};
use super::stage::moment;
use crate::domain::{Kind, No, Standing, Vendor, WorkEvent, WorkState};
use crate::events::EventKind;
use crate::lease::{Cadence, Downtime, Liveness, liveness};

/// Seconds for which work is worth beginning.
pub(super) const WORTH: i64 = 400;
/// Seconds that an execution may take longer than it was told, and what actions are told.
const GRACE: i64 = 120;
const ACTION: i64 = 300;
/// Seconds for which a lost answer to an enrolment is repeated.
const REPEATED: i64 = 600;
/// Seconds by which a clock may be off.
const SKEW: i64 = 300;
/// Seconds of silence after which work is given up, and after which it is told that an offered key is not used.
const PATIENCE: i64 = 360;
const UNUSED: i64 = 300;
/// Images in a batch, seconds that it is open, images of a device.
pub(super) const BATCH: (u32, i64, usize) = (2, 100, 5);

const NO_WISH: Wish = Wish { key: None, retries: 0, timeout: 0, priority: 0, not_before: None };

const LOST_RACE: Answer = Answer::Refused(Refusal::Conflict);

/// A key, and whether it waits to be used for the first time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    /// `None` while nobody has seen it.
    pub(super) secret: Option<String>,
    pub(super) candidate: bool,
}

/// An agent, a device or a host. Its number is its place, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) tenant: No,
    pub(super) vendor: Vendor,
    pub(super) kind: Kind,
    /// `None` while nobody has seen it.
    pub(super) id: Option<String>,
    pub(super) keys: Vec<Key>,
    pub(super) activated: bool,
    pub(super) rotation: u32,
    pub(super) rotating: bool,
    /// The key that it was offered last, when, and whether it was told that it is not used.
    offer: Option<(u32, i64, bool)>,
    /// What the server has in mind of that.
    offered: Option<(u32, i64)>,
    pub(super) standing: Standing,
    /// Whether an operator has ended its keys, so that somebody must bring it another.
    pub(super) revoked: bool,
    /// When anything was last heard of it since the start, and whether what it was at was given up since.
    heard: Option<i64>,
    given_up: bool,
    pub(super) version: Option<String>,
    pub(super) parent: Option<usize>,
    /// What tells it from the others on its host.
    hosted: Option<String>,
    pub(super) desired: Option<u8>,
    desired_at: i64,
    pub(super) current: Option<u8>,
    /// When it last checked in, as the server knows and as is stored.
    pub(super) seen: Option<i64>,
    pub(super) kept: Option<i64>,
    /// Whether it has checked in since the last flush.
    renewed: bool,
    /// Whether it is online, as the server knows and as the journal says.
    online: bool,
    pub(super) journal_online: bool,
    /// Whether answers of the store have overtaken each other, so that the server knows an older row.
    pub(super) stale: bool,
    /// The image ids and the batches of its storage keys.
    images: BTreeMap<u8, (Option<String>, usize)>,
    batches: Vec<Batch>,
}

#[derive(Debug, Clone, PartialEq)]
struct Batch {
    id: Option<String>,
    images: u32,
    opened: i64,
    closed: bool,
}

/// An enrolment token.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) tenant: No,
    vendor: Vendor,
    pub(super) id: Option<String>,
    pub(super) text: Option<String>,
    expires: i64,
    pub(super) most: u32,
    pub(super) uses: u32,
    pub(super) revoked: bool,
    /// The agent that each newcomer was made last, and when.
    made: BTreeMap<usize, (usize, i64)>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errand {
    /// A test of Achilles.
    Test,
    /// A model that is brought to a device.
    Model(u8),
    /// An action of ZStack, which an operator's program does.
    Action(u8),
}

/// A piece of work. Its number is its place, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Task {
    pub(super) agent: usize,
    pub(super) tenant: No,
    pub(super) id: Option<String>,
    kind: Errand,
    wish: Wish,
    pub(super) state: WorkState,
    pub(super) number: u32,
    pub(super) acknowledged: bool,
    pub(super) deadline: Option<i64>,
    made: i64,
    ended: Option<i64>,
}

impl Task {
    pub(super) fn is_open(&self) -> bool {
        !self.state.is_terminal()
    }

    fn waits(&self, now: i64) -> bool {
        match self.state {
            WorkState::Queued => self.wish.not_before.is_none_or(|time| time <= now),
            WorkState::Delivered => !self.acknowledged,
            _ => false,
        }
    }

    fn unbegun(&self) -> bool {
        self.state == WorkState::Queued || self.state == WorkState::Delivered && !self.acknowledged
    }

    /// What time alone has done to it.
    pub(super) fn look(&mut self, now: i64) {
        let deadline = self.deadline.filter(|deadline| self.is_open() && now > *deadline);
        let expiry = self.wish.not_before.unwrap_or(self.made).max(self.made) + WORTH;
        let stale = self.unbegun() && now > expiry;
        match deadline {
            Some(deadline) if !stale || deadline < expiry => {
                self.fail(now);
                self.look(now);
            }
            _ if stale => self.end(WorkState::Expired, now),
            _ => {}
        }
    }

    /// Hears what its agent says: that it is done, or one of [`WORDS`](super::call::WORDS). Says whether that was so
    /// before; `None` if it cannot be.
    fn hear(&mut self, word: Option<u8>, now: i64) -> Option<bool> {
        use WorkState::{Delivered, Queued, Running};
        let stage = (self.state, self.acknowledged);
        match (word, stage) {
            // A result implies the steps before it.
            (None, (Delivered | Running, _)) | (Some(2), (Running, _)) => self.end(WorkState::Succeeded, now),
            // Said again, it is so already; but it is not at its end.
            (Some(0), (Delivered, _)) => self.acknowledged = true,
            (Some(1), (Delivered | Running, _)) => (self.state, self.acknowledged) = (Running, true),
            (Some(3), (Delivered | Running, _)) => self.fail(now),
            (Some(4), (Queued | Delivered, _)) => self.end(WorkState::Expired, now),
            _ => return None,
        }
        Some(false)
    }

    /// Hears what an operator's program says of it. Says whether that changes anything; `None` if it cannot be.
    fn word(&mut self, event: WorkEvent, now: i64) -> Option<bool> {
        use WorkState::{Delivered, Queued, Running};
        match (event, self.state) {
            (_, state) if state.is_terminal() => return Some(false),
            (WorkEvent::Acknowledge, Queued | Delivered) => {
                let before = self.clone();
                self.hand_over(now);
                self.acknowledged = true;
                return Some(before != *self);
            }
            (WorkEvent::Start, Running) => return Some(false),
            (WorkEvent::Start, Delivered) => (self.state, self.acknowledged) = (Running, true),
            (WorkEvent::Succeed, Delivered | Running) => self.end(WorkState::Succeeded, now),
            (WorkEvent::Fail, Delivered | Running) => self.fail(now),
            _ => return None,
        }
        Some(true)
    }

    fn fail(&mut self, now: i64) {
        if self.number <= self.wish.retries {
            self.state = WorkState::Queued;
            self.number += 1;
            (self.acknowledged, self.deadline) = (false, None);
        } else {
            self.end(WorkState::Failed, now);
        }
    }

    fn end(&mut self, state: WorkState, now: i64) {
        (self.state, self.ended) = (state, Some(now));
    }

    fn hand_over(&mut self, now: i64) {
        if self.state == WorkState::Queued {
            self.state = WorkState::Delivered;
            self.deadline = match self.kind {
                Errand::Model(_) => None,
                Errand::Test => Some(now + i64::from(self.wish.timeout) + GRACE),
                Errand::Action(_) => Some(now + ACTION + GRACE),
            };
        }
    }

    /// The id under which its agent knows this execution.
    pub(super) fn task_id(&self, number: u32) -> Option<String> {
        let id = self.id.as_ref()?;
        Some(if number == 1 { id.clone() } else { format!("{id}.{number}") })
    }
}

/// Something that the journal must tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Told {
    pub(super) kind: EventKind,
    pub(super) tenant: No,
    pub(super) agent: Option<No>,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Nothing,
    Text(String),
    /// A piece of work, which execution, and how it ended.
    Work(usize, u32, Option<&'static str>),
    Rotation(u32),
    Token(usize),
    /// A batch of an agent, and how many images it holds if it is closed.
    Batch(Option<String>, Option<u32>),
}

/// Who a caller was taken for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caller {
    Anyone,
    Member(usize),
    Tenant(No),
}

/// Everything that is known of a server.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Model {
    pub(super) members: Vec<Member>,
    pub(super) tokens: Vec<Token>,
    pub(super) tasks: Vec<Task>,
    tenant_keys: Vec<(No, Vendor, Option<String>)>,
    releases: BTreeMap<No, u8>,
    pub(super) up_until: Option<i64>,
    /// When the server was started.
    started: i64,
    /// From when to when the server was last away.
    away: Option<(i64, i64)>,
    /// Whether two requests are under way.
    pub(super) in_company: bool,
    /// Whether a check-in is taken for one that changes nothing, as it may be while another one is under way.
    pub(super) quietly: bool,
    /// What the journal must tell of this step.
    pub(super) told: Vec<Told>,
    /// Online and offline events that no flush has written.
    untold: Vec<(usize, bool)>,
}

fn within(now: i64, since: i64, span: i64) -> bool {
    now - since <= span
}

fn cadence(vendor: Vendor) -> Cadence {
    Cadence::default_of(vendor)
}

impl Member {
    fn new(tenant: No, vendor: Vendor, kind: Kind, id: Option<String>) -> Self {
        Self {
            tenant,
            vendor,
            kind,
            id,
            keys: Vec::new(),
            activated: false,
            rotation: 0,
            rotating: false,
            offer: None,
            offered: None,
            standing: Standing::Active,
            revoked: false,
            heard: None,
            given_up: false,
            version: None,
            parent: None,
            hosted: None,
            desired: None,
            desired_at: i64::MIN,
            current: None,
            seen: None,
            kept: None,
            renewed: false,
            online: false,
            journal_online: false,
            stale: false,
            images: BTreeMap::new(),
            batches: Vec::new(),
        }
    }

    fn renew(&mut self, now: i64) {
        self.seen = self.seen.max(Some(now));
        self.renewed = true;
    }

    /// Whether it is known by this key.
    pub(super) fn has_key(&self, secret: &str) -> bool {
        self.keys.iter().any(|key| key.secret.as_deref() == Some(secret))
    }
}

/// Whether what was seen is what is known; what is not known yet is taken as seen.
fn is(known: &mut Option<String>, seen: &str) -> bool {
    known.get_or_insert_with(|| seen.to_owned()) == seen
}

fn number(place: usize) -> No {
    No::try_from(place).expect("few") + 1
}

fn place(no: No) -> usize {
    usize::try_from(no - 1).unwrap_or(usize::MAX)
}

impl Model {
    fn tell(&mut self, kind: EventKind, member: usize, what: What) {
        let tenant = self.members[member].tenant;
        self.told.push(Told { kind, tenant, agent: Some(number(member)), what });
    }

    /// Changes a piece of work, and tells of it what a store that is asked once tells.
    pub(super) fn change<T>(&mut self, task: usize, change: impl FnOnce(&mut Task) -> T) -> T {
        let before = (self.tasks[task].state, self.tasks[task].number);
        let changed = change(&mut self.tasks[task]);
        let after = &self.tasks[task];
        if before != (after.state, after.number) {
            self.tell_task(task);
        }
        changed
    }

    fn tell_task(&mut self, task: usize) {
        let Task { state, number, agent, .. } = self.tasks[task];
        let kind = match state {
            WorkState::Queued => EventKind::WorkQueued,
            WorkState::Delivered => EventKind::WorkDelivered,
            WorkState::Running => EventKind::WorkStarted,
            _ => EventKind::WorkEnded,
        };
        let end = state.is_terminal().then(|| state.as_str());
        self.tell(kind, agent, What::Work(task, number, end));
    }

    /// The open work of an agent, the most urgent first, then the oldest.
    fn open(&self, agent: usize) -> Vec<usize> {
        let mut open: Vec<_> = (0..self.tasks.len())
            .filter(|task| self.tasks[*task].agent == agent && self.tasks[*task].is_open())
            .collect();
        open.sort_by_key(|task| {
            let task = &self.tasks[*task];
            (-task.wish.priority, task.made)
        });
        open
    }

    /// Whether a request has a caller that must be known first.
    pub(super) const fn is_of_an_agent(ask: &Ask) -> bool {
        matches!(
            ask,
            Ask::Enrol { .. }
                | Ask::Provision { .. }
                | Ask::Status { .. }
                | Ask::DeviceCheckin { .. }
                | Ask::Beat { .. }
                | Ask::Poll { .. }
                | Ask::Result { .. }
                | Ask::Update { .. }
                | Ask::Checkin { .. }
                | Ask::Notify { .. }
                | Ask::Pulse { .. }
                | Ask::Announce { .. }
                | Ask::Action { .. }
                | Ask::Hosts { .. }
        )
    }

    fn owner(&self, vendor: Vendor, secret: &str) -> Option<Caller> {
        let holds = |member: &Member| member.vendor == vendor && member.has_key(secret);
        if let Some(member) = self.members.iter().position(holds) {
            return Some(Caller::Member(member));
        }
        let key =
            self.tenant_keys.iter().find(|(_, of, key)| *of == vendor && key.as_deref() == Some(secret));
        key.map(|(tenant, ..)| Caller::Tenant(*tenant))
    }

    /// Who is calling? `None` if nobody is believed.
    pub(super) fn admit(&mut self, ask: &Ask, now: i64) -> Option<Caller> {
        let (vendor, secret) = match ask {
            Ask::Beat { signed, .. }
            | Ask::Poll { signed }
            | Ask::Result { signed, .. }
            | Ask::Status { signed, .. }
            | Ask::Update { signed } => (Vendor::Achilles, &signed.key),
            Ask::Checkin { key, .. } | Ask::DeviceCheckin { key } | Ask::Notify { key, .. } => {
                (Vendor::Acusight, key)
            }
            Ask::Pulse { key, .. } | Ask::Announce { key, .. } | Ask::Action { key, .. } => {
                (Vendor::ZStack, key)
            }
            Ask::Hosts { key, .. } => (Vendor::AgentMc, key),
            _ => return Some(Caller::Anyone),
        };
        let caller = self.owner(vendor, secret)?;
        if let Caller::Member(member) = caller {
            if let Ask::Beat { signed, .. }
            | Ask::Poll { signed }
            | Ask::Result { signed, .. }
            | Ask::Status { signed, .. }
            | Ask::Update { signed } = ask
                && !self.is_plausible(member, signed, now)
            {
                return None;
            }
            if self.members[member].standing != Standing::Active {
                return None;
            }
            self.sign_in(member, secret);
            let known = &mut self.members[member];
            known.heard = known.heard.max(Some(now));
            (known.given_up, known.revoked) = (false, false);
        }
        Some(caller)
    }

    fn is_plausible(&self, member: usize, signed: &Signed, now: i64) -> bool {
        self.members[member].id.as_ref() == Some(&signed.agent) && (now - signed.at).abs() <= SKEW
    }

    /// The first use of a key ends its siblings; but no offer ends by the use of another key.
    fn sign_in(&mut self, member: usize, secret: &str) {
        let known = &mut self.members[member];
        let Some(used) = known.keys.iter().position(|key| key.secret.as_deref() == Some(secret)) else {
            return;
        };
        let offered = known.keys[used].candidate;
        if !offered && known.activated {
            return;
        }
        known.activated = true;
        let used = known.keys.remove(used);
        known.keys.retain(|key| key.candidate && !offered);
        known.keys.push(Key { candidate: false, ..used });
        if offered {
            known.rotating = false;
            let rotation = known.rotation;
            self.tell(EventKind::KeyRotated, member, What::Rotation(rotation));
        }
    }

    fn observe(&mut self, member: usize, seen: u8) {
        let seen = version(seen);
        let before = self.members[member].version.replace(seen.clone());
        if before.is_some_and(|before| before != seen) {
            self.tell(EventKind::VersionChanged, member, What::Text(seen));
        }
    }

    fn find(&self, tenant: No, vendor: Vendor, id: &str) -> Option<usize> {
        let is = |member: &Member| {
            (member.tenant, member.vendor) == (tenant, vendor) && member.id.as_deref() == Some(id)
        };
        self.members.iter().position(is)
    }

    /// Does what is asked; says whether that may have been the answer. `None` if nobody has heard it.
    pub(super) fn handle(&mut self, ask: &Ask, caller: Caller, now: i64, heard: Option<&Answer>) -> bool {
        let refused = |refusal: Refusal| heard.is_none_or(|heard| *heard == Answer::Refused(refusal));
        let done = || heard.is_none_or(|heard| *heard == Answer::Done);
        match (ask, caller) {
            (Ask::Enrol { token, newcomer }, _) => self.enrol(Vendor::Achilles, token, *newcomer, now, heard),
            (Ask::Provision { token, newcomer }, _) => {
                self.enrol(Vendor::Acusight, token, *newcomer, now, heard)
            }
            (Ask::Beat { version, signed }, Caller::Member(member)) => {
                self.observe(member, *version);
                let known = &mut self.members[member];
                known.renew(now);
                let offer = known.keys.iter_mut().find(|key| key.candidate && known.rotating);
                match (offer, heard) {
                    (_, None) | (None, Some(Answer::Beat { offered: None })) => true,
                    (Some(key), Some(Answer::Beat { offered: Some(offered) })) => {
                        is(&mut key.secret, offered)
                    }
                    // One that is about to be known as used may be offered to who uses it.
                    (None, Some(Answer::Beat { offered: Some(offered) })) => {
                        self.in_company && *offered == signed.key
                    }
                    _ => false,
                }
            }
            (Ask::Poll { .. }, Caller::Member(member)) => self.poll(member, now, heard),
            (Ask::Result { work, number, .. }, Caller::Member(member)) => {
                self.report(member, (*work, *number), None, now, heard)
            }
            (Ask::Status { work, number, word, .. }, Caller::Member(member)) => {
                self.report(member, (*work, *number), Some(*word), now, heard)
            }
            (Ask::Update { .. }, Caller::Member(member)) => {
                let known = &self.members[member];
                let newest = self.releases.get(&known.tenant).map(|number| version(*number));
                let newer = newest.filter(|newest| known.version.as_ref() != Some(newest));
                known.stale || heard.is_none_or(|heard| *heard == Answer::Update(newer))
            }
            (Ask::Checkin { device, model, .. }, Caller::Member(member)) => {
                if self.members[member].id.as_ref() != Some(device) {
                    return refused(Refusal::NotYours);
                }
                let handed_over = if self.quietly { Vec::new() } else { self.reconcile(member, *model, now) };
                self.members[member].renew(now);
                let Some(Answer::Actions(actions)) = heard else { return heard.is_none() };
                *actions == handed_over
            }
            (Ask::DeviceCheckin { .. }, Caller::Member(member)) => {
                let handed_over = if self.quietly { Vec::new() } else { self.reconcile(member, None, now) };
                self.members[member].renew(now);
                heard.is_none_or(|heard| *heard == Answer::Actions(handed_over))
            }
            (Ask::Notify { device, image, .. }, Caller::Member(member)) => {
                if self.members[member].id.as_ref() != Some(device) {
                    return refused(Refusal::NotYours);
                }
                self.notify(member, *image, now, heard)
            }
            (Ask::Pulse { uuid, version: seen, .. }, caller) => {
                let tenant = self.tenant_of(caller);
                let Some(member) = self.find(tenant, Vendor::ZStack, uuid) else {
                    return refused(Refusal::Unknown);
                };
                if matches!(caller, Caller::Member(bound) if bound != member) {
                    return refused(Refusal::NotYours);
                }
                self.observe(member, *seen);
                self.members[member].renew(now);
                heard.is_none_or(|heard| *heard == Answer::Pulse { version: Some(version(*seen)) })
            }
            (Ask::Announce { uuid, version: seen, .. }, caller) => {
                let tenant = self.tenant_of(caller);
                let known = self.find(tenant, Vendor::ZStack, uuid);
                if matches!(caller, Caller::Member(bound) if known != Some(bound)) {
                    return refused(Refusal::NotYours);
                }
                let member = known.unwrap_or_else(|| {
                    let made = Member::new(tenant, Vendor::ZStack, Kind::Agent, Some(uuid.clone()));
                    self.members.push(made);
                    self.tell(EventKind::Registered, self.members.len() - 1, What::Nothing);
                    self.members.len() - 1
                });
                self.observe(member, *seen);
                self.members[member].renew(now);
                done()
            }
            (Ask::Action { uuid, action, .. }, caller) => {
                let Some(member) = self.find(self.tenant_of(caller), Vendor::ZStack, uuid) else {
                    return refused(Refusal::Unknown);
                };
                // Agents do not say what agents do.
                if matches!(caller, Caller::Member(_)) {
                    return refused(Refusal::NotYours);
                }
                let last = (0..self.tasks.len()).rev().find(|task| {
                    let task = &self.tasks[*task];
                    task.agent == member && task.is_open()
                });
                let waiting = last.filter(|task| {
                    let mut looked = self.tasks[*task].clone();
                    looked.look(now);
                    looked == self.tasks[*task]
                        && looked.state == WorkState::Queued
                        && looked.kind == Errand::Action(*action)
                });
                let task =
                    waiting.unwrap_or_else(|| self.add_task(member, Errand::Action(*action), NO_WISH, now));
                match heard {
                    None => true,
                    Some(Answer::Action(id)) => is(&mut self.tasks[task].id, id),
                    Some(_) => false,
                }
            }
            (Ask::Word { tenant, work, event, .. }, _) => {
                let Some(task) = self.tasks.get(*work).filter(|task| task.tenant == *tenant) else {
                    return refused(Refusal::Unknown);
                };
                if !matches!(task.kind, Errand::Action(_)) {
                    return refused(Refusal::Unsuitable);
                }
                let changed = self.change(*work, |task| {
                    task.look(now);
                    task.word(*event, now)
                });
                match (changed, heard) {
                    (None, _) => refused(Refusal::Transition),
                    (Some(_), None) => true,
                    (Some(changed), Some(heard)) => *heard == Answer::Changed(changed),
                }
            }
            (Ask::Hosts { host, version, agents, .. }, caller) => {
                self.hosts(caller, host, *version, agents, now, heard)
            }
            (Ask::Register { tenant, vendor, kind, id }, _) => {
                if let Some(id) = id
                    && self.find(*tenant, *vendor, id).is_some_and(|known| self.members[known].kind == *kind)
                {
                    return refused(Refusal::Conflict);
                }
                let member = self.members.len();
                let id = id.clone().unwrap_or_else(|| number(member).to_string());
                let secret = match heard {
                    None => None,
                    Some(Answer::Registered { no, key }) if *no == number(member) => Some(key.clone()),
                    Some(_) => return false,
                };
                let mut made = Member::new(*tenant, *vendor, *kind, Some(id));
                made.keys.push(Key { secret, candidate: false });
                self.members.push(made);
                self.tell(EventKind::Registered, member, What::Nothing);
                true
            }
            (Ask::TenantKey { tenant, vendor }, _) => {
                let secret = match heard {
                    None => None,
                    Some(Answer::Key(key)) => Some(key.clone()),
                    Some(_) => return false,
                };
                self.tenant_keys.push((*tenant, *vendor, secret));
                true
            }
            (Ask::Issue { tenant, vendor, ttl, uses }, _) => {
                let (id, text) = match heard {
                    None => (None, None),
                    Some(Answer::Token { id, text }) => (Some(id.clone()), Some(text.clone())),
                    Some(_) => return false,
                };
                let what = What::Token(self.tokens.len());
                self.told.push(Told { kind: EventKind::TokenIssued, tenant: *tenant, agent: None, what });
                self.tokens.push(Token {
                    tenant: *tenant,
                    vendor: *vendor,
                    id,
                    text,
                    expires: now + ttl,
                    most: *uses,
                    uses: 0,
                    revoked: false,
                    made: BTreeMap::new(),
                });
                true
            }
            (Ask::Revoke { tenant, token }, _) => {
                let is = |known: &Token| known.tenant == *tenant && known.id.as_ref() == Some(token);
                let Some(place) = self.tokens.iter().position(is) else { return refused(Refusal::Unknown) };
                if !std::mem::replace(&mut self.tokens[place].revoked, true) {
                    let what = What::Token(place);
                    self.told.push(Told {
                        kind: EventKind::TokenRevoked,
                        tenant: *tenant,
                        agent: None,
                        what,
                    });
                }
                done()
            }
            (Ask::Rotate { tenant, agent }, _) => {
                let Some(member) = self.find(*tenant, Vendor::Achilles, agent) else {
                    return refused(Refusal::Unknown);
                };
                let known = &mut self.members[member];
                if known.standing.is_final() {
                    return refused(Refusal::Unsuitable);
                }
                let is_new = !known.rotating;
                if is_new {
                    known.rotation += 1;
                    known.rotating = true;
                    known.keys.push(Key { secret: None, candidate: true });
                    known.offer = Some((known.rotation, now, false));
                }
                let rotation = known.rotation;
                if known.offered.is_none_or(|(earlier, _)| earlier < rotation) {
                    known.offered = Some((rotation, now));
                }
                if is_new {
                    self.tell(EventKind::KeyOffered, member, What::Rotation(rotation));
                }
                done()
            }
            (Ask::RevokeKeys { tenant, agent }, _) => {
                let Some(member) = self.find(*tenant, Vendor::Achilles, agent) else {
                    return refused(Refusal::Unknown);
                };
                let known = &mut self.members[member];
                if known.standing.is_final() {
                    return refused(Refusal::Unsuitable);
                }
                let secret = match heard {
                    None => None,
                    Some(Answer::Key(key)) => Some(key.clone()),
                    Some(_) => return false,
                };
                known.keys = vec![Key { secret, candidate: false }];
                (known.rotating, known.activated, known.revoked) = (false, true, true);
                self.tell(EventKind::KeysRevoked, member, What::Nothing);
                true
            }
            (Ask::Stand { tenant, agent, standing }, _) => {
                let Some(member) = self.find(*tenant, Vendor::Achilles, agent) else {
                    return refused(Refusal::Unknown);
                };
                let known = &mut self.members[member];
                if known.standing == *standing {
                    return done();
                }
                if known.standing.is_final() {
                    return refused(Refusal::Unsuitable);
                }
                known.standing = *standing;
                let kind = match standing {
                    Standing::Active => EventKind::Enabled,
                    Standing::Disabled => EventKind::Disabled,
                    _ => EventKind::Decommissioned,
                };
                if standing.is_final() {
                    known.keys.clear();
                    (known.rotating, known.activated) = (false, true);
                    for task in self.open(member) {
                        self.change(task, |task| {
                            task.look(now);
                            if task.is_open() {
                                task.end(WorkState::Canceled, now);
                            }
                        });
                    }
                }
                self.tell(kind, member, What::Nothing);
                done()
            }
            (Ask::Queue { tenant, agent, wish }, _) => {
                let Some(member) = self.find(*tenant, Vendor::Achilles, agent) else {
                    return refused(Refusal::Unknown);
                };
                let same = |task: &Task| task.agent == member && task.wish.key == wish.key;
                let known = wish.key.and_then(|_| self.tasks.iter().position(same));
                match (known, heard) {
                    (Some(known), _) if self.tasks[known].wish != *wish => refused(Refusal::Conflict),
                    (None, _) => {
                        let task = self.add_task(member, Errand::Test, *wish, now);
                        match heard {
                            None => true,
                            Some(Answer::Queued { id, now: true }) => is(&mut self.tasks[task].id, id),
                            Some(_) => false,
                        }
                    }
                    (Some(_), None) => true,
                    (Some(known), Some(Answer::Queued { id, now: false })) => {
                        is(&mut self.tasks[known].id, id)
                    }
                    _ => false,
                }
            }
            (Ask::Cancel { tenant, work, .. }, _) => {
                if self.tasks.get(*work).is_none_or(|task| task.tenant != *tenant) {
                    return refused(Refusal::Unknown);
                }
                let canceled = self.change(*work, |task| {
                    task.look(now);
                    let canceled = task.is_open() || task.state == WorkState::Canceled;
                    if task.is_open() {
                        task.end(WorkState::Canceled, now);
                    }
                    canceled
                });
                if canceled { done() } else { refused(Refusal::Transition) }
            }
            (Ask::Assign { tenant, device, model: number }, _) => {
                let Some(member) = self.find(*tenant, Vendor::Acusight, device) else {
                    return refused(Refusal::Unknown);
                };
                let known = &mut self.members[member];
                known.desired_at = now;
                if known.desired.replace(*number) != Some(*number) {
                    self.tell(EventKind::ModelAssigned, member, What::Text(model(*number)));
                }
                done()
            }
            (Ask::Publish { tenant, version }, _) => {
                self.releases.insert(*tenant, *version);
                done()
            }
            (Ask::Flush, _) => {
                self.flush(now);
                done()
            }
            (Ask::CloseBatches, _) => {
                let mut closed = 0;
                for member in 0..self.members.len() {
                    closed +=
                        u32::from(self.close_batch(member, |batch| !within(now, batch.opened, BATCH.1)));
                }
                heard.is_none_or(|heard| *heard == Answer::Swept(closed))
            }
            (Ask::Sweep, _) => {
                let mut moved = self.give_up(now);
                for task in 0..self.tasks.len() {
                    let before = self.tasks[task].clone();
                    self.change(task, |task| task.look(now));
                    moved += u32::from(before != self.tasks[task]);
                }
                match heard {
                    None => true,
                    // The other one may have looked first.
                    Some(Answer::Swept(found)) => *found == moved || self.in_company && *found < moved,
                    Some(_) => false,
                }
            }
            _ => false,
        }
    }

    /// A task that an agent may speak of: mostly one of its own that is open, the latest first. Returns its place, and its
    /// id in this execution or one so many before it.
    pub(super) fn named_task(&self, agent: &str, work: usize, back: u32) -> Option<(usize, String, u32)> {
        let is_own = |task: &&usize| {
            let task = &self.tasks[**task];
            task.is_open() && self.members[task.agent].id.as_deref() == Some(agent)
        };
        let all: Vec<_> = (0..self.tasks.len()).rev().collect();
        let own: Vec<_> = all.iter().filter(is_own).copied().collect();
        let among = if work < 3 && !own.is_empty() { &own } else { &all };
        let place = *among.get(work.checked_rem(among.len())?)?;
        let task = &self.tasks[place];
        let number = task.number.saturating_sub(back).max(1);
        Some((place, task.task_id(number)?, number))
    }

    fn tenant_of(&self, caller: Caller) -> No {
        match caller {
            Caller::Anyone => 0,
            Caller::Member(member) => self.members[member].tenant,
            Caller::Tenant(tenant) => tenant,
        }
    }

    fn report(
        &mut self,
        member: usize,
        (work, number): (usize, u32),
        word: Option<u8>,
        now: i64,
        heard: Option<&Answer>,
    ) -> bool {
        let refused = |refusal: Refusal| heard.is_none_or(|heard| *heard == Answer::Refused(refusal));
        let Some(task) = self.tasks.get(work).filter(|task| task.tenant == self.members[member].tenant)
        else {
            return refused(Refusal::Unknown);
        };
        if task.agent != member {
            return refused(Refusal::NotYours);
        }
        let (result, id) = self.change(work, |task| {
            let id = task.task_id(number);
            task.look(now);
            let result = match task.state {
                _ if number > task.number || number == 0 => Err(Refusal::Unknown),
                _ if number < task.number || task.state.is_terminal() => Ok(true),
                _ => task.hear(word, now).ok_or(Refusal::Transition),
            };
            (result, id)
        });
        match (result, heard) {
            (Err(refusal), _) => refused(refusal),
            (Ok(_), None) => true,
            (Ok(repeated), Some(Answer::Result { task, again })) => {
                *again == repeated && id.as_ref() == Some(task)
            }
            _ => false,
        }
    }

    /// Gives up what agents of Achilles are at that nothing was heard of for 360 s. Says how much.
    fn give_up(&mut self, now: i64) -> u32 {
        let before = now - PATIENCE;
        let mut moved = 0;
        for member in 0..self.members.len() {
            let known = &mut self.members[member];
            let is_lost = known.vendor == Vendor::Achilles
                && self.started < before
                && known.heard.is_none_or(|heard| heard < before);
            if !is_lost || std::mem::replace(&mut known.given_up, true) {
                continue;
            }
            for task in self.open(member) {
                let before = self.tasks[task].clone();
                self.change(task, |task| {
                    let number = task.number;
                    task.look(now);
                    if task.is_open() && task.acknowledged && task.number == number {
                        task.fail(now);
                    }
                });
                moved += u32::from(before != self.tasks[task]);
            }
        }
        moved
    }

    fn enrol(
        &mut self,
        vendor: Vendor,
        token: &str,
        newcomer: usize,
        now: i64,
        heard: Option<&Answer>,
    ) -> bool {
        let refused = |refusal: Refusal| heard.is_none_or(|heard| *heard == Answer::Refused(refusal));
        let Some(place) = self.tokens.iter().position(|known| known.text.as_deref() == Some(token)) else {
            return refused(Refusal::Token);
        };
        let known = &self.tokens[place];
        if known.revoked || known.vendor != vendor {
            return refused(Refusal::Token);
        }
        let earlier = known.made.get(&newcomer).copied();
        let waits = |member: &Member| !member.activated && member.standing == Standing::Active;
        let repeated =
            earlier.filter(|(member, at)| waits(&self.members[*member]) && within(now, *at, REPEATED));
        let id = (vendor == Vendor::Acusight).then(|| device(newcomer));
        let there = id.as_ref().and_then(|id| self.find(known.tenant, vendor, id));
        let made_at = self.tokens.iter().flat_map(|token| token.made.values());
        let made_at = made_at.filter(|(member, _)| Some(*member) == there).map(|(_, at)| *at).max();
        let member = match repeated {
            Some((member, _)) => member,
            // Who met the one that took the last use has lost a race.
            None if self.in_company && known.uses >= known.most && heard == Some(&LOST_RACE) => return true,
            None if known.expires <= now || known.uses >= known.most => return refused(Refusal::Token),
            None => {
                // A device that is known is another one's, unless it never signed in and its answer was lost for good.
                let lost_for_good = |member: usize| {
                    waits(&self.members[member]) && made_at.is_some_and(|at| !within(now, at, REPEATED))
                };
                if there.is_some_and(|there| !lost_for_good(there)) {
                    return refused(Refusal::Conflict);
                }
                let tenant = known.tenant;
                let member = there.unwrap_or_else(|| {
                    let mut made = Member::new(tenant, vendor, Kind::Agent, id);
                    made.version = (vendor == Vendor::Achilles).then(|| version(0));
                    self.members.push(made);
                    self.members.len() - 1
                });
                let known = &mut self.tokens[place];
                known.uses += 1;
                known.made.insert(newcomer, (member, now));
                member
            }
        };
        let kind = if repeated.is_some() { EventKind::EnrolledAgain } else { EventKind::Enrolled };
        self.tell(kind, member, What::Token(place));
        let known = &mut self.members[member];
        match heard {
            None => known.keys.push(Key { secret: None, candidate: false }),
            Some(Answer::Enrolled { agent, key }) if is(&mut known.id, agent) => {
                known.keys.push(Key { secret: Some(key.clone()), candidate: false });
            }
            Some(_) => return false,
        }
        true
    }

    fn add_task(&mut self, member: usize, kind: Errand, wish: Wish, now: i64) -> usize {
        self.tasks.push(Task {
            agent: member,
            tenant: self.members[member].tenant,
            id: None,
            kind,
            wish,
            state: WorkState::Queued,
            number: 1,
            acknowledged: false,
            deadline: None,
            made: now,
            ended: None,
        });
        self.tell_task(self.tasks.len() - 1);
        self.tasks.len() - 1
    }

    /// Hands over the first piece of work that waits.
    fn poll(&mut self, member: usize, now: i64, heard: Option<&Answer>) -> bool {
        let open = self.open(member);
        let waiting = open.iter().copied().find(|task| {
            let mut looked = self.tasks[*task].clone();
            looked.look(now);
            looked.waits(now)
        });
        // Of two that ask at once one gets it. Nothing is lost by that: who asks next gets it, too.
        let Some(first) = waiting.filter(|_| !(self.in_company && heard == Some(&Answer::Task(None)))) else {
            // Whether the store was asked cannot be told: what time has done to the others is seen later.
            return heard.is_none_or(|heard| *heard == Answer::Task(None));
        };
        for task in open {
            self.change(task, |known| {
                known.look(now);
                if task == first {
                    known.hand_over(now);
                }
            });
        }
        let task = &self.tasks[first];
        heard.is_none_or(|heard| *heard == Answer::Task(task.task_id(task.number)))
    }

    fn reconcile(&mut self, member: usize, runs: Option<u8>, now: i64) -> Vec<(No, String)> {
        if let Some(runs) = runs.filter(|runs| self.members[member].current != Some(*runs)) {
            self.members[member].current = Some(runs);
            self.tell(EventKind::ModelReported, member, What::Text(model(runs)));
        }
        let Member { desired, current, desired_at, .. } = self.members[member];
        let mut asked_for = false;
        for task in self.open(member) {
            self.change(task, |task| {
                let brings = match task.kind {
                    Errand::Model(model) => Some(model),
                    _ => None,
                };
                if brings == current {
                    let had = task.state != WorkState::Queued;
                    task.end(if had { WorkState::Succeeded } else { WorkState::Canceled }, now);
                } else if desired.is_some() && brings != desired {
                    task.end(WorkState::Canceled, now);
                } else {
                    task.look(now);
                    asked_for |= task.is_open();
                }
            });
        }
        if let Some(wanted) = desired.filter(|_| desired != current && !asked_for) {
            let last = self.tasks.iter().rev().find(|task| task.agent == member);
            let gave_up = last.is_some_and(|task| {
                matches!(task.state, WorkState::Failed | WorkState::Canceled)
                    && desired.is_some_and(|desired| task.kind == Errand::Model(desired))
                    && task.ended > Some(desired_at)
            });
            if !gave_up {
                let task = self.add_task(member, Errand::Model(wanted), NO_WISH, now);
                self.change(task, |task| task.look(now));
            }
        }
        let open = self.open(member);
        for task in &open {
            self.change(*task, |task| task.hand_over(now));
        }
        let told = |task: usize| match self.tasks[task].kind {
            Errand::Model(brings) => (number(task), model(brings)),
            _ => (number(task), String::new()),
        };
        open.into_iter().map(told).collect()
    }

    fn notify(&mut self, member: usize, image: u8, now: i64, heard: Option<&Answer>) -> bool {
        let (most, age, quota) = BATCH;
        let known = &mut self.members[member];
        if !known.images.contains_key(&image) {
            if known.images.len() >= quota {
                return heard.is_none_or(|heard| *heard == Answer::Refused(Refusal::Full));
            }
            self.close_batch(member, |batch| batch.images >= most || !within(now, batch.opened, age));
            match self.members[member].batches.last_mut().filter(|batch| !batch.closed) {
                Some(batch) => batch.images += 1,
                None => {
                    let batch = Batch { id: None, images: 1, opened: now, closed: false };
                    self.members[member].batches.push(batch);
                    self.tell(EventKind::BatchOpened, member, What::Batch(None, None));
                }
            }
            let known = &mut self.members[member];
            known.images.insert(image, (None, known.batches.len() - 1));
            self.close_batch(member, |batch| batch.images >= most);
        }
        let Member { images, batches, .. } = &mut self.members[member];
        let Some((id, batch)) = images.get_mut(&image) else { return false };
        match heard {
            None => true,
            Some(Answer::Image { image, batch: named }) => {
                is(id, image) && is(&mut batches[*batch].id, named)
            }
            Some(_) => false,
        }
    }

    /// Closes the open batch of a device if there is a reason. Says whether it did.
    fn close_batch(&mut self, member: usize, why: impl FnOnce(&Batch) -> bool) -> bool {
        let open = self.members[member].batches.last_mut();
        let Some(batch) = open.filter(|batch| !batch.closed && why(batch)) else { return false };
        batch.closed = true;
        let what = What::Batch(batch.id.clone(), Some(batch.images));
        self.tell(EventKind::BatchClosed, member, what);
        true
    }

    fn hosts(
        &mut self,
        caller: Caller,
        host: &str,
        seen: u8,
        agents: &[(Option<No>, u8)],
        now: i64,
        heard: Option<&Answer>,
    ) -> bool {
        let refused = |refusal: Refusal| heard.is_none_or(|heard| *heard == Answer::Refused(refusal));
        let tenant = self.tenant_of(caller);
        let is_host = |member: &Member| {
            (member.tenant, member.vendor, member.kind) == (tenant, Vendor::AgentMc, Kind::Host)
                && member.id.as_deref() == Some(host)
        };
        let known = self.members.iter().position(is_host);
        let mut agents = agents.to_vec();
        let bound = match caller {
            // The key of one agent is good for that agent and no other.
            Caller::Member(own) if self.members[own].kind == Kind::Agent => match agents.as_mut_slice() {
                [(no, _)] if no.is_none_or(|no| no == number(own)) => {
                    *no = Some(number(own));
                    None
                }
                _ => return refused(Refusal::NotYours),
            },
            Caller::Member(bound) => Some(bound),
            _ => None,
        };
        if bound.is_some() && bound != known {
            return refused(Refusal::NotYours);
        }
        for no in agents.iter().filter_map(|(no, _)| *no) {
            let agent = self.members.get(place(no)).filter(|member| {
                (member.tenant, member.vendor, member.kind) == (tenant, Vendor::AgentMc, Kind::Agent)
            });
            let Some(agent) = agent else { return refused(Refusal::Unknown) };
            if bound.is_some() && agent.parent.is_some() && agent.parent != known {
                return refused(Refusal::NotYours);
            }
        }
        let host = known.unwrap_or_else(|| self.make(tenant, Kind::Host, Some(host.to_owned())));
        self.observe(host, seen);
        self.members[host].renew(now);
        let mut numbers = Vec::new();
        for (no, name) in agents {
            let name = hosted(name);
            let same = |member: &Member| member.parent == Some(host) && member.hosted.as_ref() == Some(&name);
            let agent = no.map(place).or_else(|| self.members.iter().position(same));
            let agent = agent.unwrap_or_else(|| self.make(tenant, Kind::Agent, None));
            let member = &mut self.members[agent];
            (member.parent, member.hosted) = (Some(host), Some(name));
            member.renew(now);
            numbers.push(number(agent));
        }
        let all = self.members.iter().filter(|member| member.parent == Some(host)).count();
        let expected =
            Answer::Hosts { host: number(host), agents: numbers, total: i64::try_from(all).expect("few") };
        heard.is_none_or(|heard| *heard == expected)
    }

    fn make(&mut self, tenant: No, kind: Kind, id: Option<String>) -> usize {
        let member = self.members.len();
        let id = id.unwrap_or_else(|| number(member).to_string());
        self.members.push(Member::new(tenant, Vendor::AgentMc, kind, Some(id)));
        self.tell(EventKind::Registered, member, What::Nothing);
        member
    }

    /// Leases are written, and who is back and who is silent is told.
    fn flush(&mut self, now: i64) {
        let mut turns = std::mem::take(&mut self.untold);
        for (place, member) in self.members.iter_mut().enumerate() {
            if std::mem::take(&mut member.renewed) {
                member.kept = member.seen;
                if !std::mem::replace(&mut member.online, true) {
                    turns.push((place, true));
                }
            }
        }
        let away = self.away.map(|(from, to)| Downtime { from: moment(from), to: moment(to) });
        for (place, member) in self.members.iter_mut().enumerate() {
            let seen = member.seen.map(moment);
            let state = liveness(moment(now), seen, &cadence(member.vendor), away, member.online);
            if member.online && state == Liveness::Offline {
                member.online = false;
                turns.push((place, false));
            }
        }
        for place in 0..self.members.len() {
            let known = &mut self.members[place];
            let Some((rotation, _)) = known.offered.filter(|(_, at)| *at <= now - UNUSED) else { continue };
            known.offered = None;
            let is_current = known.rotating && known.rotation == rotation;
            if let Some((offered, _, told)) = &mut known.offer
                && is_current
                && *offered == rotation
                && !std::mem::replace(told, true)
            {
                self.tell(EventKind::KeyUnused, place, What::Rotation(rotation));
            }
        }
        for (place, online) in turns {
            if std::mem::replace(&mut self.members[place].journal_online, online) != online {
                let kind = if online { EventKind::Online } else { EventKind::Offline };
                self.tell(kind, place, What::Nothing);
            }
        }
        self.up_until = self.up_until.max(Some(now));
    }

    /// The server goes down and comes up again: what was in its memory is gone.
    pub(super) fn restart(&mut self, now: i64) {
        for member in &mut self.members {
            member.seen = member.kept;
            (member.renewed, member.stale) = (false, false);
            (member.heard, member.given_up) = (None, false);
            let untold = member
                .offer
                .filter(|(rotation, _, told)| !told && member.rotating && *rotation == member.rotation);
            member.offered = untold.map(|(rotation, at, _)| (rotation, at));
            member.online = member.journal_online;
        }
        self.untold.clear();
        self.started = now;
        self.away = self.up_until.map(|from| (from, now));
        if let Some(from) = self.up_until {
            let excused = (now - from).max(0);
            for task in &mut self.tasks {
                let deadline = task.deadline.filter(|deadline| *deadline > from);
                if let Some(deadline) = deadline.filter(|_| task.is_open()) {
                    task.deadline = Some(deadline + excused);
                }
            }
            self.up_until = self.up_until.max(Some(now));
        }
    }

    /// Every secret that is good for something.
    pub(super) fn good_keys(&self) -> BTreeSet<&str> {
        let own = self.members.iter().flat_map(|member| &member.keys).filter_map(|key| key.secret.as_deref());
        own.chain(self.tenant_keys.iter().filter_map(|(.., key)| key.as_deref())).collect()
    }
}
