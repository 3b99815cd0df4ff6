//! Rows to domain values and back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fleetwire_server_core::domain::WhyClosed;
use fleetwire_server_core::domain::{Agent, Kind, No, Standing, Vendor, Work, WorkState};
use fleetwire_server_core::events::EventKind;
use fleetwire_server_core::keys::Digest;
use fleetwire_server_core::lease::{PackedReport, Report};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Row};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::Done;

/// A value as its column holds it.
pub(crate) struct Column<T>(pub(crate) T);

impl ToSql for Column<DateTime<Utc>> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.timestamp_millis().into())
    }
}

impl FromSql for Column<DateTime<Utc>> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let millis = value.as_i64()?;
        DateTime::from_timestamp_millis(millis).map(Self).ok_or(FromSqlError::OutOfRange(millis))
    }
}

impl ToSql for Column<Duration> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        // Three hundred million years are as good as any longer time.
        Ok(i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX).into())
    }
}

impl FromSql for Column<Duration> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let millis = value.as_i64()?;
        let millis = u64::try_from(millis).map_err(|_| FromSqlError::OutOfRange(millis))?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl ToSql for Column<Digest> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0.0)))
    }
}

impl FromSql for Column<Digest> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 32]>::column_result(value).map(|bytes| Self(Digest(bytes)))
    }
}

/// Words of a closed list.
macro_rules! words {
    ($($word:ty),*) => {$(
        impl ToSql for Column<$word> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.0.as_str().into())
            }
        }

        impl FromSql for Column<$word> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let word = value.as_str()?;
                let unknown = || FromSqlError::Other(format!("the word {word:?} is unknown").into());
                <$word>::parse(word).map(Self).ok_or_else(unknown)
            }
        }
    )*};
}

words!(EventKind, Vendor, Kind, Standing, WhyClosed, WorkState);

impl ToSql for Column<&Value> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_string().into())
    }
}

impl FromSql for Column<Value> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        from_json(value.as_str()?)
    }
}

impl ToSql for Column<&Map<String, Value>> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        to_json(self.0)
    }
}

impl FromSql for Column<Map<String, Value>> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        members(value)
    }
}

impl ToSql for Column<&BTreeMap<String, String>> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        to_json(self.0)
    }
}

impl FromSql for Column<BTreeMap<String, String>> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        members(value)
    }
}

impl ToSql for Column<&PackedReport> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        to_json(&ReportText(self.0))
    }
}

/// A report as it is written. JSON writes what is not finite as null.
struct ReportText<'a>(&'a PackedReport);

impl Serialize for ReportText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Members<F>(F);

        impl<K: Serialize, V: Serialize, I: Iterator<Item = (K, V)>, F: Fn() -> I> Serialize for Members<F> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map((self.0)())
            }
        }

        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("metrics", &Members(|| self.0.metrics()))?;
        members.serialize_entry("notes", &Members(|| self.0.notes()))?;
        members.serialize_entry("status", &self.0.status())?;
        members.end()
    }
}

/// A report as it is read, in the place where its text lies.
#[derive(Deserialize)]
struct ReadReport<'a> {
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    metrics: BTreeMap<Text<'a>, Option<f64>>,
    #[serde(borrow)]
    notes: BTreeMap<Text<'a>, Text<'a>>,
}

/// A text that is copied only if it has escapes.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> ReadReport<'a> {
    fn of(value: ValueRef<'a>) -> FromSqlResult<Self> {
        let mut report: Self =
            serde_json::from_str(value.as_str()?).map_err(|error| FromSqlError::Other(error.into()))?;
        report.metrics.retain(|_, figure| figure.is_some());
        Ok(report)
    }

    fn status(&self) -> Option<&str> {
        self.status.as_ref().map(|Text(status)| &**status)
    }

    fn metrics(&self) -> impl ExactSizeIterator<Item = (&str, f64)> {
        self.metrics.iter().map(|(Text(name), figure)| (&**name, figure.unwrap_or_default()))
    }

    fn notes(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.notes.iter().map(|(Text(name), Text(note))| (&**name, &**note))
    }
}

impl FromSql for Column<PackedReport> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let report = ReadReport::of(value)?;
        Ok(Self(PackedReport::new(report.status(), report.metrics(), report.notes())))
    }
}

impl FromSql for Column<Report> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Column::<PackedReport>::column_result(value).map(|Column(packed)| Self(packed.report()))
    }
}

fn to_json<'a>(value: &impl Serialize) -> rusqlite::Result<ToSqlOutput<'a>> {
    let text = serde_json::to_string(value);
    text.map(Into::into).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// Members of an object. Most rows have no facts and no labels.
fn members<T: serde::de::DeserializeOwned + Default>(value: ValueRef<'_>) -> FromSqlResult<Column<T>> {
    match value.as_str()? {
        "{}" => Ok(Column(T::default())),
        text => from_json(text),
    }
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> FromSqlResult<Column<T>> {
    serde_json::from_str(text).map(Column).map_err(|error| FromSqlError::Other(error.into()))
}

/// Reads a row's columns one after the other.
pub(crate) struct Columns<'r> {
    row: &'r Row<'r>,
    next: usize,
}

impl<'r> Columns<'r> {
    pub(crate) fn of(row: &'r Row<'r>) -> Self {
        Self { row, next: 0 }
    }

    /// The next column, as it stands.
    pub(crate) fn plain<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let value = self.row.get(self.next)?;
        self.next += 1;
        Ok(value)
    }

    /// The next column, in the domain's type.
    pub(crate) fn get<T>(&mut self) -> rusqlite::Result<T>
    where
        Column<T>: FromSql,
    {
        self.plain().map(|Column(value)| value)
    }

    /// The next column, in the domain's type, unless it is null.
    pub(crate) fn maybe<T>(&mut self) -> rusqlite::Result<Option<T>>
    where
        Column<T>: FromSql,
    {
        self.plain::<Option<_>>().map(|value| value.map(|Column(value)| value))
    }
}

