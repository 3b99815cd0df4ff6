use fleetwire_server_core::domain::{BatchLimits, NewImage, No, Recorded};
use fleetwire_server_core::events::NewEvent;
use fleetwire_server_core::store::{Images, Outcome, StoreError};
use rusqlite::{Connection, params};

use crate::SqliteStore;
use crate::directory::known_agent;
use crate::error::{Done, unless_taken};
use crate::events::tell;
use crate::rows::{Column, Columns, first};

impl Images for SqliteStore {
    async fn record_image(&self, image: NewImage, limits: BatchLimits) -> Outcome<Recorded> {
        self.write(move |connection| record(connection, &image, limits)).await
    }
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

    let (batch, batch_id) = slot(connection, image, limits)?;
    let [model_id, model_name, model_version] = &image.model;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO images (id, batch, agent, storage_key, filename, width, height, model_id, model_name,
                 model_version, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .insert(params![
            image.id,
            batch,
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
    let mut annotate = connection.prepare_cached(
        "INSERT INTO annotations (image, class, confidence, x, y, width, height, crosses_edge)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for annotation in &image.annotations {
        let [x, y, width, height] = annotation.bounds.map_or([None; 4], |bounds| bounds.map(Some));
        annotate.execute(params![
            no,
            annotation.class,
            annotation.confidence,
            x,
            y,
            width,
            height,
            annotation.crosses_edge()
        ])?;
    }
    connection
        .prepare_cached("UPDATE agents SET images = images + 1 WHERE no = ?1")?
        .execute([image.agent])?;
    Ok(Recorded::Now { image: image.id.clone(), batch: batch_id })
}

/// Takes a slot in the device's batch; opens another if it takes no more. Returns its number and id.
fn slot(connection: &Connection, image: &NewImage, limits: BatchLimits) -> Done<(No, String)> {
    let latest = first(
        connection,
        "SELECT no, id, images, opened_at FROM batches WHERE agent = ?1 ORDER BY no DESC LIMIT 1",
        [image.agent],
        |row| {
            let mut columns = Columns::of(row);
            let batch: (No, String) = (columns.plain()?, columns.plain()?);
            Ok((batch, columns.plain()?, columns.get()?))
        },
    )?;
    let device = match latest {
        Some((batch, images, opened_at)) if limits.takes_another(images, opened_at, image.at) => {
            connection
                .prepare_cached("UPDATE batches SET images = images + 1 WHERE no = ?1")?
                .execute([batch.0])?;
            return Ok(batch);
        }
        Some((batch, images, _)) => {
            let device = known_agent(connection, image.agent)?;
            tell(connection, [NewEvent::batch_closed(&device, &batch.1, images, &limits, image.at)])?;
            device
        }
        None => known_agent(connection, image.agent)?,
    };
    let opened = connection
        .prepare_cached("INSERT INTO batches (id, agent, images, opened_at) VALUES (?1, ?2, 1, ?3)")?
        .insert(params![image.batch, image.agent, Column(image.at)]);
    let opened = unless_taken(opened, "batch")?;
    tell(connection, [NewEvent::batch_opened(&device, &image.batch, image.at)])?;
    Ok((opened, image.batch.clone()))
}
