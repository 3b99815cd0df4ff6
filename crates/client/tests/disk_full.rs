//! An agent whose disk takes nothing for a while, as the system's own kernel says it: full, read-only, gone. It goes on
//! with what it has in memory, says so, begins nothing that a crash could make it forget, and loses nothing.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use fleetwire_client::achilles::{Achilles, Applicant, TaskOutcome};
use fleetwire_client::agent::{Command, Ending, Event, Input, Machine, Moment, Settings, Stopped};
use fleetwire_client::protocol::achilles::{Arch, Os, SystemMetrics};
use fleetwire_client::store::{DiskStore, Store};
use http::{Request, Response};

const MINUTE: Duration = Duration::from_secs(60);

/// An agent on a real folder, under a clock that is told, before a server that has one task after the other.
struct World {
    folder: PathBuf,
    store: DiskStore,
    machine: Machine<Achilles>,
    moment: Moment,
    /// The tasks that the server has not handed out.
    tasks: VecDeque<&'static str>,
    requests: Vec<String>,
    results: Vec<String>,
    /// The runs that were begun and have not ended.
    running: Vec<u64>,
    begun: Vec<String>,
    /// How much was to be written.
    changes: usize,
    /// What the store has said no with.
    refused: Vec<String>,
    events: Vec<String>,
}

fn machine(store: &mut DiskStore, moment: &Moment, heartbeat: Duration) -> Machine<Achilles> {
    let dialect = Achilles::new("http://fleet.test", "token", Applicant::new("host-1", "1.0.0"));
    let mut settings = Settings::default();
    (settings.cadence.update, settings.cadence.heartbeat) = (None, Some(heartbeat));
    Machine::start(dialect, settings, &store.load().unwrap(), moment, None).unwrap()
}

impl World {
    fn new(folder: &Path, heartbeat: Duration) -> Self {
        let moment = Moment { monotonic: Duration::ZERO, wall: DateTime::UNIX_EPOCH, random: 7 };
        let mut store = DiskStore::open(folder).unwrap();
        let machine = machine(&mut store, &moment, heartbeat);
        Self {
            folder: folder.to_owned(),
            store,
            machine,
            moment,
            tasks: VecDeque::new(),
            requests: Vec::new(),
            results: Vec::new(),
            running: Vec::new(),
            begun: Vec::new(),
            changes: 0,
            refused: Vec::new(),
            events: Vec::new(),
        }
    }

