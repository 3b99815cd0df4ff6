//! What the client does between a call and its reply, against a scripted server and in virtual time.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::VecDeque;
use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use fleetwire_client::protocol::acusight::{
    Acusight, Checkin, CheckinRequest, CheckinResponse, DeviceKey, ErrorMap,
};
use fleetwire_client::protocol::{
    Auth, AuthHeader, Call, Documented, Endpoint, Envelope, Fault, FaultKind, JsonOr204, NoBody, RetryAfter,
    Source,
};
use fleetwire_client::{Client, RetryPolicy, Runtime, SendError, Sleep, Transport, TransportError};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};

const SECRET: &str = "adk_5ec2e7";
const BUSY: &str = r#"{"error":"no slot"}"#;
const REPLY: &str = r#"{"success":true,"pending_actions":null}"#;

/// A failure of the scripted transport.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the wire is cut")]
struct Cut {
    arrived: bool,
    retryable: bool,
}

impl TransportError for Cut {
    fn may_have_arrived(&self) -> bool {
        self.arrived
    }
    fn is_retryable(&self) -> bool {
        self.retryable
    }
    fn is_timeout(&self) -> bool {
        false
    }
}

const UNSENT: Cut = Cut { arrived: false, retryable: true };
const UNSURE: Cut = Cut { arrived: true, retryable: true };
const HOPELESS: Cut = Cut { arrived: false, retryable: false };

type Step = Result<Response<Bytes>, Cut>;

/// Plays the script and keeps what was sent.
#[derive(Clone, Default)]
struct Script {
    steps: Arc<Mutex<VecDeque<Step>>>,
    sent: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl Transport for Script {
    type Error = Cut;
    async fn exchange(&self, request: Request<Bytes>) -> Step {
        self.sent.lock().unwrap().push(request);
        self.steps.lock().unwrap().pop_front().expect("the script foresees no further attempt")
    }
}

/// A clock that only sleeping moves.
#[derive(Clone)]
struct World {
    now: Arc<Mutex<DateTime<Utc>>>,
    sleeps: Arc<Mutex<Vec<Duration>>>,
}

impl Runtime for World {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap()
    }
    fn random(&self) -> f64 {
        0.5
    }
    fn sleep(&self, duration: Duration) -> Sleep {
        self.sleeps.lock().unwrap().push(duration);
        *self.now.lock().unwrap() += TimeDelta::from_std(duration).unwrap();
        Box::pin(std::future::ready(()))
    }
}

struct Stage {
    client: Client<Script>,
    script: Script,
    world: World,
}

impl Stage {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let script = Script::default();
        script.steps.lock().unwrap().extend(steps);
        let now = Arc::new(Mutex::new(start()));
        let world = World { now, sleeps: Arc::default() };
        let client =
            Client::with_runtime("http://fleet.example/acusight/api/", script.clone(), world.clone());
        Self { client: client.unwrap(), script, world }
    }

    fn with_retries(mut self, retries: RetryPolicy) -> Self {
        self.client = self.client.with_retries(retries);
        self
    }

    async fn check_in(&self) -> Result<CheckinResponse, SendError<ErrorMap, Cut>> {
        let call = Call::<Checkin>::new(CheckinRequest::new("ABCD:1234"));
        self.client.send(&DeviceKey::from(SECRET), &call).await
    }

    fn attempts(&self) -> usize {
        self.script.sent.lock().unwrap().len()
    }

    fn waits(&self) -> Vec<u128> {
        self.world.sleeps.lock().unwrap().iter().map(Duration::as_millis).collect()
    }
}

fn start() -> DateTime<Utc> {
    "2026-03-21T14:30:00Z".parse().unwrap()
}

fn answer(status: u16, body: &'static str) -> Step {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(Bytes::from_static(body.as_bytes())).unwrap())
}

fn asking(status: u16, retry_after: &'static str) -> Step {
    let mut response = answer(status, BUSY).unwrap();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(retry_after));
    Ok(response)
}

