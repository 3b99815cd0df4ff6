//! What an operator may see and do, whichever dialect an agent speaks.
//!
//! ```
//! use fleetwire_server_core::domain::{DEFAULT_TENANT, Kind, Vendor};
//! use fleetwire_server_core::operator::{OperatorError, Registration};
//! use fleetwire_server_core::{Core, store::Store};
//!
//! # async fn register<S: Store>(core: &Core<S>) -> Result<String, OperatorError> {
//! let wish = Registration {
//!     vendor: Vendor::Acusight,
//!     kind: Kind::Agent,
//!     no: None,
//!     id: Some("cam-1".to_owned()),
//!     name: Some("gate camera".to_owned()),
//!     facts: serde_json::Map::new(),
//!     labels: [("site".to_owned(), "north".to_owned())].into(),
//! };
//! let (view, key) = core.register(DEFAULT_TENANT, wish).await?;
//! assert_eq!(view.agent.name, "gate camera");
//! # Ok(key)
//! # }
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fleetwire_protocol::achilles::{AgentKey, EnrollmentToken};
use fleetwire_protocol::acusight::{DeviceKey, ProvisioningToken};
use fleetwire_protocol::agentmc::ApiKey;
use fleetwire_protocol::zstack::BearerToken;
use serde_json::{Map, Value};

use crate::catalogue::RELEASE_KEY;
pub use crate::catalogue::{BadAddress, SigningKeyView};
use crate::domain::{
    Agent, Credential, Execution, FilePlace, FindingFilter, FoundRow, IllegalTransition, Kind, NewAgent,
    NewToken, NewWork, No, Queued, Reported, Standing, Token, Vendor, Work, WorkEvent, WorkFilter,
    WorkReport,
};
use crate::keys::Digest;
use crate::lease::{Liveness, Report};
use crate::registry::AgentRecord;
use crate::store::{Offer, Store, StoreError};
use crate::{Core, dialect};

mod kept;

/// What operators' tokens begin with.
pub const TOKEN_PREFIX: &str = "fwo_";

/// An agent as an operator sees it.
#[derive(Debug, Clone)]
pub struct AgentView {
    /// Its row.
    pub agent: Agent,
    /// Whether it reports in time.
    pub liveness: Liveness,
    /// When it last reported.
    pub last_seen: Option<DateTime<Utc>>,
    /// What it last said.
    pub report: Option<Report>,
}

/// An agent to be registered by hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// Its dialect.
    pub vendor: Vendor,
    /// What it is.
    pub kind: Kind,
    /// Its number, where the dialect shows it and it is known beforehand.
    pub no: Option<No>,
    /// Its id on the wire; made up if it is not known beforehand.
    pub id: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// What is known of it.
    pub facts: Map<String, Value>,
    /// What it is marked with.
    pub labels: BTreeMap<String, String>,
}

/// A release to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRelease {
    /// The version.
    pub version: String,
    /// The operating system that it runs on.
    pub os: String,
    /// The architecture that it runs on.
    pub arch: String,
    /// SHA-256 of its file.
    pub sha256: [u8; 32],
    /// Size of its file in bytes.
    pub size: u64,
    /// Where its file is; here if nothing is said.
    pub download_url: Option<String>,
    /// Whether agents must change to it.
    pub mandatory: bool,
}

/// A model to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewModel {
    /// Its id; made up if there is none.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where its file is.
    pub place: FilePlace,
    /// The ending of its file.
    pub file_ext: Option<String>,
    /// The names of its classes: JSON text.
    pub label_map: Option<String>,
}

/// Work to be queued.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WorkWish {
    /// What is to be done, in the dialect's word.
    pub kind: String,
    /// Its particulars, in the dialect's form.
    pub payload: Map<String, Value>,
    /// How urgent it is: higher is sooner; what its dialect says, or else 0, if nothing is said.
    pub priority: Option<i64>,
    /// What its maker calls it, so that it is made once however often it is asked for.
    pub key: Option<String>,
    /// Before when it is not handed over.
    pub not_before: Option<DateTime<Utc>>,
    /// How long it is worth doing; as configured if nothing is said.
    pub ttl: Option<Duration>,
    /// How long an execution may take; what its dialect says if nothing is said.
    pub timeout: Option<Duration>,
    /// How many further executions may follow the first; what its dialect says if nothing is said.
    pub max_retries: Option<u32>,
}

