//! The whole core over a store, beside a small pure model, under steps drawn at random: messages of all vendors and
//! wishes of operators, lost, repeated, late and two at a time, clocks that jump both ways, and a server that goes
//! down at any moment.
//!
//! What the model says after every step must be what the core answers and what the store holds. So no work is lost,
//! none is run twice without a new execution number, no key that an agent holds is ended but by the use of another one
//! of its own, no lease goes back, no slot is counted twice, no token makes more agents than it may, ends are final,
//! nothing crosses tenants, and every change is told once.
//!
//! `FLEETWIRE_MACHINE_CASES` says how many cases are drawn, `FLEETWIRE_MACHINE_SEED` from which on: a failure prints
//! the seed of its case. The steps of a failing case are made as few and as small as still fail.

mod call;
mod model;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as Draws, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use proptest_state_machine::ReferenceStateMachine;

use self::call::{Answer, Ask, Refusal, Signed, Wish, perform};
use self::model::{BATCH, Caller, Model, Told, WORTH, What};
use self::stage::{Chance, Staged, Time, for_a_while, in_turns, moment, seconds, to_the_end};
use crate::domain::{
    Agent, BatchLimits, Credential, DEFAULT_TENANT, FilePlace, Kind, Model as Weights, No, Standing, Token,
    Vendor, Work, WorkEvent, WorkFilter,
};
use crate::events::{Event, EventKind, EventQuery};
use crate::keys::Digest;
use crate::lease::LeaseRow;
use crate::operator::AgentView;
use crate::store::{Catalogue, Directory, Journal, Keys, Store, WorkQueue};
use crate::{Config, Core};

/// What a store stands on, so that it outlives the servers that use it.
pub trait Ground: Sized {
    /// The store.
    type Store: Store;

    /// Makes an empty store.
    fn new() -> Self;

    /// The store.
    fn store(&self) -> Arc<Self::Store>;

    /// Closes the store and opens it again, where that is something that can be done.
    fn reopen(&mut self) {}
}

const TENANTS: [No; 2] = [DEFAULT_TENANT, 2];

/// What may happen. Places are counted among those that there are, over and over.
#[derive(Debug, Clone)]
enum Step {
    /// The clock moves, mostly forward.
    Pass(i64),
    /// The server goes down and comes up again.
    Restart { flushed: bool },
    /// A message or a wish, and how it fares.
    Do(Act, Fate),
    /// Two at the same time; the bits say whose turn it is.
    Both(Act, Act, u32),
    /// A message arrives that was held up.
    Late(usize),
}

/// How a message fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Through,
    /// The answer is lost.
    Unheard,
    /// It is sent again, since the first answer was lost.
    Twice,
    /// It is held up, and arrives later.
    Held,
    /// The server dies over it.
    Killed(u32),
}

#[derive(Debug, Clone)]
enum Act {
    Enrol { newcomer: usize, token: usize },
    Beat { who: usize, key: usize, version: u8 },
    Poll { who: usize, key: usize },
    Result { who: usize, key: usize, work: usize, back: u32 },
    Status { who: usize, key: usize, work: usize, back: u32, word: u8 },
    Update { who: usize, key: usize },
    Checkin { who: usize, as_other: bool, model: Option<u8> },
    DeviceCheckin { who: usize },
    Provision { newcomer: usize, token: usize },
    Notify { who: usize, image: u8 },
    Pulse { who: usize, key: usize, version: u8 },
    Announce { who: usize, key: usize, version: u8 },
    Action { who: usize, key: usize, action: u8 },
    Word { work: usize, event: WorkEvent, tenant: usize },
    Hosts { who: usize, key: usize, version: u8, agents: Vec<(Option<usize>, u8)> },
    Register { vendor: Vendor, kind: Kind, tenant: usize },
    TenantKey { vendor: Vendor, tenant: usize },
    Issue { tenant: usize, devices: bool, ttl: i64, uses: u32 },
    Revoke { token: usize, tenant: usize },
    Rotate { who: usize },
    RevokeKeys { who: usize },
    Stand { who: usize, standing: Standing },
    Queue { who: usize, key: Option<u8>, retries: u32, timeout: u16, priority: i64, delay: Option<i64> },
    Cancel { work: usize, tenant: usize },
    Assign { who: usize, model: u8 },
    Publish { version: u8 },
    Flush,
    Sweep,
    CloseBatches,
}

