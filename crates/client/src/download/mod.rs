//! Files that work needs, such as a task's binary or a model: fetched while they come, gone on with after a connection
//! that broke, and checked before anybody sees them.
//!
#![cfg_attr(feature = "ureq", doc = "```no_run")]
#![cfg_attr(not(feature = "ureq"), doc = "```ignore")]
//! use fleetwire_client::UreqTransport;
//! use fleetwire_client::download::Download;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Download::at("https://fleet.example/models/7", "/var/lib/agent/models", "model-7.bin")?
//!     .sha256("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")?
//!     .size(123_456_789)
//!     .limit(1 << 30);
//! let got = model.fetch_blocking(&UreqTransport::new()?)?;
//! println!("{}", got.path.display());
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! * Nobody sees a file that is not whole: it comes under another name, for its user's eyes only, is digested while it
//!   is written and moved to its place after that, when it is safe on the disk.
//! * A broken connection, and a process that was killed, cost no byte that had come: what lies on the disk is digested
//!   and the rest asked for (`Range`, and `If-Range` where the object has a strong `ETag`). An object that has changed
//!   meanwhile is fetched anew. Of a file without a known SHA-256 nothing is kept beyond the process.
//! * Credentials go to no other host than the one that they are for, no redirect leads from https to http, and no more
//!   than five are followed.
//! * Its size is bounded, and is what was announced. Who sends hardly anything is given up.
//! * What is refused for good is not asked for again; `Retry-After` is obeyed.

mod asked;
mod part;
mod plan;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

#[cfg(all(feature = "update", feature = "achilles"))]
pub(crate) use asked::Answerer;
pub(crate) use asked::{Asked, ask};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Request, StatusCode, Uri};
#[cfg(all(feature = "update", feature = "achilles"))]
pub(crate) use plan::origin;

use self::part::Part;
use self::plan::{End, Failure, Head, Plan};
#[cfg(feature = "system")]
use crate::runtime::{since_start, system_now, system_random, unit_interval};
#[cfg(feature = "system")]
use crate::{BlockingChunks, BlockingStreamTransport};
use crate::{Chunks, RetryPolicy, Runtime, Sleep, StreamTransport};

/// The most bytes that a file may have unless said otherwise.
const LIMIT: u64 = 100 << 20;

/// A file to be fetched: from where, to where, and within which bounds.
#[must_use = "nothing is fetched until it is asked for"]
pub struct Download {
    source: Source,
    folder: PathBuf,
    name: String,
    bounds: Bounds,
    within: Option<Duration>,
    stop: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Where the request for all of the file comes from. It is asked for anew for each connection, since signatures age.
enum Source {
    Fixed(Box<Request<Bytes>>),
    Signed(Arc<dyn Fn() -> Signing + Send + Sync>),
}

/// A request that is being signed.
pub(crate) type Signing = Asked<Result<Request<Bytes>, String>>;

/// What a file is held to.
#[derive(Debug, Clone)]
struct Bounds {
    size: Option<u64>,
    sha256: Option<String>,
    limit: u64,
    slowest: u64,
    retries: RetryPolicy,
}

impl Default for Bounds {
    fn default() -> Self {
        let retries = RetryPolicy {
            attempts: 8,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            longest_retry_after: Duration::from_secs(86_400),
            resend_if_unsure: true,
        };
        Self { size: None, sha256: None, limit: LIMIT, slowest: 1024, retries }
    }
}

/// A file that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downloaded {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, 64 lower hex digits.
    pub sha256: String,
}

