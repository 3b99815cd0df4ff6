//! Keys: how they are made, kept and derived.
//!
//! Keys are 256 random bits, so that a plain SHA-256 keeps them as safe as a slow hash would; a lookup by
//! digest tells an attacker nothing about the key through time, since digests cannot be steered.
//!
//! ```
//! use fleetwire_server_core::keys::{Digest, hex, unhex};
//!
//! let stored = Digest::of("ak_00ff");
//! assert!(stored.matches(&Digest::of("ak_00ff")) && !stored.matches(&Digest::of("ak_00fe")));
//! assert_eq!(unhex(&hex(&stored.0)), Some(stored.0));
//! ```

use std::fmt;

use ring::{digest, hmac, signature};
use subtle::ConstantTimeEq;

use crate::Entropy;
use crate::domain::{No, SigningKey};

/// The SHA-256 of a key or token: all that is stored of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of a key or token.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(sha256(secret.as_bytes()))
    }

    /// Whether two digests are the same, in a time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart in a log.
        write!(f, "Digest({}…)", hex(&self.0[..4]))
    }
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// Lower-case hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).collect()
}

/// Reads hex digits of either case; `None` if there are not exactly `2 * N` of them.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(out)
}

/// Makes a key of a vendor's form: its prefix and 64 hex digits.
#[must_use]
pub fn mint(prefix: &str, entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    format!("{prefix}{}", hex(&bytes))
}

/// What a first start makes and a store keeps: the secrets of a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Foundation {
    /// The secret that rotation keys are derived from.
    pub rotation: [u8; 32],
    /// The seed of the Ed25519 key that signs releases.
    pub signing: [u8; 32],
    /// The digest of the first operator's token.
    pub operator: Digest,
}

impl fmt::Debug for Foundation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Foundation(…)")
    }
}

/// Derives the keys that are offered in rotations.
///
/// A candidate is a function of agent and number, so that it can be offered in every answer until it is used
/// while only its digest is stored.
pub(crate) struct Rotations(hmac::Key);

impl Rotations {
    pub(crate) fn new(foundation: &Foundation) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &foundation.rotation))
    }

    /// The key number `rotation` of an agent.
    pub(crate) fn candidate(&self, prefix: &str, agent: i64, rotation: u32) -> String {
        let mut message = [0; 12];
        message[..8].copy_from_slice(&agent.to_be_bytes());
        message[8..].copy_from_slice(&rotation.to_be_bytes());
        format!("{prefix}{}", hex(hmac::sign(&self.0, &message).as_ref()))
    }
}

/// Signs the addresses under which files can be fetched for a while without other credentials.
pub(crate) struct Presigner(hmac::Key);

impl Presigner {
    pub(crate) fn new(foundation: &Foundation) -> Self {
        // A key of its own: what is signed here is nothing that a rotation signs.
        let rotations = hmac::Key::new(hmac::HMAC_SHA256, &foundation.rotation);
        let own = hmac::sign(&rotations, b"fleetwire: addresses of files");
        Self(hmac::Key::new(hmac::HMAC_SHA256, own.as_ref()))
    }

    /// Signs the name of an object and the second of 1970 after which the address is good no more.
    pub(crate) fn sign(&self, object: &str, expires: i64) -> String {
        hex(hmac::sign(&self.0, message(object, expires).as_bytes()).as_ref())
    }

    /// Whether a signature is one of ours, in a time that does not depend on where it is wrong.
    pub(crate) fn verify(&self, object: &str, expires: i64, signature: &str) -> bool {
        unhex::<32>(signature).is_some_and(|signature| {
            hmac::verify(&self.0, message(object, expires).as_bytes(), &signature).is_ok()
        })
    }
}

/// A name holds no line break.
fn message(object: &str, expires: i64) -> String {
    format!("{expires}\n{object}")
}

/// The keys that sign releases. Each agent is given one when it enrols and can check what that one has signed, so
/// that a key goes on signing for its agents until it is retired.
pub(crate) struct Signers {
    /// In the order of their numbers.
    keys: Vec<Signer>,
    /// The place of the one that newcomers are given.
    current: usize,
}

/// One of them.
pub(crate) struct Signer {
    pub(crate) key: SigningKey,
    pair: signature::Ed25519KeyPair,
    /// The public key in base64, as agents are given it.
    pub(crate) public_key: String,
}

