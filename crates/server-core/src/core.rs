use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, RwLock};
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fleetwire_protocol::Fault;
use fleetwire_validation::{Context, HouseRules};

use crate::domain::{
    BatchLimits, Credential, Delivery, HandedOver, HostLimits, Kind, No, Swept, Vendor, Work,
};
use crate::enrolling::Rivals;
use crate::events::NewEvent;
use crate::keys::{Digest, Foundation, Presigner, Rotations, Signers, mint};
use crate::lease::Sampling;
use crate::lease::{Cadence, Downtime, Lease, Liveness, PackedReport, liveness};
use crate::packed::AgentLook;
use crate::rate::Rate;
use crate::registry::{AgentRecord, Registry, Restoring};
use crate::sightings::{Host, Suspicion};
use crate::store::{Numbers, Outcome, RestoredAgent, Store, StoreError, Taker};
use crate::{Clock, Entropy, dialect};

/// Pieces of work, or batches, that one sweep moves at most: more would keep other writers waiting.
const SWEEP: u32 = 256;

/// Leases that are written in one transaction: more would keep other writers waiting, and take memory for a copy.
const WRITTEN_AT_ONCE: usize = 20_000;

/// Reports that are kept with them at most: of a whole fleet that is new, the rest have their turn with a later flush.
const KEPT_AT_ONCE: usize = 2_000;

/// How long an offered key waits to be used before that is told.
const KEY_UNUSED_AFTER: chrono::Duration = chrono::Duration::seconds(300);

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct Config {
    /// How often Acusight devices report.
    pub acusight: Cadence,
    /// How often ZStack agents report.
    pub zstack: Cadence,
    /// How often AgentMC hosts report.
    pub agentmc: Cadence,
    /// How many agents an AgentMC host may report; those beyond are left out.
    pub agents_per_host: u32,
    /// How often Achilles agents report.
    pub achilles: Cadence,
    /// The time between two polls that an Achilles agent is asked for.
    pub poll_interval: Duration,
    /// How far an agent's clock may be off where its dialect says the time. Inclusive.
    pub clock_skew: Duration,
    /// How long after an enrolment the same newcomer gets the same agent again.
    pub repeat_enrolment_within: Duration,
    /// How long work is worth doing.
    pub work_ttl: Duration,
    /// How long an address is good under which a file can be fetched without credentials.
    pub address_ttl: Duration,
    /// How much a device may put where.
    pub batches: BatchLimits,
    /// How many agents a tenant may have before nobody makes more with a key of the whole tenant. Operators still may,
    /// and who was given a token of its own.
    pub agents_per_tenant: u64,
    /// How long events are kept.
    pub keep_events: Duration,
    /// How often the key of one agent may be used; no bound if there is none.
    pub rate: Option<Rate>,
    /// How often a report is kept, and for how long.
    pub sampling: Sampling,
    /// Whether a check-in that only renews a lease is committed too before it is answered.
    pub commits_check_ins: bool,
    /// The rules that requests are held to beyond what sources state.
    pub house_rules: HouseRules,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            acusight: Cadence::default_of(Vendor::Acusight),
            zstack: Cadence::default_of(Vendor::ZStack),
            agentmc: Cadence::default_of(Vendor::AgentMc),
            agents_per_host: HostLimits::default().on_host,
            achilles: Cadence::default_of(Vendor::Achilles),
            poll_interval: Duration::from_secs(30),
            clock_skew: Duration::from_secs(300),
            repeat_enrolment_within: Duration::from_secs(600),
            work_ttl: Duration::from_secs(7 * 24 * 3600),
            address_ttl: Duration::from_secs(3600),
            batches: BatchLimits::default(),
            agents_per_tenant: 100_000,
            keep_events: Duration::from_secs(30 * 24 * 3600),
            rate: None,
            sampling: Sampling::default(),
            commits_check_ins: false,
            house_rules: HouseRules::ALL,
        }
    }
}

