//! Downloads in both ways to wait, against servers that this test writes byte by byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fleetwire_client::achilles::{Achilles, Agent, TaskOutcome};
use fleetwire_client::agent::Settings;
use fleetwire_client::download::{Download, DownloadError, Downloaded};
use fleetwire_client::protocol::achilles::{Arch, Os, SystemMetrics, Task};
use fleetwire_client::store::MemoryStore;
use fleetwire_client::work::{Context, WorkError};
use fleetwire_client::{ReqwestTransport, RetryPolicy, TokioRuntime, UreqTransport};
use http::Request;

/// Time for the head of an answer and for each piece.
const PIECE: Duration = Duration::from_millis(400);

/// What a server does with a connection.
enum Act {
    Send(Vec<u8>),
    Sleep(Duration),
}

/// Answers one request per connection and then hangs up. Keeps what it was asked.
struct Server {
    base: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(usize, &str) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, told) = (Arc::new(answer), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, told) = (Arc::clone(&answer), Arc::clone(&told));
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut request = Vec::new();
                    while !is_whole(&request) {
                        let mut piece = [0; 4096];
                        let count = stream.read(&mut piece).unwrap_or(0);
                        if count == 0 {
                            return;
                        }
                        request.extend_from_slice(&piece[..count]);
                    }
                    let request = String::from_utf8(request).unwrap();
                    let number = {
                        let mut told = told.lock().unwrap();
                        told.push(request.clone());
                        told.len()
                    };
                    for act in answer(number, &request) {
                        match act {
                            Act::Send(bytes) => {
                                if stream.write_all(&bytes).is_err() {
                                    return;
                                }
                            }
                            Act::Sleep(time) => thread::sleep(time),
                        }
                    }
                });
            }
        });
        Self { base, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The value of a header in each request.
    fn headers(&self, name: &str) -> Vec<Option<String>> {
        self.seen().iter().map(|request| header(request, name)).collect()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).into_owned();
    let Some((_, body)) = text.split_once("\r\n\r\n") else { return false };
    body.len() >= header(&text, "content-length").map_or(0, |length| length.parse().unwrap())
}

