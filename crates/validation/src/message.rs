//! One message of a capture: the operation that it belongs to, and everything that is wrong with it.
//!
//! A request is held to the accepting side, whose faults are [`Severity::Refuse`]s, and to the emitting side, whose
//! further ones are [`Severity::Lint`]s; an answer to what its operation documents and can be read as. What a
//! capture does not hold is not looked at. Lints see what a type cannot: members that are there twice and
//! numbers that are not kept as they were written.
//!
//! ```
//! use fleetwire_validation::Context;
//! use fleetwire_validation::message::{Checker, Operation, Request, recognise};
//! use chrono::DateTime;
//!
//! let operations: Vec<_> = Operation::all().collect();
//! let route = recognise("PUT", "/zstack/api/v1/agents/a-1/heartbeat", None, &operations).unwrap();
//! assert_eq!(route.operation.id(), "zstack.heartbeat");
//!
//! let body = br#"{"version":"1.2.3","uptime":60,"cpuUsage":112.5,"memUsage":35.2,"x":1,"x":2}"#;
//! let request = Request { route: Some(&route), headers: None, body: Some(body), credentials: true };
//! let context = Context::at(DateTime::UNIX_EPOCH);
//! let mut checker = Checker::default();
//! let found = checker.request(route.operation, &request, &context);
//! let found: Vec<_> = found.listed.iter().map(ToString::to_string).collect();
//! assert_eq!(found, ["fault: /cpuUsage: must be between 0 and 100, not 112.5", "lint: /x: is there 2 times"]);
//! ```

mod lints;
mod route;
mod summary;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use fleetwire_protocol::wire::Timestamp;
use fleetwire_protocol::{
    Auth, AuthHeader, Content, Endpoint, Place, Reply, Request as _, Vendor, Violation, codec,
    for_each_endpoint,
};
use http::{HeaderMap, Method, StatusCode, header};
use serde::de::IgnoredAny;

use self::lints::Lints;
use crate::look::{Raw, look, packing};
use crate::redact::redact_name;
use crate::{Context, Keyword, MAX_REPORTED, Rule, Severity, Side, Validate, find_rule, redact};

pub use route::{Route, Unrecognised, recognise};
pub use summary::{Row, Summary};

/// An operation as a value, for those who do not know at compile time which one they have.
#[derive(Clone, Copy)]
pub struct Operation(&'static Entry);

struct Entry {
    id: &'static str,
    vendor: &'static str,
    address: &'static str,
    method: Method,
    path: &'static str,
    aliases: &'static [&'static str],
    selected_by: &'static [&'static str],
    alternatives: &'static [&'static [AuthHeader]],
    has_body: bool,
    request: fn(&mut Checker, &Request<'_>, &Context),
    response: fn(&mut Checker, &Response<'_>),
}

impl Entry {
    const fn of<E: Validate>() -> Self {
        Self {
            id: E::ID,
            vendor: E::Vendor::ID,
            address: E::Vendor::ADDRESS,
            method: E::METHOD,
            path: E::PATH,
            aliases: E::ALIASES,
            selected_by: E::SELECTED_BY,
            alternatives: E::Auth::ALTERNATIVES,
            has_body: E::Request::MEDIA.is_some(),
            request: Checker::check_request::<E>,
            response: Checker::check_response::<E>,
        }
    }
}

macro_rules! entries {
    ([] $($operation:path,)*) => { &[$(Entry::of::<$operation>()),*] };
}
static OPERATIONS: &[Entry] = for_each_endpoint!(entries!());

impl Operation {
    /// Every operation.
    pub fn all() -> impl Iterator<Item = Self> {
        OPERATIONS.iter().map(Self)
    }

    /// Its id, `vendor.operation`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        self.0.id
    }

    /// The short name of its vendor.
    #[must_use]
    pub const fn vendor(self) -> &'static str {
        self.0.vendor
    }

    /// Whether its request has a body.
    #[must_use]
    pub const fn has_body(self) -> bool {
        self.0.has_body
    }
}

impl PartialEq for Operation {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Operation {}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.id)
    }
}

