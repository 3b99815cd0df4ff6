//! Files that are held here: brought by operators, fetched by agents. They lie under what is in them, so that a file
//! is whole or not there, and the same file is kept once.

use std::fmt;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use fleetwire_protocol::Piece;
use fleetwire_server_core::domain::{FileKind, Freed, HeldFile};
use fleetwire_server_core::keys::hex;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use ring::digest;
use tokio::sync::Mutex;

/// The folder of files that have not arrived whole.
const INCOMING: &str = "incoming";

/// Bytes of a file on its way in that are held at one time.
const PART: usize = 1 << 20;

/// The most bytes that files may have which operators bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLimits {
    /// The file of a release.
    pub release: u64,
    /// A binary of a test. The agents take no larger one than the default.
    pub binary: u64,
    /// A model.
    pub model: u64,
}

impl Default for ObjectLimits {
    fn default() -> Self {
        Self { release: 200 << 20, binary: 100 << 20, model: 2 << 30 }
    }
}

impl ObjectLimits {
    pub(crate) const fn of(&self, kind: FileKind) -> u64 {
        match kind {
            FileKind::Release => self.release,
            FileKind::Binary => self.binary,
            FileKind::Model => self.model,
        }
    }
}

/// The files of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    folder: Arc<PathBuf>,
    limits: ObjectLimits,
    /// Held by whoever gives a file its name or takes it away together with what refers to it.
    turn: Arc<Mutex<()>>,
    /// Numbers those that arrive.
    arriving: Arc<AtomicU64>,
}

