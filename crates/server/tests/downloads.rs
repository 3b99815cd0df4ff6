//! Files over sockets: brought by operators, fetched by agents, whole and in parts, by the honest and by others.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[expect(dead_code, reason = "other tests need more of it")]
mod support;

use std::time::Duration;

use fleetwire_client::protocol::achilles::{
    AgentCredentials, BinaryWish, DownloadBinary, DownloadUpdate, UpdateWish,
};
use fleetwire_client::protocol::{Call, FileBody, Part};
use fleetwire_client::{RetryPolicy, SendError, connect};
use fleetwire_server::{ObjectLimits, Settings, SystemClock};
use fleetwire_server_core::domain::{DEFAULT_TENANT, Kind, Vendor};
use fleetwire_server_core::keys::{hex, sha256};
use fleetwire_server_core::operator::Registration;
use fleetwire_server_core::store::MemoryStore;
use fleetwire_server_core::{Clock as _, Config};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use support::{Answer, Ask, TestClock, TestServer, in_time};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// A server that keeps files, and an agent that fetches them.
struct Stage {
    server: TestServer<MemoryStore>,
    folder: TempDir,
    key: String,
}

const AGENT: &str = "6f1c1c52-0f5f-4f6e-9a43-1f0b1c2d3e4f";

impl Stage {
    async fn set() -> Self {
        Self::set_with(|_| {}).await
    }

    async fn set_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings { objects: Some(folder.path().join("objects")), ..Settings::default() };
        change(&mut settings);
        let server =
            TestServer::start(MemoryStore::default(), TestClock::new(), Config::default(), settings).await;
        let wish = Registration {
            vendor: Vendor::Achilles,
            kind: Kind::Agent,
            no: None,
            id: Some(AGENT.to_owned()),
            name: None,
            facts: json!({"os": "linux", "arch": "amd64"}).as_object().unwrap().clone(),
            labels: [].into(),
        };
        let (_, key) = server.core.register(DEFAULT_TENANT, wish).await.unwrap();
        Self { server, folder, key }
    }

    /// A request of an operator.
    fn operate(&self, method: &str, path: &str) -> Ask {
        let token = self.server.operator.as_ref().unwrap();
        Ask::new(method, &format!("/control/v1{path}")).header("Authorization", &format!("Bearer {token}"))
    }

    async fn bring(&self, path: &str, bytes: &[u8]) -> Answer {
        let ask = self.operate("POST", path).header("Content-Type", "application/octet-stream");
        self.server.ask(&ask.body(bytes)).await
    }

    async fn bring_release(&self, version: &str, bytes: &[u8]) -> Value {
        let answer = self.bring(&format!("/releases?version={version}&os=linux&arch=amd64"), bytes).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()
    }

    /// A request of the agent.
    fn agent(&self, method: &str, path: &str) -> Ask {
        Ask::new(method, &format!("/achilles/api/agent{path}"))
            .header("Authorization", &format!("Bearer {}", self.key))
            .header("X-Agent-ID", AGENT)
            .header("X-Request-Timestamp", &self.server.clock.text(0))
    }

    async fn fetch(&self, path: &str) -> Answer {
        self.server.ask(&self.agent("GET", path)).await
    }

    /// The names of the files that lie in the folder.
    fn files(&self) -> Vec<String> {
        let mut names = Vec::new();
        for sub in ["incoming", "releases", "binaries", "models"] {
            for entry in std::fs::read_dir(self.folder.path().join("objects").join(sub)).unwrap() {
                names.push(format!("{sub}/{}", entry.unwrap().file_name().into_string().unwrap()));
            }
        }
        names.sort_unstable();
        names
    }

    fn credentials(&self) -> AgentCredentials {
        AgentCredentials::new(AGENT, self.key.as_str())
    }
}

/// Bytes that differ from place to place.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap()).collect()
}

const UPDATE: &str = "/update?os=linux&arch=amd64";

