//! Bad luck, one by one: every message of a life meets every fault, and the process is killed before and after every
//! change of its store.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[expect(dead_code, reason = "each test uses what it needs of it")]
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fleetwire_server_core::domain::WorkState;
use world::{Break, Crash, Fault, World};

/// The life: enrols, has its key changed, does a task, and goes on until it has got over everything, or for long
/// enough to.
const ROTATED_AT: u64 = 70;
const QUEUED_AT: u64 = 150;
const QUIET_AFTER: u64 = 260;
const END: u64 = 1200;

fn live(faults: &[(usize, Fault)], crash: Option<Crash>, breaks: Option<Break>) -> World {
    let mut world = World::new();
    world.breaks = breaks;
    world.faults.extend(faults.iter().copied());
    world.crash = crash;
    // Later by as much as the agent needs to be taken in.
    let mut late = 0;
    world.run_until(ROTATED_AT);
    while late < END && !world.is_known() {
        late += 60;
        world.run_until(ROTATED_AT + late);
    }
    world.rotate();
    world.run_until(QUEUED_AT + late);
    let id = world.queue("once");
    let mut second = QUIET_AFTER + late;
    world.run_until(second);
    let is_over = |world: &mut World| {
        let told = matches!(world.work(&id).state, WorkState::Succeeded | WorkState::Failed);
        told && !world.is_rotating() && world.machine().failures() == 0 && world.machine().waiting() == 0
    };
    while second < END + late && !is_over(&mut world) {
        second += 60;
        world.run_until(second);
    }
    // Whatever it would do twice, it has had the time to.
    world.run_until(second + 70);

    let told = || {
        format!("{faults:?} {crash:?} {breaks:?}\n{}\n{}", world.requests.join("\n"), world.events.join("\n"))
    };
    assert!(!world.is_rotating(), "the new key was never used: {}", told());
    let work = world.work(&id);
    // A result that went out while the disk was full is the end, though the next process says that it was interrupted.
    let is_final = breaks.is_some() && work.state == WorkState::Succeeded;
    let is_interrupted = world.interrupted > 0 && !is_final;
    let end = if is_interrupted { WorkState::Failed } else { WorkState::Succeeded };
    assert_eq!(work.state, end, "no result came: {}", told());
    let begun = world.begun.get(&id).copied().unwrap_or_default();
    assert!(begun <= 1, "the task was begun {begun} times: {}", told());
    assert!(begun + world.interrupted > 0, "{}", told());
    let result = work.result.unwrap();
    if !is_interrupted {
        assert_eq!(result["stdout"], "done", "the result was lost: {}", told());
    } else {
        assert!(result["error"].as_str().unwrap().starts_with("interrupted"), "{result}: {}", told());
    }
    let last_seen = world.core.agents(fleetwire_server_core::domain::DEFAULT_TENANT)[0].last_seen.unwrap();
    let silence = fleetwire_server_core::Clock::now(&world.time) - last_seen;
    assert!(silence.num_seconds() < 70, "the agent is silent: {}", told());
    let agent = world.agent_id();
    assert_eq!(world.machine().identity().unwrap().agent_id.as_str(), agent);
    assert_eq!((world.machine().failures(), world.machine().waiting()), (0, 0));
    world
}

#[test]
fn a_life_without_bad_luck_is_quiet() {
    let world = live(&[], None, None);
    assert_eq!(world.crashes, 0);
    assert!(!world.events.iter().any(|event| event.contains("Failed")), "{:#?}", world.events);
}

