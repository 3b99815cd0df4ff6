use serde::{Deserialize, Serialize};

use super::version;

/// How many versions that were given up are remembered.
const REMEMBERED: usize = 8;

/// What is to be known about an update after a crash: how far it is, and what was given up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Journal {
    /// How far the update is; none is under way without one: the last one is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stage: Option<Stage>,
    /// Versions that were given up, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) given_up: Vec<GivenUp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "at")]
pub(super) enum Stage {
    /// The new program lies checked beside the old one.
    Staged { from: Program, to: Program },
    /// The new program is in the place of the old one, has been started so often, and was not confirmed.
    Swapped { from: Program, to: Program, starts: u32 },
    /// The old program is being put back.
    Returning { from: Program, to: Program, why: String },
    /// The old program has been put back, and does not know it yet.
    Returned { to: Program, why: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Program {
    pub(super) version: String,
    /// 64 lower hex digits.
    pub(super) sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GivenUp {
    pub(super) program: Program,
    pub(super) why: String,
}

impl Journal {
    /// Why a version was given up before, if it was. Bytes that were given up are so under another name too.
    pub(super) fn given_up(&self, version: &str, sha256: &str) -> Option<&GivenUp> {
        let mut all = self.given_up.iter();
        all.find(|GivenUp { program, .. }| {
            version::is_same(&program.version, version) || program.sha256.eq_ignore_ascii_case(sha256)
        })
    }

    pub(super) fn give_up(&mut self, program: Program, why: String) {
        self.given_up.retain(|given_up| given_up.program != program);
        self.given_up.push(GivenUp { program, why });
        if self.given_up.len() > REMEMBERED {
            self.given_up.remove(0);
        }
    }
}