#[tokio::test]
async fn update_comes_whole_with_what_is_to_be_known_of_it() {
    let stage = Stage::set().await;
    let bytes = content(300_000);
    let release = stage.bring_release("1.2.3", &bytes).await;
    let digest = hex(&sha256(&bytes));
    assert_eq!(
        (release["sha256"].as_str(), release["size"].as_u64()),
        (Some(digest.as_str()), Some(300_000))
    );
    assert_eq!(release["download_url"], Value::Null);

    let answer = stage.fetch(UPDATE).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, bytes);
    for (name, value) in [
        ("content-length", "300000"),
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment; filename=\"achilles-agent-linux-amd64\""),
        ("etag", format!("\"{digest}\"").as_str()),
        ("accept-ranges", "bytes"),
        ("x-agent-version", "1.2.3"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!(answer.header("transfer-encoding"), None);
    // Empty words are the agent's own platform.
    assert_eq!(stage.fetch("/update?arch=&os=").await.body, bytes);
    for other in ["/update?os=linux&arch=arm64", "/update?os=&arch=arm64", "/update?os=Linux&arch=amd64"] {
        let answer = stage.fetch(other).await;
        assert_eq!(answer.status, 404, "{other}");
        assert_eq!(answer.json()["success"], false);
    }
    stage.server.stop().await;
}

#[tokio::test]
async fn query_tells_the_two_operations_of_one_request_line_apart() {
    let stage = Stage::set().await;
    let bytes = content(10);
    stage.bring_release("1.2.3", &bytes).await;
    for path in
        ["/update", "/update?", "/update?os=linux", "/update?arch=amd64", "/update?OS=linux&arch=amd64"]
    {
        let told = stage.fetch(path).await;
        assert_eq!(told.json()["data"]["version"], "1.2.3", "{path}");
    }
    let told = stage.fetch("/update").await.json();
    // The address that is told leads to the bytes, with the agent's key.
    let url = told["data"]["download_url"].as_str().unwrap();
    let path = url.strip_prefix("http://fleet.test/achilles/api/agent").unwrap();
    assert_eq!(path, UPDATE);
    assert_eq!(stage.fetch(path).await.body, bytes);
    let key: [u8; 64] =
        fleetwire_server_core::keys::unhex(told["data"]["signature"].as_str().unwrap()).unwrap();
    assert!(verifies(&stage.server.core.release_key(), &bytes, &key));

    let head = stage.server.ask(&stage.agent("HEAD", UPDATE)).await;
    assert_eq!((head.status, head.header("allow")), (405, Some("GET")));
    stage.server.stop().await;
}

fn verifies(public_key: &str, file: &[u8], signature: &[u8]) -> bool {
    use base64::Engine;
    let key = base64::engine::general_purpose::STANDARD.decode(public_key).unwrap();
    UnparsedPublicKey::new(&ED25519, key).verify(&sha256(file), signature).is_ok()
}

#[tokio::test]
async fn part_comes_as_it_was_asked_for() {
    let stage = Stage::set().await;
    let bytes = content(100_000);
    stage.bring_release("1", &bytes).await;
    let part = async |range: &str| stage.server.ask(&stage.agent("GET", UPDATE).header("Range", range)).await;
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99999", 0, 100_000),
        ("bytes=99999-", 99_999, 100_000),
        ("bytes=50000-60000", 50_000, 60_001),
        ("bytes=-10", 99_990, 100_000),
        ("bytes=10-18446744073709551615", 10, 100_000),
    ] {
        let answer = part(range).await;
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.body, bytes[from..to], "{range}");
        let told = format!("bytes {from}-{}/100000", to - 1);
        assert_eq!(answer.header("content-range"), Some(told.as_str()));
    }
    for range in ["bytes=0-1,5-6", "lines=0-1", "bytes=x-", "bytes=5-1"] {
        let answer = part(range).await;
        assert_eq!((answer.status, answer.body.len()), (200, 100_000), "{range}");
    }
    for range in ["bytes=100000-", "bytes=18446744073709551615-", "bytes=99999999999999999999-", "bytes=-0"] {
        let answer = part(range).await;
        assert_eq!((answer.status, answer.body.len()), (416, 0), "{range}");
        assert_eq!(answer.header("content-range"), Some("bytes */100000"), "{range}");
    }
    stage.server.stop().await;
}