fn act() -> impl Strategy<Value = Act> {
    let keys = || prop_oneof![4 => Just(0_usize), 1 => 1..3_usize];
    let few = prop_oneof![2 => Just(0_usize), 1 => 1..3_usize];
    let vendors = prop::sample::select(vec![
        (Vendor::Acusight, Kind::Agent),
        (Vendor::ZStack, Kind::Agent),
        (Vendor::AgentMc, Kind::Host),
        (Vendor::AgentMc, Kind::Agent),
    ]);
    let tenants = || prop_oneof![4 => Just(0_usize), 1 => Just(1_usize)];
    let timeouts = prop_oneof![2 => Just(30_u16), 1 => Just(3000)];
    let delays = prop::option::weighted(0.2, Just(100_i64));
    let word = prop_oneof![6 => 0..2_u8, 3 => 2..5_u8];
    let words = vec![WorkEvent::Acknowledge, WorkEvent::Start, WorkEvent::Succeed, WorkEvent::Fail];
    let words = prop::sample::select(words);
    let agents = prop::collection::vec((prop::option::weighted(0.3, 0..4_usize), 0..2_u8), 1..3);
    prop_oneof![
        5 => (0..3_usize, few.clone()).prop_map(|(newcomer, token)| Act::Enrol { newcomer, token }),
        6 => (few.clone(), keys(), 0..2_u8).prop_map(|(who, key, version)| Act::Beat { who, key, version }),
        6 => (few.clone(), keys()).prop_map(|(who, key)| Act::Poll { who, key }),
        6 => (few.clone(), keys(), 0..5_usize, prop_oneof![4 => Just(0_u32), 1 => 1..3_u32])
            .prop_map(|(who, key, work, back)| Act::Result { who, key, work, back }),
        8 => (few.clone(), keys(), 0..5_usize, prop_oneof![4 => Just(0_u32), 1 => 1..3_u32], word)
            .prop_map(|(who, key, work, back, word)| Act::Status { who, key, work, back, word }),
        1 => (few.clone(), keys()).prop_map(|(who, key)| Act::Update { who, key }),
        2 => few.clone().prop_map(|who| Act::DeviceCheckin { who }),
        3 => (0..2_usize, few.clone()).prop_map(|(newcomer, token)| Act::Provision { newcomer, token }),
        1 => few.clone().prop_map(|who| Act::RevokeKeys { who }),
        2 => (few.clone(), prop::sample::select(vec![
            Standing::Active, Standing::Active, Standing::Active, Standing::Disabled, Standing::Disabled,
            Standing::Decommissioned,
        ])).prop_map(|(who, standing)| Act::Stand { who, standing }),
        4 => (few.clone(), prop::bool::weighted(0.1), prop::option::of(0..2_u8))
            .prop_map(|(who, as_other, model)| Act::Checkin { who, as_other, model }),
        5 => (few.clone(), 0..7_u8).prop_map(|(who, image)| Act::Notify { who, image }),
        3 => (few.clone(), 0..5_usize, 0..2_u8).prop_map(|(who, key, version)| Act::Pulse { who, key, version }),
        3 => (few.clone(), 0..5_usize, 0..2_u8)
            .prop_map(|(who, key, version)| Act::Announce { who, key, version }),
        3 => (few.clone(), 0..5_usize, 0..2_u8).prop_map(|(who, key, action)| Act::Action { who, key, action }),
        3 => (0..5_usize, words, tenants()).prop_map(|(work, event, tenant)| Act::Word { work, event, tenant }),
        4 => (few.clone(), 0..5_usize, 0..2_u8, agents)
            .prop_map(|(who, key, version, agents)| Act::Hosts { who, key, version, agents }),
        2 => (vendors.clone(), tenants())
            .prop_map(|((vendor, kind), tenant)| Act::Register { vendor, kind, tenant }),
        1 => (vendors, tenants()).prop_map(|((vendor, _), tenant)| Act::TenantKey { vendor, tenant }),
        2 => (tenants(), any::<bool>(), prop_oneof![Just(100_i64), Just(100_000)], 1..3_u32)
            .prop_map(|(tenant, devices, ttl, uses)| Act::Issue { tenant, devices, ttl, uses }),
        1 => (few.clone(), tenants()).prop_map(|(token, tenant)| Act::Revoke { token, tenant }),
        3 => few.clone().prop_map(|who| Act::Rotate { who }),
        5 => (few.clone(), prop::option::of(0..2_u8), 0..2_u32, timeouts, 0..2_i64, delays).prop_map(
            |(who, key, retries, timeout, priority, delay)| {
                Act::Queue { who, key, retries, timeout, priority, delay }
            }
        ),
        2 => (0..5_usize, tenants()).prop_map(|(work, tenant)| Act::Cancel { work, tenant }),
        3 => (few, 0..2_u8).prop_map(|(who, model)| Act::Assign { who, model }),
        1 => (0..2_u8).prop_map(|version| Act::Publish { version }),
        3 => Just(Act::Flush),
        2 => Just(Act::Sweep),
        1 => Just(Act::CloseBatches),
    ]
}

/// Two that get into each other's way more often than any two.
fn rivals() -> impl Strategy<Value = (Act, Act)> {
    let who = || prop_oneof![4 => Just(0_usize), 1 => Just(1_usize)];
    let beat = (who(), 0..3_usize, 0..2_u8).prop_map(|(who, key, version)| Act::Beat { who, key, version });
    let poll = (who(), 0..3_usize).prop_map(|(who, key)| Act::Poll { who, key });
    let queue = who().prop_map(|who| Act::Queue {
        who,
        key: None,
        retries: 0,
        timeout: 30,
        priority: 0,
        delay: None,
    });
    let result = (who(), 0..2_usize).prop_map(|(who, work)| Act::Result { who, key: 0, work, back: 0 });
    let cancel = (0..2_usize).prop_map(|work| Act::Cancel { work, tenant: 0 });
    let rotate = who().prop_map(|who| Act::Rotate { who });
    let enrol = (0..2_usize).prop_map(|newcomer| Act::Enrol { newcomer, token: 0 });
    let checkin = (who(), prop::option::of(0..2_u8)).prop_map(|(who, model)| Act::Checkin {
        who,
        as_other: false,
        model,
    });
    let assign = (who(), 0..2_u8).prop_map(|(who, model)| Act::Assign { who, model });
    let notify = (who(), 0..7_u8).prop_map(|(who, image)| Act::Notify { who, image });
    let of_achilles = prop_oneof![
        3 => beat,
        3 => poll,
        2 => queue,
        1 => result,
        1 => cancel,
        1 => rotate,
        1 => enrol,
        1 => Just(Act::Sweep),
        1 => Just(Act::Flush),
    ]
    .boxed();
    let of_acusight = prop_oneof![3 => checkin, 2 => assign, 2 => notify].boxed();
    prop_oneof![
        3 => (of_achilles.clone(), of_achilles),
        1 => (of_acusight.clone(), of_acusight),
    ]
}

