//! Agents as they run: both drivers over real sockets, against a server that this test writes byte by byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fleetwire_client::achilles::{Achilles, Agent, TaskOutcome};
use fleetwire_client::agent::{Event, Settings};
use fleetwire_client::protocol::achilles::{Arch, Os, SystemMetrics, Task};
use fleetwire_client::store::{DiskStore, MemoryStore};
use fleetwire_client::work::{Context, WorkError};
use fleetwire_client::{ReqwestTransport, RunError, TokioRuntime, UreqTransport};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that answers from a script: what a path gets, in order, the last one for ever.
struct Server {
    base: String,
    seen: Receiver<(String, String)>,
}

type Script = Arc<Mutex<Vec<(&'static str, Vec<String>)>>>;

fn json(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn usual(tasks: &[&str]) -> Vec<(&'static str, Vec<String>)> {
    let mut polls: Vec<_> =
        tasks.iter().map(|task| json("200 OK", &format!(r#"{{"success":true,"data":{task}}}"#))).collect();
    polls.push("HTTP/1.1 204 No Content\r\n\r\n".to_owned());
    let enrolled = r#"{"success":true,"data":{"agent_id":"a-1","agent_key":"ak_1","poll_interval":30}}"#;
    let task = r#"{"success":true,"data":{"id":"t-1","type":"checksum","payload":{}}}"#;
    let taken = r#"{"success":true,"data":{"acknowledged":true,"server_time":"now"}}"#;
    vec![
        ("/api/agent/enroll", vec![json("201 Created", enrolled)]),
        ("/api/agent/heartbeat", vec![json("200 OK", taken)]),
        ("/result", vec![json("200 OK", task)]),
        ("/status", vec![json("200 OK", task)]),
        ("/api/agent/version", vec!["HTTP/1.1 204 No Content\r\n\r\n".to_owned()]),
        ("/api/agent/tasks", polls),
        ("/api/agent/update", vec![json("200 OK", r#"{"success":true,"data":null}"#)]),
    ]
}

impl Server {
    fn start(script: Vec<(&'static str, Vec<String>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (tell, seen) = channel();
        let script = Arc::new(Mutex::new(script));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, tell) = (Arc::clone(&script), tell.clone());
                thread::spawn(move || serve(&stream.unwrap(), &script, &tell));
            }
        });
        Self { base, seen }
    }

    /// The next request whose line holds a text.
    fn wait_for(&self, part: &str) -> (String, String) {
        loop {
            let request = self.seen.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {part} came"));
            if request.0.contains(part) {
                return request;
            }
        }
    }
}

fn serve(stream: &TcpStream, script: &Script, tell: &Sender<(String, String)>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let (mut length, mut headers) = (0, String::new());
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if header == "\r\n" {
                break;
            }
            let header = header.to_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            headers.push_str(&header);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let answer = {
            let mut script = script.lock().unwrap();
            let (_, answers) = script.iter_mut().find(|(path, _)| line.contains(path)).unwrap();
            if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
        };
        let _ = tell.send((format!("{line}{headers}"), String::from_utf8(body).unwrap()));
        let mut stream = stream;
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn metrics() -> SystemMetrics {
    SystemMetrics::new("host-1", Os::Linux, Arch::Amd64, 100, 1, 64, 1024)
}

/// An agent in a hurry, so that nobody waits for it.
fn agent(server: &Server) -> Agent {
    let mut settings = Settings::default();
    settings.cadence.heartbeat = Some(Duration::from_millis(100));
    settings.cadence.poll = Duration::from_millis(100);
    settings.grace = Duration::from_millis(300);
    Agent::enroll(&server.base, "acht_1").unwrap().version("1.2.3").settings(settings).report(metrics)
}

const CHECKSUM: &str = r#"{"id":"t-1","type":"checksum","payload":{"arguments":["file"]}}"#;

fn checksum(task: &Task, _: &Context<Achilles>) -> Result<TaskOutcome, WorkError> {
    Ok(TaskOutcome::printed(format!("did {}", task.payload.arguments.join(" "))))
}

fn quick_poll(mut script: Vec<(&'static str, Vec<String>)>) -> Vec<(&'static str, Vec<String>)> {
    for (path, answers) in &mut script {
        if *path == "/api/agent/enroll" {
            let body = r#"{"success":true,"data":{"agent_id":"a-1","agent_key":"ak_1"}}"#;
            *answers = vec![json("201 Created", body)];
        }
    }
    script
}

#[test]
fn a_blocking_agent_enrols_does_a_task_and_reports_it() {
    let server = Server::start(quick_poll(usual(&[CHECKSUM])));
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::open(folder.path()).unwrap();
    let agent = agent(&server).on("checksum", checksum);
    let handle = agent.handle();
    let running = thread::spawn(move || agent.run_blocking(store, &UreqTransport::new().unwrap()));
    let (_, body) = server.wait_for("POST /api/agent/enroll");
    assert!(
        body.contains("\"hostname\":\"host-1\"") && body.contains("\"agent_version\":\"1.2.3\""),
        "{body}"
    );
    let (head, body) = server.wait_for("POST /api/agent/heartbeat");
    assert!(head.contains("x-agent-key: ak_1") && head.contains("x-agent-id: a-1"), "{head}");
    assert!(body.contains("\"status\":\"idle\""), "{body}");
    let (head, body) = server.wait_for("/result");
    assert!(head.starts_with("POST /api/agent/tasks/t-1/result "), "{head}");
    assert!(body.contains("\"stdout\":\"did file\"") && body.contains("\"exit_code\":0"), "{body}");
    handle.stop();
    running.join().unwrap().unwrap();
}

#[tokio::test]
async fn an_async_agent_does_the_same_with_handlers_of_both_sorts() {
    let other = r#"{"id":"t-2","type":"wait","payload":{}}"#;
    let server = Server::start(quick_poll(usual(&[CHECKSUM, other])));
    let agent =
        agent(&server).on("checksum", checksum).on_async("wait", async |_: Task, _: Context<Achilles>| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(TaskOutcome::exit(7))
        });
    let handle = agent.handle();
    let transport = ReqwestTransport::new().unwrap();
    let running = tokio::spawn(agent.run(MemoryStore::default(), transport, TokioRuntime));
    let server = tokio::task::spawn_blocking(move || {
        assert!(server.wait_for("t-1/result").1.contains("did file"));
        assert!(server.wait_for("t-2/result").1.contains("\"exit_code\":7"));
        server
    });
    let _server = server.await.unwrap();
    handle.stop();
    running.await.unwrap().unwrap();
}

#[test]
fn work_that_nobody_does_is_refused_with_a_reason_and_a_panic_is_a_failure() {
    let unknown = r#"{"id":"t-8","type":"uninstall","payload":{}}"#;
    let server = Server::start(quick_poll(usual(&[unknown, CHECKSUM])));
    let broken = |_: &Task, _: &Context<Achilles>| -> Result<TaskOutcome, WorkError> { panic!("on purpose") };
    let agent = agent(&server).on("checksum", broken);
    let handle = agent.handle();
    let running =
        thread::spawn(move || agent.run_blocking(MemoryStore::default(), &UreqTransport::new().unwrap()));
    let (_, body) = server.wait_for("t-8/status");
    assert!(body.contains("\"status\":\"executing\""), "{body}");
    let (_, body) = server.wait_for("t-8/status");
    assert!(
        body.contains("refused: this agent does no work of kind \\\"uninstall\\\"; it does: checksum"),
        "{body}"
    );
    let (_, body) = server.wait_for("t-1/result");
    assert!(body.contains("\"error\":\"its handler panicked\""), "{body}");
    handle.stop();
    running.join().unwrap().unwrap();
}

#[test]
fn an_agent_that_is_asked_to_stop_calls_its_work_off_and_tells_what_came_of_it() {
    let server = Server::start(quick_poll(usual(&[CHECKSUM])));
    let (began, begun) = channel();
    let agent = agent(&server).on("checksum", move |_: &Task, context: &Context<Achilles>| {
        began.send(()).unwrap();
        while !context.is_called_off() {
            thread::sleep(Duration::from_millis(5));
        }
        Err(WorkError::CalledOff)
    });
    let handle = agent.handle();
    let running =
        thread::spawn(move || agent.run_blocking(MemoryStore::default(), &UreqTransport::new().unwrap()));
    begun.recv_timeout(PATIENCE).unwrap();
    handle.stop();
    running.join().unwrap().unwrap();
    let (_, body) = server.wait_for("/result");
    assert!(body.contains("called off") && body.contains("\"exit_code\":-1"), "{body}");
}

#[test]
fn work_that_takes_too_long_is_called_off_and_reported_so() {
    let task = r#"{"id":"t-1","type":"checksum","payload":{"execution_timeout":0}}"#;
    let server = Server::start(quick_poll(usual(&[task])));
    let agent = agent(&server).on("checksum", |_: &Task, context: &Context<Achilles>| {
        while !context.is_called_off() {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(context.remaining(), Some(Duration::ZERO));
        Err(WorkError::CalledOff)
    });
    let handle = agent.handle();
    let running =
        thread::spawn(move || agent.run_blocking(MemoryStore::default(), &UreqTransport::new().unwrap()));
    let (_, body) = server.wait_for("/result");
    assert!(body.contains("\"exit_code\":259"), "{body}");
    handle.stop();
    running.join().unwrap().unwrap();
}

#[test]
fn a_refused_token_ends_the_agent_and_a_proxys_page_does_not() {
    let mut script = usual(&[]);
    let refused =
        json("401 Unauthorized", r#"{"success":false,"error":"Invalid or expired enrollment token"}"#);
    let page = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\n\r\n<html>".to_owned();
    script[0].1 = vec![page, refused];
    let server = Server::start(script);
    let (tell, told) = channel();
    let agent = agent(&server).observe(move |event| {
        if let Event::Failed { trouble, next, .. } = event {
            tell.send((trouble.is_from_server(), next.is_some())).unwrap();
        }
    });
    let ended = agent.run_blocking(MemoryStore::default(), &UreqTransport::new().unwrap());
    let Err(RunError::NotTakenIn(trouble)) = ended else { panic!("{ended:?}") };
    assert!(trouble.to_string().contains("Invalid or expired enrollment token"), "{trouble}");
    assert_eq!(told.iter().collect::<Vec<_>>(), [(false, true), (true, false)]);
}

#[test]
fn an_agent_without_reports_or_with_async_handlers_does_not_start_blocking() {
    let transport = UreqTransport::new().unwrap();
    let bare = || Agent::enroll("http://127.0.0.1:1", "acht_1").unwrap();
    // With them, the machine's own facts are a report.
    #[cfg(not(feature = "host-facts"))]
    {
        let ended = bare().run_blocking(MemoryStore::default(), &transport);
        assert!(matches!(ended, Err(RunError::NoReport)), "{ended:?}");
    }
    let handler = async |_: Task, _: Context<Achilles>| Ok(TaskOutcome::exit(0));
    let ended =
        bare().report(metrics).on_async("x", handler).run_blocking(MemoryStore::default(), &transport);
    assert!(matches!(ended, Err(RunError::AsyncHandler(kind)) if kind == "x"));
}

#[test]
fn an_agent_shows_no_secret() {
    let agent = Agent::enroll("http://127.0.0.1:1", "acht_5ec2e7").unwrap().report(metrics);
    assert!(!format!("{agent:?}").contains("5ec2e7"));
}
