//! Credentials: what each vendor's agents send, and what a server makes of what arrives.

use chrono::{DateTime, Utc};
use fleetwire_protocol::achilles::{Achilles, AgentAuth, AgentCredentials, AgentKey, EnrollmentToken};
use fleetwire_protocol::acusight::{DeviceKey, DeviceKeyAuth};
use fleetwire_protocol::agentmc::{ApiKey, ApiKeyAuth};
use fleetwire_protocol::codec::{self, EncodeError};
use fleetwire_protocol::zstack::{BearerAuth, BearerToken};
use fleetwire_protocol::{Auth, Call, Fault, Vendor, achilles};
use http::{HeaderMap, HeaderName, HeaderValue};

const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_774_103_400_120_000_000);
const KEY: (&str, &str) = ("x-agent-key", "ak_00ff");
const BEARER: (&str, &str) = ("authorization", "Bearer ak_00ff");
const ID: (&str, &str) = ("x-agent-id", "agent-1");
const TIME: (&str, &str) = ("x-request-timestamp", "2026-03-21T14:30:00Z");

fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    list.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
}

fn agent(list: &[(&'static str, &'static str)]) -> Result<AgentCredentials, Fault> {
    AgentAuth::extract(&headers(list)).map(|presented| presented.credentials)
}

#[test]
fn achilles_agent_signs_in_with_either_header_or_with_both() {
    let expected = Ok(AgentCredentials::new("agent-1", "ak_00ff"));
    assert_eq!(agent(&[KEY, ID, TIME]), expected);
    assert_eq!(agent(&[BEARER, ID, TIME]), expected);
    assert_eq!(agent(&[KEY, BEARER, ID, TIME]), expected);
}

#[test]
fn achilles_agent_with_two_keys_is_refused() {
    let other = ("authorization", "Bearer ak_11ee");
    assert_eq!(agent(&[KEY, other, ID, TIME]), Err(Fault::Unauthenticated));
    // A second key that cannot be read is not taken for the same one.
    for garbled in ["ak_00ff", "bearer ak_00ff", "Bearer ", "Bearer ak_00ff x", "Basic YTpi"] {
        assert_eq!(
            agent(&[KEY, ("authorization", garbled), ID, TIME]),
            Err(Fault::Unauthenticated),
            "{garbled}"
        );
        assert_eq!(agent(&[("authorization", garbled), ID, TIME]), Err(Fault::Unauthenticated), "{garbled}");
    }
}

#[test]
fn achilles_agent_without_key_id_or_time_is_refused() {
    for list in [&[ID, TIME][..], &[KEY, TIME], &[KEY, ID], &[BEARER, TIME], &[BEARER, ID], &[]] {
        assert_eq!(agent(list), Err(Fault::Unauthenticated), "{list:?}");
    }
}

#[test]
fn achilles_time_has_a_zone_or_is_sql_text_and_no_epoch() {
    let at = |text| {
        AgentAuth::extract(&headers(&[KEY, ID, ("x-request-timestamp", text)])).map(|seen| seen.timestamp)
    };
    let second = DateTime::from_timestamp(1_774_103_400, 0).unwrap();
    assert_eq!(at("2026-03-21T14:30:00Z"), Ok(second));
    assert_eq!(at("2026-03-21T16:30:00+02:00"), Ok(second));
    assert_eq!(at("2026-03-21 14:30:00"), Ok(second));
    assert_eq!(at("2026-03-21T14:30:00.120000000Z"), Ok(NOW));
    for text in [
        "1774103400",
        "1774103400000",
        "",
        "now",
        "2026-03-21",
        "2026-03-21T14:30:00",
        "2026-02-30T00:00:00Z",
    ] {
        assert_eq!(at(text), Err(Fault::Unauthenticated), "{text:?}");
    }
}

#[test]
fn credentials_that_a_client_attaches_are_those_that_a_server_finds() {
    fn round<A: Auth>(credentials: &A::Credentials) -> HeaderMap {
        let mut headers = HeaderMap::new();
        A::attach(credentials, NOW, &mut headers).unwrap();
        headers
    }
    let device = DeviceKey::new("adk_00ff");
    assert_eq!(DeviceKeyAuth::extract(&round::<DeviceKeyAuth>(&device)), Ok(device));
    let token = BearerToken::new("zsk_00ff");
    assert_eq!(BearerAuth::extract(&round::<BearerAuth>(&token)), Ok(token));
    let host = ApiKey::new("cc_00ff");
    assert_eq!(ApiKeyAuth::extract(&round::<ApiKeyAuth>(&host)), Ok(host));

    let agent = AgentCredentials::new("agent-1", "ak_00ff");
    let sent = round::<AgentAuth>(&agent);
    assert_eq!(sent["x-request-timestamp"], "2026-03-21T14:30:00Z");
    assert!(sent["x-agent-key"].is_sensitive() && sent["authorization"].is_sensitive());
    assert!(!sent["x-agent-id"].is_sensitive());
    assert_eq!(AgentAuth::extract(&sent).unwrap().credentials, agent);
}

#[test]
fn missing_credentials_are_the_same_fault_at_every_vendor() {
    let none = HeaderMap::new();
    assert_eq!(DeviceKeyAuth::extract(&none), Err(Fault::Unauthenticated));
    assert_eq!(BearerAuth::extract(&none), Err(Fault::Unauthenticated));
    assert_eq!(ApiKeyAuth::extract(&none), Err(Fault::Unauthenticated));
}

#[test]
fn achilles_hides_its_routes_from_strangers() {
    assert_eq!(Achilles::unrouted(&HeaderMap::new()), Fault::Unauthenticated);
    assert_eq!(Achilles::unrouted(&headers(&[KEY, ID, TIME])), Fault::NoRoute);
}

#[test]
fn key_that_would_not_arrive_as_it_is_is_not_sent() {
    for key in ["ak_00\r\nX-Admin: 1", "ak_00\n", "ak_00\0", "ak_00é", "ak_00 ", "\tak_00"] {
        let credentials = AgentCredentials::new("agent-1", key);
        let call = Call::<achilles::PollTasks>::new(());
        let sent = codec::encode::<achilles::PollTasks>("http://h", &credentials, NOW, &call);
        let Err(error @ EncodeError::Header("X-Agent-Key")) = sent else { panic!("{key:?}: {sent:?}") };
        assert!(!error.to_string().contains("ak_00"));
    }
}

#[test]
fn debug_of_a_secret_shows_its_prefix_only() {
    assert_eq!(format!("{:?}", DeviceKey::new("adk_00ff")), "DeviceKey(adk_…)");
    assert_eq!(format!("{:?}", BearerToken::new("zsk_00ff")), "BearerToken(zsk_…)");
    assert_eq!(format!("{:?}", ApiKey::new("cc_00ff")), "ApiKey(cc_…)");
    assert_eq!(format!("{:?}", AgentKey::new("ak_00ff")), "AgentKey(ak_…)");
    assert_eq!(format!("{:?}", EnrollmentToken::new("acht_00ff")), "EnrollmentToken(acht_…)");
    // Not even when it has no prefix.
    assert_eq!(format!("{:?}", AgentKey::new("00ff")), "AgentKey(ak_…)");
}
