use http::Method;

use super::{Achilles, AgentAuth, ErrorReply};
use crate::{Conditions, Documented, Endpoint, NoBody, Source, Streamed, Traffic};

/// `GET /api/agent/binary/{name}`: an agent fetches the binary that a task has it run.
///
/// Deployed. A task names its binary's size and SHA-256, which the agent holds the file to.
#[derive(Debug, Clone, Copy)]
pub struct DownloadBinary;

impl Endpoint for DownloadBinary {
    type Vendor = Achilles;
    type Auth = AgentAuth;
    type Params = BinaryWish;
    type Request = NoBody;
    type Reply = Streamed;
    type Error = ErrorReply;
    const ID: &'static str = "achilles.download_binary";
    const SUMMARY: &'static str = "An agent fetches the binary that a task has it run";
    const TAG: &'static str = "Agent Device Endpoints";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/agent/binary/{name}";
    const SOURCE: Source = Source::new("ProjectAchilles 48293d8", "backend/src/api/agent/binary.routes.ts");
    const COMPANION: bool = true;
    const TRAFFIC: Traffic = Traffic::Download;
    const FAILURES: &'static [Documented] = &[
        Documented::new(400, "The request is malformed"),
        Documented::new(401, "The credentials are not those of an active agent"),
        Documented::new(404, "There is no such binary"),
    ];
}

crate::params::params! {
    /// Which binary is wanted, and how much of it.
    pub struct BinaryWish {
        /// Its name. Of a path only the last segment counts.
        required Path "name" => name: String,
        /// The test that it belongs to.
        optional Query "test_uuid" => test_uuid: String,
        /// The part that is wanted, such as `bytes=1000-`.
        optional Header "Range" => range: String,
        /// The `ETag` of the file that it is a part of; all of another file is wanted.
        optional Header "If-Range" => if_range: String,
        /// The `ETag` of the file that the caller has.
        optional Header "If-None-Match" => if_none_match: String,
    }
}

impl BinaryWish {
    /// A whole binary.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), test_uuid: None, range: None, if_range: None, if_none_match: None }
    }

    /// How much of it is wanted.
    #[must_use]
    pub fn conditions(&self) -> Conditions<'_> {
        Conditions {
            range: self.range.as_deref(),
            if_range: self.if_range.as_deref(),
            if_none_match: self.if_none_match.as_deref(),
        }
    }
}
