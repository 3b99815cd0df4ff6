//! What happens in the life of an agent of each vendor, and what has to have come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use fleetwire_client::achilles::{Achilles, Applicant, TaskOutcome};
use fleetwire_client::acusight::{Acusight, Report as DeviceReport};
use fleetwire_client::agent::{Dialect, Ending};
use fleetwire_client::agentmc::AgentMc;
use fleetwire_client::zstack::{Report as ZStackReport, ZStack};
use fleetwire_protocol as protocol;
use fleetwire_protocol::achilles::{SystemMetrics, Task};
use fleetwire_protocol::acusight::{CheckinRequest, DeviceAction, DeviceInfo, ImageNotificationRequest};
use fleetwire_protocol::agentmc::{
    AgentReport, Disk, HeartbeatRequest, HostFacts, HostReport, HostRuntime, InstructionsParams, Network,
    Runtime, RuntimeCommand, RuntimeMeta,
};
use fleetwire_protocol::wire::{FreeMap, TextOr};
use fleetwire_protocol::zstack::{HeartbeatRequest as ZStackHeartbeat, RegisterRequest};
use fleetwire_server_core::domain::{
    DEFAULT_TENANT, FilePlace, ImageFilter, Kind, Vendor, WorkFilter, WorkState,
};
use fleetwire_server_core::events::{EventKind, EventQuery};
use fleetwire_server_core::operator::{AgentView, NewModel, Registration, WorkWish};
use http::{Method, Request, header};
use serde_json::{Map, Value, json};

use super::world::{Act, Fleet, Life, Then, World, now};

/// How long an agent may have been silent at the end.
const SILENCE: i64 = 70;

/// What was begun, by its id, and what a process had died over.
#[derive(Debug, Default)]
struct Doings {
    begun: BTreeMap<String, u32>,
    interrupted: BTreeSet<String>,
}

impl Doings {
    /// Does work unless it was begun before.
    fn once<O>(&mut self, id: String, interrupted: bool, outcome: O) -> Ending<O> {
        if interrupted {
            self.interrupted.insert(id);
            return Ending::Interrupted;
        }
        *self.begun.entry(id).or_default() += 1;
        Ending::Done(outcome)
    }

    /// Nothing was begun twice.
    fn judge(&self) -> Result<(), String> {
        match self.begun.iter().find(|(_, times)| **times > 1) {
            Some((id, times)) => Err(format!("work {id} was begun {times} times")),
            None => Ok(()),
        }
    }
}

/// Registers an agent by hand and says its id.
fn register(core: &Fleet, vendor: Vendor, kind: Kind, no: Option<i64>) -> String {
    let wish =
        Registration { vendor, kind, no, id: None, name: None, facts: Map::new(), labels: BTreeMap::new() };
    now(core.register(DEFAULT_TENANT, wish)).unwrap().0.agent.id
}

fn token(core: &Fleet, vendor: Vendor) -> String {
    now(core.issue_token(DEFAULT_TENANT, vendor, Duration::from_secs(86_400), 1)).unwrap().1
}

/// Queues work and says its id.
fn queue(core: &Fleet, vendor: Vendor, agent: &str, kind: &str, payload: Value) -> String {
    let Value::Object(payload) = payload else { panic!("{payload} is no object") };
    let wish = WorkWish { kind: kind.to_owned(), payload, ..WorkWish::default() };
    now(core.queue_work(DEFAULT_TENANT, vendor, agent, wish)).unwrap().0.work.id
}

/// The agents of a vendor that sign in: its hosts, where it has any.
fn agents(core: &Fleet, vendor: Vendor) -> Vec<AgentView> {
    let kind = if vendor == Vendor::AgentMc { Kind::Host } else { Kind::Agent };
    let is_one = |view: &AgentView| view.agent.vendor == vendor && view.agent.kind == kind;
    core.agents(DEFAULT_TENANT).into_iter().filter(is_one).collect()
}

/// An agent that the server has heard of late.
fn is_heard<L: Life>(world: &World<L>, view: &AgentView) -> bool {
    view.last_seen.is_some_and(|seen| (world.now() - seen).num_seconds() < SILENCE)
}

/// The one agent that there is, which the server has heard of late.
fn the_agent<L: Life>(world: &World<L>, vendor: Vendor) -> Result<AgentView, String> {
    let mut agents = agents(&world.core, vendor);
    match (agents.pop(), agents.len()) {
        (Some(one), 0) if is_heard(world, &one) => Ok(one),
        (Some(one), 0) => Err(format!("the agent is silent since {:?}", one.last_seen)),
        (_, others) => Err(format!("there is not one agent, but {others} more")),
    }
}

