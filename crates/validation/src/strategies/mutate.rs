//! Each way to break one rule, or the form, of a request that is good otherwise.

use fleetwire_protocol::{Param, ParamPlace, Place, Request};
use proptest::arbitrary::any;
use proptest::collection::vec;
use proptest::sample::{Index, select};
use proptest::strategy::{BoxedStrategy, Just, Strategy, Union};
use schemars::generate::Contract;
use serde_json::{Map, Value, json};

use super::custom::{CUSTOM, Custom};
use super::draw::{Limits, Plan, Want, class, integer, integer_value, spell, thousandth};
use super::shape::{Kind, Open, Shape};
use super::{Drawable, NearlyValid, Sent, body_shape, rules_in_force, rules_of_side, sent, settle, settles};
use crate::{Context, Keyword, Rule, Side, find_rule};

/// The most of a value that the account of a mutation repeats.
const ECHO: usize = 60;

/// A way to break something.
pub(super) type Way = BoxedStrategy<NearlyValid>;

/// What is done to a good request at the place that is to be broken.
#[derive(Debug, Clone)]
enum Step {
    Set(Value),
    TakeAway,
    /// Adds members.
    Add(Map<String, Value>),
    /// What is wrong is that it is still there.
    Leave,
}

/// A mutation before it meets a request.
struct Break {
    /// The rule of the table that it breaks; `None` where it is the form alone.
    about: Option<&'static str>,
    rule: &'static str,
    /// The place, with `*` for some element of each list.
    place: String,
    /// What must be there for it.
    wanted: Vec<(String, Want)>,
    /// What must not be there for it.
    unwanted: Vec<&'static str>,
    steps: BoxedStrategy<Step>,
}

/// All ways, or those of one rule.
pub(super) fn ways<E: Drawable>(context: &Context, side: Side, of_rule: Option<&str>) -> Vec<Way> {
    let contract = match side {
        Side::Accept => Contract::Deserialize,
        Side::Emit => Contract::Serialize,
    };
    let shape = match E::Request::MEDIA {
        Some(_) => body_shape::<E>(&contract),
        None => Shape::default(),
    };
    let ways = Ways { shape, context, side, held_to: rules_of_side::<E>(context, side) };
    let mut broken = ways.of_rules();
    // A typed call cannot have the wrong form.
    if side == Side::Accept && E::Request::MEDIA.is_some() {
        broken.extend(ways.of_form());
    }
    let is_asked = |about: Option<&str>| of_rule.is_none() || about == of_rule;
    let of_one =
        broken.into_iter().filter(|broken| is_asked(broken.about)).map(|broken| ways.way::<E>(broken));
    let customs = ways.customs().filter(|(rule, _)| is_asked(Some(rule.id)));
    of_one.chain(customs.map(|(rule, custom)| ways.of_custom::<E>(rule, custom))).collect()
}

struct Ways<'a> {
    shape: Shape,
    context: &'a Context,
    side: Side,
    held_to: Vec<&'static Rule>,
}

