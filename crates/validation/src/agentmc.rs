use fleetwire_protocol::Call;
use fleetwire_protocol::agentmc::{Fingerprint, Heartbeat, Instructions};

use crate::report::Report;
use crate::rule::{BOUNDED, house};
use crate::{Context, How, Origin, Side};

/// A place in the slice, below the schema of the request.
macro_rules! slice {
    ($place:literal) => {
        Origin::Source {
            document: "agentmc-heartbeat-openapi",
            place: concat!("#/components/schemas/StoreAgentHeartbeatApiRequest/", $place),
            how: How::Slice,
        }
    };
}

const HEADER: Origin = Origin::Source {
    document: "agentmc-heartbeat-openapi",
    place: "#/paths/~1agents~1heartbeat/post/parameters/0/schema",
    how: How::Slice,
};
const FALLBACK: Origin = Origin::Source {
    document: "agentmc-agent-heartbeat",
    place: "Parameters, X-Host-Fingerprint",
    how: How::Prose,
};
const LIKE_THE_ONE: Origin =
    house("an agent in the list is held to what the source asks of the one agent (AM-5)");

const fn newer(place: &'static str) -> Origin {
    Origin::Source { document: "agentmc-node 0.3.169, spec/openapi.filtered.json", place, how: How::Deployed }
}

