use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Violation, codec};

/// The body of a request.
pub trait Request: Send + Sync + 'static {
    /// Its type.
    type Body: Send + Sync + 'static;
    /// Its media type; `None` when there is no body.
    const MEDIA: Option<&'static str>;

    /// Writes the body.
    ///
    /// # Errors
    /// A value that JSON cannot carry, such as NaN.
    fn write(body: &Self::Body) -> Result<Bytes, serde_json::Error>;

    /// Reads the body.
    ///
    /// # Errors
    /// The first structural fault and its place.
    fn read(bytes: &[u8]) -> Result<Self::Body, Violation>;
}

/// A JSON body; as a reply, one that comes with `STATUS`.
#[derive(Debug, Clone, Copy)]
pub struct Json<T, const STATUS: u16 = 200>(PhantomData<fn() -> T>);

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Request for Json<T> {
    type Body = T;
    const MEDIA: Option<&'static str> = Some(codec::JSON);

    fn write(body: &T) -> Result<Bytes, serde_json::Error> {
        serde_json::to_vec(body).map(Bytes::from)
    }
    fn read(bytes: &[u8]) -> Result<T, Violation> {
        codec::from_json(bytes)
    }
}

/// No body: whatever a request carries is not looked at.
#[derive(Debug, Clone, Copy)]
pub struct NoBody;

impl Request for NoBody {
    type Body = ();
    const MEDIA: Option<&'static str> = None;

    fn write((): &()) -> Result<Bytes, serde_json::Error> {
        Ok(Bytes::new())
    }
    fn read(_: &[u8]) -> Result<(), Violation> {
        Ok(())
    }
}
