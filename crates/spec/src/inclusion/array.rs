use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::answer::Reason;
use super::conjunction::Conjunction;
use super::search::{Answer, Gathered, Search, Sought};
use crate::schema::{Key, Literal, Node, SchemaId};

/// Longer arrays are not made up.
const LONGEST: usize = 200;

/// What must hold of an array.
#[derive(Default)]
struct ArrayGoal {
    least: usize,
    most: Option<u64>,
    items: Vec<(usize, SchemaId)>,
    rests: Vec<(usize, SchemaId)>,
    /// The item at this index is there and is not of this schema.
    broken: Vec<(usize, SchemaId)>,
    /// Items at different places within a group, each from some index on and with something that holds of it.
    demands: Vec<Demand>,
    /// At most so many items are of a schema.
    limits: Vec<(SchemaId, u64)>,
    unique: bool,
    repeated: bool,
    excluded: bool,
    vast: bool,
}

#[derive(Clone, Copy)]
struct Demand {
    from: usize,
    literal: Literal,
    group: usize,
}

/// The places that demands have taken, and what holds there besides.
type Placed = Vec<(usize, Demand)>;

impl Search<'_> {
    pub(super) fn array(&mut self, conjunction: &Conjunction, want: usize) -> Answer {
        let goal = self.array_goal(conjunction);
        if goal.unique && goal.repeated {
            return Answer::EMPTY;
        }
        let mut gathered = Gathered::new(want);
        self.placed(conjunction, &goal, &mut Vec::new(), &mut gathered);
        gathered.answer()
    }

    fn array_goal(&self, conjunction: &Conjunction) -> ArrayGoal {
        let mut goal = ArrayGoal::default();
        for (group, literal) in conjunction.literals.iter().enumerate() {
            match (self.arena.node(literal.schema()), literal.positive()) {
                (Node::MinItems(least), true) => goal.at_least(*least),
                (Node::MinItems(least), false) => goal.at_most(least.saturating_sub(1)),
                (Node::MaxItems(most), true) => goal.at_most(*most),
                (Node::MaxItems(most), false) => goal.at_least(most.saturating_add(1)),
                (Node::Unique, true) => goal.unique = true,
                (Node::Unique, false) => goal.repeated = true,
                (Node::Item(index, schema), true) => goal.items.push((*index, *schema)),
                (Node::Item(index, schema), false) => {
                    goal.at_least(*index as u64 + 1);
                    goal.broken.push((*index, *schema));
                }
                (Node::Rest(from, schema), true) => goal.rests.push((*from, *schema)),
                (Node::Rest(from, schema), false) => {
                    goal.demands.push(Demand { from: *from, literal: Literal::fails(*schema), group });
                }
                (Node::ContainsMin(schema, least), true) => {
                    goal.contain(*schema, *least, group);
                }
                (Node::ContainsMin(schema, least), false) => goal.limit(*schema, least.saturating_sub(1)),
                (Node::ContainsMax(schema, most), true) => goal.limit(*schema, *most),
                (Node::ContainsMax(schema, most), false) => {
                    goal.contain(*schema, most.saturating_add(1), group);
                }
                (Node::Values(_), _) => goal.excluded = true,
                _ => {}
            }
        }
        goal
    }

    /// What must hold of the item at an index.
    fn item(goal: &ArrayGoal, index: usize, placed: &Placed) -> Vec<Literal> {
        let at = |own: &&(usize, SchemaId)| own.0 == index;
        let mut literals: Vec<_> =
            goal.items.iter().filter(at).map(|(_, schema)| Literal::holds(*schema)).collect();
        literals.extend(
            goal.rests.iter().filter(|(from, _)| index >= *from).map(|(_, schema)| Literal::holds(*schema)),
        );
        literals.extend(goal.broken.iter().filter(at).map(|(_, schema)| Literal::fails(*schema)));
        literals.extend(placed.iter().filter(|(place, _)| *place == index).map(|(_, demand)| demand.literal));
        literals
    }

    /// Gives each demand a place, in every way that differs.
    fn placed(
        &mut self,
        conjunction: &Conjunction,
        goal: &ArrayGoal,
        placed: &mut Placed,
        gathered: &mut Gathered,
    ) {
        if gathered.is_enough() {
            gathered.incomplete();
            return;
        }
        let Some(demand) = goal.demands.get(placed.len()).copied() else {
            self.repeated(conjunction, goal, placed, gathered);
            return;
        };
        if let Some(stop) = self.enter(conjunction.size()) {
            gathered.add(stop);
            return;
        }
        // Beyond what is spoken of, one place is as good as another, unless it is taken.
        let farthest = placed.iter().map(|(place, _)| place + 1).max().unwrap_or(0);
        let end = goal.horizon().max(farthest).max(demand.from);
        for place in demand.from..=end.min(LONGEST) {
            // Demands of one group are alike: they are placed in ascending order.
            let clash = placed.iter().any(|(other, taken)| *other >= place && taken.group == demand.group);
            if clash || goal.most.is_some_and(|most| place as u64 >= most) {
                continue;
            }
            placed.push((place, demand));
            let answer = self.solve(Self::item(goal, place, placed), 1);
            gathered.rest_on(&answer);
            if !answer.is_empty() {
                self.placed(conjunction, goal, placed, gathered);
            }
            placed.pop();
        }
        if end > LONGEST {
            gathered.unknown(&[too_long()]);
        }
        self.leave();
    }

    /// Where two items must be equal, tries every pair of places that differs from others.
    fn repeated(
        &mut self,
        conjunction: &Conjunction,
        goal: &ArrayGoal,
        placed: &Placed,
        gathered: &mut Gathered,
    ) {
        if !goal.repeated {
            self.filled(conjunction, goal, placed, None, gathered);
            return;
        }
        let farthest = placed.iter().map(|(place, _)| place + 1).max().unwrap_or(0);
        let end = goal.horizon().max(farthest) + 1;
        if end > LONGEST {
            gathered.unknown(&[too_long()]);
            return;
        }
        for second in 1..=end {
            for first in 0..second {
                if gathered.is_enough() {
                    gathered.incomplete();
                    return;
                }
                if goal.most.is_some_and(|most| second as u64 >= most) {
                    return;
                }
                let both =
                    Self::item(goal, first, placed).into_iter().chain(Self::item(goal, second, placed));
                let answer = self.solve(both.collect(), 1);
                gathered.rest_on(&answer);
                if !answer.is_empty() {
                    self.filled(conjunction, goal, placed, Some((first, second)), gathered);
                }
            }
        }
    }

    /// Builds the shortest array with these demands, or says why there is none.
    fn filled(
        &mut self,
        conjunction: &Conjunction,
        goal: &ArrayGoal,
        placed: &Placed,
        equal: Option<(usize, usize)>,
        gathered: &mut Gathered,
    ) {
        let mut length = goal.least;
        for (place, _) in placed {
            length = length.max(place + 1);
        }
        if let Some((_, second)) = equal {
            length = length.max(second + 1);
        }
        if goal.most.is_some_and(|most| most < length as u64) {
            return;
        }
        if goal.vast || length > LONGEST {
            // The array may be impossible for one of its items, whatever its length.
            let horizon = goal.horizon().max(placed.len()).min(LONGEST);
            for index in 0..=horizon.min(length.saturating_sub(1)) {
                let answer = self.solve(Self::item(goal, index, placed), 1);
                gathered.rest_on(&answer);
                if answer.is_empty() {
                    return;
                }
            }
            gathered.unknown(&[too_long()]);
            return;
        }
        let mut places: Vec<Vec<Literal>> =
            (0..length).map(|index| Self::item(goal, index, placed)).collect();
        if let Some((first, second)) = equal {
            let other = places.get(second).cloned().unwrap_or_default();
            if let Some(literals) = places.get_mut(first) {
                literals.extend(other);
            }
            let both = places.get(first).cloned().unwrap_or_default();
            if let Some(literals) = places.get_mut(second) {
                *literals = both;
            }
        }
        let mut sure = true;
        if !self.limited(goal, &mut places, &mut sure, gathered) {
            return;
        }
        self.made(conjunction, goal, &places, equal, sure, gathered);
    }

    /// Keeps items out of the schemas of which there may be only few. `false`: there are too many in any case.
    fn limited(
        &mut self,
        goal: &ArrayGoal,
        places: &mut [Vec<Literal>],
        sure: &mut bool,
        gathered: &mut Gathered,
    ) -> bool {
        for (schema, most) in &goal.limits {
            let mut inside = 0_u64;
            for literals in places.iter_mut() {
                let mut outside = literals.clone();
                outside.push(Literal::fails(*schema));
                let answer = self.solve(outside.clone(), 1);
                gathered.rest_on(&answer);
                if answer.is_empty() {
                    inside += 1;
                } else {
                    *literals = outside;
                }
            }
            if inside > *most {
                // With several limits, an item that was kept out of one may have been forced into another.
                if goal.limits.len() > 1 {
                    gathered.unknown(&[Reason {
                        pointer: String::new(),
                        message: "several limits on what an array contains meet".to_owned(),
                    }]);
                }
                return false;
            }
            // More items could be let in, and be needed to be different.
            *sure &= *most == 0 && goal.limits.len() == 1;
        }
        true
    }

    fn made(
        &mut self,
        conjunction: &Conjunction,
        goal: &ArrayGoal,
        places: &[Vec<Literal>],
        equal: Option<(usize, usize)>,
        sure: bool,
        gathered: &mut Gathered,
    ) {
        let more = if goal.excluded || gathered.want > 1 { gathered.want + 1 } else { 1 };
        let want = if goal.unique { places.len().max(more) } else { more };
        let mut choices = Vec::new();
        let mut doubts = Vec::new();
        let mut complete = true;
        let mut exhaustive = Vec::new();
        for literals in places {
            let answer = self.solve(literals.clone(), want);
            gathered.rest_on(&answer);
            complete &= answer.is_complete();
            let (values, reasons) = answer.values();
            doubts.extend_from_slice(reasons);
            match &answer.sought {
                Sought::Empty => return,
                _ if values.is_empty() => {
                    gathered.unknown(&doubts);
                    return;
                }
                _ => choices.push(values.to_vec()),
            }
            if answer.is_complete() {
                exhaustive.push(values.to_vec());
            }
        }
        let plain = if goal.unique {
            let Some(distinct) = distinct(&choices) else {
                // Where the items of which all values are known clash already, no other choice helps.
                if !(sure && doubts.is_empty() && distinct(&exhaustive).is_none()) {
                    gathered.unknown(&doubts);
                    gathered.unknown(&[Reason {
                        pointer: String::new(),
                        message: "enough different items were not found".to_owned(),
                    }]);
                }
                return;
            };
            distinct
        } else {
            choices.iter().filter_map(|values| values.first().cloned()).collect::<Vec<_>>()
        };
        let mut arrays = vec![plain.clone()];
        if more > 1 {
            self.varied(goal, &plain, &choices, equal, &mut arrays, gathered);
        }
        let only = complete && arrays.len() == 1 && goal.most == Some(plain.len() as u64);
        if !only {
            gathered.incomplete();
        }
        let before = gathered.values.len();
        for array in arrays {
            let array = Value::Array(array);
            if !doubts.is_empty() {
                gathered.candidate(array);
            } else if !goal.excluded || self.verify(conjunction, &array) == Some(true) {
                gathered.found(array);
            }
        }
        if !doubts.is_empty() {
            gathered.unknown(&doubts);
        } else if gathered.values.len() == before && !only {
            gathered.unknown(&[Reason {
                pointer: String::new(),
                message: "an array other than those excluded was not found".to_owned(),
            }]);
        }
    }

    /// Arrays that differ from a plain one in one item, or are longer by one.
    fn varied(
        &mut self,
        goal: &ArrayGoal,
        plain: &[Value],
        choices: &[Vec<Value>],
        equal: Option<(usize, usize)>,
        arrays: &mut Vec<Vec<Value>>,
        gathered: &mut Gathered,
    ) {
        for (index, values) in choices.iter().enumerate() {
            for value in values {
                let fits = !goal.unique || !plain.contains(value);
                if fits && plain.get(index) != Some(value) {
                    let mut array = plain.to_vec();
                    let same = equal.filter(|(first, second)| index == *first || index == *second);
                    let places = same.map_or(vec![index], |(first, second)| vec![first, second]);
                    for place in places {
                        if let Some(item) = array.get_mut(place) {
                            *item = value.clone();
                        }
                    }
                    arrays.push(array);
                }
            }
        }
        let longer = plain.len() as u64 + 1;
        if goal.most.is_some_and(|most| longer > most) || plain.len() >= LONGEST {
            return;
        }
        let mut literals = Self::item(goal, plain.len(), &Vec::new());
        literals.extend(goal.limits.iter().map(|(schema, _)| Literal::fails(*schema)));
        let answer = self.solve(literals, gathered.want + plain.len() + 1);
        gathered.rest_on(&answer);
        if let Sought::Found { values, .. } = answer.sought {
            for value in values {
                if !goal.unique || !plain.contains(&value) {
                    let mut array = plain.to_vec();
                    array.push(value);
                    arrays.push(array);
                }
            }
        }
    }
}

