//! The load engine before servers that answer well, slowly, in pieces, wrongly and not at all.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fleetwire_sim::load::engine::{
    self, Answer, Bottleneck, Due, Failure, Observer, Pacing, Plan, Request, Snapshot, Source, cpu,
};

const ASKED: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server that does this with each connection, on a thread of its own.
fn serve(each: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let each = Arc::new(each);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let each = Arc::clone(&each);
            thread::spawn(move || each(stream));
        }
    });
    address
}

/// Whether another request has come whole.
fn next_request(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ => return false,
        }
    }
    true
}

fn answering(answer: &'static [u8]) -> SocketAddr {
    serve(move |mut stream| {
        while next_request(&mut stream) {
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    })
}

/// Sends the same request so many times and keeps what comes.
struct Repeat {
    left: u64,
    seen: Vec<Result<(u16, Vec<u8>), Failure>>,
}

impl Repeat {
    fn times(left: u64) -> Self {
        Self { left, seen: Vec::new() }
    }
}

impl Source for Repeat {
    fn kinds(&self) -> usize {
        1
    }

    fn due(&mut self, _now: Duration) -> Due {
        if self.left == 0 { Due::Idle } else { Due::Now }
    }

    fn write(&mut self, _now: Duration, into: &mut Vec<u8>) -> Request {
        self.left -= 1;
        into.extend_from_slice(ASKED);
        Request { kind: 0, ticket: self.left }
    }

    fn answered(&mut self, _request: Request, _now: Duration, outcome: Result<Answer<'_>, Failure>) {
        self.seen.push(outcome.map(|answer| (answer.status, answer.body.to_vec())));
    }
}

fn closed(address: SocketAddr, connections: usize) -> Plan {
    Plan {
        timeout: Duration::from_millis(300),
        ..Plan::new(address, connections, Pacing::Closed, Duration::from_secs(20))
    }
}

fn outcome_of(address: SocketAddr) -> Result<(u16, Vec<u8>), Failure> {
    let (_, source) = engine::run(&closed(address, 1), Repeat::times(1), &mut ()).unwrap();
    source.seen.into_iter().next().unwrap()
}

#[test]
fn a_source_that_has_no_more_ends_the_run_and_every_request_is_accounted_for() {
    let address = answering(OK);
    let (run, source) = engine::run(&closed(address, 4), Repeat::times(100), &mut ()).unwrap();
    let counts = &run.tally.kinds()[0];
    assert_eq!((counts.answers(), counts.class(2), counts.failures.all()), (100, 100, 0));
    assert_eq!((counts.latency.count(), counts.service.count(), run.sent), (100, 100, 100));
    assert_eq!(counts.bytes_sent, 100 * ASKED.len() as u64);
    assert_eq!(counts.bytes_received, 100 * OK.len() as u64);
    assert_eq!(source.seen.len(), 100);
    assert!(run.window < Duration::from_secs(20) && (1..=4).contains(&run.connects), "{run:?}");
}

#[test]
fn a_wakeful_run_counts_and_ends_as_any_other_and_is_no_bottleneck_by_that() {
    let plan = Plan { wakeful: true, ..closed(answering(OK), 2) };
    let (run, source) = engine::run(&plan, Repeat::times(50), &mut ()).unwrap();
    assert_eq!((run.tally.kinds()[0].answers(), run.sent, source.seen.len()), (50, 50, 50));
    assert!(!matches!(run.bottleneck(&plan), Some(Bottleneck::Cpu(_))));
}

#[test]
fn answers_are_read_however_they_are_framed() {
    for (answer, status, body) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"[..], 200, &b"abc"[..]),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 200, b"abcde"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-after: 1\r\n\r\n", 200, b"a"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304, b""),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 1\r\n\r\n!", 404, b"!"),
    ] {
        let shown = String::from_utf8_lossy(answer);
        let whole = answering(answer);
        assert_eq!(outcome_of(whole), Ok((status, body.to_vec())), "{shown}");
        let in_pieces = serve(move |mut stream| {
            stream.set_nodelay(true).unwrap();
            while next_request(&mut stream) {
                for byte in answer.chunks(1) {
                    if stream.write_all(byte).is_err() {
                        return;
                    }
                }
            }
        });
        assert_eq!(outcome_of(in_pieces), Ok((status, body.to_vec())), "{shown} byte by byte");
    }
}

#[test]
fn an_answer_without_a_length_ends_with_its_connection_and_the_next_has_another() {
    let address = serve(|mut stream| {
        next_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nall").unwrap();
    });
    let (run, source) = engine::run(&closed(address, 1), Repeat::times(3), &mut ()).unwrap();
    assert_eq!(source.seen, vec![Ok((200, b"all".to_vec())); 3]);
    assert_eq!(run.connects, 3);
}

#[test]
fn what_is_no_answer_is_garbled() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\na",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\ncontent-length: 0\r\nupgrade: x\r\n\r\nx",
    ] {
        assert_eq!(
            outcome_of(answering(answer)),
            Err(Failure::Garbled),
            "{}",
            String::from_utf8_lossy(answer)
        );
    }
    let cut = serve(|mut stream| {
        next_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").unwrap();
    });
    assert_eq!(outcome_of(cut), Err(Failure::Garbled));
}

