//! Proptest strategies for the requests of every operation: good ones, tolerated ones, and ones with exactly one
//! fault, for tests of agents and servers. Feature `arbitrary`.
//!
//! They are made from the schemas of the wire types and from the table of rules, so that an operation or a rule
//! that is added is covered by itself. They never ask the checks whether what they have drawn is good or bad.
//!
//! Every operation is [`Drawable`]; [`for_each_endpoint!`](fleetwire_protocol::for_each_endpoint) runs a test over
//! all of them.
//!
//! ```
//! use chrono::DateTime;
//! use fleetwire_protocol::{Fault, for_each_endpoint};
//! use fleetwire_validation::strategies::{Drawable, nearly_valid, valid};
//! use fleetwire_validation::{Context, Side, check, lint};
//! use proptest::test_runner::{Config, TestRunner};
//!
//! fn holds_for<E: Drawable>() {
//!     let context = Context::at(DateTime::UNIX_EPOCH);
//!     let mut runner = TestRunner::new(Config::with_cases(8));
//!
//!     // What keeps the rules is sent and taken.
//!     let taken = runner.run(&valid::<E>(&context), |call| {
//!         assert!(lint(&call, &context).is_empty());
//!         assert!(check(call, &context).is_ok());
//!         Ok(())
//!     });
//!     taken.unwrap();
//!
//!     // What breaks one is refused for that, and for nothing else. Here stands the server or the agent under test.
//!     let Some(broken) = nearly_valid::<E>(&context, Side::Accept) else { return };
//!     let refused = runner.run(&broken, |broken| {
//!         let refused = broken.sent.read::<E>().and_then(|call| Ok(check(call, &context)?));
//!         let Err(Fault::Invalid(violations)) = refused else { panic!("{} is taken", broken.mutation) };
//!         assert_eq!(violations.as_slice()[0].place, broken.place, "{}", broken.mutation);
//!         assert_eq!(violations.as_slice().len(), 1, "{}", broken.mutation);
//!         Ok(())
//!     });
//!     refused.unwrap();
//! }
//!
//! macro_rules! of_every_operation {
//!     ([] $($operation:path,)*) => { $( holds_for::<$operation>(); )* };
//! }
//! for_each_endpoint!(of_every_operation!());
//! ```

mod custom;
mod draw;
mod mutate;
mod shape;

use std::borrow::Cow;
use std::fmt::Debug;

use fleetwire_protocol::{Call, Fault, Param, Params, Place, Request};
use proptest::option;
use proptest::strategy::{BoxedStrategy, Just, Strategy, Union};
use schemars::JsonSchema;
use schemars::generate::Contract;
use serde_json::Value;

use crate::{Context, Keyword, Rule, Side, Validate};
use draw::Plan;
use shape::Shape;

/// An operation whose requests can be drawn. Every operation is one.
pub trait Drawable: Validate<Params: Debug, Request: Request<Body: JsonSchema + Debug>> {}

impl<E> Drawable for E where E: Validate<Params: Debug, Request: Request<Body: JsonSchema + Debug>> {}

/// A request as it goes over the wire, without credentials: what no typed call can hold has room in it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sent {
    /// The parameters that it has, in the order in which the operation lists them.
    pub params: Vec<(&'static Param, String)>,
    /// The body; `None` for an operation that has none.
    pub body: Option<Value>,
}

impl Sent {
    /// The bytes of the body.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.body.as_ref().map(|body| body.to_string().into_bytes()).unwrap_or_default()
    }

    /// Reads it as a server does.
    ///
    /// # Errors
    /// The faults of its parameters, or the first fault of its body's form.
    pub fn read<E: Validate>(&self) -> Result<Call<E>, Fault> {
        let get = |wanted: &Param| {
            let of_name =
                |(param, _): &&(&Param, String)| param.name == wanted.name && param.place == wanted.place;
            self.params.iter().find(of_name).map(|(_, value)| Cow::Owned(value.clone()))
        };
        Ok(Call::with(E::Params::read(&get)?, E::Request::read(&self.bytes())?))
    }
}

/// A request with exactly one fault.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NearlyValid {
    /// The request.
    pub sent: Sent,
    /// Where the fault is.
    pub place: Place,
    /// The rule that it breaks: one of the table's, or `json.required`, `json.type` or `json.value` for a body
    /// that is not of its type. Of a rule that the type holds by itself the codec, which reads a body up to its
    /// first fault, says `json.value`; the second look knows the rule.
    pub rule: &'static str,
    /// What was done to a good request.
    pub mutation: String,
}

/// Calls that keep every rule of both sides at the time of the context, parameters included: what a good agent
/// sends.
///
/// Shrinks towards fewer members and shorter texts.
pub fn valid<E: Drawable>(context: &Context) -> BoxedStrategy<Call<E>> {
    let rules = rules_in_force::<E>(context);
    let plan = Plan { rules: &rules, context, tolerant: false, wanted: Vec::new() };
    let sent = sent::<E>(&body_shape::<E>(&Contract::Serialize), &plan);
    sent.prop_filter_map("the type reads what its schema allows", |sent| sent.read().ok()).boxed()
}

