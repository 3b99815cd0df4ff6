//! The checks of a change, as one table of steps.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{
    bans, bench, cargo, cargo::Cargo, check, guide, licences, oracles, package, snapshots, validator,
};

/// What stands in place of step names to ask for both tiers.
const FULL: &str = "full";

/// The arguments of `cargo xtask ci`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these steps, or `full` for the steps of both tiers [default: those of the first tier].
    #[arg(value_name = "STEP")]
    steps: Vec<String>,
    /// Say which steps there are, and run none.
    #[arg(long, conflicts_with = "steps")]
    list: bool,
}

struct Step {
    name: &'static str,
    tier: Tier,
    what: &'static str,
    action: Action,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tier {
    /// What every change must pass.
    First,
    /// What takes too long for every change.
    Second,
}

enum Action {
    Commands(&'static [Cargo]),
    /// The tests, and then the snapshots that they read.
    Tests(Cargo),
    Check(fn(&Path) -> Result<()>),
}

macro_rules! protocol_alone_with {
    ($($vendor:literal)?) => {
        Cargo::new(&[
            "check", "-p", "fleetwire-protocol", "--no-default-features" $(, "--features", $vendor)?
        ])
    };
}

macro_rules! client_alone_with {
    ($vendor:literal) => {
        Cargo::new(&["check", "-p", "fleetwire-client", "--no-default-features", "--features", $vendor])
    };
}

macro_rules! protocol_tests_with {
    ($feature:literal) => {
        Cargo {
            args: &["test", "-p", "fleetwire-protocol", "--features", $feature],
            env: &[("INSTA_UPDATE", "no")],
        }
    };
}

const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        tier: Tier::First,
        what: "the code is formatted",
        action: Action::Commands(&[Cargo::new(&["fmt", "--all", "--check"])]),
    },
    Step {
        name: "clippy",
        tier: Tier::First,
        what: "no warning of the compiler or of clippy",
        action: Action::Commands(&[Cargo::new(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "-D",
            "warnings",
        ])]),
    },
    Step {
        name: "bans",
        tier: Tier::First,
        what: "no crate knows what it must not know; no package is there twice without a reason",
        action: Action::Check(bans::check),
    },
    Step {
        name: "check",
        tier: Tier::First,
        what: "sources, committed and generated documents agree",
        action: Action::Check(check::step),
    },
    Step {
        name: "test",
        tier: Tier::First,
        what: "all tests; no orphan or undecided snapshot",
        action: Action::Tests(Cargo {
            args: &["test", "--workspace", "--all-features"],
            env: &[("INSTA_UPDATE", "no")],
        }),
    },
    Step {
        name: "features",
        tier: Tier::First,
        what: "protocol and client with each vendor alone, and serde_json as dependents may have it",
        action: Action::Commands(&[
            protocol_alone_with!(),
            protocol_alone_with!("acusight"),
            protocol_alone_with!("zstack"),
            protocol_alone_with!("agentmc"),
            protocol_alone_with!("achilles"),
            client_alone_with!("acusight"),
            client_alone_with!("zstack"),
            client_alone_with!("agentmc"),
            client_alone_with!("achilles"),
            protocol_tests_with!("serde_json/arbitrary_precision"),
            protocol_tests_with!("serde_json/preserve_order"),
        ]),
    },
    Step {
        name: "docs",
        tier: Tier::First,
        what: "the documentation builds without a warning",
        action: Action::Commands(&[Cargo {
            args: &["doc", "--workspace", "--no-deps", "--all-features"],
            env: &[("RUSTDOCFLAGS", "-D warnings")],
        }]),
    },
    Step {
        name: "licences",
        tier: Tier::First,
        what: "licences and sources of all packages are as deny.toml allows",
        action: Action::Check(licences::check),
    },
    Step {
        name: "package",
        tier: Tier::First,
        what: "every crate builds from its package alone, which has its README and its licences",
        action: Action::Check(package::check),
    },
    Step {
        name: "consumer",
        tier: Tier::First,
        what: "a project outside the workspace uses one vendor and carries nothing else",
        action: Action::Check(package::check_consumer),
    },
    Step {
        name: "demo",
        tier: Tier::First,
        what: "the demo of the README runs to its end",
        action: Action::Commands(&[Cargo::new(&["run", "--release", "--", "demo", "--once"])]),
    },
    Step {
        name: "instructions",
        tier: Tier::Second,
        what: "no step of a request costs more instructions than committed",
        action: Action::Check(bench::instructions::step),
    },
    Step {
        name: "properties",
        tier: Tier::Second,
        what: "properties on many more cases, sources against server on 10,000 bodies of each operation, and the core \
               beside its model in 110,000 lives",
        action: Action::Commands(&[
            Cargo {
                args: &["test", "--release", "-p", "fleetwire-protocol", "--all-features"],
                env: &[("INSTA_UPDATE", "no"), ("PROPTEST_CASES", "20000")],
            },
            Cargo {
                args: &["test", "--release", "-p", "fleetwire-validation", "--test", "properties"],
                env: &[("PROPTEST_CASES", "20000")],
            },
            Cargo {
                args: &["test", "--release", "-p", "fleetwire-spec", "--test", "bodies"],
                env: &[("PROPTEST_CASES", "10000")],
            },
            Cargo {
                args: &["test", "--release", "-p", "fleetwire-server-core", "--test", "machine"],
                env: &[("FLEETWIRE_MACHINE_CASES", "100000")],
            },
            Cargo {
                args: &["test", "--release", "-p", "fleetwire-store-sqlite", "--test", "machine"],
                env: &[("FLEETWIRE_MACHINE_CASES", "10000")],
            },
        ]),
    },
    Step {
        name: "guard",
        tier: Tier::Second,
        what: "every mutation of every source and type is found; a larger corpus of pairs of schemas",
        action: Action::Commands(&[Cargo {
            args: &[
                "test",
                "--release",
                "-p",
                "fleetwire-spec",
                "--test",
                "mutations",
                "--test",
                "inclusion",
            ],
            env: &[("FLEETWIRE_MUTATIONS", "all"), ("SPEC_CORPUS_PAIRS", "5000")],
        }]),
    },
    Step {
        name: "benches",
        tier: Tier::Second,
        what: "validation, the spec guard and the store keep their bounds",
        action: Action::Commands(&[
            Cargo::new(&["bench", "-p", "fleetwire-validation"]),
            Cargo::new(&["bench", "-p", "fleetwire-spec"]),
            Cargo::new(&["bench", "-p", "fleetwire-store-sqlite"]),
        ]),
    },
    Step {
        name: "validator",
        tier: Tier::Second,
        what: "the generated OpenAPI documents are valid, says a validator that is not ours",
        action: Action::Check(validator::check),
    },
    Step {
        name: "oracles",
        tier: Tier::Second,
        what: "the spec guard before other tools that prove inclusion and compare documents",
        action: Action::Check(oracles::check),
    },
    Step {
        name: "guide",
        tier: Tier::Second,
        what: "an operation can be added as docs/add-an-operation.md says, by five touches and no other",
        action: Action::Check(guide::check),
    },
    Step {
        name: "packaged",
        tier: Tier::Second,
        what: "cargo makes and verifies the packages in a folder that it has never seen",
        action: Action::Check(package::verify),
    },
];

