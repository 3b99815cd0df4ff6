use chrono::{DateTime, Utc};
use fleetwire_server_core::domain::{
    Asked, CommandUpdate, Delivery, Execution, FindingFilter, FoundRow, HandedOver, HostReport, MODEL_UPDATE,
    ModelReport, Moved, NewWork, No, Queued, Reconciled, Reported, SECRETS, Standing, Swept, Work,
    WorkFilter, WorkReport,
};
use fleetwire_server_core::events::NewEvent;
use fleetwire_server_core::lease::Downtime;
use fleetwire_server_core::store::{Outcome, StoreError, WorkQueue};
use rusqlite::{Connection, params};

use crate::SqliteStore;
use crate::catalogue::find_model;
use crate::directory::{known_agent, put, stand};
use crate::error::{Done, unless_taken};
use crate::events::tell;
use crate::findings;
use crate::rows::{Column, Columns, all, first, work, work_columns};

impl WorkQueue for SqliteStore {
    async fn queue(&self, work: NewWork) -> Outcome<Queued> {
        self.write(move |connection| add(connection, work)).await
    }

    async fn ask(&self, work: NewWork, most: u32) -> Outcome<Asked> {
        self.write(move |connection| ask(connection, work, most)).await
    }

    async fn deliver(&self, agent: No, delivery: Delivery, at: DateTime<Utc>) -> Outcome<HandedOver> {
        self.write(move |connection| hand_over(connection, agent, delivery, at)).await
    }

    async fn report_work(&self, report: WorkReport) -> Outcome<Reported> {
        self.write(move |connection| {
            let Some(work) = find(connection, report.tenant, &report.work)? else {
                return Ok(Reported::Unknown);
            };
            let earlier = executions(connection, &work)?;
            let reported = put_moved(connection, work.report(&earlier, &report))?;
            if let Reported::Now(work) = &reported {
                findings::add(connection, work, &report.findings, report.at)?;
                let agent = known_agent(connection, work.agent)?;
                if agent.has_left_by(work) {
                    stand(connection, agent, Standing::Uninstalled, report.at)?;
                }
            }
            Ok(reported)
        })
        .await
    }

    async fn take_work(&self, tenant: No, id: String, at: DateTime<Utc>) -> Outcome<Reported> {
        self.write(move |connection| match find(connection, tenant, &id)? {
            Some(work) => put_moved(connection, work.take_up(at)),
            None => Ok(Reported::Unknown),
        })
        .await
    }

    async fn cancel_work(&self, tenant: No, id: String, at: DateTime<Utc>) -> Outcome<Reported> {
        self.write(move |connection| match find(connection, tenant, &id)? {
            Some(work) => put_moved(connection, work.cancel(at)),
            None => Ok(Reported::Unknown),
        })
        .await
    }

    async fn reconcile_model(&self, report: ModelReport) -> Outcome<Reconciled> {
        self.write(move |connection| {
            let mut agent = known_agent(connection, report.agent)?;
            let before = agent.clone();
            let mut open = Open::of(connection, agent.no)?;
            let wanted = report.reconcile(&mut agent, &mut open.work);
            open.put(connection, &[])?;
            if agent != before {
                put(connection, &agent)?;
                let before = before.current_model.as_deref();
                tell(connection, NewEvent::model_reported(before, &agent, report.at))?;
            }
            if let Some(model) = wanted {
                let last = last_model_action(connection, agent.no)?;
                if !last.is_some_and(|action| agent.gave_up(&action)) {
                    let model = find_model(connection, agent.tenant, &model)?;
                    let model = model.ok_or(StoreError::Missing("model"))?;
                    add(connection, report.action(&agent, &model))?;
                    open = Open::of(connection, agent.no)?;
                }
            }
            let handed_over = Delivery::All.hand_over(&mut open.work, report.at);
            open.put(connection, &handed_over.ended)?;
            Ok(Reconciled { agent, handed_over })
        })
        .await
    }

