//! `fleetwire agent achilles` is killed at random moments and loses nothing: every task that was queued is done, and
//! its result is at the server once. Real binaries, real sockets, real disk.
//!
//! `FLEETWIRE_KILL_ROUNDS` says how often it is killed, `FLEETWIRE_KILL_SEED` at which moments.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/impatience.rs"]
mod impatience;
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use impatience::impatience;
use serde_json::{Value, json};
use support::Server;

/// How often the agent is killed unless the environment says otherwise.
const ROUNDS: u64 = 12;
/// The longest that an agent lives before it is killed.
const LIFE: Duration = Duration::from_millis(700);
/// How long the agent may take to do what is left, once it is let live.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of the file that tasks have digested: long enough that some are killed over it.
const FILE: usize = 24 << 20;

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn upto(&mut self, most: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        most * u32::try_from((bits ^ (bits >> 31)) % 1000).unwrap() / 1000
    }
}

/// An operator at a server.
struct Operator<'a>(&'a Server);

impl Operator<'_> {
    fn command(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_fleetwire"))
            .args(arguments)
            .env("FLEETWIRE_SERVER", &self.0.address)
            .env("FLEETWIRE_TOKEN", self.0.token.as_ref().unwrap())
            .output()
            .unwrap()
    }

    fn told(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.told(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// The state of each task of an agent, by its id.
    fn tasks(&self, agent: &str) -> BTreeMap<String, String> {
        let text = |work: &Value, name: &str| work[name].as_str().unwrap().to_owned();
        let listed =
            self.json(&["work", "list", "--vendor", "achilles", "--agent", agent, "--limit", "1000"]);
        let listed = listed["work"].as_array().unwrap();
        listed.iter().map(|work| (text(work, "id"), text(work, "state"))).collect()
    }
}

/// `fleetwire agent achilles` on a folder.
fn agent(address: &str, state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetwire"));
    command
        .args(["agent", "achilles", "--poll-ms", "50", "--server", &format!("{address}/achilles"), "--state"])
        .arg(state)
        .args(arguments)
        .env_remove("FLEETWIRE_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// What the state says; null if there is none yet.
fn status(state: &Path) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetwire"));
    let output = command.args(["agent", "status", "--json", "--state"]).arg(state).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    if complaint.contains("no agent has kept anything") {
        return Value::Null;
    }
    assert!(output.status.success(), "{complaint}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Kills it as a power cut would.
fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_agent_that_is_killed_at_random_moments_loses_nothing_and_does_nothing_twice() {
    let rounds = from_environment("FLEETWIRE_KILL_ROUNDS", ROUNDS);
    let seed = from_environment("FLEETWIRE_KILL_SEED", 7);
    println!("{rounds} rounds of seed {seed}");
    let mut dice = Dice(seed);
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let operator = Operator(&server);
    let address = impatience(&server.address);
    let state = folder.path().join("agent");
    std::fs::create_dir_all(state.join("files")).unwrap();
    std::fs::write(state.join("files/model.bin"), vec![7; FILE]).unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, operator.told(&["tokens", "create", "achilles", "--quiet"])).unwrap();
    let token = ["--token-file", token_file.to_str().unwrap()];

    // It is killed from the first moment on: while it enrols as well.
    let (mut queued, mut over_work) = (Vec::new(), 0);
    for round in 0..rounds {
        let child = agent(&address, &state, &token).spawn().unwrap();
        thread::sleep(dice.upto(LIFE));
        kill(child);
        let kept = status(&state);
        over_work += u32::from(kept["at_work"] == true || kept["spool"]["messages"].as_u64() > Some(0));
        let agents = operator.json(&["devices", "list"]);
        let agents = agents["agents"].as_array().unwrap();
        assert!(agents.len() <= 1, "round {round}: it enrolled twice: {agents:?}");
        if let Some(id) = agents.first().and_then(|agent| agent["id"].as_str()) {
            let kind = if round % 4 == 0 { "report_facts" } else { "checksum" };
            let work = operator.json(&[
                "work",
                "add",
                "achilles",
                id,
                kind,
                "--payload",
                r#"{"binary_name":"model.bin"}"#,
            ]);
            queued.push((work["id"].as_str().unwrap().to_owned(), kind));
        }
    }
    println!("{over_work} of them over work, or with a result in the spool");
    assert!(queued.len() as u64 >= rounds / 2, "it had enrolled after {} of {rounds} rounds", queued.len());

    // What is left is done by one that is let live.
    let id = status(&state)["identity"]["agent_id"].as_str().unwrap().to_owned();
    let last = agent(&address, &state, &[]).spawn().unwrap();
    let until = Instant::now() + PATIENCE + Duration::from_secs(rounds);
    while operator.tasks(&id).values().any(|state| state != "succeeded") {
        assert!(Instant::now() < until, "{:?}\n{}", operator.tasks(&id), status(&state));
        thread::sleep(Duration::from_millis(100));
    }
    kill(last);

    let tasks = operator.tasks(&id);
    assert_eq!(tasks.len(), queued.len());
    let mut sums = Vec::new();
    for (task, kind) in &queued {
        let work = operator.json(&["work", "show", task]);
        assert_eq!(work["earlier_executions"], Value::Null, "it was carried out once: {work}");
        if *kind == "checksum" {
            let printed = work["result"]["stdout"].as_str().unwrap();
            sums.push(serde_json::from_str::<Value>(printed).unwrap()["sha256"].as_str().unwrap().to_owned());
        }
    }
    sums.dedup();
    assert_eq!(sums.len(), 1, "each result is that of the same file");
    let ended = operator.told(&["events", "--json", "--limit", "1000"]);
    let ended = ended.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ended = ended.filter(|event| event["kind"] == "work_ended").count();
    assert_eq!(ended, queued.len(), "each task has ended once");
    let status = status(&state);
    assert_eq!((&status["work_queued"], &status["at_work"]), (&json!(0), &json!(false)), "{status}");
}