impl Ways<'_> {
    /// Good requests in which the wanted places are there.
    fn good<E: Drawable>(&self, wanted: Vec<(String, Want)>) -> BoxedStrategy<Sent> {
        // What an agent sends has to be good for the server as well.
        let rules: Vec<_> = match self.side {
            Side::Accept => self.held_to.clone(),
            Side::Emit => rules_in_force::<E>(self.context),
        };
        let tolerant = self.side == Side::Accept;
        sent::<E>(&self.shape, &Plan { rules: &rules, context: self.context, tolerant, wanted })
    }

    fn way<E: Drawable>(&self, broken: Break) -> Way {
        let Break { about, rule, place, wanted, unwanted, steps } = broken;
        let is_put = about.and_then(find_rule).is_some_and(|rule| rule.keyword == Keyword::Absent);
        let resettled: Vec<_> = self.held_to.iter().copied().filter(|rule| is_put && settles(rule)).collect();
        let good = (self.good::<E>(wanted), steps, vec(any::<Index>(), 2));
        let strategy = good.prop_filter_map("the place is there", move |(mut sent, step, indices)| {
            for place in &unwanted {
                take_away(&mut sent, place);
            }
            if let Some(name) = place.strip_prefix("header:") {
                let Step::Set(Value::String(text)) = step else { return None };
                let mutation = format!("sends {} as {name}", shown(&json!(text)));
                let param = set_param::<E>(&mut sent, name, text)?;
                return Some(NearlyValid { sent, place: Place::Header(param.name), rule, mutation });
            }
            let body = sent.body.as_mut()?;
            let concrete = concrete(body, &place, &indices)?;
            let mutation = take_step(body, &concrete, step)?;
            // What has been put where nothing may be must not break a rule about several members besides.
            settle(body, &resettled);
            Some(NearlyValid { sent, place: Place::Body(concrete), rule, mutation })
        });
        strategy.boxed()
    }

    fn customs(&self) -> impl Iterator<Item = (&'static Rule, &'static Custom)> {
        let known = |rule: &Rule| CUSTOM.iter().find(|custom| custom.rule == rule.id);
        self.held_to.iter().filter_map(move |&rule| Some((rule, known(rule)?)))
    }

    fn of_custom<E: Drawable>(&self, rule: &'static Rule, custom: &'static Custom) -> Way {
        let wanted = custom.needs.iter().map(|place| ((*place).to_owned(), Want::Anything)).collect();
        let good = (self.good::<E>(wanted), 1..100_u8, vec(any::<Index>(), 2));
        let strategy = good.prop_filter_map("the place is there", move |(mut sent, much, indices)| {
            let body = sent.body.as_mut()?;
            let concrete = concrete(body, rule.pointer, &indices)?;
            let mutation = (custom.break_)(body, &concrete, much)?;
            Some(NearlyValid { sent, place: Place::Body(concrete), rule: rule.id, mutation })
        });
        strategy.boxed()
    }

    fn of_rules(&self) -> Vec<Break> {
        let free = self.held_to.iter().filter(|rule| !rule.held_by_type && self.is_in_force(rule));
        free.filter_map(|&rule| self.of_rule(rule)).collect()
    }

    /// Whether the context lets a rule be: without a window nobody reads the time, and an agent's server would
    /// not see that it is none.
    fn is_in_force(&self, rule: &Rule) -> bool {
        let mut at_place = self.held_to.iter().filter(|other| other.pointer == rule.pointer);
        let is_windowed = at_place.any(|other| matches!(other.keyword, Keyword::Window { .. }));
        match rule.keyword {
            Keyword::Window { .. } => self.context.clock_window.is_some(),
            Keyword::Time if is_windowed && self.side == Side::Accept => self.context.clock_window.is_some(),
            _ => true,
        }
    }

    fn of_rule(&self, rule: &'static Rule) -> Option<Break> {
        let there = |place: &str| (place.to_owned(), Want::Anything);
        let (wanted, mut unwanted, steps) = match rule.keyword {
            Keyword::Required => (vec![there(rule.pointer)], vec![], Just(Step::TakeAway).boxed()),
            Keyword::RequiredUnless(other) => {
                (vec![there(rule.pointer)], vec![other], Just(Step::TakeAway).boxed())
            }
            Keyword::RequiredWith(other) => {
                (vec![there(rule.pointer), there(other)], vec![], Just(Step::TakeAway).boxed())
            }
            Keyword::OnlyWith(other) => {
                // What is broken is what stays behind, so that nothing is done at its own place.
                let keep = vec![there(rule.pointer), there(other)];
                (keep, vec![other], Just(Step::Leave).boxed())
            }
            Keyword::Absent => {
                let shape = self.shape.at(rule.pointer)?;
                let rules: Vec<_> = self.rules_of_value(rule.pointer);
                let wanted = vec![there(rule.pointer)];
                let plan = Plan { rules: &rules, context: self.context, tolerant: false, wanted };
                let value = plan.value(shape, rule.pointer).prop_map(Step::Set).boxed();
                let (parent, _) = rule.pointer.rsplit_once('/')?;
                (vec![(parent.to_owned(), Want::Object)], vec![], value)
            }
            Keyword::MaxMembers(_) | Keyword::MaxOpenMembers(_) | Keyword::MaxDepth(_) => {
                (vec![(rule.pointer.to_owned(), Want::Object)], vec![], self.burdens(rule)?)
            }
            Keyword::MaxBytes(most) => match self.burdens(rule) {
                Some(burdens) => (vec![(rule.pointer.to_owned(), Want::Object)], vec![], burdens),
                None => {
                    let long = (1..100_usize).prop_map(move |more| Step::Set("a".repeat(most + more).into()));
                    (vec![there(rule.pointer)], vec![], long.boxed())
                }
            },
            // Those have a table of their own.
            Keyword::Custom => return None,
            keyword => {
                let values = self.bad_values(rule, keyword)?;
                (
                    vec![(rule.pointer.to_owned(), Want::Asked(keyword))],
                    vec![],
                    values.prop_map(Step::Set).boxed(),
                )
            }
        };
        // A server does not look at a header beside the member that it stands in for.
        if self.side == Side::Accept {
            let stood_in_for = |other: &&&Rule| other.keyword == Keyword::RequiredUnless(rule.pointer);
            unwanted.extend(self.held_to.iter().filter(stood_in_for).map(|other| other.pointer));
        }
        let mut wanted: Vec<_> =
            wanted.into_iter().filter(|(place, _)| !place.starts_with("header:")).collect();
        self.draw_in(rule, &mut wanted, &mut unwanted);
        Some(Break {
            about: Some(rule.id),
            rule: rule.id,
            place: rule.pointer.to_owned(),
            wanted,
            unwanted,
            steps,
        })
    }

    /// Completes what must and must not be there by what goes with it, so that no other rule is broken.
    fn draw_in(&self, broken: &Rule, wanted: &mut Vec<(String, Want)>, unwanted: &mut Vec<&'static str>) {
        let others = || self.held_to.iter().filter(|rule| rule.id != broken.id);
        let mut gone: Vec<_> = unwanted.clone();
        if matches!(broken.keyword, Keyword::Required | Keyword::RequiredUnless(_) | Keyword::RequiredWith(_))
        {
            gone.push(broken.pointer);
        }
        for _ in &self.held_to {
            for rule in &self.held_to {
                let is_wanted = |place: &str| wanted.iter().any(|(wanted, _)| wanted == place);
                let drawn = match rule.keyword {
                    Keyword::RequiredWith(other) if is_wanted(other) => rule.pointer,
                    Keyword::OnlyWith(other) if is_wanted(rule.pointer) => other,
                    _ => continue,
                };
                if !is_wanted(drawn) {
                    wanted.push((drawn.to_owned(), Want::Anything));
                }
            }
            for rule in others() {
                let dropped = match rule.keyword {
                    Keyword::RequiredWith(other) if gone.contains(&rule.pointer) => other,
                    Keyword::OnlyWith(other) if gone.contains(&other) => rule.pointer,
                    _ => continue,
                };
                if !gone.contains(&dropped) {
                    gone.push(dropped);
                    unwanted.push(dropped);
                }
            }
        }
    }

    /// Members that make an open object too large in one respect only.
    fn burdens(&self, rule: &Rule) -> Option<BoxedStrategy<Step>> {
        let kinds = &self.shape.at(rule.pointer)?.kinds;
        let open = kinds.iter().find_map(|kind| match kind {
            Kind::Object(_, open) => Some(open),
            _ => None,
        });
        let holds_anything = matches!(open?, Open::Anything);
        let members = |count: usize, width: usize| -> Map<String, Value> {
            (0..count).map(|index| (format!("x{index:0width$}"), Value::Bool(true))).collect()
        };
        let burdens = match rule.keyword {
            Keyword::MaxMembers(most) | Keyword::MaxOpenMembers(most) => {
                (1..20_usize).prop_map(move |more| Step::Add(members(most + more, 1))).boxed()
            }
            Keyword::MaxDepth(most) if holds_anything => {
                // The object itself is a level.
                let nested = move |(more, lists): (usize, bool)| {
                    let around = |inner: Value, _| if lists { json!([inner]) } else { json!({ "x": inner }) };
                    let deep = (0..most + more - 1).fold(json!(true), around);
                    Step::Add(Map::from_iter([("x".to_owned(), deep)]))
                };
                (1..20_usize, any::<bool>()).prop_map(nested).boxed()
            }
            Keyword::MaxBytes(most) if holds_anything => {
                let long =
                    move |more: usize| Map::from_iter([("x".to_owned(), "a".repeat(most + more).into())]);
                (1..100_usize).prop_map(move |more| Step::Add(long(more))).boxed()
            }
            // A hundred long names, where the values have to be short.
            Keyword::MaxBytes(most) => {
                (1..20_usize).prop_map(move |more| Step::Add(members(100, most / 100 + more))).boxed()
            }
            _ => return None,
        };
        Some(burdens)
    }

    /// The rules about the value at a place and below it, whichever side they hold for.
    fn rules_of_value(&self, place: &str) -> Vec<&'static Rule> {
        let operation = self.held_to.first().map(|rule| rule.operation).unwrap_or_default();
        let within = |pointer: &str| {
            pointer.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        crate::rules_of(operation)
            .iter()
            .filter(|rule| within(rule.pointer) && rule.keyword != Keyword::Absent)
            .collect()
    }

    /// Values that break a rule about one value and keep the others of its place.
    fn bad_values(&self, rule: &Rule, keyword: Keyword) -> Option<BoxedStrategy<Value>> {
        let at_place = || self.held_to.iter().filter(|other| other.pointer == rule.pointer);
        let limits = Limits::of(at_place().map(|other| other.keyword));
        let kinds = self.shape.at(rule.pointer).map(|shape| shape.kinds.as_slice()).unwrap_or_default();
        let texts = |length| limits.characters(length).prop_map(Value::from).boxed();
        let one_of =
            |texts: &[&str]| select(texts.iter().map(|text| json!(text)).collect::<Vec<_>>()).boxed();
        Some(match keyword {
            Keyword::Minimum(min) => numbers_beyond(kinds, Some(min), None)?,
            Keyword::Range { min, max } => numbers_beyond(kinds, Some(min), Some(max))?,
            Keyword::MinLength(min) => {
                // An empty text matches no pattern either.
                let shortest = usize::from(limits.class.is_some());
                if shortest >= min {
                    return None;
                }
                texts(shortest..=min - 1)
            }
            Keyword::MaxLength(max) => texts(max + 1..=max + 40),
            Keyword::Pattern(pattern) => {
                let admitted = class(pattern);
                let others: Vec<_> = ('!'..='~').filter(|character| !admitted.contains(character)).collect();
                let length = limits.shortest.max(1)..=limits.longest.unwrap_or(limits.shortest + 12);
                let put = |(good, other, at): (String, char, Index)| {
                    let mut characters: Vec<_> = good.chars().collect();
                    if let Some(character) = characters.get_mut(at.index(good.chars().count())) {
                        *character = other;
                    }
                    Value::from(String::from_iter(characters))
                };
                (limits.characters(length), select(others), any::<Index>()).prop_map(put).boxed()
            }
            Keyword::Words(words) => {
                let near = words
                    .split(", ")
                    .flat_map(|word| [word.to_uppercase(), format!("{word} "), word[1..].to_owned()]);
                let other = |text: &String| !words.split(", ").any(|word| word == text);
                select(near.filter(other).map(Value::from).collect::<Vec<_>>()).boxed()
            }
            Keyword::Ip => one_of(&[
                "",
                "256.0.0.1",
                "10.0.2",
                "10.0.2.15/24",
                "10.0.2.15:80",
                "[::1]",
                ":::",
                "fe80::1%eth0",
                "worker-01",
            ]),
            Keyword::Uuid => one_of(&[
                "",
                "task-1",
                "6f1b2c3d00004abc8def0123456789ab",
                "6f1b2c3d-0000-4abc-8def-0123456789ag",
                "{6f1b2c3d-0000-4abc-8def-0123456789ab}",
            ]),
            Keyword::Time => one_of(&[
                "",
                "soon",
                "1774103400",
                "2026-03-21",
                "2026-02-30T14:30:00Z",
                "2026-03-21T14:30:00",
                "14:30",
            ]),
            Keyword::Window { .. } => self.times_outside()?,
            Keyword::Items(exactly) => {
                let element =
                    Plan { rules: &self.held_to, context: self.context, tolerant: false, wanted: Vec::new() };
                let [Kind::List(shape), ..] = kinds else { return None };
                let element = element.value(shape, &format!("{}/*", rule.pointer));
                let fewer = vec(element.clone(), 0..exactly.max(1));
                let more = vec(element, exactly + 1..exactly + 4);
                Union::new([fewer.boxed(), more.boxed()]).prop_map(Value::from).boxed()
            }
            _ => return None,
        })
    }

    fn times_outside(&self) -> Option<BoxedStrategy<Value>> {
        let now = self.context.now;
        let window = chrono::TimeDelta::from_std(self.context.clock_window?).ok()?;
        let outside = (1..10_000_000_i64, any::<bool>()).prop_filter_map("a time", move |(beyond, ahead)| {
            let away = window.checked_add(&chrono::TimeDelta::milliseconds(beyond))?;
            let time = if ahead { now.checked_add_signed(away) } else { now.checked_sub_signed(away) };
            Some(Value::from(spell(time?, 0)))
        });
        Some(outside.boxed())
    }

    /// What breaks the form: nothing where something must be, and something else than what must be there.
    fn of_form(&self) -> Vec<Break> {
        let mut found = Vec::new();
        self.shape.each("", &mut |place, shape| {
            for kind in &shape.kinds {
                if let Kind::Object(members, _) = kind {
                    let required = members.iter().filter(|member| member.required);
                    let places = required.map(|member| format!("{place}/{}", member.name));
                    found.extend(
                        places.map(|place| form("json.required", place, Just(Step::TakeAway).boxed())),
                    );
                }
            }
            let others = others(&shape.kinds);
            if !others.is_empty() {
                found.push(form("json.type", place.to_owned(), select(others).prop_map(Step::Set).boxed()));
            }
            found.extend(self.misfits(place, &shape.kinds));
        });
        found
    }

    /// Numbers that the Rust type cannot hold where an integer stands.
    fn misfits(&self, place: &str, kinds: &[Kind]) -> Vec<Break> {
        let takes_fractions = kinds.iter().any(|kind| matches!(kind, Kind::Number | Kind::Any));
        let integer_kind = kinds.iter().find_map(|kind| match kind {
            Kind::Integer { least, greatest } => Some((*least, *greatest)),
            _ => None,
        });
        let (Some((least, greatest)), false) = (integer_kind, takes_fractions) else { return Vec::new() };
        let fraction = (-1000..1000_i128).prop_map(|whole| Step::Set(thousandth(whole * 1000 + 500)));
        let mut found = vec![form("json.value", place.to_owned(), fraction.boxed())];
        let rules: Vec<_> = self.held_to.iter().filter(|rule| rule.pointer == place).collect();
        for rule in rules.iter().filter(|rule| rule.held_by_type) {
            if let Keyword::Minimum(min) = rule.keyword {
                let below = integer(i64::MIN.into(), i128::from(min) - 1).prop_map(Step::Set).boxed();
                found.push(Break { about: Some(rule.id), ..form(rule.id, place.to_owned(), below) });
            }
        }
        let beyond = [least - 1, greatest + 1].map(integer_value);
        let beyond: Vec<_> = beyond.into_iter().filter(Value::is_number).map(Step::Set).collect();
        if rules.is_empty() && !beyond.is_empty() {
            found.push(form("json.value", place.to_owned(), select(beyond).boxed()));
        }
        found
    }
}

