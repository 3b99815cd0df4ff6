use http::Method;
use serde::{Deserialize, Serialize};

use super::{Acusight, DeviceId, DeviceKeyAuth, ErrorBody, ErrorMap, Meta, ModelId};
use crate::wire::{FreeMap, IntOrText, JsonText, Timestamp, null_as_default};
use crate::{Documented, Endpoint, Json, Source};

/// `POST /core/agent/checkin`: a device reports in and gets the actions that wait for it.
///
/// Source: `acusight-agent-heartbeat`.
#[derive(Debug, Clone, Copy)]
pub struct Checkin;

impl Endpoint for Checkin {
    type Vendor = Acusight;
    type Auth = DeviceKeyAuth;
    type Params = ();
    type Request = Json<CheckinRequest>;
    type Reply = Json<CheckinResponse>;
    type Error = ErrorMap;
    const ID: &'static str = "acusight.checkin";
    const SUMMARY: &'static str = "A device reports in and gets the actions that wait for it";
    const TAG: &'static str = "Devices & provisioning";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/core/agent/checkin";
    const SOURCE: Source = Source::new("acusight-agent-heartbeat", "#/paths/~1core~1agent~1checkin/post");
    const FAILURES: &'static [Documented] = &[
        Documented::new(400, "The payload does not have the documented form"),
        Documented::new(404, "The device is not registered"),
        Documented::new(500, "The heartbeat could not be stored"),
    ];
}

/// What a device says of itself.
///
/// Origin: `acusight-agent-heartbeat`, `#/components/schemas/handlers.CheckinRequest`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "handlers.CheckinRequest"))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct CheckinRequest {
    /// The device. Required; the key must belong to it.
    ///
    /// Origin: `handlers.CheckinRequest.device_id`.
    pub device_id: DeviceId,
    /// The model that the device runs. Optional: absent means unknown, not none.
    ///
    /// Origin: `handlers.CheckinRequest.current_model_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_model_id: Option<ModelId>,
    /// LAN address of the device, for live streaming. Optional, free text: no format is given.
    ///
    /// Origin: `handlers.CheckinRequest.ip_address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// What the device asks of the server. Optional: absent and null mean none.
    ///
    /// Origin: `handlers.CheckinRequest.pending_requests`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "crate::wire::schema::NullAsDefault<Vec<DeviceRequest>>")
    )]
    pub pending_requests: Vec<DeviceRequest>,
    /// How the device is. Optional; the source lists no words.
    ///
    /// Origin: `handlers.CheckinRequest.status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

impl CheckinRequest {
    /// A check-in that says nothing but who reports.
    pub fn new(device_id: impl Into<DeviceId>) -> Self {
        Self {
            device_id: device_id.into(),
            current_model_id: None,
            ip_address: None,
            pending_requests: Vec::new(),
            status: None,
        }
    }
}

/// Something that a device asks of the server.
///
/// Origin: `acusight-agent-heartbeat`, `#/components/schemas/handlers.DeviceRequest`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "handlers.DeviceRequest"))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct DeviceRequest {
    /// What is asked for. Optional; the source lists no words.
    ///
    /// Origin: `handlers.DeviceRequest.type`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its particulars. Optional, an open object.
    ///
    /// Origin: `handlers.DeviceRequest.payload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<FreeMap>,
}

/// The answer to a check-in.
///
/// The vendor's other check-in puts the actions into an envelope, `data.actions`; they are read from there too
/// (AC-1).
///
/// Origin: `acusight-agent-heartbeat`, `#/components/schemas/handlers.CheckinResponse`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "handlers.CheckinResponse"))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[serde(from = "AnyCheckinResponse")]
#[non_exhaustive]
pub struct CheckinResponse {
    /// The actions that wait for the device. Not required: absent and null mean none (AC-8). Always written.
    ///
    /// Origin: `handlers.CheckinResponse.pending_actions`.
    pub pending_actions: Vec<DeviceAction>,
    /// Whether the check-in was taken. Not required; the status decides.
    ///
    /// Origin: `handlers.CheckinResponse.success`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
}

/// Either shape of the answer to a check-in.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct AnyCheckinResponse {
    /// The actions that wait for the device.
    #[serde(default, deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::NullAsDefault<Vec<DeviceAction>>"))]
    pending_actions: Vec<DeviceAction>,
    /// Whether the check-in was taken; the status decides.
    #[serde(default)]
    success: Option<bool>,
    /// The envelope of the vendor's other check-in (AC-1).
    #[serde(default)]
    data: Option<EnvelopedActions>,
    /// What went wrong, in that envelope.
    #[serde(default)]
    error: Option<ErrorBody>,
    /// Which part of a list it is, in that envelope.
    #[serde(default)]
    meta: Option<Meta>,
}