impl Config {
    /// How often agents of a vendor report.
    #[must_use]
    pub const fn cadence(&self, vendor: Vendor) -> &Cadence {
        match vendor {
            Vendor::Acusight => &self.acusight,
            Vendor::ZStack => &self.zstack,
            Vendor::AgentMc => &self.agentmc,
            Vendor::Achilles => &self.achilles,
        }
    }
}

/// What a key is good for, in the dialects whose keys need not belong to one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyScope {
    /// Whose key it is.
    pub tenant: No,
    /// The agent or host that it is bound to; `None` for all of the tenant.
    pub agent: Option<No>,
}

/// A key as it was presented, and what it is good for.
struct Presented {
    digest: Digest,
    credential: Credential,
    /// The agent that it is bound to, if that is at hand.
    record: Option<AgentRecord>,
    /// Whether the store had to be asked, which takes time.
    was_asked: bool,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored seeds make no signing key.
    #[error("there is no signing key of Ed25519 in the store that is not retired")]
    SigningSeed,
}

/// The decisions of a server, over a store.
pub struct Core<S> {
    pub(crate) store: S,
    pub(crate) config: Config,
    pub(crate) registry: Arc<Registry>,
    pub(crate) rivals: Rivals,
    pub(crate) rotations: Rotations,
    pub(crate) presigner: Presigner,
    /// Replaced as a whole when a key is made or retired.
    pub(crate) signers: RwLock<Arc<Signers>>,
    pub(crate) operator: Digest,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    downtime: Option<Downtime>,
    started: DateTime<Utc>,
}

impl<S: Store> Core<S> {
    /// Starts over a store. On the very first start the second value is the operator's token: it is shown
    /// this once, and only its digest is kept.
    ///
    /// # Errors
    /// The store fails, or holds no usable signing seed.
    pub async fn start(
        store: S,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        config: Config,
    ) -> Result<(Self, Option<String>), StartError> {
        let operator = mint(crate::operator::TOKEN_PREFIX, &*entropy);
        let mut fresh = Foundation { rotation: [0; 32], signing: [0; 32], operator: Digest::of(&operator) };
        entropy.fill(&mut fresh.rotation);
        entropy.fill(&mut fresh.signing);
        let (foundation, first) = store.found(fresh).await?;
        let signers = Signers::new(store.signing_keys().await?).ok_or(StartError::SigningSeed)?;

        let restored = store.restore().await?;
        let registry = Arc::<Registry>::default();
        if let Some(numbers) = restored.numbers {
            registry.expect(numbers.count);
            restore_agents(&store, &registry, numbers).await?;
        }
        restored.offers.into_iter().for_each(|offer| registry.offered(offer));
        let now = clock.now();
        let downtime = restored.up_until.map(|from| Downtime { from, to: now });
        if let Some(downtime) = downtime {
            store.excuse(downtime).await?;
        }
        let core = Self {
            store,
            config,
            registry,
            rivals: Rivals::default(),
            rotations: Rotations::new(&foundation),
            presigner: Presigner::new(&foundation),
            signers: RwLock::new(Arc::new(signers)),
            operator: foundation.operator,
            clock,
            entropy,
            downtime,
            started: now,
        };
        Ok((core, first.then_some(operator)))
    }

    /// Writes every lease that was renewed since the last flush, and the events that follow from them: who is
    /// back, who has fallen silent. Returns how many leases. One at a time: flushes at once could tell of a
    /// silence after its end.
    ///
    /// # Errors
    /// The store fails; leases and events are kept for the next flush.
    pub async fn flush(&self) -> Result<usize, StoreError> {
        self.write_behind(true).await
    }

    /// Writes the leases that were renewed since the last flush, if there are any, and the events that follow from
    /// them; nobody is found to be silent. For check-ins that are committed before they are answered. One at a
    /// time, and not during a flush.
    ///
    /// # Errors
    /// The store fails; leases and events are kept for the next flush.
    pub async fn flush_renewed(&self) -> Result<usize, StoreError> {
        self.write_behind(false).await
    }

