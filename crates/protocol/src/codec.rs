//! Bytes both ways: the one place where calls and replies become HTTP messages, for both roles.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::{
    Auth, Call, Endpoint, Envelope, Fault, Param, ParamPlace, Params, Refusal, Reply, Request, RetryAfter,
    Violation,
};

/// The media type of every body that is not a file.
pub const JSON: &str = "application/json";

/// Everything in a path segment or query value but the unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a request could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The body holds a value that JSON cannot carry.
    #[error("the body cannot be written as JSON: {0}")]
    Body(#[from] serde_json::Error),
    /// A value holds characters that a header cannot carry.
    #[error("the value of {0} cannot be carried in a header")]
    Header(&'static str),
    /// A path parameter is empty or is a relative segment, so that the path would name something else.
    #[error("{0} cannot stand in a path")]
    Path(&'static str),
    /// Base address and path do not make an address.
    #[error("not an address: {0}")]
    Address(http::Error),
}

/// Writes a request to be sent at `now`. `base` is the vendor's base address, without a slash at its end.
///
/// # Errors
/// A value that JSON, a header or a path cannot carry.
pub fn encode<E: Endpoint>(
    base: &str,
    credentials: &<E::Auth as Auth>::Credentials,
    now: DateTime<Utc>,
    call: &Call<E>,
) -> Result<http::Request<Bytes>, EncodeError> {
    let mut path = E::PATH.to_owned();
    let mut separator = '?';
    let mut headers = HeaderMap::new();
    let mut fault = None;
    call.params.write(&mut |param, value| match param.place {
        ParamPlace::Path if matches!(value, "" | "." | "..") => fault = Some(EncodeError::Path(param.name)),
        ParamPlace::Path => {
            let escaped = utf8_percent_encode(value, ESCAPED).to_string();
            path = path.replace(&format!("{{{}}}", param.name), &escaped);
        }
        ParamPlace::Query => {
            path.push(separator);
            separator = '&';
            path.extend([param.name, "="]);
            path.extend(utf8_percent_encode(value, ESCAPED));
        }
        ParamPlace::Header => match (HeaderName::try_from(param.name), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                headers.insert(name, value);
            }
            _ => fault = Some(EncodeError::Header(param.name)),
        },
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    let mut request = http::Request::new(E::Request::write(&call.body)?);
    *request.method_mut() = E::METHOD;
    *request.uri_mut() = format!("{base}{path}")
        .parse()
        .map_err(|invalid: http::uri::InvalidUri| EncodeError::Address(invalid.into()))?;
    E::Auth::attach(credentials, now, &mut headers).map_err(EncodeError::Header)?;
    headers.insert(header::ACCEPT, HeaderValue::from_static(JSON));
    if let Some(media) = E::Request::MEDIA {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    }
    *request.headers_mut() = headers;
    Ok(request)
}

/// Reads a request whose path has been matched; `path_params` are the matched segments, still escaped.
///
/// # Errors
/// [`Fault::Invalid`] with every missing parameter, or with the first structural fault of the body.
pub fn decode<'a, E: Endpoint>(
    path_params: impl Fn(&str) -> Option<&'a str>,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Call<E>, Fault> {
    let get = |param: &Param| -> Option<Cow<'a, str>> {
        match param.place {
            ParamPlace::Path => percent_decode_str(path_params(param.name)?).decode_utf8().ok(),
            ParamPlace::Query => form_urlencoded::parse(query?.as_bytes())
                .find(|(name, _)| name == param.name)
                .map(|(_, value)| Cow::Owned(value.into_owned())),
            ParamPlace::Header => {
                crate::private::header(headers, param.name).map(|value| Cow::Owned(value.to_owned()))
            }
        }
    };
    let params = E::Params::read(&get)?;
    if E::Request::MEDIA.is_some() && !is_json(headers) {
        return Err(Violation {
            place: crate::Place::Header("Content-Type"),
            rule: "content_type",
            message: format!("must be {JSON}"),
        }
        .into());
    }
    Ok(Call { params, body: E::Request::read(body)? })
}

/// Whether the body is JSON by its content type; a missing one is read as JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let Ok(value) = value.to_str() else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.is_empty()
        || essence.eq_ignore_ascii_case(JSON)
        || essence.len() > 5 && essence.as_bytes()[essence.len() - 5..].eq_ignore_ascii_case(b"+json")
}

/// Writes the answer of an operation.
#[must_use]
pub fn encode_reply<E: Endpoint>(outcome: Result<<E::Reply as Reply>::Value, Fault>) -> Response<Bytes> {
    let fault = match outcome {
        Ok(value) => match E::Reply::write(&value) {
            Ok(response) => return response,
            // Only NaN or infinity gets here, and no handler makes them; the caller must still get an answer.
            Err(_) => Fault::Internal,
        },
        Err(fault) => fault,
    };
    encode_fault::<E::Error>(E::status(&fault), &fault)
}

