//! A program that changes itself: real executables on a real disk, copies of this one, which start each other's successors.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "copies of this program tell it what they do")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use fleetwire_client::achilles::Agent;
use fleetwire_client::agent::Settings;
use fleetwire_client::protocol::achilles::{Arch, Os, SystemMetrics};
use fleetwire_client::update::{Offer, SelfUpdate};
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// Says to a copy of this program what it is to do, besides starting.
const TASK: &str = "FLEETWIRE_TEST_PROGRAM";
/// What stands at the end of each copy: its version, and whether it is any good.
const MARK: &str = "\n# a program for tests: ";

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

fn public() -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(pair().public_key().as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A copy of this program that is another version of itself.
fn release(folder: &Path, version: &str, health: &str) -> PathBuf {
    let mut program = fs::read(std::env::current_exe().unwrap()).unwrap();
    program.extend(format!("{MARK}{version} {health}").bytes());
    let path = folder.join(format!("release-{version}"));
    fs::write(&path, program).unwrap();
    path
}

fn install(release: &Path, program: &Path) {
    fs::copy(release, program).unwrap();
    #[cfg(unix)]
    fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// What the program says when it starts, with the release that it is offered, if any.
fn command(program: &Path, test: &str, offered: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    let task = offered.map_or_else(String::new, |path| path.to_str().unwrap().to_owned());
    command.args([test, "--exact", "--nocapture"]).env(TASK, task);
    command
}

fn run(program: &Path, test: &str, offered: Option<&Path>) -> Vec<String> {
    let output = command(program, test, offered).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().filter_map(|line| line.split_once("said: ")).map(|(_, said)| said.to_owned()).collect()
}

/// The version of this program, and whether it is any good.
fn own_mark() -> (String, String) {
    let own = fs::read(std::env::current_exe().unwrap()).unwrap();
    let tail = String::from_utf8_lossy(&own[own.len() - 64..]).into_owned();
    let (version, health) = tail.rsplit_once(": ").unwrap().1.split_once(' ').unwrap();
    (version.to_owned(), health.to_owned())
}

/// What a copy of this program does: it looks after its updates, takes the one it is offered, and is well or is not.
fn be_a_program(task: &str) -> ! {
    let (version, health) = own_mark();
    let update = SelfUpdate::of_this_program(version.as_str()).unwrap();
    println!("\nsaid: {version}");
    println!("\nsaid: {:?}", update.on_start().unwrap());
    if health == "bad" {
        std::process::exit(1);
    }
    println!("\nsaid: confirmed {}", update.confirm().unwrap());
    if !task.is_empty() {
        let bytes = fs::read(task).unwrap();
        let sha256 = digest(&SHA256, &bytes);
        let offered = task.rsplit_once('-').unwrap().1;
        let mut offer = Offer::new(offered, hex(sha256.as_ref()), bytes.len() as u64);
        offer.signature = Some(hex(pair().sign(sha256.as_ref()).as_ref()));
        match update.install(&offer, Some(&public()), bytes.as_slice()) {
            Ok(()) => println!("\nsaid: installed {offered}"),
            Err(error) => println!("\nsaid: {error}"),
        }
    }
    std::process::exit(0)
}

#[test]
fn a_program_changes_itself_and_comes_back_from_a_version_that_does_not_start() {
    const TEST: &str = "a_program_changes_itself_and_comes_back_from_a_version_that_does_not_start";
    if let Ok(task) = std::env::var(TASK) {
        be_a_program(&task);
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("agent");
    let [first, bad, good] = [("1.0.0", "good"), ("1.1.0", "bad"), ("1.2.0", "good")]
        .map(|(version, health)| release(folder.path(), version, health));
    install(&first, &program);

    let said = run(&program, TEST, Some(&bad));
    assert_eq!(said, ["1.0.0", "Settled", "confirmed false", "installed 1.1.0"]);
    assert_eq!(fs::read(&program).unwrap(), fs::read(&bad).unwrap());
    for start in 1..=3 {
        let said = run(&program, TEST, None);
        assert_eq!(said[0], "1.1.0");
        assert!(said[1].starts_with("OnTrial") && said[1].contains(&format!("start: {start}")), "{said:?}");
    }
    let said = run(&program, TEST, None);
    assert!(said[0] == "1.1.0" && said[1].starts_with("RolledBack"), "{said:?}");
    let said = run(&program, TEST, Some(&bad));
    assert!(said[0] == "1.0.0" && said[1].starts_with("Returned"), "{said:?}");
    assert!(said[3].contains("was given up before (3 starts went unconfirmed)"), "{said:?}");

    let said = run(&program, TEST, Some(&good));
    assert_eq!(said, ["1.0.0", "Settled", "confirmed false", "installed 1.2.0"]);
    let said = run(&program, TEST, None);
    assert!(said[0] == "1.2.0" && said[1].starts_with("OnTrial") && said[2] == "confirmed true", "{said:?}");
    assert_eq!(run(&program, TEST, Some(&good))[1..3], ["Settled", "confirmed false"]);
    let previous = folder.path().join("agent.previous");
    assert_eq!(fs::read(previous).unwrap(), fs::read(&first).unwrap());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o7777, 0o755);
    }
}

#[test]
fn a_program_that_is_killed_while_it_changes_itself_starts_again() {
    const TEST: &str = "a_program_that_is_killed_while_it_changes_itself_starts_again";
    if let Ok(task) = std::env::var(TASK) {
        be_a_program(&task);
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("agent");
    let [first, second] = [("1.0.0", "good"), ("1.1.0", "good")]
        .map(|(version, health)| release(folder.path(), version, health));
    install(&first, &program);
    let mut time = Duration::from_millis(20);
    let mut killed = 0;
    loop {
        let mut child = command(&program, TEST, Some(&second)).stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(time);
        let over = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        if over {
            break;
        }
        killed += 1;
        time += time / 6;
        // Whichever it is, it is whole and starts.
        let said = run(&program, TEST, None);
        assert!(said[0] == "1.0.0" || said[0] == "1.1.0", "{said:?}");
        let whole = [&first, &second].map(|release| fs::read(release).unwrap());
        assert!(whole.contains(&fs::read(&program).unwrap()));
        if said[0] == "1.1.0" {
            break;
        }
    }
    assert!(killed > 0, "nothing was killed in its middle");
    assert_eq!(run(&program, TEST, None)[0], "1.1.0");
}

/// What a copy of this program does that is an agent: it is one until another version is in its place.
fn be_an_agent(task: &str) -> ! {
    let (version, _) = own_mark();
    let (way, task) = task.split_once(' ').unwrap();
    let (base, folder) = task.split_once(' ').unwrap();
    let update = SelfUpdate::of_this_program(version.as_str()).unwrap().confirm_after_first_heartbeat();
    println!("\nsaid: {:?}", update.on_start().unwrap());
    let update = Arc::new(update);
    let mut settings = Settings::default();
    settings.cadence.heartbeat = Some(Duration::from_millis(100));
    settings.cadence.poll = Duration::from_millis(100);
    settings.cadence.update = None;
    let agent = Agent::enroll(base, "acht_1")
        .unwrap()
        .version(version)
        .settings(settings)
        .report(|| SystemMetrics::new("host-1", Os::Linux, Arch::Amd64, 100, 1, 64, 1024))
        .self_update(Arc::clone(&update));
    let run = match way {
        "blocking" => agent.run_blocking_in(folder),
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(agent.run_in(folder))
        }
    };
    println!("\nsaid: {run:?}, replaced {}", update.is_replaced());
    std::process::exit(0)
}

/// A server that offers a release, asks for the update once, and breaks off half way when it is fetched first. Tells the lines, headers and bodies of requests.
fn serve(release: Vec<u8>, version: &'static str) -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (tell, seen) = channel();
    let release = Arc::new(release);
    let asked = Arc::new(std::sync::atomic::AtomicBool::new(false));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (release, asked, tell) = (Arc::clone(&release), Arc::clone(&asked), tell.clone());
            thread::spawn(move || answer(&stream.unwrap(), &release, version, &asked, &tell));
        }
    });
    (base, seen)
}

