//! A scenario in which a law is broken, made as small as it can be.

use fleetwire_server_core::domain::Vendor;

use super::scenario::{Scenario, Who};
use super::{Law, Violation, World};

/// What is left of a scenario.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Shrunk {
    /// The smallest that was found: the same law is broken in it.
    pub scenario: Scenario,
    /// How.
    pub broken: Violation,
    /// How many worlds were lived through to find it.
    pub lives: u32,
}

/// Leaves out of a scenario what is not needed for the law to be broken that is broken in it: time, faults, agents;
/// then makes shorter what is left. `live` lives through a scenario. After `most` lives it stops where it is.
///
/// Says nothing if no law is broken in the scenario.
pub fn shrink(scenario: &Scenario, most: u32, live: impl FnMut(&Scenario) -> World) -> Option<Shrunk> {
    let mut search = Search { live, lives: 0, most: most.max(1), law: Law::NoPanic };
    let broken = search.broken_in(scenario)?;
    search.law = broken.law;
    let mut found = Shrunk { scenario: scenario.clone(), broken, lives: 0 };
    loop {
        let before = found.scenario.clone();
        search.end_sooner(&mut found);
        search.leave_faults_out(&mut found);
        search.leave_agents_out(&mut found);
        search.simplify(&mut found);
        if found.scenario == before || search.lives >= search.most {
            found.lives = search.lives;
            return Some(found);
        }
    }
}

struct Search<L> {
    live: L,
    lives: u32,
    most: u32,
    law: Law,
}

impl<L: FnMut(&Scenario) -> World> Search<L> {
    fn broken_in(&mut self, scenario: &Scenario) -> Option<Violation> {
        self.lives += 1;
        (self.live)(scenario).broken
    }

    /// Takes a smaller scenario if the same law is broken in it.
    fn offer(&mut self, found: &mut Shrunk, smaller: Scenario) -> bool {
        if smaller == found.scenario || self.lives >= self.most {
            return false;
        }
        match self.broken_in(&smaller).filter(|broken| broken.law == self.law) {
            Some(broken) => {
                *found = Shrunk { scenario: smaller, broken, lives: self.lives };
                true
            }
            None => false,
        }
    }

    /// Nothing after the moment of the violation matters; and perhaps nobody has to settle.
    fn end_sooner(&mut self, found: &mut Shrunk) {
        let end = u32::try_from(found.broken.at / 1000 + 1).unwrap_or(u32::MAX);
        let mut sooner = found.scenario.clone();
        sooner.faults.retain(|fault| fault.at <= end);
        if end < sooner.seconds {
            (sooner.seconds, sooner.settle) = (end, 0);
        } else if end < sooner.end() {
            sooner.settle = end - sooner.seconds;
        }
        self.offer(found, sooner);
        // What can only be seen once everybody has settled needs no time between the last fault and that.
        let last = |scenario: &Scenario| {
            let ends = scenario.faults.iter().map(|fault| fault.at.saturating_add(fault.what.seconds()));
            ends.max().unwrap_or_default() + 1
        };
        let mut sooner = found.scenario.clone();
        sooner.seconds = sooner.seconds.min(last(&sooner));
        self.offer(found, sooner);
        // Everything in half the time.
        let mut sooner = found.scenario.clone();
        for fault in &mut sooner.faults {
            fault.at /= 2;
        }
        sooner.seconds = sooner.seconds.min(last(&sooner));
        self.offer(found, sooner);
    }

    /// Leaves out as many faults at a time as it can, half of them first.
    fn leave_faults_out(&mut self, found: &mut Shrunk) {
        let mut chunk = found.scenario.faults.len().max(1);
        loop {
            let mut from = 0;
            while from < found.scenario.faults.len() {
                let mut fewer = found.scenario.clone();
                let to = (from + chunk).min(fewer.faults.len());
                fewer.faults.drain(from..to);
                if !self.offer(found, fewer) {
                    from = to;
                }
            }
            if chunk == 1 {
                return;
            }
            chunk /= 2;
        }
    }

    /// Leaves out whole vendors, then halves of what is left, then one at a time.
    fn leave_agents_out(&mut self, found: &mut Shrunk) {
        for vendor in Vendor::ALL {
            loop {
                let numbers = found.scenario.fleet.of(vendor);
                if numbers.is_empty() {
                    break;
                }
                let half = numbers.count / 2;
                // All of them, the one half or the other, the first or the last.
                let parts = [
                    (0, 0),
                    (0, half),
                    (half, numbers.count - half),
                    (1, numbers.count - 1),
                    (0, numbers.count - 1),
                ];
                let smaller = parts.into_iter().any(|(skip, count)| {
                    let mut fewer = found.scenario.clone();
                    let left = fewer.fleet.of_mut(vendor);
                    left.first = if count == 0 { 0 } else { numbers.first + skip };
                    left.count = count;
                    count < numbers.count && self.offer(found, fewer)
                });
                if !smaller {
                    break;
                }
            }
        }
    }

    /// Says of each fault no more than it has to: it befalls everybody, and lasts no longer than it must.
    fn simplify(&mut self, found: &mut Shrunk) {
        for place in 0..found.scenario.faults.len() {
            let mut simpler = found.scenario.clone();
            simpler.faults[place].who = Who::All;
            self.offer(found, simpler);
            for shorter in [1, 10, 60] {
                let mut simpler = found.scenario.clone();
                let fault = &mut simpler.faults[place];
                if fault.what.seconds() > shorter {
                    fault.what = fault.what.lasting(shorter);
                    if self.offer(found, simpler) {
                        break;
                    }
                }
            }
            while found.scenario.faults.get(place).is_some_and(|fault| fault.what.seconds() > 1) {
                let mut simpler = found.scenario.clone();
                let fault = &mut simpler.faults[place];
                fault.what = fault.what.lasting(fault.what.seconds() / 2);
                if !self.offer(found, simpler) {
                    break;
                }
            }
        }
    }
}
