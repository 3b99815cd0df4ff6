//! Exact decimals, and the solver for goals on one number.
//!
//! Every JSON number is a decimal, so bounds, steps and values are compared as decimals: 640.0 is an integer, and
//! 0.3 is a multiple of 0.1. Doubles appear only where a number is handed out.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;

use num_bigint::{BigInt, Sign};
use serde_json::Number;

use super::outcome::Outcome;

/// How many multiples of a step are looked at before a goal is given up.
const SCAN: usize = 50_000;
/// How many multiples of each of the ever finer steps are looked at where no step is given.
const SCAN_DENSE: usize = 64;
/// How many values without a JSON number are passed before rounder ones are tried.
const SCAN_LONG: usize = 200;
/// The finest power of ten that a double reaches is 10^-324.
const FINEST: i32 = -330;
/// Digits and exponents beyond this are no number that a double reaches.
const LONGEST: i32 = 2_000;
/// More digits after the first one than any double's shortest text has.
const DIGITS: i32 = 20;

/// A decimal number without rounding: coefficient · 10^exponent.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Decimal {
    /// Not divisible by ten, unless it is zero.
    coefficient: BigInt,
    /// Zero for zero.
    exponent: i32,
}

impl Decimal {
    /// The exact value of a JSON number; a double stands for its shortest decimal text.
    ///
    /// `None` if the number is far beyond what a double reaches, which only a `serde_json` with arbitrary precision
    /// reads.
    pub(crate) fn from_number(number: &Number) -> Option<Self> {
        if let Some(value) = number.as_i64() {
            return Some(Self::small(value.into()));
        }
        if let Some(value) = number.as_u64() {
            return Some(Self::small(value.into()));
        }
        Self::parse(&number.to_string())
    }

    /// The JSON number that says exactly this: an integer of 64 bits, or else a double whose shortest text is this.
    pub(crate) fn to_number(&self) -> Option<Number> {
        if (0..=20).contains(&self.exponent) {
            let whole = self.scaled(0);
            if let Ok(value) = i64::try_from(&whole) {
                return Some(value.into());
            }
            if let Ok(value) = u64::try_from(&whole) {
                return Some(value.into());
            }
        }
        if self.coefficient.bits() > 64 {
            return None;
        }
        let double: f64 = format!("{}e{}", self.coefficient, self.exponent).parse().ok()?;
        let number = Number::from_f64(double)?;
        (Self::from_number(&number)? == *self).then_some(number)
    }

    /// Whether there is no fractional part.
    pub(crate) fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// Whether this is a whole multiple of `step`; nothing but zero is a multiple of zero.
    pub(crate) fn is_multiple_of(&self, step: &Self) -> bool {
        if step.is_zero() {
            return self.is_zero();
        }
        let exponent = self.exponent.min(step.exponent);
        (self.scaled(exponent) % step.scaled(exponent)).sign() == Sign::NoSign
    }

    /// Whether everybody reads the JSON number alike: of an integer beyond 64 bits, a double's shortest text may be
    /// another than its value.
    fn is_common(&self) -> bool {
        if !self.is_integer() {
            return true;
        }
        let whole = self.scaled(0);
        whole.bits() <= 64 || whole.bits() - whole.trailing_zeros().unwrap_or(0) <= 53
    }

    fn is_zero(&self) -> bool {
        self.coefficient.sign() == Sign::NoSign
    }

    fn is_negative(&self) -> bool {
        self.coefficient.sign() == Sign::Minus
    }

    /// What the exponent would be if the coefficient had one digit before the point; an estimate, at most one off.
    fn magnitude(&self) -> i32 {
        // A bit is a bit less than 0.30103 digits.
        let digits = i32::try_from(self.coefficient.bits() * 30_103 / 100_000).unwrap_or(LONGEST);
        digits.saturating_add(self.exponent)
    }

    fn zero() -> Self {
        Self::small(0)
    }

    fn small(mut coefficient: i128) -> Self {
        let mut exponent = 0;
        if coefficient != 0 {
            while coefficient % 10 == 0 {
                coefficient /= 10;
                exponent += 1;
            }
        }
        Self { coefficient: coefficient.into(), exponent }
    }

    fn new(mut coefficient: BigInt, mut exponent: i32) -> Self {
        if coefficient.sign() == Sign::NoSign {
            return Self { coefficient, exponent: 0 };
        }
        loop {
            let shorter = &coefficient / 10;
            if &shorter * 10 != coefficient {
                return Self { coefficient, exponent };
            }
            coefficient = shorter;
            exponent = exponent.saturating_add(1);
        }
    }