/// Whichever message meets with whatever, and wherever the process is killed: one agent, a good key, one execution,
/// its result. Prints how many lives that were.
#[test]
fn every_fault_of_every_message_with_a_crash_at_every_step_loses_nothing() {
    let quiet = live(&[], None, None);
    let mut world = World::new();
    world.run_until(ROTATED_AT);
    world.rotate();
    world.run_until(QUEUED_AT);
    world.queue("once");
    world.run_until(QUIET_AFTER);
    let (messages, changes) = (world.requests.len(), quiet.changes.min(world.changes + 4));
    let crashes = (1..=changes).flat_map(|at| [Crash::Before(at), Crash::After(at)]);
    let crashes: Vec<_> = std::iter::once(None).chain(crashes.map(Some)).collect();
    let mut lives: Vec<_> = crashes.iter().map(|crash| (None, *crash)).collect();
    for message in 1..=messages {
        for fault in Fault::ALL {
            lives.extend(crashes.iter().map(|crash| (Some((message, fault)), *crash)));
        }
    }
    assert!(lives.len() > 1000);
    println!("{} lives: {messages} messages, {} faults, {changes} changes", lives.len(), Fault::ALL.len());
    each(&lives, |(fault, crash)| drop(live(fault.as_slice(), *crash, None)));
}

/// A disk that is full or read-only from some change on, and a process that is killed before it is well again: what was
/// not saved was not acted on.
#[test]
fn a_store_that_fails_at_any_change_for_any_time_loses_nothing_even_if_the_process_dies_of_it() {
    let changes = live(&[], None, None).changes + 4;
    let mut lives = Vec::new();
    for change in 1..=changes {
        for seconds in [1, 15, 40, 95, 200] {
            let lasts = Duration::from_secs(seconds);
            lives.extend([false, true].map(|kills| Break { change, lasts, kills }));
        }
    }
    each(&lives, |broken| drop(live(&[], None, Some(*broken))));
}

/// Two faults of two messages, all pairs of both; `FLEETWIRE_FAULT_PAIRS` says which share of the pairs of messages is
/// tried, one in so many, 1 for all.
#[test]
fn pairs_of_faults_lose_nothing() {
    let share = number("FLEETWIRE_FAULT_PAIRS", 80).max(1);
    let messages = 14;
    let pairs = (1..=messages).flat_map(|one| (one + 1..=messages).map(move |other| (one, other)));
    let faults = Fault::ALL.into_iter().flat_map(|one| Fault::ALL.map(|other| (one, other)));
    let all = pairs.flat_map(|at| faults.clone().map(move |what| (at, what))).enumerate();
    let lives: Vec<_> =
        all.filter(|(number, _)| (*number as u64).is_multiple_of(share)).map(|(_, pair)| pair).collect();
    println!("{} pairs", lives.len());
    each(&lives, |((one, other), (first, second))| {
        drop(live(&[(*one, *first), (*other, *second)], None, None));
    });
}

/// Does something with each life, on as many threads as there are cores.
fn each<L: Sync>(lives: &[L], live: impl Fn(&L) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(life_to_live) = lives.get(next.fetch_add(1, Ordering::Relaxed)) {
                    live(life_to_live);
                }
            });
        }
    });
}

/// A number from the environment.
fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?} and no number")),
        Err(_) => otherwise,
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }
}

/// What goes wrong besides messages and crashes.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// The wall clock leaps by a year, forward or back, or is set right.
    Clock(i64),
    /// The machine is suspended.
    Suspended(u64),
    /// Nobody answers, and then somebody does.
    Down(bool),
    /// Everything is answered with 429 for so long.
    Limited(u64),
    /// The disk is full or read-only, and then is not.
    DiskFails(bool),
    /// The process is killed where it stands.
    Killed,
    /// An operator changes the key.
    Rotated,
    /// An operator asks for a task.
    Queued,
}

const YEAR: i64 = 365 * 86_400_000;

fn blow(dice: &mut Dice) -> Blow {
    match dice.below(12) {
        0 => Blow::Clock([YEAR, -YEAR, 0, 299_000, -301_000][usize::try_from(dice.below(5)).unwrap()]),
        1 => Blow::Suspended(dice.below(8 * 3600)),
        2 => Blow::Down(true),
        3 => Blow::Down(false),
        4 => Blow::Limited(dice.below(3600)),
        5 => Blow::DiskFails(true),
        6 => Blow::DiskFails(false),
        7 | 8 => Blow::Killed,
        9 => Blow::Rotated,
        _ => Blow::Queued,
    }
}

