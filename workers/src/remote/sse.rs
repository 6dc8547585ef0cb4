//! Server-sent events, as the HTML standard has them, however the bytes are cut. Pure.
//!
//! Our own, although `sse-stream` reads the same: held against the tests below it ends the whole stream at one byte that is no
//! UTF-8, and drops an event (often `[DONE]`, or an error) that has no empty line behind it, both of which endpoints send; and
//! it has no bound for an event that never ends. Mending the three around it took as much as this file.

/// The largest event, bytes; an endpoint that sends a larger one is broken or hostile.
const MOST_BYTES: usize = 4 * 1_048_576;

/// What a buffer keeps behind a large event.
const KEPT_BYTES: usize = 64 * 1_024;

/// Cuts a byte stream into the `data` of its events.
#[derive(Debug, Default)]
pub struct SseParser {
    /// Bytes of the line that is not complete yet.
    line: Vec<u8>,
    /// Data of the event that is not complete yet, and whether it has any. Both buffers serve the whole stream.
    data: String,
    has_data: bool,
    /// The last line ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    /// Anything was read: a byte order mark is only one at the start.
    begun: bool,
}

/// An event that is larger than any should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {MOST_BYTES} bytes")]
pub struct TooLarge;

impl SseParser {
    /// Takes bytes; calls `event` with the data of each event that they complete.
    pub fn push(&mut self, bytes: &[u8], mut event: impl FnMut(&str)) -> Result<(), TooLarge> {
        let mut rest = bytes;
        if std::mem::take(&mut self.after_cr) {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            // Nothing came at all: the question stays open.
            self.after_cr = bytes.is_empty();
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, after) = rest.split_at(end);
            if self.line.is_empty() {
                self.take_line(line, &mut event);
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take_line(&whole, &mut event);
                whole.clear();
                whole.shrink_to(KEPT_BYTES);
                self.line = whole;
            }
            rest = after.strip_prefix(b"\r\n").unwrap_or(&after[1..]);
            self.after_cr = after == b"\r";
        }
        self.line.extend_from_slice(rest);
        if self.line.len() + self.data.len() > MOST_BYTES {
            return Err(TooLarge);
        }
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], event: &mut impl FnMut(&str)) {
        let line = if std::mem::replace(&mut self.begun, true) {
            line
        } else {
            line.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(line)
        };
        if line.is_empty() {
            self.end_event(event);
            return;
        }
        // `event`, `id`, `retry` and comments mean nothing here.
        let Some(value) = line.strip_prefix(b"data") else {
            return;
        };
        let value = match value {
            [] => value,
            [b':', b' ', value @ ..] | [b':', value @ ..] => value,
            _ => return,
        };
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push('\n');
        }
        self.data.push_str(&String::from_utf8_lossy(value));
    }

    fn end_event(&mut self, event: &mut impl FnMut(&str)) {
        if std::mem::take(&mut self.has_data) {
            event(&self.data);
            self.data.clear();
            self.data.shrink_to(KEPT_BYTES);
        }
    }

    /// The stream is over. The standard drops an event without its empty line, but endpoints that forget it are common.
    pub fn finish(&mut self, mut event: impl FnMut(&str)) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take_line(&line, &mut event);
        }
        self.end_event(&mut event);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            assert_eq!(parser.push(piece, |data| events.push(data.to_owned())), Ok(()));
        }
        parser.finish(|data| events.push(data.to_owned()));
        events
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let cases: [(&str, &[&str]); 8] = [
            ("data: a\n\ndata:b\n\n", &["a", "b"]),
            (
                "\u{FEFF}data: a\r\n\r\n: comment\r\n\r\ndata: b\r\n\r\n",
                &["a", "b"],
            ),
            ("event: x\nid: 1\nretry: 5\ndata: a\ndata: b\n\n", &["a\nb"]),
            ("data\n\n", &[""]),
            ("data:  two spaces\r\r", &[" two spaces"]),
            ("database: x\n\n", &[]),
            ("data: [DONE]", &["[DONE]"]),
            ("\n\n\n", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(events(&[text.as_bytes()]), expected, "{text:?}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused_in_time() {
        let mut parser = SseParser::default();
        let piece = vec![b'x'; MOST_BYTES / 2];
        assert_eq!(parser.push(&piece, |_| {}), Ok(()));
        assert_eq!(parser.push(&piece, |_| {}), Ok(()));
        assert_eq!(parser.push(&piece, |_| {}), Err(TooLarge));
    }

    #[test]
    fn a_large_event_leaves_no_large_buffers_behind() {
        let mut parser = SseParser::default();
        for piece in ["data: ", &"x".repeat(1_048_576), "\n", "\n"] {
            assert_eq!(parser.push(piece.as_bytes(), |_| {}), Ok(()));
        }
        let kept = parser.line.capacity() + parser.data.capacity();
        assert!(kept <= 2 * KEPT_BYTES, "{kept}");
    }

    proptest! {
        #[test]
        fn the_cuts_change_nothing(
            lines in prop::collection::vec("(data: ?[a-zé€]{0,6}|: x|id: 1|)", 0..12),
            ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\r"]), 12),
            cuts in prop::collection::vec(0usize..120, 0..10),
        ) {
            let text: String = lines.iter().zip(&ends).flat_map(|(line, end)| [line.as_str(), end]).collect();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(events(&pieces), events(&[bytes]));
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut parser = SseParser::default();
            prop_assert_eq!(parser.push(&bytes, |_| {}), Ok(()));
            parser.finish(|_| {});
        }
    }
}
