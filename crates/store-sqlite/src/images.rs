use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fleetwire_server_core::domain::{
    Agent, Annotation, Batch, BatchFilter, BatchLimits, ImageFilter, ImageRow, NewImage, No, PROJECT_LABEL,
    Recorded, WhyClosed,
};
use fleetwire_server_core::events::NewEvent;
use fleetwire_server_core::store::{Images, Outcome, StoreError};
use rusqlite::{Connection, Row, ToSql, params};

use crate::SqliteStore;
use crate::directory::known_agent;
use crate::error::{Done, unless_taken};
use crate::events::tell;
use crate::rows::{Column, Columns, all, first};

/// The columns of a batch, in the order of [`batch`].
macro_rules! batch_columns {
    () => {
        "batches.no, batches.id, batches.agent, batches.project, batches.images, batches.opened_at, \
         batches.why_closed, batches.closed_at"
    };
}

impl Images for SqliteStore {
    async fn record_image(&self, image: NewImage, limits: BatchLimits) -> Outcome<Recorded> {
        self.write(move |connection| record(connection, &image, limits)).await
    }

    async fn close_old_batches(&self, age: Duration, at: DateTime<Utc>, limit: u32) -> Outcome<u32> {
        const SQL: &str = concat!(
            "SELECT ",
            batch_columns!(),
            " FROM batches WHERE closed_at IS NULL AND opened_at < ?1 ORDER BY opened_at, no LIMIT ?2"
        );
        let before = TimeDelta::from_std(age).ok().and_then(|age| at.checked_sub_signed(age));
        let Some(before) = before else { return Ok(0) };
        let due = move |connection: &Connection| all(connection, SQL, params![Column(before), limit], batch);
        // Most often there is none, and nobody has to wait for the writer.
        if self.read(due).await?.is_empty() {
            return Ok(0);
        }
        self.write(move |connection| {
            let old = due(connection)?;
            for batch in &old {
                close(connection, &known_agent(connection, batch.agent)?, batch, WhyClosed::Old, at)?;
            }
            Ok(u32::try_from(old.len()).unwrap_or(u32::MAX))
        })
        .await
    }

    async fn close_batch(&self, tenant: No, id: String, at: DateTime<Utc>) -> Outcome<Option<Batch>> {
        self.write(move |connection| {
            let Some(found) = named(connection, tenant, &id)? else { return Ok(None) };
            if found.closed.is_none() {
                let device = known_agent(connection, found.agent)?;
                close(connection, &device, &found, WhyClosed::Operator, at)?;
            }
            named(connection, tenant, &id)
        })
        .await
    }

    async fn batch_named(&self, tenant: No, id: String) -> Outcome<Option<Batch>> {
        self.read(move |connection| named(connection, tenant, &id)).await
    }

    async fn batches(&self, tenant: No, filter: BatchFilter) -> Outcome<Vec<Batch>> {
        self.read(move |connection| {
            let BatchFilter { agent, open, before, limit } = filter;
            let mut sql = concat!(
                "SELECT ",
                batch_columns!(),
                " FROM batches JOIN agents ON agents.no = batches.agent WHERE agents.tenant = ?1"
            )
            .to_owned();
            for (asked, condition) in [
                (agent.is_some(), " AND batches.agent = ?2"),
                (before.is_some(), " AND batches.no < ?3"),
                (open == Some(true), " AND batches.closed_at IS NULL"),
                (open == Some(false), " AND batches.closed_at IS NOT NULL"),
            ] {
                if asked {
                    sql.push_str(condition);
                }
            }
            sql.push_str(" ORDER BY batches.no DESC LIMIT ?4");
            all(connection, &sql, params![tenant, agent, before, limit], batch)
        })
        .await
    }

    async fn images(&self, tenant: No, filter: ImageFilter) -> Outcome<Vec<ImageRow>> {
        self.read(move |connection| {
            let ImageFilter { agent, batch, before, limit } = filter;
            let mut sql = "SELECT images.no, images.id, batches.id, images.agent, images.storage_key, \
                           images.filename, images.width, images.height, images.model_id, images.model_name, \
                           images.model_version, images.created_at FROM images \
                           JOIN batches ON batches.no = images.batch JOIN agents ON agents.no = images.agent \
                           WHERE agents.tenant = ?1"
                .to_owned();
            for (asked, condition) in [
                (agent.is_some(), " AND images.agent = ?2"),
                (batch.is_some(), " AND batches.id = ?3"),
                (before.is_some(), " AND images.no < ?4"),
            ] {
                if asked {
                    sql.push_str(condition);
                }
            }
            sql.push_str(" ORDER BY images.no DESC LIMIT ?5");
            let mut rows = all(connection, &sql, params![tenant, agent, batch, before, limit], image)?;
            for row in &mut rows {
                row.image.annotations = all(
                    connection,
                    "SELECT class, confidence, x, y, width, height FROM annotations WHERE image = ?1 ORDER BY no",
                    [row.no],
                    annotation,
                )?;
            }
            Ok(rows)
        })
        .await
    }
}