#[tokio::test]
async fn rest_of_a_file_that_has_changed_meanwhile_is_all_of_the_new_one() {
    let stage = Stage::set().await;
    let (old, new) = (content(5000), content(7000));
    stage.bring_release("1", &old).await;
    let first = stage.server.ask(&stage.agent("GET", UPDATE).header("Range", "bytes=0-999")).await;
    let etag = first.header("etag").unwrap().to_owned();
    let rest = stage.agent("GET", UPDATE).header("Range", "bytes=1000-").header("If-Range", &etag);
    let answer = stage.server.ask(&rest).await;
    assert_eq!((answer.status, answer.body.as_slice()), (206, &old[1000..]));

    stage.bring_release("2", &new).await;
    let answer = stage.server.ask(&rest).await;
    assert_eq!(answer.header("x-agent-version"), Some("2"));
    assert_eq!((answer.status, answer.body), (200, new));

    let has_it = stage.fetch(UPDATE).await.header("etag").unwrap().to_owned();
    let answer = stage.server.ask(&stage.agent("GET", UPDATE).header("If-None-Match", &has_it)).await;
    assert_eq!((answer.status, answer.body.len()), (304, 0));
    stage.server.stop().await;
}

#[tokio::test]
async fn release_that_is_removed_takes_its_file_with_it_unless_another_needs_it() {
    let stage = Stage::set().await;
    let bytes = content(100);
    let first = stage.bring_release("1", &bytes).await["number"].as_i64().unwrap();
    let second = stage.bring_release("2", &bytes).await["number"].as_i64().unwrap();
    let name = format!("releases/{}", hex(&sha256(&bytes)));
    assert_eq!(stage.files(), std::slice::from_ref(&name), "the same file is kept once");
    let list = stage.server.ask(&stage.operate("GET", "/releases")).await.json();
    let versions: Vec<_> = list["releases"].as_array().unwrap().iter().map(|r| &r["version"]).collect();
    assert_eq!(versions, ["2", "1"]);

    let remove = async |number: i64| {
        stage.server.ask(&stage.operate("DELETE", &format!("/releases/{number}"))).await.status
    };
    assert_eq!(remove(second).await, 204);
    assert_eq!(stage.files(), [name]);
    assert_eq!(stage.fetch(UPDATE).await.header("x-agent-version"), Some("1"));
    assert_eq!(remove(first).await, 204);
    assert_eq!(stage.files(), [""; 0]);
    assert_eq!(remove(first).await, 404);
    assert_eq!(stage.fetch(UPDATE).await.status, 404);
    stage.server.stop().await;
}

#[tokio::test]
async fn release_registered_by_address_is_not_served_here() {
    let stage = Stage::set().await;
    let body = json!({"version": "1", "os": "linux", "arch": "amd64", "sha256": "00".repeat(32), "size": 5,
                      "download_url": "https://releases.example/a"});
    let answer = stage.server.ask(&stage.operate("POST", "/releases").json(&body)).await;
    assert_eq!((answer.status, &answer.json()["download_url"]), (201, &body["download_url"]));
    assert_eq!(stage.fetch("/update").await.json()["data"]["download_url"], body["download_url"]);
    assert_eq!(stage.fetch(UPDATE).await.status, 404);
    stage.server.stop().await;
}