/// A piece of work has come to an end once, and this is it: its state and its result.
fn ended(core: &Fleet, id: &str) -> Result<(WorkState, Value), String> {
    let query = EventQuery { kind: Some(EventKind::WorkEnded), limit: 1000, ..EventQuery::default() };
    let events = now(core.events(DEFAULT_TENANT, query)).unwrap();
    let ends = events.iter().filter(|event| event.detail["work"] == id).count();
    let work = now(core.work_named(DEFAULT_TENANT, id.to_owned())).unwrap();
    if ends != 1 || !work.earlier.is_empty() || !work.work.state.is_terminal() {
        return Err(format!("work {id} is {:?} and ended {ends} times", work.work.state));
    }
    Ok((work.work.state, work.work.result.unwrap_or_default()))
}

fn is_ended(core: &Fleet, id: &str) -> bool {
    now(core.work_named(DEFAULT_TENANT, id.to_owned())).unwrap().work.state.is_terminal()
}

// ProjectAchilles: enrols, has its key changed, does two tasks.

pub(crate) struct AchillesLife {
    token: String,
    tasks: Vec<String>,
    doings: Doings,
}

impl AchillesLife {
    fn queue(&mut self, core: &Fleet) -> Then {
        let agent = agents(core, Vendor::Achilles)[0].agent.id.clone();
        self.tasks.push(queue(core, Vendor::Achilles, &agent, "execute_command", json!({"command": "true"})));
        Then::Nothing
    }
}

impl Life for AchillesLife {
    type Vendor = protocol::achilles::Achilles;
    type Speaks = Achilles;

    const ACTS: &'static [Act<Self>] = &[
        Act {
            second: 30,
            act: |_, core| {
                let agent = agents(core, Vendor::Achilles)[0].agent.id.clone();
                now(core.rotate_key(DEFAULT_TENANT, Vendor::Achilles, &agent)).unwrap();
                Then::Nothing
            },
        },
        Act { second: 35, act: Self::queue },
    ];

    fn prepare(core: &Fleet) -> Self {
        Self { token: token(core, Vendor::Achilles), tasks: Vec::new(), doings: Doings::default() }
    }

    fn dialect(&self) -> Achilles {
        Achilles::new("http://fleet.test/achilles", self.token.as_str(), Applicant::new("host-1", "1.0.0"))
    }

    fn report(&self) -> SystemMetrics {
        let here = Applicant::new("host-1", "1.0.0");
        SystemMetrics::new("host-1", here.os, here.arch, 100, 1, 64, 1024)
    }

    fn work(&mut self, task: &Task, interrupted: bool) -> Ending<TaskOutcome> {
        self.doings.once(task.id.as_str().to_owned(), interrupted, TaskOutcome::printed("done"))
    }

    fn is_known(&self, core: &Fleet) -> bool {
        !agents(core, Vendor::Achilles).is_empty()
    }

    fn is_over(&self, world: &World<Self>) -> bool {
        let is_rotating = agents(&world.core, Vendor::Achilles)[0].agent.rotating;
        !is_rotating && self.tasks.iter().all(|task| is_ended(&world.core, task))
    }

    fn judge(&self, world: &World<Self>) -> Result<(), String> {
        let agent = the_agent(world, Vendor::Achilles)?;
        if agent.agent.rotating {
            return Err("the new key was never used".to_owned());
        }
        if world.machine().identity().unwrap().agent_id.as_str() != agent.agent.id {
            return Err("the agent takes itself for another".to_owned());
        }
        self.doings.judge()?;
        for task in &self.tasks {
            let (state, result) = ended(&world.core, task)?;
            let is_done = state == WorkState::Succeeded && result["stdout"] == "done";
            let told = match self.doings.interrupted.contains(task) {
                false => is_done,
                // A result that left while the disk was full is the end, though the next process knows nothing of it.
                true if is_done => world.has_broken_disk(),
                true => state == WorkState::Failed && is_interruption(&result),
            };
            if !told {
                return Err(format!("task {task} is {state:?}: {result}"));
            }
        }
        Ok(())
    }
}

fn is_interruption(result: &Value) -> bool {
    result["error"].as_str().is_some_and(|error| error.starts_with("interrupted"))
}

// Acusight: trades a token for a key, is given a model and another action, notifies of images, and is brought another
// key when all that it has have ended.

