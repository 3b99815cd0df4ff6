//! The gate on instructions: what each step of a request costs, counted under callgrind and compared with what is committed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::cargo_bench;
use crate::cargo;

/// The committed figures.
const FIGURES: &str = "crates/server/benches/instructions.toml";
const PACKAGE: &str = "fleetwire-server";
const BENCH: &str = "instructions";

/// Repetitions of the two runs of a case.
const FEW: u64 = 50;
const MANY: u64 = 250;

/// The most that a figure may grow, in percent, without anybody saying why.
const GROWTH: u64 = 3;
/// The same where another compiler made the committed figures: its code differs by a few percent whoever wrote what.
const GROWTH_ELSEWHERE: u64 = 10;

/// The arguments of `cargo xtask bench instructions`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the figures down as the committed ones.
    #[arg(long, requires = "because")]
    update: bool,
    /// Why the figures that have changed may: it is written beside them.
    #[arg(long, value_name = "REASON", requires = "update")]
    because: Option<String>,
}

/// A committed figure.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Figure {
    instructions: u64,
    because: String,
}

/// The committed figures.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Committed {
    rustc: String,
    cases: BTreeMap<String, Figure>,
}

/// What a figure is beside the committed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// As far as the bound allows.
    Kept,
    /// Less than the bound allows in the other direction: to be written down, so that it is not lost again.
    Better,
    /// More than the bound allows.
    Worse,
    /// Nothing is committed.
    New,
}

/// Counts every case and compares.
///
/// # Errors
/// There is no valgrind, a case fails, or has grown by more than the bound.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    let counted = count_all(root)?;
    let rustc = rustc_version()?;
    let file = root.join(FIGURES);
    let committed = match fs::read_to_string(&file) {
        Ok(text) => parse(&text).with_context(|| format!("{FIGURES} cannot be read"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Committed { rustc: rustc.clone(), cases: BTreeMap::new() }
        }
        Err(error) => return Err(error).with_context(|| format!("{FIGURES} cannot be read")),
    };
    let growth = if committed.rustc == rustc { GROWTH } else { GROWTH_ELSEWHERE };
    let findings = compare(&committed, &counted, growth);
    println!("\n{:<34} {:>10} {:>10} {:>9}", "case", "committed", "counted", "change");
    for (case, count, verdict) in &findings {
        let known = committed.cases.get(case);
        let before = known.map_or_else(|| "–".to_owned(), |figure| figure.instructions.to_string());
        let change =
            known.map_or_else(String::new, |known| format!("{:+.2} %", percent(known.instructions, *count)));
        let note = match verdict {
            Verdict::Kept => "",
            Verdict::Better => "  better: write it down",
            Verdict::Worse => "  WORSE",
            Verdict::New => "  new",
        };
        println!("{case:<34} {before:>10} {count:>10} {change:>9}{note}");
    }
    if committed.rustc != rustc {
        println!(
            "The committed figures are of rustc {}, these of {rustc}: up to {GROWTH_ELSEWHERE} % are allowed.",
            committed.rustc
        );
    }
    if let Some(because) = &args.because {
        let updated = update(&committed, &counted, &rustc, growth, because);
        fs::write(&file, write(&updated)).with_context(|| format!("{FIGURES} cannot be written"))?;
        println!("Written: {FIGURES}");
        return Ok(());
    }
    judge(&committed, &findings, growth)
}

/// The step of `cargo xtask ci`.
///
/// # Errors
/// Like [`run`].
pub(crate) fn step(root: &Path) -> Result<()> {
    run(root, &Args { update: false, because: None })
}

fn judge(committed: &Committed, findings: &[(String, u64, Verdict)], growth: u64) -> Result<()> {
    let of = |wanted| -> Vec<&str> {
        findings.iter().filter(|(.., verdict)| *verdict == wanted).map(|(case, ..)| case.as_str()).collect()
    };
    let gone: Vec<_> =
        committed.cases.keys().filter(|case| findings.iter().all(|(known, ..)| known != *case)).collect();
    ensure!(gone.is_empty(), "cases of {FIGURES} that are not there any more: {gone:?}");
    let new = of(Verdict::New);
    ensure!(new.is_empty(), "cases without a committed figure: {}", new.join(", "));
    let worse = of(Verdict::Worse);
    if !worse.is_empty() {
        bail!(
            "more than {growth} % more instructions than committed: {}. If that is what it takes: \
             cargo xtask bench instructions --update --because \"…\"",
            worse.join(", ")
        );
    }
    Ok(())
}

fn compare(
    committed: &Committed,
    counted: &BTreeMap<String, u64>,
    growth: u64,
) -> Vec<(String, u64, Verdict)> {
    let verdict = |case: &str, count: u64| match committed.cases.get(case) {
        None => Verdict::New,
        // In whole numbers, so that the bound itself is allowed.
        Some(known) => match (u128::from(count) * 100, u128::from(known.instructions)) {
            (count, known) if count > known * u128::from(100 + growth) => Verdict::Worse,
            (count, known) if count < known * u128::from(100 - growth) => Verdict::Better,
            _ => Verdict::Kept,
        },
    };
    counted.iter().map(|(case, count)| (case.clone(), *count, verdict(case, *count))).collect()
}

