//! The arguments of a tool call as they come: whether they are a whole JSON value yet. Pure.

/// How far they have come.
#[derive(Debug, Default)]
pub struct Arguments {
    begun: bool,
    whole: bool,
    /// Open braces and brackets.
    depth: u32,
    at: At,
}

/// Where the next byte stands.
#[derive(Debug, Default)]
enum At {
    #[default]
    Structure,
    Text,
    Escape,
}

impl Arguments {
    /// Takes the next piece.
    pub fn take(&mut self, piece: &str) {
        self.begun |= !piece.is_empty();
        for byte in piece.bytes() {
            self.take_byte(byte);
        }
    }

    fn take_byte(&mut self, byte: u8) {
        match (&self.at, byte) {
            (At::Escape, _) | (At::Structure, b'"') => self.at = At::Text,
            (At::Text, b'\\') => self.at = At::Escape,
            (At::Text, b'"') => self.at = At::Structure,
            (At::Structure, b'{' | b'[') => self.depth += 1,
            (At::Structure, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                self.whole |= self.depth == 0;
            }
            _ => {}
        }
    }

    /// Whether any have come.
    pub fn have_begun(&self) -> bool {
        self.begun
    }

    /// Whether they are an object or a list that has been closed.
    pub fn are_whole(&self) -> bool {
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_whole_once_what_was_opened_is_closed() {
        let cases: [(&[&str], bool); 7] = [
            (&[""], false),
            (&["{"], false),
            (&["{", "}"], true),
            (&[r#"{"a":"}"#], false),
            (&[r#"{"a":"\"}"#, r#"","b":[{}]"#], false),
            (&[r#"{"a":"\"}"#, r#"","b":[{}]"#, "}"], true),
            (&["[1]"], true),
        ];
        for (pieces, whole) in cases {
            let mut arguments = Arguments::default();
            for piece in pieces {
                arguments.take(piece);
            }
            assert_eq!(arguments.are_whole(), whole, "{pieces:?}");
        }
    }
}
