//! The check of a whole work tree: a copy in a temporary folder, changed in one place.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use fleetwire_spec::claims::{Claim, Standing};
use fleetwire_spec::deviations::FILE as DEVIATIONS;
use fleetwire_spec::{Finding, Fix, Report, Verdict, baseline, check, contracts, generate_into};
use tempfile::TempDir;

const OPENAPI: &str = "schemas/openapi/zstack.json";

/// The files of a work tree whose documents agree.
static FILES: LazyLock<Vec<(PathBuf, Vec<u8>)>> = LazyLock::new(|| {
    fn read(folder: &Path, root: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, root, files);
            } else {
                files.push((path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir_all(tree.path().join("schemas/source")).unwrap();
    for vendor in ["acusight", "zstack", "agentmc", "achilles"] {
        let file = format!("schemas/source/{vendor}.yaml");
        fs::copy(root.join(&file), tree.path().join(&file)).unwrap();
    }
    for file in [DEVIATIONS, "README.md"] {
        fs::copy(root.join(file), tree.path().join(file)).unwrap();
    }
    generate_into(tree.path()).unwrap();
    let mut files = Vec::new();
    read(tree.path(), tree.path(), &mut files);
    files
});

fn tree() -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    for (file, content) in FILES.iter() {
        let path = tree.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    tree
}

/// What is found in a tree that nobody has changed.
static AGREEMENT: LazyLock<Report> = LazyLock::new(|| report(&tree()));

/// What is found where the source has renamed a member.
static RENAMED: LazyLock<Report> = LazyLock::new(|| report(&renamed()));

fn renamed() -> TempDir {
    let tree = tree();
    edit(&tree, "schemas/source/zstack.yaml", "        platformId:\n", "        platform:\n");
    tree
}

fn edit(tree: &TempDir, file: &str, from: &str, to: &str) {
    let path = tree.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn report(tree: &TempDir) -> Report {
    check(tree.path()).unwrap()
}

fn briefs(report: &Report) -> Vec<String> {
    let brief = |finding: &Finding| {
        let operation = finding.operation.as_deref().unwrap_or("-");
        format!("{} {operation} {}", finding.id, finding.pointer)
    };
    report.findings.iter().map(brief).collect()
}

#[test]
fn generated_tree_agrees_and_generating_again_changes_nothing() {
    let report = &*AGREEMENT;
    assert_eq!(briefs(report), [""; 0]);
    assert_eq!((report.verdict, report.verdict.exit_code()), (Verdict::Agreement, 0));
    assert!(report.deviations.len() > 10 && report.files > 10, "{report:?}");
    assert_eq!(generate_into(tree().path()).unwrap(), []);
}

#[test]
fn edited_committed_file_is_stale_with_a_diff_until_it_is_generated() {
    let tree = tree();
    edit(&tree, OPENAPI, "\"version\"", "\"verzion\"");
    let before = fs::read(tree.path().join(OPENAPI)).unwrap();
    let report = report(&tree);
    assert_eq!(briefs(&report), [format!("file-differs - {OPENAPI}")]);
    assert_eq!((report.verdict, report.verdict.exit_code()), (Verdict::Stale, 4));
    let finding = &report.findings[0];
    assert!(finding.ours.contains("\n- ") && finding.ours.contains("\"verzion\""), "{}", finding.ours);
    assert_eq!((finding.fix(), finding.advice.as_str()), (Fix::Generate, "cargo xtask generate"));
    assert_eq!(fs::read(tree.path().join(OPENAPI)).unwrap(), before, "a check writes nothing");

    let settled = generate_into(tree.path()).unwrap();
    assert_eq!(settled.iter().map(|finding| finding.pointer.as_str()).collect::<Vec<_>>(), [OPENAPI]);
    assert_eq!(check(tree.path()).unwrap().verdict, Verdict::Agreement);
}

#[test]
fn missing_and_extra_committed_files_are_stale() {
    let tree = tree();
    fs::rename(tree.path().join(OPENAPI), tree.path().join("schemas/openapi/zebra.json")).unwrap();
    let report = report(&tree);
    assert_eq!(
        briefs(&report),
        ["file-extra - schemas/openapi/zebra.json", "file-missing - schemas/openapi/zstack.json"]
    );
    assert_eq!(report.verdict, Verdict::Stale);
    generate_into(tree.path()).unwrap();
    assert!(!tree.path().join("schemas/openapi/zebra.json").exists());
}

#[test]
fn stale_table_of_the_readme_is_found_and_the_rest_of_it_is_free() {
    let tree = tree();
    edit(&tree, "README.md", "| `zstack.heartbeat` |", "| `zstack.beat` |");
    assert_eq!(briefs(&report(&tree)), ["file-differs - README.md"]);
    generate_into(tree.path()).unwrap();
    let path = tree.path().join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{text}\nMore of it.\n")).unwrap();
    assert_eq!(report(&tree).verdict, Verdict::Agreement);
}

#[test]
fn source_that_changed_is_broken_even_where_a_file_is_stale_too() {
    let broken = &*RENAMED;
    // The name is found, and so is the answer of ours that the source now forbids.
    assert_eq!(
        briefs(broken),
        [
            "member-renamed zstack.register /platform",
            "member-renamed zstack.heartbeat /platform",
            "claim-refuted zstack.register ",
            "claim-refuted zstack.heartbeat ",
        ],
        "both operations answer with an agent"
    );
    assert_eq!(broken.findings[3].witness, Some(serde_json::json!({"platformId": ""})));
    assert_eq!((broken.verdict, broken.verdict.exit_code()), (Verdict::Broken, 1));

    let tree = renamed();
    edit(&tree, OPENAPI, "\"version\"", "\"verzion\"");
    let both = report(&tree);
    assert_eq!(both.findings.len(), 5);
    assert_eq!(both.verdict, Verdict::Broken);
}

#[test]
fn deviation_that_the_source_has_made_needless_is_found() {
    let tree = tree();
    // The page now says itself what a deviation says for it.
    edit(
        &tree,
        "schemas/source/zstack.yaml",
        "x-words: [online, offline, delayed]",
        "x-words: [online, offline, delayed, upgrading]",
    );
    let misplaced = "deviation-misplaced zstack.heartbeat response.200 /properties/status/x-words/-";
    assert!(briefs(&report(&tree)).iter().any(|brief| brief == misplaced));

    let tree = self::tree();
    let path = tree.path().join(DEVIATIONS);
    let text = fs::read_to_string(&path).unwrap();
    let number = text.matches("[[deviation]]").count() + 1;
    let needless = "\n[[deviation]]\noperation = 'zstack.heartbeat'\nside = 'request'\nat = '/properties/version/x-remark'\n\
                    op = 'add'\nvalue = 64\nwhy = 'so'\norigin = 'nobody'\n";
    fs::write(&path, text + needless).unwrap();
    let report = report(&tree);
    assert_eq!(briefs(&report), [format!("deviation-needless zstack.heartbeat deviation {number}")]);
    assert_eq!(report.verdict, Verdict::Broken);
    assert_eq!(report.deviations.len(), number);
}

#[test]
fn deviation_whose_place_has_changed_in_the_source_is_found() {
    let tree = tree();
    edit(&tree, "schemas/source/zstack.yaml", "          maximum: 100\n", "          maximum: 99\n");
    let briefs = briefs(&report(&tree));
    assert_eq!(briefs[0], "deviation-misplaced zstack.heartbeat request /properties/cpuUsage");
}

#[test]
fn claims_stand_in_the_report_with_the_deviations_that_they_rest_on() {
    let report = &*AGREEMENT;
    let uptime = report.deviations.iter().position(|one| one.at == "/properties/uptime").unwrap() + 1;
    let held = report
        .claims
        .iter()
        .find(|held| {
            (held.claimed.operation.as_str(), held.claimed.claim)
                == ("zstack.heartbeat", Claim::RequestsAccepted)
                && held.claimed.part.is_empty()
        })
        .unwrap();
    assert_eq!(held.claimed.standing, Standing::Proved);
    assert!(held.rests_on.contains(&uptime), "{held:?}");
    let silent = report.claims.iter().filter(|held| held.claimed.standing == Standing::Silent).count();
    assert_eq!((report.claims.len() > 80, silent), (true, 8));
}

#[test]
fn broken_promise_of_a_version_is_found_until_the_changelog_names_it() {
    let tree = tree();
    let written = baseline::keep(tree.path(), &contracts().unwrap()).unwrap();
    assert_eq!(written.len(), 8, "{written:?}");
    assert_eq!(briefs(&report(&tree)), [""; 0]);

    // As if that version had taken a load of 200 %.
    let file = format!("{}/{}/zstack.emit.json", baseline::FOLDER, env!("CARGO_PKG_VERSION"));
    let path = tree.path().join(&file);
    let mut promised: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let schema = "/components/schemas/HeartbeatRequest/properties/cpuUsage/maximum";
    *promised.pointer_mut(schema).unwrap() = 200.into();
    fs::write(&path, serde_json::to_vec(&promised).unwrap()).unwrap();
    let broken = report(&tree);
    assert_eq!(broken.verdict, Verdict::Broken);
    let names: Vec<&str> = broken.findings.iter().map(|finding| finding.pointer.as_str()).collect();
    assert_eq!(
        names,
        [
            "`zstack.heartbeat request body application/json /cpuUsage request-constraint-tightened`",
            "`zstack.heartbeat request requests-accepted`",
        ]
    );
    let witness = broken.findings[1].witness.as_ref().unwrap();
    assert!(witness["cpuUsage"].as_f64().unwrap() > 100.0, "{witness}");

    let named = names.iter().map(|name| format!("- {name}: on purpose\n")).collect::<String>();
    let changelog = format!("## [Unreleased]\n\n### Breaking\n\n{named}");
    fs::write(tree.path().join("CHANGELOG.md"), changelog).unwrap();
    assert_eq!(briefs(&report(&tree)), [""; 0]);
}

#[test]
fn deviation_without_a_place_is_found() {
    let tree = tree();
    let misplaced = [
        ("zstack", "request", "/properties/uuid", "side `document`"),
        ("zstack.heartbeat", "request", "/properties/load", "no /properties/load"),
        ("zstack.heartbeat", "response.201", "/properties/uuid", "no schema for the response.201"),
        ("zstack.heartbeat", "answer", "/properties/uuid", "no side `answer`"),
        ("zstack.stop", "request", "/properties/uuid", "no such operation"),
        ("zebra.run", "request", "/properties/uuid", "no source of this vendor"),
    ];
    let path = tree.path().join(DEVIATIONS);
    let mut text = fs::read_to_string(&path).unwrap();
    for (operation, side, at, _) in misplaced {
        text.push_str(&format!(
            "\n[[deviation]]\noperation = '{operation}'\nside = '{side}'\nat = '{at}'\nop = 'remove'\nwas = 1\nwhy = 'so'\norigin = 'X'\n"
        ));
    }
    fs::write(&path, text).unwrap();
    let report = report(&tree);
    assert_eq!(report.findings.len(), misplaced.len(), "{:?}", briefs(&report));
    for (finding, (operation, _, _, reason)) in report.findings.iter().zip(misplaced) {
        assert_eq!(
            (finding.id.as_str(), finding.operation.as_deref()),
            ("deviation-misplaced", Some(operation))
        );
        assert!(finding.source.contains(reason), "{}", finding.source);
    }
    assert_eq!(report.verdict, Verdict::Broken);
}

#[test]
fn report_is_json_with_stable_names() {
    let json = serde_json::to_value(&*RENAMED).unwrap();
    assert_eq!(json["verdict"], "broken");
    let finding = &json["findings"][0];
    assert_eq!(
        *finding,
        serde_json::json!({
            "id": "member-renamed",
            "severity": "error",
            "fix": "think",
            "vendor": "zstack",
            "operation": "zstack.register",
            "side": {"response": "200"},
            "pointer": "/platform",
            "source": "platform",
            "origin": {
                "document": "zstack-agent-heartbeat", "place": "Responses, platformId", "how": "structure",
            },
            "ours": "platformId",
            "advice": finding["advice"],
        })
    );
}

#[test]
fn finding_reads_well() {
    assert_eq!(
        RENAMED.findings[0].to_string(),
        "error member-renamed in response 200 at /platform\n  \
           source     platform  [zstack-agent-heartbeat, Responses, platformId, structure]\n  \
           ours       platformId\n  \
           do         use the source's name, or correct the transcription if that was misread"
    );
}

#[test]
fn unreadable_source_is_an_error_that_names_the_file() {
    let tree = tree();
    edit(&tree, "schemas/source/zstack.yaml", "openapi: 3.0.3", "openapi: 3.0.3\nopenapi: 3.0.3");
    let error = check(tree.path()).unwrap_err().to_string();
    assert!(error.contains("zstack.yaml"), "{error}");
    fs::remove_dir_all(tree.path().join("schemas/source")).unwrap();
    assert!(check(tree.path()).is_err());
}
