//! From offsets in an executable to the files of source that lie there, inlined ones included, by binutils' `addr2line`.
//!
//! Symbols alone do not do: a service's loop is inlined into whoever spawned it, and a stage's host is one generic function for all of
//! them. The line tables that a release build keeps know both.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::place::Place;
use super::stacks::Sample;

/// Tells each frame of `samples` its places, as far as its file knows them.
///
/// # Errors
/// Where `addr2line` cannot be run.
pub fn resolve(samples: &mut [Sample]) -> anyhow::Result<()> {
    let mut wanted: HashMap<String, BTreeSet<u64>> = HashMap::new();
    for frame in samples.iter().flat_map(|sample| &sample.frames) {
        if frame.file.starts_with('/') {
            wanted.entry(frame.file.clone()).or_default().insert(frame.offset);
        }
    }
    for (file, offsets) in wanted {
        let Ok(image) = std::fs::read(&file) else { continue };
        let Some(segments) = segments(&image) else {
            continue;
        };
        let found = lines(&file, &offsets, &segments)?;
        let frames = samples.iter_mut().flat_map(|sample| &mut sample.frames);
        for frame in frames.filter(|frame| frame.file == file) {
            frame.places = found.get(&frame.offset).cloned().unwrap_or_default();
        }
    }
    Ok(())
}

fn lines(
    file: &str,
    offsets: &BTreeSet<u64>,
    segments: &[Segment],
) -> anyhow::Result<HashMap<u64, Vec<Place>>> {
    let asked: Vec<(u64, u64)> = offsets
        .iter()
        // What a caller's frame holds is where it will go on: the call lies before that.
        .filter_map(|offset| Some((*offset, address(segments, *offset)?.saturating_sub(1))))
        .collect();
    let questions = asked.iter().fold(String::new(), |mut text, (_, address)| {
        let _ = writeln!(text, "{address:#x}");
        text
    });
    let mut child = Command::new("addr2line")
        .args(["-a", "-i", "-e", file])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("`addr2line` cannot be run: binutils has it")?;
    let mut input = child.stdin.take().context("it was piped")?;
    // Beside the reading: either of the two pipes may be full.
    let asking = std::thread::spawn(move || input.write_all(questions.as_bytes()));
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "addr2line -e {file}: {}", output.status);
    asking
        .join()
        .map_err(|_| anyhow::anyhow!("asking addr2line panicked"))??;
    Ok(answers(&asked, &String::from_utf8_lossy(&output.stdout)))
}

/// Reads the answers to `asked`, pairs of an offset and its address: a line of the address, then a line a place.
fn answers(asked: &[(u64, u64)], text: &str) -> HashMap<u64, Vec<Place>> {
    let mut offsets = asked.iter().map(|(offset, _)| *offset);
    let (mut found, mut now) = (HashMap::new(), None);
    for line in text.lines() {
        if line.starts_with("0x") {
            now = offsets.next();
        } else if let (Some(offset), Some((path, _))) = (now, line.rsplit_once(':')) {
            let places: &mut Vec<Place> = found.entry(offset).or_default();
            places.extend(Place::of(path));
        }
    }
    found
}

/// A part of an ELF file that is mapped: where it lies in the file, how long it is, and to which address it goes.
type Segment = (u64, u64, u64);

/// The loadable segments of a 64-bit ELF file (see elf(5)).
fn segments(image: &[u8]) -> Option<Vec<Segment>> {
    const LOAD: u32 = 1;
    let long = |at: usize| Some(u64::from_le_bytes(image.get(at..at + 8)?.try_into().ok()?));
    let short = |at: usize| {
        Some(usize::from(u16::from_le_bytes(
            image.get(at..at + 2)?.try_into().ok()?,
        )))
    };
    if !image.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (long(32)? as usize, short(54)?, short(56)?);
    let segment = |number: usize| {
        let at = table + number * size;
        let kind = u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?);
        (kind == LOAD).then_some((long(at + 8)?, long(at + 32)?, long(at + 16)?))
    };
    Some((0..count).filter_map(segment).collect())
}

fn address(segments: &[Segment], offset: u64) -> Option<u64> {
    let holds = |(from, length, _): &&Segment| (*from..from + length).contains(&offset);
    let (from, _, to) = segments.iter().find(holds)?;
    Some(offset - from + to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_behind_an_address_is_a_place_of_it() {
        let text = "0x0000000000002fff\n/a/bus/src/inner.rs:3\n/rustc/x/library/core/src/y.rs:1\n/a/planner/src/lib.rs:40 (discriminator 2)\n\
                    0x0000000000003fff\n??:0\n";
        let found = answers(&[(0x2000, 0x2fff), (0x3000, 0x3fff)], text);
        let rooms =
            |offset: u64| -> Vec<&str> { found[&offset].iter().map(|place| place.room.as_str()).collect() };
        assert_eq!(rooms(0x2000), ["bus", "planner"]);
        assert!(rooms(0x3000).is_empty());
    }

    #[test]
    fn an_offset_in_an_executable_has_the_address_that_it_is_mapped_to() -> anyhow::Result<()> {
        let file = std::env::current_exe()?;
        let image = std::fs::read(&file)?;
        let segments = segments(&image).context("it is an ELF file")?;
        assert!(segments.len() > 1);
        let (from, length, to) = segments[segments.len() - 1];
        assert_eq!(address(&segments, from + 1), Some(to + 1));
        assert_eq!(address(&segments, from + length + (1 << 40)), None);
        Ok(())
    }
}
