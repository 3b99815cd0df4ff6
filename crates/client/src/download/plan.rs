use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_protocol::{FileHead, Part, RetryAfter};
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, StatusCode, Uri};

use super::{Bounds, DownloadError};
use crate::retry;

/// The most redirects that are followed one after another.
const HOPS: u32 = 5;
/// Bytes by which a connection has to get further than all before it to have been worth while: whoever brings fewer
/// each time, or the same again and again, is given up as if nothing had come.
const WORTH_WHILE: u64 = 64 << 10;
/// The time over which the pace is measured.
const WINDOW: Duration = Duration::from_secs(30);

/// What a download asks for and makes of the answers. No IO, no clock, no randomness.
pub(super) struct Plan<'a> {
    bounds: &'a Bounds,
    /// Bytes that lie on the disk.
    have: u64,
    /// The entity tag of the object that they are of; strong ones only.
    tag: Option<String>,
    /// The size that was announced.
    size: Option<u64>,
    /// The request with which a connection begins, as its source has signed it.
    base: Request<Bytes>,
    /// Where the last request went.
    at: Uri,
    hops: u32,
    ranged: bool,
    /// Whether some of the bytes may be of another object.
    mixed: bool,
    /// Bytes that came over this connection.
    gained: u64,
    /// The most bytes that ever lay here when a connection ended.
    furthest: u64,
    window: (Duration, u64),
    attempts: u32,
    failures: u32,
}

/// What follows from the head of an answer.
#[derive(Debug)]
pub(super) enum Head {
    /// Bytes follow: of what lies on the disk, or from the first on.
    Body { afresh: bool },
    /// The file is somewhere else.
    Follow(Box<Request<Bytes>>),
    /// Not now.
    Failed(Failure),
}

/// Why a connection brought nothing, or not all.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) why: String,
    pub(super) asked: Option<Duration>,
}

impl Failure {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), asked: None }
    }
}

/// What follows from the end of a body.
#[derive(Debug)]
pub(super) enum End {
    Whole,
    /// Some is missing, and nothing went wrong: a server may send less than was asked for.
    More,
    Failed(Failure),
}

impl<'a> Plan<'a> {
    /// A download of which some bytes lie on the disk already.
    pub(super) fn new(bounds: &'a Bounds, have: u64, tag: Option<String>) -> Self {
        Self {
            bounds,
            have,
            tag,
            size: bounds.size,
            base: Request::default(),
            at: Uri::default(),
            hops: 0,
            ranged: false,
            mixed: have > 0,
            gained: 0,
            furthest: have,
            window: (Duration::ZERO, 0),
            attempts: 0,
            failures: 0,
        }
    }

    /// The entity tag of what comes.
    pub(super) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Whether nothing is missing, as far as can be told.
    pub(super) fn is_whole(&self) -> bool {
        self.have > 0 && self.size == Some(self.have)
    }

    /// Whether some of the bytes may be of another object, so that all of it is worth another try.
    pub(super) const fn may_be_mixed(&self) -> bool {
        self.mixed
    }

    /// Nothing lies on the disk any more.
    pub(super) fn start_over(&mut self) {
        (self.have, self.tag, self.size, self.mixed) = (0, None, self.bounds.size, false);
    }

    /// The request for what is missing, from the one that its source has signed for all of it.
    pub(super) fn begin(&mut self, base: Request<Bytes>) -> Result<Request<Bytes>, DownloadError> {
        if origin(base.uri()).is_none() {
            return Err(DownloadError::Address("not an http or https address"));
        }
        self.base = base;
        (self.hops, self.gained, self.attempts) = (0, 0, self.attempts + 1);
        Ok(self.dressed(self.base.clone()))
    }

