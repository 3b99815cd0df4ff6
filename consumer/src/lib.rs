//! An agent with a transport, a clock and an executor of its own: no async runtime, no TLS, one vendor.

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_client::{Runtime, Sleep, Transport, TransportError};
use http::{Request, Response};

/// A line to one server: what was sent, and the one answer that comes back.
pub struct Line {
    /// Method, address and body of each request.
    pub sent: Mutex<Vec<(String, Bytes)>>,
    /// The body of each answer.
    pub answer: &'static str,
}

/// The line never fails.
#[derive(Debug)]
pub struct Never(Infallible);

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
        let line = format!("{} {}", request.method(), request.uri());
        self.sent.lock().unwrap_or_else(|broken| broken.into_inner()).push((line, request.into_body()));
        Ok(Response::new(Bytes::from_static(self.answer.as_bytes())))
    }
}

/// A clock that stands still.
pub struct Still;

impl Runtime for Still {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }
    fn random(&self) -> f64 {
        0.0
    }
    fn sleep(&self, _: Duration) -> Sleep {
        Box::pin(std::future::ready(()))
    }
}

/// Runs a future that never has to wait; `None` if it does.
pub fn run<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fleetwire_client::Client;
    use fleetwire_protocol::zstack::{AgentPath, AgentStatus, BearerToken, Heartbeat, HeartbeatRequest};
    use fleetwire_protocol::{Call, Endpoint, for_each_endpoint};

    use super::*;

    struct Shared(Arc<Line>);

    impl Transport for Shared {
        type Error = Never;
        async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Never> {
            self.0.exchange(request).await
        }
    }

    #[test]
    fn an_agent_of_one_vendor_reports_without_any_runtime() {
        macro_rules! ids {
            ([] $($operation:path,)*) => { [$(<$operation as Endpoint>::ID),*] };
        }
        let ids = for_each_endpoint!(ids!());
        assert!(ids.iter().all(|id| id.starts_with("zstack.")), "no other vendor is compiled in: {ids:?}");

        let answer = r#"{"uuid":"agent-1","status":"online","labels":"{}"}"#;
        let line = Arc::new(Line { sent: Mutex::default(), answer });
        let client =
            Client::with_runtime("https://zstack.example.org", Shared(Arc::clone(&line)), Still).unwrap();
        let call = Call::<Heartbeat>::with(
            AgentPath::new("agent-1"),
            HeartbeatRequest::new("1.2.3", 86400, 12.5, 35.2),
        );
        let agent = run(client.send(&BearerToken::new("zsk_00ff"), &call)).unwrap().unwrap();

        assert_eq!(agent.status, Some(AgentStatus::Online));
        let sent = line.sent.lock().unwrap();
        let [(request, body)] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!(request, "PUT https://zstack.example.org/api/v1/agents/agent-1/heartbeat");
        assert_eq!(&body[..], br#"{"version":"1.2.3","uptime":86400,"cpuUsage":12.5,"memUsage":35.2}"#);
    }
}
