//! `fleetwire spec` as a command: what it prints, and with which code it ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const OLD: &str = "openapi: 3.1.0
info: {title: Beat, version: 1.0.0}
paths:
  /beat:
    post:
      operationId: beat
      requestBody:
        content:
          application/json:
            schema:
              type: object
              properties:
                load: {type: number, maximum: 100}
      responses:
        '204': {description: It was taken.}
";

/// The same with a narrower bound.
fn narrower() -> String {
    OLD.replace("maximum: 100", "maximum: 50").replace("1.0.0", "2.0.0")
}

const CONTRADICTION: &str = "openapi: 3.0.3
info: {title: Beat, version: 1.0.0}
paths:
  /beat:
    post:
      requestBody:
        content:
          application/json:
            schema: {type: object, properties: {uptime: {type: integer}}}
            example: {uptime: 3 days}
      responses:
        204: {description: It was taken.}
";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetwire"));
    command.arg("spec").args(arguments).current_dir(folder).env_remove("FLEETWIRE_LOG");
    // A repository around the folder is none of its.
    command.env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap());
    command
}

/// What is printed, what is complained of, and the exit code.
fn run(folder: &Path, arguments: &[&str]) -> (String, String, i32) {
    said(command(folder, arguments).output().unwrap())
}

fn said(output: Output) -> (String, String, i32) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

#[test]
fn contradiction_is_shown_with_its_line_and_fails_the_command() {
    let folder = folder(&[("api.yaml", CONTRADICTION)]);
    let (out, err, code) = run(folder.path(), &["lint", "api.yaml"]);
    assert_eq!(
        out,
        "api.yaml

POST /beat
  error   example-invalid  api.yaml:10
    `3 days` at /uptime is refused by `type`: `integer`
    at       /paths/~1beat/post/requestBody/content/application~1json/example
    do       correct the example, or the schema if the example is right

1 error, no warnings, no infos
"
    );
    assert_eq!((err.as_str(), code), ("", 1));
    let (quiet, _, code) = run(folder.path(), &["lint", "api.yaml", "--quiet"]);
    assert_eq!((quiet.as_str(), code), ("", 1));
    // Documents are told apart.
    let (twice, _, _) = run(folder.path(), &["lint", "api.yaml", "api.yaml"]);
    assert_eq!(twice, format!("{out}\n{out}"));
}

#[test]
fn threshold_decides_which_findings_fail_the_command() {
    let folder = folder(&[
        ("warning.yaml", &CONTRADICTION.replace("3 days", "3").replace("{description: It was taken.}", "{}")),
        ("fine.yaml", &CONTRADICTION.replace("3 days", "3")),
    ]);
    for (file, threshold, expected) in [
        ("warning.yaml", "err", 0),
        ("warning.yaml", "error", 0),
        ("warning.yaml", "warn", 1),
        ("warning.yaml", "warning", 1),
        ("fine.yaml", "warn", 0),
    ] {
        let (_, _, code) = run(folder.path(), &["lint", file, "--fail-on", threshold]);
        assert_eq!(code, expected, "{file} {threshold}");
    }
}

#[test]
fn unreadable_document_ends_with_2_and_the_others_are_still_looked_at() {
    let folder = folder(&[("api.yaml", CONTRADICTION), ("twice.yaml", "a: 1\na: 2\n")]);
    let (out, err, code) = run(folder.path(), &["lint", "twice.yaml", "absent.yaml", "api.yaml"]);
    assert!(out.contains("example-invalid"), "{out}");
    assert_eq!(
        err,
        "fleetwire: twice.yaml:2:1: names the key `a` twice in one object\n\
         fleetwire: absent.yaml cannot be read: No such file or directory (os error 2)\n"
    );
    assert_eq!(code, 2);
    for arguments in
        [&["lint"][..], &["diff", "api.yaml"], &["lint", "api.yaml", "--format", "xml"], &["conform"]]
    {
        assert_eq!(run(folder.path(), arguments).2, 2, "{arguments:?}");
    }
}