#[tokio::test]
async fn a_good_answer_takes_one_attempt() {
    let stage = Stage::new([answer(200, REPLY)]);
    let reply = stage.check_in().await.unwrap();
    assert_eq!(reply.success, Some(true));
    assert!(stage.waits().is_empty());

    let sent = &stage.script.sent.lock().unwrap()[0];
    assert_eq!(sent.method(), Method::POST);
    assert_eq!(sent.uri(), "http://fleet.example/acusight/api/core/agent/checkin");
    assert_eq!(sent.headers()["x-device-key"], SECRET);
    assert!(sent.headers()["x-device-key"].is_sensitive());
    let body: serde_json::Value = serde_json::from_slice(sent.body()).unwrap();
    assert_eq!(body, serde_json::json!({"device_id": "ABCD:1234"}));
}

#[tokio::test]
async fn passing_failures_are_tried_again_with_growing_waits() {
    let stage = Stage::new([Err(UNSENT), answer(503, BUSY), Err(UNSURE), answer(200, REPLY)]);
    stage.check_in().await.unwrap();
    assert_eq!(stage.waits(), [250, 500, 1000]);
}

#[tokio::test]
async fn statuses_that_pass_are_tried_again() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let stage = Stage::new([answer(status, BUSY), answer(200, REPLY)]);
        stage.check_in().await.unwrap();
        assert_eq!(stage.attempts(), 2, "{status}");
    }
}

#[tokio::test]
async fn statuses_that_stay_are_not_tried_again() {
    for status in [301, 302, 307, 400, 401, 403, 404, 405, 409, 410, 413, 422, 501, 505] {
        let stage = Stage::new([asking(status, "1")]);
        let error = stage.check_in().await.unwrap_err();
        assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
        assert_eq!((error.attempts(), error.is_retryable()), (1, false), "{status}");
        assert!(stage.waits().is_empty());
    }
}