const DEVICE: &str = "cam-1";
const MODEL: &str = "model-2";

pub(crate) struct AcusightLife {
    token: String,
    key: Option<String>,
    /// The model that the device runs, which it keeps.
    model: Option<String>,
    inspection: Option<String>,
    images: Vec<&'static str>,
    handed_over: usize,
    doings: Doings,
    repeated: u32,
}

impl AcusightLife {
    fn image(name: &str) -> ImageNotificationRequest {
        ImageNotificationRequest::new(DEVICE, name, format!("images/{name}"), 640, 480)
    }

    fn model_updates(core: &Fleet) -> Vec<(String, WorkState)> {
        let filter =
            WorkFilter { agent: None, vendor: Some(Vendor::Acusight), state: None, before: None, limit: 100 };
        let work = now(core.work(DEFAULT_TENANT, filter)).unwrap().work.into_iter().map(|view| view.work);
        let updates = work.filter(|work| work.kind == "model_update");
        updates.map(|work| (work.id, work.state)).collect()
    }

    fn images_kept(core: &Fleet) -> Vec<String> {
        let filter = ImageFilter { agent: None, batch: None, before: None, limit: 100 };
        let images = now(core.images(DEFAULT_TENANT, filter)).unwrap();
        images.into_iter().map(|row| row.image.filename).collect()
    }
}

impl Life for AcusightLife {
    type Vendor = protocol::acusight::Acusight;
    type Speaks = Acusight;

    const ACTS: &'static [Act<Self>] = &[
        Act {
            second: 20,
            act: |life, core| {
                life.images.push("a.jpg");
                life.inspection = Some(queue(core, Vendor::Acusight, DEVICE, "inspect", json!({"lens": 1})));
                let assigned = core.assign_model(DEFAULT_TENANT, Vendor::Acusight, DEVICE, MODEL.to_owned());
                now(assigned).unwrap();
                Then::Nothing
            },
        },
        Act {
            second: 65,
            act: |life, core| {
                life.images.push("b.jpg");
                let (_, key) = now(core.revoke_keys(DEFAULT_TENANT, Vendor::Acusight, DEVICE)).unwrap();
                life.key = Some(key);
                Then::Restart
            },
        },
    ];

    fn prepare(core: &Fleet) -> Self {
        let model = NewModel {
            id: Some(MODEL.to_owned()),
            name: "defects".to_owned(),
            version: "2".to_owned(),
            place: FilePlace::Url("https://models.test/2".to_owned()),
            file_ext: None,
            label_map: None,
        };
        now(core.add_model(DEFAULT_TENANT, model)).unwrap();
        Self {
            token: token(core, Vendor::Acusight),
            key: None,
            model: None,
            inspection: None,
            images: Vec::new(),
            handed_over: 0,
            doings: Doings::default(),
            repeated: 0,
        }
    }

    fn dialect(&self) -> Acusight {
        const BASE: &str = "http://fleet.test/acusight/api";
        match &self.key {
            Some(key) => Acusight::new(BASE, DEVICE, key.as_str()),
            None => Acusight::newcomer(BASE, self.token.as_str().into(), DeviceInfo::new(DEVICE)),
        }
    }

    fn report(&self) -> DeviceReport {
        let mut report = CheckinRequest::new(DEVICE);
        report.current_model_id = self.model.as_deref().map(Into::into);
        report.into()
    }

    fn work(&mut self, action: &DeviceAction, interrupted: bool) -> Ending<()> {
        let id = Acusight::work_id(action);
        if Acusight::work_kind(action) != "model_update" {
            return self.doings.once(id, interrupted, ());
        }
        // To fetch a model once more harms nothing, so that a handler may say so.
        self.repeated += u32::from(interrupted);
        *self.doings.begun.entry(id).or_default() += u32::from(!interrupted);
        self.model = action.model_id.as_ref().map(|model| model.as_str().to_owned());
        Ending::Done(())
    }

    fn posts(&mut self) -> Vec<ImageNotificationRequest> {
        let fresh = self.images[self.handed_over..].iter().map(|name| Self::image(name)).collect();
        self.handed_over = self.images.len();
        fresh
    }

    fn is_known(&self, core: &Fleet) -> bool {
        agents(core, Vendor::Acusight).iter().any(|view| view.agent.activated)
    }

    fn is_over(&self, world: &World<Self>) -> bool {
        let has_model =
            agents(&world.core, Vendor::Acusight)[0].agent.current_model.as_deref() == Some(MODEL);
        has_model && Self::images_kept(&world.core).len() == self.images.len()
    }

    fn judge(&self, world: &World<Self>) -> Result<(), String> {
        let agent = the_agent(world, Vendor::Acusight)?;
        if agent.agent.current_model.as_deref() != Some(MODEL) {
            return Err(format!("the device runs {:?}", agent.agent.current_model));
        }
        self.doings.judge()?;
        let updates = Self::model_updates(&world.core);
        let [(update, WorkState::Succeeded)] = &updates[..] else {
            return Err(format!("the model was brought by {updates:?}"));
        };
        ended(&world.core, update)?;
        // It is handed over as long as nobody takes it, and done once.
        let inspection =
            now(world.core.work_named(DEFAULT_TENANT, self.inspection.clone().unwrap())).unwrap();
        let no = inspection.work.no.to_string();
        if !self.doings.begun.contains_key(&no) && !self.doings.interrupted.contains(&no) {
            return Err("the action was never begun".to_owned());
        }
        let mut kept = Self::images_kept(&world.core);
        kept.sort_unstable();
        if kept != self.images {
            return Err(format!("the server has the images {kept:?}"));
        }
        Ok(())
    }
}