#[test]
fn a_request_without_an_answer_is_told_by_its_cause() {
    let closing = serve(|mut stream| {
        next_request(&mut stream);
    });
    assert_eq!(outcome_of(closing), Err(Failure::Reset));

    let silent = serve(|mut stream| while next_request(&mut stream) {});
    assert_eq!(outcome_of(silent), Err(Failure::Timeout));

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(outcome_of(nobody), Err(Failure::Connect));
}

#[test]
fn a_connection_that_the_server_ended_while_it_was_quiet_is_no_failure() {
    let address = serve(|mut stream| {
        next_request(&mut stream);
        stream.write_all(OK).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    });
    // Far enough apart for the end to have arrived.
    let plan = Plan { pacing: Pacing::Rate(20.0), ..closed(address, 1) };
    let (run, source) = engine::run(&plan, Repeat::times(4), &mut ()).unwrap();
    assert_eq!(source.seen, vec![Ok((200, b"ok".to_vec())); 4]);
    assert_eq!(run.connects, 4);
}

#[test]
fn without_keep_alive_each_request_has_a_connection_of_its_own() {
    let accepted = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&accepted);
    let address = serve(move |mut stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        while next_request(&mut stream) {
            stream.write_all(OK).unwrap();
        }
    });
    let plan = Plan { keep_alive: false, ..closed(address, 2) };
    let (run, _) = engine::run(&plan, Repeat::times(10), &mut ()).unwrap();
    assert_eq!((run.connects, accepted.load(Ordering::Relaxed)), (10, 10));
}

#[test]
fn latency_counts_from_the_moment_at_which_a_request_was_due() {
    // One connection, 20 ms for an answer, and a request due every 10 ms: each waits longer than the one before it.
    let address = serve(|mut stream| {
        while next_request(&mut stream) {
            thread::sleep(Duration::from_millis(20));
            if stream.write_all(OK).is_err() {
                return;
            }
        }
    });
    let plan = Plan { timeout: Duration::from_secs(5), ..closed(address, 1) };
    let plan = Plan { pacing: Pacing::Rate(100.0), duration: Duration::from_millis(600), ..plan };
    let (run, _) = engine::run(&plan, Repeat::times(u64::MAX), &mut ()).unwrap();
    let counts = &run.tally.kinds()[0];
    assert!(counts.service.quantile(0.5) < Duration::from_millis(100), "{counts:?}");
    assert!(counts.latency.longest() > Duration::from_millis(200), "{counts:?}");
    assert!(counts.latency.longest() > counts.service.quantile(0.5) * 3, "{counts:?}");
    assert!(run.behind > Duration::from_millis(150), "{:?}", run.behind);
    assert!(counts.answers() < 40, "{counts:?}");
}

#[test]
fn a_constant_rate_is_kept_and_the_warm_up_is_not_counted() {
    let address = answering(OK);
    let plan = Plan {
        warm_up: Duration::from_millis(200),
        duration: Duration::from_millis(500),
        pacing: Pacing::Rate(400.0),
        ..closed(address, 8)
    };
    let (run, source) = engine::run(&plan, Repeat::times(u64::MAX), &mut ()).unwrap();
    let counts = &run.tally.kinds()[0];
    // Requests 80 to 279 are due in the window; a busy machine may not have come to the last of them.
    let unsent = (run.behind.as_secs_f64() * 400.0).ceil() as u64;
    assert!((199..=201).contains(&(counts.answers() + unsent)), "{unsent} unsent, {counts:?}");
    assert_eq!(source.seen.len() as u64, counts.answers() + 80);
    assert!(run.rate() <= 400.0 && run.cpu.is_some(), "{run:?}");
}

/// Three agents, each with a request of its own every so often, and one more soon after each third answer.
struct Scheduled {
    due: Vec<Duration>,
    early: Vec<Duration>,
    answers: usize,
}

impl Source for Scheduled {
    fn kinds(&self) -> usize {
        2
    }

    fn due(&mut self, _now: Duration) -> Due {
        self.due.iter().chain(&self.early).min().map_or(Due::Idle, |at| Due::At(*at))
    }

    fn write(&mut self, now: Duration, into: &mut Vec<u8>) -> Request {
        into.extend_from_slice(ASKED);
        if let Some(at) = self.early.iter().position(|at| *at <= now) {
            self.early.remove(at);
            return Request { kind: 1, ticket: 9 };
        }
        let agent = self.due.iter().enumerate().min_by_key(|(_, at)| **at).unwrap().0;
        assert!(self.due[agent] <= now, "asked too early");
        self.due[agent] = Duration::MAX;
        Request { kind: 0, ticket: agent as u64 }
    }

    fn answered(&mut self, request: Request, now: Duration, outcome: Result<Answer<'_>, Failure>) {
        assert_eq!(outcome.unwrap().header("CONTENT-length"), Some("2"));
        self.answers += 1;
        if request.kind == 0 {
            self.due[usize::try_from(request.ticket).unwrap()] = now + Duration::from_secs(5);
            if self.answers == 3 {
                self.early.push(now + Duration::from_millis(10));
            }
        }
    }
}

