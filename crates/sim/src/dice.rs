//! Randomness that is the same in every run.

/// What lies between two states that follow each other.
pub(crate) const GAP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64: neighbouring seeds give unrelated numbers.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice that begin at a seed itself.
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of their own for everything that has another `place`.
    pub(crate) const fn new(seed: u64, place: u64) -> Self {
        Self(mix(seed ^ mix(place)))
    }

    pub(crate) const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAP);
        mix(self.0)
    }

    /// Below `end`, which is at least 1.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        // The bias is that of one in 2^64 / end.
        self.draw() % end
    }

    /// From `least` to `most`.
    pub(crate) const fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Happens so many times in a thousand.
    pub(crate) const fn happens(&mut self, permille: u16) -> bool {
        self.below(1000) < permille as u64
    }
}

/// What makes of neighbouring numbers unrelated ones.
pub(crate) const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
