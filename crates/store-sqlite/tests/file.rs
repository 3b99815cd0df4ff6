//! What is in the file, and what happens to files that are not as they should be.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fleetwire_server_core::domain::{
    Annotation, BatchLimits, Credential, DEFAULT_TENANT, Delivery, Enrolled, Enrolment, ImageFilter, Kind,
    NewAgent, NewImage, NewToken, NewWork, Recorded, Vendor, WorkFilter, WorkState,
};
use fleetwire_server_core::events::{EventKind, EventQuery, NewEvent};
use fleetwire_server_core::keys::{Digest, Foundation};
use fleetwire_server_core::lease::LeaseRow;
use fleetwire_server_core::store::{
    Directory, Founding, Images, Journal, Keys, Leases, Outcome, RestoredAgent, StoreError, WorkQueue,
};
use fleetwire_store_sqlite::SqliteStore;
use rusqlite::Connection;
use serde_json::{Map, json};
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fleet.db");
    (folder, path)
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).expect("the store opens")
}

/// Every agent, as a start finds it.
async fn restored_agents(store: &SqliteStore) -> Vec<RestoredAgent> {
    let (give, taken) = std::sync::mpsc::channel();
    let take = Box::new(move |restored| give.send(restored).expect("somebody takes it"));
    store.restore_agents(i64::MIN..=i64::MAX, take).await.expect("it reads");
    taken.into_iter().collect()
}

fn refusal(path: &Path) -> String {
    match SqliteStore::open(path) {
        Err(StoreError::Corrupt(why)) => why,
        other => panic!("not refused as corrupt: {other:?}"),
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + seconds)
}

fn agent(id: &str) -> NewAgent {
    NewAgent {
        tenant: DEFAULT_TENANT,
        vendor: Vendor::Achilles,
        kind: Kind::Agent,
        no: None,
        id: Some(id.to_owned()),
        parent: None,
        name: id.to_owned(),
        version: None,
        facts: Map::new(),
        labels: [].into(),
        key: Some(Digest::of(id)),
        at: at(0),
    }
}

fn token(max_uses: u32) -> NewToken {
    NewToken {
        id: "t".to_owned(),
        digest: Digest::of("t"),
        tenant: DEFAULT_TENANT,
        vendor: Vendor::Achilles,
        expires_at: Some(at(3600)),
        max_uses: Some(max_uses),
        at: at(0),
    }
}

fn newcomer(name: &str) -> Enrolment {
    Enrolment {
        token: Digest::of("t"),
        identity: name.to_owned(),
        repeat_within: Duration::from_secs(600),
        agent: agent(name),
    }
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let (_folder, path) = folder();
    let foundation = Foundation { rotation: [1; 32], signing: [2; 32], operator: Digest([3; 32]) };
    let lease = |agent| LeaseRow { agent, last_seen: at(5), report: None, place: None };

    let store = open(&path);
    store.found(foundation.clone()).await.unwrap();
    let made = store.register(agent("a")).await.unwrap();
    store.issue_token(token(1)).await.unwrap();
    let Enrolled::New(enrolled) = store.enroll(newcomer("b")).await.unwrap() else { panic!("not enrolled") };
    store.flush(vec![lease(made.no)], Vec::new(), at(6)).await.unwrap();
    let work = NewWork {
        id: "w".to_owned(),
        tenant: DEFAULT_TENANT,
        agent: made.no,
        key: None,
        kind: "run".to_owned(),
        payload: Map::new(),
        priority: 3,
        not_before: None,
        ttl: Duration::from_secs(60),
        timeout: None,
        max_retries: 0,
        at: at(1),
    };
    store.queue(work).await.unwrap();
    let delivered = store.deliver(made.no, Delivery::All, at(2)).await.unwrap().work;
    drop(store);

    let store = open(&path);
    let fresh = Foundation { rotation: [7; 32], ..foundation.clone() };
    assert!(store.found(fresh).await.unwrap() == (foundation, false));
    let restored = store.restore().await.unwrap();
    let agents = restored_agents(&store).await;
    let leases: Vec<_> = agents.into_iter().map(|restored| (restored.agent, restored.lease)).collect();
    assert_eq!(leases, [(made.clone(), Some(lease(made.no))), (enrolled.clone(), None)]);
    assert_eq!(restored.up_until, Some(at(6)));
    let bound =
        Credential { tenant: 1, vendor: Vendor::Achilles, agent: Some(enrolled.no), candidate: false };
    assert_eq!(store.credential(Digest::of("b")).await.unwrap(), Some(bound));
    assert_eq!(store.enroll(newcomer("c")).await.unwrap(), Enrolled::UsedUp(at(0)));
    assert_eq!(store.enroll(newcomer("d")).await.unwrap(), Enrolled::UsedUp(at(0)));
    assert_eq!(
        store.work(DEFAULT_TENANT, WorkFilter { limit: 9, ..WorkFilter::default() }).await.unwrap(),
        delivered
    );
    assert_eq!(delivered[0].state, WorkState::Delivered);
    store.close().unwrap();
}

