//! What happens in a world: a plain value, written as JSON and lived again.

use fleetwire_server_core::domain::Vendor;
use serde::{Deserialize, Serialize};

use crate::dice::{Dice, mix};

/// A world: who lives in it, for how long, and what befalls them.
///
/// Two runs of one scenario are the same to the last event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What every draw is made from.
    pub seed: u64,
    /// The agents.
    pub fleet: Fleet,
    /// Seconds in which faults may fall.
    pub seconds: u32,
    /// Seconds after those, without faults, at whose end everybody must be well again. An agent that was cut off for
    /// hours comes back within 33 minutes.
    pub settle: u32,
    /// What befalls them.
    pub faults: Vec<Fault>,
}

/// The agents of each vendor. Every other one belongs to a second tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// Acusight devices.
    #[serde(default, skip_serializing_if = "Numbers::is_empty")]
    pub acusight: Numbers,
    /// ZStack agents.
    #[serde(default, skip_serializing_if = "Numbers::is_empty")]
    pub zstack: Numbers,
    /// AgentMC hosts, with an agent on each.
    #[serde(default, skip_serializing_if = "Numbers::is_empty")]
    pub agentmc: Numbers,
    /// Achilles agents.
    #[serde(default, skip_serializing_if = "Numbers::is_empty")]
    pub achilles: Numbers,
}

/// Agents with consecutive numbers. What befalls an agent depends on its number alone, so that leaving others out
/// changes nothing for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// The first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first: u32,
    /// How many.
    pub count: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Numbers {
    /// So many, from 0 on.
    #[must_use]
    pub const fn upto(count: u32) -> Self {
        Self { first: 0, count }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Fleet {
    /// So many agents, of all vendors in equal parts.
    #[must_use]
    pub const fn mixed(agents: u32) -> Self {
        const fn of(agents: u32, place: u32) -> u32 {
            agents.saturating_add(3 - place) / 4
        }
        Self {
            acusight: Numbers::upto(of(agents, 0)),
            zstack: Numbers::upto(of(agents, 1)),
            agentmc: Numbers::upto(of(agents, 2)),
            achilles: Numbers::upto(of(agents, 3)),
        }
    }

    /// So many agents of one vendor.
    #[must_use]
    pub fn only(vendor: Vendor, agents: u32) -> Self {
        let mut fleet = Self::default();
        *fleet.of_mut(vendor) = Numbers::upto(agents);
        fleet
    }

    /// The agents of a vendor.
    #[must_use]
    pub const fn of(&self, vendor: Vendor) -> Numbers {
        match vendor {
            Vendor::Acusight => self.acusight,
            Vendor::ZStack => self.zstack,
            Vendor::AgentMc => self.agentmc,
            Vendor::Achilles => self.achilles,
        }
    }

    pub(super) const fn of_mut(&mut self, vendor: Vendor) -> &mut Numbers {
        match vendor {
            Vendor::Acusight => &mut self.acusight,
            Vendor::ZStack => &mut self.zstack,
            Vendor::AgentMc => &mut self.agentmc,
            Vendor::Achilles => &mut self.achilles,
        }
    }

    /// How many agents there are.
    #[must_use]
    pub fn agents(&self) -> u32 {
        Vendor::ALL.into_iter().map(|vendor| self.of(vendor).count).fold(0, u32::saturating_add)
    }
}

/// Something that befalls a world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The second at which it begins.
    pub at: u32,
    /// Whom it befalls, where it does not befall the server.
    #[serde(default, skip_serializing_if = "Who::is_all")]
    pub who: Who,
    /// What it is.
    pub what: What,
}

/// Whom something befalls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Who {
    /// Everybody.
    #[default]
    All,
    /// So many of a thousand, chosen by `salt`.
    Share {
        /// How many of a thousand.
        permille: u16,
        /// Which.
        salt: u64,
    },
}

impl Who {
    const fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether it befalls an agent.
    pub(super) const fn holds(self, agent: u64) -> bool {
        match self {
            Self::All => true,
            Self::Share { permille, salt } => mix(salt ^ mix(agent)) % 1000 < permille as u64,
        }
    }
}

/// What befalls a world. Times are in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// The server's process is gone for a time. What it had not flushed is lost, unless it stops in an orderly way.
    ServerDown {
        /// For how long.
        seconds: u32,
        /// Whether it flushes first.
        orderly: bool,
    },
    /// Nobody of these reaches the server, which is up.
    Unreachable {
        /// For how long.
        seconds: u32,
    },
    /// Something before the server answers in its place: 429 or 503.
    Refused {
        /// For how long.
        seconds: u32,
        /// The status.
        status: u16,
        /// `Retry-After`, if it says so.
        retry_after: Option<u32>,
    },
    /// Requests are lost on the way.
    RequestsLost {
        /// For how long.
        seconds: u32,
        /// How many of a thousand.
        permille: u16,
    },
    /// Answers are lost on the way: the server has done what it was asked to.
    AnswersLost {
        /// For how long.
        seconds: u32,
        /// How many of a thousand.
        permille: u16,
    },
    /// Requests and answers take their time. An agent waits 30 s for an answer; what is later arrives all the same.
    Slow {
        /// For how long.
        seconds: u32,
        /// How long each of both takes at most, in milliseconds.
        most: u32,
    },
    /// Requests arrive twice, the second time some seconds later.
    Duplicated {
        /// For how long.
        seconds: u32,
        /// How many of a thousand.
        permille: u16,
    },
    /// Somebody sets the machine's clock.
    ClockSet {
        /// By how much, in seconds; back if negative.
        by: i32,
    },
    /// The machine is suspended: its monotonic clock stands still.
    Suspended {
        /// For how long.
        seconds: u32,
    },
    /// The agent's process dies and is started again over what it has kept.
    Crashed {
        /// After how many further steps, so that it may die between any two.
        steps: u16,
        /// For how long it is away.
        seconds: u32,
    },
    /// An operator offers each a new key.
    KeysRotated,
    /// An operator queues a piece of work for each.
    WorkQueued {
        /// How long doing it takes.
        takes: u32,
    },
    /// An operator calls off whatever work of theirs is open.
    WorkCanceled,
    /// An operator shuts them out for a time.
    Disabled {
        /// For how long.
        seconds: u32,
    },
    /// Each tries its key on an agent of the other tenant.
    Trespass,
}