#[tokio::test]
async fn upload_that_is_not_what_it_was_said_to_be_leaves_nothing() {
    let stage = Stage::set_with(|settings| {
        settings.object_limits = ObjectLimits { release: 1000, ..ObjectLimits::default() };
        settings.body_timeout = Duration::from_millis(300);
    })
    .await;
    let path = "/releases?version=1&os=linux&arch=amd64";
    let lie = format!("{path}&sha256={}", "00".repeat(32));
    let answer = stage.bring(&lie, b"other bytes").await;
    assert_eq!(answer.status, 422, "{}", answer.json());
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains(&hex(&sha256(b"other bytes"))));
    for (path, bytes, status, code) in [
        (path, content(1001), 413, "too_large"),
        (path, Vec::new(), 422, "invalid"),
        ("/releases?version=1&os=linux", content(5), 422, "invalid"),
        ("/releases?version=%00&os=linux&arch=a", content(5), 422, "invalid"),
        ("/releases?version=1&os=linux&arch=a&colour=red", content(5), 422, "invalid"),
        ("/releases?version=1&os=linux&arch=a&sha256=zz", content(5), 422, "invalid"),
        ("/binaries?name=..", content(5), 422, "invalid"),
        ("/binaries?name=a%2Fb", content(5), 422, "invalid"),
        ("/binaries?name=a%5Cb", content(5), 422, "invalid"),
    ] {
        let answer = stage.bring(path, &bytes).await;
        let said = answer.json();
        assert_eq!((answer.status, said["error"]["code"].as_str()), (status, Some(code)), "{path}: {said}");
    }
    // The truth, and exactly as much as there may be.
    let bytes = content(1000);
    let truth = format!("{path}&sha256={}", hex(&sha256(&bytes)).to_uppercase());
    assert_eq!(stage.bring(&truth, &bytes).await.status, 201);
    assert_eq!(stage.files().len(), 1);

    // One that hangs up in the middle, and one that does not go on.
    let ask = stage.operate("POST", path).header("Content-Type", "application/octet-stream");
    let ask = ask.header("Content-Length", "900");
    let mut cut = stage.server.connect().await;
    cut.send(ask.head().as_bytes()).await;
    cut.send(&content(500)).await;
    drop(cut);
    let mut slow = stage.server.connect().await;
    slow.send(ask.head().as_bytes()).await;
    slow.send(&content(500)).await;
    let answer = slow.receive().await.unwrap();
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (408, Some("too_slow")));
    in_time(async {
        while stage.files().len() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    stage.server.stop().await;
}

#[tokio::test]
async fn nobody_but_an_operator_brings_files() {
    let stage = Stage::set().await;
    for token in ["", "Bearer fwo_wrong"] {
        let ask = Ask::new("POST", "/control/v1/binaries?name=a").header("Authorization", token);
        let ask = ask.header("Content-Type", "application/octet-stream").body(content(10));
        assert_eq!(stage.server.ask(&ask).await.status, 401);
    }
    assert_eq!(stage.files(), [""; 0]);
    stage.server.stop().await;
}

#[tokio::test]
async fn same_file_brought_many_times_at_once_is_kept_once_and_whole() {
    let stage = std::sync::Arc::new(Stage::set().await);
    let bytes = std::sync::Arc::new(content(2_500_000));
    let mut uploads = JoinSet::new();
    for number in 0..8 {
        let (stage, bytes) = (std::sync::Arc::clone(&stage), std::sync::Arc::clone(&bytes));
        uploads.spawn(async move { stage.bring(&format!("/binaries?name=b{number}"), &bytes).await.status });
    }
    assert!(uploads.join_all().await.into_iter().all(|status| status == 201));
    let name = format!("binaries/{}", hex(&sha256(&bytes)));
    assert_eq!(stage.files(), std::slice::from_ref(&name));
    assert_eq!(stage.fetch("/binary/b7").await.body, *bytes);
    for number in 0..8 {
        assert_eq!(stage.files(), std::slice::from_ref(&name));
        let ask = stage.operate("DELETE", &format!("/binaries/b{number}"));
        assert_eq!(stage.server.ask(&ask).await.status, 204);
    }
    assert_eq!(stage.files(), [""; 0]);
}

#[tokio::test]
async fn binary_is_found_by_its_name_and_no_path_leads_elsewhere() {
    let stage = Stage::set().await;
    let bytes = content(1234);
    assert_eq!(stage.bring("/binaries?name=t1-a.exe", &bytes).await.status, 201);
    std::fs::write(stage.folder.path().join("secret"), "secret").unwrap();
    for path in [
        "/binary/t1-a.exe",
        "/binary/t1-a.exe?test_uuid=1f0b1c2d-0f5f-4f6e-9a43-6f1c1c520f5f",
        "/binary/x%2Ft1-a.exe",
        "/binary/..%2F..%2Ft1-a.exe",
        "/binary/C:%5Ct1-a.exe",
    ] {
        let answer = stage.fetch(path).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, bytes.as_slice()), "{path}");
        assert_eq!(answer.header("x-agent-version"), None);
    }
    for path in [
        "/binary/t1-b.exe",
        "/binary/..%2Fsecret",
        "/binary/..%2F..%2Fsecret",
        "/binary/%2E%2E",
        "/binary/..",
        "/binary/.",
        "/binary/%2F",
        "/binary/..%5C..%5Csecret",
        "/binary/t1-a.exe%00",
        "/binary/%00",
        "/binary/t1-a.exe%2F",
        "/binary/T1-A.EXE",
        "/binary/..%252Fsecret",
    ] {
        assert_eq!(stage.fetch(path).await.status, 404, "{path}");
    }
    assert_eq!(stage.fetch("/binary/%FF").await.status, 400, "no text is no name");

    // The next of the name takes its place.
    let other = content(99);
    assert_eq!(stage.bring("/binaries?name=t1-a.exe", &other).await.status, 201);
    assert_eq!(stage.fetch("/binary/t1-a.exe").await.body, other);
    assert_eq!(stage.files(), [format!("binaries/{}", hex(&sha256(&other)))]);
    let list = stage.server.ask(&stage.operate("GET", "/binaries")).await.json();
    assert_eq!(list["binaries"][0]["size"], 99);
    stage.server.stop().await;
}