fn too_long() -> Reason {
    Reason { pointer: String::new(), message: format!("an array of more than {LONGEST} items is asked for") }
}

/// One value from each list, no two of them equal.
fn distinct(choices: &[Vec<Value>]) -> Option<Vec<Value>> {
    let keys: Vec<Vec<Key>> = choices.iter().map(|values| values.iter().map(Key::of).collect()).collect();
    let mut taken = HashMap::new();
    for place in 0..choices.len() {
        if !augment(&keys, place, &mut taken, &mut HashSet::new(), 0) {
            return None;
        }
    }
    let mut chosen = vec![Value::Null; choices.len()];
    for (key, place) in taken {
        let index = keys.get(place)?.iter().position(|own| own == key)?;
        *chosen.get_mut(place)? = choices.get(place)?.get(index)?.clone();
    }
    Some(chosen)
}

/// Finds a value for one more place, moving others to other values where that helps.
fn augment<'k>(
    keys: &'k [Vec<Key>],
    place: usize,
    taken: &mut HashMap<&'k Key, usize>,
    tried: &mut HashSet<&'k Key>,
    depth: usize,
) -> bool {
    if depth > LONGEST {
        return false;
    }
    for key in keys.get(place).into_iter().flatten() {
        if !tried.insert(key) {
            continue;
        }
        let free = match taken.get(key).copied() {
            None => true,
            Some(holder) => augment(keys, holder, taken, tried, depth + 1),
        };
        if free {
            taken.insert(key, place);
            return true;
        }
    }
    false
}

impl ArrayGoal {
    fn at_least(&mut self, count: u64) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.least = self.least.max(count);
        self.vast |= count > LONGEST;
    }

    fn at_most(&mut self, count: u64) {
        self.most = Some(self.most.map_or(count, |most| most.min(count)));
    }

    fn contain(&mut self, schema: SchemaId, least: u64, group: usize) {
        self.at_least(least);
        let demand = Demand { from: 0, literal: Literal::holds(schema), group };
        let count = usize::try_from(least).unwrap_or(usize::MAX).min(LONGEST);
        self.demands.extend(std::iter::repeat_n(demand, count));
    }

    fn limit(&mut self, schema: SchemaId, most: u64) {
        match self.limits.iter_mut().find(|(own, _)| *own == schema) {
            Some((_, own)) => *own = most.min(*own),
            None => self.limits.push((schema, most)),
        }
    }

    /// From this index on all places are alike.
    fn horizon(&self) -> usize {
        let items = self.items.iter().chain(&self.broken).map(|(index, _)| index + 1);
        items.chain(self.rests.iter().map(|(from, _)| *from)).max().unwrap_or(0)
    }
}