/// Runs the chosen steps in the order of the table, up to the first that fails.
///
/// # Errors
/// When a step is not known or fails; the error says how to run that step again.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        list();
        return Ok(());
    }
    let steps = chosen(&args.steps)?;
    let root = cargo::workspace_root()?;

    let mut times = Vec::new();
    let mut outcome = Ok(());
    for step in &steps {
        println!("\n=== {}: {}", step.name, step.what);
        let start = Instant::now();
        outcome = step
            .run(&root)
            .with_context(|| format!("step `{0}` failed; run it again with `cargo xtask ci {0}`", step.name));
        let took = start.elapsed();
        println!("=== {} {} after {}", step.name, verdict(outcome.is_ok()), seconds(took));
        times.push((step.name, outcome.is_ok(), took));
        if outcome.is_err() {
            break;
        }
    }

    println!();
    for (name, passed, took) in &times {
        println!("{name:<12} {:<6} {:>9}", verdict(*passed), seconds(*took));
    }
    for step in &steps[times.len()..] {
        println!("{:<12} not run", step.name);
    }
    outcome
}

impl Step {
    fn run(&self, root: &Path) -> Result<()> {
        match &self.action {
            Action::Commands(commands) => commands.iter().try_for_each(|command| command.run(root)),
            Action::Tests(tests) => snapshots::run_tests(tests, root),
            Action::Check(check) => check(root),
        }
    }

