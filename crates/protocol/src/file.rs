//! Files on their way. What is stated here is the head of an answer; the bytes travel beside it, so that neither
//! end needs to hold a file as a whole.

use std::ops::Range;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::private::header as text;
use crate::{Place, Violation, codec};

/// The media type of files.
pub(crate) const BYTES: &str = "application/octet-stream";

/// The header that names the version of the program that a file holds.
pub(crate) const AGENT_VERSION: &str = "X-Agent-Version";

/// What may stand unescaped in the long form of a file's name (RFC 8187).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a request says of the part of a file that it wants, and of what the caller has already.
///
/// ```
/// use fleetwire_protocol::{Conditions, FileHead, Part};
///
/// let head = FileHead::new(100, "5f2b");
/// let asked = Conditions { range: Some("bytes=90-"), ..Conditions::default() };
/// assert_eq!(head.clone().under(&asked).part, Part::Range(90..100));
/// let has_it = Conditions { if_none_match: Some("\"5f2b\""), ..asked };
/// assert_eq!(head.under(&has_it).part, Part::NotModified);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions<'a> {
    /// `Range`: the bytes that are wanted.
    pub range: Option<&'a str>,
    /// `If-Range`: the file that they are a part of; all of another one is wanted.
    pub if_range: Option<&'a str>,
    /// `If-None-Match`: the files that the caller has.
    pub if_none_match: Option<&'a str>,
}

impl<'a> Conditions<'a> {
    /// Those that stand in the headers of a request.
    #[must_use]
    pub fn of(headers: &'a HeaderMap) -> Self {
        Self {
            range: text(headers, "range"),
            if_range: text(headers, "if-range"),
            if_none_match: text(headers, "if-none-match"),
        }
    }
}

/// What an answer carries of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// All of it: 200.
    Whole,
    /// The bytes from the first number up to and without the second: 206.
    Range(Range<u64>),
    /// Nothing, since the caller has it: 304.
    NotModified,
    /// Nothing, since it has no such bytes: 416.
    Unsatisfiable,
    /// Nothing, since it is at this address, to be fetched without credentials: 302. Read only.
    Elsewhere(String),
}

/// What is said of a file before its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileHead {
    /// What of it comes.
    pub part: Part,
    /// The size of all of it in bytes. Always there in what we write; a peer may not say it.
    pub size: Option<u64>,
    /// Its entity tag as it travels, quotes included; ours is the SHA-256 in hex.
    pub etag: Option<String>,
    /// Its name: no more than a name, whatever a peer says.
    pub name: Option<String>,
    /// The version of the program in it.
    pub version: Option<String>,
}

impl FileHead {
    /// The head of a whole file, by its size in bytes and its SHA-256 in hex.
    #[must_use]
    pub fn new(size: u64, sha256: &str) -> Self {
        let etag = Some(format!("\"{sha256}\""));
        Self { part: Part::Whole, size: Some(size), etag, name: None, version: None }
    }

    /// The same with a name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same with the version of the program in it.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// The same with what a request leaves of it (RFC 9110, 13 and 14). Who asks for several parts at once, or for
    /// some in a way that is not understood, is given all of it.
    #[must_use]
    pub fn under(mut self, conditions: &Conditions<'_>) -> Self {
        let Some(size) = self.size else { return self };
        let own = self.etag.as_deref();
        self.part = if conditions.if_none_match.is_some_and(|tags| names(tags, own)) {
            Part::NotModified
        } else {
            match conditions.range {
                // A date, and a tag that is weak, never prove that the bytes are the same.
                Some(range) if conditions.if_range.is_none_or(|tag| own == Some(tag.trim())) => {
                    choose(range, size)
                }
                _ => Part::Whole,
            }
        };
        self
    }

    /// The bytes that come after the head, if there may be any and their number is known.
    #[must_use]
    pub fn bytes(&self) -> Option<Range<u64>> {
        match &self.part {
            Part::Whole => self.size.map(|size| 0..size),
            Part::Range(range) => Some(range.clone()),
            _ => None,
        }
    }

