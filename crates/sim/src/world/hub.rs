//! What agents and server share: the time, the line between them, and those who watch.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use bytes::Bytes;
use fleetwire_client::Cause;
use http::{HeaderValue, Request, Response, StatusCode, header};

use super::chance::VirtualClock;
use super::laws::{Law, PATIENCE, Watch};
use super::life::{Outcome, no_answer};
use super::scenario::{Fault, What};
use super::server::{Served, Server, at_once};
use super::{Counts, Defect};
use crate::dice::Dice;

/// Something that is going to happen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Happening {
    /// An agent looks whether there is something to do.
    Wake(usize, u32),
    /// An agent's process starts.
    Start(usize),
    /// An agent's machine wakes up.
    Resume(usize),
    /// The work of an agent's so-manieth process ends.
    Finish(usize, u32),
    /// A request arrives.
    Arrive(usize),
    /// An answer arrives.
    Answer(usize),
    /// A fault begins.
    Begin(usize),
    /// A fault is over.
    Over(usize),
    /// The server flushes.
    Flush,
    /// Somebody looks how everybody is.
    Look,
}

/// Something at its time; of those at one time the one first that was planned first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    pub(super) at: u64,
    turn: u64,
    pub(super) what: Happening,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    // A heap gives its greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.turn).cmp(&(self.at, self.turn))
    }
}

/// A request or an answer on its way.
enum Letter {
    Request {
        from: usize,
        request: Box<Request<Bytes>>,
        /// The request that waits for its answer, and how long that takes; `None` if nobody listens any more.
        reply: Option<(u32, u64)>,
    },
    Answer {
        to: usize,
        ticket: u32,
        outcome: Outcome,
    },
}

/// What became of a request at once.
pub(super) enum Sent {
    Answered(Outcome),
    OnItsWay,
}

pub(super) struct Hub<'a, F> {
    /// Milliseconds since the world began.
    pub(super) now: u64,
    queue: BinaryHeap<Planned>,
    turns: u64,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) server: Server,
    pub(super) watch: Watch,
    pub(super) counts: Counts,
    pub(super) defect: &'a mut F,
    /// The faults of the line that are in force, each with its place.
    pub(super) line: Vec<(usize, Fault)>,
    letters: Vec<Option<Letter>>,
    free: Vec<usize>,
    dice: Dice,
    /// How long doing each piece of work takes, in milliseconds.
    pub(super) takes: BTreeMap<String, u64>,
    /// Requests that were sent in each second, and those of them that count as usual.
    pub(super) sent: Vec<u32>,
    pub(super) usual: Vec<u32>,
}

impl<'a, F: Defect> Hub<'a, F> {
    pub(super) fn new(
        server: Server,
        clock: Arc<VirtualClock>,
        watch: Watch,
        dice: Dice,
        defect: &'a mut F,
    ) -> Self {
        Self {
            now: 0,
            queue: BinaryHeap::new(),
            turns: 0,
            clock,
            server,
            watch,
            counts: Counts::default(),
            defect,
            line: Vec::new(),
            letters: Vec::new(),
            free: Vec::new(),
            dice,
            takes: BTreeMap::new(),
            sent: Vec::new(),
            usual: Vec::new(),
        }
    }

    pub(super) fn plan(&mut self, at: u64, what: Happening) {
        self.turns += 1;
        self.queue.push(Planned { at, turn: self.turns, what });
    }

    /// What happens next, whose time it is from then on.
    pub(super) fn next(&mut self, end: u64) -> Option<Happening> {
        let planned = self.queue.pop().filter(|planned| planned.at <= end)?;
        if planned.at != self.now {
            self.now = planned.at;
            self.clock.set(planned.at);
        }
        Some(planned.what)
    }

    fn post(&mut self, letter: Letter) -> usize {
        match self.free.pop() {
            Some(place) => {
                self.letters[place] = Some(letter);
                place
            }
            None => {
                self.letters.push(Some(letter));
                self.letters.len() - 1
            }
        }
    }

