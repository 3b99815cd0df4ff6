//! Bytes both ways: the one place where calls and replies become HTTP messages, for both roles.
//!
#![cfg_attr(feature = "zstack", doc = "```")]
#![cfg_attr(not(feature = "zstack"), doc = "```ignore")]
//! use chrono::DateTime;
//! use fleetwire_protocol::zstack::{Agent, AgentPath, BearerToken, Heartbeat, HeartbeatRequest};
//! use fleetwire_protocol::{Call, Fault, Subject, codec};
//!
//! let token = BearerToken::from("zsk_00ff");
//! let call = Call::<Heartbeat>::with(AgentPath::new("a-1"), HeartbeatRequest::new("1.2.3", 60, 1, 2));
//! let request = codec::encode("https://host", &token, DateTime::UNIX_EPOCH, &call).unwrap();
//! assert_eq!(request.uri(), "https://host/api/v1/agents/a-1/heartbeat");
//!
//! let segment = |name: &str| (name == "uuid").then_some("a-1");
//! let read = codec::decode::<Heartbeat>(segment, None, request.headers(), request.body()).unwrap();
//! assert_eq!(read.body, call.body);
//!
//! let answer = codec::encode_reply::<Heartbeat>(Err(Fault::Unknown(Subject::Agent)));
//! assert_eq!(answer.status(), 404);
//! assert!(codec::decode_reply::<Heartbeat>(&answer).is_err());
//! ```

mod objects;

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use self::objects::Objects;
use crate::file::BYTES;
use crate::{
    Auth, Call, Content, Endpoint, Envelope, Fault, Param, ParamPlace, Params, Refusal, Reply, Request,
    RetryAfter, Violation,
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
    encode_parts::<E>(base, credentials, now, &call.params, &call.body)
}

/// As [`encode`], for whoever keeps the body and would have to copy it into a call.
///
/// # Errors
/// A value that JSON, a header or a path cannot carry.
pub fn encode_parts<E: Endpoint>(
    base: &str,
    credentials: &<E::Auth as Auth>::Credentials,
    now: DateTime<Utc>,
    params: &E::Params,
    body: &<E::Request as Request>::Body,
) -> Result<http::Request<Bytes>, EncodeError> {
    let (uri, mut headers) = place::<E>(base, params)?;
    let mut request = http::Request::new(E::Request::write(body)?);
    *request.method_mut() = E::METHOD;
    *request.uri_mut() = uri;
    E::Auth::attach(credentials, now, &mut headers).map_err(EncodeError::Header)?;
    let is_file = E::Reply::SHAPES.first().is_some_and(|shape| shape.content == Content::Bytes);
    headers.insert(header::ACCEPT, HeaderValue::from_static(if is_file { BYTES } else { JSON }));
    if let Some(media) = E::Request::MEDIA {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    }
    *request.headers_mut() = headers;
    Ok(request)
}

/// Writes the address that a request with these parameters goes to, to be handed out. `base` is the vendor's base
/// address, without a slash at its end.
///
/// # Errors
/// A value that a path cannot carry.
pub fn address<E: Endpoint>(base: &str, params: &E::Params) -> Result<http::Uri, EncodeError> {
    place::<E>(base, params).map(|(uri, _)| uri)
}

