//! The blocks of commands of the README and of the guides give the output that they show.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;
use std::process::Command;

use support::Server;

/// A command and what it is shown to print, `…` standing for anything.
#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    shown: String,
}

/// The address that the server has in the documents.
const SHOWN_ADDRESS: &str = "http://127.0.0.1:8787";
/// Stands between the outputs of two commands.
const MARK: &str = "--- next command ---";

/// The commands of all blocks that are marked `console`: a line that begins with `$ `, with the lines that
/// continue it, and then the lines that it prints.
fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut continued, mut quoted) = (false, false, false);
    for line in readme.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), shown: String::new() });
        } else if continued || quoted {
            let step = steps.last_mut().unwrap();
            step.command.push('\n');
            step.command.push_str(line);
        } else {
            let step = steps.last_mut().unwrap();
            step.shown.push_str(line);
            step.shown.push('\n');
            continue;
        }
        let command = &steps.last().unwrap().command;
        continued = line.ends_with('\\') || line.ends_with('|');
        quoted = command.matches('\'').count() % 2 == 1;
    }
    steps
}

/// Whether a text is what is shown.
fn is_shown(shown: &str, printed: &str) -> bool {
    let mut pieces = shown.split('…');
    let Some(mut rest) = printed.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(found) = rest.find(piece) else { return false };
        rest = &rest[found + piece.len()..];
    }
    rest.ends_with(last)
}

/// Runs the commands of a document beside a server, and compares what they print.
fn runs_as_shown(document: &str, least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let steps = steps(&std::fs::read_to_string(root.join(document)).unwrap());
    assert!(steps.len() >= least, "{steps:?}");

    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    for shown in ["fixtures", "docs"] {
        std::os::unix::fs::symlink(root.join(shown), work.join(shown)).unwrap();
    }
    let server = Server::start(&folder.path().join("data"));
    let script: String = steps
        .iter()
        .map(|step| format!("{}\necho '{MARK}'\n", step.command.replace(SHOWN_ADDRESS, &server.address)))
        .collect();

    let binary = Path::new(env!("CARGO_BIN_EXE_fleetwire")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(&work)
        .env("PATH", path)
        .env("FLEETWIRE_SERVER", &server.address)
        .env("FLEETWIRE_TOKEN", server.token.as_ref().unwrap())
        .output()
        .expect("bash and curl are needed");
    let printed = String::from_utf8(output.stdout).unwrap().replace(&server.address, SHOWN_ADDRESS);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.is_empty(), "{complaints}");

    // An answer of a server does not end in a line break, so that the mark may follow it on its line.
    let outputs: Vec<_> = printed.split(&format!("{MARK}\n")).collect();
    assert_eq!(outputs.len(), steps.len() + 1, "{printed}");
    for (step, printed) in steps.iter().zip(outputs) {
        let (shown, printed) = (step.shown.trim_end(), printed.trim_end());
        assert!(is_shown(shown, printed), "$ {}\nshown:   {shown}\nprinted: {printed}", step.command);
    }
}

#[test]
fn every_block_of_commands_of_the_readme_prints_what_it_shows() {
    runs_as_shown("README.md", 16);
}

#[test]
fn every_block_of_commands_of_the_guide_to_captures_prints_what_it_shows() {
    runs_as_shown("docs/validate.md", 8);
}

#[test]
fn every_block_of_commands_of_the_guide_to_the_spec_guard_prints_what_it_shows() {
    runs_as_shown("docs/spec-guard.md", 5);
}

#[test]
fn a_shown_text_is_matched_whole_and_in_order() {
    assert!(is_shown("a…c", "abbbc"));
    assert!(is_shown("{\"id\":\"…\",…}", "{\"id\":\"1\",\"more\":2}"));
    assert!(!is_shown("a…c", "abbbd"));
    assert!(!is_shown("abc", "abcd"));
    assert!(!is_shown("a…b…c", "acb"));
}

#[test]
fn commands_may_go_on_over_lines_and_inside_quotes() {
    let readme = "```console\n$ one \\\n  two 'three\n  four'\nshown\n$ five\n```\n```sh\n$ not run\n```\n";
    let step = |command: &str, shown: &str| Step { command: command.to_owned(), shown: shown.to_owned() };
    assert_eq!(steps(readme), [step("one \\\n  two 'three\n  four'", "shown\n"), step("five", "")]);
}

#[test]
fn the_programs_shown_are_the_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let plain = |text: &str| {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    };
    let shown = readme.split("```rust\n").skip(1).map(|rest| plain(rest.split("```").next().unwrap()));
    let shown: Vec<_> = shown.collect();
    let examples = [
        "crates/client/examples/agent.rs",
        "crates/client/examples/check_in.rs",
        "crates/server/examples/mount.rs",
    ];
    assert_eq!(shown.len(), examples.len());
    for (shown, example) in shown.iter().zip(examples) {
        let program = plain(&std::fs::read_to_string(root.join(example)).unwrap());
        assert!(program.contains(shown), "{example} is not what the README shows:\n{shown}");
    }
}

#[test]
fn every_test_that_the_guide_to_agents_names_is_there() {
    fn collect(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut tests = String::new();
    let folders = [
        "crates/client/src",
        "crates/client/tests",
        "crates/server/tests/agents",
        "crates/cli/src/agent",
        "crates/cli/tests",
    ];
    for folder in folders {
        collect(&root.join(folder), &mut tests);
    }
    let guide = std::fs::read_to_string(root.join("docs/write-an-agent.md")).unwrap();
    let promises = guide.split("## What is promised").nth(1).unwrap();
    let rows: Vec<_> = promises.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 20, "{rows:?}");
    for row in rows {
        let named = row.rsplit(" | ").next().unwrap().trim_end_matches(" |");
        for name in named.split(", ") {
            let name = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')).expect(row);
            assert!(tests.contains(&format!("fn {name}()")), "{name} is no test");
        }
    }
}