/// A life full of bad luck, told by its seed alone.
fn ill_fated(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = World::new();
    world.late_by = Duration::from_secs(dice.below(120));
    // The answer to an enrolment can be repeated for ten minutes, so that a message meets with bad luck from the
    // first one on, and the rest only when the agent has been taken in.
    for _ in 0..dice.below(12) {
        let fault = Fault::ALL[usize::try_from(dice.below(10)).unwrap()];
        let message = usize::try_from(1 + dice.below(60)).unwrap();
        // Bad luck seldom comes alone.
        for next in 0..1 + usize::try_from(dice.below(3)).unwrap() {
            world.faults.insert(message + next, fault);
        }
    }
    for _ in 0..dice.below(6) {
        let change = usize::try_from(1 + dice.below(40)).unwrap();
        world.crashes_at.push(if dice.below(2) == 0 { Crash::Before(change) } else { Crash::After(change) });
    }
    let mut second = 130;
    world.run_until(second);
    let agent = world.agent_id();
    let (mut blows, mut tasks) = (Vec::new(), Vec::new());
    for _ in 0..2 + dice.below(8) {
        second += dice.below(400);
        // A machine that was suspended has not lived for so long.
        second = second.max(world.elapsed().as_secs());
        world.run_until(second);
        let blow = blow(&mut dice);
        blows.push((second, blow));
        match blow {
            Blow::Clock(off) => world.wall_off = off,
            Blow::Suspended(seconds) => world.sleep_for(Duration::from_secs(seconds)),
            Blow::Down(down) => world.down = down,
            Blow::Limited(seconds) => world.limited_until = world.elapsed() + Duration::from_secs(seconds),
            Blow::DiskFails(full) => world.disk_full = full,
            Blow::Killed => world.kill(),
            Blow::Rotated => world.rotate(),
            Blow::Queued => tasks.push(world.queue(&format!("task {}", tasks.len()))),
        }
    }
    (world.down, world.disk_full) = (false, false);
    // The longest wait is half an hour and a tenth, and as long again for who was told to stay away.
    let quiet = world.elapsed().max(world.limited_until).as_secs() + 2 * 3600;
    world.run_until(quiet);

    let told = || {
        let faults = (&world.faults, &world.crashes_at);
        format!(
            "seed {seed}: {blows:?} {faults:?}\n{}\n{}",
            world.requests.join("\n"),
            world.events.join("\n")
        )
    };
    assert_eq!(world.agent_id(), agent, "{}", told());
    assert!(!world.is_rotating(), "the new key was never used: {}", told());
    for (task, times) in &world.begun {
        assert_eq!(*times, 1, "{task}: {}", told());
    }
    for task in &tasks {
        let work = world.work(task);
        let result = work.result.clone().unwrap_or_default();
        match work.state {
            WorkState::Succeeded => assert_eq!(result["stdout"], "done", "{}", told()),
            WorkState::Failed => {
                // Interrupted, or given up by a server that heard nothing for too long.
                let error = result["error"].as_str().unwrap_or_default();
                assert!(!error.is_empty(), "{result} {}", told());
            }
            other => panic!("{task} is {other:?}: {}", told()),
        }
    }
    let last_seen = world.core.agents(fleetwire_server_core::domain::DEFAULT_TENANT)[0].last_seen.unwrap();
    let silence = fleetwire_server_core::Clock::now(&world.time) - last_seen;
    assert!(silence.num_seconds() < 70, "the agent is silent: {}", told());
    assert!(world.events.iter().all(|event| !event.contains("Dropped")), "{}", told());
    let told = told();
    assert_eq!((world.machine().failures(), world.machine().waiting()), (0, 0), "{told}");
}

/// Several faults in one life, late copies, clocks that leap by a year, hours of suspension, of 429 and of nobody,
/// disks that fail, crashes anywhere. `FLEETWIRE_FAULT_SEED` and `FLEETWIRE_FAULT_LIVES` say which lives and how many;
/// a failure names its seed.
#[test]
fn lives_full_of_bad_luck_lose_nothing() {
    let seed = number("FLEETWIRE_FAULT_SEED", 1);
    let lives: Vec<_> =
        (0..number("FLEETWIRE_FAULT_LIVES", 150)).map(|life| seed.wrapping_add(life)).collect();
    each(&lives, |seed| ill_fated(*seed));
}
