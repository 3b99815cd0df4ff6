//! The steps of a task, the version that is offered, who is shut out, and what becomes of the work of an agent that has
//! fallen silent, over sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[expect(dead_code, reason = "other tests need more of it")]
mod support;

use fleetwire_server::Settings;
use fleetwire_server_core::Config;
use fleetwire_server_core::store::MemoryStore;
use serde_json::{Value, json};
use support::{Answer, Ask, TestClock, TestServer};

/// A server with one enrolled agent, and one more that is a stranger to its tasks.
struct World {
    server: TestServer<MemoryStore>,
    agent: (String, String),
    other: (String, String),
}

impl World {
    async fn new() -> Self {
        let settings = Settings::default();
        let (store, clock) = (MemoryStore::default(), TestClock::new());
        let server = TestServer::start(store, clock, Config::default(), settings).await;
        let mut world = Self { server, agent: Default::default(), other: Default::default() };
        world.agent = world.enroll("WS-1").await;
        world.other = world.enroll("WS-2").await;
        world
    }

    async fn enroll(&self, hostname: &str) -> (String, String) {
        let token = self.operate("POST", "/tokens", json!({"vendor": "achilles"})).await;
        let body = json!({
            "token": token.json()["token"], "hostname": hostname, "os": "linux", "arch": "amd64",
            "agent_version": "0.5.11",
        });
        let answer = self.server.ask(&Ask::new("POST", "/achilles/api/agent/enroll").json(&body)).await;
        let data = answer.json()["data"].clone();
        (data["agent_id"].as_str().unwrap().to_owned(), data["agent_key"].as_str().unwrap().to_owned())
    }

    async fn operate(&self, method: &str, path: &str, body: Value) -> Answer {
        let token = format!("Bearer {}", self.server.operator.as_deref().unwrap());
        let ask = Ask::new(method, &format!("/control/v1{path}")).header("Authorization", &token);
        self.server.ask(&if body.is_null() { ask } else { ask.json(&body) }).await
    }

    async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.operate(method, path, body).await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.json());
        answer.json()
    }

    /// An agent's own address, and what is beneath it.
    fn path(&self, beneath: &str) -> String {
        format!("/agents/achilles/{}{beneath}", self.agent.0)
    }

    fn signed(&self, (id, key): &(String, String), method: &str, path: &str) -> Ask {
        Ask::new(method, &format!("/achilles/api/agent{path}"))
            .header("Authorization", &format!("Bearer {key}"))
            .header("X-Agent-ID", id)
            .header("X-Request-Timestamp", &self.server.clock.text(0))
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let ask = self.signed(&self.agent, method, path);
        self.server.ask(&if body.is_null() { ask } else { ask.json(&body) }).await
    }

    async fn say(&self, task: &str, status: &str) -> Answer {
        self.ask("PATCH", &format!("/tasks/{task}/status"), json!({"status": status})).await
    }

    async fn heartbeat(&self) -> Answer {
        let body = json!({
            "timestamp": self.server.clock.text(0), "status": "idle", "current_task": null,
            "system": {
                "hostname": "WS-1", "os": "linux", "arch": "amd64", "uptime_seconds": 9, "cpu_percent": 1,
                "memory_mb": 1, "disk_free_mb": 500,
            },
            "agent_version": "0.5.11", "last_task_completed": null,
        });
        self.ask("POST", "/heartbeat", body).await
    }

    async fn queue(&self, wish: Value) -> String {
        self.done("POST", &self.path("/work"), wish).await["id"].as_str().unwrap().to_owned()
    }

    async fn command(&self) -> String {
        self.queue(json!({"type": "execute_command", "payload": {"command": "id"}})).await
    }

    /// A task that is as far as the dialect's word says.
    async fn task_at(&self, word: &str) -> String {
        let task = self.command().await;
        if word == "pending" {
            return task;
        }
        // Whatever was handed over before is at its end.
        while self.ask("GET", "/tasks", Value::Null).await.json()["data"]["id"] != json!(task) {}
        for step in ["downloading", "executing", "completed"] {
            if word != "assigned" && word != "failed" && word != "expired" {
                assert_eq!(self.say(&task, step).await.status, 200);
            }
            if step == word {
                return task;
            }
        }
        if matches!(word, "failed" | "expired") {
            assert_eq!(self.say(&task, word).await.status, 200);
        }
        task
    }

    async fn state(&self, task: &str) -> Value {
        self.done("GET", &format!("/work/{task}"), Value::Null).await
    }

    async fn end(&self, task: &str) {
        let answer = self.operate("POST", &format!("/work/{task}/cancel"), Value::Null).await;
        assert!(matches!(answer.status, 200 | 409), "{}", answer.status);
    }
}

