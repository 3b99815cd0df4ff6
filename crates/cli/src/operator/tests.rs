//! The commands, from the command line to the server's decisions and back, without a socket.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::{DateTime, TimeZone, Utc};
use clap::{CommandFactory, Parser};
use fleetwire_client::TransportError;
use fleetwire_server::{ObjectLimits, Objects, SystemEntropy};
use fleetwire_server_core::store::MemoryStore;
use fleetwire_server_core::{Clock, Config, Core};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tower::ServiceExt;

use super::files::FileBody;
use super::*;

/// As in `main.rs`: the version flag goes down to every command.
#[derive(Debug, Parser)]
#[command(name = "fleetwire", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: OperatorCommand,
}

fn parse(line: &str) -> Result<OperatorCommand, clap::Error> {
    Cli::try_parse_from(["fleetwire"].into_iter().chain(line.split(' '))).map(|cli| cli.command)
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2025, 3, 1, 12, 0, 0).unwrap()
    }
}

/// An exchange that failed.
#[derive(Debug, Clone, Copy)]
struct Broken {
    may_have_arrived: bool,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the wire is cut")
    }
}

impl std::error::Error for Broken {}

impl TransportError for Broken {
    fn may_have_arrived(&self) -> bool {
        self.may_have_arrived
    }

    fn is_retryable(&self) -> bool {
        false
    }

    fn is_timeout(&self) -> bool {
        false
    }
}

/// Carries requests to `answer`, and keeps what was asked.
struct Canned<F> {
    answer: F,
    asked: Arc<Mutex<Vec<String>>>,
}

impl<F> Transport for Canned<F>
where
    F: Fn(Request<Bytes>) -> Result<Response<Bytes>, Broken> + Send + Sync + 'static,
{
    type Error = Broken;

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Broken> {
        self.asked.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
        (self.answer)(request)
    }
}

impl<F> Upload for Canned<F>
where
    F: Fn(Request<Bytes>) -> Result<Response<Bytes>, Broken> + Send + Sync + 'static,
{
    async fn upload(&self, request: Request<FileBody>) -> Result<Response<Bytes>, Broken> {
        self.exchange(read(request).await).await
    }
}

/// A transport with one answer for everything.
fn canned(
    answer: impl Fn() -> Result<Response<Bytes>, Broken> + Send + Sync + 'static,
) -> (impl Upload, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    (Canned { answer: move |_| answer(), asked: Arc::clone(&asked) }, asked)
}

/// Carries requests to a real control API.
#[derive(Clone)]
struct Within(Arc<Core<MemoryStore>>, Arc<tempfile::TempDir>);

impl Transport for Within {
    type Error = Broken;

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Broken> {
        let objects = Objects::open(self.1.path(), ObjectLimits::default()).unwrap();
        let patience = std::time::Duration::from_secs(5);
        let core = Arc::clone(&self.0);
        let router = fleetwire_server::control::router_with_files(core, Some(objects), patience);
        let Ok(response) = router.oneshot(request.map(Full::new)).await;
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, body.collect().await.unwrap().to_bytes()))
    }
}

impl Upload for Within {
    async fn upload(&self, request: Request<FileBody>) -> Result<Response<Bytes>, Broken> {
        self.exchange(read(request).await).await
    }
}

/// A request with its file read.
async fn read(request: Request<FileBody>) -> Request<Bytes> {
    let (parts, body) = request.into_parts();
    let announced = http_body::Body::size_hint(&body).exact();
    let bytes = body.collect().await.unwrap().to_bytes();
    assert_eq!(announced, Some(bytes.len() as u64));
    Request::from_parts(parts, bytes)
}

async fn fresh_server() -> Api<Within> {
    let store = MemoryStore::default();
    let core = Core::start(store, Arc::new(Noon), Arc::new(SystemEntropy::default()), Config::default());
    let (core, token) = core.await.unwrap();
    Api::new(
        "http://fleet.test/",
        token.as_deref(),
        Within(Arc::new(core), Arc::new(tempfile::tempdir().unwrap())),
    )
    .unwrap()
}

