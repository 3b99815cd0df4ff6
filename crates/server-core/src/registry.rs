use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use dashmap::DashMap;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::domain::{Agent, Credential, Kind, No, Vendor};
use crate::events::{Gap, NewEvent};
use crate::keys::Digest;
use crate::lease::{Lease, seconds};
use crate::packed::{AgentLook, Identity, PackedAgent, place_of};
use crate::rate::{Meter, Rate};
use crate::sightings::{Host, Sightings, Suspicion};
use crate::store::Offer;

/// Agents whose records lie side by side. What holds one of them holds the whole row.
const ABREAST: usize = 64;

/// Rows of records that a shelf has, and shelves.
const ROWS: usize = 1024;
const SHELVES: usize = 4096;

/// Parts of an index, each with a lock of its own.
const PARTS: usize = 64;

/// An agent that this process knows: its row and its lease. Copies are of the same agent.
#[derive(Clone)]
pub struct AgentRecord {
    row: Arc<Row>,
    at: usize,
}

/// Records side by side, and what is known of all of them together, so that whoever looks for silence need not look
/// at each.
struct Row {
    slots: [Slot; ABREAST],
    /// None of those that are online was last seen before this time, in milliseconds since 1970.
    seen_from: AtomicI64,
    /// By vendor: of none that was not given up anything was heard before this time, in seconds since 1970.
    heard_from: [AtomicU32; Vendor::ALL.len()],
    /// By vendor: whether any of them is its.
    holds: [AtomicBool; Vendor::ALL.len()],
}

/// What is held of one agent: all that a quiet check-in needs but its row and its report, in two lines of the
/// processor's cache, which come together.
#[derive(Default)]
#[repr(align(128))]
struct Slot {
    /// Written last of what says who it is.
    no: AtomicI64,
    tenant: AtomicI64,
    /// The place of its vendor, and whether it is a host.
    sort: AtomicU8,
    /// The beginning of its key's digest; nothing if none is known. Half of one tells keys apart as well as a whole
    /// one does: nobody finds two keys, or a second one to a given half, among 2 to the power of 128.
    key: [AtomicU64; 2],
    lease: Lease,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    agent: PackedAgent,
    /// What only some agents have.
    more: Option<Box<More>>,
}

#[derive(Default)]
struct More {
    /// The hosts that it was last seen on.
    sightings: Sightings,
    /// How often its key is used, where that is bounded.
    meter: Meter,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            slots: std::array::from_fn(|_| Slot::default()),
            seen_from: AtomicI64::new(i64::MAX),
            heard_from: std::array::from_fn(|_| AtomicU32::new(u32::MAX)),
            holds: std::array::from_fn(|_| AtomicBool::new(false)),
        }
    }
}

impl Row {
    fn holds(&self, vendor: Vendor) -> bool {
        self.holds.get(vendor as usize).is_some_and(|holds| holds.load(Ordering::Acquire))
    }
}

impl Slot {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn no(&self) -> No {
        self.no.load(Ordering::Acquire)
    }

    /// Who it is. That never changes, so that nobody has to wait for whoever changes its row.
    fn identity(&self) -> Identity {
        let no = self.no();
        let sort = self.sort.load(Ordering::Relaxed);
        Identity {
            no,
            tenant: self.tenant.load(Ordering::Relaxed),
            vendor: Vendor::ALL.get(usize::from(sort >> 1)).copied().unwrap_or(Vendor::Acusight),
            kind: if sort & 1 == 0 { Kind::Agent } else { Kind::Host },
        }
    }

    /// Says who it is. To be called once, and before anybody else can find it.
    fn set_identity(&self, Identity { no, tenant, vendor, kind }: Identity) {
        self.tenant.store(tenant, Ordering::Relaxed);
        self.sort
            .store(place_of(&Vendor::ALL, &vendor) << 1 | u8::from(kind == Kind::Host), Ordering::Relaxed);
        self.no.store(no, Ordering::Release);
    }

    /// Looks at its row as it last was.
    fn look<T>(&self, look: impl FnOnce(&AgentLook<'_>) -> T) -> T {
        look(&self.kept().agent.look(self.identity()))
    }

    fn key(&self) -> [u64; 2] {
        [self.key[0].load(Ordering::Acquire), self.key[1].load(Ordering::Acquire)]
    }

    fn set_key(&self, key: [u64; 2]) {
        self.key[0].store(key[0], Ordering::Release);
        self.key[1].store(key[1], Ordering::Release);
    }
}

/// The number of a place where nobody is; no agent has it.
const NOBODY: No = 0;

/// That no key is known.
const NO_KEY: [u64; 2] = [0, 0];

fn half(digest: &Digest) -> [u64; 2] {
    let (words, _) = digest.0.as_chunks::<8>();
    let word = |place: usize| words.get(place).map_or(0, |word| u64::from_le_bytes(*word));
    [word(0), word(1)]
}

impl fmt::Debug for AgentRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentRecord").field("agent", &self.agent()).field("lease", self.lease()).finish()
    }
}

