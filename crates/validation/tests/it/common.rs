//! Requests as they stand on the wire, and what the rules say of them.

use std::path::Path;

use chrono::{DateTime, Utc};
use fleetwire_protocol::{Endpoint, Fault, Violation, Violations, codec, for_each_endpoint};
use fleetwire_validation::{Context, Side, Validate, check, lint};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

pub(crate) const FINGERPRINT: &str = "a3f56f330f311a2159f8c101eaf1439a29f1d57f007375d56aa79f304bc4f112";

/// The time of the example of Achilles's heartbeat.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-03-21T14:30:00Z".parse().unwrap()
}

/// A request of an operation.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) operation: &'static str,
    pub(crate) body: Value,
    pub(crate) fingerprint: Option<String>,
}

impl Sample {
    pub(crate) fn new(operation: &'static str, body: Value) -> Self {
        Self { operation, body, fingerprint: None }
    }

    /// The violations of a side, or the fault that reading it ends with.
    pub(crate) fn faults(&self, side: Side, context: &Context) -> Result<Vec<Violation>, Fault> {
        macro_rules! dispatch {
            ([] $($endpoint:path,)*) => {
                match self.operation {
                    $(id if id == <$endpoint as Endpoint>::ID => self.faults_of::<$endpoint>(side, context),)*
                    other => panic!("no operation {other}"),
                }
            };
        }
        for_each_endpoint!(dispatch!())
    }

    fn faults_of<E: Validate>(&self, side: Side, context: &Context) -> Result<Vec<Violation>, Fault> {
        let mut headers = HeaderMap::new();
        if let Some(fingerprint) = &self.fingerprint {
            headers.insert("X-Host-Fingerprint", HeaderValue::from_str(fingerprint).unwrap());
        }
        let call = codec::decode::<E>(|_| Some("some-id"), None, &headers, self.body.to_string().as_bytes())?;
        Ok(match side {
            Side::Accept => {
                check(call, context).map_or_else(|faults: Violations| faults.as_slice().to_vec(), |_| vec![])
            }
            Side::Emit => lint(&call, context),
        })
    }

    /// Places and rules of the violations at the usual time.
    pub(crate) fn broken(&self, side: Side) -> Vec<(String, &'static str)> {
        let faults = self.faults(side, &Context::at(now())).expect("it is read");
        faults.into_iter().map(|fault| (fault.place.to_string(), fault.rule)).collect()
    }

    /// Sets the value at a pointer, whose parent must be there.
    pub(crate) fn set(&mut self, pointer: &str, value: Value) {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        match self.body.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")) {
            Value::Object(members) => {
                members.insert(member.to_owned(), value);
            }
            Value::Array(elements) => elements[member.parse::<usize>().unwrap()] = value,
            other => panic!("{pointer}: {other}"),
        }
    }

    /// Takes the member at a pointer away.
    pub(crate) fn remove(&mut self, pointer: &str) {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        let members = self.body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        members.remove(member).unwrap_or_else(|| panic!("{pointer} was not there"));
    }
}

/// A request that keeps every rule of a side and has a value at every place that a rule names.
pub(crate) fn valid(operation: &str, side: Side) -> Sample {
    match operation {
        "acusight.checkin" => Sample::new(
            "acusight.checkin",
            json!({"device_id": "ABCD:1234", "pending_requests": [{"type": "a"}, {"type": "b", "payload": {}}]}),
        ),
        // An open object is filled up to its bounds: it begins empty.
        "acusight.device_checkin" => {
            Sample::new("acusight.device_checkin", json!({ "status": "healthy", "metrics": {} }))
        }
        "acusight.notify_image" => {
            let mut sample = Sample::new(
                "acusight.notify_image",
                json!({
                    "device_id": "ABCD:1234", "filename": "a.jpg", "storage_key": "raw-data/a.jpg",
                    "width": 640, "height": 480,
                    "annotations": [
                        {"class_value": "defect"},
                        {"class_value": "defect", "confidence": 0.5,
                         "x_center": 0.5, "y_center": 0.5, "width": 0, "height": 0},
                    ],
                }),
            );
            // Only a server knows the other shape.
            if side == Side::Accept {
                sample.set("/annotations/1/type", json!("bbox"));
                sample.set("/annotations/1/geometry", json!([0.52, 0.48, 0.2, 0.1]));
            }
            sample
        }
        "zstack.heartbeat" => zstack_example(),
        "agentmc.heartbeat" => {
            let mut sample = agentmc_example();
            for (pointer, value) in [
                ("/meta/runtime/mode", json!("openclaw")),
                ("/meta/models", json!(["a label", {}])),
                ("/meta/tokens_in", json!(77000)),
                ("/meta/tokens_out", json!(1800)),
                ("/meta/thinking_mode", json!("off")),
                ("/meta/cache_hit_rate_percent", json!(89)),
                ("/meta/cache_tokens_cached", json!(600_000)),
                ("/meta/cache_tokens_new", json!(0)),
                ("/meta/context_tokens_used", json!(76000)),
                ("/meta/context_tokens_max", json!(272_000)),
                ("/meta/context_percent_used", json!(28)),
                ("/meta/context_compactions", json!(0)),
                ("/meta/tool_availability", json!({})),
                ("/meta/usage_window_percent_left", json!(86)),
                ("/meta/usage_window_time_left", json!("3h 4m")),
                ("/meta/usage_day_percent_left", json!(24)),
                ("/meta/usage_day_time_left", json!("3d 16h")),
                ("/meta/queue_depth", json!(1)),
                ("/host/meta/cpu", json!({})),
                ("/agent/type", json!("codex")),
                ("/agent/identity", json!({})),
                ("/agent/emoji", json!("🤖")),
                ("/agent/meta", json!({})),
                (
                    "/agents",
                    json!([
                        {"name": "first", "identity": "somebody"},
                        {"id": 2, "name": "second", "type": "openclaw", "identity": {}, "emoji": "🦞", "meta": {}},
                    ]),
                ),
                (
                    "/host_runtime_updates",
                    json!([{"id": 1, "status": "failed"}, {"id": 2, "status": "completed", "result": {}}]),
                ),
            ] {
                sample.set(pointer, value);
            }
            sample
        }
        "achilles.enroll" => enroll_example(),
        "achilles.heartbeat" => {
            let mut sample = achilles_example();
            sample.set(
                "/reconnect_context",
                json!({"reason": "service_restart", "offline_duration_seconds": 200, "failure_count": 3}),
            );
            sample
        }
        "achilles.report_result" => {
            let control = json!({
                "control_id": "c1", "control_name": "n", "validator": "v", "exit_code": 0, "compliant": true,
                "severity": "low", "category": "c", "subcategory": "s", "techniques": [], "tactics": null,
                "expected": "e", "actual": "a", "details": "", "skipped": false, "error_message": "",
            });
            Sample::new(
                "achilles.report_result",
                json!({
                    "task_id": "t", "test_uuid": "b", "exit_code": 0, "stdout": "", "stderr": "",
                    "started_at": "2026-03-21T14:30:06Z", "completed_at": "2026-03-21T14:30:36Z",
                    "execution_duration_ms": 12.5, "binary_sha256": "",
                    "hostname": "h", "os": "linux", "arch": "amd64",
                    "bundle_results": {
                        "schema_version": "1", "bundle_id": "b", "bundle_name": "n", "bundle_category": "c",
                        "bundle_subcategory": "s", "execution_id": "e", "started_at": "", "completed_at": "",
                        "overall_exit_code": 0, "total_controls": 3, "passed_controls": 1,
                        "failed_controls": 1, "controls": [control, control, control],
                    },
                }),
            )
        }
        other => plain_fixture(other),
    }
}