#[tokio::test]
async fn who_is_no_active_agent_gets_nothing() {
    let stage = Stage::set().await;
    stage.bring_release("1", &content(100)).await;
    stage.bring("/binaries?name=b", &content(100)).await;
    for path in [UPDATE, "/binary/b", "/binary/none"] {
        let good = stage.agent("GET", path);
        for bad in [
            good.clone().without("Authorization"),
            good.clone().header("Authorization", "Bearer ak_wrong"),
            good.clone().header("X-Agent-ID", "another"),
            good.clone().header("X-Request-Timestamp", &stage.server.clock.text(-301_000)),
        ] {
            let answer = stage.server.ask(&bad).await;
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.json()["error"], "Invalid agent credentials");
        }
    }
    let revoke = stage.operate("POST", &format!("/agents/achilles/{AGENT}/revoke-keys"));
    assert!(stage.server.ask(&revoke).await.status < 300);
    assert_eq!(stage.fetch(UPDATE).await.status, 401, "a key that has been revoked");
    stage.server.stop().await;
}

#[tokio::test]
async fn file_of_a_model_is_fetched_by_an_address_that_ends() {
    let stage = Stage::set().await;
    let bytes = content(50_000);
    let model = stage.bring("/models?id=m-1&name=detector&version=3&file_ext=onnx", &bytes).await;
    assert_eq!(model.status, 201, "{}", model.json());
    assert_eq!((&model.json()["download_url"], &model.json()["size"]), (&Value::Null, &json!(50_000)));
    let wish = Registration {
        vendor: Vendor::Acusight,
        kind: Kind::Agent,
        no: None,
        id: Some("cam-1".to_owned()),
        name: None,
        facts: serde_json::Map::new(),
        labels: [].into(),
    };
    let (_, key) = stage.server.core.register(DEFAULT_TENANT, wish).await.unwrap();
    let core = &stage.server.core;
    core.assign_model(DEFAULT_TENANT, Vendor::Acusight, "cam-1", "m-1".to_owned()).await.unwrap();

    let checkin = Ask::new("POST", "/acusight/api/core/agent/checkin")
        .header("X-Device-Key", &key)
        .json(&json!({"device_id": "cam-1"}));
    let address = async || {
        let answer = stage.server.ask(&checkin).await.json();
        let url = answer["pending_actions"][0]["download_url"].as_str().unwrap().to_owned();
        url.strip_prefix("http://fleet.test").unwrap().to_owned()
    };
    let first = address().await;
    assert!(first.starts_with(&format!("/objects/models/{}?expires=", hex(&sha256(&bytes)))), "{first}");
    let get = async |target: &str| stage.server.ask(&Ask::new("GET", target)).await;
    assert_eq!(get(&first).await.body, bytes);
    let part = stage.server.ask(&Ask::new("GET", &first).header("Range", "bytes=10-19")).await;
    assert_eq!((part.status, part.body.as_slice()), (206, &bytes[10..20]));

    // Nothing about it can be changed.
    let other = first.replace("expires=1", "expires=2");
    let cut = &first[..first.len() - 1];
    let stranger = first.replace("/objects/models/", "/objects/releases/");
    let bare = first.split('?').next().unwrap();
    for forged in
        [other.as_str(), cut, stranger.as_str(), bare, &format!("{bare}?expires=9999999999&signature=")]
    {
        let answer = get(forged).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (403, Some("forbidden")),
            "{forged}"
        );
    }
    for odd in [format!("{first}&expires=x"), format!("{bare}?expires=99999999999999999999&signature=00")] {
        assert_eq!(get(&odd).await.status, 422, "{odd}");
    }
    // It ends, and each check-in brings a new one.
    stage.server.clock.advance(3_600_000);
    assert_eq!(get(&first).await.status, 200, "the last second");
    stage.server.clock.advance(1000);
    assert_eq!(get(&first).await.status, 410);
    let later = address().await;
    assert_ne!(later, first);
    assert_eq!(get(&later).await.body, bytes);

    // It is stored nowhere.
    let work = stage.server.ask(&stage.operate("GET", "/work")).await;
    assert!(!String::from_utf8(work.body).unwrap().contains("signature="));
    let answer = stage.server.ask(&stage.operate("DELETE", "/models/m-1")).await;
    assert_eq!(answer.status, 409, "a device is to run it");
    std::fs::remove_file(stage.folder.path().join("objects").join(stage.files()[0].as_str())).unwrap();
    assert_eq!(get(&later).await.status, 404);
    stage.server.stop().await;
}

