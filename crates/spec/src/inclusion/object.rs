use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::answer::Reason;
use super::conjunction::Conjunction;
use super::search::{Answer, Gathered, Search, Sought};
use crate::schema::{Arena, Literal, Name, Node, Pattern, SchemaId};

/// More members than this are not made up.
pub(super) const MOST_MEMBERS: usize = 300;

/// The members that an object must have, with what must hold of each besides.
pub(super) type Required = BTreeMap<Name, Vec<Literal>>;

/// What must hold of an object.
#[derive(Default)]
pub(super) struct ObjectGoal {
    pub(super) required: Required,
    pub(super) forbidden: BTreeSet<Name>,
    pub(super) properties: BTreeMap<Name, Vec<SchemaId>>,
    pub(super) matching: Vec<(Arc<Pattern>, SchemaId)>,
    pub(super) others: Vec<Others>,
    /// What every name must be.
    pub(super) names: Vec<SchemaId>,
    /// Some member must break one of these.
    pub(super) demands: Vec<Demand>,
    pub(super) least: usize,
    pub(super) most: Option<u64>,
    /// All names that are spoken of.
    pub(super) known: BTreeSet<Name>,
    /// All patterns that are spoken of.
    pub(super) patterns: Vec<Arc<Pattern>>,
    /// Whether single objects are excluded.
    pub(super) excluded: bool,
    /// More members are asked for than will be made up.
    pub(super) vast: bool,
}

pub(super) struct Others {
    pub(super) names: Arc<[Name]>,
    pub(super) patterns: Arc<[Arc<Pattern>]>,
    pub(super) schema: SchemaId,
}

impl Others {
    fn cover(&self, arena: &Arena, name: &str) -> Option<bool> {
        if self.names.binary_search_by(|own| (**own).cmp(name)).is_ok() {
            return Some(false);
        }
        let mut unknown = false;
        for pattern in self.patterns.iter() {
            match arena.matches(pattern, name) {
                Some(true) => return Some(false),
                Some(false) => {}
                None => unknown = true,
            }
        }
        if unknown { None } else { Some(true) }
    }
}

/// A member that must be there.
pub(super) enum Demand {
    /// Its name matches, and its value is not of this schema.
    Matching(Arc<Pattern>, SchemaId),
    /// Its name is neither listed nor matched, and its value is not of this schema.
    Other(Others),
    /// Its name is not of this schema.
    Name(SchemaId),
}

