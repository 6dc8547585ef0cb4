//! Bits flipped in the log of a stopped gateway: it starts, what is whole is there, and what is not is told with its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use relay_bus::{EmbeddedBus, EmbeddedOptions, topics};
use relay_log::format::entry::{self, EntryHeader, Kind};
use relay_log::format::footer::TRAILER;
use relay_log::format::header::{self, SegmentHeader};
use relay_log::format::{seed, segment_number};
use relay_schemas::{DeadLetter, Registry};
use relay_settings::ByteSize;

use crate::ask::{Manner, ask, unique_prompt};
use crate::files::kept;
use crate::gateway::{Gateway, KILLABLE};
use crate::ledger;
use crate::load::{TENANTS, seed_batch};
use crate::proofs::MOST;
use crate::settle::settle_after_restart;

/// Kinds of fields that a segment is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The head of a record.
    Head,
    /// Its key.
    Key,
    /// Its value.
    Value,
    /// The head of the segment.
    SegmentHead,
    /// The checkpoint that opens it.
    Checkpoint,
    /// Its footer.
    Footer,
    /// What says where the footer is.
    Trailer,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Head,
        Self::Key,
        Self::Value,
        Self::SegmentHead,
        Self::Checkpoint,
        Self::Footer,
        Self::Trailer,
    ];

    fn is_of_a_record(self) -> bool {
        matches!(self, Self::Head | Self::Key | Self::Value)
    }
}

/// A bit that was flipped.
#[derive(Debug)]
struct Flip {
    field: Field,
    /// The file's name.
    segment: String,
    number: u64,
    /// Where the entry begins that holds it, or the file.
    byte: u64,
}

/// Calls of [`seed_batch`], each with this many lines and one of no model.
const SEEDS: u64 = 30;
const LINES: u64 = 4;

/// Flips a bit in each of `fields`, each in a segment of its own of one log, and starts a gateway on that; says how many bits.
pub async fn flipped(fields: &[Field]) -> anyhow::Result<usize> {
    let mut gateway = Gateway::prepare(KILLABLE, &[])?;
    let proof = flip_and_start(&mut gateway, fields).await;
    kept(proof, &mut gateway.folder)
}

async fn flip_and_start(gateway: &mut Gateway, fields: &[Field]) -> anyhow::Result<usize> {
    gateway.run(None)?;
    gateway.ready().await?;
    let (http, mut saw) = (crate::http::client(), Vec::new());
    for number in 0..8 {
        let (tenant, prompt) = (format!("tenant-{}", number % TENANTS), unique_prompt(number));
        saw.push(ask(&http, &gateway.base_url, &tenant, &prompt, Manner::Streamed, None).await);
    }
    gateway.stop()?;
    let log = gateway.data().join("log");
    let ended = segments(&log)?.into_keys().next_back().unwrap_or(0);
    seed_unread(&log).await?;
    let flips = flip(&log, ended, fields)?;
    is_named(gateway, &flips)?;
    let ledger = settle_after_restart(gateway, &saw, MOST).await?;
    let records = flips.iter().filter(|flip| flip.field.is_of_a_record());
    let whole = (SEEDS * (LINES + 1)) as usize - records.clone().count();
    ensure!(
        ledger.batch_lines.len() == whole,
        "{} of {whole} whole lines are there",
        ledger.batch_lines.len()
    );
    let bus = ledger::embedded(&gateway.data())?;
    let registry = Registry::default();
    let mut reasons = Vec::new();
    for record in ledger::all(&*bus, topics::DEAD_LETTERS).await? {
        let letter: DeadLetter = registry.decode(record.value.as_deref())?;
        reasons.extend((letter.source_topic == topics::BATCH_REQUESTS).then_some(letter.reason));
    }
    for flip in records {
        let place = format!("segment {}, byte {}", flip.number, flip.byte);
        ensure!(
            reasons.iter().any(|reason| reason.ends_with(&place)),
            "no dead letter names {place} ({flip:?}): {reasons:?}"
        );
    }
    Ok(flips.len())
}