/// Why a file was not fetched. Shows no address, which may have a signature in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The name is not that of a file in the folder.
    #[error("{0:?} is no name for a file")]
    Name(String),
    /// The address cannot be used.
    #[error("the address of the file cannot be used: {0}")]
    Address(&'static str),
    /// What the file should have is no SHA-256.
    #[error("the SHA-256 that the file should have is not 64 hex digits")]
    Digest,
    /// The request could not be signed.
    #[error("the request for the file could not be signed: {0}")]
    Unsigned(String),
    /// The server refused for good: there is no such file, say.
    #[error("the server refused the file with {0}")]
    Refused(StatusCode),
    /// A redirect cannot be followed.
    #[error("the redirect to the file is not followed: {0}")]
    Redirect(&'static str),
    /// The file is not as long as it should be.
    #[error("the file has {found} bytes and should have {expected}")]
    Size {
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has, or has at least.
        found: u64,
    },
    /// The file has more bytes than are taken.
    #[error("the file has more than {limit} bytes")]
    TooLong {
        /// The most bytes that are taken.
        limit: u64,
    },
    /// The server says no size and no SHA-256 is known, so that nothing tells whether all of it has come.
    #[error("neither size nor SHA-256 of the file is known")]
    Unmeasured,
    /// It came encoded, although that was not asked for.
    #[error("the file came in an encoding that was not asked for")]
    Encoded,
    /// All of it has come, and it is not the file that it should be. Nothing of it is kept.
    #[error("the file has the SHA-256 {found} and should have {expected}")]
    Hash {
        /// In hex.
        expected: String,
        /// In hex.
        found: String,
    },
    /// The disk is full. What had come was taken away.
    #[error("no room on the disk for {}", .0.display())]
    DiskFull(PathBuf),
    /// The file system said no.
    #[error("{}: {error}", .path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// The same file is being fetched by somebody else.
    #[error("{} is being fetched already", .0.display())]
    InUse(PathBuf),
    /// It failed too often. What has come is kept.
    #[error("given up after {attempts} attempts: {last}")]
    GaveUp {
        /// How many connections were tried.
        attempts: u32,
        /// Why the last one failed.
        last: String,
    },
    /// It was called off. What has come is kept.
    #[error("called off")]
    CalledOff,
    /// There was not enough time. What has come is kept.
    #[error("there was not enough time for it")]
    TooLate,
}

impl Download {
    /// A file at an address, fetched without credentials, to lie in a folder under a name.
    ///
    /// # Errors
    /// `url` is not a plain `http` or `https` address, or `name` is more than a file's name.
    pub fn at(url: &str, folder: impl Into<PathBuf>, name: &str) -> Result<Self, DownloadError> {
        let uri: Uri = url.trim().parse().map_err(|_| DownloadError::Address("it is no address"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(DownloadError::Address("it must begin with http:// or https://"));
        }
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err(DownloadError::Address("it must not hold a user name or password"));
        }
        let mut request = Request::default();
        *request.uri_mut() = uri;
        Self::of(request, folder, name)
    }

    /// A file that is the answer to a request, which may have credentials: they go to no other host.
    ///
    /// # Errors
    /// `name` is more than a file's name.
    pub fn of(
        request: Request<Bytes>,
        folder: impl Into<PathBuf>,
        name: &str,
    ) -> Result<Self, DownloadError> {
        Self::new(Source::Fixed(Box::new(request)), folder.into(), name)
    }

    /// A file whose request is signed anew for each connection.
    pub(crate) fn signed(
        sign: impl Fn() -> Signing + Send + Sync + 'static,
        folder: PathBuf,
        name: &str,
    ) -> Result<Self, DownloadError> {
        Self::new(Source::Signed(Arc::new(sign)), folder, name)
    }

    fn new(source: Source, folder: PathBuf, name: &str) -> Result<Self, DownloadError> {
        // No separator of any system, no device of Windows by its colon, none of our own names.
        let is_name = !name.is_empty()
            && name.len() <= 200
            && !name.starts_with('.')
            && !name.contains(|c: char| matches!(c, '/' | '\\' | ':') || c.is_control());
        if !is_name {
            return Err(DownloadError::Name(name.chars().take(64).collect()));
        }
        Ok(Self {
            source,
            folder,
            name: name.to_owned(),
            bounds: Bounds::default(),
            within: None,
            stop: Arc::new(|| false),
        })
    }

    /// The SHA-256 that the file must have, in hex. A file that lies at its place with it is not fetched again.
    ///
    /// # Errors
    /// `hex` is not 64 hex digits.
    pub fn sha256(mut self, hex: &str) -> Result<Self, DownloadError> {
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(DownloadError::Digest);
        }
        self.bounds.sha256 = Some(hex.to_ascii_lowercase());
        Ok(self)
    }

    /// The size that the file must have, in bytes.
    pub const fn size(mut self, bytes: u64) -> Self {
        self.bounds.size = Some(bytes);
        self
    }

    /// The most bytes that the file may have; 100 MiB by default.
    pub const fn limit(mut self, bytes: u64) -> Self {
        self.bounds.limit = bytes;
        self
    }

    /// The fewest bytes per second, over half a minute, for which a connection is kept; 1024 by default.
    pub const fn slowest(mut self, bytes_per_second: u64) -> Self {
        self.bounds.slowest = bytes_per_second;
        self
    }

    /// How often and how patiently it is tried: 8 attempts by default, waits that grow from 1 s to 60 s, up to a day
    /// where a server asks for it. Only attempts in a row count that bring next to nothing.
    pub fn retries(mut self, retries: RetryPolicy) -> Self {
        self.bounds.retries = retries;
        self
    }

    /// How long it may take altogether; as long as it likes by default.
    pub const fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// What calls it off: looked at between any two pieces, and while it waits.
    pub fn stop_if(mut self, stop: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.stop = Arc::new(stop);
        self
    }

    /// Fetches the file. Dropping the future stops it; what has come is kept. The disk is written to on this thread.
    ///
    /// # Errors
    /// As [`DownloadError`] says.
    pub async fn fetch(
        &self,
        transport: &impl StreamTransport,
        runtime: &impl Runtime,
    ) -> Result<Downloaded, DownloadError> {
        let mut job = match Job::begin(self, runtime.monotonic())? {
            Begun::There(there) => return Ok(there),
            Begun::Job(job) => job,
        };
        let left =
            |job: &Job<'_>| job.left(runtime.monotonic()).map(|left| left.map(|left| runtime.sleep(left)));
        while !job.is_done()? {
            let base = match &self.source {
                Source::Fixed(request) => request.as_ref().clone(),
                Source::Signed(sign) => signed(race(left(&job)?, sign()).await?)?,
            };
            let mut request = job.plan.begin(base)?;
            let failure = loop {
                let opened = race(left(&job)?, transport.open(request)).await?;
                let (head, mut body) = match opened {
                    Ok(response) => response.into_parts(),
                    Err(error) => break Some(Failure::new(error.to_string())),
                };
                match job.head(head.status, &head.headers, runtime.now())? {
                    Head::Follow(next) => request = *next,
                    Head::Failed(failure) => break Some(failure),
                    Head::Body { afresh } => {
                        job.body(afresh)?;
                        break loop {
                            match race(left(&job)?, body.next()).await? {
                                Ok(Some(piece)) => {
                                    if let Some(failure) = job.piece(&piece, runtime.monotonic())? {
                                        break Some(failure);
                                    }
                                }
                                Ok(None) => break job.ended(),
                                Err(error) => break Some(Failure::new(error.to_string())),
                            }
                        };
                    }
                }
            };
            if let Some(failure) = failure {
                let wait = job.failed(failure, runtime.random(), runtime.monotonic())?;
                race(left(&job)?, runtime.sleep(wait)).await?;
            }
        }
        job.finish()
    }

    /// Fetches the file while the caller waits. That it is called off shows when the next piece has come, or within the
    /// transport's time for one.
    ///
    /// # Errors
    /// As [`DownloadError`] says.
    #[cfg(feature = "system")]
    pub fn fetch_blocking(
        &self,
        transport: &impl BlockingStreamTransport,
    ) -> Result<Downloaded, DownloadError> {
        let mut job = match Job::begin(self, since_start())? {
            Begun::There(there) => return Ok(there),
            Begun::Job(job) => job,
        };
        while !job.is_done()? {
            let base = match &self.source {
                Source::Fixed(request) => request.as_ref().clone(),
                Source::Signed(sign) => {
                    let asked = sign();
                    signed(loop {
                        let slice = job.left(since_start())?.map_or(SLICE, |left| left.min(SLICE));
                        if let Some(answer) = asked.wait(slice) {
                            break answer;
                        }
                    })?
                }
            };
            let mut request = job.plan.begin(base)?;
            let failure = loop {
                let opened = transport.open(request, job.left(since_start())?);
                let (head, mut body) = match opened {
                    Ok(response) => response.into_parts(),
                    Err(error) => break Some(Failure::new(error.to_string())),
                };
                match job.head(head.status, &head.headers, system_now())? {
                    Head::Follow(next) => request = *next,
                    Head::Failed(failure) => break Some(failure),
                    Head::Body { afresh } => {
                        job.body(afresh)?;
                        break loop {
                            match body.next() {
                                Ok(Some(piece)) => {
                                    if let Some(failure) = job.piece(&piece, since_start())? {
                                        break Some(failure);
                                    }
                                }
                                Ok(None) => break job.ended(),
                                Err(error) => break Some(Failure::new(error.to_string())),
                            }
                        };
                    }
                }
            };
            if let Some(failure) = failure {
                let wait = job.failed(failure, unit_interval(system_random()), since_start())?;
                let until = since_start().saturating_add(wait);
                loop {
                    let rest = until.saturating_sub(since_start());
                    if rest.is_zero() {
                        break;
                    }
                    let left = job.left(since_start())?.unwrap_or(SLICE);
                    std::thread::sleep(rest.min(left).min(SLICE));
                }
            }
        }
        job.finish()
    }
}

