use http::Method;
use serde::{Deserialize, Serialize};

use super::checkin::AnyCheckinResponse;
use super::{Acusight, DeviceAction, DeviceKeyAuth, ErrorBody, ErrorEnvelope, Meta};
use crate::wire::FreeMap;
use crate::{Documented, Endpoint, Json, Source};

/// `POST /device/checkin`: a device says how it is and gets the actions that wait for it.
///
/// It names no device: the key does.
///
/// Source: none of the documents; the vendor's page "Device health check-in".
#[derive(Debug, Clone, Copy)]
pub struct DeviceCheckin;

impl Endpoint for DeviceCheckin {
    type Vendor = Acusight;
    type Auth = DeviceKeyAuth;
    type Params = ();
    type Request = Json<DeviceCheckinRequest>;
    type Reply = Json<DeviceCheckinResponse>;
    type Error = ErrorEnvelope;
    const ID: &'static str = "acusight.device_checkin";
    const SUMMARY: &'static str = "A device says how it is and gets the actions that wait for it";
    const TAG: &'static str = "Devices & provisioning";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/device/checkin";
    const ALIASES: &'static [&'static str] = &["/core/device/checkin"];
    const SOURCE: Source = Source::new("acusight-device-health-check-in", "#/paths/~1device~1checkin/post");
    const COMPANION: bool = true;
    const FAILURES: &'static [Documented] = &[];
}

/// How a device is. Nothing in it is required.
///
/// Origin: the vendor's page "Device health check-in", `#/components/schemas/handlers.DeviceCheckinRequest`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "handlers.DeviceCheckinRequest")
)]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct DeviceCheckinRequest {
    /// What the device measures of itself, under any names: numbers in the examples, any JSON in what is allowed
    /// (AC-7). Optional.
    ///
    /// Origin: `handlers.DeviceCheckinRequest.metrics`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<FreeMap>,
    /// How it is. Optional.
    ///
    /// Origin: `handlers.DeviceCheckinRequest.status`, words in prose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<DeviceHealth>,
}

crate::open_enum! {
    /// How a device is. Origin: the vendor's page "Device check-in", `status`, words in prose.
    pub enum DeviceHealth {
        /// As it should be.
        Healthy = "healthy",
        /// Not quite.
        Degraded = "degraded",
        /// Something is broken.
        Error = "error",
    }
}

/// The answer to a device's check-in. Nothing in it is required; the vendor's other check-in answers without the
/// envelope, and its actions are read from there, too (AC-1).
///
/// Origin: the vendor's page "Device health check-in", response 200.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[serde(from = "AnyCheckinResponse")]
#[non_exhaustive]
pub struct DeviceCheckinResponse {
    /// What was asked for. Always written.
    ///
    /// Origin: `data`.
    pub data: DeviceActions,
    /// What went wrong. Read, never written by our server.
    ///
    /// Origin: `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// Which part of a list it is. Read, never written by our server.
    ///
    /// Origin: `meta`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
    /// Whether the check-in was taken; the status decides.
    ///
    /// Origin: `success`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
}

/// The actions that wait for a device.
///
/// Origin: the vendor's page "Device health check-in", response 200, `data`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct DeviceActions {
    /// The actions. Not required: absent and null mean none (AC-8). Always written.
    ///
    /// Origin: `data.actions`.
    pub actions: Vec<DeviceAction>,
}

impl From<AnyCheckinResponse> for DeviceCheckinResponse {
    fn from(answer: AnyCheckinResponse) -> Self {
        let (actions, success, error, meta) = answer.into_parts();
        Self { data: DeviceActions { actions }, error, meta, success }
    }
}

impl DeviceCheckinResponse {
    /// A taken check-in with its actions.
    #[must_use]
    pub fn new(actions: Vec<DeviceAction>) -> Self {
        Self { data: DeviceActions { actions }, error: None, meta: None, success: Some(true) }
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(DeviceCheckinRequest, DeviceCheckinResponse, DeviceActions);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::from_json;

    #[test]
    fn actions_are_read_with_and_without_the_envelope() {
        let read = |text: &str| from_json::<DeviceCheckinResponse>(text.as_bytes()).unwrap();
        let enveloped = read(r#"{"success":true,"data":{"actions":[{"id":7}]},"meta":{"count":1}}"#);
        assert_eq!((enveloped.data.actions.len(), enveloped.meta.unwrap().count), (1, Some(1)));
        assert_eq!(read(r#"{"pending_actions":[{"id":7}]}"#).data.actions, enveloped.data.actions);
        for none in ["{}", r#"{"data":null}"#, r#"{"data":{"actions":null}}"#, r#"{"pending_actions":null}"#]
        {
            assert!(read(none).data.actions.is_empty(), "{none}");
        }
    }
}