/// Writes a fault in a vendor's envelope.
#[must_use]
pub fn encode_fault<B: Envelope>(status: http::StatusCode, fault: &Fault) -> Response<Bytes> {
    let body = serde_json::to_vec(&B::from_fault(fault)).unwrap_or_default();
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    if let Some(delay) = fault.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
    }
    if let Fault::MethodNotAllowed { allow } = fault {
        let allow: Vec<_> = allow.iter().map(http::Method::as_str).collect();
        if let Ok(value) = HeaderValue::from_str(&allow.join(", ")) {
            headers.insert(header::ALLOW, value);
        }
    }
    response
}

/// A delay in seconds, rounded up: coming back early is what it is there to prevent.
pub(crate) const fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs().saturating_add((delay.subsec_nanos() > 0) as u64)
}

/// Why an answer is no reply of the operation. The answer is never lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyError<B> {
    /// The server refused.
    Refused(Refusal<B>),
    /// The status means success, but the body is something else.
    Garbled {
        /// The status.
        status: http::StatusCode,
        /// The body as it came.
        body: Bytes,
        /// What is wrong with it.
        why: Violation,
    },
}

/// Reads the answer of an operation.
///
/// # Errors
/// The server's refusal, or an answer that has none of the documented shapes.
pub fn decode_reply<E: Endpoint>(
    response: &Response<Bytes>,
) -> Result<<E::Reply as Reply>::Value, ReplyError<E::Error>> {
    let status = response.status();
    if status.is_success() {
        return E::Reply::read(response).map_err(|why| ReplyError::Garbled {
            status,
            body: response.body().clone(),
            why,
        });
    }
    let envelope: Option<E::Error> = serde_json::from_slice(response.body()).ok();
    let retry_after = crate::private::header(response.headers(), "retry-after")
        .and_then(RetryAfter::parse)
        .or_else(|| envelope.as_ref().and_then(Envelope::retry_after).map(RetryAfter::Delay));
    Err(ReplyError::Refused(Refusal { status, envelope, retry_after, body: response.body().clone() }))
}

/// Reads JSON; on failure only, reads it again to learn where.
///
/// # Errors
/// The first structural fault and its place.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Violation> {
    // Valid UTF-8 is checked once up front: serde_json then need not look at each string again.
    let text = std::str::from_utf8(bytes).map_err(|bad| {
        Violation::body("", "json.utf8", format!("is not UTF-8 at byte {}", bad.valid_up_to()))
    })?;
    serde_json::from_str(text).map_err(|error| locate::<T>(text, &error))
}

/// Finds the place and the rule of a structural fault.
#[cold]
fn locate<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> Violation {
    // To serde_json a number beyond a double is a fault of syntax; to JSON it is not.
    let out_of_range = error.to_string().starts_with(OUT_OF_RANGE);
    if !error.is_data() && !out_of_range {
        return Violation::body("", "json.syntax", format!("is not JSON: {error}"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let Err(tracked) = serde_path_to_error::deserialize::<_, T>(&mut deserializer) else {
        return Violation::body("", "json.syntax", format!("is not JSON: {error}"));
    };
    let mut pointer = String::new();
    for segment in tracked.path() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => push_member(&mut pointer, key),
            Segment::Unknown => {}
        }
    }
    let message = tracked.inner().to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let named = |prefix: &str| message.strip_prefix(prefix)?.strip_suffix('`');
    if let Some(member) = named("missing field `") {
        push_member(&mut pointer, member);
        return Violation::body(pointer, "json.required", "is required");
    }
    if let Some(member) = named("duplicate field `") {
        push_member(&mut pointer, member);
        return Violation::body(pointer, "json.duplicate", "is there twice");
    }
    if out_of_range {
        return Violation::body(pointer, "json.value", "is out of the range of a double");
    }
    let rule = if message.starts_with("invalid value") { "json.value" } else { "json.type" };
    Violation::body(pointer, rule, in_json_terms(message))
}

const OUT_OF_RANGE: &str = "number out of range";

/// Puts serde's account of a fault into the terms of JSON, as the end of a sentence that begins with the
/// member's name. A text is told only if it is short: it may be a key in the wrong place, or megabytes.
fn in_json_terms(message: &str) -> String {
    const LONGEST: usize = 32;
    let Some((fault, expected)) = message.split_once(", expected ") else { return message.to_owned() };
    let expected = match expected {
        "a map" => "an object",
        "a sequence" => "an array",
        name if name.starts_with("struct ") => "an object",
        other => other,
    };
    let found = fault.split_once(": ").map_or("an array", |(_, found)| found);
    let found = match found {
        "map" => "an object",
        "sequence" => "an array",
        text if text.starts_with("string ") && text.len() > LONGEST => "a longer string",
        other => other,
    };
    format!("must be {expected}, not {found}")
}

/// Appends a member to a JSON pointer (RFC 6901).
fn push_member(pointer: &mut String, member: &str) {
    pointer.push('/');
    pointer.push_str(&member.replace('~', "~0").replace('/', "~1"));
}
