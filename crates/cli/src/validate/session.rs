//! What is known while files are read: the settings, the counts, and where findings go.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fleetwire_protocol::Violation;
use fleetwire_validation::message::{
    Checker, Finding, Findings, Operation, Request, Response, Route, Summary, Unrecognised, recognise,
};
use fleetwire_validation::{Context, Severity, redact};
use http::{HeaderMap, StatusCode};
use indicatif::ProgressBar;

use super::output::Output;
use super::{Clock, MessageSide, Settings};
use crate::table::line;

/// The most different request lines that are listed as not recognised.
const MAX_LISTED: usize = 50;

/// Why a file is not read on.
#[derive(Debug)]
pub(super) enum Stop {
    /// What it holds, or the rest of it, cannot be read; the text goes on where the file's name ends.
    Unreadable(String),
    /// The report cannot be written.
    Output(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// The place of a message in what was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) file: &'a str,
    pub(super) within: Within,
}

/// The place of a message in its file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Within {
    Whole,
    /// From 1.
    Line(u64),
    /// From 0, as a program that reads a HAR file counts.
    Entry(u64),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file)?;
        match self.within {
            Within::Whole => Ok(()),
            Within::Line(number) => write!(f, " line {number}"),
            Within::Entry(number) => write!(f, " entry {number}"),
        }
    }
}

/// What was seen, in numbers.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(super) struct Tally {
    /// Messages in all.
    pub(super) messages: u64,
    /// Requests that were checked.
    pub(super) requests: u64,
    /// Answers that were checked.
    pub(super) responses: u64,
    /// Messages that no operation was found for.
    pub(super) unrecognised: u64,
    /// Messages of operations that are not looked for.
    pub(super) passed_over: u64,
    pub(super) faults: u64,
    pub(super) marks: u64,
    pub(super) lints: u64,
    /// Files that could not be read, or not to their end.
    pub(super) unreadable: u64,
}

impl Tally {
    /// Whether there were messages and nothing at all is to be said of them.
    pub(super) const fn is_spotless(&self) -> bool {
        self.messages > 0 && self.faults + self.marks + self.lints + self.unrecognised + self.unreadable == 0
    }
}

/// Why a request is not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missed {
    /// No operation is found for it.
    Stray,
    /// Its operation is not looked for.
    PassedOver,
}

/// A request line that leads nowhere.
#[derive(Debug)]
pub(super) struct Stray {
    pub(super) count: u64,
    pub(super) first: String,
    pub(super) why: String,
}

/// What is known while files are read.
pub(super) struct Session {
    settings: Settings,
    checker: Checker,
    output: Output,
    bar: ProgressBar,
    tally: Tally,
    summary: Summary,
    strays: BTreeMap<String, Stray>,
}

impl Session {
    pub(super) fn new(settings: Settings, output: Output) -> Self {
        Self {
            settings,
            checker: Checker::default(),
            output,
            bar: ProgressBar::hidden(),
            tally: Tally::default(),
            summary: Summary::default(),
            strays: BTreeMap::new(),
        }
    }

    pub(super) const fn tally(&self) -> Tally {
        self.tally
    }

    /// Begins a file, whose progress is shown by a bar.
    pub(super) fn begin(&mut self, bar: ProgressBar) {
        self.bar = bar;
    }

    /// Ends a file.
    pub(super) fn end(&mut self) {
        self.bar.finish_and_clear();
    }

    /// What a body is that comes alone.
    pub(super) const fn alone(&self) -> Option<Operation> {
        self.settings.alone
    }

    /// Whether a body that comes alone is an answer.
    pub(super) fn alone_is_answer(&self) -> bool {
        self.settings.side == Some(MessageSide::Response)
    }