    fn dressed(&mut self, mut request: Request<Bytes>) -> Request<Bytes> {
        self.at = request.uri().clone();
        let headers = request.headers_mut();
        for name in [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH] {
            headers.remove(name);
        }
        // What is encoded on the way cannot be resumed, and is not what was announced.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let range = HeaderValue::from_str(&format!("bytes={}-", self.have)).ok();
        self.ranged = false;
        if let Some(range) = range.filter(|_| self.have > 0) {
            headers.insert(header::RANGE, range);
            self.ranged = true;
            if let Some(tag) = self.tag.as_deref().and_then(|tag| HeaderValue::from_str(tag).ok()) {
                headers.insert(header::IF_RANGE, tag);
            }
        }
        request
    }

    /// What follows from the head of an answer, which came at this time of day.
    pub(super) fn head(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        now: DateTime<Utc>,
    ) -> Result<Head, DownloadError> {
        if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return self.follow(headers).map(|request| Head::Follow(Box::new(request)));
        }
        if status == StatusCode::RANGE_NOT_SATISFIABLE && self.ranged {
            // What lies here is longer than what is there.
            self.start_over();
            return Ok(Head::Failed(Failure::new("there are no such bytes")));
        }
        if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
            let asked = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            let asked = asked.and_then(RetryAfter::parse).map(|when| when.delay(now));
            // A key that is being changed is refused for a moment; an address to which one was sent expires.
            let passing = match status {
                StatusCode::UNAUTHORIZED => true,
                StatusCode::FORBIDDEN => self.hops > 0,
                _ => retry::is_retryable(status),
            };
            if !passing {
                return Err(DownloadError::Refused(status));
            }
            return Ok(Head::Failed(Failure { why: format!("answered with {status}"), asked }));
        }
        let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
        if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
            return Err(DownloadError::Encoded);
        }
        let head = match FileHead::read(status, headers) {
            Ok(head) => head,
            Err(violation) => {
                self.start_over();
                return Ok(Head::Failed(Failure::new(violation.message)));
            }
        };
        let tag = head.etag.filter(|tag| tag.starts_with('"') && tag.len() > 2);
        match head.part {
            Part::Range(range) if self.ranged => {
                let same = self.tag.is_none() || tag.is_none() || self.tag == tag;
                let as_long = head.size.is_none() || self.size.is_none() || self.size == head.size;
                if range.start != self.have || !same || !as_long {
                    self.start_over();
                    return Ok(Head::Failed(Failure::new("another part came than was asked for")));
                }
                self.announced(head.size.or(self.size))?;
                Ok(Head::Body { afresh: false })
            }
            Part::Whole => {
                self.start_over();
                self.tag = tag;
                self.announced(head.size)?;
                Ok(Head::Body { afresh: true })
            }
            _ => Ok(Head::Failed(Failure::new("a part came that was not asked for"))),
        }
    }

    fn announced(&mut self, size: Option<u64>) -> Result<(), DownloadError> {
        if let (Some(expected), Some(announced)) = (self.bounds.size, size)
            && expected != announced
        {
            return Err(DownloadError::Size { expected, found: announced });
        }
        if size.is_some_and(|size| size > self.bounds.limit) {
            return Err(DownloadError::TooLong { limit: self.bounds.limit });
        }
        self.size = size.or(self.bounds.size);
        if self.size.is_none() && self.bounds.sha256.is_none() {
            return Err(DownloadError::Unmeasured);
        }
        Ok(())
    }

    fn follow(&mut self, headers: &HeaderMap) -> Result<Request<Bytes>, DownloadError> {
        self.hops += 1;
        if self.hops > HOPS {
            return Err(DownloadError::Redirect("too many of them"));
        }
        let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or(DownloadError::Redirect("it does not say where to"))?;
        let to =
            resolve(&self.at, location).ok_or(DownloadError::Redirect("not an http or https address"))?;
        if to.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(DownloadError::Redirect("it has a password in it"));
        }
        if self.at.scheme_str() == Some("https") && to.scheme_str() != Some("https") {
            return Err(DownloadError::Redirect("from https to http"));
        }
        // Credentials are for the place where they were to go, and for none that it names.
        let mut request =
            if origin(&to) == origin(self.base.uri()) { self.base.clone() } else { Request::default() };
        *request.method_mut() = Method::GET;
        *request.uri_mut() = to;
        Ok(self.dressed(request))
    }

    /// Bytes came at this time of a clock that nobody sets. What of them is wanted, or why this connection is not.
    pub(super) fn piece(&mut self, bytes: u64, now: Duration) -> Result<Option<Failure>, DownloadError> {
        let have = self.have.saturating_add(bytes);
        if have > self.bounds.limit {
            return Err(DownloadError::TooLong { limit: self.bounds.limit });
        }
        if let Some(size) = self.size.filter(|size| have > *size) {
            return Err(DownloadError::Size { expected: size, found: have });
        }
        if self.gained == 0 {
            self.window = (now, 0);
        }
        (self.have, self.gained) = (have, self.gained.saturating_add(bytes));
        let (since, so_far) = (self.window.0, self.window.1.saturating_add(bytes));
        self.window.1 = so_far;
        if now.saturating_sub(since) < WINDOW {
            return Ok(None);
        }
        self.window = (now, 0);
        let slow = so_far < self.bounds.slowest.saturating_mul(now.saturating_sub(since).as_secs());
        Ok(slow.then(|| Failure::new("too slow")))
    }

    /// The body is at its end.
    pub(super) fn ended(&mut self) -> End {
        match self.size {
            Some(size) if self.have < size && self.can_go_on() && self.was_worth_while() => {
                self.furthest = self.have;
                End::More
            }
            Some(size) if self.have < size => End::Failed(Failure::new("the answer ended too early")),
            _ => End::Whole,
        }
    }

    /// Without a digest to hold it to, only an object that can be named is gone on with.
    const fn can_go_on(&self) -> bool {
        self.tag.is_some() || self.bounds.sha256.is_some()
    }

    const fn was_worth_while(&self) -> bool {
        self.have >= self.furthest.saturating_add(WORTH_WHILE)
    }

    /// A connection failed. How long to wait before the next, with a number from 0 to 1.
    pub(super) fn failed(&mut self, failure: Failure, random: f64) -> Result<Duration, DownloadError> {
        if self.was_worth_while() {
            self.failures = 0;
        }
        self.failures += 1;
        self.furthest = self.furthest.max(self.have);
        if !self.can_go_on() {
            self.start_over();
        }
        self.mixed |= self.have > 0 && self.tag.is_none();
        let wait = self.bounds.retries.wait(self.failures, failure.asked, random);
        wait.ok_or(DownloadError::GaveUp { attempts: self.attempts, last: failure.why })
    }
}