#[tokio::test]
async fn answered_writes_are_in_the_log_while_the_store_is_still_open() {
    let (_folder, path) = folder();
    let store = open(&path);
    let made = store.register(agent("a")).await.unwrap();
    // What a crash right now would leave: the file and its log, copied without any closing.
    let (_other, copy) = folder_with_copy(&path);
    let found = open(&copy).agent(made.no).await.unwrap();
    assert_eq!(found, Some(made));
}

fn folder_with_copy(path: &Path) -> (TempDir, PathBuf) {
    let (other, copy) = folder();
    for suffix in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        std::fs::copy(name(path), name(&copy)).expect("copied");
    }
    (other, copy)
}

#[tokio::test]
async fn closing_folds_the_log_into_the_file() {
    let (folder, path) = folder();
    let store = open(&path);
    store.register(agent("a")).await.unwrap();
    store.close().unwrap();
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [path]);
}

#[test]
fn reopening_runs_no_step_again() {
    let (_folder, path) = folder();
    open(&path).close().unwrap();
    let schema = || -> (i64, i64) {
        let connection = Connection::open(&path).unwrap();
        let value = |name| connection.pragma_query_value(None, name, |row| row.get(0)).unwrap();
        (value("user_version"), value("schema_version"))
    };
    let before = schema();
    assert_eq!(before.0, 9);
    open(&path).close().unwrap();
    open(&path).close().unwrap();
    assert_eq!(schema(), before);
}

#[tokio::test]
async fn journal_of_a_file_of_the_first_version_begins_with_who_has_reported() {
    let (_folder, path) = folder();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(include_str!("../migrations/0001_initial.sql")).unwrap();
    connection.pragma_update(None, "application_id", 0x466c_7774).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    for no in 1..=2 {
        let sql =
            "INSERT INTO agents (no, tenant, vendor, kind, id, name, facts, labels, disabled, activated,
                 rotation, rotating, created_at, updated_at)
             VALUES (?1, 1, 'achilles', 'agent', ?2, 'a', '{}', '{}', 0, 1, 0, 0, 0, 0)";
        connection.execute(sql, rusqlite::params![no, format!("a-{no}")]).unwrap();
    }
    connection.execute("INSERT INTO leases (agent, last_seen) VALUES (2, 5000)", []).unwrap();
    connection.close().unwrap();

    let store = open(&path);
    let online: Vec<_> = restored_agents(&store)
        .await
        .into_iter()
        .map(|restored| (restored.agent.no, restored.online))
        .collect();
    assert_eq!(online, [(1, false), (2, true)]);
    assert_eq!(store.events(DEFAULT_TENANT, EventQuery::default()).await.unwrap(), []);
    // Silent ever since, it is told of once.
    let offline = NewEvent {
        tenant: DEFAULT_TENANT,
        agent: Some(2),
        kind: EventKind::Offline,
        detail: Map::new(),
        at: at(0),
    };
    for _ in 0..2 {
        store.flush(Vec::new(), vec![offline.clone()], at(0)).await.unwrap();
    }
    assert_eq!(store.events(DEFAULT_TENANT, EventQuery::default()).await.unwrap(), [offline.into_event(1)]);
}

#[tokio::test]
async fn number_of_a_forgotten_event_is_not_given_again_after_a_restart() {
    let (_folder, path) = folder();
    let store = open(&path);
    store.register(agent("a")).await.unwrap();
    assert_eq!(store.forget_events(at(9), 9).await.unwrap(), 1);
    store.close().unwrap();
    let store = open(&path);
    store.register(agent("b")).await.unwrap();
    let events = store.events(DEFAULT_TENANT, EventQuery::default()).await.unwrap();
    assert_eq!(events.iter().map(|event| event.no).collect::<Vec<_>>(), [2]);
}

