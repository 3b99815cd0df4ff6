//! Whole lives of agents: typed calls of the client, answered by the service in the same process.
//!
//! Everything but the socket is real: requests and replies are written and read by the codec on both sides,
//! routed by path and signed by header. Time is virtual and shared by both sides. Each life is lived on every
//! store.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use fleetwire_client::{Check, Client, RetryPolicy, Runtime, SendError, Sleep, Transport, TransportError};
use fleetwire_protocol::achilles::{
    self, AgentCredentials, AgentKey, CheckUpdate, Enroll, EnrollData, EnrollRequest, HeartbeatData,
    PollTasks, ReportResult, ResultAnswer, SystemMetrics, Task, TaskPath, TaskResultRequest, TaskStatus,
    UpdateInfo,
};
use fleetwire_protocol::acusight::{
    AnnotationData, Checkin, CheckinRequest, DeviceAction, DeviceKey, ImageNotificationRequest,
    ImageNotificationResponse, NotifyImage,
};
use fleetwire_protocol::agentmc::{self, ApiKey, HostFingerprint, HostStatus};
use fleetwire_protocol::wire::{IntOrText, Number, Timestamp};
use fleetwire_protocol::zstack::{self, AgentPath, BearerToken};
use fleetwire_protocol::{Auth, Call, Endpoint, Reply, Vendor as _};
use fleetwire_server::{AgentService, mounts};
use fleetwire_server_core::domain::{
    Agent, Announced, Asked, BatchLimits, Binary, Credential, DEFAULT_TENANT, Delivery, Enrolled, Enrolment,
    Execution, FilePlace, FindingFilter, FoundRow, Freed, HandedOver, HostReport, Hosted, Instructions, Kind,
    Model, ModelReport, NewAgent, NewImage, NewToken, NewWork, No, Observation, Queued, Reconciled, Recorded,
    Release, Reported, SigningKey, Standing, Swept, Token, Vendor, Work, WorkFilter, WorkReport, WorkState,
};
use fleetwire_server_core::domain::{Batch, BatchFilter, ImageFilter, ImageRow};
use fleetwire_server_core::events::{Event, EventKind, EventQuery, NewEvent};
use fleetwire_server_core::keys::{Digest, Foundation, hex, sha256, unhex};
use fleetwire_server_core::lease::{Downtime, LeaseRow, Liveness, Sample};
use fleetwire_server_core::operator::{
    AgentView, NewModel, NewRelease, OperatorError, Registration, WorkWish,
};
use fleetwire_server_core::store::{
    Catalogue, Directory, Founding, Images, Journal, Keys, Leases, MemoryStore, Restored, Store, StoreError,
    Taker, WorkQueue,
};
use fleetwire_server_core::{Clock, Config, Core, Entropy};
use fleetwire_store_sqlite::SqliteStore;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tower::ServiceExt;

// The stage: time, chance, a line that can lose messages, and stores that can be watched.

/// The time of both sides.
#[derive(Clone)]
struct Time(Arc<Mutex<DateTime<Utc>>>);

impl Time {
    fn start() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 21, 14, 30, 0).unwrap()
    }

    fn pass(&self, span: Duration) {
        *self.0.lock().unwrap() += TimeDelta::from_std(span).unwrap();
    }

    fn step_back(&self, span: Duration) {
        *self.0.lock().unwrap() -= TimeDelta::from_std(span).unwrap();
    }
}

impl Clock for Time {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// The client's side of the time. Sleeping makes it pass.
#[derive(Clone)]
struct AgentTime {
    time: Time,
    /// How far the agent's own clock is off.
    off: TimeDelta,
}

impl Runtime for AgentTime {
    fn now(&self) -> DateTime<Utc> {
        self.time.now() + self.off
    }
    fn random(&self) -> f64 {
        0.5
    }
    fn sleep(&self, duration: Duration) -> Sleep {
        self.time.pass(duration);
        Box::pin(std::future::ready(()))
    }
}

/// Bytes that never come twice and are the same in every run.
#[derive(Clone, Default)]
struct Chance(Arc<AtomicU64>);

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = sha256(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

/// Which half of the next exchange does not get through.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lost {
    Request,
    Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the line is cut")]
struct Cut(Lost);

impl TransportError for Cut {
    fn may_have_arrived(&self) -> bool {
        self.0 == Lost::Answer
    }
    fn is_retryable(&self) -> bool {
        true
    }
    fn is_timeout(&self) -> bool {
        false
    }
}

/// A transport that ends in the service itself.
struct Loopback<S> {
    service: AgentService<S>,
    lose: Arc<Mutex<Option<Lost>>>,
}

impl<S> Clone for Loopback<S> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), lose: Arc::clone(&self.lose) }
    }
}

impl<S: Store> Transport for Loopback<S> {
    type Error = Cut;

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Cut> {
        let lost = self.lose.lock().unwrap().take();
        if lost == Some(Lost::Request) {
            return Err(Cut(Lost::Request));
        }
        let response = self.service.clone().oneshot(request.map(Full::new)).await.unwrap();
        if lost == Some(Lost::Answer) {
            return Err(Cut(Lost::Answer));
        }
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, body.collect().await.unwrap().to_bytes()))
    }
}

/// What is known of the calls that a store has had, and what is to become of the next ones.
#[derive(Default)]
struct Watch {
    calls: Mutex<Vec<&'static str>>,
    /// The call that fails.
    fail: Mutex<Option<&'static str>>,
    /// The call whose answer is held back.
    hold: Mutex<Option<(&'static str, Gate)>>,
}

/// The latest pieces of work.
fn the_latest(limit: u32) -> WorkFilter {
    WorkFilter { limit, ..WorkFilter::default() }
}

/// Holds back what the store has answered already.
#[derive(Clone, Default)]
struct Gate {
    reached: Arc<Notify>,
    opened: Arc<Notify>,
}

/// A store that is watched.
struct Watched<S> {
    store: Arc<S>,
    watch: Arc<Watch>,
}

macro_rules! watch {
    ($($part:ident {
        $(fn $call:ident($($name:ident: $type:ty),*) -> $out:ty;)+
    })+) => { $(
        impl<S: Store> $part for Watched<S> {
            $(
                async fn $call(&self $(, $name: $type)*) -> Result<$out, StoreError> {
                    self.watch.calls.lock().unwrap().push(stringify!($call));
                    let fails = self.watch.fail.lock().unwrap().take_if(|call| *call == stringify!($call));
                    if fails.is_some() {
                        return Err(StoreError::Unavailable("the test wants it so".to_owned()));
                    }
                    let answer = self.store.$call($($name),*).await;
                    let held = self.watch.hold.lock().unwrap().take_if(|(call, _)| *call == stringify!($call));
                    if let Some((_, gate)) = held {
                        gate.reached.notify_one();
                        gate.opened.notified().await;
                    }
                    answer
                }
            )+
        }
    )+ };
}

watch! {
    Founding {
        fn found(fresh: Foundation) -> (Foundation, bool);
        fn restore() -> Restored;
        fn restore_agents(numbers: RangeInclusive<No>, take: Taker) -> ();
    }
    Directory {
        fn credential(digest: Digest) -> Option<Credential>;
        fn agent(no: No) -> Option<Agent>;
        fn agent_named(tenant: No, vendor: Vendor, kind: Kind, id: String) -> Option<Agent>;
        fn register(agent: NewAgent) -> Agent;
        fn announce(agent: NewAgent, most: u64) -> Announced;
        fn observe(no: No, seen: Observation, at: DateTime<Utc>) -> Agent;
        fn stand(no: No, standing: Standing, at: DateTime<Utc>) -> Agent;
        fn report_host(report: HostReport) -> Hosted;
    }
    Keys {
        fn issue_token(token: NewToken) -> Token;
        fn tokens(tenant: No) -> Vec<Token>;
        fn revoke_token(tenant: No, id: String, at: DateTime<Utc>) -> bool;
        fn enroll(enrolment: Enrolment) -> Enrolled;
        fn add_key(digest: Digest, credential: Credential) -> ();
        fn offer_key(no: No, rotation: u32, digest: Digest, at: DateTime<Utc>) -> Agent;
        fn replace_keys(no: No, digest: Digest, at: DateTime<Utc>) -> Agent;
        fn settle_key(digest: Digest, at: DateTime<Utc>) -> Agent;
    }
    Leases {
        fn flush(leases: Vec<LeaseRow>, events: Vec<NewEvent>, now: DateTime<Utc>) -> ();
        fn history(agent: No, since: DateTime<Utc>) -> Vec<Sample>;
    }
    WorkQueue {
        fn queue(work: NewWork) -> Queued;
        fn ask(work: NewWork, most: u32) -> Asked;
        fn deliver(agent: No, delivery: Delivery, at: DateTime<Utc>) -> HandedOver;
        fn report_work(report: WorkReport) -> Reported;
        fn take_work(tenant: No, id: String, at: DateTime<Utc>) -> Reported;
        fn cancel_work(tenant: No, id: String, at: DateTime<Utc>) -> Reported;
        fn reconcile_model(report: ModelReport) -> Reconciled;
        fn give_up_work(agents: Vec<No>, at: DateTime<Utc>) -> Swept;
        fn sweep_work(at: DateTime<Utc>, limit: u32) -> Swept;
        fn excuse(downtime: Downtime) -> ();
        fn work(tenant: No, filter: WorkFilter) -> Vec<Work>;
        fn work_named(tenant: No, id: String) -> Option<(Work, Vec<Execution>)>;
        fn findings(tenant: No, filter: FindingFilter) -> Vec<FoundRow>;
    }
    Catalogue {
        fn add_model(model: Model) -> ();
        fn set_desired_model(no: No, model: String, at: DateTime<Utc>) -> Agent;
        fn models(tenant: No) -> Vec<Model>;
        fn remove_model(tenant: No, id: String) -> Freed;
        fn releases(tenant: No) -> Vec<Release>;
        fn remove_release(tenant: No, no: No) -> Freed;
        fn put_binary(binary: Binary) -> Freed;
        fn binary(tenant: No, name: String) -> Option<Binary>;
        fn binaries(tenant: No) -> Vec<Binary>;
        fn remove_binary(tenant: No, name: String) -> Freed;
        fn signing_keys() -> Vec<SigningKey>;
        fn add_signing_key(seed: [u8; 32], at: DateTime<Utc>) -> SigningKey;
        fn retire_signing_key(no: No, at: DateTime<Utc>) -> SigningKey;
        fn set_instructions(files: Instructions) -> ();
        fn drop_instructions(tenant: No, agent: Option<No>) -> bool;
        fn instructions(tenant: No, agent: Option<No>) -> Option<Instructions>;
        fn add_release(release: Release) -> Release;
        fn latest_release(tenant: No, os: String, arch: String) -> Option<Release>;
    }
    Images {
        fn record_image(image: NewImage, limits: BatchLimits) -> Recorded;
        fn close_old_batches(age: Duration, at: DateTime<Utc>, limit: u32) -> u32;
        fn close_batch(tenant: No, id: String, at: DateTime<Utc>) -> Option<Batch>;
        fn batch_named(tenant: No, id: String) -> Option<Batch>;
        fn batches(tenant: No, filter: BatchFilter) -> Vec<Batch>;
        fn images(tenant: No, filter: ImageFilter) -> Vec<ImageRow>;
    }
    Journal {
        fn events(tenant: No, query: EventQuery) -> Vec<Event>;
        fn forget_events(before: DateTime<Utc>, limit: u32) -> u32;
    }
}

/// Where a store is kept while no server runs.
trait Shelf: Default {
    type Store: Store;
    /// The store with all that was committed to it.
    fn open(&self) -> Arc<Self::Store>;
}

#[derive(Default)]
struct Memory(Arc<MemoryStore>);

impl Shelf for Memory {
    type Store = MemoryStore;
    fn open(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.0)
    }
}

struct Sqlite(TempDir);

impl Default for Sqlite {
    fn default() -> Self {
        Self(TempDir::new().unwrap())
    }
}

impl Shelf for Sqlite {
    type Store = SqliteStore;
    fn open(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open(self.0.path().join("fleet.db")).unwrap())
    }
}

/// A server and everything around it.
struct World<K: Shelf> {
    shelf: K,
    time: Time,
    chance: Chance,
    config: Config,
    watch: Arc<Watch>,
    /// `None` only during a restart.
    up: Option<Up<K::Store>>,
}

struct Up<S> {
    core: Arc<Core<Watched<S>>>,
    line: Loopback<Watched<S>>,
}

/// Why a call came to nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Failed {
    Lost,
    Refused(u16),
}

type Outcome<T> = Result<T, Failed>;

