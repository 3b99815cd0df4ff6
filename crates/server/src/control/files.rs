//! Files that agents fetch: brought, registered, listed and taken away by operators; and fetched by whoever has an
//! address that was given out for a while.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use fleetwire_protocol::{Conditions, File, FileHead, Reply, Streamed, base_name};
use fleetwire_server_core::Core;
use fleetwire_server_core::domain::{Binary, FileKind, FilePlace, Freed, No};
use fleetwire_server_core::keys::{hex, unhex};
use fleetwire_server_core::operator::{BadAddress, NewModel, NewRelease, OperatorError, SigningKeyView};
use fleetwire_server_core::store::Store;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Tenant;
use super::bounds::Faults;
use super::messages::{ModelBody, NewModelBody, NewReleaseBody, ReleaseBody, ReleaseKeyBody, rfc3339};
use super::operations::{Answer, Asked, By, SIZE};
use super::refusal::{Body, Parameters, Refusal, Segments};
use crate::objects::{Brought, ObjectError, Objects, Payload};

/// Where files are kept, if anywhere, and how long a piece of one may take to arrive.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) objects: Option<Objects>,
    pub(super) patience: Duration,
}

impl Files {
    fn objects(&self) -> Result<&Objects, Refusal> {
        self.objects.as_ref().ok_or_else(|| Refusal::invalid("this server was given no folder for files"))
    }
}

/// What is said of a release whose file is brought: the query of the request that carries the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseUpload {
    /// The version.
    pub version: String,
    /// The operating system that it runs on.
    pub os: String,
    /// The architecture that it runs on.
    pub arch: String,
    /// Whether agents must change to it; not if nothing is said.
    #[serde(default)]
    pub mandatory: bool,
    /// SHA-256 of the file in hex: another file is not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What is said of a model whose file is brought: the query of the request that carries the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelUpload {
    /// Its id; made up if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The ending of its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_ext: Option<String>,
    /// The names of its classes: JSON text of at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_map: Option<String>,
    /// SHA-256 of the file in hex: another file is not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What is said of a binary that is brought: the query of the request that carries the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinaryUpload {
    /// The name that tasks call it by. A binary of this name that is there is replaced.
    pub name: String,
    /// SHA-256 of the file in hex: another file is not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A binary that a task has an agent run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryBody {
    /// The name that tasks call it by.
    pub name: String,
    /// SHA-256 of it in hex, as tasks say it.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was brought.
    pub created_at: String,
}

impl From<Binary> for BinaryBody {
    fn from(binary: Binary) -> Self {
        Self {
            name: binary.name,
            sha256: hex(&binary.file.sha256),
            size: binary.file.size,
            created_at: rfc3339(binary.created_at),
        }
    }
}

/// Releases, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseList {
    /// They.
    pub releases: Vec<ReleaseBody>,
}

/// Models, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelList {
    /// They.
    pub models: Vec<ModelBody>,
}

/// Binaries, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryList {
    /// They.
    pub binaries: Vec<BinaryBody>,
}

/// A key that signs releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyBody {
    /// Its number.
    pub number: No,
    /// The public key: base64 of 32 bytes of Ed25519.
    pub public_key: String,
    /// Whether newcomers are given it.
    pub current: bool,
    /// How many agents check releases by it.
    pub agents: u64,
    /// When it was made; not known of the first one.
    pub created_at: Option<String>,
    /// When it was retired.
    pub retired_at: Option<String>,
}

/// The keys that sign releases, the first one first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyList {
    /// They.
    pub keys: Vec<SigningKeyBody>,
}

impl From<Vec<SigningKeyView>> for SigningKeyList {
    fn from(views: Vec<SigningKeyView>) -> Self {
        let key = |view: SigningKeyView| SigningKeyBody {
            number: view.no,
            public_key: view.public_key,
            current: view.current,
            agents: view.agents,
            created_at: view.created_at.map(rfc3339),
            retired_at: view.retired_at.map(rfc3339),
        };
        Self { keys: views.into_iter().map(key).collect() }
    }
}

/// How a key is to be retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetireKey {
    /// Also if agents check releases by it, which take none from then on.
    #[serde(default)]
    pub force: bool,
}

impl From<ObjectError> for Refusal {
    fn from(error: ObjectError) -> Self {
        match &error {
            ObjectError::TooLarge { .. } => Self::too_large(error.to_string()),
            ObjectError::Empty | ObjectError::OtherDigest { .. } | ObjectError::Interrupted(_) => {
                Self::invalid(format!("file: {error}"))
            }
            ObjectError::TooSlow => Self::too_slow(error.to_string()),
            ObjectError::Store(_) | ObjectError::Io(_) => {
                tracing::error!(%error, "a file cannot be kept");
                Self::unavailable("the file cannot be kept at the moment; the server's log says why")
            }
        }
    }
}

/// Whether a request carries the bytes of a file, and not JSON.
fn brings_file(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/octet-stream"))
}