    fn open(&mut self, place: usize) -> Option<Letter> {
        let letter = self.letters.get_mut(place).and_then(Option::take)?;
        self.free.push(place);
        Some(letter)
    }

    pub(super) fn plan_answer(&mut self, at: u64, to: usize, ticket: u32, outcome: Outcome) {
        let place = self.post(Letter::Answer { to, ticket, outcome });
        self.plan(at, Happening::Answer(place));
    }

    /// An answer that arrives: whose, to which request, and what it says.
    pub(super) fn answer(&mut self, place: usize) -> Option<(usize, u32, Outcome)> {
        match self.open(place)? {
            Letter::Answer { to, ticket, outcome } => Some((to, ticket, outcome)),
            Letter::Request { .. } => None,
        }
    }

    /// How long doing a piece of work takes.
    pub(super) fn takes(&self, work: &str) -> u64 {
        let id = self.watch.numbered.get(work).map_or(work, String::as_str);
        self.takes.get(id).copied().unwrap_or_default()
    }

    /// Notes a request in its second.
    fn note(&mut self, counts: bool) {
        let second = usize::try_from(self.now / 1000).unwrap_or(usize::MAX);
        if self.sent.len() <= second {
            self.sent.resize(second + 1, 0);
            self.usual.resize(second + 1, 0);
        }
        self.sent[second] += 1;
        self.usual[second] += u32::from(counts);
    }

    /// Sends a request. `counts` says whether it is one of those that come all the time.
    pub(super) fn send(&mut self, from: usize, ticket: u32, request: Request<Bytes>, counts: bool) -> Sent {
        let path = request.uri().path();
        // Newcomers try again soon, and what waits is handed over as soon as it can be.
        let usual =
            counts && (path.ends_with("heartbeat") || path.ends_with("checkin") || path.ends_with("tasks"));
        self.note(usual);
        self.counts.requests += 1;
        if self.line.is_empty() {
            return Sent::Answered(
                self.serve(from, &request).unwrap_or_else(|| no_answer(Cause::Unreachable)),
            );
        }
        self.send_over_line(from, ticket, request)
    }

    /// Sends a request over a line that is not as it should be.
    fn send_over_line(&mut self, from: usize, ticket: u32, request: Request<Bytes>) -> Sent {
        let number = self.watch.people[from].number;
        let mut delays = None;
        let (mut request_lost, mut answer_lost, mut again) = (false, false, false);
        for (_, fault) in &self.line {
            if !fault.who.holds(number) {
                continue;
            }
            match fault.what {
                What::Unreachable { .. } => return Sent::Answered(no_answer(Cause::Unreachable)),
                What::Refused { status, retry_after, .. } => {
                    self.counts.refused += 1;
                    return Sent::Answered(Ok(refusal(status, retry_after)));
                }
                What::RequestsLost { permille, .. } => request_lost |= self.dice.happens(permille),
                What::AnswersLost { permille, .. } => answer_lost |= self.dice.happens(permille),
                What::Duplicated { permille, .. } => again |= self.dice.happens(permille),
                What::Slow { most, .. } => {
                    delays =
                        Some((self.dice.below(u64::from(most) + 1), self.dice.below(u64::from(most) + 1)));
                }
                _ => {}
            }
        }
        if self.server.core().is_none() {
            return Sent::Answered(no_answer(Cause::Unreachable));
        }
        let timeout = self.now + PATIENCE;
        if request_lost || answer_lost || delays.is_some() {
            self.plan_answer(timeout, from, ticket, no_answer(Cause::Timeout));
        }
        if again {
            self.counts.duplicated += 1;
            let at = self.now + self.dice.between(1, 20_000);
            let copy = Letter::Request { from, request: Box::new(request.clone()), reply: None };
            let place = self.post(copy);
            self.plan(at, Happening::Arrive(place));
        }
        if request_lost {
            self.counts.lost += 1;
            return Sent::OnItsWay;
        }
        if let Some((there, back)) = delays {
            self.counts.delayed += 1;
            let reply = (!answer_lost).then_some((ticket, back));
            let place = self.post(Letter::Request { from, request: Box::new(request), reply });
            self.plan(self.now + there, Happening::Arrive(place));
            return Sent::OnItsWay;
        }
        let outcome = self.serve(from, &request).unwrap_or_else(|| no_answer(Cause::Unreachable));
        if answer_lost {
            self.counts.lost += 1;
            return Sent::OnItsWay;
        }
        Sent::Answered(outcome)
    }

