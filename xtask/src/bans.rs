//! What each crate must not know, as tables, and the checks that read them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{cargo, files};

/// Packages that must not be in the dependency tree of another one, however deep.
struct TreeBan {
    within: Tree,
    must_not_know: &'static [&'static str],
    why: &'static str,
}

#[derive(Clone, Copy)]
enum Tree {
    /// The normal dependencies of one package with its default features, on every platform.
    Package(&'static str),
    /// Everything: all members, features, platforms, tests and build scripts.
    Workspace,
}

const BEYOND_THE_WIRE: &[&str] =
    &["tokio", "hyper", "reqwest", "axum", "rusqlite", "tracing", "schemars", "utoipa", "proptest", "ring"];

const TREE_BANS: &[TreeBan] = &[
    TreeBan {
        within: Tree::Package("fleetwire-protocol"),
        must_not_know: BEYOND_THE_WIRE,
        why: "the protocol is what goes over the wire: no async, no IO, no randomness; \
              schemas and strategies are features that are off by default",
    },
    TreeBan {
        within: Tree::Package("fleetwire-validation"),
        must_not_know: BEYOND_THE_WIRE,
        why: "rules are pure functions of a message",
    },
    TreeBan {
        within: Tree::Package("fleetwire-server-core"),
        must_not_know: &["axum", "hyper", "tokio", "rusqlite", "reqwest"],
        why: "the core decides without sockets, SQL or a runtime",
    },
    TreeBan {
        within: Tree::Package("fleetwire-client"),
        must_not_know: &["axum", "rusqlite", "fleetwire-server", "fleetwire-server-core"],
        why: "client and server meet only in tests and in the command line tool",
    },
    TreeBan {
        within: Tree::Package("fleetwire-client"),
        must_not_know: &["schemars", "utoipa"],
        why: "an agent carries no schema generator",
    },
    TreeBan {
        within: Tree::Package("fleetwire-server"),
        must_not_know: &["fleetwire-client", "reqwest"],
        why: "client and server meet only in tests and in the command line tool",
    },
    TreeBan {
        within: Tree::Workspace,
        must_not_know: &["aws-lc-sys", "openssl-sys"],
        why: "TLS is rustls on ring: a clone builds with cargo and a C compiler alone",
    },
];

/// A package that only some members may name in their manifests.
struct DirectBan {
    dependency: &'static str,
    only_in: &'static [&'static str],
    why: &'static str,
}

const DIRECT_BANS: &[DirectBan] = &[DirectBan {
    dependency: "anyhow",
    only_in: &["fleetwire", "xtask"],
    why: "a library's errors are types that its caller can match on",
}];

/// Features of a dependency that the normal build of the workspace must not have.
struct FeatureBan {
    dependency: &'static str,
    features: &'static [&'static str],
    why: &'static str,
}

const FEATURE_BANS: &[FeatureBan] = &[FeatureBan {
    dependency: "serde_json",
    features: &["arbitrary_precision", "preserve_order"],
    why: "they change what every crate of a build reads and writes, and so are for dependents to choose",
}];

/// Packages that the Linux build holds in more than one version, each with the reason. An entry that is no
/// longer true is an error.
const ALLOWED_DUPLICATES: &[(&str, &str)] = &[
    ("getrandom", "ring 0.17 wants 0.2, the ahash of jsonschema wants 0.3, tempfile 3 wants 0.4"),
    ("hashbrown", "dashmap 6 wants 0.14, the hashlink of rusqlite wants 0.17"),
    ("syn", "strum_macros of jsonschema wants 2, the derives of serde and clap want 3"),
];

/// Words that no file under a folder may hold, in any case.
struct TextBan {
    under: &'static str,
    words: &'static [&'static str],
    /// Files of these names, test files and test modules at the end of a file are let off.
    except_tests_and: Option<&'static [&'static str]>,
    why: &'static str,
}

