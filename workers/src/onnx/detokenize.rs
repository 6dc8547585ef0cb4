//! Tokens to text, as they come, without ever splitting a character. Pure but for the decoder that is handed in.
//!
//! A token may hold a part of a character, and what a token reads as may depend on its neighbours (leading spaces). So
//! a window of tokens is decoded whole each time, and what it says more than before is the next piece, unless it ends
//! in U+FFFD: then a character is probably not complete yet.

/// Most U+FFFD at the end that the next token may still turn into a character: one that lacks its last of four bytes.
const MOST_PENDING: usize = 3;

/// The state of one sequence.
#[derive(Debug, Default)]
pub struct Detokenizer {
    window: Vec<u32>,
    /// How many tokens at the window's start are only there for what follows them.
    settled: usize,
    /// Bytes of the window's text that were given out.
    given: usize,
}

impl Detokenizer {
    /// Takes a token; gives the text that is certain now. `decode` must be the same every time.
    pub fn push(&mut self, token: u32, decode: impl Fn(&[u32]) -> String) -> String {
        self.window.push(token);
        let text = decode(&self.window);
        let complete = !text.ends_with('\u{FFFD}');
        let pending = text
            .chars()
            .rev()
            .take(MOST_PENDING)
            .take_while(|c| *c == '\u{FFFD}')
            .count();
        let certain = text.len() - pending * '\u{FFFD}'.len_utf8();
        let piece = text.get(self.given..certain).unwrap_or_default().to_owned();
        self.given = self.given.max(certain);
        if complete {
            self.window.drain(..self.settled);
            self.settled = self.window.len();
            self.given = decode(&self.window).len();
        }
        piece
    }

    /// The sequence is over: what is left, whole characters or not.
    pub fn finish(&mut self, decode: impl Fn(&[u32]) -> String) -> String {
        let text = decode(&self.window);
        let rest = text.get(self.given..).unwrap_or_default().to_owned();
        *self = Self::default();
        rest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One token a byte, as byte-level vocabularies do it.
    fn bytes(tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().map(|token| *token as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Words with a leading space that the first one loses, as sentencepiece does it.
    fn words(tokens: &[u32]) -> String {
        let words: Vec<String> = tokens.iter().map(|token| format!("w{token}")).collect();
        words.join(" ")
    }

    fn all(tokens: &[u32], decode: impl Fn(&[u32]) -> String) -> Vec<String> {
        let mut detokenizer = Detokenizer::default();
        let mut pieces: Vec<String> = tokens
            .iter()
            .map(|token| detokenizer.push(*token, &decode))
            .collect();
        pieces.push(detokenizer.finish(&decode));
        pieces
    }

    #[test]
    fn a_character_comes_out_whole_with_its_last_byte() {
        let tokens: Vec<u32> = "a€😀".bytes().map(u32::from).collect();
        assert_eq!(all(&tokens, bytes), ["a", "", "", "€", "", "", "", "😀", ""]);
    }

    #[test]
    fn spaces_between_words_are_kept() {
        assert_eq!(all(&[1, 2, 3], words).concat(), "w1 w2 w3");
    }

    #[test]
    fn bytes_that_are_no_character_do_not_hold_the_text_up_for_ever() {
        let mut detokenizer = Detokenizer::default();
        let given: Vec<String> = (0..40).map(|_| detokenizer.push(0xFF, bytes)).collect();
        assert!(given.concat().chars().count() >= 30);
    }

    proptest! {
        #[test]
        fn the_pieces_together_are_the_whole_text(text in "\\PC{0,40}") {
            let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
            prop_assert_eq!(all(&tokens, bytes).concat(), text);
        }

        #[test]
        fn also_where_the_bytes_are_no_text(tokens in prop::collection::vec(0u32..256, 0..60)) {
            prop_assert_eq!(all(&tokens, bytes).concat(), bytes(&tokens));
        }

        #[test]
        fn also_where_words_lean_on_their_neighbours(tokens in prop::collection::vec(0u32..9, 0..40)) {
            prop_assert_eq!(all(&tokens, words).concat(), words(&tokens));
        }
    }
}