    async fn sweep_work(&self, at: DateTime<Utc>, limit: u32) -> Outcome<Swept> {
        const UNBEGUN: &str = concat!(
            "SELECT ",
            work_columns!(),
            " FROM work WHERE state IN ('queued', 'delivered') AND acknowledged_at IS NULL AND expires_at < ?1 ",
            "ORDER BY expires_at LIMIT ?2"
        );
        const TOO_LONG: &str = concat!(
            "SELECT ",
            work_columns!(),
            " FROM work WHERE state IN ('delivered', 'running') AND deadline IS NOT NULL AND deadline < ?1 ",
            "ORDER BY deadline LIMIT ?2"
        );
        // Nothing is due most of the time, and the writer is not asked to find that out.
        let look = move |connection: &Connection| -> Done<Vec<Work>> {
            let mut due = all(connection, UNBEGUN, params![Column(at), limit], work)?;
            due.extend(all(connection, TOO_LONG, params![Column(at), limit], work)?);
            due.sort_by_key(|work| (work.due_since(at), work.no));
            due.dedup_by_key(|work| work.no);
            due.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(due)
        };
        if self.read(look).await?.is_empty() {
            return Ok(Swept::default());
        }
        self.write(move |connection| {
            let mut swept = Swept::default();
            for mut work in look(connection)? {
                let ended = work.look(at);
                swept.note(&work);
                put_work(connection, &work)?;
                put_executions(connection, ended.as_slice())?;
            }
            Ok(swept)
        })
        .await
    }

    async fn give_up_work(&self, agents: Vec<No>, at: DateTime<Utc>) -> Outcome<Swept> {
        self.write(move |connection| {
            let mut swept = Swept::default();
            for agent in agents {
                for work in Open::of(connection, agent)?.stored {
                    let mut given_up = work.clone();
                    let ended = given_up.give_up(at);
                    if given_up != work {
                        swept.note(&given_up);
                        put_work(connection, &given_up)?;
                        put_executions(connection, ended.as_slice())?;
                    }
                }
            }
            Ok(swept)
        })
        .await
    }

    async fn excuse(&self, downtime: Downtime) -> Outcome<()> {
        const SQL: &str = concat!(
            "SELECT ",
            work_columns!(),
            " FROM work WHERE state IN ('delivered', 'running') AND deadline IS NOT NULL AND deadline > ?1"
        );
        self.write(move |connection| {
            let mut put_off = connection.prepare_cached("UPDATE work SET deadline = ?2 WHERE no = ?1")?;
            for mut work in all(connection, SQL, [Column(downtime.from)], work)? {
                work.excuse(downtime);
                put_off.execute(params![work.no, work.deadline.map(Column)])?;
            }
            connection.execute(
                "UPDATE uptime SET up_until = max(up_until, ?1) WHERE id = 1",
                [Column(downtime.to)],
            )?;
            Ok(())
        })
        .await
    }

    async fn work(&self, tenant: No, filter: WorkFilter) -> Outcome<Vec<Work>> {
        self.read(move |connection| list(connection, tenant, &filter)).await
    }

    async fn work_named(&self, tenant: No, id: String) -> Outcome<Option<(Work, Vec<Execution>)>> {
        self.read(move |connection| {
            let Some(work) = find(connection, tenant, &id)? else { return Ok(None) };
            let earlier = executions(connection, &work)?;
            Ok(Some((work, earlier)))
        })
        .await
    }

    async fn findings(&self, tenant: No, filter: FindingFilter) -> Outcome<Vec<FoundRow>> {
        self.read(move |connection| findings::find(connection, tenant, &filter)).await
    }
}

/// The open work of an agent, the most urgent first, then the oldest.
struct Open {
    work: Vec<Work>,
    /// As it is stored.
    stored: Vec<Work>,
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
        Ok(Self { stored: work.clone(), work })
    }

    /// Writes what has changed, and the executions that have ended.
    fn put(&mut self, connection: &Connection, ended: &[Execution]) -> Done<()> {
        for (work, stored) in self.work.iter().zip(&mut self.stored) {
            if work != stored {
                put_work(connection, work)?;
                stored.clone_from(work);
            }
        }
        put_executions(connection, ended)
    }
}

