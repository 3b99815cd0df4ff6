//! What the figures are to reach, and whether they do.

use serde_json::Value;

use super::table::{median, ratios};

/// The head of the table.
pub(crate) const HEAD: &str =
    "| what | to reach | measured | reached | `cargo xtask bench …` |\n|---|--:|--:|---|---|";

/// A figure that is to be reached.
struct Target {
    what: &'static str,
    figure: Figure,
    bound: Bound,
    /// What is written behind the figures.
    unit: &'static str,
    /// What `cargo xtask bench` is told to measure it.
    command: &'static str,
}

/// Where a figure comes from.
enum Figure {
    /// A row's processor time as a multiple of bare hyper's.
    Ratio(&'static str),
    /// A row's processor time, in microseconds.
    Micros(&'static str),
    /// How much more a row takes than another, in microseconds.
    Over(&'static str, &'static str),
    /// What the generator takes for a request of a row, as a multiple of what the server takes.
    Generator(&'static str),
    /// What a check-in takes at the most agents, as a multiple of what it takes at the fewest.
    Growth,
    /// A figure at the most agents.
    Largest(&'static str),
    /// Heartbeats a second of a fleet under the virtual clock, in thousands.
    Rehearsed(&'static str),
}

enum Bound {
    Most(f64),
    Least(f64),
}

const IN_MEMORY: &str = "acusight check-in, in memory";
const ZSTACK: &str = "zstack heartbeat";
const ACHILLES: &str = "achilles heartbeat";
const AGENTMC: &str = "agentmc heartbeat, 938 bytes";

macro_rules! targets {
    ($($what:literal: $figure:expr, $bound:expr, $unit:literal, $command:literal;)*) => {
        &[$(Target { what: $what, figure: $figure, bound: $bound, unit: $unit, command: $command }),*]
    };
}

use Bound::{Least, Most};
use Figure::{Generator, Growth, Largest, Micros, Over, Ratio, Rehearsed};

const TARGETS: &[Target] = targets! {
    "Acusight check-in, 100,000 agents known": Ratio(IN_MEMORY), Most(1.25), " × bare hyper", "--operation acusight.checkin";
    "the same, leases flushed every second": Ratio("acusight check-in, leases flushed every second"), Most(1.35), " × bare hyper", "--operation acusight.checkin";
    "the same, leases and latest reports flushed": Ratio("acusight check-in, leases and reports flushed every second"), Most(1.55), " × bare hyper", "--operation acusight.checkin";
    "ZStack heartbeat": Ratio(ZSTACK), Most(1.3), " × bare hyper", "--operation zstack.heartbeat";
    "Achilles heartbeat": Ratio(ACHILLES), Most(1.4), " × bare hyper", "--operation achilles.heartbeat";
    "AgentMC heartbeat of 938 bytes": Ratio(AGENTMC), Most(1.8), " × bare hyper", "--operation agentmc.heartbeat";
    "Acusight check-in committed before the answer, 256 clients": Over("acusight check-in, committed, 256 clients", IN_MEMORY), Most(10.0), " µs more", "--operation acusight.checkin";
    "Acusight check-in committed before the answer, 64 clients": Over("acusight check-in, committed, 64 clients", IN_MEMORY), Most(14.0), " µs more", "--operation acusight.checkin";
    "ZStack heartbeat committed, 256 clients": Over("zstack heartbeat, committed, 256 clients", ZSTACK), Most(10.0), " µs more", "--operation zstack.heartbeat";
    "ZStack heartbeat committed, 64 clients": Over("zstack heartbeat, committed, 64 clients", ZSTACK), Most(14.0), " µs more", "--operation zstack.heartbeat";
    "Achilles heartbeat committed, 256 clients": Over("achilles heartbeat, committed, 256 clients", ACHILLES), Most(10.0), " µs more", "--operation achilles.heartbeat";
    "Achilles heartbeat committed, 64 clients": Over("achilles heartbeat, committed, 64 clients", ACHILLES), Most(14.0), " µs more", "--operation achilles.heartbeat";
    "AgentMC heartbeat committed, 256 clients": Over("agentmc heartbeat, committed, 256 clients", AGENTMC), Most(10.0), " µs more", "--operation agentmc.heartbeat";
    "AgentMC heartbeat committed, 64 clients": Over("agentmc heartbeat, committed, 64 clients", AGENTMC), Most(14.0), " µs more", "--operation agentmc.heartbeat";
    "image notify with 50 annotations, committed": Micros("image notify with 50 annotations, committed"), Most(75.0), " µs", "--operation acusight.notify_image";
    "check-in at 1,000,000 agents against 1,000": Growth, Most(1.2), " ×", "scale";
    "memory per known agent at 1,000,000": Largest("/bytes_per_agent"), Most(256.0), " bytes", "scale";
    "memory per idle connection": Largest("/bytes_per_connection"), Most(12_288.0), " bytes", "scale";
    "start with 1,000,000 agents until the first answer": Largest("/start_s"), Most(1.5), " s", "scale";
    "virtual clock, Acusight": Rehearsed("acusight"), Least(200.0), ",000 heartbeats a second", "rehearse";
    "virtual clock, all vendors": Rehearsed("mix"), Least(80.0), ",000 heartbeats a second", "rehearse";
    "generator's processor time for an Acusight check-in": Generator(IN_MEMORY), Most(1.0), " × the server's", "--operation acusight.checkin";
};

/// The table's lines.
pub(crate) fn lines(figures: &Value) -> Vec<String> {
    TARGETS.iter().map(|target| target.line(figures)).collect()
}

impl Target {
    fn line(&self, figures: &Value) -> String {
        let Self { what, unit, command, .. } = self;
        let (sign, bound) = match self.bound {
            Most(bound) => ("≤", bound),
            Least(bound) => ("≥", bound),
        };
        let Some(measured) = self.figure.of(figures) else {
            return format!("| {what} | {sign} {bound}{unit} | – | not measured | `{command}` |");
        };
        let reached = match self.bound {
            Most(bound) => measured <= bound,
            Least(bound) => measured >= bound,
        };
        let reached = if reached {
            "yes".to_owned()
        } else {
            format!("no, by {:.0} %", (measured / bound - 1.0).abs() * 100.0)
        };
        let digits = if bound < 10.0 { 2 } else { 0 };
        format!("| {what} | {sign} {bound}{unit} | {measured:.digits$}{unit} | {reached} | `{command}` |")
    }
}

impl Figure {
    fn of(&self, figures: &Value) -> Option<f64> {
        let all = |member: &str| figures.get(member).and_then(Value::as_array).into_iter().flatten();
        let row = |name: &str| all("rows").find(|row| row.get("row").and_then(Value::as_str) == Some(name));
        let micros = |name: &str| {
            let rounds = row(name)?.get("rounds").and_then(Value::as_array);
            median(rounds.into_iter().flatten().filter_map(|round| round.get("ours_us")?.as_f64()))
        };
        let of_list = |list: Option<&Value>| {
            median(list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_f64))
        };
        let agents = |size: &&Value| size.get("agents").and_then(Value::as_u64);
        match self {
            Ratio(name) => median(ratios(row(name)?)),
            Micros(name) => micros(name),
            Over(name, base) => Some(micros(name)? - micros(base)?),
            Generator(name) => Some(row(name)?.get("generator_us")?.as_f64()? / micros(name)?),
            Growth => {
                let checkin = |size: &Value| of_list(size.get("checkin_us"));
                Some(checkin(all("scale").max_by_key(agents)?)? / checkin(all("scale").min_by_key(agents)?)?)
            }
            Largest(pointer) => all("scale").max_by_key(agents)?.pointer(pointer)?.as_f64(),
            Rehearsed(fleet) => {
                let found = all("rehearse")
                    .find(|world| world.get("fleet").and_then(Value::as_str) == Some(fleet))?;
                Some(of_list(found.get("heartbeats_per_second"))? / 1000.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(figures: &Value, what: &str) -> String {
        let begin = format!("| {what} |");
        lines(figures).into_iter().find(|line| line.starts_with(&begin)).unwrap()
    }

    #[test]
    fn what_is_reached_is_told_from_what_is_not_and_by_how_much() {
        let row = |name: &str, ours: f64| json!({"row": name, "rounds": [{"bare_us": 4.0, "ours_us": ours}], "generator_us": 3.0});
        let figures = json!({"rows": [
            row(IN_MEMORY, 6.0), row(ZSTACK, 5.0), row("zstack heartbeat, committed, 256 clients", 16.0),
        ]});
        assert!(
            line(&figures, "Acusight check-in, 100,000 agents known")
                .contains("| 1.50 × bare hyper | no, by 20 % |")
        );
        assert!(line(&figures, "ZStack heartbeat").contains("| 1.25 × bare hyper | yes |"));
        assert!(
            line(&figures, "ZStack heartbeat committed, 256 clients")
                .contains("| 11 µs more | no, by 10 % |")
        );
        assert!(
            line(&figures, "generator's processor time for an Acusight check-in")
                .contains("| 0.50 × the server's | yes |")
        );
        assert!(line(&figures, "AgentMC heartbeat of 938 bytes").contains("| – | not measured |"));
    }

    #[test]
    fn the_most_agents_are_told_from_the_fewest_whatever_the_order() {
        let figures = json!({
            "scale": [
                {"agents": 1_000_000, "checkin_us": [6.0], "bytes_per_agent": 200.0, "start_s": 3.0},
                {"agents": 1000, "checkin_us": [5.0], "bytes_per_agent": 9000.0, "start_s": 0.1},
            ],
            "rehearse": [{"fleet": "mix", "heartbeats_per_second": [70_000.0, 90_000.0, 88_000.0]}],
        });
        assert!(line(&figures, "check-in at 1,000,000 agents against 1,000").contains("| 1.20 × | yes |"));
        assert!(line(&figures, "memory per known agent at 1,000,000").contains("| 200 bytes | yes |"));
        assert!(
            line(&figures, "start with 1,000,000 agents until the first answer")
                .contains("| 3.00 s | no, by 100 % |")
        );
        assert!(
            line(&figures, "virtual clock, all vendors").contains("| 88,000 heartbeats a second | yes |")
        );
    }
}