#[test]
fn findings_are_written_as_json_by_either_flag() {
    let folder = folder(&[("api.yaml", CONTRADICTION)]);
    let (out, _, code) = run(folder.path(), &["lint", "api.yaml", "--json"]);
    assert_eq!(code, 1);
    let read: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        read,
        json!({"documents": [{
            "document": "api.yaml",
            "dialect": "OpenAPI 3.0",
            "errors": 1, "warnings": 0, "infos": 0,
            "findings": [{
                "rule": "example-invalid",
                "severity": "error",
                "operation": "POST /beat",
                "file": "api.yaml",
                "pointer": "/paths/~1beat/post/requestBody/content/application~1json/example",
                "line": {"file": "api.yaml", "line": 10, "column": 13},
                "message": "`3 days` at /uptime is refused by `type`: `integer`",
                "advice": "correct the example, or the schema if the example is right",
            }],
        }]})
    );
    assert_eq!(run(folder.path(), &["lint", "api.yaml", "--format", "json"]).0, out);
}

#[test]
fn findings_are_written_as_commands_of_a_workflow() {
    let folder = folder(&[("a,b.yaml", &CONTRADICTION.replace("3 days", "'100%'"))]);
    let (out, _, code) = run(folder.path(), &["lint", "a,b.yaml", "--format", "github"]);
    assert_eq!(
        out,
        "::error file=a%2Cb.yaml,line=10,col=13,title=example-invalid::POST /beat: `100%25` at /uptime is refused by \
         `type`: `integer`%0Ado: correct the example, or the schema if the example is right\n\
         a,b.yaml: 1 error, no warnings, no infos\n"
    );
    assert_eq!(code, 1);
}

#[test]
fn text_of_a_document_cannot_steer_the_terminal() {
    let text = CONTRADICTION.replace("3 days", "\"\\e[2J\\n::error::x\"");
    let folder = folder(&[("api.yaml", &text)]);
    for format in ["text", "markdown", "github"] {
        let (out, _, _) = run(folder.path(), &["lint", "api.yaml", "--format", format]);
        assert!(!out.contains('\u{1b}') || format != "text", "{format}: {out:?}");
        assert_eq!(out.lines().filter(|line| line.starts_with("::error::x")).count(), 0, "{format}: {out:?}");
    }
}

#[test]
fn change_that_breaks_callers_is_shown_with_a_witness_and_both_lines() {
    let folder = folder(&[("old.yaml", OLD), ("new.yaml", &narrower())]);
    let (out, err, code) = run(folder.path(), &["diff", "old.yaml", "new.yaml"]);
    assert!(out.starts_with("old.yaml → new.yaml\n\nPOST /beat\n  error   request-constraint-tightened  old.yaml:13 → new.yaml:13\n"), "{out}");
    assert!(out.contains("witness  {\"load\":51}\n             is refused by `maximum` at /load\n"), "{out}");
    assert!(out.contains("for      callers that send what the old document allowed\n"), "{out}");
    assert!(out.ends_with("\n1 error, no warnings, no infos\n"), "{out}");
    assert_eq!((err.as_str(), code), ("", 1));

    let (out, _, code) = run(folder.path(), &["diff", "new.yaml", "old.yaml"]);
    assert!(out.contains("  info    request-constraint-loosened  new.yaml:13 → old.yaml:13\n"), "{out}");
    assert!(out.ends_with("\nno errors, 1 warning, 1 info\n"), "{out}");
    assert_eq!(code, 0);
    assert_eq!(run(folder.path(), &["diff", "new.yaml", "old.yaml", "--fail-on", "warn"]).2, 1);

    let (out, _, code) = run(folder.path(), &["diff", "old.yaml", "old.yaml"]);
    assert_eq!(
        out,
        "old.yaml → old.yaml\n\nNo differences were found that a peer could notice.\n\nno errors, no warnings, no infos\n"
    );
    assert_eq!(code, 0);
}