/// Hands over the open work of an agent.
pub(crate) fn hand_over(
    connection: &Connection,
    agent: No,
    delivery: Delivery,
    at: DateTime<Utc>,
) -> Done<HandedOver> {
    let mut open = Open::of(connection, agent)?;
    let handed_over = delivery.hand_over(&mut open.work, at);
    open.put(connection, &handed_over.ended)?;
    Ok(handed_over)
}

/// Takes what a host says of a command that it was given.
pub(crate) fn tell_command(
    connection: &Connection,
    report: &HostReport,
    host: No,
    update: &CommandUpdate,
) -> Done<Reported> {
    const SQL: &str = concat!("SELECT ", work_columns!(), " FROM work WHERE no = ?1 AND tenant = ?2");
    let Some(work) = first(connection, SQL, [update.no, report.tenant], work)? else {
        return Ok(Reported::Unknown);
    };
    let word = report.word_of(host, &work, update);
    let earlier = executions(connection, &work)?;
    put_moved(connection, work.report(&earlier, &word))
}

fn find(connection: &Connection, tenant: No, id: &str) -> Done<Option<Work>> {
    const SQL: &str = concat!("SELECT ", work_columns!(), " FROM work WHERE tenant = ?1 AND id = ?2");
    first(connection, SQL, params![tenant, id], work)
}

fn last_model_action(connection: &Connection, agent: No) -> Done<Option<Work>> {
    const SQL: &str = concat!(
        "SELECT ",
        work_columns!(),
        " FROM work WHERE agent = ?1 AND kind = ?2 ORDER BY no DESC LIMIT 1"
    );
    first(connection, SQL, params![agent, MODEL_UPDATE], work)
}

/// The executions before the present one, the first one first.
fn executions(connection: &Connection, work: &Work) -> Done<Vec<Execution>> {
    const SQL: &str =
        "SELECT work, number, state, delivered_at, acknowledged_at, ended_at, result FROM executions
                       WHERE work = ?1 ORDER BY number";
    if work.execution_number == 1 {
        return Ok(Vec::new());
    }
    all(connection, SQL, [work.no], |row| {
        let mut columns = Columns::of(row);
        Ok(Execution {
            work: columns.plain()?,
            number: columns.plain()?,
            state: columns.get()?,
            delivered_at: columns.maybe()?,
            acknowledged_at: columns.maybe()?,
            ended_at: columns.get()?,
            result: columns.maybe()?,
        })
    })
}

fn put_executions(connection: &Connection, ended: &[Execution]) -> Done<()> {
    for execution in ended {
        connection
            .prepare_cached(
                "INSERT INTO executions (work, number, state, delivered_at, acknowledged_at, ended_at, result)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                execution.work,
                execution.number,
                Column(execution.state),
                execution.delivered_at.map(Column),
                execution.acknowledged_at.map(Column),
                Column(execution.ended_at),
                execution.result.as_ref().map(Column),
            ])?;
    }
    Ok(())
}

/// Writes what has happened to work, and returns what to answer.
fn put_moved(connection: &Connection, moved: Moved) -> Done<Reported> {
    if let Some(work) = &moved.stored {
        put_work(connection, work)?;
    }
    put_executions(connection, &moved.ended)?;
    Ok(moved.outcome)
}

/// The work asked for, the latest first.
fn list(connection: &Connection, tenant: No, filter: &WorkFilter) -> Done<Vec<Work>> {
    // What is not asked for is left out of the question, so that an index answers the rest.
    let mut sql = concat!("SELECT ", work_columns!(), " FROM work WHERE tenant = ?1").to_owned();
    for (asked, condition) in [
        (filter.agent.is_some(), " AND agent = ?2"),
        (filter.vendor.is_some(), " AND (SELECT vendor FROM agents WHERE agents.no = work.agent) = ?3"),
        (filter.state.is_some(), " AND state = ?4"),
        (filter.before.is_some(), " AND no < ?5"),
    ] {
        if asked {
            sql.push_str(condition);
        }
    }
    sql.push_str(" ORDER BY no DESC LIMIT ?6");
    let asked = params![
        tenant,
        filter.agent,
        filter.vendor.map(Column),
        filter.state.map(Column),
        filter.before,
        filter.limit
    ];
    all(connection, &sql, asked, work)
}