impl What {
    /// How long it lasts.
    #[must_use]
    pub const fn seconds(mut self) -> u32 {
        match self.span() {
            Some(seconds) => *seconds,
            None => 0,
        }
    }

    /// The same for so long, where it lasts.
    pub(super) const fn lasting(mut self, wanted: u32) -> Self {
        if let Some(seconds) = self.span() {
            *seconds = wanted;
        }
        self
    }

    /// How long it lasts, if it does.
    const fn span(&mut self) -> Option<&mut u32> {
        match self {
            Self::ServerDown { seconds, .. }
            | Self::Unreachable { seconds }
            | Self::Refused { seconds, .. }
            | Self::RequestsLost { seconds, .. }
            | Self::AnswersLost { seconds, .. }
            | Self::Slow { seconds, .. }
            | Self::Duplicated { seconds, .. }
            | Self::Suspended { seconds }
            | Self::Crashed { seconds, .. }
            | Self::Disabled { seconds } => Some(seconds),
            Self::ClockSet { .. }
            | Self::KeysRotated
            | Self::WorkQueued { .. }
            | Self::WorkCanceled
            | Self::Trespass => None,
        }
    }
}

/// How many sorts of faults there are to draw from.
const SORTS: u64 = 18;

impl Scenario {
    /// A world in which nothing goes wrong.
    #[must_use]
    pub const fn calm(seed: u64, fleet: Fleet, seconds: u32) -> Self {
        Self { seed, fleet, seconds, settle: 0, faults: Vec::new() }
    }

    /// A world drawn from a seed: each sort of fault at least once, and some more, as many as the time holds.
    #[must_use]
    pub fn draw(seed: u64, fleet: Fleet, seconds: u32) -> Self {
        let mut dice = Dice::new(seed, 0);
        let count = SORTS.max(u64::from(seconds) / 1200);
        let mut faults: Vec<_> = (0..count).map(|sort| fault(&mut dice, sort % SORTS, seconds)).collect();
        faults.sort_by_key(|fault| fault.at);
        Self { seed, fleet, seconds, settle: 2700, faults }
    }

    /// The second at which it is over.
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.seconds.saturating_add(self.settle)
    }
}

fn fault(dice: &mut Dice, sort: u64, world: u32) -> Fault {
    let mut number =
        |least: u32, most: u32| u32::try_from(dice.between(least.into(), most.into())).unwrap_or(most);
    // Mostly short, now and then an hour or two.
    let length = number(0, 3);
    let seconds = match length {
        0 => number(1, 20),
        1 | 2 => number(20, 900),
        _ => number(900, 7200),
    }
    .clamp(1, (world / 4).max(1));
    let permille = u16::try_from(number(5, 300)).unwrap_or(300);
    // What most is to be seen of stands twice.
    let what = match sort {
        0 | 1 => What::ServerDown { seconds: number(1, seconds), orderly: sort == 1 },
        2 => What::Unreachable { seconds },
        3 => {
            let status = if number(0, 1) == 0 { 429 } else { 503 };
            let retry_after = (number(0, 2) > 0).then(|| number(1, 180));
            What::Refused { seconds: seconds.min(1800), status, retry_after }
        }
        4 => What::RequestsLost { seconds, permille },
        5 => What::AnswersLost { seconds, permille },
        6 => What::Slow { seconds, most: number(50, 40_000) },
        7 => What::Duplicated { seconds, permille },
        8 => {
            let by = i32::try_from(number(0, 4_000_000)).unwrap_or_default() - 2_000_000;
            What::ClockSet { by }
        }
        9 => What::Suspended { seconds },
        10 => What::Crashed { steps: u16::try_from(number(0, 12)).unwrap_or_default(), seconds },
        11 | 16 => What::KeysRotated,
        12 | 13 => What::WorkQueued { takes: number(0, 240) },
        14 => What::WorkCanceled,
        15 => What::Disabled { seconds },
        _ => What::Trespass,
    };
    let share = number(0, 9);
    let everybody = share == 0 && !matches!(what, What::Disabled { .. } | What::Trespass);
    let share = u16::try_from(number(10, 600)).unwrap_or(600);
    let at = number(120.min(world / 2), world.saturating_sub(what.seconds()).max(121.min(world)));
    let who = if everybody { Who::All } else { Who::Share { permille: share, salt: dice.draw() } };
    let server = matches!(what, What::ServerDown { .. });
    Fault { at, who: if server { Who::All } else { who }, what }
}