/// The figures to be committed: those that are as they were keep their value and their reason, so that small steps cannot
/// add up unseen.
fn update(
    committed: &Committed,
    counted: &BTreeMap<String, u64>,
    rustc: &str,
    growth: u64,
    because: &str,
) -> Committed {
    let keep = committed.rustc == rustc;
    let cases = compare(committed, counted, growth).into_iter().map(|(case, count, verdict)| {
        let figure = match committed.cases.get(&case) {
            Some(known) if keep && verdict == Verdict::Kept => known.clone(),
            _ => Figure { instructions: count, because: because.to_owned() },
        };
        (case, figure)
    });
    Committed { rustc: rustc.to_owned(), cases: cases.collect() }
}

/// By how many percent the second is more than the first.
fn percent(before: u64, after: u64) -> f64 {
    (after as f64 / (before.max(1)) as f64 - 1.0) * 100.0
}

fn parse(text: &str) -> Result<Committed> {
    let file: Value = toml::from_str(text)?;
    let rustc = file.get("rustc").and_then(Value::as_str).context("`rustc` is missing")?.to_owned();
    let cases = file.get("case").and_then(Value::as_object).context("there is no [case]")?;
    let figure = |(name, value): (&String, &Value)| {
        let instructions = value.get("instructions").and_then(Value::as_u64);
        let because = value.get("because").and_then(Value::as_str).filter(|reason| !reason.trim().is_empty());
        let (Some(instructions), Some(because)) = (instructions, because) else {
            bail!("{name}: `instructions` and a reason as `because` belong to each case");
        };
        Ok((name.clone(), Figure { instructions, because: because.to_owned() }))
    };
    Ok(Committed { rustc, cases: cases.iter().map(figure).collect::<Result<_>>()? })
}

fn write(committed: &Committed) -> String {
    let mut text = format!(
        "# Instructions of one repetition of each case of instructions.rs, as `cargo xtask bench instructions` counts them.\n\
         # Written by the same command with --update --because \"…\"; more than {GROWTH} % above them fails `cargo xtask ci instructions`.\n\
         rustc = {}\n\n[case]\n",
        quoted(&committed.rustc)
    );
    for (case, figure) in &committed.cases {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} = {{ instructions = {}, because = {} }}",
            quoted(case),
            figure.instructions,
            quoted(&figure.because)
        );
    }
    text
}

/// A TOML string. JSON's escapes are a part of TOML's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn count_all(root: &Path) -> Result<BTreeMap<String, u64>> {
    let version = Command::new("valgrind").arg("--version").output();
    ensure!(
        version.is_ok_and(|output| output.status.success()),
        "valgrind is not installed; it counts the instructions (Debian: apt-get install valgrind)"
    );
    let program = cargo_bench::build(root, PACKAGE, "--bench", BENCH)?;
    let list = Command::new(&program).arg("--list").output().context("the cases cannot be listed")?;
    ensure!(list.status.success(), "the cases cannot be listed: {}", String::from_utf8_lossy(&list.stderr));
    let cases = String::from_utf8(list.stdout)?;
    let folder = program.parent().context("a program has a folder")?;
    let mut counted = BTreeMap::new();
    for case in cases.lines() {
        let few = count(&program, folder, case, FEW)?;
        let many = count(&program, folder, case, MANY)?;
        let each = many.checked_sub(few).with_context(|| format!("{case}: more repetitions cost less"))?;
        counted.insert(case.to_owned(), each / (MANY - FEW));
    }
    ensure!(!counted.is_empty(), "there are no cases");
    Ok(counted)
}