/// What a capture holds of a request. `None` is not in the capture and is not looked at.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Where its request line leads.
    pub route: Option<&'a Route<'a>>,
    /// Its headers.
    pub headers: Option<&'a HeaderMap>,
    /// Its body; empty for one that has none.
    pub body: Option<&'a [u8]>,
    /// Whether credentials are looked for among the headers: a capture may have been freed of them.
    pub credentials: bool,
}

/// What a capture holds of an answer. `None` is not in the capture and is not looked at.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// Its status; without one it is taken for the usual success.
    pub status: Option<StatusCode>,
    /// Its headers.
    pub headers: Option<&'a HeaderMap>,
    /// Its body; empty for one that has none.
    pub body: Option<&'a [u8]>,
}

/// One thing wrong with a message. Secrets in its text are cut off behind their prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it means where the message is read.
    pub severity: Severity,
    /// Where, against which rule, and what was seen.
    pub violation: Violation,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", word(self.severity), self.violation)
    }
}

/// What a finding is called: `fault` if the message is refused, `mark` if it is taken and marked, `lint` if only
/// its sender's own check speaks of it.
#[must_use]
pub const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Refuse => "fault",
        Severity::Mark => "mark",
        Severity::Lint => "lint",
    }
}

/// Everything that is wrong with a message.
#[derive(Debug, Clone, Copy)]
pub struct Findings<'a> {
    /// The first [`MAX_REPORTED`].
    pub listed: &'a [Finding],
    /// How many there are beyond them.
    pub beyond: usize,
}

/// Checks one message after another and keeps its buffers: a message without findings costs what reading it
/// costs.
#[derive(Debug, Default)]
pub struct Checker {
    findings: Vec<Finding>,
    beyond: usize,
    broken: Vec<Violation>,
    lints: Lints,
}

/// Ids of the rules of this module, which no row of an operation's table states.
mod rule {
    pub(super) const CREDENTIALS_REQUIRED: &str = "credentials.required";
    pub(super) const CREDENTIALS_FORM: &str = "credentials.form";
    pub(super) const BODY_LIMIT: &str = "body.limit";
    pub(super) const BODY_EXPECTED: &str = "body.expected";
    pub(super) const CONTENT_TYPE: &str = "content_type";
    pub(super) const STATUS_DOCUMENTED: &str = "status.documented";
    pub(super) const STATUS_CLASS: &str = "status.class";
    pub(super) const HEADER_EXPECTED: &str = "header.expected";
}

