//! `fleetwire releases`, `models` and `binaries`: what agents fetch.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context as Task, Poll};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Subcommand;
use fleetwire_client::{ReqwestTransport, Transport};
use fleetwire_server::control::{
    BinaryBody, BinaryList, BinaryUpload, ModelBody, ModelList, ModelUpload, NewModelBody, NewReleaseBody,
    ReleaseBody, ReleaseKeyBody, ReleaseList, ReleaseUpload, RetireKey, SigningKeyList,
};
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::api::Api;
use super::arguments::digest_file;
use super::{Form, or_dash, yes_or_no};
use crate::table::{self, Table};

/// What is wanted of models.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Bring the file of one, or register one whose file devices fetch elsewhere, from --url.
    #[command(disable_version_flag = true)]
    Add {
        /// The file
        #[arg(required_unless_present = "url", conflicts_with = "url")]
        file: Option<PathBuf>,
        /// Its name
        #[arg(long)]
        name: String,
        /// Its version
        #[arg(long)]
        version: String,
        /// Where devices fetch its file
        #[arg(long)]
        url: Option<String>,
        /// Its id; made up if there is none
        #[arg(long)]
        id: Option<String>,
        /// The ending of its file, such as onnx
        #[arg(long, value_name = "EXT")]
        file_ext: Option<String>,
        /// The names of its classes, as JSON
        #[arg(long, value_name = "JSON")]
        label_map: Option<String>,
    },
    /// List them.
    List,
    /// Forget one that no device is to run, and its file.
    Remove {
        /// Its id
        id: String,
    },
}

/// What is wanted of releases.
#[derive(Debug, Subcommand)]
pub(crate) enum ReleasesCommand {
    /// Have a file signed and offered to agents. It is brought to the server, or with --file only read, and agents fetch
    /// it from --url.
    #[command(disable_version_flag = true)]
    Add {
        /// The file to bring
        #[arg(value_name = "FILE", required_unless_present = "url", conflicts_with_all = ["file", "url"])]
        upload: Option<PathBuf>,
        /// The version
        #[arg(long)]
        version: String,
        /// The operating system that it runs on, such as linux
        #[arg(long)]
        os: String,
        /// The architecture that it runs on, such as amd64
        #[arg(long)]
        arch: String,
        /// The file that is at --url
        #[arg(long, value_name = "PATH", requires = "url")]
        file: Option<PathBuf>,
        /// Where agents fetch it
        #[arg(long, requires = "file")]
        url: Option<String>,
        /// Agents must change to it
        #[arg(long)]
        mandatory: bool,
    },
    /// List them, the latest first.
    List,
    /// Forget one, and its file; agents are offered the one before it.
    Remove {
        /// Its number, as listed
        number: i64,
    },
    /// Print the public key by which newcomers check the signatures of releases.
    Key,
    /// List the keys that sign releases, with the number of agents that check by each.
    Keys,
    /// Make a new key for newcomers; the keys before it go on signing for the agents that were given them.
    RotateKey,
    /// Sign nothing by a key any more.
    RetireKey {
        /// Its number, as listed
        number: i64,
        /// Also if agents check by it, which take no release from then on
        #[arg(long)]
        force: bool,
    },
}

/// What is wanted of binaries.
#[derive(Debug, Subcommand)]
pub(crate) enum BinariesCommand {
    /// Bring one, in place of the one of its name.
    Add {
        /// The file
        file: PathBuf,
        /// The name that tasks call it by [default: that of the file]
        #[arg(long)]
        name: Option<String>,
    },
    /// List them.
    List,
    /// Forget one, and its file.
    Remove {
        /// Its name
        name: String,
    },
}

/// A transport that sends files without holding them.
pub(super) trait Upload: Transport {
    fn upload(
        &self,
        request: Request<FileBody>,
    ) -> impl Future<Output = Result<Response<Bytes>, Self::Error>> + Send;
}

impl Upload for ReqwestTransport {
    async fn upload(&self, request: Request<FileBody>) -> Result<Response<Bytes>, Self::Error> {
        Self::upload(self, request).await
    }
}

/// Bytes of a file that are read at one time.
const PIECE: usize = 256 * 1024;

/// A file that is read while it is sent, with a bar at a terminal.
#[derive(Debug)]
pub(super) struct FileBody {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
    bar: ProgressBar,
}

