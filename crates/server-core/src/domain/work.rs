//! Work: what it is, and what stores decide of it in the middle of a transaction.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::{Effect, IllegalTransition, No, Vendor, WorkEvent, WorkState, transition};
use crate::lease::Downtime;

/// The kind of work that changes a device's model.
pub const MODEL_UPDATE: &str = "model_update";

/// The member of a payload that holds what nobody else should read. It is kept only as long as it may have to be
/// handed over.
pub const SECRETS: &str = "env_vars";

/// How much longer than it was told an execution may take: its answer has to come back, too.
pub const TIMEOUT_GRACE: Duration = Duration::from_secs(120);

/// A piece of work for one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Its number.
    pub no: No,
    /// Its id.
    pub id: String,
    /// What its maker calls it, so that it is made once; unique for the agent.
    pub key: Option<String>,
    /// Whose it is.
    pub tenant: No,
    /// The agent that is to do it.
    pub agent: No,
    /// What is to be done, in the dialect's word.
    pub kind: String,
    /// Its particulars, in the dialect's form.
    pub payload: Map<String, Value>,
    /// How far it is.
    pub state: WorkState,
    /// How urgent it is: higher is sooner.
    pub priority: i64,
    /// Before when it is not handed over.
    pub not_before: Option<DateTime<Utc>>,
    /// How long it is worth doing, from when it may be handed over.
    pub ttl: Duration,
    /// How long an execution may take, [`TIMEOUT_GRACE`] aside; `None` if it may take for ever.
    pub timeout: Option<Duration>,
    /// How many further executions may follow the first.
    pub max_retries: u32,
    /// Which execution this is, from 1.
    pub execution_number: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was first handed over in this execution.
    pub delivered_at: Option<DateTime<Utc>>,
    /// When its agent first said that it has it, in this execution.
    pub acknowledged_at: Option<DateTime<Utc>>,
    /// When this execution has taken too long.
    pub deadline: Option<DateTime<Utc>>,
    /// When it came to its end.
    pub completed_at: Option<DateTime<Utc>>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// What came of it, in the dialect's form.
    pub result: Option<Value>,
}

/// An execution that came to nothing and was followed by another.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    /// The work's number.
    pub work: No,
    /// Which execution it was, from 1.
    pub number: u32,
    /// How it ended.
    pub state: WorkState,
    /// When it was first handed over.
    pub delivered_at: Option<DateTime<Utc>>,
    /// When its agent first said that it has it.
    pub acknowledged_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// What came of it, in the dialect's form.
    pub result: Option<Value>,
}

/// Work to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWork {
    /// Its id.
    pub id: String,
    /// What its maker calls it; the same again for the same agent is the same work.
    pub key: Option<String>,
    /// Whose it is to be.
    pub tenant: No,
    /// The agent that is to do it.
    pub agent: No,
    /// What is to be done.
    pub kind: String,
    /// Its particulars.
    pub payload: Map<String, Value>,
    /// How urgent it is.
    pub priority: i64,
    /// Before when it is not handed over.
    pub not_before: Option<DateTime<Utc>>,
    /// How long it is worth doing.
    pub ttl: Duration,
    /// How long an execution may take.
    pub timeout: Option<Duration>,
    /// How many further executions may follow the first.
    pub max_retries: u32,
    /// When.
    pub at: DateTime<Utc>,
}

/// What came of queueing work.
#[derive(Debug, Clone, PartialEq)]
pub enum Queued {
    /// It was made.
    Now(Work),
    /// The same wish was made before under this key; this is how it stands.
    Before(Work),
    /// Another wish was made before under this key.
    Conflict(Work),
}

/// What came of asking for work in a dialect that has no word for a wish made twice.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// It was made.
    Now(Work),
    /// The last open piece of work of its agent is the same and nobody has it yet: to do it once is to do both.
    Waiting(Work),
    /// Too much waits for the agent already.
    Full,
}

/// Which work is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkFilter {
    /// Only that of an agent.
    pub agent: Option<No>,
    /// Only that of a vendor's agents.
    pub vendor: Option<Vendor>,
    /// Only that which is in a state.
    pub state: Option<WorkState>,
    /// Only that with a lower number: the next page after the one that ended there.
    pub before: Option<No>,
    /// How many pieces at most.
    pub limit: u32,
}

/// How much of an agent's open work is handed over at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The most urgent piece, the oldest among equals.
    One,
    /// All of it, in that order.
    All,
}