impl AgentRecord {
    /// Which of the row it is never changes, and never is beyond its end.
    fn slot(&self) -> &Slot {
        self.row.slots.get(self.at).unwrap_or(&self.row.slots[0])
    }

    /// Its number.
    #[must_use]
    pub fn no(&self) -> No {
        self.slot().no()
    }

    /// Who it is.
    pub(crate) fn identity(&self) -> Identity {
        self.slot().identity()
    }

    /// Its liveness.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.slot().lease
    }

    /// The row as it last was. That is a copy of all of it; who needs little looks at it where it lies.
    #[must_use]
    pub fn agent(&self) -> Agent {
        self.look(|row| row.agent())
    }

    /// Looks at the row as it last was. Must be short, since others wait meanwhile.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&AgentLook<'_>) -> T) -> T {
        self.slot().look(look)
    }

    /// Notes the host that it reports from.
    pub(crate) fn sight(
        &self,
        host: &Host<'_>,
        now: DateTime<Utc>,
        alive_for: Duration,
    ) -> Option<Suspicion> {
        self.slot().kept().more.get_or_insert_default().sightings.note(host, now, alive_for)
    }

    /// Notes that something was heard of it, be it no report.
    pub(crate) fn hear(&self, now: DateTime<Utc>) {
        if self.lease().hear(now) {
            self.expect_loss_from(seconds(now));
        }
    }

    /// Takes back that its silence was acted on.
    pub(crate) fn is_not_given_up(&self) {
        self.lease().give_up(false);
        self.expect_loss_from(0);
    }

    fn expect_loss_from(&self, heard: u32) {
        let vendor = self.identity().vendor;
        if let Some(from) = self.row.heard_from.get(vendor as usize) {
            from.fetch_min(heard, Ordering::SeqCst);
        }
    }

    /// Takes the end of a silence, which makes it online. To be called by the flush only.
    pub(crate) fn turn_online(&self) -> Option<Gap> {
        let gap = self.lease().turn_online()?;
        self.row.seen_from.fetch_min(gap.until.timestamp_millis(), Ordering::SeqCst);
        Some(gap)
    }

    /// Takes a row as the store gave it. Two answers of the store may overtake each other; what only ever goes
    /// forward is kept where it is further on, or an offered key would be forgotten here until a restart.
    fn set(&self, mut agent: Agent) {
        let mut kept = self.slot().kept();
        let known = kept.agent.look(self.identity());
        agent.activated |= known.activated;
        if (agent.rotation, !agent.rotating) < (known.rotation, !known.rotating) {
            agent.rotation = known.rotation;
            agent.rotating = known.rotating;
        }
        if known.departed.is_some() || agent.turns < known.turns {
            agent.disabled = known.disabled;
            agent.departed = known.departed;
            agent.turns = known.turns;
        }
        kept.agent = PackedAgent::of(&agent);
    }
}

/// Where a record lies, counted from the first one that was put there.
type Place = u32;

/// Records by place. They are never taken away, so that whoever knows a place need not wait for anybody.
struct Shelves {
    shelves: Box<[OnceLock<Box<Shelf>>]>,
    /// The place of the next one.
    next: AtomicU32,
}

type Shelf = [OnceLock<Arc<Row>>];

impl Default for Shelves {
    fn default() -> Self {
        Self { shelves: (0..SHELVES).map(|_| OnceLock::new()).collect(), next: AtomicU32::new(0) }
    }
}

impl Shelves {
    /// The row that a place is in.
    fn row(&self, place: Place) -> Option<&Arc<Row>> {
        let row = place as usize / ABREAST;
        self.shelves.get(row / ROWS)?.get()?.get(row % ROWS)?.get()
    }

    fn get(&self, place: Place) -> Option<AgentRecord> {
        self.row(place).map(|row| AgentRecord { row: Arc::clone(row), at: place as usize % ABREAST })
    }

    /// A record to be looked at, and not to be held on to.
    fn slot(&self, place: Place) -> Option<&Slot> {
        self.row(place)?.slots.get(place as usize % ABREAST)
    }

    /// An empty record at a place; one that no place leads to if there is no more room.
    fn place(&self, place: Place) -> AgentRecord {
        let place = place as usize;
        let at = place % ABREAST;
        let shelf = self.shelves.get(place / ABREAST / ROWS);
        let shelf = shelf.map(|shelf| shelf.get_or_init(|| (0..ROWS).map(|_| OnceLock::new()).collect()));
        let row = shelf.and_then(|shelf| shelf.get(place / ABREAST % ROWS));
        let row = row.map_or_else(Arc::default, |row| Arc::clone(row.get_or_init(Arc::default)));
        AgentRecord { row, at }
    }

