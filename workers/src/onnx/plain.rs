//! Text is text: what a client wrote never becomes a control token, whatever it spells.
//!
//! A chat template writes control tokens (`<|end|>`, `<|assistant|>`) as text, and the tokenizer finds them by their spelling:
//! a message that spells them would end its own turn and begin another. So each spelling of one inside a message gets a mark,
//! a character that occurs nowhere in the request, before the template is rendered. The tokenizer then finds the template's
//! own tokens only, and the marks are taken out before anything else is made of the text. Everything the template does with
//! the message (trims it, asks how it begins) works as before, and a conversation that spells no control token is tokenized
//! by the library as it stands.
//!
//! Two ways lead around the mark, and are closed: a normalizer may turn another spelling into that of a control token, and a
//! vocabulary may hold the control token as a word like any other. In a text with marks tokens are looked for before the
//! normalizer runs, and a control token that the model itself proposes for a text is spelt out in shorter tokens.

use std::collections::HashSet;
use std::ops::Range;

use aho_corasick::{AhoCorasick, Match, MatchKind};
use tokenizers::tokenizer::pre_tokenizer::OffsetType;
use tokenizers::{
    AddedToken, Model as _, ModelWrapper, NormalizedString, Normalizer as _, NormalizerWrapper,
    PreTokenizer as _, Token, Tokenizer,
};

/// The tokens of a tokenizer that steer a model, by their spelling and by their number.
pub struct ControlTokens {
    spellings: AhoCorasick,
    ids: HashSet<u32>,
    /// By the order of the spellings: whether the template looks for it in what the assistant said (`</think>`).
    looked_for: Vec<bool>,
}

/// Who wrote a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// The model, as the client tells it: what the template looks for there, it may find.
    Assistant,
    /// Anybody else.
    Other,
}

impl ControlTokens {
    /// Those of `tokenizer`, and `also`; `template` is the source of the model's chat template.
    pub fn of(tokenizer: &Tokenizer, also: &[String], template: Option<&str>) -> Result<Self, String> {
        let added = tokenizer.get_added_tokens_decoder();
        let mut tokens: Vec<(&str, bool)> = added
            .values()
            .filter(|token| steers(token))
            .map(|token| (token.content.as_str(), token.special))
            .chain(also.iter().map(|token| (token.as_str(), true)))
            .filter(|(token, _)| !token.trim().is_empty())
            .collect();
        tokens.sort_unstable();
        let spellings = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            // A template may write in small letters what came in large ones.
            .ascii_case_insensitive(true)
            .build(tokens.iter().map(|(token, _)| token))
            .map_err(|error| error.to_string())?;
        let looked_for = |(token, special): &(&str, bool)| {
            !special && template.is_some_and(|source| source.contains(token))
        };
        Ok(Self {
            spellings,
            ids: tokens
                .iter()
                .filter_map(|(token, _)| tokenizer.token_to_id(token))
                .collect(),
            looked_for: tokens.iter().map(looked_for).collect(),
        })
    }

    /// Where `text` spells one, other than what its author may.
    fn find<'a>(&'a self, text: &'a str, author: Author) -> impl Iterator<Item = Range<usize>> + 'a {
        let may =
            move |found: &Match| author == Author::Assistant && self.looked_for[found.pattern().as_usize()];
        let found = self.spellings.find_iter(text);
        found.filter(move |found| !may(found)).map(|found| found.range())
    }

    /// A pen for `texts`, with a mark that none of them holds.
    pub fn pen<'a>(&'a self, tokenizer: &'a Tokenizer, texts: &[&str]) -> Result<Pen<'a>, String> {
        let private = '\u{F0000}'..='\u{10FFFD}';
        let taken: HashSet<char> = texts
            .iter()
            .flat_map(|text| text.chars().filter(|c| private.contains(c)))
            .collect();
        let mark = private.clone().find(|c| !taken.contains(c));
        Ok(Pen {
            controls: self,
            tokenizer,
            mark: mark.ok_or("the messages hold every character of private use")?,
            marked: false,
        })
    }
}

