use fleetwire_protocol::zstack::Heartbeat;

use crate::{How, Origin};

rules! {
    Heartbeat, "zstack.heartbeat" {
        "uptime.minimum": "/uptime"
            => (.uptime), Minimum(0), Both, crate::rule::house("nothing has run for less than no time (ZS-1)");
        "cpuUsage.range": "/cpuUsage"
            => (.cpu_usage), Range(0, 100), Both, prose("Body Fields, cpuUsage");
        "memUsage.range": "/memUsage"
            => (.mem_usage), Range(0, 100), Both, prose("Body Fields, memUsage");
    }
}

const fn prose(place: &'static str) -> Origin {
    Origin::Source { document: "zstack-agent-heartbeat", place, how: How::Prose }
}