    fn rows(&self) -> impl Iterator<Item = &Arc<Row>> {
        let rows = (self.next.load(Ordering::Acquire) as usize).div_ceil(ABREAST);
        // One may be made before the one before it.
        (0..rows).filter_map(|row| self.shelves.get(row / ROWS)?.get()?.get(row % ROWS)?.get())
    }

    fn records(&self) -> impl Iterator<Item = AgentRecord> {
        self.rows().flat_map(records_of)
    }
}

/// Those that are there.
fn records_of(row: &Arc<Row>) -> impl Iterator<Item = AgentRecord> {
    let record = |at| AgentRecord { row: Arc::clone(row), at };
    (0..ABREAST).map(record).filter(|record| record.no() != NOBODY)
}

/// Places by something that is looked up at the place itself, so that it is held once.
struct Index([Part; PARTS]);

/// One to a line of the processor's cache.
#[derive(Default)]
#[repr(align(64))]
struct Part(RwLock<HashTable<Place>>);

impl Default for Index {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Part::default()))
    }
}

impl Index {
    fn part(&self, hash: u64) -> &RwLock<HashTable<Place>> {
        // Tables take the highest bits for themselves, and the lowest ones.
        let part = usize::try_from(hash >> 40 & (PARTS as u64 - 1)).unwrap_or_default();
        &self.0.get(part).unwrap_or(&self.0[0]).0
    }

    fn find(&self, hash: u64, is_it: impl FnMut(&Place) -> bool) -> Option<Place> {
        self.part(hash).read().unwrap_or_else(PoisonError::into_inner).find(hash, is_it).copied()
    }

    fn insert(&self, hash: u64, place: Place, rehash: impl Fn(&Place) -> u64) {
        let mut part = self.part(hash).write().unwrap_or_else(PoisonError::into_inner);
        part.insert_unique(hash, place, rehash);
    }

    /// Returns the place that is there already, or calls `begin` and inserts this one.
    fn insert_if_new(
        &self,
        hash: u64,
        place: Place,
        is_it: impl FnMut(&Place) -> bool,
        rehash: impl Fn(&Place) -> u64,
        begin: impl FnOnce(),
    ) -> Option<Place> {
        let mut part = self.part(hash).write().unwrap_or_else(PoisonError::into_inner);
        match part.entry(hash, is_it, rehash) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(vacant) => {
                begin();
                vacant.insert(place);
                None
            }
        }
    }

    /// Makes room for so many more at once: each time that a part grows, all that is in it is looked up again.
    fn reserve(&self, places: usize, rehash: impl Fn(&Place) -> u64) {
        for part in &self.0 {
            let mut part = part.0.write().unwrap_or_else(PoisonError::into_inner);
            part.reserve(places.div_ceil(PARTS), &rehash);
        }
    }

    fn remove(&self, hash: u64, is_it: impl FnMut(&Place) -> bool) {
        let mut part = self.part(hash).write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(entry) = part.find_entry(hash, is_it) {
            entry.remove();
        }
    }
}

/// Operators may choose numbers, nobody else.
fn hash_of_no(no: No) -> u64 {
    let hash = no.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 32
}

/// A key of a whole tenant, or another than the first that is known of an agent.
#[derive(Debug)]
struct KnownKey {
    credential: Credential,
    meter: Meter,
}

/// What this process knows of keys and agents, so that a quiet check-in asks no store. Everything in it comes
/// from the store, and whatever is changed through this process is changed here in the same step.
///
/// Where two locks are held, the one of a record was taken before the one of a part of an index; but a part of the index
/// of names is held while records are looked at.
#[derive(Default)]
pub(crate) struct Registry {
    records: Shelves,
    /// Places by number.
    numbers: Index,
    /// Places by tenant, vendor, kind and id. Strangers may choose ids.
    names: Index,
    hasher: RandomState,
    /// Places by key: the first that is known of each agent.
    keys: Index,
    other_keys: DashMap<Digest, KnownKey>,
    /// The other keys known of each agent, so that they can be forgotten without a walk through all.
    bound: DashMap<No, Vec<Digest>>,
    /// The agents of each host.
    members: DashMap<No, Vec<No>>,
    /// Counts how often keys were forgotten.
    epoch: AtomicU64,
    /// Leases that the next flush has to write.
    renewed: Mutex<Vec<AgentRecord>>,
    /// Events that the next flush has to write.
    noted: Mutex<Vec<NewEvent>>,
    /// Keys that were offered and that nobody has looked after yet, by their agents.
    offers: Mutex<BTreeMap<No, Offer>>,
}

impl Registry {
    pub(crate) fn key(&self, digest: &Digest) -> Option<Credential> {
        self.known_key(digest).map(|(credential, _)| credential)
    }

    /// What a key is good for, and its agent if that is at hand.
    pub(crate) fn known_key(&self, digest: &Digest) -> Option<(Credential, Option<AgentRecord>)> {
        if let Some(record) = self.owner(digest) {
            let Identity { no, tenant, vendor, .. } = record.identity();
            return Some((Credential { tenant, vendor, agent: Some(no), candidate: false }, Some(record)));
        }
        self.other_keys.get(digest).map(|known| (known.credential, None))
    }