fn batch(row: &Row<'_>) -> rusqlite::Result<Batch> {
    let mut columns = Columns::of(row);
    Ok(Batch {
        no: columns.plain()?,
        id: columns.plain()?,
        agent: columns.plain()?,
        project: columns.plain()?,
        images: columns.plain()?,
        opened_at: columns.get()?,
        closed: columns.maybe()?.zip(columns.maybe()?),
    })
}

fn image(row: &Row<'_>) -> rusqlite::Result<ImageRow> {
    let mut columns = Columns::of(row);
    Ok(ImageRow {
        no: columns.plain()?,
        image: NewImage {
            id: columns.plain()?,
            batch: columns.plain()?,
            agent: columns.plain()?,
            storage_key: columns.plain()?,
            filename: columns.plain()?,
            width: columns.plain()?,
            height: columns.plain()?,
            model: [columns.plain()?, columns.plain()?, columns.plain()?],
            annotations: Vec::new(),
            at: columns.get()?,
        },
    })
}

fn annotation(row: &Row<'_>) -> rusqlite::Result<Annotation> {
    let mut columns = Columns::of(row);
    let (class, confidence) = (columns.plain()?, columns.plain()?);
    let bounds: [Option<f64>; 4] = [columns.plain()?, columns.plain()?, columns.plain()?, columns.plain()?];
    let bounds = match bounds {
        [Some(x), Some(y), Some(width), Some(height)] => Some([x, y, width, height]),
        _ => None,
    };
    Ok(Annotation { class, confidence, bounds })
}

fn named(connection: &Connection, tenant: No, id: &str) -> Done<Option<Batch>> {
    const SQL: &str = concat!(
        "SELECT ",
        batch_columns!(),
        " FROM batches JOIN agents ON agents.no = batches.agent WHERE agents.tenant = ?1 AND batches.id = ?2"
    );
    first(connection, SQL, params![tenant, id], batch)
}

/// Closes a batch that is open, and tells of it.
fn close(
    connection: &Connection,
    device: &Agent,
    batch: &Batch,
    why: WhyClosed,
    at: DateTime<Utc>,
) -> Done<()> {
    connection
        .prepare_cached("UPDATE batches SET why_closed = ?2, closed_at = ?3 WHERE no = ?1")?
        .execute(params![batch.no, Column(why), Column(at)])?;
    tell(connection, [NewEvent::batch_closed(device, batch, why, at)])
}