/// What was handed over.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HandedOver {
    /// The work.
    pub work: Vec<Work>,
    /// When there may be something to hand over if nobody queues anything before; `None` if there is no reason
    /// to look.
    pub due: Option<DateTime<Utc>>,
    /// Executions that have ended meanwhile and were followed by another.
    pub ended: Vec<Execution>,
}

/// What an agent says of its work.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkReport {
    /// The work's id.
    pub work: String,
    /// Which execution it speaks of; `None` where the dialect does not tell, and means the latest.
    pub execution: Option<u32>,
    /// Whose it must be.
    pub tenant: No,
    /// The agent that reports.
    pub agent: No,
    /// What has happened: [`WorkEvent::Acknowledge`], [`Start`](WorkEvent::Start),
    /// [`Succeed`](WorkEvent::Succeed), [`Fail`](WorkEvent::Fail) or [`Expire`](WorkEvent::Expire).
    pub event: WorkEvent,
    /// The step by which that may happen, where the dialect allows less than the table; `None` where the table alone
    /// decides and steps that were left out are implied.
    pub step: Option<WorkStep>,
    /// What came of it, if it is at its end.
    pub result: Option<Value>,
    /// What was found, to be asked for one by one. Kept if the report ends the work.
    pub findings: Vec<Finding>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A step of work that is not at its end, in a dialect whose agents tell each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkStep {
    /// How far the work must be.
    pub from: &'static [Stage],
    /// How far it is then. Said of work that is so far already, nothing changes.
    pub to: Stage,
}

/// How far work is: its state, and whether its agent has said that it has it.
pub type Stage = (WorkState, bool);

/// What became of something that was to happen to work.
#[derive(Debug, Clone, PartialEq)]
pub enum Reported {
    /// It has changed the work, which is now so.
    Now(Work),
    /// It had happened before, the work is at its end, or the execution is an earlier one: nothing has changed.
    /// The work as it stands, or as that execution left it.
    Before(Work),
    /// It cannot happen to the work, which stands so.
    Illegal(Work, IllegalTransition),
    /// It is another agent's of the same tenant.
    NotYours,
    /// The tenant has no such work, or the work no such execution.
    Unknown,
}

/// What a look at many pieces of work has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// Agents that have work waiting again.
    pub agents: Vec<No>,
    /// How many pieces of work have expired or taken too long.
    pub moved: u32,
}

/// One thing that work has found, such as whether a machine complies with one control of a bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Its id, unique in its tenant.
    pub id: String,
    /// The test or bundle.
    pub test: String,
    /// The control, if the test is a bundle of them.
    pub control: Option<String>,
    /// How the check ended.
    pub exit_code: i64,
    /// Whether the machine complies, where the dialect says so.
    pub compliant: Option<bool>,
    /// What else was said of it, in the dialect's form.
    pub detail: Map<String, Value>,
}

/// A finding as stores keep it.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundRow {
    /// Its number.
    pub no: No,
    /// Whose it is.
    pub tenant: No,
    /// The agent that reported it.
    pub agent: No,
    /// The id of the work that it came of.
    pub work: String,
    /// And which execution of it.
    pub execution: u32,
    /// What was found.
    pub finding: Finding,
    /// When it was reported.
    pub at: DateTime<Utc>,
}

/// Which findings are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FindingFilter {
    /// Only those of an agent.
    pub agent: Option<No>,
    /// Only those of a piece of work, by its id.
    pub work: Option<String>,
    /// Only those of a control.
    pub control: Option<String>,
    /// Only those with a lower number: the next page after the one that ended there.
    pub before: Option<No>,
    /// How many at most.
    pub limit: u32,
}

impl Swept {
    /// Notes a piece of work that was looked at.
    pub fn note(&mut self, work: &Work) {
        self.moved = self.moved.saturating_add(1);
        if !work.state.is_terminal() && !self.agents.contains(&work.agent) {
            self.agents.push(work.agent);
        }
    }
}

impl FindingFilter {
    /// Whether a row is asked for, the limit aside.
    #[must_use]
    pub fn asks_for(&self, row: &FoundRow) -> bool {
        self.agent.is_none_or(|agent| agent == row.agent)
            && self.work.as_ref().is_none_or(|work| *work == row.work)
            && self.control.as_ref().is_none_or(|control| row.finding.control.as_ref() == Some(control))
            && self.before.is_none_or(|before| row.no < before)
    }
}

