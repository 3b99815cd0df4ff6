//! What was released stays: the messages that a version reads are promised in `schemas/baseline/<version>`,
//! and one that is changed or lost since then is a break, which the changelog has to name.
//!
//! A promise is a fixture's path with the SHA-256 of its very bytes, since twice the same member or another
//! spelling of a number is what some of them are about, and with all that it was sent with and is read as.
//! `FLEETWIRE_BASELINE=append` lets the test add what this version promises anew; it changes nothing else.

#[path = "../../spec/src/changelog.rs"]
mod changelog;
#[expect(dead_code, reason = "other tests need more of it")]
mod fixture;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use changelog::broken_since;
use fixture::{Class, fixtures, folder};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

const VERSION: &str = env!("CARGO_PKG_VERSION");

type Promises = BTreeMap<String, Promise>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Promise {
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canonical: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    path: BTreeMap<String, String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What the fixtures of a folder promise: refused ones nothing, since to take more breaks nobody.
fn promised_by(folder: &Path) -> Promises {
    let kept = fixtures(folder).into_iter().filter(|fixture| fixture.class != Class::Refused);
    kept.map(|fixture| {
        let sha256 = digest(&SHA256, &fixture.body).as_ref().iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes everything");
            hex
        });
        let origin = fixture.origin;
        let promise = Promise {
            sha256,
            canonical: origin.canonical,
            at: origin.at,
            headers: origin.headers,
            path: origin.path,
        };
        (fixture.path, promise)
    })
    .collect()
}

fn baseline(version: &str) -> PathBuf {
    root().join("schemas/baseline").join(version).join("fixtures.json")
}

/// One promise a line, so that a difference shows which.
fn write(promises: &Promises) -> String {
    let line = |(path, promise)| {
        let path = serde_json::to_string(path).expect("JSON");
        format!("  {path}: {}", serde_json::to_string(promise).expect("JSON"))
    };
    format!("{{\n{}\n}}\n", promises.iter().map(line).collect::<Vec<_>>().join(",\n"))
}

/// The promises that are no longer kept and that nobody has named.
fn broken(promises: &Promises, now: &Promises, named: &[&str]) -> Vec<String> {
    let unnamed = promises.iter().filter(|(path, _)| !named.contains(&path.as_str()));
    unnamed
        .filter_map(|(path, promise)| match now.get(path) {
            None => Some(format!("{path} is lost")),
            Some(other) if other != promise => Some(format!("{path} is changed")),
            Some(_) => None,
        })
        .collect()
}

#[test]
fn every_promise_of_every_version_is_kept_or_its_break_is_named() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).expect("the changelog");
    let now = promised_by(&folder());
    let mut faults = Vec::new();
    for entry in fs::read_dir(root().join("schemas/baseline")).expect("the baselines") {
        let version = entry.expect("a baseline").file_name().into_string().expect("a version");
        let text = fs::read_to_string(baseline(&version)).expect("the fixtures of a baseline");
        let promises: Promises = serde_json::from_str(&text).expect("promises");
        let named = broken_since(&version, &changelog);
        faults.extend(broken(&promises, &now, &named).iter().map(|fault| format!("{version}: {fault}")));
    }
    assert!(
        faults.is_empty(),
        "put these back, or name each under *Breaking* in CHANGELOG.md:\n{}",
        faults.join("\n")
    );
}

#[test]
fn this_version_promises_every_fixture_that_it_reads() {
    let file = baseline(VERSION);
    let text = fs::read_to_string(&file).unwrap_or_else(|_| "{}".to_owned());
    let mut promises: Promises = serde_json::from_str(&text).expect("promises");
    let mut anew = promised_by(&folder());
    anew.retain(|path, _| !promises.contains_key(path));
    if !anew.is_empty() && env::var_os("FLEETWIRE_BASELINE").is_some_and(|wish| wish == "append") {
        promises.append(&mut anew);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(&file, write(&promises)).expect("the baseline can be written");
        return;
    }
    let anew: Vec<_> = anew.into_keys().collect();
    assert!(anew.is_empty(), "with FLEETWIRE_BASELINE=append this test promises {anew:#?}");
    assert_eq!(text, write(&promises), "{} is sorted, one promise a line", file.display());
}

#[test]
fn changed_and_lost_fixtures_are_found_until_the_changelog_names_them() {
    let copy = tempfile::tempdir().expect("a folder");
    let (lost, changed) =
        ("acusight/checkin/request.minimal.json", "zstack/heartbeat/response.200.empty.json");
    let readdressed = "agentmc/heartbeat/request.am-3-fingerprint-in-header.json";
    for path in fixture::files(&folder()) {
        let target = copy.path().join(&path);
        fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
        fs::copy(folder().join(&path), target).expect("a copy");
    }
    let origins = fs::read_to_string(folder().join("origins.toml")).expect("the origins");
    fs::write(copy.path().join("origins.toml"), &origins).expect("the origins");
    let promises = promised_by(copy.path());
    assert_eq!(broken(&promises, &promised_by(copy.path()), &[]), [""; 0], "nothing has happened yet");

    fs::write(copy.path().join(changed), b"{ }\n").expect("a change");
    fs::remove_file(copy.path().join(lost)).expect("a loss");
    // The table without the lost one, and with another header beside the same body.
    let entry = |path: &str| {
        let from = origins.find(&format!("[\"{path}\"]")).expect("an origin");
        let length = origins[from + 1..].find("\n[").map_or(origins.len() - from, |end| end + 2);
        &origins[from..from + length]
    };
    let header = entry(readdressed).replace("a3f56f330f31", "000000000000");
    let table = origins.replace(entry(readdressed), &header).replace(entry(lost), "");
    fs::write(copy.path().join("origins.toml"), table).expect("the origins");

    let now = promised_by(copy.path());
    let all =
        [format!("{lost} is lost"), format!("{readdressed} is changed"), format!("{changed} is changed")];
    assert_eq!(broken(&promises, &now, &[]), all);

    let changelog = format!("## [Unreleased]\n\n### Breaking\n\n- `{lost}`: gone, and `{changed}` too.\n");
    assert_eq!(broken(&promises, &now, &broken_since(VERSION, &changelog)), all[1..2]);
    let elsewhere = format!(
        "## [Unreleased]\n\n### Changed\n\n- `{lost}`\n\n## [{VERSION}]\n\n### Breaking\n\n- `{changed}`\n"
    );
    assert_eq!(broken(&promises, &now, &broken_since(VERSION, &elsewhere)), all);
}
