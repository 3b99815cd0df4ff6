//! Worlds under a virtual clock: every law holds whatever befalls them, a run can be repeated, and what is broken on
//! purpose is found and made small.
//!
//! `FLEETWIRE_WORLD_SEED` is the first seed, `FLEETWIRE_WORLD_SEEDS` how many there are, `FLEETWIRE_WORLD_AGENTS` how
//! many agents each world has, `FLEETWIRE_WORLD_SECONDS` how long faults fall. A release build lives through two
//! thousand agents' day in a minute and a half.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use bytes::Bytes;
use fleetwire_protocol::achilles::{ReportResult, ResultAnswer, Task, TaskPayload, TaskType};
use fleetwire_protocol::codec;
use fleetwire_server_core::domain::Vendor;
use fleetwire_sim::world::{
    Defect, Fault, Fleet, Law, Scenario, What, Who, World, live, live_with, page, shrink,
};
use http::{Request, Response, StatusCode};

fn from_env(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => usual,
    }
}

fn assert_holds(scenario: &Scenario) -> World {
    let world = live(scenario);
    if let Some(broken) = &world.broken {
        let smallest = shrink(scenario, 300, live).unwrap();
        let text = serde_json::to_string(&smallest.scenario).unwrap();
        panic!("seed {}: {broken}\nsmallest: {}\n{text}", scenario.seed, smallest.broken);
    }
    world
}

#[test]
fn every_law_holds_whatever_befalls_a_fleet_of_all_vendors() {
    let first = from_env("FLEETWIRE_WORLD_SEED", 1);
    let agents = u32::try_from(from_env("FLEETWIRE_WORLD_AGENTS", 24)).unwrap();
    let seconds = u32::try_from(from_env("FLEETWIRE_WORLD_SECONDS", 2 * 3600)).unwrap();
    let (mut runs, mut results, mut keys, mut lost, mut twice, mut trespasses) = (0, 0, 0, 0, 0, 0);
    for seed in first..first + from_env("FLEETWIRE_WORLD_SEEDS", 3) {
        let world = assert_holds(&Scenario::draw(seed, Fleet::mixed(agents), seconds));
        let counts = world.counts;
        assert!(counts.returns >= 1 && counts.failures > 0 && counts.beats > 1000, "{counts:?}");
        assert!(world.series.samples.iter().any(|sample| sample.offline > 0 && sample.online > 0));
        runs += counts.runs;
        results += counts.results;
        keys += counts.keys;
        lost += counts.lost;
        twice += counts.duplicated;
        trespasses += counts.trespasses;
    }
    // Worlds in which nothing happens prove nothing.
    let happened = [runs, results, keys, lost, twice, trespasses];
    assert!(happened.iter().all(|count| *count > 0), "{happened:?}");
}

#[test]
fn the_same_scenario_is_the_same_world_and_another_seed_is_another() {
    let scenario = Scenario::draw(5, Fleet::mixed(16), 3600);
    let (once, again) = (live(&scenario), live(&scenario));
    assert_eq!(once, again);
    assert_ne!(once.digest, live(&Scenario { seed: 6, ..scenario }).digest);
}

#[test]
fn a_scenario_is_json_and_lives_on_as_it_was() {
    let scenario = Scenario::draw(9, Fleet::mixed(8), 1800);
    let read: Scenario = serde_json::from_str(&serde_json::to_string(&scenario).unwrap()).unwrap();
    assert_eq!(read, scenario);
    let unknown = r#"{"seed": 1, "fleet": {}, "seconds": 1, "settle": 0, "faults": [], "weather": "bad"}"#;
    assert!(serde_json::from_str::<Scenario>(unknown).is_err(), "what is misspelt would not befall anybody");
}

#[test]
fn a_calm_world_has_no_failure_and_as_many_requests_as_are_usual() {
    let world = assert_holds(&Scenario::calm(3, Fleet::mixed(40), 3600));
    assert_eq!((world.counts.failures, world.counts.served), (0, world.counts.requests));
    let usual = world.usual * 3600.0;
    let requests = u32::try_from(world.counts.requests).unwrap();
    assert!((f64::from(requests) - usual).abs() < usual / 10.0, "{requests} where {usual} are usual");
}

#[test]
fn a_server_that_goes_down_twice_tells_nobody_offline_who_could_not_report_in_between() {
    let down =
        |at, seconds, orderly| Fault { at, who: Who::All, what: What::ServerDown { seconds, orderly } };
    for orderly in [false, true] {
        let mut scenario = Scenario::calm(1, Fleet::mixed(8), 600);
        scenario.faults = vec![down(120, 114, orderly), down(238, 1, orderly)];
        assert_holds(&scenario);
    }
}

