//! What agents fetch, as operators bring it and agents are told of it: releases, models, binaries, and the keys that
//! sign releases. The bytes are not here: whoever keeps them finds them by the names of their objects.

use std::sync::{Arc, PoisonError};

use chrono::{DateTime, Utc};
use fleetwire_protocol::achilles::{Achilles, DownloadUpdate, UpdateWish};
use fleetwire_protocol::{Conditions, File, FileHead, Vendor as _, codec};
use serde_json::{Value, json};

use crate::domain::{
    Agent, Binary, FileKind, Freed, HeldFile, MODEL_OBJECT, Model, No, Release, SigningKey, Work,
};
use crate::keys::{Signers, hex};
use crate::operator::{Done, NewModel, NewRelease, OperatorError};
use crate::store::Store;
use crate::{Core, Origin};

/// The fact of an agent which says by which key it checks releases.
pub(crate) const RELEASE_KEY: &str = "release_key";

/// A key that signs releases, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeyView {
    /// Its number.
    pub no: No,
    /// The public key: base64 of 32 bytes of Ed25519.
    pub public_key: String,
    /// Whether newcomers are given it.
    pub current: bool,
    /// How many agents check releases by it.
    pub agents: u64,
    /// When it was made; not known of the first one.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was retired.
    pub retired_at: Option<DateTime<Utc>>,
}

/// Why an address that was given out is good no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadAddress {
    /// It is none of ours.
    Forged,
    /// Its time is over.
    Expired,
}

impl<S: Store> Core<S> {
    /// The key by which newcomers check the signatures of releases: base64 of 32 bytes of Ed25519.
    #[must_use]
    pub fn release_key(&self) -> String {
        self.signers().current().public_key.clone()
    }

    /// The keys that sign releases, the first one first.
    #[must_use]
    pub fn release_keys(&self) -> Vec<SigningKeyView> {
        let signers = self.signers();
        let current = signers.current().key.no;
        let mut views: Vec<_> = signers
            .all()
            .iter()
            .map(|signer| {
                let SigningKey { no, created_at, retired_at, .. } = signer.key;
                let public_key = signer.public_key.clone();
                SigningKeyView { no, public_key, current: no == current, agents: 0, created_at, retired_at }
            })
            .collect();
        for record in self.registry.all() {
            let is_achilles = record.identity().vendor == crate::domain::Vendor::Achilles;
            if is_achilles
                && let Some(no) = signers.number_given(given_key(&record.agent()))
                && let Some(view) = views.iter_mut().find(|view| view.no == no)
            {
                view.agents += 1;
            }
        }
        views
    }

    /// Makes a new key for releases, which newcomers are given from now on. The keys before it go on signing for the
    /// agents that were given them.
    ///
    /// # Errors
    /// The store fails.
    pub async fn rotate_release_key(&self) -> Done<Vec<SigningKeyView>> {
        self.store.add_signing_key(self.seed(), self.now()).await?;
        self.reload_signers().await?;
        Ok(self.release_keys())
    }

    /// Retires a key: nothing is signed by it any more. Unless it is `forced`, a key by which agents check releases
    /// is not retired, since they would take none from then on.
    ///
    /// # Errors
    /// There is no such key, newcomers are given it, agents need it, or the store fails.
    pub async fn retire_release_key(&self, no: No, forced: bool) -> Done<Vec<SigningKeyView>> {
        let keys = self.release_keys();
        let key = keys.iter().find(|key| key.no == no).ok_or(OperatorError::Missing("signing key"))?;
        if key.current {
            return Err(OperatorError::Unsuitable(
                "newcomers are given this key: rotate first, so that there is another one for them",
            ));
        }
        if key.agents > 0 && !forced {
            return Err(OperatorError::Invalid(format!(
                "key {no}: {} agents check releases by it and would take none any more; enrol them anew first, or force it",
                key.agents
            )));
        }
        self.store.retire_signing_key(no, self.now()).await?;
        self.reload_signers().await?;
        Ok(self.release_keys())
    }

    /// The store has the last word: two operators may have been at it.
    async fn reload_signers(&self) -> Done<()> {
        let keys = self.store.signing_keys().await?;
        if let Some(signers) = Signers::new(keys) {
            *self.signers.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(signers);
        }
        Ok(())
    }

