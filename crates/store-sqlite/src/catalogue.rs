use chrono::{DateTime, Utc};
use fleetwire_server_core::domain::{Agent, Model, No, Release};
use fleetwire_server_core::events::NewEvent;
use fleetwire_server_core::store::{Catalogue, Outcome, StoreError};
use rusqlite::{Connection, params};

use crate::SqliteStore;
use crate::directory::{known_agent, put};
use crate::error::{Done, unless_taken};
use crate::events::tell;
use crate::rows::{Column, Columns, first};

impl Catalogue for SqliteStore {
    async fn add_model(&self, model: Model) -> Outcome<()> {
        self.write(move |connection| {
            let inserted = connection.execute(
                "INSERT INTO models (tenant, id, name, version, download_url, file_ext, label_map, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    model.tenant,
                    model.id,
                    model.name,
                    model.version,
                    model.download_url,
                    model.file_ext,
                    model.label_map,
                    Column(model.created_at),
                ],
            );
            unless_taken(inserted, "model").map(drop)
        })
        .await
    }

    async fn set_desired_model(&self, no: No, model: String, at: DateTime<Utc>) -> Outcome<Agent> {
        self.write(move |connection| {
            let mut agent = known_agent(connection, no)?;
            if find_model(connection, agent.tenant, &model)?.is_none() {
                return Err(StoreError::Missing("model").into());
            }
            let before = agent.desired_model.replace(model);
            agent.desired_at = Some(at);
            agent.updated_at = at;
            put(connection, &agent)?;
            tell(connection, NewEvent::model_assigned(before.as_deref(), &agent, at))?;
            Ok(agent)
        })
        .await
    }

    async fn add_release(&self, release: Release) -> Outcome<()> {
        self.write(move |connection| {
            let size = i64::try_from(release.size)
                .map_err(|_| StoreError::Unavailable("no file is as large as that".to_owned()))?;
            connection.execute(
                "INSERT INTO releases (tenant, version, os, arch, sha256, signature, size, download_url,
                     mandatory, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    release.tenant,
                    release.version,
                    release.os,
                    release.arch,
                    release.sha256,
                    release.signature,
                    size,
                    release.download_url,
                    release.mandatory,
                    Column(release.created_at),
                ],
            )?;
            Ok(())
        })
        .await
    }

    async fn latest_release(&self, tenant: No, os: String, arch: String) -> Outcome<Option<Release>> {
        self.read(move |connection| {
            first(
                connection,
                "SELECT tenant, version, os, arch, sha256, signature, size, download_url, mandatory, created_at
                 FROM releases WHERE tenant = ?1 AND os = ?2 AND arch = ?3 ORDER BY no DESC LIMIT 1",
                params![tenant, os, arch],
                |row| {
                    let mut columns = Columns::of(row);
                    Ok(Release {
                        tenant: columns.plain()?,
                        version: columns.plain()?,
                        os: columns.plain()?,
                        arch: columns.plain()?,
                        sha256: columns.plain()?,
                        signature: columns.plain()?,
                        size: columns.plain::<i64>()?.unsigned_abs(),
                        download_url: columns.plain()?,
                        mandatory: columns.plain()?,
                        created_at: columns.get()?,
                    })
                },
            )
        })
        .await
    }
}

pub(crate) fn find_model(connection: &Connection, tenant: No, id: &str) -> Done<Option<Model>> {
    first(
        connection,
        "SELECT id, tenant, name, version, download_url, file_ext, label_map, created_at
         FROM models WHERE tenant = ?1 AND id = ?2",
        params![tenant, id],
        |row| {
            let mut columns = Columns::of(row);
            Ok(Model {
                id: columns.plain()?,
                tenant: columns.plain()?,
                name: columns.plain()?,
                version: columns.plain()?,
                download_url: columns.plain()?,
                file_ext: columns.plain()?,
                label_map: columns.plain()?,
                created_at: columns.get()?,
            })
        },
    )
}
