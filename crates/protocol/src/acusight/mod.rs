//! Acusight: edge devices that run vision models.
//!
//! Sources: `acusight-agent-heartbeat` and `acusight-image-notify`, two OpenAPI 3.0 fragments; the names of
//! the components are theirs (`handlers.CheckinRequest`, `models.DeviceAction`).
//!
//! # Quirks: do not spread
//! * No status 401 is documented although a key is required; we answer 401 in the flat envelope.
//! * Nothing in an action or an annotation is required, and a Go server sends null for an empty list.
//! * An action's id is an integer here and a string on older pages (AC-3).
//! * A device that the key does not cover is 404 on check-in and 400 on notify.
//! * The two source operations answer bare and fail with a flat map. Provisioning, the device's own check-in and
//!   `device/self`, known from the vendor's other pages, do both in an envelope (AC-1, AC-4).
//! * Those three stand under `/core` as well (AC-2).
//!
//! ```
//! use fleetwire_protocol::acusight::{ActionKind, CheckinRequest, CheckinResponse};
//!
//! let mut request = CheckinRequest::new("ABCD:1234");
//! request.status = Some("healthy".to_owned());
//! assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"device_id":"ABCD:1234","status":"healthy"}"#);
//!
//! let answer = r#"{"pending_actions":[{"id":7,"type":"model_update"},{"type":"reboot"}],"success":true}"#;
//! let answer: CheckinResponse = serde_json::from_str(answer).unwrap();
//! assert_eq!(answer.pending_actions[0].kind, Some(ActionKind::ModelUpdate));
//! // A word that no source lists is kept.
//! assert_eq!(answer.pending_actions[1].kind.as_ref().map(ActionKind::as_str), Some("reboot"));
//! ```

mod auth;
mod checkin;
mod device_checkin;
mod device_self;
mod envelope;
mod enveloped;
mod notify_image;
mod provision;

pub use auth::{DeviceKey, DeviceKeyAuth};
pub use checkin::{
    ActionKind, ActionStatus, Checkin, CheckinRequest, CheckinResponse, DeviceAction, DeviceRequest, FileExt,
};
pub use device_checkin::{
    DeviceActions, DeviceCheckin, DeviceCheckinRequest, DeviceCheckinResponse, DeviceHealth,
};
pub use device_self::{DeviceSelf, DeviceSelfData, DeviceStatus};
pub use envelope::ErrorMap;
pub use enveloped::{Enveloped, ErrorBody, ErrorEnvelope, Meta};
pub use notify_image::{AnnotationData, ImageNotificationRequest, ImageNotificationResponse, NotifyImage};
pub use provision::{DeviceInfo, Provision, ProvisionData, ProvisionRequest, ProvisioningToken};

use crate::Vendor;

/// The vendor.
#[derive(Debug, Clone, Copy)]
pub struct Acusight;

impl Vendor for Acusight {
    const ID: &'static str = "acusight";
    const NAME: &'static str = "Acusight";
    const BASE: &'static str = "/api";
    const ADDRESS: &'static str = "https://acusight.io/api";
    type Error = ErrorMap;
}

crate::text_id! {
    /// A device's id, such as `ABCD:1234:5678:EFGH`: opaque, often the id of its Docker daemon.
    pub struct DeviceId;
    /// A model's id.
    pub struct ModelId;
    /// An image's id, given at its notification.
    pub struct ImageId;
}