/// What a command prints.
async fn printed<T: Upload>(api: &Api<T>, line: &str) -> Result<String> {
    let command = parse(line).unwrap();
    let form = if command.connection().json { Form::Json } else { Form::Text };
    command.ask(api, form).await
}

fn api_of<T: Transport>(transport: T) -> Api<T> {
    Api::new("http://fleet.test:8787", Some("fwo_secret"), transport).unwrap()
}

fn answer(status: StatusCode, body: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *response.status_mut() = status;
    response
}

// ---- the command line ----

#[test]
fn command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn connection_may_stand_before_or_behind_the_command() {
    for line in [
        "devices --server http://h:1 --token t --json list",
        "devices list --server http://h:1 --token t --json",
    ] {
        let command = parse(line).unwrap();
        let connection = command.connection();
        let given = (connection.server.as_str(), connection.token.as_deref(), connection.json);
        assert_eq!(given, ("http://h:1", Some("t"), true));
    }
}

#[test]
fn debug_of_a_command_shows_no_token() {
    let command = parse("devices list --token fwo_secret --server http://user:pass@h").unwrap();
    let shown = format!("{command:?}");
    assert!(!shown.contains("secret") && !shown.contains("pass"), "{shown}");
}

#[test]
fn help_does_not_show_the_token_of_the_environment() {
    let command = Cli::command();
    let devices = command.find_subcommand("devices").unwrap();
    let token = devices.get_arguments().find(|argument| argument.get_id() == "token").unwrap();
    assert!(token.is_hide_env_values_set());
}

