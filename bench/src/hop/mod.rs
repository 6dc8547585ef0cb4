//! What one hop costs: an echo through five topics in a row, the accepting one on disk, at a fixed rate.

pub mod chain;
pub mod column;
pub mod figures;
pub mod load;
pub mod table;
pub mod written;

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// Bytes of a record's value.
    pub bytes: usize,
    /// Records a second, open loop.
    pub rate: u32,
    /// Whether only the first topic carries the value and the others its position, to be read at the end.
    pub by_reference: bool,
}

impl Scenario {
    /// What the decision record needs: small records at both rates, large ones whole and by reference.
    pub const ALL: [Self; 6] = [
        Self::whole(2 << 10, 200),
        Self::whole(2 << 10, 2000),
        Self::whole(256 << 10, 10),
        Self::whole(256 << 10, 40),
        Self::reference(256 << 10, 10),
        Self::reference(256 << 10, 40),
    ];

    /// What a bus does before anything is measured: small records, fast enough that a broker's hot paths are compiled, slow enough
    /// that a cold one keeps up.
    pub const WARM_UP: Self = Self::whole(2 << 10, 1000);

    const fn whole(bytes: usize, rate: u32) -> Self {
        Self {
            bytes,
            rate,
            by_reference: false,
        }
    }

    const fn reference(bytes: usize, rate: u32) -> Self {
        Self {
            bytes,
            rate,
            by_reference: true,
        }
    }

    /// As the table names it.
    pub fn name(&self) -> String {
        let how = if self.by_reference { ", by reference" } else { "" };
        format!("{} KiB at {}/s{how}", self.bytes >> 10, self.rate)
    }
}