#[test]
fn change_is_written_for_a_pull_request_and_for_a_workflow() {
    let folder = folder(&[("old.yaml", OLD), ("new.yaml", &narrower())]);
    let (out, _, code) = run(folder.path(), &["diff", "old.yaml", "new.yaml", "--format", "markdown"]);
    assert!(
        out.starts_with(
            "### `old.yaml → new.yaml`\n\n1 error, no warnings, no infos\n\n#### Errors\n\n- `POST /beat`: "
        ),
        "{out}"
    );
    assert!(out.contains("(`request-constraint-tightened`, `old.yaml:13` → `new.yaml:13`)\n"), "{out}");
    assert!(out.contains("\n    ```json\n    {\"load\":51}\n    ```\n"), "{out}");
    assert_eq!(code, 1);
    let (out, _, code) = run(folder.path(), &["diff", "old.yaml", "new.yaml", "--format", "github"]);
    assert!(
        out.starts_with(
            "::error file=new.yaml,line=13,col=38,title=request-constraint-tightened::POST /beat: "
        ),
        "{out}"
    );
    assert_eq!(code, 1);
    let (out, _, _) = run(folder.path(), &["diff", "old.yaml", "new.yaml", "--json"]);
    let read: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(read["findings"][0]["witness"]["document"], json!({"load": 51}));
    assert_eq!(read["findings"][0]["old"]["line"], json!({"file": "old.yaml", "line": 13, "column": 38}));
    assert_eq!(read["errors"], 1);
}

#[test]
fn finding_is_accepted_with_a_reason_and_rules_are_graded() {
    let accepted = "[[accepted]]\nrule = \"request-constraint-tightened\"\npointer = \"/load\"\nreason = \"No machine has more.\"\ndate = \"2026-01-02\"\n";
    let folder = folder(&[
        ("old.yaml", OLD),
        ("new.yaml", &narrower()),
        ("accepted.toml", accepted),
        ("needless.toml", &accepted.replace("/load", "/loads")),
        ("grades.toml", "[grades]\nrequest-constraint-tightened = \"warning\"\n"),
        ("broken.toml", "[grades]\nno-such-rule = \"info\"\n"),
    ]);
    let diff = |more: &[&str]| run(folder.path(), &[&["diff", "old.yaml", "new.yaml"], more].concat());
    let (out, _, code) = diff(&["--accept", "accepted.toml"]);
    assert!(out.contains("accepted since 2026-01-02: "), "{out}");
    assert!(out.contains("No machine has more."), "{out}");
    assert_eq!(code, 0, "{out}");
    let (out, _, code) = diff(&["--accept", "needless.toml", "--grade", "request-constraint-tightened=info"]);
    assert!(out.contains("acceptance-needless"), "{out}");
    assert_eq!(code, 1);
    assert_eq!(diff(&["--grade", "request-constraint-tightened=warn"]).2, 0);
    assert_eq!(diff(&["--grade", "grades.toml"]).2, 0);
    assert_eq!(diff(&["--grade", "grades.toml", "--fail-on", "warn"]).2, 1);
    // The later wins.
    assert_eq!(diff(&["--grade", "grades.toml", "--grade", "request-constraint-tightened=error"]).2, 1);
    assert_eq!(diff(&["--grade", "request-constraint-tightened=off", "--fail-on", "warn"]).2, 0);
    for (arguments, said) in [
        (["--grade", "no-such-rule=info"], "no-such-rule"),
        (["--grade", "request-constraint-tightened=bad"], "`bad` is none of error, warning, info and off"),
        (["--grade", "broken.toml"], "fleetwire: broken.toml: "),
        (["--accept", "absent.toml"], "fleetwire: absent.toml cannot be read: No such file"),
    ] {
        let (_, err, code) = diff(&arguments);
        assert!(err.contains(said), "{err}");
        assert_eq!(code, 2);
    }
}