#[test]
fn events_are_found_by_an_index_whatever_is_asked() {
    let (_folder, path) = folder();
    open(&path).close().unwrap();
    let connection = Connection::open(&path).unwrap();
    for (condition, index) in [
        ("tenant = 1", "events_by_tenant"),
        ("tenant = 1 AND kind = 'online'", "events_by_kind"),
        ("+tenant = 1 AND agent = 7 AND +kind = 'online'", "events_by_agent"),
    ] {
        for order in ["", "DESC"] {
            let sql =
                format!("SELECT * FROM events WHERE no > 5 AND {condition} ORDER BY no {order} LIMIT 9");
            let plan = plan_of(&connection, &sql);
            assert!(plan.len() == 1 && plan[0].contains(index), "{sql}: {plan:?}");
        }
    }
    let plan = plan_of(&connection, "SELECT no FROM events WHERE at < 5 ORDER BY at LIMIT 9");
    assert!(plan.len() == 1 && plan[0].contains("events_by_time"), "{plan:?}");
}

fn plan_of(connection: &Connection, sql: &str) -> Vec<String> {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement");
    let rows = explain.query_map([], |row| row.get::<_, String>(3)).expect("a plan");
    rows.map(|step| step.expect("a step")).collect()
}

#[test]
fn file_of_a_newer_version_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    open(&path).close().unwrap();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&path).unwrap();
    let why = refusal(&path);
    assert!(why.contains("version 99") && why.contains("newer"), "{why}");
    assert!(why.contains("fleet.db"), "{why}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn file_that_is_no_database_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    let text = "This is a letter, and by no means a database. ".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let why = refusal(&path);
    assert!(why.contains("not a SQLite database"), "{why}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn database_of_another_program_is_refused_and_left_alone() {
    for make in ["CREATE TABLE songs (title TEXT)", "PRAGMA application_id = 5", "PRAGMA user_version = 1"] {
        let (_folder, path) = folder();
        Connection::open(&path).unwrap().execute_batch(make).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(refusal(&path).contains("another program"));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn row_that_cannot_be_read_is_an_error_and_no_panic() {
    let (_folder, path) = folder();
    let store = open(&path);
    let made = store.register(agent("a")).await.unwrap();
    for damage in [
        "UPDATE agents SET facts = '{'",
        "UPDATE agents SET facts = '{}', vendor = 'nobody'",
        "UPDATE agents SET vendor = 'achilles', created_at = 9223372036854775807",
    ] {
        Connection::open(&path).unwrap().execute_batch(damage).unwrap();
        assert!(matches!(store.agent(made.no).await, Err(StoreError::Corrupt(_))), "{damage}");
    }
}

#[test]
fn missing_folder_is_unavailable() {
    let (folder, _) = folder();
    let outcome: Outcome<_> = SqliteStore::open(folder.path().join("none").join("fleet.db"));
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_reads_the_file_and_what_lies_beside_it() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = folder();
    let store = open(&path);
    store.register(agent("a")).await.unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        files += 1;
    }
    assert_eq!(files, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_enrol_at_once_share_the_uses_of_a_token() {
    let (_folder, path) = folder();
    let store = Arc::new(open(&path));
    store.issue_token(token(40)).await.unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let outcome = store.enroll(newcomer(&format!("agent {n}"))).await.unwrap();
                if let Enrolled::New(agent) = &outcome {
                    // What was answered is seen by every reader from then on.
                    assert_eq!(store.agent(agent.no).await.unwrap().as_ref(), Some(agent));
                }
                outcome
            })
        })
        .collect();
    let mut enrolled = 0;
    for task in tasks {
        match task.await.unwrap() {
            Enrolled::New(_) => enrolled += 1,
            other => assert_eq!(other, Enrolled::UsedUp(at(0))),
        }
    }
    assert_eq!((enrolled, store.tokens(DEFAULT_TENANT).await.unwrap()[0].uses), (40, 40));
}

#[tokio::test]
async fn each_of_many_annotations_is_kept_in_their_order() {
    let (_folder, path) = folder();
    let store = open(&path);
    let device = store.register(agent("a")).await.unwrap();
    // A statement writes ten where there are so many.
    for count in [0, 1, 9, 10, 11, 23, 50] {
        let annotation = |n| Annotation {
            class: Some(format!("class {n}")),
            confidence: (n % 3 != 0).then_some(f64::from(n) / 64.0),
            bounds: (n % 2 == 0).then_some([0.5, 0.25, 0.125, f64::from(n) / 128.0]),
        };
        let image = NewImage {
            id: format!("image-{count}"),
            batch: "b".to_owned(),
            agent: device.no,
            storage_key: format!("raw/{count}"),
            filename: "1.jpg".to_owned(),
            width: 640,
            height: 480,
            model: [None, None, None],
            annotations: (0..count).map(annotation).collect(),
            at: at(0),
        };
        store.record_image(image.clone(), BatchLimits::default()).await.unwrap();
        let filter = ImageFilter { agent: Some(device.no), batch: None, before: None, limit: 1 };
        let kept = store.images(device.tenant, filter).await.unwrap();
        assert_eq!(kept[0].image.annotations, image.annotations);
    }
}