/// The envelope of the vendor's other check-in.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct EnvelopedActions {
    /// The actions that wait for the device.
    #[serde(default, deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::NullAsDefault<Vec<DeviceAction>>"))]
    actions: Vec<DeviceAction>,
}

impl AnyCheckinResponse {
    /// The actions from wherever they stand, and what stands around them.
    pub(super) fn into_parts(self) -> (Vec<DeviceAction>, Option<bool>, Option<ErrorBody>, Option<Meta>) {
        let mut actions = self.pending_actions;
        actions.extend(self.data.map(|data| data.actions).unwrap_or_default());
        (actions, self.success, self.error, self.meta)
    }
}

impl From<AnyCheckinResponse> for CheckinResponse {
    fn from(answer: AnyCheckinResponse) -> Self {
        let (pending_actions, success, ..) = answer.into_parts();
        Self { pending_actions, success }
    }
}

impl CheckinResponse {
    /// A taken check-in with its actions.
    #[must_use]
    pub fn new(pending_actions: Vec<DeviceAction>) -> Self {
        Self { pending_actions, success: Some(true) }
    }
}

/// Something that a device is to do. Nothing in it is required.
///
/// Origin: `acusight-agent-heartbeat`, `#/components/schemas/models.DeviceAction`; `payload` from older pages
/// of the vendor (AC-3).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "models.DeviceAction"))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct DeviceAction {
    /// The action's id: an integer, at older servers a string (AC-3).
    ///
    /// Origin: `models.DeviceAction.id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::wire::schema::IntReadFromText>"))]
    // The text is read and never written.
    #[cfg_attr(
        feature = "arbitrary",
        proptest(
            strategy = "proptest::option::of(proptest::strategy::Strategy::prop_map(proptest::arbitrary::any::<i64>(), IntOrText::Int))"
        )
    )]
    pub id: Option<IntOrText>,
    /// The device meant.
    ///
    /// Origin: `models.DeviceAction.device_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    /// What to do.
    ///
    /// Origin: `models.DeviceAction.type`, word in prose.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ActionKind>,
    /// How far it is.
    ///
    /// Origin: `models.DeviceAction.status`, words in prose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ActionStatus>,
    /// The model to run.
    ///
    /// Origin: `models.DeviceAction.model_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<ModelId>,
    /// Its name.
    ///
    /// Origin: `models.DeviceAction.model_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    /// Its version.
    ///
    /// Origin: `models.DeviceAction.version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where its file is: a presigned address.
    ///
    /// Origin: `models.DeviceAction.download_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_url: Option<String>,
    /// The ending of its file.
    ///
    /// Origin: `models.DeviceAction.file_ext`, words in prose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_ext: Option<FileExt>,
    /// The names of its classes: a string, probably with JSON in it.
    ///
    /// Origin: `models.DeviceAction.label_map`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_map: Option<JsonText>,
    /// When it was made. No format is given.
    ///
    /// Origin: `models.DeviceAction.created_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When it last changed. No format is given.
    ///
    /// Origin: `models.DeviceAction.updated_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// When it was done. No format is given.
    ///
    /// Origin: `models.DeviceAction.completed_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Particulars of the kinds other than `model_update`, which has members of its own for them.
    ///
    /// Origin: the vendor's older check-in page (AC-3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<FreeMap>,
}

crate::open_enum! {
    /// What an action asks for. Origin: prose of `models.DeviceAction.type`.
    pub enum ActionKind {
        /// Fetch and run another model.
        ModelUpdate = "model_update",
    }
}

crate::open_enum! {
    /// How far an action is. Origin: prose of `models.DeviceAction.status`.
    pub enum ActionStatus {
        /// Not done yet.
        Pending = "pending",
        /// Done.
        Completed = "completed",
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(CheckinRequest, DeviceRequest, CheckinResponse, DeviceAction);

crate::open_enum! {
    /// The ending of a model's file. Origin: prose of `models.DeviceAction.file_ext`.
    pub enum FileExt {
        /// PyTorch.
        Pt = ".pt",
        /// ONNX.
        Onnx = ".onnx",
        /// TensorFlow Lite.
        Tflite = ".tflite",
        /// Synaptics.
        Synap = ".synap",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::from_json;

    #[test]
    fn actions_are_read_from_the_envelope_of_the_other_check_in() {
        let enveloped = br#"{"success":true,"data":{"actions":[{"id":7,"type":"model_update"}]}}"#;
        let plain = br#"{"success":true,"pending_actions":[{"id":7,"type":"model_update"}]}"#;
        let read = |text: &[u8]| from_json::<CheckinResponse>(text).unwrap();
        assert_eq!(read(enveloped), read(plain));
        assert_eq!(read(enveloped).pending_actions.len(), 1);
        for none in [&br#"{"data":null}"#[..], br#"{"data":{}}"#, br#"{"data":{"actions":null}}"#] {
            assert!(read(none).pending_actions.is_empty());
        }
    }
}
