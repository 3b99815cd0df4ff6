//! What the code behind our documents does with a message: a schema that says otherwise is untrue.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::DateTime;
use fleetwire_protocol::{Call, Content, Endpoint, Params, Reply, Request, Shape, codec, for_each_endpoint};
use fleetwire_validation::{Context, Validate, check};
use http::{Response, StatusCode, header};
use serde_json::Value;

use crate::finding::Side;

/// Our code, by the ids of its operations.
pub(crate) struct Ours(BTreeMap<&'static str, Code>);

struct Code {
    request: fn(&[u8]) -> Result<Bytes, String>,
    answer: fn(u16, &[u8]) -> Result<Bytes, String>,
    error: fn(&[u8]) -> Result<Bytes, String>,
    success: &'static [Shape],
}

impl Ours {
    pub(crate) fn new() -> Self {
        macro_rules! codes {
            ([] $($endpoint:ty,)*) => {
                [$((<$endpoint as Endpoint>::ID, code::<$endpoint>())),*].into()
            };
        }
        Self(for_each_endpoint!(codes!()))
    }

    /// A body as our code writes it after it has read it, or why it does not read it; none for a body that our
    /// code does not have.
    pub(crate) fn rewrite(
        &self,
        operation: &str,
        side: &Side,
        body: &Value,
    ) -> Option<Result<Value, String>> {
        let code = self.0.get(operation)?;
        let text = body.to_string();
        let written = match side {
            Side::Request => (code.request)(text.as_bytes()),
            Side::Response(status) => match code.success_of(status) {
                Some(status) => (code.answer)(status, text.as_bytes()),
                None => (code.error)(text.as_bytes()),
            },
        };
        Some(written.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string())))
    }
}

impl Code {
    /// The statuses of answers that carry JSON.
    fn statuses(&self) -> impl Iterator<Item = u16> {
        self.success.iter().filter(|shape| shape.content == Content::Json).map(|shape| shape.status)
    }

    /// The status of ours that a source's stands for, if it means success.
    fn success_of(&self, status: &str) -> Option<u16> {
        match status.strip_suffix("XX") {
            Some(class) => self.statuses().find(|own| own.to_string().starts_with(class)),
            None => status.parse().ok().filter(|status| self.statuses().any(|own| own == *status)),
        }
    }
}

fn code<E: Validate>() -> Code {
    Code { request: request::<E>, answer: answer::<E>, error: error::<E>, success: E::Reply::SHAPES }
}

/// No time is too old or too new: schemas have no clock.
fn timeless() -> Context {
    Context::at(DateTime::UNIX_EPOCH).with_clock_window(None)
}

fn request<E: Validate>(body: &[u8]) -> Result<Bytes, String> {
    // What the parameters hold is no matter of the body: those that must be there hold anything.
    let params =
        E::Params::read(&|param| param.required.then(|| "1".into())).map_err(|fault| fault.to_string())?;
    let body = E::Request::read(body).map_err(|violation| violation.to_string())?;
    match check::<E>(Call { params, body }, &timeless()) {
        Ok(checked) => E::Request::write(checked.body()).map_err(|error| error.to_string()),
        Err(violations) => Err(violations.to_string()),
    }
}

fn answer<E: Endpoint>(status: u16, body: &[u8]) -> Result<Bytes, String> {
    let mut response = Response::new(Bytes::copy_from_slice(body));
    *response.status_mut() = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(codec::JSON));
    let value = E::Reply::read(&response).map_err(|violation| violation.to_string())?;
    let written = E::Reply::write(&value).map_err(|error| error.to_string())?;
    Ok(written.into_body())
}

fn error<E: Endpoint>(body: &[u8]) -> Result<Bytes, String> {
    let envelope: E::Error = codec::from_json(body).map_err(|violation| violation.to_string())?;
    serde_json::to_vec(&envelope).map(Bytes::from).map_err(|error| error.to_string())
}
