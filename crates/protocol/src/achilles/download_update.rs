use http::Method;

use super::{Achilles, AgentAuth, Arch, ErrorReply, Os};
use crate::{Conditions, Documented, Endpoint, NoBody, Source, Streamed, Traffic};

/// `GET /api/agent/update?os=…&arch=…`: an agent fetches the file of its newest release.
///
/// Deployed. The source has the same request line without a query for something else, so that the query tells the
/// two apart (PA-4).
#[derive(Debug, Clone, Copy)]
pub struct DownloadUpdate;

impl Endpoint for DownloadUpdate {
    type Vendor = Achilles;
    type Auth = AgentAuth;
    type Params = UpdateWish;
    type Request = NoBody;
    type Reply = Streamed<true>;
    type Error = ErrorReply;
    const ID: &'static str = "achilles.download_update";
    const SUMMARY: &'static str = "An agent fetches the file of its newest release";
    const TAG: &'static str = "Agent Device Endpoints";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/agent/update";
    const SELECTED_BY: &'static [&'static str] = &["os", "arch"];
    const SOURCE: Source = Source::new("ProjectAchilles 48293d8", "backend/src/api/agent/update.routes.ts");
    const COMPANION: bool = true;
    const TRAFFIC: Traffic = Traffic::Download;
    const FAILURES: &'static [Documented] = &[
        Documented::new(401, "The credentials are not those of an active agent"),
        Documented::new(404, "There is no release for this platform, or its file is not kept here"),
    ];
}

crate::params::params! {
    /// Which file is wanted, and how much of it.
    pub struct UpdateWish {
        /// The operating system; an empty one is the agent's own.
        required Query "os" => os: Os,
        /// The architecture; an empty one is the agent's own.
        required Query "arch" => arch: Arch,
        /// The part that is wanted, such as `bytes=1000-`.
        optional Header "Range" => range: String,
        /// The `ETag` of the file that it is a part of; all of another file is wanted.
        optional Header "If-Range" => if_range: String,
        /// The `ETag` of the file that the caller has.
        optional Header "If-None-Match" => if_none_match: String,
    }
}

impl UpdateWish {
    /// The whole file for a platform.
    pub fn new(os: Os, arch: Arch) -> Self {
        Self { os, arch, range: None, if_range: None, if_none_match: None }
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