/// Work as an operator sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkView {
    /// How it stands at the moment, whether or not the store has been told what time has done to it.
    pub work: Work,
    /// Its executions before the present one, the first one first; empty where only one piece of many is shown.
    pub earlier: Vec<Execution>,
}

impl WorkView {
    fn of(mut work: Work, mut earlier: Vec<Execution>, at: DateTime<Utc>) -> Self {
        earlier.extend(work.look(at));
        Self { work, earlier }
    }
}

/// Work as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkPage {
    /// The work. It may be less than was asked for where only work in a state is listed.
    pub work: Vec<WorkView>,
    /// The number before which to ask for the next page, if there may be one.
    pub next: Option<No>,
}

/// What an operator's own program says of work that it does in an agent's place.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkWord {
    /// What has happened: [`Acknowledge`](WorkEvent::Acknowledge), [`Start`](WorkEvent::Start),
    /// [`Succeed`](WorkEvent::Succeed) or [`Fail`](WorkEvent::Fail).
    pub event: WorkEvent,
    /// Which execution it speaks of; the latest if nothing is said.
    pub execution: Option<u32>,
    /// What came of it, if it is at its end.
    pub result: Option<Value>,
}

/// How far ahead work may be queued.
const FURTHEST: chrono::Duration = chrono::Duration::days(366);

/// Why an operator's wish was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// Something named is not there.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// Something of that name is there already.
    #[error("this {0} is in use already")]
    Taken(&'static str),
    /// Another piece of work was asked for under this key.
    #[error("this key is that of work {work}, which is another wish; take another key for this one")]
    KeyTaken {
        /// The other work's id.
        work: String,
    },
    /// The work is in a state in which this cannot be done.
    #[error("{0}; it stays as it is, and `work add` queues new work")]
    Transition(#[from] IllegalTransition),
    /// The wish makes no sense for this agent.
    #[error("{0}")]
    Unsuitable(&'static str),
    /// Something in the wish is not of the form that the dialect has; says where and what.
    #[error("{0}")]
    Invalid(String),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for OperatorError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing(what) => Self::Missing(what),
            StoreError::Taken(what) => Self::Taken(what),
            other => Self::Store(other),
        }
    }
}

/// What an operator's wish comes to.
pub type Done<T> = Result<T, OperatorError>;

const fn key_prefix(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Acusight => DeviceKey::PREFIX,
        Vendor::ZStack => BearerToken::PREFIX,
        Vendor::AgentMc => ApiKey::PREFIX,
        Vendor::Achilles => AgentKey::PREFIX,
    }
}

/// What the tokens of a dialect begin with that newcomers trade for a key; `None` where there are none.
const fn token_prefix(vendor: Vendor) -> Option<&'static str> {
    match vendor {
        Vendor::Acusight => Some(ProvisioningToken::PREFIX),
        Vendor::Achilles => Some(EnrollmentToken::PREFIX),
        Vendor::ZStack | Vendor::AgentMc => None,
    }
}

/// The bounds of a dialect's tokens if nothing is said: how long one lives, and how many agents it makes. Acusight's
/// custom is 30 days and as many as there are; a token that is made for one machine is not needed for long.
#[must_use]
pub const fn usual_token_bounds(vendor: Vendor) -> (Duration, Option<u32>) {
    match vendor {
        Vendor::Acusight => (Duration::from_secs(30 * 86_400), None),
        Vendor::ZStack | Vendor::AgentMc | Vendor::Achilles => (Duration::from_secs(86_400), Some(1)),
    }
}

impl<S: Store> Core<S> {
    /// Whose operator a token is, if it is one.
    #[must_use]
    pub fn operator_tenant(&self, token: &str) -> Option<No> {
        Digest::of(token).matches(&self.operator).then_some(crate::domain::DEFAULT_TENANT)
    }

