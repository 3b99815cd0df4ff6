//! What the steps of a request take in time, for people: codec, rules, and the core with its store in memory behind the
//! service. `cargo bench -p fleetwire-server --bench steps`; what holds in CI is counted, by `instructions.rs`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]

mod cases;

use std::time::{Duration, Instant};

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for (name, ready) in cases::cases() {
        let mut repeat = ready();
        criterion.bench_function(&name, |bencher| {
            bencher.iter_custom(|times| {
                let start = Instant::now();
                repeat(times);
                start.elapsed()
            });
        });
    }
    criterion.final_summary();
}