impl NewWork {
    /// The row that it becomes under a number.
    #[must_use]
    pub fn into_work(self, no: No) -> Work {
        Work {
            no,
            id: self.id,
            key: self.key,
            tenant: self.tenant,
            agent: self.agent,
            kind: self.kind,
            payload: self.payload,
            state: WorkState::Queued,
            priority: self.priority,
            not_before: self.not_before,
            ttl: self.ttl,
            timeout: self.timeout,
            max_retries: self.max_retries,
            execution_number: 1,
            created_at: self.at,
            delivered_at: None,
            acknowledged_at: None,
            deadline: None,
            completed_at: None,
            updated_at: self.at,
            result: None,
        }
    }

    /// What queueing it comes to where there is work under its key.
    #[must_use]
    pub fn meets(&self, known: Work) -> Queued {
        let same = known.kind == self.kind
            && known.is_to_do(&self.payload)
            && known.priority == self.priority
            && known.not_before == self.not_before
            && known.ttl == self.ttl
            && known.timeout == self.timeout
            && known.max_retries == self.max_retries;
        if same { Queued::Before(known) } else { Queued::Conflict(known) }
    }

    /// Whether it asks for what `last`, the last open piece of work of its agent, is there for already. Once somebody
    /// has that one, or something else was asked for after it, the wish is a new one.
    #[must_use]
    pub fn repeats(&self, last: &Work) -> bool {
        last.state == WorkState::Queued
            && last.due_since(self.at).is_none()
            && last.kind == self.kind
            && last.payload == self.payload
            && last.priority == self.priority
            && last.not_before == self.not_before
    }
}

impl WorkFilter {
    /// Whether a piece of work is asked for, its agent's vendor and the limit aside.
    #[must_use]
    pub fn asks_for(&self, work: &Work) -> bool {
        self.agent.is_none_or(|agent| agent == work.agent)
            && self.state.is_none_or(|state| state == work.state)
            && self.before.is_none_or(|before| work.no < before)
    }
}

/// What an event did to a row.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Changed,
    Repeated,
    Ended(Execution),
}