rules! {
    Heartbeat, "agentmc.heartbeat" {
        "meta.type.max_length": "/meta/type"
            => (.meta.kind?), MaxLength(120), Both, slice!("properties/meta/properties/type");
        "meta.runtime.name.max_length": "/meta/runtime/name"
            => (.meta.runtime.name), MaxLength(120), Both,
            slice!("properties/meta/properties/runtime/properties/name");
        "meta.runtime.version.max_length": "/meta/runtime/version"
            => (.meta.runtime.version), MaxLength(120), Both,
            slice!("properties/meta/properties/runtime/properties/version");
        "meta.runtime.build.max_length": "/meta/runtime/build"
            => (.meta.runtime.build?), MaxLength(120), Both,
            slice!("properties/meta/properties/runtime/properties/build");
        "meta.runtime.mode.max_length": "/meta/runtime/mode"
            => (.meta.runtime.mode?), MaxLength(64), Both,
            slice!("properties/meta/properties/runtime/properties/mode");
        "meta.openclaw_version.max_length": "/meta/openclaw_version"
            => (.meta.openclaw_version?), MaxLength(120), Both, slice!("properties/meta/properties/openclaw_version");
        "meta.openclaw_build.max_length": "/meta/openclaw_build"
            => (.meta.openclaw_build?), MaxLength(120), Both, slice!("properties/meta/properties/openclaw_build");
        "meta.models.max_members": "/meta/models/*" => (.meta.models[*]), MaxMembers, Both, BOUNDED;
        "meta.models.max_depth": "/meta/models/*" => (.meta.models[*]), MaxDepth, Both, BOUNDED;
        "meta.models.max_bytes": "/meta/models/*" => (.meta.models[*]), MaxBytes, Both, BOUNDED;
        "meta.tokens_in.minimum": "/meta/tokens_in"
            => held, Minimum(0), Both, slice!("properties/meta/properties/tokens_in");
        "meta.tokens_out.minimum": "/meta/tokens_out"
            => held, Minimum(0), Both, slice!("properties/meta/properties/tokens_out");
        "meta.runtime_mode.max_length": "/meta/runtime_mode"
            => (.meta.runtime_mode?), MaxLength(64), Both, slice!("properties/meta/properties/runtime_mode");
        "meta.thinking_mode.max_length": "/meta/thinking_mode"
            => (.meta.thinking_mode?), MaxLength(64), Both, slice!("properties/meta/properties/thinking_mode/oneOf/0");
        "meta.cache_hit_rate_percent.range": "/meta/cache_hit_rate_percent"
            => (.meta.cache_hit_rate_percent?), Range(0, 100), Both,
            slice!("properties/meta/properties/cache_hit_rate_percent");
        "meta.cache_tokens_cached.minimum": "/meta/cache_tokens_cached"
            => held, Minimum(0), Both, slice!("properties/meta/properties/cache_tokens_cached");
        "meta.cache_tokens_new.minimum": "/meta/cache_tokens_new"
            => held, Minimum(0), Both, slice!("properties/meta/properties/cache_tokens_new");
        "meta.context_tokens_used.minimum": "/meta/context_tokens_used"
            => held, Minimum(0), Both, slice!("properties/meta/properties/context_tokens_used");
        "meta.context_tokens_max.minimum": "/meta/context_tokens_max"
            => (.meta.context_tokens_max?), Minimum(1), Both, slice!("properties/meta/properties/context_tokens_max");
        "meta.context_percent_used.range": "/meta/context_percent_used"
            => (.meta.context_percent_used?), Range(0, 100), Both,
            slice!("properties/meta/properties/context_percent_used");
        "meta.context_compactions.minimum": "/meta/context_compactions"
            => held, Minimum(0), Both, slice!("properties/meta/properties/context_compactions");
        "meta.tool_availability.max_members": "/meta/tool_availability"
            => (.meta.tool_availability?), MaxMembers, Both, BOUNDED;
        "meta.tool_availability.max_bytes": "/meta/tool_availability"
            => (.meta.tool_availability?), MaxBytes, Both, BOUNDED;
        "meta.usage_window_percent_left.range": "/meta/usage_window_percent_left"
            => (.meta.usage_window_percent_left?), Range(0, 100), Both,
            slice!("properties/meta/properties/usage_window_percent_left");
        "meta.usage_window_time_left.max_length": "/meta/usage_window_time_left"
            => (.meta.usage_window_time_left?), MaxLength(120), Both,
            slice!("properties/meta/properties/usage_window_time_left");
        "meta.usage_day_percent_left.range": "/meta/usage_day_percent_left"
            => (.meta.usage_day_percent_left?), Range(0, 100), Both,
            slice!("properties/meta/properties/usage_day_percent_left");
        "meta.usage_day_time_left.max_length": "/meta/usage_day_time_left"
            => (.meta.usage_day_time_left?), MaxLength(120), Both,
            slice!("properties/meta/properties/usage_day_time_left");
        "meta.node_version.max_length": "/meta/node_version"
            => (.meta.node_version?), MaxLength(120), Both, slice!("properties/meta/properties/node_version");
        "meta.queue_depth.minimum": "/meta/queue_depth"
            => held, Minimum(0), Both, slice!("properties/meta/properties/queue_depth");
        "meta.max_members": "/meta" => (.meta.extra), MaxOpenMembers, Both, BOUNDED;
        "meta.max_depth": "/meta" => (.meta.extra), MaxDepth, Both, BOUNDED;
        "meta.max_bytes": "/meta" => (.meta.extra), MaxBytes, Both, BOUNDED;

        "host.fingerprint.required_unless": "/host/fingerprint"
            => {fingerprint_is_somewhere}, RequiredUnless("header:X-Host-Fingerprint"), Accept, FALLBACK;
        "host.fingerprint.required": "/host/fingerprint"
            => {fingerprint_is_in_body}, Required, Emit, slice!("properties/host/required");
        "host.fingerprint.min_length": "/host/fingerprint"
            => (.host.fingerprint?), MinLength(64), Both, slice!("properties/host/properties/fingerprint");
        "host.fingerprint.max_length": "/host/fingerprint"
            => (.host.fingerprint?), MaxLength(128), Both, slice!("properties/host/properties/fingerprint");
        "host.fingerprint.pattern": "/host/fingerprint"
            => (.host.fingerprint?), Pattern("^[A-Za-z0-9._-]+$"), Both,
            slice!("properties/host/properties/fingerprint");
        "header.x_host_fingerprint.min_length": "header:X-Host-Fingerprint"
            => [header_in_use], MinLength(64), Both, HEADER;
        "header.x_host_fingerprint.max_length": "header:X-Host-Fingerprint"
            => [header_in_use], MaxLength(128), Both, HEADER;
        "header.x_host_fingerprint.pattern": "header:X-Host-Fingerprint"
            => [header_in_use], Pattern("^[A-Za-z0-9._-]+$"), Both, HEADER;
        "host.name.max_length": "/host/name"
            => (.host.name), MaxLength(255), Both, slice!("properties/host/properties/name");
        "host.meta.hostname.max_length": "/host/meta/hostname"
            => (.host.meta.hostname), MaxLength(255), Both,
            slice!("properties/host/properties/meta/properties/hostname");
        "host.meta.ip.ip": "/host/meta/ip"
            => (.host.meta.ip), Ip, Both, slice!("properties/host/properties/meta/properties/ip");
        "host.meta.network.private_ip.ip": "/host/meta/network/private_ip"
            => (.host.meta.network.private_ip), Ip, Both,
            slice!("properties/host/properties/meta/properties/network/properties/private_ip");
        "host.meta.network.public_ip.ip": "/host/meta/network/public_ip"
            => (.host.meta.network.public_ip), Ip, Both,
            slice!("properties/host/properties/meta/properties/network/properties/public_ip");
        "host.meta.network.max_members": "/host/meta/network"
            => (.host.meta.network.extra), MaxOpenMembers, Both, BOUNDED;
        "host.meta.network.max_depth": "/host/meta/network"
            => (.host.meta.network.extra), MaxDepth, Both, BOUNDED;
        "host.meta.network.max_bytes": "/host/meta/network"
            => (.host.meta.network.extra), MaxBytes, Both, BOUNDED;
        "host.meta.os.max_length": "/host/meta/os"
            => (.host.meta.os), MaxLength(120), Both, slice!("properties/host/properties/meta/properties/os");
        "host.meta.os_version.max_length": "/host/meta/os_version"
            => (.host.meta.os_version), MaxLength(120), Both,
            slice!("properties/host/properties/meta/properties/os_version");
        "host.meta.arch.max_length": "/host/meta/arch"
            => (.host.meta.arch), MaxLength(120), Both, slice!("properties/host/properties/meta/properties/arch");
        "host.meta.cpu.max_members": "/host/meta/cpu" => (.host.meta.cpu), MaxMembers, Both, BOUNDED;
        "host.meta.cpu.max_depth": "/host/meta/cpu" => (.host.meta.cpu), MaxDepth, Both, BOUNDED;
        "host.meta.cpu.max_bytes": "/host/meta/cpu" => (.host.meta.cpu), MaxBytes, Both, BOUNDED;
        "host.meta.cpu_cores.range": "/host/meta/cpu_cores"
            => (.host.meta.cpu_cores), Range(1, 4096), Both,
            slice!("properties/host/properties/meta/properties/cpu_cores");
        "host.meta.ram_gb.minimum": "/host/meta/ram_gb"
            => (.host.meta.ram_gb), Minimum(0), Both, slice!("properties/host/properties/meta/properties/ram_gb");
        "host.meta.disk.total_bytes.minimum": "/host/meta/disk/total_bytes"
            => held, Minimum(0), Both,
            slice!("properties/host/properties/meta/properties/disk/properties/total_bytes");
        "host.meta.disk.free_bytes.minimum": "/host/meta/disk/free_bytes"
            => held, Minimum(0), Both,
            slice!("properties/host/properties/meta/properties/disk/properties/free_bytes");
        "host.meta.uptime_seconds.minimum": "/host/meta/uptime_seconds"
            => held, Minimum(0), Both, slice!("properties/host/properties/meta/properties/uptime_seconds");
        "host.meta.runtime.name.max_length": "/host/meta/runtime/name"
            => (.host.meta.runtime.name), MaxLength(120), Both,
            slice!("properties/host/properties/meta/properties/runtime/properties/name");
        "host.meta.runtime.version.max_length": "/host/meta/runtime/version"
            => (.host.meta.runtime.version), MaxLength(120), Both,
            slice!("properties/host/properties/meta/properties/runtime/properties/version");

        "agent.required_unless": "/agent"
            => {an_agent_is_reported}, RequiredUnless("/agents"), Accept, slice!("required");
        "agent.required": "/agent" => {the_agent_is_reported}, Required, Emit, slice!("required");
        "agent.id.required": "/agent/id"
            => {the_agent_has_an_id}, Required, Emit, slice!("properties/agent/required");
        "agent.id.minimum": "/agent/id"
            => (.agent?.id?), Minimum(1), Both, slice!("properties/agent/properties/id");
        "agent.name.max_length": "/agent/name"
            => (.agent?.name), MaxLength(255), Both, slice!("properties/agent/properties/name");
        "agent.type.max_length": "/agent/type"
            => (.agent?.kind?), MaxLength(120), Both, slice!("properties/agent/properties/type");
        "agent.identity.max_members": "/agent/identity" => (.agent?.identity), MaxMembers, Both, BOUNDED;
        "agent.identity.max_depth": "/agent/identity" => (.agent?.identity), MaxDepth, Both, BOUNDED;
        "agent.identity.max_bytes": "/agent/identity" => (.agent?.identity), MaxBytes, Both, BOUNDED;
        "agent.emoji.max_length": "/agent/emoji"
            => (.agent?.emoji?), MaxLength(32), Both, newer("agent.emoji");
        "agent.meta.max_members": "/agent/meta" => (.agent?.meta?), MaxMembers, Both, BOUNDED;
        "agent.meta.max_depth": "/agent/meta" => (.agent?.meta?), MaxDepth, Both, BOUNDED;
        "agent.meta.max_bytes": "/agent/meta" => (.agent?.meta?), MaxBytes, Both, BOUNDED;
        "agents.id.minimum": "/agents/*/id" => (.agents[*].id?), Minimum(1), Both, LIKE_THE_ONE;
        "agents.name.max_length": "/agents/*/name" => (.agents[*].name), MaxLength(255), Both, LIKE_THE_ONE;
        "agents.type.max_length": "/agents/*/type" => (.agents[*].kind?), MaxLength(120), Both, LIKE_THE_ONE;
        "agents.identity.max_members": "/agents/*/identity"
            => (.agents[*].identity), MaxMembers, Both, BOUNDED;
        "agents.identity.max_depth": "/agents/*/identity" => (.agents[*].identity), MaxDepth, Both, BOUNDED;
        "agents.identity.max_bytes": "/agents/*/identity" => (.agents[*].identity), MaxBytes, Both, BOUNDED;
        "agents.emoji.max_length": "/agents/*/emoji"
            => (.agents[*].emoji?), MaxLength(32), Both, LIKE_THE_ONE;
        "agents.meta.max_members": "/agents/*/meta" => (.agents[*].meta?), MaxMembers, Both, BOUNDED;
        "agents.meta.max_depth": "/agents/*/meta" => (.agents[*].meta?), MaxDepth, Both, BOUNDED;
        "agents.meta.max_bytes": "/agents/*/meta" => (.agents[*].meta?), MaxBytes, Both, BOUNDED;
        "host_runtime_updates.result.max_members": "/host_runtime_updates/*/result"
            => (.host_runtime_updates[*].result?), MaxMembers, Both, BOUNDED;
        "host_runtime_updates.result.max_depth": "/host_runtime_updates/*/result"
            => (.host_runtime_updates[*].result?), MaxDepth, Both, BOUNDED;
        "host_runtime_updates.result.max_bytes": "/host_runtime_updates/*/result"
            => (.host_runtime_updates[*].result?), MaxBytes, Both, BOUNDED;
    }

    Instructions, "agentmc.instructions" {}
}

