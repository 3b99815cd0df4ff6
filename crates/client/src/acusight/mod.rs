//! Devices of Acusight: check-ins, the actions that they are answered with, and notifications of images.
//!
//! A device has a key already, or trades a token for one when it first runs. Its report is a [`CheckinRequest`], or a
//! [`DeviceCheckinRequest`] for servers that know only the other check-in (AC-1); `device_id` is filled in. What the
//! device asks the server for, `pending_requests`, and the model that it runs, `current_model_id`, are the report's.
//!
//! The source has no word for the end of an action. So one is done once for each id, whatever came of it and however
//! often it is handed over, and the last ids are remembered in the agent's state; a `model_update` is over for the
//! server when a report names the model. Notifications wait in the spool until the server has taken them. It takes the
//! same one twice and makes one image of it.
//!
#![cfg_attr(feature = "disk", doc = "```no_run")]
#![cfg_attr(not(feature = "disk"), doc = "```ignore")]
//! use fleetwire_client::acusight::{Acusight, Agent};
//! use fleetwire_client::protocol::acusight::{CheckinRequest, DeviceAction, ImageNotificationRequest};
//! use fleetwire_client::work::Context;
//!
//! # fn live() -> Result<(), Box<dyn std::error::Error>> {
//! let agent = Agent::provision("https://fleet.example/acusight/api", std::env::var("TOKEN")?, "ABCD:1234")?
//!     .report(|| CheckinRequest::new("ABCD:1234"))
//!     .on("model_update", |action: &DeviceAction, _: &Context<Acusight>| {
//!         // Fetch it, put it to use, and have the next report say so.
//!         let _ = (&action.model_id, &action.download_url);
//!         Ok(())
//!     });
//! agent.handle().post(ImageNotificationRequest::new("ABCD:1234", "a.jpg", "images/a.jpg", 640, 480));
//! # Ok(())
//! # }
//! ```
//!
//! Any other operation is one call of [`Client`](crate::Client). Who am I?
//!
#![cfg_attr(feature = "reqwest", doc = "```no_run")]
#![cfg_attr(not(feature = "reqwest"), doc = "```ignore")]
//! use fleetwire_client::protocol::Call;
//! use fleetwire_client::protocol::acusight::{DeviceKey, DeviceSelf};
//!
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! let client = fleetwire_client::connect("https://fleet.example/acusight/api")?;
//! let key = DeviceKey::from(std::env::var("DEVICE_KEY")?);
//! let me = client.send::<DeviceSelf>(&key, &Call::new(())).await?;
//! println!("{:?}", me.data.and_then(|data| data.status));
//! # Ok(())
//! # }
//! ```

mod dialect;

use fleetwire_protocol::acusight::{
    CheckinRequest, DeviceCheckinRequest, DeviceId, DeviceInfo, DeviceKey, ProvisioningToken,
};
use serde::{Deserialize, Serialize};

use crate::{AddressError, address};

pub use dialect::Acusight;

/// A device of Acusight.
pub type Agent = crate::Agent<Acusight>;

impl Agent {
    /// A device that trades a token for its key, unless it has done so before. `url` is the vendor's base address, such
    /// as `https://fleet.example/acusight/api`. What the device reports from then on goes to the address that it is
    /// told, unless that is worse than this one: no address, or plain `http` in the place of `https`.
    ///
    /// # Errors
    /// `url` is not a plain `http` or `https` address.
    pub fn provision(
        url: &str,
        token: impl Into<ProvisioningToken>,
        device: impl Into<DeviceId>,
    ) -> Result<Self, AddressError> {
        let dialect = Acusight::newcomer(address::base(url)?, token.into(), DeviceInfo::new(device));
        Ok(Self::new(dialect))
    }

    /// A device that has been given its key.
    ///
    /// # Errors
    /// `url` is not a plain `http` or `https` address.
    pub fn provisioned(
        url: &str,
        device: impl Into<DeviceId>,
        key: impl Into<DeviceKey>,
    ) -> Result<Self, AddressError> {
        Ok(Self::new(Acusight::new(address::base(url)?, device, key)))
    }

    /// What else the device says of itself when it is provisioned, such as its name.
    pub fn describe(mut self, describe: impl FnOnce(&mut DeviceInfo)) -> Self {
        if let Some(device) = self.dialect.newcomer_mut() {
            describe(device);
        }
        self
    }
}

/// Who a device is to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Identity {
    /// Its id.
    pub device: DeviceId,
    /// Where it reports, as it was told when it was provisioned; where it was provisioned if it was told nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
}

/// What a device says at its check-ins, of which there are two.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Report {
    /// The source's check-in.
    Agent(CheckinRequest),
    /// The device's own one, known from the vendor's other pages.
    Device(DeviceCheckinRequest),
}

impl From<CheckinRequest> for Report {
    fn from(report: CheckinRequest) -> Self {
        Self::Agent(report)
    }
}

impl From<DeviceCheckinRequest> for Report {
    fn from(report: DeviceCheckinRequest) -> Self {
        Self::Device(report)
    }
}
