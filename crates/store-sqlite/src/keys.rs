use chrono::{DateTime, Utc};
use fleetwire_server_core::domain::{Agent, Credential, Enrolled, Enrolment, NewAgent, NewToken, No, Token};
use fleetwire_server_core::events::NewEvent;
use fleetwire_server_core::keys::Digest;
use fleetwire_server_core::store::{Keys, Outcome, StoreError};
use rusqlite::{Connection, params};

use crate::SqliteStore;
use crate::directory::{bound_to, find_named, known_agent, put, register};
use crate::error::{Done, unless_taken};
use crate::events::tell;
use crate::rows::{Column, Columns, all, first};

/// The columns of a token, in the order of [`token`].
macro_rules! token_columns {
    () => {
        "id, tenant, vendor, expires_at, max_uses, uses, last_used_at, revoked, created_at"
    };
}
impl Keys for SqliteStore {
    async fn issue_token(&self, token: NewToken) -> Outcome<Token> {
        self.write(move |connection| {
            let digest = token.digest;
            let token = token.into_token();
            let inserted = connection.execute(
                "INSERT INTO tokens
                     (digest, id, tenant, vendor, expires_at, max_uses, uses, revoked, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    Column(digest),
                    token.id,
                    token.tenant,
                    Column(token.vendor),
                    token.expires_at.map(Column),
                    token.max_uses,
                    token.uses,
                    token.revoked,
                    Column(token.created_at),
                ],
            );
            unless_taken(inserted, "token")?;
            tell(connection, [NewEvent::token_issued(&token)])?;
            Ok(token)
        })
        .await
    }

    async fn tokens(&self, tenant: No) -> Outcome<Vec<Token>> {
        const SQL: &str =
            concat!("SELECT ", token_columns!(), " FROM tokens WHERE tenant = ?1 ORDER BY no DESC");
        self.read(move |connection| all(connection, SQL, [tenant], |row| token(&mut Columns::of(row)))).await
    }

    async fn revoke_token(&self, tenant: No, id: String, at: DateTime<Utc>) -> Outcome<bool> {
        self.write(move |connection| {
            let sql = "UPDATE tokens SET revoked = 1 WHERE tenant = ?1 AND id = ?2 AND revoked = 0";
            if connection.execute(sql, params![tenant, id])? != 0 {
                tell(connection, [NewEvent::token_revoked(tenant, &id, at)])?;
                return Ok(true);
            }
            let sql = "SELECT 1 FROM tokens WHERE tenant = ?1 AND id = ?2";
            Ok(first(connection, sql, params![tenant, id], |_| Ok(()))?.is_some())
        })
        .await
    }

    async fn enroll(&self, enrolment: Enrolment) -> Outcome<Enrolled> {
        self.write(move |connection| enroll(connection, enrolment)).await
    }

    async fn add_key(&self, digest: Digest, credential: Credential) -> Outcome<()> {
        self.write(move |connection| {
            if let Some(no) = credential.agent {
                known_agent(connection, no)?;
            }
            add_key(connection, digest, credential)
        })
        .await
    }

    async fn offer_key(&self, no: No, rotation: u32, digest: Digest, at: DateTime<Utc>) -> Outcome<Agent> {
        self.write(move |connection| {
            let mut agent = known_agent(connection, no)?;
            if agent.takes_offer(rotation) {
                add_key(connection, digest, Credential { candidate: true, ..bound_to(&agent) })?;
                agent.rotation = rotation;
                agent.rotating = true;
                put(connection, &agent)?;
                connection
                    .prepare_cached("UPDATE agents SET offered_at = ?2 WHERE no = ?1")?
                    .execute(params![no, Column(at)])?;
                tell(connection, [NewEvent::key_offered(&agent, at)])?;
            }
            Ok(agent)
        })
        .await
    }

    async fn replace_keys(&self, no: No, digest: Digest, at: DateTime<Utc>) -> Outcome<Agent> {
        self.write(move |connection| {
            let mut agent = known_agent(connection, no)?;
            if agent.departed.is_some() {
                return Ok(agent);
            }
            end_keys(connection, no)?;
            add_key(connection, digest, bound_to(&agent))?;
            agent.end_keys();
            agent.updated_at = at;
            put(connection, &agent)?;
            tell(connection, [NewEvent::keys_revoked(&agent, at)])?;
            Ok(agent)
        })
        .await
    }

    async fn settle_key(&self, digest: Digest, at: DateTime<Utc>) -> Outcome<Agent> {
        self.write(move |connection| {
            let key = find_key(connection, digest)?.ok_or(StoreError::Missing("key"))?;
            let mut agent = known_agent(connection, key.agent.ok_or(StoreError::Missing("agent"))?)?;
            agent.settle(key.candidate, at);
            put(connection, &agent)?;
            connection
                .prepare_cached(
                    "DELETE FROM keys WHERE agent = ?1 AND digest <> ?2 AND (candidate = 0 OR ?3)",
                )?
                .execute(params![agent.no, Column(digest), key.candidate])?;
            connection
                .prepare_cached("UPDATE keys SET candidate = 0 WHERE digest = ?1")?
                .execute([Column(digest)])?;
            tell(connection, key.candidate.then(|| NewEvent::key_rotated(&agent, at)))?;
            Ok(agent)
        })
        .await
    }
}