fn ask(connection: &Connection, work: NewWork, most: u32) -> Done<Asked> {
    const LAST: &str = concat!("SELECT ", work_columns!(), " FROM work WHERE no = ?1 AND tenant = ?2");
    let open =
        "SELECT max(no), count(*) FROM work WHERE agent = ?1 AND state IN ('queued', 'delivered', 'running')";
    let open: Option<(Option<No>, i64)> =
        first(connection, open, [work.agent], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (last, open) = open.unwrap_or_default();
    let last = match last {
        Some(last) => first(connection, LAST, [last, work.tenant], self::work)?,
        None => None,
    };
    if let Some(last) = last.filter(|last| work.repeats(last)) {
        return Ok(Asked::Waiting(last));
    }
    if open >= i64::from(most) {
        return Ok(Asked::Full);
    }
    Ok(match add(connection, work)? {
        Queued::Now(work) => Asked::Now(work),
        Queued::Before(work) | Queued::Conflict(work) => Asked::Waiting(work),
    })
}

/// Calls off all open work of an agent.
pub(crate) fn call_off_all(connection: &Connection, agent: No, at: DateTime<Utc>) -> Done<()> {
    for work in Open::of(connection, agent)?.stored {
        put_moved(connection, work.cancel(at))?;
    }
    Ok(())
}

fn add(connection: &Connection, work: NewWork) -> Done<Queued> {
    const BY_KEY: &str = concat!("SELECT ", work_columns!(), " FROM work WHERE agent = ?1 AND key = ?2");
    if known_agent(connection, work.agent)?.tenant != work.tenant {
        return Err(StoreError::Missing("agent").into());
    }
    if let Some(key) = &work.key
        && let Some(known) = first(connection, BY_KEY, params![work.agent, key], self::work)?
    {
        return Ok(work.meets(known));
    }
    // Its number is known once it is in.
    let mut work = work.into_work(0);
    let inserted = connection
        .prepare_cached(
            "INSERT INTO work (tenant, id, agent, kind, payload, state, priority, ttl, created_at, updated_at, key,
                 not_before, timeout, max_retries, execution_number, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
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
            work.key,
            work.not_before.map(Column),
            work.timeout.map(Column),
            work.max_retries,
            work.execution_number,
            Column(work.expires_at()),
        ]);
    work.no = unless_taken(inserted, "work")?;
    tell(connection, NewEvent::work(None, &work))?;
    Ok(Queued::Now(work))
}

/// Writes what can change of a piece of work.
fn put_work(connection: &Connection, work: &Work) -> Done<()> {
    let sql = "SELECT state, execution_number FROM work WHERE no = ?1";
    let before = first(connection, sql, [work.no], |row| {
        let Column(state) = row.get(0)?;
        Ok((state, row.get(1)?))
    })?;
    tell(connection, NewEvent::work(before, work))?;
    connection
        .prepare_cached(
            "UPDATE work SET state = ?2, delivered_at = ?3, completed_at = ?4, updated_at = ?5, result = ?6,
                 execution_number = ?7, acknowledged_at = ?8, deadline = ?9,
                 payload = CASE WHEN ?10 AND instr(payload, ?11) > 0 THEN json_remove(payload, '$.' || ?11)
                                ELSE payload END
             WHERE no = ?1",
        )?
        .execute(params![
            work.no,
            Column(work.state),
            work.delivered_at.map(Column),
            work.completed_at.map(Column),
            Column(work.updated_at),
            work.result.as_ref().map(Column),
            work.execution_number,
            work.acknowledged_at.map(Column),
            work.deadline.map(Column),
            !work.payload.contains_key(SECRETS),
            SECRETS,
        ])?;
    Ok(())
}
