use http::Method;

use super::{Achilles, AgentAuth, Answer, ErrorReply, Task};
use crate::wire::OneOrMany;
use crate::{Documented, Endpoint, JsonOr204, NoBody, Source};

/// `GET /api/agent/tasks`: an agent asks for work.
///
/// Source: `achilles-agent-device`, "Poll Tasks", which shows no body. The deployed server answers one task or
/// 204; a list and null are read too (PA-3).
#[derive(Debug, Clone, Copy)]
pub struct PollTasks;

impl Endpoint for PollTasks {
    type Vendor = Achilles;
    type Auth = AgentAuth;
    type Params = ();
    type Request = NoBody;
    type Reply = JsonOr204<Answer<OneOrMany<Task>>>;
    type Error = ErrorReply;
    const ID: &'static str = "achilles.poll_tasks";
    const SUMMARY: &'static str = "An agent asks for work";
    const TAG: &'static str = "Agent Device Endpoints";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/agent/tasks";
    const SOURCE: Source = Source::new("achilles-agent-device", "Poll Tasks");
    const FAILURES: &'static [Documented] = &[];
}