impl Checker {
    /// Checks a request.
    pub fn request(
        &mut self,
        operation: Operation,
        request: &Request<'_>,
        context: &Context,
    ) -> Findings<'_> {
        self.start();
        (operation.0.request)(self, request, context);
        Findings { listed: &self.findings, beyond: self.beyond }
    }

    /// Checks an answer.
    pub fn response(&mut self, operation: Operation, response: &Response<'_>) -> Findings<'_> {
        self.start();
        (operation.0.response)(self, response);
        Findings { listed: &self.findings, beyond: self.beyond }
    }

    fn start(&mut self) {
        self.findings.clear();
        self.beyond = 0;
    }

    #[cold]
    fn found(&mut self, severity: Severity, mut violation: Violation) {
        if self.findings.len() >= MAX_REPORTED {
            self.beyond = self.beyond.saturating_add(1);
            return;
        }
        if let Cow::Owned(shown) = redact(&violation.message) {
            violation.message = shown;
        }
        if let Place::Body(pointer) = &mut violation.place {
            let names: Vec<_> = pointer.split('/').map(redact_name).collect();
            if names.iter().any(|name| matches!(name, Cow::Owned(_))) {
                *pointer = names.join("/");
            }
        }
        self.findings.push(Finding { severity, violation });
    }

    fn fault(&mut self, place: Place, rule: &'static str, message: impl Into<String>) {
        self.found(Severity::Refuse, Violation { place, rule, message: message.into() });
    }

    fn lint(&mut self, place: Place, rule: &'static str, message: impl Into<String>) {
        self.found(Severity::Lint, Violation { place, rule, message: message.into() });
    }

    fn check_request<E: Validate>(&mut self, request: &Request<'_>, context: &Context) {
        let none = HeaderMap::new();
        let headers = request.headers.unwrap_or(&none);
        if request.headers.is_some() {
            if request.credentials {
                self.credentials::<E::Auth>(headers);
            }
            if E::Request::MEDIA.is_some() && !headers.contains_key(header::CONTENT_TYPE) {
                let message = format!("is missing; {} is what the body is read as", codec::JSON);
                self.lint(Place::Header("Content-Type"), rule::CONTENT_TYPE, message);
            }
        }
        let segment = |name: &str| match request.route {
            Some(route) => route.segment(name),
            // Any text will do in the place of one that the capture does not hold.
            None => Some("-"),
        };
        let query = request.route.and_then(|route| route.query);
        let body = request.body.unwrap_or_default();
        if E::Request::MEDIA.is_some() && body.len() > E::BODY_LIMIT {
            let message = format!("has {} bytes, more than the {} that are read", body.len(), E::BODY_LIMIT);
            self.fault(Place::Body(String::new()), rule::BODY_LIMIT, message);
            return;
        }
        let is_json = match codec::decode::<E>(segment, query, headers, body) {
            Ok(_) if request.body.is_none() && E::Request::MEDIA.is_some() => false,
            Ok(call) => {
                let mut broken = std::mem::take(&mut self.broken);
                E::violations(&call, context, Side::Accept, &mut broken);
                let is_refused = !broken.is_empty();
                broken.clear();
                if is_refused {
                    self.refusal::<E>(&Raw { segment: &segment, query, headers, body }, request, context);
                }
                E::violations(&call, context, Side::Emit, &mut broken);
                for violation in broken.drain(..) {
                    self.senders_own::<E>(violation, request);
                }
                self.broken = broken;
                true
            }
            Err(_) => {
                self.refusal::<E>(&Raw { segment: &segment, query, headers, body }, request, context);
                let is_no_json = |finding: &Finding| is_no_json(&finding.violation);
                request.body.is_some() && !self.findings.iter().any(is_no_json)
            }
        };
        // A body that says it is packed and is not is read all the same.
        if E::Request::MEDIA.is_some()
            && let Some(violation) = packing(headers)
            && !self.findings.iter().any(|finding| finding.violation.rule == violation.rule)
        {
            self.found(Severity::Lint, violation);
        }
        if is_json && E::Request::MEDIA.is_some() {
            self.look_beyond_types(body);
        }
    }

    /// Lists everything for which a reader refuses a request.
    #[cold]
    fn refusal<E: Validate>(&mut self, raw: &Raw<'_>, request: &Request<'_>, context: &Context) {
        let Some(violations) = look::<E>(raw, context) else { return };
        for violation in &violations {
            if is_captured::<E>(violation, request) {
                self.found(Severity::Refuse, violation.clone());
            }
        }
        self.beyond = self.beyond.saturating_add(violations.more());
    }

    /// Adds what a sender holds its message to, unless a reader refuses the message for the same.
    #[cold]
    fn senders_own<E: Validate>(&mut self, violation: Violation, request: &Request<'_>) {
        let is_told = self.findings.iter().any(|Finding { violation: told, .. }| {
            told.rule == violation.rule && told.place == violation.place
        });
        if !is_told && is_captured::<E>(&violation, request) {
            let is_marked = find_rule(violation.rule).is_some_and(|rule| rule.severity == Severity::Mark);
            self.found(if is_marked { Severity::Mark } else { Severity::Lint }, violation);
        }
    }

    fn look_beyond_types(&mut self, body: &[u8]) {
        let Ok(text) = std::str::from_utf8(body) else { return };
        let mut lints = std::mem::take(&mut self.lints);
        lints.look(text, &mut |violation| {
            let is_known = self.findings.iter().any(|known| known.violation.place == violation.place);
            if !is_known {
                self.found(Severity::Lint, violation);
            }
        });
        self.lints = lints;
    }

    fn credentials<A: Auth>(&mut self, headers: &HeaderMap) {
        if A::extract(headers).is_err() {
            self.refused_credentials::<A>(headers);
        } else {
            for header in A::ALTERNATIVES.iter().copied().flatten().filter(|header| header.secret) {
                let Some(value) = text(headers, header.name) else { continue };
                let prefix = header.format.split('<').next().unwrap_or_default();
                if !value.starts_with(prefix) {
                    let message = format!("does not begin with `{prefix}`, as {} do", header.format);
                    self.lint(Place::Header(header.name), rule::CREDENTIALS_FORM, message);
                }
            }
        }
    }

    #[cold]
    fn refused_credentials<A: Auth>(&mut self, headers: &HeaderMap) {
        let lacks = |set: &[AuthHeader]| set.iter().filter(|h| !headers.contains_key(h.name)).count();
        let Some(nearest) = A::ALTERNATIVES.iter().copied().min_by_key(|set| lacks(set)) else { return };
        for header in nearest {
            if !headers.contains_key(header.name) {
                let instead = A::ALTERNATIVES.iter().copied().flatten();
                let instead = instead.filter(|h| header.secret && h.secret && h.name != header.name);
                let or: String = instead.map(|other| format!(", or {}", other.name)).collect();
                let message = format!("is required{or}");
                self.fault(Place::Header(header.name), rule::CREDENTIALS_REQUIRED, message);
            } else if !has_form(header, headers) {
                let message = format!("must be {}", header.format);
                self.fault(Place::Header(header.name), rule::CREDENTIALS_FORM, message);
            }
        }
        if self.findings.is_empty()
            && let Some(header) = nearest.first()
        {
            let message = "does not agree with the other credentials";
            self.fault(Place::Header(header.name), rule::CREDENTIALS_FORM, message);
        }
    }

    fn check_response<E: Validate>(&mut self, response: &Response<'_>) {
        let shapes = <E::Reply as Reply>::SHAPES;
        let usual = shapes.first().and_then(|shape| StatusCode::from_u16(shape.status).ok());
        let status = response.status.or(usual).unwrap_or(StatusCode::OK);
        if response.status.is_some() {
            self.status::<E>(status);
        }
        // What recorded it may have unpacked the body and left the header.
        if let Some(violation) = response.headers.and_then(packing)
            && response.body.is_some_and(|body| !body.is_empty() && !is_json(body))
        {
            self.found(Severity::Refuse, violation);
            return;
        }
        if let Some(headers) = response.headers {
            self.response_headers(status, headers);
        }
        let Some(body) = response.body else { return };
        let nothing = shapes.iter().any(|s| s.status == status && s.content == Content::Nothing);
        if nothing && !body.is_empty() {
            let message = format!("is not read: {} carries none", status.as_u16());
            self.lint(Place::Body(String::new()), rule::BODY_EXPECTED, message);
            return;
        }
        if let Some(headers) = response.headers
            && !body.is_empty()
            && shapes.iter().all(|shape| shape.content != Content::Bytes)
            && !text(headers, "content-type").is_some_and(|media| media.contains("json"))
        {
            self.lint(Place::Header("Content-Type"), rule::CONTENT_TYPE, format!("is not {}", codec::JSON));
        }
        let read = if status.is_success() {
            self.success::<E>(status, response, body)
        } else if status.is_client_error() || status.is_server_error() {
            codec::from_json::<E::Error>(body).map(|_| ()).map_err(|mut why| {
                why.message = format!("is not the vendor's answer to a failure: {}", why.message);
                why
            })
        } else {
            return;
        };
        match read {
            Ok(()) if !body.is_empty() => self.look_beyond_types(body),
            Ok(()) => {}
            // What stands between agent and server answers in its own words when the server does not.
            Err(why) if matches!(status.as_u16(), 502 | 504) => self.found(Severity::Lint, why),
            Err(why) => {
                let is_json = !is_no_json(&why);
                self.found(Severity::Refuse, why);
                if is_json {
                    self.look_beyond_types(body);
                }
            }
        }
    }

    fn success<E: Endpoint>(
        &mut self,
        status: StatusCode,
        response: &Response<'_>,
        body: &[u8],
    ) -> Result<(), Violation> {
        let mut read = http::Response::new(Bytes::copy_from_slice(body));
        *read.status_mut() = status;
        let value = <E::Reply as Reply>::read(&read)?;
        let has_headers = <E::Reply as Reply>::SHAPES.iter().any(|shape| !shape.headers.is_empty());
        if has_headers
            && let Some(headers) = response.headers
            && let Ok(written) = <E::Reply as Reply>::write(&value)
        {
            for name in <E::Reply as Reply>::SHAPES.iter().flat_map(|shape| shape.headers).copied() {
                let (ours, theirs) = (text(written.headers(), name), text(headers, name));
                let message = match (ours, theirs) {
                    (Some(ours), None) => format!("is missing: this answer carries `{ours}`"),
                    (None, Some(_)) => "does not belong to this answer".to_owned(),
                    (Some(ours), Some(theirs)) if ours != theirs => format!("is not `{ours}`"),
                    _ => continue,
                };
                self.lint(Place::Header(name), rule::HEADER_EXPECTED, message);
            }
        }
        Ok(())
    }

    fn status<E: Endpoint>(&mut self, status: StatusCode) {
        let place = || Place::Header(":status");
        let code = status.as_u16();
        if !(status.is_success() || status.is_client_error() || status.is_server_error()) {
            self.fault(place(), rule::STATUS_CLASS, format!("{code} is neither success nor failure"));
            return;
        }
        let documented = <E::Reply as Reply>::SHAPES.iter().map(|shape| shape.status);
        let documented = documented.chain(E::FAILURES.iter().map(|failure| failure.status));
        let documented: Vec<_> = documented.collect();
        if !documented.contains(&code) {
            let list: Vec<_> = documented.iter().map(ToString::to_string).collect();
            let message = format!("{code} is not documented; documented are {}", list.join(", "));
            self.lint(place(), rule::STATUS_DOCUMENTED, message);
        }
    }

    fn response_headers(&mut self, status: StatusCode, headers: &HeaderMap) {
        let expected = match status.as_u16() {
            405 => ("Allow", "is missing: it names the methods that are allowed"),
            429 | 503 => ("Retry-After", "is missing: it says when to come back"),
            _ => return,
        };
        if !headers.contains_key(expected.0) {
            self.lint(Place::Header(expected.0), rule::HEADER_EXPECTED, expected.1);
        }
    }
}

