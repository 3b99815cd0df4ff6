//! A server's decisions without a server. `cargo run -p fleetwire-server-core --example in_process`

#![expect(clippy::print_stdout, reason = "an example prints what was decided")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use chrono::{DateTime, Utc};
use fleetwire_protocol::zstack::{AgentPath, BearerAuth, BearerToken, Heartbeat, HeartbeatRequest};
use fleetwire_protocol::{Auth, Call};
use fleetwire_server_core::domain::{DEFAULT_TENANT, Kind, Vendor};
use fleetwire_server_core::operator::Registration;
use fleetwire_server_core::store::MemoryStore;
use fleetwire_server_core::{Clock, Config, Core, Entropy, Origin, admit, answer};
use http::HeaderMap;

/// 2026-03-21T14:30:00Z.
const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_774_103_400_000_000_000);

/// A clock that stands still: time is an argument.
struct Still;

impl Clock for Still {
    fn now(&self) -> DateTime<Utc> {
        NOW
    }
}

/// Never the same twice, and good for nothing but an example.
struct Counted(AtomicU8);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let entropy = Arc::new(Counted(AtomicU8::new(1)));
    let (core, _) = Core::start(MemoryStore::default(), Arc::new(Still), entropy, Config::default()).await?;
    let wish = Registration {
        vendor: Vendor::ZStack,
        kind: Kind::Agent,
        no: None,
        id: Some("agent-1".to_owned()),
        name: None,
        facts: serde_json::Map::new(),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
    };
    let (_, key) = core.register(DEFAULT_TENANT, wish).await?;

    let mut headers = HeaderMap::new();
    BearerAuth::attach(&BearerToken::from(key), NOW, &mut headers)?;
    let now = core.now();
    let caller = admit::<Heartbeat, _>(&core, &headers, now).await?;
    let origin = Origin { public_url: None, scheme: "http", host: "localhost", mount: "/zstack" };
    let body = HeartbeatRequest::new("1.2.3", 86400, 12.5, 35.2);
    let call = Call::<Heartbeat>::with(AgentPath::new("agent-1"), body);
    let record = answer(&core, caller, &origin, call, &core.context(now)).await?;
    println!("{:?}, labels {:?}", record.status, record.labels);
    Ok(())
}