impl Signers {
    /// `None` if one of the seeds is no seed, which a store that keeps 32 bytes cannot bring about, or if every key
    /// is retired.
    pub(crate) fn new(keys: Vec<SigningKey>) -> Option<Self> {
        let keys: Vec<_> = keys.into_iter().map(Signer::new).collect::<Option<_>>()?;
        let current = keys.iter().rposition(|signer| signer.key.retired_at.is_none())?;
        Some(Self { keys, current })
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Signer] {
        &self.keys
    }

    /// The one that newcomers are given.
    pub(crate) fn current(&self) -> &Signer {
        &self.keys[self.current]
    }

    /// The one that an agent can check by which was given this public key; which was given none has the first, from
    /// before there were more. Where that one is retired, the current one: the agent is to be given that.
    pub(crate) fn given(&self, public_key: Option<&str>) -> &Signer {
        let own = match public_key {
            Some(public_key) => self.keys.iter().find(|signer| signer.public_key == public_key),
            None => self.keys.first(),
        };
        own.filter(|signer| signer.key.retired_at.is_none()).unwrap_or_else(|| self.current())
    }

    /// The number of the key that an agent was given, retired or not.
    pub(crate) fn number_given(&self, public_key: Option<&str>) -> Option<No> {
        match public_key {
            Some(public_key) => self.keys.iter().find(|signer| signer.public_key == public_key),
            None => self.keys.first(),
        }
        .map(|signer| signer.key.no)
    }
}

impl Signer {
    fn new(key: SigningKey) -> Option<Self> {
        use base64::Engine;
        use ring::signature::KeyPair;
        let pair = signature::Ed25519KeyPair::from_seed_unchecked(&key.seed).ok()?;
        let public_key = base64::engine::general_purpose::STANDARD.encode(pair.public_key().as_ref());
        Some(Self { key, pair, public_key })
    }

    /// Signs the 32 bytes of a digest: not its hex text, and not the file.
    pub(crate) fn sign(&self, sha256: &[u8; 32]) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(self.pair.sign(sha256).as_ref());
        out
    }
}

#[cfg(test)]
mod tests {
    use fleetwire_protocol::achilles::AgentKey;

    use super::*;

    fn foundation(seed: u8) -> Foundation {
        Foundation { rotation: [seed; 32], signing: [seed; 32], operator: Digest([seed; 32]) }
    }

    fn signing_key(no: No) -> SigningKey {
        let seed = [u8::try_from(no).unwrap(); 32];
        SigningKey { no, seed, created_at: None, retired_at: None }
    }