// ZStack: an agent that has itself registered, one that announces itself, one that was registered by hand. Each is
// brought another key.

/// How an agent comes to have a record.
trait Arrival: 'static {
    fn dialect(record: &str, token: &str) -> ZStack;
    /// Whether there is a record before the agent comes.
    const REGISTERED: bool;
    /// Whether it asks for a record, of which each request makes one more.
    const REGISTERS: bool = false;
}

pub(crate) struct Registering;

impl Arrival for Registering {
    fn dialect(_: &str, token: &str) -> ZStack {
        let agent = RegisterRequest::new("edge", "log", "1.2.3", "http://10.0.0.1:7890", "plat-1");
        ZStack::newcomer("http://fleet.test/zstack", token, agent)
    }

    const REGISTERED: bool = false;
    const REGISTERS: bool = true;
}

pub(crate) struct Announcing;

impl Arrival for Announcing {
    fn dialect(_: &str, token: &str) -> ZStack {
        ZStack::announcing("http://fleet.test/zstack", token, "edge-1", "Edge", "log")
    }

    const REGISTERED: bool = false;
}

pub(crate) struct Registered;

impl Arrival for Registered {
    fn dialect(record: &str, token: &str) -> ZStack {
        ZStack::new("http://fleet.test/zstack", record, token)
    }

    const REGISTERED: bool = true;
}

pub(crate) struct ZStackLife<A> {
    record: String,
    token: String,
    arrival: std::marker::PhantomData<A>,
}

impl<A: Arrival> Life for ZStackLife<A> {
    type Vendor = protocol::zstack::ZStack;
    type Speaks = ZStack;

    const ACTS: &'static [Act<Self>] = &[Act {
        second: 70,
        act: |life, core| {
            life.token = now(core.issue_tenant_key(DEFAULT_TENANT, Vendor::ZStack)).unwrap();
            Then::Restart
        },
    }];

    fn prepare(core: &Fleet) -> Self {
        let record = match A::REGISTERED {
            true => register(core, Vendor::ZStack, Kind::Agent, None),
            false => String::new(),
        };
        let token = now(core.issue_tenant_key(DEFAULT_TENANT, Vendor::ZStack)).unwrap();
        Self { record, token, arrival: std::marker::PhantomData }
    }

    fn dialect(&self) -> ZStack {
        A::dialect(&self.record, &self.token)
    }

    fn report(&self) -> ZStackReport {
        ZStackHeartbeat::new("1.2.3", 60, 12.5, 35).into()
    }

    fn work(&mut self, work: &<ZStack as Dialect>::Work, _: bool) -> Ending<<ZStack as Dialect>::Outcome> {
        match *work {}
    }

    fn is_known(&self, core: &Fleet) -> bool {
        agents(core, Vendor::ZStack).iter().any(|view| view.last_seen.is_some())
    }

    fn is_over(&self, world: &World<Self>) -> bool {
        world.requests.last().is_some_and(|request| {
            request.headers()[header::AUTHORIZATION].to_str().unwrap().ends_with(&self.token)
        })
    }

    fn judge(&self, world: &World<Self>) -> Result<(), String> {
        if !self.is_over(world) {
            return Err("the new key is not used".to_owned());
        }
        let records = agents(&world.core, Vendor::ZStack);
        let own = world.machine().identity().unwrap().as_str();
        if !records.iter().any(|view| view.agent.id == own && is_heard(world, view)) {
            return Err(format!("{own} is silent: {records:?}"));
        }
        // Nothing tells a second registration from a repeated one; but who has reported does not register again.
        let registers = |request: &&Request<Bytes>| A::REGISTERS && request.method() == Method::POST;
        let made = if A::REGISTERS { world.served(&Method::POST) } else { 1 };
        if records.len() > made {
            return Err(format!("{} records came of {made} registrations", records.len()));
        }
        let has_reported = world.requests.iter().skip_while(registers);
        match has_reported.skip(1).find(registers) {
            Some(_) => Err("it was registered and registered again".to_owned()),
            None => Ok(()),
        }
    }
}