fn record(connection: &Connection, image: &NewImage, limits: BatchLimits) -> Done<Recorded> {
    let count: Option<i64> =
        first(connection, "SELECT images FROM agents WHERE no = ?1", [image.agent], |row| row.get(0))?;
    let count = count.ok_or(StoreError::Missing("agent"))?;
    let before = first(
        connection,
        "SELECT images.id, batches.id FROM images JOIN batches ON batches.no = images.batch
         WHERE images.agent = ?1 AND images.storage_key = ?2",
        params![image.agent, image.storage_key],
        |row| Ok(Recorded::Before { image: row.get(0)?, batch: row.get(1)? }),
    )?;
    if let Some(before) = before {
        return Ok(before);
    }
    if count.unsigned_abs() >= limits.quota {
        return Ok(Recorded::Full);
    }

    let batch = slot(connection, image, &limits)?;
    let [model_id, model_name, model_version] = &image.model;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO images (id, batch, agent, storage_key, filename, width, height, model_id, model_name,
                 model_version, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .insert(params![
            image.id,
            batch.no,
            image.agent,
            image.storage_key,
            image.filename,
            image.width,
            image.height,
            model_id,
            model_name,
            model_version,
            Column(image.at),
        ]);
    let no = unless_taken(inserted, "image")?;
    let (many, rest) = image.annotations.as_chunks::<AT_ONCE>();
    many.iter().try_for_each(|annotations| annotate(connection, ANNOTATE_MANY, no, annotations))?;
    rest.chunks(1).try_for_each(|annotation| annotate(connection, ANNOTATE, no, annotation))?;
    connection
        .prepare_cached("UPDATE agents SET images = images + 1 WHERE no = ?1")?
        .execute([image.agent])?;
    Ok(Recorded::Now { image: image.id.clone(), batch: batch.id })
}

/// The statement that writes annotations, with the values of one, or of more.
macro_rules! annotate {
    ($($value:literal),*) => {
        concat!(
            "INSERT INTO annotations (image, class, confidence, x, y, width, height, crosses_edge) VALUES ",
            $($value),*
        )
    };
}

const ANNOTATE: &str = annotate!("(?, ?, ?, ?, ?, ?, ?, ?)");

/// Annotations that are written by one statement, where there are so many.
const AT_ONCE: usize = 10;

const ANNOTATE_MANY: &str = annotate!(
    "(?, ?, ?, ?, ?, ?, ?, ?), ",
    "(?, ?, ?, ?, ?, ?, ?, ?), ",
    "(?, ?, ?, ?, ?, ?, ?, ?), ",
    "(?, ?, ?, ?, ?, ?, ?, ?), ",
    "(?, ?, ?, ?, ?, ?, ?, ?), ",
    "(?, ?, ?, ?, ?, ?, ?, ?), ",
    "(?, ?, ?, ?, ?, ?, ?, ?), ",
    "(?, ?, ?, ?, ?, ?, ?, ?), ",
    "(?, ?, ?, ?, ?, ?, ?, ?), ",
    "(?, ?, ?, ?, ?, ?, ?, ?)"
);

/// Writes as many annotations as a statement has room for.
fn annotate(connection: &Connection, sql: &str, image: No, annotations: &[Annotation]) -> Done<()> {
    let mut annotate = connection.prepare_cached(sql)?;
    let mut place = 1..;
    for annotation in annotations {
        let bounds = annotation.bounds.map_or([None; 4], |bounds| bounds.map(Some));
        let mut bind = |value: &dyn ToSql| match place.next() {
            Some(place) => annotate.raw_bind_parameter(place, value),
            None => Ok(()),
        };
        bind(&image)?;
        bind(&annotation.class)?;
        bind(&annotation.confidence)?;
        bounds.iter().try_for_each(|bound| bind(bound))?;
        bind(&annotation.crosses_edge())?;
    }
    annotate.raw_execute()?;
    Ok(())
}

/// Takes a slot in the batch that a device's images go into; opens one if there is none. A batch whose last slot
/// is taken is closed.
fn slot(connection: &Connection, image: &NewImage, limits: &BatchLimits) -> Done<Batch> {
    const OPEN: &str =
        concat!("SELECT ", batch_columns!(), " FROM batches WHERE agent = ?1 AND closed_at IS NULL");
    let device = known_agent(connection, image.agent)?;
    let open = first(connection, OPEN, [device.no], batch)?;
    let taken = match open {
        Some(mut batch) => match batch.refuses(&device, limits, image.at) {
            None => {
                batch.images += 1;
                connection
                    .prepare_cached("UPDATE batches SET images = ?2 WHERE no = ?1")?
                    .execute(params![batch.no, batch.images])?;
                Some(batch)
            }
            Some(why) => {
                close(connection, &device, &batch, why, image.at)?;
                None
            }
        },
        None => None,
    };
    let taken = match taken {
        Some(batch) => batch,
        None => open_batch(connection, &device, image)?,
    };
    if taken.images >= limits.images {
        close(connection, &device, &taken, WhyClosed::Full, image.at)?;
    }
    Ok(taken)
}

fn open_batch(connection: &Connection, device: &Agent, image: &NewImage) -> Done<Batch> {
    let project = device.labels.get(PROJECT_LABEL).cloned();
    let opened = connection
        .prepare_cached(
            "INSERT INTO batches (id, agent, project, images, opened_at) VALUES (?1, ?2, ?3, 1, ?4)",
        )?
        .insert(params![image.batch, device.no, project, Column(image.at)]);
    let no = unless_taken(opened, "batch")?;
    tell(connection, [NewEvent::batch_opened(device, &image.batch, image.at)])?;
    let id = image.batch.clone();
    Ok(Batch { no, id, agent: device.no, project, images: 1, opened_at: image.at, closed: None })
}