/// Puts batch lines into the log of a gateway that does not run, on many small segments.
async fn seed_unread(log: &Path) -> anyhow::Result<()> {
    let options = EmbeddedOptions {
        segment_size: ByteSize::kib(4),
        ..EmbeddedOptions::default()
    };
    let clock = relay_clock::Clock::system();
    let bus = EmbeddedBus::open(log, &ledger::manifest(), options, &clock)?;
    for seed in 0..SEEDS {
        seed_batch(&bus, 9_000 + seed, LINES).await?;
    }
    Ok(())
}

/// `relay log verify` names each of them, and nothing else.
fn is_named(gateway: &Gateway, flips: &[Flip]) -> anyhow::Result<()> {
    let output = gateway.command(&["log", "verify"])?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.code() == Some(1), "damage is exit code 1: {told}");
    let lines: Vec<&str> = told.lines().filter(|line| line.contains(".seg, byte ")).collect();
    for flip in flips {
        let begin = if flip.field.is_of_a_record() {
            format!(
                "{}, byte {}: {}, partition",
                flip.segment,
                flip.byte,
                topics::BATCH_REQUESTS
            )
        } else {
            format!("{}, byte ", flip.segment)
        };
        ensure!(
            lines.iter().any(|line| line.starts_with(&begin)),
            "no line begins `{begin}` for {flip:?}:\n{told}"
        );
    }
    let foreign = lines
        .iter()
        .find(|line| !flips.iter().any(|flip| line.starts_with(&flip.segment)));
    ensure!(foreign.is_none(), "nothing is wrong there: {foreign:?}");
    Ok(())
}

/// Flips a bit of each field in a closed segment behind `ended` of its own.
fn flip(log: &Path, ended: u64, fields: &[Field]) -> anyhow::Result<Vec<Flip>> {
    let mut segments = segments(log)?
        .into_iter()
        .filter(|(number, _)| *number > ended + 1);
    let mut flips = Vec::new();
    for field in fields {
        let flip = loop {
            let (number, path) = segments.next().context("too few segments were made")?;
            let mut bytes = std::fs::read(&path)?;
            let Some((begin, at)) = place(&bytes, number, *field) else {
                continue;
            };
            bytes[at] ^= 1 << rand::random_range(0..8);
            std::fs::write(&path, bytes)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            break Flip {
                field: *field,
                segment: name.into_owned(),
                number,
                byte: begin as u64,
            };
        };
        flips.push(flip);
    }
    // The last segment is still open, and what is damaged in the one before it may be mended when it is opened.
    ensure!(segments.count() > 2, "too few segments were made");
    Ok(flips)
}

/// Where the damaged thing begins in a segment, and a random byte of the field.
fn place(bytes: &[u8], number: u64, field: Field) -> Option<(usize, usize)> {
    let seed = seed(SegmentHeader::decode(bytes).ok()?.salt, number);
    let mut position = header::LENGTH as usize;
    if field == Field::SegmentHead {
        return Some((0, rand::random_range(0..position)));
    }
    if field == Field::Trailer {
        let begin = bytes.len() - TRAILER;
        return Some((begin, rand::random_range(begin..bytes.len())));
    }
    while let Some((head, _)) = bytes
        .get(position..)
        .and_then(|rest| EntryHeader::decode(rest, seed))
    {
        let key = position + entry::LENGTH;
        let (key_end, value) = (key + usize::from(head.key_len), key + head.meta_len as usize);
        let end = position + head.size() as usize;
        let of_a_line = bytes[key..key_end].windows(7).any(|part| part == b"/batch-");
        let line = head.kind == Kind::Record && of_a_line;
        let range = match field {
            Field::Head if line => position..key,
            Field::Key if line => key..key_end,
            Field::Value if line => value..end,
            Field::Checkpoint if head.kind == Kind::Checkpoint => key..end,
            Field::Footer if head.kind == Kind::Footer => key..value,
            _ => {
                position = end;
                continue;
            }
        };
        return Some((position, rand::random_range(range)));
    }
    None
}

fn segments(log: &Path) -> anyhow::Result<BTreeMap<u64, PathBuf>> {
    let mut segments = BTreeMap::new();
    for file in std::fs::read_dir(log)? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(number) = segment_number(&name) {
            segments.insert(number, path);
        }
    }
    Ok(segments)
}
