//! Where folding a partition begins: by the tables, not by the group. Pure.

use relay_bus::OffsetRange;
use relay_store::Folded;

/// Where one partition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    /// What the tables say of it.
    pub from: Option<i64>,
    /// What they are to say.
    pub at: Folded,
    /// Records that the log dropped before they were folded.
    pub dropped: i64,
    /// Up to here the log knows what was folded, and of all dead letters; nothing where it knows no such group (any more).
    pub told: Option<i64>,
    /// Whether something that was folded once is missing and will be folded again.
    pub rebuilds: bool,
    /// Whether the log no longer holds all of what is missing.
    pub lost: bool,
}

/// `tables`: what they say; `log`: what it holds; `committed`: how far the group has folded at any time.
pub(super) fn start(tables: Option<Folded>, log: OffsetRange, committed: Option<i64>) -> Start {
    // Tables that are ahead of the log were folded from another one: what this one holds is all that can be said.
    let known = tables.filter(|tables| tables.next <= log.high);
    let next = known.map_or(log.low, |known| known.next.max(log.low));
    let once = committed.unwrap_or(0).min(log.high);
    let another_log = tables.is_some() && known.is_none();
    let whole_from = match known {
        Some(known) => known.whole_from.min(log.high).max(once),
        None if another_log => log.high,
        None => once,
    };
    Start {
        from: tables.map(|tables| tables.next),
        at: Folded { next, whole_from },
        dropped: known.map_or(0, |known| next - known.next),
        told: committed.map(|committed| committed.max(log.low)),
        rebuilds: next < whole_from,
        lost: known.map_or(0, |known| known.next) < log.low.min(whole_from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: OffsetRange = OffsetRange { low: 100, high: 500 };

    fn begins(tables: Option<(i64, i64)>, committed: Option<i64>) -> (i64, i64, i64, bool) {
        let tables = tables.map(|(next, whole_from)| Folded { next, whole_from });
        let start = start(tables, LOG, committed);
        assert_eq!(start.from, tables.map(|tables| tables.next));
        (start.at.next, start.at.whole_from, start.dropped, start.rebuilds)
    }

    #[test]
    fn folding_begins_where_the_tables_stand_whatever_the_group_says() {
        assert_eq!(begins(Some((400, 0)), Some(400)), (400, 400, 0, false));
        assert_eq!(
            begins(Some((400, 0)), Some(350)),
            (400, 350, 0, false),
            "killed before its commit"
        );
        assert_eq!(begins(None, None), (100, 0, 0, false), "the first start of all");
    }

    #[test]
    fn what_was_folded_once_and_is_missing_is_rebuilt() {
        assert_eq!(
            begins(None, Some(400)),
            (100, 400, 0, true),
            "lost, emptied or set aside"
        );
        assert_eq!(
            begins(Some((200, 200)), Some(400)),
            (200, 400, 0, true),
            "restored"
        );
        assert_eq!(
            begins(Some((300, 400)), Some(300)),
            (300, 400, 0, true),
            "stopped while it rebuilt"
        );
    }

    /// Found by an attacker: tables of a backup that was taken under load were told to lack what only a backup brings back.
    #[test]
    fn nothing_is_lost_that_the_log_still_holds() {
        let lost = |tables: Option<i64>, committed| {
            let tables = tables.map(|next| Folded { next, whole_from: 0 });
            start(tables, LOG, committed).lost
        };
        assert!(!lost(Some(400), Some(405)), "copied before the log was");
        assert!(!lost(Some(100), Some(405)), "the log begins just there");
        assert!(lost(Some(99), Some(405)), "one is gone");
        assert!(
            lost(None, Some(405)),
            "what lay before the log's beginning is gone"
        );
        assert!(!lost(None, None), "nothing was folded before");
        let whole = OffsetRange { low: 0, high: 500 };
        assert!(!start(None, whole, Some(400)).lost, "the log holds all of it");
    }

    #[test]
    fn dead_letters_are_known_of_up_to_the_commit_whatever_is_folded_again() {
        let told = |tables: Option<i64>, committed| {
            let tables = tables.map(|next| Folded { next, whole_from: 0 });
            start(tables, LOG, committed).told
        };
        assert_eq!(told(Some(400), Some(400)), Some(400));
        assert_eq!(told(Some(400), Some(350)), Some(350), "killed before its commit");
        assert_eq!(told(None, Some(400)), Some(400), "rebuilt");
        assert_eq!(
            told(Some(400), Some(40)),
            Some(100),
            "as far as the log reaches back"
        );
        assert_eq!(told(Some(400), None), None, "a group that was forgotten");
    }

    #[test]
    fn what_the_log_dropped_before_it_was_folded_is_said() {
        assert_eq!(begins(Some((40, 0)), Some(40)), (100, 40, 60, false));
    }

    #[test]
    fn tables_of_another_log_are_folded_from_its_beginning() {
        assert_eq!(begins(Some((900, 900)), None), (100, 500, 0, true));
        assert_eq!(begins(Some((900, 900)), Some(450)), (100, 500, 0, true));
    }
}