#[tokio::test]
async fn the_number_of_attempts_is_kept_and_the_last_answer_told() {
    let stage = Stage::new([
        answer(503, BUSY),
        answer(500, BUSY),
        answer(502, BUSY),
        answer(503, r#"{"error":"still no slot"}"#),
    ]);
    let error = stage.check_in().await.unwrap_err();
    assert_eq!(error.attempts(), 4);
    assert_eq!(error.kind(), Some(FaultKind::Overloaded));
    assert!(error.is_retryable());
    assert_eq!(
        error.to_string(),
        "acusight.checkin was refused: 503 Service Unavailable: still no slot (after 4 attempts)"
    );
}

#[tokio::test]
async fn a_dead_wire_is_told_with_its_attempts() {
    let stage = Stage::new([const { Err(UNSENT) }; 4]);
    let error = stage.check_in().await.unwrap_err();
    assert!(matches!(error, SendError::Transport { error: UNSENT, attempts: 4, .. }));
    assert_eq!((error.status(), error.kind(), error.is_retryable()), (None, None, true));
    assert_eq!(error.to_string(), "acusight.checkin got no answer: the wire is cut (after 4 attempts)");
    assert!(error.source().is_none(), "the cause stands in the text and has none of its own");
}

#[tokio::test]
async fn a_hopeless_failure_is_not_tried_again() {
    let stage = Stage::new([Err(HOPELESS)]);
    let error = stage.check_in().await.unwrap_err();
    assert_eq!((error.attempts(), error.is_retryable()), (1, false));
}

#[tokio::test]
async fn the_policy_of_one_attempt_makes_one() {
    for step in [answer(503, BUSY), Err(UNSENT)] {
        let stage = Stage::new([step]).with_retries(RetryPolicy::none());
        assert_eq!(stage.check_in().await.unwrap_err().attempts(), 1);
    }
}

#[tokio::test]
async fn a_careful_caller_resends_only_what_was_not_acted_on() {
    let mut careful = RetryPolicy::default();
    careful.resend_if_unsure = false;
    for step in [Err(UNSURE), answer(500, BUSY), answer(502, BUSY), answer(504, BUSY)] {
        let stage = Stage::new([step]).with_retries(careful.clone());
        let error = stage.check_in().await.unwrap_err();
        assert_eq!((error.attempts(), error.is_retryable()), (1, true));
    }
    for step in [Err(UNSENT), answer(429, BUSY), answer(503, BUSY)] {
        let stage = Stage::new([step, answer(200, REPLY)]).with_retries(careful.clone());
        stage.check_in().await.unwrap();
    }
}

#[tokio::test]
async fn retry_after_in_seconds_is_a_floor() {
    let stage = Stage::new([asking(429, "40"), answer(200, REPLY)]);
    stage.check_in().await.unwrap();
    assert_eq!(stage.waits(), [42_000]);
}

#[tokio::test]
async fn retry_after_as_a_date_is_a_floor() {
    let stage = Stage::new([asking(503, "Sat, 21 Mar 2026 14:30:20 GMT"), answer(200, REPLY)]);
    stage.check_in().await.unwrap();
    assert_eq!(stage.waits(), [21_000]);
}

#[tokio::test]
async fn a_date_that_has_passed_and_a_value_that_makes_no_sense_ask_for_nothing() {
    for value in ["Sat, 21 Mar 2026 14:00:00 GMT", "soon", "-5", ""] {
        let stage = Stage::new([asking(503, value), answer(200, REPLY)]);
        stage.check_in().await.unwrap();
        assert_eq!(stage.waits(), [250], "{value:?}");
    }
}

#[tokio::test]
async fn a_wait_beyond_our_patience_goes_to_the_caller_at_once() {
    for (value, seconds) in [("61", 61), ("18446744073709551615", u64::MAX)] {
        let stage = Stage::new([asking(429, value)]);
        let error = stage.check_in().await.unwrap_err();
        assert!(stage.waits().is_empty());
        assert_eq!(error.kind(), Some(FaultKind::Limited));
        assert_eq!(error.retry_after(), Some(RetryAfter::Delay(Duration::from_secs(seconds))));
        assert!(error.to_string().contains("the server asks to wait"), "{error}");
    }
}

#[tokio::test]
async fn a_page_of_a_proxy_is_kept() {
    const PAGE: &str = "<html>Bad gateway</html>";
    let stage = Stage::new([answer(502, PAGE)]).with_retries(RetryPolicy::none());
    let error = stage.check_in().await.unwrap_err();
    let refusal = error.refusal().unwrap();
    assert_eq!((refusal.envelope.as_ref(), &refusal.body[..]), (None, PAGE.as_bytes()));
    assert_eq!(error.kind(), Some(FaultKind::Server));
}

#[tokio::test]
async fn a_good_status_with_another_body_is_kept_and_not_resent() {
    const PAGE: &str = "<html>Sign in to the hotel's network</html>";
    let stage = Stage::new([answer(200, PAGE)]);
    let error = stage.check_in().await.unwrap_err();
    let SendError::Garbled { status: StatusCode::OK, ref body, ref why, attempts: 1, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((&body[..], why.rule), (PAGE.as_bytes(), "json.syntax"));
    assert_eq!((error.status(), error.refusal(), error.is_retryable()), (Some(StatusCode::OK), None, false));
}

#[tokio::test]
async fn neither_keys_nor_bodies_show_in_errors() {
    let steps: [fn() -> Step; 4] = [
        || Err(HOPELESS),
        || answer(200, r#"{"success":"adk_5ec2e7"#),
        || answer(401, "adk_5ec2e7 is not good"),
        || answer(302, "adk_5ec2e7"),
    ];
    for step in steps {
        let stage = Stage::new([step()]);
        let error = stage.check_in().await.unwrap_err();
        let text = format!("{error} {error:?} {:?}", stage.client);
        assert!(!text.contains("5ec2e7"), "{text}");
    }
}

#[tokio::test]
async fn a_key_that_no_header_can_carry_is_told_without_sending() {
    let stage = Stage::new([]);
    let call = Call::<Checkin>::new(CheckinRequest::new("ABCD:1234"));
    let error = stage.client.send(&DeviceKey::from("adk_5ec2e7\r\nX-Evil: 1"), &call).await.unwrap_err();
    assert!(matches!(error, SendError::Encode { .. }));
    assert_eq!((error.attempts(), stage.attempts(), error.is_retryable()), (0, 0, false));
    assert_eq!(
        error.to_string(),
        "acusight.checkin was not sent: the value of X-Device-Key cannot be carried in a header"
    );
}

#[test]
fn a_call_can_be_spawned() {
    fn sendable<F: Future + Send + 'static>(_: F) {}
    let stage = Stage::new([]);
    sendable(async move { stage.check_in().await.is_ok() });
}

/// An operation that is signed with the time, may have nothing to say, and says in its errors when to come back.
struct Poll;

impl Endpoint for Poll {
    type Vendor = Acusight;
    type Auth = Stamped;
    type Params = ();
    type Request = NoBody;
    type Reply = JsonOr204<CheckinResponse>;
    type Error = Timed;
    const ID: &'static str = "test.poll";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/poll";
    const SOURCE: Source = Source::new("test", "#");
    const FAILURES: &'static [Documented] = &[];
}

struct Stamped;

impl Auth for Stamped {
    type Credentials = ();
    type Presented = ();
    const ALTERNATIVES: &'static [&'static [AuthHeader]] = &[];

    fn attach((): &(), now: DateTime<Utc>, headers: &mut HeaderMap) -> Result<(), &'static str> {
        let value = HeaderValue::from_str(&now.to_rfc3339()).map_err(|_| "stamp")?;
        headers.insert(HeaderName::from_static("x-request-timestamp"), value);
        Ok(())
    }
    fn extract(_: &HeaderMap) -> Result<(), Fault> {
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Timed {
    retry_after: u64,
}

impl Envelope for Timed {
    fn from_fault(_: &Fault) -> Self {
        Self { retry_after: 0 }
    }
    fn message(&self) -> Option<&str> {
        None
    }
    fn retry_after(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.retry_after))
    }
}

#[tokio::test]
async fn each_attempt_is_signed_with_its_own_time() {
    let stage = Stage::new([asking(503, "20"), Err(UNSENT), answer(200, REPLY)]);
    stage.client.send(&(), &Call::<Poll>::new(())).await.unwrap();
    let sent = stage.script.sent.lock().unwrap();
    let stamps: Vec<_> =
        sent.iter().map(|request| request.headers()["x-request-timestamp"].to_str().unwrap()).collect();
    assert_eq!(
        stamps,
        ["2026-03-21T14:30:00+00:00", "2026-03-21T14:30:21+00:00", "2026-03-21T14:30:21.500+00:00"]
    );
}

#[tokio::test]
async fn nothing_is_an_answer_where_the_operation_says_so() {
    let stage = Stage::new([answer(204, "")]);
    assert_eq!(stage.client.send(&(), &Call::<Poll>::new(())).await.unwrap(), None);
}

#[tokio::test]
async fn a_wait_that_stands_in_the_body_is_obeyed() {
    let stage = Stage::new([answer(429, r#"{"retry_after":10}"#), answer(204, "")]);
    stage.client.send(&(), &Call::<Poll>::new(())).await.unwrap();
    assert_eq!(stage.waits(), [10_500]);
}

#[tokio::test]
async fn the_header_wins_over_the_body() {
    let mut both = answer(429, r#"{"retry_after":600}"#).unwrap();
    both.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
    let stage = Stage::new([Ok(both), answer(204, "")]);
    stage.client.send(&(), &Call::<Poll>::new(())).await.unwrap();
    assert_eq!(stage.waits(), [10_500]);
}
