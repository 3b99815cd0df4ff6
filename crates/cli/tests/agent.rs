//! `fleetwire agent` against `fleetwire serve`: its exit codes, the work that it does and refuses, and what it says of
//! itself. Real binaries, real sockets, real disk.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/impatience.rs"]
mod impatience;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use impatience::impatience;
use serde_json::{Value, json};
use support::Server;
use tempfile::TempDir;

/// How long anything that is waited for may take, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// What every key of an Achilles agent begins with.
const KEY: &str = "ak_";

/// A server, its operator, and a folder for agents.
struct Fleet {
    folder: TempDir,
    server: Server,
}

impl Fleet {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(&folder.path().join("data"));
        Self { folder, server }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    fn told(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_fleetwire"))
            .args(arguments)
            .env("FLEETWIRE_SERVER", &self.server.address)
            .env("FLEETWIRE_TOKEN", self.server.token.as_ref().unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", complaint(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.told(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// The agents of a vendor that have been heard, by their ids.
    fn online(&self, vendor: &str) -> Vec<String> {
        let listed = self.json(&["devices", "list"]);
        let listed = listed["agents"].as_array().unwrap().iter();
        let online = listed.filter(|agent| agent["vendor"] == vendor && agent["status"] == "online");
        online.map(|agent| agent["id"].as_str().unwrap().to_owned()).collect()
    }

    /// `fleetwire agent` for a vendor whose base is at a path of the server's.
    fn agent(&self, vendor: &str, base: &str, token: &str, arguments: &[&str]) -> Command {
        agent(&format!("{}{base}", self.server.address), vendor, &self.state(), token, arguments)
    }

    fn achilles(&self, token: &str, arguments: &[&str]) -> Command {
        self.agent("achilles", "/achilles", token, arguments)
    }

    /// Enrols an agent of Achilles that looks for work as often as it is started to, and says its id.
    fn enrolled(&self) -> String {
        let token = self.told(&["tokens", "create", "achilles", "--quiet"]);
        let address = format!("{}/achilles", impatience(&self.server.address));
        let output = agent(&address, "achilles", &self.state(), &token, &["--once"]).output().unwrap();
        assert!(output.status.success(), "{}", complaint(&output));
        status(&self.state())["identity"]["agent_id"].as_str().unwrap().to_owned()
    }

    /// Starts the agent that has enrolled; it needs no token any more.
    fn start_agent(&self) -> Running {
        Running(Some(self.achilles("", &["--poll-ms", "50"]).stderr(Stdio::null()).spawn().unwrap()))
    }

    fn queue(&self, agent: &str, kind: &str, payload: &Value) -> String {
        self.told(&["work", "add", "achilles", agent, kind, "--payload", &payload.to_string(), "--quiet"])
    }

    /// A task that has ended, and what came of it.
    fn ended(&self, task: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let work = self.json(&["work", "show", task]);
            if work["state"] == "succeeded" || work["state"] == "failed" {
                return work;
            }
            assert!(Instant::now() < until, "{work}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// An agent process, killed when it is dropped.
struct Running(Option<Child>);

impl Running {
    /// Asks it to stop as a service manager does, and says what its exit code was.
    #[cfg(unix)]
    fn terminate(mut self) -> Option<i32> {
        let mut child = self.0.take().unwrap();
        let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Whatever fails here, the process is gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn agent(address: &str, vendor: &str, state: &Path, token: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetwire"));
    command
        .args(["agent", vendor, "--server", address, "--state"])
        .arg(state)
        .args(arguments)
        .env("FLEETWIRE_TOKEN", token)
        .env_remove("FLEETWIRE_TOKEN_FILE")
        .stdin(Stdio::null());
    command
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn status_printed(state: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetwire"));
    command.args(["agent", "status", "--state"]).arg(state).args(arguments).output().unwrap()
}

fn status(state: &Path) -> Value {
    let output = status_printed(state, &["--json"]);
    assert!(output.status.success(), "{}", complaint(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_wrong_token_ends_with_three_and_says_how_to_make_a_good_one() {
    let fleet = Fleet::start();
    let output = fleet.achilles("acht_wrong", &["--once"]).output().unwrap();
    let complaint = complaint(&output);
    assert_eq!(output.status.code(), Some(3), "{complaint}");
    assert!(complaint.contains("`fleetwire tokens create achilles`"), "{complaint}");
    assert!(!complaint.contains("acht_wrong"), "a token is nobody's to read: {complaint}");
    assert_eq!(fleet.json(&["devices", "list"])["agents"], json!([]));
}

#[test]
fn an_operators_token_is_not_sent_by_an_agent() {
    let fleet = Fleet::start();
    let output = fleet.achilles(fleet.server.token.as_ref().unwrap(), &["--once"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("operator's token"), "{}", complaint(&output));
}

#[test]
fn a_key_that_was_never_good_is_refused_at_each_start_until_the_good_one_is_given() {
    let fleet = Fleet::start();
    let id = fleet.json(&["devices", "add", "zstack"])["agent"]["id"].as_str().unwrap().to_owned();
    // The first start leaves a state behind, which must not make the second wait for better days.
    for start in 1..=2 {
        let mut command = fleet.agent("zstack", "/zstack", "zsk_wrong", &["--agent", &id, "--once"]);
        let output = command.output().unwrap();
        let complaint = complaint(&output);
        assert_eq!(output.status.code(), Some(3), "start {start}: {complaint}");
        assert!(complaint.contains("`fleetwire keys create zstack`"), "{complaint}");
    }
    let key = fleet.told(&["keys", "create", "zstack", "--quiet"]);
    let output = fleet.agent("zstack", "/zstack", &key, &["--agent", &id, "--once"]).output().unwrap();
    assert!(output.status.success(), "{}", complaint(&output));
    assert_eq!(fleet.online("zstack"), [id]);
}

#[test]
fn once_is_one_good_check_in() {
    let fleet = Fleet::start();
    let token = fleet.told(&["tokens", "create", "achilles", "--quiet"]);
    let output = fleet.achilles(&token, &["--once"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", complaint(&output));
    assert_eq!(fleet.online("achilles").len(), 1);
    // The token was good for one; the agent has a key of its own by now.
    let output = fleet.achilles("", &["--once"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", complaint(&output));
    assert_eq!(fleet.online("achilles").len(), 1, "it has not enrolled again");
}

#[test]
fn every_other_vendors_agent_checks_in_once() {
    let fleet = Fleet::start();
    let zstack = fleet.json(&["devices", "add", "zstack"])["agent"]["id"].as_str().unwrap().to_owned();
    fleet.told(&["devices", "add", "agentmc", "--number", "7"]);
    let cases = [
        ("acusight", "/acusight/api", ["tokens", "create"], ["--device", "cam-1"]),
        ("zstack", "/zstack", ["keys", "create"], ["--agent", zstack.as_str()]),
        ("agentmc", "/agentmc/api/v1", ["keys", "create"], ["--agent", "7"]),
    ];
    for (vendor, base, made_by, who) in cases {
        let token = fleet.told(&[made_by[0], made_by[1], vendor, "--quiet"]);
        let state = fleet.folder.path().join(vendor);
        let address = format!("{}{base}", fleet.server.address);
        let output = agent(&address, vendor, &state, &token, &[&who[..], &["--once"]].concat()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(0), "{vendor}: {}", complaint(&output));
        assert!(fleet.online(vendor).contains(&who[1].to_owned()), "{vendor}: {:?}", fleet.online(vendor));
        let status = status(&state);
        assert_eq!((&status["vendor"], &status["stopped"]), (&json!(vendor), &json!(true)));
        assert!(status["last_heartbeat"].is_string(), "{status}");
        let output = status_printed(&state, &[]);
        let shown = format!("{}{}", String::from_utf8_lossy(&output.stdout), complaint(&output));
        assert!(shown.contains(vendor) && !shown.contains(&token) && !shown.contains("_key"), "{shown}");
    }
}

/// What a process that ends by itself has to say.
fn finished(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("it does not end: {}", complaint(&child.wait_with_output().unwrap()));
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn once_at_a_wrong_address_ends_and_says_what_was_tried_and_what_to_try() {
    let fleet = Fleet::start();
    let at = |path: &str| format!("{}{path}", fleet.server.address);
    let tls = at("/achilles").replace("http://", "https://");
    // Nobody listens where a listener has just gone.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!("http://{gone}/achilles");
    let cases = [
        ("achilles", at(""), "acht_1", vec![], "POST ", at("/achilles")),
        ("achilles", at("/acusight"), "acht_1", vec![], "/acusight/api/agent/enroll", at("/achilles")),
        ("achilles", tls, "acht_1", vec![], "POST https://", format!("--server {}", at("/achilles"))),
        (
            "achilles",
            "http://nobody.invalid/a".to_owned(),
            "acht_1",
            vec![],
            "nobody.invalid",
            "spelled".to_owned(),
        ),
        ("achilles", gone.clone(), "acht_1", vec![], gone.as_str(), "see that the server runs".to_owned()),
        ("acusight", at("/acusight"), "apt_1", vec!["--device", "cam-1"], "/provision", at("/acusight/api")),
        ("zstack", at(""), "zsk_1", vec!["--agent", "a"], "PUT ", at("/zstack")),
        ("agentmc", at("/agentmc"), "cc_1", vec!["--agent", "7"], "/hosts/heartbeat", at("/agentmc/api/v1")),
    ];
    for (number, (vendor, address, token, who, tried, next)) in cases.iter().enumerate() {
        let state = fleet.folder.path().join(format!("state-{number}"));
        let output = finished(agent(address, vendor, &state, token, &[&who[..], &["--once"]].concat()));
        let complaint = complaint(&output);
        assert_eq!(output.status.code(), Some(1), "{vendor} {address}: {complaint}");
        let last = complaint.lines().last().unwrap();
        assert!(last.contains(tried) && last.contains(next), "{vendor} {address}: {complaint}");
        assert!(!complaint.contains(token), "a token is nobody's to read: {complaint}");
    }
}

#[test]
fn an_agent_that_the_server_does_not_know_is_told_apart_from_a_wrong_address() {
    let fleet = Fleet::start();
    let key = fleet.told(&["keys", "create", "zstack", "--quiet"]);
    let output = finished(fleet.agent("zstack", "/zstack", &key, &["--agent", "nobody", "--once"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("`fleetwire devices add zstack`"), "{}", complaint(&output));
}

#[cfg(unix)]
#[test]
fn an_agent_at_a_wrong_address_says_so_loudly_and_goes_on() {
    let fleet = Fleet::start();
    let log = fleet.folder.path().join("log");
    let mut command = fleet.agent("achilles", "", "acht_1", &[]);
    let child = command.stderr(std::fs::File::create(&log).unwrap()).stdout(Stdio::null()).spawn().unwrap();
    let running = Running(Some(child));
    let until = Instant::now() + PATIENCE;
    let loud = loop {
        let told = std::fs::read_to_string(&log).unwrap();
        let loud: Vec<_> = told.lines().filter(|line| line.contains("ERROR")).map(str::to_owned).collect();
        if loud.len() >= 2 {
            break loud;
        }
        assert!(Instant::now() < until, "{told}");
        thread::sleep(Duration::from_millis(20));
    };
    for line in loud {
        let is_told = line.contains("/api/agent/enroll")
            && line.contains(&format!("{}/achilles", fleet.server.address));
        assert!(is_told && line.contains("again in"), "{line}");
    }
    assert_eq!(running.terminate(), Some(0));
}

#[test]
fn a_device_fetches_its_model_and_reports_it_and_refuses_other_actions() {
    let fleet = Fleet::start();
    let content: Vec<u8> = (0..100_000_u32).map(|number| (number % 241) as u8).collect();
    let file = fleet.folder.path().join("upload");
    std::fs::write(&file, &content).unwrap();
    let file = file.to_str().unwrap();
    let token = fleet.told(&["tokens", "create", "acusight", "--quiet"]);
    let check_in = |token: &str| {
        let arguments = ["--device", "cam-1", "--once"];
        let output = finished(fleet.agent("acusight", "/acusight/api", token, &arguments));
        assert!(output.status.success(), "{}", complaint(&output));
        complaint(&output)
    };
    check_in(&token);
    for version in ["1", "2"] {
        let id = format!("model-{version}");
        let add = ["models", "add", file, "--name", "defects", "--version", version, "--file-ext", "onnx"];
        fleet.told(&[&add[..], &["--id", &id]].concat());
        fleet.told(&["devices", "model", "acusight", "cam-1", &id]);
        fleet.told(&["work", "add", "acusight", "cam-1", "reboot", "--key", version]);
        let model = || fleet.json(&["devices", "show", "acusight", "cam-1"])["current_model"].clone();
        // One brings the actions, the next start does them, and a third reports what came of them.
        let told: Vec<_> = (0..6).take_while(|_| model() != json!(id)).map(|_| check_in("")).collect();
        assert_eq!(model(), json!(id), "{told:#?}");
        let told = told.concat();
        assert!(told.contains("reboot") && told.contains("work refused"), "{told}");
        let files = fleet.state().join("files");
        assert!(std::fs::read(files.join(format!("{id}.onnx"))).unwrap() == content);
        assert_eq!(std::fs::read_dir(&files).unwrap().count(), 1, "the model before is let go of");
    }
    let work = fleet.json(&["work", "list", "--vendor", "acusight"]);
    let states = |kind: &str| -> Vec<Value> {
        let work = work["work"].as_array().unwrap().iter().filter(|work| work["type"] == kind);
        work.map(|work| work["state"].clone()).collect()
    };
    assert_eq!(states("model_update"), [json!("succeeded"), json!("succeeded")]);
    assert_eq!(states("reboot"), [json!("delivered"), json!("delivered")], "nobody said that it was done");
}

#[test]
fn a_host_does_commands_that_harm_nothing_and_refuses_all_others_with_a_reason() {
    let fleet = Fleet::start();
    fleet.told(&["devices", "add", "agentmc", "--number", "7"]);
    let bundle = fleet.folder.path().join("bundle");
    std::fs::create_dir_all(bundle.join("skills")).unwrap();
    std::fs::write(bundle.join("AGENTS.md"), "Work well.\n").unwrap();
    std::fs::write(bundle.join("skills/one.md"), "First.\n").unwrap();
    fleet.told(&["instructions", "set", bundle.to_str().unwrap()]);
    let key = fleet.told(&["keys", "create", "agentmc", "--quiet"]);
    let check_in = || {
        let output = finished(fleet.agent("agentmc", "/agentmc/api/v1", &key, &["--agent", "7", "--once"]));
        assert!(output.status.success(), "{}", complaint(&output));
    };
    check_in();
    let hosts = fleet.json(&["devices", "list"]);
    let host = hosts["agents"].as_array().unwrap().iter().find(|agent| agent["kind"] == "host").unwrap();
    let host = host["id"].as_str().unwrap();
    let ended = |kind: &str, file: &str| {
        let payload = json!({"agent_name": "a", "runtime_key": file}).to_string();
        let id = fleet.told(&["work", "add", "agentmc", host, kind, "--payload", &payload, "--quiet"]);
        let work = || fleet.json(&["work", "show", &id]);
        let is_open = |work: &Value| work["state"] != "succeeded" && work["state"] != "failed";
        (0..6).take_while(|_| is_open(&work())).for_each(|_| check_in());
        work()
    };
    let facts = ended("report_facts", "-");
    assert!(facts["result"]["result"]["hostname"].is_string(), "{facts}");
    let fetched = ended("fetch_instructions", "-");
    assert_eq!(fetched["state"], "succeeded", "{fetched}");
    assert_eq!(fetched["result"]["result"]["files"].as_array().unwrap().len(), 2, "{fetched}");
    let files = fleet.state().join("files");
    assert_eq!(std::fs::read_to_string(files.join("skills/one.md")).unwrap(), "First.\n");
    let summed = ended("checksum", "AGENTS.md");
    assert_eq!(summed["result"]["result"]["size"], 11, "{summed}");
    for (kind, file, reason) in [
        ("checksum", "../../etc/passwd", "is no file of the agent's folder"),
        ("agent.provision", "main", "this agent does no work of kind"),
    ] {
        let refused = ended(kind, file);
        assert_eq!(refused["state"], "failed", "{refused}");
        let error = refused["result"]["error"].as_str().unwrap();
        assert!(error.starts_with("refused: ") && error.contains(reason), "{refused}");
    }
}

#[test]
fn a_second_agent_on_the_same_folder_ends_with_four() {
    let fleet = Fleet::start();
    fleet.enrolled();
    let _first = fleet.start_agent();
    let until = Instant::now() + PATIENCE;
    // It has the folder from before its first heartbeat, which marks the state as one of a running agent.
    while status(&fleet.state())["stopped"] == true {
        assert!(Instant::now() < until, "{}", status(&fleet.state()));
        thread::sleep(Duration::from_millis(20));
    }
    let second = fleet.achilles("", &["--once"]).output().unwrap();
    assert_eq!(second.status.code(), Some(4), "{}", complaint(&second));
    let folder = fleet.state();
    assert!(complaint(&second).contains(folder.to_str().unwrap()), "{}", complaint(&second));
}

#[cfg(unix)]
#[test]
fn a_terminated_agent_ends_with_zero_and_the_next_start_does_the_rest() {
    let fleet = Fleet::start();
    let id = fleet.enrolled();
    let tasks: Vec<_> = (0..8).map(|_| fleet.queue(&id, "report_facts", &json!({}))).collect();
    let first = fleet.start_agent();
    fleet.ended(&tasks[0]);
    assert_eq!(first.terminate(), Some(0));
    let kept = status(&fleet.state());
    assert_eq!(kept["stopped"], true, "{kept}");

    let second = fleet.start_agent();
    for task in &tasks {
        let work = fleet.ended(task);
        assert_eq!(
            (&work["state"], &work["earlier_executions"]),
            (&json!("succeeded"), &Value::Null),
            "{work}"
        );
    }
    assert_eq!(second.terminate(), Some(0));
    let kept = status(&fleet.state());
    let left = (&kept["spool"]["messages"], &kept["work_queued"], &kept["at_work"]);
    assert_eq!(left, (&json!(0), &json!(0), &json!(false)), "{kept}");
}

#[test]
fn work_that_harms_nothing_is_done_and_all_else_refused_with_a_reason() {
    let fleet = Fleet::start();
    let id = fleet.enrolled();
    let content: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    let file = fleet.folder.path().join("upload");
    std::fs::write(&file, &content).unwrap();
    let file = file.to_str().unwrap();
    let added = fleet.json(&["binaries", "add", file, "--name", "model.bin"]);
    fleet.told(&["binaries", "add", file, "--name", "other.bin"]);
    let sum = added["sha256"].as_str().unwrap();
    let witness = fleet.folder.path().join("was-run");

    let facts = fleet.queue(&id, "report_facts", &json!({}));
    let good = json!({"binary_name": "model.bin", "binary_sha256": sum});
    let (fetched, summed) = (fleet.queue(&id, "fetch_binary", &good), fleet.queue(&id, "checksum", &good));
    let wrong = json!({"binary_name": "other.bin", "binary_sha256": "0".repeat(64)});
    let spoiled = fleet.queue(&id, "fetch_binary", &wrong);
    let other_sum = json!({"binary_name": "model.bin", "binary_sha256": "0".repeat(64)});
    let differs = fleet.queue(&id, "checksum", &other_sum);
    let escape = fleet.queue(&id, "checksum", &json!({"binary_name": "../../etc/passwd"}));
    let command = json!({"command": format!("touch {}", witness.display())});
    let run = fleet.queue(&id, "execute_command", &command);
    let _agent = fleet.start_agent();

    let printed = |task: &str| -> Value {
        let work = fleet.ended(task);
        assert_eq!(
            (&work["state"], &work["result"]["exit_code"]),
            (&json!("succeeded"), &json!(0)),
            "{work}"
        );
        serde_json::from_str(work["result"]["stdout"].as_str().unwrap()).unwrap()
    };
    let facts = printed(&facts);
    assert!(facts["hostname"].as_str().is_some_and(|name| !name.is_empty()), "{facts}");
    let described = json!({"file": "model.bin", "size": content.len(), "sha256": sum});
    assert_eq!(printed(&fetched), described);
    assert_eq!(printed(&summed), described);
    let files = fleet.state().join("files");
    assert!(std::fs::read(files.join("model.bin")).unwrap() == content, "the file is the one that was added");

    for (task, reason) in [
        (&spoiled, "SHA-256"),
        (&differs, "model.bin is not the file that was expected"),
        (&escape, "../../etc/passwd"),
        (&run, "execute_command"),
    ] {
        let work = fleet.ended(task);
        // To Achilles a task that was reported on is completed; the exit code says what came of it.
        assert!(work["result"]["exit_code"].as_i64().is_some_and(|code| code != 0), "{work}");
        let said = format!("{} {}", work["result"]["stderr"], work["result"]["error"]);
        assert!(said.contains(reason), "{reason}: {work}");
    }
    let shown = fleet.told(&["work", "show", &spoiled]);
    assert!(shown.contains("succeeded, exit code 999"), "{shown}");
    let listed = fleet.told(&["work", "list", "--vendor", "achilles"]);
    let line = listed.lines().find(|line| line.contains(&spoiled)).unwrap();
    assert!(line.contains("exit code 999"), "{line}");
    assert!(!files.join("other.bin").exists(), "a file with another sum is not kept");
    assert!(!witness.exists(), "a command was run");
}

#[test]
fn status_says_who_the_agent_is_and_what_waits_but_no_key() {
    let fleet = Fleet::start();
    let missing = status_printed(&fleet.state(), &["--json"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(complaint(&missing).contains("no agent has kept anything"), "{}", complaint(&missing));

    let id = fleet.enrolled();
    let status = status(&fleet.state());
    assert_eq!(status["identity"]["agent_id"], json!(id));
    assert_eq!(status["keys"], 1);
    let last = status["last_heartbeat"].as_str().unwrap();
    chrono::DateTime::parse_from_rfc3339(last).unwrap();
    assert_eq!(status["spool"], json!({"messages": 0, "bytes": 0}));

    let kept = std::fs::read(fleet.state().join("state")).unwrap();
    assert!(String::from_utf8_lossy(&kept).contains(KEY), "the key is there to be shown");
    for arguments in [&[][..], &["--json"]] {
        let output = status_printed(&fleet.state(), arguments);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), complaint(&output));
        assert!(said.contains(&id) && !said.contains(KEY), "{said}");
    }
}
