use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use fleetwire_protocol::acusight::{
    ActionStatus, Checkin, DeviceAction, DeviceCheckin, DeviceId, DeviceInfo, DeviceKey, DeviceKeyAuth,
    ImageNotificationRequest, NotifyImage, Provision, ProvisionData, ProvisionRequest, ProvisioningToken,
};
use fleetwire_protocol::codec::{self, EncodeError};
use fleetwire_protocol::wire::IntOrText;
use fleetwire_protocol::{Call, Endpoint};
use http::{Request, Response};

use super::{Identity, Report};
use crate::address;
use crate::agent::{
    Answer, Dialect, Ended, Never, Progress, Secret, Signing, Step, Stream, Taken, Trouble, TroubleKind,
    code_of, read_reply,
};

/// Acusight's dialect.
#[derive(Clone)]
pub struct Acusight {
    base: String,
    who: Who,
}

#[derive(Clone)]
enum Who {
    Known { device: DeviceId, key: Secret },
    Newcomer { token: ProvisioningToken, device: DeviceInfo },
}

/// What the id of an action begins with that has none of its own.
const NAMELESS: &str = "? ";

impl Acusight {
    /// A device that has its key, at the server of this base address, which has no slash at its end.
    pub fn new(base: impl Into<String>, device: impl Into<DeviceId>, key: impl Into<DeviceKey>) -> Self {
        let key = Secret::new(key.into().expose());
        Self { base: base.into(), who: Who::Known { device: device.into(), key } }
    }

    /// A device that trades a token for its key.
    pub fn newcomer(base: impl Into<String>, token: ProvisioningToken, device: DeviceInfo) -> Self {
        Self { base: base.into(), who: Who::Newcomer { token, device } }
    }

    pub(crate) const fn newcomer_mut(&mut self) -> Option<&mut DeviceInfo> {
        match &mut self.who {
            Who::Newcomer { device, .. } => Some(device),
            Who::Known { .. } => None,
        }
    }

    fn encode<E: Endpoint<Auth = DeviceKeyAuth>>(
        &self,
        signing: &Signing<'_, Self>,
        call: &Call<E>,
    ) -> Result<Request<Bytes>, EncodeError> {
        let (Some(identity), Some(key)) = (signing.identity, signing.key) else {
            return Err(EncodeError::Header("X-Device-Key"));
        };
        let base = identity.base.as_deref().unwrap_or(&self.base);
        codec::encode(base, &DeviceKey::new(key.expose()), signing.now, call)
    }

    /// The address to report to, if one was told and is no worse than the one that it was told at.
    fn told_base(&self, data: &ProvisionData) -> Option<String> {
        let told = address::base(&data.base()?).ok()?;
        let is_worse = self.base.starts_with("https://") && !told.starts_with("https://");
        (!is_worse && told != self.base).then_some(told)
    }
}

impl Dialect for Acusight {
    type Identity = Identity;
    type Applicant = DeviceInfo;
    type Report = Report;
    type Work = DeviceAction;
    type Outcome = ();
    type Message = ImageNotificationRequest;
    type Update = Never;
    type Instructions = Never;

    const VENDOR: &'static str = "acusight";
    const HEARTBEAT: Duration = Duration::from_secs(30);

    fn provisioned(&self) -> Option<(Identity, Secret)> {
        match &self.who {
            Who::Known { device, key } => {
                Some((Identity { device: device.clone(), base: None }, key.clone()))
            }
            Who::Newcomer { .. } => None,
        }
    }

    fn applicant(&self) -> Option<DeviceInfo> {
        match &self.who {
            Who::Known { .. } => None,
            Who::Newcomer { device, .. } => Some(device.clone()),
        }
    }

    #[cfg(feature = "host-facts")]
    fn report(&self, facts: &crate::host::Facts) -> Option<Report> {
        Some(Report::Agent(facts.into()))
    }

    fn introduce(&mut self, _: &Report) -> Option<Duration> {
        None
    }

