use super::conjunction::Conjunction;
use super::search::{Answer, Gathered, Search, Sought};
use crate::schema::{Literal, Node, Types};

impl Search<'_> {
    /// Values of one JSON type: tries the alternatives of one choice after the other.
    pub(super) fn by_choice(&mut self, mut conjunction: Conjunction, kind: Types, want: usize) -> Answer {
        if let Some(answer) = self.among_values(&conjunction, want) {
            return answer;
        }
        if conjunction.choices.is_empty() {
            let answer = self.atoms(&conjunction, kind, want);
            return self.confirmed(&conjunction, answer, want);
        }
        if let Some(stop) = self.enter(conjunction.size()) {
            return stop;
        }
        let mut gathered = Gathered::new(want);
        if self.prospects(&mut conjunction, kind, &mut gathered) {
            self.branch(conjunction, kind, &mut gathered);
        }
        self.leave();
        gathered.answer()
    }

    fn branch(&mut self, mut conjunction: Conjunction, kind: Types, gathered: &mut Gathered) {
        let Some(index) = self.most_telling(&conjunction) else {
            let answer = self.by_choice(conjunction, kind, gathered.want);
            gathered.add(answer);
            return;
        };
        let choice = conjunction.choices.swap_remove(index);
        for alternative in &choice.alternatives {
            if gathered.is_enough() {
                gathered.incomplete();
                break;
            }
            let mut chosen = conjunction.clone();
            if self.assume(&mut chosen, alternative.literals().to_vec()) {
                let answer = self.by_choice(chosen, kind, gathered.want);
                gathered.add(answer);
            }
        }
    }

    /// The choice to begin with: a union whose branches have tags, since each of them settles many other choices, and
    /// else the one with the fewest alternatives.
    fn most_telling(&mut self, conjunction: &Conjunction) -> Option<usize> {
        let mut best = None;
        for (index, choice) in conjunction.choices.iter().enumerate() {
            let tagged = choice.origin.positive() && !self.arena.tags(choice.origin.schema()).is_empty();
            let rank = (!tagged, choice.alternatives.len());
            if best.is_none_or(|(_, other)| rank < other) {
                best = Some((index, rank));
            }
        }
        best.map(|(index, _)| index)
    }

    /// Whether the choices can be fulfilled at all, as far as that is seen without trying them together. Drops the
    /// alternatives that cannot.
    fn prospects(&mut self, conjunction: &mut Conjunction, kind: Types, gathered: &mut Gathered) -> bool {
        if !matches!(kind, Types::OBJECT | Types::ARRAY) {
            return true;
        }
        if conjunction.choices.len() > 1 {
            // What cannot be without the choices cannot be with them.
            let without = self.atoms(conjunction, kind, 1);
            gathered.rest_on(&without);
            if without.is_empty() {
                return false;
            }
        }
        let mut forced = Vec::new();
        let choices = std::mem::take(&mut conjunction.choices);
        for mut choice in choices {
            choice.alternatives.retain(|alternative| {
                !alternative.literals().iter().any(|literal| self.hopeless(conjunction, *literal, gathered))
            });
            match choice.alternatives.as_slice() {
                [] => return false,
                [only] => forced.extend_from_slice(only.literals()),
                _ => conjunction.choices.push(choice),
            }
        }
        forced.is_empty() || self.assume(conjunction, forced)
    }

    /// Whether a member would have to break its schema, and cannot.
    fn hopeless(&mut self, conjunction: &Conjunction, literal: Literal, gathered: &mut Gathered) -> bool {
        let Node::Property(name, schema) = self.arena.node(literal.schema()) else { return false };
        if literal.positive() {
            return false;
        }
        let mut literals = vec![Literal::fails(*schema)];
        for other in conjunction.literals.iter().filter(|other| other.positive()) {
            if let Node::Property(own, schema) = self.arena.node(other.schema())
                && own == name
            {
                literals.push(Literal::holds(*schema));
            }
        }
        let answer = self.solve(literals, 1);
        gathered.rest_on(&answer);
        matches!(answer.sought, Sought::Empty)
    }
}