    /// Writes it.
    pub(crate) fn write(&self, bytes: Bytes) -> Response<Bytes> {
        let mut response = Response::new(bytes);
        let headers = response.headers_mut();
        let mut put = |name: HeaderName, value: &str| {
            // What no header can carry is left out rather than sent otherwise.
            if let Some(value) = crate::private::header_value(value) {
                headers.insert(name, value);
            }
        };
        put(header::ACCEPT_RANGES, "bytes");
        if let Some(etag) = &self.etag {
            put(header::ETAG, etag);
        }
        let carried = self.bytes();
        if carried.is_some() {
            put(header::CONTENT_TYPE, BYTES);
            if let Some(name) = &self.name {
                put(header::CONTENT_DISPOSITION, &disposition(name));
            }
            if let Some(version) = &self.version {
                put(HeaderName::from_static("x-agent-version"), version);
            }
        }
        let size = self.size.map_or_else(|| "*".to_owned(), |size| size.to_string());
        let status = match &self.part {
            Part::Whole => StatusCode::OK,
            Part::Range(range) => {
                let last = range.end.saturating_sub(1);
                put(header::CONTENT_RANGE, &format!("bytes {}-{last}/{size}", range.start));
                StatusCode::PARTIAL_CONTENT
            }
            Part::NotModified => StatusCode::NOT_MODIFIED,
            Part::Unsatisfiable => {
                put(header::CONTENT_RANGE, &format!("bytes */{size}"));
                put(header::CONTENT_LENGTH, "0");
                StatusCode::RANGE_NOT_SATISFIABLE
            }
            Part::Elsewhere(address) => {
                put(header::LOCATION, address);
                StatusCode::FOUND
            }
        };
        if let Some(range) = carried {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end.saturating_sub(range.start)));
        }
        *response.status_mut() = status;
        response
    }

    /// Whether an answer with this status is the head of a file, or of what is there in its place.
    pub(crate) fn reads(status: StatusCode) -> bool {
        matches!(status.as_u16(), 302 | 304 | 416) || status.is_success()
    }

    /// Reads the head of an answer, whatever came after it.
    ///
    /// # Errors
    /// It is not that of a file.
    ///
    /// ```
    /// use fleetwire_protocol::{FileHead, Part};
    /// use http::{HeaderMap, StatusCode};
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert("content-range", "bytes 10-19/100".parse()?);
    /// let head = FileHead::read(StatusCode::PARTIAL_CONTENT, &headers).unwrap();
    /// assert_eq!((head.part, head.size), (Part::Range(10..20), Some(100)));
    /// assert!(FileHead::read(StatusCode::PARTIAL_CONTENT, &HeaderMap::new()).is_err());
    /// # Ok::<(), http::header::InvalidHeaderValue>(())
    /// ```
    pub fn read(status: StatusCode, headers: &HeaderMap) -> Result<Self, Violation> {
        let fault = |name, message: &str| Violation {
            place: Place::Header(name),
            rule: "file.head",
            message: message.to_owned(),
        };
        let mut head = Self {
            part: Part::Whole,
            size: None,
            etag: text(headers, "etag").map(str::to_owned),
            name: text(headers, "content-disposition").and_then(name_in),
            version: text(headers, AGENT_VERSION).map(str::to_owned),
        };
        let range = text(headers, "content-range");
        match status {
            StatusCode::PARTIAL_CONTENT => {
                let (range, size) = range.and_then(content_range).ok_or_else(|| {
                    fault("Content-Range", "must say which part comes, such as bytes 0-9/100")
                })?;
                (head.part, head.size) = (Part::Range(range), size);
            }
            StatusCode::NOT_MODIFIED => head.part = Part::NotModified,
            StatusCode::RANGE_NOT_SATISFIABLE => {
                head.part = Part::Unsatisfiable;
                head.size = range.and_then(|range| number(range.strip_prefix("bytes */")?));
            }
            StatusCode::FOUND => {
                let address = text(headers, "location")
                    .ok_or_else(|| fault("Location", "must say where the file is"))?;
                head.part = Part::Elsewhere(address.to_owned());
            }
            _ => {
                // A server that knows no such files answers something else under the same request line (PA-4).
                let media = text(headers, "content-type").unwrap_or_default();
                if media.to_ascii_lowercase().starts_with(codec::JSON) {
                    return Err(fault("Content-Type", "must be that of a file, not application/json"));
                }
                head.size = text(headers, "content-length").and_then(number);
            }
        }
        Ok(head)
    }
}

/// A file, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// What is said before the bytes.
    pub head: FileHead,
    /// The bytes.
    pub body: FileBody,
}

impl File {
    /// A file that lies where its keeper finds it under a name.
    #[must_use]
    pub fn stored(head: FileHead, object: impl Into<String>) -> Self {
        Self { head, body: FileBody::Stored(object.into()) }
    }