    /// A request arrives that was on its way.
    pub(super) fn arrive(&mut self, place: usize) {
        let Some(Letter::Request { from, request, reply }) = self.open(place) else { return };
        let outcome = self.serve(from, &request).unwrap_or_else(|| no_answer(Cause::Broken));
        if let Some((ticket, back)) = reply {
            self.plan_answer(self.now + back, from, ticket, outcome);
        }
    }

    /// Has the server answer; `None` if nobody listens.
    fn serve(&mut self, from: usize, request: &Request<Bytes>) -> Option<Outcome> {
        if let Some(response) = self.defect.intercept(request) {
            return Some(Ok(response));
        }
        let Served { operation, response } = self.server.serve(request)?;
        let status = response.status();
        self.counts.served += 1;
        if status.is_success() {
            let reports = matches!(
                operation,
                Some("acusight.checkin" | "zstack.heartbeat" | "zstack.auto_register_heartbeat")
                    | Some("agentmc.heartbeat" | "achilles.heartbeat")
            );
            if reports {
                self.counts.beats += 1;
                self.watch.reported(from, self.now);
            }
        } else if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
            let how = format!("{} is answered with {status}", request.uri().path());
            self.watch.breaks(Law::Understood, self.now, Some(from), how);
        }
        Some(Ok(response))
    }

    /// Finds the rows of an agent that has an id by now.
    pub(super) fn find_rows(&mut self, place: usize) {
        let person = &self.watch.people[place];
        let (Some(core), Some(id)) = (self.server.core(), &person.id) else { return };
        let Ok(view) = core.find_agent(person.tenant, person.vendor, id) else { return };
        let no = view.agent.no;
        if !person.rows.contains(&no) {
            self.watch.becomes(place, no, self.now);
        }
    }

    /// The server writes what waits to be written, and those who watch read on in the journal.
    pub(super) fn flush(&mut self) {
        let now = self.now;
        let Some(core) = self.server.core() else { return };
        if !matches!(at_once(core.flush()), Some(Ok(_))) {
            self.watch.breaks(Law::NoPanic, now, None, "a flush fails".to_owned());
        }
        self.watch.server.flushed = now;
        self.watch.server.flushes += 1;
        self.read_journal();
        let Some(core) = self.server.core() else { return };
        for (tenant, id, execution) in std::mem::take(&mut self.watch.taken) {
            let found = at_once(core.work_named(tenant, id.clone()));
            let is_kept = found
                .and_then(Result::ok)
                .is_some_and(|view| view.work.state.is_terminal() || view.work.execution_number > execution);
            if !is_kept {
                let how = format!("the end of {id} was taken and is not there");
                self.watch.breaks(Law::ResultsAreKept, now, None, how);
            }
        }
    }

    fn read_journal(&mut self) {
        use fleetwire_server_core::events::EventQuery;
        for tenant in super::TENANTS {
            loop {
                let Some(core) = self.server.core() else { return };
                let after = Some(self.watch.read_to(tenant));
                let query = EventQuery { after, limit: 1000, ..EventQuery::default() };
                let Some(Ok(events)) = at_once(core.events(tenant, query)) else { break };
                let full = events.len() == 1000;
                self.watch.journal(tenant, events, self.now);
                if !full {
                    break;
                }
            }
        }
    }
}

/// What stands before a server says that it is too much.
fn refusal(status: u16, retry_after: Option<u32>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"later"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
