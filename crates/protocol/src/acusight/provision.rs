use http::Method;
use serde::{Deserialize, Serialize};

use super::{Acusight, DeviceId, DeviceKey, Enveloped, ErrorEnvelope};
use crate::wire::{FreeMap, int};
use crate::{Documented, Endpoint, Json, NoAuth, Source};

/// `POST /devices/provision`: a new device trades a token for a key.
///
/// The vendor's pages show the answer and not its status. We write 201, which the vendor's other operation that makes
/// a credential answers with, in the same envelope; our client reads any that means success.
///
/// Source: none of the documents; the vendor's pages "Provision a new device" and "Provision device".
#[derive(Debug, Clone, Copy)]
pub struct Provision;

impl Endpoint for Provision {
    type Vendor = Acusight;
    type Auth = NoAuth;
    type Params = ();
    type Request = Json<ProvisionRequest>;
    type Reply = Json<Enveloped<ProvisionData>, 201>;
    type Error = ErrorEnvelope;
    const ID: &'static str = "acusight.provision";
    const SUMMARY: &'static str = "A new device trades a token for a key";
    const TAG: &'static str = "Devices & provisioning";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/devices/provision";
    const ALIASES: &'static [&'static str] = &["/core/devices/provision"];
    const SOURCE: Source =
        Source::new("acusight-provision-a-new-device", "#/paths/~1devices~1provision/post");
    const COMPANION: bool = true;
    const BODY_LIMIT: usize = 64 * 1024;
    const FAILURES: &'static [Documented] = &[
        Documented::new(400, "VALIDATION_ERROR: the request does not have the documented form"),
        Documented::new(401, "INVALID_TOKEN: there is no such token; TOKEN_EXPIRED: its time is over"),
        Documented::new(409, "DEVICE_EXISTS: the device is registered already"),
    ];
}

crate::secret! {
    /// A provisioning token, `apt_` and hex digits of no stated number.
    ///
    /// Origin: the vendor's page "Provision device", `token`.
    pub struct ProvisioningToken("apt_");
}

/// Who wants to be provisioned.
///
/// Origin: the vendor's page "Provision device", request body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ProvisionRequest {
    /// The device. Required.
    ///
    /// Origin: `device_info`.
    pub device_info: DeviceInfo,
    /// The token, which signs this request in. Required.
    ///
    /// Origin: `token`.
    pub token: ProvisioningToken,
}

impl ProvisionRequest {
    /// A device that says nothing but its id.
    pub fn new(token: impl Into<ProvisioningToken>, device_id: impl Into<DeviceId>) -> Self {
        Self { device_info: DeviceInfo::new(device_id), token: token.into() }
    }
}

/// A device that is to be provisioned.
///
/// The page tells of an identifier of the hardware, such as `RPi4-8GB-v1.4`, and not under which name it is sent: any
/// member is kept.
///
/// Origin: the vendor's page "Provision device", `device_info`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Version of the vendor's agent on it. Optional.
    ///
    /// Origin: `device_info.agent_version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// What tells it from all others, usually the id of its Docker daemon. Required, since its name is made of it
    /// where none is sent.
    ///
    /// Origin: `device_info.device_id`.
    pub device_id: DeviceId,
    /// Address of the device in its LAN. Optional.
    ///
    /// Origin: the example of the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// Its name for people. Optional: the server makes one of the id.
    ///
    /// Origin: `device_info.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Members whose names no page shows.
    #[serde(flatten)]
    pub extra: FreeMap,
}

impl DeviceInfo {
    /// A device that says nothing but its id.
    pub fn new(device_id: impl Into<DeviceId>) -> Self {
        Self {
            agent_version: None,
            device_id: device_id.into(),
            ip_address: None,
            name: None,
            extra: FreeMap::default(),
        }
    }
}

/// What a provisioned device gets. Nothing in it is required.
///
/// Origin: the vendor's page "Provision device", response.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ProvisionData {
    /// Where the device is to report.
    ///
    /// Origin: `api_endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_endpoint: Option<String>,
    /// The device's key, shown this once.
    ///
    /// Origin: `api_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<DeviceKey>,
    /// The device.
    ///
    /// Origin: `device_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    /// Key of the Portainer edge agent, where there is a Portainer. Read, never written by our server.
    ///
    /// Origin: `edge_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge_key: Option<String>,
    /// The device again, under an older name.
    ///
    /// Origin: `endpoint_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<DeviceId>,
    /// The device's number at the Portainer, where there is one. Read, never written by our server.
    ///
    /// Origin: `portainer_endpoint_id`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub portainer_endpoint_id: Option<i64>,
}

impl ProvisionData {
    /// A device, its key and the address to report to.
    pub fn new(device_id: impl Into<DeviceId>, key: DeviceKey, api_endpoint: impl Into<String>) -> Self {
        let device_id = device_id.into();
        Self {
            api_endpoint: Some(api_endpoint.into()),
            api_key: Some(key),
            device_id: Some(device_id.clone()),
            edge_key: None,
            endpoint_id: Some(device_id),
            portainer_endpoint_id: None,
        }
    }

    /// The address to report to, in front of the paths of the operations: some servers leave out the `/api` at its
    /// end (AC-9).
    ///
    /// ```
    /// use fleetwire_protocol::acusight::ProvisionData;
    ///
    /// for endpoint in ["https://acusight.io", "https://acusight.io/", "https://acusight.io/api"] {
    ///     let data = ProvisionData::new("cam-1", "adk_0000".into(), endpoint);
    ///     assert_eq!(data.base().as_deref(), Some("https://acusight.io/api"));
    /// }
    /// ```
    #[must_use]
    pub fn base(&self) -> Option<String> {
        let address = self.api_endpoint.as_deref()?.trim_end_matches('/');
        let base = <Acusight as crate::Vendor>::BASE;
        Some(if address.ends_with(base) { address.to_owned() } else { format!("{address}{base}") })
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(ProvisionRequest, DeviceInfo, ProvisionData);
