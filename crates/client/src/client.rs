use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_protocol::codec::{self, EncodeError, ReplyError};
use fleetwire_protocol::{Auth, Call, Endpoint, File, FileHead, Reply, RetryAfter};
use http::{Request, Response};

use crate::{
    AddressError, Chunks, RetryPolicy, Runtime, SendError, StreamTransport, Transport, TransportError,
    address,
};

/// Typed calls to one vendor's operations on one server.
///
/// Cheap to clone where the transport is; clones may have policies of their own.
pub struct Client<T> {
    base: Arc<str>,
    transport: T,
    runtime: Arc<dyn Runtime>,
    retries: RetryPolicy,
    #[cfg(feature = "check")]
    check: crate::Check,
}

impl<T: Transport> Client<T> {
    /// A client with the real clock. `base` is the vendor's base address, such as
    /// `http://127.0.0.1:8080/achilles`.
    ///
    /// # Errors
    /// `base` is not a plain `http` or `https` address.
    #[cfg(feature = "tokio")]
    pub fn new(base: &str, transport: T) -> Result<Self, AddressError> {
        Self::with_runtime(base, transport, crate::TokioRuntime)
    }

    /// A client that takes time, randomness and sleep from `runtime`.
    ///
    /// # Errors
    /// `base` is not a plain `http` or `https` address.
    pub fn with_runtime(base: &str, transport: T, runtime: impl Runtime) -> Result<Self, AddressError> {
        let base = address::base(base)?.into();
        Ok(Self {
            base,
            transport,
            runtime: Arc::new(runtime),
            retries: RetryPolicy::default(),
            #[cfg(feature = "check")]
            check: crate::Check::default(),
        })
    }

    /// The same client with another policy.
    #[must_use]
    pub fn with_retries(mut self, retries: RetryPolicy) -> Self {
        self.retries = retries;
        self
    }

    /// The same client with another way to treat a call that breaks a rule.
    #[cfg(feature = "check")]
    #[must_use]
    pub const fn check_before_send(mut self, check: crate::Check) -> Self {
        self.check = check;
        self
    }

    /// The vendor's base address, without a slash at its end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a call and reads its reply. Each attempt is written and signed anew, with the time at which it is
    /// sent. Dropping the future ends the call.
    ///
    /// # Errors
    /// What the server or the transport said to the last attempt; see [`SendError`].
    pub async fn send<E: Endpoint>(
        &self,
        credentials: &<E::Auth as Auth>::Credentials,
        call: &Call<E>,
    ) -> Result<<E::Reply as Reply>::Value, SendError<E::Error, T::Error>> {
        let operation = E::ID;
        #[cfg(feature = "check")]
        self.check
            .look_over(call, self.runtime.now())
            .map_err(|violations| SendError::Invalid { operation, violations })?;
        let encode = |now| codec::encode::<E>(&self.base, credentials, now, call);
        let (response, (), attempts) = self
            .attempt(&Whole, &encode, &retry_after::<E>)
            .await
            .map_err(|failure| failure.of(operation))?;
        codec::decode_reply::<E>(&response).map_err(|error| unread(operation, error, attempts))
    }

    /// Sends a call for a file and gives what is said of it, and its bytes while they come.
    ///
    /// What a part or all of a file was asked for has to say by [`FileHead::part`]: nothing comes of a file that has
    /// not changed, and all of one that has.
    ///
    /// # Errors
    /// As of [`send`](Self::send), until the head has come.
    pub async fn fetch<E>(
        &self,
        credentials: &<E::Auth as Auth>::Credentials,
        call: &Call<E>,
    ) -> Result<Fetched<T::Body>, SendError<E::Error, T::Error>>
    where
        E: Endpoint<Reply: Reply<Value = File>>,
        T: StreamTransport,
    {
        let operation = E::ID;
        #[cfg(feature = "check")]
        self.check
            .look_over(call, self.runtime.now())
            .map_err(|violations| SendError::Invalid { operation, violations })?;
        let encode = |now| codec::encode::<E>(&self.base, credentials, now, call);
        let (response, body, attempts) = self
            .attempt(&HeadFirst, &encode, &retry_after::<E>)
            .await
            .map_err(|failure| failure.of(operation))?;
        let Some((head, body)) = body else {
            // Not the head of a file: what it is instead has been read.
            return match codec::decode_reply::<E>(&response) {
                Ok(file) => Ok(Fetched { head: file.head, body: None }),
                Err(error) => Err(unread(operation, error, attempts)),
            };
        };
        Ok(Fetched { head, body: Some(body) })
    }