    /// Reads the text of a JSON number.
    fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let places = i32::try_from(fraction.len()).ok()?;
        if mantissa.len() > LONGEST as usize || exponent.checked_abs()? > LONGEST {
            return None;
        }
        let coefficient: BigInt = format!("{whole}{fraction}").parse().ok()?;
        Some(Self::new(coefficient, exponent - places))
    }

    /// The coefficient at a smaller exponent.
    fn scaled(&self, exponent: i32) -> BigInt {
        match u32::try_from(self.exponent.saturating_sub(exponent)) {
            Ok(0) | Err(_) => self.coefficient.clone(),
            Ok(by) => &self.coefficient * power_of_ten(by),
        }
    }

    fn abs(&self) -> Self {
        Self { coefficient: BigInt::from(self.coefficient.magnitude().clone()), exponent: self.exponent }
    }

    fn times(&self, factor: &BigInt) -> Self {
        Self::new(&self.coefficient * factor, self.exponent)
    }

    /// The least positive number that is a whole multiple of both, neither of which is zero.
    fn common_multiple(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        let (left, right) = (self.abs().scaled(exponent), other.abs().scaled(exponent));
        let divisor = common_divisor(left.clone(), right.clone());
        Self::new(left / divisor * right, exponent)
    }

    /// `self / step` rounded down; `step` is positive.
    fn steps(&self, step: &Self) -> BigInt {
        let exponent = self.exponent.min(step.exponent);
        let (value, step) = (self.scaled(exponent), step.scaled(exponent));
        let quotient = &value / &step;
        if value.sign() == Sign::Minus && &quotient * &step != value { quotient - 1 } else { quotient }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.coefficient.sign().cmp(&other.coefficient.sign());
        if signs != Ordering::Equal || self.exponent == other.exponent {
            return signs.then_with(|| self.coefficient.cmp(&other.coefficient));
        }
        let exponent = self.exponent.min(other.exponent);
        self.scaled(exponent).cmp(&other.scaled(exponent))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self::small(value.into())
    }
}

impl From<u64> for Decimal {
    fn from(value: u64) -> Self {
        Self::small(value.into())
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (0..=20).contains(&self.exponent) {
            return self.scaled(0).fmt(f);
        }
        let digits = self.coefficient.magnitude().to_string();
        let places = usize::try_from(self.exponent.unsigned_abs()).unwrap_or(usize::MAX);
        if self.exponent > 0 || places > 20 {
            return write!(f, "{}e{}", self.coefficient, self.exponent);
        }
        let sign = if self.is_negative() { "-" } else { "" };
        let digits = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

/// Euclid's algorithm; neither is zero.
fn common_divisor(mut left: BigInt, mut right: BigInt) -> BigInt {
    while right.sign() != Sign::NoSign {
        (left, right) = (right.clone(), left % right);
    }
    BigInt::from(left.magnitude().clone())
}

/// One end of an interval.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Bound {
    /// Where the interval ends.
    pub(crate) value: Decimal,
    /// Whether `value` itself is outside.
    pub(crate) exclusive: bool,
}

/// What a number has to satisfy.
#[derive(Clone, Debug, Default)]
pub(crate) struct NumberGoal {
    pub(crate) lower: Option<Bound>,
    pub(crate) upper: Option<Bound>,
    /// `Some(true)`: integers only; `Some(false)`: numbers with a fractional part only.
    pub(crate) integer: Option<bool>,
    /// The number is a multiple of each.
    pub(crate) multiples: Vec<Decimal>,
    /// The number is a multiple of none.
    pub(crate) not_multiples: Vec<Decimal>,
    pub(crate) excluded: BTreeSet<Decimal>,
    /// How many distinct values are wanted; 0 counts as 1.
    pub(crate) want: usize,
}

/// What was found so far.
struct Found {
    want: usize,
    values: Vec<Number>,
    seen: BTreeSet<Decimal>,
    /// Numbers that not everybody reads alike, for want of better ones.
    spare: Vec<Number>,
    /// How many numbers satisfy the goal but are no JSON numbers of 64 bits, or spare ones.
    too_long: usize,
}

impl Found {
    fn enough(&self) -> bool {
        self.values.len() >= self.want
    }

