//! What the steps of a request cost in instructions: a program to be counted, and nothing that measures itself.
//!
//! `cargo xtask bench instructions` runs each case under callgrind with two different numbers of repetitions; the
//! difference, divided by the difference of those numbers, is what one repetition costs, and everything that comes
//! before the first one cancels. `instructions.toml` beside this file holds the figures that the gate compares with.
//!
//! Crates exist that do the like (gungraun, formerly iai-callgrind). They want a runner of their own very version to be
//! installed beside valgrind, and mark the measured part by valgrind's requests, which are assembly; two runs and a
//! subtraction need neither.
//!
//! What is left that differs between runs are the seeds of hash maps: steps differ by nothing, whole requests by up to 0.6 %.
//!
//! Without arguments it runs every case a few times, so that `cargo bench` notices when one of them fails.

#![expect(clippy::print_stdout, reason = "a bench says which cases it has")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]

mod cases;

fn main() {
    // cargo adds `--bench` on its own.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let cases = cases::cases();
    match arguments.as_slice() {
        [] => {
            for (name, ready) in &cases {
                ready()(3);
                println!("{name}: ran; `cargo xtask bench instructions` counts");
            }
        }
        [list] if list == "--list" => cases.iter().for_each(|(name, _)| println!("{name}")),
        [name, times] => {
            let (_, ready) = cases.iter().find(|(known, _)| known == name).expect("a case of --list");
            ready()(times.parse().expect("a number of repetitions"));
        }
        _ => panic!("either nothing, or --list, or a case and a number of repetitions"),
    }
}