fn answer(
    stream: &TcpStream,
    release: &[u8],
    version: &str,
    asked: &std::sync::atomic::AtomicBool,
    tell: &Sender<(String, String)>,
) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let (mut length, mut header) = (0, String::new());
        let mut head = line.clone();
        while header != "\r\n" {
            header.clear();
            reader.read_line(&mut header).unwrap();
            head.push_str(&header.to_lowercase());
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let sha256 = digest(&SHA256, release);
        let json = |data: &str| ("200 OK", format!(r#"{{"success":true,"data":{data}}}"#).into_bytes());
        let (status, bytes) = if line.contains("/enroll") {
            let key = public();
            json(&format!(r#"{{"agent_id":"a-1","agent_key":"ak_1","update_public_key":"{key}"}}"#))
        } else if line.contains("/heartbeat") {
            json(r#"{"acknowledged":true,"server_time":"now"}"#)
        } else if line.contains("/result") || line.contains("/status") {
            json(r#"{"id":"t-1","type":"update_agent","payload":{}}"#)
        } else if line.contains("/tasks") && !asked.swap(true, std::sync::atomic::Ordering::Relaxed) {
            json(r#"{"id":"t-1","type":"update_agent","payload":{"execution_timeout":600}}"#)
        } else if line.contains("/update?os=linux&arch=amd64") {
            assert!(head.contains("authorization: bearer ak_1"), "{head}");
            let from = head
                .split_once("range: bytes=")
                .map(|(_, range)| range.split_once('-').unwrap().0.parse::<usize>().unwrap());
            let _ = tell.send((head, String::new()));
            let (total, mut stream) = (release.len(), stream);
            let Some(from) = from else {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n");
                let half = [head.as_bytes(), &release[..total / 2]].concat();
                let _ = stream.write_all(&half);
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return;
            };
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{total}\r\n\r\n",
                total - from,
                total - 1
            );
            if stream.write_all(&[head.as_bytes(), &release[from..]].concat()).is_err() {
                return;
            }
            continue;
        } else if line.contains("/update") || line.contains("/version") {
            let signature = hex(pair().sign(sha256.as_ref()).as_ref());
            let (digest, size) = (hex(sha256.as_ref()), release.len());
            json(&format!(
                r#"{{"version":"{version}","sha256":"{digest}","size":{size},"mandatory":false,"signature":"{signature}"}}"#
            ))
        } else {
            ("204 No Content", Vec::new())
        };
        let _ = tell.send((head, String::from_utf8(body).unwrap()));
        let mut stream = stream;
        let head = match bytes.len() {
            0 => format!("HTTP/1.1 {status}\r\n\r\n"),
            length => format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n"),
        };
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes)).is_err() {
            return;
        }
    }
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_agent_that_is_told_to_update_resumes_reports_and_comes_back_as_the_new_version() {
    const TEST: &str = "an_agent_that_is_told_to_update_resumes_reports_and_comes_back_as_the_new_version";
    if let Ok(task) = std::env::var(TASK) {
        be_an_agent(&task);
    }
    comes_back_as_the_new_version("blocking", TEST);
}

#[test]
fn an_async_agent_that_is_told_to_update_resumes_reports_and_comes_back_as_the_new_version() {
    const TEST: &str =
        "an_async_agent_that_is_told_to_update_resumes_reports_and_comes_back_as_the_new_version";
    if let Ok(task) = std::env::var(TASK) {
        be_an_agent(&task);
    }
    comes_back_as_the_new_version("async", TEST);
}

/// An agent is told to update, and the connection breaks half way: by the driver of this name.
fn comes_back_as_the_new_version(way: &str, test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("agent");
    let [first, second] = [("1.0.0", "good"), ("1.1.0", "good")]
        .map(|(version, health)| release(folder.path(), version, health));
    install(&first, &program);
    let (base, seen) = serve(fs::read(&second).unwrap(), "1.1.0");
    let task = format!("{way} {base} {}", folder.path().join("state").display());
    let wait_for_both = |part: &str| {
        let since = std::time::Instant::now();
        loop {
            let left = Duration::from_secs(30).saturating_sub(since.elapsed());
            let request = seen.recv_timeout(left).unwrap_or_else(|_| panic!("no {part} came"));
            if request.0.lines().next().unwrap().contains(part) {
                return request;
            }
        }
    };
    let wait_for = |part: &str| wait_for_both(part).1;
    let wait_for_head = |part: &str| wait_for_both(part).0;

    let said = fs::File::create(folder.path().join("said")).unwrap();
    let mut old = Killed(command(&program, test, Some(Path::new(&task))).stdout(said).spawn().unwrap());
    let beat: serde_json::Value = serde_json::from_str(&wait_for("/heartbeat")).unwrap();
    assert_eq!((&beat["agent_version"], beat.get("reconnect_reason")), (&"1.0.0".into(), None));
    // It breaks off half way, and is gone on with from there at the most.
    wait_for("/update?os=");
    let resumed = wait_for_head("/update?os=");
    let from = resumed.split_once("range: bytes=").unwrap().1.split_once('-').unwrap().0;
    let from: u64 = from.parse().unwrap();
    assert!(from > 0 && from <= fs::metadata(&second).unwrap().len() / 2, "{resumed}");
    let result: serde_json::Value = serde_json::from_str(&wait_for("/result")).unwrap();
    assert_eq!(result["stdout"], "updated to 1.1.0", "{result}");
    assert_eq!((&result["exit_code"], &result["task_id"]), (&0.into(), &"t-1".into()));
    for field in
        ["hostname", "os", "arch", "started_at", "completed_at", "stderr", "test_uuid", "binary_sha256"]
    {
        assert!(result[field].is_string(), "{field} of {result}");
    }
    assert!(old.0.wait().unwrap().success());
    let said = fs::read_to_string(folder.path().join("said")).unwrap();
    assert!(said.contains("said: Ok(()), replaced true"), "{said}");
    assert_eq!(fs::read(&program).unwrap(), fs::read(&second).unwrap());
    assert!(!folder.path().join("fetched.agent").exists());
    while seen.try_recv().is_ok() {}

    let new = Killed(command(&program, test, Some(Path::new(&task))).stdout(Stdio::null()).spawn().unwrap());
    let beat: serde_json::Value = serde_json::from_str(&wait_for("/heartbeat")).unwrap();
    assert_eq!(
        (&beat["agent_version"], &beat["reconnect_reason"]),
        (&"1.1.0".into(), &"update_restart".into())
    );
    assert_eq!(beat["reconnect_context"]["reason"], "update_restart", "{beat}");
    // Its first heartbeat was taken before the second leaves, and so it is confirmed.
    let beat: serde_json::Value = serde_json::from_str(&wait_for("/heartbeat")).unwrap();
    // At intervals as short as these a busy machine may have made a gap of its own.
    assert_ne!(beat["reconnect_reason"], "update_restart", "{beat}");
    drop(new);
    let update = SelfUpdate::new(&program, "1.1.0");
    assert_eq!(update.on_start().unwrap(), fleetwire_client::update::Started::Settled);
}
