use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::UpdateError;
use super::version;

/// A version to change to, as a server offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// The version. No signature covers it.
    pub version: String,
    /// SHA-256 of the program, 64 hex digits.
    pub sha256: String,
    /// Size of the program in bytes.
    pub size: u64,
    /// Ed25519 over the 32 bytes of that SHA-256, 128 hex digits; `None` where the offer is not signed.
    pub signature: Option<String>,
    /// Whether it is to be changed to even if it is older than what runs.
    pub mandatory: bool,
    /// Where the program is; `None` where the vendor has one place for it.
    pub download_url: Option<String>,
}

impl Offer {
    /// An offer that is not signed; `size` in bytes.
    pub fn new(version: impl Into<String>, sha256: impl Into<String>, size: u64) -> Self {
        let (version, sha256) = (version.into(), sha256.into());
        Self { version, sha256, size, signature: None, mandatory: false, download_url: None }
    }
}

#[cfg(feature = "achilles")]
impl From<&fleetwire_protocol::achilles::UpdateInfo> for Offer {
    fn from(info: &fleetwire_protocol::achilles::UpdateInfo) -> Self {
        let mut offer = Self::new(info.version.as_str(), info.sha256.as_str(), info.size);
        offer.signature.clone_from(&info.signature);
        offer.mandatory = info.mandatory;
        offer.download_url.clone_from(&info.download_url);
        offer
    }
}

#[cfg(feature = "achilles")]
impl From<&fleetwire_protocol::achilles::VersionInfo> for Offer {
    fn from(info: &fleetwire_protocol::achilles::VersionInfo) -> Self {
        let mut offer = Self::new(info.version.as_str(), info.sha256.as_str(), info.size);
        offer.signature.clone_from(&info.signature);
        offer.mandatory = info.mandatory;
        offer
    }
}

/// A public key of Ed25519.
pub(super) type Key = [u8; 32];

/// Reads a key: base64 of 32 bytes.
pub(super) fn key(text: &str) -> Option<Key> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

/// Reads exactly `N` bytes from hex.
pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whose signature is good.
#[derive(Debug, Clone, Default)]
pub(super) struct Trust {
    /// Keys that the program itself names.
    pub(super) named: Vec<Key>,
    /// Whether an offer without a signature is good where no key is known.
    pub(super) unsigned: bool,
}

impl Trust {
    /// Whether somebody who is trusted has signed the digest. `enrolled` is the key that the agent was given when it
    /// enrolled; an empty one is none (PA-25).
    pub(super) fn check(
        &self,
        enrolled: Option<&str>,
        digest: &[u8; 32],
        signature: Option<&str>,
    ) -> Result<(), UpdateError> {
        let enrolled = enrolled.filter(|text| !text.trim().is_empty());
        if enrolled.is_none() && self.named.is_empty() {
            // Nobody could check a signature either.
            return if self.unsigned { Ok(()) } else { Err(UpdateError::NoKey) };
        }
        let signature = signature.filter(|text| !text.is_empty()).ok_or(UpdateError::Unsigned)?;
        let signature: [u8; 64] = unhex(signature).ok_or(UpdateError::NoSignature)?;
        let own = enrolled.map(key);
        let keys = self.named.iter().chain(own.iter().flatten());
        let signed = keys
            .into_iter()
            .any(|key| UnparsedPublicKey::new(&ED25519, key).verify(digest, &signature).is_ok());
        match own {
            _ if signed => Ok(()),
            Some(None) => Err(UpdateError::BadKey),
            _ => Err(UpdateError::WrongSignature),
        }
    }
}

/// Whether a version may follow the one that runs.
pub(super) fn check_version(offer: &Offer, running: &str) -> Result<(), UpdateError> {
    let offered = || offer.version.clone();
    if version::is_same(&offer.version, running) {
        return Err(UpdateError::AlreadyRuns(offered()));
    }
    match version::compare(&offer.version, running) {
        _ if offer.mandatory => Ok(()),
        Some(order) if order.is_gt() => Ok(()),
        Some(_) => Err(UpdateError::Older { offered: offered(), running: running.to_owned() }),
        None => Err(UpdateError::NoOrder { offered: offered(), running: running.to_owned() }),
    }
}