fn marked(answer: &Answer) -> bool {
    assert_eq!(
        answer.header("f0-task-state").is_some(),
        answer.json().get("idempotent").is_some(),
        "header and body agree"
    );
    answer.header("f0-task-state") == Some("terminal-idempotent")
}

#[tokio::test]
async fn every_word_is_taken_from_where_it_may_follow_and_from_nowhere_else() {
    const WORDS: [&str; 7] =
        ["pending", "assigned", "downloading", "executing", "completed", "failed", "expired"];
    let follows = |from: &str| match from {
        "pending" => "assigned expired",
        "assigned" => "downloading executing failed expired",
        "downloading" => "executing failed expired",
        "executing" => "completed failed",
        _ => "",
    };
    let world = World::new().await;
    for from in WORDS {
        for to in WORDS {
            let task = world.task_at(from).await;
            let answer = world.say(&task, to).await;
            let body = answer.json();
            let terminal = matches!(from, "completed" | "failed" | "expired");
            let legal = follows(from).split(' ').any(|word| word == to);
            if terminal || legal || from == to {
                let is = if terminal { from } else { to };
                assert_eq!((answer.status, &body["data"]["status"]), (200, &json!(is)), "{from} to {to}");
                assert_eq!(marked(&answer), terminal, "{from} to {to}");
            } else {
                assert_eq!(answer.status, 400, "{from} to {to}: {body}");
                let said = body["error"].as_str().unwrap();
                assert!(said.contains(from) && said.contains(to), "{from} to {to}: {said}");
                let state = world.state(&task).await;
                assert!(state["completed_at"].is_null(), "{from} to {to}: nothing has changed");
            }
            world.end(&task).await;
        }
    }
}

#[tokio::test]
async fn word_of_no_list_names_the_list_and_changes_nothing() {
    let world = World::new().await;
    let task = world.task_at("executing").await;
    for word in ["reporting", "paused", "", "Completed"] {
        let answer = world.say(&task, word).await;
        assert_eq!(answer.status, 400, "{word}");
        let said = answer.json()["error"].as_str().unwrap().to_owned();
        for known in ["pending", "assigned", "downloading", "executing", "completed", "failed", "expired"] {
            assert!(said.contains(known), "{word}: {said}");
        }
    }
    assert_eq!(world.state(&task).await["state"], json!("running"));
}

#[tokio::test]
async fn failure_says_why_in_a_result_of_five_members() {
    let world = World::new().await;
    let task = world.task_at("downloading").await;
    let path = format!("/tasks/{task}/status");
    let said = json!({"status": "failed", "error": "binary checksum mismatch"});
    let answer = world.ask("PATCH", &path, said.clone()).await;
    let expected = json!({
        "error": "binary checksum mismatch", "exit_code": -1, "stdout": "", "stderr": "binary checksum mismatch",
        "execution_duration_ms": 0,
    });
    assert_eq!((answer.status, &answer.json()["data"]["result"]), (200, &expected));
    assert!(!marked(&answer));
    let again = world.ask("PATCH", &path, json!({"status": "failed", "error": "something else"})).await;
    assert_eq!(again.json()["data"]["result"], expected, "the first outcome stays");
    assert!(marked(&again));
    assert_eq!(world.state(&task).await["result"], expected);

    // Without a reason there is no result, and one that goes with another word is none.
    let silent = world.task_at("executing").await;
    let answer = world.say(&silent, "failed").await;
    assert!(answer.json()["data"].get("result").is_none(), "{}", answer.json());
    let done = world.task_at("executing").await;
    let path = format!("/tasks/{done}/status");
    world.ask("PATCH", &path, json!({"status": "completed", "error": "no failure"})).await;
    assert_eq!(world.state(&done).await["result"], Value::Null);
}

