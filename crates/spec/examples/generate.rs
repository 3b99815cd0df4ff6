//! A vendor's document from the types, and two documents compared. `cargo run -p fleetwire-spec --example generate`

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use fleetwire_spec::coverage::compare;
use fleetwire_spec::generate::{Version, openapi};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ours = openapi("zstack", Version::V31)?;
    let mut theirs = ours.clone();
    // Somebody's copy of the document has lost a status.
    if let Some(responses) = theirs.pointer_mut("/paths/~1api~1v1~1agents~1{uuid}~1heartbeat/put/responses") {
        *responses = serde_json::json!({"204": {"description": "taken"}});
    }
    for finding in compare("zstack", &theirs, &ours, &[], &[]).findings {
        println!("{} {}: {}", finding.id.as_str(), finding.pointer, finding.ours);
    }
    Ok(())
}
