use std::fmt;

use chrono::{DateTime, Datelike, NaiveDateTime, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Serialize};

/// A time as a peer wrote it.
///
/// The text is kept and resent as it came; [`parse`](Self::parse) understands RFC 3339 of any precision and
/// zone, and SQL text (`2026-03-21 14:30:00`, UTC; PA-11). A message is never refused because a
/// time in it is odd, except where a rule checks a window.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
pub struct Timestamp(String);

impl Timestamp {
    /// Keeps a text as a time; nothing says that it is one.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A time to the second, `2026-03-21T14:30:00Z`.
    #[must_use]
    pub fn seconds(time: DateTime<Utc>) -> Self {
        Self(in_digits(time, false).unwrap_or_else(|| time.to_rfc3339_opts(SecondsFormat::Secs, true)))
    }

    /// A time to the millisecond, `2026-03-21T14:30:00.120Z`.
    #[must_use]
    pub fn millis(time: DateTime<Utc>) -> Self {
        Self(in_digits(time, true).unwrap_or_else(|| time.to_rfc3339_opts(SecondsFormat::Millis, true)))
    }

    /// The text as it stands on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The instant meant, or `None` if the text is no time that we know.
    #[must_use]
    pub fn parse(&self) -> Option<DateTime<Utc>> {
        parse(&self.0)
    }
}

/// Writes a time to the second or to the millisecond; `None` if its year has not four digits or it is a leap second,
/// which is left to chrono. Every heartbeat is answered with times, and chrono's way costs ten times this.
fn in_digits(time: DateTime<Utc>, with_millis: bool) -> Option<String> {
    let (date, clock) = (time.date_naive(), time.time());
    let year = u32::try_from(date.year()).ok().filter(|year| *year <= 9999)?;
    let millis = Some(clock.nanosecond() / 1_000_000).filter(|millis| *millis < 1000)?;
    let two = |number: u32| [number / 10, number % 10].map(|digit| (digit % 10) as u8 + b'0');
    let ([y1, y2], [y3, y4]) = (two(year / 100), two(year % 100));
    let ([m1, m2], [d1, d2]) = (two(date.month()), two(date.day()));
    let ([h1, h2], [n1, n2], [s1, s2]) = (two(clock.hour()), two(clock.minute()), two(clock.second()));
    let day = [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T'];
    let time = [h1, h2, b':', n1, n2, b':', s1, s2];
    let ([f1, f2], [_, f3]) = (two(millis / 10), two(millis % 10));
    let end: &[u8] = if with_millis { &[b'.', f1, f2, f3, b'Z'] } else { b"Z" };
    String::from_utf8([&day[..], &time, end].concat()).ok()
}

/// Reads RFC 3339 of any precision and zone, or SQL text taken as UTC.
pub(crate) fn parse(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.with_timezone(&Utc));
    }
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok().map(|time| time.and_utc())
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self::millis(time)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> Option<i64> {
        Timestamp::from_text(text).parse().and_then(|time| time.timestamp_nanos_opt())
    }

    const SECOND: i64 = 1_774_103_400_000_000_000;

    #[test]
    fn rfc_3339_is_understood_at_any_precision_and_in_any_zone() {
        for (text, expected) in [
            ("2026-03-21T14:30:00Z", SECOND),
            ("2026-03-21T14:30:00.120Z", SECOND + 120_000_000),
            ("2026-03-21T14:30:00.123456789Z", SECOND + 123_456_789),
            ("2026-03-21T16:30:00+02:00", SECOND),
            ("2026-03-21T14:30:00-00:00", SECOND),
            ("2026-03-21t14:30:00z", SECOND),
        ] {
            assert_eq!(nanos(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn sql_text_is_taken_as_utc() {
        assert_eq!(nanos("2026-03-21 14:30:00"), Some(SECOND));
        assert_eq!(nanos("2026-03-21 14:30:00.5"), Some(SECOND + 500_000_000));
    }

    #[test]
    fn text_that_is_no_time_is_kept_and_means_nothing() {
        for text in ["", "example", "1774103400", "2026-03-21", "2026-03-21T14:30:00", "2026-02-30T00:00:00Z"]
        {
            assert_eq!(nanos(text), None, "{text:?}");
            let wire = serde_json::to_string(text).unwrap();
            let read: Timestamp = serde_json::from_str(&wire).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), wire);
        }
        assert!(serde_json::from_str::<Timestamp>("1774103400").is_err());
    }

    #[test]
    fn times_are_written_as_chrono_writes_them() {
        for (seconds, nanos) in [
            (0, 0),
            (1_774_103_400, 120_999_999),
            (951_782_399, 999_999_999),
            (253_402_300_799, 0),
            (253_402_300_800, 1_000_000),
            (-62_167_219_200, 0),
            (-62_167_219_201, 5_000_000),
            (59, 1_999_999_999),
        ] {
            let time = DateTime::from_timestamp(seconds, nanos).unwrap();
            assert_eq!(Timestamp::seconds(time).as_str(), time.to_rfc3339_opts(SecondsFormat::Secs, true));
            assert_eq!(Timestamp::millis(time).as_str(), time.to_rfc3339_opts(SecondsFormat::Millis, true));
        }
    }

    #[test]
    fn time_is_written_in_utc_and_read_as_itself() {
        let time = DateTime::from_timestamp_nanos(SECOND + 120_000_000);
        assert_eq!(Timestamp::millis(time).as_str(), "2026-03-21T14:30:00.120Z");
        assert_eq!(Timestamp::seconds(time).as_str(), "2026-03-21T14:30:00Z");
        assert_eq!(Timestamp::from(time).parse(), Some(time));
    }
}
