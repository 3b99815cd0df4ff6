//! How agents are taken in: each with one request, as fast as is allowed.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use fleetwire_server_core::domain::Vendor;

use super::engine::{self, Answer, Due, Failure, Observer, Pacing, Plan, Request, Snapshot, Source};
use super::fleet::{self, OPERATIONS, Party, excerpt};
use super::report::{figure, round};
use super::{EnrolmentReport, LoadError, Watch};

/// How agents are taken in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Enrolling {
    /// The most that are asked for in a second.
    pub per_second: f64,
    /// Requests at one time.
    pub connections: usize,
    /// How long each may take.
    pub timeout: Duration,
    /// What new agents are named after.
    pub seed: u64,
}

impl Default for Enrolling {
    /// 5,000 a second, 256 at one time, 30 s each.
    fn default() -> Self {
        Self { per_second: 5000.0, connections: 256, timeout: Duration::from_secs(30), seed: 0 }
    }
}

/// How often one enrolment is sent again.
const TRIES: u32 = 8;
/// How long nothing is sent after a refusal that names no time.
const PAUSE: Duration = Duration::from_secs(1);
/// Who wants to be left alone for longer is not waited for: the run would stand still without a word.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Longer than anybody waits.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Takes agents in until the party has as many as are wanted. Those that were taken in before a failure are kept.
/// `None` if it has them already.
///
/// A request without an answer is sent again: the servers of all four vendors take the same agent in twice. A server that
/// wants to be left alone is, for as long as it says.
///
/// # Errors
/// The server cannot be reached, or refuses in a way that does not pass.
pub fn enrol(
    party: &mut Party,
    wanted: usize,
    how: &Enrolling,
    watch: &mut impl Watch,
) -> Result<Option<EnrolmentReport>, LoadError> {
    let known: HashSet<&str> = party.agents.iter().map(|agent| &*agent.name).collect();
    let missing = wanted.saturating_sub(known.len());
    if missing == 0 {
        party.active = wanted.min(party.agents.len());
        return Ok(None);
    }
    // 32 bits of the seed tell runs apart; names stay short.
    let names = (0_u64..).map(|number| format!("sim-{:08x}-{number:06}", how.seed & 0xffff_ffff));
    let queue: VecDeque<_> = names
        .filter(|name| !known.contains(name.as_str()))
        .take(missing)
        .map(|name| Newcomer { name, tries: 0, from: Duration::ZERO })
        .collect();
    drop(known);

    let mut plan = Plan::new(party.base.target.address, how.connections, Pacing::Rate(how.per_second), DAY);
    plan.keep_alive = party.base.keep_alive;
    plan.timeout = how.timeout;
    let had = party.agents.len();
    let source = Desk {
        party: party.clone(),
        queue,
        under_way: Vec::new(),
        wait: Duration::ZERO,
        repeated: 0,
        end: None,
    };
    let mut observer = Counter { watch, had, wanted, stopped: false };
    let (run, desk) = engine::run(&plan, source, &mut observer).map_err(LoadError::System)?;
    let stopped = observer.stopped;
    party.agents = desk.party.agents;
    party.active = wanted.min(party.agents.len());
    if let Some(error) = desk.end {
        return Err(error);
    }
    if stopped {
        return Err(LoadError::Stopped);
    }
    let seconds = run.window.as_secs_f64();
    let agents = party.agents.len() - had;
    Ok(Some(EnrolmentReport {
        agents,
        seconds: round(seconds),
        per_second: round(figure(agents as u64) / seconds.max(0.001)),
        repeated: desk.repeated,
    }))
}

/// Somebody who is to be taken in.
#[derive(Debug)]
struct Newcomer {
    name: String,
    tries: u32,
    /// Not before this time.
    from: Duration,
}

/// Where newcomers queue.
struct Desk {
    party: Party,
    queue: VecDeque<Newcomer>,
    /// Those whose answer is awaited, by their tickets.
    under_way: Vec<Option<Newcomer>>,
    /// Nobody is sent before this time.
    wait: Duration,
    repeated: u64,
    end: Option<LoadError>,
}

impl Desk {
    fn again(&mut self, mut newcomer: Newcomer, from: Duration, why: &str, what: &'static str) {
        newcomer.tries += 1;
        if newcomer.tries > TRIES {
            let came = format!("{why}, {TRIES} times over");
            self.end.get_or_insert(refused(&self.party, what, None, &came, ""));
            return;
        }
        self.repeated += 1;
        newcomer.from = from;
        self.queue.push_back(newcomer);
    }
}

impl Source for Desk {
    fn kinds(&self) -> usize {
        OPERATIONS.len()
    }

    fn due(&mut self, _: Duration) -> Due {
        match self.queue.front() {
            Some(next) if self.end.is_none() => Due::At(next.from.max(self.wait)),
            _ => Due::Idle,
        }
    }

