use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::Config;
use serde_json::{Value, json};

use super::*;

fn pattern(text: &str) -> Arc<Pattern> {
    Arc::new(Pattern::ecma(text).unwrap())
}

fn matching(patterns: &[&str]) -> TextGoal {
    TextGoal { patterns: patterns.iter().map(|text| pattern(text)).collect(), ..TextGoal::default() }
}

fn format(word: &str) -> Format {
    Format::named(word).unwrap()
}

fn solve(goal: &TextGoal) -> Outcome<String> {
    goal.solve(&mut Automata::default())
}

fn found(values: &[&str], complete: bool) -> Outcome<String> {
    Outcome::Found { values: values.iter().map(|&text| text.to_owned()).collect(), complete }
}

fn first(goal: &TextGoal) -> String {
    match solve(goal) {
        Outcome::Found { values, .. } => values.into_iter().next().unwrap(),
        other => panic!("nothing found: {other:?}"),
    }
}

fn judge(schema: &Value) -> Validator {
    jsonschema::options().should_validate_formats(true).build(schema).unwrap()
}

/// One rule of ECMA-262 each: the pattern, texts that have a match, texts that have none.
const RULES: &[(&str, &[&str], &[&str])] = &[
    // Search is unanchored, and anchors are the ends of the text, never of a line.
    ("b", &["abc", "b"], &["", "ac"]),
    ("^b$", &["b"], &["b\n", "\nb", "ab"]),
    ("^a|b$", &["ax", "xb"], &["xa", "bx"]),
    ("", &["", "a"], &[]),
    ("a|", &[""], &[]),
    // Classes are of ASCII, except for white space.
    (r"^\d$", &["0", "9"], &["٣", "a"]),
    (r"^\D$", &["٣", "a", "\n"], &["0"]),
    (r"^\w$", &["a", "Z", "_", "0"], &["é", "-", "ſ"]),
    (r"^\W$", &["é", "-"], &["a", "_"]),
    (
        r"^\s$",
        &[" ", "\t", "\u{b}", "\u{a0}", "\u{feff}", "\u{2028}", "\u{3000}"],
        &["\u{85}", "\u{180e}", "a"],
    ),
    (r"^\S$", &["\u{85}", "a"], &["\u{a0}", "\u{feff}"]),
    (r"^[\d\s]$", &["1", "\u{feff}"], &["a", "٣"]),
    (r"^[^\D]$", &["1"], &["a", "٣"]),
    (r"^[\W_]$", &["é", "_"], &["a"]),
    // The dot stops at the four ends of a line.
    ("^.$", &["a", "é", "💥", "\u{85}"], &["\n", "\r", "\u{2028}", "\u{2029}", "", "ab"]),
    ("^[^]$", &["\n", "a"], &["", "ab"]),
    ("[]", &[], &["", "a", "]"]),
    (r"^[\s\S]*$", &["", "\n💥"], &[]),
    // Words.
    (r"\bfoo\b", &["foo", "a foo", "é.foo-", "éfoo"], &["foob", "_foo"]),
    (r"^\B", &["", "-a"], &["a"]),
    (r"a\Bb", &["ab"], &[]),
    (r"é\b", &["éa"], &["é", "é-", "éé"]),
    (r"^[\b]$", &["\u{8}"], &["b", ""]),
    // Escapes.
    (r"^\/\-\_\.\$\^\{\}\~\#\ $", &["/-_.$^{}~# "], &[r"\/"]),
    (r"^\t\n\v\f\r$", &["\t\n\u{b}\u{c}\r"], &[]),
    (r"^\cJ\cz\cA$", &["\n\u{1a}\u{1}"], &[]),
    (r"^\0$", &["\0"], &["0"]),
    (r"^\x41\u0042\u{43}\u{1F4A5}$", &["ABC💥"], &[]),
    (r"^\ud83d\udca5$", &["💥"], &[]),
    (r"^[\ud83d\udca5-\ud83d\udca6]$", &["💥", "💦"], &["💧"]),
    (r"\ud83d", &[], &["💥", "\u{fffd}"]),
    (r"^[^\ud83d]$", &["💥"], &[""]),
    (r"^[\ud000-\ue000]$", &["\u{d7ff}", "\u{e000}"], &["\u{e001}"]),
    // Classes have no set operations, and brackets, braces and dashes in odd places are themselves.
    ("^[a&&b]$", &["a", "&", "b"], &["c"]),
    ("^[a-c--]$", &["b", "-"], &["d"]),
    ("^[[]$", &["["], &["]"]),
    ("^[a-]$", &["a", "-"], &["b"]),
    (r"^[\w-.]+$", &["a-.", "-"], &["+"]),
    ("^[~~a]$", &["~", "a"], &["b"]),
    ("^[a^]$", &["^", "a"], &["b"]),
    ("^{a}$", &["{a}"], &["a"]),
    ("^a{,3}$", &["a{,3}"], &["aaa"]),
    ("^a{x$", &["a{x"], &[]),
    ("^]$", &["]"], &[]),
    ("^# $", &["# "], &["", "#"]),
    // Repetitions.
    ("^a{2}$", &["aa"], &["a", "aaa"]),
    ("^a{2,}?$", &["aa", "aaa"], &["a"]),
    ("^a{0,1}b*?c+?d??$", &["c", "abbcccd"], &["ab"]),
    ("^(?:){3}$", &[""], &["a"]),
    ("^(?<name>a)(b)(?:c)$", &["abc"], &["ab"]),
    ("^(a|ab)(c|bcd)$", &["abcd", "abc", "ac"], &["abcdd"]),
    // Properties.
    (r"^\p{Lu}$", &["A", "É"], &["a"]),
    (r"^\P{L}$", &["1"], &["a", "é"]),
    (r"^[\p{Script=Greek}\p{Nd}]$", &["α", "٣"], &["a"]),
    (r"^\p{General_Category=Uppercase_Letter}\p{sc=Grek}\p{ASCII}$", &["Aαa"], &["aαa"]),
];