    fn request(&self, step: &Step<Self>, signing: &Signing<'_, Self>) -> Result<Request<Bytes>, EncodeError> {
        match (step, &self.who) {
            (Step::Enroll(device), Who::Newcomer { token, .. }) => {
                let mut body = ProvisionRequest::new(token.clone(), device.device_id.clone());
                body.device_info = device.clone();
                codec::encode(&self.base, &(), signing.now, &Call::<Provision>::new(body))
            }
            (Step::Beat(beat), _) => match &beat.report {
                Report::Agent(report) => {
                    let mut report = report.clone();
                    if let Some(identity) = signing.identity {
                        report.device_id = identity.device.clone();
                    }
                    self.encode(signing, &Call::<Checkin>::new(report))
                }
                // It names no device: the key does.
                Report::Device(report) => self.encode(signing, &Call::<DeviceCheckin>::new(report.clone())),
            },
            (Step::Deliver { message, .. }, _) => {
                self.encode(signing, &Call::<NotifyImage>::new(message.clone()))
            }
            // The machine takes none of these steps: the dialect says that it has none of them.
            (Step::Enroll(_) | Step::Instruct | Step::Poll | Step::CheckUpdate { .. }, _) => {
                Err(EncodeError::Header("X-Device-Key"))
            }
        }
    }

    fn read(&self, step: &Step<Self>, response: &Response<Bytes>) -> Result<Answer<Self>, Trouble> {
        let mut work = match step {
            Step::Enroll(device) => return self.read_provision(device, response),
            Step::Deliver { .. } => {
                read_reply::<NotifyImage>(response)?;
                return Ok(Answer::Delivered);
            }
            Step::Beat(beat) => match &beat.report {
                Report::Agent(_) => read_reply::<Checkin>(response)?.pending_actions,
                Report::Device(_) => read_reply::<DeviceCheckin>(response)?.data.actions,
            },
            Step::Instruct | Step::Poll | Step::CheckUpdate { .. } => {
                return Err(Trouble::foreign(response, "nothing was asked for"));
            }
        };
        work.retain(|action| action.status != Some(ActionStatus::Completed));
        Ok(Answer::Taken(Taken { work, ..Taken::default() }))
    }

    fn work_id(action: &DeviceAction) -> String {
        match &action.id {
            Some(IntOrText::Int(id)) => id.to_string(),
            Some(IntOrText::Text(id)) => id.clone(),
            // Nothing in an action is required: one without an id is known by what it asks for.
            None => {
                let model = action.model_id.as_ref().map_or("", |model| model.as_str());
                format!("{NAMELESS}{} {model}", Self::work_kind(action))
            }
        }
    }

    fn is_unique(id: &str) -> bool {
        !id.starts_with(NAMELESS)
    }

    fn work_kind(action: &DeviceAction) -> &str {
        action.kind.as_ref().map_or("", |kind| kind.as_str())
    }

    fn work_timeout(_: &DeviceAction) -> Option<Duration> {
        None
    }

    fn progress(&self, _: &Identity, _: &DeviceAction, _: Progress) -> Option<ImageNotificationRequest> {
        None
    }

    // The source has no word for the end of an action: the next check-in says which model the device runs.
    fn ended(&self, _: &Identity, _: &DeviceAction, _: &Ended<()>) -> Option<ImageNotificationRequest> {
        None
    }

    fn stream(_: &ImageNotificationRequest) -> Stream {
        Stream::Notification
    }

    fn ends_work(_: &ImageNotificationRequest) -> Option<&str> {
        None
    }
}

impl Acusight {
    fn read_provision(
        &self,
        device: &DeviceInfo,
        response: &Response<Bytes>,
    ) -> Result<Answer<Self>, Trouble> {
        let reply =
            read_reply::<Provision>(response).map_err(|trouble| explain(device, trouble, response))?;
        let data = reply.data.unwrap_or_default();
        let base = self.told_base(&data);
        let key = data.api_key.ok_or_else(|| Trouble::foreign(response, "a provisioning without a key"))?;
        let device = data.device_id.or(data.endpoint_id).unwrap_or_else(|| device.device_id.clone());
        let identity = Identity { device, base };
        Ok(Answer::Enrolled { identity, key: Secret::new(key.expose()), poll: None })
    }
}

/// A device that is registered already is not provisioned again by asking again: says what helps.
fn explain(device: &DeviceInfo, trouble: Trouble, response: &Response<Bytes>) -> Trouble {
    let TroubleKind::Refused(_, status) = trouble.kind else { return trouble };
    if code_of::<Provision>(response).as_deref() != Some("DEVICE_EXISTS") {
        return trouble;
    }
    let text = format!(
        "{}. Device {:?} has a key already: give the agent the state folder that holds it, or have an operator \
         remove the device or make it a new key",
        trouble.text,
        device.device_id.as_str()
    );
    Trouble { kind: TroubleKind::Taken(status), text, ..trouble }
}

impl fmt::Debug for Acusight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = match &self.who {
            Who::Known { device, .. } => device,
            Who::Newcomer { device, .. } => &device.device_id,
        };
        f.debug_struct("Acusight").field("base", &self.base).field("device", device).finish_non_exhaustive()
    }
}