// AgentMC: asks for its instructions, is given commands for the host, and is brought a key of its own in the place of
// the tenant's.

pub(crate) struct AgentMcLife {
    fingerprint: String,
    key: String,
    commands: Vec<String>,
    doings: Doings,
}

impl AgentMcLife {
    fn queue(&mut self, core: &Fleet) -> Then {
        let payload = json!({"agent_name": "Jarvis", "runtime_key": "main"});
        self.commands.push(queue(core, Vendor::AgentMc, &self.fingerprint, "agent.provision", payload));
        Then::Nothing
    }
}

impl Life for AgentMcLife {
    type Vendor = protocol::agentmc::AgentMc;
    type Speaks = AgentMc;

    const ACTS: &'static [Act<Self>] = &[
        Act { second: 20, act: Self::queue },
        Act {
            second: 65,
            act: |life, core| {
                life.queue(core);
                let id = &life.fingerprint;
                life.key = now(core.revoke_keys(DEFAULT_TENANT, Vendor::AgentMc, id)).unwrap().1;
                Then::Restart
            },
        },
    ];

    fn prepare(core: &Fleet) -> Self {
        register(core, Vendor::AgentMc, Kind::Agent, Some(42));
        let key = now(core.issue_tenant_key(DEFAULT_TENANT, Vendor::AgentMc)).unwrap();
        Self { fingerprint: "f".repeat(64), key, commands: Vec::new(), doings: Doings::default() }
    }

    fn dialect(&self) -> AgentMc {
        let params = InstructionsParams { acting: Some(42.into()), ..InstructionsParams::default() };
        AgentMc::new("http://fleet.test/agentmc/api/v1", self.key.as_str()).with_instructions(params)
    }

    fn report(&self) -> HeartbeatRequest {
        let facts = HostFacts::new(
            "h",
            "10.0.0.1",
            Network::new("10.0.0.1", "192.0.2.1"),
            "linux",
            "6",
            "x86_64",
            TextOr::Text("cpu".to_owned()),
            4,
            16,
            Disk::new(2, 1),
            100,
            HostRuntime::new("r", "1"),
        );
        HeartbeatRequest::new(
            RuntimeMeta::new(Runtime::new("r", "1")),
            HostReport::new(self.fingerprint.as_str(), "h", facts),
            AgentReport::new(42, "a", TextOr::Text("me".to_owned())),
        )
    }

    fn work(&mut self, command: &RuntimeCommand, interrupted: bool) -> Ending<FreeMap> {
        let done = FreeMap([("runtime_key".to_owned(), "main".into())].into());
        self.doings.once(AgentMc::work_id(command), interrupted, done)
    }

    fn is_known(&self, core: &Fleet) -> bool {
        agents(core, Vendor::AgentMc).iter().any(|view| view.last_seen.is_some())
    }

    fn is_over(&self, world: &World<Self>) -> bool {
        self.commands.iter().all(|command| is_ended(&world.core, command))
    }

    fn judge(&self, world: &World<Self>) -> Result<(), String> {
        the_agent(world, Vendor::AgentMc)?;
        self.doings.judge()?;
        for command in &self.commands {
            let (state, result) = ended(&world.core, command)?;
            let no = now(world.core.work_named(DEFAULT_TENANT, command.clone())).unwrap().work.no.to_string();
            let told = match self.doings.interrupted.contains(&no) {
                false => state == WorkState::Succeeded && result["result"]["runtime_key"] == "main",
                true => state == WorkState::Failed && is_interruption(&result),
            };
            if !told {
                return Err(format!("command {command} is {state:?}: {result}"));
            }
        }
        Ok(())
    }
}