#[test]
fn each_rule_of_ecma_262_holds_in_matching_and_in_automata() {
    for (text, accepted, refused) in RULES {
        let pattern = pattern(text);
        assert_eq!(pattern.undecidable(), None, "{text}");
        for (subject, expected) in accepted
            .iter()
            .map(|subject| (subject, true))
            .chain(refused.iter().map(|subject| (subject, false)))
        {
            assert_eq!(pattern.is_match(subject), Some(expected), "{text} on {subject:?}");
            // The automaton, confined to this one text.
            let literal: String = subject.chars().map(|c| format!(r"\u{{{:x}}}", u32::from(c))).collect();
            let goal = matching(&[text, &format!("^{literal}$")]);
            let expected = if expected { found(&[subject], true) } else { Outcome::Empty };
            assert_eq!(solve(&goal), expected, "{text} on {subject:?}");
        }
    }
}

#[test]
fn a_text_that_is_no_pattern_is_an_error_with_its_place() {
    for (text, at) in [
        ("(", 1),
        ("a)", 1),
        ("[a", 0),
        ("*", 0),
        ("a**", 2),
        ("a++", 2),
        ("^*", 1),
        (r"\b+", 2),
        ("a{2}{3}", 4),
        ("{2}", 0),
        ("a{3,2}", 2),
        ("[b-a]", 2),
        ("\\", 0),
        ("(?<>a)", 3),
        ("(?<a", 3),
        ("x|?", 2),
    ] {
        let error = Pattern::ecma(text).unwrap_err();
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(error.to_string().contains(&error.reason));
    }
}

#[test]
fn what_no_automaton_models_is_undecidable_and_says_why() {
    for (text, what) in [
        ("a(?=b)", "look-ahead"),
        ("(?!b)", "negative look-ahead"),
        ("(?<=a)b", "look-behind"),
        ("(?<!a)b", "negative look-behind"),
        (r"(a)\1", "back-reference"),
        (r"(?<n>a)\k<n>", "back-reference"),
        ("(?i)a", "modifiers"),
        ("(?i:a)", "modifiers"),
        (r"\Aa\z", r"\A"),
        (r"\p{Nothing}", "Nothing"),
        (r"\u12", r"\u"),
        (r"\x1", r"\x"),
        (r"\c1", r"\c"),
        ("a{99999999999}", "too often"),
        ("(?=a)*", "repeats a look-around"),
    ] {
        let pattern = Pattern::ecma(text).unwrap();
        let reason = pattern.undecidable().unwrap();
        assert!(reason.contains(what), "{text}: {reason}");
        let goal = TextGoal { patterns: vec![Arc::new(pattern)], ..TextGoal::default() };
        assert_ne!(solve(&goal), Outcome::Empty, "{text}");
    }
}