/// A time so much later; the last one that there is, if that is too late.
fn later(time: DateTime<Utc>, span: Duration) -> DateTime<Utc> {
    let span = TimeDelta::from_std(span).ok();
    span.and_then(|span| time.checked_add_signed(span)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl Work {
    /// The last moment at which it is worth beginning.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        later(self.not_before.map_or(self.created_at, |time| time.max(self.created_at)), self.ttl)
    }

    /// Whether it asks for a model.
    #[must_use]
    pub fn asks_for_model(&self, model: &str) -> bool {
        self.kind == MODEL_UPDATE && self.payload.get("model_id").and_then(Value::as_str) == Some(model)
    }

    /// How far it is.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        (self.state, self.acknowledged_at.is_some())
    }

    /// Whether these are its particulars, secrets that were forgotten aside.
    fn is_to_do(&self, payload: &Map<String, Value>) -> bool {
        let forgotten = !self.payload.contains_key(SECRETS);
        let kept = payload.iter().filter(|(name, _)| !(forgotten && *name == SECRETS));
        self.payload.iter().eq(kept)
    }

    /// Forgets secrets that are not handed over any more: its agent has them, and no execution may follow.
    fn forget_secrets(&mut self) {
        let is_last = self.execution_number > self.max_retries && self.acknowledged_at.is_some();
        if is_last || self.state.is_terminal() {
            self.payload.remove(SECRETS);
        }
    }

    /// Whether it is to be handed over: it may be, and its agent has not acknowledged it.
    fn waits_for_agent(&self, at: DateTime<Utc>) -> bool {
        match self.state {
            WorkState::Queued => self.not_before.is_none_or(|time| time <= at),
            WorkState::Delivered => self.acknowledged_at.is_none(),
            _ => false,
        }
    }

    /// When it may be to be handed over, if it is not now.
    fn due_at(&self) -> Option<DateTime<Utc>> {
        if self.state == WorkState::Queued { self.not_before } else { self.deadline }
    }

    /// What time alone has done to it first, so that it comes to the same whenever it is looked at.
    fn overdue(&self, at: DateTime<Utc>) -> Option<WorkEvent> {
        let unbegun = match self.state {
            WorkState::Queued => true,
            WorkState::Delivered => self.acknowledged_at.is_none(),
            _ => false,
        };
        let under_way = matches!(self.state, WorkState::Delivered | WorkState::Running);
        let deadline = self.deadline.filter(|deadline| under_way && at > *deadline);
        let expiry = Some(self.expires_at()).filter(|expiry| unbegun && at > *expiry);
        match (deadline, expiry) {
            (Some(deadline), Some(expiry)) if deadline < expiry => Some(WorkEvent::TimeOut),
            (_, Some(_)) => Some(WorkEvent::Expire),
            (deadline, None) => deadline.map(|_| WorkEvent::TimeOut),
        }
    }

    /// Since when time alone has something to do to it; `None` if it has not.
    #[must_use]
    pub fn due_since(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.overdue(at)? {
            WorkEvent::Expire => Some(self.expires_at()),
            _ => self.deadline,
        }
    }

    /// Puts its deadline off by the time during which nobody could be reported to.
    pub fn excuse(&mut self, downtime: Downtime) {
        let excused = (downtime.to - downtime.from).to_std().unwrap_or_default();
        let deadline = self.deadline.filter(|deadline| *deadline > downtime.from);
        if let Some(deadline) = deadline.filter(|_| !self.state.is_terminal()) {
            self.deadline = Some(later(deadline, excused));
        }
    }

    /// Does to it what time alone has done: it expires, or its execution ends for having taken too long. Returns
    /// the execution that was followed by another, if one was.
    pub fn look(&mut self, at: DateTime<Utc>) -> Option<Execution> {
        let mut ended = None;
        // At most twice: an execution that is followed by another, and that other one, which comes too late.
        while let Some(event) = self.overdue(at) {
            let result = (event == WorkEvent::TimeOut).then(timed_out);
            match self.take(event, result, at) {
                Ok(Step::Ended(execution)) => ended = Some(execution),
                Ok(Step::Changed) => {}
                Ok(Step::Repeated) | Err(_) => break,
            }
        }
        ended
    }

    /// Ends the execution that its agent is at, since nobody hears of that agent any more. Returns the execution if it
    /// was followed by another.
    pub fn give_up(&mut self, at: DateTime<Utc>) -> Option<Execution> {
        if let Some(ended) = self.look(at) {
            return Some(ended);
        }
        self.acknowledged_at?;
        match self.take(WorkEvent::TimeOut, Some(lost()), at) {
            Ok(Step::Ended(execution)) => Some(execution),
            Ok(Step::Changed | Step::Repeated) | Err(_) => None,
        }
    }

    /// Has something happen to it, by the table.
    fn take(
        &mut self,
        event: WorkEvent,
        result: Option<Value>,
        at: DateTime<Utc>,
    ) -> Result<Step, IllegalTransition> {
        let may_be_tried_again = matches!(event, WorkEvent::Fail | WorkEvent::TimeOut)
            && transition(self.state, WorkEvent::Retry).is_ok()
            && self.execution_number <= self.max_retries;
        let row = transition(self.state, if may_be_tried_again { WorkEvent::Retry } else { event })?;
        match row.effect {
            Effect::Nothing => return Ok(Step::Repeated),
            Effect::Acknowledges if self.acknowledged_at.is_some() => return Ok(Step::Repeated),
            Effect::Acknowledges => self.acknowledged_at = Some(at),
            Effect::Moves => {}
            Effect::NextExecution => {
                let ended = Execution {
                    work: self.no,
                    number: self.execution_number,
                    state: WorkState::Failed,
                    delivered_at: self.delivered_at.take(),
                    acknowledged_at: self.acknowledged_at.take(),
                    ended_at: at,
                    result,
                };
                self.state = row.to;
                self.deadline = None;
                self.execution_number = self.execution_number.saturating_add(1);
                self.updated_at = at;
                return Ok(Step::Ended(ended));
            }
        }
        self.state = row.to;
        self.updated_at = at;
        if row.to.is_terminal() {
            self.result = result;
            self.completed_at = Some(at);
        } else if event == WorkEvent::Deliver {
            self.delivered_at = Some(at);
            self.deadline = self.timeout.map(|timeout| later(later(at, timeout), TIMEOUT_GRACE));
        } else if event == WorkEvent::Start {
            self.acknowledged_at.get_or_insert(at);
        }
        self.forget_secrets();
        Ok(Step::Changed)
    }

    /// Ends it for the sake of something else that has happened; an end is final.
    pub(super) fn end(&mut self, event: WorkEvent, at: DateTime<Utc>) {
        // An end that is there already stays, and so does work that cannot come to this one.
        let _ = self.take(event, None, at);
    }

    /// Takes what an agent of its tenant says of it. `earlier` are its executions before this one.
    #[must_use]
    pub fn report(mut self, earlier: &[Execution], report: &WorkReport) -> Moved {
        if self.agent != report.agent {
            return Moved { outcome: Reported::NotYours, stored: None, ended: Vec::new() };
        }
        let given = self.clone();
        let ended: Vec<_> = self.look(report.at).into_iter().collect();
        let number = report.execution.unwrap_or(self.execution_number);
        if number != self.execution_number {
            let known = ended.iter().chain(earlier).find(|execution| execution.number == number);
            let outcome =
                known.map_or(Reported::Unknown, |execution| Reported::Before(self.as_left_by(execution)));
            return Moved { outcome, stored: (self != given).then_some(self), ended };
        }
        if let Some(step) = report.step {
            let refused = match self.stage() {
                // Whatever is said of it at its end changes nothing.
                (state, _) if state.is_terminal() => Some(Reported::Before(self.clone())),
                stage if stage == step.to => Some(Reported::Before(self.clone())),
                stage if step.from.contains(&stage) => None,
                (from, _) => {
                    let illegal = IllegalTransition { from, event: report.event };
                    Some(Reported::Illegal(self.clone(), illegal))
                }
            };
            if let Some(outcome) = refused {
                return Moved { outcome, stored: (self != given).then_some(self), ended };
            }
        }
        self.moved(&given, (report.event, report.result.clone()), report.at, ended)
    }

    /// Calls it off.
    #[must_use]
    pub fn cancel(mut self, at: DateTime<Utc>) -> Moved {
        let given = self.clone();
        let ended = self.look(at).into_iter().collect();
        self.moved(&given, (WorkEvent::Cancel, None), at, ended)
    }

    /// Gives it to somebody who does it in its agent's place: it is handed over and acknowledged in one step.
    #[must_use]
    pub fn take_up(mut self, at: DateTime<Utc>) -> Moved {
        let given = self.clone();
        let ended = self.look(at).into_iter().collect();
        if self.state == WorkState::Queued && self.waits_for_agent(at) {
            // The table has this row.
            let _ = self.take(WorkEvent::Deliver, None, at);
        }
        self.moved(&given, (WorkEvent::Acknowledge, None), at, ended)
    }

    fn moved(
        mut self,
        given: &Self,
        (event, result): (WorkEvent, Option<Value>),
        at: DateTime<Utc>,
        mut ended: Vec<Execution>,
    ) -> Moved {
        let outcome = match self.take(event, result, at) {
            Ok(Step::Repeated) => Reported::Before(self.clone()),
            Ok(Step::Changed) => Reported::Now(self.clone()),
            Ok(Step::Ended(execution)) => {
                let left = self.as_left_by(&execution);
                ended.push(execution);
                Reported::Now(left)
            }
            Err(illegal) => Reported::Illegal(self.clone(), illegal),
        };
        // Even if nothing was taken, time alone may have changed it.
        Moved { outcome, stored: (self != *given).then_some(self), ended }
    }

    /// The work as an execution left it that was followed by another.
    #[must_use]
    pub fn as_left_by(&self, execution: &Execution) -> Self {
        Self {
            state: execution.state,
            execution_number: execution.number,
            delivered_at: execution.delivered_at,
            acknowledged_at: execution.acknowledged_at,
            deadline: None,
            completed_at: Some(execution.ended_at),
            updated_at: execution.ended_at,
            result: execution.result.clone(),
            ..self.clone()
        }
    }
}