/// The query of a request and its body, which is not read yet.
async fn opened<T: DeserializeOwned + 'static>(request: Request) -> Result<(T, axum::body::Body), Refusal> {
    let (mut parts, body) = request.into_parts();
    let Parameters(query) = Parameters::<T>::from_request_parts(&mut parts, &()).await?;
    Ok((query, body))
}

/// The digest that was said of a file.
fn said(faults: &mut Faults, sha256: Option<&str>) -> Option<[u8; 32]> {
    let digest = sha256.and_then(unhex);
    if sha256.is_some() && digest.is_none() {
        faults.add("sha256", "must be 64 hex digits");
    }
    digest
}

impl Files {
    async fn bring(
        &self,
        kind: FileKind,
        body: axum::body::Body,
        said: Option<[u8; 32]>,
    ) -> Result<Brought, Refusal> {
        Ok(self.objects()?.bring(kind, body, said, self.patience).await?)
    }

    /// Keeps a file and what refers to it, whether or not the caller waits for the end of that.
    async fn keep<T: Send + 'static>(
        &self,
        kind: FileKind,
        brought: Brought,
        register: impl Future<Output = Result<(T, Freed), Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let objects = self.objects()?.clone();
        uncut(async move { objects.keep(kind, brought, register).await }).await
    }

    /// Removes something and its file.
    async fn remove(
        &self,
        remove: impl Future<Output = Result<Freed, OperatorError>> + Send + 'static,
    ) -> Result<StatusCode, Refusal> {
        match self.objects.clone() {
            Some(objects) => uncut(async move { Ok(objects.remove(remove).await?) }).await?,
            None => drop(remove.await?),
        }
        Ok(StatusCode::NO_CONTENT)
    }
}

/// Comes to its end even if the caller has hung up: a file and what refers to it come and go together.
async fn uncut<T: Send + 'static>(
    step: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::spawn(step).await.unwrap_or_else(|_| Err(Refusal::unavailable("the server is stopping")))
}

pub(super) async fn add_release<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Extension(files): Extension<Files>,
    request: Request,
) -> Result<(StatusCode, Json<ReleaseBody>), Refusal> {
    let mut faults = Faults::default();
    if !brings_file(request.headers()) {
        let Body(body) = Body::<NewReleaseBody>::from_request(request, &()).await?;
        platform(&mut faults, &body.version, &body.os, &body.arch);
        let sha256 = unhex(&body.sha256);
        if sha256.is_none() {
            faults.add("sha256", "must be 64 hex digits");
        }
        faults.range("size", body.size, &SIZE);
        faults.url("download_url", &body.download_url);
        let sha256 = faults.none_or(sha256)?;
        let wish = NewRelease {
            version: body.version,
            os: body.os,
            arch: body.arch,
            sha256,
            size: body.size,
            download_url: Some(body.download_url),
            mandatory: body.mandatory,
        };
        return Ok((StatusCode::CREATED, Json(core.add_release(tenant, wish).await?.into())));
    }
    let (wish, body) = opened::<ReleaseUpload>(request).await?;
    platform(&mut faults, &wish.version, &wish.os, &wish.arch);
    let said = said(&mut faults, wish.sha256.as_deref());
    faults.none_or(Some(()))?;
    let brought = files.bring(FileKind::Release, body, said).await?;
    let file = brought.file;
    let release = files.keep(FileKind::Release, brought, async move {
        let ReleaseUpload { version, os, arch, mandatory, .. } = wish;
        let (sha256, size) = (file.sha256, file.size);
        let wish = NewRelease { version, os, arch, sha256, size, download_url: None, mandatory };
        Ok((core.add_release(tenant, wish).await?, Freed::No))
    });
    Ok((StatusCode::CREATED, Json(release.await?.into())))
}

fn platform(faults: &mut Faults, version: &str, os: &str, arch: &str) {
    for (place, text) in [("version", version), ("os", os), ("arch", arch)] {
        faults.text(place, text);
    }
}

pub(super) async fn releases<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
) -> Answer<ReleaseList> {
    let releases = core.releases(tenant).await?.into_iter().map(Into::into).collect();
    Ok(Json(ReleaseList { releases }))
}

pub(super) async fn remove_release<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Extension(files): Extension<Files>,
    Segments(number): Segments<No>,
) -> Result<StatusCode, Refusal> {
    files.remove(async move { core.remove_release(tenant, number).await }).await
}

pub(super) async fn add_model<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Extension(files): Extension<Files>,
    request: Request,
) -> Result<(StatusCode, Json<ModelBody>), Refusal> {
    let mut faults = Faults::default();
    if !brings_file(request.headers()) {
        let Body(body) = Body::<NewModelBody>::from_request(request, &()).await?;
        faults.url("download_url", &body.download_url);
        let model = NewModel {
            id: body.id,
            name: body.name,
            version: body.version,
            place: FilePlace::Url(body.download_url),
            file_ext: body.file_ext,
            label_map: body.label_map,
        };
        let model = sensible(faults, model)?;
        return Ok((StatusCode::CREATED, Json(core.add_model(tenant, model).await?.into())));
    }
    let (wish, body) = opened::<ModelUpload>(request).await?;
    let said = said(&mut faults, wish.sha256.as_deref());
    let ModelUpload { id, name, version, file_ext, label_map, .. } = wish;
    // Where it is, is known once it has come.
    let place = FilePlace::Url(String::new());
    let model = sensible(faults, NewModel { id, name, version, place, file_ext, label_map })?;
    let brought = files.bring(FileKind::Model, body, said).await?;
    let model = NewModel { place: FilePlace::Held(brought.file), ..model };
    let model = files
        .keep(FileKind::Model, brought, async move { Ok((core.add_model(tenant, model).await?, Freed::No)) });
    Ok((StatusCode::CREATED, Json(model.await?.into())))
}