#[tokio::test]
async fn task_of_another_agent_is_403_even_at_its_end_and_no_task_is_404() {
    let world = World::new().await;
    for word in ["assigned", "completed"] {
        let task = world.task_at(word).await;
        let ask = world.signed(&world.other, "PATCH", &format!("/tasks/{task}/status"));
        let answer = world.server.ask(&ask.json(&json!({"status": "executing"}))).await;
        assert_eq!(answer.status, 403, "{word}: {}", answer.json());
        world.end(&task).await;
    }
    for task in ["nothing", "0c6a3c5e-7a4c-4b9f-8d0e-2f6f0f6d5b11", ".2"] {
        assert_eq!(world.say(task, "executing").await.status, 404, "{task}");
    }
    let unsigned = Ask::new("PATCH", "/achilles/api/agent/tasks/t/status").json(&json!({"status": "?"}));
    assert_eq!(world.server.ask(&unsigned).await.status, 401, "who before what");
}

#[tokio::test]
async fn retry_is_a_task_of_its_own_and_a_bundle_is_listed_by_control() {
    let world = World::new().await;
    let test = json!({"type": "execute_test", "payload": {"test_uuid": "b-1", "binary_name": "t"}});
    let task = world.queue(test).await;
    let poll = async || world.ask("GET", "/tasks", Value::Null).await.json()["data"].clone();
    assert_eq!((&poll().await["id"], &poll().await["max_retries"]), (&json!(task), &json!(2)));
    world.say(&task, "executing").await;
    let path = format!("/tasks/{task}/status");
    let failed = world.ask("PATCH", &path, json!({"status": "failed", "error": "lost"})).await;
    assert_eq!(failed.json()["data"]["status"], json!("failed"));
    let next = poll().await;
    let second = format!("{task}.2");
    assert_eq!((&next["id"], &next["status"]), (&json!(second), &json!("assigned")));
    assert_eq!((&next["retry_count"], &next["original_task_id"]), (&json!(1), &json!(task)));
    // Late word of the first one leaves the second alone.
    let late = world.say(&task, "executing").await;
    assert_eq!((&late.json()["data"]["status"], marked(&late)), (&json!("failed"), true));
    assert_eq!(poll().await["id"], json!(second), "it waits still");

    let control = |id: &str, compliant: bool| {
        json!({
            "control_id": id, "control_name": "n", "validator": "v", "exit_code": 0, "compliant": compliant,
            "severity": "high", "category": "c", "subcategory": "s", "techniques": null, "tactics": null,
            "expected": "on", "actual": "on", "details": "", "skipped": false, "error_message": "",
        })
    };
    let result = json!({
        "task_id": second, "test_uuid": "b-1", "exit_code": 101, "stdout": "", "stderr": "",
        "started_at": world.server.clock.text(0), "completed_at": world.server.clock.text(0),
        "execution_duration_ms": 3, "binary_sha256": "", "hostname": "WS-1", "os": "linux", "arch": "amd64",
        "bundle_results": {
            "schema_version": "1", "bundle_id": "b-1", "bundle_name": "n", "bundle_category": "c",
            "bundle_subcategory": "s", "execution_id": "e", "started_at": "", "completed_at": "",
            "overall_exit_code": 101, "total_controls": 2, "passed_controls": 1, "failed_controls": 1,
            "controls": [control("c-1", true), control("c-2", false)],
        },
    });
    for repeated in [false, true] {
        let answer = world.ask("POST", &format!("/tasks/{second}/result"), result.clone()).await;
        assert_eq!((answer.status, marked(&answer)), (200, repeated), "{}", answer.json());
    }
    let listed = world.done("GET", &format!("/results?work={task}"), Value::Null).await;
    let listed: Vec<_> = listed["results"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
    assert_eq!(listed, [json!(format!("{second}::c-2")), json!(format!("{second}::c-1"))]);
    let control = world.done("GET", "/results?control=c-2", Value::Null).await["results"][0].clone();
    assert_eq!((&control["execution_number"], &control["compliant"]), (&json!(2), &json!(false)));
    let work = world.state(&task).await;
    assert_eq!((&work["state"], &work["execution_number"]), (&json!("succeeded"), &json!(2)));
    assert_eq!(work["earlier_executions"][0]["result"]["error"], json!("lost"));
}

#[tokio::test]
async fn work_of_an_agent_that_is_silent_for_six_minutes_is_given_up_and_tried_again_when_it_is_back() {
    let world = World::new().await;
    assert_eq!(world.heartbeat().await.status, 200);
    let long = json!({"execution_timeout": 3600, "test_uuid": "t"});
    let retried = world.queue(json!({"type": "execute_test", "payload": long})).await;
    let task = world.ask("GET", "/tasks", Value::Null).await.json()["data"]["id"].clone();
    assert_eq!(task, json!(retried));
    assert_eq!(world.say(&retried, "executing").await.status, 200);
    let waiting = world.command().await;
    let later = async |seconds: i64| {
        world.server.clock.advance(seconds * 1000);
        world.server.core.flush().await.unwrap();
        world.server.core.sweep_work().await.unwrap();
    };
    later(359).await;
    assert_eq!(world.heartbeat().await.status, 200, "it is there after all");
    later(300).await;
    assert_eq!(world.state(&retried).await["state"], json!("running"));
    later(61).await;
    let work = world.state(&retried).await;
    assert_eq!((&work["state"], &work["execution_number"]), (&json!("queued"), &json!(2)));
    let ended = &work["earlier_executions"][0];
    assert_eq!((&ended["state"], &ended["result"]["exit_code"]), (&json!("failed"), &json!(-1)));
    // What it has not begun waits for it.
    assert_eq!(world.state(&waiting).await["state"], json!("queued"));
    // It is back: the next execution is a task of its own, and the late result of the first changes nothing.
    assert_eq!(world.heartbeat().await.status, 200);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let task =
            world.ask("GET", "/tasks", Value::Null).await.json()["data"]["id"].as_str().unwrap().to_owned();
        world.say(&task, "executing").await;
        seen.push(task);
    }
    assert_eq!(seen, [format!("{retried}.2"), waiting]);
}

