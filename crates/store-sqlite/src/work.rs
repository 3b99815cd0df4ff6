use chrono::{DateTime, Utc};
use fleetwire_server_core::domain::{
    Completed, Completion, Delivery, ModelReport, NewWork, No, Reconciled, Work, WorkState,
};
use fleetwire_server_core::store::{Outcome, StoreError, WorkQueue};
use rusqlite::{Connection, params};

use crate::SqliteStore;
use crate::catalogue::find_model;
use crate::directory::{known_agent, put};
use crate::error::{Done, unless_taken};
use crate::rows::{Column, all, first, work, work_columns};

impl WorkQueue for SqliteStore {
    async fn queue(&self, work: NewWork) -> Outcome<Work> {
        self.write(move |connection| {
            if known_agent(connection, work.agent)?.tenant != work.tenant {
                return Err(StoreError::Missing("agent").into());
            }
            add(connection, work)
        })
        .await
    }

    async fn deliver(&self, agent: No, delivery: Delivery, at: DateTime<Utc>) -> Outcome<Vec<Work>> {
        self.write(move |connection| {
            let mut open = Open::of(connection, agent)?;
            let handed_over = delivery.hand_over(&mut open.work, at);
            open.put(connection)?;
            Ok(handed_over)
        })
        .await
    }

    async fn complete(&self, completion: Completion) -> Outcome<Completed> {
        const SQL: &str = concat!("SELECT ", work_columns!(), " FROM work WHERE tenant = ?1 AND id = ?2");
        self.write(move |connection| {
            let name = params![completion.tenant, completion.work];
            let Some(work) = first(connection, SQL, name, work)? else { return Ok(Completed::Unknown) };
            let completed = work.complete(completion);
            if let Completed::Now(work) = &completed {
                put_work(connection, work)?;
            }
            Ok(completed)
        })
        .await
    }

    async fn reconcile_model(&self, report: ModelReport) -> Outcome<Reconciled> {
        self.write(move |connection| {
            let mut agent = known_agent(connection, report.agent)?;
            let before = agent.clone();
            let mut open = Open::of(connection, agent.no)?;
            let wanted = report.reconcile(&mut agent, &mut open.work);
            open.put(connection)?;
            if agent != before {
                put(connection, &agent)?;
            }
            if let Some(model) = wanted {
                let model = find_model(connection, agent.tenant, &model)?;
                let model = model.ok_or(StoreError::Missing("model"))?;
                add(connection, report.action(&agent, &model))?;
                open = Open::of(connection, agent.no)?;
            }
            let work = Delivery::All.hand_over(&mut open.work, report.at);
            open.put(connection)?;
            Ok(Reconciled { agent, work })
        })
        .await
    }

    async fn work(&self, tenant: No, agent: Option<No>, limit: u32) -> Outcome<Vec<Work>> {
        const ALL: &str =
            concat!("SELECT ", work_columns!(), " FROM work WHERE tenant = ?1 ORDER BY no DESC LIMIT ?2");
        const OF_AGENT: &str = concat!(
            "SELECT ",
            work_columns!(),
            " FROM work WHERE tenant = ?1 AND agent = ?3 ORDER BY no DESC LIMIT ?2"
        );
        self.read(move |connection| match agent {
            Some(agent) => all(connection, OF_AGENT, params![tenant, limit, agent], work),
            None => all(connection, ALL, params![tenant, limit], work),
        })
        .await
    }
}

/// The open work of an agent, the most urgent first, then the oldest.
struct Open {
    work: Vec<Work>,
    /// The states as they are stored.
    stored: Vec<WorkState>,
}

impl Open {
    fn of(connection: &Connection, agent: No) -> Done<Self> {
        const SQL: &str = concat!(
            "SELECT ",
            work_columns!(),
            " FROM work WHERE agent = ?1 AND state IN ('queued', 'delivered', 'running') ",
            "ORDER BY priority DESC, created_at, no"
        );
        let work = all(connection, SQL, [agent], work)?;
        Ok(Self { stored: work.iter().map(|work| work.state).collect(), work })
    }

    /// Writes what has changed.
    fn put(&mut self, connection: &Connection) -> Done<()> {
        for (work, stored) in self.work.iter().zip(&mut self.stored) {
            if work.state != *stored {
                put_work(connection, work)?;
                *stored = work.state;
            }
        }
        Ok(())
    }
}

fn add(connection: &Connection, work: NewWork) -> Done<Work> {
    // Its number is known once it is in.
    let mut work = work.into_work(0);
    let inserted = connection
        .prepare_cached(
            "INSERT INTO work (tenant, id, agent, kind, payload, state, priority, ttl, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .insert(params![
            work.tenant,
            work.id,
            work.agent,
            work.kind,
            Column(&work.payload),
            Column(work.state),
            work.priority,
            Column(work.ttl),
            Column(work.created_at),
            Column(work.updated_at),
        ]);
    work.no = unless_taken(inserted, "work")?;
    Ok(work)
}

/// Writes what can change of a piece of work.
fn put_work(connection: &Connection, work: &Work) -> Done<()> {
    connection
        .prepare_cached(
            "UPDATE work SET state = ?2, delivered_at = ?3, completed_at = ?4, updated_at = ?5, result = ?6
             WHERE no = ?1",
        )?
        .execute(params![
            work.no,
            Column(work.state),
            work.delivered_at.map(Column),
            work.completed_at.map(Column),
            Column(work.updated_at),
            work.result.as_ref().map(Column),
        ])?;
    Ok(())
}