/// Whose turn it is: mostly one comes amid the other.
fn order() -> impl Strategy<Value = u32> {
    prop_oneof![3 => (0..8_u32).prop_map(|stops| 0xfff << stops), 1 => any::<u32>()]
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        8 => Just(Fate::Through),
        1 => Just(Fate::Unheard),
        2 => Just(Fate::Twice),
        1 => Just(Fate::Held),
        1 => (0..6_u32).prop_map(Fate::Killed),
    ];
    let pass = prop_oneof![
        6 => 1..60_i64,
        3 => 60..200_i64,
        2 => 200..1000_i64,
        1 => -400..0_i64,
    ];
    prop_oneof![
        20 => (act(), fate).prop_map(|(act, fate)| Step::Do(act, fate)),
        2 => (act(), act(), order()).prop_map(|(one, other, order)| Step::Both(one, other, order)),
        5 => (rivals(), order()).prop_map(|((one, other), order)| Step::Both(one, other, order)),
        4 => pass.prop_map(Step::Pass),
        2 => any::<bool>().prop_map(|flushed| Step::Restart { flushed }),
        1 => (0..2_usize).prop_map(Step::Late),
    ]
}

/// How steps are drawn and made fewer.
///
/// Nothing is foretold here: which of two requests comes first is known only when they have been done, so that the
/// model goes along with the core, not ahead of it.
struct Script;

impl ReferenceStateMachine for Script {
    /// What there is at the beginning.
    type State = Vec<Step>;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Vec<Step>> {
        let made = |vendor, kind| Act::Register { vendor, kind, tenant: 0 };
        let acts = vec![
            Act::Issue { tenant: 0, devices: false, ttl: 100_000, uses: 2 },
            Act::Enrol { newcomer: 0, token: 0 },
            made(Vendor::Acusight, Kind::Agent),
            made(Vendor::ZStack, Kind::Agent),
            made(Vendor::AgentMc, Kind::Host),
            made(Vendor::AgentMc, Kind::Agent),
            Act::TenantKey { vendor: Vendor::AgentMc, tenant: 0 },
            made(Vendor::AgentMc, Kind::Host),
        ];
        let steps: Vec<_> = acts.into_iter().map(|act| Step::Do(act, Fate::Through)).collect();
        let all = steps.len();
        prop::sample::subsequence(steps, 0..=all).boxed()
    }

    fn transitions(_: &Vec<Step>) -> BoxedStrategy<Step> {
        thread_local! {
            static STEP: BoxedStrategy<Step> = step().boxed();
        }
        STEP.with(Clone::clone)
    }

    fn apply(state: Vec<Step>, _: &Step) -> Vec<Step> {
        state
    }
}