/// Something that was to happen to work: what to answer, and what a store has to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// What to answer.
    pub outcome: Reported,
    /// The row to be written, if it may have changed.
    pub stored: Option<Work>,
    /// Executions to be written.
    pub ended: Vec<Execution>,
}

/// What came of an execution that took too long.
fn timed_out() -> Value {
    ended_by_server(
        "the execution took too long",
        "nothing was heard of this execution before its deadline; the agent may hold a stuck process",
    )
}

/// What came of an execution whose agent has fallen silent.
fn lost() -> Value {
    ended_by_server(
        "the agent has fallen silent",
        "nothing was heard of the agent for too long while it was at this execution",
    )
}

/// What came of an execution that a server has ended, in the form in which dialects read that.
pub(crate) fn ended_by_server(error: &str, detail: &str) -> Value {
    json!({
        "error": error,
        "exit_code": -1,
        "stdout": "",
        "stderr": detail,
        "execution_duration_ms": 0,
    })
}

impl Delivery {
    /// Hands over open work in this order: what time alone has ended ends, the rest is handed over as far as
    /// asked for.
    pub fn hand_over(self, open: &mut [Work], at: DateTime<Utc>) -> HandedOver {
        let mut handed_over = HandedOver::default();
        for work in open.iter_mut().filter(|work| !work.state.is_terminal()) {
            handed_over.ended.extend(work.look(at));
            let wanted = self == Self::All || handed_over.work.is_empty();
            if wanted && work.waits_for_agent(at) {
                let event = match work.state {
                    WorkState::Queued => WorkEvent::Deliver,
                    _ => WorkEvent::Redeliver,
                };
                if work.take(event, None, at).is_ok() {
                    handed_over.work.push(work.clone());
                    continue;
                }
            }
            if !work.state.is_terminal() {
                let due = if work.waits_for_agent(at) { Some(at) } else { work.due_at() };
                handed_over.due = [handed_over.due, due].into_iter().flatten().min();
            }
        }
        if !handed_over.work.is_empty() {
            handed_over.due = Some(at);
        }
        handed_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_774_103_400 + seconds, 0).unwrap()
    }

    fn new(no: No) -> NewWork {
        NewWork {
            id: format!("w-{no}"),
            key: None,
            tenant: 1,
            agent: 7,
            kind: "x".to_owned(),
            payload: Map::new(),
            priority: 0,
            not_before: None,
            ttl: TTL,
            timeout: None,
            max_retries: 0,
            at: at(0),
        }
    }

    fn work(no: No) -> Work {
        new(no).into_work(no)
    }

    /// Work of which an execution may take 30 s and the grace, and two may follow the first.
    fn retried() -> Work {
        Work {
            timeout: Some(Duration::from_secs(30)),
            max_retries: 2,
            ttl: Duration::from_secs(100_000),
            ..work(1)
        }
    }

    fn report(event: WorkEvent, execution: Option<u32>, seconds: i64) -> WorkReport {
        WorkReport {
            work: "w-1".to_owned(),
            execution,
            tenant: 1,
            agent: 7,
            event,
            step: None,
            result: Some(json!({"exit_code": 1})),
            findings: Vec::new(),
            at: at(seconds),
        }
    }

    fn states(works: &[Work]) -> Vec<WorkState> {
        works.iter().map(|work| work.state).collect()
    }

    #[test]
    fn every_pair_of_state_and_event_does_what_the_table_says() {
        for state in WorkState::ALL {
            for event in WorkEvent::ALL {
                let given = Work { state, ..work(1) };
                let mut changed = given.clone();
                match (transition(state, event), changed.take(event, Some(json!(1)), at(9))) {
                    (Err(expected), Err(illegal)) => {
                        assert_eq!((illegal, &changed), (expected, &given), "{state} on {event}");
                    }
                    (Ok(row), Ok(step)) => {
                        assert_eq!(changed.state, row.to, "{state} on {event}");
                        match row.effect {
                            Effect::Nothing => assert_eq!((step, &changed), (Step::Repeated, &given)),
                            Effect::NextExecution => {
                                assert!(matches!(step, Step::Ended(_)), "{state} on {event}");
                                assert_eq!(changed.execution_number, 2);
                            }
                            Effect::Moves | Effect::Acknowledges => {
                                assert_eq!((step, changed.updated_at), (Step::Changed, at(9)));
                                assert_eq!(changed.completed_at.is_some(), row.to.is_terminal());
                            }
                        }
                        assert!(changed.execution_number == 1 || row.effect == Effect::NextExecution);
                    }
                    (row, step) => panic!("{state} on {event}: {row:?}, {step:?}"),
                }
            }
        }
    }

    #[test]
    fn work_that_nobody_began_is_overdue_after_its_time() {
        let fresh = work(1);
        let mut work = fresh.clone();
        for (state, expires) in [
            (WorkState::Queued, true),
            (WorkState::Delivered, true),
            (WorkState::Running, false),
            (WorkState::Succeeded, false),
            (WorkState::Canceled, false),
        ] {
            work.state = state;
            assert_eq!(work.overdue(at(60)), None, "{state:?}");
            assert_eq!(work.overdue(at(61)), expires.then_some(WorkEvent::Expire), "{state:?}");
            assert_eq!(work.overdue(at(-61)), None, "{state:?}: the clock has stepped back");
        }
        work.state = WorkState::Delivered;
        work.acknowledged_at = Some(at(1));
        assert_eq!(work.overdue(at(61)), None, "its agent has it");
        let later = Work { not_before: Some(at(100)), ..fresh.clone() };
        assert_eq!((later.overdue(at(160)), later.overdue(at(161))), (None, Some(WorkEvent::Expire)));
        let endless = Work { ttl: Duration::MAX, ..fresh };
        assert_eq!(endless.overdue(at(i64::from(u32::MAX))), None);
    }

    #[test]
    fn one_piece_is_the_first_that_is_not_overdue() {
        let mut open = [work(1), work(2), work(3)];
        open[1].created_at = at(10);
        open[2].created_at = at(10);
        let handed_over = Delivery::One.hand_over(&mut open, at(65));
        assert_eq!((handed_over.work, handed_over.due), (vec![open[1].clone()], Some(at(65))));
        assert_eq!(states(&open), [WorkState::Expired, WorkState::Delivered, WorkState::Queued]);
        assert_eq!((open[0].completed_at, open[1].delivered_at), (Some(at(65)), Some(at(65))));
        let all = Delivery::All.hand_over(&mut open, at(66)).work;
        assert_eq!(all.iter().map(|work| work.no).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(all[0].delivered_at, Some(at(65)), "handed over again, it was first handed over then");
    }

    #[test]
    fn nothing_is_due_before_the_time_and_again_after_the_deadline() {
        let mut open = [Work { not_before: Some(at(20)), ..work(1) }];
        let early = Delivery::All.hand_over(&mut open, at(19));
        assert_eq!(early, HandedOver { due: Some(at(20)), ..HandedOver::default() });
        assert_eq!(Delivery::All.hand_over(&mut open, at(20)).work, open);

        let mut open = [retried()];
        assert_eq!(Delivery::All.hand_over(&mut open, at(0)).work.len(), 1);
        assert_eq!(open[0].take(WorkEvent::Acknowledge, None, at(1)), Ok(Step::Changed));
        let quiet = Delivery::All.hand_over(&mut open, at(2));
        assert_eq!(quiet, HandedOver { due: Some(at(150)), ..HandedOver::default() });
        let again = Delivery::All.hand_over(&mut open, at(151));
        assert_eq!((again.work[0].execution_number, again.ended[0].number), (2, 1));
    }

    #[test]
    fn what_fails_or_takes_too_long_is_tried_again_as_often_as_allowed() {
        let mut given = retried();
        for number in 1..=3_u32 {
            assert_eq!(given.execution_number, number);
            let from = i64::from(number) * 1000;
            assert_eq!(given.take(WorkEvent::Deliver, None, at(from)), Ok(Step::Changed));
            assert_eq!(given.look(at(from + 150)), None, "{number}: it is in time");
            let ended = given.look(at(from + 151));
            assert_eq!(ended.map(|execution| execution.number), (number < 3).then_some(number));
        }
        assert_eq!((given.state, given.execution_number), (WorkState::Failed, 3));
        assert_eq!(given.result.as_ref().unwrap()["exit_code"], -1);

        let mut given = Work { max_retries: 1, ..retried() };
        given.take(WorkEvent::Deliver, None, at(0)).unwrap();
        assert!(matches!(given.take(WorkEvent::Fail, None, at(1)), Ok(Step::Ended(_))));
        assert_eq!((given.state, given.delivered_at, given.deadline), (WorkState::Queued, None, None));
        given.take(WorkEvent::Deliver, None, at(2)).unwrap();
        assert_eq!(given.take(WorkEvent::Fail, None, at(3)), Ok(Step::Changed));
        assert_eq!(given.state, WorkState::Failed);
    }

    #[test]
    fn execution_that_follows_too_late_expires_in_the_same_look() {
        let mut given = Work { ttl: TTL, ..retried() };
        given.take(WorkEvent::Deliver, None, at(0)).unwrap();
        given.take(WorkEvent::Start, None, at(1)).unwrap();
        assert_eq!(given.look(at(151)).map(|execution| execution.number), Some(1));
        assert_eq!((given.state, given.execution_number), (WorkState::Expired, 2));
    }

    #[test]
    fn one_late_look_comes_to_the_same_as_many() {
        let mut given = Work { ttl: Duration::from_secs(400), ..retried() };
        given.take(WorkEvent::Deliver, None, at(0)).unwrap();
        let mut watched = given.clone();
        let ended: Vec<_> = (1..=500).filter_map(|seconds| watched.look(at(seconds))).collect();
        let late = given.look(at(500));
        assert_eq!((ended.len(), late.map(|execution| execution.number)), (1, Some(1)));
        assert_eq!((given.state, given.execution_number), (watched.state, watched.execution_number));
        assert_eq!((given.state, given.execution_number), (WorkState::Expired, 2));
    }

    #[test]
    fn an_outcome_is_taken_from_every_state_but_queued_and_final_ones() {
        for state in WorkState::ALL {
            let given = Work { state, ..work(1) };
            let stranger = WorkReport { agent: 8, ..report(WorkEvent::Succeed, None, 9) };
            assert_eq!(given.clone().report(&[], &stranger).outcome, Reported::NotYours, "{state:?}");
            let moved = given.clone().report(&[], &report(WorkEvent::Succeed, None, 9));
            match moved.outcome {
                Reported::Now(work) => {
                    assert!(matches!(state, WorkState::Delivered | WorkState::Running), "{state:?}");
                    assert_eq!((work.state, work.completed_at), (WorkState::Succeeded, Some(at(9))));
                    assert_eq!(work.result, Some(json!({"exit_code": 1})));
                    assert_eq!(moved.stored, Some(work));
                }
                Reported::Before(work) => {
                    assert!(state.is_terminal(), "{state:?}");
                    assert_eq!(work, given, "the first outcome stays");
                }
                Reported::Illegal(work, illegal) => {
                    assert_eq!((state, illegal.from), (WorkState::Queued, WorkState::Queued));
                    assert_eq!(work, given);
                }
                other => panic!("{state:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn late_word_of_an_earlier_execution_leaves_the_newer_one_alone() {
        let mut given = retried();
        given.take(WorkEvent::Deliver, None, at(0)).unwrap();
        let earlier = given.look(at(200)).unwrap();
        given.take(WorkEvent::Deliver, None, at(201)).unwrap();
        let earlier = [earlier];
        let late = given.clone().report(&earlier, &report(WorkEvent::Succeed, Some(1), 202));
        let Reported::Before(left) = late.outcome else { panic!("{late:?}") };
        assert_eq!((left.state, left.execution_number), (WorkState::Failed, 1));
        assert_eq!(late.stored, None);
        let unknown = given.clone().report(&earlier, &report(WorkEvent::Succeed, Some(3), 202));
        assert_eq!(unknown.outcome, Reported::Unknown);
        // It takes too long in the very moment in which its word arrives.
        let crossed = given.clone().report(&earlier, &report(WorkEvent::Succeed, Some(2), 400));
        let Reported::Before(left) = &crossed.outcome else { panic!("{crossed:?}") };
        assert_eq!(left.execution_number, 2);
        assert_eq!(
            crossed.stored.map(|work| (work.state, work.execution_number)),
            Some((WorkState::Queued, 3))
        );
        let taken = given.report(&earlier, &report(WorkEvent::Succeed, Some(2), 203));
        assert!(matches!(taken.outcome, Reported::Now(work) if work.state == WorkState::Succeeded));
    }

    #[test]
    fn what_time_has_done_is_kept_when_word_of_an_earlier_execution_shows_it() {
        let mut given = Work { ttl: Duration::from_secs(300), ..retried() };
        given.take(WorkEvent::Deliver, None, at(0)).unwrap();
        let earlier = [given.look(at(200)).unwrap()];
        assert_eq!((given.state, given.execution_number), (WorkState::Queued, 2));
        let late = given.report(&earlier, &report(WorkEvent::Succeed, Some(1), 301));
        assert!(matches!(late.outcome, Reported::Before(_)), "{late:?}");
        assert_eq!(late.stored.map(|work| work.state), Some(WorkState::Expired));
    }

    #[test]
    fn same_key_with_the_same_wish_is_the_same_work() {
        let known = work(1);
        assert_eq!(
            NewWork { id: "other".to_owned(), at: at(9), ..new(1) }.meets(known.clone()),
            Queued::Before(known.clone())
        );
        for other in [
            NewWork { kind: "y".to_owned(), ..new(1) },
            NewWork { payload: Map::from_iter([("a".to_owned(), json!(1))]), ..new(1) },
            NewWork { priority: 1, ..new(1) },
            NewWork { not_before: Some(at(1)), ..new(1) },
            NewWork { ttl: Duration::from_secs(61), ..new(1) },
            NewWork { timeout: Some(TTL), ..new(1) },
            NewWork { max_retries: 1, ..new(1) },
        ] {
            assert_eq!(other.meets(known.clone()), Queued::Conflict(known.clone()));
        }
    }
}
