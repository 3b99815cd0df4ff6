//! What an agent does in one situation after another, against the real core under a virtual clock.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[expect(dead_code, reason = "each test uses what it needs of it")]
mod world;

use std::time::Duration;

use fleetwire_client::agent::Input;
use fleetwire_server_core::domain::WorkState;
use world::{Fault, World};

const YEAR: i64 = 365 * 86_400_000;

fn enrolled() -> World {
    let mut world = World::new();
    world.run_until(130);
    assert!(world.beats.len() >= 2, "{:?}", world.requests);
    world
}

#[test]
fn the_first_heartbeat_leaves_at_once_and_the_others_keep_the_interval() {
    let mut world = World::new();
    world.run_until(1);
    assert_eq!(world.requests[..2], ["POST /api/agent/enroll", "POST /api/agent/heartbeat"]);
    world.run_until(3600);
    let beats = world.beats.len();
    assert!((58..=64).contains(&beats), "{beats} heartbeats in an hour");
    assert!(world.beats.iter().all(|beat| beat.get("reconnect_reason").is_none()));
}

#[test]
fn a_clock_that_is_wrong_by_a_year_costs_one_more_request_and_no_identity() {
    for wrong in [YEAR, -YEAR] {
        let mut world = World::new();
        world.wall_off = wrong;
        world.run_until(300);
        world.agent_id();
        assert_eq!(world.machine().failures(), 0, "{:?}", world.events);
        assert_eq!(world.requests.iter().filter(|request| request.ends_with("enroll")).count(), 1);
        assert!(!world.events.iter().any(|event| event.contains("Failed")), "{:?}", world.events);
        let told = world.events.iter().filter(|event| event.contains("ClockOff")).count();
        assert_eq!(told, 1, "{:?}", world.events);
    }
}

#[test]
fn a_clock_that_is_set_while_the_agent_runs_is_corrected_for_at_once() {
    for wrong in [YEAR, -YEAR] {
        let mut world = enrolled();
        world.wall_off = wrong;
        world.run_until(900);
        assert_eq!(world.machine().failures(), 0, "{:?}", world.events);
        assert!(!world.events.iter().any(|event| event.contains("Failed")), "{:?}", world.events);
        assert!(!world.events.iter().any(|event| event.contains("KeysRefused")), "{:?}", world.events);
    }
}

#[test]
fn a_machine_that_was_suspended_for_hours_reports_at_once_and_says_why() {
    let mut world = enrolled();
    let before = world.beats.len();
    world.sleep_for(Duration::from_secs(8 * 3600));
    let woke = world.elapsed().as_secs();
    world.run_until(woke + 2);
    assert_eq!(world.beats.len(), before + 1, "{:?}", world.events);
    let beat = &world.beats[before];
    assert_eq!(beat["reconnect_reason"], "network_recovery");
    assert_eq!(beat["reconnect_context"]["reason"], "unknown");
    let away = beat["reconnect_context"]["offline_duration_seconds"].as_u64().unwrap();
    assert!(away.abs_diff(8 * 3600) < 70, "{away}");
    world.run_until(woke + 200);
    assert!(world.beats[before + 1..].iter().all(|beat| beat.get("reconnect_reason").is_none()));
    assert_eq!(world.machine().failures(), 0);
}

#[test]
fn an_outage_is_backed_off_from_explained_and_over_at_once() {
    let mut world = enrolled();
    let before = (world.beats.len(), world.requests.len());
    world.down = true;
    world.run_until(130 + 3600);
    let during = world.beats.len() - before.0;
    assert!((8..=13).contains(&during), "{during} heartbeats in an hour without a server");
    let polls = world.requests[before.1..].iter().filter(|request| request.ends_with("/tasks")).count();
    assert!(polls <= 12, "{polls} polls: they end with the sixth failure");
    world.down = false;
    let sent = world.beats.len();
    world.run_until(130 + 3600 + 1200);
    let beat = &world.beats[sent];
    assert_eq!(beat["reconnect_reason"], "network_recovery");
    assert_eq!(beat["reconnect_context"]["reason"], "server_unreachable");
    let failures = beat["reconnect_context"]["failure_count"].as_u64().unwrap();
    assert_eq!(failures, u64::try_from(during).unwrap());
    assert!(beat["reconnect_context"]["first_failure_at"].is_string());
    assert!(world.beats.len() - sent >= 4, "the usual interval is back with the first answer");
    assert!(world.beats[sent + 1].get("reconnect_reason").is_none());
}

#[test]
fn a_restarted_process_says_so_after_a_gap_and_nothing_after_none() {
    let mut world = enrolled();
    world.kill();
    let sent = world.beats.len();
    world.run_until(200);
    assert!(world.beats[sent].get("reconnect_reason").is_none());
    world.kill();
    world.pass(Duration::from_secs(1800));
    let sent = world.beats.len();
    world.run_until(2100);
    assert_eq!(world.beats[sent]["reconnect_reason"], "service_restart");
    assert!(world.beats[sent]["process_start_time"].is_string());
    assert!(world.beats[sent + 1].get("reconnect_reason").is_none());
}

