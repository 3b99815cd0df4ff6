//! Path parameters: whatever an id holds, it stays one segment and comes out as it went in.

use chrono::{DateTime, Utc};
use fleetwire_protocol::codec::{self, EncodeError};
use fleetwire_protocol::zstack::{AgentPath, BearerToken, Heartbeat, HeartbeatRequest};
use fleetwire_protocol::{Call, Fault, Place};
use http::HeaderMap;

const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_774_103_400_000_000_000);

fn call(id: &str) -> Call<Heartbeat> {
    Call::with(AgentPath::new(id), HeartbeatRequest::new("1.2.3", 86400, 12.5, 35.2))
}

fn encode(id: &str) -> Result<String, EncodeError> {
    let token = BearerToken::new("zsk_00ff");
    codec::encode::<Heartbeat>("http://h", &token, NOW, &call(id)).map(|r| r.uri().path().to_owned())
}

#[test]
fn id_stays_one_segment_whatever_it_holds() {
    for id in
        ["a/b", "%", "%2F", "a b", "ü", "🤖", "a?b=c#d", "{uuid}", "...", ".. ", "\n\0", "a+b;c&d", "\\"]
    {
        let path = encode(id).unwrap();
        let segments: Vec<_> = path.split('/').collect();
        assert_eq!(segments.len(), 6, "{path}");
        let read = codec::decode::<Heartbeat>(
            |name| (name == "uuid").then_some(segments[4]),
            None,
            &HeaderMap::new(),
            br#"{"version":"1.2.3","uptime":86400,"cpuUsage":12.5,"memUsage":35.2}"#,
        );
        assert_eq!(read.unwrap().params.uuid.as_str(), id);
    }
}

#[test]
fn id_that_would_name_another_path_is_not_sent() {
    for id in ["", ".", ".."] {
        assert!(matches!(encode(id), Err(EncodeError::Path("uuid"))), "{id:?}");
    }
}

#[test]
fn segment_that_is_not_utf8_is_a_missing_parameter() {
    let read = codec::decode::<Heartbeat>(|_| Some("%FF"), None, &HeaderMap::new(), b"{}");
    let Err(Fault::Invalid(violations)) = read else { panic!("it is read") };
    let [violation] = violations.as_slice() else { panic!("{violations:?}") };
    assert_eq!((&violation.place, violation.rule), (&Place::Path("uuid"), "param.required"));
}