/// The first row of a query, if there is one.
pub(crate) fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Done<Option<T>> {
    Ok(connection.prepare_cached(sql)?.query_row(params, read).optional()?)
}

/// Every row of a query.
pub(crate) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Done<Vec<T>> {
    Ok(connection.prepare_cached(sql)?.query_map(params, read)?.collect::<rusqlite::Result<_>>()?)
}

/// The columns of an agent, in the order of [`agent`].
macro_rules! agent_columns {
    () => {
        "agents.no, agents.tenant, agents.vendor, agents.kind, agents.id, agents.parent, agents.name, \
         agents.version, agents.facts, agents.labels, agents.disabled, agents.activated, agents.desired_model, \
         agents.desired_at, agents.current_model, agents.rotation, agents.rotating, agents.created_at, agents.updated_at, \
         agents.departed, agents.turns"
    };
}
pub(crate) use agent_columns;

pub(crate) fn agent(columns: &mut Columns<'_>) -> rusqlite::Result<Agent> {
    Ok(Agent {
        no: columns.plain()?,
        tenant: columns.plain()?,
        vendor: columns.get()?,
        kind: columns.get()?,
        id: columns.plain()?,
        parent: columns.plain()?,
        name: columns.plain()?,
        version: columns.plain()?,
        facts: columns.get()?,
        labels: columns.get()?,
        disabled: columns.plain()?,
        activated: columns.plain()?,
        desired_model: columns.plain()?,
        desired_at: columns.maybe()?,
        current_model: columns.plain()?,
        rotation: columns.plain()?,
        rotating: columns.plain()?,
        created_at: columns.get()?,
        updated_at: columns.get()?,
        departed: columns.maybe()?,
        turns: columns.plain()?,
    })
}

pub(crate) fn find_agent(connection: &Connection, no: No) -> Done<Option<Agent>> {
    const SQL: &str = concat!("SELECT ", agent_columns!(), " FROM agents WHERE no = ?1");
    first(connection, SQL, [no], |row| agent(&mut Columns::of(row)))
}

/// The columns of a piece of work, in the order of [`work`].
macro_rules! work_columns {
    () => {
        "no, id, key, tenant, agent, kind, payload, state, priority, not_before, ttl, timeout, max_retries, \
         execution_number, created_at, delivered_at, acknowledged_at, deadline, completed_at, updated_at, result"
    };
}
pub(crate) use work_columns;

pub(crate) fn work(row: &Row<'_>) -> rusqlite::Result<Work> {
    let mut columns = Columns::of(row);
    Ok(Work {
        no: columns.plain()?,
        id: columns.plain()?,
        key: columns.plain()?,
        tenant: columns.plain()?,
        agent: columns.plain()?,
        kind: columns.plain()?,
        payload: columns.get()?,
        state: columns.get()?,
        priority: columns.plain()?,
        not_before: columns.maybe()?,
        ttl: columns.get()?,
        timeout: columns.maybe()?,
        max_retries: columns.plain()?,
        execution_number: columns.plain()?,
        created_at: columns.get()?,
        delivered_at: columns.maybe()?,
        acknowledged_at: columns.maybe()?,
        deadline: columns.maybe()?,
        completed_at: columns.maybe()?,
        updated_at: columns.get()?,
        result: columns.maybe()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<T>(text: &str) -> FromSqlResult<T>
    where
        Column<T>: FromSql,
    {
        Column::column_result(ValueRef::Text(text.as_bytes())).map(|Column(value)| value)
    }

    #[test]
    fn reports_are_read_with_escapes_and_without_figures_that_are_none() {
        let text = r#"{"metrics":{"b":null,"a\"":1.5},"notes":{"n\u00e9":"two\nlines"},"status":"idle","later":[1]}"#;
        let report = Report {
            status: Some("idle".to_owned()),
            metrics: [("a\"".to_owned(), 1.5)].into(),
            notes: [("né".to_owned(), "two\nlines".to_owned())].into(),
        };
        assert_eq!(read::<Report>(text).unwrap(), report);
        assert_eq!(read::<PackedReport>(text).unwrap(), report.into());
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for text in [
            "{}",
            "null",
            r#"{"metrics":null,"notes":{},"status":null}"#,
            r#"{"metrics":{"a":"1"},"notes":{},"status":null}"#,
            r#"{"metrics":{},"notes":{"a":1},"status":null}"#,
            r#"{"metrics":{},"notes":{},"status":7}"#,
        ] {
            assert!(read::<PackedReport>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_empty_object_has_no_members_and_is_an_object_still() {
        assert_eq!(read::<Map<String, Value>>("{}").unwrap(), Map::new());
        assert_eq!(read::<BTreeMap<String, String>>("{}").unwrap(), BTreeMap::new());
        assert_eq!(read::<Value>("{}").unwrap(), json!({}));
    }
}
