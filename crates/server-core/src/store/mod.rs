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

use std::collections::BTreeSet;
use std::future::Future;

use chrono::{DateTime, Utc};

use crate::domain::{
    Agent, BatchLimits, Credential, Delivery, Enrolled, Enrolment, Execution, FindingFilter, FoundRow,
    HandedOver, HostReport, Hosted, Kind, Model, ModelReport, NewAgent, NewImage, NewToken, NewWork, No,
    Observation, Queued, Reconciled, Recorded, Release, Reported, Swept, Token, Vendor, Work, WorkReport,
};
use crate::events::{Event, EventQuery, NewEvent};
use crate::keys::{Digest, Foundation};
use crate::lease::{Downtime, LeaseRow};

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

    /// Every agent with its lease, and when a flush last said that the server was up.
    fn restore(&self) -> impl Future<Output = Outcome<Restored>> + Send;
}

/// What [`Founding::restore`] finds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Restored {
    /// Agents and their leases, in the order of their numbers.
    pub agents: Vec<(Agent, Option<LeaseRow>)>,
    /// When the server was last known to be up.
    pub up_until: Option<DateTime<Utc>>,
    /// The agents whose latest event of that sort says that they are online.
    pub online: BTreeSet<No>,
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

    /// Writes down what seldom changes. [`StoreError::Missing`] if there is no such agent.
    fn observe(
        &self,
        no: No,
        seen: Observation,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<Agent>> + Send;

    /// Makes or changes a host and the agents on it.
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

    /// An agent has signed in with this key: its other keys end here, and an enrolment cannot be repeated any
    /// more. The first use of an offered key takes the offer; an offer that waits while another key is used goes
    /// on waiting. Returns the agent; [`StoreError::Missing`] if the key is unknown or of a whole tenant.
    fn settle_key(&self, digest: Digest, at: DateTime<Utc>) -> impl Future<Output = Outcome<Agent>> + Send;
}

/// Liveness, written behind.
pub trait Leases {
    /// Writes leases, later wins, and that the server is up at `now`; and events that were found out besides.
    /// One that says an agent is online, or no longer is, is left out if that is what the last of that sort said.
    fn flush(
        &self,
        leases: Vec<LeaseRow>,
        events: Vec<NewEvent>,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<()>> + Send;
}

/// Work.
///
/// What time alone does to work is done whenever it is looked at to be handed over, reported on or called off, and by
/// [`sweep_work`](Self::sweep_work); lists show it as it is stored.
pub trait WorkQueue {
    /// Makes work, once for each key. [`StoreError::Taken`] if the id is in use, [`StoreError::Missing`] if the
    /// tenant has no such agent.
    fn queue(&self, work: NewWork) -> impl Future<Output = Outcome<Queued>> + Send;

    /// Hands open work to its agent: what its agent has not acknowledged, most urgent first, then oldest.
    fn deliver(
        &self,
        agent: No,
        delivery: Delivery,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<HandedOver>> + Send;

    /// Takes what an agent says of its work. Word of an earlier execution changes nothing.
    fn report_work(&self, report: WorkReport) -> impl Future<Output = Outcome<Reported>> + Send;

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

    /// Puts off deadlines by the time during which the server was not there to be reported to, and says that it
    /// is up at its end, so that no time is excused twice.
    fn excuse(&self, downtime: Downtime) -> impl Future<Output = Outcome<()>> + Send;

    /// The work of a tenant, the latest first, at most `limit`; of one agent if it is named.
    fn work(
        &self,
        tenant: No,
        agent: Option<No>,
        limit: u32,
    ) -> impl Future<Output = Outcome<Vec<Work>>> + Send;

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

/// Models and releases.
pub trait Catalogue {
    /// Keeps a model. [`StoreError::Taken`] if the id is in use.
    fn add_model(&self, model: Model) -> impl Future<Output = Outcome<()>> + Send;

    /// Says which model a device is to run. [`StoreError::Missing`] if the tenant has no such model.
    fn set_desired_model(
        &self,
        no: No,
        model: String,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Outcome<Agent>> + Send;

    /// Keeps a release.
    fn add_release(&self, release: Release) -> impl Future<Output = Outcome<()>> + Send;

    /// The release registered last for an operating system and an architecture.
    fn latest_release(
        &self,
        tenant: No,
        os: String,
        arch: String,
    ) -> impl Future<Output = Outcome<Option<Release>>> + Send;
}

/// Images and the batches that they go into.
pub trait Images {
    /// Records an image and its annotations: finds the device's open batch or opens one, takes a slot in it,
    /// and knows an image again by its storage key.
    fn record_image(
        &self,
        image: NewImage,
        limits: BatchLimits,
    ) -> impl Future<Output = Outcome<Recorded>> + Send;
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