fn form(rule: &'static str, place: String, steps: BoxedStrategy<Step>) -> Break {
    Break {
        about: None,
        rule,
        wanted: vec![(place.clone(), Want::Anything)],
        place,
        unwanted: Vec::new(),
        steps,
    }
}

/// A value of each type that none of the kinds is.
fn others(kinds: &[Kind]) -> Vec<Value> {
    let takes = |value: &Value| {
        kinds.iter().any(|kind| match kind {
            Kind::Any => true,
            Kind::Null => value.is_null(),
            Kind::Boolean => value.is_boolean(),
            Kind::Integer { .. } | Kind::Number => value.is_number(),
            Kind::Text(_) => value.is_string(),
            Kind::Digits => value.as_str().is_some_and(|text| text.parse::<f64>().is_ok()),
            Kind::List(_) => value.is_array(),
            Kind::Object(..) => value.is_object(),
        })
    };
    let all = [
        json!(null),
        json!(true),
        json!(5),
        json!(-0.5),
        json!("a text"),
        json!([]),
        json!([1]),
        json!({}),
        json!({"a": 1}),
    ];
    all.into_iter().filter(|value| !takes(value)).collect()
}

/// Numbers of the first kind that has any below the one bound or above the other.
fn numbers_beyond(kinds: &[Kind], min: Option<i32>, max: Option<i32>) -> Option<BoxedStrategy<Value>> {
    let mut beyond = Vec::new();
    for kind in kinds {
        match kind {
            Kind::Integer { least, greatest } => {
                let below = min.map(|min| i128::from(min) - 1).filter(|below| below >= least);
                beyond.extend(below.map(|below| integer(*least, below)));
                let above = max.map(|max| i128::from(max) + 1).filter(|above| above <= greatest);
                beyond.extend(above.map(|above| integer(above, *greatest)));
            }
            Kind::Number => beyond.extend(fractions_beyond(min, max)),
            Kind::Digits => {
                let digits = |number: Value| Value::from(number.to_string());
                beyond.extend(
                    fractions_beyond(min, max).into_iter().map(|numbers| numbers.prop_map(digits).boxed()),
                );
            }
            _ => {}
        }
    }
    (!beyond.is_empty()).then(|| Union::new(beyond).boxed())
}