    /// Exchanges until an answer is worth reading or the policy gives up; says how many attempts it took.
    ///
    /// Knows no operation, so that it is compiled once per transport.
    async fn attempt<X: Exchange<T>>(
        &self,
        exchange: &X,
        encode: &(dyn Fn(DateTime<Utc>) -> Result<Request<Bytes>, EncodeError> + Sync),
        retry_after: &(dyn Fn(&Response<Bytes>) -> Option<RetryAfter> + Sync),
    ) -> Result<(Response<Bytes>, X::Rest, u32), Failure<T::Error>> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let request = encode(self.runtime.now()).map_err(Failure::Encode)?;
            let outcome = exchange.exchange(&self.transport, request).await;
            let wait = match &outcome {
                Ok((response, _)) if self.retries.covers(response.status()) => {
                    let asked = retry_after(response).map(|when| when.delay(self.runtime.now()));
                    self.retries.wait(attempts, asked, self.runtime.random())
                }
                Err(error)
                    if error.is_retryable()
                        && (self.retries.resend_if_unsure || !error.may_have_arrived()) =>
                {
                    self.retries.wait(attempts, None, self.runtime.random())
                }
                _ => None,
            };
            match (wait, outcome) {
                (Some(wait), _) => self.runtime.sleep(wait).await,
                (None, Ok((response, rest))) => return Ok((response, rest, attempts)),
                (None, Err(error)) => return Err(Failure::Transport { error, attempts }),
            }
        }
    }
}

/// A file, or a part of one, on its way.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fetched<B> {
    /// What is said of it.
    pub head: FileHead,
    body: Option<B>,
}

impl<B: Chunks> Fetched<B> {
    /// The next piece of it; `None` at its end, and at once where nothing comes. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The connection broke or took too long; what has come can be kept, and the rest asked for by `Range`.
    pub async fn next(&mut self) -> Result<Option<Bytes>, B::Error> {
        match &mut self.body {
            Some(body) => body.next().await,
            None => Ok(None),
        }
    }
}

/// A way to exchange a request for an answer.
trait Exchange<T: Transport>: Sync {
    /// What there is besides the answer.
    type Rest: Send;

    fn exchange(
        &self,
        transport: &T,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<(Response<Bytes>, Self::Rest), T::Error>> + Send;
}

/// Waits for the whole answer.
struct Whole;

impl<T: Transport> Exchange<T> for Whole {
    type Rest = ();

    async fn exchange(
        &self,
        transport: &T,
        request: Request<Bytes>,
    ) -> Result<(Response<Bytes>, ()), T::Error> {
        Ok((transport.exchange(request).await?, ()))
    }
}

/// Waits for the head of an answer that is a file, and for all of another one.
struct HeadFirst;

/// Bytes that are read of an answer that is no file: an envelope of a failure is not longer.
const REFUSAL: usize = 1 << 20;

impl<T: StreamTransport> Exchange<T> for HeadFirst {
    type Rest = Option<(FileHead, T::Body)>;

    async fn exchange(
        &self,
        transport: &T,
        request: Request<Bytes>,
    ) -> Result<(Response<Bytes>, Self::Rest), T::Error> {
        let (parts, mut body) = transport.open(request).await?.into_parts();
        if parts.status.is_success()
            && let Ok(head) = FileHead::read(parts.status, &parts.headers)
        {
            return Ok((Response::from_parts(parts, Bytes::new()), Some((head, body))));
        }
        let mut read = Vec::new();
        while let Some(piece) = body.next().await? {
            let room = REFUSAL - read.len();
            read.extend_from_slice(&piece[..piece.len().min(room)]);
            if read.len() == REFUSAL {
                break;
            }
        }
        Ok((Response::from_parts(parts, read.into()), None))
    }
}

/// A failure of [`Client::attempt`], before it is known whose call it was.
enum Failure<T> {
    Encode(EncodeError),
    Transport { error: T, attempts: u32 },
}

impl<T> Failure<T> {
    fn of<B>(self, operation: &'static str) -> SendError<B, T> {
        match self {
            Self::Encode(error) => SendError::Encode { operation, error },
            Self::Transport { error, attempts } => SendError::Transport { operation, error, attempts },
        }
    }
}

/// An answer that is no reply.
fn unread<B, T>(operation: &'static str, error: ReplyError<B>, attempts: u32) -> SendError<B, T> {
    match error {
        ReplyError::Refused(refusal) => SendError::Refused { operation, refusal, attempts },
        ReplyError::Garbled { status, body, why } => {
            SendError::Garbled { operation, status, body, why: Box::new(why), attempts }
        }
    }
}

/// When the server wants to be asked again; some vendors say so in the body, so the envelope has to be read.
fn retry_after<E: Endpoint>(response: &Response<Bytes>) -> Option<RetryAfter> {
    match codec::decode_reply::<E>(response) {
        Err(ReplyError::Refused(refusal)) => refusal.retry_after,
        _ => None,
    }
}

impl<T: Clone> Clone for Client<T> {
    fn clone(&self) -> Self {
        Self {
            base: Arc::clone(&self.base),
            transport: self.transport.clone(),
            runtime: Arc::clone(&self.runtime),
            retries: self.retries.clone(),
            #[cfg(feature = "check")]
            check: self.check,
        }
    }
}

impl<T> fmt::Debug for Client<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}
