//! What a call breaks, and the rules as data. `cargo run -p fleetwire-validation --example check`

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use chrono::DateTime;
use fleetwire_protocol::Call;
use fleetwire_protocol::zstack::{AgentPath, Heartbeat, HeartbeatRequest};
use fleetwire_validation::{Context, check, rules_of};

fn main() {
    let body = HeartbeatRequest::new("1.2.3", -1, 112.5, 35.2);
    let call = Call::<Heartbeat>::with(AgentPath::new("agent-1"), body);
    match check(call, &Context::at(DateTime::UNIX_EPOCH)) {
        Ok(checked) => println!("a handler may have it: {checked:?}"),
        Err(broken) => {
            for violation in broken.as_slice() {
                println!("{}: {} ({})", violation.place, violation.message, violation.rule);
            }
        }
    }
    for rule in rules_of("zstack.heartbeat") {
        println!("{} {} {}", rule.id, rule.pointer, rule.statement);
    }
}