#[test]
fn an_answer_may_make_a_request_due_sooner_than_whoever_waits_had_thought() {
    let address = answering(OK);
    let plan = Plan { duration: Duration::from_millis(400), ..closed(address, 2) };
    let source = Scheduled { due: vec![Duration::ZERO; 3], early: Vec::new(), answers: 0 };
    let (run, source) = engine::run(&plan, source, &mut ()).unwrap();
    assert_eq!(source.answers, 4);
    assert_eq!((run.tally.kinds()[0].answers(), run.tally.kinds()[1].answers()), (3, 1));
    let latency = run.tally.kinds()[1].latency.longest();
    assert!(latency < Duration::from_millis(300), "it waited for the others: {latency:?}");
    assert_eq!(run.tally.total().answers(), 4);
}

#[derive(Default)]
struct Watched {
    told: Vec<&'static str>,
    seen: u64,
}

impl Observer for Watched {
    fn begin(&mut self) {
        self.told.push("begin");
    }

    fn second(&mut self, snapshot: &Snapshot<'_>) -> ControlFlow<()> {
        self.told.push("second");
        assert!(snapshot.measuring && snapshot.connections > 0);
        self.seen += snapshot.second.total().answers();
        assert_eq!(snapshot.total.total().answers(), self.seen);
        if self.told.len() > 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn end(&mut self) {
        self.told.push("end");
    }
}

#[test]
fn an_observer_sees_each_second_and_may_end_the_run() {
    let address = answering(OK);
    let plan = Plan { pacing: Pacing::Rate(50.0), ..closed(address, 2) };
    let mut watched = Watched::default();
    let (run, _) = engine::run(&plan, Repeat::times(u64::MAX), &mut watched).unwrap();
    assert_eq!(watched.told, ["begin", "second", "second", "end"]);
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&run.window), "{:?}", run.window);
    assert!(watched.seen > 50, "{}", watched.seen);
}

#[test]
fn a_generator_that_is_too_slow_says_so() {
    /// Takes longer to write a request than there is time between two.
    struct Slow;
    impl Source for Slow {
        fn kinds(&self) -> usize {
            1
        }
        fn write(&mut self, now: Duration, into: &mut Vec<u8>) -> Request {
            let start = cpu::of_this_thread().unwrap();
            while cpu::of_this_thread().unwrap() - start < Duration::from_millis(2) {}
            into.extend_from_slice(ASKED);
            Request { kind: 0, ticket: u64::try_from(now.as_millis()).unwrap() }
        }
    }
    let address = answering(OK);
    let plan = Plan { duration: Duration::from_millis(400), ..closed(address, 4) };
    let (mut run, _) = engine::run(&plan, Slow, &mut ()).unwrap();
    // How much of the window that is depends on who else wants the core.
    let each = run.cpu_per_request().unwrap();
    assert!(each >= Duration::from_millis(2), "{each:?}");
    run.cpu = Some(run.window);
    assert_eq!(run.bottleneck(&plan), Some(Bottleneck::Cpu(1.0)));
    run.cpu = Some(run.window / 2);
    assert_eq!(run.bottleneck(&plan), None);
    run.lateness.record(Duration::from_millis(50));
    assert!(run.bottleneck(&plan).unwrap().to_string().contains("late"));
}

#[test]
fn what_several_threads_saw_adds_up() {
    let address = answering(OK);
    let one = engine::run(&closed(address, 1), Repeat::times(10), &mut ()).unwrap().0;
    let mut both = engine::run(&closed(address, 1), Repeat::times(7), &mut ()).unwrap().0;
    both.merge(&one);
    assert_eq!((both.tally.total().answers(), both.sent), (17, 17));
    assert_eq!(both.tally.kinds()[0].latency.count(), 17);
    assert_eq!(both.tally.kinds()[0].latency.steps().map(|(_, count)| count).sum::<u64>(), 17);
}

/// Like [`Repeat`], without keeping anything.
struct Quiet(u64);

impl Source for Quiet {
    fn kinds(&self) -> usize {
        1
    }
    fn due(&mut self, _now: Duration) -> Due {
        if self.0 == 0 { Due::Idle } else { Due::Now }
    }
    fn write(&mut self, _now: Duration, into: &mut Vec<u8>) -> Request {
        self.0 -= 1;
        into.extend_from_slice(ASKED);
        Request { kind: 0, ticket: 0 }
    }
}

#[test]
fn a_request_allocates_nothing_once_the_buffers_have_grown() {
    let address = answering(OK);
    let allocations = |requests| {
        allocation_counter::measure(|| {
            engine::run(&closed(address, 1), Quiet(requests), &mut ()).unwrap();
        })
        .count_total
    };
    allocations(10);
    let (few, many) = (allocations(100), allocations(1100));
    // What watches the run may come by a different number of times.
    assert!(many.abs_diff(few) < 50, "{few} for 100 requests, {many} for 1,100");
}