#[test]
fn arguments_that_make_no_sense_are_refused_before_anybody_is_asked() {
    for line in [
        "devices list --vendor acme",
        "devices list --status lost",
        "devices add",
        "devices add zstack --kind robot",
        "devices add zstack --label site",
        "work list --agent a",
        "work list --state waiting",
        "work report w",
        "work report w --state done",
        "work report w --state fail --result []",
        "work list --limit 0",
        "work list --limit 1001",
        "work queue achilles a t --payload []",
        "work add achilles a t --priority 1001",
        "work add achilles a t --max-retries 6",
        "work add achilles a t --ttl 5",
        "work cancel",
        "results --limit 0",
        "results --agent a",
        "tokens create achilles --ttl 24",
        "tokens create achilles --max-uses -1",
        "tokens create acusight --max-uses many",
        "tokens create acusight --ttl forever",
        "releases add --version 1",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
    parse("work queue achilles a t --priority -1000").unwrap();
}

#[test]
fn server_must_be_an_address_and_the_token_must_be_there() {
    let api = |server, token| Api::new(server, token, canned(|| Err(Broken { may_have_arrived: false })).0);
    for server in ["", "127.0.0.1:8787", "ftp://h", "http://", "http://h/?q", "http://user:secret@h"] {
        let fault = format!("{:#}", api(server, Some("t")).err().unwrap());
        assert!(fault.contains("address must") && !fault.contains("secret"), "{server}: {fault}");
    }
    for token in [None, Some(""), Some("  ")] {
        let fault = api("http://h", token).err().unwrap().to_string();
        assert!(fault.contains("FLEETWIRE_TOKEN") && fault.contains("--token"), "{fault}");
    }
    let fault = format!("{:#}", api("http://h", Some("fwo_\nsecret")).err().unwrap());
    assert!(!fault.contains("secret"), "{fault}");
}

// ---- against the control API ----

#[tokio::test]
async fn device_is_added_shown_and_listed() {
    let api = fresh_server().await;
    assert!(printed(&api, "devices list").await.unwrap().starts_with("No agents."));

    let line = "devices add acusight --id A/B:1 --name gate --label site=north --fact rack=7 --fact room=b2";
    let added = printed(&api, line).await.unwrap();
    let key = added.lines().find_map(|line| line.strip_prefix("key")).unwrap().trim();
    assert!(key.starts_with("adk_"), "{added}");
    assert!(added.contains("shown this once"), "{added}");

    let shown = printed(&api, "devices show acusight A/B:1").await.unwrap();
    for line in ["label          site = north", "fact           rack = 7", "fact           room = \"b2\""] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(added.starts_with(&shown), "{added}");
    assert!(!shown.contains(key));

    let listed = printed(&api, "devices list --vendor acusight --status never").await.unwrap();
    let expected = "NUMBER  VENDOR    KIND   ID     NAME  STATUS  LAST SEEN  VERSION\n\
                    1       acusight  agent  A/B:1  gate  never   -          -\n";
    assert_eq!(listed, expected);
    assert!(printed(&api, "devices list --status online").await.unwrap().starts_with("No agents."));
}

#[tokio::test]
async fn device_is_shut_out_let_in_rekeyed_and_sent_away() {
    let api = fresh_server().await;
    let key = |printed: &str| {
        let key = printed.lines().find_map(|line| line.strip_prefix("key")).unwrap().trim();
        key.to_owned()
    };
    let first = key(&printed(&api, "devices add acusight --id cam --name gate").await.unwrap());
    for (turn, standing) in
        [("disable", "disabled"), ("enable", "active"), ("decommission", "decommissioned")]
    {
        if turn == "decommission" {
            let made = printed(&api, "devices revoke-keys acusight cam").await.unwrap();
            assert!(key(&made).starts_with("adk_") && key(&made) != first, "{made}");
        }
        let said = printed(&api, &format!("devices {turn} acusight cam")).await.unwrap();
        assert_eq!(said, format!("gate is {standing}.\n"));
        let shown = printed(&api, "devices show acusight cam").await.unwrap();
        assert!(shown.contains(&format!("standing       {standing}\n")), "{shown}");
    }
    assert!(printed(&api, "devices list").await.unwrap().contains("decommissioned"));
    let fault = printed(&api, "devices enable acusight cam").await.unwrap_err().to_string();
    assert!(fault.contains("left for good"), "{fault}");
}

#[tokio::test]
async fn json_is_what_the_server_said() {
    let api = fresh_server().await;
    printed(&api, "devices add zstack --id z").await.unwrap();
    let listed: Value = serde_json::from_str(&printed(&api, "devices list --json").await.unwrap()).unwrap();
    assert_eq!((&listed["agents"][0]["id"], &listed["agents"][0]["status"]), (&json!("z"), &json!("never")));
    let made = printed(&api, "keys create zstack --json").await.unwrap();
    let made: Value = serde_json::from_str(&made).unwrap();
    assert!(made["key"].as_str().unwrap().starts_with("zsk_"));
}

#[tokio::test]
async fn key_of_an_agent_is_rotated() {
    let api = fresh_server().await;
    printed(&api, "devices add achilles --id a --name runner").await.unwrap();
    let offered = printed(&api, "devices rotate-key achilles a").await.unwrap();
    assert!(offered.starts_with("runner is offered a new key"), "{offered}");
    assert!(printed(&api, "devices show achilles a").await.unwrap().contains("rotating       yes"));
}

#[tokio::test]
async fn model_is_registered_and_assigned() {
    let api = fresh_server().await;
    printed(&api, "devices add acusight --id a --name gate").await.unwrap();
    let line =
        "models add --id m1 --name people --version 3 --url https://h/m --file-ext onnx --label-map {}";
    let added = printed(&api, line).await.unwrap();
    assert!(added.contains("version        3\n"), "{added}");
    let assigned = printed(&api, "devices model acusight a m1").await.unwrap();
    assert_eq!(assigned, "gate is to run m1.\n");
    let fault = printed(&api, "devices model acusight a m2").await.unwrap_err();
    assert_eq!(fault.to_string(), "there is no such model");
}

#[tokio::test]
async fn work_is_queued_and_listed() {
    let api = fresh_server().await;
    assert!(printed(&api, "work list").await.unwrap().starts_with("No work."));
    printed(&api, "devices add achilles --id a").await.unwrap();
    let line = "work add achilles a execute_command --payload {\"command\":\"uptime\"} --priority -5";
    let queued = printed(&api, line).await.unwrap();
    let row: Vec<_> = queued.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(
        [row[0], row[2], row[3], row[4], row[5], row[6]],
        ["1", "achilles", "a", "execute_command", "queued", "-5"]
    );
    assert_eq!(printed(&api, "work list --vendor achilles --agent a").await.unwrap(), queued);
    let fault = printed(&api, "work queue achilles a t --payload {\"comand\":\"x\"}").await.unwrap_err();
    assert_eq!(fault.to_string(), "payload.comand: tasks have no such member");
}

#[tokio::test]
async fn work_that_waits_is_listed_taken_and_reported() {
    let api = fresh_server().await;
    printed(&api, "devices add zstack --id a").await.unwrap();
    let mut ids = Vec::new();
    for action in ["stop", "start"] {
        let made = printed(&api, &format!("work add zstack a {action} --json")).await.unwrap();
        let made: Value = serde_json::from_str(&made).unwrap();
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let listed = printed(&api, "work list --vendor zstack --state queued --limit 1").await.unwrap();
    assert!(listed.contains(&ids[1]) && listed.ends_with("There are more: --before 2\n"), "{listed}");
    let listed = printed(&api, "work list --vendor zstack --state queued --before 2").await.unwrap();
    assert!(listed.contains(&ids[0]) && !listed.contains(&ids[1]), "{listed}");

    let id = &ids[0];
    let fault = printed(&api, &format!("work report {id} --state succeed")).await.unwrap_err().to_string();
    assert!(fault.contains("queued"), "{fault}");
    let report = format!("work report {id} --state acknowledge");
    assert_eq!(printed(&api, &report).await.unwrap(), format!("{id} is delivered, in execution 1.\n"));
    assert_eq!(
        printed(&api, &report).await.unwrap(),
        format!("{id} is delivered already, in execution 1.\n")
    );
    let report =
        format!("work report {id} --state fail --execution 1 --result {{\"error\":\"no_unit\"}} --json");
    let failed: Value = serde_json::from_str(&printed(&api, &report).await.unwrap()).unwrap();
    assert_eq!((&failed["changed"], &failed["work"]["state"]), (&json!(true), &json!("failed")));
    assert_eq!(failed["work"]["result"], json!({"error": "no_unit"}));
}

#[tokio::test]
async fn work_is_added_once_shown_and_called_off() {
    let api = fresh_server().await;
    printed(&api, "devices add achilles --id a").await.unwrap();
    let line = "work add achilles a execute_test --key nightly --ttl 1h --timeout 90s --max-retries 1";
    let line = format!("{line} --not-before 2025-03-02T00:00:00Z");
    let made = printed(&api, &format!("{line} --json")).await.unwrap();
    assert_eq!(
        printed(&api, &format!("{line} --json")).await.unwrap(),
        made,
        "the same key is the same work"
    );
    let made: Value = serde_json::from_str(&made).unwrap();
    let id = made["id"].as_str().unwrap();
    let fault = printed(&api, &format!("{line} --priority 3")).await.unwrap_err().to_string();
    assert!(fault.contains(id) && fault.contains("another key"), "{fault}");

    let shown = printed(&api, &format!("work show {id}")).await.unwrap();
    for line in [
        "key            nightly\n",
        "execution      1 of at most 2\n",
        "not before     2025-03-02T00:00:00.000Z\n",
        "expires        2025-03-02T01:00:00.000Z\n",
        "timeout        90 s\n",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    let canceled = format!("{id} is canceled.\n");
    for _ in 0..2 {
        assert_eq!(printed(&api, &format!("work cancel {id}")).await.unwrap(), canceled);
    }
    assert!(printed(&api, "work cancel gone").await.is_err());
    assert!(printed(&api, "results").await.unwrap().starts_with("No results."));
    let json: Value = serde_json::from_str(&printed(&api, "results --json").await.unwrap()).unwrap();
    assert_eq!(json, json!({"results": [], "next": null}));
}

#[tokio::test]
async fn token_is_made_listed_and_revoked() {
    let api = fresh_server().await;
    let made = printed(&api, "tokens create achilles --ttl 1h30m --max-uses 5").await.unwrap();
    assert!(made.contains("expires        2025-03-01T13:30:00.000Z\n"), "{made}");
    assert!(made.contains("uses           0 of 5\n") && made.contains("shown this once"), "{made}");
    let id = made.lines().next().unwrap().split_whitespace().nth(1).unwrap();
    assert_eq!(printed(&api, &format!("tokens revoke {id}")).await.unwrap(), format!("{id} is revoked.\n"));
    let listed = printed(&api, "tokens list").await.unwrap();
    assert!(listed.contains(id) && listed.trim_end().ends_with("yes"), "{listed}");
    assert!(printed(&api, "tokens revoke gone").await.is_err());
}

#[tokio::test]
async fn provisioning_token_has_the_bounds_of_its_vendor_unless_others_are_asked_for() {
    let api = fresh_server().await;
    for (arguments, expires, uses) in [
        ("", "2025-03-31T12:00:00.000Z", "0 of any"),
        (" --max-uses 1", "2025-03-31T12:00:00.000Z", "0 of 1"),
        (" --ttl never --max-uses 1", "never", "0 of 1"),
        (" --ttl 1h --max-uses unlimited", "2025-03-01T13:00:00.000Z", "0 of any"),
    ] {
        let made = printed(&api, &format!("tokens create acusight{arguments}")).await.unwrap();
        assert!(made.contains(&format!("expires        {expires}\n")), "{made}");
        assert!(made.contains(&format!("uses           {uses}\n")) && made.contains("apt_"), "{made}");
        let listed = printed(&api, "tokens list").await.unwrap();
        assert!(
            listed.lines().nth(1).is_some_and(|line| line.contains(expires) && line.contains(uses)),
            "{listed}"
        );
    }
}

#[tokio::test]
async fn release_is_registered_with_what_its_file_is() {
    let api = fresh_server().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "abc").unwrap();
    let path = file.path().display();
    let line = format!(
        "releases add --version 2 --os linux --arch amd64 --file {path} --url http://h/f --mandatory"
    );
    let added = printed(&api, &line).await.unwrap();
    // The digest of `abc` in FIPS 180-2.
    let sha256 = "sha256         ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    assert!(added.contains(sha256) && added.contains("size           3\n"), "{added}");
    assert!(added.contains("mandatory      yes\n"), "{added}");
    assert!(printed(&api, "releases key").await.unwrap().starts_with("algorithm      ed25519\n"));

    let line = "releases add --version 2 --os linux --arch amd64 --file /nowhere/f --url http://h/f";
    let fault = printed(&api, line).await.unwrap_err().to_string();
    assert_eq!(fault, "cannot read /nowhere/f");
}

#[tokio::test]
async fn file_is_brought_listed_and_removed() {
    let api = fresh_server().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![7; 600_000]).unwrap();
    let path = file.path().display();
    for (add, list, row, remove) in [
        (
            format!("releases add {path} --version 2 --os linux --arch amd64"),
            "releases list",
            "1       2        linux  amd64  600000  no",
            "releases remove 1",
        ),
        (
            format!("models add {path} --id m1 --name people --version 3"),
            "models list",
            "m1  people  3        600000  on the server",
            "models remove m1",
        ),
        (
            format!("binaries add {path} --name t.exe"),
            "binaries list",
            "t.exe  600000",
            "binaries remove t.exe",
        ),
    ] {
        let added = printed(&api, &add).await.unwrap();
        assert!(added.contains("600000"), "{added}");
        let listed = printed(&api, list).await.unwrap();
        assert!(listed.lines().nth(1).is_some_and(|line| line.starts_with(row)), "{listed}");
        let json: Value =
            serde_json::from_str(&printed(&api, &format!("{list} --json")).await.unwrap()).unwrap();
        assert!(json.as_object().unwrap().values().all(|rows| rows.as_array().unwrap().len() == 1), "{json}");
        assert!(printed(&api, remove).await.unwrap().ends_with(" is removed.\n"));
        assert!(printed(&api, list).await.unwrap().starts_with("No "));
        assert!(printed(&api, remove).await.is_err());
    }
}

#[tokio::test]
async fn signing_keys_are_rotated_and_retired() {
    let api = fresh_server().await;
    let first = printed(&api, "releases key -q").await.unwrap();
    let keys = printed(&api, "releases rotate-key").await.unwrap();
    assert_eq!(keys.lines().count(), 3, "{keys}");
    assert_ne!(printed(&api, "releases key -q").await.unwrap(), first);
    assert!(printed(&api, "releases retire-key 2").await.unwrap_err().to_string().contains("rotate first"));
    let keys = printed(&api, "releases retire-key 1").await.unwrap();
    assert!(keys.lines().nth(1).is_some_and(|line| line.contains("2025-03-01")), "{keys}");
}

#[test]
fn release_is_brought_or_registered_by_address_and_not_both() {
    for line in [
        "releases add --version 1 --os l --arch a",
        "releases add f --version 1 --os l --arch a --url http://h/f",
        "releases add f --version 1 --os l --arch a --file f",
        "releases add --version 1 --os l --arch a --url http://h/f",
        "models add --name a --version 1",
        "models add f --name a --version 1 --url http://h/f",
        "binaries add",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

// ---- what goes wrong ----

#[tokio::test]
async fn ids_are_escaped_and_cannot_climb() {
    let (transport, asked) = canned(|| Ok(answer(StatusCode::NO_CONTENT, "")));
    let api = api_of(transport);
    printed(&api, "tokens revoke ../a?b#c%2F").await.unwrap();
    assert_eq!(
        *asked.lock().unwrap(),
        ["DELETE http://fleet.test:8787/control/v1/tokens/..%2Fa%3Fb%23c%252F"]
    );
    for id in ["..", "."] {
        assert!(printed(&api, &format!("tokens revoke {id}")).await.is_err());
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn request_carries_the_token_in_a_header_that_is_not_logged() {
    let check = |request: Request<Bytes>| {
        let token = &request.headers()[header::AUTHORIZATION];
        assert!(token.is_sensitive());
        assert_eq!(token, "Bearer fwo_secret");
        assert_eq!(request.uri().query(), Some("limit=1000&status=online&vendor=zstack"));
        Ok(answer(StatusCode::OK, "{\"agents\":[]}"))
    };
    let api = api_of(Canned { answer: check, asked: Arc::default() });
    printed(&api, "devices list --vendor zstack --status online").await.unwrap();
}

#[tokio::test]
async fn server_that_cannot_be_reached_is_asked_after() {
    let api = api_of(canned(|| Err(Broken { may_have_arrived: false })).0);
    let fault = printed(&api, "devices list").await.unwrap_err().to_string();
    assert!(fault.contains("is `fleetwire serve` running at http://fleet.test:8787?"), "{fault}");
}

#[tokio::test]
async fn lost_answer_to_a_change_warns_of_asking_again() {
    let api = api_of(canned(|| Err(Broken { may_have_arrived: true })).0);
    let fault = printed(&api, "keys create zstack").await.unwrap_err().to_string();
    assert!(fault.contains("look before you ask again"), "{fault}");
    let fault = printed(&api, "devices list").await.unwrap_err().to_string();
    assert!(!fault.contains("look before"), "{fault}");
}

#[tokio::test]
async fn refused_token_says_where_the_right_one_is_from() {
    let api = fresh_server().await;
    let command = parse("devices list").unwrap();
    let stranger = Api::new("http://fleet.test", Some("fwo_wrong"), api.transport().clone()).unwrap();
    let fault = command.ask(&stranger, Form::Text).await.unwrap_err().to_string();
    assert!(fault.contains("FLEETWIRE_TOKEN") && !fault.contains("fwo_wrong"), "{fault}");
}

#[tokio::test]
async fn busy_server_says_when_to_come_back() {
    let busy = || {
        let body = "{\"error\":{\"code\":\"unavailable\",\"message\":\"the store is busy\"}}";
        let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, body);
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        Ok(response)
    };
    let fault = printed(&api_of(canned(busy).0), "devices list").await.unwrap_err();
    assert_eq!(fault.to_string(), "the store is busy; try again in 5 s");
}

#[tokio::test]
async fn answer_of_another_program_is_recognised() {
    for (status, body) in [
        (StatusCode::OK, "<html>"),
        (StatusCode::OK, ""),
        (StatusCode::FOUND, ""),
        (StatusCode::NOT_FOUND, "<html>"),
        (StatusCode::BAD_GATEWAY, "{\"error\":\"down\"}"),
    ] {
        let api = api_of(canned(move || Ok(answer(status, body))).0);
        let fault = printed(&api, "devices list").await.unwrap_err().to_string();
        assert!(fault.contains("is it the right address?"), "{status} {body}: {fault}");
    }
    let api = api_of(canned(|| Ok(answer(StatusCode::OK, "{\"agents\":7}"))).0);
    let fault = printed(&api, "devices list").await.unwrap_err().to_string();
    assert!(fault.contains("--json"), "{fault}");
    assert_eq!(printed(&api, "devices list --json").await.unwrap(), "{\n  \"agents\": 7\n}\n");
}

#[tokio::test]
async fn message_of_a_server_cannot_steer_the_terminal() {
    let body = "{\"error\":{\"code\":\"x\",\"message\":\"a\\u001b[2Jb\"}}";
    let api = api_of(canned(move || Ok(answer(StatusCode::CONFLICT, body))).0);
    let fault = printed(&api, "devices list").await.unwrap_err();
    assert_eq!(fault.to_string(), "a\u{fffd}[2Jb");
}

// ---- events ----

#[tokio::test]
async fn events_are_one_line_each_and_read_on_from_a_number() {
    let api = fresh_server().await;
    for id in ["a-1", "a-2"] {
        printed(&api, &format!("devices add zstack --id {id}")).await.unwrap();
    }
    printed(&api, "tokens create achilles").await.unwrap();
    let all = printed(&api, "events --after 0").await.unwrap();
    let lines: Vec<_> = all.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0], "     1  2025-03-01T12:00:00.000Z  registered       zstack/a-1  name=a-1");
    assert!(lines[2].contains("token_issued") && lines[2].contains("  -  "), "{}", lines[2]);
    assert_eq!(printed(&api, "events --after 1 --limit 1").await.unwrap(), format!("{}\n", lines[1]));
    assert_eq!(printed(&api, "events --limit 1").await.unwrap(), format!("{}\n", lines[2]));
    assert_eq!(printed(&api, "events --after 3").await.unwrap(), "");

    let json = printed(&api, "events --agent a-2 --kind registered --json").await.unwrap();
    let events: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["agent"], json!({"number": 2, "vendor": "zstack", "id": "a-2", "name": "a-2"}));
}

#[tokio::test]
async fn events_of_nobody_and_of_no_kind_are_refused() {
    let api = fresh_server().await;
    let error = printed(&api, "events --agent nobody").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no such agent");
    for line in ["events --kind Offline", "events --limit 0", "events --limit 1001", "events --vendor zstack"]
    {
        assert!(parse(line).is_err(), "{line}");
    }
    assert!(parse("events --kind offline").is_ok());
}

/// A reader that hangs up after some lines.
struct Impatient {
    lines: usize,
    read: Vec<u8>,
}

impl Write for Impatient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.read.iter().filter(|byte| **byte == b'\n').count() >= self.lines {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.read.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn followed_events_come_page_by_page_until_the_reader_hangs_up() {
    let api = fresh_server().await;
    for n in 0..5 {
        printed(&api, &format!("devices add zstack --id a-{n}")).await.unwrap();
    }
    let OperatorCommand::Events { events, .. } = parse("events --after 0 --limit 1 --follow --json").unwrap()
    else {
        panic!("another command")
    };
    let mut out = Impatient { lines: 4, read: Vec::new() };
    events.show(&api, Form::Json, &mut out).await.unwrap();
    let numbers = String::from_utf8(out.read).unwrap();
    let numbers = numbers.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["number"].clone());
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn follower_that_loses_its_server_is_told_where_to_go_on() {
    let (transport, _) = canned(|| Err(Broken { may_have_arrived: false }));
    let api = Api::new("http://fleet.test", Some("fwo_1"), transport).unwrap();
    let OperatorCommand::Events { events, .. } = parse("events --after 17 --follow").unwrap() else {
        panic!("another command")
    };
    let error = events.show(&api, Form::Text, &mut Vec::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "to go on from here: --after 17");
}