/// The instructions of one run of a case, its preparation included.
fn count(program: &Path, folder: &Path, case: &str, times: u64) -> Result<u64> {
    let out: PathBuf = folder.join(format!("callgrind.{}.out", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args([case, &times.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("valgrind could not be started")?;
    let profile = fs::read_to_string(&out);
    // Gone already if valgrind did not get so far.
    let _ = fs::remove_file(&out);
    ensure!(
        output.status.success(),
        "{case}: {} under valgrind:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let profile = profile.with_context(|| format!("{case}: valgrind wrote no profile"))?;
    total(&profile).with_context(|| format!("{case}: valgrind's profile names no total"))
}

/// The instructions of all parts of a profile: the program's threads and dumps have one each.
fn total(profile: &str) -> Option<u64> {
    let mut totals = profile.lines().filter_map(|line| line.strip_prefix("summary:")).map(|figures| {
        // Further events would follow; without simulations there are none.
        figures.split_whitespace().next().and_then(|figure| figure.parse::<u64>().ok())
    });
    let first = totals.next()??;
    totals.try_fold(first, |sum, figure| sum.checked_add(figure?))
}

/// The version of the compiler, without the day it was made on.
fn rustc_version() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    cargo::clean_environment(&mut command);
    let output = command.arg("--version").output().context("rustc could not be started")?;
    let text = String::from_utf8(output.stdout)?;
    text.split_whitespace().nth(1).map(str::to_owned).context("rustc does not say its version")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(cases: &[(&str, u64)]) -> Committed {
        let figure = |instructions| Figure { instructions, because: "first \"count\"".to_owned() };
        Committed {
            rustc: "1.95.0".to_owned(),
            cases: cases.iter().map(|&(case, count)| (case.to_owned(), figure(count))).collect(),
        }
    }

    fn counted(cases: &[(&str, u64)]) -> BTreeMap<String, u64> {
        cases.iter().map(|&(case, count)| (case.to_owned(), count)).collect()
    }

    fn outcome(committed: &Committed, counted: &BTreeMap<String, u64>) -> Result<()> {
        judge(committed, &compare(committed, counted, GROWTH), GROWTH)
    }

    #[test]
    fn the_total_of_a_profile_is_the_sum_of_its_parts() {
        let part = "# callgrind format\npart: 1\nevents: Ir\nsummary: 91679477\n\nfn=(1) main\n0 42\ntotals: 91679477\n";
        assert_eq!(total(part), Some(91_679_477));
        assert_eq!(total(&part.repeat(2)), Some(2 * 91_679_477));
        for broken in ["", "totals: 5\n", "summary:\n", "summary: many\n", "summary: 1\nsummary: x\n"] {
            assert_eq!(total(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn growth_within_the_bound_passes_and_beyond_it_fails_by_name() {
        let before = committed(&[("decode a", 1000), ("encode a", 1000)]);
        assert!(outcome(&before, &counted(&[("decode a", 1030), ("encode a", 900)])).is_ok());
        let error =
            outcome(&before, &counted(&[("decode a", 1031), ("encode a", 900)])).unwrap_err().to_string();
        assert!(
            error.contains("decode a") && !error.contains("encode a") && error.contains("--because"),
            "{error}"
        );
    }

    #[test]
    fn a_gain_beyond_the_bound_is_told_and_does_not_fail() {
        let findings =
            compare(&committed(&[("a", 1000), ("b", 1000)]), &counted(&[("a", 969), ("b", 970)]), GROWTH);
        let verdicts: Vec<_> = findings.iter().map(|(.., verdict)| *verdict).collect();
        assert_eq!(verdicts, [Verdict::Better, Verdict::Kept]);
    }

    #[test]
    fn a_case_without_a_figure_and_a_figure_without_a_case_fail() {
        let error = outcome(&committed(&[("a", 1)]), &counted(&[("a", 1), ("b", 1)])).unwrap_err();
        assert!(error.to_string().contains("without a committed figure: b"), "{error}");
        let error = outcome(&committed(&[("a", 1), ("b", 1)]), &counted(&[("a", 1)])).unwrap_err();
        assert!(error.to_string().contains("not there any more"), "{error}");
    }

    #[test]
    fn an_update_changes_what_has_changed_and_keeps_the_reasons_of_the_rest() {
        let before = committed(&[("a", 1000), ("b", 1000), ("gone", 5)]);
        let now = counted(&[("a", 1010), ("b", 1500), ("c", 7)]);
        let after = update(&before, &now, "1.95.0", GROWTH, "b checks more");
        assert_eq!(after.cases["a"], before.cases["a"], "small steps must not add up");
        assert_eq!((after.cases["b"].instructions, &*after.cases["b"].because), (1500, "b checks more"));
        assert_eq!(after.cases["c"].instructions, 7);
        assert!(!after.cases.contains_key("gone"));
        let elsewhere = update(&before, &now, "1.96.0", GROWTH_ELSEWHERE, "a new compiler");
        assert_eq!(elsewhere.cases["a"].instructions, 1010);
    }

    #[test]
    fn what_is_written_is_read_again_and_a_figure_without_a_reason_is_refused() {
        let figures = committed(&[("decode a.b", 1000), ("request a.b", 20_000)]);
        assert_eq!(parse(&write(&figures)).unwrap(), figures);
        for (file, reason) in [
            ("[case]\n", "`rustc`"),
            ("rustc = \"1\"\n", "[case]"),
            ("rustc = \"1\"\n[case]\n\"a\" = { instructions = 5 }\n", "because"),
            ("rustc = \"1\"\n[case]\n\"a\" = { instructions = 5, because = \" \" }\n", "because"),
            ("rustc = \"1\"\n[case]\n\"a\" = { because = \"x\" }\n", "instructions"),
        ] {
            let error = parse(file).unwrap_err().to_string();
            assert!(error.contains(reason), "{file}: {error}");
        }
    }
}