#[test]
fn look_around_is_matched_though_it_is_not_modelled() {
    for (text, accepted, refused) in [
        (r"^(?=.*\d)(?=.*[A-Z]).{4,}$", &["aB3x", "1AAA"][..], &["abc1", "AB1"][..]),
        ("^(?!a)", &["b", ""], &["a"]),
        (r"(?<=\$)\d", &["$5"], &["5", "$٣"]),
        (r"(?<!\w)x\b", &["x", "éx"], &["ax", "xa"]),
        (r"^(?!\.)\S+\B$", &["-"], &["a", ".-"]),
    ] {
        let pattern = Pattern::ecma(text).unwrap();
        for subject in accepted {
            assert_eq!(pattern.is_match(subject), Some(true), "{text} on {subject:?}");
        }
        for subject in refused {
            assert_eq!(pattern.is_match(subject), Some(false), "{text} on {subject:?}");
        }
    }
}

#[test]
fn hostile_patterns_end_soon_and_prove_nothing() {
    let mut automata = Automata::default();
    let deep = format!("{}a{}", "(".repeat(20_000), ")".repeat(20_000));
    let deeper = format!("{}a{}", "(?:".repeat(60), "){2}".repeat(60));
    let nested = format!("{}a{}", "[".repeat(5_000), "]".repeat(5_000));
    let long = "a".repeat(1 << 20);
    for text in [
        "(a{1000}){1000}",
        "((((a{90}){90}){90}){90}){90}",
        "(((){1000}){1000}){1000}",
        "^(?:[^]*a[^]{200})+$",
        &deep,
        &deeper,
        &nested,
        &long,
        &r"\p{L}".repeat(9_000),
        &"[^a]".repeat(12_000),
        &"(x|".repeat(50),
        &"a?".repeat(10_000),
        &("(x+".to_owned() + &"x+)+(".repeat(20) + "y)"),
    ] {
        let Ok(pattern) = automata.pattern(text) else {
            continue;
        };
        let short = |positive: bool| TextGoal {
            patterns: if positive { vec![Arc::clone(&pattern)] } else { Vec::new() },
            not_patterns: if positive { Vec::new() } else { vec![Arc::clone(&pattern)] },
            ..TextGoal::default()
        };
        for goal in [short(true), short(false)] {
            match goal.solve(&mut automata) {
                Outcome::Found { values, .. } => {
                    assert!(values.iter().all(|text| goal.accepts(text) != Some(false)));
                }
                Outcome::Empty | Outcome::Unknown { .. } => {}
            }
        }
    }
    assert_eq!(first(&matching(&["^(x+x+)+y$"])), "xxy");
    assert_eq!(pattern("^(x+x+)+y$").is_match(&"x".repeat(10_000)), Some(false));
}

#[test]
fn one_set_of_automata_answers_again_and_after_it_grew_too_large() {
    let mut automata = Automata::default();
    let large = matching(&["^[ab]*a[ab]{30}$", "^[ab]*b[ab]{29}$", "^c"]);
    let small = TextGoal { want: 2, ..matching(&["^[a-c]{2}$"]) };
    for _ in 0..2 {
        assert_eq!(small.solve(&mut automata), found(&["aa", "ab"], false));
        assert_eq!(large.solve(&mut automata), Outcome::Empty);
    }
    let wide = TextGoal {
        not_patterns: vec![pattern("^[^]*$")],
        ..matching(&["a[^]{30}$", "b[^]{25}$", "c[^]{20}$"])
    };
    assert_eq!(wide.solve(&mut automata), Outcome::Empty);
    let crowded = TextGoal {
        min_length: 300,
        ..matching(&["a[^]{90}$", "b[^]{95}$", "^(?:[^][^])*$", "^(?:[^]{3})*[^]$"])
    };
    match crowded.solve(&mut automata) {
        Outcome::Found { values, .. } => assert_eq!(crowded.accepts(&values[0]), Some(true)),
        Outcome::Unknown { reasons, .. } => assert!(reasons[0].contains("grow too large"), "{reasons:?}"),
        Outcome::Empty => panic!("a text of 304 characters satisfies this"),
    }
    assert_eq!(small.solve(&mut automata), found(&["aa", "ab"], false));
}