/// Requests that a server takes at the time of the context, in every form that it puts up with: members under
/// other names, digits in texts, null for nothing, numbers with needless fractions, members that nobody knows,
/// and what only clients are held to not kept.
pub fn accepted<E: Drawable>(context: &Context) -> BoxedStrategy<Sent> {
    let rules = rules_of_side::<E>(context, Side::Accept);
    let plan = Plan { rules: &rules, context, tolerant: true, wanted: Vec::new() };
    let one_of_two: Vec<(&'static str, &'static str)> = rules
        .iter()
        .filter_map(|rule| match rule.keyword {
            Keyword::RequiredUnless(other) => Some((rule.pointer, other)),
            _ => None,
        })
        .collect();
    let leave_out = proptest::collection::vec(proptest::arbitrary::any::<bool>(), one_of_two.len());
    (sent::<E>(&body_shape::<E>(&Contract::Deserialize), &plan), leave_out)
        .prop_map(move |(mut sent, leave_out)| {
            for (&(place, other), leave_out) in one_of_two.iter().zip(leave_out) {
                if leave_out && mutate::has(&sent, other) {
                    mutate::take_away(&mut sent, place);
                }
            }
            sent
        })
        .boxed()
}

/// Requests with exactly one fault, which that side must report at its place, by its rule, and nothing else: for
/// [`Side::Accept`] what a server must refuse, for [`Side::Emit`] what an agent must not send although its types
/// can hold it.
///
/// `None` where there is nothing to break: an operation without body and rules.
#[must_use]
pub fn nearly_valid<E: Drawable>(context: &Context, side: Side) -> Option<BoxedStrategy<NearlyValid>> {
    union(mutate::ways::<E>(context, side, None))
}

/// Those requests of [`nearly_valid`] that break a given rule of the table, by its id.
///
/// `None` where it cannot be broken: on a side that is not held to it, or in a context that lifts it.
#[must_use]
pub fn breaking<E: Drawable>(
    context: &Context,
    side: Side,
    rule: &str,
) -> Option<BoxedStrategy<NearlyValid>> {
    union(mutate::ways::<E>(context, side, Some(rule)))
}

fn union(ways: Vec<mutate::Way>) -> Option<BoxedStrategy<NearlyValid>> {
    (!ways.is_empty()).then(|| Union::new(ways).boxed())
}

fn rules_in_force<E: Validate>(context: &Context) -> Vec<&'static Rule> {
    E::RULES.iter().filter(|rule| context.house_rules.keeps(rule)).collect()
}

fn rules_of_side<E: Validate>(context: &Context, side: Side) -> Vec<&'static Rule> {
    let mut rules = rules_in_force::<E>(context);
    rules.retain(|rule| rule.sides.cover(side));
    rules
}

fn body_shape<E: Drawable>(contract: &Contract) -> Shape {
    Shape::of::<<E::Request as Request>::Body>(contract)
}

/// A request that keeps the rules of a plan.
fn sent<E: Drawable>(shape: &Shape, plan: &Plan<'_>) -> BoxedStrategy<Sent> {
    let params: Vec<_> = E::Params::LIST
        .iter()
        .map(|param| {
            let value =
                draw::parameter(plan, &format!("header:{}", param.name)).prop_map(move |text| (param, text));
            if param.required { value.prop_map(Some).boxed() } else { option::of(value).boxed() }
        })
        .collect();
    let body = match E::Request::MEDIA {
        Some(_) => plan.value(shape, "").prop_map(Some).boxed(),
        None => Just(None).boxed(),
    };
    let together: Vec<_> = plan.rules.iter().copied().filter(|rule| settles(rule)).collect();
    (params, body)
        .prop_map(move |(params, mut body)| {
            if let Some(body) = &mut body {
                settle(body, &together);
            }
            Sent { params: params.into_iter().flatten().collect(), body }
        })
        .boxed()
}

/// Whether a rule is about several members, so that it can be kept only once they are there.
fn settles(rule: &Rule) -> bool {
    matches!(rule.keyword, Keyword::RequiredWith(_) | Keyword::OnlyWith(_) | Keyword::Custom)
}

/// Makes a body keep the rules about several members.
fn settle(body: &mut Value, rules: &[&'static Rule]) {
    let there = |body: &Value, place: &str| body.pointer(place).is_some_and(|value| !value.is_null());
    // What goes may take others with it: at most each of them once.
    for _ in rules {
        for rule in rules {
            match rule.keyword {
                Keyword::RequiredWith(other) if there(body, other) && !there(body, rule.pointer) => {
                    mutate::remove(body, other);
                }
                Keyword::OnlyWith(other) if there(body, rule.pointer) && !there(body, other) => {
                    mutate::remove(body, rule.pointer);
                }
                _ => {}
            }
        }
    }
    for custom in custom::CUSTOM {
        if rules.iter().any(|rule| rule.id == custom.rule) {
            (custom.keep)(body);
        }
    }
}
