//! The steps of a request, each to be repeated: what `instructions.rs` counts and `steps.rs` takes the time of.
//!
//! Everything runs on one thread, under a clock that stands still and randomness that is counted, over the store in memory.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_protocol::achilles::{self, AgentCredentials};
use fleetwire_protocol::acusight::{self, DeviceKey};
use fleetwire_protocol::agentmc::{self, ApiKey};
use fleetwire_protocol::zstack::{self, AgentPath, BearerToken};
use fleetwire_protocol::{Auth, Call, Endpoint, codec};
use fleetwire_server::{AgentService, mounts};
use fleetwire_server_core::domain::{BatchLimits, DEFAULT_TENANT, Kind, No, Vendor};
use fleetwire_server_core::operator::Registration;
use fleetwire_server_core::store::MemoryStore;
use fleetwire_server_core::{Clock, Config, Core, Entropy, Origin, answer};
use fleetwire_validation::{Context, Validate, check};
use http_body_util::{BodyExt, Full};
use serde_json::{Map, Value};
use tower::Service;

/// The time that the sources' examples are from: 2026-03-21T14:30:00Z.
const NOW: i64 = 1_774_103_400;

struct Still;

impl Clock for Still {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(NOW, 0).unwrap()
    }
}

#[derive(Default)]
struct Counted(AtomicU64);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            chunk.copy_from_slice(&number[8 - chunk.len()..]);
        }
    }
}

type Server = Arc<Core<MemoryStore>>;

/// Does one thing so many times.
pub(crate) type Repeat = Box<dyn FnMut(u64)>;

/// A call as its agent sends it, with its credentials.
struct Sent<E: Endpoint> {
    credentials: <E::Auth as Auth>::Credentials,
    call: Box<dyn Fn() -> Call<E>>,
    /// Path parameters, as routing finds them.
    segments: &'static [(&'static str, &'static str)],
}

impl<E> Sent<E>
where
    E: Validate,
    <E::Auth as Auth>::Credentials: 'static,
{
    fn write(&self) -> http::Request<Bytes> {
        let mount =
            mounts().iter().find(|mount| mount.vendor == <E::Vendor as fleetwire_protocol::Vendor>::ID);
        let mount = mount.unwrap();
        let base = format!("http://fleet.test{}{}", mount.prefix, mount.base);
        codec::encode::<E>(&base, &self.credentials, Still.now(), &(self.call)()).unwrap()
    }

    fn encode(self) -> Repeat {
        let call = (self.call)();
        Box::new(move |times| {
            for _ in 0..times {
                let base = black_box("http://fleet.test/v");
                black_box(codec::encode::<E>(base, &self.credentials, Still.now(), &call).unwrap());
            }
        })
    }

    fn decode(self) -> Repeat {
        let (parts, body) = self.write().into_parts();
        Box::new(move |times| {
            let segment =
                |name: &str| self.segments.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            for _ in 0..times {
                black_box(codec::decode::<E>(segment, None, &parts.headers, black_box(&body)).unwrap());
            }
        })
    }

    /// A check takes what it checks and gives it back, so that nothing is copied.
    fn check(self) -> Repeat {
        let context = Context::at(Still.now());
        Box::new(move |times| {
            let mut call = (self.call)();
            for _ in 0..times {
                call = check(black_box(call), &context).unwrap().into_inner();
            }
            black_box(call);
        })
    }

    /// The whole of a request but HTTP itself: sent to the service as the listener does, answered with 2xx.
    fn request(self, server: Server, vary: Option<(&'static str, usize)>) -> Repeat {
        let mut service = AgentService::new(server);
        let (parts, body) = self.write().into_parts();
        let mut body = body.to_vec();
        // Digits in the body that make each request another one.
        let digits = vary.map(|(before, length)| {
            let text = std::str::from_utf8(&body).unwrap();
            let start = text.find(before).unwrap() + before.len();
            start..start + length
        });
        // Goes on where it is repeated again.
        let mut number = 0u64;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Box::new(move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    if let Some(digits) = &digits {
                        let width = digits.len();
                        body[digits.clone()].copy_from_slice(format!("{number:0width$}").as_bytes());
                        number += 1;
                    }
                    let request =
                        http::Request::from_parts(parts.clone(), Full::new(Bytes::copy_from_slice(&body)));
                    let response = service.call(request).await.unwrap();
                    let status = response.status();
                    let answer = response.into_body().collect().await.unwrap().to_bytes();
                    assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
                }
            });
        })
    }
}