#[test]
fn ordinary_patterns_are_decided_after_much_was_spent() {
    let mut automata = Automata { spent: NODES_OF_ALL + 1, ..Automata::default() };
    let short = TextGoal { min_length: 2_000, ..matching(&["^[a-z0-9-]{1,4000}$"]) };
    assert_eq!(short.solve(&mut automata), found(&["a".repeat(2_000).as_str()], false));
    let long = TextGoal { min_length: 50_000, ..TextGoal::default() };
    assert!(matches!(long.solve(&mut automata), Outcome::Unknown { .. }));
}

#[test]
fn texts_come_shortest_and_most_readable_first() {
    let texts = |goal: TextGoal, want| solve(&TextGoal { want, ..goal });
    assert_eq!(texts(TextGoal::default(), 3), found(&["", "a", "b"], false));
    assert_eq!(texts(matching(&["^[^a]{2}$"]), 2), found(&["bb", "bc"], false));
    assert_eq!(texts(matching(&[r"^[\0-\x20A\ue000é]$"]), 4), found(&["A", " ", "é", "\u{e000}"], false));
    assert_eq!(texts(matching(&["^(?:b|aa|a)$"]), 9), found(&["a", "b", "aa"], true));
}

#[test]
fn inclusion_of_patterns_is_decided_both_ways() {
    let without =
        |has: &str, not: &str| solve(&TextGoal { not_patterns: vec![pattern(not)], ..matching(&[has]) });
    assert_eq!(without("^[a-f]{3}$", "^[a-z]{1,3}$"), Outcome::Empty);
    assert_eq!(without("^[a-z]{1,3}$", "^[a-f]{3}$"), found(&["a"], false));
    assert_eq!(without(r"^\d+$", r"^[0-9]*$"), Outcome::Empty);
    assert_eq!(without("^.*$", r"^[^\n\r\u2028]*$"), Outcome::Empty);
    assert_eq!(without(r"^[^\n\r]*$", "^.*$"), found(&["\u{2028}"], false));
    assert_eq!(without("a{3,9}", "a{2}"), Outcome::Empty);
    assert_eq!(without("^(ab)*$", "^(?:ab|abab)*$"), Outcome::Empty);
    assert_eq!(without(r"\bx", r"(?:^|\W)x"), Outcome::Empty);
    assert_eq!(without(r"(?:^|\W)x", r"\bx"), Outcome::Empty);
    assert_eq!(solve(&matching(&["^a", "^b"])), Outcome::Empty);
    assert_eq!(solve(&matching(&["^a", "b$", "^.{3}$", "^[ab]*$", "^(?:..)*.$"])), found(&["aab"], false));
}

#[test]
fn lengths_count_code_points_and_cost_no_memory_beyond_the_least() {
    let of = |least, greatest, patterns: &[&str]| {
        solve(&TextGoal { min_length: least, max_length: greatest, ..matching(patterns) })
    };
    assert_eq!(of(2, Some(2), &["^💥*$"]), found(&["💥💥"], true));
    assert_eq!(of(0, Some(u64::MAX), &["^[ab]*$"]), found(&[""], false));
    assert_eq!(of(0, Some(1 << 63), &["^a{5}$"]), found(&["aaaaa"], true));
    assert_eq!(of(3, Some(2), &[]), Outcome::Empty);
    assert_eq!(of(6, None, &["^a{5}$"]), Outcome::Empty);
    assert_eq!(of(0, Some(4), &["^a{5}$"]), Outcome::Empty);
    assert_eq!(of(5, Some(5), &["^(?:aa)*$"]), Outcome::Empty);
    assert!(of(65_536, None, &[]) == found(&["a".repeat(65_536).as_str()], false));
    assert_eq!(of(65_536, None, &["^a{1,65535}$"]), Outcome::Empty);
    let most = of(65_535, None, &["^a{1,65535}$"]);
    assert!(most == found(&["a".repeat(65_535).as_str()], true));
    assert_eq!(of(1 << 63, None, &["^a{5}$"]), Outcome::Empty);
    assert!(matches!(of(1 << 63, None, &["^a*$"]), Outcome::Unknown { .. }));
}

