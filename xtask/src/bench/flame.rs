//! Flame graphs: where the processor time of a server goes while it serves a row.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{BENCH, PACKAGE, cargo_bench, chosen, lines, pinned};

/// The arguments of `cargo xtask bench flame`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The operation, such as acusight.checkin, of which the first row is drawn.
    operation: String,
    /// Draw into this file instead of docs/flame-OPERATION.svg.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Serves a row while `perf` watches, and draws what it saw.
///
/// # Errors
/// The operation is not known, there is no `perf`, or the file cannot be written.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    let program = cargo_bench::build(root, PACKAGE, "--bench", BENCH)?;
    let list = lines(Command::new(&program).arg("--list"), |_| {})?;
    let rows = chosen(&list, std::slice::from_ref(&args.operation))?;
    let row = rows.first().context("an operation has a row")?;
    let record = root.join("target").join(format!("flame.{}.perf", std::process::id()));
    let mut command = pinned(&program, 1, 0, root)?;
    command.args(["--row", row, "--milliseconds", "3000", "--record"]).arg(&record);
    let script = lines(&mut command, |_| {}).and_then(|_| script(&record));
    // Gone already if perf did not get so far.
    let _ = fs::remove_file(&record);
    let drawing = draw(row, &fold(&script?));
    let file = args.output.clone().unwrap_or_else(|| root.join(format!("docs/flame-{}.svg", args.operation)));
    fs::write(&file, drawing).with_context(|| format!("{} cannot be written", file.display()))?;
    println!("Written: {}", file.display());
    Ok(())
}

/// The samples of a record as text: the frames of each, innermost first, and an empty line.
fn script(record: &Path) -> Result<String> {
    let output = Command::new("perf")
        .args(["script", "--no-inline", "--fields", "ip,sym", "--input"])
        .arg(record)
        .stdin(Stdio::null())
        .output()
        .context("perf could not be started")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "perf could not read its record: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A function as it was called from one place: how many samples were taken within it, and what it called.
#[derive(Debug, Default, PartialEq, Eq)]
struct Frame {
    samples: u64,
    callees: BTreeMap<String, Self>,
}

impl Frame {
    fn depth(&self) -> usize {
        self.callees.values().map(|callee| 1 + callee.depth()).max().unwrap_or_default()
    }
}

/// Lays samples over each other that have the same callers.
fn fold(script: &str) -> Frame {
    let mut root = Frame::default();
    for sample in script.split("\n\n") {
        let frames =
            sample.lines().filter_map(|line| line.trim().split_once(' ')).map(|(_, name)| name.trim());
        let outermost_first: Vec<_> = frames.collect::<Vec<_>>().into_iter().rev().collect();
        if outermost_first.is_empty() {
            continue;
        }
        root.samples += 1;
        let mut at = &mut root;
        for name in outermost_first {
            at = at.callees.entry(shortened(name)).or_default();
            at.samples += 1;
        }
    }
    root
}

/// A name without what the compiler adds to tell functions of the same name apart.
fn shortened(name: &str) -> String {
    let name = name.rsplit_once("::h").map_or(name, |(path, hash)| {
        let is_hash = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash { path } else { name }
    });
    name.to_owned()
}

const WIDTH: f64 = 1200.0;
const ROW: f64 = 17.0;
/// Above the frames: title and legend.
const TOP: f64 = 52.0;
/// Pixels that a character of the font takes.
const CHARACTER: f64 = 6.7;
/// A frame that is narrower is not drawn.
const NARROWEST: f64 = 0.6;

/// Whose code a frame is: its name in the legend, how its path begins, and its colour. The first that fits counts.
const OWNERS: &[(&str, &[&str], &str)] = &[
    ("Fleetwire", &["fleetwire"], "#e8833a"),
    ("serde", &["serde"], "#e9c46a"),
    ("SQLite", &["sqlite3", "rusqlite"], "#8ab17d"),
    ("hyper", &["hyper", "http"], "#6fa8dc"),
    ("tokio", &["tokio", "mio"], "#a9c7e8"),
    ("standard library", &["std", "core", "alloc", "hashbrown"], "#d9c2e0"),
    ("allocator", &["malloc", "free", "realloc", "cfree", "_int_", "unlink_chunk"], "#d98ba0"),
    ("system and the rest", &[""], "#c9c9c9"),
];

fn owner(name: &str) -> &'static (&'static str, &'static [&'static str], &'static str) {
    // A method begins with its type: `<fleetwire::Server as Service>::call`.
    let path = name.trim_start_matches(['<', '&', '*', '_', '(']);
    let path = if path.is_empty() { name } else { path };
    let fits = |begin: &&str| path.starts_with(begin) || name.starts_with(begin);
    let found = OWNERS.iter().find(|(_, begins, _)| begins.iter().any(fits));
    found.unwrap_or(&OWNERS[OWNERS.len() - 1])
}