    /// Writes what waits to be written. What nobody has told of is looked for too if `all` is to be written, and
    /// that the server is up, even if nothing waits.
    async fn write_behind(&self, all: bool) -> Result<usize, StoreError> {
        let mut renewed = self.registry.take_renewed();
        let mut count = 0;
        loop {
            let part = renewed.split_off(renewed.len().saturating_sub(WRITTEN_AT_ONCE));
            let is_last = renewed.is_empty();
            match self.write_part(&part, all && is_last).await {
                Ok(written) => count += written,
                Err(error) => {
                    let again = part.into_iter().filter(|record| record.lease().retake());
                    // Those that were not reached are marked still.
                    again.chain(renewed).for_each(|record| self.registry.renewed(record));
                    return Err(error);
                }
            }
            if is_last {
                return Ok(count);
            }
        }
    }

    /// Writes leases and the events that wait, and if `says_up` that the server is up, and who has fallen silent. Returns
    /// how many leases; they are to be marked again if it fails.
    async fn write_part(&self, part: &[AgentRecord], says_up: bool) -> Result<usize, StoreError> {
        let mut rows = Vec::with_capacity(part.len());
        let mut kept = Vec::new();
        for record in part {
            if let Some(mut row) = record.lease().take(record.no()) {
                if kept.len() < KEPT_AT_ONCE {
                    row.place = record.lease().take_turn(&row, &self.config.sampling);
                }
                if row.place.is_some() {
                    kept.push(record.clone());
                }
                rows.push(row);
            }
            if let Some(gap) = record.turn_online() {
                self.registry.note(NewEvent::online(&record.agent(), &gap));
            }
        }
        if says_up {
            self.note_silence();
            self.note_unused_keys();
        }
        let events = self.registry.take_noted();
        if !says_up && rows.is_empty() && events.is_empty() {
            return Ok(0);
        }
        let count = rows.len();
        let outcome = self.store.flush(rows, events.clone(), self.now()).await;
        if outcome.is_err() {
            self.registry.put_noted_back(events);
            kept.iter().for_each(|record| record.lease().give_turn_back());
        }
        outcome.map(|()| count)
    }

    /// Notes which keys were offered some time ago and are not used. Both keys of the agent stay good.
    fn note_unused_keys(&self) {
        let now = self.now();
        let Some(before) = now.checked_sub_signed(KEY_UNUSED_AFTER) else { return };
        for offer in self.registry.take_offers_until(before) {
            let Some(agent) = self.registry.agent(offer.agent).map(|record| record.agent()) else { continue };
            if agent.rotating && agent.rotation == offer.rotation {
                self.registry.note(NewEvent::key_unused(&agent, offer.rotation, offer.at, now));
            }
        }
    }

    /// Closes batches whose time is over, some of them. Returns how many.
    ///
    /// # Errors
    /// The store fails; the next sweep does it.
    pub async fn sweep_batches(&self) -> Result<u32, StoreError> {
        self.store.close_old_batches(self.config.batches.age, self.now(), SWEEP).await
    }

    /// Notes who has fallen silent since this was last looked at.
    fn note_silence(&self) {
        let now = self.now();
        let patience = Vendor::ALL.map(|vendor| self.config.cadence(vendor).offline_after);
        // Most agents are passed over without a look at their rows.
        let least = patience.into_iter().min().and_then(|least| chrono::Duration::from_std(least).ok());
        let Some(before) = least.and_then(|least| now.checked_sub_signed(least)) else { return };
        for record in self.registry.silent_since(before) {
            let Some(last_seen) = record.lease().last_seen() else { continue };
            if self.liveness(&record, now) == Liveness::Offline
                && let Some(last) = record.lease().turn_offline(last_seen)
            {
                self.registry.note(NewEvent::offline(&record.agent(), last_seen, last.as_ref(), now));
            }
        }
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What a request of this time is checked against.
    #[must_use]
    pub fn context(&self, now: DateTime<Utc>) -> Context {
        let config = &self.config;
        Context::at(now).with_clock_window(Some(config.clock_skew)).with_house_rules(config.house_rules)
    }

    /// The store, to be closed once nobody asks any more.
    pub fn into_store(self) -> S {
        self.store
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A wait that is longer than `wait` by up to half of it, or up to 3 s if that is more, so that those who are
    /// put off together do not come back together.
    #[must_use]
    pub fn spread(&self, wait: Duration) -> Duration {
        let mut random = [0; 4];
        self.entropy.fill(&mut random);
        let most = (wait / 2).max(Duration::from_secs(3));
        let share = f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX);
        wait.saturating_add(most.mul_f64(share))
    }

    /// What an agent is told of a failure of the store, which is logged here.
    #[must_use]
    pub fn fault(&self, error: StoreError) -> Fault {
        internal(error)
    }

    /// Fresh randomness for a seed.
    pub(crate) fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.entropy.fill(&mut seed);
        seed
    }