fn sensible(mut faults: Faults, model: NewModel) -> Result<NewModel, Refusal> {
    faults.optional_text("id", model.id.as_deref());
    faults.text("name", &model.name);
    faults.text("version", &model.version);
    faults.optional_text("file_ext", model.file_ext.as_deref());
    if let Some(label_map) = &model.label_map {
        faults.label_map("label_map", label_map);
    }
    faults.none_or(Some(model))
}

pub(super) async fn models<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
) -> Answer<ModelList> {
    let models = core.models(tenant).await?.into_iter().map(Into::into).collect();
    Ok(Json(ModelList { models }))
}

pub(super) async fn remove_model<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Extension(files): Extension<Files>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Refusal> {
    files.remove(async move { core.remove_model(tenant, id).await }).await
}

pub(super) async fn add_binary<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Extension(files): Extension<Files>,
    request: Request,
) -> Result<(StatusCode, Json<BinaryBody>), Refusal> {
    if !brings_file(request.headers()) {
        return Err(Refusal::invalid("the body must be a file and be called application/octet-stream"));
    }
    let (wish, body) = opened::<BinaryUpload>(request).await?;
    let mut faults = Faults::default();
    faults.text("name", &wish.name);
    if base_name(&wish.name) != Some(&wish.name) {
        faults.add("name", "must be the name of a file, without a folder");
    }
    let said = said(&mut faults, wish.sha256.as_deref());
    faults.none_or(Some(()))?;
    let brought = files.bring(FileKind::Binary, body, said).await?;
    let file = brought.file;
    let binary = files
        .keep(FileKind::Binary, brought, async move { Ok(core.put_binary(tenant, wish.name, file).await?) });
    Ok((StatusCode::CREATED, Json(binary.await?.into())))
}

pub(super) async fn binaries<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
) -> Answer<BinaryList> {
    let binaries = core.binaries(tenant).await?.into_iter().map(Into::into).collect();
    Ok(Json(BinaryList { binaries }))
}

pub(super) async fn remove_binary<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Extension(files): Extension<Files>,
    Segments(name): Segments<String>,
) -> Result<StatusCode, Refusal> {
    files.remove(async move { core.remove_binary(tenant, name).await }).await
}

pub(super) async fn release_key<S: Store>(State(core): Asked<S>) -> Json<ReleaseKeyBody> {
    Json(ReleaseKeyBody { algorithm: "ed25519".to_owned(), public_key: core.release_key() })
}

pub(super) async fn release_keys<S: Store>(State(core): Asked<S>) -> Json<SigningKeyList> {
    Json(core.release_keys().into())
}

pub(super) async fn rotate_release_key<S: Store>(State(core): Asked<S>) -> Answer<SigningKeyList> {
    Ok(Json(core.rotate_release_key().await?.into()))
}

pub(super) async fn retire_release_key<S: Store>(
    State(core): Asked<S>,
    Segments(number): Segments<No>,
    Parameters(how): Parameters<RetireKey>,
) -> Answer<SigningKeyList> {
    Ok(Json(core.retire_release_key(number, how.force).await?.into()))
}

/// What makes an address good for a while.
#[derive(Debug, Deserialize)]
pub(super) struct Presigned {
    #[serde(default)]
    expires: i64,
    #[serde(default)]
    signature: String,
}

/// A file for whoever has its address: no other credentials are asked for.
pub(super) async fn object<S: Store>(
    State(core): State<Arc<Core<S>>>,
    Extension(files): Extension<Files>,
    Segments((folder, sha256)): Segments<(String, String)>,
    presigned: Parameters<Presigned>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Parameters(Presigned { expires, signature }) = presigned;
    let object = format!("{folder}/{sha256}");
    core.check_address(&object, expires, &signature).map_err(|bad| match bad {
        BadAddress::Forged => Refusal::forbidden("this address is none that was given out"),
        BadAddress::Expired => Refusal::gone("this address is good no more; ask for another one"),
    })?;
    let objects = files.objects()?;
    let size = objects.size(&object).await?;
    let size = size.ok_or_else(|| Refusal::not_found("there is no such file any more"))?;
    let head = FileHead::new(size, &sha256).under(&Conditions::of(&headers));
    let file = File::stored(head, object);
    let response = <Streamed as Reply>::write(&file).map_err(|error| Refusal::internal(&error))?;
    let body = match file.piece() {
        Some(piece) => objects.fetch(piece).await?,
        None => Payload::from(response.body().clone()),
    };
    Ok(response.map(|_| axum::body::Body::new(body)).into_response())
}
