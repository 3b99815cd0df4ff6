use fleetwire_protocol::zstack::{
    AutoRegisterHeartbeat, GetActionResult, Heartbeat, ListByLifecycleStatus, Register, SendAction,
};

use crate::rule::house;
use crate::{How, Origin};

rules! {
    Heartbeat, "zstack.heartbeat" {
        "uptime.minimum": "/uptime"
            => (.uptime), Minimum(0), Both, house("nothing has run for less than no time (ZS-1)");
        "cpuUsage.range": "/cpuUsage"
            => (.cpu_usage), Range(0, 100), Both, prose("Body Fields, cpuUsage");
        "memUsage.range": "/memUsage"
            => (.mem_usage), Range(0, 100), Both, prose("Body Fields, memUsage");
    }

    AutoRegisterHeartbeat, "zstack.auto_register_heartbeat" {
        "agentId.min_length": "/agentId"
            => (.agent_id), MinLength(1), Both, house("an agent without an id can be named in no path");
        "uptime.minimum": "/uptime"
            => (.uptime), Minimum(0), Both, house("nothing has run for less than no time (ZS-1)");
        "cpu.range": "/cpu"
            => (.cpu?), Range(0, 100), Both, house("the range of the source's cpuUsage (ZS-3)");
        "memory.range": "/memory"
            => (.memory?), Range(0, 100), Both, house("the range of the source's memUsage (ZS-3)");
    }

    Register, "zstack.register" {}

    ListByLifecycleStatus, "zstack.list_by_lifecycle_status" {}

    SendAction, "zstack.send_action" {}

    GetActionResult, "zstack.action_result" {}
}

const fn prose(place: &'static str) -> Origin {
    Origin::Source { document: "zstack-agent-heartbeat", place, how: How::Prose }
}