fn fractions_beyond(min: Option<i32>, max: Option<i32>) -> Vec<BoxedStrategy<Value>> {
    let away = || Union::new([Just(1_i128).boxed(), (1..1_000_000_i128).boxed()]);
    let below = min.map(|min| away().prop_map(move |away| thousandth(i128::from(min) * 1000 - away)).boxed());
    let above = max.map(|max| away().prop_map(move |away| thousandth(i128::from(max) * 1000 + away)).boxed());
    let far =
        [min.map(|_| -1e90), max.map(|_| 1e90)].map(|far| far.map(|far| Just(Value::from(far)).boxed()));
    below.into_iter().chain(above).chain(far.into_iter().flatten()).collect()
}

/// The place in a body: each `*` becomes the index of some element.
fn concrete(body: &Value, place: &str, indices: &[Index]) -> Option<String> {
    let mut indices = indices.iter();
    let mut path = String::new();
    for segment in place.split('/').skip(1) {
        let segment = match segment {
            "*" => {
                let elements = body.pointer(&path)?.as_array()?;
                (!elements.is_empty())
                    .then(|| indices.next().map(|index| index.index(elements.len()).to_string()))??
            }
            name => name.to_owned(),
        };
        path.push('/');
        path.push_str(&segment);
    }
    Some(path)
}

