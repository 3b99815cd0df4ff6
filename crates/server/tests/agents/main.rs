//! Agents of all four vendors and the server that they speak to, under bad luck: every message meets every fault, and the
//! process is killed before and after every change of its store, or asked to stop. Whatever happens, the agent ends up with a key that
//! is good, and nothing that it had to say or to do is lost or doubled.
//!
//! `FLEETWIRE_FAULT_SHARE` says which share of the lives with a fault and a crash is lived, one in so many, 1 for all;
//! `FLEETWIRE_FAULT_SEED` and `FLEETWIRE_FAULT_LIVES` which lives with several of them, and how many. Lives with one
//! fault, one crash or one broken disk are always lived, all of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod lives;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lives::{AchillesLife, AcusightLife, AgentMcLife, Announcing, Registered, Registering, ZStackLife};
use world::{Break, Crash, Fault, Life, Luck, World};

/// What was wrong with each life that went wrong, of those lived on as many threads as there are cores.
fn wrong<L: Life>(lives: &[Luck]) -> Vec<String> {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(luck) = lives.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(fault) = World::<L>::live(luck) {
                        wrong.lock().unwrap().push(fault);
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

fn live_all<L: Life>(lives: &[Luck]) {
    let wrong = wrong::<L>(lives);
    let shown = wrong.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    assert!(wrong.is_empty(), "{} of {} lives went wrong\n{shown}", wrong.len(), lives.len());
}

/// The faults and the crashes that one can meet with in a life.
struct Perils {
    messages: usize,
    changes: usize,
    faults: Vec<(usize, Fault)>,
    crashes: Vec<Crash>,
}

impl Perils {
    /// Those of a life that is quiet otherwise.
    fn of<L: Life>() -> Self {
        let quiet = World::<L>::live(&Luck::default()).unwrap();
        assert_eq!((quiet.crashes, quiet.ended, quiet.interrupted), (0, 0, 0));
        let failed: Vec<_> = quiet.events.iter().filter(|event| event.contains("Failed")).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        let (messages, changes) = (quiet.messages, quiet.changes);
        let faults = (1..=messages).flat_map(|message| Fault::ALL.map(|fault| (message, fault)));
        let crashes = (1..=changes).flat_map(|at| [Crash::Before(at), Crash::After(at)]);
        let ends = (1..=messages).flat_map(|message| [Crash::Unanswered(message), Crash::Stopped(message)]);
        let crashes = crashes.chain(ends);
        Self { messages, changes, faults: faults.collect(), crashes: crashes.collect() }
    }

    /// All lives with one of them, and those whose disk is broken from some change on.
    fn single(&self) -> Vec<Luck> {
        let faults = self.faults.iter().map(|fault| Luck::of(Some(*fault), None));
        let crashes = self.crashes.iter().map(|crash| Luck::of(None, Some(*crash)));
        let breaks = (1..=self.changes).flat_map(|change| {
            let of = move |seconds, kills| Break { change, lasts: Duration::from_secs(seconds), kills };
            [of(1, false), of(40, false), of(200, false), of(1, true), of(40, true), of(200, true)]
        });
        let broken = breaks.map(|broken| Luck { breaks: Some(broken), ..Luck::default() });
        faults.chain(crashes).chain(broken).collect()
    }

    /// One in so many of the lives with a fault and a crash.
    fn both(&self, share: u64) -> Vec<Luck> {
        let pairs =
            self.faults.iter().flat_map(|fault| self.crashes.iter().map(move |crash| (*fault, *crash)));
        let chosen = pairs.enumerate().filter(|(number, _)| (*number as u64).is_multiple_of(share.max(1)));
        chosen.map(|(_, (fault, crash))| Luck::of(Some(fault), Some(crash))).collect()
    }

    /// A life with up to three faults, the later ones of messages that only the earlier ones have brought about, and up
    /// to two crashes.
    fn several(&self, seed: u64) -> Luck {
        let mut dice = Dice(seed);
        let mut faults = Vec::new();
        for _ in 0..2 + dice.below(2) {
            let message = 1 + dice.below(self.messages + 3);
            faults.push((message, Fault::ALL[dice.below(Fault::ALL.len())]));
        }
        let mut crashes = Vec::new();
        for _ in 0..dice.below(3) {
            let change = 1 + dice.below(self.changes + 4);
            let message = 1 + dice.below(self.messages + 3);
            crashes.push(match dice.below(4) {
                0 => Crash::Before(change),
                1 => Crash::After(change),
                2 => Crash::Unanswered(message),
                _ => Crash::Stopped(message),
            });
        }
        Luck { faults, crashes, ..Luck::default() }
    }
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
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % bound as u64).unwrap()
    }
}

/// Lives all that there is to live for an agent, and prints how much that was.
#[expect(clippy::print_stdout, reason = "figures, for who asks for them with --nocapture")]
fn endure<L: Life>(who: &str) {
    let perils = Perils::of::<L>();
    let (single, both) = (perils.single(), perils.both(number("FLEETWIRE_FAULT_SHARE", 4)));
    let seed = number("FLEETWIRE_FAULT_SEED", 1);
    let several: Vec<_> = (0..number("FLEETWIRE_FAULT_LIVES", 250))
        .map(|life| perils.several(seed.wrapping_add(life).wrapping_mul(0x2545_f491_4f6c_dd1d)))
        .collect();
    println!(
        "{who}: {} messages, {} changes; {} lives with one fault, crash or broken disk, {} with a fault and a crash, {} with several",
        perils.messages,
        perils.changes,
        single.len(),
        both.len(),
        several.len()
    );
    for lives in [single, both, several] {
        live_all::<L>(&lives);
    }
}

#[test]
fn an_agent_of_achilles_loses_neither_key_nor_result_and_does_nothing_twice() {
    endure::<AchillesLife>("achilles");
}

#[test]
fn a_device_of_acusight_loses_neither_key_nor_image_and_is_brought_its_model_once() {
    endure::<AcusightLife>("acusight");
}

#[test]
fn an_agent_of_zstack_comes_to_its_record_whichever_way_it_arrives() {
    endure::<ZStackLife<Registering>>("zstack, registering");
    endure::<ZStackLife<Announcing>>("zstack, announcing");
    endure::<ZStackLife<Registered>>("zstack, registered");
}

#[test]
fn a_host_of_agentmc_does_each_command_once_and_tells_its_end() {
    endure::<AgentMcLife>("agentmc");
}

/// The lives above could go wrong: an agent that forgets all that it had kept is found out.
#[test]
fn an_agent_whose_disk_forgets_is_found_out() {
    fn is_found_out<L: Life>() -> bool {
        let mut lives = Perils::of::<L>().single();
        lives.retain(|luck| !luck.crashes.is_empty());
        lives.iter_mut().for_each(|luck| luck.forgets = true);
        !wrong::<L>(&lives).is_empty()
    }
    assert!(is_found_out::<AchillesLife>());
    assert!(is_found_out::<AcusightLife>());
    assert!(is_found_out::<ZStackLife<Registering>>());
    assert!(is_found_out::<AgentMcLife>());
}