    fn take(&mut self, value: Decimal) {
        if self.enough() || self.seen.contains(&value) {
            return;
        }
        match value.to_number() {
            Some(number) if value.is_common() => {
                self.values.push(number);
                self.seen.insert(value);
            }
            Some(number) if self.spare.len() < self.want && !self.spare.contains(&number) => {
                self.spare.push(number);
                self.too_long += 1;
            }
            _ => self.too_long += 1,
        }
    }
}

impl NumberGoal {
    /// Numbers that satisfy the goal, or the proof that there is none.
    pub(crate) fn solve(&self) -> Outcome<Number> {
        if let (Some(lower), Some(upper)) = (&self.lower, &self.upper)
            && (lower.value > upper.value
                || lower.value == upper.value && (lower.exclusive || upper.exclusive))
        {
            return Outcome::Empty;
        }
        let mut found = Found {
            want: self.want.max(1),
            values: Vec::new(),
            seen: BTreeSet::new(),
            spare: Vec::new(),
            too_long: 0,
        };
        if let Some(only) = self.only_value() {
            if !self.accepts(&only) {
                return Outcome::Empty;
            }
            if let Some(number) = only.to_number() {
                return Outcome::Found { values: vec![number], complete: true };
            }
            found.too_long += 1;
            return self.outcome(found, true);
        }
        let complete = match self.step() {
            Some(step) => {
                if self.avoided().any(|other| step.is_multiple_of(&other)) {
                    return Outcome::Empty;
                }
                let complete = self.scan(&step, SCAN, &mut found);
                if complete && found.values.is_empty() && found.too_long == 0 {
                    return Outcome::Empty;
                }
                if !complete && !found.enough() {
                    self.scan_rounder(&step, &mut found);
                }
                complete
            }
            None => {
                self.scan_finer(&mut found);
                false
            }
        };
        self.outcome(found, complete)
    }

    /// Whether a number satisfies the goal.
    pub(crate) fn accepts(&self, number: &Decimal) -> bool {
        let above = self.lower.as_ref().is_none_or(|bound| match number.cmp(&bound.value) {
            Ordering::Greater => true,
            Ordering::Equal => !bound.exclusive,
            Ordering::Less => false,
        });
        let below = self.upper.as_ref().is_none_or(|bound| match number.cmp(&bound.value) {
            Ordering::Less => true,
            Ordering::Equal => !bound.exclusive,
            Ordering::Greater => false,
        });
        above
            && below
            && self.integer.is_none_or(|integer| integer == number.is_integer())
            && self.multiples.iter().all(|step| number.is_multiple_of(step))
            && !self.not_multiples.iter().any(|step| number.is_multiple_of(step))
            && !self.excluded.contains(number)
    }

    fn outcome(&self, mut found: Found, complete: bool) -> Outcome<Number> {
        if found.values.is_empty() {
            found.values = found.spare;
        }
        if found.values.is_empty() {
            let reason = if found.too_long > 0 {
                "the numbers that were found have more digits than a double has"
            } else {
                "no number was found among those that were tried"
            };
            return Outcome::Unknown { candidates: Vec::new(), reasons: vec![reason.to_owned()] };
        }
        Outcome::Found { values: found.values, complete: complete && found.too_long == 0 }
    }

    /// The only value that bounds and steps leave, if they leave just one.
    fn only_value(&self) -> Option<Decimal> {
        if self.multiples.iter().any(Decimal::is_zero) {
            return Some(Decimal::zero());
        }
        match (&self.lower, &self.upper) {
            (Some(lower), Some(upper)) if lower.value == upper.value => Some(lower.value.clone()),
            _ => None,
        }
    }

    /// The number whose multiples are in question; `None` if all numbers are.
    fn step(&self) -> Option<Decimal> {
        let whole = (self.integer == Some(true)).then(|| Decimal::from(1_i64));
        let mut steps = self.multiples.iter().map(Decimal::abs).chain(whole);
        let first = steps.next()?;
        Some(steps.fold(first, |left, right| left.common_multiple(&right)))
    }

    /// Steps no multiple of which satisfies the goal.
    fn avoided(&self) -> impl Iterator<Item = Decimal> + '_ {
        let whole = (self.integer == Some(false)).then(|| Decimal::from(1_i64));
        self.not_multiples.iter().filter(|step| !step.is_zero()).cloned().chain(whole)
    }

    /// The multiples of `step` within the bounds, counted in steps.
    fn range(&self, step: &Decimal) -> (Option<BigInt>, Option<BigInt>) {
        let least = self.lower.as_ref().map(|bound| {
            let down = bound.value.steps(step);
            let at = !bound.exclusive && bound.value.is_multiple_of(step);
            if at { down } else { down + 1 }
        });
        let greatest = self.upper.as_ref().map(|bound| {
            let down = bound.value.steps(step);
            if bound.exclusive && bound.value.is_multiple_of(step) { down - 1 } else { down }
        });
        (least, greatest)
    }