/// The plain fixture of a request; nothing where there is none, since not every operation has a body.
fn plain_fixture(operation: &str) -> Sample {
    macro_rules! ids {
        ([] $($endpoint:path,)*) => { [$(<$endpoint as Endpoint>::ID),*] };
    }
    let id = for_each_endpoint!(ids!()).into_iter().find(|id| *id == operation).expect("an operation");
    let file = format!("../../fixtures/{}/request.json", operation.replace('.', "/"));
    let body = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    Sample::new(id, body.map_or(Value::Null, |body| serde_json::from_slice(&body).expect("JSON")))
}

/// The body of the source's curl.
pub(crate) fn zstack_example() -> Sample {
    let body = r#"{"version":"1.2.3","uptime":86400,"cpuUsage":12.5,"memUsage":35.2}"#;
    Sample::new("zstack.heartbeat", serde_json::from_str(body).unwrap())
}

/// The body of the source's example of a request.
pub(crate) fn agentmc_example() -> Sample {
    Sample::new(
        "agentmc.heartbeat",
        json!({
            "meta": {
                "type": "codex",
                "runtime": {"name": "openclaw", "version": "2026.2.26", "build": "bc50708", "mode": "openclaw"},
                "openclaw_version": "2026.2.26",
                "openclaw_build": "bc50708",
                "models": ["ðŸ¦ž OpenClaw 2026.2.26 (bc50708)", "openai/gpt-5-codex"],
                "node_version": "v22.14.0",
                "runtime_mode": "openclaw",
                "tool_availability": {
                    "chat_realtime": true, "files_realtime": true, "notifications_realtime": true
                },
            },
            "host": {
                "fingerprint": FINGERPRINT,
                "name": "worker-01",
                "meta": {
                    "hostname": "worker-01",
                    "ip": "10.0.2.15",
                    "network": {"private_ip": "10.0.2.15", "public_ip": "34.222.10.10"},
                    "os": "Ubuntu",
                    "os_version": "24.04",
                    "arch": "x86_64",
                    "cpu": "Intel Xeon",
                    "cpu_cores": 8,
                    "ram_gb": 32,
                    "disk": {"total_bytes": 536_870_912_000_u64, "free_bytes": 322_122_547_200_u64},
                    "uptime_seconds": 86400,
                    "runtime": {"name": "codex", "version": "2026.02.1"},
                },
            },
            "agent": {
                "id": 42,
                "name": "Jarvis",
                "identity": {"name": "Jarvis", "creature": "robot", "vibe": "calm"},
            },
        }),
    )
}

/// The body of the source's example of an enrolment.
pub(crate) fn enroll_example() -> Sample {
    Sample::new(
        "achilles.enroll",
        json!({
            "token": "enrollment-token-string", "hostname": "WORKSTATION-01", "os": "windows",
            "arch": "amd64", "agent_version": "1.0.0",
        }),
    )
}

/// The body of the source's example of a heartbeat, with a UUID in the place of `task-uuid-or-null`.
pub(crate) fn achilles_example() -> Sample {
    Sample::new(
        "achilles.heartbeat",
        json!({
            "timestamp": "2026-03-21T14:30:00Z",
            "status": "idle",
            "current_task": null,
            "system": {
                "hostname": "WORKSTATION-01", "os": "windows", "arch": "amd64", "uptime_seconds": 86400,
                "cpu_percent": 15, "memory_mb": 4096, "disk_free_mb": 50000, "process_cpu_percent": 2,
                "process_memory_mb": 25,
            },
            "agent_version": "0.5.11",
            "last_task_completed": "0c6a3c5e-7a4c-4b9f-8d0e-2f6f0f6d5b11",
            "reconnect_reason": "service_restart",
            "process_start_time": "2026-03-21T14:29:55Z",
        }),
    )
}