    pub(crate) fn mint(&self, prefix: &str) -> String {
        mint(prefix, &*self.entropy)
    }

    /// A new id: a UUID of version 7, so that rows made together lie together.
    pub(crate) fn new_id(&self) -> String {
        let mut random = [0; 10];
        self.entropy.fill(&mut random);
        let millis = u64::try_from(self.now().timestamp_millis()).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string()
    }

    /// Whether an agent reports in time.
    pub(crate) fn liveness(&self, record: &AgentRecord, now: DateTime<Utc>) -> Liveness {
        let cadence = self.config.cadence(record.identity().vendor);
        let lease = record.lease();
        liveness(now, lease.last_seen(), cadence, self.downtime, lease.is_online())
    }

    /// Notes the host that an agent reports from, and whether two seem to take turns.
    pub(crate) fn sight(&self, record: &AgentRecord, host: &Host<'_>, now: DateTime<Utc>) {
        let alive_for = self.config.cadence(record.identity().vendor).offline_after;
        if let Some(suspicion) = record.sight(host, now, alive_for) {
            let agent = record.agent();
            let Suspicion { newer, older } = &suspicion;
            tracing::warn!(vendor = %agent.vendor, agent = agent.id, %newer, %older, "two hosts report as one agent");
            self.registry.note(NewEvent::clone_suspected(&agent, &suspicion, now));
        }
    }

    /// Renews a lease.
    pub(crate) fn renew(&self, record: &AgentRecord, report: impl Into<PackedReport>, now: DateTime<Utc>) {
        if record.lease().renew(now, report) {
            self.registry.renewed(record.clone());
        }
    }

    /// Finds what a key is good for.
    async fn credential(&self, vendor: Vendor, secret: &str, now: DateTime<Utc>) -> Result<Presented, Fault> {
        let digest = Digest::of(secret);
        let (credential, record, was_asked) = match self.registry.known_key(&digest) {
            Some((credential, record)) => (credential, record, false),
            None => (self.ask_for_key(digest).await?, None, true),
        };
        if credential.vendor != vendor {
            return Err(Fault::Unauthenticated);
        }
        // A key of the whole tenant is shared by as many agents as it has.
        if let Some(rate) = self.config.rate.filter(|_| credential.agent.is_some()) {
            let metered = self.registry.meter(&digest, now, rate);
            metered.map_err(|retry_after| Fault::Limited { retry_after })?;
        }
        Ok(Presented { digest, credential, record, was_asked })
    }

    /// What the store says that a key is good for.
    async fn ask_for_key(&self, digest: Digest) -> Result<Credential, Fault> {
        let epoch = self.registry.epoch();
        let credential = self.store.credential(digest).await.map_err(internal)?;
        let credential = credential.ok_or(Fault::Unauthenticated)?;
        self.registry.learn_key(digest, credential, epoch);
        Ok(credential)
    }