#[test]
fn a_machine_that_was_started_again_says_so() {
    let mut world = enrolled();
    world.kill();
    world.uptime = Some(Duration::from_secs(60));
    world.pass(Duration::from_secs(3600));
    let sent = world.beats.len();
    world.run_until(3800);
    assert_eq!(world.beats[sent]["reconnect_reason"], "machine_reboot");
}

#[test]
fn no_number_of_refusals_costs_a_key_or_an_identity() {
    let mut world = enrolled();
    let id = world.agent_id();
    world.disable(true);
    world.run_until(7200);
    assert!(world.events.iter().any(|event| event.contains("KeysRefused")), "{:?}", world.events);
    assert_eq!(world.requests.iter().filter(|request| request.ends_with("enroll")).count(), 1);
    world.disable(false);
    world.run_until(7200 + 2400);
    assert_eq!((world.agent_id(), world.machine().failures()), (id, 0));
}

#[test]
fn work_is_done_once_though_the_process_dies_over_it() {
    let mut world = enrolled();
    let id = world.queue("dies");
    world.hold_work = true;
    world.run_until(200);
    assert_eq!(world.begun[&id], 1);
    world.kill();
    world.run_until(300);
    assert_eq!((world.begun[&id], world.interrupted), (1, 1));
    assert_eq!(world.work(&id).state, WorkState::Failed, "nobody knows how far it got: there is no result");
    assert!(world.work(&id).result.unwrap()["error"].as_str().unwrap().contains("interrupted"));
}

#[test]
fn a_result_waits_for_a_server_that_is_away_and_for_the_next_process() {
    let mut world = enrolled();
    let id = world.queue("waits");
    world.hold_work = true;
    world.run_until(200);
    world.down = true;
    world.end_work();
    world.run_until(250);
    assert_eq!(world.machine().waiting(), 1);
    world.kill();
    world.run_until(350);
    world.down = false;
    world.run_until(1000);
    assert_eq!((world.work(&id).state, world.machine().waiting()), (WorkState::Succeeded, 0));
    assert_eq!((world.begun[&id], world.interrupted), (1, 0));
}

#[test]
fn one_task_at_a_time_and_none_is_asked_for_meanwhile() {
    let mut world = enrolled();
    world.queue("first");
    world.hold_work = true;
    world.run_until(200);
    world.queue("second");
    let polls = |world: &World| world.requests.iter().filter(|request| request.ends_with("/tasks")).count();
    let before = polls(&world);
    world.run_until(320);
    assert_eq!(polls(&world), before);
    assert_eq!(world.begun.len(), 1);
    let beat = world.beats.last().unwrap();
    assert_eq!(beat["status"], "executing");
    world.hold_work = false;
    world.end_work();
    world.run_until(500);
    assert_eq!(world.begun.len(), 2);
    assert!(world.beats.last().unwrap()["last_task_completed"].is_string());
}

#[test]
fn work_that_does_not_end_is_given_up_reported_and_followed_by_no_other() {
    let mut world = enrolled();
    let id = world.queue("stuck");
    world.hold_work = true;
    world.deaf = true;
    world.run_until(700);
    assert!(world.events.iter().any(|event| event.contains("Stuck")), "{:?}", world.events);
    assert_eq!(world.work(&id).result.unwrap()["exit_code"], 259);
    let second = world.queue("second");
    world.run_until(1000);
    assert!(!world.begun.contains_key(&second), "the first one may still be at it");
    world.end_work();
    world.hold_work = false;
    world.run_until(1200);
    assert_eq!(world.begun[&second], 1);
}

#[test]
fn a_store_that_fails_holds_back_what_depends_on_it_and_nothing_else() {
    let mut world = World::new();
    world.disk_full = true;
    world.run_until(300);
    assert!(world.requests.is_empty(), "who applies is saved first: {:?}", world.requests);
    world.disk_full = false;
    world.run_until(500);
    let id = world.agent_id();
    world.disk_full = true;
    world.rotate();
    let task = world.queue("task");
    world.run_until(700);
    assert_eq!(world.machine().failures(), 0, "heartbeats go on");
    assert!(world.is_rotating(), "a key that is not saved is not used");
    assert!(world.begun.is_empty(), "work that is not saved is not begun");
    world.disk_full = false;
    world.run_until(900);
    assert!(!world.is_rotating());
    assert_eq!((world.agent_id(), world.work(&task).state), (id, WorkState::Succeeded));
}

#[test]
fn an_agent_that_is_asked_to_stop_saves_when_it_was_last_seen() {
    let mut world = enrolled();
    world.run_until(290);
    world.input(Input::Stop);
    assert!(!world.run_until(400), "it has stopped");
    world.kill();
    world.pass(Duration::from_secs(200));
    let sent = world.beats.len();
    let from = world.elapsed().as_secs();
    world.run_until(from + 100);
    assert_eq!(
        world.beats[sent]["reconnect_reason"], "service_restart",
        "more than two intervals, exactly known"
    );
}

#[test]
fn a_lost_enrolment_is_repeated_by_the_same_machine_though_its_name_has_changed() {
    let mut world = World::new();
    world.faults.insert(1, Fault::LostAnswer);
    world.crash = Some(world::Crash::Before(2));
    world.run_until(1);
    world.hostname = "renamed";
    world.kill();
    world.run_until(200);
    world.agent_id();
    assert_eq!(world.machine().failures(), 0, "{:?}", world.events);
}