    /// The agent whose first key this is.
    fn owner(&self, digest: &Digest) -> Option<AgentRecord> {
        let key = half(digest);
        self.records.get(self.keys.find(key[0], |place| self.key_at(*place) == key)?)
    }

    fn key_at(&self, place: Place) -> [u64; 2] {
        self.records.slot(place).map_or(NO_KEY, Slot::key)
    }

    fn no_at(&self, place: Place) -> No {
        self.records.slot(place).map_or(NOBODY, Slot::no)
    }

    /// Counts a use of a key; says how long to wait if it was one too many.
    pub(crate) fn meter(&self, digest: &Digest, now: DateTime<Utc>, rate: Rate) -> Result<(), Duration> {
        if let Some(record) = self.owner(digest) {
            return record.slot().kept().more.get_or_insert_default().meter.take(now, rate);
        }
        self.other_keys.get(digest).map_or(Ok(()), |known| known.meter.take(now, rate))
    }

    /// To be read before the store is asked about a key.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Takes what the store said about a key, unless keys were forgotten since it was asked: then the answer
    /// may be out of date, and caching it would keep an ended key alive.
    pub(crate) fn learn_key(&self, digest: Digest, credential: Credential, asked: u64) {
        if self.learn_first_key(&digest, credential, asked) {
            return;
        }
        if let Some(no) = credential.agent {
            let mut bound = self.bound.entry(no).or_default();
            if !bound.contains(&digest) {
                bound.push(digest);
            }
        }
        self.other_keys.insert(digest, KnownKey { credential, meter: Meter::default() });
        if self.epoch() != asked {
            self.other_keys.remove(&digest);
        }
    }

    /// Takes it as its agent's first key. Says whether it is settled by that: it may be no such key.
    fn learn_first_key(&self, digest: &Digest, credential: Credential, asked: u64) -> bool {
        let key = half(digest);
        let Some(no) = credential.agent.filter(|_| !credential.candidate && key != NO_KEY) else {
            return false;
        };
        let Some(place) = self.place_of(no) else { return false };
        let Some(record) = self.records.get(place) else { return false };
        let Identity { tenant, vendor, .. } = record.identity();
        let _kept = record.slot().kept();
        if record.slot().key() != NO_KEY || (tenant, vendor) != (credential.tenant, credential.vendor) {
            return record.slot().key() == key;
        }
        // Whoever forgets it counts first and waits for this lock then.
        if self.epoch() == asked {
            record.slot().set_key(key);
            self.keys.insert(key[0], place, |place| self.key_at(*place)[0]);
        }
        true
    }

