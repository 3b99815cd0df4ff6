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
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fleetwire_protocol::achilles::{AgentKey, EnrollmentToken};
use fleetwire_protocol::acusight::DeviceKey;
use fleetwire_protocol::agentmc::ApiKey;
use fleetwire_protocol::zstack::BearerToken;
use serde_json::{Map, Value};

use crate::domain::{
    Agent, Credential, Execution, FindingFilter, FoundRow, IllegalTransition, Kind, Model, NewAgent,
    NewToken, NewWork, No, Queued, Release, Reported, Token, Vendor, Work,
};
use crate::keys::Digest;
use crate::lease::{Liveness, Report};
use crate::registry::AgentRecord;
use crate::store::{Store, StoreError};
use crate::{Core, dialect};

/// What operators' tokens begin with.
pub const TOKEN_PREFIX: &str = "fwo_";

/// An agent as an operator sees it.
#[derive(Debug, Clone)]
pub struct AgentView {
    /// Its row.
    pub agent: Arc<Agent>,
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
    /// Where its file is.
    pub download_url: String,
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
    pub download_url: String,
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
    /// How urgent it is: higher is sooner.
    pub priority: i64,
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

impl<S: Store> Core<S> {
    /// Whose operator a token is, if it is one.
    #[must_use]
    pub fn operator_tenant(&self, token: &str) -> Option<No> {
        Digest::of(token).matches(&self.operator).then_some(crate::domain::DEFAULT_TENANT)
    }

    /// The key that checks the signatures of releases: base64 of 32 bytes of Ed25519.
    #[must_use]
    pub fn release_key(&self) -> &str {
        &self.public_key
    }

    /// The agents of a tenant, in the order of their numbers.
    #[must_use]
    pub fn agents(&self, tenant: No) -> Vec<AgentView> {
        let mut agents: Vec<_> = self
            .registry
            .all()
            .iter()
            .filter(|record| record.agent().tenant == tenant)
            .map(|record| self.view(record))
            .collect();
        agents.sort_unstable_by_key(|view| view.agent.no);
        agents
    }

    /// An agent of a tenant by its number.
    #[must_use]
    pub fn agent_numbered(&self, tenant: No, no: No) -> Option<AgentView> {
        let record = self.registry.agent(no).filter(|record| record.agent().tenant == tenant)?;
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
            liveness: self.liveness(record),
            last_seen: record.lease.last_seen(),
            report: record.lease.report(),
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
        let digest = Digest::of(&key);
        let id = if numbered { None } else { Some(wish.id.unwrap_or_else(|| self.new_id())) };
        let name = wish.name.or_else(|| id.clone()).unwrap_or_else(|| "agent".to_owned());
        // An agent that a host reports for signs in with the host's key.
        let own_key = (!numbered).then_some(digest);
        let agent = NewAgent {
            tenant,
            vendor: wish.vendor,
            kind: wish.kind,
            no: wish.no,
            id,
            parent: None,
            name,
            version: None,
            facts: wish.facts,
            labels: wish.labels,
            key: own_key,
            at: self.now(),
        };
        let agent = self.store.register(agent).await?;
        if numbered {
            let credential = Credential { tenant, vendor: wish.vendor, agent: None, candidate: false };
            self.store.add_key(digest, credential).await?;
        }
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

    /// Makes an enrolment token, which is shown this once.
    ///
    /// # Errors
    /// The dialect has no enrolment, or the store fails.
    pub async fn issue_token(
        &self,
        tenant: No,
        vendor: Vendor,
        ttl: Duration,
        max_uses: u32,
    ) -> Done<(Token, String)> {
        if vendor != Vendor::Achilles {
            return Err(OperatorError::Unsuitable(
                "agents of this vendor are registered, not enrolled by token",
            ));
        }
        let text = self.mint(EnrollmentToken::PREFIX);
        let now = self.now();
        let token = NewToken {
            id: self.new_id(),
            digest: Digest::of(&text),
            tenant,
            vendor,
            expires_at: now
                .checked_add_signed(
                    chrono::Duration::from_std(ttl)
                        .map_err(|_| OperatorError::Unsuitable("the token would live too long"))?,
                )
                .ok_or(OperatorError::Unsuitable("the token would live too long"))?,
            max_uses,
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
        let agent = self.store.offer_key(agent.no, rotation, Digest::of(&candidate), self.now()).await?;
        Ok(self.view(&self.registry.put(agent)))
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
        let wish = dialect::settle(vendor, wish)?;
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
            priority: wish.priority,
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
            record.lease.expect_work(work.not_before);
        }
        Ok((WorkView::of(work, Vec::new(), at), now))
    }

    /// The work of a tenant, the latest first; of one agent if it is named.
    ///
    /// # Errors
    /// The store fails.
    pub async fn work(&self, tenant: No, agent: Option<No>, limit: u32) -> Done<Vec<WorkView>> {
        let (work, at) = (self.store.work(tenant, agent, limit).await?, self.now());
        Ok(work.into_iter().map(|work| WorkView::of(work, Vec::new(), at)).collect())
    }

    /// A piece of work with its earlier executions.
    ///
    /// # Errors
    /// The tenant has no such work, or the store fails.
    pub async fn work_named(&self, tenant: No, id: String) -> Done<WorkView> {
        let found = self.store.work_named(tenant, id).await?.ok_or(OperatorError::Missing("work"))?;
        Ok(WorkView::of(found.0, found.1, self.now()))
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

    /// Registers a model.
    ///
    /// # Errors
    /// Its id is in use, or the store fails.
    pub async fn add_model(&self, tenant: No, wish: NewModel) -> Done<Model> {
        let model = Model {
            id: wish.id.unwrap_or_else(|| format!("model_{}", self.new_id())),
            tenant,
            name: wish.name,
            version: wish.version,
            download_url: wish.download_url,
            file_ext: wish.file_ext,
            label_map: wish.label_map,
            created_at: self.now(),
        };
        self.store.add_model(model.clone()).await?;
        Ok(model)
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
        record.lease.expect_work(None);
        Ok(self.view(&record))
    }

    /// Registers and signs a release.
    ///
    /// # Errors
    /// The store fails.
    pub async fn add_release(&self, tenant: No, wish: NewRelease) -> Done<Release> {
        let release = Release {
            tenant,
            version: wish.version,
            os: wish.os,
            arch: wish.arch,
            signature: self.signer.sign(&wish.sha256),
            sha256: wish.sha256,
            size: wish.size,
            download_url: wish.download_url,
            mandatory: wish.mandatory,
            created_at: self.now(),
        };
        self.store.add_release(release.clone()).await?;
        Ok(release)
    }
}
