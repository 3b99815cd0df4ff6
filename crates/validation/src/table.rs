//! The table of rules: one row is both the data and the check.
//!
//! A row is `"id suffix": "wire pointer" => target, Keyword(bounds), Sides, origin;`. `Mark` in the place of the
//! sides is `Emit` with the word that the accepting side marks what breaks the rule. The target is one of
//!
//! * `(.path.in.rust)`, where `?` goes into an `Option` and `[*]` over a list: the keyword is checked there;
//! * `[function]`, which finds an `Option<&T>` for the keyword to be checked at: `fn(&Call<E>, Side)`;
//! * `{function}`, which does the whole check: `fn(&Call<E>, &Context, Side, Report)`;
//! * `held`: the wire type keeps the rule, and nothing is checked.

/// Literals, so that they can stand in statements.
macro_rules! max_open_members {
    () => {
        256
    };
}
macro_rules! max_open_depth {
    () => {
        32
    };
}
macro_rules! max_open_bytes {
    () => {
        65536
    };
}
macro_rules! clock_window {
    () => {
        300
    };
}
pub(crate) use {clock_window, max_open_bytes, max_open_depth, max_open_members};

macro_rules! rules {
    ($($endpoint:ty, $operation:literal {
        $($suffix:literal: $pointer:literal
            => $target:tt, $keyword:ident $(($($bound:tt)*))?, $sides:ident, $origin:expr;)*
    })+) => { $(
        const _: () = assert!(
            $crate::table::same($operation, <$endpoint as fleetwire_protocol::Endpoint>::ID),
            "rules stand under the id of their operation"
        );

        impl $crate::Validate for $endpoint {
            const RULES: &'static [$crate::Rule] = &[$(
                rules!(@rule $operation, $suffix, $pointer, $target, [$keyword $(($($bound)*))?], $sides, $origin)
            ),*];

            fn violations(
                call: &fleetwire_protocol::Call<Self>,
                context: &$crate::Context,
                side: $crate::Side,
                out: &mut Vec<fleetwire_protocol::Violation>,
            ) -> usize {
                let mut more = 0;
                // Not every table needs every argument.
                let _ = (call, context, side, &out, &mut more);
                $({
                    const RULE: &$crate::Rule = &rules!(
                        @rule $operation, $suffix, $pointer, $target, [$keyword $(($($bound)*))?], $sides, $origin
                    );
                    const SWITCH: Option<u32> = $crate::house::bit(RULE);
                    if RULE.sides.cover(side) && context.house_rules.has(SWITCH) {
                        let report = &mut $crate::report::Report::new(RULE, out, &mut more);
                        rules!(@target call, context, side, report, [$keyword $(($($bound)*))?], $target);
                    }
                })*
                more
            }
        }
    )+ };

    (@rule $operation:literal, $suffix:literal, $pointer:literal, $target:tt, $keyword:tt, $sides:ident, $origin:expr) => {
        $crate::Rule {
            id: concat!($operation, ".", $suffix),
            operation: $operation,
            pointer: $pointer,
            keyword: rules!(@keyword $keyword),
            statement: rules!(@statement $keyword),
            sides: rules!(@sides $sides),
            severity: rules!(@severity $sides),
            origin: $origin,
            held_by_type: rules!(@held $target),
        }
    };

    (@sides Mark) => { $crate::Sides::Emit };
    (@sides $sides:ident) => { $crate::Sides::$sides };

    (@severity Mark) => { $crate::Severity::Mark };
    (@severity Emit) => { $crate::Severity::Lint };
    (@severity $sides:ident) => { $crate::Severity::Refuse };

    (@held held) => { true };
    (@held $target:tt) => { false };

    (@keyword [Required]) => { $crate::Keyword::Required };
    (@keyword [Absent]) => { $crate::Keyword::Absent };
    (@keyword [Ip]) => { $crate::Keyword::Ip };
    (@keyword [Uuid]) => { $crate::Keyword::Uuid };
    (@keyword [Time]) => { $crate::Keyword::Time };
    (@keyword [Range($min:literal, $max:literal)]) => { $crate::Keyword::Range { min: $min, max: $max } };
    (@keyword [Window]) => { $crate::Keyword::Window { seconds: $crate::table::clock_window!() } };
    (@keyword [MaxMembers]) => { $crate::Keyword::MaxMembers($crate::MAX_OPEN_MEMBERS) };
    (@keyword [MaxOpenMembers]) => { $crate::Keyword::MaxOpenMembers($crate::MAX_OPEN_MEMBERS) };
    (@keyword [MaxDepth]) => { $crate::Keyword::MaxDepth($crate::MAX_OPEN_DEPTH) };
    (@keyword [MaxBytes]) => { $crate::Keyword::MaxBytes($crate::MAX_OPEN_BYTES) };
    (@keyword [Custom($statement:literal)]) => { $crate::Keyword::Custom };
    (@keyword [$keyword:ident($bound:literal)]) => { $crate::Keyword::$keyword($bound) };

    (@statement [Required]) => { "is required" };
    (@statement [RequiredUnless($other:literal)]) => { concat!("is required unless there is ", $other) };
    (@statement [RequiredWith($other:literal)]) => { concat!("is required where there is ", $other) };
    (@statement [OnlyWith($other:literal)]) => { concat!("must not be sent without ", $other) };
    (@statement [Absent]) => { "must not be sent" };
    (@statement [Minimum($min:literal)]) => { concat!("must be at least ", $min) };
    (@statement [Range($min:literal, $max:literal)]) => { concat!("must be between ", $min, " and ", $max) };
    (@statement [MinLength(1)]) => { "must not be empty" };
    (@statement [MinLength($min:literal)]) => { concat!("must have at least ", $min, " characters") };
    (@statement [MaxLength($max:literal)]) => { concat!("must have at most ", $max, " characters") };
    (@statement [Pattern($pattern:literal)]) => { concat!("must match ", $pattern) };
    (@statement [Words($words:literal)]) => { concat!("must be one of ", $words) };
    (@statement [Ip]) => { "must be an IPv4 or IPv6 address" };
    (@statement [Uuid]) => { "must be a UUID" };
    (@statement [Time]) => { "must be a time as RFC 3339 writes it" };
    (@statement [Window]) => { concat!("must be within ", clock_window!(), " s of the reader's clock") };
    (@statement [Items($exactly:literal)]) => { concat!("must have exactly ", $exactly, " elements") };
    (@statement [MaxMembers]) => { concat!("must have at most ", max_open_members!(), " open members") };
    (@statement [MaxOpenMembers]) => { concat!("must have at most ", max_open_members!(), " open members") };
    (@statement [MaxDepth]) => { concat!("must have at most ", max_open_depth!(), " levels") };
    (@statement [MaxBytes]) => { concat!("must have at most ", max_open_bytes!(), " bytes") };
    (@statement [MaxBytes($max:literal)]) => { concat!("must have at most ", $max, " bytes") };
    (@statement [Custom($statement:literal)]) => { $statement };

    (@target $call:ident, $context:ident, $side:ident, $report:ident, $keyword:tt, held) => {
        let _ = $report;
    };
    (@target $call:ident, $context:ident, $side:ident, $report:ident, $keyword:tt, {$check:ident}) => {
        $check($call, $context, $side, $report)
    };
    (@target $call:ident, $context:ident, $side:ident, $report:ident, $keyword:tt, [$find:ident]) => {
        if let Some(value) = $find($call, $side) {
            rules!(@walk $report, $keyword, value, [],);
        }
    };
    (@target $call:ident, $context:ident, $side:ident, $report:ident, $keyword:tt, ($($path:tt)+)) => {
        rules!(@walk $report, $keyword, &$call.body, [], $($path)+)
    };

    (@walk $report:ident, $keyword:tt, $value:expr, [$($index:ident)*],) => {
        if let Some(tail) = rules!(@test $keyword, $value) {
            $report.broken(&[$($index),*], &tail);
        }
    };
    (@walk $report:ident, $keyword:tt, $value:expr, $indices:tt, .$field:tt $($path:tt)*) => {
        rules!(@walk $report, $keyword, &$value.$field, $indices, $($path)*)
    };
    (@walk $report:ident, $keyword:tt, $value:expr, $indices:tt, ? $($path:tt)*) => {
        if let Some(value) = $value {
            rules!(@walk $report, $keyword, value, $indices, $($path)*);
        }
    };
    (@walk $report:ident, $keyword:tt, $value:expr, [$($index:ident)*], [*] $($path:tt)*) => {
        for (index, value) in $value.iter().enumerate() {
            rules!(@walk $report, $keyword, value, [$($index)* index], $($path)*);
        }
    };

    (@test [Absent], $value:expr) => {{
        let _ = $value;
        Some(String::new())
    }};
    (@test [Minimum($min:literal)], $value:expr) => { $crate::measure::minimum($value, $min) };
    (@test [Range($min:literal, $max:literal)], $value:expr) => { $crate::measure::range($value, $min, $max) };
    (@test [MinLength($min:literal)], $value:expr) => { $crate::measure::min_length($value, $min) };
    (@test [MaxLength($max:literal)], $value:expr) => { $crate::measure::max_length($value, $max) };
    (@test [Pattern($pattern:literal)], $value:expr) => {
        $crate::measure::pattern($value, const { $crate::measure::Class::of($pattern) })
    };
    (@test [Words($words:literal)], $value:expr) => { $crate::measure::words($value, $words) };
    (@test [Ip], $value:expr) => { $crate::measure::ip($value) };
    (@test [Uuid], $value:expr) => { $crate::measure::uuid($value) };
    (@test [Time], $value:expr) => { $crate::measure::time($value) };
    (@test [Items($exactly:literal)], $value:expr) => { $crate::measure::items($value, $exactly) };
    (@test [MaxMembers], $value:expr) => { $crate::measure::max_members($value, $crate::MAX_OPEN_MEMBERS) };
    (@test [MaxOpenMembers], $value:expr) => { $crate::measure::max_members($value, $crate::MAX_OPEN_MEMBERS) };
    (@test [MaxDepth], $value:expr) => { $crate::measure::max_depth($value, $crate::MAX_OPEN_DEPTH) };
    (@test [MaxBytes], $value:expr) => { $crate::measure::max_bytes($value, $crate::MAX_OPEN_BYTES) };
    (@test [MaxBytes($max:literal)], $value:expr) => { $crate::measure::max_bytes($value, $max) };
}

/// Whether two texts are the same, at compile time.
pub(crate) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}