#[tokio::test]
async fn annotations_are_kept_with_their_image_and_marked_at_the_edge() {
    let (_folder, path) = folder();
    let store = open(&path);
    let device = store.register(agent("a")).await.unwrap();
    let annotation = |class: Option<&str>, bounds| Annotation {
        class: class.map(str::to_owned),
        confidence: Some(0.75),
        bounds,
    };
    let image = NewImage {
        id: "i".to_owned(),
        batch: "b".to_owned(),
        agent: device.no,
        storage_key: "raw/1".to_owned(),
        filename: "1.jpg".to_owned(),
        width: 640,
        height: 480,
        model: [Some("m".to_owned()), None, None],
        annotations: vec![
            annotation(Some("cat"), Some([0.5, 0.5, 0.25, 0.25])),
            annotation(Some("dog"), Some([0.9, 0.5, 0.4, 0.1])),
            annotation(None, None),
        ],
        at: at(0),
    };
    let now = Recorded::Now { image: "i".to_owned(), batch: "b".to_owned() };
    let before = Recorded::Before { image: "i".to_owned(), batch: "b".to_owned() };
    assert_eq!(store.record_image(image.clone(), BatchLimits::default()).await.unwrap(), now);
    assert_eq!(store.record_image(image, BatchLimits::default()).await.unwrap(), before);

    let connection = Connection::open(&path).unwrap();
    let mut select = connection
        .prepare(
            "SELECT json_array(images.id, model_id, class, confidence, x, y, annotations.width,
                 annotations.height, crosses_edge)
             FROM annotations JOIN images ON images.no = annotations.image ORDER BY annotations.no",
        )
        .unwrap();
    let rows = select.query_map([], |row| row.get::<_, String>(0));
    let kept: Vec<serde_json::Value> =
        rows.unwrap().map(|row| serde_json::from_str(&row.unwrap()).unwrap()).collect();
    assert_eq!(
        kept,
        [
            json!(["i", "m", "cat", 0.75, 0.5, 0.5, 0.25, 0.25, 0]),
            json!(["i", "m", "dog", 0.75, 0.9, 0.5, 0.4, 0.1, 1]),
            json!(["i", "m", null, 0.75, null, null, null, null, 0]),
        ]
    );
}

#[test]
fn hot_lookups_use_an_index() {
    let (_folder, path) = folder();
    open(&path).close().unwrap();
    let connection = Connection::open(&path).unwrap();
    for (query, index) in [
        ("FROM keys WHERE digest = ?1", "sqlite_autoindex_keys_1"),
        ("FROM keys WHERE agent = ?1", "keys_by_agent"),
        ("FROM agents WHERE tenant = 1 AND vendor = 'x' AND kind = 'y' AND id = 'z'", "agents_by_id"),
        ("FROM agents WHERE parent = ?1 AND hosted_key = ?2 ORDER BY no LIMIT 1", "agents_by_host"),
        (
            "FROM work WHERE agent = ?1 AND state IN ('queued', 'delivered', 'running')
             ORDER BY priority DESC, created_at, no",
            "work_open",
        ),
        ("FROM work WHERE tenant = 1 AND id = 'w'", "work_by_id"),
        ("FROM work WHERE tenant = 1 ORDER BY no DESC LIMIT 9", "work_by_tenant"),
        ("FROM work WHERE tenant = 1 AND agent = ?1 ORDER BY no DESC LIMIT 9", "work_by_agent"),
        ("FROM images WHERE agent = ?1 AND storage_key = ?2", "images_by_storage_key"),
        ("FROM batches WHERE agent = ?1 ORDER BY no DESC LIMIT 1", "batches_by_agent"),
        (
            "FROM enrolments WHERE token = ?1 AND identity = ?2 ORDER BY no DESC LIMIT 1",
            "enrolments_by_identity",
        ),
        (
            "FROM releases WHERE tenant = 1 AND os = 'l' AND arch = 'a' ORDER BY no DESC LIMIT 1",
            "releases_by_platform",
        ),
    ] {
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN SELECT * {query}")).unwrap();
        let parameters = vec![1; explain.parameter_count()];
        let rows = explain.query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3));
        let plan: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
        assert!(plan.len() == 1 && plan[0].contains(index), "{query}: {plan:?}");
    }
}