    /// Forgets every key of an agent, so that the next use of each is looked up again.
    pub(crate) fn forget_keys(&self, agent: No) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        if let Some(record) = self.agent(agent) {
            let kept = record.slot().kept();
            let key = record.slot().key();
            if key != NO_KEY {
                self.keys.remove(key[0], |place| self.key_at(*place) == key);
                record.slot().set_key(NO_KEY);
            }
            drop(kept);
        }
        for digest in self.bound.remove(&agent).map(|(_, digests)| digests).unwrap_or_default() {
            self.other_keys.remove(&digest);
        }
    }

    /// Every agent, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = AgentRecord> {
        self.records.records()
    }

    /// Every agent of a vendor, in no order, and hardly any other. Agents that came together lie together, so that those
    /// of others are mostly passed over without a look.
    pub(crate) fn about(&self, vendor: Vendor) -> impl Iterator<Item = AgentRecord> {
        self.records.rows().filter(move |row| row.holds(vendor)).flat_map(records_of)
    }

    fn place_of(&self, no: No) -> Option<Place> {
        self.numbers.find(hash_of_no(no), |place| self.no_at(*place) == no)
    }

    pub(crate) fn agent(&self, no: No) -> Option<AgentRecord> {
        self.records.get(self.place_of(no)?)
    }

    pub(crate) fn named(&self, tenant: No, vendor: Vendor, kind: Kind, id: &str) -> Option<AgentRecord> {
        let hash = self.hash_of_name(tenant, vendor, kind, id);
        let is_it = |place: &Place| {
            self.records.slot(*place).is_some_and(|slot| {
                let identity = slot.identity();
                (identity.tenant, identity.vendor, identity.kind) == (tenant, vendor, kind)
                    && slot.look(|row| row.id() == id)
            })
        };
        self.records.get(self.names.find(hash, is_it)?)
    }

    fn hash_of_name(&self, tenant: No, vendor: Vendor, kind: Kind, id: &str) -> u64 {
        self.hasher.hash_one((tenant, vendor, kind, id))
    }

    fn hash_of_name_at(&self, place: Place) -> u64 {
        let hash = |row: &AgentLook<'_>| self.hash_of_name(row.tenant, row.vendor, row.kind, row.id());
        self.records.slot(place).map_or(0, |slot| slot.look(hash))
    }

    /// Takes an agent's row as it now stands. A lease that is known already is kept.
    pub(crate) fn put(&self, agent: Agent) -> AgentRecord {
        match self.agent(agent.no) {
            Some(known) => {
                known.set(agent);
                known
            }
            None => self.place(self.records.next.fetch_add(1, Ordering::AcqRel), agent, Lease::default()),
        }
    }

    /// Makes room for agents that are going to be [restored](Restoring).
    pub(crate) fn expect(&self, agents: usize) {
        self.numbers.reserve(agents, |place| hash_of_no(self.no_at(*place)));
        self.names.reserve(agents, |place| self.hash_of_name_at(*place));
    }

    /// Puts an agent at a place where nobody is. If another was quicker, the place stays empty and its lease is kept.
    fn place(&self, place: Place, agent: Agent, lease: Lease) -> AgentRecord {
        let no = agent.no;
        let record = self.records.place(place);
        let slot = record.slot();
        slot.lease.become_as(lease);
        slot.kept().agent = PackedAgent::of(&agent);
        let identity = Identity::of(&agent);
        if let Some(holds) = record.row.holds.get(identity.vendor as usize) {
            holds.store(true, Ordering::Release);
        }
        // Without room it is looked up in the store each time.
        if self.records.row(place).is_none() {
            slot.set_identity(identity);
            return record;
        }
        let is_it = |place: &Place| self.no_at(*place) == no;
        let rehash = |place: &Place| hash_of_no(self.no_at(*place));
        let begin = || slot.set_identity(identity);
        if let Some(known) = self.numbers.insert_if_new(hash_of_no(no), place, is_it, rehash, begin)
            && let Some(known) = self.records.get(known)
        {
            slot.lease.become_as(Lease::default());
            known.set(agent);
            return known;
        }
        record.expect_loss_from(0);
        if let Some(seen) = slot.lease.last_seen().filter(|_| slot.lease.is_online()) {
            record.row.seen_from.fetch_min(seen.timestamp_millis(), Ordering::SeqCst);
        }
        let name = self.hash_of_name(agent.tenant, agent.vendor, agent.kind, &agent.id);
        self.names.insert(name, place, |place| self.hash_of_name_at(*place));
        record
    }

    /// The agents of a host, if they are known.
    pub(crate) fn members(&self, host: No) -> Option<Vec<No>> {
        self.members.get(&host).map(|members| members.clone())
    }

    pub(crate) fn set_members(&self, host: No, members: Vec<No>) {
        self.members.insert(host, members);
    }

    /// Takes an agent's row; if it has moved, the host that it left has it no longer.
    pub(crate) fn put_member(&self, agent: Agent) -> AgentRecord {
        let left = self.agent(agent.no).and_then(|known| known.look(|row| row.parent));
        if let Some(left) = left.filter(|left| Some(*left) != agent.parent)
            && let Some(mut members) = self.members.get_mut(&left)
        {
            members.retain(|no| *no != agent.no);
        }
        self.put(agent)
    }

    /// Notes that a lease has to be written.
    pub(crate) fn renewed(&self, record: AgentRecord) {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    /// Agents that the journal has as online and that have not reported after `before`.
    pub(crate) fn silent_since(&self, before: DateTime<Utc>) -> Vec<AgentRecord> {
        let before = before.timestamp_millis();
        let mut silent = Vec::new();
        for row in self.records.rows() {
            if row.seen_from.load(Ordering::SeqCst) > before {
                continue;
            }
            // Forgotten before the look: what is noted during it is kept.
            row.seen_from.store(i64::MAX, Ordering::SeqCst);
            let mut earliest = i64::MAX;
            for (at, slot) in row.slots.iter().enumerate().filter(|(_, slot)| slot.lease.is_online()) {
                let Some(seen) = slot.lease.last_seen().map(|seen| seen.timestamp_millis()) else { continue };
                earliest = earliest.min(seen);
                if seen <= before {
                    silent.push(AgentRecord { row: Arc::clone(row), at });
                }
            }
            row.seen_from.fetch_min(earliest, Ordering::SeqCst);
        }
        silent
    }

    /// Agents of a vendor of which nothing was heard after `before` and that were not given up since, at most `limit`.
    pub(crate) fn lost_since(&self, vendor: Vendor, before: DateTime<Utc>, limit: usize) -> Vec<AgentRecord> {
        let before = seconds(before);
        let mut lost = Vec::new();
        for row in self.records.rows() {
            let Some(from) = row.heard_from.get(vendor as usize) else { continue };
            if lost.len() >= limit {
                break;
            }
            if from.load(Ordering::SeqCst) >= before {
                continue;
            }
            // Forgotten before the look: what is noted during it is kept.
            from.store(u32::MAX, Ordering::SeqCst);
            let mut earliest = u32::MAX;
            for at in 0..ABREAST {
                let record = AgentRecord { row: Arc::clone(row), at };
                let is_put = record.no() != NOBODY;
                let Some(heard) = record.lease().waits_since().filter(|_| is_put) else { continue };
                if record.identity().vendor != vendor {
                    continue;
                }
                earliest = earliest.min(heard);
                if heard < before {
                    lost.push(record);
                }
            }
            from.fetch_min(earliest, Ordering::SeqCst);
        }
        lost.truncate(limit);
        lost
    }

    /// Notes that a key was offered. Said again of the same key, its first time counts.
    pub(crate) fn offered(&self, offer: Offer) {
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = offers.entry(offer.agent).or_insert(offer);
        if known.rotation < offer.rotation {
            *known = offer;
        }
    }

    /// Takes the offers of keys that were made by a time.
    pub(crate) fn take_offers_until(&self, before: DateTime<Utc>) -> Vec<Offer> {
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        let due: Vec<_> = offers.values().filter(|offer| offer.at <= before).copied().collect();
        offers.retain(|_, offer| offer.at > before);
        due
    }

    /// Notes an event for the next flush.
    pub(crate) fn note(&self, event: NewEvent) {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Takes the events that have to be written.
    pub(crate) fn take_noted(&self) -> Vec<NewEvent> {
        std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts events back that could not be written, before those that came later.
    pub(crate) fn put_noted_back(&self, mut events: Vec<NewEvent>) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        events.append(&mut noted);
        *noted = events;
    }

    /// Takes the leases that have to be written.
    pub(crate) fn take_renewed(&self) -> Vec<AgentRecord> {
        std::mem::take(&mut *self.renewed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Puts agents in one after the other as a start finds them, which are most likely not there yet. Each has whole rows to
/// itself, so that two at once do not write to the same lines of memory.
pub(crate) struct Restoring {
    registry: Arc<Registry>,
    places: Range<Place>,
}

impl Restoring {
    pub(crate) fn into(registry: &Arc<Registry>) -> Self {
        Self { registry: Arc::clone(registry), places: 0..0 }
    }

    pub(crate) fn put(&mut self, agent: Agent, lease: Lease) {
        const ROW: Place = ABREAST as Place;
        if self.places.is_empty() {
            let first = self.registry.records.next.fetch_add(ROW, Ordering::AcqRel);
            self.places = first..first + ROW;
        }
        if let Some(place) = self.places.next() {
            self.registry.place(place, agent, lease);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use chrono::{DateTime, Utc};
    use serde_json::Map;

    use super::*;
    use crate::domain::{NewAgent, Standing};
    use crate::lease::Report;

    fn agent(no: No) -> Agent {
        let new = NewAgent {
            tenant: 1,
            vendor: Vendor::Achilles,
            kind: Kind::Agent,
            no: None,
            id: Some(format!("a-{no}")),
            parent: None,
            name: "ws".to_owned(),
            version: None,
            facts: Map::new(),
            labels: BTreeMap::new(),
            key: None,
            at: DateTime::<Utc>::UNIX_EPOCH,
        };
        new.into_agent(no)
    }

    fn key_of(agent: Option<No>) -> Credential {
        Credential { tenant: 1, vendor: Vendor::Achilles, agent, candidate: false }
    }

    #[test]
    fn an_answer_that_is_older_than_a_forgetting_is_not_kept() {
        let registry = Registry::default();
        let digest = Digest::of("key");
        let asked = registry.epoch();
        registry.forget_keys(7);
        registry.learn_key(digest, key_of(Some(7)), asked);
        assert_eq!(registry.key(&digest), None);
        registry.learn_key(digest, key_of(Some(7)), registry.epoch());
        assert_eq!(registry.key(&digest), Some(key_of(Some(7))));
    }

    #[test]
    fn forgetting_an_agents_keys_leaves_all_others() {
        let registry = Registry::default();
        let keys = [("old", Some(7)), ("new", Some(7)), ("other", Some(8)), ("tenant", None)];
        for (key, agent) in keys {
            registry.learn_key(Digest::of(key), key_of(agent), registry.epoch());
        }
        registry.forget_keys(7);
        let kept = keys.map(|(key, _)| registry.key(&Digest::of(key)).is_some());
        assert_eq!(kept, [false, false, true, true]);
    }

    #[test]
    fn an_agent_is_found_by_its_whole_name_only() {
        let registry = Registry::default();
        registry.put(agent(7));
        let found = |tenant, vendor, kind, id| registry.named(tenant, vendor, kind, id).is_some();
        assert!(found(1, Vendor::Achilles, Kind::Agent, "a-7"));
        assert!(!found(2, Vendor::Achilles, Kind::Agent, "a-7"));
        assert!(!found(1, Vendor::ZStack, Kind::Agent, "a-7"));
        assert!(!found(1, Vendor::Achilles, Kind::Host, "a-7"));
        assert!(!found(1, Vendor::Achilles, Kind::Agent, "a-8"));
    }

    #[test]
    fn a_changed_row_keeps_its_lease() {
        let registry = Registry::default();
        let record = registry.put(agent(7));
        record.lease().renew(DateTime::from_timestamp(5, 0).unwrap(), Report::default());
        let again = registry.put(Agent { name: "renamed".to_owned(), ..agent(7) });
        assert_eq!((again.at, Arc::as_ptr(&again.row)), (record.at, Arc::as_ptr(&record.row)));
        assert_eq!(record.agent().name, "renamed");
        assert!(record.lease().last_seen().is_some());
        assert_eq!(registry.all().count(), 1);
    }

    #[test]
    fn a_row_that_comes_late_takes_back_no_offer_and_no_sign_in() {
        let registry = Registry::default();
        let row = |rotation, rotating, activated| Agent { rotation, rotating, activated, ..agent(7) };
        let record = registry.put(row(0, false, false));
        let keys = || {
            let agent = record.agent();
            (agent.rotation, agent.rotating, agent.activated)
        };
        registry.put(row(0, false, true));
        registry.put(row(1, true, true));
        registry.put(row(0, false, false));
        assert_eq!(keys(), (1, true, true), "an offer is not lost");
        registry.put(row(1, false, true));
        registry.put(row(1, true, true));
        assert_eq!(keys(), (1, false, true), "an offer that was taken is not made again");
        registry.put(row(2, true, true));
        assert_eq!(keys(), (2, true, true), "the next one is made");
    }

    #[test]
    fn a_row_that_comes_late_lets_nobody_in_again() {
        let registry = Registry::default();
        let row = |turns, disabled, departed| Agent { turns, disabled, departed, ..agent(7) };
        let record = registry.put(row(0, false, None));
        let stands = || {
            let agent = record.agent();
            (agent.standing(), agent.disabled)
        };
        registry.put(row(1, true, None));
        registry.put(row(0, false, None));
        assert_eq!(stands(), (Standing::Disabled, true));
        registry.put(row(2, false, None));
        assert_eq!(stands(), (Standing::Active, false), "an operator has let it in");
        registry.put(row(3, true, Some(Standing::Uninstalled)));
        registry.put(row(9, false, None));
        assert_eq!(stands(), (Standing::Uninstalled, true), "nothing leads back");
    }

    #[test]
    fn an_agent_is_lost_once_until_it_is_heard_again() {
        let registry = Registry::default();
        let record = registry.put(agent(7));
        let at = |seconds: i64| DateTime::from_timestamp(1_774_103_400 + seconds, 0).unwrap();
        let lost = |vendor, seconds| registry.lost_since(vendor, at(seconds), 9).len();
        record.hear(at(0));
        assert_eq!((lost(Vendor::Achilles, 0), lost(Vendor::Achilles, 1)), (0, 1));
        assert_eq!(lost(Vendor::ZStack, 1), 0);
        assert!(record.lease().give_up(true), "nobody has before");
        assert_eq!(lost(Vendor::Achilles, 1), 0);
        record.hear(at(5));
        assert_eq!((lost(Vendor::Achilles, 5), lost(Vendor::Achilles, 6)), (0, 1));
    }

    #[test]
    fn who_is_silent_is_found_until_it_is_told_and_again_when_it_was_back() {
        let registry = Arc::<Registry>::default();
        let at = |seconds: i64| DateTime::from_timestamp(1_774_103_400 + seconds, 0).unwrap();
        let mut restoring = Restoring::into(&registry);
        for no in 1..=3 {
            let online = no != 3;
            restoring.put(agent(no), Lease::restore(Some(at(no)), None, online, false));
        }
        let silent = |seconds| -> Vec<No> {
            let mut silent: Vec<_> = registry.silent_since(at(seconds)).iter().map(AgentRecord::no).collect();
            silent.sort_unstable();
            silent
        };
        assert_eq!((silent(0), silent(1), silent(1), silent(2)), (vec![], vec![1], vec![1], vec![1, 2]));
        let two = registry.agent(2).unwrap();
        two.lease().renew(at(50), Report::default());
        assert_eq!(silent(9), [1]);
        let one = registry.agent(1).unwrap();
        assert!(one.lease().turn_offline(at(1)).is_some());
        assert_eq!((silent(9), silent(49), silent(50)), (vec![], vec![], vec![2]));
        one.lease().renew(at(40), Report::default());
        assert_eq!(silent(45), [0; 0], "nobody was told that it is back");
        assert!(one.turn_online().is_some());
        assert_eq!((silent(39), silent(40)), (vec![], vec![1]));
    }

    #[test]
    fn who_was_given_up_and_heard_again_is_looked_for_again() {
        let registry = Registry::default();
        let at = |seconds: i64| DateTime::from_timestamp(1_774_103_400 + seconds, 0).unwrap();
        for no in 1..=200 {
            registry.put(agent(no)).hear(at(0));
        }
        let lost = |seconds| registry.lost_since(Vendor::Achilles, at(seconds), 150);
        let first = lost(1);
        assert_eq!(first.len(), 150, "no more than was asked for");
        first.iter().for_each(|record| assert!(record.lease().give_up(true)));
        let rest = lost(1);
        assert_eq!(rest.len(), 50, "and the others next time");
        rest.iter().for_each(|record| assert!(record.lease().give_up(true)));
        assert_eq!(lost(100).len(), 0);
        first[0].hear(at(50));
        assert_eq!((lost(50).len(), lost(51).len()), (0, 1));
        rest[0].is_not_given_up();
        assert_eq!(lost(50).len(), 1);
    }

    #[test]
    fn each_of_many_agents_is_found() {
        let registry = Registry::default();
        let count = 3 * No::try_from(ABREAST).unwrap() * 1024 / 100;
        for no in 1..=count {
            registry.put(agent(no * 7));
        }
        for no in 1..=count {
            let named = registry.named(1, Vendor::Achilles, Kind::Agent, &format!("a-{}", no * 7));
            let numbered = registry.agent(no * 7);
            assert_eq!(named.map(|record| record.no()), Some(no * 7));
            assert_eq!(numbered.map(|record| record.agent().no), Some(no * 7));
            assert!(registry.agent(no * 7 - 1).is_none());
        }
        let all: BTreeSet<_> = registry.all().map(|record| record.no()).collect();
        assert_eq!(all, (1..=count).map(|no| no * 7).collect());
    }

    #[test]
    fn the_agents_of_a_vendor_are_found_among_those_of_others() {
        let registry = Registry::default();
        let of = |vendor, no| Agent { vendor, ..agent(no) };
        (1..=200).for_each(|no| drop(registry.put(of(Vendor::Acusight, no))));
        (201..=400).for_each(|no| drop(registry.put(of(Vendor::ZStack, no))));
        let found: Vec<_> = registry.about(Vendor::ZStack).collect();
        let mut theirs: Vec<_> = found.iter().map(AgentRecord::no).filter(|no| *no > 200).collect();
        theirs.sort_unstable();
        assert_eq!(theirs, (201..=400).collect::<Vec<_>>());
        assert!(found.len() < 200 + ABREAST, "rows without one are passed over");
        assert_eq!(registry.about(Vendor::Achilles).count(), 0);
    }

    #[test]
    fn an_agent_that_comes_by_two_ways_at_once_is_one() {
        for _ in 0..50 {
            let registry = Registry::default();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| (1..=20).for_each(|no| drop(registry.put(agent(no)))));
                }
            });
            assert_eq!(registry.all().count(), 20);
        }
    }

    #[test]
    fn what_is_held_of_an_agent_is_small() {
        assert_eq!(size_of::<Slot>(), 128);
    }

    #[test]
    fn an_agent_that_moved_is_no_member_of_the_host_it_left() {
        let registry = Registry::default();
        let on = |host| Agent { parent: Some(host), ..agent(2) };
        registry.put_member(on(100));
        registry.set_members(100, vec![1, 2, 3]);
        registry.put_member(on(200));
        registry.set_members(200, vec![2, 4]);
        assert_eq!(registry.members(100), Some(vec![1, 3]));
        assert_eq!(registry.members(200), Some(vec![2, 4]));
        assert_eq!(registry.members(300), None);
    }

    #[test]
    fn what_was_renewed_is_taken_once() {
        let registry = Registry::default();
        let record = registry.put(agent(7));
        registry.renewed(record);
        assert_eq!(registry.take_renewed().len(), 1);
        assert!(registry.take_renewed().is_empty());
    }

    #[test]
    fn agents_that_two_restore_at_once_are_all_found_once() {
        let registry = Arc::<Registry>::default();
        registry.expect(1000);
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0);
        let restore = |numbers: std::ops::RangeInclusive<No>| {
            let mut restoring = Restoring::into(&registry);
            for no in numbers {
                restoring.put(agent(no), Lease::restore(at(1), None, no % 2 == 0, false));
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| restore(1..=600));
            // Some of them are found twice.
            scope.spawn(|| restore(500..=1000));
        });
        let numbers: BTreeSet<No> = registry.all().map(|record| record.no()).collect();
        assert_eq!((registry.all().count(), numbers), (1000, (1..=1000).collect()));
        for no in 1..=1000 {
            let id = format!("a-{no}");
            let named = registry.named(1, Vendor::Achilles, Kind::Agent, &id).map(|record| record.no());
            let found = registry.agent(no).map(|record| (record.agent().id, record.lease().is_online()));
            assert_eq!((named, found), (Some(no), Some((id, no % 2 == 0))));
        }
        let silent = registry.silent_since(at(1).unwrap());
        assert_eq!(silent.len(), 500, "who was found twice is silent once");
        let next = registry.put(agent(1001));
        assert_eq!(registry.agent(1001).map(|record| record.at), Some(next.at));
    }
}