/// The header's fingerprint where it counts: a server ignores it beside one in the body (AM-19), a client
/// has no reason to send a bad one.
fn header_in_use(call: &Call<Heartbeat>, side: Side) -> Option<&Fingerprint> {
    let ignored = side == Side::Accept && call.body.host.fingerprint.is_some();
    if ignored { None } else { call.params.fingerprint.as_ref() }
}

fn fingerprint_is_somewhere(call: &Call<Heartbeat>, _: &Context, _: Side, report: &mut Report<'_>) {
    // A bad header is a fault of its own: the rules of the header report it.
    if call.body.host.fingerprint.is_none() && call.params.fingerprint.is_none() {
        report.broken_so("is required".to_owned());
    }
}

fn fingerprint_is_in_body(call: &Call<Heartbeat>, _: &Context, _: Side, report: &mut Report<'_>) {
    if call.body.host.fingerprint.is_none() {
        report.broken(&[], "");
    }
}

fn an_agent_is_reported(call: &Call<Heartbeat>, _: &Context, _: Side, report: &mut Report<'_>) {
    if call.body.reported_agents().next().is_none() {
        report.broken_so("is required".to_owned());
    }
}

fn the_agent_is_reported(call: &Call<Heartbeat>, _: &Context, _: Side, report: &mut Report<'_>) {
    if call.body.agent.is_none() {
        report.broken(&[], "");
    }
}

fn the_agent_has_an_id(call: &Call<Heartbeat>, _: &Context, _: Side, report: &mut Report<'_>) {
    if call.body.agent.as_ref().is_some_and(|agent| agent.id.is_none()) {
        report.broken(&[], "");
    }
}