/// How often it is looked at whether a download was called off while nothing comes.
#[cfg(feature = "system")]
const SLICE: Duration = Duration::from_millis(100);

fn signed(answer: Option<Result<Request<Bytes>, String>>) -> Result<Request<Bytes>, DownloadError> {
    // There is nobody to sign it any more.
    answer.unwrap_or(Err("the agent has stopped".to_owned())).map_err(DownloadError::Unsigned)
}

/// Waits for `future` for as long as there is time.
async fn race<F: Future>(mut time: Option<Sleep>, future: F) -> Result<F::Output, DownloadError> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        match &mut time {
            Some(time) => time.as_mut().poll(context).map(|()| Err(DownloadError::TooLate)),
            None => Poll::Pending,
        }
    })
    .await
}

/// A download under way: the plan and the part on the disk, which both ways to wait have in common.
struct Job<'a> {
    download: &'a Download,
    plan: Plan<'a>,
    part: Part,
    until: Option<Duration>,
    over: bool,
    /// Whether all of it was fetched once more, since it was not what it should be.
    again: bool,
}

enum Begun<'a> {
    /// It is there already.
    There(Downloaded),
    Job(Box<Job<'a>>),
}

impl<'a> Job<'a> {
    fn begin(download: &'a Download, now: Duration) -> Result<Begun<'a>, DownloadError> {
        let bounds = &download.bounds;
        if bounds.size.is_some_and(|size| size > bounds.limit) {
            return Err(DownloadError::TooLong { limit: bounds.limit });
        }
        let place = download.folder.join(&download.name);
        if let Some(expected) = &bounds.sha256
            && let Some((sha256, size)) = part::look_at(&place, bounds.size.unwrap_or(bounds.limit))
            && sha256 == *expected
            && bounds.size.is_none_or(|expected| expected == size)
        {
            return Ok(Begun::There(Downloaded { path: place, size, sha256 }));
        }
        // What another process has left is good for something only if it can be checked.
        let longest = if bounds.sha256.is_some() { bounds.size.unwrap_or(bounds.limit) } else { 0 };
        let (part, tag) = Part::open(&download.folder, &download.name, longest)?;
        let plan = Plan::new(bounds, part.len(), tag);
        let until = download.within.map(|within| now.saturating_add(within));
        Ok(Begun::Job(Box::new(Self { download, plan, part, until, over: false, again: false })))
    }

    /// How much time is left; `None` for as much as it likes.
    fn left(&self, now: Duration) -> Result<Option<Duration>, DownloadError> {
        if (self.download.stop)() {
            return Err(DownloadError::CalledOff);
        }
        let left = self.until.map(|until| until.saturating_sub(now));
        if left.is_some_and(|left| left.is_zero()) { Err(DownloadError::TooLate) } else { Ok(left) }
    }

    /// Whether all of it is there and is what it should be.
    fn is_done(&mut self) -> Result<bool, DownloadError> {
        if !self.over && !self.plan.is_whole() {
            return Ok(false);
        }
        let found = self.part.sha256();
        match &self.download.bounds.sha256 {
            Some(expected) if *expected != found && self.plan.may_be_mixed() && !self.again => {
                // Some of it was of another object, or has suffered on the disk: all of it once more.
                (self.over, self.again) = (false, true);
                self.plan.start_over();
                self.part.start_over(None)?;
                Ok(false)
            }
            Some(expected) if *expected != found => {
                self.part.forget();
                Err(DownloadError::Hash { expected: expected.clone(), found })
            }
            _ => Ok(true),
        }
    }

    fn head(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        now: DateTime<Utc>,
    ) -> Result<Head, DownloadError> {
        // What is refused for good is not gone on with either.
        self.plan.head(status, headers, now).inspect_err(|_| self.part.forget())
    }

    fn body(&mut self, afresh: bool) -> Result<(), DownloadError> {
        if afresh { self.part.start_over(self.plan.tag()) } else { Ok(()) }
    }

    fn piece(&mut self, piece: &Bytes, now: Duration) -> Result<Option<Failure>, DownloadError> {
        let failure = self.plan.piece(piece.len() as u64, now).inspect_err(|_| self.part.forget())?;
        self.part.write(piece)?;
        self.left(now)?;
        Ok(failure)
    }

    fn ended(&mut self) -> Option<Failure> {
        match self.plan.ended() {
            End::Whole => {
                self.over = true;
                None
            }
            End::More => None,
            End::Failed(failure) => Some(failure),
        }
    }

    /// How long to wait after a failure, which is no longer than there is time.
    fn failed(&mut self, failure: Failure, random: f64, now: Duration) -> Result<Duration, DownloadError> {
        let wait = self.plan.failed(failure, random)?;
        match self.left(now)? {
            Some(left) if wait >= left => Err(DownloadError::TooLate),
            _ => Ok(wait),
        }
    }

    fn finish(self) -> Result<Downloaded, DownloadError> {
        let (size, sha256) = (self.part.len(), self.part.sha256());
        Ok(Downloaded { path: self.part.finish()?, size, sha256 })
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("folder", &self.folder)
            .field("name", &self.name)
            .field("bounds", &self.bounds)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}
