use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

#[cfg(feature = "disk")]
use crate::{
    Runtime,
    download::{Download, DownloadError, Downloaded},
};

/// What carries one request to a server and its answer back.
///
/// An implementation tries once, follows no redirect, puts a limit on time and on the answer's length, and
/// gives every status back as an answer. It must not log header values marked as sensitive.
pub trait Transport: Send + Sync + 'static {
    /// Why no answer came.
    type Error: TransportError;

    /// Sends a request and waits for the whole answer.
    fn exchange(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Bytes>, Self::Error>> + Send;

    /// Fetches a file that the agent itself needs, such as an update of its program; `None` if this transport cannot.
    /// One that is a [`StreamTransport`] has [`Download::fetch`] do it.
    #[cfg(feature = "disk")]
    fn fetch_file(
        &self,
        download: &Download,
        runtime: &impl Runtime,
    ) -> impl Future<Output = Option<Result<Downloaded, DownloadError>>> + Send {
        let _ = (download, runtime);
        std::future::ready(None)
    }
}

/// A transport that hands an answer over while it comes, for files that are too long to be held.
///
/// Its limit on time is for the head of an answer and for each piece of the body, and its limit on length is none.
pub trait StreamTransport: Transport {
    /// The body of an answer on its way.
    type Body: Chunks<Error = Self::Error>;

    /// Sends a request and waits for the head of the answer.
    fn open(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Self::Error>> + Send;
}

/// A body that comes piece by piece.
pub trait Chunks: Send + 'static {
    /// Why it broke off.
    type Error: TransportError;

    /// The next piece; `None` at the end of all that was announced. Dropping the future loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Self::Error>> + Send;
}

/// A failure to get an answer, and what it means for the next step.
pub trait TransportError: Error + Send + Sync + 'static {
    /// Whether the server may have received the request, and so have acted on it.
    fn may_have_arrived(&self) -> bool;

    /// Whether sending the request again may help.
    fn is_retryable(&self) -> bool;

    /// Whether time ran out.
    fn is_timeout(&self) -> bool;

    /// What kept the answer from coming, as well as this can be told.
    fn cause(&self) -> Cause {
        match (self.is_timeout(), self.may_have_arrived()) {
            (true, _) => Cause::Timeout,
            (false, true) => Cause::Broken,
            (false, false) => Cause::Unreachable,
        }
    }
}

/// What kept an answer from coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The server's name could not be resolved.
    Name,
    /// No connection was made.
    Unreachable,
    /// TLS failed.
    Tls,
    /// The connection broke.
    Broken,
    /// Time ran out.
    Timeout,
}

impl Cause {
    /// The cause in a few words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "the server's name could not be resolved",
            Self::Unreachable => "the server could not be reached",
            Self::Tls => "TLS failed",
            Self::Broken => "the connection broke",
            Self::Timeout => "time ran out",
        }
    }
}

/// What carries one request to a server and its answer back, while the caller waits.
///
/// The same is asked of it as of a [`Transport`].
pub trait BlockingTransport: Send + 'static {
    /// Why no answer came.
    type Error: TransportError;

    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// No answer came.
    fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Self::Error>;

    /// What fetches a file that the agent itself needs, such as an update of its program, on a thread beside this one;
    /// `None` if this transport cannot. One that is a [`BlockingStreamTransport`] has [`Download::fetch_blocking`] do it.
    #[cfg(feature = "disk")]
    fn file_fetcher(&self) -> Option<FileFetcher> {
        None
    }
}

/// Fetches one file on whatever thread it is called.
#[cfg(feature = "disk")]
pub type FileFetcher = Box<dyn FnOnce(&Download) -> Result<Downloaded, DownloadError> + Send>;

/// A blocking transport that hands an answer over while it comes, for files that are too long to be held.
///
/// The same is asked of it as of a [`StreamTransport`].
pub trait BlockingStreamTransport: BlockingTransport {
    /// The body of an answer on its way.
    type Body: BlockingChunks<Error = Self::Error>;

    /// Sends a request and waits for the head of the answer. All of the answer has to come `within` a time, if one is
    /// given.
    ///
    /// # Errors
    /// No head came.
    fn open(
        &self,
        request: Request<Bytes>,
        within: Option<Duration>,
    ) -> Result<Response<Self::Body>, Self::Error>;
}

/// A body that comes piece by piece while the caller waits.
pub trait BlockingChunks {
    /// Why it broke off.
    type Error: TransportError;

    /// The next piece; `None` at the end of all that was announced.
    ///
    /// # Errors
    /// It broke off, or took too long.
    fn next(&mut self) -> Result<Option<Bytes>, Self::Error>;
}