#[tokio::test]
async fn file_that_is_lost_is_an_error_and_no_half_answer() {
    let stage = Stage::set().await;
    let bytes = content(1_000_000);
    stage.bring_release("1", &bytes).await;
    let path = stage.folder.path().join("objects").join(&stage.files()[0]);
    std::fs::write(&path, &bytes[..10]).unwrap();
    let mut connection = stage.server.connect().await;
    connection.send(&stage.agent("GET", UPDATE).header("Range", "bytes=500000-").to_bytes()).await;
    assert_eq!(connection.receive().await.unwrap().status, 500, "there is no such part any more");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(stage.fetch(UPDATE).await.status, 500);
    assert_eq!(stage.fetch("/update").await.status, 200, "everything else goes on");
    // A folder that takes no files: as if the disk were full.
    std::fs::remove_dir(stage.folder.path().join("objects/incoming")).unwrap();
    std::fs::write(stage.folder.path().join("objects/incoming"), "no folder").unwrap();
    let answer = stage.bring("/binaries?name=b", &content(10)).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (503, Some("unavailable")));
    assert!(!answer.json().to_string().contains(stage.folder.path().to_str().unwrap()));
    stage.server.stop().await;
}

#[tokio::test]
async fn server_without_a_folder_says_so() {
    let stage = Stage::set_with(|settings| settings.objects = None).await;
    let answer = stage.bring("/binaries?name=b", &content(10)).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (422, Some("invalid")));
    stage.server.stop().await;
}

#[tokio::test]
async fn callers_that_hang_up_in_the_middle_harm_nobody() {
    let stage = Stage::set().await;
    let bytes = content(8 << 20);
    stage.bring_release("1", &bytes).await;
    for _ in 0..20 {
        let mut connection = stage.server.connect().await;
        connection.send(&stage.agent("GET", UPDATE).to_bytes()).await;
        drop(connection);
    }
    assert_eq!(stage.fetch(UPDATE).await.body, bytes);
    stage.server.stop().await;
}

