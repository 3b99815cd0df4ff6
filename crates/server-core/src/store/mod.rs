//! What a store must be able to do, cut by task. One call is one transaction: when it has returned, what it
//! did is committed.
//!
//! ```
//! use fleetwire_server_core::store::{Directory, MemoryStore, StoreError};
//!
//! # async fn look() -> Result<(), StoreError> {
//! let store = MemoryStore::default();
//! assert!(store.agent(1).await?.is_none());
//! # Ok(())
//! # }
//! ```

use std::future::Future;
use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::domain::{
    Agent, Announced, Asked, BatchLimits, Binary, Credential, Delivery, Enrolled, Enrolment, Execution,
    FindingFilter, FoundRow, Freed, HandedOver, HostReport, Hosted, Instructions, Kind, Model, ModelReport,
    NewAgent, NewImage, NewToken, NewWork, No, Observation, Queued, Reconciled, Recorded, Release, Reported,
    SigningKey, Standing, Swept, Token, Vendor, Work, WorkFilter, WorkReport,
};
use crate::domain::{Batch, BatchFilter, ImageFilter, ImageRow};
use crate::events::{Event, EventQuery, NewEvent};
use crate::keys::{Digest, Foundation};
use crate::lease::{Downtime, LeaseRow, Sample};

mod memory;

#[cfg(any(test, feature = "contract-tests"))]
pub mod contract;

pub use memory::MemoryStore;

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is not there, or has no room for another request at the moment.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What it holds is not what it should be.
    #[error("the store holds something unexpected: {0}")]
    Corrupt(String),
    /// Something of that name is there already.
    #[error("{0} is there already")]
    Taken(&'static str),
    /// Something named is not there.
    #[error("there is no such {0}")]
    Missing(&'static str),
}

/// What a store call returns.
pub type Outcome<T> = Result<T, StoreError>;

/// What a start needs.
pub trait Founding {
    /// Keeps the secrets of a first start, or returns those of an earlier one. The flag says whether this was
    /// the first.
    fn found(&self, fresh: Foundation) -> impl Future<Output = Outcome<(Foundation, bool)>> + Send;

    /// When a flush last said that the server was up, and which keys wait to be used.
    fn restore(&self) -> impl Future<Output = Outcome<Restored>> + Send;

    /// Gives away each agent of these numbers, the last one included, in their order. There may be a million, which are
    /// taken where they are read.
    fn restore_agents(
        &self,
        numbers: RangeInclusive<No>,
        take: Taker,
    ) -> impl Future<Output = Outcome<()>> + Send;
}

/// Takes what [`Founding::restore_agents`] finds.
pub type Taker = Box<dyn FnMut(RestoredAgent) + Send>;

/// An agent as [`Founding::restore_agents`] finds it.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoredAgent {
    /// Its row.
    pub agent: Agent,
    /// Its lease, if it has ever checked in.
    pub lease: Option<LeaseRow>,
    /// Whether its latest event of that sort says that it is online.
    pub online: bool,
    /// Whether it has work that has not come to its end.
    pub works: bool,
}

/// What [`Founding::restore`] finds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Restored {
    /// What numbers agents have, if there are any.
    pub numbers: Option<Numbers>,
    /// When the server was last known to be up.
    pub up_until: Option<DateTime<Utc>>,
    /// Keys that were offered, are not used yet, and of which that has not been told.
    pub offers: Vec<Offer>,
}

/// What numbers agents have. Operators may choose them, so that they need not lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// How many agents there are.
    pub count: usize,
    /// The lowest number.
    pub lowest: No,
    /// As many agents have a number up to this one as have a higher one, or one more.
    pub middle: No,
    /// The highest number.
    pub highest: No,
}

/// A key that waits to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The agent that it was offered to.
    pub agent: No,
    /// Its number.
    pub rotation: u32,
    /// When it was offered.
    pub at: DateTime<Utc>,
}

/// Keys and agents.
pub trait Directory {
    /// What a key is good for.
    fn credential(&self, digest: Digest) -> impl Future<Output = Outcome<Option<Credential>>> + Send;

    /// An agent by its number.
    fn agent(&self, no: No) -> impl Future<Output = Outcome<Option<Agent>>> + Send;

    /// An agent by its id on the wire.
    fn agent_named(
        &self,
        tenant: No,
        vendor: Vendor,
        kind: Kind,
        id: String,
    ) -> impl Future<Output = Outcome<Option<Agent>>> + Send;