#[test]
fn excluded_texts_are_left_out_and_may_leave_none() {
    let goal = |excluded: &[&str], want| TextGoal {
        excluded: excluded.iter().map(|&text| text.to_owned()).collect(),
        want,
        ..matching(&["^(?:on|off)$"])
    };
    assert_eq!(solve(&goal(&["on"], 1)), found(&["off"], true));
    assert_eq!(solve(&goal(&["on", "off"], 1)), Outcome::Empty);
    assert_eq!(solve(&goal(&[], 2)), found(&["on", "off"], true));
    let alphabet: BTreeSet<String> =
        ('a'..='z').chain('0'..='9').map(String::from).chain([String::new()]).collect();
    assert_eq!(first(&TextGoal { excluded: alphabet, ..TextGoal::default() }), "A");
}

#[test]
fn disjoint_formats_are_proved_disjoint() {
    let words = ["date", "time", "date-time", "duration", "uuid", "ipv4", "ipv6", "email"];
    for left in words {
        for right in words {
            let goal = TextGoal { formats: vec![format(left), format(right)], ..TextGoal::default() };
            match solve(&goal) {
                Outcome::Empty => assert_ne!(left, right),
                Outcome::Found { values, .. } => {
                    assert_eq!(left, right);
                    assert_eq!(goal.accepts(&values[0]), Some(true));
                }
                unknown => panic!("{left} and {right}: {unknown:?}"),
            }
        }
    }
}

#[test]
fn formats_and_patterns_meet_exactly() {
    let with = |formats: &[&str], not: &[&str], patterns: &[&str]| TextGoal {
        formats: formats.iter().map(|word| format(word)).collect(),
        not_formats: not.iter().map(|word| format(word)).collect(),
        ..matching(patterns)
    };
    assert_eq!(first(&with(&["date"], &[], &[])), "2020-01-01");
    assert_eq!(first(&with(&["date"], &[], &["-02-29$"])), "0000-02-29");
    assert_eq!(solve(&with(&["date"], &[], &["^1900-02-29$"])), Outcome::Empty);
    assert_eq!(solve(&with(&["date"], &[], &["^2000-02-29$"])), found(&["2000-02-29"], true));
    assert_eq!(solve(&with(&["ipv4"], &["hostname"], &[])), Outcome::Empty);
    assert_eq!(first(&with(&["hostname"], &["ipv4"], &[])), "example.com");
    assert_eq!(solve(&with(&["uri"], &["uri-reference"], &[])), Outcome::Empty);
    assert_eq!(solve(&with(&["uuid"], &[], &["^[0-9a-f-]{36}$", "G"])), Outcome::Empty);
    assert_eq!(solve(&with(&["email"], &[], &["^[^@]*$"])), Outcome::Empty);
    assert_eq!(solve(&with(&["date-time"], &[], &["^.{19}$"])), Outcome::Empty);
    assert_eq!(solve(&with(&["ipv4"], &["ipv4"], &[])), Outcome::Empty);
    assert_eq!(first(&with(&["time"], &[], &["^..:..:60"])), "23:59:60z");
    // Between the patterns of a format, texts are asked one by one.
    assert_eq!(first(&with(&["time"], &[], &[r"^00:00:60\+"])), "00:00:60+00:01");
    assert_eq!(first(&with(&[], &["regex"], &[])), "(");
    assert!(matches!(solve(&with(&["idn-email"], &[], &[])), Outcome::Unknown { .. }));
    assert_eq!(Format::named("int32"), None);
    assert_eq!(Format::named("password"), None);
}

#[test]
fn every_sample_of_a_format_is_one() {
    for word in WORDS {
        for sample in format(word).samples() {
            assert_eq!(format(word).accepts(sample), Some(true), "{word} {sample}");
        }
    }
}

const WORDS: [&str; 17] = [
    "date",
    "time",
    "date-time",
    "duration",
    "uuid",
    "ipv4",
    "ipv6",
    "hostname",
    "email",
    "uri",
    "uri-reference",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "iri",
    "iri-reference",
    "regex",
];

static JUDGES: LazyLock<Vec<Validator>> =
    LazyLock::new(|| WORDS.iter().map(|word| judge(&json!({ "format": word }))).collect());