    /// Bytes that count up over all calls.
    #[derive(Default)]
    struct Counting(std::sync::Mutex<u8>);

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            let mut next = self.0.lock().unwrap();
            for byte in bytes {
                *byte = *next;
                *next = next.wrapping_add(1);
            }
        }
    }

    #[test]
    fn every_byte_survives_hex_and_back() {
        let all: [u8; 256] = std::array::from_fn(|byte| u8::try_from(byte).unwrap());
        let text = hex(&all);
        assert_eq!(text.len(), 512);
        assert!(text.starts_with("000102") && text.ends_with("fdfeff"));
        assert_eq!(unhex::<256>(&text), Some(all));
        assert_eq!(unhex::<256>(&text.to_uppercase()), Some(all));
        assert_eq!(unhex::<0>(""), Some([]));
    }

    #[test]
    fn text_that_is_not_just_the_digits_is_refused() {
        for text in
            ["", "0", "0a0", "0a0b0", "0a0b0c0", "0a0b0c0d0e", "0a0b0c0g", "0a 0b0c0", "+a0b0c0d", "0x0a0b0c"]
        {
            assert_eq!(unhex::<4>(text), None, "{text}");
        }
        // Eight bytes, but not eight digits.
        assert_eq!(unhex::<4>("äöüß"), None);
        assert_eq!(unhex::<4>("0a0b0c0d"), Some([10, 11, 12, 13]));
    }

    #[test]
    fn a_digest_is_sha_256() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&Digest::of("abc").0), expected);
        assert!(Digest::of("abc").matches(&Digest::of("abc")));
        assert!(!Digest::of("abc").matches(&Digest::of("abd")));
    }

    #[test]
    fn a_digest_shows_eight_digits_of_itself_and_secrets_show_nothing() {
        assert_eq!(format!("{:?}", Digest::of("abc")), "Digest(ba7816bf…)");
        assert_eq!(format!("{:?}", foundation(0xab)), "Foundation(…)");
    }

    #[test]
    fn a_minted_key_has_its_prefix_and_256_bits() {
        let entropy = Counting::default();
        let key = mint(AgentKey::PREFIX, &entropy);
        assert_eq!(
            key,
            format!("ak_{}", hex(&std::array::from_fn::<u8, 32, _>(|at| u8::try_from(at).unwrap())))
        );
        assert_ne!(mint(AgentKey::PREFIX, &entropy), key);
    }

    #[test]
    fn a_candidate_is_the_same_every_time_and_in_every_process() {
        let candidate = Rotations::new(&foundation(1)).candidate(AgentKey::PREFIX, 7, 3);
        assert_eq!(Rotations::new(&foundation(1)).candidate(AgentKey::PREFIX, 7, 3), candidate);
        assert_eq!(candidate.len(), 67);
        let digits = candidate.strip_prefix("ak_").unwrap();
        assert!(unhex::<32>(digits).is_some() && digits == digits.to_lowercase());
    }

    #[test]
    fn a_candidate_differs_by_agent_by_number_and_by_server() {
        let numbers = [(0, 0), (0, 1), (1, 0), (1, 1), (256, 0), (i64::MAX, 0), (-1, 0), (0, u32::MAX)];
        let mut candidates = std::collections::BTreeSet::new();
        for seed in [1, 2] {
            let rotations = Rotations::new(&foundation(seed));
            candidates.extend(numbers.map(|(agent, rotation)| rotations.candidate("ak_", agent, rotation)));
        }
        assert_eq!(candidates.len(), 2 * numbers.len());
    }

    #[test]
    fn a_signature_is_over_the_bytes_of_the_digest() {
        use base64::Engine;
        let signers = Signers::new(vec![signing_key(1), signing_key(2)]).unwrap();
        let signer = signers.given(None);
        let digest = sha256(b"a release");
        let key = base64::engine::general_purpose::STANDARD.decode(&signer.public_key).unwrap();
        let key = signature::UnparsedPublicKey::new(&signature::ED25519, key);
        assert!(key.verify(&digest, &signer.sign(&digest)).is_ok());
        assert!(key.verify(hex(&digest).as_bytes(), &signer.sign(&digest)).is_err());
        assert!(key.verify(&digest, &signers.current().sign(&digest)).is_err());
    }

    #[test]
    fn an_agent_is_served_by_its_key_until_that_is_retired() {
        let signers = Signers::new(vec![signing_key(1), signing_key(2), signing_key(3)]).unwrap();
        let given = |signers: &Signers, key: Option<&str>| signers.given(key).key.no;
        let second = signers.all()[1].public_key.clone();
        assert_eq!(signers.current().key.no, 3);
        assert_eq!((given(&signers, None), given(&signers, Some(&second))), (1, 2));
        assert_eq!(given(&signers, Some("of another server")), 3);

        let retired = SigningKey { retired_at: Some(chrono::DateTime::UNIX_EPOCH), ..signing_key(2) };
        let signers = Signers::new(vec![signing_key(1), retired.clone()]).unwrap();
        assert_eq!((signers.current().key.no, given(&signers, Some(&second))), (1, 1));
        assert_eq!(signers.number_given(Some(&second)), Some(2));
        assert!(Signers::new(vec![retired]).is_none());
    }

    #[test]
    fn a_signed_address_is_good_for_one_object_and_one_time() {
        let presigner = Presigner::new(&foundation(1));
        let signature = presigner.sign("models/ab", 1000);
        assert!(presigner.verify("models/ab", 1000, &signature));
        assert!(presigner.verify("models/ab", 1000, &signature.to_uppercase()));
        for (object, expires) in [("models/ac", 1000), ("models/ab", 1001), ("models/a", 1000), ("", 0)] {
            assert!(!presigner.verify(object, expires, &signature), "{object} {expires}");
        }
        for other in ["", "00", &signature[1..], &hex(&[0; 32])] {
            assert!(!presigner.verify("models/ab", 1000, other), "{other}");
        }
        assert!(!Presigner::new(&foundation(2)).verify("models/ab", 1000, &signature));
        // The secret of rotations signs nothing here.
        let rotation = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let foreign = hex(hmac::sign(&rotation, message("models/ab", 1000).as_bytes()).as_ref());
        assert!(!presigner.verify("models/ab", 1000, &foreign));
    }
}