const TEXT_BANS: &[TextBan] = &[
    TextBan {
        under: "",
        // Put together here, so that this table is not its own finding.
        words: &[concat!("../", "shared"), concat!("\"sha", "red/")],
        except_tests_and: None,
        why: "a clone must build and test with nothing beside it",
    },
    TextBan {
        under: "crates/server/src",
        words: &["acusight", "zstack", "agentmc", "achilles"],
        except_tests_and: Some(&["mounts.rs"]),
        why: "the server is generic over operations: only its mount table knows vendors",
    },
];

/// Checks every table.
///
/// # Errors
/// With one line per finding, each with the reason of the ban.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut faults = Vec::new();
    for ban in TREE_BANS {
        let tree = cargo::tree(root, &tree_arguments(ban.within), false)?;
        faults.extend(tree_faults(ban, &tree));
    }

    let arguments =
        ["--workspace", "--all-features", "--target", "all", "-e", "normal,build,dev", "--depth", "1"];
    let tree = cargo::tree(root, &[&arguments[..], &["--prefix", "depth", "--no-dedupe"]].concat(), false)?;
    faults.extend(DIRECT_BANS.iter().flat_map(|ban| direct_faults(ban, &tree)));

    let arguments =
        ["--workspace", "-e", "normal", "--target", "all", "--prefix", "none", "--format", "{p}|{f}"];
    let tree = cargo::tree(root, &arguments, false)?;
    faults.extend(FEATURE_BANS.iter().flat_map(|ban| feature_faults(ban, &tree)));

    // One platform, so that the answer is the same on every machine.
    #[rustfmt::skip]
    let tree = cargo::tree(root, &[
        "--workspace", "--duplicates", "-e", "normal,build", "--target", "x86_64-unknown-linux-gnu",
        "--depth", "0", "--prefix", "none",
    ], true)?;
    faults.extend(duplicate_faults(&tree, ALLOWED_DUPLICATES));

    for ban in TEXT_BANS {
        for file in files::all_under(&root.join(ban.under))? {
            let shown = files::relative(&file, root);
            let bytes = fs::read(&file).with_context(|| format!("{} cannot be read", shown.display()))?;
            faults.extend(text_faults(ban, shown, &String::from_utf8_lossy(&bytes)));
        }
    }

    if !faults.is_empty() {
        bail!("what must not be known (the tables are in xtask/src/bans.rs):\n  {}", faults.join("\n  "));
    }
    println!("every crate knows only what it may");
    Ok(())
}

fn tree_arguments(within: Tree) -> Vec<&'static str> {
    let mut arguments = match within {
        Tree::Package(package) => vec!["-p", package, "-e", "normal"],
        Tree::Workspace => vec!["--workspace", "--all-features", "-e", "normal,build,dev"],
    };
    arguments.extend(["--target", "all", "--prefix", "none"]);
    arguments
}

/// Name and version of a line such as `serde_derive v1.0.0 (proc-macro) (*)`.
fn package_of(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    Some((words.next()?, words.next()?))
}

fn tree_faults(ban: &TreeBan, tree: &str) -> Vec<String> {
    let present: BTreeSet<_> = tree.lines().filter_map(package_of).map(|(name, _)| name).collect();
    let (who, selection) = match ban.within {
        Tree::Package(package) => (package, format!("-p {package} -e normal")),
        Tree::Workspace => ("the workspace", "--workspace --all-features -e normal,build,dev".to_owned()),
    };
    ban.must_not_know
        .iter()
        .filter(|name| present.contains(*name))
        .map(|name| {
            format!(
                "{who} must not know {name}: {} \
                 (`cargo tree {selection} --target all -i {name}` shows the way in)",
                ban.why
            )
        })
        .collect()
}

/// `tree` holds members as `0NAME VERSION` and below each its direct dependencies as `1NAME VERSION`.
fn direct_faults(ban: &DirectBan, tree: &str) -> Vec<String> {
    let mut member = "";
    let mut guilty = BTreeSet::new();
    for (name, _) in tree.lines().filter_map(package_of) {
        if let Some(name) = name.strip_prefix('0') {
            member = name;
        } else if name.strip_prefix('1') == Some(ban.dependency) && !ban.only_in.contains(&member) {
            guilty.insert(member);
        }
    }
    guilty
        .iter()
        .map(|member| format!("{member} must not depend on {}: {}", ban.dependency, ban.why))
        .collect()
}