/// Whether a capture holds what a violation is about.
fn is_captured<E: Validate>(violation: &Violation, request: &Request<'_>) -> bool {
    match violation.place {
        Place::Header(_) => request.headers.is_some(),
        Place::Path(_) | Place::Query(_) => request.route.is_some(),
        Place::Body(_) if request.body.is_none() => false,
        Place::Body(_) => {
            let in_header = |rule: &&Rule| {
                let Keyword::RequiredUnless(other) = rule.keyword else { return false };
                rule.id == violation.rule && other.starts_with("header:")
            };
            request.headers.is_some() || !E::RULES.iter().any(|rule| in_header(&rule))
        }
    }
}

fn is_no_json(violation: &Violation) -> bool {
    matches!(violation.rule, "json.syntax" | "json.utf8" | "body.encoding")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a body is JSON of any form.
fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// Whether the value of a header looks as its scheme says, as far as a reader insists.
fn has_form(header: &AuthHeader, headers: &HeaderMap) -> bool {
    let Some(value) = text(headers, header.name) else { return false };
    if header.format.contains("RFC 3339") {
        return Timestamp::from_text(value).parse().is_some();
    }
    let Some(token) = header.format.strip_prefix("Bearer ").map(|_| value.strip_prefix("Bearer ")) else {
        return true;
    };
    token.is_some_and(|token| !token.is_empty() && !token.contains(' '))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const ZSTACK: &[u8] = br#"{"version":"1.2.3","uptime":60,"cpuUsage":12.5,"memUsage":35.2}"#;

    fn operation(id: &str) -> Operation {
        Operation::all().find(|operation| operation.id() == id).unwrap()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static(value))
        };
        pairs.iter().map(header).collect()
    }

    fn context() -> Context {
        Context::at(chrono::DateTime::UNIX_EPOCH).with_clock_window(None)
    }

    fn shown(found: Findings<'_>) -> Vec<String> {
        found
            .listed
            .iter()
            .map(|Finding { severity, violation }| {
                format!("{} {} {}", word(*severity), violation.place, violation.rule)
            })
            .collect()
    }

    fn request(id: &str, target: &str, sent: Option<&HeaderMap>, body: Option<&[u8]>) -> Vec<String> {
        let operation = operation(id);
        let route = recognise(operation.0.method.as_str(), target, sent, &[operation]).unwrap();
        let request = Request { route: Some(&route), headers: sent, body, credentials: true };
        shown(Checker::default().request(operation, &request, &context()))
    }

    fn bare(id: &str, body: &[u8]) -> Vec<String> {
        let request = Request { route: None, headers: None, body: Some(body), credentials: true };
        shown(Checker::default().request(operation(id), &request, &context()))
    }

    fn response(id: &str, status: u16, sent: &[(&'static str, &'static str)], body: &str) -> Vec<String> {
        let sent = headers(sent);
        let response = Response {
            status: StatusCode::from_u16(status).ok(),
            headers: Some(&sent),
            body: Some(body.as_bytes()),
        };
        shown(Checker::default().response(operation(id), &response))
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    #[test]
    fn request_that_keeps_everything_has_no_findings() {
        let sent = headers(&[("authorization", "Bearer zsk_1"), JSON]);
        let none: [&str; 0] = [];
        assert_eq!(
            request("zstack.heartbeat", "/api/v1/agents/a/heartbeat", Some(&sent), Some(ZSTACK)),
            none
        );
        assert_eq!(bare("zstack.heartbeat", ZSTACK), none);
    }

    #[test]
    fn credentials_are_missed_by_name_and_by_form() {
        let zstack = |pairs: &[(&'static str, &'static str)]| {
            request("zstack.heartbeat", "/api/v1/agents/a/heartbeat", Some(&headers(pairs)), Some(ZSTACK))
        };
        assert_eq!(zstack(&[JSON]), ["fault header Authorization credentials.required"]);
        assert_eq!(
            zstack(&[JSON, ("authorization", "zsk_1")]),
            ["fault header Authorization credentials.form"]
        );
        let achilles = |pairs: &[(&'static str, &'static str)]| {
            request("achilles.poll_tasks", "/api/agent/tasks", Some(&headers(pairs)), Some(b""))
        };
        let (id, time) = (("x-agent-id", "a"), ("x-request-timestamp", "2026-03-21T14:30:00Z"));
        assert_eq!(achilles(&[("x-agent-key", "ak_1"), id, time]), [""; 0]);
        assert_eq!(achilles(&[("authorization", "Bearer ak_1"), id, time]), [""; 0]);
        assert_eq!(
            achilles(&[("x-agent-key", "ak_1")]),
            [
                "fault header X-Agent-ID credentials.required",
                "fault header X-Request-Timestamp credentials.required"
            ]
        );
        assert_eq!(
            achilles(&[("x-agent-key", "ak_1"), id, ("x-request-timestamp", "yesterday")]),
            ["fault header X-Request-Timestamp credentials.form"]
        );
        // Two keys that differ (PA-1).
        let two = [("x-agent-key", "ak_1"), ("authorization", "Bearer ak_2"), id, time];
        assert_eq!(achilles(&two), ["fault header X-Agent-Key credentials.form"]);
        let other = [("x-agent-key", "key"), id, time];
        assert_eq!(achilles(&other), ["lint header X-Agent-Key credentials.form"]);
    }

    #[test]
    fn what_is_not_in_the_capture_is_not_missed() {
        let none: [&str; 0] = [];
        assert_eq!(request("zstack.heartbeat", "/api/v1/agents/a/heartbeat", None, Some(ZSTACK)), none);
        assert_eq!(request("zstack.heartbeat", "/api/v1/agents/a/heartbeat", None, None), none);
        // A fingerprint may stand in a header instead (AM-3), which is only known where there are headers.
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/agentmc/heartbeat");
        let file = format!("{folder}/request.am-3-no-fingerprint-at-all.refused.json");
        let body = &std::fs::read(file).unwrap();
        assert!(!bare("agentmc.heartbeat", body).iter().any(|found| found.starts_with("fault")));
        let sent = headers(&[("x-api-key", "cc_1"), JSON]);
        let found = request("agentmc.heartbeat", "/agentmc/api/v1/agents/heartbeat", Some(&sent), Some(body));
        assert!(found.iter().any(|found| found.contains("required_unless")), "{found:?}");
    }

    #[test]
    fn body_is_refused_for_its_length_type_and_packing() {
        let zstack = |pairs: &[(&'static str, &'static str)], body: &[u8]| {
            let sent = [&[("authorization", "Bearer zsk_1")], pairs].concat();
            request("zstack.heartbeat", "/api/v1/agents/a/heartbeat", Some(&headers(&sent)), Some(body))
        };
        assert_eq!(zstack(&[], ZSTACK), ["lint header Content-Type content_type"]);
        assert_eq!(
            zstack(&[("content-type", "text/plain")], ZSTACK),
            ["fault header Content-Type content_type"]
        );
        let packed = [JSON, ("content-encoding", "gzip")];
        assert_eq!(zstack(&packed, b"\x1f\x8b"), ["fault header Content-Encoding body.encoding"]);
        // A server reads it, whatever its header says.
        assert_eq!(zstack(&packed, ZSTACK), ["lint header Content-Encoding body.encoding"]);
        assert_eq!(zstack(&[JSON], &vec![b' '; 300_000]), ["fault body body.limit"]);
        assert_eq!(zstack(&[JSON], b""), ["fault body json.syntax"]);
        assert_eq!(zstack(&[JSON], b"\xff"), ["fault body json.utf8"]);
    }

    #[test]
    fn lints_are_told_of_what_can_be_read_and_of_what_cannot() {
        let twice = br#"{"version":"1","uptime":1,"cpuUsage":1,"memUsage":1,"x":[{"y":1,"y":2}],"z":1e-999}"#;
        assert_eq!(
            bare("zstack.heartbeat", twice),
            ["lint /x/0/y lint.duplicate", "lint /z lint.lossy_number"]
        );
        let found = bare("zstack.heartbeat", br#"{"version":1,"x":1,"x":2}"#);
        assert!(found.iter().any(|found| found == "lint /x lint.duplicate"), "{found:?}");
        // What is a fault already is no lint besides.
        let found = bare("zstack.heartbeat", br#"{"version":"1","version":"2"}"#);
        assert_eq!(found.iter().filter(|found| found.contains(" /version ")).count(), 1, "{found:?}");
    }

    #[test]
    fn emitting_side_only_warns() {
        let found = bare("acusight.checkin", br#"{"device_id":""}"#);
        assert_eq!(found, ["lint /device_id acusight.checkin.device_id.min_length"]);
    }

    #[test]
    fn answers_are_held_to_what_is_documented() {
        let none: [&str; 0] = [];
        let ok = r#"{"success":true,"pending_actions":[]}"#;
        assert_eq!(response("acusight.checkin", 200, &[JSON], ok), none);
        assert_eq!(response("acusight.checkin", 202, &[JSON], ok), ["lint header :status status.documented"]);
        assert_eq!(response("acusight.checkin", 302, &[JSON], ""), ["fault header :status status.class"]);
        assert_eq!(response("acusight.checkin", 200, &[], ok), ["lint header Content-Type content_type"]);
        assert_eq!(response("acusight.checkin", 200, &[JSON], "[]"), ["fault body json.type"]);
        assert_eq!(response("acusight.checkin", 400, &[JSON], r#"{"error":"bad"}"#), none);
        assert_eq!(response("acusight.checkin", 400, &[JSON], "7"), ["fault body json.type"]);
        assert_eq!(response("achilles.poll_tasks", 204, &[], ""), none);
        assert_eq!(response("achilles.poll_tasks", 204, &[], "{}"), ["lint body body.expected"]);
        let proxy = response("acusight.checkin", 502, &[("content-type", "text/html")], "<html>");
        assert_eq!(
            proxy,
            [
                "lint header :status status.documented",
                "lint header Content-Type content_type",
                "lint body json.syntax"
            ]
        );
        let full = response("acusight.notify_image", 503, &[JSON], r#"{"error":"full"}"#);
        assert_eq!(full, ["lint header Retry-After header.expected"]);
    }

    #[test]
    fn repeated_answer_is_held_to_its_header() {
        let answer = |repeat: &str| {
            format!(
                r#"{{"success":true,"data":{{"id":"t","type":"x","status":"completed","payload":{{}}}}{repeat}}}"#
            )
        };
        let result = |sent: &[(&'static str, &'static str)], repeat: &str| {
            response("achilles.report_result", 200, &[&[JSON], sent].concat(), &answer(repeat))
        };
        let (marked, none) = (("f0-task-state", "terminal-idempotent"), [""; 0]);
        assert_eq!(result(&[], ""), none);
        assert_eq!(result(&[marked], r#","idempotent":true"#), none);
        assert_eq!(result(&[], r#","idempotent":true"#), ["lint header F0-Task-State header.expected"]);
        assert_eq!(result(&[marked], ""), ["lint header F0-Task-State header.expected"]);
    }

    #[test]
    fn findings_are_bounded_and_the_rest_is_counted() {
        let members: Vec<_> = (0..150).map(|n| format!("\"x{n}\":0,\"x{n}\":0")).collect();
        let body = format!(r#"{{"version":"1","uptime":1,"cpuUsage":1,"memUsage":1,{}}}"#, members.join(","));
        let mut checker = Checker::default();
        let request = Request { route: None, headers: None, body: Some(body.as_bytes()), credentials: true };
        let found = checker.request(operation("zstack.heartbeat"), &request, &context());
        assert_eq!((found.listed.len(), found.beyond), (MAX_REPORTED, 50));
        // The next message begins anew.
        let request = Request { body: Some(ZSTACK), ..request };
        let found = checker.request(operation("zstack.heartbeat"), &request, &context());
        assert_eq!((found.listed.len(), found.beyond), (0, 0));
    }

    #[test]
    fn key_in_the_wrong_place_is_not_repeated() {
        let body = br#"{"version":"1","uptime":"zsk_00ff","cpuUsage":1,"memUsage":1}"#;
        let mut checker = Checker::default();
        let request = Request { route: None, headers: None, body: Some(body), credentials: true };
        let found = checker.request(operation("zstack.heartbeat"), &request, &context());
        let said: String = found.listed.iter().map(ToString::to_string).collect();
        assert!(!said.is_empty() && !said.contains("00ff"), "{said}");
        // Nor as the name of a member.
        let body = br#"{"version":"1","uptime":1,"cpuUsage":1,"memUsage":1,"zsk_0123456789ab":1,"zsk_0123456789ab":2}"#;
        let found = checker.request(
            operation("zstack.heartbeat"),
            &Request { body: Some(body), ..request },
            &context(),
        );
        assert_eq!(found.listed[0].to_string(), "lint: /zsk_…: is there 2 times");
        // A name that only begins like one is a name, and what is below it is shown.
        let body = br#"{"version":"1","uptime":1,"cpuUsage":1,"memUsage":1,"cc_x":{"a-rather-long-name":1,"a-rather-long-name":2}}"#;
        let found = checker.request(
            operation("zstack.heartbeat"),
            &Request { body: Some(body), ..request },
            &context(),
        );
        assert_eq!(found.listed[0].to_string(), "lint: /cc_x/a-rather-long-name: is there 2 times");
    }
}