    /// The agents of a tenant, in the order of their numbers.
    #[must_use]
    pub fn agents(&self, tenant: No) -> Vec<AgentView> {
        let mut agents: Vec<_> = self
            .registry
            .all()
            .filter(|record| record.identity().tenant == tenant)
            .map(|record| self.view(&record))
            .collect();
        agents.sort_unstable_by_key(|view| view.agent.no);
        agents
    }

    /// Those agents of a tenant after a number that are wanted, at most `limit`, in the order of their numbers.
    #[must_use]
    pub fn agents_after(
        &self,
        tenant: No,
        after: No,
        limit: usize,
        wanted: impl Fn(&AgentView) -> bool,
    ) -> Vec<AgentView> {
        let all = self.registry.all().map(|record| (record.no(), record));
        let mut later: Vec<_> = all.filter(|(no, _)| *no > after).collect();
        later.sort_unstable_by_key(|(no, _)| *no);
        let of_tenant = later.iter().filter(|(_, record)| record.identity().tenant == tenant);
        of_tenant.map(|(_, record)| self.view(record)).filter(wanted).take(limit).collect()
    }

    /// An agent of a tenant by its number.
    #[must_use]
    pub fn agent_numbered(&self, tenant: No, no: No) -> Option<AgentView> {
        let record = self.registry.agent(no).filter(|record| record.identity().tenant == tenant)?;
        Some(self.view(&record))
    }