/// A line of `tree` is `NAME VERSION|FEATURE,FEATURE`.
fn feature_faults(ban: &FeatureBan, tree: &str) -> Vec<String> {
    let mut present = BTreeSet::new();
    for line in tree.lines() {
        let Some((package, features)) = line.rsplit_once('|') else { continue };
        if package_of(package).is_some_and(|(name, _)| name == ban.dependency) {
            present.extend(features.trim_end_matches(" (*)").split(','));
        }
    }
    let name = ban.dependency;
    ban.features
        .iter()
        .filter(|feature| present.contains(*feature))
        .map(|feature| {
            format!(
                "the workspace must not switch on {name}/{feature}: {} \
                 (`cargo tree --workspace -e normal,features -i {name}` shows who does)",
                ban.why
            )
        })
        .collect()
}

fn duplicate_faults(tree: &str, allowed: &[(&str, &str)]) -> Vec<String> {
    // The same version may be listed twice, once for the build machine and once for the target.
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, version) in tree.lines().filter_map(package_of) {
        versions.entry(name).or_default().insert(version);
    }
    versions.retain(|_, versions| versions.len() > 1);

    let mut faults = Vec::new();
    for (name, versions) in &versions {
        if !allowed.iter().any(|(known, _)| known == name) {
            let versions = versions.iter().copied().collect::<Vec<_>>().join(" and ");
            faults.push(format!(
                "{name} is there as {versions}: have one, or add it to ALLOWED_DUPLICATES with the reason"
            ));
        }
    }
    for (name, why) in allowed {
        if !versions.contains_key(name) {
            faults
                .push(format!("{name} is no longer there twice ({why}): take it out of ALLOWED_DUPLICATES"));
        }
    }
    faults
}

fn text_faults(ban: &TextBan, file: &Path, text: &str) -> Vec<String> {
    let checked = match ban.except_tests_and {
        None => text,
        Some(exempt) if is_exempt(file, exempt) => return Vec::new(),
        Some(_) => before_test_module(text),
    };
    let mut faults = Vec::new();
    for (index, line) in checked.lines().enumerate() {
        let line = line.to_lowercase();
        for word in ban.words.iter().filter(|word| line.contains(*word)) {
            faults.push(format!("{}:{} must not say `{word}`: {}", file.display(), index + 1, ban.why));
        }
    }
    faults
}

fn is_exempt(file: &Path, exempt: &[&str]) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let in_test_folder =
        file.parent().is_some_and(|folder| folder.components().any(|c| c.as_os_str() == "tests"));
    in_test_folder || name == "tests.rs" || name.ends_with("_tests.rs") || exempt.contains(&name.as_ref())
}