/// Why a file could not be brought, kept or fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ObjectError {
    #[error("the file has more than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the file is empty")]
    Empty,
    #[error("the file has the SHA-256 {found}, and another was said")]
    OtherDigest { found: String },
    #[error("the file did not arrive whole: {0}")]
    Interrupted(String),
    #[error("the file did not arrive in time")]
    TooSlow,
    #[error("the folder of files: {0}")]
    Store(#[from] object_store::Error),
    #[error("the folder of files: {0}")]
    Io(#[from] io::Error),
}

/// A file that has arrived, is what it was said to be, and has no name yet.
#[derive(Debug)]
pub(crate) struct Brought {
    pub(crate) file: HeldFile,
    /// Where it lies.
    at: Path,
}

impl Objects {
    /// Files in a folder, which is made if it is not there. What an earlier server did not bring to its end there is
    /// thrown away.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn open(folder: &FilePath, limits: ObjectLimits) -> io::Result<Self> {
        let incoming = folder.join(INCOMING);
        match std::fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for sub in FileKind::ALL.map(FileKind::folder).into_iter().chain([INCOMING]) {
            make_private(&folder.join(sub))?;
        }
        let store = LocalFileSystem::new_with_prefix(folder).map_err(io::Error::other)?;
        Ok(Self {
            store: Arc::new(store),
            folder: Arc::new(folder.to_owned()),
            limits,
            turn: Arc::default(),
            arriving: Arc::default(),
        })
    }

    /// Takes a file in, of which no more is held in memory than a part, and looks whether it is the one that was
    /// said. `patience` is for each piece of it.
    pub(crate) async fn bring<B>(
        &self,
        kind: FileKind,
        body: B,
        said: Option<[u8; 32]>,
        patience: Duration,
    ) -> Result<Brought, ObjectError>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: fmt::Display,
    {
        let number = self.arriving.fetch_add(1, Ordering::Relaxed);
        let at = Path::from(format!("{INCOMING}/{number}"));
        let mut upload = self.store.put_multipart(&at).await?;
        let arrival = async {
            let mut body = std::pin::pin!(body);
            let mut digest = digest::Context::new(&digest::SHA256);
            let (mut size, limit) = (0_u64, self.limits.of(kind));
            let mut part = BytesMut::new();
            loop {
                let frame = tokio::time::timeout(patience, body.frame()).await;
                let Some(frame) = frame.map_err(|_| ObjectError::TooSlow)? else { break };
                let frame = frame.map_err(|broken| ObjectError::Interrupted(broken.to_string()))?;
                let Ok(mut data) = frame.into_data() else { continue };
                size = size.saturating_add(data.remaining() as u64);
                if size > limit {
                    return Err(ObjectError::TooLarge { limit });
                }
                while data.has_remaining() {
                    let piece = data.copy_to_bytes(data.chunk().len());
                    digest.update(&piece);
                    part.extend_from_slice(&piece);
                }
                if part.len() >= PART {
                    upload.put_part(part.split().freeze().into()).await?;
                }
            }
            if size == 0 {
                return Err(ObjectError::Empty);
            }
            let mut sha256 = [0; 32];
            sha256.copy_from_slice(digest.finish().as_ref());
            if said.is_some_and(|said| said != sha256) {
                return Err(ObjectError::OtherDigest { found: hex(&sha256) });
            }
            if !part.is_empty() {
                upload.put_part(part.freeze().into()).await?;
            }
            Ok(HeldFile { sha256, size })
        };
        match arrival.await {
            Ok(file) => {
                upload.complete().await?;
                self.sync(&at).await?;
                Ok(Brought { file, at })
            }
            Err(error) => {
                // What cannot be thrown away now is at the next start.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    /// Gives a file that was brought its name and has it registered. What is not registered is not kept.
    pub(crate) async fn keep<T, E: From<ObjectError>>(
        &self,
        kind: FileKind,
        brought: Brought,
        register: impl Future<Output = Result<(T, Freed), E>>,
    ) -> Result<T, E> {
        let _turn = self.turn.lock().await;
        let name = Path::from(kind.object(&brought.file.sha256));
        let known = self.store.head(&name).await.is_ok_and(|meta| meta.size == brought.file.size);
        if known {
            self.throw_away(&brought.at).await;
        } else {
            self.store.rename(&brought.at, &name).await.map_err(ObjectError::from)?;
            self.sync(&name).await?;
        }
        match register.await {
            Ok((made, freed)) => {
                self.let_go(freed).await;
                Ok(made)
            }
            Err(error) => {
                if !known {
                    self.throw_away(&name).await;
                }
                Err(error)
            }
        }
    }

    /// Has something removed, and its file with it if nothing else needs it.
    pub(crate) async fn remove<E>(&self, remove: impl Future<Output = Result<Freed, E>>) -> Result<(), E> {
        let _turn = self.turn.lock().await;
        self.let_go(remove.await?).await;
        Ok(())
    }

    async fn let_go(&self, freed: Freed) {
        if let Freed::Object(name) = freed {
            self.throw_away(&Path::from(name)).await;
        }
    }

    async fn throw_away(&self, at: &Path) {
        if let Err(error) = self.store.delete(at).await {
            tracing::warn!(%error, "a file that nothing needs could not be removed");
        }
    }

    /// Opens a piece of a file to be sent.
    pub(crate) async fn fetch(&self, piece: Piece) -> Result<Payload, ObjectError> {
        let left = piece.range.end.saturating_sub(piece.range.start);
        let options = GetOptions::default().with_range(Some(GetRange::Bounded(piece.range)));
        let found = self.store.get_opts(&Path::from(piece.object), options).await?;
        Ok(Payload(Kind::File { stream: found.into_stream(), left }))
    }

    /// How large a file is that is held here, if it is.
    pub(crate) async fn size(&self, object: &str) -> Result<Option<u64>, ObjectError> {
        match self.store.head(&Path::from(object)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until a file, and its name, have come to the disk.
    async fn sync(&self, at: &Path) -> Result<(), ObjectError> {
        let path = self.folder.join(at.as_ref());
        let synced = tokio::task::spawn_blocking(move || -> io::Result<()> {
            std::fs::File::open(&path)?.sync_all()?;
            #[cfg(unix)]
            if let Some(folder) = path.parent() {
                std::fs::File::open(folder)?.sync_all()?;
            }
            Ok(())
        });
        Ok(synced.await.map_err(io::Error::other)??)
    }
}

/// Nobody but the owner looks into a folder of the server.
fn make_private(path: &FilePath) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The body of an answer: a message, or a file that is read while it is sent.
pub struct Payload(Kind);

enum Kind {
    Message(Full<Bytes>),
    File { stream: Chunks, left: u64 },
}

/// Pieces of a file.
type Chunks = Pin<Box<dyn Stream<Item = object_store::Result<Bytes>> + Send>>;

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({:?} bytes)", self.size_hint().exact())
    }
}

impl From<Bytes> for Payload {
    fn from(message: Bytes) -> Self {
        Self(Kind::Message(Full::new(message)))
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.0 {
            Kind::Message(message) => Pin::new(message).poll_frame(context).map_err(|never| match never {}),
            Kind::File { left: 0, .. } => Poll::Ready(None),
            Kind::File { stream, left } => stream.as_mut().poll_next(context).map(|next| match next {
                Some(Ok(piece)) => {
                    *left = left.saturating_sub(piece.len() as u64);
                    Some(Ok(Frame::data(piece)))
                }
                // The head has said more: the connection breaks, so that nobody takes a part for the whole.
                None => Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof))),
                Some(Err(error)) => {
                    tracing::error!(%error, "a file could not be read to its end");
                    Some(Err(io::Error::other(error)))
                }
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Message(message) => message.is_end_stream(),
            Kind::File { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Message(message) => message.size_hint(),
            Kind::File { left, .. } => SizeHint::with_exact(*left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of so many pieces of 64 KiB.
    struct Pieces(u64);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            static PIECE: [u8; 1 << 16] = [7; 1 << 16];
            let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
            self.0 = left;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE)))))
        }
    }

    #[tokio::test]
    async fn large_file_goes_in_and_out_in_pieces() {
        const SIZE: u64 = 64 << 20;
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path(), ObjectLimits::default()).unwrap();
        let patience = Duration::from_secs(60);
        let brought = objects.bring(FileKind::Binary, Pieces(SIZE >> 16), None, patience).await.unwrap();
        assert_eq!(brought.file.size, SIZE);
        let object = FileKind::Binary.object(&brought.file.sha256);
        let kept = objects.keep(FileKind::Binary, brought, async { Ok::<_, ObjectError>(((), Freed::No)) });
        kept.await.unwrap();
        assert_eq!(objects.size(&object).await.unwrap(), Some(SIZE));

        let head = fleetwire_protocol::FileHead::new(SIZE, "");
        let piece = fleetwire_protocol::File::stored(head, object).piece().unwrap();
        let mut body = objects.fetch(piece).await.unwrap();
        assert_eq!(body.size_hint().exact(), Some(SIZE));
        let (mut sum, mut largest) = (0, 0);
        while let Some(frame) = body.frame().await {
            let length = frame.unwrap().into_data().unwrap().len();
            sum += length as u64;
            largest = largest.max(length);
        }
        assert_eq!(sum, SIZE);
        assert!(largest <= PART, "no more than a part is held: {largest}");
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn start_throws_away_what_did_not_arrive_whole() {
        let folder = tempfile::tempdir().unwrap();
        Objects::open(folder.path(), ObjectLimits::default()).unwrap();
        std::fs::write(folder.path().join("incoming/7"), "half").unwrap();
        std::fs::write(folder.path().join("models/ab"), "whole").unwrap();
        let objects = Objects::open(folder.path(), ObjectLimits::default()).unwrap();
        assert_eq!(objects.size("incoming/7").await.unwrap(), None);
        assert_eq!(objects.size("models/ab").await.unwrap(), Some(5));
    }

    #[tokio::test]
    async fn what_is_not_registered_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path(), ObjectLimits::default()).unwrap();
        let bring = || objects.bring(FileKind::Model, Pieces(1), None, Duration::from_secs(5));
        let brought = bring().await.unwrap();
        let object = FileKind::Model.object(&brought.file.sha256);
        let refused =
            objects.keep(FileKind::Model, brought, async { Err::<((), Freed), _>(ObjectError::Empty) });
        assert!(refused.await.is_err());
        assert_eq!(objects.size(&object).await.unwrap(), None);
        // One that was there before stays.
        let register = async { Ok::<_, ObjectError>(((), Freed::No)) };
        objects.keep(FileKind::Model, bring().await.unwrap(), register).await.unwrap();
        let refused = async { Err::<((), Freed), _>(ObjectError::Empty) };
        assert!(objects.keep(FileKind::Model, bring().await.unwrap(), refused).await.is_err());
        assert_eq!(objects.size(&object).await.unwrap(), Some(1 << 16));
    }
}