/// Where parameters put a request: its address, and those that travel in headers.
fn place<E: Endpoint>(base: &str, params: &E::Params) -> Result<(http::Uri, HeaderMap), EncodeError> {
    let mut segments = Vec::new();
    let mut query = String::new();
    let mut headers = HeaderMap::new();
    let mut fault = None;
    params.write(&mut |param, value| match param.place {
        ParamPlace::Path if matches!(value, "" | "." | "..") => fault = Some(EncodeError::Path(param.name)),
        ParamPlace::Path => {
            let escaped = utf8_percent_encode(value, ESCAPED).to_string();
            segments.push((param.name, escaped));
        }
        ParamPlace::Query => {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.extend([param.name, "="]);
            query.extend(utf8_percent_encode(value, ESCAPED));
        }
        ParamPlace::Header => match (HeaderName::try_from(param.name), crate::private::header_value(value)) {
            (Ok(name), Some(value)) => {
                headers.insert(name, value);
            }
            _ => fault = Some(EncodeError::Header(param.name)),
        },
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    // What stands in the path of an alias alone makes it that alias.
    let holds = |path: &&str| segments.iter().all(|(parameter, _)| has_parameter(path, parameter));
    let template = std::iter::once(&E::PATH).chain(E::ALIASES).copied().find(holds).unwrap_or(E::PATH);
    let mut uri = String::with_capacity(base.len() + template.len() + query.len() + 64);
    uri.push_str(base);
    let mut rest = template;
    // In the order of the path, each parameter once.
    while let Some((before, after)) = rest.split_once('{') {
        uri.push_str(before);
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        uri.extend(
            segments.iter().find(|(parameter, _)| *parameter == name).map(|(_, value)| value.as_str()),
        );
        rest = after;
    }
    uri.extend([rest, query.as_str()]);
    let uri = http::Uri::from_maybe_shared(Bytes::from(uri))
        .map_err(|invalid| EncodeError::Address(invalid.into()))?;
    Ok((uri, headers))
}

/// Whether a path's template has a parameter of this name.
fn has_parameter(path: &str, name: &str) -> bool {
    path.split('{').skip(1).any(|part| part.split('}').next() == Some(name))
}

/// Which operation of one request line a query selects, by what each is [selected by](Endpoint::SELECTED_BY): the
/// place of the one that names the most parameters, all of which are there.
///
/// ```
/// use fleetwire_protocol::codec::select;
///
/// let selected_by: [&[&str]; 2] = [&[], &["os", "arch"]];
/// let selected = |query| select(selected_by.into_iter(), query);
/// assert_eq!(selected(Some("arch=amd64&os=linux")), Some(1));
/// assert_eq!((selected(Some("os=linux")), selected(None)), (Some(0), Some(0)));
/// ```
#[must_use]
pub fn select<'a>(
    selected_by: impl Iterator<Item = &'a [&'static str]>,
    query: Option<&str>,
) -> Option<usize> {
    let has = |name: &&str| {
        query.is_some_and(|query| form_urlencoded::parse(query.as_bytes()).any(|(known, _)| known == **name))
    };
    let fitting = selected_by.enumerate().filter(|(_, names)| names.iter().all(has));
    // The first of several that name as many.
    fitting.reduce(|best, next| if next.1.len() > best.1.len() { next } else { best }).map(|(place, _)| place)
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
    if value == JSON {
        return true;
    }
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
    if E::Reply::reads(status) {
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

/// Reads a message, in which no list stands for an object; on failure only, reads it again to learn where.
///
/// # Errors
/// The first structural fault and its place.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Violation> {
    // Valid UTF-8 is checked once up front: serde_json then need not look at each string again.
    let text = std::str::from_utf8(bytes).map_err(|bad| {
        Violation::body("", "json.utf8", format!("is not UTF-8 at byte {}", bad.valid_up_to()))
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
    let read = T::deserialize(Objects(&mut json)).and_then(|value| json.end().map(|()| value));
    read.map_err(|error| locate::<T>(text, &error))
}

/// Finds the place and the rule of a structural fault.
#[cold]
fn locate<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> Violation {
    // To serde_json a number beyond a double is a fault of syntax; to JSON it is not.
    let out_of_range = error.to_string().starts_with(OUT_OF_RANGE);
    if !error.is_data() && !out_of_range {
        return Violation::body("", "json.syntax", format!("is not JSON: {error}"));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let Err(tracked) = serde_path_to_error::deserialize::<_, T>(Objects(&mut json)) else {
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
    let found = match fault.split_once(": ").map_or(fault, |(_, found)| found) {
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

#[cfg(all(test, feature = "acusight", feature = "agentmc"))]
mod tests {
    use chrono::TimeZone;
    use http::{Method, StatusCode};

    use super::*;
    use crate::acusight::{Checkin, DeviceKey, ErrorMap, NotifyImage};
    use crate::{FaultKind, Place, agentmc};

    const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_774_103_400_000_000_000);
    const BODY: &[u8] = br#"{"device_id":"d"}"#;

    fn with_type(value: &[u8]) -> Result<Call<Checkin>, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_bytes(value).expect("a value"));
        decode(|_| None, None, &headers, BODY)
    }

    fn answer(status: u16, headers: &[(HeaderName, &str)], body: &'static str) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from_static(body.as_bytes()));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        for (name, value) in headers {
            response.headers_mut().insert(name, HeaderValue::from_str(value).expect("a value"));
        }
        response
    }

    fn refusal<E: Endpoint>(response: &Response<Bytes>) -> Refusal<E::Error> {
        match decode_reply::<E>(response) {
            Err(ReplyError::Refused(refusal)) => refusal,
            Err(ReplyError::Garbled { why, .. }) => panic!("{why}"),
            Ok(_) => panic!("{} is a refusal", response.status()),
        }
    }

    #[test]
    fn json_is_taken_under_every_name_of_json() {
        assert!(decode::<Checkin>(|_| None, None, &HeaderMap::new(), BODY).is_ok());
        for value in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;charset=UTF-8",
            " application/json ",
            "application/problem+json",
            "application/vnd.fleet+JSON; v=1",
            "",
        ] {
            assert!(with_type(value.as_bytes()).is_ok(), "{value:?}");
        }
    }

    #[test]
    fn another_content_type_is_refused() {
        for value in
            ["text/plain", "application/jsonp", "+json", "json", "multipart/form-data; a=application/json"]
        {
            let Err(Fault::Invalid(violations)) = with_type(value.as_bytes()) else { panic!("{value:?}") };
            let [violation] = violations.as_slice() else { panic!("{violations}") };
            assert_eq!(violation.place, Place::Header("Content-Type"));
            assert_eq!(violation.rule, "content_type");
        }
        assert!(with_type(b"application/\xffjson").is_err());
    }

    #[test]
    fn request_says_what_it_is_and_what_it_wants() {
        let call = Call::<Checkin>::new(crate::acusight::CheckinRequest::new("d"));
        let sent =
            encode::<Checkin>("http://h:1/acusight/api", &DeviceKey::new("adk_1"), NOW, &call).unwrap();
        assert_eq!(sent.method(), Method::POST);
        assert_eq!(sent.uri(), "http://h:1/acusight/api/core/agent/checkin");
        assert_eq!(sent.headers()[header::CONTENT_TYPE], JSON);
        assert_eq!(sent.headers()[header::ACCEPT], JSON);
        assert_eq!(sent.headers()["x-device-key"], "adk_1");
        assert!(sent.headers()["x-device-key"].is_sensitive());
        assert_eq!(sent.body(), BODY);
    }

    #[test]
    fn base_that_is_no_address_is_told() {
        let call = Call::<Checkin>::new(crate::acusight::CheckinRequest::new("d"));
        let sent = encode::<Checkin>("http://not a host", &DeviceKey::new("adk_1"), NOW, &call);
        assert!(matches!(sent, Err(EncodeError::Address(_))), "{sent:?}");
    }

    #[test]
    fn body_that_json_cannot_carry_is_not_sent() {
        let confidence = Some(f64::NAN.into());
        let annotation = crate::acusight::AnnotationData { confidence, ..Default::default() };
        let mut body = crate::acusight::ImageNotificationRequest::new("d", "f", "k", 1, 1);
        body.annotations.push(annotation);
        let key = DeviceKey::new("adk_1");
        let sent = encode::<NotifyImage>("http://h", &key, NOW, &Call::new(body));
        assert!(matches!(sent, Err(EncodeError::Body(_))), "{sent:?}");
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let read = |value| refusal::<Checkin>(&answer(503, &[(header::RETRY_AFTER, value)], "")).retry_after;
        assert_eq!(read("120"), Some(RetryAfter::Delay(Duration::from_secs(120))));
        assert_eq!(read(" 0 "), Some(RetryAfter::Delay(Duration::ZERO)));
        let at = Utc.with_ymd_and_hms(2026, 3, 21, 14, 32, 0).unwrap();
        assert_eq!(read("Sat, 21 Mar 2026 14:32:00 GMT"), Some(RetryAfter::At(at)));
        assert_eq!(RetryAfter::At(at).delay(NOW), Duration::from_secs(120));
        assert_eq!(RetryAfter::At(NOW).delay(at), Duration::ZERO);
        for value in ["soon", "-5", "1.5", "", "99999999999999999999"] {
            assert_eq!(read(value), None, "{value:?}");
        }
    }

    #[test]
    fn retry_after_of_the_header_wins_over_that_of_the_body() {
        let body = r#"{"error":{"code":"rate_limit.exceeded","message":"m","details":{"retry_after":30}}}"#;
        let seconds = |headers: &[(HeaderName, &str)]| {
            refusal::<agentmc::Heartbeat>(&answer(429, headers, body)).retry_after
        };
        assert_eq!(seconds(&[]), Some(RetryAfter::Delay(Duration::from_secs(30))));
        assert_eq!(seconds(&[(header::RETRY_AFTER, "7")]), Some(RetryAfter::Delay(Duration::from_secs(7))));
    }

    #[test]
    fn delay_leaves_rounded_up_in_header_and_body() {
        let fault = Fault::Limited { retry_after: Duration::from_millis(1_001) };
        let answer = encode_reply::<agentmc::Heartbeat>(Err(fault));
        assert_eq!(answer.headers()[header::RETRY_AFTER], "2");
        let envelope: agentmc::ApiError = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(envelope.retry_after(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn wrong_method_is_told_the_right_ones() {
        let fault = Fault::MethodNotAllowed { allow: vec![Method::GET, Method::PUT] };
        let answer = encode_fault::<ErrorMap>(Checkin::status(&fault), &fault);
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()[header::ALLOW], "GET, PUT");
        let other = encode_fault::<ErrorMap>(StatusCode::NOT_FOUND, &Fault::NoRoute);
        assert!(!other.headers().contains_key(header::ALLOW));
    }

    #[test]
    fn page_of_a_proxy_is_a_refusal_without_an_envelope() {
        let refusal = refusal::<Checkin>(&answer(502, &[], "<html>Bad Gateway</html>"));
        assert_eq!((refusal.kind(), &refusal.envelope), (FaultKind::Server, &None));
        assert_eq!(refusal.body, "<html>Bad Gateway</html>");
        assert!(refusal.to_string().contains("no error envelope"));
    }

    #[test]
    fn success_of_another_form_is_garbled_and_kept() {
        let reply = decode_reply::<Checkin>(&answer(200, &[], "<html>"));
        let Err(ReplyError::Garbled { status, body, why }) = reply else { panic!("{reply:?}") };
        assert_eq!((status, body.as_ref(), why.rule), (StatusCode::OK, &b"<html>"[..], "json.syntax"));
    }

    #[test]
    fn redirect_is_no_success() {
        let refusal = refusal::<Checkin>(&answer(302, &[], "{}"));
        assert_eq!(refusal.kind(), FaultKind::Other);
    }

    #[test]
    fn answer_that_cannot_be_written_becomes_an_internal_error() {
        let value = crate::acusight::ImageNotificationResponse::new("i", "b");
        assert_eq!(encode_reply::<NotifyImage>(Ok(value)).status(), StatusCode::CREATED);
        let fault = encode_reply::<NotifyImage>(Err(Fault::Internal));
        assert_eq!(fault.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(fault.headers()[header::CONTENT_TYPE], JSON);
    }

    #[test]
    fn pointer_escapes_tilde_before_slash() {
        let mut pointer = String::new();
        for member in ["a", "b/c", "d~e", "~1", ""] {
            push_member(&mut pointer, member);
        }
        assert_eq!(pointer, "/a/b~1c/d~0e/~01/");
        assert_eq!(Place::Body(pointer).dotted(), "a.b/c.d~e.~1.");
    }

    #[test]
    fn fault_is_told_in_the_terms_of_json() {
        for (serde, json) in [
            ("invalid type: map, expected a string", "must be a string, not an object"),
            ("invalid type: sequence, expected struct Host", "must be an object, not an array"),
            ("invalid type: null, expected a sequence", "must be an array, not null"),
            (
                "invalid value: integer `-1`, expected an integer (u32)",
                "must be an integer (u32), not integer `-1`",
            ),
            ("invalid type: string \"on\", expected a boolean", "must be a boolean, not string \"on\""),
            ("something else", "something else"),
        ] {
            assert_eq!(in_json_terms(serde), json);
        }
        let long = format!("invalid type: string \"{}\", expected a boolean", "k".repeat(1000));
        assert_eq!(in_json_terms(&long), "must be a boolean, not a longer string");
    }
}
