//! How long a prompt probably is.

/// What chat templates add before the answer, in tokens.
pub const REPLY_PRIMER: u32 = 3;
/// What chat templates add to each message, in tokens.
pub const PER_MESSAGE: u32 = 4;

/// Estimated tokens of a text: a token for every four ASCII bytes, rounded up, and one for every other character.
///
/// Byte-pair vocabularies need about four bytes a token for English and about one token a character for scripts that
/// they saw little of. It decides lanes and admission only; the worker's count replaces it.
pub fn estimate(text: &str) -> u32 {
    if text.is_ascii() {
        return u32::try_from(text.len().div_ceil(4)).unwrap_or(u32::MAX);
    }
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().count() - ascii;
    u32::try_from(ascii.div_ceil(4) + others).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompt_lengths_are_estimated_by_the_documented_rule() {
        let table = [
            ("", 0),
            ("abcd", 1),
            ("abcde", 2),
            ("Grüße", 3),
            ("日本語", 3),
            ("😀", 1),
        ];
        for (text, tokens) in table {
            assert_eq!(estimate(text), tokens, "{text:?}");
        }
    }
}
