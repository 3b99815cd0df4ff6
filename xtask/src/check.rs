//! `cargo xtask check` and `cargo xtask generate`: source, committed and generated documents.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use fleetwire_spec::claims::{Claim, Standing};
use fleetwire_spec::{Finding, Held, Kind, Report, Side, Verdict};

use crate::{cargo, work_machine};

/// The arguments of `cargo xtask check`.
#[derive(clap::Args)]
pub(crate) struct CheckArgs {
    /// The root of the work tree [default: that of the workspace].
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Print how each claim stands of each operation, and the deviations that it rests on.
    #[arg(long, conflicts_with = "json")]
    explain: bool,
}

/// The arguments of `cargo xtask generate`.
#[derive(clap::Args)]
pub(crate) struct GenerateArgs {
    /// The root of the work tree [default: that of the workspace].
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// The arguments of `cargo xtask baseline`.
#[derive(clap::Args)]
pub(crate) struct BaselineArgs {
    /// The root of the work tree [default: that of the workspace].
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Keeps what the documents of this version promise, and says which files changed.
///
/// # Errors
/// A promise is broken, or a document cannot be made or written.
pub(crate) fn baseline(args: BaselineArgs) -> Result<()> {
    let root = root(args.root)?;
    let report = report(&root)?;
    let broken = report.findings.iter().filter(|finding| finding.id == Kind::BaselineBroken).count();
    if broken > 0 {
        bail!("{} broken: see `cargo xtask check`", count(broken, "promise is", "promises are"));
    }
    let today = fleetwire_spec::contracts().context("the documents cannot be made")?;
    let written = fleetwire_spec::baseline::keep(&root, &today).context("the baseline cannot be kept")?;
    for file in &written {
        println!("wrote {file}");
    }
    println!("{}", count(written.len(), "file changed", "files changed"));
    Ok(())
}

/// Prints what the check found; the exit code tells agreement (0), stale (4) and broken (1) apart.
///
/// # Errors
/// One of the documents cannot be read or made.
pub(crate) fn check(args: CheckArgs) -> Result<ExitCode> {
    let report = report(&root(args.root)?)?;
    if args.json {
        print(&(serde_json::to_string_pretty(&report)? + "\n"))?;
    } else {
        if args.explain {
            print(&explained(&report))?;
        }
        print(&text(&report))?;
    }
    Ok(ExitCode::from(report.verdict.exit_code()))
}

/// The step of `cargo xtask ci`.
///
/// # Errors
/// The documents disagree, or cannot be read or made.
pub(crate) fn step(root: &Path) -> Result<()> {
    let report = report(root)?;
    print(&text(&report))?;
    match report.verdict {
        Verdict::Agreement => Ok(()),
        Verdict::Stale => bail!("committed files are stale: run `cargo xtask generate`"),
        Verdict::Broken => bail!("sources and types disagree"),
    }
}

/// Writes the generated documents and says which files changed.
///
/// # Errors
/// A document cannot be made or written.
pub(crate) fn generate(args: GenerateArgs) -> Result<()> {
    let root = root(args.root)?;
    let settled = fleetwire_spec::generate_with(&root, work_machine::documents()?)
        .context("the documents cannot be generated")?;
    for finding in &settled {
        let verb = match finding.id {
            Kind::FileExtra => "removed",
            _ => "wrote",
        };
        println!("{verb} {}", finding.pointer);
    }
    println!("{}", count(settled.len(), "file changed", "files changed"));
    Ok(())
}

fn root(given: Option<PathBuf>) -> Result<PathBuf> {
    match given {
        Some(root) => Ok(root),
        None => cargo::workspace_root(),
    }
}

fn report(root: &Path) -> Result<Report> {
    fleetwire_spec::check_with(root, work_machine::documents()?).context("the check cannot be made")
}

/// Prints all at once. A reader that goes away early, such as `head`, is no failure of the check.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("the report cannot be printed")
        }
        _ => Ok(()),
    }
}