#[test]
fn documents_of_two_kinds_cannot_be_compared() {
    let folder = folder(&[("old.yaml", OLD), ("schema.json", "{\"type\": \"object\"}")]);
    let (_, err, code) = run(folder.path(), &["diff", "old.yaml", "schema.json"]);
    assert_eq!(
        err,
        "fleetwire: old.yaml is OpenAPI 3.1 and schema.json is JSON Schema 2020-12, which cannot be compared\n"
    );
    assert_eq!(code, 2);
}

#[test]
fn plain_schemas_are_compared_in_the_direction_that_they_go() {
    let folder =
        folder(&[("old.json", "{\"type\": [\"string\", \"null\"]}"), ("new.json", "{\"type\": \"string\"}")]);
    let code =
        |direction: &str| run(folder.path(), &["diff", "old.json", "new.json", "--direction", direction]).2;
    assert_eq!((code("request"), code("response"), code("both")), (1, 0, 1));
}

#[test]
fn conformance_is_proved_in_the_role_that_was_asked_for() {
    let closed = |text: &str| {
        text.replace("type: object\n", "type: object\n              additionalProperties: false\n")
    };
    let folder = folder(&[("source.yaml", &closed(OLD)), ("ours.yaml", &closed(&narrower()))]);
    let conform = |role: &str, more: &[&str]| {
        let arguments = ["conform", "--source", "source.yaml", "--ours", "ours.yaml", "--role", role];
        run(folder.path(), &[&arguments, more].concat())
    };
    let (out, _, code) = conform("server", &[]);
    assert!(out.contains("  error   claim-refuted  source.yaml:5 → ours.yaml:5\n    It is claimed that every request of the source is accepted.\n"), "{out}");
    assert!(out.contains("is refused by `maximum` at /load"), "{out}");
    assert_eq!(code, 1);
    let (out, _, _) = conform("client", &["--json"]);
    let read: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(read["role"], "client");
    assert_eq!(read["claims"][0]["standing"]["is"], "proved");
    let same = [
        "conform",
        "--source",
        "source.yaml",
        "--ours",
        "source.yaml",
        "--role",
        "server",
        "--fail-on",
        "warn",
    ];
    let (out, _, code) = run(folder.path(), &same);
    assert_eq!(code, 0, "{out}");
    assert_eq!(run(folder.path(), &["conform", "--source", "a", "--ours", "b", "--role", "peer"]).2, 2);
}

