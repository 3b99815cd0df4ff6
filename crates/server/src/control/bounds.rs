//! Bounds of what operators send. Faults are gathered, so that all of them can be told at once.

use std::fmt::Display;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use fleetwire_server_core::domain::{Kind, Vendor};
use serde::de::IgnoredAny;

use super::refusal::Refusal;

/// The most characters that a text may have.
const LONGEST_TEXT: usize = 1024;

/// The most bytes that a label map may have.
const LONGEST_LABEL_MAP: usize = 64 * 1024;

/// The faults of a request, each with its place.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    pub(super) fn add(&mut self, place: &str, fault: impl Display) {
        self.0.push(format!("{place}: {fault}"));
    }

    /// A name, id or version: one line that says something.
    pub(super) fn text(&mut self, place: &str, text: &str) {
        if text.trim().is_empty() {
            self.add(place, "must not be empty");
        }
        self.free_text(place, text);
    }

    /// One line, which may be empty.
    pub(super) fn free_text(&mut self, place: &str, text: &str) {
        if text.chars().count() > LONGEST_TEXT {
            self.add(place, format_args!("must have at most {LONGEST_TEXT} characters"));
        }
        if text.contains(char::is_control) {
            self.add(place, "must not hold control characters");
        }
    }

    /// As [`text`](Self::text), if there is one.
    pub(super) fn optional_text(&mut self, place: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(place, text);
        }
    }

    /// A time in RFC 3339.
    pub(super) fn time(&mut self, place: &str, text: &str) -> Option<DateTime<Utc>> {
        let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
        if time.is_none() {
            self.add(place, "must be a time such as 2026-03-01T12:00:00Z");
        }
        time
    }

    /// The address of a file.
    pub(super) fn url(&mut self, place: &str, url: &str) {
        self.text(place, url);
        let usable = url.parse::<http::Uri>().is_ok_and(|url| {
            matches!(url.scheme_str(), Some("http" | "https"))
                && url.host().is_some_and(|host| !host.is_empty())
        });
        if !usable {
            self.add(place, "must be an http or https address");
        }
    }

    /// JSON in a text.
    pub(super) fn label_map(&mut self, place: &str, text: &str) {
        if text.len() > LONGEST_LABEL_MAP {
            self.add(place, format_args!("must have at most {LONGEST_LABEL_MAP} bytes"));
        } else if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
            self.add(place, format_args!("must be JSON: {error}"));
        }
    }

    pub(super) fn range<T: PartialOrd + Display + Copy>(
        &mut self,
        place: &str,
        number: T,
        range: &RangeInclusive<T>,
    ) {
        if !range.contains(&number) {
            self.add(place, format_args!("must be {} to {}, not {number}", range.start(), range.end()));
        }
    }

    pub(super) fn vendor(&mut self, place: &str, name: &str) -> Option<Vendor> {
        self.word(place, name, Vendor::parse, &Vendor::ALL.map(Vendor::as_str))
    }

    pub(super) fn kind(&mut self, place: &str, word: &str) -> Option<Kind> {
        self.word(place, word, Kind::parse, &[Kind::Agent, Kind::Host].map(Kind::as_str))
    }

    /// One of some words. What was sent is not repeated: it may be long, or a key in the wrong place.
    pub(super) fn word<T>(
        &mut self,
        place: &str,
        word: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        known: &[&str],
    ) -> Option<T> {
        let parsed = parse(word);
        if parsed.is_none() {
            self.add(place, format_args!("must be one of {}", known.join(", ")));
        }
        parsed
    }

    /// Goes on with `value`, which was read without a fault if there are none.
    pub(super) fn none_or<T>(self, value: Option<T>) -> Result<T, Refusal> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Refusal::invalid(self.0.join("; "))),
        }
    }
}