fn settle<T, B, X>(result: Result<T, SendError<B, X>>) -> Outcome<T>
where
    B: std::fmt::Debug,
    X: std::fmt::Debug,
{
    match result {
        Ok(value) => Ok(value),
        Err(SendError::Transport { .. }) => Err(Failed::Lost),
        Err(SendError::Refused { refusal, .. }) => Err(Failed::Refused(refusal.status.as_u16())),
        Err(other) => panic!("neither an answer nor a refusal: {other:?}"),
    }
}

const REFUSED: Failed = Failed::Refused(401);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl<K: Shelf> World<K> {
    async fn new() -> Self {
        let mut world = Self {
            shelf: K::default(),
            time: Time(Arc::new(Mutex::new(Time::start()))),
            chance: Chance::default(),
            config: Config::default(),
            watch: Arc::default(),
            up: None,
        };
        world.start().await;
        world
    }

    async fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self.restart().await;
        self
    }

    /// The server goes down as if its plug were pulled, and comes up again.
    async fn restart(&mut self) {
        self.up = None;
        self.start().await;
    }

    async fn start(&mut self) {
        let store = Watched { store: self.shelf.open(), watch: Arc::clone(&self.watch) };
        let (time, chance) = (Arc::new(self.time.clone()), Arc::new(self.chance.clone()));
        let (core, _) = Core::start(store, time, chance, self.config.clone()).await.unwrap();
        let core = Arc::new(core);
        let service = AgentService::new(Arc::clone(&core));
        self.up = Some(Up { core, line: Loopback { service, lose: Arc::default() } });
    }

    fn core(&self) -> &Core<Watched<K::Store>> {
        &self.up.as_ref().unwrap().core
    }

    fn line(&self) -> &Loopback<Watched<K::Store>> {
        &self.up.as_ref().unwrap().line
    }

    fn now(&self) -> DateTime<Utc> {
        self.time.now()
    }

    /// The next message of an agent, or its answer, does not get through.
    fn lose(&self, lost: Lost) {
        *self.line().lose.lock().unwrap() = Some(lost);
    }

    /// The calls that the store has had since this was last asked.
    fn store_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.watch.calls.lock().unwrap())
    }

    fn fail_next(&self, call: &'static str) {
        *self.watch.fail.lock().unwrap() = Some(call);
    }

    /// The answer of the next such call reaches the server only when the gate is opened.
    fn hold_next(&self, call: &'static str) -> Gate {
        let gate = Gate::default();
        *self.watch.hold.lock().unwrap() = Some((call, gate.clone()));
        gate
    }

    fn base<E: Endpoint>() -> String {
        let mount = mounts().iter().find(|mount| mount.vendor == E::Vendor::ID).unwrap();
        format!("http://fleet.test{}{}", mount.prefix, mount.base)
    }

    fn client<E: Endpoint>(&self, off: TimeDelta) -> Client<Loopback<Watched<K::Store>>> {
        let time = AgentTime { time: self.time.clone(), off };
        let client = Client::with_runtime(&Self::base::<E>(), self.line().clone(), time).unwrap();
        // What the server does with a faulty call is for these tests to see.
        client.with_retries(RetryPolicy::none()).check_before_send(Check::Off)
    }

    async fn call<E: Endpoint>(
        &self,
        credentials: &<E::Auth as Auth>::Credentials,
        call: &Call<E>,
    ) -> Outcome<<E::Reply as Reply>::Value> {
        settle(self.client::<E>(TimeDelta::zero()).send(credentials, call).await)
    }

    /// What no typed call would write, sent as the operation `E`.
    async fn raw<E: Endpoint>(&self, path: &str, key: (&str, &str), body: &Value) -> Response<Value> {
        let request = Request::builder()
            .method(E::METHOD)
            .uri(format!("{}{path}", Self::base::<E>()))
            .header(key.0, key.1)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()))
            .unwrap();
        let response = self.line().exchange(request).await.unwrap();
        response.map(|body| serde_json::from_slice(&body).unwrap())
    }

    fn agent(&self, vendor: Vendor, id: &str) -> AgentView {
        self.core().find_agent(DEFAULT_TENANT, vendor, id).unwrap()
    }

    async fn register(
        &self,
        vendor: Vendor,
        kind: Kind,
        id: Option<&str>,
        facts: Value,
    ) -> (AgentView, String) {
        let Value::Object(facts) = facts else { panic!("facts are an object") };
        let wish = Registration {
            vendor,
            kind,
            no: None,
            id: id.map(str::to_owned),
            name: None,
            facts,
            labels: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
        };
        self.core().register(DEFAULT_TENANT, wish).await.unwrap()
    }
}

// Achilles: enrolment.

const HOUR: Duration = seconds(3600);

#[derive(Debug, Clone, PartialEq)]
struct Machine {
    host: String,
    os: &'static str,
    arch: &'static str,
}

impl Machine {
    fn named(host: impl Into<String>) -> Self {
        Self { host: host.into(), os: "windows", arch: "amd64" }
    }

    fn enrolment(&self, token: &str) -> Call<Enroll> {
        Call::new(EnrollRequest::new(token, self.host.as_str(), self.os.into(), self.arch.into(), "0.5.11"))
    }

    fn beat(&self, at: DateTime<Utc>, version: &str) -> Call<achilles::Heartbeat> {
        let system = SystemMetrics::new(
            self.host.as_str(),
            self.os.into(),
            self.arch.into(),
            86_400,
            15,
            4096,
            50_000,
        );
        Call::new(achilles::HeartbeatRequest::new(
            Timestamp::seconds(at),
            achilles::AgentStatus::Idle,
            system,
            version,
        ))
    }
}

fn credentials(data: &EnrollData) -> AgentCredentials {
    AgentCredentials::new(data.agent_id.clone(), data.key().unwrap().clone())
}

impl<K: Shelf> World<K> {
    async fn token(&self, max_uses: u32, ttl: Duration) -> String {
        self.core().issue_token(DEFAULT_TENANT, Vendor::Achilles, ttl, max_uses).await.unwrap().1
    }

    async fn uses(&self) -> Vec<u32> {
        let tokens = self.core().tokens(DEFAULT_TENANT).await.unwrap();
        tokens.iter().map(|token| token.uses).collect()
    }

    async fn enroll(&self, token: &str, machine: &Machine) -> Outcome<EnrollData> {
        self.call(&(), &machine.enrolment(token)).await.map(|answer| answer.data)
    }

    /// A machine with an enrolled agent that has not signed in yet.
    async fn enrolled(&self, host: &str) -> (Machine, AgentCredentials) {
        let machine = Machine::named(host);
        let token = self.token(1, HOUR).await;
        let data = self.enroll(&token, &machine).await.unwrap();
        (machine, credentials(&data))
    }

    /// A machine with an agent that has signed in.
    async fn living(&self, host: &str) -> (Machine, AgentCredentials) {
        let (machine, agent) = self.enrolled(host).await;
        self.beat(&machine, &agent).await.unwrap();
        (machine, agent)
    }

    async fn beat(&self, machine: &Machine, agent: &AgentCredentials) -> Outcome<HeartbeatData> {
        self.call(agent, &machine.beat(self.now(), "0.5.11")).await.map(|answer| answer.data)
    }

    async fn poll(&self, agent: &AgentCredentials) -> Outcome<Option<Task>> {
        let answer = self.call(agent, &Call::<PollTasks>::new(())).await?;
        Ok(answer.map(|answer| {
            let [task] = <[Task; 1]>::try_from(answer.data.0).unwrap();
            task
        }))
    }
}

async fn a_lost_enrolment_answer_brings_the_same_agent_and_a_fresh_key<K: Shelf>(mut world: World<K>) {
    let token = world.token(1, HOUR).await;
    let machine = Machine::named("ws-1");
    world.lose(Lost::Answer);
    assert_eq!(world.enroll(&token, &machine).await, Err(Failed::Lost));
    assert_eq!(world.uses().await, [1]);

    let first = world.enroll(&token, &machine).await.unwrap();
    world.restart().await;
    let second = world.enroll(&token, &machine).await.unwrap();
    assert_eq!(first.agent_id, second.agent_id);
    assert_ne!(first.key(), second.key());
    assert_eq!(first.public_key, second.public_key);
    assert_eq!(world.uses().await, [1]);
    assert_eq!(world.core().agents(DEFAULT_TENANT).len(), 1);
}

async fn a_client_repeats_a_lost_enrolment_by_itself<K: Shelf>(world: World<K>) {
    let token = world.token(1, HOUR).await;
    let machine = Machine::named("ws-1");
    let client = world.client::<Enroll>(TimeDelta::zero()).with_retries(RetryPolicy::default());
    world.lose(Lost::Answer);
    let data = client.send(&(), &machine.enrolment(&token)).await.unwrap().data;
    assert_eq!(world.uses().await, [1]);
    assert!(world.beat(&machine, &credentials(&data)).await.is_ok());
}

async fn both_keys_of_a_repeated_enrolment_work_until_one_is_used<K: Shelf>(mut world: World<K>) {
    for (used, restarted) in [(0, false), (1, false), (0, true), (1, true)] {
        let machine = Machine::named(format!("ws-{used}-{restarted}"));
        let token = world.token(1, HOUR).await;
        let mut agents = Vec::new();
        for _ in 0..2 {
            agents.push(credentials(&world.enroll(&token, &machine).await.unwrap()));
        }
        if restarted {
            world.restart().await;
        }
        let (used, other) = (&agents[used], &agents[1 - used]);
        assert!(world.beat(&machine, used).await.is_ok());
        if restarted {
            world.restart().await;
        }
        assert_eq!(world.beat(&machine, other).await, Err(REFUSED));
        assert!(world.beat(&machine, used).await.is_ok());
    }
}

async fn an_enrolment_cannot_be_repeated_after_the_first_sign_in<K: Shelf>(mut world: World<K>) {
    let token = world.token(1, HOUR).await;
    let machine = Machine::named("ws-1");
    let agent = credentials(&world.enroll(&token, &machine).await.unwrap());
    assert!(world.beat(&machine, &agent).await.is_ok());
    assert_eq!(world.enroll(&token, &machine).await, Err(REFUSED));
    world.restart().await;
    assert_eq!(world.enroll(&token, &machine).await, Err(REFUSED));
    assert!(world.beat(&machine, &agent).await.is_ok());
}

async fn an_enrolment_can_be_repeated_for_ten_minutes<K: Shelf>(world: World<K>) {
    let token = world.token(1, HOUR).await;
    let machine = Machine::named("ws-1");
    world.enroll(&token, &machine).await.unwrap();
    world.time.pass(seconds(600));
    assert!(world.enroll(&token, &machine).await.is_ok());
    world.time.pass(seconds(1));
    assert_eq!(world.enroll(&token, &machine).await, Err(REFUSED));
}

async fn another_machine_is_no_repeat_of_an_enrolment<K: Shelf>(world: World<K>) {
    let token = world.token(1, HOUR).await;
    let machine = Machine::named("ws-1");
    world.enroll(&token, &machine).await.unwrap();
    for other in [
        Machine::named("ws-2"),
        Machine { os: "linux", ..machine.clone() },
        Machine { arch: "arm64", ..machine.clone() },
    ] {
        assert_eq!(world.enroll(&token, &other).await, Err(REFUSED), "{other:?}");
    }
    assert!(world.enroll(&token, &machine).await.is_ok());
}

async fn a_token_makes_as_many_agents_as_it_has_uses<K: Shelf>(world: World<K>) {
    let token = world.token(2, HOUR).await;
    let (one, two) = (Machine::named("ws-1"), Machine::named("ws-2"));
    let first = world.enroll(&token, &one).await.unwrap();
    let second = world.enroll(&token, &two).await.unwrap();
    assert_ne!(first.agent_id, second.agent_id);
    assert_eq!(world.enroll(&token, &Machine::named("ws-3")).await, Err(REFUSED));
    assert_eq!(world.uses().await, [2]);
    assert!(world.beat(&one, &credentials(&first)).await.is_ok());
    assert!(world.beat(&two, &credentials(&second)).await.is_ok());
}

