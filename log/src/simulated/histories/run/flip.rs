//! Turns bits of what segments hold.

use super::{Run, Sabotage};
use crate::format::entry::Kind;
use crate::format::header::SegmentHeader;
use crate::format::{seed, segment_number};
use crate::simulated::Call;
use crate::simulated::histories::step::Flip;
use crate::simulated::histories::victim::{self, Part};
use crate::{Damage, OpenError, Seq, verify};

impl Run {
    /// Turns a bit of what a segment holds, and lets another process find it.
    pub(super) fn flip(&mut self, flip: Flip) -> &'static str {
        let mut names = self.disk.names();
        names.retain(|name| segment_number(name).is_some());
        let Some(name) = names.iter().rev().nth(flip.segment) else {
            return "nothing to flip";
        };
        let bytes = self.disk.contents(name).unwrap_or_default();
        let live = self.live_length(&names, name, bytes.len());
        let position = live * usize::from(flip.part) / 65_536;
        let Some(hit) = victim::victim(&bytes[..live], position) else {
            return "nothing to flip";
        };
        let again = |seq: Seq| self.model.hits.contains_key(&seq) || self.model.frame_hits.contains(&seq);
        if hit.seq.is_some_and(again) {
            return "nothing to flip";
        }
        if self.sabotage == Some(Sabotage::NoLengthChecksum) {
            return self.lie_about_a_length(name, &bytes[..live], hit.seq);
        }
        if !self.disk.flip(name, position as u64, flip.bit) {
            return "nothing to flip";
        }
        self.tell(|| format!("    bit {} of byte {position} of {name}: {hit:?}", flip.bit));
        match hit.seq {
            Some(seq) if hit.of_batch => {
                self.model.hits.insert(seq, hit.part);
            }
            Some(seq) => {
                self.model.frame_hits.insert(seq);
            }
            None => {}
        }
        self.model.flipped.extend(segment_number(name));
        self.verdict.coverage.met("a bit turned", hit.part.name(), "done");
        if hit.of_batch && hit.seq.is_some_and(|seq| self.model.must_be_found(seq)) {
            self.find(segment_number(name).unwrap_or_default(), hit.part);
        }
        "flipped"
    }

    /// Another process must find what is wrong with a segment.
    fn find(&mut self, segment: u64, part: Part) {
        match verify(&self.disk) {
            Ok(verified) if verified.damaged.iter().any(|damage| damage.segment == segment) => {
                self.verdict
                    .coverage
                    .met("a bit turned", part.name(), "found by verify");
            }
            Ok(_) if self.disk.has_failed_in(Call::Read) => {}
            Ok(verified) => self.wrong(format!(
                "a bit turned {} of segment {segment} is not found: {verified:?}",
                part.name()
            )),
            Err(error) => {
                self.not_verified(&error);
            }
        }
    }

    /// Another process looks at everything, and finds nothing where nothing was done.
    pub(super) fn verify(&mut self) -> &'static str {
        match verify(&self.disk) {
            Ok(verified) => {
                // One of the two heads of a segment may be torn by a loss of power, and does no harm.
                let is_head = |damage: &Damage| damage.position == 0 && damage.what.contains("copy");
                let mut damaged = verified.damaged.iter();
                let excused = damaged.all(|damage| is_head(damage) || self.model.may_be_damaged(damage));
                if !excused && !self.disk.has_failed_in(Call::Read) {
                    self.wrong(format!("verify finds damage where there is none: {verified:?}"));
                }
                "verified"
            }
            Err(error) => self.not_verified(&error),
        }
    }

    fn not_verified(&mut self, error: &OpenError) -> &'static str {
        if !self.disk.has_happened() && !self.disk.is_dead() {
            self.wrong(format!("cannot be verified: {error}"));
        }
        "not verified"
    }

    /// How much of a segment counts: the rest may have been abandoned after a failed sync.
    fn live_length(&self, names: &[String], name: &str, length: usize) -> usize {
        let cuts = names.iter().filter_map(|other| {
            let cut = SegmentHeader::decode(&self.disk.contents(other)?).ok()?.cut?;
            match segment_number(name)? {
                number if number == cut.number => Some(cut.at as usize),
                number if number > cut.number && other.as_str() > name => Some(0),
                _ => None,
            }
        });
        let length = cuts.fold(length, usize::min);
        self.left_over(names, name).map_or(length, |at| length.min(at))
    }

    /// Where entries begin that were cut off before a later segment went on, and came back.
    fn left_over(&self, names: &[String], name: &str) -> Option<usize> {
        let head = |name: &String| SegmentHeader::decode(&self.disk.contents(name)?).ok();
        let later = names.iter().filter(|other| other.as_str() > name);
        let end = later.filter_map(head).map(|head| head.first_seq).min()?;
        let bytes = self.disk.contents(name)?;
        let head = SegmentHeader::decode(&bytes).ok()?;
        let entries = victim::entries(&bytes, seed(head.salt, head.number));
        let first = entries.iter().find(|laid| laid.header.seq >= end)?;
        Some(first.position)
    }

    /// What a turned bit in a length does where no checksum covers it: every checksum holds.
    fn lie_about_a_length(&mut self, name: &str, bytes: &[u8], seq: Option<u64>) -> &'static str {
        let Ok(head) = SegmentHeader::decode(bytes) else {
            return "nothing to flip";
        };
        let seed = seed(head.salt, head.number);
        let mut chain = None;
        for laid in victim::entries(bytes, seed) {
            let mut header = laid.header;
            match chain {
                Some(crc) => header.previous.crc = crc,
                None if Some(header.seq) == seq && header.kind == Kind::Record => header.value_len ^= 1 << 7,
                None => continue,
            }
            let (forged, crc) = header.encode(seed);
            self.disk.forge(name, laid.position as u64, &forged);
            chain = Some(crc);
        }
        if chain.is_none() {
            return "nothing to flip";
        }
        self.model.hits.extend(seq.map(|seq| (seq, Part::Head)));
        "lied about a length"
    }
}
