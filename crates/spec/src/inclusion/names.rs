use std::sync::Arc;

use serde_json::Value;

use super::answer::Reason;
use super::object::{Demand, MOST_MEMBERS, ObjectGoal};
use super::search::{Answer, Gathered, Search, Sought};
use crate::schema::{Arena, Literal, Name, Node, Pattern, Types};

/// More patterns than this are not told apart in every combination.
const MOST_PATTERNS: usize = 6;
/// Names for members that nothing names.
const FREE_NAMES: [&str; 4] = ["extra", "other", "more", "another"];

/// A kind of names that no schema lists: which patterns match them.
pub(super) type Region = Vec<(Arc<Pattern>, bool)>;

impl Search<'_> {
    /// Whether a member may have this name.
    pub(super) fn named(&self, goal: &ObjectGoal, name: &Name) -> Option<bool> {
        if goal.forbidden.contains(name) {
            return Some(false);
        }
        let text = Value::String(name.to_string());
        let mut unknown = false;
        for schema in &goal.names {
            match self.arena.holds(*schema, &text) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => unknown = true,
            }
        }
        if unknown { None } else { Some(true) }
    }

    pub(super) fn reason_of_names(&self, goal: &ObjectGoal) -> Reason {
        let schema = goal.names.first().copied().unwrap_or(Arena::ALWAYS);
        self.reason(schema, "a name could not be judged")
    }

    /// The kinds of names that no schema lists: each says which patterns match.
    pub(super) fn regions(
        &self,
        goal: &ObjectGoal,
        demand: Option<&Demand>,
        gathered: &mut Gathered,
    ) -> Vec<Region> {
        let count = goal.patterns.len();
        let masks: Vec<u64> = if count <= MOST_PATTERNS {
            (0..1_u64 << count).collect()
        } else {
            gathered.unknown(&[Reason {
                pointer: String::new(),
                message: format!("more than {MOST_PATTERNS} patterns of names meet in one object"),
            }]);
            (0..=count.min(63)).map(|bit| if bit == 0 { 0 } else { 1_u64 << (bit - 1) }).collect()
        };
        let bit = |mask: u64, pattern: &Arc<Pattern>| {
            goal.patterns
                .iter()
                .position(|own| own == pattern)
                .is_some_and(|index| mask >> index.min(63) & 1 == 1)
        };
        masks
            .into_iter()
            .filter(|mask| match demand {
                Some(Demand::Matching(pattern, _)) => bit(*mask, pattern),
                Some(Demand::Other(others)) => !others.patterns.iter().any(|pattern| bit(*mask, pattern)),
                _ => true,
            })
            .map(|mask| {
                goal.patterns.iter().map(|pattern| (Arc::clone(pattern), bit(mask, pattern))).collect()
            })
            .collect()
    }

    /// Names of a region which no schema lists.
    pub(super) fn fresh(
        &mut self,
        goal: &ObjectGoal,
        region: &Region,
        taken: &[Name],
        demand: Option<&Demand>,
        want: usize,
    ) -> Answer {
        let refused = match demand {
            Some(Demand::Name(schema)) => Some(*schema),
            _ => None,
        };
        // Plain words first, since people read them.
        let mut words = Vec::new();
        for round in 0..want.min(MOST_MEMBERS) {
            for word in FREE_NAMES {
                let word = if round == 0 { word.to_owned() } else { format!("{word}{}", round + 1) };
                let name = Name::from(word.as_str());
                let text = Value::String(word);
                let good = !goal.known.contains(&name)
                    && !taken.contains(&name)
                    && self.named(goal, &name) == Some(true)
                    && refused.is_none_or(|schema| self.arena.holds(schema, &text) == Some(false))
                    && region
                        .iter()
                        .all(|(pattern, matches)| self.arena.matches(pattern, &name) == Some(*matches));
                if good && words.len() < want {
                    words.push(text);
                }
            }
            if words.is_empty() {
                break;
            }
        }
        if words.len() >= want {
            return Answer { sought: Sought::Found { values: words, complete: false }, rests_on: usize::MAX };
        }
        let mut literals = vec![Literal::holds(self.arena.type_of(Types::STRING))];
        literals.extend(goal.names.iter().map(|schema| Literal::holds(*schema)));
        literals.extend(refused.map(Literal::fails));
        for (pattern, matches) in region {
            let pattern = self.arena.intern(Node::Pattern(Arc::clone(pattern)));
            literals.push(Literal::new(pattern, *matches));
        }
        let listed = goal.known.iter().chain(taken).map(|name| Value::String(name.to_string()));
        let listed = self.arena.values(listed);
        literals.push(Literal::fails(listed));
        let mut visible = literals.clone();
        visible.push(Literal::holds(self.arena.intern(Node::MinLength(1))));
        let answer = self.solve(visible, want);
        let found = answer.values().0.len();
        if found >= want { answer } else { self.solve(literals, want) }
    }
}
