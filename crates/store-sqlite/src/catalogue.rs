use chrono::{DateTime, Utc};
use fleetwire_server_core::domain::{
    Agent, Binary, FileKind, FilePlace, Freed, HeldFile, InstructionFile, Instructions, Model, No, Release,
    SigningKey,
};
use fleetwire_server_core::events::NewEvent;
use fleetwire_server_core::store::{Catalogue, Outcome, StoreError};
use rusqlite::{Connection, Row, params};
use serde_json::{Value, json};

use crate::SqliteStore;
use crate::directory::{known_agent, put};
use crate::error::{Done, Failure, unless_taken};
use crate::events::tell;
use crate::rows::{Column, Columns, all, first};

/// The columns of a model, in the order of [`model`].
macro_rules! model_columns {
    () => {
        "id, tenant, name, version, download_url, sha256, size, file_ext, label_map, created_at"
    };
}

/// The columns of a release, in the order of [`release`].
macro_rules! release_columns {
    () => {
        "no, tenant, version, os, arch, sha256, signature, size, download_url, held, mandatory, created_at"
    };
}

impl Catalogue for SqliteStore {
    async fn add_model(&self, model: Model) -> Outcome<()> {
        self.write(move |connection| {
            let (url, file) = match &model.place {
                FilePlace::Url(url) => (url.as_str(), None),
                FilePlace::Held(file) => ("", Some(file)),
            };
            let inserted = connection.execute(
                "INSERT INTO models (tenant, id, name, version, download_url, sha256, size, file_ext, label_map,
                     created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    model.tenant,
                    model.id,
                    model.name,
                    model.version,
                    url,
                    file.map(|file| file.sha256),
                    file.map(|file| size(file.size)).transpose()?,
                    model.file_ext,
                    model.label_map,
                    Column(model.created_at),
                ],
            );
            unless_taken(inserted, "model").map(drop)
        })
        .await
    }

    async fn models(&self, tenant: No) -> Outcome<Vec<Model>> {
        const SQL: &str = concat!("SELECT ", model_columns!(), " FROM models WHERE tenant = ?1 ORDER BY id");
        self.read(move |connection| all(connection, SQL, [tenant], model)).await
    }

    async fn remove_model(&self, tenant: No, id: String) -> Outcome<Freed> {
        self.write(move |connection| {
            let model = find_model(connection, tenant, &id)?.ok_or(StoreError::Missing("model"))?;
            let sql = "SELECT 1 FROM agents WHERE tenant = ?1 AND desired_model = ?2 LIMIT 1";
            if first(connection, sql, params![tenant, id], |_| Ok(()))?.is_some() {
                return Err(StoreError::Taken("model").into());
            }
            connection.execute("DELETE FROM models WHERE tenant = ?1 AND id = ?2", params![tenant, id])?;
            match model.place {
                FilePlace::Held(file) => freed(connection, FileKind::Model, &file.sha256),
                FilePlace::Url(_) => Ok(Freed::No),
            }
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

    async fn set_instructions(&self, files: Instructions) -> Outcome<()> {
        self.write(move |connection| {
            if let Some(no) = files.agent
                && known_agent(connection, no)?.tenant != files.tenant
            {
                return Err(StoreError::Missing("agent").into());
            }
            let list: Vec<_> =
                files.files.iter().map(|file| json!({"path": file.path, "content": file.content})).collect();
            connection.execute(
                "INSERT INTO instructions (tenant, agent, files, at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (tenant, ifnull(agent, 0)) DO UPDATE SET files = excluded.files, at = excluded.at",
                params![files.tenant, files.agent, Column(&Value::Array(list)), Column(files.at)],
            )?;
            Ok(())
        })
        .await
    }

    async fn drop_instructions(&self, tenant: No, agent: Option<No>) -> Outcome<bool> {
        self.write(move |connection| {
            let sql = "DELETE FROM instructions WHERE tenant = ?1 AND agent IS ?2";
            Ok(connection.execute(sql, params![tenant, agent])? != 0)
        })
        .await
    }

    async fn instructions(&self, tenant: No, agent: Option<No>) -> Outcome<Option<Instructions>> {
        self.read(move |connection| {
            first(
                connection,
                "SELECT tenant, agent, files, at FROM instructions
                 WHERE tenant = ?1 AND (agent IS ?2 OR agent IS NULL) ORDER BY agent IS NULL LIMIT 1",
                params![tenant, agent],
                |row| {
                    let mut columns = Columns::of(row);
                    let (tenant, agent) = (columns.plain()?, columns.plain()?);
                    let files: Value = columns.get()?;
                    let text = |file: &Value, name| {
                        file.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
                    };
                    let file = |file: &Value| InstructionFile {
                        path: text(file, "path"),
                        content: text(file, "content"),
                    };
                    let files = files.as_array().into_iter().flatten().map(file).collect();
                    Ok(Instructions { tenant, agent, files, at: columns.get()? })
                },
            )
        })
        .await
    }

    async fn add_release(&self, release: Release) -> Outcome<Release> {
        self.write(move |connection| {
            connection.execute(
                "INSERT INTO releases (tenant, version, os, arch, sha256, signature, size, download_url, held,
                     mandatory, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    release.tenant,
                    release.version,
                    release.os,
                    release.arch,
                    release.sha256,
                    release.signature,
                    size(release.size)?,
                    release.download_url.as_deref().unwrap_or_default(),
                    release.download_url.is_none(),
                    release.mandatory,
                    Column(release.created_at),
                ],
            )?;
            Ok(Release { no: connection.last_insert_rowid(), ..release })
        })
        .await
    }

    async fn releases(&self, tenant: No) -> Outcome<Vec<Release>> {
        const SQL: &str =
            concat!("SELECT ", release_columns!(), " FROM releases WHERE tenant = ?1 ORDER BY no DESC");
        self.read(move |connection| all(connection, SQL, [tenant], release)).await
    }

    async fn remove_release(&self, tenant: No, no: No) -> Outcome<Freed> {
        const SQL: &str =
            concat!("DELETE FROM releases WHERE tenant = ?1 AND no = ?2 RETURNING ", release_columns!());
        self.write(move |connection| {
            let removed = first(connection, SQL, [tenant, no], release)?;
            let removed = removed.ok_or(StoreError::Missing("release"))?;
            if removed.download_url.is_some() {
                return Ok(Freed::No);
            }
            freed(connection, FileKind::Release, &removed.sha256)
        })
        .await
    }

    async fn latest_release(&self, tenant: No, os: String, arch: String) -> Outcome<Option<Release>> {
        const SQL: &str = concat!(
            "SELECT ",
            release_columns!(),
            " FROM releases WHERE tenant = ?1 AND os = ?2 AND arch = ?3 ORDER BY no DESC LIMIT 1"
        );
        self.read(move |connection| first(connection, SQL, params![tenant, os, arch], release)).await
    }

    async fn put_binary(&self, binary: Binary) -> Outcome<Freed> {
        self.write(move |connection| {
            let before = find_binary(connection, binary.tenant, &binary.name)?;
            connection.execute(
                "INSERT INTO binaries (tenant, name, sha256, size, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (tenant, name) DO UPDATE
                 SET sha256 = excluded.sha256, size = excluded.size, created_at = excluded.created_at",
                params![
                    binary.tenant,
                    binary.name,
                    binary.file.sha256,
                    size(binary.file.size)?,
                    Column(binary.created_at)
                ],
            )?;
            match before {
                Some(before) => freed(connection, FileKind::Binary, &before.file.sha256),
                None => Ok(Freed::No),
            }
        })
        .await
    }

    async fn binary(&self, tenant: No, name: String) -> Outcome<Option<Binary>> {
        self.read(move |connection| find_binary(connection, tenant, &name)).await
    }

    async fn binaries(&self, tenant: No) -> Outcome<Vec<Binary>> {
        let sql =
            "SELECT tenant, name, sha256, size, created_at FROM binaries WHERE tenant = ?1 ORDER BY name";
        self.read(move |connection| all(connection, sql, [tenant], binary)).await
    }

    async fn remove_binary(&self, tenant: No, name: String) -> Outcome<Freed> {
        self.write(move |connection| {
            let removed = find_binary(connection, tenant, &name)?.ok_or(StoreError::Missing("binary"))?;
            connection
                .execute("DELETE FROM binaries WHERE tenant = ?1 AND name = ?2", params![tenant, name])?;
            freed(connection, FileKind::Binary, &removed.file.sha256)
        })
        .await
    }

    async fn signing_keys(&self) -> Outcome<Vec<SigningKey>> {
        let sql = "SELECT no, seed, created_at, retired_at FROM signing_keys ORDER BY no";
        self.read(move |connection| all(connection, sql, [], signing_key)).await
    }

    async fn add_signing_key(&self, seed: [u8; 32], at: DateTime<Utc>) -> Outcome<SigningKey> {
        self.write(move |connection| {
            connection.execute(
                "INSERT INTO signing_keys (seed, created_at) VALUES (?1, ?2)",
                params![seed, Column(at)],
            )?;
            let no = connection.last_insert_rowid();
            Ok(SigningKey { no, seed, created_at: Some(at), retired_at: None })
        })
        .await
    }

    async fn retire_signing_key(&self, no: No, at: DateTime<Utc>) -> Outcome<SigningKey> {
        self.write(move |connection| {
            let sql = "UPDATE signing_keys SET retired_at = coalesce(retired_at, ?2) WHERE no = ?1
                       RETURNING no, seed, created_at, retired_at";
            let retired = first(connection, sql, params![no, Column(at)], signing_key)?;
            Ok(retired.ok_or(StoreError::Missing("signing key"))?)
        })
        .await
    }
}

/// A number of bytes as a column holds it.
fn size(bytes: u64) -> Done<i64> {
    i64::try_from(bytes)
        .map_err(|_| Failure::Store(StoreError::Unavailable("no file is as large as that".to_owned())))
}

/// What becomes of a file now that something in it is gone.
fn freed(connection: &Connection, kind: FileKind, sha256: &[u8; 32]) -> Done<Freed> {
    let sql = match kind {
        FileKind::Release => "SELECT 1 FROM releases WHERE sha256 = ?1 AND held LIMIT 1",
        FileKind::Binary => "SELECT 1 FROM binaries WHERE sha256 = ?1 LIMIT 1",
        FileKind::Model => "SELECT 1 FROM models WHERE sha256 = ?1 LIMIT 1",
    };
    let needed = first(connection, sql, params![sha256], |_| Ok(()))?.is_some();
    Ok(if needed { Freed::No } else { Freed::Object(kind.object(sha256)) })
}

fn find_binary(connection: &Connection, tenant: No, name: &str) -> Done<Option<Binary>> {
    let sql = "SELECT tenant, name, sha256, size, created_at FROM binaries WHERE tenant = ?1 AND name = ?2";
    first(connection, sql, params![tenant, name], binary)
}

fn binary(row: &Row<'_>) -> rusqlite::Result<Binary> {
    let mut columns = Columns::of(row);
    Ok(Binary {
        tenant: columns.plain()?,
        name: columns.plain()?,
        file: HeldFile { sha256: columns.plain()?, size: columns.plain::<i64>()?.unsigned_abs() },
        created_at: columns.get()?,
    })
}

fn signing_key(row: &Row<'_>) -> rusqlite::Result<SigningKey> {
    let mut columns = Columns::of(row);
    Ok(SigningKey {
        no: columns.plain()?,
        seed: columns.plain()?,
        created_at: columns.maybe()?,
        retired_at: columns.maybe()?,
    })
}

fn release(row: &Row<'_>) -> rusqlite::Result<Release> {
    let mut columns = Columns::of(row);
    let mut release = Release {
        no: columns.plain()?,
        tenant: columns.plain()?,
        version: columns.plain()?,
        os: columns.plain()?,
        arch: columns.plain()?,
        sha256: columns.plain()?,
        signature: columns.plain()?,
        size: columns.plain::<i64>()?.unsigned_abs(),
        download_url: Some(columns.plain()?),
        mandatory: false,
        created_at: DateTime::UNIX_EPOCH,
    };
    if columns.plain::<bool>()? {
        release.download_url = None;
    }
    release.mandatory = columns.plain()?;
    release.created_at = columns.get()?;
    Ok(release)
}

pub(crate) fn find_model(connection: &Connection, tenant: No, id: &str) -> Done<Option<Model>> {
    const SQL: &str = concat!("SELECT ", model_columns!(), " FROM models WHERE tenant = ?1 AND id = ?2");
    first(connection, SQL, params![tenant, id], model)
}

fn model(row: &Row<'_>) -> rusqlite::Result<Model> {
    let mut columns = Columns::of(row);
    let (id, tenant, name, version) =
        (columns.plain()?, columns.plain()?, columns.plain()?, columns.plain()?);
    let (url, sha256, size) =
        (columns.plain()?, columns.plain::<Option<[u8; 32]>>()?, columns.plain::<Option<i64>>()?);
    Ok(Model {
        id,
        tenant,
        name,
        version,
        place: match sha256.zip(size) {
            Some((sha256, size)) => FilePlace::Held(HeldFile { sha256, size: size.unsigned_abs() }),
            None => FilePlace::Url(url),
        },
        file_ext: columns.plain()?,
        label_map: columns.plain()?,
        created_at: columns.get()?,
    })
}
