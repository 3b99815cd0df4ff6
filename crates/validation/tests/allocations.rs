//! A request that keeps the rules costs its checks no allocation.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use allocation_counter::{AllocationInfo, measure};
use chrono::{DateTime, Utc};
use fleetwire_protocol::for_each_endpoint;
use fleetwire_validation::strategies::{Drawable, accepted, valid};
use fleetwire_validation::{Checked, Context, check, lint};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// How many requests of each operation are counted.
const DRAWN: usize = 64;

fn context() -> Context {
    Context::at("2026-03-21T14:30:00Z".parse::<DateTime<Utc>>().unwrap())
}

fn counted(work: impl FnOnce()) -> (u64, u64) {
    let AllocationInfo { count_total, bytes_total, .. } = measure(work);
    (count_total, bytes_total)
}

fn nothing_is_allocated<E: Drawable>() {
    let context = context();
    let mut runner = TestRunner::deterministic();
    let good = valid::<E>(&context);
    let tolerated = accepted::<E>(&context);
    for _ in 0..DRAWN {
        let mut drawn = vec![good.new_tree(&mut runner).unwrap().current()];
        drawn.push(tolerated.new_tree(&mut runner).unwrap().current().read::<E>().unwrap());
        for (call, is_good) in drawn.into_iter().zip([true, false]) {
            if is_good {
                let mut linted = Vec::new();
                let cost = counted(|| linted = lint(&call, &context));
                assert_eq!((cost, linted), ((0, 0), Vec::new()), "lint {}", E::ID);
            }
            let mut checked = None;
            let cost = counted(|| checked = Some(check(call, &context)));
            let checked = checked.unwrap().map(Checked::into_inner);
            assert_eq!(cost, (0, 0), "check {}", E::ID);
            assert!(checked.is_ok(), "{}", E::ID);
        }
    }
}

macro_rules! of_every_operation {
    ([] $($operation:path,)*) => { $( nothing_is_allocated::<$operation>(); )* };
}

#[test]
fn what_keeps_the_rules_is_checked_without_an_allocation() {
    // That the counter counts.
    assert_eq!(counted(|| drop(std::hint::black_box(vec![1_u8; 100]))), (1, 100));
    for_each_endpoint!(of_every_operation!());
}