    /// Makes an agent. [`StoreError::Taken`] if its number, id or key is in use, [`StoreError::Missing`] if its
    /// tenant has no such host.
    fn register(&self, agent: NewAgent) -> impl Future<Output = Outcome<Agent>> + Send;

    /// Finds an agent by the id that it says it has, and writes down what it says of itself; makes it if there is none
    /// and its tenant has fewer than `most` agents. However many say so at once, one is made. The key is kept only if
    /// the agent is made.
    fn announce(&self, agent: NewAgent, most: u64) -> impl Future<Output = Outcome<Announced>> + Send;

    /// Writes down what seldom changes. [`StoreError::Missing`] if there is no such agent.
    fn observe(
        &self,
        no: No,
        seen: Observation,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<Agent>> + Send;

    /// Has an agent [stand](Agent::stand) so. One that leaves for good has no keys any more, and its open work is called
    /// off. [`StoreError::Missing`] if there is no such agent.
    fn stand(
        &self,
        no: No,
        standing: Standing,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<Agent>> + Send;

    /// Makes or changes a host and the agents on it, as far as there is room; then takes what the host says of its
    /// commands, and hands over those that are open. What refuses the report leaves all as it was.
    fn report_host(&self, report: HostReport) -> impl Future<Output = Outcome<Hosted>> + Send;
}

/// Keys and the tokens that make them.
pub trait Keys {
    /// Keeps an enrolment token.
    fn issue_token(&self, token: NewToken) -> impl Future<Output = Outcome<Token>> + Send;

    /// The tokens of a tenant, the latest first.
    fn tokens(&self, tenant: No) -> impl Future<Output = Outcome<Vec<Token>>> + Send;

    /// Takes a token back. Says whether there was one.
    fn revoke_token(
        &self,
        tenant: No,
        id: String,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<bool>> + Send;

    /// Trades a token for an agent; the use is counted in the same transaction.
    fn enroll(&self, enrolment: Enrolment) -> impl Future<Output = Outcome<Enrolled>> + Send;

    /// Keeps a key. [`StoreError::Taken`] if it is known.
    fn add_key(&self, digest: Digest, credential: Credential) -> impl Future<Output = Outcome<()>> + Send;

    /// Offers an agent the key number `rotation`, one more than the last. Returns the agent unchanged if
    /// another is waiting to be used.
    fn offer_key(
        &self,
        no: No,
        rotation: u32,
        digest: Digest,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<Agent>> + Send;

    /// Ends every key of an agent, one that waits to be used among them, and keeps this one for it instead. Returns the
    /// agent; one that has left for good is left as it is.
    /// [`StoreError::Missing`] if there is no such agent, [`StoreError::Taken`] if the key is known.
    fn replace_keys(
        &self,
        no: No,
        digest: Digest,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<Agent>> + Send;

    /// An agent has signed in with this key: its other keys end here, and an enrolment cannot be repeated any
    /// more. The first use of an offered key takes the offer; an offer that waits while another key is used goes
    /// on waiting. Returns the agent; [`StoreError::Missing`] if the key is unknown or of a whole tenant.
    fn settle_key(&self, digest: Digest, at: DateTime<Utc>) -> impl Future<Output = Outcome<Agent>> + Send;
}

/// Liveness, written behind.
pub trait Leases {
    /// Writes leases, later wins, and that the server is up at `now`; and events that were found out besides.
    /// One that says an agent is online, or no longer is, is left out if that is what the last of that sort said;
    /// one that says an offered key is not used, if that was said of it before or it is used by now. A report with a
    /// place in its agent's history is put there too, over whatever is there.
    fn flush(
        &self,
        leases: Vec<LeaseRow>,
        events: Vec<NewEvent>,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<()>> + Send;

    /// The reports of an agent that were kept since a time, the earliest first.
    fn history(&self, agent: No, since: DateTime<Utc>) -> impl Future<Output = Outcome<Vec<Sample>>> + Send;
}

/// Work.
///
/// What time alone does to work is done whenever it is looked at to be handed over, reported on or called off, and by
/// [`sweep_work`](Self::sweep_work); lists show it as it is stored.
pub trait WorkQueue {
    /// Makes work, once for each key. [`StoreError::Taken`] if the id is in use, [`StoreError::Missing`] if the
    /// tenant has no such agent.
    fn queue(&self, work: NewWork) -> impl Future<Output = Outcome<Queued>> + Send;

    /// Makes work, unless it [repeats](NewWork::repeats) the last open piece of its agent, or the agent has `most` open
    /// pieces or more. [`StoreError::Taken`] if the id is in use, [`StoreError::Missing`] if the tenant has no such
    /// agent.
    fn ask(&self, work: NewWork, most: u32) -> impl Future<Output = Outcome<Asked>> + Send;

    /// Hands open work to its agent: what its agent has not acknowledged, most urgent first, then oldest.
    fn deliver(
        &self,
        agent: No,
        delivery: Delivery,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<HandedOver>> + Send;

    /// Takes what an agent says of its work. Word of an earlier execution changes nothing. An agent that
    /// [has removed itself](Agent::has_left_by) by it [leaves](Directory::stand).
    fn report_work(&self, report: WorkReport) -> impl Future<Output = Outcome<Reported>> + Send;

    /// Gives work to somebody who does it in its agent's place, as [`Work::take_up`] says.
    fn take_work(
        &self,
        tenant: No,
        id: String,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<Reported>> + Send;

    /// Calls work off.
    fn cancel_work(
        &self,
        tenant: No,
        id: String,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<Reported>> + Send;

    /// Compares the model that a device runs with the desired one: actions that asked for it are done, and if
    /// it is another than the desired one there is an action for that, unless the last one
    /// [came to nothing](Agent::gave_up); then hands over all open work.
    fn reconcile_model(&self, report: ModelReport) -> impl Future<Output = Outcome<Reconciled>> + Send;

    /// Has work expire or take too long, of all tenants, at most `limit` pieces; those first that are due longest.
    fn sweep_work(&self, at: DateTime<Utc>, limit: u32) -> impl Future<Output = Outcome<Swept>> + Send;

    /// [Gives up](Work::give_up) what these agents are at, of all tenants.
    fn give_up_work(&self, agents: Vec<No>, at: DateTime<Utc>)
    -> impl Future<Output = Outcome<Swept>> + Send;

    /// Puts off deadlines by the time during which the server was not there to be reported to, and says that it
    /// is up at its end, so that no time is excused twice.
    fn excuse(&self, downtime: Downtime) -> impl Future<Output = Outcome<()>> + Send;

    /// The work of a tenant, the latest first.
    fn work(&self, tenant: No, filter: WorkFilter) -> impl Future<Output = Outcome<Vec<Work>>> + Send;

    /// A piece of work and its executions before the present one, the first one first.
    fn work_named(
        &self,
        tenant: No,
        id: String,
    ) -> impl Future<Output = Outcome<Option<(Work, Vec<Execution>)>>> + Send;

    /// What work has found, the latest first. One that came under an id that was there already is not kept.
    fn findings(
        &self,
        tenant: No,
        filter: FindingFilter,
    ) -> impl Future<Output = Outcome<Vec<FoundRow>>> + Send;
}

/// What agents fetch: models, releases, binaries; and the keys that sign releases.
pub trait Catalogue {
    /// Keeps a model. [`StoreError::Taken`] if the id is in use.
    fn add_model(&self, model: Model) -> impl Future<Output = Outcome<()>> + Send;

    /// The models of a tenant, in the order of their ids.
    fn models(&self, tenant: No) -> impl Future<Output = Outcome<Vec<Model>>> + Send;

    /// Forgets a model. [`StoreError::Taken`] if a device is to run it, [`StoreError::Missing`] if the tenant has no
    /// such model.
    fn remove_model(&self, tenant: No, id: String) -> impl Future<Output = Outcome<Freed>> + Send;

    /// Says which model a device is to run. [`StoreError::Missing`] if the tenant has no such model.
    fn set_desired_model(
        &self,
        no: No,
        model: String,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<Agent>> + Send;

    /// Keeps the files that an agent, or all of a tenant, are to work by, in place of those that were there.
    /// [`StoreError::Missing`] if the tenant has no such agent.
    fn set_instructions(&self, files: Instructions) -> impl Future<Output = Outcome<()>> + Send;

    /// Forgets the files of an agent, or of a tenant. Says whether there were any.
    fn drop_instructions(&self, tenant: No, agent: Option<No>) -> impl Future<Output = Outcome<bool>> + Send;

    /// The files that an agent is to work by: its own, else its tenant's. Without an agent, the tenant's.
    fn instructions(
        &self,
        tenant: No,
        agent: Option<No>,
    ) -> impl Future<Output = Outcome<Option<Instructions>>> + Send;

    /// Keeps a release and gives it its number.
    fn add_release(&self, release: Release) -> impl Future<Output = Outcome<Release>> + Send;

    /// The releases of a tenant, the latest first.
    fn releases(&self, tenant: No) -> impl Future<Output = Outcome<Vec<Release>>> + Send;

    /// Forgets a release. [`StoreError::Missing`] if the tenant has none of this number.
    fn remove_release(&self, tenant: No, no: No) -> impl Future<Output = Outcome<Freed>> + Send;

    /// The release registered last for an operating system and an architecture.
    fn latest_release(
        &self,
        tenant: No,
        os: String,
        arch: String,
    ) -> impl Future<Output = Outcome<Option<Release>>> + Send;

    /// Keeps a binary in place of the one of its name; says what became of that one's file.
    fn put_binary(&self, binary: Binary) -> impl Future<Output = Outcome<Freed>> + Send;

    /// A binary by its name.
    fn binary(&self, tenant: No, name: String) -> impl Future<Output = Outcome<Option<Binary>>> + Send;

    /// The binaries of a tenant, in the order of their names.
    fn binaries(&self, tenant: No) -> impl Future<Output = Outcome<Vec<Binary>>> + Send;

    /// Forgets a binary. [`StoreError::Missing`] if the tenant has none of this name.
    fn remove_binary(&self, tenant: No, name: String) -> impl Future<Output = Outcome<Freed>> + Send;

    /// The keys that sign releases, the first one first: that of the foundation has the number 1.
    fn signing_keys(&self) -> impl Future<Output = Outcome<Vec<SigningKey>>> + Send;

    /// Keeps a further key.
    fn add_signing_key(
        &self,
        seed: [u8; 32],
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<SigningKey>> + Send;

    /// Retires a key; one that is retired stays so from when it was. [`StoreError::Missing`] if there is none of this
    /// number.
    fn retire_signing_key(
        &self,
        no: No,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<SigningKey>> + Send;
}

/// Images and the batches that they go into.
pub trait Images {
    /// Records an image and its annotations: finds the device's open batch or opens one, takes a slot in it,
    /// and knows an image again by its storage key. A batch whose last slot is taken is closed.
    fn record_image(
        &self,
        image: NewImage,
        limits: BatchLimits,
    ) -> impl Future<Output = Outcome<Recorded>> + Send;

    /// Closes batches of all tenants that are older than `age`, at most `limit`, the oldest first. Says how many.
    fn close_old_batches(
        &self,
        age: Duration,
        at: DateTime<Utc>,
        limit: u32,
    ) -> impl Future<Output = Outcome<u32>> + Send;

    /// Closes a batch by hand; one that is closed already stays as it is. `None` if the tenant has no such batch.
    fn close_batch(
        &self,
        tenant: No,
        id: String,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<Option<Batch>>> + Send;

    /// A batch by its id.
    fn batch_named(&self, tenant: No, id: String) -> impl Future<Output = Outcome<Option<Batch>>> + Send;

    /// Batches, the latest first.
    fn batches(&self, tenant: No, filter: BatchFilter) -> impl Future<Output = Outcome<Vec<Batch>>> + Send;

    /// Images with their annotations, the latest first.
    fn images(&self, tenant: No, filter: ImageFilter) -> impl Future<Output = Outcome<Vec<ImageRow>>> + Send;
}

/// What has happened.
///
/// Every other call writes the events of what it changes, in its own transaction: all of them or none, and none
/// where nothing was changed. Numbers grow in the order in which the changes can be seen, so that who reads on from
/// the last number that was seen misses nothing.
pub trait Journal {
    /// Events of a tenant, the earlier first.
    fn events(&self, tenant: No, query: EventQuery) -> impl Future<Output = Outcome<Vec<Event>>> + Send;

    /// Forgets events from before a time, of all tenants, at most `limit`. Says how many. Their numbers are not
    /// given again.
    fn forget_events(&self, before: DateTime<Utc>, limit: u32) -> impl Future<Output = Outcome<u32>> + Send;
}

/// A store: everything above.
pub trait Store:
    Founding + Directory + Keys + Leases + WorkQueue + Catalogue + Images + Journal + Send + Sync + 'static
{
}

impl<S> Store for S where
    S: Founding
        + Directory
        + Keys
        + Leases
        + WorkQueue
        + Catalogue
        + Images
        + Journal
        + Send
        + Sync
        + 'static
{
}
