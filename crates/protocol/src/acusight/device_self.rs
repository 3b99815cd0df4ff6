use http::Method;
use serde::{Deserialize, Serialize};

use super::{Acusight, DeviceId, DeviceKeyAuth, Enveloped, ErrorEnvelope};
use crate::{Documented, Endpoint, Json, NoBody, Source};

/// `GET /device/self`: a device asks who it is.
///
/// Source: none of the documents; the vendor's page "Get device self".
#[derive(Debug, Clone, Copy)]
pub struct DeviceSelf;

impl Endpoint for DeviceSelf {
    type Vendor = Acusight;
    type Auth = DeviceKeyAuth;
    type Params = ();
    type Request = NoBody;
    type Reply = Json<Enveloped<DeviceSelfData>>;
    type Error = ErrorEnvelope;
    const ID: &'static str = "acusight.device_self";
    const SUMMARY: &'static str = "A device asks who it is";
    const TAG: &'static str = "Devices & provisioning";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/device/self";
    const ALIASES: &'static [&'static str] = &["/core/device/self"];
    const SOURCE: Source = Source::new("acusight-device-self", "Get Device Self");
    const COMPANION: bool = true;
    const FAILURES: &'static [Documented] = &[];
}

/// Who a device is. Nothing in it is required.
///
/// Origin: the vendor's page "Get device self", response.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct DeviceSelfData {
    /// The device.
    ///
    /// Origin: `device_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    /// The device again, under an older name.
    ///
    /// Origin: `endpoint_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<DeviceId>,
    /// Its name for people.
    ///
    /// Origin: `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The organization that it belongs to: a UUID.
    ///
    /// Origin: `organization_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// Whether it may take part. Our server lets nobody else sign in, and writes `approved`.
    ///
    /// Origin: `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<DeviceStatus>,
}

crate::open_enum! {
    /// Whether a device may take part. Origin: the vendor's page "Get device self", `status`, words in prose.
    pub enum DeviceStatus {
        /// Nobody has decided yet.
        Pending = "pending",
        /// It may.
        Approved = "approved",
        /// It may not.
        Rejected = "rejected",
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(DeviceSelfData);
