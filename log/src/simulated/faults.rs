//! Which calls fail, when and how.

use std::io;

use rustix::io::Errno;

/// A call to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named as in `Storage` and `StorageFile`")]
pub enum Call {
    List,
    Create,
    Open,
    Rename,
    Remove,
    SyncFolder,
    Read,
    Write,
    Sync,
    SetLen,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::List,
        Self::Create,
        Self::Open,
        Self::Rename,
        Self::Remove,
        Self::SyncFolder,
        Self::Read,
        Self::Write,
        Self::Sync,
        Self::SetLen,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "from list",
            Self::Create => "from create",
            Self::Open => "from open",
            Self::Rename => "from rename",
            Self::Remove => "from remove",
            Self::SyncFolder => "from folder sync",
            Self::Read => "from read",
            Self::Write => "from write",
            Self::Sync => "from sync",
            Self::SetLen => "from set_len",
        }
    }
}

/// What happens instead of what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// EIO. A write may have written a part, a rename may have happened, a sync has let some pages through.
    Io,
    /// ENOSPC, likewise.
    Full,
    /// Reads or writes less than asked, and says so.
    Short,
}

impl Mischief {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Full => Errno::NOSPC.into(),
            Self::Io | Self::Short => Errno::IO.into(),
        }
    }
}

/// What the page cache makes of pages that a failed sync did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// Forgotten: reading shows what is on disk.
    Dropped,
    /// Kept and called clean: reading shows them, the next sync succeeds and does not write them.
    MarkedClean,
    /// Kept and dirty: the next sync writes them.
    StillDirty,
}

/// Calls that are going to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub call: Call,
    /// How many of them go well before.
    pub after: u32,
    /// How many fail then.
    pub times: u32,
    /// How they fail.
    pub mischief: Mischief,
    /// What follows, where a sync fails.
    pub aftermath: Aftermath,
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts a call and says what goes wrong with it. A fault lies in wait behind another one of the same call.
    pub(super) fn on(&mut self, call: Call) -> Option<Fault> {
        let at = self.0.iter().position(|fault| fault.call == call)?;
        let fault = &mut self.0[at];
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.times = fault.times.saturating_sub(1);
        let now = *fault;
        if now.times == 0 {
            self.0.remove(at);
        }
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_comes_after_the_calls_it_waits_for_and_as_often_as_it_says() {
        let mut faults = Faults::default();
        faults.add(Fault {
            call: Call::Sync,
            after: 1,
            times: 2,
            mischief: Mischief::Io,
            aftermath: Aftermath::Dropped,
        });
        let failed = |faults: &mut Faults, call| faults.on(call).is_some();
        assert!(!failed(&mut faults, Call::Write));
        let syncs = [0; 4].map(|_| failed(&mut faults, Call::Sync));
        assert_eq!(syncs, [false, true, true, false]);
    }
}