    fn signers(&self) -> Arc<Signers> {
        Arc::clone(&self.signers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The public key by which an agent checks releases.
    pub(crate) fn release_key_of(&self, agent: &Agent) -> String {
        self.signers().given(given_key(agent)).public_key.clone()
    }

    /// The signature of a release that an agent can check.
    pub(crate) fn signature_for(&self, agent: &Agent, release: &Release) -> [u8; 64] {
        self.signers().given(given_key(agent)).sign(&release.sha256)
    }

    /// Registers and signs a release.
    ///
    /// # Errors
    /// The store fails.
    pub async fn add_release(&self, tenant: No, wish: NewRelease) -> Done<Release> {
        let release = Release {
            // The store knows the number.
            no: 0,
            tenant,
            version: wish.version,
            os: wish.os,
            arch: wish.arch,
            signature: self.signers().current().sign(&wish.sha256),
            sha256: wish.sha256,
            size: wish.size,
            download_url: wish.download_url,
            mandatory: wish.mandatory,
            created_at: self.now(),
        };
        Ok(self.store.add_release(release).await?)
    }

    /// The releases of a tenant, the latest first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn releases(&self, tenant: No) -> Done<Vec<Release>> {
        Ok(self.store.releases(tenant).await?)
    }

    /// Forgets a release; agents are offered the one before it.
    ///
    /// # Errors
    /// The tenant has no such release, or the store fails.
    pub async fn remove_release(&self, tenant: No, no: No) -> Done<Freed> {
        Ok(self.store.remove_release(tenant, no).await?)
    }

    /// Registers a model.
    ///
    /// # Errors
    /// Its id is in use, or the store fails.
    pub async fn add_model(&self, tenant: No, wish: NewModel) -> Done<Model> {
        let model = Model {
            id: wish.id.unwrap_or_else(|| format!("model_{}", self.new_id())),
            tenant,
            name: wish.name,
            version: wish.version,
            place: wish.place,
            file_ext: wish.file_ext,
            label_map: wish.label_map,
            created_at: self.now(),
        };
        self.store.add_model(model.clone()).await?;
        Ok(model)
    }

    /// The models of a tenant, in the order of their ids.
    ///
    /// # Errors
    /// The store fails.
    pub async fn models(&self, tenant: No) -> Done<Vec<Model>> {
        Ok(self.store.models(tenant).await?)
    }

    /// Forgets a model that no device is to run.
    ///
    /// # Errors
    /// The tenant has no such model, a device is to run it, or the store fails.
    pub async fn remove_model(&self, tenant: No, id: String) -> Done<Freed> {
        Ok(self.store.remove_model(tenant, id).await?)
    }

    /// Keeps a binary in place of the one of its name. The second value is what became of that one's file.
    ///
    /// # Errors
    /// The store fails.
    pub async fn put_binary(&self, tenant: No, name: String, file: HeldFile) -> Done<(Binary, Freed)> {
        let binary = Binary { tenant, name, file, created_at: self.now() };
        let freed = self.store.put_binary(binary.clone()).await?;
        Ok((binary, freed))
    }

    /// The binaries of a tenant, in the order of their names.
    ///
    /// # Errors
    /// The store fails.
    pub async fn binaries(&self, tenant: No) -> Done<Vec<Binary>> {
        Ok(self.store.binaries(tenant).await?)
    }

    /// Forgets a binary.
    ///
    /// # Errors
    /// The tenant has no such binary, or the store fails.
    pub async fn remove_binary(&self, tenant: No, name: String) -> Done<Freed> {
        Ok(self.store.remove_binary(tenant, name).await?)
    }

    /// An address under which an object can be fetched without credentials, for as long as addresses are good.
    fn presigned(&self, origin: &Origin<'_>, object: &str) -> String {
        let ttl = i64::try_from(self.config.address_ttl.as_secs()).unwrap_or(i64::MAX);
        let expires = self.now().timestamp().saturating_add(ttl);
        let signature = self.presigner.sign(object, expires);
        format!("{}/objects/{object}?expires={expires}&signature={signature}", origin.root())
    }

    /// Whether an address under which an object is asked for is one of ours, and good still.
    ///
    /// # Errors
    /// Why not.
    pub fn check_address(&self, object: &str, expires: i64, signature: &str) -> Result<(), BadAddress> {
        if !self.presigner.verify(object, expires, signature) {
            return Err(BadAddress::Forged);
        }
        if self.now().timestamp() > expires { Err(BadAddress::Expired) } else { Ok(()) }
    }

    /// Puts the address of a model that is held here into work which is handed over. It is made anew each time, so
    /// that it is good for a while whenever the device asks, and it is stored nowhere.
    pub(crate) fn with_address(&self, origin: &Origin<'_>, mut work: Work) -> Work {
        if let Some(Value::String(object)) = work.payload.remove(MODEL_OBJECT) {
            let address = self.presigned(origin, &object);
            work.payload.insert("download_url".to_owned(), json!(address));
        }
        work
    }
}

/// The public key that an agent was given, as far as is known.
fn given_key(agent: &Agent) -> Option<&str> {
    agent.facts.get(RELEASE_KEY).and_then(Value::as_str)
}

/// Where an agent fetches a release: elsewhere, or here with its key.
pub(crate) fn address(release: &Release, origin: &Origin<'_>) -> Option<String> {
    if let Some(url) = &release.download_url {
        return Some(url.clone());
    }
    let wish = UpdateWish::new(release.os.as_str().into(), release.arch.as_str().into());
    let base = format!("{}{}", origin.url(), Achilles::BASE);
    // Whatever host a caller names makes an address, or it would not have come here.
    codec::address::<DownloadUpdate>(&base, &wish).ok().map(|address| address.to_string())
}

/// A file that is held here, or what a caller wants of it.
pub(crate) fn held(kind: FileKind, file: &HeldFile, name: &str, conditions: &Conditions<'_>) -> File {
    let head = FileHead::new(file.size, &hex(&file.sha256)).with_name(name).under(conditions);
    File::stored(head, kind.object(&file.sha256))
}