async fn an_expired_a_revoked_and_an_unknown_token_are_refused<K: Shelf>(world: World<K>) {
    let machine = Machine::named("ws-1");
    let token = world.token(1, seconds(60)).await;
    world.time.pass(seconds(60));
    assert_eq!(world.enroll(&token, &machine).await, Err(REFUSED));

    let wish = (DEFAULT_TENANT, Vendor::Achilles, HOUR, 2);
    let (revoked, text) = world.core().issue_token(wish.0, wish.1, wish.2, wish.3).await.unwrap();
    world.enroll(&text, &machine).await.unwrap();
    world.core().revoke_token(DEFAULT_TENANT, revoked.id).await.unwrap();
    assert_eq!(world.enroll(&text, &machine).await, Err(REFUSED));
    assert_eq!(world.enroll(&text, &Machine::named("ws-2")).await, Err(REFUSED));

    let unknown = format!("acht_{}", "0".repeat(64));
    assert_eq!(world.enroll(&unknown, &machine).await, Err(REFUSED));
}

async fn machines_that_race_for_one_use_make_one_agent<K: Shelf>(world: World<K>) {
    let token = world.token(1, HOUR).await;
    let client = world.client::<Enroll>(TimeDelta::zero());
    let mut race = JoinSet::new();
    for number in 0..16 {
        let (client, call) = (client.clone(), Machine::named(format!("ws-{number}")).enrolment(&token));
        race.spawn(async move { settle(client.send(&(), &call).await) });
    }
    let outcomes = race.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for refused in lost {
        assert!(matches!(refused, Err(Failed::Refused(401 | 409))), "{refused:?}");
    }
    assert_eq!(world.uses().await, [1]);
    assert_eq!(world.core().agents(DEFAULT_TENANT).len(), 1);
}

async fn a_machine_that_asks_many_times_at_once_is_one_agent<K: Shelf>(world: World<K>) {
    let token = world.token(1, HOUR).await;
    let machine = Machine::named("ws-1");
    let client = world.client::<Enroll>(TimeDelta::zero());
    let mut race = JoinSet::new();
    for _ in 0..8 {
        let (client, call) = (client.clone(), machine.enrolment(&token));
        race.spawn(async move { settle(client.send(&(), &call).await) });
    }
    let answers: Vec<_> = race.join_all().await.into_iter().map(|outcome| outcome.unwrap().data).collect();
    let ids: BTreeSet<_> = answers.iter().map(|data| data.agent_id.clone()).collect();
    let keys: BTreeSet<_> = answers.iter().map(|data| data.key().unwrap().expose().to_owned()).collect();
    assert_eq!((ids.len(), keys.len()), (1, 8));
    assert_eq!(world.uses().await, [1]);
}

async fn keys_that_race_for_the_first_sign_in_leave_exactly_one<K: Shelf>(world: World<K>) {
    let token = world.token(1, HOUR).await;
    let machine = Machine::named("ws-1");
    let mut agents = Vec::new();
    for _ in 0..6 {
        agents.push(credentials(&world.enroll(&token, &machine).await.unwrap()));
    }
    let client = world.client::<PollTasks>(TimeDelta::zero());
    let mut race = JoinSet::new();
    for agent in agents.clone() {
        let client = client.clone();
        race.spawn(async move { settle(client.send(&agent, &Call::<PollTasks>::new(())).await).is_ok() });
    }
    let won = race.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
    let mut alive = 0;
    for agent in &agents {
        alive += usize::from(world.poll(agent).await.is_ok());
    }
    assert_eq!(alive, 1);
}

// Achilles: signing in, and keys that change.

impl<K: Shelf> World<K> {
    async fn rotate(&self, agent: &AgentCredentials) {
        self.core().rotate_key(DEFAULT_TENANT, Vendor::Achilles, agent.agent_id.as_str()).await.unwrap();
    }

    /// The key that a heartbeat offers.
    async fn offered(&self, machine: &Machine, agent: &AgentCredentials) -> Option<AgentKey> {
        self.beat(machine, agent).await.unwrap().new_api_key
    }

    async fn poll_at(&self, off: TimeDelta, agent: &AgentCredentials) -> Outcome<()> {
        settle(self.client::<PollTasks>(off).send(agent, &Call::<PollTasks>::new(())).await).map(drop)
    }
}

fn with_key(agent: &AgentCredentials, key: AgentKey) -> AgentCredentials {
    AgentCredentials::new(agent.agent_id.clone(), key)
}

async fn a_key_is_good_only_with_its_own_id_and_a_fresh_time<K: Shelf>(world: World<K>) {
    let (_, agent) = world.living("ws-1").await;
    let (_, other) = world.living("ws-2").await;
    let mixed = AgentCredentials::new(other.agent_id.clone(), agent.key.clone());
    assert_eq!(world.poll(&mixed).await, Err(REFUSED));
    for (off, good) in [(300, true), (-300, true), (301, false), (-301, false)] {
        let outcome = world.poll_at(TimeDelta::seconds(off), &agent).await;
        assert_eq!(outcome.is_ok(), good, "{off} s off: {outcome:?}");
    }
    assert!(world.poll(&agent).await.is_ok());
}

async fn the_same_candidate_is_offered_until_it_is_used<K: Shelf>(mut world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    assert_eq!(world.offered(&machine, &agent).await, None);
    world.rotate(&agent).await;
    let candidate = world.offered(&machine, &agent).await.unwrap();
    assert_ne!(candidate, agent.key);
    assert_eq!(candidate.expose().len(), agent.key.expose().len());
    for restarted in [false, true] {
        if restarted {
            world.restart().await;
        }
        assert_eq!(world.offered(&machine, &agent).await.as_ref(), Some(&candidate));
        world.rotate(&agent).await;
        assert_eq!(world.offered(&machine, &agent).await.as_ref(), Some(&candidate));
    }
}

async fn no_timer_ends_the_old_key_or_the_candidate<K: Shelf>(world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    world.rotate(&agent).await;
    let candidate = world.offered(&machine, &agent).await.unwrap();
    world.time.pass(24 * 30 * HOUR);
    assert_eq!(world.offered(&machine, &agent).await.as_ref(), Some(&candidate));
    world.time.pass(24 * 30 * HOUR);
    let changed = with_key(&agent, candidate);
    assert_eq!(world.offered(&machine, &changed).await, None);
    assert_eq!(world.beat(&machine, &agent).await, Err(REFUSED));
}

async fn the_first_use_of_the_candidate_ends_the_old_key_at_once<K: Shelf>(mut world: World<K>) {
    for restarted in [false, true] {
        let (machine, agent) = world.living(&format!("ws-{restarted}")).await;
        world.rotate(&agent).await;
        let candidate = world.offered(&machine, &agent).await.unwrap();
        let changed = with_key(&agent, candidate.clone());
        // The server remembers the old key from here.
        assert!(world.poll(&agent).await.is_ok());
        assert!(world.poll(&changed).await.is_ok());
        if restarted {
            world.restart().await;
        }
        assert_eq!(world.poll(&agent).await, Err(REFUSED));
        assert_eq!(world.offered(&machine, &changed).await, None);

        world.rotate(&changed).await;
        let next = world.offered(&machine, &changed).await.unwrap();
        assert!(next != candidate && next != agent.key);
        assert!(world.poll(&with_key(&agent, next)).await.is_ok());
        assert_eq!(world.poll(&changed).await, Err(REFUSED));
        assert_eq!(world.poll(&agent).await, Err(REFUSED));
    }
}

async fn a_request_that_is_refused_does_not_take_the_candidate<K: Shelf>(world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    let (_, other) = world.living("ws-2").await;
    world.rotate(&agent).await;
    let candidate = world.offered(&machine, &agent).await.unwrap();
    let changed = with_key(&agent, candidate.clone());
    assert_eq!(world.poll_at(TimeDelta::hours(-1), &changed).await, Err(REFUSED));
    let stolen = AgentCredentials::new(other.agent_id.clone(), candidate.clone());
    assert_eq!(world.poll(&stolen).await, Err(REFUSED));

    assert_eq!(world.offered(&machine, &agent).await, Some(candidate));
    assert!(world.poll(&changed).await.is_ok());
    assert_eq!(world.poll(&agent).await, Err(REFUSED));
}

async fn a_rotation_before_the_first_sign_in_leaves_both_keys<K: Shelf>(mut world: World<K>) {
    for restarted in [false, true] {
        let (machine, agent) = world.enrolled(&format!("ws-{restarted}")).await;
        world.rotate(&agent).await;
        let candidate = world.offered(&machine, &agent).await.unwrap();
        if restarted {
            world.restart().await;
        }
        assert_eq!(world.offered(&machine, &agent).await.as_ref(), Some(&candidate));
        assert!(world.poll(&with_key(&agent, candidate)).await.is_ok());
        assert_eq!(world.poll(&agent).await, Err(REFUSED));
    }
}

/// What an agent knows of its keys: the newest last.
struct Keyring {
    machine: Machine,
    id: AgentCredentials,
    keys: Vec<AgentKey>,
    newest_first: bool,
}