    /// A file, or the part of one that the head speaks of, with its bytes.
    #[must_use]
    pub fn with_bytes(head: FileHead, bytes: impl Into<Bytes>) -> Self {
        Self { head, body: FileBody::Bytes(bytes.into()) }
    }

    /// What is to be sent after the head, where the bytes are not there yet.
    #[must_use]
    pub fn piece(&self) -> Option<Piece> {
        match &self.body {
            FileBody::Stored(object) => Some(Piece { object: object.clone(), range: self.head.bytes()? }),
            FileBody::Bytes(_) => None,
        }
    }
}

/// Where the bytes of a [`File`] are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileBody {
    /// Elsewhere, under a name by which their keeper finds them: what a handler answers.
    Stored(String),
    /// Here: what a caller gets who waits for all of them.
    Bytes(Bytes),
}

/// A piece of what is stored, to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece {
    /// The name by which its keeper finds it.
    pub object: String,
    /// Its bytes.
    pub range: Range<u64>,
}

/// Whether a list of entity tags names one. Tags are compared weakly, as the header asks for.
fn names(tags: &str, own: Option<&str>) -> bool {
    let strong = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    // Ours hold no comma.
    tags.trim() == "*" || own.is_some_and(|own| tags.split(',').any(|tag| strong(tag.trim()) == strong(own)))
}

/// The part that a `Range` asks for.
fn choose(range: &str, size: u64) -> Part {
    let asked = range.split_once('=').filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"));
    let Some((first, last)) = asked.and_then(|(_, range)| range.trim().split_once('-')) else {
        return Part::Whole;
    };
    let range = match (position(first), position(last)) {
        (Ok(None), Ok(Some(suffix))) => size.saturating_sub(suffix)..size,
        (Ok(Some(first)), Ok(None)) => first..size,
        (Ok(Some(first)), Ok(Some(last))) if first <= last => first..last.saturating_add(1).min(size),
        // Several at once, and what is no range at all.
        _ => return Part::Whole,
    };
    if range.is_empty() { Part::Unsatisfiable } else { Part::Range(range) }
}