    /// Finds the operation of a request line. One that leads nowhere is counted and listed, and one that is not
    /// looked for is counted.
    pub(super) fn recognise<'a>(
        &mut self,
        at: At<'_>,
        method: &str,
        target: &'a str,
        headers: Option<&HeaderMap>,
    ) -> Result<Route<'a>, Missed> {
        match recognise(method, target, headers, &self.settings.among) {
            Ok(route) => Ok(route),
            Err(Unrecognised::NotAmong(_)) => {
                self.pass_over();
                Err(Missed::PassedOver)
            }
            Err(why) => {
                self.stray(at, &format!("{method} {}", without_secrets(target)), &why.to_string());
                Err(Missed::Stray)
            }
        }
    }

    /// Counts a message of an operation that is not looked for.
    pub(super) fn pass_over(&mut self) {
        self.tally.messages += 1;
        self.tally.passed_over += 1;
    }

    /// Counts a message that no operation is found for.
    pub(super) fn stray(&mut self, at: At<'_>, what: &str, why: &str) {
        self.tally.messages += 1;
        self.tally.unrecognised += 1;
        let what = redact(what);
        let mut what = line(&what).into_owned();
        if what.chars().count() > 120 {
            what = what.chars().take(119).chain(['…']).collect();
        }
        if let Some(stray) = self.strays.get_mut(&what) {
            stray.count += 1;
        } else if self.strays.len() < MAX_LISTED {
            let stray = Stray { count: 1, first: at.to_string(), why: why.to_owned() };
            self.strays.insert(what, stray);
        }
    }

    /// Checks a request. `time` is when it was sent, as far as the capture says so.
    pub(super) fn request(
        &mut self,
        at: At<'_>,
        operation: Operation,
        request: &Request<'_>,
        time: Option<DateTime<Utc>>,
    ) -> io::Result<()> {
        if self.settings.side == Some(MessageSide::Response) {
            return Ok(());
        }
        let context = match (self.settings.clock, time) {
            (Some(Clock::At(now)), _) | (None, Some(now)) => Context::at(now),
            // A time must still be one: what was recent is not known, what a reader cannot read is.
            (Some(Clock::None), _) | (None, None) => {
                Context::at(DateTime::UNIX_EPOCH).with_clock_window(Some(Duration::MAX))
            }
        };
        let context = context.with_house_rules(self.settings.house_rules);
        let request = Request { credentials: self.settings.credentials, ..*request };
        self.tally.messages += 1;
        self.tally.requests += 1;
        let found = self.checker.request(operation, &request, &context);
        if found.listed.is_empty() {
            return Ok(());
        }
        count(&mut self.tally, found.listed);
        self.summary.add(found.listed, || at.to_string());
        let output = &mut self.output;
        self.bar.suspend(|| output.message(at, Some((operation, "request")), found))
    }

    /// Checks an answer.
    pub(super) fn response(
        &mut self,
        at: At<'_>,
        operation: Operation,
        response: &Response<'_>,
    ) -> io::Result<()> {
        if self.settings.side == Some(MessageSide::Request) {
            return Ok(());
        }
        self.tally.messages += 1;
        self.tally.responses += 1;
        let found = self.checker.response(operation, response);
        if found.listed.is_empty() {
            return Ok(());
        }
        count(&mut self.tally, found.listed);
        self.summary.add(found.listed, || at.to_string());
        let output = &mut self.output;
        self.bar.suspend(|| output.message(at, Some((operation, "response")), found))
    }

    /// Checks a body that comes alone.
    pub(super) fn body(&mut self, at: At<'_>, body: &[u8]) -> io::Result<()> {
        let Some(operation) = self.settings.alone else {
            self.stray(at, "a body without its request line", "name its operation with --operation");
            return Ok(());
        };
        if self.alone_is_answer() {
            return self.response(at, operation, &Response { status: None, headers: None, body: Some(body) });
        }
        let request = Request { route: None, headers: None, body: Some(body), credentials: false };
        self.request(at, operation, &request, None)
    }

    /// Reports a message that cannot be checked as the capture holds it, and counts it.
    pub(super) fn captured_badly(
        &mut self,
        at: At<'_>,
        rule: &'static str,
        message: impl Into<String>,
    ) -> io::Result<()> {
        self.tally.messages += 1;
        self.remark(at, Severity::Refuse, rule, message)
    }

    /// Reports what is to be said of a message as the capture holds it, rather than as it went over the wire.
    pub(super) fn remark(
        &mut self,
        at: At<'_>,
        severity: Severity,
        rule: &'static str,
        message: impl Into<String>,
    ) -> io::Result<()> {
        let findings = [Finding { severity, violation: Violation::body("", rule, message) }];
        count(&mut self.tally, &findings);
        self.summary.add(&findings, || at.to_string());
        let output = &mut self.output;
        self.bar.suspend(|| output.message(at, None, Findings { listed: &findings, beyond: 0 }))
    }

    /// Reports a file that cannot be read, or not to its end.
    pub(super) fn unreadable(&mut self, file: &str, why: &str) -> io::Result<()> {
        self.tally.unreadable += 1;
        self.output.unreadable(file, why)
    }

    /// Ends the report.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.output.finish(&self.tally, &self.summary, &self.strays)
    }
}

/// A request target without its query and whoever signs in at the host: both may hold what is nobody's business.
fn without_secrets(target: &str) -> String {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    match target.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
        }
        None => target.to_owned(),
    }
}

fn count(tally: &mut Tally, findings: &[Finding]) {
    for finding in findings {
        *match finding.severity {
            Severity::Refuse => &mut tally.faults,
            Severity::Mark => &mut tally.marks,
            Severity::Lint => &mut tally.lints,
        } += 1;
    }
}

/// Headers by name; what cannot be a header, such as the `:path` of HTTP/2, is left out.
pub(super) fn headers<'a>(pairs: impl Iterator<Item = (&'a str, &'a [u8])>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(value)) {
            // A map is full at 32,768 names; the rest is left out.
            let _ = headers.try_append(name, value);
        }
    }
    headers
}

/// A status by its number, if there are such.
pub(super) fn status(number: f64) -> Option<StatusCode> {
    // The range holds whole numbers of three digits, and what is between them is rounded down.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is 100 to 999")]
    (100.0..1000.0).contains(&number).then(|| StatusCode::from_u16(number as u16).ok()).flatten()
}
