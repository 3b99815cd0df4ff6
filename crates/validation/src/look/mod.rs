//! The second look: every fault of a request at once.
//!
//! The codec stops at the first fault of form, since a typed reader has nothing to go on with, and rules are
//! asked of a typed value, so that a message with a fault of form breaks none. That is right for requests that
//! are good. Whoever sent a bad one wants to hear everything: [`look`] is for that moment, and costs nothing
//! before it.
//!
//! # How
//! 1. One walk over the text, held against the accept schema that is published for the operation, lists the
//!    faults of form: what is missing, of another type, null, out of the range of its integer, too deep, there
//!    twice. Nothing is built; the walk is as fast as a parse.
//! 2. What is at fault is replaced by the least value of its form, and the result is read and checked as any
//!    request is. So each rule is stated once, and what is said of a place is the same whether or not there is
//!    another fault beside it. What a rule says of a replaced place is left out, and so is what it concludes
//!    from one.
//!
//! Broken UTF-8 or JSON is told alone, since nothing after it can be trusted; of a body that its headers say is
//! packed, this is told instead.
//!
//! # Invariants
//! * There is a fault if and only if the codec or [`check`](crate::check) refuses the request.
//! * The faults stand in the order of their places in the text: first headers, then members as they come, with
//!   what is missing at the end of its object.
//! * At most [`MAX_REPORTED`] are listed; the rest is counted, faults of form up to ten thousand in all.
//! * No value longer than 64 bytes is repeated, nor one whose name or beginning says that it is a secret.
//!
//! ```
//! use chrono::DateTime;
//! use fleetwire_protocol::zstack::Heartbeat;
//! use fleetwire_validation::Context;
//! use fleetwire_validation::look::{Raw, look};
//!
//! let raw = Raw {
//!     segment: &|name| (name == "uuid").then_some("agent-1"),
//!     query: None,
//!     headers: &http::HeaderMap::new(),
//!     body: br#"{"uptime": "soon", "cpuUsage": 112.5, "memUsage": null}"#,
//! };
//! let faults = look::<Heartbeat>(&raw, &Context::at(DateTime::UNIX_EPOCH)).unwrap();
//! let said: Vec<_> = faults.iter().map(ToString::to_string).collect();
//! assert_eq!(said, [
//!     r#"/uptime: must be a number, or digits in a string, not "soon""#,
//!     "/cpuUsage: must be between 0 and 100, not 112.5",
//!     "/memUsage: must be a number, or digits in a string, not null",
//!     "/version: is required",
//! ]);
//! ```

mod cursor;
mod places;
mod shape;
mod walk;

#[cfg(test)]
mod tests;

use fleetwire_protocol::{Call, Fault, Place, Request, Violation, Violations, codec};
use http::{HeaderMap, header};
use serde::de::IgnoredAny;

use self::shape::Shape;
use crate::{Context, Keyword, MAX_REPORTED, Rule, Side, Validate};

/// A request as it came, its path matched.
#[derive(Clone, Copy)]
pub struct Raw<'a> {
    /// Gives the matched segments of the path by their names, still escaped.
    pub segment: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The query, without its question mark.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

impl std::fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers hold keys.
        f.debug_struct("Raw")
            .field("query", &self.query)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Raw<'_> {
    fn decode<E: Validate>(&self, body: &[u8]) -> Result<Call<E>, Fault> {
        codec::decode(self.segment, self.query, self.headers, body)
    }
}

/// The longest value that is repeated to its sender, in bytes.
const ECHO: usize = 32;

/// A fault, and where in the text it stands.
#[derive(Debug)]
struct Found {
    at: usize,
    violation: Violation,
}

/// Lists everything for which a request is refused; `None` if it is not.
///
/// Of a request that a handler refused for other reasons it finds nothing.
#[must_use]
pub fn look<E: Validate>(raw: &Raw<'_>, context: &Context) -> Option<Violations> {
    match raw.decode::<E>(raw.body) {
        Ok(call) => broken_rules(raw, &call, context),
        Err(Fault::Invalid(first)) => Some(faults_of_form::<E>(raw, first, context)),
        Err(_) => None,
    }
}

/// A request of the right form: only rules can be broken.
fn broken_rules<E: Validate>(raw: &Raw<'_>, call: &Call<E>, context: &Context) -> Option<Violations> {
    let mut broken = Vec::new();
    let rest = E::violations(call, context, Side::Accept, &mut broken);
    if broken.is_empty() {
        return None;
    }
    let text = std::str::from_utf8(raw.body).unwrap_or_default();
    Some(in_order(Vec::new(), broken, text, rest))
}

