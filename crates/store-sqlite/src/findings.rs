use chrono::{DateTime, Utc};
use fleetwire_server_core::domain::{Finding, FindingFilter, FoundRow, No, Work};
use rusqlite::{Connection, params};

use crate::error::Done;
use crate::rows::{Column, Columns, all};

/// Keeps what work has found; what came under an id that is there already is left out.
pub(crate) fn add(connection: &Connection, work: &Work, findings: &[Finding], at: DateTime<Utc>) -> Done<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO findings (tenant, id, agent, work, execution, test, control, exit_code, compliant, detail, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (tenant, id) DO NOTHING",
    )?;
    for finding in findings {
        insert.execute(params![
            work.tenant,
            finding.id,
            work.agent,
            work.id,
            work.execution_number,
            finding.test,
            finding.control,
            finding.exit_code,
            finding.compliant,
            Column(&finding.detail),
            Column(at),
        ])?;
    }
    Ok(())
}

/// The findings asked for, the latest first.
pub(crate) fn find(connection: &Connection, tenant: No, filter: &FindingFilter) -> Done<Vec<FoundRow>> {
    // What is not asked for is left out of the question, so that an index answers the rest.
    let mut sql =
        "SELECT no, tenant, agent, work, execution, id, test, control, exit_code, compliant, detail, at \
                   FROM findings WHERE tenant = ?1"
            .to_owned();
    for (asked, condition) in [
        (filter.agent.is_some(), " AND agent = ?2"),
        (filter.work.is_some(), " AND work = ?3"),
        (filter.control.is_some(), " AND control = ?4"),
        (filter.before.is_some(), " AND no < ?5"),
    ] {
        if asked {
            sql.push_str(condition);
        }
    }
    sql.push_str(" ORDER BY no DESC LIMIT ?6");
    let asked = params![tenant, filter.agent, filter.work, filter.control, filter.before, filter.limit];
    all(connection, &sql, asked, |row| {
        let mut columns = Columns::of(row);
        Ok(FoundRow {
            no: columns.plain()?,
            tenant: columns.plain()?,
            agent: columns.plain()?,
            work: columns.plain()?,
            execution: columns.plain()?,
            finding: Finding {
                id: columns.plain()?,
                test: columns.plain()?,
                control: columns.plain()?,
                exit_code: columns.plain()?,
                compliant: columns.plain()?,
                detail: columns.get()?,
            },
            at: columns.get()?,
        })
    })
}
