//! What a choice has said so far, so that a whole message that comes behind its pieces, or instead of them, adds what is new
//! in it and nothing else. Pure.
//!
//! Some endpoints end a stream with the whole message, some send `message` where the API has `delta`: each time the text so
//! far, or each time the next piece.

use relay_schemas::Delta;

use super::choice::Unreadable;

/// What a choice has said.
#[derive(Debug, Default)]
pub struct Spoken {
    text: String,
    reasoning: String,
    refusal: String,
    /// Something came as a piece: a message is then no piece.
    in_pieces: bool,
    /// Tool calls came.
    calls: bool,
    /// Unknown fields came.
    extra: bool,
}

impl Spoken {
    /// Takes a piece in. What a message that came with it has beyond all that was said is added to the piece.
    pub fn take(
        &mut self,
        piece: &mut Delta,
        message: Option<Result<Delta, Unreadable>>,
    ) -> Result<(), Unreadable> {
        self.text.push_str(&piece.text);
        self.reasoning.push_str(&piece.reasoning);
        self.refusal.push_str(&piece.refusal);
        self.calls |= !piece.tool_calls.is_empty();
        self.extra |= piece.extra.is_some();
        let texts = [&piece.text, &piece.reasoning, &piece.refusal];
        self.in_pieces |= self.calls || self.extra || texts.iter().any(|text| !text.is_empty());
        match message {
            Some(Ok(message)) => self.add(piece, message),
            // All that it says is there.
            Some(Err(Unreadable)) if !self.in_pieces => return Err(Unreadable),
            Some(Err(Unreadable)) | None => {}
        }
        Ok(())
    }

    fn add(&mut self, piece: &mut Delta, message: Delta) {
        let texts = [
            (&mut self.text, &mut piece.text, message.text),
            (&mut self.reasoning, &mut piece.reasoning, message.reasoning),
            (&mut self.refusal, &mut piece.refusal, message.refusal),
        ];
        for (had, piece, said) in texts {
            let more = behind(had, &said, self.in_pieces);
            piece.push_str(more);
            had.push_str(more);
        }
        if !(self.in_pieces && self.calls) {
            piece.tool_calls.extend(message.tool_calls);
        }
        if !(self.in_pieces && self.extra) {
            piece.extra = message.extra;
        }
    }
}

/// What of `said` follows behind `had`. A message behind pieces may leave out the blanks around them, or say the newest again.
fn behind<'a>(had: &str, said: &'a str, in_pieces: bool) -> &'a str {
    let again = |had: &str, said: &str| had.starts_with(said) || had.ends_with(said);
    match said.strip_prefix(had) {
        Some(more) => more,
        None if in_pieces && again(had.trim(), said.trim()) => "",
        None => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A delta's text, and a message's.
    type Piece = (&'static str, Option<&'static str>);

    /// All that is said by pieces.
    fn all(pieces: &[Piece]) -> String {
        let mut spoken = Spoken::default();
        let mut all = String::new();
        for (delta, message) in pieces {
            let mut piece = Delta::text(*delta);
            let message = message.map(|message| Ok(Delta::text(message)));
            spoken.take(&mut piece, message).expect("it can be read");
            all.push_str(&piece.text);
        }
        all
    }

    #[test]
    fn messages_say_the_whole_or_the_next_piece_and_nothing_twice() {
        let cases: [(&[Piece], &str); 9] = [
            (&[("", Some("hello")), ("", Some(" w"))], "hello w"),
            (
                &[("", Some("he")), ("", Some("hello")), ("", Some("hello w"))],
                "hello w",
            ),
            (&[("", Some("hello"))], "hello"),
            (&[("he", None), ("llo", None), ("", Some("hello"))], "hello"),
            (&[(" he", None), ("llo\n", None), ("", Some("hello"))], " hello\n"),
            (&[("he", Some("he")), ("llo", Some("hello"))], "hello"),
            (&[("he", None), ("", Some("hello"))], "hello"),
            (&[("he", Some("he")), ("llo", Some("llo"))], "hello"),
            (&[("a", None), ("", Some("something else"))], "asomething else"),
        ];
        for (pieces, expected) in cases {
            assert_eq!(all(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_message_that_cannot_be_read_matters_only_where_it_may_be_all_there_is() {
        let mut spoken = Spoken::default();
        let mut nothing = Delta::default();
        assert_eq!(spoken.take(&mut nothing, Some(Err(Unreadable))), Err(Unreadable));
        assert_eq!(spoken.take(&mut Delta::text("a"), Some(Err(Unreadable))), Ok(()));
    }

    #[test]
    fn fields_and_calls_that_came_in_pieces_do_not_come_again_with_the_message() {
        let with = |extra: &str| Delta {
            extra: Some(extra.to_owned()),
            ..Delta::default()
        };
        let mut spoken = Spoken::default();
        let mut first = with(r#"{"x":"a"}"#);
        let mut last = Delta::default();
        let whole = || Some(Ok(with(r#"{"x":"a"}"#)));
        assert_eq!(spoken.take(&mut first, None), Ok(()));
        assert_eq!(spoken.take(&mut last, whole()), Ok(()));
        assert_eq!(last.extra, None);
        let mut only = Delta::default();
        assert_eq!(Spoken::default().take(&mut only, whole()), Ok(()));
        assert!(only.extra.is_some());
    }
}