/// Scheme, host and port of an http or https address.
pub(crate) fn origin(uri: &Uri) -> Option<(&str, String, u16)> {
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
    let usual = if scheme == "https" { 443 } else { 80 };
    Some((scheme, host, uri.authority().and_then(Authority::port_u16).unwrap_or(usual)))
}

/// The address that a `Location` names, seen from where it was said.
fn resolve(from: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next()?.trim();
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let absolute = location.find("://").is_some_and(|at| !location[..at].contains(['/', '?']));
    let text = if absolute {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", from.path())
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let uri: Uri = text.parse().ok()?;
    origin(&uri).is_some().then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds { size: Some(100_000), ..Bounds::default() }
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn signed(address: &str) -> Request<Bytes> {
        Request::get(address).header("authorization", "Bearer ak_5ec2e7").body(Bytes::new()).unwrap()
    }

    fn follow(from: &str, to: &str) -> Result<Request<Bytes>, DownloadError> {
        let bounds = bounds();
        let mut plan = Plan::new(&bounds, 0, None);
        plan.begin(signed(from)).unwrap();
        let head = plan.head(StatusCode::FOUND, &headers(&[("location", to)]), DateTime::UNIX_EPOCH)?;
        let Head::Follow(request) = head else { panic!("{head:?}") };
        Ok(*request)
    }

    #[test]
    fn credentials_go_to_their_own_origin_only() {
        for (from, to, address, kept) in [
            ("https://a.test/x/y", "/z", "https://a.test/z", true),
            ("https://a.test/x/y", "z?k=1#f", "https://a.test/x/z?k=1", true),
            ("https://a.test/x/y", "?k=1", "https://a.test/x/y?k=1", true),
            ("https://a.test/x", "https://A.test:443/z", "https://A.test:443/z", true),
            ("https://a.test/x", "https://a.test:444/z", "https://a.test:444/z", false),
            ("https://a.test/x", "https://b.test/z", "https://b.test/z", false),
            ("https://a.test/x", "//b.test/z", "https://b.test/z", false),
            ("https://a.test/x", "https://a.test.b.test/", "https://a.test.b.test/", false),
            ("http://a.test/x", "https://a.test/x", "https://a.test/x", false),
        ] {
            let request = follow(from, to).unwrap();
            assert_eq!(request.uri().to_string(), address, "{from} to {to}");
            assert_eq!(request.headers().contains_key("authorization"), kept, "{from} to {to}");
        }
    }

    #[test]
    fn what_has_left_its_origin_comes_back_without_losing_or_leaking_credentials() {
        let bounds = bounds();
        let mut plan = Plan::new(&bounds, 0, None);
        plan.begin(signed("https://a.test/x")).unwrap();
        for (to, kept) in [("https://b.test/1", false), ("/2", false), ("https://a.test/3", true)] {
            let head = plan.head(StatusCode::FOUND, &headers(&[("location", to)]), DateTime::UNIX_EPOCH);
            let Head::Follow(request) = head.unwrap() else { panic!() };
            assert_eq!(request.headers().contains_key("authorization"), kept, "{to}");
        }
    }

    #[test]
    fn redirects_that_lead_astray_are_refused() {
        for to in
            ["http://a.test/x", "ftp://a.test/x", "https://u:p@b.test/", "", "file:///etc/passwd", "https://"]
        {
            let result = follow("https://a.test/x", to);
            if to.is_empty() {
                // Nothing but the place itself.
                assert!(result.is_ok());
                continue;
            }
            assert!(matches!(result, Err(DownloadError::Redirect(_))), "{to}: {result:?}");
        }
    }

    #[test]
    fn who_drips_is_given_up_and_whoever_is_slow_but_comes_on_is_not() {
        let bounds = Bounds { slowest: 100, ..bounds() };
        for (bytes_per_second, too_slow) in [(1, true), (99, true), (100, false), (500, false)] {
            let mut plan = Plan::new(&bounds, 0, None);
            plan.begin(signed("https://a.test/x")).unwrap();
            plan.head(StatusCode::OK, &headers(&[("content-length", "100000")]), DateTime::UNIX_EPOCH)
                .unwrap();
            let mut failed = false;
            for second in 0..100 {
                failed |= plan.piece(bytes_per_second, Duration::from_secs(second)).unwrap().is_some();
            }
            assert_eq!(failed, too_slow, "{bytes_per_second}");
        }
    }

    #[test]
    fn a_server_that_brings_a_byte_at_a_time_is_given_up() {
        let bounds = bounds();
        let mut plan = Plan::new(&bounds, 0, None);
        let mut have = 0;
        let error = loop {
            plan.begin(signed("https://a.test/x")).unwrap();
            let range = format!("bytes {have}-99999/100000");
            let head = if have == 0 {
                plan.head(StatusCode::OK, &headers(&[("etag", "\"1\"")]), DateTime::UNIX_EPOCH)
            } else {
                let lines = [("etag", "\"1\""), ("content-range", range.as_str())];
                plan.head(StatusCode::PARTIAL_CONTENT, &headers(&lines), DateTime::UNIX_EPOCH)
            };
            assert!(matches!(head, Ok(Head::Body { .. })), "{head:?}");
            plan.piece(1, Duration::ZERO).unwrap();
            have += 1;
            let End::Failed(failure) = plan.ended() else { panic!() };
            if let Err(error) = plan.failed(failure, 0.5) {
                break error;
            }
        };
        assert!(matches!(error, DownloadError::GaveUp { attempts: 8, .. }), "{error:?}");
    }
}
