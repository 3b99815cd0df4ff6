//! Ten thousand agents under a virtual clock: whatever has brought them to the same second, they do not stay there. Only
//! the restart of a server is lived through by all of them; elsewhere there are as many as `FLEETWIRE_STAMPEDE_AGENTS`
//! says, two thousand unless it does.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use fleetwire_client::Cause;
use fleetwire_client::achilles::{Achilles, Applicant};
use fleetwire_client::agent::{Command, Input, Machine, Moment, NoAnswer, Settings};
use fleetwire_client::protocol::achilles::SystemMetrics;
use fleetwire_client::store::Saved;
use http::{Request, Response};

const START: DateTime<Utc> = DateTime::from_timestamp_nanos(1_774_103_400_000_000_000);

/// How many agents there are where it does not matter much.
fn some() -> u32 {
    match std::env::var("FLEETWIRE_STAMPEDE_AGENTS") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 2000,
    }
}

/// How the server is at a second.
#[derive(Clone, Copy)]
enum Server {
    Up,
    /// Nobody listens.
    Down,
    /// It answers everything with this status and `Retry-After`.
    Refuses(u16, &'static str),
}

struct Fleet {
    machines: Vec<Machine<Achilles>>,
    due: BinaryHeap<Reverse<(u64, u32)>>,
    random: u64,
    /// Requests in each second.
    rate: Vec<u32>,
    beats: Vec<u32>,
}

fn at(millis: u64, random: u64) -> Moment {
    let wall = START + TimeDelta::milliseconds(i64::try_from(millis).unwrap());
    Moment { monotonic: Duration::from_millis(millis), wall, random }
}

impl Fleet {
    /// All of them started in the same second, and enrolled.
    fn started_together(agents: u32) -> Self {
        let mut fleet = Self {
            machines: Vec::new(),
            due: BinaryHeap::new(),
            random: 1,
            rate: Vec::new(),
            beats: Vec::new(),
        };
        for number in 0..agents {
            let dialect = Achilles::new("http://fleet.test", "acht_1", Applicant::new("host", "1.0.0"));
            let random = fleet.draw();
            let saved = Saved::default();
            let moment = at(0, random);
            let machine = Machine::start(dialect, Settings::default(), &saved, &moment, None).unwrap();
            fleet.machines.push(machine);
            fleet.due.push(Reverse((0, number)));
        }
        fleet
    }

    fn draw(&mut self) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random
    }

    /// Lives until a second. What the server is like is asked for each request.
    fn run_until(&mut self, second: u64, server: impl Fn(u64) -> Server) {
        while let Some(&Reverse((millis, number))) = self.due.peek() {
            if millis >= second * 1000 {
                break;
            }
            self.due.pop();
            let next = self.wake(millis, number, &server);
            self.due.push(Reverse((next.max(millis + 1), number)));
        }
        self.rate.resize(usize::try_from(second).unwrap(), 0);
        self.beats.resize(usize::try_from(second).unwrap(), 0);
    }

    /// Does what an agent wants done now; when it wants to be asked again.
    fn wake(&mut self, millis: u64, number: u32, server: &impl Fn(u64) -> Server) -> u64 {
        loop {
            let moment = at(millis, self.draw());
            let machine = &mut self.machines[usize::try_from(number).unwrap()];
            let input = match machine.next(&moment) {
                Command::Send(request) => {
                    let second = usize::try_from(millis / 1000).unwrap();
                    if self.rate.len() <= second {
                        self.rate.resize(second + 1, 0);
                        self.beats.resize(second + 1, 0);
                    }
                    self.rate[second] += 1;
                    if request.uri().path().ends_with("heartbeat") {
                        self.beats[second] += 1;
                    }
                    Input::Answered(answer(&request, &moment, server(millis / 1000)))
                }
                Command::Persist(_) => Input::Persisted(Ok(())),
                Command::Collect => {
                    let applicant = Applicant::new("host", "1.0.0");
                    Input::Collected(SystemMetrics::new("host", applicant.os, applicant.arch, 1, 1, 1, 1))
                }
                Command::Wait(until) => return u64::try_from(until.unwrap().as_millis()).unwrap() + 1,
                Command::Report(_) => continue,
                other => panic!("{other:?}"),
            };
            let moment = at(millis, self.draw());
            self.machines[usize::try_from(number).unwrap()].input(&moment, input);
        }
    }

    /// The busiest second of some.
    fn peak(&self, seconds: std::ops::Range<usize>) -> (u32, usize) {
        let (second, rate) =
            self.rate[seconds.clone()].iter().enumerate().max_by_key(|(_, rate)| **rate).unwrap();
        (*rate, second + seconds.start)
    }