/// A position of a range, if there is one. One beyond all files is as good as the largest.
fn position(text: &str) -> Result<Option<u64>, ()> {
    match text.trim() {
        "" => Ok(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        _ => Err(()),
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = text.trim();
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Reads `bytes 0-9/100`; the size may be `*`.
fn content_range(value: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, size) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, end) = (number(first)?, number(last)?.checked_add(1)?);
    let size = if size.trim() == "*" { None } else { Some(number(size)?) };
    (first < end && size.is_none_or(|size| end <= size)).then_some((first..end, size))
}

/// Says how a file is called: in ASCII, and where that is not all of it in full besides.
fn disposition(name: &str) -> String {
    let plain = |c: char| if matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%') { c } else { '_' };
    let short: String = name.chars().map(plain).collect();
    let mut value = format!("attachment; filename=\"{short}\"");
    if short != name {
        value.push_str("; filename*=UTF-8''");
        value.extend(utf8_percent_encode(name, PLAIN));
    }
    value
}

/// The name that a `Content-Disposition` gives, without any folder before it.
fn name_in(value: &str) -> Option<String> {
    // What divides the parameters may stand in the text of one.
    let mut quoted = false;
    let parameters: Vec<&str> = value
        .split(|c: char| {
            quoted ^= c == '"';
            c == ';' && !quoted
        })
        .skip(1)
        .collect();
    let parameter = |wanted: &str| {
        let named = parameters.iter().filter_map(|part| part.split_once('='));
        named
            .map(|(name, text)| (name.trim(), text.trim()))
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    let long = || {
        let (charset, text) = parameter("filename*")?.1.split_once("''")?;
        let utf8 = charset.eq_ignore_ascii_case("utf-8");
        utf8.then(|| percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned))?
    };
    let short = || Some(parameter("filename")?.1.trim_matches('"').to_owned());
    let name = long().or_else(short)?;
    base_name(&name).map(str::to_owned)
}

/// The last segment of a path in either way of writing one, if it can be the name of a file: whoever opens what a
/// peer has named opens nothing outside the folder that was meant.
///
/// ```
/// use fleetwire_protocol::base_name;
///
/// assert_eq!(base_name("tests/a.exe"), Some("a.exe"));
/// for other in ["", "..", "a/..", "C:\\x\\", "a\0b"] {
///     assert_eq!(base_name(other), None);
/// }
/// ```
#[must_use]
pub fn base_name(path: &str) -> Option<&str> {
    let name = path.rsplit(['/', '\\']).next()?;
    let usable = !matches!(name, "" | "." | "..") && !name.contains(char::is_control);
    usable.then_some(name)
}

#[cfg(feature = "arbitrary")]
mod arbitrary {
    use proptest::arbitrary::{Arbitrary, any};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{Strategy, prop_oneof};
    use proptest::strategy::{BoxedStrategy, Just};

    use super::{File, FileHead, Part};

    /// What can be written and read again: a version is not, since not every file has one.
    impl Arbitrary for File {
        type Parameters = ();
        type Strategy = BoxedStrategy<Self>;
        fn arbitrary_with((): ()) -> Self::Strategy {
            let part = prop_oneof![
                Just(Part::Whole),
                any::<u32>().prop_map(|from| {
                    let from = u64::from(from);
                    Part::Range(from..from)
                }),
                Just(Part::NotModified),
                Just(Part::Unsatisfiable),
            ];
            let name = option::of("[a-zA-Zäß][a-zä \"%;=']{0,10}[a-z]");
            (part, "[0-9a-f]{64}", name, vec(any::<u8>(), 1..64), any::<u32>())
                .prop_map(|(part, sha256, name, bytes, more)| {
                    let count = bytes.len() as u64;
                    let mut head = FileHead::new(count, &sha256);
                    head.name = name.filter(|_| matches!(part, Part::Whole | Part::Range(_)));
                    let bytes = match part {
                        Part::Whole => bytes,
                        Part::Range(from) => {
                            head.part = Part::Range(from.start..from.start + count);
                            head.size = Some(from.start + count + u64::from(more));
                            return Self::with_bytes(head, bytes);
                        }
                        Part::NotModified => {
                            head.size = None;
                            Vec::new()
                        }
                        _ => Vec::new(),
                    };
                    head.part = part;
                    Self::with_bytes(head, bytes)
                })
                .boxed()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 100;
    const TAG: &str = "\"5f2b\"";

    fn asked(conditions: Conditions<'_>) -> Part {
        FileHead::new(SIZE, "5f2b").under(&conditions).part
    }

    #[test]
    fn range_is_cut_to_the_file_and_what_is_no_single_range_is_all_of_it() {
        let range = |from, to| Part::Range(from..to);
        for (text, part) in [
            ("bytes=0-0", range(0, 1)),
            ("bytes=0-", range(0, 100)),
            ("bytes=99-", range(99, 100)),
            ("bytes=10-19", range(10, 20)),
            ("bytes=10-1000", range(10, 100)),
            ("bytes=10-18446744073709551615", range(10, 100)),
            ("bytes=10-99999999999999999999999", range(10, 100)),
            ("bytes=-1", range(99, 100)),
            ("bytes=-100", range(0, 100)),
            ("bytes=-99999999999999999999999", range(0, 100)),
            ("BYTES = 1-2", range(1, 3)),
            ("bytes=100-", Part::Unsatisfiable),
            ("bytes=100-200", Part::Unsatisfiable),
            ("bytes=18446744073709551615-", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=2-1", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=1", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=--1", Part::Whole),
            ("items=0-1", Part::Whole),
            ("0-1", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(asked(Conditions { range: Some(text), ..Conditions::default() }), part, "{text}");
        }
    }

    #[test]
    fn nothing_of_an_empty_file_can_be_asked_for() {
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            let conditions = Conditions { range: Some(range), ..Conditions::default() };
            assert_eq!(FileHead::new(0, "e3b0").under(&conditions).part, Part::Unsatisfiable, "{range}");
        }
        assert_eq!(FileHead::new(0, "e3b0").under(&Conditions::default()).part, Part::Whole);
    }

    #[test]
    fn part_of_another_file_is_not_given() {
        let of = |if_range| asked(Conditions { range: Some("bytes=5-"), if_range, if_none_match: None });
        assert_eq!(of(None), Part::Range(5..100));
        assert_eq!(of(Some(TAG)), Part::Range(5..100));
        for other in ["\"5f2c\"", "W/\"5f2b\"", "5f2b", "", "Sat, 21 Mar 2026 14:32:00 GMT"] {
            assert_eq!(of(Some(other)), Part::Whole, "{other}");
        }
    }

    #[test]
    fn what_the_caller_has_is_not_sent_again() {
        let has =
            |tags| asked(Conditions { range: Some("bytes=5-"), if_range: None, if_none_match: Some(tags) });
        for tags in [TAG, "*", " * ", "W/\"5f2b\"", "\"a\", \"5f2b\"", "\"a\",W/\"5f2b\""] {
            assert_eq!(has(tags), Part::NotModified, "{tags}");
        }
        for tags in ["", "\"a\"", "5f2b", "\"5f2b", "\"a\", \"b\""] {
            assert_eq!(has(tags), Part::Range(5..100), "{tags}");
        }
    }

    #[test]
    fn each_part_has_its_status_and_headers() {
        let written = |part: Part| {
            let mut head = FileHead::new(SIZE, "5f2b").with_name("agent").with_version("1.2.3");
            head.part = part;
            let response = head.write(Bytes::new());
            let list = ["content-length", "content-range", "content-type", "x-agent-version", "etag"];
            let found = list.map(|name| text(response.headers(), name).unwrap_or("-").to_owned());
            (response.status().as_u16(), found.join(" "))
        };
        let of = |status: u16, headers: &str| (status, headers.to_owned());
        assert_eq!(written(Part::Whole), of(200, "100 - application/octet-stream 1.2.3 \"5f2b\""));
        assert_eq!(
            written(Part::Range(10..20)),
            of(206, "10 bytes 10-19/100 application/octet-stream 1.2.3 \"5f2b\"")
        );
        assert_eq!(written(Part::NotModified), of(304, "- - - - \"5f2b\""));
        assert_eq!(written(Part::Unsatisfiable), of(416, "0 bytes */100 - - \"5f2b\""));
    }

    #[test]
    fn head_that_is_none_of_a_file_is_refused_by_its_header() {
        let read = |status: u16, headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, HeaderValue::from_static(value));
            }
            FileHead::read(StatusCode::from_u16(status).unwrap(), &map)
        };
        for range in
            ["", "bytes", "bytes 5-4/10", "bytes 0-10/10", "bytes 0-x/10", "items 0-1/2", "bytes */10"]
        {
            let fault = read(206, &[("content-range", range)]).unwrap_err();
            assert_eq!(fault.place, Place::Header("Content-Range"), "{range}");
        }
        assert!(read(206, &[("content-range", "bytes 0-18446744073709551615/*")]).is_err());
        let open = read(206, &[("content-range", "bytes 5-9/*")]).unwrap();
        assert_eq!((open.part, open.size), (Part::Range(5..10), None));
        assert_eq!(
            read(200, &[("content-type", "Application/JSON; charset=utf-8")]).unwrap_err().place,
            Place::Header("Content-Type")
        );
        assert_eq!(read(302, &[]).unwrap_err().place, Place::Header("Location"));
        let elsewhere = read(302, &[("location", "https://storage.example/x")]).unwrap();
        assert_eq!(elsewhere.part, Part::Elsewhere("https://storage.example/x".to_owned()));
        assert_eq!(read(416, &[("content-range", "bytes */42")]).unwrap().size, Some(42));
        // What the deployed server sends: no tag, no ranges.
        let deployed = read(200, &[("content-length", "7"), ("x-agent-version", "0.5.12")]).unwrap();
        assert_eq!(
            (deployed.size, deployed.version.as_deref(), deployed.etag),
            (Some(7), Some("0.5.12"), None)
        );
    }

    #[test]
    fn name_survives_its_header_and_a_peer_names_no_folder() {
        for name in ["agent", "a b.exe", "größe.bin", "a\"b;c=d%41.bin", "日本"] {
            assert_eq!(name_in(&disposition(name)).as_deref(), Some(name));
        }
        for (value, name) in [
            ("attachment; filename=agent", Some("agent")),
            ("attachment; filename=\"a; filename=b\"; size=3", Some("a; filename=b")),
            ("attachment; filename=\"a;b", Some("a;b")),
            ("attachment; FileName=\"../../etc/passwd\"", Some("passwd")),
            ("attachment; filename*=UTF-8''..%2F..%2Fx", Some("x")),
            ("attachment; filename*=utf-8''%00; filename=a", None),
            ("attachment; filename=\"..\"", None),
            ("attachment", None),
            ("", None),
        ] {
            assert_eq!(name_in(value).as_deref(), name, "{value}");
        }
    }
}
