//! `fleetwire validate`: captured messages held to the rules, file by file.

mod format;
mod har;
mod http;
mod json;
mod lines;
mod output;
mod session;

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use fleetwire_protocol::wire::Timestamp;
use fleetwire_validation::HouseRules;
use fleetwire_validation::message::Operation;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use format::Format;
use output::{Output, Shown};
use session::{Session, Stop};

/// The longest message that is read; a longer one is a fault of its own and is passed over.
const LONGEST_MESSAGE: usize = 16 * 1024 * 1024;
/// From this size on a file's progress is shown.
const LARGE_FILE: u64 = 8 * 1024 * 1024;

/// Check captured messages: JSON, JSONL, HAR or the text of HTTP/1.1.
///
/// Exit status 0: no faults; 1: faults; 2: something could not be read.
#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Files; `-` or none is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only operations of this vendor
    #[arg(long, value_parser = vendors(), help_heading = "What is looked for")]
    vendor: Option<String>,
    /// Only this operation, which is also what a body is that comes without its request line
    #[arg(long, value_parser = operations(), help_heading = "What is looked for")]
    operation: Option<String>,
    /// Only this side of an exchange; a body that comes alone is a request unless this says otherwise
    #[arg(long, value_enum, help_heading = "What is looked for")]
    side: Option<MessageSide>,
    /// What the files are, instead of what they look like
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "What is looked for")]
    input_format: Option<Format>,
    /// The reader's clock, against which times are held; `none` holds them against nothing. Left out, it is the
    /// time that the capture has for the message
    #[arg(long, value_name = "TIME|none", value_parser = clock, help_heading = "Rules")]
    now: Option<Clock>,
    /// Do not look for credentials: they were taken out of the capture
    #[arg(long, help_heading = "Rules")]
    no_credentials: bool,
    /// Leave a house rule out; may be given again
    #[arg(long, value_name = "RULE", help_heading = "Rules")]
    without: Vec<String>,
    /// Fail also on marks, lints, messages that no operation is found for, and captures without messages
    #[arg(long, help_heading = "Rules")]
    strict: bool,
    /// Count by rule instead of listing message by message
    #[arg(long, help_heading = "Output")]
    summary: bool,
    /// How findings are printed
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT", help_heading = "Output")]
    format: Shown,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    json: bool,
    /// Print nothing of what is found; the exit status tells
    #[arg(long, short, conflicts_with_all = ["summary", "format", "json"], help_heading = "Output")]
    quiet: bool,
}

/// A side of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum MessageSide {
    /// What an agent sends.
    Request,
    /// What a server answers.
    Response,
}

/// The reader's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    None,
    At(DateTime<Utc>),
}

fn clock(text: &str) -> Result<Clock, String> {
    if text == "none" {
        return Ok(Clock::None);
    }
    let time = Timestamp::from_text(text).parse();
    time.map(Clock::At).ok_or_else(|| "must be a time such as 2026-03-21T14:30:00Z, or `none`".to_owned())
}

fn vendors() -> PossibleValuesParser {
    let mut vendors: Vec<_> = Operation::all().map(Operation::vendor).collect();
    vendors.dedup();
    PossibleValuesParser::new(vendors)
}

fn operations() -> PossibleValuesParser {
    PossibleValuesParser::new(Operation::all().map(Operation::id))
}

/// What is looked for and held to what.
#[derive(Debug)]
pub(super) struct Settings {
    /// The operations that are looked for.
    pub(super) among: Vec<Operation>,
    /// What a body is that comes alone.
    pub(super) alone: Option<Operation>,
    pub(super) side: Option<MessageSide>,
    pub(super) clock: Option<Clock>,
    pub(super) credentials: bool,
    pub(super) house_rules: HouseRules,
}

impl Validate {
    /// Checks everything that was named. Whatever is wrong with one file, the next is looked at.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let house_rules = HouseRules::without(&self.without)?;
        let is_wanted = |operation: &Operation| {
            self.vendor.as_deref().is_none_or(|vendor| operation.vendor() == vendor)
                && self.operation.as_deref().is_none_or(|id| operation.id() == id)
        };
        let among: Vec<_> = Operation::all().filter(is_wanted).collect();
        let side = self.side;
        // A request without a body is never a body that comes alone.
        let mut with_body = among.iter().filter(|o| side == Some(MessageSide::Response) || o.has_body());
        let alone = with_body.next().copied().filter(|_| with_body.next().is_none());
        let settings =
            Settings { among, alone, side, clock: self.now, credentials: !self.no_credentials, house_rules };
        let shown = match (self.quiet, self.json) {
            (true, _) => Shown::Nothing,
            (false, true) => Shown::Json,
            (false, false) => self.format,
        };
        let mut session = Session::new(settings, Output::new(shown, !self.summary));
        let outcome = self.read_all(&mut session).and_then(|()| session.finish());
        match outcome {
            Ok(()) => {}
            // Whoever read the report has seen enough of it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                complain(&format!("the report cannot be written: {error}"));
                return Ok(ExitCode::from(2));
            }
        }
        let tally = session.tally();
        Ok(if tally.unreadable > 0 {
            ExitCode::from(2)
        } else if tally.faults > 0 || self.strict && !tally.is_spotless() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }

    fn read_all(&self, session: &mut Session) -> io::Result<()> {
        let standard_input = [PathBuf::from("-")];
        let files = if self.files.is_empty() { &standard_input[..] } else { &self.files };
        for path in files {
            let name = if path == Path::new("-") { "standard input".into() } else { path.to_string_lossy() };
            let name = crate::table::line(&name);
            match self.read(path, &name, session) {
                Ok(()) => {}
                Err(Stop::Unreadable(why)) => {
                    session.unreadable(&name, &why)?;
                    complain(&format!("{name}{why}"));
                }
                Err(Stop::Output(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&self, path: &Path, name: &str, session: &mut Session) -> Result<(), Stop> {
        let bar;
        let mut source: Box<dyn Read> = if path == Path::new("-") {
            bar = ProgressBar::hidden();
            Box::new(io::stdin().lock())
        } else {
            let cannot = |error: io::Error| Stop::Unreadable(format!(": cannot be read: {error}"));
            let file = File::open(path).map_err(cannot)?;
            let facts = file.metadata().map_err(cannot)?;
            if facts.is_dir() {
                return Err(Stop::Unreadable(": is a folder; name the files in it".to_owned()));
            }
            bar = progress(facts.len());
            Box::new(Counted { file, bar: bar.clone() })
        };
        session.begin(bar);
        let (format, start) = format::detect(&mut source, self.input_format)?;
        let source = io::Cursor::new(start).chain(source);
        let read = match format {
            Format::Json => json::read_one(source, name, session),
            Format::Jsonl => json::read_lines(source, name, session),
            Format::Har => har::read(source, name, session),
            Format::Http => http::read(source, name, session),
        };
        session.end();
        read
    }
}

/// Says on standard error what goes wrong; nobody may be listening.
fn complain(text: &str) {
    use std::io::Write;
    let _ = writeln!(io::stderr(), "fleetwire: {text}");
}

/// A bar on the terminal for what takes a while.
fn progress(size: u64) -> ProgressBar {
    if size < LARGE_FILE || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr_with_hz(5));
    let template = "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A file that moves its bar on.
struct Counted {
    file: File,
    bar: ProgressBar,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.bar.inc(count as u64);
        Ok(count)
    }
}
