//! Inputs are read bit by bit, at a takeover and after it.

use relay_runner::{Appended, Folded, LeadershipTopic};
use relay_scheduler::core::{At, Ends, Input, Offer};
use relay_schemas::TimestampMs;

use super::{BODY_BYTES, Scheduler};
use crate::log::Log;
use crate::world::World;

impl Scheduler {
    /// Reads who leads, and the newest snapshot of a leader, as the election does.
    pub(super) fn follow(&mut self, log: &Log) {
        let topic = &log.pools[self.pool].scheduler;
        while let Some((at, record)) = topic.entry(self.leadership_next) {
            let notice = self.topic().notice(record);
            let offset = self.leadership_next;
            self.leadership.observe(&notice, Appended { offset, at }, at);
            if let Some(snapshot) = &record.snapshot
                && self.leadership.is_present(&notice)
            {
                self.snapshot = Some(snapshot.clone());
            }
            self.leadership_next += 1;
        }
    }

    /// Opens a core on the newest snapshot of a leader, and notes what must be folded before it decides.
    pub(super) fn open(&mut self, log: &Log) {
        let fresh = Self::new(self.number, self.start);
        self.core = fresh.core;
        (self.led, self.settling, self.fencing) = (None, Vec::new(), Vec::new());
        let topics = &log.pools[self.pool];
        if let Some(snapshot) = &self.snapshot {
            self.core.restore(snapshot);
        }
        self.next = Input::ALL
            .into_iter()
            .map(|input| (input, self.core.reads_from(input, 0).max(0)))
            .collect();
        let mut ends = Ends::default();
        for (input, end) in [
            (Input::Outcomes, log.outcomes.end()),
            (Input::WorkShort, topics.short.end()),
            (Input::WorkLong, topics.long.end()),
            (Input::Ready, topics.ready.end()),
        ] {
            ends.add(input, 0, end);
        }
        self.ends = Some(ends);
    }

    /// Whether `input` is read on now, as the shell's loop has it: outcomes after the work that they end, offers while there is room.
    fn reads(&self, input: Input) -> bool {
        match input {
            Input::Outcomes => self
                .ends
                .as_ref()
                .is_none_or(|ends| self.core.has_folded_work(ends)),
            Input::Ready => !self.core.is_full(),
            Input::WorkShort | Input::WorkLong => true,
        }
    }

    /// Folds at most `most` records of `input`.
    pub(super) fn fold_some(&mut self, input: Input, most: usize, log: &Log, now: TimestampMs) {
        for _ in 0..most {
            if !self.reads(input) || !self.fold(input, log, now) {
                return;
            }
        }
    }

    /// Whether it has something to read.
    pub(super) fn is_behind(&self, log: &Log) -> bool {
        let topics = &log.pools[self.pool];
        let end = |input: Input| match input {
            Input::Ready => topics.ready.end(),
            Input::WorkShort => topics.short.end(),
            Input::WorkLong => topics.long.end(),
            Input::Outcomes => log.outcomes.end(),
        };
        let unread = |input: &Input| {
            self.reads(*input) && self.next.get(input).is_some_and(|next| *next < end(*input))
        };
        self.led.is_some() && Input::ALL.iter().any(unread)
    }

    /// Whether it has read every outcome there is.
    pub fn has_settled(&self, log: &Log) -> bool {
        self.next[&Input::Outcomes] == log.outcomes.end()
    }

    /// Folds the next record of `input`; false if there is none.
    fn fold(&mut self, input: Input, log: &Log, now: TimestampMs) -> bool {
        let topics = &log.pools[self.pool];
        let next = self.next.entry(input).or_default();
        let at = At {
            partition: 0,
            offset: *next,
        };
        match input {
            Input::Ready => {
                let Some(ready) = topics.ready.get(at.offset) else {
                    return false;
                };
                let wanted = self.core.wants(at);
                if wanted && topics.damaged.contains(&at.offset) {
                    self.core.skip(input, at);
                } else if wanted {
                    let offer = Offer {
                        ready: ready.clone(),
                        at,
                        bytes: BODY_BYTES,
                        queued_at: now,
                        trace: None,
                    };
                    self.core.offer(offer, now);
                }
            }
            Input::WorkShort | Input::WorkLong => {
                let short = input == Input::WorkShort;
                let topic = if short { &topics.short } else { &topics.long };
                let Some((work, ready_at)) = topic.get(at.offset) else {
                    return false;
                };
                let (id, lease) = (&work.request.request_id, &work.lease);
                let core = &mut self.core;
                if !core.work_read_back(id, lease.attempt, lease.scheduler_epoch, input, at) {
                    core.work(work.clone(), input, at, *ready_at, now);
                }
            }
            Input::Outcomes => {
                let Some(outcome) = log.outcomes.get(at.offset) else {
                    return false;
                };
                self.core.outcome(outcome, at);
            }
        }
        *next += 1;
        true
    }
}

impl World {
    /// Begins to decide once all that a predecessor did is known.
    pub(super) fn recovered(&mut self, number: u8) {
        let now = self.now;
        let scheduler = &mut self.schedulers[usize::from(number)];
        let (Some(ends), Some(epoch)) = (&scheduler.ends, scheduler.led) else {
            return;
        };
        if scheduler.core.has_folded(ends) {
            scheduler.ends = None;
            scheduler.core.lead(epoch, now);
            self.note(|| format!("scheduler-{number} has recovered"));
        }
    }
}

#[cfg(test)]
mod tests {
    use relay_runner::NoticeKind as Kind;

    use super::*;

    #[test]
    fn what_a_leader_wrote_after_it_was_deposed_is_not_begun_with() {
        let (old, new) = (Scheduler::new(0, 1), Scheduler::new(1, 1));
        let mut reader = Scheduler::new(1, 2);
        let mut log = Log::default();
        let now = TimestampMs(0);
        for (writer, kind, epoch) in [
            (&old, Kind::Claim, -1),
            (&new, Kind::Claim, 0),
            (&old, Kind::Snapshot, 0),
        ] {
            let record = writer.record(kind, epoch, now);
            log.pools[0].scheduler.append(record, now);
        }
        reader.follow(&log);
        assert_eq!(reader.snapshot, None);
        log.pools[0]
            .scheduler
            .append(new.record(Kind::Snapshot, 1, now), now);
        reader.follow(&log);
        assert_eq!(reader.snapshot, Some(new.core.snapshot()));
    }
}