    fn commands(&self) -> &[Cargo] {
        match &self.action {
            Action::Commands(commands) => commands,
            Action::Tests(tests) => std::slice::from_ref(tests),
            Action::Check(_) => &[],
        }
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Step>> {
    match names {
        [] => return Ok(STEPS.iter().filter(|step| step.tier == Tier::First).collect()),
        [name] if name == FULL => return Ok(STEPS.iter().collect()),
        _ => {}
    }
    if let Some(unknown) = names.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        if unknown == FULL {
            bail!("`{FULL}` means every step, so it stands alone");
        }
        let known: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        bail!("there is no step `{unknown}`; the steps are {}", known.join(", "));
    }
    Ok(STEPS.iter().filter(|step| names.iter().any(|name| name == step.name)).collect())
}

fn list() {
    for (tier, title) in [
        (Tier::First, "Steps of `cargo xtask ci`:"),
        (Tier::Second, "Further steps of `cargo xtask ci full`:"),
    ] {
        println!("{title}");
        for step in STEPS.iter().filter(|step| step.tier == tier) {
            println!("  {:<12} {}", step.name, step.what);
            for command in step.commands() {
                println!("  {:<12} $ {command}", "");
            }
        }
    }
}

fn verdict(passed: bool) -> &'static str {
    if passed { "passed" } else { "FAILED" }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(words: &[&str]) -> Vec<&'static str> {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        chosen(&words).unwrap().iter().map(|step| step.name).collect()
    }

    fn refusal(words: &[&str]) -> String {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        chosen(&words).err().unwrap().to_string()
    }

    #[test]
    fn without_names_the_first_tier_runs_and_full_adds_the_second() {
        let first = names_of(&[]);
        assert!(first.contains(&"fmt") && !first.contains(&"properties"));
        let full = names_of(&["full"]);
        assert_eq!(full[..first.len()], first);
        assert!(full.contains(&"properties"));
    }

    #[test]
    fn named_steps_run_once_each_in_the_order_of_the_table() {
        assert_eq!(names_of(&["docs", "fmt", "docs"]), ["fmt", "docs"]);
        assert_eq!(names_of(&["properties"]), ["properties"]);
    }

    #[test]
    fn unknown_step_is_refused_with_the_names_that_exist() {
        let refusal = refusal(&["fmt", "format"]);
        assert!(refusal.contains("no step `format`") && refusal.contains("clippy"), "{refusal}");
    }

    #[test]
    fn full_beside_step_names_is_refused() {
        assert!(refusal(&["full", "fmt"]).contains("stands alone"));
    }

    #[test]
    fn step_names_are_unique_and_none_is_taken_by_the_tier() {
        for (index, step) in STEPS.iter().enumerate() {
            assert!(
                step.name != FULL && STEPS[..index].iter().all(|other| other.name != step.name),
                "{}",
                step.name
            );
        }
    }
}
