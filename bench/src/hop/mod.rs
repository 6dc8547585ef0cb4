//! What one hop costs: an echo through five topics in a row, the accepting one on disk, at a fixed rate or flat out; and what the disk
//! itself costs, by a plain `fdatasync` in a loop.

pub mod chain;
pub mod column;
pub mod disk;
pub mod figures;
pub mod load;
pub mod table;
pub mod written;

/// How fast records come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// So many a second, open loop.
    PerSecond(u32),
    /// As many as go through with a bounded number under way, closed loop.
    FlatOut,
}

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// Bytes of a record's value.
    pub bytes: usize,
    /// How fast they come.
    pub pace: Pace,
    /// Whether only the first topic carries the value and the others its position, to be read at the end.
    pub by_reference: bool,
}

impl Scenario {
    /// What the decision records need: small records at both rates and flat out, a sustained load, large ones whole and by reference.
    pub const ALL: [Self; 8] = [
        Self::whole(2 << 10, Pace::PerSecond(200)),
        Self::whole(2 << 10, Pace::PerSecond(2000)),
        Self::whole(2 << 10, Pace::FlatOut),
        Self::whole(10 << 10, Pace::PerSecond(3000)),
        Self::whole(256 << 10, Pace::PerSecond(10)),
        Self::whole(256 << 10, Pace::PerSecond(40)),
        Self::reference(256 << 10, Pace::PerSecond(10)),
        Self::reference(256 << 10, Pace::PerSecond(40)),
    ];

    /// What a bus does before anything is measured: small records, fast enough that a broker's hot paths are compiled, slow enough
    /// that a cold one keeps up.
    pub const WARM_UP: Self = Self::whole(2 << 10, Pace::PerSecond(1000));

    const fn whole(bytes: usize, pace: Pace) -> Self {
        Self {
            bytes,
            pace,
            by_reference: false,
        }
    }

    const fn reference(bytes: usize, pace: Pace) -> Self {
        Self {
            bytes,
            pace,
            by_reference: true,
        }
    }

    /// As the table names it.
    pub fn name(&self) -> String {
        let pace = match self.pace {
            Pace::PerSecond(rate) => format!("at {rate}/s"),
            Pace::FlatOut => "flat out".to_owned(),
        };
        let how = if self.by_reference { ", by reference" } else { "" };
        format!("{} KiB {pace}{how}", self.bytes >> 10)
    }
}