fn header(request: &str, name: &str) -> Option<String> {
    let (head, _) = request.split_once("\r\n\r\n")?;
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

/// The head of an answer, after which the server hangs up.
fn head(status: &str, lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\n{lines}\r\n").into_bytes()
}

fn answer(status: &str, lines: &str, body: &[u8]) -> Vec<Act> {
    let length = body.len();
    let mut bytes = head(status, &format!("Content-Length: {length}\r\n{lines}"));
    bytes.extend_from_slice(body);
    vec![Act::Send(bytes)]
}

/// A server that serves ranges of a file as it should: only its first `cut` bytes, where that is given.
fn ranges(content: &[u8], tag: &str, request: &str, cut: Option<usize>) -> Vec<Act> {
    let total = content.len();
    let from = header(request, "range").map(|range| {
        let first = range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap();
        first.parse::<usize>().unwrap()
    });
    if from.is_some_and(|first| first >= total) {
        return answer("416 Range Not Satisfiable", &format!("Content-Range: bytes */{total}\r\n"), b"");
    }
    let same = header(request, "if-range").is_none_or(|known| known == tag);
    let (status, first, range) = match from {
        Some(first) if same => {
            ("206 Partial Content", first, format!("Content-Range: bytes {first}-{}/{total}\r\n", total - 1))
        }
        _ => ("200 OK", 0, String::new()),
    };
    let lines = format!("ETag: {tag}\r\nContent-Length: {}\r\n{range}", total - first);
    let mut bytes = head(status, &lines);
    let end = cut.map_or(total, |cut| first.max(cut).min(total));
    bytes.extend_from_slice(&content[first..end]);
    vec![Act::Send(bytes)]
}

const TAG: &str = "\"one\"";

fn content(seed: u8) -> Vec<u8> {
    (0..200_000_u32).map(|at| (at.wrapping_mul(31) >> 3) as u8 ^ seed).collect()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The two ways to wait.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Async,
    Blocking,
}

impl Way {
    fn fetch(self, download: &Download) -> Result<Downloaded, DownloadError> {
        match self {
            Self::Async => {
                let transport = ReqwestTransport::builder().timeout(PIECE).build().unwrap();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(download.fetch(&transport, &TokioRuntime))
            }
            Self::Blocking => {
                download.fetch_blocking(&UreqTransport::builder().timeout(PIECE).build().unwrap())
            }
        }
    }
}

fn hasty(attempts: u32) -> RetryPolicy {
    let mut retries = RetryPolicy::default();
    retries.attempts = attempts;
    retries.base = Duration::from_millis(5);
    retries
}

/// A folder and a download into it.
struct Setting {
    folder: tempfile::TempDir,
    way: Way,
}

impl Setting {
    fn download(&self, base: &str) -> Download {
        Download::at(&format!("{base}/file"), self.path(), "file").unwrap().retries(hasty(4))
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("in")
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Runs a test in both ways.
fn both(test: impl Fn(&Setting)) {
    for way in [Way::Async, Way::Blocking] {
        test(&Setting { folder: tempfile::tempdir().unwrap(), way });
    }
}

fn assert_got(got: &Downloaded, content: &[u8]) {
    assert_eq!((got.size, &got.sha256), (content.len() as u64, &sha256(content)));
    assert!(fs::read(&got.path).unwrap() == content, "what lies there is not what was served");
}

#[test]
fn a_file_comes_whole_and_for_its_user_only() {
    both(|setting| {
        let file = content(1);
        let served = file.clone();
        let server = Server::start(move |_, request| ranges(&served, TAG, request, None));
        let download = setting.download(&server.base).sha256(&sha256(&file)).unwrap().size(200_000);
        let got = setting.way.fetch(&download).unwrap();
        assert_got(&got, &file);
        assert_eq!(setting.names(), ["file"], "nothing else is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&got.path), mode(&setting.path())), (0o600, 0o700));
        }
        assert_eq!(server.headers("accept-encoding"), [Some("identity".to_owned())]);
        // What is there is not fetched again.
        assert_eq!(setting.way.fetch(&download).unwrap(), got);
        assert_eq!(server.seen().len(), 1);
    });
}

#[test]
fn a_connection_that_breaks_anywhere_is_gone_on_with_where_it_broke() {
    for cut in [0, 1, 100_000, 199_999] {
        for known in [true, false] {
            both(|setting| {
                let file = content(2);
                let served = file.clone();
                let server = Server::start(move |number, request| {
                    ranges(&served, TAG, request, (number == 1).then_some(cut))
                });
                let mut download = setting.download(&server.base);
                if known {
                    download = download.sha256(&sha256(&file)).unwrap();
                }
                assert_got(&setting.way.fetch(&download).unwrap(), &file);
                let range = (cut > 0).then(|| format!("bytes={cut}-"));
                assert_eq!(server.headers("range"), [None, range.clone()], "{cut} {known}");
                assert_eq!(server.headers("if-range"), [None, range.map(|_| TAG.to_owned())]);
            });
        }
    }
}

#[test]
fn another_process_goes_on_where_the_last_one_was_killed() {
    for known in [true, false] {
        both(|setting| {
            let file = content(3);
            let served = file.clone();
            let server = Server::start(move |number, request| {
                ranges(&served, TAG, request, (number == 1).then_some(70_000))
            });
            let download = || {
                let download = setting.download(&server.base).retries(hasty(1));
                if known { download.sha256(&sha256(&file)).unwrap() } else { download }
            };
            let error = setting.way.fetch(&download()).unwrap_err();
            assert!(matches!(error, DownloadError::GaveUp { attempts: 1, .. }), "{error:?}");
            assert_eq!(setting.names(), [".file.part", ".file.tag"], "nobody sees what is not whole");
            assert_got(&setting.way.fetch(&download()).unwrap(), &file);
            // Without a digest nothing tells whether what lies there has survived.
            let range = known.then(|| "bytes=70000-".to_owned());
            assert_eq!(server.headers("range"), [None, range]);
        });
    }
}

#[test]
fn an_object_that_changed_between_two_parts_is_fetched_anew() {
    // By a server that obeys `If-Range`, and by one that sends a part of the other object.
    for obeys in [true, false] {
        both(|setting| {
            let (old, new) = (content(4), content(5));
            let served = (old, new.clone());
            let server = Server::start(move |number, request| match (number, obeys) {
                (1, _) => ranges(&served.0, TAG, request, Some(50_000)),
                (_, true) => ranges(&served.1, "\"two\"", request, None),
                (_, false) => {
                    let blind = request.replace(TAG, "\"two\"");
                    ranges(&served.1, "\"two\"", &blind, None)
                }
            });
            let got = setting.way.fetch(&setting.download(&server.base)).unwrap();
            assert_got(&got, &new);
            assert_eq!(server.seen().len(), if obeys { 2 } else { 3 });
        });
    }
}

#[test]
fn a_server_that_ignores_ranges_serves_all_of_it_again() {
    both(|setting| {
        let file = content(6);
        let served = file.clone();
        let server = Server::start(move |number, request| {
            let whole = request.replace("range: ", "x: ").replace("Range: ", "x: ");
            ranges(&served, TAG, &whole, (number == 1).then_some(50_000))
        });
        assert_got(&setting.way.fetch(&setting.download(&server.base)).unwrap(), &file);
        assert_eq!(server.seen().len(), 2);
    });
}

#[test]
fn a_part_that_was_not_asked_for_is_not_taken() {
    for range in ["bytes 49999-199998/200000", "bytes 50000-199999/200001", "bytes 5-4/3", "items 1-2/3", ""]
    {
        both(|setting| {
            let file = content(7);
            let served = file.clone();
            let server = Server::start(move |number, request| match number {
                1 => ranges(&served, TAG, request, Some(50_000)),
                2 => {
                    let lines = format!("ETag: {TAG}\r\nContent-Range: {range}\r\n");
                    answer("206 Partial Content", &lines, &[0; 150_000])
                }
                _ => ranges(&served, TAG, request, None),
            });
            assert_got(&setting.way.fetch(&setting.download(&server.base)).unwrap(), &file);
            assert_eq!(server.headers("range").last().unwrap(), &None, "{range}: nothing is kept beside it");
            assert_eq!(server.seen().len(), 3, "{range}: not a byte of it is taken");
        });
    }
}

#[test]
fn parts_without_a_tag_are_put_together_only_under_a_known_digest() {
    both(|setting| {
        let (file, other) = (content(8), content(9));
        for (second, requests) in [(file.clone(), 2), (other, 3)] {
            let served = (file.clone(), second);
            let server = Server::start(move |number, request| {
                let (content, cut) = match number {
                    1 => (&served.0, Some(50_000)),
                    2 => (&served.1, None),
                    _ => (&served.0, None),
                };
                // A weak tag says nothing of bytes.
                ranges(content, "W/\"1\"", request, cut)
            });
            let _fresh = fs::remove_dir_all(setting.path());
            let download = setting.download(&server.base).sha256(&sha256(&file)).unwrap();
            assert_got(&setting.way.fetch(&download).unwrap(), &file);
            assert_eq!(server.headers("range")[1].as_deref(), Some("bytes=50000-"));
            assert_eq!(server.headers("if-range"), vec![None; requests]);
        }
        let served = file.clone();
        let server = Server::start(move |number, request| {
            ranges(&served, "W/\"1\"", request, (number == 1).then_some(50_000))
        });
        fs::remove_dir_all(setting.path()).unwrap();
        let got = setting.way.fetch(&setting.download(&server.base).size(200_000)).unwrap();
        assert_got(&got, &file);
        assert_eq!(server.headers("range"), [None, None]);
    });
}

#[test]
fn a_body_that_is_too_long_or_too_short_is_not_the_file() {
    let chunked = |bytes: &[u8]| {
        let mut body = head("200 OK", "Transfer-Encoding: chunked\r\n");
        body.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n0\r\n\r\n");
        body
    };
    both(|setting| {
        for (came, size, limit) in [(1001, Some(1000), 5000), (999, Some(1000), 5000), (1001, None, 1000)] {
            let server = Server::start(move |_, _| vec![Act::Send(chunked(&vec![7; came]))]);
            let mut download =
                setting.download(&server.base).limit(limit).sha256(&sha256(&vec![7; 1000])).unwrap();
            if let Some(size) = size {
                download = download.size(size);
            }
            let error = setting.way.fetch(&download).unwrap_err();
            match came {
                999 => assert!(matches!(error, DownloadError::GaveUp { attempts: 4, .. }), "{error:?}"),
                _ if size.is_some() => {
                    assert!(
                        matches!(error, DownloadError::Size { expected: 1000, found: 1001 }),
                        "{error:?}"
                    );
                }
                _ => assert!(matches!(error, DownloadError::TooLong { limit: 1000 }), "{error:?}"),
            }
            assert!(!setting.path().join("file").exists());
            fs::remove_dir_all(setting.path()).unwrap();
        }
    });
}

#[test]
fn a_size_that_is_not_the_one_that_was_told_is_refused_before_a_byte_is_taken() {
    both(|setting| {
        let lies = |length: u64| {
            Server::start(move |_, _| {
                vec![
                    Act::Send(head("200 OK", &format!("Content-Length: {length}\r\n"))),
                    Act::Sleep(PIECE * 3),
                ]
            })
        };
        let fetch = |download: Download| setting.way.fetch(&download).unwrap_err();
        let server = lies(9_007_199_254_740_993);
        let error = fetch(setting.download(&server.base));
        assert!(matches!(error, DownloadError::TooLong { limit: 104_857_600 }), "{error:?}");
        let server = lies(1001);
        let error = fetch(setting.download(&server.base).size(1000));
        assert!(matches!(error, DownloadError::Size { expected: 1000, found: 1001 }), "{error:?}");
        assert_eq!(server.seen().len(), 1, "the same lie is not asked for again");
        let error = fetch(setting.download("http://127.0.0.1:1").size(2000).limit(1999));
        assert!(matches!(error, DownloadError::TooLong { limit: 1999 }), "{error:?}");
        let server = Server::start(|_, _| vec![Act::Send(head("200 OK", "")), Act::Send(b"abc".to_vec())]);
        let error = fetch(setting.download(&server.base));
        assert!(matches!(error, DownloadError::Unmeasured), "{error:?}");
    });
}

#[test]
fn what_comes_encoded_is_refused() {
    both(|setting| {
        let server = Server::start(|_, _| answer("200 OK", "Content-Encoding: gzip\r\n", b"\x1f\x8b"));
        let error = setting.way.fetch(&setting.download(&server.base)).unwrap_err();
        assert!(matches!(error, DownloadError::Encoded), "{error:?}");
        assert_eq!(server.seen().len(), 1);
    });
}

#[test]
fn a_wrong_digest_leaves_nothing_and_a_part_that_has_suffered_is_fetched_anew() {
    both(|setting| {
        let file = content(10);
        let served = file.clone();
        let server = Server::start(move |_, request| ranges(&served, TAG, request, None));
        let wrong = setting.download(&server.base).sha256(&sha256(b"other")).unwrap();
        let error = setting.way.fetch(&wrong).unwrap_err();
        assert!(matches!(error, DownloadError::Hash { .. }), "{error:?}");
        assert!(setting.names().is_empty(), "{:?}", setting.names());
        assert_eq!(server.seen().len(), 1);

        fs::write(setting.path().join(".file.part"), [0; 1000]).unwrap();
        fs::write(setting.path().join(".file.tag"), TAG).unwrap();
        let right = setting.download(&server.base).sha256(&sha256(&file)).unwrap();
        assert_got(&setting.way.fetch(&right).unwrap(), &file);
        let asked = [None, Some("bytes=1000-".to_owned()), None];
        assert_eq!(server.headers("range"), asked);

        // All of it and more lies there.
        fs::remove_file(setting.path().join("file")).unwrap();
        fs::write(setting.path().join(".file.part"), [&file[..], b"more"].concat()).unwrap();
        assert_got(&setting.way.fetch(&right).unwrap(), &file);
        // All of it lies there, and nothing has to be asked for.
        let asked = server.seen().len();
        fs::rename(setting.path().join("file"), setting.path().join(".file.part")).unwrap();
        assert_got(&setting.way.fetch(&right.size(200_000)).unwrap(), &file);
        assert_eq!(server.seen().len(), asked);
    });
}

#[test]
fn a_server_that_falls_silent_costs_its_time_for_a_piece_and_no_byte() {
    both(|setting| {
        let file = content(11);
        let served = file.clone();
        let server = Server::start(move |number, request| {
            let mut acts = ranges(&served, TAG, request, (number == 1).then_some(100_000));
            if number == 1 {
                acts.push(Act::Sleep(Duration::from_secs(60)));
            }
            acts
        });
        let began = Instant::now();
        assert_got(&setting.way.fetch(&setting.download(&server.base)).unwrap(), &file);
        assert_eq!(server.headers("range")[1].as_deref(), Some("bytes=100000-"));
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    });
}

#[test]
fn who_drips_is_stopped_by_the_deadline_and_by_whoever_calls_it_off() {
    both(|setting| {
        let drip = |_: usize, _: &str| {
            let mut acts = vec![Act::Send(head("200 OK", "ETag: \"1\"\r\nContent-Length: 100000\r\n"))];
            for _ in 0..200 {
                acts.extend([Act::Send(vec![1]), Act::Sleep(Duration::from_millis(50))]);
            }
            acts
        };
        let server = Server::start(drip);
        let download = setting.download(&server.base).within(Duration::from_millis(700));
        let began = Instant::now();
        let error = setting.way.fetch(&download).unwrap_err();
        assert!(matches!(error, DownloadError::TooLate), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

        let stop = Arc::new(AtomicBool::new(false));
        let (switch, looked_at) = (Arc::clone(&stop), Arc::clone(&stop));
        let download = setting.download(&server.base).stop_if(move || looked_at.load(Ordering::Relaxed));
        let stopper = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            switch.store(true, Ordering::Relaxed);
        });
        let error = setting.way.fetch(&download).unwrap_err();
        assert!(matches!(error, DownloadError::CalledOff), "{error:?}");
        stopper.join().unwrap();
        assert!(!setting.path().join("file").exists());
    });
}

#[test]
fn what_is_refused_for_good_is_asked_for_once() {
    for status in ["400 Bad Request", "403 Forbidden", "404 Not Found", "410 Gone", "501 Not Implemented"] {
        both(|setting| {
            let server = Server::start(move |_, _| answer(status, "", b"{}"));
            let error = setting.way.fetch(&setting.download(&server.base)).unwrap_err();
            assert!(matches!(error, DownloadError::Refused(code) if status.starts_with(code.as_str())));
            assert_eq!(server.seen().len(), 1);
        });
    }
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it() {
    both(|setting| {
        let file = content(12);
        let served = file.clone();
        let server = Server::start(move |number, request| match number {
            // A key that is being changed is refused for a moment.
            2 => answer("401 Unauthorized", "", b""),
            1 => answer("503 Service Unavailable", "Retry-After: 1\r\n", b""),
            _ => ranges(&served, TAG, request, None),
        });
        let began = Instant::now();
        assert_got(&setting.way.fetch(&setting.download(&server.base)).unwrap(), &file);
        assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());

        let server = Server::start(|_, _| answer("429 Too Many Requests", "Retry-After: 3600\r\n", b""));
        let download = setting.download(&server.base);
        let error = setting.way.fetch(&download).unwrap_err();
        assert!(matches!(error, DownloadError::GaveUp { attempts: 1, .. }), "{error:?}");
        let mut patient = RetryPolicy::default();
        patient.longest_retry_after = Duration::from_secs(7200);
        let download = setting.download(&server.base).retries(patient).within(Duration::from_secs(5));
        let began = Instant::now();
        let error = setting.way.fetch(&download).unwrap_err();
        assert!(matches!(error, DownloadError::TooLate), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(4), "there is no point in waiting for it");
    });
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_host_and_a_resumed_part_is_asked_for_there() {
    both(|setting| {
        let file = content(13);
        let served = file.clone();
        let storage = Server::start(move |number, request| {
            ranges(&served, TAG, request, (number == 1).then_some(60_000))
        });
        let to = format!("Location: {}/signed?key=1\r\n", storage.base);
        let server = Server::start(move |_, _| answer("302 Found", &to, b""));
        let request = Request::get(format!("{}/file", server.base))
            .header("authorization", "Bearer ak_5ec2e7")
            .header("x-agent-key", "ak_5ec2e7")
            .header("cookie", "session=ak_5ec2e7")
            .body(bytes::Bytes::new())
            .unwrap();
        let download = Download::of(request, setting.path(), "file").unwrap().retries(hasty(4));
        assert_got(&setting.way.fetch(&download).unwrap(), &file);
        assert_eq!(server.headers("authorization"), vec![Some("Bearer ak_5ec2e7".to_owned()); 2]);
        let seen = storage.seen();
        assert!(!seen.concat().contains("5ec2e7"), "{seen:?}");
        assert!(seen.iter().all(|request| request.starts_with("GET /signed?key=1 HTTP/1.1")), "{seen:?}");
        assert_eq!(storage.headers("range"), [None, Some("bytes=60000-".to_owned())]);
        assert!(!format!("{download:?}").contains("5ec2e7"));
    });
}

#[test]
fn redirects_come_to_an_end() {
    both(|setting| {
        let server = Server::start(|_, _| answer("302 Found", "Location: /file\r\n", b""));
        let error = setting.way.fetch(&setting.download(&server.base)).unwrap_err();
        assert!(matches!(error, DownloadError::Redirect(_)), "{error:?}");
        assert_eq!(server.seen().len(), 6);
        let server = Server::start(|_, _| answer("302 Found", "", b""));
        let error = setting.way.fetch(&setting.download(&server.base)).unwrap_err();
        assert!(matches!(error, DownloadError::Redirect(_)), "{error:?}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_as_such_and_given_its_room_back() {
    both(|setting| {
        let file = content(14);
        let server = Server::start(move |_, request| ranges(&file, TAG, request, None));
        fs::create_dir(setting.path()).unwrap();
        std::os::unix::fs::symlink("/dev/full", setting.path().join(".file.part")).unwrap();
        let error = setting.way.fetch(&setting.download(&server.base)).unwrap_err();
        assert!(matches!(error, DownloadError::DiskFull(_)), "{error:?}");
        assert!(setting.names().is_empty(), "{:?}", setting.names());
    });
}

#[test]
fn a_file_is_fetched_by_one_at_a_time() {
    both(|setting| {
        fs::create_dir(setting.path()).unwrap();
        let held = fs::File::create(setting.path().join(".file.part")).unwrap();
        held.try_lock().unwrap();
        let error = setting.way.fetch(&setting.download("http://127.0.0.1:1")).unwrap_err();
        assert!(matches!(error, DownloadError::InUse(_)), "{error:?}");
    });
}

#[test]
fn only_a_files_name_is_a_name_and_only_a_digest_a_digest() {
    let long = "x".repeat(201);
    for name in ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "c:", "a\0b", "a\nb", long.as_str()] {
        let error = Download::at("http://a.test/", "/nowhere", name).unwrap_err();
        assert!(matches!(error, DownloadError::Name(_)), "{name:?}");
    }
    for url in ["a.test", "ftp://a.test/", "http://u:p@a.test/", "/file", ""] {
        let error = Download::at(url, "/nowhere", "file").unwrap_err();
        assert!(matches!(error, DownloadError::Address(_)), "{url:?}");
        assert!(!error.to_string().contains("u:p"));
    }
    for digest in ["", "00", &"g".repeat(64), &"0".repeat(65)] {
        let download = Download::at("http://a.test/", "/nowhere", "file").unwrap();
        assert!(matches!(download.sha256(digest), Err(DownloadError::Digest)), "{digest}");
    }
}

/// A server of agents with one task that has a binary.
fn fleet(file: Vec<u8>, gone: bool) -> Server {
    let task = format!(
        r#"{{"id":"t-1","type":"execute_test","payload":{{"binary_name":"probe","binary_sha256":"{}","binary_size":{},"test_uuid":"u-1"}}}}"#,
        sha256(&file),
        file.len()
    );
    let (handed_over, cut) = (AtomicBool::new(false), AtomicBool::new(false));
    Server::start(move |_, request| {
        let json = |status: &str, data: &str| {
            let body = format!(r#"{{"success":true,"data":{data}}}"#);
            answer(status, "Content-Type: application/json\r\n", body.as_bytes())
        };
        let path = request.split(' ').nth(1).unwrap();
        match path {
            "/api/agent/enroll" => json("201 Created", r#"{"agent_id":"a-1","agent_key":"ak_1"}"#),
            "/api/agent/heartbeat" => json("200 OK", r#"{"acknowledged":true,"server_time":"now"}"#),
            "/api/agent/tasks" if !handed_over.swap(true, Ordering::Relaxed) => json("200 OK", &task),
            "/api/agent/tasks/t-1/status" | "/api/agent/tasks/t-1/result" => {
                json("200 OK", r#"{"id":"t-1","type":"execute_test","payload":{}}"#)
            }
            path if path.starts_with("/api/agent/binary/") => {
                if gone {
                    let body = br#"{"success":false,"error":"Binary not found"}"#;
                    return answer("404 Not Found", "Content-Type: application/json\r\n", body);
                }
                let first = !cut.swap(true, Ordering::Relaxed);
                ranges(&file, TAG, request, first.then_some(30_000))
            }
            _ => vec![Act::Send(head("204 No Content", ""))],
        }
    })
}

fn agent(server: &Server) -> Agent {
    let mut settings = Settings::default();
    settings.cadence.heartbeat = Some(Duration::from_millis(100));
    settings.cadence.poll = Duration::from_millis(100);
    let metrics = || SystemMetrics::new("host-1", Os::Linux, Arch::Amd64, 100, 1, 64, 1024);
    Agent::enroll(&server.base, "acht_1").unwrap().version("1.2.3").settings(settings).report(metrics)
}

/// What the server was told of the task, in order.
fn told(server: &Server, until: &str) -> Vec<String> {
    let began = Instant::now();
    loop {
        let about = server.seen().into_iter().filter(|request| request.contains("/t-1/"));
        let told: Vec<String> =
            about.map(|request| request.split_once("\r\n\r\n").unwrap().1.to_owned()).collect();
        if told.iter().any(|body| body.contains(until)) {
            return told;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{:#?}", server.seen());
        thread::sleep(Duration::from_millis(20));
    }
}

fn binary_requests(server: &Server) -> Vec<String> {
    server.seen().into_iter().filter(|request| request.contains("/binary/")).collect()
}

/// What a task reports of a binary that it has fetched and looked at.
fn looked_at(got: &Downloaded) -> TaskOutcome {
    TaskOutcome::printed(format!("{} {}", got.sha256, fs::read(&got.path).unwrap().len()))
}

#[test]
fn a_task_fetches_its_binary_with_the_agents_own_credentials() {
    for way in [Way::Async, Way::Blocking] {
        let file = content(15);
        let server = fleet(file.clone(), false);
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_owned();
        let (agent, running);
        match way {
            Way::Blocking => {
                let work =
                    move |task: &Task, context: &Context<Achilles>| -> Result<TaskOutcome, WorkError> {
                        Ok(looked_at(&context.fetch_binary(task, &place, &UreqTransport::new().unwrap())?))
                    };
                let started = self::agent(&server).on("execute_test", work);
                agent = started.handle();
                running = thread::spawn(move || {
                    started.run_blocking(MemoryStore::default(), &UreqTransport::new().unwrap()).unwrap();
                });
            }
            Way::Async => {
                let work = move |task: Task, context: Context<Achilles>| {
                    let place = place.clone();
                    async move {
                        let transport = ReqwestTransport::new().unwrap();
                        let got = context.fetch_binary_async(&task, place, &transport, &TokioRuntime).await?;
                        Ok(looked_at(&got))
                    }
                };
                let started = self::agent(&server).on_async("execute_test", work);
                agent = started.handle();
                running = thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    let transport = ReqwestTransport::new().unwrap();
                    runtime.block_on(started.run(MemoryStore::default(), transport, TokioRuntime)).unwrap();
                });
            }
        }
        let told = told(&server, "exit_code");
        assert!(told[0].contains("downloading") && told[1].contains("executing"), "{told:?}");
        assert!(told[2].contains(&format!("{} {}", sha256(&file), file.len())), "{told:?}");
        let requests = binary_requests(&server);
        assert_eq!(requests.len(), 2, "{requests:?}");
        for request in &requests {
            assert!(request.starts_with("GET /api/agent/binary/probe?test_uuid=u-1 "), "{request}");
            assert_eq!(header(request, "x-agent-key").as_deref(), Some("ak_1"));
            assert_eq!(header(request, "x-agent-id").as_deref(), Some("a-1"));
        }
        assert_eq!(header(&requests[1], "range").as_deref(), Some("bytes=30000-"));
        agent.stop();
        running.join().unwrap();
    }
}

#[test]
fn a_binary_that_is_not_there_is_not_asked_for_for_ever() {
    let server = fleet(content(16), true);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_owned();
    let work = move |task: &Task, context: &Context<Achilles>| -> Result<TaskOutcome, WorkError> {
        Ok(looked_at(&context.fetch_binary(task, &place, &UreqTransport::new().unwrap())?))
    };
    let agent = agent(&server).on("execute_test", work);
    let handle = agent.handle();
    let running = thread::spawn(move || {
        agent.run_blocking(MemoryStore::default(), &UreqTransport::new().unwrap()).unwrap();
    });
    let told = told(&server, "exit_code");
    assert!(told.iter().any(|body| body.contains("refused the file with 404")), "{told:?}");
    assert_eq!(binary_requests(&server).len(), 1);
    handle.stop();
    running.join().unwrap();
}
