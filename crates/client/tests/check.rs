//! What a client does with a call that breaks a rule, before anything goes out.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::convert::Infallible;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_client::protocol::acusight::{
    AnnotationData, Checkin, CheckinRequest, DeviceKey, ErrorMap, ImageNotificationRequest, NotifyImage,
};
use fleetwire_client::protocol::{Call, Documented, Endpoint, Json, NoAuth, Source, achilles, acusight};
use fleetwire_client::{Check, Client, Runtime, SendError, Sleep, Transport, TransportError};
use http::{Method, Request, Response};

/// A line that never fails and answers everything alike.
#[derive(Clone, Default)]
struct Line {
    sent: Arc<Mutex<Vec<Request<Bytes>>>>,
}

#[derive(Debug)]
struct Never(Infallible);

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}
impl std::error::Error for Never {}
impl TransportError for Never {
    fn may_have_arrived(&self) -> bool {
        match self.0 {}
    }
    fn is_retryable(&self) -> bool {
        match self.0 {}
    }
    fn is_timeout(&self) -> bool {
        match self.0 {}
    }
}

impl Transport for Line {
    type Error = Never;
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Never> {
        self.sent.lock().unwrap().push(request);
        let answer = r#"{"success":true,"data":{"acknowledged":true,"server_time":"2026-03-21T14:30:00Z"}}"#;
        Ok(Response::new(Bytes::from_static(answer.as_bytes())))
    }
}

/// A clock that stands still.
struct Still;

impl Runtime for Still {
    fn now(&self) -> DateTime<Utc> {
        "2026-03-21T14:30:00Z".parse().unwrap()
    }
    fn random(&self) -> f64 {
        0.0
    }
    fn sleep(&self, _: Duration) -> Sleep {
        Box::pin(std::future::ready(()))
    }
}

fn client() -> (Client<Line>, Line) {
    let line = Line::default();
    (Client::with_runtime("http://fleet.example", line.clone(), Still).unwrap(), line)
}

fn key() -> DeviceKey {
    DeviceKey::from("adk_5ec2e7")
}

/// An image with three faults: no name, no width, and a box that reaches over the edge.
fn faulty_image() -> Call<NotifyImage> {
    let mut body = ImageNotificationRequest::new("ABCD:1234", "", "raw-data/a.jpg", 0, 480);
    let mut annotation = AnnotationData::default();
    (annotation.x_center, annotation.width) = (Some(0.95.into()), Some(0.2.into()));
    (annotation.y_center, annotation.height) = (Some(0.5.into()), Some(0.2.into()));
    body.annotations.push(annotation);
    Call::new(body)
}

#[tokio::test]
async fn every_fault_is_told_before_anything_goes_out() {
    let (client, line) = client();
    let client = client.check_before_send(Check::Refuse);
    let error = client.send(&key(), &faulty_image()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "acusight.notify_image was not sent: /filename: must not be empty; /width: must be at least 1, not 0; \
         /annotations/0: must lie inside the image"
    );
    let broken: Vec<_> = error.violations().unwrap().iter().map(|violation| violation.rule).collect();
    assert_eq!(
        broken,
        [
            "acusight.notify_image.filename.min_length",
            "acusight.notify_image.width.minimum",
            "acusight.notify_image.annotations.inside_image",
        ]
    );
    assert_eq!((error.attempts(), error.is_retryable(), error.status()), (0, false, None));
    assert!(matches!(error, SendError::Invalid { operation: "acusight.notify_image", .. }));
    assert!(line.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_build_with_debug_assertions_looks_by_itself_and_no_other() {
    let expected = if cfg!(debug_assertions) { Check::Refuse } else { Check::Off };
    assert_eq!(Check::default(), expected);
    let (client, line) = client();
    let refused = client.send(&key(), &Call::<Checkin>::new(CheckinRequest::new(""))).await.is_err();
    assert_eq!(refused, cfg!(debug_assertions));
    assert_eq!(line.sent.lock().unwrap().is_empty(), cfg!(debug_assertions));
}

#[tokio::test]
async fn who_switches_it_off_sends_what_breaks_a_rule() {
    let (client, line) = client();
    let client = client.check_before_send(Check::Off);
    client.send(&key(), &faulty_image()).await.unwrap();
    assert_eq!(line.sent.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_keeps_the_rules_goes_out() {
    let (client, line) = client();
    let client = client.check_before_send(Check::Refuse);
    client.send(&key(), &Call::<Checkin>::new(CheckinRequest::new("ABCD:1234"))).await.unwrap();
    assert_eq!(line.sent.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_time_is_held_against_the_clients_own_clock() {
    let beat = |time: &str| {
        let system =
            achilles::SystemMetrics::new("ws", achilles::Os::Linux, achilles::Arch::Amd64, 1, 2, 3, 4);
        let timestamp = fleetwire_client::protocol::wire::Timestamp::from_text(time);
        Call::<achilles::Heartbeat>::new(achilles::HeartbeatRequest::new(
            timestamp,
            achilles::AgentStatus::Idle,
            system,
            "1.0.0",
        ))
    };
    let credentials = achilles::AgentCredentials::new("agent-1", "ak_00ff");
    let (client, _) = client();
    let client = client.check_before_send(Check::Refuse);
    client.send(&credentials, &beat("2026-03-21T14:34:00Z")).await.unwrap();
    let error = client.send(&credentials, &beat("2026-03-21T15:30:00Z")).await.unwrap_err();
    let [violation] = error.violations().unwrap().as_slice() else { panic!("{error}") };
    assert_eq!(violation.rule, "achilles.heartbeat.timestamp.window");
}

/// What is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_warning_names_what_is_broken_and_the_call_goes_out() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let (client, line) = client();
    let client = client.check_before_send(Check::Warn);
    client.send(&key(), &faulty_image()).await.unwrap();
    drop(guard);

    assert_eq!(line.sent.lock().unwrap().len(), 1);
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("WARN") && logged.contains("acusight.notify_image"), "{logged}");
    assert!(logged.contains("/width: must be at least 1, not 0"), "{logged}");
    assert!(!logged.contains("5ec2e7"), "{logged}");
}

/// An operation of somebody else, which has no rules.
struct Foreign;

impl Endpoint for Foreign {
    type Vendor = acusight::Acusight;
    type Auth = NoAuth;
    type Params = ();
    type Request = Json<CheckinRequest>;
    type Reply = Json<serde_json::Value>;
    type Error = ErrorMap;
    const ID: &'static str = "foreign.checkin";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/foreign";
    const SOURCE: Source = Source::new("foreign", "#");
    const FAILURES: &'static [Documented] = &[];
}

#[tokio::test]
async fn an_operation_without_rules_goes_out_unchecked() {
    let (client, line) = client();
    let client = client.check_before_send(Check::Refuse);
    client.send(&(), &Call::<Foreign>::new(CheckinRequest::new(""))).await.unwrap();
    assert_eq!(line.sent.lock().unwrap().len(), 1);
}