/// A repository in which the old document is committed, and the new one lies in the work tree.
fn repository() -> TempDir {
    let folder = folder(&[
        ("api/beat.yaml", OLD),
        ("api/split.yaml", &OLD.replace("{type: number, maximum: 100}", "{$ref: 'parts/load.yaml#/Load'}")),
        ("api/parts/load.yaml", "Load: {type: number, maximum: 100}\n"),
        ("api/escaping.yaml", &OLD.replace("{type: number, maximum: 100}", "{$ref: '../../x.yaml'}")),
    ]);
    git(folder.path(), &["init", "--quiet", "--initial-branch", "main"]);
    git(folder.path(), &["add", "."]);
    git(
        folder.path(),
        &["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "-m", "one"],
    );
    fs::write(folder.path().join("api/beat.yaml"), narrower()).unwrap();
    fs::write(folder.path().join("api/parts/load.yaml"), "Load: {type: number, maximum: 50}\n").unwrap();
    folder
}

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn revision_of_a_repository_is_compared_with_the_work_tree() {
    let folder = repository();
    let (out, err, code) = run(folder.path(), &["diff", "HEAD:api/beat.yaml", "api/beat.yaml"]);
    assert_eq!(err, "");
    assert!(
        out.contains("request-constraint-tightened  HEAD:api/beat.yaml:13 → api/beat.yaml:13\n"),
        "{out}"
    );
    assert_eq!(code, 1);
    // Nothing can be pinned to a file that is not in the work tree.
    let arguments = [
        "diff",
        "api/beat.yaml",
        "main:api/beat.yaml",
        "--format",
        "github",
        "--grade",
        "request-constraint-loosened=error",
    ];
    let (out, _, _) = run(folder.path(), &arguments);
    assert!(out.starts_with("::error file=api/beat.yaml,line=13"), "{out}");
    let (out, _, code) = run(folder.path(), &["diff", "HEAD:api/beat.yaml", ":api/beat.yaml"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(run(folder.path(), &["lint", "HEAD:api/beat.yaml"]).2, 0);
}

#[test]
fn other_files_of_a_revision_are_those_of_that_revision() {
    let folder = repository();
    let (out, _, code) = run(folder.path(), &["diff", "HEAD:api/split.yaml", "api/split.yaml"]);
    assert!(
        out.contains("request-constraint-tightened  HEAD:api/parts/load.yaml:1 → api/parts/load.yaml:1\n"),
        "{out}"
    );
    assert_eq!(code, 1);
    let (out, _, _) = run(folder.path(), &["lint", "HEAD:api/escaping.yaml"]);
    assert!(out.contains("leads nowhere: ../../x.yaml leads out of the folder of the document"), "{out}");
}

#[test]
fn what_git_does_not_have_is_told_step_by_step() {
    let folder = repository();
    let bare = self::folder(&[("a.yaml", OLD)]);
    let refused = |folder: &TempDir, argument: &str| {
        // An argument that begins with a dash is one all the same behind two of them.
        let (_, err, code) = run(folder.path(), &["lint", "--", argument]);
        assert_eq!(code, 2, "{argument}");
        err
    };
    for (argument, said) in [
        ("nowhere:api/beat.yaml", "nowhere:api/beat.yaml: git knows no revision `nowhere`"),
        (
            "HEAD:beat.yaml",
            "HEAD:beat.yaml: there is no `beat.yaml` in that revision; the path counts from the repository's root",
        ),
        ("HEAD:api", "HEAD:api is a folder"),
        ("HEAD:", "HEAD: names no file: write REV:PATH"),
        (
            "--output=x:api/beat.yaml",
            "--output=x:api/beat.yaml names no revision: one does not begin with a dash",
        ),
        ("HEAD; touch x:api/beat.yaml", "HEAD; touch x:api/beat.yaml: git knows no revision `HEAD; touch x`"),
    ] {
        assert_eq!(refused(&folder, argument), format!("fleetwire: {said}\n"));
    }
    assert!(!folder.path().join("x").exists());
    let without_repository = refused(&bare, "HEAD:a.yaml");
    let begin = "fleetwire: HEAD:a.yaml is no file, and git has no repository here that could have it (";
    assert!(without_repository.starts_with(begin), "{without_repository}");
    let without_git =
        command(folder.path(), &["lint", "HEAD:api/beat.yaml"]).env("PATH", "").output().unwrap();
    let (_, err, code) = said(without_git);
    assert_eq!(err, "fleetwire: git is not installed, and REV:PATH needs it\n");
    assert_eq!(code, 2);
}

#[cfg(unix)]
#[test]
fn file_whose_name_has_a_colon_wins_over_a_revision() {
    let folder = repository();
    fs::write(folder.path().join("HEAD:x.yaml"), CONTRADICTION).unwrap();
    let (out, _, code) = run(folder.path(), &["lint", "HEAD:x.yaml"]);
    assert!(out.contains("HEAD:x.yaml:10"), "{out}");
    assert_eq!(code, 1);
}

#[test]
fn output_has_no_colours_where_it_is_no_terminal() {
    let folder = folder(&[("api.yaml", CONTRADICTION)]);
    let (out, _, _) = run(folder.path(), &["lint", "api.yaml"]);
    assert!(!out.contains('\u{1b}'), "{out:?}");
}

#[test]
fn our_own_documents_have_no_errors() {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/openapi");
    let mut files: Vec<String> = fs::read_dir(schemas)
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .filter(|path| path.ends_with(".json"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut arguments = vec!["lint"];
    arguments.extend(files.iter().map(String::as_str));
    let (out, err, code) = run(Path::new(env!("CARGO_MANIFEST_DIR")), &arguments);
    assert_eq!((err.as_str(), code), ("", 0), "{out}");
}