    /// Asks the store the least that can be asked, to learn whether it answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ready(&self) -> Result<(), StoreError> {
        // No row has this number.
        self.store.agent(0).await.map(drop)
    }

    fn view(&self, record: &AgentRecord) -> AgentView {
        AgentView {
            agent: record.agent(),
            liveness: self.liveness(record, self.now()),
            last_seen: record.lease().last_seen(),
            report: record.lease().report(),
        }
    }

    /// Finds an agent by its id on the wire, which is its number where the dialect shows numbers.
    ///
    /// # Errors
    /// The tenant has no such agent.
    pub fn find_agent(&self, tenant: No, vendor: Vendor, id: &str) -> Done<AgentView> {
        let named = [Kind::Agent, Kind::Host]
            .into_iter()
            .find_map(|kind| self.registry.named(tenant, vendor, kind, id))
            .ok_or(OperatorError::Missing("agent"))?;
        Ok(self.view(&named))
    }

    /// Registers an agent and makes a key for it, which is shown this once.
    ///
    /// # Errors
    /// Its number or id is in use, the dialect has no hosts or no ids, or the store fails.
    pub async fn register(&self, tenant: No, wish: Registration) -> Done<(AgentView, String)> {
        if wish.kind == Kind::Host && wish.vendor != Vendor::AgentMc {
            return Err(OperatorError::Unsuitable("this vendor has no hosts, only agents"));
        }
        let numbered = wish.vendor == Vendor::AgentMc && wish.kind == Kind::Agent;
        if numbered && wish.id.is_some() {
            return Err(OperatorError::Unsuitable("agents of this vendor have a number, not an id"));
        }
        let key = self.mint(key_prefix(wish.vendor));
        let id = if numbered { None } else { Some(wish.id.unwrap_or_else(|| self.new_id())) };
        let name = wish.name.or_else(|| id.clone()).unwrap_or_else(|| "agent".to_owned());
        let mut facts = wish.facts;
        if wish.vendor == Vendor::Achilles {
            facts.entry(RELEASE_KEY).or_insert_with(|| self.release_key().into());
        }
        let agent = NewAgent {
            tenant,
            vendor: wish.vendor,
            kind: wish.kind,
            no: wish.no,
            id,
            parent: None,
            name,
            version: None,
            facts,
            labels: wish.labels,
            key: Some(Digest::of(&key)),
            at: self.now(),
        };
        let agent = self.store.register(agent).await?;
        let record = self.registry.put(agent);
        Ok((self.view(&record), key))
    }

    /// Makes a key that is good for every agent of the tenant, in the dialects that have such keys.
    ///
    /// # Errors
    /// The dialect has none, or the store fails.
    pub async fn issue_tenant_key(&self, tenant: No, vendor: Vendor) -> Done<String> {
        if !matches!(vendor, Vendor::ZStack | Vendor::AgentMc) {
            return Err(OperatorError::Unsuitable("keys of this vendor belong to one agent each"));
        }
        let key = self.mint(key_prefix(vendor));
        let credential = Credential { tenant, vendor, agent: None, candidate: false };
        self.store.add_key(Digest::of(&key), credential).await?;
        Ok(key)
    }

    /// Makes an enrolment token, which is shown this once. Without a `ttl` no time ends it, without `max_uses` it makes
    /// as many agents as there are.
    ///
    /// # Errors
    /// The dialect has no enrolment, or the store fails.
    pub async fn issue_token(
        &self,
        tenant: No,
        vendor: Vendor,
        ttl: impl Into<Option<Duration>>,
        max_uses: impl Into<Option<u32>>,
    ) -> Done<(Token, String)> {
        let text = self.mint(token_prefix(vendor).ok_or(OperatorError::Unsuitable(
            "agents of this vendor are registered, not enrolled by token",
        ))?);
        let now = self.now();
        let ending = |ttl| now.checked_add_signed(chrono::Duration::from_std(ttl).ok()?);
        let expires_at = match ttl.into() {
            Some(ttl) => Some(ending(ttl).ok_or(OperatorError::Unsuitable("the token would live too long"))?),
            None => None,
        };
        let token = NewToken {
            id: self.new_id(),
            digest: Digest::of(&text),
            tenant,
            vendor,
            expires_at,
            max_uses: max_uses.into(),
            at: now,
        };
        Ok((self.store.issue_token(token).await?, text))
    }

    /// The enrolment tokens of a tenant, the latest first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn tokens(&self, tenant: No) -> Done<Vec<Token>> {
        Ok(self.store.tokens(tenant).await?)
    }

    /// Takes an enrolment token back.
    ///
    /// # Errors
    /// The tenant has no such token, or the store fails.
    pub async fn revoke_token(&self, tenant: No, id: String) -> Done<()> {
        if self.store.revoke_token(tenant, id, self.now()).await? {
            Ok(())
        } else {
            Err(OperatorError::Missing("token"))
        }
    }

    /// Offers an agent a new key. Its old one stays good until the new one has been used; asked again
    /// meanwhile, the same key is offered.
    ///
    /// # Errors
    /// The tenant has no such agent, its dialect cannot be told of a new key, or the store fails.
    pub async fn rotate_key(&self, tenant: No, vendor: Vendor, id: &str) -> Done<AgentView> {
        if vendor != Vendor::Achilles {
            return Err(OperatorError::Unsuitable("agents of this vendor cannot be told of a new key"));
        }
        let agent = self.find_agent(tenant, vendor, id)?.agent;
        let rotation = agent.rotation + u32::from(!agent.rotating);
        let candidate = self.rotations.candidate(key_prefix(vendor), agent.no, rotation);
        let at = self.now();
        let agent = self.store.offer_key(agent.no, rotation, Digest::of(&candidate), at).await?;
        if agent.standing().is_final() {
            return Err(OperatorError::Unsuitable("this agent has left for good and has no keys"));
        }
        self.registry.offered(Offer { agent: agent.no, rotation: agent.rotation, at });
        Ok(self.view(&self.registry.put(agent)))
    }

    /// Shuts an agent out, lets it in again, or sends it away for good. It takes effect at once. One that stands so
    /// already is left as it is.
    ///
    /// # Errors
    /// The tenant has no such agent, it has left for good and is to stand otherwise, or the store fails.
    pub async fn stand(&self, tenant: No, vendor: Vendor, id: &str, standing: Standing) -> Done<AgentView> {
        let no = self.find_agent(tenant, vendor, id)?.agent.no;
        let agent = self.store.stand(no, standing, self.now()).await?;
        if agent.standing() != standing {
            return Err(OperatorError::Unsuitable("this agent has left for good; it can only be made anew"));
        }
        if standing.is_final() {
            self.registry.forget_keys(no);
        }
        Ok(self.view(&self.registry.put(agent)))
    }

    /// Ends every key of an agent, one that it was offered among them, and makes another, which is shown this once. The
    /// agent is not told: it is locked out until somebody brings it that key. Keys that are not its own, of its host or
    /// of the whole tenant, are left alone.
    ///
    /// # Errors
    /// The tenant has no such agent, it has left for good or has no key of its own, or the store fails.
    pub async fn revoke_keys(&self, tenant: No, vendor: Vendor, id: &str) -> Done<(AgentView, String)> {
        let agent = self.find_agent(tenant, vendor, id)?.agent;
        if agent.standing().is_final() {
            return Err(OperatorError::Unsuitable("this agent has left for good and has no keys"));
        }
        if vendor == Vendor::AgentMc && agent.kind == Kind::Agent {
            return Err(OperatorError::Unsuitable(
                "agents of this vendor sign in with the key of their host",
            ));
        }
        let key = self.mint(key_prefix(vendor));
        let agent = self.store.replace_keys(agent.no, Digest::of(&key), self.now()).await?;
        // It may have left since it was looked at; whether before its keys were changed, the store's answer alone says.
        let had_left = agent.standing().is_final();
        self.registry.forget_keys(agent.no);
        let record = self.registry.put(agent);
        if had_left {
            return Err(OperatorError::Unsuitable("this agent has left for good and has no keys"));
        }
        Ok((self.view(&record), key))
    }

    /// Queues work for an agent, once for each key. The flag says whether it was made now.
    ///
    /// # Errors
    /// The tenant has no such agent, the wish is none that its dialect has, another wish was made under the key, or
    /// the store fails.
    pub async fn queue_work(
        &self,
        tenant: No,
        vendor: Vendor,
        id: &str,
        wish: WorkWish,
    ) -> Done<(WorkView, bool)> {
        let agent = self.find_agent(tenant, vendor, id)?.agent;
        let wish = dialect::settle(&agent, wish)?;
        let at = self.now();
        if wish.not_before.is_some_and(|time| time - at > FURTHEST) {
            return Err(OperatorError::Invalid("not_before: must be within a year".to_owned()));
        }
        let work = NewWork {
            id: self.new_id(),
            key: wish.key,
            tenant,
            agent: agent.no,
            kind: wish.kind,
            payload: wish.payload,
            priority: wish.priority.unwrap_or(0),
            not_before: wish.not_before,
            ttl: wish.ttl.unwrap_or(self.config.work_ttl),
            timeout: wish.timeout,
            max_retries: wish.max_retries.unwrap_or(0),
            at,
        };
        let (work, now) = match self.store.queue(work).await? {
            Queued::Now(work) => (work, true),
            Queued::Before(work) => (work, false),
            Queued::Conflict(work) => return Err(OperatorError::KeyTaken { work: work.id }),
        };
        if let Some(record) = self.registry.agent(agent.no).filter(|_| now) {
            record.lease().expect_work(work.not_before);
        }
        Ok((WorkView::of(work, Vec::new(), at), now))
    }

    /// The work of a tenant, the latest first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn work(&self, tenant: No, filter: WorkFilter) -> Done<WorkPage> {
        let (state, limit) = (filter.state, filter.limit);
        let (work, at) = (self.store.work(tenant, filter).await?, self.now());
        let full = u32::try_from(work.len()).is_ok_and(|count| count == limit);
        let next = work.last().filter(|_| full).map(|work| work.no);
        let work = work.into_iter().map(|work| WorkView::of(work, Vec::new(), at));
        // The store may not have been told yet what time has done to it.
        let work = work.filter(|view| state.is_none_or(|state| state == view.work.state));
        Ok(WorkPage { work: work.collect(), next })
    }

    /// A piece of work with its earlier executions.
    ///
    /// # Errors
    /// The tenant has no such work, or the store fails.
    pub async fn work_named(&self, tenant: No, id: String) -> Done<WorkView> {
        let found = self.store.work_named(tenant, id).await?.ok_or(OperatorError::Missing("work"))?;
        Ok(WorkView::of(found.0, found.1, self.now()))
    }

    /// Takes what an operator's own program says of work that it does in an agent's place. It has the work once it has
    /// [acknowledged](WorkEvent::Acknowledge) it, which is all that counts as delivered; then it says that it
    /// [starts](WorkEvent::Start), and whether the work [was done](WorkEvent::Succeed) [or not](WorkEvent::Fail).
    /// The flag says whether that changed anything: said again, or of work at its end, it does not.
    ///
    /// # Errors
    /// The tenant has no such work, the work is one whose agent reports for itself, it is in a state in which this
    /// cannot happen, something else can be reported only by agents, or the store fails.
    pub async fn report_work(&self, tenant: No, id: String, said: WorkWord) -> Done<(WorkView, bool)> {
        let WorkWord { event, execution, result } = said;
        let ends = matches!(event, WorkEvent::Succeed | WorkEvent::Fail);
        if !ends && !matches!(event, WorkEvent::Acknowledge | WorkEvent::Start) {
            return Err(OperatorError::Unsuitable("this is not for operators to report"));
        }
        if result.is_some() && !ends {
            return Err(OperatorError::Invalid("result: comes with succeed and fail only".to_owned()));
        }
        if execution.is_some() && event == WorkEvent::Acknowledge {
            let fault = "execution_number: the one that is acknowledged is told in the answer";
            return Err(OperatorError::Invalid(fault.to_owned()));
        }
        // Whose it is and of what kind never changes.
        let (work, _) = self.store.work_named(tenant, id).await?.ok_or(OperatorError::Missing("work"))?;
        let record = self.record_of(&work).ok_or(OperatorError::Missing("work"))?;
        if !dialect::is_done_by_operators(record.identity().vendor, &work.kind) {
            let fault = "agents of this vendor say themselves what comes of such work";
            return Err(OperatorError::Unsuitable(fault));
        }

        let at = self.now();
        let reported = if event == WorkEvent::Acknowledge {
            self.store.take_work(tenant, work.id, at).await?
        } else {
            let (agent, findings) = (work.agent, Vec::new());
            let report = WorkReport {
                work: work.id,
                execution,
                tenant,
                agent,
                event,
                step: None,
                result,
                findings,
                at,
            };
            self.store.report_work(report).await?
        };
        match reported {
            Reported::Now(work) => {
                // What failed may be tried again.
                record.lease().expect_work(None);
                Ok((WorkView::of(work, Vec::new(), at), true))
            }
            Reported::Before(work) => Ok((WorkView::of(work, Vec::new(), at), false)),
            Reported::Illegal(_, illegal) => Err(illegal.into()),
            Reported::NotYours | Reported::Unknown => Err(OperatorError::Missing("work")),
        }
    }

    fn record_of(&self, work: &Work) -> Option<AgentRecord> {
        self.registry.agent(work.agent).filter(|record| record.identity().tenant == work.tenant)
    }

    /// Calls work off. Work that was called off before stays so.
    ///
    /// # Errors
    /// The tenant has no such work, the work has come to another end, or the store fails.
    pub async fn cancel_work(&self, tenant: No, id: String) -> Done<WorkView> {
        let at = self.now();
        match self.store.cancel_work(tenant, id, at).await? {
            Reported::Now(work) | Reported::Before(work) => Ok(WorkView::of(work, Vec::new(), at)),
            Reported::Illegal(_, illegal) => Err(illegal.into()),
            Reported::NotYours | Reported::Unknown => Err(OperatorError::Missing("work")),
        }
    }

    /// What work has found, the latest first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn findings(&self, tenant: No, filter: FindingFilter) -> Done<Vec<FoundRow>> {
        Ok(self.store.findings(tenant, filter).await?)
    }

    /// Says which model a device is to run; the next check-in brings it the action.
    ///
    /// # Errors
    /// The tenant has no such device or model, its dialect knows no models, or the store fails.
    pub async fn assign_model(
        &self,
        tenant: No,
        vendor: Vendor,
        device: &str,
        model: String,
    ) -> Done<AgentView> {
        if vendor != Vendor::Acusight {
            return Err(OperatorError::Unsuitable("agents of this vendor run no models"));
        }
        let agent = self.find_agent(tenant, vendor, device)?.agent;
        let agent = self.store.set_desired_model(agent.no, model, self.now()).await?;
        let record = self.registry.put(agent);
        record.lease().expect_work(None);
        Ok(self.view(&record))
    }
}