/// Does what is to be done at a place; says what.
fn take_step(body: &mut Value, place: &str, step: Step) -> Option<String> {
    match step {
        Step::Set(value) => {
            let mutation = format!("sets {} to {}", named(place), shown(&value));
            if place.is_empty() {
                *body = value;
                return Some(mutation);
            }
            let (parent, last) = place.rsplit_once('/')?;
            match body.pointer_mut(parent)? {
                Value::Object(members) => {
                    members.insert(last.to_owned(), value);
                }
                Value::Array(elements) => *elements.get_mut(last.parse::<usize>().ok()?)? = value,
                _ => return None,
            }
            Some(mutation)
        }
        Step::TakeAway => {
            remove(body, place)?;
            Some(format!("takes {place} away"))
        }
        Step::Leave => body.pointer(place).map(|_| format!("leaves {place} alone")),
        Step::Add(added) => {
            let members = body.pointer_mut(place)?.as_object_mut()?;
            let mutation = match added.len() {
                1 => format!("adds a member of {} bytes to {}", json!(added).to_string().len(), named(place)),
                count => format!("adds {count} members to {}", named(place)),
            };
            members.extend(added);
            Some(mutation)
        }
    }
}

fn named(place: &str) -> &str {
    if place.is_empty() { "the body" } else { place }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= ECHO {
        return text;
    }
    match value {
        Value::String(text) => format!("a text of {} characters", text.chars().count()),
        _ => format!("{} bytes of JSON", text.len()),
    }
}