    fn write(&mut self, _: Duration, into: &mut Vec<u8>) -> Request {
        let ticket = self.under_way.iter().position(Option::is_none).unwrap_or(self.under_way.len());
        let Some(newcomer) = self.queue.pop_front() else { return Request { kind: 0, ticket: u64::MAX } };
        let kind = match self.party.enrolment(&newcomer.name, fleet::now()) {
            Ok((kind, bytes)) => {
                into.extend_from_slice(&bytes);
                kind
            }
            Err(error) => {
                self.end.get_or_insert(error.into());
                0
            }
        };
        if ticket == self.under_way.len() {
            self.under_way.push(Some(newcomer));
        } else {
            self.under_way[ticket] = Some(newcomer);
        }
        Request { kind, ticket: ticket as u64 }
    }

    fn answered(&mut self, request: Request, now: Duration, outcome: Result<Answer<'_>, Failure>) {
        let place = usize::try_from(request.ticket).ok().and_then(|place| self.under_way.get_mut(place));
        let Some(newcomer) = place.and_then(Option::take) else { return };
        let what = OPERATIONS[request.kind];
        match outcome {
            Ok(answer) if (200..300).contains(&answer.status) => {
                match self.party.enrolled(&newcomer.name, answer.body) {
                    Ok(agent) => self.party.agents.push(agent),
                    Err(body) => {
                        let came = format!("{} with an answer that makes no agent: {body}", answer.status);
                        self.end.get_or_insert(refused(&self.party, what, Some(answer.status), &came, ""));
                    }
                }
            }
            Ok(answer) if matches!(answer.status, 408 | 425 | 429 | 500..=599) => {
                let seconds = answer.header("retry-after").and_then(|value| value.trim().parse().ok());
                let pause = seconds.map_or(PAUSE, Duration::from_secs);
                let why = format!("{} {}", answer.status, excerpt(answer.body));
                if pause > LONGEST_PAUSE {
                    let came = format!("{why}, and it wants to be left alone for {} s", pause.as_secs());
                    let hint = hint(&self.party, answer.status, true);
                    self.end.get_or_insert(refused(&self.party, what, Some(answer.status), &came, &hint));
                    return;
                }
                self.wait = self.wait.max(now + pause);
                self.again(newcomer, now + pause, &why, what);
            }
            Ok(answer) => {
                let came = format!("{} {}", answer.status, excerpt(answer.body));
                let hint = hint(&self.party, answer.status, true);
                self.end.get_or_insert(refused(&self.party, what, Some(answer.status), &came, &hint));
            }
            // Where nobody answers, the first one told so.
            Err(Failure::Connect) if self.party.agents.is_empty() && newcomer.tries == 0 => {
                let address = self.party.base.target.authority.clone();
                self.end.get_or_insert(LoadError::Unreachable { address });
            }
            Err(failure) => {
                let from = now + PAUSE / 4 * (1 << newcomer.tries.min(5));
                self.again(newcomer, from, &failure.to_string(), what);
            }
        }
    }
}

/// A refusal that does not pass.
pub(super) fn refused(
    party: &Party,
    what: &'static str,
    status: Option<u16>,
    came: &str,
    hint: &str,
) -> LoadError {
    LoadError::Refused {
        what,
        url: party.address(),
        came: came.trim().to_owned(),
        hint: hint.to_owned(),
        status,
    }
}

/// What to try after a refusal of this status.
pub(super) fn hint(party: &Party, status: u16, enrolling: bool) -> String {
    let vendor = party.vendor();
    match (status, enrolling) {
        (404 | 405, true) => format!(
            "; the address must be {vendor}'s base, which a Fleetwire server prints when it starts, or, with an operator's \
             token, that of a Fleetwire server"
        ),
        (404 | 405, false) => format!(
            "; the address must be {vendor}'s base, which a Fleetwire server prints when it starts; if it is, the server \
             does not know the agent: leave --state away, or name another file, and new ones are made"
        ),
        (401 | 403, true) => format!("; --token must be a token that makes agents of {vendor} and is not used up"),
        (401 | 403, false) => {
            "; the server does not take the agent's key: leave --state away, or name another file, and new agents are made"
                .to_owned()
        }
        (409, true) if vendor == Vendor::Acusight => {
            "; agents of an earlier run with the same --seed are there: --state keeps them for the next run, or take \
             another --seed"
                .to_owned()
        }
        (402 | 409 | 503, true) if matches!(vendor, Vendor::ZStack | Vendor::AgentMc) => {
            "; a Fleetwire server lets in as many as `agents_per_tenant` under [limits] says, hosts and their agents \
             counted each"
                .to_owned()
        }
        _ => String::new(),
    }
}

/// Tells whoever watches how far it is.
struct Counter<'a, W> {
    watch: &'a mut W,
    had: usize,
    wanted: usize,
    stopped: bool,
}

impl<W: Watch> Observer for Counter<'_, W> {
    fn second(&mut self, snapshot: &Snapshot<'_>) -> ControlFlow<()> {
        let made: u64 = snapshot.total.kinds().iter().map(|counts| counts.class(2)).sum();
        let done = self.had + usize::try_from(made).unwrap_or(usize::MAX);
        let flow = self.watch.enrolled(done.min(self.wanted), self.wanted);
        self.stopped |= flow.is_break();
        flow
    }
}
