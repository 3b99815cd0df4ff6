use chrono::{DateTime, Utc};
use http::HeaderMap;

use crate::auth::put;
use crate::{Auth, AuthHeader, Fault, private};

crate::secret! {
    /// A device's key, `adk_` and hex digits of no stated number.
    ///
    /// Origin: `#/components/securitySchemes/DeviceKeyAuth` in both sources.
    pub struct DeviceKey("adk_");
}

/// `X-Device-Key: adk_…`. The scheme's name is the source's.
#[derive(Debug, Clone, Copy)]
pub struct DeviceKeyAuth;

const HEADER: AuthHeader =
    AuthHeader::secret("DeviceKeyAuth", "X-Device-Key", "adk_<hex>", "The key of the device.");

impl Auth for DeviceKeyAuth {
    type Credentials = DeviceKey;
    type Presented = DeviceKey;
    const ALTERNATIVES: &'static [&'static [AuthHeader]] = &[&[HEADER]];

    fn attach(key: &DeviceKey, _: DateTime<Utc>, headers: &mut HeaderMap) -> Result<(), &'static str> {
        put(headers, &HEADER, key.expose())
    }
    fn extract(headers: &HeaderMap) -> Result<DeviceKey, Fault> {
        private::header(headers, HEADER.name).map(DeviceKey::from).ok_or(Fault::Unauthenticated)
    }
}