    /// Signs an agent in with a key of its own. `plausible` sees the agent before the key takes effect.
    pub(crate) async fn sign_in(
        &self,
        vendor: Vendor,
        secret: &str,
        now: DateTime<Utc>,
        plausible: impl FnOnce(&AgentLook<'_>) -> bool,
    ) -> Result<AgentRecord, Fault> {
        let presented = self.credential(vendor, secret, now).await?;
        let no = presented.credential.agent.ok_or(Fault::Unauthenticated)?;
        self.accept(presented, no, now, plausible).await
    }

    /// Finds what a key is good for, in the dialects whose keys need not belong to one agent.
    pub(crate) async fn scope(
        &self,
        vendor: Vendor,
        secret: &str,
        now: DateTime<Utc>,
    ) -> Result<KeyScope, Fault> {
        let presented = self.credential(vendor, secret, now).await?;
        let credential = presented.credential;
        if let Some(no) = credential.agent {
            self.accept(presented, no, now, |_| true).await?;
        }
        Ok(KeyScope { tenant: credential.tenant, agent: credential.agent })
    }

    /// Takes the key of an agent. Its first use ends its siblings.
    async fn accept(
        &self,
        presented: Presented,
        no: No,
        now: DateTime<Utc>,
        plausible: impl FnOnce(&AgentLook<'_>) -> bool,
    ) -> Result<AgentRecord, Fault> {
        let Presented { digest, credential, record, was_asked } = presented;
        let (record, was_asked) = match record.or_else(|| self.registry.agent(no)) {
            Some(record) => (record, was_asked),
            None => (self.record(no).await?.ok_or(Fault::Unauthenticated)?, true),
        };
        let (is_plausible, activated) = record.look(|row| (!row.disabled && plausible(row), row.activated));
        if !is_plausible {
            return Err(Fault::Unauthenticated);
        }
        if credential.candidate || !activated {
            self.settle(digest, no, now).await?;
        } else if was_asked && self.registry.key(&digest).is_none() {
            // A sibling has been settled on since the store was asked about this key, and may have ended it.
            self.ask_for_key(digest).await?;
        }
        record.hear(now);
        Ok(record)
    }

    /// The first use of a key ends its siblings.
    async fn settle(&self, digest: Digest, no: No, now: DateTime<Utc>) -> Result<(), Fault> {
        let agent = match self.store.settle_key(digest, now).await {
            Ok(agent) => agent,
            // Another request has settled on a sibling in the meantime.
            Err(StoreError::Missing(_)) => {
                self.registry.forget_keys(no);
                return Err(Fault::Unauthenticated);
            }
            Err(error) => return Err(internal(error)),
        };
        // This key too: a sibling may have ended it by now, and only the store knows.
        self.registry.forget_keys(no);
        self.registry.put(agent);
        Ok(())
    }

    /// An agent by its number.
    pub(crate) async fn record(&self, no: No) -> Result<Option<AgentRecord>, Fault> {
        if let Some(record) = self.registry.agent(no) {
            return Ok(Some(record));
        }
        let agent = self.store.agent(no).await.map_err(internal)?;
        Ok(agent.map(|agent| self.registry.put(agent)))
    }

    /// An agent by its id on the wire.
    pub(crate) async fn named(
        &self,
        tenant: No,
        vendor: Vendor,
        kind: Kind,
        id: &str,
    ) -> Result<Option<AgentRecord>, Fault> {
        if let Some(record) = self.registry.named(tenant, vendor, kind, id) {
            return Ok(Some(record));
        }
        let agent = self.store.agent_named(tenant, vendor, kind, id.to_owned()).await.map_err(internal)?;
        Ok(agent.map(|agent| self.registry.put(agent)))
    }

    /// Hands open work to an agent; asks the store only if there may be some.
    pub(crate) async fn deliver(
        &self,
        record: &AgentRecord,
        delivery: Delivery,
        now: DateTime<Utc>,
    ) -> Result<Vec<Work>, Fault> {
        if !record.lease().has_work(now) {
            return Ok(Vec::new());
        }
        let no = record.no();
        let call = || self.store.deliver(no, delivery, now);
        Ok(self.handing_over(record, call, |handed_over| handed_over).await?.work)
    }

    /// Makes a store call that hands over open work, and keeps the mark which says that there may be some.
    pub(crate) async fn handing_over<T, C: Future<Output = Outcome<T>>>(
        &self,
        record: &AgentRecord,
        call: impl FnOnce() -> C,
        handed_over: impl FnOnce(&T) -> &HandedOver,
    ) -> Result<T, Fault> {
        // Cleared first: work queued during the call sets the mark again after its commit.
        record.lease().expect_no_work();
        let outcome = call().await;
        match outcome.as_ref().map(handed_over) {
            // What was handed over may have to be handed over again, and nobody knows what is behind it.
            Ok(handed_over) if handed_over.work.is_empty() => {
                if let Some(due) = handed_over.due {
                    record.lease().expect_work(Some(due));
                }
            }
            Ok(_) | Err(_) => record.lease().expect_work(None),
        }
        outcome.map_err(internal)
    }

    /// Has work expire or take too long that nobody looks at, a batch of it, and gives up what agents are at that have
    /// fallen silent; what is to be tried again is handed over when its agent asks next. Returns how many pieces of work
    /// have moved.
    ///
    /// # Errors
    /// The store fails; the next sweep does it.
    pub async fn sweep_work(&self) -> Result<u32, StoreError> {
        let mut moved = 0_u32;
        for vendor in Vendor::ALL {
            moved = moved.saturating_add(self.give_up_work(vendor).await?);
        }
        let swept = self.store.sweep_work(self.now(), SWEEP).await?;
        Ok(moved.saturating_add(self.expect_work_of(swept)))
    }

    /// Gives up what agents of a vendor are at of which nothing was heard for too long. The time during which the server
    /// was not there is no such time, and neither is that before it.
    async fn give_up_work(&self, vendor: Vendor) -> Result<u32, StoreError> {
        let now = self.now();
        let patience = dialect::patience_with_work(vendor, self.config.cadence(vendor));
        let patience = patience.and_then(|patience| chrono::Duration::from_std(patience).ok());
        let before = patience.and_then(|patience| now.checked_sub_signed(patience));
        let Some(before) = before.filter(|before| self.started < *before) else { return Ok(0) };
        let lost = self.registry.lost_since(vendor, before, SWEEP as usize);
        // Before the call: who is heard during it is looked at again.
        let lost: Vec<_> = lost.into_iter().filter(|record| record.lease().give_up(true)).collect();
        if lost.is_empty() {
            return Ok(0);
        }
        let agents = lost.iter().map(AgentRecord::no).collect();
        match self.store.give_up_work(agents, now).await {
            Ok(swept) => Ok(self.expect_work_of(swept)),
            Err(error) => {
                lost.iter().for_each(AgentRecord::is_not_given_up);
                Err(error)
            }
        }
    }

    /// Notes which agents have work waiting again. Returns how many pieces have moved.
    fn expect_work_of(&self, swept: Swept) -> u32 {
        for no in swept.agents {
            if let Some(record) = self.registry.agent(no) {
                record.lease().expect_work(None);
            }
        }
        swept.moved
    }
}

/// Takes every agent from a store, by two ways at once.
async fn restore_agents(
    store: &impl Store,
    registry: &Arc<Registry>,
    Numbers { lowest, middle, highest, .. }: Numbers,
) -> Result<(), StoreError> {
    let taker = || -> Taker {
        let mut restoring = Restoring::into(registry);
        Box::new(move |RestoredAgent { agent, lease, online, works }| {
            let (last_seen, report) = lease.map(|row| (row.last_seen, row.report)).unzip();
            restoring.put(agent, Lease::restore(last_seen, report.flatten(), online, works));
        })
    };
    let mut one = pin!(store.restore_agents(lowest..=middle, taker()));
    let mut other = pin!(store.restore_agents(middle.saturating_add(1)..=highest, taker()));
    let mut taken = None;
    poll_fn(|context| {
        // Asked before the first is waited for.
        if taken.is_none()
            && let Poll::Ready(outcome) = other.as_mut().poll(context)
        {
            taken = Some(outcome);
        }
        Poll::Ready(())
    })
    .await;
    one.as_mut().await?;
    match taken {
        Some(outcome) => outcome,
        None => other.await,
    }
}

/// A failure of the store is logged here and told to nobody.
pub(crate) fn internal(error: StoreError) -> Fault {
    match error {
        StoreError::Unavailable(why) => {
            tracing::warn!(why, "the store is not available");
            Fault::Overloaded { what: "the server is busy", retry_after: Duration::from_secs(5) }
        }
        other => {
            tracing::error!(error = %other, "the store failed");
            Fault::Internal
        }
    }
}