/// The report for people, grouped by operation.
fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    let mut last: Option<String> = None;
    for finding in &report.findings {
        let group = group(finding);
        if last.as_ref() != Some(&group) {
            lines.push(format!("\n{group}"));
            last = Some(group);
        }
        for line in finding.to_string().lines() {
            lines.push(format!("  {line}"));
        }
    }
    if !report.findings.is_empty() {
        lines.push(String::new());
    }
    if !report.silent.is_empty() {
        lines.push("the sources are silent, so that nothing is compared, at".to_owned());
        for silence in &report.silent {
            let pointer = if silence.pointer.is_empty() { "the whole body" } else { &silence.pointer };
            lines.push(format!("  {} {}: {pointer}", silence.operation, silence.side));
        }
    }
    let standing =
        |is: fn(&Standing) -> bool| report.claims.iter().filter(|held| is(&held.claimed.standing)).count();
    lines.push(format!(
        "{}: {} proved, {} silent, {} undecided, {} refuted",
        count(report.claims.len(), "claim of inclusion", "claims of inclusion"),
        standing(|standing| matches!(standing, Standing::Proved)),
        standing(|standing| matches!(standing, Standing::Silent)),
        standing(|standing| matches!(standing, Standing::Undecided { .. })),
        standing(|standing| matches!(standing, Standing::Refuted(_) | Standing::Untrue { .. })),
    ));
    let compared = report.compared;
    lines.push(format!(
        "compared {}, {} and {} with the sources, and {} with the committed ones",
        count(compared.operations, "operation", "operations"),
        count(compared.members, "member", "members"),
        count(compared.words, "word", "words"),
        count(report.files, "generated file", "generated files"),
    ));
    let needless = report.findings.iter().filter(|finding| finding.id == Kind::DeviationNeedless).count();
    let need = if needless == 0 { "all of them needed".to_owned() } else { format!("{needless} needless") };
    lines.push(format!("{}, {need}", count(report.deviations.len(), "deviation", "deviations")));
    let findings = count(report.findings.len(), "finding", "findings");
    match report.verdict {
        Verdict::Agreement => lines.push("source, committed and generated documents agree".to_owned()),
        Verdict::Stale => lines.push(format!("STALE: {findings}; run `cargo xtask generate`")),
        Verdict::Broken => lines.push(format!("BROKEN: {findings}")),
    }
    lines.join("\n") + "\n"
}

/// How each of the five claims stands of each operation.
fn explained(report: &Report) -> String {
    let mut operations: Vec<&str> = Vec::new();
    for held in &report.claims {
        if !operations.contains(&held.claimed.operation.as_str()) {
            operations.push(&held.claimed.operation);
        }
    }
    let mut lines = Vec::new();
    for operation in operations {
        lines.push(operation.to_owned());
        let of_operation: Vec<&Held> =
            report.claims.iter().filter(|held| held.claimed.operation == operation).collect();
        for (number, claim) in (1..).zip(Claim::ALL) {
            let of_claim: Vec<&Held> =
                of_operation.iter().copied().filter(|held| held.claimed.claim == claim).collect();
            lines.extend(explained_claim(number, claim, &of_claim));
        }
        let about = |finding: &&Finding| finding.operation.as_deref() == Some(operation);
        let names = report.findings.iter().filter(about).filter(|finding| finding.witness.is_none()).count();
        let coverage = if names == 0 { "proved".to_owned() } else { count(names, "finding", "findings") };
        lines.push(format!("  5 {:<45} {coverage}", "what either end names, the other has"));
    }
    lines.push("\nthe deviations that claims rest on".to_owned());
    for (number, deviation) in (1..).zip(&report.deviations) {
        if report.claims.iter().any(|held| held.rests_on.contains(&number)) {
            lines.push(format!("  {number:>2} {deviation}  [{}]", deviation.origin));
        }
    }
    lines.join("\n") + "\n\n"
}

/// The parts of an operation grouped by how a claim stands of them.
fn explained_claim(number: usize, claim: Claim, parts: &[&Held]) -> Vec<String> {
    let head = |first: bool| match first {
        true => format!("  {number} {:<45}", claim.to_string()),
        false => format!("    {:<45}", ""),
    };
    if parts.is_empty() {
        return vec![format!("{} nothing to claim: the operation has no such part", head(true))];
    }
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for held in parts {
        let standing = match &held.claimed.standing {
            Standing::Proved => "proved".to_owned(),
            Standing::Silent => "silent".to_owned(),
            _ => held.claimed.to_string(),
        };
        let mut part = match (&held.claimed.side, held.claimed.part.as_str()) {
            (Side::Request, "") => "body".to_owned(),
            (Side::Request, part) => part.to_owned(),
            (Side::Response(status), "") => status.clone(),
            (Side::Response(status), part) => format!("{status} {part}"),
        };
        if !held.rests_on.is_empty() {
            let numbers: Vec<String> = held.rests_on.iter().map(ToString::to_string).collect();
            part = format!("{part} (by {})", numbers.join(", "));
        }
        match groups.iter_mut().find(|(own, _)| *own == standing) {
            Some((_, listed)) => listed.push(part),
            None => groups.push((standing, vec![part])),
        }
    }
    groups
        .into_iter()
        .enumerate()
        .map(|(index, (standing, listed))| format!("{} {standing}: {}", head(index == 0), listed.join(", ")))
        .collect()
}

fn group(finding: &Finding) -> String {
    match (&finding.operation, &finding.vendor) {
        (Some(operation), _) => operation.clone(),
        (None, Some(vendor)) => format!("{vendor}, the document as a whole"),
        (None, None) => "committed files".to_owned(),
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