/// Whether an added token is more than a word. Words and runs of spaces are added to vocabularies, too, and stay what they are.
fn steers(token: &AddedToken) -> bool {
    let word = |c: char| c.is_alphanumeric() || c.is_whitespace() || c == '▁';
    token.special || !token.content.chars().all(word)
}

/// Writes the texts of one prompt, and tokenizes what became of them.
pub struct Pen<'a> {
    controls: &'a ControlTokens,
    tokenizer: &'a Tokenizer,
    mark: char,
    /// Whether any text holds a mark, or would spell a control token once it is normalized.
    marked: bool,
}

impl Pen<'_> {
    /// `text`, with a mark in each control token that it spells.
    pub fn write(&mut self, text: &str, author: Author) -> String {
        let mut written = String::with_capacity(text.len());
        let mut from = 0;
        let mut marked = false;
        for found in self.controls.find(text, author) {
            let first = text[found.clone()].chars().next().map_or(0, char::len_utf8);
            // Inside, so that the text begins and ends as it did; a token of one character has no inside.
            let inside = if first < found.len() { first } else { 0 };
            let at = found.start + inside;
            written.push_str(&text[from..at]);
            written.push(self.mark);
            from = at;
            marked = true;
        }
        written.push_str(&text[from..]);
        self.marked |= marked || self.hides_one(text, author);
        written
    }

    /// Whether the normalizer makes a control token of what spells none.
    fn hides_one(&self, text: &str, author: Author) -> bool {
        let Some(normalizer) = self.tokenizer.get_normalizer() else {
            return false;
        };
        let mut spelling = NormalizedString::from(text);
        // A text that cannot be normalized cannot be tokenized either: that is said there.
        normalizer.normalize(&mut spelling).is_ok()
            && self.controls.find(spelling.get(), author).next().is_some()
    }

    /// The tokens of a prompt made of what was written, without the marks.
    pub fn tokenize(&self, prompt: &str, add_special_tokens: bool) -> tokenizers::Result<Vec<u32>> {
        let encoding = if self.marked {
            let vocabulary = self.tokenizer.get_added_vocabulary();
            let mut pieces = vocabulary.extract_and_normalize(None::<&NormalizerWrapper>, prompt);
            pieces.normalize(|piece| {
                piece.filter(|c| c != self.mark);
                match self.tokenizer.get_normalizer() {
                    Some(normalizer) => normalizer.normalize(piece),
                    None => Ok(()),
                }
            })?;
            if let Some(splitter) = self.tokenizer.get_pre_tokenizer() {
                splitter.pre_tokenize(&mut pieces)?;
            }
            pieces.tokenize(|piece| self.spell_out(piece.get()))?;
            let encoding = pieces.into_encoding(None, 0, OffsetType::None)?;
            self.tokenizer.post_process(encoding, None, add_special_tokens)?
        } else {
            self.tokenizer.encode_fast(prompt, add_special_tokens)?
        };
        Ok(encoding.get_ids().to_vec())
    }

    /// The model's tokens for `text`, control tokens in shorter ones.
    fn spell_out(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let model: &ModelWrapper = self.tokenizer.get_model();
        let mut tokens = Vec::new();
        for token in model.tokenize(text)? {
            let spelling = text.get(token.offsets.0..token.offsets.1).unwrap_or_default();
            // The token for what is unknown is one, too; there its name is not what the text says.
            let is_control = self.controls.ids.contains(&token.id)
                && model.id_to_token(token.id).as_deref() == Some(spelling);
            let first = spelling.chars().next().map_or(0, char::len_utf8);
            if !is_control {
                tokens.push(token);
            } else if first < spelling.len() {
                tokens.extend(self.spell_out(&spelling[..first])?);
                tokens.extend(self.spell_out(&spelling[first..])?);
            }
            // One character that is a control token has no other spelling, and is left out.
        }
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests;