/// Runs the machine over a store. `command` is what repeats the test by hand.
///
/// # Panics
/// If what the core does is not what the model says; the message shows the steps.
pub fn run<G: Ground>(command: &str, cases: u32) {
    let set = |name| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let cases = set("FLEETWIRE_MACHINE_CASES").unwrap_or(cases.into());
    let first = set("FLEETWIRE_MACHINE_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let next = AtomicU64::new(0);
    let failure = OnceLock::new();
    let live = || {
        while failure.get().is_none() {
            let case = next.fetch_add(1, Ordering::Relaxed);
            if case >= cases {
                return;
            }
            let seed = first.wrapping_add(case);
            if let Err(found) = run_case::<G>(seed) {
                // Of several the first that was made small is told.
                let _ = failure.set((seed, found));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(live);
        }
    });
    if let Some((seed, failure)) = failure.into_inner() {
        panic!(
            "{failure}\n\nthe case of this seed again:\n  FLEETWIRE_MACHINE_SEED={seed} FLEETWIRE_MACHINE_CASES=1 \
             {command}\n"
        );
    }
}

fn run_case<G: Ground>(seed: u64) -> Result<(), String> {
    let draws = Draws { cases: 1, failure_persistence: None, max_shrink_iters: 4000, ..Draws::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(draws, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&Script::sequential_strategy(1..40), |(begin, steps, seen)| {
        live::<G>(&begin, &steps, seen.as_deref()).map_err(TestCaseError::fail)
    });
    outcome.map_err(|error| match error {
        TestError::Fail(why, (begin, steps, _)) => {
            let mut text = format!("{why}\n\nthe steps:");
            for step in begin.iter().chain(&steps) {
                write!(text, "\n  {step:?}").expect("a text takes it");
            }
            text
        }
        TestError::Abort(why) => why.to_string(),
    })
}

fn live<G: Ground>(begin: &[Step], steps: &[Step], seen: Option<&AtomicUsize>) -> Result<(), String> {
    let mut machine = Machine::<G>::new()?;
    for step in begin {
        machine.take(step)?;
    }
    for step in steps {
        if let Some(seen) = seen {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        machine.take(step)?;
    }
    machine.take(&Step::Restart { flushed: true })
}

/// An agent of Achilles, as it knows itself.
struct Client {
    agent: String,
    /// The newest last.
    keys: Vec<String>,
}

/// An agent that was registered by hand.
struct Made {
    vendor: Vendor,
    kind: Kind,
    tenant: No,
    id: String,
    no: No,
    key: String,
}

struct Machine<G: Ground> {
    ground: G,
    time: Arc<Time>,
    chance: Arc<Chance>,
    stops: Arc<AtomicBool>,
    core: Option<Core<Staged<G::Store>>>,
    now: i64,
    /// What may be: more than one only while nobody can tell.
    worlds: Vec<Model>,
    clients: Vec<Client>,
    made: Vec<Made>,
    tenant_keys: Vec<(Vendor, No, String)>,
    held: Vec<Ask>,
    /// Every secret that anybody was ever given.
    secrets: BTreeSet<String>,
    last_event: i64,
    names: u32,
}

/// What is found after a step.
struct Reality {
    agents: Vec<(Agent, Option<LeaseRow>)>,
    online: BTreeSet<No>,
    up_until: Option<i64>,
    work: Vec<Work>,
    tokens: Vec<Token>,
    events: Vec<Event>,
    /// The agents as the server knows them, if it is up.
    views: Option<BTreeMap<No, AgentView>>,
    keys: Vec<(String, Option<Credential>)>,
}

impl<G: Ground> Machine<G> {
    fn new() -> Result<Self, String> {
        let mut machine = Self {
            ground: G::new(),
            time: Arc::default(),
            chance: Arc::default(),
            stops: Arc::default(),
            core: None,
            now: 0,
            worlds: vec![Model::default()],
            clients: Vec::new(),
            made: Vec::new(),
            tenant_keys: Vec::new(),
            held: Vec::new(),
            secrets: BTreeSet::new(),
            last_event: 0,
            names: 0,
        };
        machine.start();
        let store = machine.ground.store();
        for (tenant, number) in TENANTS.into_iter().flat_map(|tenant| [(tenant, 0), (tenant, 1)]) {
            let model = Weights {
                id: call::model(number),
                tenant,
                name: "m".to_owned(),
                version: "1".to_owned(),
                place: FilePlace::Url("https://fleet.test/m".to_owned()),
                file_ext: None,
                label_map: None,
                created_at: moment(0),
            };
            to_the_end(store.add_model(model)).map_err(|error| error.to_string())?;
        }
        Ok(machine)
    }

    fn start(&mut self) {
        let store = Staged { store: self.ground.store(), stops: Arc::clone(&self.stops) };
        let config = Config {
            work_ttl: Duration::from_secs(WORTH.unsigned_abs()),
            batches: BatchLimits {
                images: BATCH.0,
                age: Duration::from_secs(BATCH.1.unsigned_abs()),
                quota: BATCH.2 as u64,
            },
            ..Config::default()
        };
        let (time, chance) = (Arc::clone(&self.time), Arc::clone(&self.chance));
        let started = to_the_end(Core::start(store, time, chance, config));
        self.core = Some(started.map(|(core, _)| core).expect("the store is whole"));
    }

    /// The server, which is up between steps.
    fn core(&self) -> &Core<Staged<G::Store>> {
        self.core.as_ref().expect("it is up between steps")
    }

    /// A thing of a place, counted over and over.
    fn pick<T>(things: &[T], place: usize) -> Option<&T> {
        things.get(place.checked_rem(things.len())?)
    }

    fn signed(&self, who: usize, key: usize) -> Option<Signed> {
        let client = Self::pick(&self.clients, who)?;
        let key = client.keys.iter().rev().nth(key.checked_rem(client.keys.len())?)?;
        Some(Signed { key: key.clone(), agent: client.agent.clone(), at: self.now })
    }

    fn made(&self, vendor: Vendor, kind: Kind, who: usize) -> Option<&Made> {
        let made: Vec<_> =
            self.made.iter().filter(|made| (made.vendor, made.kind) == (vendor, kind)).collect();
        Self::pick(&made, who).copied()
    }

    /// The agent's own key, one of a whole tenant, or another agent's.
    fn key_for(&self, made: &Made, key: usize) -> String {
        let shared = self.tenant_keys.iter().filter(|(vendor, ..)| *vendor == made.vendor);
        let others = self.made.iter().filter(|other| other.vendor == made.vendor).map(|other| &other.key);
        let keys: Vec<_> = [&made.key].into_iter().chain(shared.map(|(.., key)| key)).chain(others).collect();
        Self::pick(&keys, key).map_or_else(String::new, |key| (*key).clone())
    }

    /// What the act comes to with what everybody knows; `None` if there is nobody to do it.
    fn ask(&mut self, act: &Act) -> Option<Ask> {
        let world = self.worlds.first()?;
        Some(match *act {
            Act::Enrol { newcomer, token } => {
                let texts: Vec<_> = world.tokens.iter().filter_map(|token| token.text.as_ref()).collect();
                Ask::Enrol { token: (*Self::pick(&texts, token)?).clone(), newcomer }
            }
            Act::Beat { who, key, version } => Ask::Beat { signed: self.signed(who, key)?, version },
            Act::Poll { who, key } => Ask::Poll { signed: self.signed(who, key)? },
            Act::Result { who, key, work, back } => {
                let signed = self.signed(who, key)?;
                let (work, task, number) = world.named_task(&signed.agent, work, back)?;
                Ask::Result { signed, work, task, number }
            }
            Act::Status { who, key, work, back, word } => {
                let signed = self.signed(who, key)?;
                let (work, task, number) = world.named_task(&signed.agent, work, back)?;
                Ask::Status { signed, work, task, number, word }
            }
            Act::DeviceCheckin { who } => {
                let device = self.made(Vendor::Acusight, Kind::Agent, who)?;
                Ask::DeviceCheckin { key: device.key.clone() }
            }
            Act::Provision { newcomer, token } => {
                let texts: Vec<_> = world.tokens.iter().filter_map(|token| token.text.as_ref()).collect();
                Ask::Provision { token: (*Self::pick(&texts, token)?).clone(), newcomer }
            }
            Act::RevokeKeys { who } => {
                let client = Self::pick(&self.clients, who)?;
                Ask::RevokeKeys { tenant: self.tenant_of(client)?, agent: client.agent.clone() }
            }
            Act::Stand { who, standing } => {
                let client = Self::pick(&self.clients, who)?;
                Ask::Stand { tenant: self.tenant_of(client)?, agent: client.agent.clone(), standing }
            }
            Act::Update { who, key } => Ask::Update { signed: self.signed(who, key)? },
            Act::Checkin { who, as_other, model } => {
                let device = self.made(Vendor::Acusight, Kind::Agent, who)?;
                let other = self.made(Vendor::Acusight, Kind::Agent, who + usize::from(as_other))?;
                Ask::Checkin { key: other.key.clone(), device: device.id.clone(), model }
            }
            Act::Notify { who, image } => {
                let device = self.made(Vendor::Acusight, Kind::Agent, who)?;
                Ask::Notify { key: device.key.clone(), device: device.id.clone(), image }
            }
            Act::Pulse { who, key, version } => {
                let agent = self.made(Vendor::ZStack, Kind::Agent, who)?;
                Ask::Pulse { key: self.key_for(agent, key), uuid: agent.id.clone(), version }
            }
            Act::Announce { who, key, version } => {
                let agents: Vec<_> = self.made.iter().filter(|made| made.vendor == Vendor::ZStack).collect();
                // One more than there are is one that nobody knows.
                let known = agents.get(who.checked_rem(agents.len() + 1)?);
                let uuid = known.map_or_else(|| format!("auto-{}", agents.len()), |made| made.id.clone());
                let key = match known {
                    Some(made) => self.key_for(made, key),
                    None => {
                        let shared = self.tenant_keys.iter().filter(|(vendor, ..)| *vendor == Vendor::ZStack);
                        Self::pick(&shared.collect::<Vec<_>>(), key)?.2.clone()
                    }
                };
                Ask::Announce { key, uuid, version }
            }
            Act::Action { who, key, action } => {
                let agent = self.made(Vendor::ZStack, Kind::Agent, who)?;
                Ask::Action { key: self.key_for(agent, key), uuid: agent.id.clone(), action }
            }
            Act::Word { work, event, tenant } => {
                let known = Self::pick(&world.tasks, work)?;
                let id = known.id.clone()?;
                let work = world.tasks.iter().position(|task| std::ptr::eq(task, known))?;
                Ask::Word { tenant: TENANTS[tenant], work, id, event }
            }
            Act::Hosts { who, key, version, ref agents } => {
                let host = self.made(Vendor::AgentMc, Kind::Host, who)?;
                let mut named = BTreeMap::new();
                for (number, name) in agents {
                    let no =
                        number.and_then(|number| Some(self.made(Vendor::AgentMc, Kind::Agent, number)?.no));
                    named.entry(*name).or_insert(no);
                }
                let agents = named.into_iter().map(|(name, no)| (no, name)).collect();
                Ask::Hosts { key: self.key_for(host, key), host: host.id.clone(), version, agents }
            }
            Act::Register { vendor, kind, tenant } => {
                let numbered = (vendor, kind) == (Vendor::AgentMc, Kind::Agent);
                self.names += 1;
                // A host's is a fingerprint of 64 digits.
                let id = (!numbered).then(|| format!("{:064x}", self.names));
                Ask::Register { tenant: TENANTS[tenant], vendor, kind, id }
            }
            Act::TenantKey { vendor: Vendor::Acusight | Vendor::Achilles, .. } => return None,
            Act::TenantKey { vendor, tenant } => Ask::TenantKey { tenant: TENANTS[tenant], vendor },
            Act::Issue { tenant, devices, ttl, uses } => {
                let vendor = if devices { Vendor::Acusight } else { Vendor::Achilles };
                Ask::Issue { tenant: TENANTS[tenant], vendor, ttl, uses }
            }
            Act::Revoke { token, tenant } => {
                let id = Self::pick(&world.tokens, token)?.id.clone()?;
                Ask::Revoke { tenant: TENANTS[tenant], token: id }
            }
            Act::Rotate { who } => {
                let client = Self::pick(&self.clients, who)?;
                Ask::Rotate { tenant: self.tenant_of(client)?, agent: client.agent.clone() }
            }
            Act::Queue { who, key, retries, timeout, priority, delay } => {
                let client = Self::pick(&self.clients, who)?;
                let not_before = delay.map(|delay| self.now + delay);
                let wish = Wish { key, retries, timeout, priority, not_before };
                Ask::Queue { tenant: self.tenant_of(client)?, agent: client.agent.clone(), wish }
            }
            Act::Cancel { work, tenant } => {
                let known = Self::pick(&world.tasks, work)?;
                let id = known.id.clone()?;
                let work = world.tasks.iter().position(|task| std::ptr::eq(task, known))?;
                Ask::Cancel { tenant: TENANTS[tenant], work, id }
            }
            Act::Assign { who, model } => {
                let device = self.made(Vendor::Acusight, Kind::Agent, who)?;
                Ask::Assign { tenant: device.tenant, device: device.id.clone(), model }
            }
            Act::Publish { version } => Ask::Publish { tenant: DEFAULT_TENANT, version },
            Act::Flush => Ask::Flush,
            Act::Sweep => Ask::Sweep,
            Act::CloseBatches => Ask::CloseBatches,
        })
    }

    fn tenant_of(&self, client: &Client) -> Option<No> {
        let known = |member: &&model::Member| member.id.as_ref() == Some(&client.agent);
        Some(self.worlds.first()?.members.iter().find(known)?.tenant)
    }

    /// Notes what the answer tells whoever asked.
    fn learn(&mut self, ask: &Ask, answer: &Answer) {
        match (ask, answer) {
            (Ask::Enrol { .. }, Answer::Enrolled { agent, key }) => {
                match self.clients.iter_mut().find(|client| client.agent == *agent) {
                    Some(client) => client.keys.push(key.clone()),
                    None => self.clients.push(Client { agent: agent.clone(), keys: vec![key.clone()] }),
                }
            }
            (Ask::Provision { .. }, Answer::Enrolled { agent, key }) => {
                let member = self.worlds.first().and_then(|world| {
                    let is = |member: &model::Member| member.has_key(key);
                    let place = world.members.iter().position(is)?;
                    Some((world.members[place].tenant, place as No + 1))
                });
                let Some((tenant, no)) = member else { return };
                let (vendor, kind) = (Vendor::Acusight, Kind::Agent);
                self.made.retain(|made| made.no != no);
                self.made.push(Made { vendor, kind, tenant, id: agent.clone(), no, key: key.clone() });
            }
            (Ask::Announce { uuid, .. }, Answer::Done) => {
                let found = self.worlds.first().and_then(|world| {
                    let is = |member: &model::Member| {
                        member.vendor == Vendor::ZStack && member.id.as_ref() == Some(uuid)
                    };
                    let place = world.members.iter().position(is)?;
                    Some((world.members[place].tenant, place as No + 1))
                });
                let Some((tenant, no)) = found else { return };
                if !self.made.iter().any(|made| made.no == no) {
                    // It has no key of its own; this one is nobody's.
                    let (vendor, kind, key) = (Vendor::ZStack, Kind::Agent, "zsk_none".to_owned());
                    self.made.push(Made { vendor, kind, tenant, id: uuid.clone(), no, key });
                }
            }
            (Ask::RevokeKeys { agent, .. }, Answer::Key(key)) => {
                if let Some(client) = self.clients.iter_mut().find(|client| client.agent == *agent) {
                    client.keys.push(key.clone());
                }
            }
            (Ask::Beat { signed, .. }, Answer::Beat { offered: Some(offered) }) => {
                let client = self.clients.iter_mut().find(|client| client.agent == signed.agent);
                if let Some(client) = client.filter(|client| !client.keys.contains(offered)) {
                    client.keys.push(offered.clone());
                }
            }
            (Ask::Register { tenant, vendor, kind, id }, Answer::Registered { no, key }) => {
                let id = id.clone().unwrap_or_else(|| no.to_string());
                let (vendor, kind, tenant, no, key) = (*vendor, *kind, *tenant, *no, key.clone());
                self.made.push(Made { vendor, kind, tenant, id, no, key });
            }
            (Ask::TenantKey { tenant, vendor }, Answer::Key(key)) => {
                self.tenant_keys.push((*vendor, *tenant, key.clone()));
            }
            _ => {}
        }
    }

    /// Notes the secrets of an answer, whoever hears it.
    fn note(&mut self, answer: &Answer) {
        match answer {
            Answer::Enrolled { key, .. }
            | Answer::Beat { offered: Some(key) }
            | Answer::Registered { key, .. }
            | Answer::Key(key) => {
                self.secrets.insert(key.clone());
            }
            _ => {}
        }
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        self.take_unguarded(step).map_err(|why| format!("after {step:?}, at {} s:\n{why}", self.now))
    }

    fn take_unguarded(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Pass(span) => {
                self.now = (self.now + span).max(0);
                self.time.set(self.now);
                Ok(())
            }
            Step::Restart { flushed } => {
                if *flushed {
                    self.do_it(&Ask::Flush)?;
                }
                self.restart();
                self.compare("the start")
            }
            Step::Late(place) => {
                let Some(place) = place.checked_rem(self.held.len()) else { return Ok(()) };
                let ask = self.held.remove(place);
                self.do_it(&ask).map(drop)
            }
            Step::Do(act, fate) => {
                let Some(ask) = self.ask(act) else { return Ok(()) };
                match *fate {
                    Fate::Through => {
                        let answer = self.do_it(&ask)?;
                        self.learn(&ask, &answer);
                        Ok(())
                    }
                    Fate::Unheard => self.do_it(&ask).map(drop),
                    Fate::Twice => {
                        self.do_it(&ask)?;
                        // Registered again under the same name it would be another's.
                        let answer = self.do_it(&ask)?;
                        self.learn(&ask, &answer);
                        Ok(())
                    }
                    Fate::Held => {
                        self.held.push(ask);
                        Ok(())
                    }
                    Fate::Killed(stops) => self.break_off(&ask, stops),
                }
            }
            Step::Both(one, other, order) => {
                let (Some(one), Some(other)) = (self.ask(one), self.ask(other)) else { return Ok(()) };
                // These come one at a time.
                if one == other && matches!(one, Ask::Flush | Ask::Sweep) {
                    return Ok(());
                }
                self.stops.store(true, Ordering::Relaxed);
                let (first, second) =
                    in_turns(perform(self.core(), one.clone()), perform(self.core(), other.clone()), *order);
                self.stops.store(false, Ordering::Relaxed);
                let mut worlds = Vec::new();
                let requests = [Request::of(&one, &first), Request::of(&other, &second)];
                for mut world in std::mem::take(&mut self.worlds) {
                    world.in_company = true;
                    merge(&world, requests, self.now, &mut worlds);
                }
                self.note(&first);
                self.note(&second);
                self.settle(worlds, &format!("{one:?} -> {first:?}\n{other:?} -> {second:?}"))?;
                self.learn(&one, &first);
                self.learn(&other, &second);
                // What the server then makes of an older row is not foretold.
                if self.worlds.iter().any(|world| world.members.iter().any(|member| member.stale)) {
                    self.restart();
                }
                Ok(())
            }
        }
    }

    /// Has it done, and holds the answer against the model.
    fn do_it(&mut self, ask: &Ask) -> Result<Answer, String> {
        let answer = to_the_end(perform(self.core(), ask.clone()));
        self.note(&answer);
        let mut worlds = Vec::new();
        for world in std::mem::take(&mut self.worlds) {
            let mut request = Request::of(ask, &answer);
            let mut world = world;
            while request.stage != Stage::Done && request.go_on(&mut world, self.now) {}
            if request.stage == Stage::Done {
                worlds.push(world);
            }
        }
        self.settle(worlds, &format!("{ask:?} -> {answer:?}"))?;
        Ok(answer)
    }

    /// Begins it, and has the server die over it.
    fn break_off(&mut self, ask: &Ask, stops: u32) -> Result<(), String> {
        self.stops.store(true, Ordering::Relaxed);
        let answer = for_a_while(perform(self.core(), ask.clone()), stops);
        self.stops.store(false, Ordering::Relaxed);
        let mut worlds = Vec::new();
        for world in std::mem::take(&mut self.worlds) {
            if answer.is_none() {
                worlds.push(world.clone());
            }
            let mut world = world;
            let mut request = Request { ask, heard: answer.as_ref(), stage: Stage::of(ask) };
            while request.stage != Stage::Done && request.go_on(&mut world, self.now) {
                if answer.is_none() || request.stage == Stage::Done {
                    worlds.push(world.clone());
                }
            }
        }
        if let Some(answer) = &answer {
            self.note(answer);
        }
        // What was in its memory is gone.
        self.core = None;
        let what = format!("{ask:?} -> {answer:?}, broken off");
        self.settle(worlds, &what)?;
        self.restart();
        self.compare(&what)
    }

    fn restart(&mut self) {
        for world in &mut self.worlds {
            world.restart(self.now);
        }
        self.restart_core();
    }

    fn restart_core(&mut self) {
        self.core = None;
        self.ground.reopen();
        self.start();
    }

    fn compare(&mut self, what: &str) -> Result<(), String> {
        let worlds = std::mem::take(&mut self.worlds);
        self.settle(worlds, what)
    }

    /// Keeps the worlds that are as reality is.
    fn settle(&mut self, worlds: Vec<Model>, what: &str) -> Result<(), String> {
        if worlds.is_empty() {
            return Err(format!("{what}\nis not what the model answers"));
        }
        let reality = self.look();
        let mut faults = Vec::new();
        for mut world in worlds {
            match agree(&mut world, &reality, self.now) {
                Ok(()) if self.worlds.contains(&world) => {}
                Ok(()) => self.worlds.push(world),
                Err(fault) => faults.push(fault),
            }
        }
        self.last_event = reality.events.iter().map(|event| event.no).max().unwrap_or(self.last_event);
        let Some(world) = self.worlds.first() else {
            return Err(format!("{what}\n{}", faults.join("\nor ")));
        };
        for client in &self.clients {
            let is = |member: &&model::Member| member.id.as_ref() == Some(&client.agent);
            let member = world.members.iter().find(is).ok_or("an agent is gone")?;
            let explicit = member.revoked || member.standing.is_final();
            if !explicit && !client.keys.iter().any(|key| member.has_key(key)) {
                return Err(format!("{what}\n{} is locked out", client.agent));
            }
        }
        Ok(())
    }

    fn look(&self) -> Reality {
        let store = self.ground.store();
        to_the_end(async {
            let restored = super::whole(&*store).await;
            let (mut work, mut tokens, mut events) = (Vec::new(), Vec::new(), Vec::new());
            for tenant in TENANTS {
                work.extend(
                    store
                        .work(tenant, WorkFilter { limit: 1000, ..WorkFilter::default() })
                        .await
                        .expect("it reads"),
                );
                tokens.extend(store.tokens(tenant).await.expect("it reads").into_iter().rev());
                let query = EventQuery { after: Some(self.last_event), limit: 1000, ..EventQuery::default() };
                events.extend(store.events(tenant, query).await.expect("it reads"));
            }
            work.sort_by_key(|work| work.no);
            let mut keys = Vec::new();
            for secret in &self.secrets {
                let found = store.credential(Digest::of(secret)).await.expect("it reads");
                keys.push((secret.clone(), found));
            }
            let seen = |core: &Core<_>| {
                let views = TENANTS.into_iter().flat_map(|tenant| core.agents(tenant));
                views.map(|view| (view.agent.no, view)).collect()
            };
            let views = self.core.as_ref().map(seen);
            let up_until = restored.up_until.map(seconds);
            Reality {
                agents: restored.agents,
                online: restored.online,
                up_until,
                work,
                tokens,
                events,
                views,
                keys,
            }
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Caller,
    Handler(Caller),
    Done,
}

impl PartialEq for Stage {
    fn eq(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Done, Self::Done))
    }
}

impl Stage {
    const fn of(ask: &Ask) -> Self {
        if Model::is_of_an_agent(ask) { Self::Caller } else { Self::Handler(Caller::Anyone) }
    }
}

/// A request on its way through the model: first who is calling, then what it does.
#[derive(Clone, Copy)]
struct Request<'a> {
    ask: &'a Ask,
    heard: Option<&'a Answer>,
    stage: Stage,
}

impl<'a> Request<'a> {
    const fn of(ask: &'a Ask, answer: &'a Answer) -> Self {
        Self { ask, heard: Some(answer), stage: Stage::of(ask) }
    }

    /// Takes its next step; says whether that can be what has happened.
    fn go_on(&mut self, world: &mut Model, now: i64) -> bool {
        match self.stage {
            Stage::Caller => match world.admit(self.ask, now) {
                Some(caller) => {
                    self.stage = Stage::Handler(caller);
                    true
                }
                None => {
                    self.stage = Stage::Done;
                    let refused = Answer::Refused(Refusal::Unauthenticated);
                    let is_so = self.heard.is_none_or(|heard| *heard == refused);
                    if !is_so {
                        self.stage = Stage::Caller;
                    }
                    is_so
                }
            },
            Stage::Handler(caller) => {
                let is_so = world.handle(self.ask, caller, now, self.heard);
                if is_so {
                    self.stage = Stage::Done;
                }
                is_so
            }
            Stage::Done => true,
        }
    }
}

/// Finds every order of the steps of two requests that explains what both were answered.
fn merge(world: &Model, requests: [Request<'_>; 2], now: i64, worlds: &mut Vec<Model>) {
    if requests.iter().all(|request| request.stage == Stage::Done) {
        if !worlds.contains(world) {
            worlds.push(world.clone());
        }
        return;
    }
    for turn in 0..2 {
        if requests[turn].stage == Stage::Done {
            continue;
        }
        let may_be_quiet = matches!(requests[turn].ask, Ask::Checkin { .. } | Ask::DeviceCheckin { .. });
        for quietly in [false, true].into_iter().take(1 + usize::from(may_be_quiet)) {
            let (mut world, mut requests) = (world.clone(), requests);
            world.quietly = quietly;
            let is_so = requests[turn].go_on(&mut world, now);
            world.quietly = false;
            if is_so {
                merge(&world, requests, now, worlds);
            }
        }
    }
}

macro_rules! same {
    ($what:expr, $found:expr, $expected:expr) => {{
        let (found, expected) = (&$found, &$expected);
        if found != expected {
            return Err(format!("{}: found {found:?}, expected {expected:?}", $what));
        }
    }};
}

/// Whether the world is as reality is. What nobody could know is taken from there.
fn agree(world: &mut Model, reality: &Reality, now: i64) -> Result<(), String> {
    same!("agents", reality.agents.len(), world.members.len());
    for (place, (agent, lease)) in reality.agents.iter().enumerate() {
        let who = format!("agent {}", place + 1);
        let member = &mut world.members[place];
        member.id.get_or_insert_with(|| agent.id.clone());
        same!(who, (agent.tenant, agent.vendor, agent.kind), (member.tenant, member.vendor, member.kind));
        same!(who, Some(&agent.id), member.id.as_ref());
        let keys = (agent.activated, agent.rotation, agent.rotating);
        same!(format!("keys of {who}"), keys, (member.activated, member.rotation, member.rotating));
        same!(format!("standing of {who}"), agent.standing(), member.standing);
        same!(format!("version of {who}"), agent.version, member.version);
        same!(format!("host of {who}"), agent.parent, member.parent.map(|host| host as No + 1));
        let models = [member.desired, member.current].map(|model| model.map(call::model));
        same!(format!("models of {who}"), [agent.desired_model.clone(), agent.current_model.clone()], models);
        same!(
            format!("stored lease of {who}"),
            lease.as_ref().map(|row| seconds(row.last_seen)),
            member.kept
        );
        same!(format!("{who} online"), reality.online.contains(&agent.no), member.journal_online);
        let Some(views) = &reality.views else { continue };
        let view = views.get(&agent.no).ok_or_else(|| format!("the server does not know {who}"))?;
        // Of two rows that were written at once the server may keep the older one until the next is written; but never
        // of what decides who is let in.
        let known = &view.agent;
        let decisive =
            |agent: &Agent| (agent.activated, agent.rotation, agent.rotating, agent.disabled, agent.departed);
        same!(format!("keys of {who} as the server knows it"), decisive(known), decisive(agent));
        member.stale = known != agent && (world.in_company || member.stale);
        if !member.stale {
            same!(format!("{who} as the server knows it"), known, agent);
        }
        same!(format!("lease of {who}"), view.last_seen.map(seconds), member.seen);
    }
    same!("up until", reality.up_until, world.up_until);

    same!("work", reality.work.len(), world.tasks.len());
    for (place, work) in reality.work.iter().enumerate() {
        let found = (work.state, work.execution_number, work.acknowledged_at.is_some());
        let how = |task: &model::Task| (task.state, task.number, task.acknowledged);
        let mut looked = world.tasks[place].clone();
        if how(&looked) != found {
            // Time may have done that, and somebody has looked.
            looked.look(now);
            if how(&looked) == found {
                world.change(place, |task| task.look(now));
            }
        }
        let task = &mut world.tasks[place];
        task.id.get_or_insert_with(|| work.id.clone());
        let what = format!("work {}", place + 1);
        same!(what, (work.no, work.agent, work.tenant), (place as No + 1, task.agent as No + 1, task.tenant));
        same!(what, Some(&work.id), task.id.as_ref());
        same!(what, found, how(task));
        same!(format!("deadline of {what}"), work.deadline.map(seconds), task.deadline);
    }

    let tokens = TENANTS
        .into_iter()
        .flat_map(|tenant| (0..world.tokens.len()).filter(move |_| true).map(move |place| (tenant, place)));
    let tokens: Vec<_> = tokens
        .filter(|(tenant, place)| world.tokens[*place].tenant == *tenant)
        .map(|(_, place)| place)
        .collect();
    same!("tokens", reality.tokens.len(), tokens.len());
    for (found, place) in reality.tokens.iter().zip(tokens) {
        let token = &mut world.tokens[place];
        token.id.get_or_insert_with(|| found.id.clone());
        same!("token", Some(&found.id), token.id.as_ref());
        let what = format!("token {}", place + 1);
        same!(
            what,
            (found.uses, found.max_uses, found.revoked),
            (token.uses, Some(token.most), token.revoked)
        );
        if found.max_uses.is_some_and(|most| found.uses > most) {
            return Err(format!("{what} was used too often"));
        }
    }

    world.in_company = false;
    let good = world.good_keys();
    for (secret, found) in &reality.keys {
        same!(format!("whether {secret} is good"), found.is_some(), good.contains(secret.as_str()));
    }
    agree_on_events(world, &reality.events)
}

/// Whether everything was told that was to be told, and nothing else.
fn agree_on_events(world: &mut Model, events: &[Event]) -> Result<(), String> {
    let mut told = std::mem::take(&mut world.told);
    let mut numbers = BTreeSet::new();
    for event in events {
        if !numbers.insert(event.no) {
            return Err(format!("the number of {event:?} was given twice"));
        }
        // Agents that are moved between hosts are seen on both of them.
        if event.kind == EventKind::CloneSuspected {
            continue;
        }
        let place = told.iter().position(|told| tells(world, told, event));
        let Some(place) = place else {
            return Err(format!("nobody expected {event:?}; expected {told:?}"));
        };
        told.swap_remove(place);
    }
    if told.is_empty() { Ok(()) } else { Err(format!("nobody was told of {told:?}")) }
}

fn tells(world: &Model, told: &Told, event: &Event) -> bool {
    let text = |name: &str| event.detail.get(name).and_then(serde_json::Value::as_str);
    let number = |name: &str| event.detail.get(name).and_then(serde_json::Value::as_u64);
    (told.kind, told.tenant, told.agent) == (event.kind, event.tenant, event.agent)
        && match &told.what {
            What::Nothing => true,
            What::Text(to) => text("to") == Some(to),
            What::Work(task, execution, end) => {
                text("work") == world.tasks[*task].id.as_deref()
                    && number("execution") == Some(u64::from(*execution))
                    && text("end") == *end
            }
            What::Rotation(rotation) => number("rotation") == Some(u64::from(*rotation)),
            What::Token(token) => text("token") == world.tokens[*token].id.as_deref(),
            What::Batch(id, images) => {
                id.as_deref().is_none_or(|id| text("batch") == Some(id))
                    && number("images") == images.map(u64::from)
            }
        }
}