/// Texts from which mutation finds its way to both sides of every format.
const SEEDS: &[&str] = &[
    "2020-02-29",
    "1900-02-28",
    "2000-02-29",
    "2021-04-30",
    "12:34:56Z",
    "23:59:60z",
    "01:29:60.5+01:30",
    "22:59:60-01:00",
    "00:00:00.123-23:59",
    "2016-12-31T23:59:60Z",
    "2020-02-29t00:00:00+00:00",
    "P1Y2M3DT4H5M6S",
    "P3W",
    "PT1H2M",
    "P1DT5S",
    "00000000-0000-4000-8000-000000000000",
    "DEADBEEF-dead-beef-0123-456789abcdef",
    "192.0.2.1",
    "255.255.255.255",
    "0.0.0.0",
    "::",
    "::1",
    "1::",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::",
    "::2:3:4:5:6:7:8",
    "1::3:4:5:6:7:8",
    "::ffff:192.0.2.1",
    "1:2:3:4:5:6:192.0.2.1",
    "1:2::5:6:192.0.2.1",
    "2001:db8::1",
    "example.com",
    "a-b.c-d.e",
    "xn--nxasmq6b",
    "ab--c.de",
    "a@b.c",
    "\"a b\"@c.d",
    "\"\"@a",
    "x y <a@b>",
    "a.b+c@[192.0.2.1]",
    "a@[IPv6:::1]",
    "https://user:pw@host:80/a/b?c=d#e",
    "urn:a:b",
    "mailto:a@b",
    "http://[::1]:80/",
    "http://[v1.x:y]/",
    "http://[1:2::5:6:192.0.2.1]",
    "//host/a",
    "/a%20b",
    "../a?b#c",
    "a/b:c",
    "?a",
    "#a",
    "",
    "/a~0b/~1",
    "0",
    "10#",
    "0/a/b",
    "2/~0",
    "/a/{b,c*,d:3}{?e}",
    "{+a.b}",
    "{#a%41}",
    "http://é.com/é",
    "a{2}",
    "[a-z]",
];

/// A text of a format, or near one.
fn near() -> impl Strategy<Value = String> {
    let characters = || {
        prop_oneof![
            4 => select("0123456789".chars().collect::<Vec<_>>()),
            4 => select(":.-/@#?%[]{}+~TtZzPW<>\" \\*,&=!$'()_;^|`".chars().collect::<Vec<_>>()),
            2 => select("afAFxnXNvIPYMDHSgz".chars().collect::<Vec<_>>()),
            1 => select(vec!['é', '\0', '\n', '💥', '\u{7f}', '٣']),
        ]
    };
    let edit = (0..4_u8, any::<prop::sample::Index>(), characters(), select(SEEDS));
    (select(SEEDS), prop::collection::vec(edit, 0..4)).prop_map(|(seed, edits)| {
        let mut text: Vec<char> = seed.chars().collect();
        for (kind, at, character, other) in edits {
            let at = at.index(text.len() + 1);
            match kind {
                0 => text.insert(at, character),
                1 if at < text.len() => text[at] = character,
                2 if at < text.len() => {
                    text.remove(at);
                }
                3 if character.is_ascii_digit() => text.extend(other.chars()),
                _ => {}
            }
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn formats_lie_between_their_patterns(text in near()) {
        let answers: Vec<bool> = JUDGES.iter().map(|judge| judge.is_valid(&json!(text))).collect();
        for (word, &holds) in WORDS.iter().zip(&answers) {
            let format = format(word);
            for (wider, &holds_wider) in WORDS.iter().zip(&answers) {
                let includes = format.is_within(Format::named(wider).unwrap());
                prop_assert!(!includes || !holds || holds_wider, "{} in {} {:?}", word, wider, text);
            }
            prop_assert_eq!(format.accepts(&text), Some(holds), "{} {:?}", word, text);
            if let Some(widest) = format.widest() {
                prop_assert!(!holds || widest.is_match(&text) == Some(true), "{} widest {:?}", word, text);
            }
            if let Some(narrowest) = format.narrowest() {
                prop_assert!(holds || narrowest.is_match(&text) == Some(false), "{} narrowest {:?}", word, text);
            }
            let (least, greatest) = format.lengths();
            let length = text.chars().count() as u64;
            prop_assert!(!holds || length >= least && greatest.is_none_or(|most| length <= most), "{} length {:?}", word, text);
        }
    }
}

/// Characters that stand for all that the patterns below can tell apart: two letters and another one, a digit and
/// another one, a dash and another sign, and the end of a line.
const ALPHABET: [char; 8] = ['a', 'b', 'c', '0', '1', '-', '+', '\n'];

fn small_pattern() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => select(vec!["a", "b"]).prop_map(str::to_owned),
        3 => select(vec![".", "[^a]", "[ab]", "[^ab]", r"\w", r"\d", r"\W", "[^]", "[]", r"[\d-]", "0"]).prop_map(str::to_owned),
        1 => select(vec!["^", "$", r"\b", r"\B", ""]).prop_map(str::to_owned),
    ];
    let body = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.concat()),
            2 => prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("(?:{})", parts.join("|"))),
            2 => (inner, select(vec!["*", "+", "?", "{2}", "{1,2}", "{0,1}?", "{2,}"]))
                .prop_map(|(part, times)| format!("(?:{part}){times}")),
        ]
    });
    (any::<bool>(), body, any::<bool>()).prop_map(|(start, body, end)| {
        format!("{}(?:{body}){}", if start { "^" } else { "" }, if end { "$" } else { "" })
    })
}