impl Search<'_> {
    pub(super) fn object(&mut self, conjunction: &Conjunction, want: usize) -> Answer {
        let goal = self.object_goal(conjunction);
        let mut gathered = Gathered::new(want);
        if goal.most.is_some_and(|most| most < goal.least.max(goal.required.len()) as u64) {
            return Answer::EMPTY;
        }
        // What must be there at all is cheap to try, and most alternatives die of it.
        if goal.required.keys().any(|name| goal.forbidden.contains(name)) {
            return Answer::EMPTY;
        }
        let (special, plain): (Vec<_>, Vec<_>) =
            goal.required.iter().partition(|(_, extra)| !extra.is_empty());
        for (name, extra) in special.into_iter().chain(plain) {
            let (literals, _) = self.member(&goal, name, extra);
            let answer = self.solve(literals, 1);
            gathered.rest_on(&answer);
            if answer.is_empty() {
                return Answer { sought: Sought::Empty, rests_on: answer.rests_on };
            }
        }
        self.demanded(conjunction, &goal, 0, &goal.required, &mut gathered);
        gathered.answer()
    }

    fn object_goal(&self, conjunction: &Conjunction) -> ObjectGoal {
        let mut goal = ObjectGoal::default();
        for literal in &conjunction.literals {
            let positive = literal.positive();
            match self.arena.node(literal.schema()) {
                Node::MinProperties(least) if positive => goal.at_least(*least),
                Node::MinProperties(least) => goal.at_most(least.saturating_sub(1)),
                Node::MaxProperties(most) if positive => goal.at_most(*most),
                Node::MaxProperties(most) => goal.at_least(most.saturating_add(1)),
                Node::Has(name) => {
                    goal.known.insert(Arc::clone(name));
                    if positive {
                        goal.required.entry(Arc::clone(name)).or_default();
                    } else {
                        goal.forbidden.insert(Arc::clone(name));
                    }
                }
                Node::Property(name, schema) => {
                    goal.known.insert(Arc::clone(name));
                    if positive {
                        goal.properties.entry(Arc::clone(name)).or_default().push(*schema);
                    } else {
                        let extra = goal.required.entry(Arc::clone(name)).or_default();
                        extra.push(Literal::fails(*schema));
                    }
                }
                Node::Matching(pattern, schema) => {
                    goal.pattern(pattern);
                    if positive {
                        goal.matching.push((Arc::clone(pattern), *schema));
                    } else {
                        goal.demands.push(Demand::Matching(Arc::clone(pattern), *schema));
                    }
                }
                Node::Others { names, patterns, schema } => {
                    goal.known.extend(names.iter().cloned());
                    patterns.iter().for_each(|pattern| goal.pattern(pattern));
                    let others =
                        Others { names: Arc::clone(names), patterns: Arc::clone(patterns), schema: *schema };
                    if positive {
                        goal.others.push(others);
                    } else {
                        goal.demands.push(Demand::Other(others));
                    }
                }
                Node::Names(schema) if positive => goal.names.push(*schema),
                Node::Names(schema) => goal.demands.push(Demand::Name(*schema)),
                Node::Values(_) => goal.excluded = true,
                _ => {}
            }
        }
        goal
    }

    /// What must hold of a member's value, and why that may be too little.
    pub(super) fn member(
        &self,
        goal: &ObjectGoal,
        name: &Name,
        extra: &[Literal],
    ) -> (Vec<Literal>, Vec<Reason>) {
        let mut literals = extra.to_vec();
        let mut doubts = Vec::new();
        let own = goal.properties.get(name).into_iter().flatten();
        literals.extend(own.map(|schema| Literal::holds(*schema)));
        for (pattern, schema) in &goal.matching {
            match self.arena.matches(pattern, name) {
                Some(true) => literals.push(Literal::holds(*schema)),
                Some(false) => {}
                None => doubts.push(self.reason(*schema, "a pattern could not be held against a name")),
            }
        }
        for others in &goal.others {
            match others.cover(self.arena, name) {
                Some(true) => literals.push(Literal::holds(others.schema)),
                Some(false) => {}
                None => {
                    doubts.push(self.reason(others.schema, "a pattern could not be held against a name"));
                }
            }
        }
        (literals, doubts)
    }

    /// Gives each demand a member, in every way.
    fn demanded(
        &mut self,
        conjunction: &Conjunction,
        goal: &ObjectGoal,
        index: usize,
        required: &Required,
        gathered: &mut Gathered,
    ) {
        if gathered.is_enough() {
            gathered.incomplete();
            return;
        }
        let Some(demand) = goal.demands.get(index) else {
            self.completed(conjunction, goal, required, gathered);
            return;
        };
        if let Some(stop) = self.enter(conjunction.size()) {
            gathered.add(stop);
            return;
        }
        // A member that is there already makes for the smaller object.
        let there: Vec<_> = required.keys().cloned().collect();
        let known = goal.known.iter().filter(|name| !required.contains_key(*name)).cloned();
        for name in there.into_iter().chain(known) {
            let broken = self.breaks(demand, &name);
            if let Some(literal) = broken.unwrap_or_else(|reason| {
                gathered.unknown(&[reason]);
                None
            }) {
                self.demand_met(conjunction, goal, index, required, (name, literal), gathered);
            }
        }
        for region in self.regions(goal, Some(demand), gathered) {
            let taken: Vec<_> = required.keys().cloned().collect();
            let fresh = self.fresh(goal, &region, &taken, Some(demand), 1);
            gathered.rest_on(&fresh);
            let (names, reasons) = fresh.values();
            if !reasons.is_empty() {
                gathered.unknown(reasons);
            }
            for name in names.iter().filter_map(Value::as_str).take(1) {
                let literal = match demand {
                    Demand::Matching(_, schema) => Some(Literal::fails(*schema)),
                    Demand::Other(others) => Some(Literal::fails(others.schema)),
                    Demand::Name(_) => None,
                };
                let member = (Name::from(name), literal.into_iter().collect());
                self.demand_met(conjunction, goal, index, required, member, gathered);
            }
        }
        self.leave();
    }

    /// What must hold of the member with this name in order to meet the demand; `None` if it cannot.
    fn breaks(&self, demand: &Demand, name: &Name) -> Result<Option<Vec<Literal>>, Reason> {
        let (covers, schema) = match demand {
            Demand::Matching(pattern, schema) => (self.arena.matches(pattern, name), *schema),
            Demand::Other(others) => (others.cover(self.arena, name), others.schema),
            Demand::Name(schema) => {
                let holds = self.arena.holds(*schema, &Value::String(name.to_string()));
                return match holds {
                    Some(holds) => Ok((!holds).then(Vec::new)),
                    None => Err(self.reason(*schema, "a name could not be judged")),
                };
            }
        };
        match covers {
            Some(covers) => Ok(covers.then(|| vec![Literal::fails(schema)])),
            None => Err(self.reason(schema, "a pattern could not be held against a name")),
        }
    }

    fn demand_met(
        &mut self,
        conjunction: &Conjunction,
        goal: &ObjectGoal,
        index: usize,
        required: &Required,
        (name, literals): (Name, Vec<Literal>),
        gathered: &mut Gathered,
    ) {
        let mut required = required.clone();
        let extra = required.entry(Arc::clone(&name)).or_default();
        extra.extend(literals);
        let (literals, _) = self.member(goal, &name, extra);
        let answer = self.solve(literals, 1);
        gathered.rest_on(&answer);
        if !answer.is_empty() {
            self.demanded(conjunction, goal, index + 1, &required, gathered);
        }
    }
}

impl ObjectGoal {
    fn at_least(&mut self, count: u64) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.least = self.least.max(count);
        self.vast |= count > MOST_MEMBERS;
    }

    fn at_most(&mut self, count: u64) {
        self.most = Some(self.most.map_or(count, |most| most.min(count)));
    }

    fn pattern(&mut self, pattern: &Arc<Pattern>) {
        if !self.patterns.contains(pattern) {
            self.patterns.push(Arc::clone(pattern));
        }
    }
}