/// Takes a member away; `None` if it is not there.
pub(super) fn remove(body: &mut Value, place: &str) -> Option<Value> {
    let (parent, member) = place.rsplit_once('/')?;
    body.pointer_mut(parent)?.as_object_mut()?.remove(member)
}

/// Whether a member or a header is there and says something.
pub(super) fn has(sent: &Sent, place: &str) -> bool {
    if place.starts_with("header:") {
        return sent.params.iter().any(|(param, _)| is_header(param, place));
    }
    let value = sent.body.as_ref().and_then(|body| body.pointer(place));
    value
        .is_some_and(|value| !value.is_null() && value.as_array().is_none_or(|elements| !elements.is_empty()))
}

/// Takes a member or a header away, if it is there.
pub(super) fn take_away(sent: &mut Sent, place: &str) {
    if place.starts_with("header:") {
        sent.params.retain(|(param, _)| !is_header(param, place));
    } else if let Some(body) = &mut sent.body {
        remove(body, place);
    }
}

fn is_header(param: &Param, place: &str) -> bool {
    param.place == ParamPlace::Header && place.strip_prefix("header:") == Some(param.name)
}

/// Gives a header another value.
fn set_param<E: Drawable>(sent: &mut Sent, name: &str, value: String) -> Option<&'static Param> {
    use fleetwire_protocol::Params;
    let param =
        E::Params::LIST.iter().find(|param| param.place == ParamPlace::Header && param.name == name)?;
    sent.params.retain(|(other, _)| *other != param);
    sent.params.push((param, value));
    Some(param)
}