#[tokio::test]
async fn version_is_that_of_the_enrolled_machine_and_not_told_to_who_runs_it() {
    let world = World::new().await;
    let ask = async |query: &str, running: Option<&str>| {
        let ask = world.signed(&world.agent, "GET", &format!("/version{query}"));
        let ask = match running {
            Some(version) => ask.header("X-Agent-Version", version),
            None => ask,
        };
        world.server.ask(&ask).await
    };
    let none = ask("", Some("0.5.11")).await;
    assert_eq!((none.status, none.body.len()), (204, 0), "no release is registered");
    let release = |version: &str, arch: &str| {
        json!({
            "version": version, "os": "linux", "arch": arch, "sha256": "ab".repeat(32), "size": 7,
            "download_url": "https://releases.example/agent", "mandatory": arch == "amd64",
        })
    };
    world.done("POST", "/releases", release("0.6.0", "amd64")).await;
    world.done("POST", "/releases", release("0.7.0", "arm64")).await;
    // What the query says is not read.
    for query in ["", "?os=linux&arch=arm64", "?os=plan9"] {
        let answer = ask(query, Some("0.5.11")).await;
        assert_eq!(answer.status, 200, "{query}");
        let data = answer.json()["data"].clone();
        assert_eq!((&data["version"], &data["sha256"]), (&json!("0.6.0"), &json!("ab".repeat(32))));
        assert_eq!((&data["size"], &data["mandatory"]), (&json!(7), &json!(true)));
        assert_eq!(data["signature"].as_str().unwrap().len(), 128);
        assert!(data.get("download_url").is_none(), "{data}");
    }
    assert_eq!(ask("", Some("0.6.0")).await.status, 204);
    // Of who does not say, the version is known.
    assert_eq!(ask("", None).await.status, 200);
    // The other question about the same has the same answer.
    let check = world.ask("GET", "/update", Value::Null).await;
    assert_eq!(check.json()["data"]["version"], json!("0.6.0"));
}

#[tokio::test]
async fn who_is_shut_out_is_refused_at_once_and_let_in_again_at_once() {
    let world = World::new().await;
    let task = world.command().await;
    assert_eq!(world.heartbeat().await.status, 200);
    for _ in 0..2 {
        let shown = world.done("POST", &world.path("/disable"), Value::Null).await;
        assert_eq!((&shown["standing"], &shown["disabled"]), (&json!("disabled"), &json!(true)));
        for (method, path) in [("GET", "/tasks"), ("GET", "/version"), ("GET", "/update")] {
            let answer = world.ask(method, path, Value::Null).await;
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.json(), json!({"success": false, "error": "Invalid agent credentials"}));
        }
        assert_eq!(world.heartbeat().await.status, 401);
    }
    assert_eq!(world.state(&task).await["state"], json!("queued"), "its work waits for it");
    let shown = world.done("POST", &world.path("/enable"), Value::Null).await;
    assert_eq!(shown["standing"], json!("active"));
    assert_eq!(world.heartbeat().await.status, 200);
    assert_eq!(world.ask("GET", "/tasks", Value::Null).await.json()["data"]["id"], json!(task));
    let events = world.done("GET", "/events?after=0", Value::Null).await;
    let events = events["events"].as_array().unwrap();
    let kinds =
        events.iter().filter(|event| ["disabled", "enabled"].map(Value::from).contains(&event["kind"]));
    assert_eq!(kinds.count(), 2, "what changes nothing is not told");
}

