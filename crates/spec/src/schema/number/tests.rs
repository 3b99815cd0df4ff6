use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::Config;
use serde_json::{Value, json};

use super::*;

fn decimal(text: &str) -> Decimal {
    Decimal::from_number(&serde_json::from_str(text).unwrap()).unwrap()
}

fn bound(text: &str, exclusive: bool) -> Option<Bound> {
    Some(Bound { value: decimal(text), exclusive })
}

fn decimals(texts: &[&str]) -> Vec<Decimal> {
    texts.iter().map(|text| decimal(text)).collect()
}

fn found(values: &[&str], complete: bool) -> Outcome<Number> {
    Outcome::Found {
        values: values.iter().map(|text| serde_json::from_str(text).unwrap()).collect(),
        complete,
    }
}

#[test]
fn decimals_say_what_the_number_says() {
    for (text, shown) in [
        ("0", "0"),
        ("-0.0", "0"),
        ("640.0", "640"),
        ("1e3", "1000"),
        ("-12.50", "-12.5"),
        ("0.001", "0.001"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1e300", "1e300"),
        ("5e-324", "5e-324"),
        ("0.1", "0.1"),
    ] {
        assert_eq!(decimal(text).to_string(), shown);
    }
    assert_eq!(decimal("1.0"), Decimal::from(1_i64));
    assert_eq!(decimal("1e2"), Decimal::from(100_u64));
    assert!(decimal("640.0").is_integer());
    assert!(!decimal("640.5").is_integer());
}

#[test]
fn order_is_exact_where_doubles_round() {
    let ascending = decimals(&[
        "-1e300",
        "-9223372036854775808",
        "-1.5",
        "-1e-300",
        "0",
        "5e-324",
        "0.1",
        "0.3",
        "1",
        "9007199254740992",
        "9007199254740993",
        "18446744073709551614",
        "18446744073709551615",
        "1e20",
    ]);
    assert!(ascending.is_sorted_by(|left, right| left < right));
}

#[test]
fn multiples_are_exact_where_doubles_round() {
    for (value, step, expected) in [
        ("0.3", "0.1", true),
        ("1.1", "0.1", true),
        ("0.35", "0.1", false),
        ("9007199254740993", "2", false),
        ("1e300", "1e-300", true),
        ("0", "7", true),
        ("-14", "7", true),
        ("14", "-7", true),
        ("0", "0", true),
        ("1", "0", false),
        ("1e-7", "0.01", false),
    ] {
        assert_eq!(decimal(value).is_multiple_of(&decimal(step)), expected, "{value} by {step}");
    }
}

#[test]
fn a_number_is_handed_out_only_where_it_is_exact() {
    for text in ["0", "-7", "18446744073709551615", "0.1", "-2.5", "1e300", "5e-324", "1e-7"] {
        let number = decimal(text).to_number().unwrap();
        assert_eq!(Decimal::from_number(&number), Some(decimal(text)), "{text}");
    }
    assert!(decimal("1e2").to_number().unwrap().is_u64());
    let long = decimal("18446744073709551615").times(&BigInt::from(10)).coefficient + 1;
    assert_eq!(Decimal::new(long, 0).to_number(), None);
    assert_eq!(decimal("9007199254740993").times(&BigInt::from(1_000_003)).to_number(), None);
    assert_eq!(Decimal::new(BigInt::from(1), 400).to_number(), None);
    assert_eq!(Decimal::parse("1e-5000"), None);
}

#[test]
fn intervals_are_decided() {
    let of = |lower, upper, integer| {
        NumberGoal { lower, upper, integer, want: 2, ..NumberGoal::default() }.solve()
    };
    assert_eq!(of(None, None, None), found(&["0", "1"], false));
    assert_eq!(of(bound("3", false), bound("2", false), None), Outcome::Empty);
    assert_eq!(of(bound("3", false), bound("3", true), None), Outcome::Empty);
    assert_eq!(of(bound("3", false), bound("3.0", false), Some(true)), found(&["3"], true));
    assert_eq!(of(bound("3.5", false), bound("3.5", false), Some(true)), Outcome::Empty);
    assert_eq!(of(bound("1", true), bound("2", true), Some(true)), Outcome::Empty);
    assert_eq!(of(bound("1", true), bound("2", true), None), found(&["1.5", "1.25"], false));
    assert_eq!(of(bound("1", false), bound("2", true), Some(true)), found(&["1"], true));
    assert_eq!(of(bound("0.1", true), bound("0.2", true), Some(true)), Outcome::Empty);
    assert_eq!(of(bound("0.1", true), bound("0.11", true), None), found(&["0.101", "0.102"], false));
    assert_eq!(of(None, bound("-4.2", true), Some(true)), found(&["-5", "-6"], false));
    assert_eq!(of(bound("0", true), None, Some(false)), found(&["0.5", "1.5"], false));
    assert_eq!(
        of(bound("18446744073709551615", true), None, Some(true)),
        found(&["20000000000000000000", "30000000000000000000"], false)
    );
}

#[test]
fn numbers_far_out_are_found() {
    let above = |text, integer| NumberGoal { lower: bound(text, true), integer, ..NumberGoal::default() };
    for (text, integer) in [
        ("1e300", Some(true)),
        ("1e300", None),
        ("1.7e308", None),
        ("123456789012345678901234567890.0", Some(true)),
    ] {
        let goal = above(text, integer);
        match goal.solve() {
            Outcome::Found { values, .. } => {
                assert!(goal.accepts(&Decimal::from_number(&values[0]).unwrap()), "{text}: {values:?}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    let small = NumberGoal {
        lower: bound("0", true),
        upper: bound("1e-300", true),
        not_multiples: decimals(&["1e-302"]),
        ..NumberGoal::default()
    };
    assert!(matches!(small.solve(), Outcome::Found { .. }));
    // Beyond the greatest double there are decimals, but none that JSON in doubles can say.
    let beyond = above("1.7976931348623157e308", None).solve();
    assert!(matches!(beyond, Outcome::Unknown { .. }), "{beyond:?}");
}

#[test]
fn steps_meet_in_their_common_multiple() {
    let goal = |multiples: &[&str], not: &[&str]| NumberGoal {
        multiples: decimals(multiples),
        not_multiples: decimals(not),
        lower: bound("0", true),
        want: 2,
        ..NumberGoal::default()
    };
    assert_eq!(goal(&["4", "6"], &[]).solve(), found(&["12", "24"], false));
    assert_eq!(goal(&["0.1", "0.25"], &[]).solve(), found(&["0.5", "1"], false));
    assert_eq!(goal(&["6"], &["3"]).solve(), Outcome::Empty);
    assert_eq!(goal(&["3"], &["6"]).solve(), found(&["3", "9"], false));
    assert_eq!(goal(&["0.5"], &["1"]).solve(), found(&["0.5", "1.5"], false));
    assert_eq!(goal(&[], &["1", "0.5", "0.25"]).solve(), found(&["0.1", "0.2"], false));
    assert_eq!(goal(&["0"], &[]).solve(), Outcome::Empty);
    let bounded = NumberGoal { upper: bound("5", false), ..goal(&["1"], &["2", "3", "5"]) };
    assert_eq!(bounded.solve(), found(&["1"], true));
    let none = NumberGoal { lower: bound("1", true), ..bounded };
    assert_eq!(none.solve(), Outcome::Empty);
    let half = NumberGoal { integer: Some(false), ..goal(&["2.5"], &[]) };
    assert_eq!(half.solve(), found(&["2.5", "7.5"], false));
    let whole = NumberGoal { integer: Some(false), ..goal(&["2"], &[]) };
    assert_eq!(whole.solve(), Outcome::Empty);
}

#[test]
fn excluded_values_may_leave_none() {
    let goal = NumberGoal {
        lower: bound("1", false),
        upper: bound("3", false),
        integer: Some(true),
        excluded: decimals(&["1.0", "3"]).into_iter().collect(),
        want: 3,
        ..NumberGoal::default()
    };
    assert_eq!(goal.solve(), found(&["2"], true));
    let all = NumberGoal { excluded: decimals(&["1", "2", "3"]).into_iter().collect(), ..goal };
    assert_eq!(all.solve(), Outcome::Empty);
    let free =
        NumberGoal { excluded: decimals(&["0", "1", "-1"]).into_iter().collect(), ..NumberGoal::default() };
    assert_eq!(free.solve(), found(&["2"], false));
}

#[test]
fn what_is_too_wide_to_count_is_not_claimed_empty() {
    let goal = NumberGoal {
        lower: bound("0.5", false),
        upper: bound("0.50000000000000000001", false),
        excluded: decimals(&["0.5"]).into_iter().collect(),
        ..NumberGoal::default()
    };
    // The upper bound is read as the double 0.5.
    assert_eq!(goal.solve(), Outcome::Empty);
    let crowded = NumberGoal {
        lower: bound("9007199254740993", false),
        upper: bound("1e300", false),
        multiples: decimals(&["9007199254740993"]),
        excluded: decimals(&["9007199254740993"]).into_iter().collect(),
        ..NumberGoal::default()
    };
    assert_ne!(crowded.solve(), Outcome::Empty);
}

/// Twentieths, in which every value of the property below is whole.
#[derive(Clone, Debug)]
struct Small {
    lower: Option<(i64, bool)>,
    upper: Option<(i64, bool)>,
    integer: Option<bool>,
    multiples: Vec<i64>,
    not_multiples: Vec<i64>,
    excluded: Vec<i64>,
    want: usize,
}

const GRID: i64 = 80;

fn twentieths(count: i64) -> Decimal {
    Decimal::new(BigInt::from(count * 5), -2)
}

impl Small {
    fn goal(&self) -> NumberGoal {
        let bound = |bound: Option<(i64, bool)>| {
            bound.map(|(value, exclusive)| Bound { value: twentieths(value), exclusive })
        };
        let list = |values: &[i64]| values.iter().map(|&value| twentieths(value)).collect::<Vec<_>>();
        NumberGoal {
            lower: bound(self.lower),
            upper: bound(self.upper),
            integer: self.integer,
            multiples: list(&self.multiples),
            not_multiples: list(&self.not_multiples),
            excluded: list(&self.excluded).into_iter().collect(),
            want: self.want,
        }
    }

    /// In units of 10^-12 of a twentieth, by integers alone.
    fn accepts(&self, value: i128) -> bool {
        const UNIT: i128 = 1_000_000_000_000;
        let whole = |count: i64| i128::from(count) * UNIT;
        self.lower
            .is_none_or(|(lower, exclusive)| value > whole(lower) || value == whole(lower) && !exclusive)
            && self
                .upper
                .is_none_or(|(upper, exclusive)| value < whole(upper) || value == whole(upper) && !exclusive)
            && self.integer.is_none_or(|integer| integer == (value % whole(20) == 0))
            && self.multiples.iter().all(|&step| value % whole(step) == 0)
            && !self.not_multiples.iter().any(|&step| value % whole(step) == 0)
            && !self.excluded.iter().any(|&other| value == whole(other))
    }

    /// The same units from what was found.
    fn units(number: &Number) -> i128 {
        let units = Decimal::from_number(number).unwrap().times(&BigInt::from(20)).scaled(-12);
        i128::try_from(&units).unwrap()
    }

    fn schema(&self) -> Value {
        let number = |count: i64| twentieths(count).to_number().unwrap();
        let mut all = vec![json!({"type": "number"})];
        if let Some((value, exclusive)) = self.lower {
            all.push(json!({ (if exclusive { "exclusiveMinimum" } else { "minimum" }): number(value) }));
        }
        if let Some((value, exclusive)) = self.upper {
            all.push(json!({ (if exclusive { "exclusiveMaximum" } else { "maximum" }): number(value) }));
        }
        match self.integer {
            Some(true) => all.push(json!({"type": "integer"})),
            Some(false) => all.push(json!({"not": {"type": "integer"}})),
            None => {}
        }
        all.extend(self.multiples.iter().map(|&step| json!({"multipleOf": number(step)})));
        all.extend(self.not_multiples.iter().map(|&step| json!({"not": {"multipleOf": number(step)}})));
        all.extend(self.excluded.iter().map(|&other| json!({"not": {"const": number(other)}})));
        json!({ "allOf": all })
    }
}

fn small() -> impl Strategy<Value = Small> {
    let bound = || prop::option::weighted(0.8, (-GRID..=GRID, any::<bool>()));
    let steps = |most| {
        prop::collection::vec(select(vec![1_i64, 2, 3, 4, 5, 6, 10, 15, 20, 30, 40, 50, 60, 100]), 0..=most)
    };
    let excluded = prop::collection::vec(-6_i64..=6, 0..4)
        .prop_flat_map(|values| (Just(values), select(vec![1_i64, 5, 10, 20])))
        .prop_map(|(values, by)| values.into_iter().map(|value| value * by).collect());
    let integer = select(vec![None, None, Some(true), Some(false)]);
    (bound(), bound(), integer, steps(2), steps(3), excluded, 1..5_usize).prop_map(
        |(lower, upper, integer, multiples, not_multiples, excluded, want)| Small {
            lower,
            upper,
            integer,
            multiples,
            not_multiples,
            excluded,
            want,
        },
    )
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn solving_agrees_with_trying_every_number_of_a_grid(small in small()) {
        let every: Vec<i128> =
            (-GRID..=GRID).map(|count| i128::from(count) * 1_000_000_000_000).filter(|&value| small.accepts(value)).collect();
        match small.goal().solve() {
            Outcome::Empty => prop_assert!(every.is_empty(), "{every:?}"),
            Outcome::Found { values, complete } => {
                let units: BTreeSet<i128> = values.iter().map(Small::units).collect();
                prop_assert_eq!(units.len(), values.len());
                prop_assert!(units.iter().all(|&value| small.accepts(value)), "{values:?}");
                prop_assert!(complete || values.len() == small.want);
                prop_assert!(values.len() <= small.want);
                if complete {
                    prop_assert!(every.iter().all(|value| units.contains(value)), "{values:?} of {every:?}");
                }
            }
            Outcome::Unknown { reasons, .. } => prop_assert!(false, "{reasons:?}"),
        }
        if small.lower.is_some() && small.upper.is_some() && !small.multiples.is_empty() && every.is_empty() {
            // Within the grid, a step leaves nothing that was not tried.
            prop_assert_eq!(small.goal().solve(), Outcome::Empty);
        }
    }

    #[test]
    fn the_judge_takes_what_is_found(small in small()) {
        if let Outcome::Found { values, .. } = small.goal().solve() {
            let judge = jsonschema::validator_for(&small.schema()).unwrap();
            for value in values {
                prop_assert!(judge.is_valid(&Value::Number(value.clone())), "{value} under {}", small.schema());
            }
        }
    }
}
