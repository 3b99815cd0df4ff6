use chrono::{DateTime, Utc};
use fleetwire_server_core::domain::No;
use fleetwire_server_core::events::{Event, EventQuery, NewEvent};
use fleetwire_server_core::store::{Journal, Outcome};
use rusqlite::{Connection, Row, params};

use crate::SqliteStore;
use crate::error::Done;
use crate::rows::{Column, Columns, all};

impl Journal for SqliteStore {
    async fn events(&self, tenant: No, query: EventQuery) -> Outcome<Vec<Event>> {
        self.read(move |connection| {
            let EventQuery { after, agent, kind, limit } = query;
            // One statement for each set of conditions, so that each is found by an index.
            let mut sql = "SELECT no, tenant, agent, kind, detail, at FROM events WHERE no > ?2".to_owned();
            // A sign keeps a column out of the choice of an index: of an agent there is less than of a kind.
            sql.push_str(match (agent, kind) {
                (Some(_), _) => " AND +tenant = ?1 AND agent = ?4 AND (?5 IS NULL OR +kind = ?5)",
                (None, Some(_)) => " AND tenant = ?1 AND kind = ?5 AND ?4 IS NULL",
                (None, None) => " AND tenant = ?1 AND ?4 IS NULL AND ?5 IS NULL",
            });
            sql.push_str(if after.is_some() {
                " ORDER BY no LIMIT ?3"
            } else {
                " ORDER BY no DESC LIMIT ?3"
            });
            let values = params![tenant, after.unwrap_or(0), limit, agent, kind.map(Column)];
            let mut events = all(connection, &sql, values, event)?;
            if after.is_none() {
                events.reverse();
            }
            Ok(events)
        })
        .await
    }

    async fn forget_events(&self, before: DateTime<Utc>, limit: u32) -> Outcome<u32> {
        self.write(move |connection| {
            let forgotten = connection
                .prepare_cached(
                    "DELETE FROM events WHERE no IN (SELECT no FROM events WHERE at < ?1 ORDER BY at LIMIT ?2)",
                )?
                .execute(params![Column(before), limit])?;
            Ok(u32::try_from(forgotten).unwrap_or(u32::MAX))
        })
        .await
    }
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let mut columns = Columns::of(row);
    Ok(Event {
        no: columns.plain()?,
        tenant: columns.plain()?,
        agent: columns.plain()?,
        kind: columns.get()?,
        detail: columns.get()?,
        at: columns.get()?,
    })
}

/// Writes events, in the transaction of whatever they tell of.
pub(crate) fn tell(connection: &Connection, events: impl IntoIterator<Item = NewEvent>) -> Done<()> {
    for event in events {
        connection
            .prepare_cached(
                "INSERT INTO events (tenant, agent, kind, detail, at) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                event.tenant,
                event.agent,
                Column(event.kind),
                Column(&event.detail),
                Column(event.at),
            ])?;
    }
    Ok(())
}

/// Writes an event that was found out besides, unless it says what the last of its sort said.
pub(crate) fn tell_news(connection: &Connection, event: NewEvent) -> Done<()> {
    if let Some(rotation) = event.unused_rotation() {
        let sql = "UPDATE agents SET unused_told = ?2 WHERE no = ?1 AND rotating = 1 AND rotation = ?2 \
                   AND unused_told < ?2";
        let told = connection.prepare_cached(sql)?.execute(params![event.agent, rotation])?;
        return tell(connection, (told != 0).then_some(event));
    }
    let sql = match event.turns_online() {
        None => return tell(connection, [event]),
        Some(true) => "INSERT OR IGNORE INTO online (agent) SELECT no FROM agents WHERE no = ?1",
        Some(false) => "DELETE FROM online WHERE agent = ?1",
    };
    let turned = connection.prepare_cached(sql)?.execute([event.agent])?;
    tell(connection, (turned != 0).then_some(event))
}
