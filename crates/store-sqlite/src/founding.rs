use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use fleetwire_server_core::domain::No;
use fleetwire_server_core::events::NewEvent;
use fleetwire_server_core::keys::Foundation;
use fleetwire_server_core::lease::{LeaseRow, Sample};
use fleetwire_server_core::store::{
    Founding, Leases, Numbers, Offer, Outcome, Restored, RestoredAgent, Taker,
};
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
            connection.execute("INSERT INTO signing_keys (no, seed) VALUES (1, ?1)", [fresh.signing])?;
            Ok((fresh, true))
        })
        .await
    }

    async fn restore_agents(&self, numbers: RangeInclusive<No>, mut take: Taker) -> Outcome<()> {
        const SQL: &str = concat!(
            "SELECT ",
            agent_columns!(),
            ", leases.last_seen, leases.report, online.agent IS NOT NULL FROM agents ",
            "LEFT JOIN leases ON leases.agent = agents.no LEFT JOIN online ON online.agent = agents.no ",
            "WHERE agents.no BETWEEN ?1 AND ?2 ORDER BY agents.no"
        );
        // Beside the agents, in the same order: to look for each one's takes as long as to read it, and few have any.
        const WORKING: &str = "SELECT DISTINCT agent FROM work
             WHERE state IN ('queued', 'delivered', 'running') AND agent BETWEEN ?1 AND ?2 ORDER BY agent";
        let read = |row: &Row<'_>| {
            let mut columns = Columns::of(row);
            let agent = agent(&mut columns)?;
            let last_seen = columns.maybe()?;
            let report = columns.maybe()?;
            let lease =
                last_seen.map(|last_seen| LeaseRow { agent: agent.no, last_seen, report, place: None });
            Ok(RestoredAgent { agent, lease, online: columns.plain()?, works: false })
        };
        self.read(move |connection| {
            let within = [numbers.start(), numbers.end()];
            let (mut select, mut working) = (connection.prepare(SQL)?, connection.prepare(WORKING)?);
            let mut working = working.query_map(within, |row| row.get::<_, No>(0))?;
            let mut next = working.next().transpose()?;
            for restored in select.query_map(within, read)? {
                let mut restored = restored?;
                while next.is_some_and(|next| next < restored.agent.no) {
                    next = working.next().transpose()?;
                }
                restored.works = next == Some(restored.agent.no);
                take(restored);
            }
            Ok(())
        })
        .await
    }

    async fn restore(&self) -> Outcome<Restored> {
        self.read(move |connection| {
            let up_until = first(connection, "SELECT up_until FROM uptime", [], |row| {
                row.get(0).map(|Column(up_until)| up_until)
            })?;
            let offers = all(
                connection,
                "SELECT no, rotation, coalesce(offered_at, updated_at) FROM agents
                 WHERE rotating = 1 AND unused_told < rotation",
                [],
                |row| {
                    let mut columns = Columns::of(row);
                    Ok(Offer { agent: columns.plain()?, rotation: columns.plain()?, at: columns.get()? })
                },
            )?;
            Ok(Restored { numbers: numbers(connection)?, up_until, offers })
        })
        .await
    }
}

/// What numbers agents have. Each is asked for by itself: an end is then looked up and not looked for.
fn numbers(connection: &Connection) -> Done<Option<Numbers>> {
    const SQL: &str = "SELECT (SELECT coalesce(sum(agents), 0) FROM fleets), (SELECT min(no) FROM agents),
             ifnull((SELECT no FROM agents ORDER BY no LIMIT 1
                     OFFSET (SELECT (coalesce(sum(agents), 0) - 1) / 2 FROM fleets)), (SELECT max(no) FROM agents)),
             (SELECT max(no) FROM agents)
         WHERE EXISTS (SELECT 1 FROM agents)";
    first(connection, SQL, [], |row| {
        let mut columns = Columns::of(row);
        Ok(Numbers {
            count: usize::try_from(columns.plain::<i64>()?).unwrap_or_default(),
            lowest: columns.plain()?,
            middle: columns.plain()?,
            highest: columns.plain()?,
        })
    })
}

fn kept(connection: &Connection) -> Done<Option<Foundation>> {
    first(connection, "SELECT rotation, signing, operator FROM foundation", [], |row| {
        let mut columns = Columns::of(row);
        Ok(Foundation { rotation: columns.plain()?, signing: columns.plain()?, operator: columns.get()? })
    })
}

impl Leases for SqliteStore {
    async fn flush(
        &self,
        mut leases: Vec<LeaseRow>,
        events: Vec<NewEvent>,
        now: DateTime<Utc>,
    ) -> Outcome<()> {
        self.write(move |connection| {
            // Neighbours share pages.
            leases.sort_by_key(|lease| lease.agent);
            // Most leases are there already.
            let mut renew = connection.prepare_cached(
                "UPDATE leases SET last_seen = ?2, report = ?3 WHERE agent = ?1 AND last_seen <= ?2",
            )?;
            let mut begin = connection.prepare_cached(
                "INSERT INTO leases (agent, last_seen, report)
                 SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM agents WHERE no = ?1)
                 ON CONFLICT (agent) DO NOTHING",
            )?;
            let mut keep = connection.prepare_cached(
                "INSERT INTO history (agent, place, at, report) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (agent, place) DO UPDATE SET at = excluded.at, report = excluded.report",
            )?;
            for lease in &leases {
                let report = lease.report.as_ref().map(Column);
                let row = params![lease.agent, Column(lease.last_seen), report];
                let renewed = match renew.execute(row)? {
                    0 => begin.execute(row)?,
                    renewed => renewed,
                };
                if let (Some(place), Some(report), 1..) = (lease.place, report, renewed) {
                    keep.execute(params![lease.agent, place, Column(lease.last_seen), report])?;
                }
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

    async fn history(&self, agent: No, since: DateTime<Utc>) -> Outcome<Vec<Sample>> {
        let sql = "SELECT at, report FROM history WHERE agent = ?1 AND at >= ?2 ORDER BY at, place";
        let read = |row: &Row<'_>| {
            let mut columns = Columns::of(row);
            Ok(Sample { at: columns.get()?, report: columns.get()? })
        };
        self.read(move |connection| all(connection, sql, params![agent, Column(since)], read)).await
    }
}