    fn serve(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path().to_owned();
        let answer = |status: u16, data: &str| {
            let body = format!(r#"{{"success":true,"data":{data}}}"#);
            Response::builder().status(status).body(Bytes::from(body)).unwrap()
        };
        let task = |id: &str| format!(r#"{{"id":"{id}","type":"checksum","payload":{{}}}}"#);
        self.requests.push(path.clone());
        match path.rsplit('/').next().unwrap() {
            "enroll" => answer(201, r#"{"agent_id":"a-1","agent_key":"ak_1","poll_interval":30}"#),
            "heartbeat" => answer(200, r#"{"acknowledged":true,"server_time":"now"}"#),
            "tasks" => match self.tasks.pop_front() {
                Some(id) => answer(200, &task(id)),
                None => Response::builder().status(204).body(Bytes::new()).unwrap(),
            },
            "result" => {
                self.results.push(String::from_utf8(request.body().to_vec()).unwrap());
                answer(200, &task("t"))
            }
            "status" => answer(200, &task("t")),
            other => panic!("nobody asks for {other}"),
        }
    }

    /// Lives for so long.
    fn live(&mut self, time: Duration) {
        let end = self.moment.monotonic + time;
        loop {
            self.moment.random = self.moment.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let input = match self.machine.next(&self.moment) {
                Command::Send(request) => Input::Answered(Ok(self.serve(&request))),
                Command::Persist(change) => {
                    self.changes += 1;
                    let outcome = self.store.apply(&change).map_err(|error| error.to_string());
                    self.refused.extend(outcome.clone().err());
                    Input::Persisted(outcome)
                }
                Command::Collect => {
                    Input::Collected(SystemMetrics::new("host-1", Os::Linux, Arch::Amd64, 3600, 5, 16, 200))
                }
                Command::Run(assignment) => {
                    self.begun.push(assignment.work.id.as_str().to_owned());
                    self.running.push(assignment.run);
                    continue;
                }
                Command::Report(event) => {
                    self.events.push(format!("{event:?}"));
                    if let Event::Dropped { why, .. } = event {
                        panic!("something was lost: {why}");
                    }
                    continue;
                }
                Command::Wait(until) => {
                    let until = until.unwrap_or(end).min(end);
                    let wait = until.saturating_sub(self.moment.monotonic);
                    self.moment.wall += TimeDelta::from_std(wait).unwrap();
                    self.moment.monotonic = until;
                    if until == end {
                        return;
                    }
                    continue;
                }
                Command::Stopped(stopped) => {
                    assert_eq!(stopped, Stopped::Asked);
                    return;
                }
                Command::Cancel(run) => panic!("nobody called {run} off"),
            };
            self.machine.input(&self.moment, input);
        }
    }

    /// The work at hand comes to its end.
    fn end_work(&mut self, printed: &str) {
        for run in std::mem::take(&mut self.running) {
            let ending = Ending::Done(TaskOutcome::printed(printed));
            self.machine.input(&self.moment, Input::Ended { run, ending });
        }
    }

    /// The process dies and is started again.
    fn restart(self) -> Self {
        let Self { folder, store, moment, tasks, .. } = self;
        drop(store);
        let mut world = Self { moment, tasks, ..Self::new(&folder, MINUTE) };
        world.machine = machine(&mut world.store, &world.moment, MINUTE);
        world
    }

    fn beats(&self) -> usize {
        self.requests.iter().filter(|path| path.ends_with("/heartbeat")).count()
    }
}

/// An agent lives through a time in which its disk takes nothing. `says` is in the kernel's refusal.
fn outlives(folder: &Path, fails: impl Fn(&Path), mends: impl Fn(&Path), says: &str) {
    let mut world = World::new(folder, MINUTE);
    world.tasks.push_back("before");
    world.live(MINUTE * 2);
    assert_eq!(world.begun, ["before"], "{:?}", world.events);

    fails(folder);
    let beats = world.beats();
    world.tasks.push_back("meanwhile");
    world.end_work("done before");
    world.live(MINUTE * 10);
    assert!(world.refused.len() > 5, "it is tried again: {:?}", world.refused);
    assert!(world.refused.iter().all(|why| why.contains(says)), "{:?}", world.refused);
    let told = world.events.iter().filter(|event| event.starts_with("StoreFailed")).count();
    assert_eq!(told, world.refused.len(), "{:?}", world.events);
    assert!((8..=13).contains(&(world.beats() - beats)), "it goes on reporting: {:?}", world.requests);
    assert_eq!(world.results.len(), 1, "a result is handed over from memory: {:?}", world.requests);
    assert!(world.results[0].contains("done before"), "{:?}", world.results);
    assert_eq!(world.begun, ["before"], "no work is begun that a crash could make it do twice");

    mends(folder);
    let refused = world.refused.len();
    world.live(MINUTE);
    assert_eq!(world.refused.len(), refused, "{:?}", world.refused);
    assert_eq!(world.begun, ["before", "meanwhile"], "what was accepted is done: {:?}", world.events);
    world.end_work("done meanwhile");
    world.live(MINUTE * 2);
    assert_eq!(world.results.len(), 2, "{:?}", world.requests);
    assert_eq!(world.machine.waiting(), 0);

    // And all of it is on the disk.
    let mut world = world.restart();
    world.live(MINUTE * 3);
    assert_eq!(
        (world.begun.len(), world.results.len(), world.refused.len()),
        (0, 0, 0),
        "{:?}",
        world.events
    );
    assert!(!world.requests.iter().any(|path| path.ends_with("/enroll")), "{:?}", world.requests);
}

#[test]
fn quiet_heartbeats_are_hardly_ever_written_to_the_disk() {
    for (heartbeat, fewest, most) in [(MINUTE, 11, 14), (Duration::from_secs(5), 52, 62)] {
        let folder = tempfile::tempdir().unwrap();
        let mut world = World::new(folder.path(), heartbeat);
        world.live(MINUTE * 10);
        let (changes, beats) = (world.changes, world.beats());
        world.live(MINUTE * 60);
        let (changes, beats) = (world.changes - changes, world.beats() - beats);
        assert!((fewest..=most).contains(&changes), "{changes} changes in an hour of {beats} heartbeats");
    }
}

/// Where the store writes what it is about to keep.
fn fresh_files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let messages = (1..=100_u64).map(|seq| PathBuf::from(format!("spool/{seq:020}.new")));
    let folder = folder.to_owned();
    std::iter::once(PathBuf::from("state.new")).chain(messages).map(move |name| folder.join(name))
}

/// The device that is always full stands where the store writes: each write is refused as that of a full disk is.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_for_a_while_costs_nothing_that_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let full = |folder: &Path| fresh_files(folder).for_each(|path| symlink("/dev/full", path).unwrap());
    let room = |folder: &Path| fresh_files(folder).for_each(|path| fs::remove_file(path).unwrap());
    outlives(folder.path(), full, room, "No space left on device");
}

#[test]
fn a_disk_that_is_gone_for_a_while_costs_nothing_that_was_accepted() {
    let place = tempfile::tempdir().unwrap();
    let (folder, away) = (place.path().join("agent"), place.path().join("away"));
    fs::create_dir(&folder).unwrap();
    let gone = |folder: &Path| fs::rename(folder, &away).unwrap();
    let back = |folder: &Path| fs::rename(&away, folder).unwrap();
    outlives(&folder, gone, back, "No such file or directory");
}

/// Says in which folder the test is to be done by a process that may not do everything.
const ELSEWHERE: &str = "FLEETWIRE_TEST_FOLDER";
/// A user with no rights, `nobody` in most places.
const NOBODY: u32 = 65_534;

#[test]
fn a_disk_that_is_read_only_for_a_while_costs_nothing_that_was_accepted() {
    let place = tempfile::tempdir().unwrap();
    let folder = std::env::var_os(ELSEWHERE).map_or(place.path().join("agent"), PathBuf::from);
    fs::create_dir_all(&folder).unwrap();
    let set = |folder: &Path, mode: u32| {
        for path in [folder.to_owned(), folder.join("spool")] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    };
    if fs::metadata(&folder).unwrap().uid() != 0 {
        outlives(&folder, |folder| set(folder, 0o500), |folder| set(folder, 0o700), "Permission denied");
        return;
    }
    // Nothing is read-only to root: the same is done again by somebody else, with a program that he can reach.
    let program = place.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for path in [place.path(), &program] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    let test = "a_disk_that_is_read_only_for_a_while_costs_nothing_that_was_accepted";
    let done = process::Command::new(&program)
        .args(["--exact", test, "--nocapture"])
        .env(ELSEWHERE, &folder)
        .env("TMPDIR", &folder)
        .current_dir(&folder)
        .gid(NOBODY)
        .uid(NOBODY)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
}
