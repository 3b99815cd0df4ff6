use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName};

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

/// The name as it is looked up, which makes nothing of its text first.
static NAME: HeaderName = HeaderName::from_static("x-device-key");

impl Auth for DeviceKeyAuth {
    type Credentials = DeviceKey;
    type Presented = DeviceKey;
    const ALTERNATIVES: &'static [&'static [AuthHeader]] = &[&[HEADER]];

    fn attach(key: &DeviceKey, _: DateTime<Utc>, headers: &mut HeaderMap) -> Result<(), &'static str> {
        put(headers, &HEADER, key.expose())
    }
    fn extract(headers: &HeaderMap) -> Result<DeviceKey, Fault> {
        private::header(headers, &NAME).map(DeviceKey::from).ok_or(Fault::Unauthenticated)
    }
}
