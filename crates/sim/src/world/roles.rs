//! What the simulated programs are in each dialect: what they report, and how their work ends.

use fleetwire_client::achilles::{Achilles, Identity as AchillesIdentity, TaskOutcome};
use fleetwire_client::acusight::{Acusight, Identity as AcusightIdentity};
use fleetwire_client::agent::{Dialect, Ending};
use fleetwire_client::agentmc::AgentMc;
use fleetwire_client::zstack::ZStack;
use fleetwire_protocol::achilles::Task;
use fleetwire_protocol::acusight::DeviceAction;
use fleetwire_protocol::agentmc::{
    AgentReport, Disk, HeartbeatRequest, HostFacts, HostReport, HostRuntime, Network, Runtime,
    RuntimeCommand, RuntimeMeta,
};
use fleetwire_protocol::wire::{FreeMap, TextOr};
use fleetwire_protocol::zstack::AgentUuid;
use fleetwire_server_core::domain::No;

/// A program around a machine.
pub(super) trait Role: Dialect + Clone {
    /// The id that operators find the agent by. `name` is what it was given beforehand.
    fn server_id(identity: &Self::Identity, name: &str) -> String;

    /// How work ends that was done.
    fn done(work: &Self::Work) -> Ending<Self::Outcome>;

    /// The work's id or number on the server, and which execution it is.
    fn execution(work_id: &str) -> (&str, u32) {
        (work_id, 1)
    }
}

impl Role for Acusight {
    fn server_id(identity: &AcusightIdentity, _: &str) -> String {
        identity.device.as_str().to_owned()
    }

    fn done(_: &DeviceAction) -> Ending<()> {
        Ending::Done(())
    }
}

impl Role for ZStack {
    fn server_id(identity: &AgentUuid, _: &str) -> String {
        identity.as_str().to_owned()
    }

    fn done(work: &Self::Work) -> Ending<Self::Outcome> {
        match *work {}
    }
}

impl Role for AgentMc {
    fn server_id((): &(), name: &str) -> String {
        fingerprint(name)
    }

    fn done(command: &RuntimeCommand) -> Ending<FreeMap> {
        let key = command.payload.runtime_key.as_str().into();
        Ending::Done(FreeMap([("runtime_key".to_owned(), key)].into()))
    }
}

impl Role for Achilles {
    fn server_id(identity: &AchillesIdentity, _: &str) -> String {
        identity.agent_id.as_str().to_owned()
    }

    fn done(task: &Task) -> Ending<TaskOutcome> {
        Ending::Done(TaskOutcome::printed(task.id.as_str()))
    }

    // An execution after the first has the work's id and its own number after a point.
    fn execution(task: &str) -> (&str, u32) {
        let later = task.rsplit_once('.').and_then(|(work, number)| Some((work, number.parse().ok()?)));
        later.unwrap_or((task, 1))
    }
}

/// What tells the host of this name from all others.
pub(super) fn fingerprint(name: &str) -> String {
    format!("{name:0>64}")
}

/// The report of a host with an agent of this number on it.
pub(super) fn host(fingerprint: &str, agent: No) -> HeartbeatRequest {
    let facts = HostFacts::new(
        "worker",
        "10.0.2.15",
        Network::new("10.0.2.15", "34.222.10.10"),
        "Ubuntu",
        "24.04",
        "x86_64",
        TextOr::Text("Xeon".to_owned()),
        8,
        32,
        Disk::new(512_000_000_000, 300_000_000_000),
        86_400,
        HostRuntime::new("codex", "2026.02.1"),
    );
    HeartbeatRequest::new(
        RuntimeMeta::new(Runtime::new("openclaw", "2026.2.26")),
        HostReport::new(fingerprint, "worker", facts),
        AgentReport::new(agent, "Jarvis", TextOr::Text("calm".to_owned())),
    )
}