    fn assert_smooth(&self, seconds: std::ops::Range<usize>) {
        let (peak, second) = self.peak(seconds);
        let steady = self.steady();
        assert!(peak <= 2 * steady, "{peak} requests in second {second}, where {steady} are usual");
    }

    fn agents(&self) -> u32 {
        u32::try_from(self.machines.len()).unwrap()
    }

    /// Requests in a usual second: heartbeats every 60 s and polls every 30 s.
    fn steady(&self) -> u32 {
        self.agents() / 60 + self.agents() / 30
    }

    fn all_are_well(&self) -> bool {
        self.machines.iter().all(|machine| machine.failures() == 0)
    }
}

fn answer(request: &Request<Bytes>, moment: &Moment, server: Server) -> Result<Response<Bytes>, NoAnswer> {
    let json =
        |status: u16, body: String| Ok(Response::builder().status(status).body(Bytes::from(body)).unwrap());
    match server {
        Server::Down => return Err(NoAnswer { cause: Cause::Unreachable, text: "down".to_owned() }),
        Server::Refuses(status, retry_after) => {
            let body = r#"{"success":false,"error":"later"}"#;
            let answer = Response::builder().status(status).header("retry-after", retry_after);
            return Ok(answer.body(Bytes::from_static(body.as_bytes())).unwrap());
        }
        Server::Up => {}
    }
    match request.uri().path() {
        "/api/agent/enroll" => json(
            201,
            r#"{"success":true,"data":{"agent_id":"a","agent_key":"ak_1","poll_interval":30}}"#.to_owned(),
        ),
        "/api/agent/heartbeat" => {
            let time = moment.wall.to_rfc3339();
            json(200, format!(r#"{{"success":true,"data":{{"acknowledged":true,"server_time":"{time}"}}}}"#))
        }
        "/api/agent/tasks" | "/api/agent/version" => json(204, String::new()),
        other => panic!("{other}"),
    }
}

#[test]
fn a_fleet_that_starts_in_one_second_is_spread_over_the_interval_at_once() {
    let mut fleet = Fleet::started_together(some());
    fleet.run_until(300, |_| Server::Up);
    let agents = fleet.agents();
    assert!(fleet.beats[0] >= agents, "the first heartbeat leaves at once");
    fleet.assert_smooth(1..300);
    let beats: u32 = fleet.beats[180..300].iter().sum();
    assert!(beats.abs_diff(agents * 2) < agents / 20, "{beats}");
}

#[test]
fn a_restart_of_the_server_is_followed_by_no_stampede() {
    let mut fleet = Fleet::started_together(10_000);
    fleet.run_until(420, |second| if (120..240).contains(&second) { Server::Down } else { Server::Up });
    assert!(fleet.all_are_well());
    fleet.assert_smooth(1..420);
}

#[test]
fn a_long_outage_is_followed_by_no_stampede() {
    let mut fleet = Fleet::started_together(some());
    let up = 120 + 3600;
    fleet.run_until(up + 1100, |second| if (120..up).contains(&second) { Server::Down } else { Server::Up });
    assert!(
        fleet.all_are_well(),
        "a quarter of an hour after its return, and a tenth of that, everybody is back"
    );
    fleet.assert_smooth(1..usize::try_from(up).unwrap() + 1100);
    let quiet = fleet.rate[3000..3600].iter().sum::<u32>() / 600;
    assert!(quiet < fleet.steady() / 10, "{quiet} requests each second at a server that is down");
}

#[test]
fn an_hour_of_429_is_obeyed_and_followed_by_no_stampede() {
    let mut fleet = Fleet::started_together(some());
    // Everybody is told the same instant, 2026-03-21 15:32:00: an hour after it began.
    let refusal = Server::Refuses(429, "Sat, 21 Mar 2026 15:32:00 GMT");
    fleet.run_until(4000, |second| if (120..3720).contains(&second) { refusal } else { Server::Up });
    assert!(fleet.all_are_well());
    fleet.assert_smooth(1..4000);
    let meanwhile: u32 = fleet.rate[200..3720].iter().sum();
    assert_eq!(meanwhile, 0, "who was told to stay away stays away");
}

#[test]
fn a_refusal_to_all_in_one_second_does_not_bring_them_back_in_one() {
    let mut fleet = Fleet::started_together(some());
    // The server falls over at once, and so does everybody's first heartbeat.
    fleet.run_until(400, |second| if second < 5 { Server::Refuses(503, "30") } else { Server::Up });
    assert!(fleet.all_are_well());
    fleet.assert_smooth(1..400);
}
