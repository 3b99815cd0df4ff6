//! One heartbeat as bytes, both ways, without a network. `cargo run -p fleetwire-protocol --example both_ends`

#![expect(clippy::print_stdout, reason = "an example prints what it made")]

use chrono::DateTime;
use fleetwire_protocol::zstack::{Agent, AgentPath, AgentStatus, BearerToken, Heartbeat, HeartbeatRequest};
use fleetwire_protocol::{Call, codec};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The agent's end. The time is an argument: some vendors' requests are dated.
    let token = BearerToken::from("zsk_00ff");
    let call =
        Call::<Heartbeat>::with(AgentPath::new("agent-1"), HeartbeatRequest::new("1.2.3", 86400, 12.5, 35.2));
    let request = codec::encode("https://zstack.example.org", &token, DateTime::UNIX_EPOCH, &call)?;
    println!("{} {} {}", request.method(), request.uri().path(), String::from_utf8_lossy(request.body()));

    // The server's end. Its router has matched the path.
    let segment = |name: &str| (name == "uuid").then_some("agent-1");
    let read = codec::decode::<Heartbeat>(segment, None, request.headers(), request.body())?;
    let mut agent = Agent::default();
    agent.uuid = Some(read.params.uuid);
    agent.status = Some(AgentStatus::Online);
    let answer = codec::encode_reply::<Heartbeat>(Ok(agent));

    // The agent's end again.
    match codec::decode_reply::<Heartbeat>(&answer) {
        Ok(agent) => println!("{} {:?}", answer.status(), agent.status),
        Err(error) => println!("refused, or not what the operation answers: {error:?}"),
    }
    Ok(())
}