/// Draws frames as boxes as wide as their share, callers below what they call. Frames that all samples share are left out.
fn draw(title: &str, root: &Frame) -> String {
    let mut base = root;
    while let Some((_, only)) =
        base.callees.iter().next().filter(|(_, callee)| callee.samples == base.samples)
    {
        base = only;
    }
    let height = TOP + ROW * (base.depth() as f64 + 1.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"18\" font-size=\"14\">{}: {} samples</text>\n",
        escaped(title),
        root.samples
    );
    let mut x = 8.0;
    for (name, _, colour) in OWNERS {
        // Writing to a string does not fail, here and below.
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"28\" width=\"11\" height=\"11\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"38\">{name}</text>",
            x + 15.0
        );
        x += 30.0 + CHARACTER * name.chars().count() as f64;
    }
    let scale = WIDTH / base.samples.max(1) as f64;
    boxes(&mut svg, base, root.samples, 0.0, scale, height - ROW);
    svg.push_str("</svg>\n");
    svg
}

/// Draws what a frame calls, side by side from `x`, and above each what that calls.
fn boxes(svg: &mut String, frame: &Frame, all: u64, mut x: f64, scale: f64, y: f64) {
    for (name, callee) in &frame.callees {
        let width = callee.samples as f64 * scale;
        if width >= NARROWEST {
            let share = callee.samples as f64 * 100.0 / all.max(1) as f64;
            let _ = write!(
                svg,
                "<g><title>{} ({share:.1} %)</title><rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"16\" fill=\"{}\"/>",
                escaped(name),
                width - 0.3,
                owner(name).2
            );
            let room = ((width - 6.0) / CHARACTER) as usize;
            if room >= 3 {
                let _ = write!(
                    svg,
                    "<text x=\"{:.1}\" y=\"{:.0}\">{}</text>",
                    x + 3.0,
                    y + 12.0,
                    fitting(name, room)
                );
            }
            svg.push_str("</g>\n");
            boxes(svg, callee, all, x, scale, y - ROW);
        }
        x += width;
    }
}

/// As much of a name as there is room for, escaped.
fn fitting(name: &str, room: usize) -> String {
    if name.chars().count() <= room {
        return escaped(name);
    }
    let kept: String = name.chars().take(room - 1).collect();
    escaped(&kept) + "…"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
            7f01 fleetwire::serve::h0123456789abcdef
            7f02 <tokio::Runtime<T> as Run>::block_on
            7f03 main

            7f04 epoll_wait
            7f02 <tokio::Runtime<T> as Run>::block_on
            7f03 main

            7f05 fleetwire::serve::h0123456789abcdef
            7f02 <tokio::Runtime<T> as Run>::block_on
            7f03 main
";

    #[test]
    fn samples_with_the_same_callers_lie_over_each_other() {
        let root = fold(SCRIPT);
        let on = &root.callees["main"].callees["<tokio::Runtime<T> as Run>::block_on"];
        assert_eq!((root.samples, on.samples, root.depth()), (3, 3, 3));
        let callees: Vec<_> = on.callees.iter().map(|(name, frame)| (&**name, frame.samples)).collect();
        assert_eq!(callees, [("epoll_wait", 1), ("fleetwire::serve", 2)]);
        assert_eq!(fold(""), Frame::default());
    }

    #[test]
    fn a_box_is_as_wide_as_its_share_and_what_all_share_is_left_out() {
        let drawing = draw("a < b", &fold(SCRIPT));
        assert!(drawing.contains("a &lt; b: 3 samples"), "{drawing}");
        assert!(drawing.contains("<title>fleetwire::serve (66.7 %)</title>"), "{drawing}");
        assert!(drawing.contains("width=\"799.7\" height=\"16\" fill=\"#e8833a\""), "{drawing}");
        assert!(!drawing.contains("block_on"), "{drawing}");
        assert_eq!(drawing.matches("<g>").count(), drawing.matches("</g>").count());
    }

    #[test]
    fn a_frame_is_coloured_by_whose_it_is() {
        let owners =
            ["<fleetwire::S as hyper::Service>::call", "hyper::run<fleetwire::S>", "_int_malloc", "read"];
        let named = owners.map(|name| owner(name).0);
        assert_eq!(named, ["Fleetwire", "hyper", "allocator", "system and the rest"]);
    }

    #[test]
    fn a_name_is_cut_to_its_box() {
        assert_eq!(fitting("abcdef", 6), "abcdef");
        assert_eq!(fitting("a<cdef", 3), "a&lt;…");
    }

    #[test]
    fn a_drawing_of_nothing_is_a_drawing() {
        assert!(draw("nothing", &Frame::default()).ends_with("</svg>\n"));
    }
}
