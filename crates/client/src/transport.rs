use std::error::Error;

use bytes::Bytes;
use http::{Request, Response};

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
}

/// A failure to get an answer, and what it means for the next step.
pub trait TransportError: Error + Send + Sync + 'static {
    /// Whether the server may have received the request, and so have acted on it.
    fn may_have_arrived(&self) -> bool;

    /// Whether sending the request again may help.
    fn is_retryable(&self) -> bool;

    /// Whether time ran out.
    fn is_timeout(&self) -> bool;
}
