use std::sync::Arc;

use serde_json::{Map, Value};

use super::answer::Reason;
use super::conjunction::Conjunction;
use super::object::{MOST_MEMBERS, ObjectGoal, Required};
use super::search::{Gathered, Search, Sought};
use crate::schema::{Literal, Name, Node};

/// An object being made: members with the values that each may have.
struct Draft {
    members: Vec<(Name, Vec<Value>)>,
    doubts: Vec<Reason>,
    /// Whether these are all values of all members.
    complete: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self { members: Vec::new(), doubts: Vec::new(), complete: true }
    }
}

impl Search<'_> {
    /// Builds the object, with as many members more as are asked for.
    pub(super) fn completed(
        &mut self,
        conjunction: &Conjunction,
        goal: &ObjectGoal,
        required: &Required,
        gathered: &mut Gathered,
    ) {
        if goal.most.is_some_and(|most| most < required.len() as u64) {
            return;
        }
        let want = if goal.excluded { gathered.want.max(2) } else { gathered.want };
        let mut draft = Draft::default();
        for (name, extra) in required {
            match self.named(goal, name) {
                Some(true) => {}
                Some(false) => return,
                None => draft.doubts.push(self.reason_of_names(goal)),
            }
            if !self.drafted(goal, &mut draft, name, extra, want, gathered) {
                return;
            }
        }
        if goal.vast {
            gathered.unknown(&[Reason {
                pointer: String::new(),
                message: format!("more than {MOST_MEMBERS} members are asked for"),
            }]);
            return;
        }
        let spare = goal.most.map_or(usize::MAX, |most| {
            usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(draft.members.len())
        });
        let missing = goal.least.saturating_sub(draft.members.len());
        // Objects that differ can differ by one member more.
        let wanted = if want > 1 { missing.max(1) } else { missing }.min(spare);
        let mut optional = Draft::default();
        let exhausted = self.more_members(goal, required, &mut optional, wanted, want, gathered);
        if optional.members.len() < missing {
            if !exhausted {
                gathered.unknown(&optional.doubts);
            }
            return;
        }
        let mut rest = optional.members.into_iter();
        draft.members.extend(rest.by_ref().take(missing));
        if missing > 0 {
            draft.doubts.append(&mut optional.doubts);
        }
        self.offer(conjunction, &draft, rest.next(), exhausted, want, gathered);
    }

    /// Adds a member to the draft, if there is a value for it.
    fn drafted(
        &mut self,
        goal: &ObjectGoal,
        draft: &mut Draft,
        name: &Name,
        extra: &[Literal],
        want: usize,
        gathered: &mut Gathered,
    ) -> bool {
        let (literals, doubts) = self.member(goal, name, extra);
        let answer = self.solve(literals, want);
        gathered.rest_on(&answer);
        if answer.is_empty() {
            return false;
        }
        let (values, reasons) = answer.values();
        draft.doubts.extend(doubts);
        draft.doubts.extend_from_slice(reasons);
        if values.is_empty() {
            gathered.unknown(&draft.doubts);
            return false;
        }
        draft.complete &= answer.is_complete();
        draft.members.push((Arc::clone(name), values.to_vec()));
        true
    }

    /// Members that may be there as well. Answers whether there are no others.
    fn more_members(
        &mut self,
        goal: &ObjectGoal,
        required: &Required,
        draft: &mut Draft,
        wanted: usize,
        want: usize,
        gathered: &mut Gathered,
    ) -> bool {
        if wanted == 0 {
            return goal.most.is_some_and(|most| most <= required.len() as u64);
        }
        let mut exhausted = true;
        for name in goal.known.iter().filter(|name| !required.contains_key(*name)) {
            if draft.members.len() >= wanted {
                return false;
            }
            match self.named(goal, name) {
                Some(true) => {}
                Some(false) => continue,
                None => {
                    exhausted = false;
                    draft.doubts.push(self.reason_of_names(goal));
                    continue;
                }
            }
            let mut own = Gathered::new(want);
            self.drafted(goal, draft, name, &[], want, &mut own);
            gathered.rests_on = gathered.rests_on.min(own.rests_on);
            // A member of which nothing is known is not one that cannot be.
            exhausted &= matches!(own.answer().sought, Sought::Empty);
        }
        let mut own = Gathered::new(1);
        let regions = self.regions(goal, None, &mut own);
        exhausted &= matches!(own.answer().sought, Sought::Empty);
        let mut taken: Vec<_> = required.keys().cloned().collect();
        for region in regions {
            let missing = wanted.saturating_sub(draft.members.len());
            if missing == 0 {
                return false;
            }
            let fresh = self.fresh(goal, &region, &taken, None, missing);
            gathered.rest_on(&fresh);
            let (names, reasons) = fresh.values();
            let sure = reasons.is_empty();
            draft.doubts.extend_from_slice(reasons);
            exhausted &= sure;
            for (index, name) in names.iter().filter_map(Value::as_str).map(Name::from).enumerate() {
                let mut own = Gathered::new(want);
                let there = self.drafted(goal, draft, &name, &[], want, &mut own);
                gathered.rests_on = gathered.rests_on.min(own.rests_on);
                let nothing = !there && matches!(own.answer().sought, Sought::Empty);
                if nothing && sure {
                    // All names of a region are treated alike: there is no member here at all.
                    break;
                }
                if index == 0 {
                    exhausted &= fresh.is_complete() && there;
                }
                taken.push(name);
            }
        }
        exhausted && draft.members.len() < wanted
    }

    /// Objects after a draft: the plain one, and ones that differ from it in one member.
    fn offer(
        &mut self,
        conjunction: &Conjunction,
        draft: &Draft,
        another: Option<(Name, Vec<Value>)>,
        exhausted: bool,
        want: usize,
        gathered: &mut Gathered,
    ) {
        let plain: Map<String, Value> = draft
            .members
            .iter()
            .filter_map(|(name, values)| Some((name.to_string(), values.first()?.clone())))
            .collect();
        let mut objects = vec![plain.clone()];
        if want > 1 {
            for (name, values) in &draft.members {
                for value in values.iter().skip(1).take(want) {
                    let mut object = plain.clone();
                    object.insert(name.to_string(), value.clone());
                    objects.push(object);
                }
            }
            if let Some((name, values)) = another {
                for value in values.iter().take(want) {
                    let mut object = plain.clone();
                    object.insert(name.to_string(), value.clone());
                    objects.push(object);
                }
            }
        }
        let single = draft.members.iter().filter(|(_, values)| values.len() > 1).count() <= 1;
        if !(draft.complete && exhausted && single) {
            gathered.incomplete();
        }
        let before = gathered.values.len();
        let mut refused = false;
        for object in objects {
            let object = Value::Object(object);
            if draft.doubts.is_empty() && !self.excludes(conjunction, &object) {
                gathered.found(object);
            } else if !draft.doubts.is_empty() {
                gathered.candidate(object);
            } else {
                refused = true;
            }
        }
        if !draft.doubts.is_empty() {
            gathered.unknown(&draft.doubts);
        } else if refused && gathered.values.len() == before && !(draft.complete && exhausted && single) {
            let message = "an object other than those excluded was not found".to_owned();
            gathered.unknown(&[Reason { pointer: String::new(), message }]);
        }
    }

    /// Whether an `enum` or a `const` that must not hold does.
    fn excludes(&self, conjunction: &Conjunction, object: &Value) -> bool {
        conjunction.literals.iter().any(|literal| {
            matches!(self.arena.node(literal.schema()), Node::Values(_))
                && self.arena.satisfies(*literal, object) != Some(true)
        })
    }
}