impl Keyring {
    /// Sends a heartbeat with one key after the other until one is accepted or a message is lost.
    async fn report<K: Shelf>(&mut self, world: &World<K>) -> Outcome<()> {
        let mut keys = self.keys.clone();
        if self.newest_first {
            keys.reverse();
        }
        for key in keys {
            match world.beat(&self.machine, &with_key(&self.id, key.clone())).await {
                Ok(answer) => {
                    if let Some(candidate) = answer.new_api_key.filter(|key| !self.keys.contains(key)) {
                        self.keys.push(candidate);
                    }
                    return Ok(());
                }
                Err(Failed::Lost) => return Err(Failed::Lost),
                Err(REFUSED) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        Err(REFUSED)
    }
}

async fn no_lost_message_and_no_restart_leaves_an_agent_without_a_key<K: Shelf>(mut world: World<K>) {
    const REPORTS: usize = 4;
    let losses = (0..REPORTS).flat_map(|at| [Some((at, Lost::Request)), Some((at, Lost::Answer))]);
    for loss in losses.chain([None]) {
        for restart in (0..=REPORTS).map(Some).chain([None]) {
            for newest_first in [false, true] {
                let case = format!("{loss:?}-{restart:?}-{newest_first}");
                let (machine, id) = world.living(&case).await;
                let old = id.key.clone();
                let mut agent = Keyring { machine, keys: vec![old.clone()], id, newest_first };
                world.rotate(&agent.id).await;
                // The operator's own answer was lost: the wish is repeated.
                world.rotate(&agent.id).await;
                for at in 0..REPORTS {
                    if restart == Some(at) {
                        world.restart().await;
                    }
                    // An agent that likes its old key better turns to the new one in the end.
                    agent.newest_first |= at == 2;
                    let lost = loss.filter(|(when, _)| *when == at).map(|(_, lost)| lost);
                    if let Some(lost) = lost {
                        world.lose(lost);
                    }
                    let expected = if lost.is_some() { Err(Failed::Lost) } else { Ok(()) };
                    assert_eq!(agent.report(&world).await, expected, "{case}, report {at}");
                }
                if restart == Some(REPORTS) {
                    world.restart().await;
                }
                assert_eq!(agent.report(&world).await, Ok(()), "{case}");
                assert_eq!(agent.report(&world).await, Ok(()), "{case}");
                let [first, last] = <[AgentKey; 2]>::try_from(agent.keys).unwrap();
                assert_eq!(first, old, "{case}");
                assert_eq!(world.poll(&with_key(&agent.id, first)).await, Err(REFUSED), "{case}");
                assert!(world.poll(&with_key(&agent.id, last)).await.is_ok(), "{case}");
            }
        }
    }
}

async fn a_store_that_fails_at_the_first_use_ends_no_key<K: Shelf>(world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    world.rotate(&agent).await;
    let candidate = world.offered(&machine, &agent).await.unwrap();
    let changed = with_key(&agent, candidate.clone());
    world.fail_next("settle_key");
    assert_eq!(world.poll(&changed).await, Err(Failed::Refused(503)));
    assert_eq!(world.offered(&machine, &agent).await, Some(candidate));
    assert!(world.poll(&changed).await.is_ok());
    assert_eq!(world.poll(&agent).await, Err(REFUSED));
}

async fn an_offer_is_not_lost_to_an_older_answer_of_the_store<K: Shelf>(world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    let gate = world.hold_next("observe");
    let client = world.client::<achilles::Heartbeat>(TimeDelta::zero());
    let (call, sender) = (machine.beat(world.now(), "0.6.0"), agent.clone());
    let beat = tokio::spawn(async move { settle(client.send(&sender, &call).await) });
    gate.reached.notified().await;
    // The heartbeat has been written down; the server has yet to hear of it.
    world.rotate(&agent).await;
    gate.opened.notify_one();
    beat.await.unwrap().unwrap();
    let answer = world.call(&agent, &machine.beat(world.now(), "0.6.0")).await.unwrap().data;
    assert!(answer.new_api_key.is_some());
}

async fn a_slow_first_sign_in_does_not_bring_an_ended_key_back<K: Shelf>(world: World<K>) {
    let (machine, agent) = world.enrolled("ws-1").await;
    let gate = world.hold_next("settle_key");
    let (client, sender) = (world.client::<PollTasks>(TimeDelta::zero()), agent.clone());
    let slow = tokio::spawn(async move { settle(client.send(&sender, &Call::<PollTasks>::new(())).await) });
    gate.reached.notified().await;
    world.rotate(&agent).await;
    let changed = with_key(&agent, world.offered(&machine, &agent).await.unwrap());
    assert!(world.poll(&changed).await.is_ok());
    gate.opened.notify_one();
    // It was signed in while its key was good.
    assert!(slow.await.unwrap().is_ok());
    assert_eq!(world.poll(&agent).await, Err(REFUSED));
    assert!(world.poll(&changed).await.is_ok());
}

async fn keys_that_were_changed_before_an_agent_left_for_good_were_changed<K: Shelf>(world: World<K>) {
    let (_, agent) = world.living("ws-1").await;
    let gate = world.hold_next("replace_keys");
    let (core, id) = (Arc::clone(&world.up.as_ref().unwrap().core), agent.agent_id.as_str().to_owned());
    let named = id.clone();
    let revoke =
        tokio::spawn(async move { core.revoke_keys(DEFAULT_TENANT, Vendor::Achilles, &named).await });
    gate.reached.notified().await;
    let leaves = world.core().stand(DEFAULT_TENANT, Vendor::Achilles, &id, Standing::Decommissioned).await;
    assert_eq!(leaves.unwrap().agent.standing(), Standing::Decommissioned);
    gate.opened.notify_one();
    let (_, key) = revoke.await.unwrap().unwrap();
    assert_eq!(world.poll(&with_key(&agent, AgentKey::new(key))).await, Err(REFUSED));
    let again = world.core().revoke_keys(DEFAULT_TENANT, Vendor::Achilles, &id).await;
    assert!(matches!(again, Err(OperatorError::Unsuitable(_))), "{again:?}");
}

// Achilles: tasks and results.

impl<K: Shelf> World<K> {
    async fn queue(&self, agent: &AgentCredentials, command: &str, priority: i64) -> Work {
        let payload = Map::from_iter([("command".to_owned(), json!(command))]);
        let id = agent.agent_id.as_str();
        let kind = "execute_command".to_owned();
        let wish = WorkWish { kind, payload, priority: Some(priority), ..WorkWish::default() };
        self.core().queue_work(DEFAULT_TENANT, Vendor::Achilles, id, wish).await.unwrap().0.work
    }

    async fn report(&self, agent: &AgentCredentials, task: &str, exit_code: i64) -> Outcome<ResultAnswer> {
        let now = Timestamp::seconds(self.now());
        let result = TaskResultRequest::new(task, exit_code, now.clone(), now, 1500);
        self.call(agent, &Call::<ReportResult>::with(TaskPath::new(task), result)).await
    }
}

async fn a_caller_who_hangs_up_over_a_poll_loses_no_task<K: Shelf>(world: World<K>) {
    let (_, agent) = world.living("ws-1").await;
    let work = world.queue(&agent, "hostname", 0).await;
    let gate = world.hold_next("deliver");
    let (client, sender) = (world.client::<PollTasks>(TimeDelta::zero()), agent.clone());
    let poll = tokio::spawn(async move { settle(client.send(&sender, &Call::<PollTasks>::new(())).await) });
    gate.reached.notified().await;
    // The task has been handed over; the server has yet to hear of it.
    poll.abort();
    assert!(poll.await.unwrap_err().is_cancelled());
    gate.opened.notify_one();
    // The server goes through with it all the same, in its own time.
    for _ in 0..1000 {
        if let Some(task) = world.poll(&agent).await.unwrap() {
            assert_eq!(task.id.as_str(), work.id);
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the task is not handed over again");
}

async fn a_result_is_taken_from_an_assigned_task_only_once<K: Shelf>(mut world: World<K>) {
    for restarted in [false, true] {
        let (_, agent) = world.living(&format!("ws-{restarted}")).await;
        let work = world.queue(&agent, "hostname", 0).await;
        assert_eq!(world.report(&agent, &work.id, 0).await, Err(Failed::Refused(400)), "it is pending");
        let task = world.poll(&agent).await.unwrap().unwrap();
        assert_eq!((task.id.as_str(), &task.status), (work.id.as_str(), &Some(TaskStatus::Assigned)));
        assert_eq!(task.payload.command.as_deref(), Some("hostname"));
        if restarted {
            world.restart().await;
        }

        world.lose(Lost::Answer);
        assert_eq!(world.report(&agent, &work.id, 101).await, Err(Failed::Lost));
        world.time.pass(HOUR);
        if restarted {
            world.restart().await;
        }
        for (exit_code, what) in [(101, "the same outcome"), (7, "another outcome")] {
            let answer = world.report(&agent, &work.id, exit_code).await.unwrap();
            assert_eq!(answer.idempotent, Some(true), "{what}");
            assert_eq!(answer.data.status, Some(TaskStatus::Completed), "{what}");
            let result = answer.data.result.unwrap();
            assert_eq!(result.exit_code, Some(101), "{what}");
            let completed_at = answer.data.completed_at.unwrap().parse().unwrap();
            assert_eq!(completed_at, world.now() - TimeDelta::hours(1), "{what}");
        }
        assert_eq!(world.poll(&agent).await.unwrap(), None);
    }
}

async fn the_first_report_of_a_result_is_not_marked_a_repeat<K: Shelf>(world: World<K>) {
    let (_, agent) = world.living("ws-1").await;
    let work = world.queue(&agent, "hostname", 0).await;
    world.poll(&agent).await.unwrap();
    let answer = world.report(&agent, &work.id, 0).await.unwrap();
    assert_eq!((answer.idempotent, answer.data.status), (None, Some(TaskStatus::Completed)));
    assert_eq!(
        world.core().work(DEFAULT_TENANT, the_latest(9)).await.unwrap().work[0].work.state,
        WorkState::Succeeded
    );
}

async fn what_a_result_leaves_empty_is_as_enrolled<K: Shelf>(world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    let work = world.queue(&agent, "hostname", 0).await;
    world.poll(&agent).await.unwrap();
    world.report(&agent, &work.id, 0).await.unwrap();
    let result =
        world.core().work(DEFAULT_TENANT, the_latest(1)).await.unwrap().work[0].work.result.clone().unwrap();
    assert_eq!(result["hostname"], json!(machine.host));
    assert_eq!((&result["os"], &result["arch"]), (&json!("windows"), &json!("amd64")));
}

async fn a_result_for_another_agents_task_changes_nothing<K: Shelf>(world: World<K>) {
    let (_, agent) = world.living("ws-1").await;
    let (_, other) = world.living("ws-2").await;
    let work = world.queue(&agent, "hostname", 0).await;
    world.poll(&agent).await.unwrap();
    assert_eq!(world.report(&other, &work.id, 0).await, Err(Failed::Refused(403)));
    assert_eq!(world.report(&agent, "no-such-task", 0).await, Err(Failed::Refused(404)));
    assert_eq!(world.report(&agent, &work.id, 0).await.unwrap().idempotent, None);
}

async fn urgent_tasks_come_first_then_older_ones<K: Shelf>(mut world: World<K>) {
    let (_, agent) = world.living("ws-1").await;
    for (command, priority) in [("low", -1), ("old", 5), ("young", 5), ("urgent", 9)] {
        world.queue(&agent, command, priority).await;
        world.time.pass(seconds(1));
    }
    for expected in ["urgent", "old", "young", "low"] {
        let task = world.poll(&agent).await.unwrap().unwrap();
        assert_eq!(task.payload.command.as_deref(), Some(expected));
        world.restart().await;
        world.report(&agent, task.id.as_str(), 0).await.unwrap();
    }
    assert_eq!(world.poll(&agent).await.unwrap(), None);
}

async fn a_task_is_handed_over_again_until_its_result_is_in<K: Shelf>(mut world: World<K>) {
    let (_, agent) = world.living("ws-1").await;
    assert_eq!(world.poll(&agent).await.unwrap(), None);
    let work = world.queue(&agent, "hostname", 0).await;
    world.lose(Lost::Answer);
    assert_eq!(world.poll(&agent).await, Err(Failed::Lost));
    let first = world.poll(&agent).await.unwrap().unwrap();
    // Its execution may take 300 s, and 120 s more for the answer.
    world.time.pass(Duration::from_secs(400));
    world.restart().await;
    let again = world.poll(&agent).await.unwrap().unwrap();
    assert_eq!((&first, first.id.as_str()), (&again, work.id.as_str()));
    world.fail_next("deliver");
    assert_eq!(world.poll(&agent).await, Err(Failed::Refused(503)));
    assert_eq!(world.poll(&agent).await.unwrap(), Some(again));
    world.report(&agent, &work.id, 0).await.unwrap();
    assert_eq!(world.poll(&agent).await.unwrap(), None);
}

async fn a_task_expires_after_its_time_and_not_before<K: Shelf>(world: World<K>) {
    let (_, agent) = world.living("ws-1").await;
    let ttl = world.config.work_ttl;
    let work = world.queue(&agent, "hostname", 0).await;
    world.time.pass(ttl);
    assert!(world.poll(&agent).await.unwrap().is_some());
    world.time.pass(Duration::from_millis(1));
    assert_eq!(world.poll(&agent).await.unwrap(), None);
    let answer = world.report(&agent, &work.id, 0).await.unwrap();
    assert_eq!((answer.idempotent, answer.data.status), (Some(true), Some(TaskStatus::Expired)));
    assert_eq!(
        world.core().work(DEFAULT_TENANT, the_latest(9)).await.unwrap().work[0].work.state,
        WorkState::Expired
    );
}

// Achilles: updates.

impl<K: Shelf> World<K> {
    async fn release(&self, version: &str, os: &str, arch: &str) -> [u8; 32] {
        let sha256 = sha256(version.as_bytes());
        let wish = NewRelease {
            version: version.to_owned(),
            os: os.to_owned(),
            arch: arch.to_owned(),
            sha256,
            size: 24,
            download_url: Some(format!("https://downloads.example/{version}")),
            mandatory: false,
        };
        self.core().add_release(DEFAULT_TENANT, wish).await.unwrap();
        self.time.pass(seconds(1));
        sha256
    }

    async fn update(&self, agent: &AgentCredentials) -> Option<UpdateInfo> {
        self.call(agent, &Call::<CheckUpdate>::new(())).await.unwrap().data.0
    }
}

async fn an_update_is_the_release_registered_last_for_the_machine<K: Shelf>(mut world: World<K>) {
    let (_, agent) = world.living("ws-1").await;
    assert_eq!(world.update(&agent).await, None);
    world.release("9.0.0", "linux", "amd64").await;
    world.release("9.0.1", "windows", "arm64").await;
    assert_eq!(world.update(&agent).await, None, "those are for other machines");
    world.release("0.7.0", "windows", "amd64").await;
    assert_eq!(world.update(&agent).await.unwrap().version, "0.7.0");
    // Taking a bad version back is registering an older one.
    world.release("0.6.0", "windows", "amd64").await;
    world.restart().await;
    assert_eq!(world.update(&agent).await.unwrap().version, "0.6.0");
}

async fn an_update_is_for_the_system_that_was_enrolled<K: Shelf>(world: World<K>) {
    let (mut machine, agent) = world.living("ws-1").await;
    world.release("9.0.0", "linux", "amd64").await;
    world.release("0.7.0", "windows", "amd64").await;
    machine.os = "linux";
    world.beat(&machine, &agent).await.unwrap();
    assert_eq!(world.update(&agent).await.unwrap().version, "0.7.0");
}

async fn an_agent_that_runs_the_latest_release_is_offered_none<K: Shelf>(world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    world.release("0.6.0", "windows", "amd64").await;
    assert!(world.update(&agent).await.is_some());
    world.call(&agent, &machine.beat(world.now(), "0.6.0")).await.unwrap();
    assert_eq!(world.update(&agent).await, None);
}

async fn an_update_is_signed_with_the_key_that_enrolment_gave<K: Shelf>(mut world: World<K>) {
    let token = world.token(1, HOUR).await;
    let machine = Machine::named("ws-1");
    let data = world.enroll(&token, &machine).await.unwrap();
    let agent = credentials(&data);
    // The key is the server's for good, not one run's.
    world.restart().await;
    let digest = world.release("0.6.0", "windows", "amd64").await;
    let info = world.update(&agent).await.unwrap();
    assert_eq!((info.sha256.as_str(), info.size), (hex(&digest).as_str(), 24));
    assert_eq!(info.download_url.as_deref(), Some("https://downloads.example/0.6.0"));
    let key = base64::engine::general_purpose::STANDARD.decode(data.update_key().unwrap()).unwrap();
    let signature: [u8; 64] = unhex(info.signature.as_deref().unwrap()).unwrap();
    let key = UnparsedPublicKey::new(&ED25519, key);
    assert!(key.verify(&digest, &signature).is_ok());
    assert!(key.verify(&sha256(b"other bytes"), &signature).is_err());
}

// Acusight: models.

/// A device and its key.
struct Device {
    id: &'static str,
    key: DeviceKey,
}

impl<K: Shelf> World<K> {
    async fn device(&self, id: &'static str) -> Device {
        let (_, key) = self.register(Vendor::Acusight, Kind::Agent, Some(id), json!({})).await;
        Device { id, key: DeviceKey::from(key) }
    }

    async fn model(&self, id: &str) {
        let wish = NewModel {
            id: Some(id.to_owned()),
            name: format!("{id}'s name"),
            version: "2.0".to_owned(),
            place: FilePlace::Url(format!("https://downloads.example/{id}")),
            file_ext: Some(".onnx".to_owned()),
            label_map: Some(r#"{"0":"defect"}"#.to_owned()),
        };
        self.core().add_model(DEFAULT_TENANT, wish).await.unwrap();
    }

    async fn assign(&self, device: &Device, model: &str) {
        let model = model.to_owned();
        self.core().assign_model(DEFAULT_TENANT, Vendor::Acusight, device.id, model).await.unwrap();
    }

    /// A check-in of a device that runs `model`.
    async fn check_in(&self, device: &Device, model: Option<&str>) -> Outcome<Vec<DeviceAction>> {
        let mut request = CheckinRequest::new(device.id);
        request.current_model_id = model.map(Into::into);
        request.status = Some("healthy".to_owned());
        self.call(&device.key, &Call::<Checkin>::new(request)).await.map(|answer| answer.pending_actions)
    }

    /// The models that a check-in asks for.
    async fn wanted(&self, device: &Device, model: Option<&str>) -> Vec<String> {
        let actions = self.check_in(device, model).await.unwrap();
        actions.into_iter().map(|action| action.model_id.unwrap().into_string()).collect()
    }

    async fn work_states(&self) -> Vec<WorkState> {
        let filter = WorkFilter { limit: 99, ..WorkFilter::default() };
        let work = self.core().work(DEFAULT_TENANT, filter).await.unwrap().work;
        work.iter().rev().map(|view| view.work.state).collect()
    }
}

async fn an_assigned_model_is_asked_for_until_the_device_runs_it<K: Shelf>(mut world: World<K>) {
    let device = world.device("cam-1").await;
    world.model("new").await;
    assert!(world.wanted(&device, Some("old")).await.is_empty());
    world.assign(&device, "new").await;
    let first = world.check_in(&device, Some("old")).await.unwrap();
    let [action] = first.as_slice() else { panic!("{first:?}") };
    assert!(matches!(action.id, Some(IntOrText::Int(_))));
    assert_eq!(action.device_id, Some(device.id.into()));
    assert_eq!(action.download_url.as_deref(), Some("https://downloads.example/new"));
    assert_eq!(action.file_ext, Some(".onnx".into()));
    assert_eq!(action.label_map.as_ref().map(|map| map.as_str()), Some(r#"{"0":"defect"}"#));

    world.lose(Lost::Answer);
    assert_eq!(world.check_in(&device, Some("old")).await, Err(Failed::Lost));
    world.time.pass(HOUR);
    world.restart().await;
    assert_eq!(world.check_in(&device, Some("old")).await.unwrap(), first);
    assert_eq!(world.check_in(&device, None).await.unwrap(), first, "saying nothing ends nothing");
    assert!(world.wanted(&device, Some("new")).await.is_empty());
    assert_eq!(world.work_states().await, [WorkState::Succeeded]);
    world.restart().await;
    assert!(world.wanted(&device, Some("new")).await.is_empty());
}

async fn a_device_that_falls_back_to_an_old_model_is_asked_again<K: Shelf>(mut world: World<K>) {
    let device = world.device("cam-1").await;
    world.model("new").await;
    world.assign(&device, "new").await;
    for restarted in [false, true] {
        let first = world.check_in(&device, Some("old")).await.unwrap();
        assert!(world.wanted(&device, Some("new")).await.is_empty());
        assert!(world.wanted(&device, Some("new")).await.is_empty());
        if restarted {
            world.restart().await;
        }
        let again = world.check_in(&device, Some("old")).await.unwrap();
        assert_eq!(again.len(), 1);
        assert_ne!(first[0].id, again[0].id);
        assert!(world.wanted(&device, Some("new")).await.is_empty());
    }
}

async fn a_model_assigned_anew_takes_the_place_of_the_open_one<K: Shelf>(mut world: World<K>) {
    for (device, restarted) in [("cam-1", false), ("cam-2", true)] {
        let device = world.device(device).await;
        let models = [format!("a-{restarted}"), format!("b-{restarted}")];
        for model in &models {
            world.model(model).await;
        }
        world.assign(&device, &models[0]).await;
        assert_eq!(world.wanted(&device, Some("old")).await, [models[0].clone()]);
        world.assign(&device, &models[1]).await;
        if restarted {
            world.restart().await;
        }
        assert_eq!(world.wanted(&device, Some("old")).await, [models[1].clone()]);
        // The device was at the first one when the second was assigned.
        assert_eq!(world.wanted(&device, Some(&models[0])).await, [models[1].clone()]);
        assert!(world.wanted(&device, Some(&models[1])).await.is_empty());
    }
}

async fn a_device_that_does_not_say_its_model_keeps_the_last_one_said<K: Shelf>(world: World<K>) {
    let device = world.device("cam-1").await;
    world.model("new").await;
    world.assign(&device, "new").await;
    assert_eq!(world.wanted(&device, None).await, ["new"], "unknown is not the desired one");
    assert!(world.wanted(&device, Some("new")).await.is_empty());
    assert!(world.wanted(&device, None).await.is_empty());
    let agent = world.agent(Vendor::Acusight, device.id).agent;
    assert_eq!(agent.current_model.as_deref(), Some("new"));
}

async fn an_action_that_grew_too_old_is_replaced_by_a_new_one<K: Shelf>(world: World<K>) {
    let device = world.device("cam-1").await;
    world.model("new").await;
    world.assign(&device, "new").await;
    let first = world.check_in(&device, Some("old")).await.unwrap();
    world.time.pass(world.config.work_ttl + seconds(1));
    let second = world.check_in(&device, Some("old")).await.unwrap();
    assert_eq!(second.len(), 1);
    assert_ne!(first[0].id, second[0].id);
    assert_eq!(world.work_states().await, [WorkState::Expired, WorkState::Delivered]);
}

async fn a_check_in_that_the_store_refuses_loses_no_action<K: Shelf>(world: World<K>) {
    let device = world.device("cam-1").await;
    world.model("new").await;
    assert!(world.wanted(&device, Some("old")).await.is_empty());
    world.assign(&device, "new").await;
    world.fail_next("reconcile_model");
    assert_eq!(world.check_in(&device, Some("old")).await, Err(Failed::Refused(503)));
    assert_eq!(world.wanted(&device, Some("old")).await, ["new"]);
}

async fn a_device_cannot_speak_for_another<K: Shelf>(world: World<K>) {
    let device = world.device("cam-1").await;
    let other = world.device("cam-2").await;
    let mixed = Device { id: other.id, key: device.key.clone() };
    assert_eq!(world.check_in(&mixed, None).await, Err(Failed::Refused(404)));
    assert_eq!(world.notify(&mixed, &image(other.id, "k-1")).await, Err(Failed::Refused(400)));
    assert_eq!(world.agent(Vendor::Acusight, other.id).liveness, Liveness::Never);
    let unknown = Device { id: device.id, key: DeviceKey::from("adk_00") };
    assert_eq!(world.check_in(&unknown, None).await, Err(REFUSED));
}

// Acusight: images.

fn image(device: &str, storage_key: &str) -> ImageNotificationRequest {
    ImageNotificationRequest::new(device, "frame.jpg", storage_key, 640, 480)
}

fn boxed(bounds: [f64; 4]) -> AnnotationData {
    let [x, y, width, height] = bounds.map(|fraction| Some(Number::new(fraction)));
    let mut annotation = AnnotationData::default();
    annotation.class_value = Some("defect".to_owned());
    annotation.confidence = Some(Number::new(0.75));
    (annotation.x_center, annotation.y_center, annotation.width, annotation.height) = (x, y, width, height);
    annotation
}

impl<K: Shelf> World<K> {
    async fn notify(
        &self,
        device: &Device,
        image: &ImageNotificationRequest,
    ) -> Outcome<ImageNotificationResponse> {
        self.call(&device.key, &Call::<NotifyImage>::new(image.clone())).await
    }

    /// Image and batch of a notification.
    async fn recorded(&self, device: &Device, storage_key: &str) -> (String, String) {
        let answer = self.notify(device, &image(device.id, storage_key)).await.unwrap();
        assert_eq!(answer.success, Some(true));
        let Some(IntOrText::Text(batch)) = answer.batch_id else { panic!("{:?}", answer.batch_id) };
        (answer.image_id.unwrap().into_string(), batch)
    }
}

async fn an_image_notified_again_has_the_same_ids<K: Shelf>(mut world: World<K>) {
    let device = world.device("cam-1").await;
    world.lose(Lost::Answer);
    assert_eq!(world.notify(&device, &image(device.id, "k-1")).await, Err(Failed::Lost));
    let first = world.recorded(&device, "k-1").await;
    world.time.pass(24 * HOUR);
    world.restart().await;
    assert_eq!(world.recorded(&device, "k-1").await, first);
    let other = world.recorded(&device, "k-2").await;
    assert!(other.0 != first.0 && other.1 != first.1);
    let elsewhere = world.device("cam-2").await;
    let same_key = world.recorded(&elsewhere, "k-1").await;
    assert!(same_key.0 != first.0 && same_key.1 != first.1, "another device's image is another image");
}

async fn a_full_batch_is_followed_by_a_new_one<K: Shelf>(world: World<K>) {
    let mut world = world.with(|config| config.batches.images = 2).await;
    let device = world.device("cam-1").await;
    let mut batches = Vec::new();
    for key in ["k-1", "k-2", "k-1", "k-3", "k-4", "k-5"] {
        batches.push(world.recorded(&device, key).await.1);
        world.restart().await;
    }
    assert!(batches[0] == batches[1] && batches[1] == batches[2], "{batches:?}");
    assert!(batches[2] != batches[3] && batches[3] == batches[4], "{batches:?}");
    assert!(batches[5] != batches[4] && batches[5] != batches[0], "{batches:?}");
}

async fn an_old_batch_is_followed_by_a_new_one<K: Shelf>(mut world: World<K>) {
    let device = world.device("cam-1").await;
    let first = world.recorded(&device, "k-1").await.1;
    world.time.pass(world.config.batches.age);
    assert_eq!(world.recorded(&device, "k-2").await.1, first);
    world.time.pass(seconds(1));
    world.restart().await;
    assert_ne!(world.recorded(&device, "k-3").await.1, first);
}

async fn a_full_quota_is_refused_with_a_time_to_come_back<K: Shelf>(world: World<K>) {
    let world = world.with(|config| config.batches.quota = 2).await;
    let device = world.device("cam-1").await;
    let first = world.recorded(&device, "k-1").await;
    world.recorded(&device, "k-2").await;
    let client = world.client::<NotifyImage>(TimeDelta::zero());
    let refused =
        client.send(&device.key, &Call::<NotifyImage>::new(image(device.id, "k-3"))).await.unwrap_err();
    assert_eq!(refused.status(), Some(StatusCode::SERVICE_UNAVAILABLE));
    assert!(refused.retry_after().unwrap().delay(world.now()) > Duration::ZERO);
    assert_eq!(world.recorded(&device, "k-1").await, first, "what is in stays in");
    let other = world.device("cam-2").await;
    world.recorded(&other, "k-3").await;
}

async fn annotations_of_either_shape_and_over_the_edge_are_taken<K: Shelf>(world: World<K>) {
    let device = world.device("cam-1").await;
    let mut geometry = AnnotationData::default();
    geometry.class_value = Some("defect".to_owned());
    geometry.kind = Some("bbox".to_owned());
    geometry.geometry = Some([0.52, 0.48, 0.2, 0.1].map(Number::new).to_vec());
    let over_the_edge = boxed([0.95, 0.5, 0.2, 0.2]);
    for (key, annotation) in [("k-1", geometry), ("k-2", over_the_edge), ("k-3", AnnotationData::default())] {
        let mut image = image(device.id, key);
        image.annotations = vec![annotation];
        assert!(world.notify(&device, &image).await.is_ok(), "{key}");
    }
}

async fn a_box_outside_the_range_is_refused_and_takes_no_slot<K: Shelf>(world: World<K>) {
    let world = world.with(|config| config.batches.quota = 1).await;
    let device = world.device("cam-1").await;
    for bounds in [[1.5, 0.5, 0.2, 0.2], [0.5, -0.1, 0.2, 0.2], [0.5, 0.5, 1.01, 0.2]] {
        let mut image = image(device.id, "k-1");
        image.annotations = vec![boxed([0.5, 0.5, 0.1, 0.1]), boxed(bounds)];
        assert_eq!(world.notify(&device, &image).await, Err(Failed::Refused(400)), "{bounds:?}");
    }
    world.recorded(&device, "k-1").await;
}

// ZStack.

impl<K: Shelf> World<K> {
    async fn zstack(&self, uuid: &str) -> BearerToken {
        let facts = json!({
            "type": "metric", "endpoint": "10.0.0.5:9100", "platformId": "p-1", "region": "eu-1",
        });
        BearerToken::from(self.register(Vendor::ZStack, Kind::Agent, Some(uuid), facts).await.1)
    }

    async fn zstack_beat(&self, token: &BearerToken, uuid: &str, version: &str) -> Outcome<zstack::Agent> {
        let request = zstack::HeartbeatRequest::new(version, 3600, 12.5, 35.25);
        self.call(token, &Call::<zstack::Heartbeat>::with(AgentPath::new(uuid), request)).await
    }
}

async fn a_zstack_agent_gets_its_whole_record<K: Shelf>(world: World<K>) {
    let token = world.zstack("u-1").await;
    let created = world.now();
    world.time.pass(HOUR);
    let answer = world.zstack_beat(&token, "u-1", "1.2.0").await.unwrap();
    let seen = world.now();
    let expected = json!({
        "uuid": "u-1", "name": "u-1", "type": "metric", "version": "1.2.0", "status": "online",
        "endpoint": "10.0.0.5:9100", "platformId": "p-1", "region": "eu-1", "labels": r#"{"env":"prod"}"#,
        "lastHeartbeatAt": Timestamp::seconds(seen), "createDate": Timestamp::seconds(created),
        "lastOpDate": Timestamp::seconds(seen),
    });
    assert_eq!(serde_json::to_value(&answer).unwrap(), expected);
    let report = world.agent(Vendor::ZStack, "u-1").report.unwrap();
    let metrics: Vec<_> = report.metrics.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(metrics, [("cpu_percent", 12.5), ("memory_percent", 35.25), ("uptime_seconds", 3600.0)]);
}

async fn a_version_that_an_agent_reports_survives_a_restart<K: Shelf>(mut world: World<K>) {
    let token = world.zstack("u-1").await;
    for version in ["1.2.0", "1.3.0"] {
        world.zstack_beat(&token, "u-1", version).await.unwrap();
        world.restart().await;
        assert_eq!(world.agent(Vendor::ZStack, "u-1").agent.version.as_deref(), Some(version));
    }
}

async fn a_tenant_key_is_good_for_every_agent_and_a_bound_one_for_its_own<K: Shelf>(mut world: World<K>) {
    let one = world.zstack("u-1").await;
    let two = world.zstack("u-2").await;
    let all = world.core().issue_tenant_key(DEFAULT_TENANT, Vendor::ZStack).await.unwrap();
    let all = BearerToken::from(all);
    for restarted in [false, true] {
        if restarted {
            world.restart().await;
        }
        for (token, uuid, expected) in [
            (&all, "u-1", Ok(())),
            (&all, "u-2", Ok(())),
            (&one, "u-1", Ok(())),
            (&two, "u-2", Ok(())),
            (&one, "u-2", Err(Failed::Refused(404))),
            (&two, "u-1", Err(Failed::Refused(404))),
            (&all, "u-3", Err(Failed::Refused(404))),
        ] {
            let outcome = world.zstack_beat(token, uuid, "1.0.0").await.map(drop);
            assert_eq!(outcome, expected, "{uuid} after a restart: {restarted}");
        }
    }
}

async fn a_key_of_one_dialect_is_none_in_another<K: Shelf>(world: World<K>) {
    let device = world.device("cam-1").await;
    let token = world.zstack("u-1").await;
    let foreign = BearerToken::from(device.key.expose());
    assert_eq!(world.zstack_beat(&foreign, "u-1", "1.0.0").await, Err(REFUSED));
    let foreign = Device { id: device.id, key: DeviceKey::from(token.expose()) };
    assert_eq!(world.check_in(&foreign, None).await, Err(REFUSED));
    // Looking at it in the wrong dialect did not spoil it.
    assert!(world.check_in(&device, None).await.is_ok());
    assert!(world.zstack_beat(&token, "u-1", "1.0.0").await.is_ok());
}

async fn short_names_and_figures_as_text_are_read<K: Shelf>(world: World<K>) {
    let token = world.zstack("u-1").await;
    let body = json!({"version": "1.2.0", "uptime": "3600", "cpu": 12.5, "memory": 35.25});
    let bearer = format!("Bearer {}", token.expose());
    let path = "/api/v1/agents/u-1/heartbeat";
    let answer = world.raw::<zstack::Heartbeat>(path, ("authorization", &bearer), &body).await;
    assert_eq!((answer.status(), &answer.body()["status"]), (StatusCode::OK, &json!("online")));
    let report = world.agent(Vendor::ZStack, "u-1").report.unwrap();
    assert_eq!((report.metrics["cpu_percent"], report.metrics["uptime_seconds"]), (12.5, 3600.0));
}

// AgentMC.

const FINGERPRINT: &str = "a3f56f330f311a2159f8c101eaf1439a29f1d57f007375d56aa79f304bc4f112";
const OTHER_FINGERPRINT: &str = "b3f56f330f311a2159f8c101eaf1439a29f1d57f007375d56aa79f304bc4f112";

/// A host's heartbeat with the members that tell of agents.
fn host_report(fingerprint: &str, agents: &Value) -> agentmc::HeartbeatRequest {
    let mut report = json!({
        "meta": {"runtime": {"name": "openclaw", "version": "2026.2.26"}, "models": []},
        "host": {
            "fingerprint": fingerprint, "name": "worker-01",
            "meta": {
                "hostname": "worker-01", "ip": "10.0.2.15",
                "network": {"private_ip": "10.0.2.15", "public_ip": "34.222.10.10"},
                "os": "Ubuntu", "os_version": "24.04", "arch": "x86_64", "cpu": "Xeon", "cpu_cores": 8,
                "ram_gb": 32, "disk": {"total_bytes": 500, "free_bytes": 300}, "uptime_seconds": 86400,
                "runtime": {"name": "codex", "version": "2026.02.1"},
            },
        },
    });
    let members = report.as_object_mut().unwrap();
    members.extend(agents.as_object().unwrap().clone());
    serde_json::from_value(report).unwrap()
}

impl<K: Shelf> World<K> {
    async fn agentmc_key(&self) -> ApiKey {
        ApiKey::from(self.core().issue_tenant_key(DEFAULT_TENANT, Vendor::AgentMc).await.unwrap())
    }

    async fn host_beat(
        &self,
        key: &ApiKey,
        report: agentmc::HeartbeatRequest,
    ) -> Outcome<agentmc::HeartbeatResponse> {
        self.call(key, &Call::<agentmc::Heartbeat>::with(HostFingerprint::default(), report)).await
    }

    /// An agent of AgentMC that an operator has registered, by its number.
    async fn numbered(&self) -> No {
        self.register(Vendor::AgentMc, Kind::Agent, None, json!({})).await.0.agent.no
    }
}

fn tally(answer: &agentmc::HeartbeatResponse) -> (i64, i64) {
    let host = answer.host.as_ref().unwrap();
    (host.agents_total, host.agents_online)
}

async fn a_host_and_its_agent_are_made_and_kept_up_to_date<K: Shelf>(mut world: World<K>) {
    let key = world.agentmc_key().await;
    let no = world.numbered().await;
    let agent = |name: &str| json!({"agent": {"id": no, "name": name, "type": "codex", "identity": "calm"}});
    let first = world.host_beat(&key, host_report(FINGERPRINT, &agent("Jarvis"))).await.unwrap();
    let host = first.host.clone().unwrap();
    assert_eq!((host.fingerprint.as_str(), host.status), (FINGERPRINT, HostStatus::Online));
    assert_eq!((host.name.as_str(), host.team_id), ("worker-01", DEFAULT_TENANT));
    assert_eq!(tally(&first), (1, 1));
    let summary = first.agent.unwrap();
    assert_eq!((summary.id, summary.name.as_str(), summary.kind.as_deref()), (no, "Jarvis", Some("codex")));
    assert!(first.defaults.unwrap().heartbeat_interval_seconds >= 5);

    world.restart().await;
    let mut report = host_report(FINGERPRINT, &agent("Jarvis II"));
    report.host.name = "worker-02".to_owned();
    let second = world.host_beat(&key, report).await.unwrap();
    assert_eq!(second.host.as_ref().map(|host| host.id), Some(host.id));
    assert_eq!(second.host.as_ref().map(|host| host.name.as_str()), Some("worker-02"));
    assert_eq!(second.agent.unwrap().name, "Jarvis II");
    world.restart().await;
    assert_eq!(world.agent(Vendor::AgentMc, &no.to_string()).agent.name, "Jarvis II");
    assert_eq!(world.agent(Vendor::AgentMc, FINGERPRINT).agent.name, "worker-02");
}

async fn an_interval_below_the_vendors_least_is_not_sent<K: Shelf>(world: World<K>) {
    let world = world.with(|config| config.agentmc.interval = seconds(1)).await;
    let key = world.agentmc_key().await;
    let report = host_report(FINGERPRINT, &json!({"agents": [{"name": "a", "identity": "a"}]}));
    let answer = world.host_beat(&key, report).await.unwrap();
    assert_eq!(answer.defaults.unwrap().heartbeat_interval_seconds, 5);
}

async fn several_agents_are_answered_in_the_order_of_the_report<K: Shelf>(world: World<K>) {
    let key = world.agentmc_key().await;
    let (one, two) = (world.numbered().await, world.numbered().await);
    let agents = json!({"agents": [
        {"id": two, "name": "two", "identity": "x"},
        {"name": "new", "identity": {"agent_key": "k"}},
        {"id": one, "name": "one", "identity": "x"},
    ]});
    for _ in 0..2 {
        let answer = world.host_beat(&key, host_report(FINGERPRINT, &agents)).await.unwrap();
        assert!(answer.agent.is_none());
        let names: Vec<_> = answer.agents.iter().map(|agent| agent.name.as_str()).collect();
        assert_eq!(names, ["two", "new", "one"]);
        assert_eq!((answer.agents[0].id, answer.agents[2].id), (two, one));
        assert_eq!(tally(&answer), (3, 3));
    }
}

async fn an_agent_without_an_id_is_known_again_by_key_then_by_name<K: Shelf>(mut world: World<K>) {
    let key = world.agentmc_key().await;
    let report = |first: &str| {
        let agents = json!({"agents": [
            {"name": first, "identity": {"agent_key": "k-1", "vibe": "calm"}},
            {"name": "nameless", "identity": "no key in here"},
        ]});
        host_report(FINGERPRINT, &agents)
    };
    let ids = |answer: &agentmc::HeartbeatResponse| -> Vec<_> {
        answer.agents.iter().map(|agent| agent.id).collect()
    };
    let first = world.host_beat(&key, report("Jarvis")).await.unwrap();
    assert_eq!(first.agents.len(), 2);
    let again = world.host_beat(&key, report("Jarvis")).await.unwrap();
    assert_eq!(ids(&again), ids(&first));
    world.restart().await;
    let renamed = world.host_beat(&key, report("Friday")).await.unwrap();
    assert_eq!(ids(&renamed), ids(&first), "the key tells who it is, not the name");
    assert_eq!(renamed.agents[0].name, "Friday");
    assert_eq!(tally(&renamed), (2, 2));

    let elsewhere =
        host_report(OTHER_FINGERPRINT, &json!({"agents": [{"name": "nameless", "identity": "x"}]}));
    let elsewhere = world.host_beat(&key, elsewhere).await.unwrap();
    assert!(!ids(&first).contains(&elsewhere.agents[0].id), "a name is known on its host only");
}

async fn agents_that_fall_silent_are_counted_but_not_online<K: Shelf>(world: World<K>) {
    let key = world.agentmc_key().await;
    let agent = |name: &str| json!({"agents": [{"name": name, "identity": "x"}]});
    for name in ["a", "b", "c"] {
        world.host_beat(&key, host_report(FINGERPRINT, &agent(name))).await.unwrap();
    }
    // "c" is late, which hosts of this vendor call online.
    world.time.pass(seconds(179));
    assert_eq!(tally(&world.host_beat(&key, host_report(FINGERPRINT, &agent("a"))).await.unwrap()), (3, 3));
    world.time.pass(seconds(1));
    assert_eq!(tally(&world.host_beat(&key, host_report(FINGERPRINT, &agent("a"))).await.unwrap()), (3, 1));
}

async fn an_agent_moves_between_hosts_with_a_tenant_key<K: Shelf>(mut world: World<K>) {
    for restarted in [false, true] {
        let key = world.agentmc_key().await;
        let (stays, moves) = (world.numbered().await, world.numbered().await);
        let here = format!("{FINGERPRINT}-{restarted}");
        let there = format!("{OTHER_FINGERPRINT}-{restarted}");
        let agents = |ids: &[No]| -> Value {
            let agents: Vec<_> =
                ids.iter().map(|id| json!({"id": id, "name": "a", "identity": "x"})).collect();
            json!({ "agents": agents })
        };
        let both = host_report(&here, &agents(&[stays, moves]));
        assert_eq!(tally(&world.host_beat(&key, both.clone()).await.unwrap()), (2, 2));
        // The second time nothing new is said.
        assert_eq!(tally(&world.host_beat(&key, both.clone()).await.unwrap()), (2, 2));
        if restarted {
            world.restart().await;
        }
        let moved = host_report(&there, &agents(&[moves]));
        assert_eq!(tally(&world.host_beat(&key, moved.clone()).await.unwrap()), (1, 1));
        let rest = host_report(&here, &agents(&[stays]));
        assert_eq!(tally(&world.host_beat(&key, rest).await.unwrap()), (1, 1));
        assert_eq!(tally(&world.host_beat(&key, moved).await.unwrap()), (1, 1));
        assert_eq!(tally(&world.host_beat(&key, both).await.unwrap()), (2, 2), "and back again");
    }
}

async fn a_hosts_own_key_is_good_for_that_host_only<K: Shelf>(mut world: World<K>) {
    let (_, key) = world.register(Vendor::AgentMc, Kind::Host, Some(FINGERPRINT), json!({})).await;
    let (bound, all) = (ApiKey::from(key), world.agentmc_key().await);
    let (mine, foreign) = (world.numbered().await, world.numbered().await);
    let agent = |no: No| json!({"agent": {"id": no, "name": "a", "identity": "x"}});
    let elsewhere = host_report(OTHER_FINGERPRINT, &agent(foreign));
    world.host_beat(&all, elsewhere.clone()).await.unwrap();
    for restarted in [false, true] {
        if restarted {
            world.restart().await;
        }
        assert!(world.host_beat(&bound, host_report(FINGERPRINT, &agent(mine))).await.is_ok());
        assert_eq!(world.host_beat(&bound, elsewhere.clone()).await, Err(Failed::Refused(403)));
        let stolen = host_report(FINGERPRINT, &agent(foreign));
        assert_eq!(world.host_beat(&bound, stolen).await, Err(Failed::Refused(403)));
        let unknown = host_report(FINGERPRINT, &agent(987_654));
        assert_eq!(world.host_beat(&bound, unknown).await, Err(Failed::Refused(404)));
    }
    assert_eq!(tally(&world.host_beat(&all, elsewhere).await.unwrap()), (1, 1), "it is where it was");
}

async fn the_fingerprint_may_stand_in_the_header<K: Shelf>(world: World<K>) {
    let key = world.agentmc_key().await;
    let agents = json!({"agents": [{"name": "a", "identity": "x"}]});
    let in_body = world.host_beat(&key, host_report(FINGERPRINT, &agents)).await.unwrap();
    let mut bare = host_report(FINGERPRINT, &agents);
    let fingerprint = bare.host.fingerprint.take();
    let call = Call::<agentmc::Heartbeat>::with(HostFingerprint { fingerprint, agent: None }, bare.clone());
    let in_header = world.call(&key, &call).await.unwrap();
    let id = |answer: &agentmc::HeartbeatResponse| answer.host.as_ref().map(|host| host.id);
    assert_eq!(id(&in_header), id(&in_body));
    assert_eq!(world.host_beat(&key, bare).await, Err(Failed::Refused(422)));
    // The body's wins over another one in the header.
    let header = HostFingerprint { fingerprint: Some(OTHER_FINGERPRINT.into()), agent: None };
    let both = Call::<agentmc::Heartbeat>::with(header, host_report(FINGERPRINT, &agents));
    assert_eq!(id(&world.call(&key, &both).await.unwrap()), id(&in_body));
}

async fn undocumented_members_of_meta_are_tolerated<K: Shelf>(world: World<K>) {
    let key = world.agentmc_key().await;
    let report = host_report(FINGERPRINT, &json!({"agents": [{"name": "a", "identity": "x"}]}));
    let mut body = serde_json::to_value(report).unwrap();
    body["meta"]["node_uptime"] = json!({"seconds": [1, 2, 3]});
    body["host"]["meta"]["gpu"] = json!("none");
    for path in ["/agents/heartbeat", "/hosts/heartbeat"] {
        let answer = world.raw::<agentmc::Heartbeat>(path, ("x-api-key", key.expose()), &body).await;
        assert_eq!(
            (answer.status(), &answer.body()["ok"]),
            (StatusCode::OK, &json!(true)),
            "{}",
            answer.body()
        );
    }
}

// Liveness.

async fn a_quiet_report_asks_no_store<K: Shelf>(mut world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    let device = world.device("cam-1").await;
    world.model("new").await;
    world.assign(&device, "new").await;
    let token = world.zstack("u-1").await;
    let key = world.agentmc_key().await;
    let no = world.numbered().await;
    let agents = json!({
        "agent": {"id": no, "name": "a", "identity": "x"},
        "agents": [{"name": "without an id", "identity": {"agent_key": "k"}}],
    });
    let report = host_report(FINGERPRINT, &agents);
    // The first of all settles on keys, the first after a start looks them up again.
    for (restarted, quiet) in [(false, false), (false, false), (false, true), (true, false), (false, true)] {
        if restarted {
            world.restart().await;
        }
        world.store_calls();
        world.beat(&machine, &agent).await.unwrap();
        world.poll(&agent).await.unwrap();
        world.check_in(&device, Some("new")).await.unwrap();
        world.zstack_beat(&token, "u-1", "1.0.0").await.unwrap();
        world.host_beat(&key, report.clone()).await.unwrap();
        let calls = world.store_calls();
        assert_eq!(calls.is_empty(), quiet, "{calls:?}");
    }
    world.queue(&agent, "hostname", 0).await;
    world.store_calls();
    assert!(world.poll(&agent).await.unwrap().is_some());
    assert_eq!(world.store_calls(), ["deliver"]);
}

async fn a_flush_writes_the_leases_that_were_renewed<K: Shelf>(world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    let (other_machine, other) = world.living("ws-2").await;
    world.living("ws-3").await;
    assert_eq!(world.core().flush().await.unwrap(), 3);
    assert_eq!(world.core().flush().await.unwrap(), 0);
    world.beat(&machine, &agent).await.unwrap();
    world.beat(&machine, &agent).await.unwrap();
    assert_eq!(world.core().flush().await.unwrap(), 1);
    world.beat(&other_machine, &other).await.unwrap();
    world.beat(&machine, &agent).await.unwrap();
    assert_eq!(world.core().flush().await.unwrap(), 2);
}

async fn a_flush_that_fails_keeps_its_leases_for_the_next<K: Shelf>(mut world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    let (_, other) = world.living("ws-2").await;
    for _ in 0..2 {
        world.fail_next("flush");
        assert!(world.core().flush().await.is_err());
        // Renewed between two flushes, it is still one lease.
        world.time.pass(seconds(1));
        world.beat(&machine, &agent).await.unwrap();
    }
    let seen = world.now();
    assert_eq!(world.core().flush().await.unwrap(), 2);
    assert_eq!(world.core().flush().await.unwrap(), 0);
    world.restart().await;
    assert_eq!(world.agent(Vendor::Achilles, agent.agent_id.as_str()).last_seen, Some(seen));
    assert!(world.agent(Vendor::Achilles, other.agent_id.as_str()).last_seen.is_some());
}

async fn at_most_the_last_flush_of_leases_is_lost<K: Shelf>(mut world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    let id = agent.agent_id.as_str();
    let flushed = world.agent(Vendor::Achilles, id);
    world.core().flush().await.unwrap();
    world.time.pass(seconds(60));
    let mut call = machine.beat(world.now(), "0.5.11");
    call.body.status = achilles::AgentStatus::Executing;
    world.call(&agent, &call).await.unwrap();
    let unflushed = world.agent(Vendor::Achilles, id);
    assert_eq!(unflushed.last_seen, Some(world.now()));

    world.restart().await;
    let restored = world.agent(Vendor::Achilles, id);
    assert_eq!((restored.last_seen, restored.report), (flushed.last_seen, flushed.report.clone()));
    assert_eq!(flushed.report.unwrap().status.as_deref(), Some("idle"));

    world.call(&agent, &call).await.unwrap();
    world.core().flush().await.unwrap();
    world.restart().await;
    let restored = world.agent(Vendor::Achilles, id);
    assert_eq!((restored.last_seen, restored.report), (unflushed.last_seen, unflushed.report));
}

async fn an_agent_is_not_to_blame_for_the_servers_absence<K: Shelf>(mut world: World<K>) {
    let (machine, alive) = world.living("alive").await;
    let (_, silent) = world.living("silent").await;
    let (_, fresh) = world.enrolled("fresh").await;
    world.time.pass(seconds(180));
    world.beat(&machine, &alive).await.unwrap();
    world.core().flush().await.unwrap();
    let liveness = |world: &World<K>, agent: &AgentCredentials| {
        world.agent(Vendor::Achilles, agent.agent_id.as_str()).liveness
    };
    assert_eq!(liveness(&world, &alive), Liveness::Online);
    assert_eq!(liveness(&world, &silent), Liveness::Offline);

    world.time.pass(24 * HOUR);
    world.restart().await;
    assert_eq!(liveness(&world, &alive), Liveness::Online);
    assert_eq!(liveness(&world, &silent), Liveness::Offline);
    assert_eq!(liveness(&world, &fresh), Liveness::Never);
    world.time.pass(seconds(60));
    assert_ne!(liveness(&world, &alive), Liveness::Offline, "one interval has passed");
    world.time.pass(seconds(30));
    assert_eq!(liveness(&world, &alive), Liveness::Offline, "and now it is late for good");
    world.beat(&machine, &alive).await.unwrap();
    assert_eq!(liveness(&world, &alive), Liveness::Online);
}

async fn a_clock_that_steps_back_makes_nobody_late<K: Shelf>(mut world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    let id = agent.agent_id.as_str();
    let seen = world.now();
    world.core().flush().await.unwrap();
    world.time.step_back(24 * HOUR);
    for restarted in [false, true] {
        if restarted {
            world.restart().await;
        }
        assert_eq!(world.agent(Vendor::Achilles, id).liveness, Liveness::Online);
        world.beat(&machine, &agent).await.unwrap();
        assert_eq!(world.agent(Vendor::Achilles, id).last_seen, Some(seen), "later wins");
        world.core().flush().await.unwrap();
    }
}

// What is told of all that.

impl<K: Shelf> World<K> {
    /// Everything that was told, from the beginning on.
    async fn told(&self) -> Vec<Event> {
        let query = EventQuery { after: Some(0), limit: 1000, ..EventQuery::default() };
        self.core().events(DEFAULT_TENANT, query).await.unwrap()
    }

    async fn told_of(&self, kinds: &[EventKind]) -> Vec<Event> {
        self.told().await.into_iter().filter(|event| kinds.contains(&event.kind)).collect()
    }

    /// Whether each agent is told to be online, in the order of the telling.
    async fn turns(&self) -> Vec<bool> {
        let turns = self.told_of(&[EventKind::Online, EventKind::Offline]).await;
        turns.iter().map(|event| event.kind == EventKind::Online).collect()
    }

    async fn flush_and_restart(&mut self) {
        self.core().flush().await.unwrap();
        self.restart().await;
    }
}

/// The same life with a restart between any two of its steps.
async fn a_gap_is_told_once_with_its_cause_and_reason<K: Shelf>(mut world: World<K>) {
    let (machine, agent) = world.enrolled("ws-1").await;
    world.flush_and_restart().await;
    assert!(world.turns().await.is_empty(), "it has never reported");

    let begun = world.now();
    world.beat(&machine, &agent).await.unwrap();
    world.flush_and_restart().await;
    assert_eq!(world.turns().await, [true]);

    // The disk fills up.
    let mut call = machine.beat(world.now(), "0.5.11");
    call.body.system.disk_free_mb = 12.into();
    world.call(&agent, &call).await.unwrap();
    world.flush_and_restart().await;
    for late in 0..5 {
        world.time.pass(seconds(30));
        world.flush_and_restart().await;
        assert_eq!(world.turns().await, [true], "silent for {} s", 30 * (late + 1));
    }
    // The server was never away for longer than a moment, so that the silence is the agent's own.
    for _ in 0..6 {
        world.time.pass(seconds(30));
        world.core().flush().await.unwrap();
    }
    world.flush_and_restart().await;
    assert_eq!(world.turns().await, [true, false]);
    let offline = world.told_of(&[EventKind::Offline]).await.remove(0);
    assert_eq!(offline.detail["probable_cause"], "disk_pressure");
    assert_eq!(offline.detail["metrics"]["disk_free_mb"], 12.0);
    assert_eq!(offline.detail["last_seen"], json!("2026-03-21T14:30:00.000Z"));
    assert!(offline.at > begun + TimeDelta::seconds(180));

    world.time.pass(HOUR);
    world.flush_and_restart().await;
    world.core().flush().await.unwrap();
    assert_eq!(world.turns().await, [true, false], "once a gap");

    let mut call = machine.beat(world.now(), "0.5.11");
    call.body.reconnect_reason = Some(achilles::ReconnectReason::ServiceRestart);
    world.call(&agent, &call).await.unwrap();
    world.beat(&machine, &agent).await.unwrap();
    world.flush_and_restart().await;
    world.core().flush().await.unwrap();
    assert_eq!(world.turns().await, [true, false, true]);
    let back = world.told_of(&[EventKind::Online]).await.remove(1);
    assert_eq!(back.detail["reason"], "service_restart");
    assert_eq!(back.detail["probable_cause"], "disk_pressure", "what it was when it fell silent");
    assert_eq!(back.detail["last_seen"], offline.detail["last_seen"]);
    assert_eq!(back.at, world.now());
}

async fn a_turn_that_was_lost_with_a_flush_is_told_by_the_next<K: Shelf>(mut world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    // The plug is pulled before the flush.
    world.restart().await;
    world.core().flush().await.unwrap();
    assert!(world.turns().await.is_empty());
    world.beat(&machine, &agent).await.unwrap();
    for _ in 0..2 {
        world.fail_next("flush");
        assert!(world.core().flush().await.is_err());
    }
    world.core().flush().await.unwrap();
    world.core().flush().await.unwrap();
    assert_eq!(world.turns().await, [true]);

    world.time.pass(seconds(180));
    world.fail_next("flush");
    assert!(world.core().flush().await.is_err());
    // Back before anybody could be told of the silence: it is told all the same, in its order.
    world.beat(&machine, &agent).await.unwrap();
    world.core().flush().await.unwrap();
    assert_eq!(world.turns().await, [true, false, true]);
    world.time.pass(seconds(180));
    world.fail_next("flush");
    assert!(world.core().flush().await.is_err());
    world.restart().await;
    world.time.pass(seconds(90));
    world.core().flush().await.unwrap();
    assert_eq!(world.turns().await, [true, false, true, false]);
}

async fn nobody_is_told_to_be_offline_for_the_servers_absence<K: Shelf>(mut world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    world.core().flush().await.unwrap();
    world.time.pass(24 * HOUR);
    world.restart().await;
    for _ in 0..89 {
        world.core().flush().await.unwrap();
        world.time.pass(seconds(1));
    }
    world.beat(&machine, &agent).await.unwrap();
    world.core().flush().await.unwrap();
    assert_eq!(world.turns().await, [true]);
}

async fn a_life_is_told_from_its_enrolment_on<K: Shelf>(world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    let id = agent.agent_id.as_str();
    world.core().flush().await.unwrap();
    world.call(&agent, &machine.beat(world.now(), "0.6.0")).await.unwrap();
    world.core().rotate_key(DEFAULT_TENANT, Vendor::Achilles, id).await.unwrap();
    let key = world.beat(&machine, &agent).await.unwrap().new_api_key.unwrap();
    let renewed = AgentCredentials::new(agent.agent_id.clone(), key);
    world.poll(&renewed).await.unwrap();
    let kinds: Vec<_> = world.told().await.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::TokenIssued,
            EventKind::Enrolled,
            EventKind::Online,
            EventKind::VersionChanged,
            // The same beat said so.
            EventKind::KeyOffered,
            EventKind::VersionChanged,
            EventKind::KeyRotated,
        ]
    );
    let secrets = [agent.key.expose(), renewed.key.expose()];
    let text = format!("{:?}", world.told().await);
    assert!(secrets.iter().all(|secret| !text.contains(secret)), "no key is in the journal");
}

async fn two_hosts_that_take_turns_with_one_key_are_suspected<K: Shelf>(world: World<K>) {
    let (machine, agent) = world.living("ws-1").await;
    let copy = Machine::named("ws-1-copy");
    for turn in 0..6 {
        world.time.pass(seconds(30));
        let host = if turn % 2 == 0 { &copy } else { &machine };
        world.beat(host, &agent).await.unwrap();
    }
    world.core().flush().await.unwrap();
    let suspected = world.told_of(&[EventKind::CloneSuspected]).await;
    let [suspicion] = suspected.as_slice() else { panic!("not once: {suspected:?}") };
    assert_eq!(suspicion.detail["newer"]["host"], "ws-1");
    assert_eq!(suspicion.detail["older"]["host"], "ws-1-copy");
    let last = world.agent(Vendor::Achilles, agent.agent_id.as_str());
    assert_eq!(last.agent.facts["hostname"], "ws-1", "the newer one wins");
}

async fn an_agent_between_two_hosts_is_suspected<K: Shelf>(world: World<K>) {
    let (key, agent) = (world.agentmc_key().await, world.numbered().await);
    let report = json!({"agent": {"id": agent, "name": "a", "identity": "x"}});
    for host in [FINGERPRINT, OTHER_FINGERPRINT, FINGERPRINT, OTHER_FINGERPRINT] {
        world.time.pass(seconds(20));
        world.host_beat(&key, host_report(host, &report)).await.unwrap();
    }
    world.core().flush().await.unwrap();
    let suspected = world.told_of(&[EventKind::CloneSuspected]).await;
    assert_eq!(suspected.iter().map(|event| event.agent).collect::<Vec<_>>(), [Some(agent)]);
}

async fn old_events_are_forgotten_in_small_steps<K: Shelf>(world: World<K>) {
    let world = world.with(|config| config.keep_events = HOUR).await;
    world.token(1, HOUR).await;
    world.time.pass(HOUR);
    assert!(!world.core().forget_events().await.unwrap());
    assert_eq!(world.told().await.len(), 1, "not older than that");
    for _ in 0..1000 {
        world.token(1, HOUR).await;
    }
    world.time.pass(HOUR + seconds(1));
    assert!(world.core().forget_events().await.unwrap(), "there may be more");
    assert!(!world.core().forget_events().await.unwrap());
    assert_eq!(world.told().await, []);
}

macro_rules! lives {
    ($($life:ident,)+) => {
        lives!(@on memory Memory: $($life,)+);
        lives!(@on sqlite Sqlite: $($life,)+);
    };
    (@on $store:ident $shelf:ident: $($life:ident,)+) => {
        mod $store {
            use super::{$shelf, World};

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $life() {
                    super::$life(World::<$shelf>::new().await).await;
                }
            )+
        }
    };
}

lives! {
    a_lost_enrolment_answer_brings_the_same_agent_and_a_fresh_key,
    a_client_repeats_a_lost_enrolment_by_itself,
    both_keys_of_a_repeated_enrolment_work_until_one_is_used,
    an_enrolment_cannot_be_repeated_after_the_first_sign_in,
    an_enrolment_can_be_repeated_for_ten_minutes,
    another_machine_is_no_repeat_of_an_enrolment,
    a_token_makes_as_many_agents_as_it_has_uses,
    an_expired_a_revoked_and_an_unknown_token_are_refused,
    machines_that_race_for_one_use_make_one_agent,
    a_machine_that_asks_many_times_at_once_is_one_agent,
    keys_that_race_for_the_first_sign_in_leave_exactly_one,
    a_key_is_good_only_with_its_own_id_and_a_fresh_time,
    the_same_candidate_is_offered_until_it_is_used,
    no_timer_ends_the_old_key_or_the_candidate,
    the_first_use_of_the_candidate_ends_the_old_key_at_once,
    a_request_that_is_refused_does_not_take_the_candidate,
    a_rotation_before_the_first_sign_in_leaves_both_keys,
    no_lost_message_and_no_restart_leaves_an_agent_without_a_key,
    a_store_that_fails_at_the_first_use_ends_no_key,
    an_offer_is_not_lost_to_an_older_answer_of_the_store,
    a_slow_first_sign_in_does_not_bring_an_ended_key_back,
    keys_that_were_changed_before_an_agent_left_for_good_were_changed,
    a_caller_who_hangs_up_over_a_poll_loses_no_task,
    a_result_is_taken_from_an_assigned_task_only_once,
    the_first_report_of_a_result_is_not_marked_a_repeat,
    what_a_result_leaves_empty_is_as_enrolled,
    a_result_for_another_agents_task_changes_nothing,
    urgent_tasks_come_first_then_older_ones,
    a_task_is_handed_over_again_until_its_result_is_in,
    a_task_expires_after_its_time_and_not_before,
    an_update_is_the_release_registered_last_for_the_machine,
    an_update_is_for_the_system_that_was_enrolled,
    an_agent_that_runs_the_latest_release_is_offered_none,
    an_update_is_signed_with_the_key_that_enrolment_gave,
    an_assigned_model_is_asked_for_until_the_device_runs_it,
    a_device_that_falls_back_to_an_old_model_is_asked_again,
    a_model_assigned_anew_takes_the_place_of_the_open_one,
    a_device_that_does_not_say_its_model_keeps_the_last_one_said,
    an_action_that_grew_too_old_is_replaced_by_a_new_one,
    a_check_in_that_the_store_refuses_loses_no_action,
    a_device_cannot_speak_for_another,
    an_image_notified_again_has_the_same_ids,
    a_full_batch_is_followed_by_a_new_one,
    an_old_batch_is_followed_by_a_new_one,
    a_full_quota_is_refused_with_a_time_to_come_back,
    annotations_of_either_shape_and_over_the_edge_are_taken,
    a_box_outside_the_range_is_refused_and_takes_no_slot,
    a_zstack_agent_gets_its_whole_record,
    a_version_that_an_agent_reports_survives_a_restart,
    a_tenant_key_is_good_for_every_agent_and_a_bound_one_for_its_own,
    a_key_of_one_dialect_is_none_in_another,
    short_names_and_figures_as_text_are_read,
    a_host_and_its_agent_are_made_and_kept_up_to_date,
    an_interval_below_the_vendors_least_is_not_sent,
    several_agents_are_answered_in_the_order_of_the_report,
    an_agent_without_an_id_is_known_again_by_key_then_by_name,
    agents_that_fall_silent_are_counted_but_not_online,
    an_agent_moves_between_hosts_with_a_tenant_key,
    a_hosts_own_key_is_good_for_that_host_only,
    the_fingerprint_may_stand_in_the_header,
    undocumented_members_of_meta_are_tolerated,
    a_gap_is_told_once_with_its_cause_and_reason,
    a_turn_that_was_lost_with_a_flush_is_told_by_the_next,
    nobody_is_told_to_be_offline_for_the_servers_absence,
    a_life_is_told_from_its_enrolment_on,
    two_hosts_that_take_turns_with_one_key_are_suspected,
    an_agent_between_two_hosts_is_suspected,
    old_events_are_forgotten_in_small_steps,
    a_quiet_report_asks_no_store,
    a_flush_writes_the_leases_that_were_renewed,
    a_flush_that_fails_keeps_its_leases_for_the_next,
    at_most_the_last_flush_of_leases_is_lost,
    an_agent_is_not_to_blame_for_the_servers_absence,
    a_clock_that_steps_back_makes_nobody_late,
}
