//! Stop strings, also where they lie across tokens. Pure.
//!
//! What might be the beginning of a stop string is held back until it is known not to be one. The stop string that is
//! complete first ends the text (of two complete at once, the one that began first), so that the way in which the text
//! is cut into pieces changes nothing.

/// Passes text on up to the first stop string.
#[derive(Debug)]
pub struct StopScanner {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl StopScanner {
    /// A scanner for `stops`; empty strings stop nothing.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self {
            stops,
            held: String::new(),
            stopped: false,
        }
    }

    /// Takes the next piece; gives what may be shown now.
    pub fn push(&mut self, piece: &str) -> String {
        if self.stopped {
            return String::new();
        }
        let mut text = std::mem::take(&mut self.held);
        text.push_str(piece);
        let ends = |stop: &String| text.find(stop.as_str()).map(|start| (start + stop.len(), start));
        if let Some((_, start)) = self.stops.iter().filter_map(ends).min() {
            self.stopped = true;
            text.truncate(start);
            return text;
        }
        let safe = text.len() - self.longest_beginning(&text);
        self.held = text.split_off(safe);
        text
    }

    /// Whether a stop string was found.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// The text is over: what was held back is text after all.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end of `text` that a stop string might begin with.
    fn longest_beginning(&self, text: &str) -> usize {
        let beginning = |stop: &String| {
            let inner = stop.char_indices().map(|(at, _)| at).skip(1);
            inner
                .filter(|len| text.ends_with(&stop[..*len]))
                .max()
                .unwrap_or(0)
        };
        self.stops.iter().map(beginning).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut scanner = StopScanner::new(stops.iter().map(|stop| (*stop).to_owned()));
        let mut shown: String = pieces.iter().map(|piece| scanner.push(piece)).collect();
        shown.push_str(&scanner.finish());
        (shown, scanner.stopped())
    }

    #[test]
    fn a_stop_string_is_found_across_pieces_and_is_not_shown() {
        let cases: [(&[&str], &[&str], &str, bool); 7] = [
            (&["END"], &["a E", "N", "D b"], "a ", true),
            (&["END"], &["a E", "N"], "a EN", false),
            (&["END"], &["a EN", "EN", "D"], "a EN", true),
            (&["aab"], &["aa", "ab"], "a", true),
            (&[], &["a", "b"], "ab", false),
            (&[""], &["a"], "a", false),
            (&["é!"], &["caf", "é", "!x"], "caf", true),
        ];
        for (stops, pieces, shown, stopped) in cases {
            assert_eq!(
                scan(stops, pieces),
                (shown.to_owned(), stopped),
                "{stops:?} in {pieces:?}"
            );
        }
    }

    #[test]
    fn what_might_begin_a_stop_string_is_held_back_and_the_rest_is_not() {
        let mut scanner = StopScanner::new(["\nuser:".to_owned()]);
        assert_eq!(scanner.push("hello\n"), "hello");
        assert_eq!(scanner.push("us"), "");
        assert_eq!(scanner.push("ual"), "\nusual");
        assert_eq!(scanner.push("\nuser: x"), "");
        assert!(scanner.stopped());
        assert_eq!(scanner.push("more"), "");
    }

    proptest! {
        #[test]
        fn the_cuts_change_nothing_and_nothing_after_the_first_complete_stop_is_shown(
            text in "[abé]{0,24}",
            stops in prop::collection::vec("[abé]{1,4}", 0..4),
            cuts in prop::collection::vec(0usize..30, 0..8),
        ) {
            let chars: Vec<char> = text.chars().collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(chars.len())).collect();
            cuts.extend([0, chars.len()]);
            cuts.sort_unstable();
            let pieces: Vec<String> = cuts.windows(2).map(|cut| chars[cut[0]..cut[1]].iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();

            // By the letter: grow the text a character at a time until it ends in a stop string.
            let ends = |len: &usize| stops.iter().any(|stop| text[..*len].ends_with(stop));
            let boundaries = || text.char_indices().map(|(at, _)| at).chain([text.len()]);
            let expected = match boundaries().find(ends) {
                Some(end) => {
                    let longest = stops.iter().filter(|stop| text[..end].ends_with(**stop)).map(|stop| stop.len()).max();
                    (text[..end - longest.unwrap_or(0)].to_owned(), true)
                }
                None => (text.clone(), false),
            };
            prop_assert_eq!(scan(&stops, &pieces), expected);
        }
    }
}
