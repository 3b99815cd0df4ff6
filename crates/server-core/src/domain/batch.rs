//! Batches: what a device's images are gathered in.

use chrono::{DateTime, Utc};

use super::{Agent, BatchLimits, NewImage, No};

/// The label of a device that says which project its images are for.
///
/// Nothing on the wire names a project, so it is the device's: an operator marks the device with it, and a batch
/// holds images for one project.
pub const PROJECT_LABEL: &str = "project";

/// What images are gathered in: one device's, and of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its number.
    pub no: No,
    /// Its id on the wire.
    pub id: String,
    /// The device.
    pub agent: No,
    /// What the device's label said when it was opened.
    pub project: Option<String>,
    /// The images in it.
    pub images: u32,
    /// When its first image came.
    pub opened_at: DateTime<Utc>,
    /// Why it takes no more, and since when; `None` while it does.
    pub closed: Option<(WhyClosed, DateTime<Utc>)>,
}

impl Batch {
    /// Why it takes no further image of a device; `None` if it does.
    #[must_use]
    pub fn refuses(&self, device: &Agent, limits: &BatchLimits, at: DateTime<Utc>) -> Option<WhyClosed> {
        if let Some((why, _)) = self.closed {
            Some(why)
        } else if self.images >= limits.images {
            Some(WhyClosed::Full)
        } else if !limits.takes_another(self.images, self.opened_at, at) {
            Some(WhyClosed::Old)
        } else if self.project.as_ref() != device.labels.get(PROJECT_LABEL) {
            Some(WhyClosed::Project)
        } else {
            None
        }
    }
}

/// Why a batch takes no more images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyClosed {
    /// It has as many as it may.
    Full,
    /// Its time is over.
    Old,
    /// The device works for another project.
    Project,
    /// An operator has closed it.
    Operator,
}

impl WhyClosed {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Full, Self::Old, Self::Project, Self::Operator];

    /// The word that stores and operators use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Old => "old",
            Self::Project => "project",
            Self::Operator => "operator",
        }
    }

    /// The reason of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == word)
    }
}

/// Which batches to list, the latest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchFilter {
    /// Only those of a device.
    pub agent: Option<No>,
    /// Only those that take images, or only those that do not.
    pub open: Option<bool>,
    /// Only those with a lower number.
    pub before: Option<No>,
    /// How many at most.
    pub limit: u32,
}

impl BatchFilter {
    /// Whether a batch of the tenant is asked for, the limit aside.
    #[must_use]
    pub fn asks_for(&self, batch: &Batch) -> bool {
        self.agent.is_none_or(|agent| batch.agent == agent)
            && self.open.is_none_or(|open| batch.closed.is_none() == open)
            && self.before.is_none_or(|before| batch.no < before)
    }
}

/// Which images to list, the latest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFilter {
    /// Only those of a device.
    pub agent: Option<No>,
    /// Only those in a batch, by its id.
    pub batch: Option<String>,
    /// Only those with a lower number.
    pub before: Option<No>,
    /// How many at most.
    pub limit: u32,
}

impl ImageFilter {
    /// Whether an image of the tenant is asked for, the limit aside.
    #[must_use]
    pub fn asks_for(&self, row: &ImageRow) -> bool {
        self.agent.is_none_or(|agent| row.image.agent == agent)
            && self.batch.as_ref().is_none_or(|batch| row.image.batch == *batch)
            && self.before.is_none_or(|before| row.no < before)
    }
}

/// An image as it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRow {
    /// Its number.
    pub no: No,
    /// What is known of it; its batch is the one that it went into.
    pub image: NewImage,
}