    /// Takes multiples of `step`, those nearest to zero first. True if every one within the bounds was looked at.
    fn scan(&self, step: &Decimal, limit: usize, found: &mut Found) -> bool {
        let (least, greatest) = self.range(step);
        if let (Some(least), Some(greatest)) = (&least, &greatest)
            && least > greatest
        {
            return true;
        }
        // How many steps each value that must not be a multiple takes, so that most are refused by counting alone.
        let skipped: Vec<BigInt> =
            self.avoided().map(|other| step.common_multiple(&other).steps(step)).collect();
        let zero = BigInt::ZERO;
        let start = match (&least, &greatest) {
            (Some(least), _) if *least > zero => least.clone(),
            (_, Some(greatest)) if *greatest < zero => greatest.clone(),
            _ => zero,
        };
        let (mut up, mut down) = (start.clone(), start - 1);
        let limit = limit.saturating_add(self.excluded.len().saturating_mul(2));
        for looked in 0..limit {
            let above = greatest.as_ref().is_none_or(|greatest| up <= *greatest);
            let below = least.as_ref().is_none_or(|least| down >= *least);
            if !above && !below {
                return true;
            }
            if found.too_long > SCAN_LONG {
                return false;
            }
            // The start, and then both ways in turn, upwards first.
            let upwards = above && (!below || looked == 0 || looked % 2 == 1);
            let (count, by) = if upwards { (&mut up, 1) } else { (&mut down, -1) };
            if !skipped.iter().any(|every| (&*count % every).sign() == Sign::NoSign) {
                let value = step.times(count);
                if self.accepts(&value) {
                    // With one more than was wanted, what was found is not all.
                    if found.enough() && !found.seen.contains(&value) {
                        return false;
                    }
                    found.take(value);
                }
            }
            *count += by;
        }
        false
    }

    /// Takes multiples of `step` that have few digits, away from zero: a range far out holds numbers that no double
    /// says exactly, and between them some that one does.
    fn scan_rounder(&self, step: &Decimal, found: &mut Found) {
        found.too_long = 0;
        let (least, greatest) = self.range(step);
        let reach =
            [&self.lower, &self.upper].into_iter().flatten().map(|bound| bound.value.magnitude()).max();
        let most = reach.unwrap_or(0).saturating_sub(step.magnitude()).clamp(0, 2 * LONGEST);
        for digits in (1..=most.unsigned_abs()).rev() {
            let round = power_of_ten(digits);
            let (count, by) = match (&least, &greatest) {
                (Some(least), _) if least.sign() == Sign::Plus => ((least + &round - 1) / &round, 1),
                (_, Some(greatest)) if greatest.sign() == Sign::Minus => {
                    ((greatest - &round + 1) / &round, -1)
                }
                _ => return,
            };
            for ahead in 0..10 {
                let value = step.times(&((&count + by * ahead) * &round));
                if self.accepts(&value) {
                    found.take(value);
                }
            }
            if found.enough() {
                return;
            }
        }
    }

    /// Takes numbers from an interval without a step: integers, halves and quarters, then ever finer decimals.
    fn scan_finer(&self, found: &mut Found) {
        let nearest = match (&self.lower, &self.upper) {
            (Some(lower), _) if !lower.value.is_negative() => Some(&lower.value),
            (_, Some(upper)) if upper.value.is_negative() => Some(&upper.value),
            _ => None,
        };
        let magnitude = nearest.filter(|value| !value.is_zero()).map(Decimal::magnitude);
        let far = magnitude.unwrap_or(0).max(0);
        // Powers of ten only where integers have become too long to be said exactly.
        let coarse =
            (1..=far).rev().filter(|_| far > 15).map(|exponent| Decimal::new(BigInt::from(1), exponent));
        let common = [(1, 0), (5, -1), (25, -2)]
            .map(|(digits, exponent)| Decimal::new(BigInt::from(digits), exponent));
        let finest = magnitude.map_or(FINEST, |magnitude| (magnitude - DIGITS).max(FINEST));
        let fine = (finest..0).rev().map(|exponent| Decimal::new(BigInt::from(1), exponent));
        for step in coarse.chain(common).chain(fine) {
            found.too_long = 0;
            self.scan(&step, SCAN_DENSE, found);
            if found.enough() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