/// What stands before the inline test module. That nothing comes after it is the business of clippy's
/// `items_after_test_module`.
fn before_test_module(text: &str) -> &str {
    let mut start = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let opens_module = |next: &&str| next.starts_with("mod ") && next.trim_end().ends_with('{');
        if line.trim_end() == "#[cfg(test)]" && lines.peek().is_some_and(opens_module) {
            return &text[..start];
        }
        start += line.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
core v0.1.0 (/w/core)
serde v1.0.229
serde_derive v1.0.229 (proc-macro)
tokio-util v0.7.0
tokio v1.54.1 (*)

";

    fn tree_ban(must_not_know: &'static [&'static str]) -> TreeBan {
        TreeBan { within: Tree::Package("core"), must_not_know, why: "no runtime" }
    }

    #[test]
    fn banned_package_is_reported_with_its_reason_and_the_way_to_find_it() {
        let faults = tree_faults(&tree_ban(&["axum", "tokio"]), TREE);
        assert_eq!(
            faults,
            ["core must not know tokio: no runtime \
              (`cargo tree -p core -e normal --target all -i tokio` shows the way in)"]
        );
    }

    #[test]
    fn package_whose_name_only_begins_like_a_banned_one_is_let_pass() {
        assert_eq!(tree_faults(&tree_ban(&["serde_der", "tokio-ut", "util"]), TREE), Vec::<String>::new());
    }

    #[test]
    fn direct_dependency_is_reported_for_members_that_may_not_have_it() {
        let tree = "0cli v0.1.0 (/w/cli)\n1anyhow v1.0.0\n\n\
                    0core v0.1.0 (/w/core)\n1serde v1.0.0\n1anyhow v1.0.0\n\
                    0late v0.1.0 (/w/late)\n";
        let ban = DirectBan { dependency: "anyhow", only_in: &["cli"], why: "typed errors" };
        assert_eq!(direct_faults(&ban, tree), ["core must not depend on anyhow: typed errors"]);
    }

    #[test]
    fn banned_feature_is_found_on_any_line_of_the_dependency_and_on_no_other_package() {
        let ban = FeatureBan { dependency: "serde_json", features: &["preserve_order"], why: "order" };
        let clean = "serde_json v1.0.0|default,std\nindexmap v2.0.0|preserve_order\n";
        assert_eq!(feature_faults(&ban, clean), Vec::<String>::new());
        let faults = feature_faults(&ban, "serde_json v1.0.0|std\nserde_json v1.0.0|preserve_order (*)\n");
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("serde_json/preserve_order: order"), "{faults:?}");
    }

    #[test]
    fn duplicate_that_nobody_allowed_is_reported_with_its_versions() {
        let tree = "syn v2.0.0\n\nsyn v3.0.0\n\nlibc v0.2.0\n\nlibc v0.2.0\n";
        let faults = duplicate_faults(tree, &[]);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("syn is there as v2.0.0 and v3.0.0"), "{faults:?}");
    }

    #[test]
    fn allowed_duplicate_passes_while_it_is_one_and_is_reported_afterwards() {
        let allowed = [("syn", "two generations of derives")];
        assert_eq!(duplicate_faults("syn v2.0.0\nsyn v3.0.0\n", &allowed), Vec::<String>::new());
        let faults = duplicate_faults("", &allowed);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("two generations of derives"), "{faults:?}");
    }

    const VENDORS: TextBan =
        TextBan { under: "src", words: &["zstack"], except_tests_and: Some(&["mounts.rs"]), why: "generic" };

    #[test]
    fn banned_word_is_found_in_any_case_and_located() {
        let faults = text_faults(&VENDORS, Path::new("src/lib.rs"), "fn a() {}\nuse p::ZStack;\n");
        assert_eq!(faults, ["src/lib.rs:2 must not say `zstack`: generic"]);
    }

    #[test]
    fn the_mount_table_and_tests_may_name_vendors() {
        for file in ["src/mounts.rs", "src/tests.rs", "src/tests/agent.rs", "src/agent_tests.rs"] {
            assert_eq!(text_faults(&VENDORS, Path::new(file), "zstack"), Vec::<String>::new(), "{file}");
        }
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    // zstack\n}\n";
        assert_eq!(text_faults(&VENDORS, Path::new("src/lib.rs"), text), Vec::<String>::new());
    }

    #[test]
    fn a_test_only_item_does_not_let_off_the_code_after_it() {
        let text = "#[cfg(test)]\nmod tests;\nfn zstack() {}\n";
        assert_eq!(text_faults(&VENDORS, Path::new("src/lib.rs"), text).len(), 1);
    }

    #[test]
    fn a_ban_without_exceptions_holds_in_tests_too() {
        let ban = TextBan { under: "", words: &["../beside"], except_tests_and: None, why: "alone" };
        let text = "#[cfg(test)]\nmod tests {\n    const P: &str = \"../../beside/x\";\n}\n";
        assert_eq!(text_faults(&ban, Path::new("src/tests.rs"), text).len(), 1);
    }
}