#[tokio::test]
async fn peer_that_does_not_read_is_cut_off() {
    let stage = Stage::set_with(|settings| settings.write_timeout = Duration::from_millis(300)).await;
    // More than the buffers of both ends hold.
    stage.bring_release("1", &content(32 << 20)).await;
    let mut idle = stage.server.connect().await;
    idle.send(&stage.agent("GET", UPDATE).to_bytes()).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let end = tokio::spawn(async move { idle.receive().await });
    assert!(in_time(end).await.is_err(), "the announced length never comes");
    stage.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_fetches_piece_by_piece_and_goes_on_where_it_stopped() {
    let stage = Stage::set().await;
    let bytes = content(3_000_000);
    stage.bring_release("1.2.3", &bytes).await;
    stage.bring("/binaries?name=b", &bytes[..10]).await;
    let client = connect(&format!("http://{}/achilles", stage.server.address)).unwrap();
    let client = client.with_retries(RetryPolicy::none());
    // The server's clock stands still, and the client's does not.
    stage.server.clock.advance((SystemClock.now() - stage.server.clock.now()).num_milliseconds());

    let mut wish = UpdateWish::new("linux".into(), "amd64".into());
    let mut fetched =
        client.fetch(&stage.credentials(), &Call::<DownloadUpdate>::with(wish.clone(), ())).await.unwrap();
    assert_eq!((&fetched.head.part, fetched.head.size), (&Part::Whole, Some(3_000_000)));
    assert_eq!(fetched.head.version.as_deref(), Some("1.2.3"));
    assert_eq!(fetched.head.name.as_deref(), Some("achilles-agent-linux-amd64"));
    let mut got = Vec::new();
    while got.len() < 1_000_000 {
        got.extend_from_slice(&fetched.next().await.unwrap().unwrap());
    }
    let etag = fetched.head.etag.clone();
    drop(fetched);
    wish.range = Some(format!("bytes={}-", got.len()));
    wish.if_range = etag.clone();
    let mut rest =
        client.fetch(&stage.credentials(), &Call::<DownloadUpdate>::with(wish.clone(), ())).await.unwrap();
    assert_eq!(rest.head.part, Part::Range(got.len() as u64..3_000_000));
    while let Some(piece) = rest.next().await.unwrap() {
        got.extend_from_slice(&piece);
    }
    assert_eq!(got, bytes);

    wish.range = Some("bytes=3000000-".to_owned());
    let over =
        client.fetch(&stage.credentials(), &Call::<DownloadUpdate>::with(wish.clone(), ())).await.unwrap();
    assert_eq!((over.head.part, over.head.size), (Part::Unsatisfiable, Some(3_000_000)));
    wish.if_none_match = etag;
    let mut same = client.fetch(&stage.credentials(), &Call::<DownloadUpdate>::with(wish, ())).await.unwrap();
    assert_eq!(same.head.part, Part::NotModified);
    assert_eq!(same.next().await.unwrap(), None);

    // Held as a whole, by a client that has room for it.
    let small = client
        .send(&stage.credentials(), &Call::<DownloadBinary>::with(BinaryWish::new("b"), ()))
        .await
        .unwrap();
    assert_eq!((small.head.size, small.body), (Some(10), FileBody::Bytes(bytes[..10].to_vec().into())));
    let missing =
        client.fetch(&stage.credentials(), &Call::<DownloadBinary>::with(BinaryWish::new("none"), ())).await;
    let Err(SendError::Refused { refusal, .. }) = missing else { panic!("{missing:?}") };
    assert_eq!(refusal.status, 404);
    assert!(refusal.envelope.is_some());
    stage.server.stop().await;
}

#[tokio::test]
async fn agent_verifies_by_the_key_that_it_was_given() {
    let stage = Stage::set().await;
    let bytes = content(1000);
    stage.bring_release("9", &bytes).await;
    let enrol = async |host: &str| {
        let token = json!({"vendor": "achilles", "max_uses": 1, "ttl_seconds": 600});
        let token = stage.server.ask(&stage.operate("POST", "/tokens").json(&token)).await.json();
        let request = json!({"token": token["token"], "hostname": host, "os": "linux", "arch": "amd64",
                             "agent_version": "1"});
        let answer = stage.server.ask(&Ask::new("POST", "/achilles/api/agent/enroll").json(&request)).await;
        answer.json()["data"].clone()
    };
    let signature = async |agent: &Value| {
        let ask = Ask::new("GET", "/achilles/api/agent/update")
            .header("X-Agent-Key", agent["agent_key"].as_str().unwrap())
            .header("X-Agent-ID", agent["agent_id"].as_str().unwrap())
            .header("X-Request-Timestamp", &stage.server.clock.text(0));
        let told = stage.server.ask(&ask).await.json();
        fleetwire_server_core::keys::unhex::<64>(told["data"]["signature"].as_str().unwrap()).unwrap()
    };
    let old = enrol("old").await;
    let rotated = stage.server.ask(&stage.operate("POST", "/release-keys")).await;
    assert_eq!(rotated.status, 200);
    let new = enrol("new").await;
    let key = |agent: &Value| agent["update_public_key"].as_str().unwrap().to_owned();
    assert_ne!(key(&old), key(&new));
    assert_eq!(key(&new), stage.server.core.release_key());
    for agent in [&old, &new] {
        let signature = signature(agent).await;
        assert!(verifies(&key(agent), &bytes, &signature));
        let other = if key(agent) == key(&old) { &new } else { &old };
        assert!(!verifies(&key(other), &bytes, &signature));
    }
    let keys = stage.server.ask(&stage.operate("GET", "/release-keys")).await.json();
    // The agent of the stage was registered before, too.
    let told: Vec<_> =
        keys["keys"].as_array().unwrap().iter().map(|k| (&k["current"], &k["agents"])).collect();
    assert_eq!(told, [(&json!(false), &json!(2)), (&json!(true), &json!(1))]);

    let retire = async |path: &str| stage.server.ask(&stage.operate("DELETE", path)).await;
    assert_eq!(retire("/release-keys/2").await.status, 422, "newcomers are given it");
    assert_eq!(retire("/release-keys/9").await.status, 404);
    let refused = retire("/release-keys/1").await;
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("2 agents"), "{}", refused.json());
    assert_eq!(retire("/release-keys/1?force=true").await.status, 200);
    assert!(verifies(&key(&new), &bytes, &signature(&old).await), "by the only key that is left");
    stage.server.stop().await;
}