fn small_texts(longest: usize) -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut from = 0;
    for _ in 0..longest {
        let to = texts.len();
        for index in from..to {
            for character in ALPHABET {
                texts.push(format!("{}{character}", texts[index]));
            }
        }
        from = to;
    }
    texts
}

static SMALL_TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| small_texts(3));

fn small_goal() -> impl Strategy<Value = TextGoal> {
    let patterns = |most| prop::collection::vec(small_pattern().prop_map(|text| pattern(&text)), 0..=most);
    let excluded = prop::collection::btree_set(select(SMALL_TEXTS[..80].to_vec()), 0..5);
    (patterns(2), patterns(2), 0..3_u64, prop::option::of(0..4_u64), excluded, 1..5_usize).prop_map(
        |(patterns, not_patterns, min_length, max_length, excluded, want)| TextGoal {
            patterns,
            not_patterns,
            min_length,
            max_length,
            excluded,
            want,
            ..TextGoal::default()
        },
    )
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn solving_agrees_with_trying_every_short_text(goal in small_goal()) {
        let every: Vec<&String> = SMALL_TEXTS.iter().filter(|text| goal.accepts(text) == Some(true)).collect();
        match solve(&goal) {
            Outcome::Empty => prop_assert!(every.is_empty(), "{every:?}"),
            Outcome::Found { values, complete } => {
                let distinct: BTreeSet<&String> = values.iter().collect();
                prop_assert_eq!(distinct.len(), values.len());
                prop_assert!(values.len() <= goal.want);
                prop_assert!(values.iter().all(|text| goal.accepts(text) == Some(true)), "{:?}", values);
                if let Some(shortest) = every.first() {
                    // Another character may take the place of an excluded one.
                    let (own, tried) = (values[0].chars().count(), shortest.chars().count());
                    prop_assert!(own == tried || own < tried && !goal.excluded.is_empty(), "{values:?}");
                }
                // What is listed stands for the other characters that no pattern tells apart.
                prop_assert!(complete || values.len() == goal.want || goal.max_length.is_none());
                if complete {
                    prop_assert!(every.iter().all(|text| values.contains(text)), "{values:?} of {every:?}");
                } else if goal.max_length.is_some() {
                    prop_assert!(!every.is_empty() || !goal.excluded.is_empty());
                }
            }
            unknown @ Outcome::Unknown { .. } => prop_assert!(false, "{:?}", unknown),
        }
        if goal.max_length.is_some() && every.is_empty() {
            // Some character beyond the alphabet may take the place of one that is excluded.
            let free = TextGoal { excluded: BTreeSet::new(), ..goal.clone() };
            let none = !SMALL_TEXTS.iter().any(|text| free.accepts(text) == Some(true));
            prop_assert_eq!(none, solve(&free) == Outcome::Empty);
        }
    }

    #[test]
    fn matching_agrees_with_the_judge(text in small_pattern()) {
        let own = pattern(&text);
        // The judge takes neither empty classes nor these escapes the way ECMA-262 does in every position.
        if let Ok(judge) = jsonschema::validator_for(&json!({ "pattern": text })) {
            for subject in SMALL_TEXTS.iter().step_by(5) {
                prop_assert_eq!(own.is_match(subject), Some(judge.is_valid(&json!(subject))), "{} on {:?}", text, subject);
            }
        }
    }
}
