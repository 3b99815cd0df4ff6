use chrono::{DateTime, Utc};
use fleetwire_protocol::Call;
use fleetwire_protocol::acusight::{
    Checkin, CheckinRequest, CheckinResponse, DeviceKey, Enveloped, Provision, ProvisionData,
    ProvisionRequest,
};
use fleetwire_protocol::codec::EncodeError;

use super::{ACUSIGHT_CHECKIN, Agent, FollowUp, Templates, VERSION, contains, is_plain};
use crate::load::template::{Base, mark, marked, written};

pub(super) fn enrolment(
    base: &Base,
    token: &str,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, EncodeError> {
    let mut request = ProvisionRequest::new(token, name);
    request.device_info.name = Some(name.to_owned());
    request.device_info.agent_version = Some(VERSION.to_owned());
    request.device_info.ip_address = Some(ADDRESS.to_owned());
    written(base, &(), now, &Call::<Provision>::new(request))
}

/// All of them are told to be on one machine of a network that is for examples.
const ADDRESS: &str = "192.0.2.1";

pub(super) fn enrolled(name: &str, body: &[u8]) -> Option<Agent> {
    let reply: Enveloped<ProvisionData> = serde_json::from_slice(body).ok()?;
    let data = reply.data?;
    let id = data.device_id.or(data.endpoint_id);
    let key = data.api_key?;
    Some(Agent::new(name, id.as_ref().map_or(name, |id| id.as_str()), key.expose()))
}

pub(super) fn templates(base: &Base) -> Result<Templates, EncodeError> {
    let mut request = CheckinRequest::new(mark::ID);
    request.ip_address = Some(ADDRESS.to_owned());
    request.status = Some("healthy".to_owned());
    let key = DeviceKey::from(mark::KEY);
    let plain = marked(base, &key, &Call::<Checkin>::new(request.clone()))?;
    request.current_model_id = Some(mark::MODEL.into());
    let told = Some(marked(base, &key, &Call::<Checkin>::new(request))?);
    Ok(Templates { operation: ACUSIGHT_CHECKIN, plain, told, poll: None })
}

/// A model that the device is to run: it does from the next check-in on.
pub(super) fn told(agent: &Agent, body: &[u8]) -> Option<FollowUp> {
    if !contains(body, b"model_id") {
        return None;
    }
    let answer: CheckinResponse = serde_json::from_slice(body).ok()?;
    // A text that JSON would escape does not fit a template; such a model is left alone.
    let models = answer.pending_actions.iter().filter_map(|action| action.model_id.as_ref());
    let model = models.map(|model| model.as_str()).rfind(|model| is_plain(model))?;
    (*model != *agent.model).then(|| FollowUp { model: Some(model.into()), ..FollowUp::default() })
}