impl FileBody {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let left = file.metadata()?.len();
        let (sender, pieces) = mpsc::channel(2);
        tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; PIECE];
            loop {
                let piece = match file.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(count) => Ok(Bytes::copy_from_slice(&buffer[..count])),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = piece.is_err();
                // Nobody listens any more once the server has answered.
                if sender.blocking_send(piece).is_err() || failed {
                    return;
                }
            }
        });
        let bar = if io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(left), ProgressDrawTarget::stderr_with_hz(5));
            let form = "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go";
            bar.with_style(
                ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()),
            )
        } else {
            ProgressBar::hidden()
        };
        Ok(Self { pieces, left, bar })
    }
}

impl Drop for FileBody {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(task).map(|next| {
            let piece = match next? {
                Ok(piece) => piece,
                Err(error) => return Some(Err(error)),
            };
            self.left = self.left.saturating_sub(piece.len() as u64);
            self.bar.inc(piece.len() as u64);
            Some(Ok(Frame::data(piece)))
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Brings a file; the server is told its digest, so that it takes no other.
async fn bring<T: Upload>(
    api: &Api<T>,
    path: &str,
    file: &Path,
    wish: impl FnOnce(String) -> Result<Value>,
) -> Result<Value> {
    let unreadable = || format!("cannot read {}", file.display());
    let (sha256, _) = digest_file(file).with_context(unreadable)?;
    let body = FileBody::open(file).with_context(unreadable)?;
    api.upload(&[path], &wish(sha256)?, body).await
}

fn members(wish: &impl Serialize) -> Result<Value> {
    Ok(serde_json::to_value(wish)?)
}

/// What is printed of something that was removed: the server answers nothing that could be shown as JSON.
fn removed(form: Form, what: &str) -> String {
    if form == Form::Text { format!("{} is removed.\n", table::line(what)) } else { String::new() }
}

impl ModelsCommand {
    pub(super) async fn ask<T: Upload>(self, api: &Api<T>, form: Form) -> Result<String> {
        match self {
            Self::Add { file: Some(file), name, version, id, file_ext, label_map, .. } => {
                let wish = |sha256| {
                    members(&ModelUpload { id, name, version, file_ext, label_map, sha256: Some(sha256) })
                };
                form.show(bring(api, "models", &file, wish).await?, |body: ModelBody| model(&body))
            }
            Self::Add { name, version, url, id, file_ext, label_map, .. } => {
                let download_url = url.context("either a file or --url")?;
                let body = NewModelBody { id, name, version, download_url, file_ext, label_map };
                let answer = api.send(Method::POST, &["models"], &body).await?;
                form.show(answer, |body: ModelBody| model(&body))
            }
            Self::List => form.show(api.get(&["models"], &()).await?, models),
            Self::Remove { id } => {
                api.send(Method::DELETE, &["models", &id], &()).await?;
                Ok(removed(form, &id))
            }
        }
    }
}

impl ReleasesCommand {
    pub(super) async fn ask<T: Upload>(self, api: &Api<T>, form: Form) -> Result<String> {
        match self {
            Self::Add { upload: Some(file), version, os, arch, mandatory, .. } => {
                let wish =
                    |sha256| members(&ReleaseUpload { version, os, arch, mandatory, sha256: Some(sha256) });
                form.show(bring(api, "releases", &file, wish).await?, |body: ReleaseBody| release(&body))
            }
            Self::Add { version, os, arch, file, url, mandatory, .. } => {
                let (file, download_url) = file.zip(url).context("either a file, or --file and --url")?;
                let (sha256, size) =
                    digest_file(&file).with_context(|| format!("cannot read {}", file.display()))?;
                let body = NewReleaseBody { version, os, arch, sha256, size, download_url, mandatory };
                let answer = api.send(Method::POST, &["releases"], &body).await?;
                form.show(answer, |body: ReleaseBody| release(&body))
            }
            Self::List => form.show(api.get(&["releases"], &()).await?, releases),
            Self::Remove { number } => {
                let number = number.to_string();
                api.send(Method::DELETE, &["releases", &number], &()).await?;
                Ok(removed(form, &number))
            }
            Self::Key => {
                let answer = api.get(&["release-key"], &()).await?;
                form.show(answer, |key: ReleaseKeyBody| {
                    table::pairs(&[("algorithm", &key.algorithm), ("public key", &key.public_key)])
                })
            }
            Self::Keys => form.show(api.get(&["release-keys"], &()).await?, keys),
            Self::RotateKey => form.show(api.send(Method::POST, &["release-keys"], &()).await?, keys),
            Self::RetireKey { number, force } => {
                let number = number.to_string();
                let path = ["release-keys", number.as_str()];
                form.show(api.delete(&path, &RetireKey { force }).await?, keys)
            }
        }
    }
}

impl BinariesCommand {
    pub(super) async fn ask<T: Upload>(self, api: &Api<T>, form: Form) -> Result<String> {
        match self {
            Self::Add { file, name } => {
                let own = || file.file_name().map(|name| name.to_string_lossy().into_owned());
                let name = name.or_else(own).context("a file has a name")?;
                let wish = |sha256| members(&BinaryUpload { name, sha256: Some(sha256) });
                form.show(bring(api, "binaries", &file, wish).await?, |binary: BinaryBody| {
                    table::pairs(&[
                        ("name", &binary.name),
                        ("size", &binary.size.to_string()),
                        ("sha256", &binary.sha256),
                    ])
                })
            }
            Self::List => form.show(api.get(&["binaries"], &()).await?, binaries),
            Self::Remove { name } => {
                api.send(Method::DELETE, &["binaries", &name], &()).await?;
                Ok(removed(form, &name))
            }
        }
    }
}

const HERE: &str = "on the server";

fn model(model: &ModelBody) -> String {
    let mut lines = table::pairs(&[
        ("id", &model.id),
        ("name", &model.name),
        ("version", &model.version),
        ("url", model.download_url.as_deref().unwrap_or(HERE)),
    ]);
    if let (Some(size), Some(sha256)) = (model.size, &model.sha256) {
        lines.push_str(&table::pairs(&[("size", &size.to_string()), ("sha256", sha256)]));
    }
    lines
}

fn release(release: &ReleaseBody) -> String {
    table::pairs(&[
        ("number", &release.number.to_string()),
        ("version", &release.version),
        ("os", &release.os),
        ("arch", &release.arch),
        ("size", &release.size.to_string()),
        ("sha256", &release.sha256),
        ("signature", &release.signature),
        ("url", release.download_url.as_deref().unwrap_or(HERE)),
        ("mandatory", yes_or_no(release.mandatory)),
    ])
}

fn models(list: ModelList) -> String {
    let mut table = Table::new(["ID", "NAME", "VERSION", "SIZE", "WHERE"]);
    for model in list.models {
        table.row([
            &model.id,
            &model.name,
            &model.version,
            or_dash(model.size.map(|size| size.to_string()).as_deref()),
            model.download_url.as_deref().unwrap_or(HERE),
        ]);
    }
    table.finish("No models. `fleetwire models add` brings one.")
}

fn releases(list: ReleaseList) -> String {
    let mut table = Table::new(["NUMBER", "VERSION", "OS", "ARCH", "SIZE", "MANDATORY", "WHERE"]);
    for release in list.releases {
        table.row([
            &release.number.to_string(),
            &release.version,
            &release.os,
            &release.arch,
            &release.size.to_string(),
            yes_or_no(release.mandatory),
            release.download_url.as_deref().unwrap_or(HERE),
        ]);
    }
    table.finish("No releases. `fleetwire releases add` brings one.")
}

fn binaries(list: BinaryList) -> String {
    let mut table = Table::new(["NAME", "SIZE", "SHA256", "BROUGHT"]);
    for binary in list.binaries {
        table.row([&binary.name, &binary.size.to_string(), &binary.sha256, &binary.created_at]);
    }
    table.finish("No binaries. `fleetwire binaries add` brings one.")
}

fn keys(list: SigningKeyList) -> String {
    let mut table = Table::new(["NUMBER", "PUBLIC KEY", "FOR NEWCOMERS", "AGENTS", "RETIRED"]);
    for key in list.keys {
        table.row([
            &key.number.to_string(),
            &key.public_key,
            yes_or_no(key.current),
            &key.agents.to_string(),
            or_dash(key.retired_at.as_deref()),
        ]);
    }
    table.finish("No keys.")
}