pub(crate) fn find_key(connection: &Connection, digest: Digest) -> Done<Option<Credential>> {
    let sql = "SELECT tenant, vendor, agent, candidate FROM keys WHERE digest = ?1";
    first(connection, sql, [Column(digest)], |row| {
        let mut columns = Columns::of(row);
        Ok(Credential {
            tenant: columns.plain()?,
            vendor: columns.get()?,
            agent: columns.plain()?,
            candidate: columns.plain()?,
        })
    })
}

/// Ends every key of an agent.
pub(crate) fn end_keys(connection: &Connection, agent: No) -> Done<()> {
    connection.prepare_cached("DELETE FROM keys WHERE agent = ?1")?.execute([agent])?;
    Ok(())
}

pub(crate) fn add_key(connection: &Connection, digest: Digest, credential: Credential) -> Done<()> {
    let Credential { tenant, vendor, agent, candidate } = credential;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO keys (digest, tenant, vendor, agent, candidate) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![Column(digest), tenant, Column(vendor), agent, candidate]);
    unless_taken(inserted, "key").map(drop)
}

fn token(columns: &mut Columns<'_>) -> rusqlite::Result<Token> {
    Ok(Token {
        id: columns.plain()?,
        tenant: columns.plain()?,
        vendor: columns.get()?,
        expires_at: columns.maybe()?,
        max_uses: columns.plain()?,
        uses: columns.plain()?,
        last_used_at: columns.maybe()?,
        revoked: columns.plain()?,
        created_at: columns.get()?,
    })
}

/// The agent that has the id of one to be made.
fn find_by_id(connection: &Connection, agent: &NewAgent) -> Done<Option<Agent>> {
    match &agent.id {
        Some(id) => find_named(connection, agent.tenant, agent.vendor, agent.kind, id),
        None => Ok(None),
    }
}

/// Whether a newcomer takes over the agent of its id.
fn may_take_over(connection: &Connection, enrolment: &Enrolment, known: &Agent) -> Done<bool> {
    let sql = "SELECT max(at) FROM enrolments WHERE agent = ?1";
    let latest = first(connection, sql, [known.no], |row| Columns::of(row).maybe())?;
    Ok(latest.flatten().is_some_and(|at| enrolment.may_take_over(at, known)))
}

fn enroll(connection: &Connection, mut enrolment: Enrolment) -> Done<Enrolled> {
    const SQL: &str = concat!("SELECT ", token_columns!(), ", no FROM tokens WHERE digest = ?1");
    let found = first(connection, SQL, [Column(enrolment.token)], |row| {
        let mut columns = Columns::of(row);
        Ok((token(&mut columns)?, columns.plain::<No>()?))
    })?;
    let Some((token, token_no)) = found else { return Ok(Enrolled::Refused) };
    let at = enrolment.agent.at;
    if token.vendor != enrolment.agent.vendor || token.revoked {
        return Ok(Enrolled::Refused);
    }
    let latest = first(
        connection,
        "SELECT agent, at FROM enrolments WHERE token = ?1 AND identity = ?2 ORDER BY no DESC LIMIT 1",
        params![token_no, enrolment.identity],
        |row| {
            let mut columns = Columns::of(row);
            Ok((columns.plain()?, columns.get()?))
        },
    )?;
    if let Some((no, enrolled_at)) = latest {
        let agent = known_agent(connection, no)?;
        if enrolment.repeats(enrolled_at, &agent) {
            if let Some(digest) = enrolment.agent.key {
                add_key(connection, digest, bound_to(&agent))?;
            }
            tell(connection, [NewEvent::enrolled(&agent, &token.id, true, enrolment.agent.at)])?;
            return Ok(Enrolled::Again(agent));
        }
    }
    if let Some(refusal) = token.refusal(enrolment.agent.vendor, at) {
        return Ok(refusal);
    }
    enrolment.agent.tenant = token.tenant;
    let agent = match find_by_id(connection, &enrolment.agent)? {
        Some(known) if !may_take_over(connection, &enrolment, &known)? => return Ok(Enrolled::Exists),
        Some(known) => {
            if let Some(digest) = enrolment.agent.key {
                add_key(connection, digest, bound_to(&known))?;
            }
            known
        }
        None => register(connection, enrolment.agent)?,
    };
    connection
        .prepare_cached("UPDATE tokens SET uses = uses + 1, last_used_at = ?2 WHERE no = ?1")?
        .execute(params![token_no, Column(at)])?;
    connection
        .prepare_cached("INSERT INTO enrolments (token, identity, agent, at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![token_no, enrolment.identity, agent.no, Column(at)])?;
    tell(connection, [NewEvent::enrolled(&agent, &token.id, false, at)])?;
    Ok(Enrolled::New(agent))
}