fn faults_of_form<E: Validate>(raw: &Raw<'_>, first: Violations, context: &Context) -> Violations {
    let beside_body: Vec<_> = first.iter().filter(|one| !is_in_body(one)).cloned().collect();
    let is_other_media = beside_body.iter().any(|violation| violation.rule == "content_type");
    let shape = Shape::of(E::ID).filter(|_| E::Request::MEDIA.is_some() && !is_other_media);
    let Some(shape) = shape else { return first };
    let text = match json(raw.body) {
        Ok(text) => text,
        Err(violation) => return alone(beside_body, packing(raw.headers).unwrap_or(violation)),
    };
    let mut walked = walk::walk(text, shape, E::RULES, context);
    if let Some(violation) = walked.unreadable {
        return alone(beside_body, violation);
    }
    let mut broken = beside_body;
    let mut rest = walked.count.saturating_sub(walked.faults.len());
    if let Some(call) = walked.repaired(text, shape).and_then(|body| raw.decode::<E>(body.as_bytes()).ok()) {
        let mut more = Vec::new();
        rest += E::violations(&call, context, Side::Accept, &mut more);
        more.retain(|violation| {
            stands(violation, E::RULES, &walked.replaced) && !is_told(violation, &walked.faults)
        });
        broken.append(&mut more);
    }
    if walked.faults.is_empty() && broken.is_empty() {
        // The codec and the schema disagree, which tests look for; the codec has the last word.
        return first;
    }
    in_order(walked.faults, broken, text, rest)
}

/// The text of a body that is JSON.
fn json(body: &[u8]) -> Result<&str, Violation> {
    codec::from_json::<IgnoredAny>(body).map(|_| std::str::from_utf8(body).unwrap_or_default())
}

/// What is wrong with a body that its headers say is packed: no operation unpacks one.
pub(crate) fn packing(headers: &HeaderMap) -> Option<Violation> {
    let encoding = headers.get(header::CONTENT_ENCODING)?;
    let encoding = encoding.to_str().unwrap_or("of another form").trim();
    if encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") {
        return None;
    }
    let encoding = if encoding.len() > ECHO { "a longer text" } else { encoding };
    let message = format!("is {encoding}, which no operation unpacks");
    Some(Violation { place: Place::Header("Content-Encoding"), rule: "body.encoding", message })
}

const fn is_in_body(violation: &Violation) -> bool {
    matches!(violation.place, Place::Body(_))
}

/// Whether a broken rule is one of the message as it came, and not of what was put in the place of faults.
fn stands(violation: &Violation, rules: &[Rule], replaced: &[String]) -> bool {
    let Place::Body(own) = &violation.place else { return true };
    let keyword = rules.iter().find(|rule| rule.id == violation.rule).map(|rule| rule.keyword);
    let around = own.rsplit_once('/').map_or("", |(parent, _)| parent);
    !replaced.iter().any(|replaced| {
        is_at_or_below(own, replaced)
            || match keyword {
                Some(
                    Keyword::RequiredUnless(other) | Keyword::RequiredWith(other) | Keyword::OnlyWith(other),
                ) => is_at_or_below(replaced, other) || is_at_or_below(other, replaced),
                // What such a rule looks at is not said; it is never further away than the members beside it.
                Some(Keyword::Custom) => is_at_or_below(replaced, around),
                _ => false,
            }
    })
}

/// Whether the walk has said the same.
fn is_told(violation: &Violation, faults: &[Found]) -> bool {
    let is_same = |told: &Violation| told.rule == violation.rule && told.place == violation.place;
    faults.iter().any(|found| is_same(&found.violation))
}

fn is_at_or_below(pointer: &str, above: &str) -> bool {
    pointer.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Both lists in the order of the text, headers first; `rest` are faults that neither has.
fn in_order(form: Vec<Found>, rules: Vec<Violation>, text: &str, rest: usize) -> Violations {
    let pointers: Vec<_> = rules
        .iter()
        .map(|violation| match &violation.place {
            Place::Body(pointer) => pointer.as_str(),
            _ => "",
        })
        .collect();
    let places = places::find(text, &pointers);
    let mut found = form;
    found.extend(places.into_iter().zip(rules).map(|(at, violation)| Found { at, violation }));
    found.sort_by_key(|found| (is_in_body(&found.violation), found.at));
    let cut = found.len().saturating_sub(MAX_REPORTED);
    found.truncate(MAX_REPORTED);
    let listed: Vec<_> = found.into_iter().map(|found| found.violation).collect();
    Violations::from(listed).with_more(rest + cut)
}

/// What is wrong with a body that cannot be looked into, after what is wrong beside it.
fn alone(mut beside_body: Vec<Violation>, violation: Violation) -> Violations {
    beside_body.push(violation);
    Violations::from(beside_body)
}