#[tokio::test]
async fn who_was_sent_away_has_no_key_and_no_work_and_does_not_come_back() {
    let world = World::new().await;
    world.heartbeat().await;
    let task = world.command().await;
    let shown = world.done("POST", &world.path("/decommission"), Value::Null).await;
    assert_eq!(shown["standing"], json!("decommissioned"));
    assert_eq!(world.heartbeat().await.status, 401);
    assert_eq!(world.state(&task).await["state"], json!("canceled"));
    for turn in ["/enable", "/disable", "/revoke-keys"] {
        let refused = world.operate("POST", &world.path(turn), Value::Null).await;
        assert!((400..500).contains(&refused.status), "{turn}: {}", refused.json());
    }
    assert_eq!(world.done("GET", &world.path(""), Value::Null).await["standing"], json!("decommissioned"));
    let nobody = world.operate("POST", "/agents/achilles/nobody/disable", Value::Null).await;
    assert_eq!(nobody.status, 404);
}

#[tokio::test]
async fn revoked_keys_are_refused_at_once_and_the_one_that_was_made_is_good() {
    let mut world = World::new().await;
    world.heartbeat().await;
    world.done("POST", &world.path("/rotate-key"), Value::Null).await;
    let offered = world.heartbeat().await.json()["data"]["new_api_key"].as_str().unwrap().to_owned();
    let made = world.done("POST", &world.path("/revoke-keys"), Value::Null).await;
    assert_eq!(made["agent"]["rotating"], json!(false));
    let old = world.agent.1.clone();
    for key in [old.clone(), offered.clone()] {
        world.agent.1 = key;
        assert_eq!(world.heartbeat().await.status, 401);
    }
    world.agent.1 = made["key"].as_str().unwrap().to_owned();
    let answer = world.heartbeat().await;
    assert_eq!((answer.status, answer.json()["data"].get("new_api_key")), (200, None));
    // The next rotation offers a key that was never offered before.
    world.done("POST", &world.path("/rotate-key"), Value::Null).await;
    let next = world.heartbeat().await.json()["data"]["new_api_key"].as_str().unwrap().to_owned();
    assert!(next != offered && next != old);
    let events = world.done("GET", "/events?after=0&kind=keys_revoked", Value::Null).await;
    assert_eq!(events["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn agent_is_gone_with_the_result_of_its_uninstall_and_not_with_one_that_failed() {
    let world = World::new().await;
    world.heartbeat().await;
    for (exit_code, standing, status) in [(1, "active", 200), (0, "uninstalled", 401)] {
        let task = world.queue(json!({"type": "uninstall", "payload": {"command": "cleanup"}})).await;
        let polled = world.ask("GET", "/tasks", Value::Null).await.json()["data"].clone();
        assert_eq!((&polled["id"], &polled["priority"]), (&json!(task), &json!(10)));
        assert_eq!(polled["ttl"], json!(86_400));
        assert_eq!(world.say(&task, "executing").await.status, 200);
        let result = json!({
            "task_id": "", "test_uuid": "", "exit_code": exit_code, "stdout": "", "stderr": "", "started_at": "",
            "completed_at": "", "execution_duration_ms": 0, "binary_sha256": "", "hostname": "", "os": "",
            "arch": "",
        });
        let answer = world.ask("POST", &format!("/tasks/{task}/result"), result).await;
        assert_eq!((answer.status, &answer.json()["data"]["status"]), (200, &json!("completed")));
        let shown = world.done("GET", &world.path(""), Value::Null).await;
        assert_eq!(shown["standing"], json!(standing));
        assert_eq!(world.heartbeat().await.status, status);
    }
    let refused = world.operate("POST", &world.path("/enable"), Value::Null).await;
    assert!((400..500).contains(&refused.status));
}