fn fixture<T: serde::de::DeserializeOwned>(path: &str) -> T {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(path);
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn start() -> Server {
    let config = Config {
        // Images that are all in one batch, however many there are.
        batches: BatchLimits { images: u32::MAX, ..BatchLimits::default() },
        ..Config::default()
    };
    let started = Core::start(MemoryStore::new(), Arc::new(Still), Arc::<Counted>::default(), config);
    Arc::new(wait(started).unwrap().0)
}

/// The store in memory never waits.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn register(server: &Server, vendor: Vendor, no: Option<No>, id: Option<&str>) -> String {
    let wish = Registration {
        vendor,
        kind: Kind::Agent,
        no,
        id: id.map(str::to_owned),
        name: Some("an agent".to_owned()),
        facts: Map::new(),
        labels: [].into(),
    };
    wait(server.register(DEFAULT_TENANT, wish)).unwrap().1
}

const DEVICE: &str = "ABCD:1234:5678:EFGH";

fn acusight_checkin(server: &Server) -> Sent<acusight::Checkin> {
    let key = register(server, Vendor::Acusight, None, Some(DEVICE));
    // What a device asks for is kept by the store; nearly all check-ins ask for nothing.
    let mut request: Value = fixture("acusight/checkin/request.json");
    request["pending_requests"] = Value::Array(Vec::new());
    Sent {
        credentials: DeviceKey::from(key),
        call: Box::new(move || Call::new(serde_json::from_value(request.clone()).unwrap())),
        segments: &[],
    }
}

fn notify_image(server: &Server) -> Sent<acusight::NotifyImage> {
    let key = register(server, Vendor::Acusight, None, Some(DEVICE));
    let mut request: Value = fixture("acusight/notify_image/request.json");
    let annotation = request["annotations"][0].clone();
    request["annotations"] = vec![annotation; 50].into();
    request["storage_key"] = "raw-data/ABCD/2024-01-15/frame-000000000123.jpg".into();
    Sent {
        credentials: DeviceKey::from(key),
        call: Box::new(move || Call::new(serde_json::from_value(request.clone()).unwrap())),
        segments: &[],
    }
}

fn zstack_heartbeat(server: &Server) -> Sent<zstack::Heartbeat> {
    register(server, Vendor::ZStack, None, Some("a-1"));
    let token = wait(server.issue_tenant_key(DEFAULT_TENANT, Vendor::ZStack)).unwrap();
    Sent {
        credentials: BearerToken::from(token),
        call: Box::new(|| Call::with(AgentPath::new("a-1"), fixture("zstack/heartbeat/request.json"))),
        segments: &[("uuid", "a-1")],
    }
}

fn agentmc_heartbeat(server: &Server) -> Sent<agentmc::Heartbeat> {
    let key = register(server, Vendor::AgentMc, Some(42), None);
    Sent {
        credentials: ApiKey::from(key),
        call: Box::new(|| {
            Call::with(agentmc::HostFingerprint::default(), fixture("agentmc/heartbeat/request.json"))
        }),
        segments: &[],
    }
}

fn achilles_heartbeat(server: &Server) -> Sent<achilles::Heartbeat> {
    const ORIGIN: Origin<'static> =
        Origin { public_url: None, scheme: "http", host: "fleet.test", mount: "" };
    let hour = Duration::from_secs(3600);
    let token = wait(server.issue_token(DEFAULT_TENANT, Vendor::Achilles, hour, 1)).unwrap().1;
    let request = achilles::EnrollRequest::new(&*token, "ws-1", "linux".into(), "amd64".into(), "0.5.11");
    let (call, context) = (Call::<achilles::Enroll>::new(request), server.context(Still.now()));
    let data = wait(answer(&**server, (), &ORIGIN, call, &context)).unwrap().data;
    Sent {
        credentials: AgentCredentials::new(data.agent_id.clone(), data.key().unwrap().clone()),
        call: Box::new(|| Call::new(fixture("achilles/heartbeat/request.json"))),
        segments: &[],
    }
}

/// Every case, with what makes it ready.
pub(crate) fn cases() -> Vec<(String, Box<dyn Fn() -> Repeat>)> {
    let mut cases: Vec<(String, Box<dyn Fn() -> Repeat>)> = Vec::new();
    macro_rules! of {
        ($operation:ty, $sent:path, $vary:expr) => {{
            let mut case = |step: &str, ready: Box<dyn Fn() -> Repeat>| {
                cases.push((format!("{step} {}", <$operation as Endpoint>::ID), ready));
            };
            case("encode", Box::new(|| $sent(&start()).encode()));
            case("decode", Box::new(|| $sent(&start()).decode()));
            case("check", Box::new(|| $sent(&start()).check()));
            case(
                "request",
                Box::new(|| {
                    let server = start();
                    $sent(&server).request(server, $vary)
                }),
            );
        }};
    }
    of!(acusight::Checkin, acusight_checkin, None);
    of!(acusight::NotifyImage, notify_image, Some(("2024-01-15/frame-", 12)));
    of!(zstack::Heartbeat, zstack_heartbeat, None);
    of!(agentmc::Heartbeat, agentmc_heartbeat, None);
    of!(achilles::Heartbeat, achilles_heartbeat, None);
    cases
}