#[test]
fn agents_that_leave_change_nothing_for_those_who_stay() {
    let crash = |permille| Fault {
        at: 300,
        who: Who::Share { permille, salt: 11 },
        what: What::Crashed { steps: 2, seconds: 200 },
    };
    let scenario = Scenario { faults: vec![crash(500)], ..Scenario::calm(4, Fleet::default(), 900) };
    let beats = |first: u32, count: u32| {
        let mut fleet = Fleet::default();
        (fleet.zstack.first, fleet.zstack.count) = (first, count);
        live(&Scenario { fleet, ..scenario.clone() }).counts.beats
    };
    assert_eq!(beats(0, 10), beats(0, 4) + beats(4, 6));
    assert!(
        beats(0, 10)
            < live(&Scenario {
                fleet: Fleet::only(Vendor::ZStack, 10),
                faults: Vec::new(),
                ..scenario.clone()
            })
            .counts
            .beats
    );
}

/// An agent that throws its key away because it was refused once.
struct Hasty;

impl Defect for Hasty {
    fn forgets(&mut self, response: &Response<Bytes>) -> bool {
        response.status() == StatusCode::UNAUTHORIZED
    }
}

/// A server that says that it has taken a result, and has not.
struct Forgetful;

impl Defect for Forgetful {
    fn intercept(&mut self, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let id = request.uri().path().strip_suffix("/result")?.rsplit('/').next()?;
        let task = Task::new(id, TaskType::ExecuteCommand, TaskPayload::default());
        Some(codec::encode_reply::<ReportResult>(Ok(ResultAnswer::new(task, false))))
    }
}

/// A server that refuses every report of ZStack agents for what it says.
struct Fussy;

impl Defect for Fussy {
    fn intercept(&mut self, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let response = Response::builder().status(StatusCode::UNPROCESSABLE_ENTITY);
        let is_report = request.uri().path().starts_with("/zstack");
        is_report.then(|| response.body(Bytes::from_static(b"{}")).unwrap())
    }
}

/// Asserts that a defect is found, and how much of the scenario is left.
fn assert_found<F: Defect>(law: Law, most: (usize, u32), defect: impl Fn() -> F) {
    let mut scenario = Scenario::draw(2, Fleet::mixed(16), 3600);
    scenario.faults.push(Fault { at: 1500, who: Who::All, what: What::Disabled { seconds: 60 } });
    assert_eq!(live(&scenario).broken, None, "nothing is wrong but the defect");
    let smallest = shrink(&scenario, 400, |scenario| live_with(scenario, &mut defect())).unwrap();
    let Scenario { faults, fleet, .. } = &smallest.scenario;
    assert_eq!(smallest.broken.law, law, "{}", smallest.broken);
    assert!(faults.len() <= most.0 && fleet.agents() <= most.1, "{:?}", smallest.scenario);
    // What is left is what it takes.
    assert_eq!(live_with(&smallest.scenario, &mut defect()).broken, Some(smallest.broken));
    assert_eq!(live(&smallest.scenario).broken, None);
    for place in 0..faults.len() {
        let mut fewer = smallest.scenario.clone();
        fewer.faults.remove(place);
        assert_ne!(live_with(&fewer, &mut defect()).broken.map(|broken| broken.law), Some(law));
    }
}

#[test]
fn an_agent_that_throws_its_key_away_is_found_with_one_agent_and_the_fault_that_it_takes() {
    assert_found(Law::KeyWorks, (1, 1), || Hasty);
}

#[test]
fn a_server_that_forgets_a_result_is_found_with_one_agent_and_one_piece_of_work() {
    assert_found(Law::ResultsAreKept, (1, 1), || Forgetful);
}

#[test]
fn a_server_that_refuses_what_is_right_is_found_with_one_agent_and_no_fault() {
    assert_found(Law::Understood, (0, 1), || Fussy);
}

/// A server that falls over.
struct Fragile;

impl Defect for Fragile {
    fn intercept(&mut self, _: &Request<Bytes>) -> Option<Response<Bytes>> {
        panic!("out of order")
    }
}

#[test]
fn a_panic_is_a_broken_law_and_not_the_end_of_the_search() {
    let scenario = Scenario::draw(2, Fleet::mixed(4), 600);
    let smallest = shrink(&scenario, 100, |scenario| live_with(scenario, &mut Fragile)).unwrap();
    assert_eq!((smallest.broken.law, smallest.scenario.fleet.agents()), (Law::NoPanic, 1));
    assert!(smallest.broken.how.contains("out of order") && smallest.scenario.faults.is_empty());
}

#[test]
fn a_page_needs_nothing_else_and_shows_what_is_broken() {
    let scenario = Scenario::draw(2, Fleet::mixed(12), 1800);
    let world = live_with(&scenario, &mut Fussy);
    let page = page(&scenario, &world).unwrap();
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(page.contains(&world.broken.unwrap().how) && !page.contains("src=") && !page.contains("href="));
}

#[test]
fn a_restart_of_the_server_is_followed_by_no_stampede() {
    let down = Fault { at: 600, who: Who::All, what: What::ServerDown { seconds: 120, orderly: false } };
    let mut scenario = Scenario::calm(8, Fleet::mixed(200), 1800);
    scenario.faults.push(down);
    let world = assert_holds(&scenario);
    assert!(f64::from(world.busiest) > world.usual, "there is something to look at");
    assert_eq!((world.series.returns.as_slice(), world.counts.returns), ([720].as_slice(), 1));
    assert!(Duration::from_secs(world.seconds) >= Duration::from_secs(1800));
}
