use chrono::{DateTime, Utc};
use fleetwire_server_core::events::NewEvent;
use fleetwire_server_core::keys::Foundation;
use fleetwire_server_core::lease::LeaseRow;
use fleetwire_server_core::store::{Founding, Leases, Outcome, Restored};
use rusqlite::{Connection, Row, params};

use crate::SqliteStore;
use crate::error::Done;
use crate::events::tell_news;
use crate::rows::{Column, Columns, agent, agent_columns, all, first};

impl Founding for SqliteStore {
    async fn found(&self, fresh: Foundation) -> Outcome<(Foundation, bool)> {
        self.write(move |connection| {
            if let Some(kept) = kept(connection)? {
                return Ok((kept, false));
            }
            connection.execute(
                "INSERT INTO foundation (id, rotation, signing, operator) VALUES (1, ?1, ?2, ?3)",
                params![fresh.rotation, fresh.signing, Column(fresh.operator)],
            )?;
            Ok((fresh, true))
        })
        .await
    }

    async fn restore(&self) -> Outcome<Restored> {
        const SQL: &str = concat!(
            "SELECT ",
            agent_columns!(),
            ", leases.last_seen, leases.report FROM agents LEFT JOIN leases ON leases.agent = agents.no ",
            "ORDER BY agents.no"
        );
        let read = |row: &Row<'_>| {
            let mut columns = Columns::of(row);
            let agent = agent(&mut columns)?;
            let last_seen = columns.maybe()?;
            let report = columns.maybe()?;
            let lease = last_seen.map(|last_seen| LeaseRow { agent: agent.no, last_seen, report });
            Ok((agent, lease))
        };
        self.read(move |connection| {
            let up_until = first(connection, "SELECT up_until FROM uptime", [], |row| {
                row.get(0).map(|Column(up_until)| up_until)
            })?;
            let online = all(connection, "SELECT agent FROM online", [], |row| row.get(0))?;
            let agents = all(connection, SQL, [], read)?;
            Ok(Restored { agents, up_until, online: online.into_iter().collect() })
        })
        .await
    }
}

fn kept(connection: &Connection) -> Done<Option<Foundation>> {
    first(connection, "SELECT rotation, signing, operator FROM foundation", [], |row| {
        let mut columns = Columns::of(row);
        Ok(Foundation { rotation: columns.plain()?, signing: columns.plain()?, operator: columns.get()? })
    })
}

impl Leases for SqliteStore {
    async fn flush(&self, leases: Vec<LeaseRow>, events: Vec<NewEvent>, now: DateTime<Utc>) -> Outcome<()> {
        self.write(move |connection| {
            let mut renew = connection.prepare_cached(
                "INSERT INTO leases (agent, last_seen, report)
                 SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM agents WHERE no = ?1)
                 ON CONFLICT (agent) DO UPDATE SET last_seen = excluded.last_seen, report = excluded.report
                 WHERE excluded.last_seen >= leases.last_seen",
            )?;
            for lease in &leases {
                renew.execute(params![
                    lease.agent,
                    Column(lease.last_seen),
                    lease.report.as_ref().map(Column)
                ])?;
            }
            for event in events {
                tell_news(connection, event)?;
            }
            connection
                .prepare_cached(
                    "INSERT INTO uptime (id, up_until) VALUES (1, ?1)
                     ON CONFLICT (id) DO UPDATE SET up_until = max(up_until, excluded.up_until)",
                )?
                .execute([Column(now)])?;
            Ok(())
        })
        .await
    }
}
