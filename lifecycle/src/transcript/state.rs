//! An answer taken in piece by piece.

use std::sync::OnceLock;

use relay_schemas::{Answer, Choice, Delta, Embedding, Frame, Message, ToolCall, ToolCallDelta};

use super::extra::Growing;
use super::pieces::{embedding_weight, weight};
use super::rest::{deltas_of, rest_of_choice};

/// An answer as far as it has come.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    /// By index, without what came along: that stands in `beside`.
    choices: Vec<Choice>,
    beside: Box<Beside>,
    /// By index.
    embeddings: Vec<Embedding>,
    bytes: usize,
}

/// What is known of the choices beside what they say.
#[derive(Debug, Clone, Default)]
struct Beside {
    /// For each choice, the index under which each of its tool calls came; their order is the order of appearance.
    calls: Vec<Vec<u32>>,
    /// For each choice.
    extras: Vec<Extras>,
    /// The choices with their `extras`, once somebody has asked for them.
    whole: OnceLock<Vec<Choice>>,
}

/// What came along with a choice, its message and its tool calls, as it grows.
#[derive(Debug, Clone, Default)]
struct Extras {
    choice: Growing,
    message: Growing,
    calls: Vec<Growing>,
}

impl Extras {
    fn is_nothing(&self) -> bool {
        self.choice.is_nothing() && self.message.is_nothing() && self.calls.iter().all(Growing::is_nothing)
    }

    fn write(&self, choice: &mut Choice) {
        choice.extra = self.choice.text();
        choice.message.extra = self.message.text();
        for (call, extra) in choice.message.tool_calls.iter_mut().zip(&self.calls) {
            call.extra = extra.text();
        }
    }
}

/// Two are equal that say the same, in whatever pieces it came.
impl PartialEq for Transcript {
    fn eq(&self, other: &Self) -> bool {
        self.choices() == other.choices() && self.embeddings == other.embeddings
    }
}

impl Transcript {
    /// The content of an answer.
    pub fn of(answer: &Answer) -> Self {
        let mut transcript = Self::default();
        for delta in deltas_of(&answer.choices) {
            transcript.apply_delta(&delta);
        }
        for vector in &answer.embeddings {
            transcript.apply_embedding(vector);
        }
        transcript
    }

    /// Takes in what a frame brings.
    pub fn apply(&mut self, frame: &Frame) {
        for delta in &frame.deltas {
            self.apply_delta(delta);
        }
        for piece in &frame.embeddings {
            self.apply_embedding(piece);
        }
    }

    /// Takes in the next piece of a choice.
    pub fn apply_delta(&mut self, delta: &Delta) {
        if delta.is_empty() {
            return;
        }
        self.bytes += weight(delta);
        self.beside.whole.take();
        let at = self.choice_at(delta.index);
        let (choice, beside) = (&mut self.choices[at], &mut *self.beside);
        let (calls, extras) = (&mut beside.calls[at], &mut beside.extras[at]);
        choice.finish_reason = delta.finish_reason.or(choice.finish_reason);
        if let Some(more) = &delta.choice_extra {
            extras.choice.join(more);
        }
        let message = &mut choice.message;
        append(&mut message.text, &delta.text);
        append(&mut message.reasoning, &delta.reasoning);
        append(&mut message.refusal, &delta.refusal);
        message.logprobs.extend_from_slice(&delta.logprobs);
        message
            .refusal_logprobs
            .extend_from_slice(&delta.refusal_logprobs);
        if let Some(more) = &delta.extra {
            extras.message.join(more);
        }
        for piece in &delta.tool_calls {
            apply_call(message, calls, &mut extras.calls, piece);
        }
    }

    /// Takes in the next values of a vector.
    pub fn apply_embedding(&mut self, piece: &Embedding) {
        self.bytes += embedding_weight(piece);
        match self
            .embeddings
            .binary_search_by_key(&piece.index, |known| known.index)
        {
            Ok(at) => self.embeddings[at].values.extend_from_slice(&piece.values),
            Err(at) => self.embeddings.insert(at, piece.clone()),
        }
    }

    /// Its choices, by index.
    pub fn choices(&self) -> &[Choice] {
        if self.beside.extras.iter().all(Extras::is_nothing) {
            return &self.choices;
        }
        self.beside.whole.get_or_init(|| {
            let mut choices = self.choices.clone();
            self.write_extras(&mut choices);
            choices
        })
    }

    fn write_extras(&self, choices: &mut [Choice]) {
        for (choice, extras) in choices.iter_mut().zip(&self.beside.extras) {
            extras.write(choice);
        }
    }

    /// Its vectors, by index.
    pub fn embeddings(&self) -> &[Embedding] {
        &self.embeddings
    }

    /// Choices and vectors.
    pub fn into_parts(mut self) -> (Vec<Choice>, Vec<Embedding>) {
        let mut choices = std::mem::take(&mut self.choices);
        self.write_extras(&mut choices);
        (choices, self.embeddings)
    }

    /// The text of the first choice.
    pub fn first_text(&self) -> &str {
        let first = self.choices.first();
        first
            .and_then(|choice| choice.message.text.as_deref())
            .unwrap_or_default()
    }

    /// Whether nothing has come.
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty() && self.embeddings.is_empty()
    }

    /// About what it takes in memory and on the wire.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What a client that saw `shown` has still to get, a delta a choice; nothing where the two are not of one answer.
    /// Vectors are never shown in part, and stand aside.
    pub fn remainder_after(&self, shown: &Self) -> Option<Vec<Delta>> {
        let (all, seen) = (self.choices(), shown.choices());
        let known = |had: &Choice| all.iter().any(|choice| choice.index == had.index);
        if !seen.iter().all(known) {
            return None;
        }
        let nothing = Choice::default();
        let rest = |all: &Choice| {
            let at = seen.binary_search_by_key(&all.index, |had| had.index).ok();
            let had = at.map_or(&nothing, |at| &seen[at]);
            let calls = at.map_or(&[][..], |at| &shown.beside.calls[at]);
            rest_of_choice(all, had, calls)
        };
        let rests: Result<Vec<Delta>, _> = all.iter().map(rest).collect();
        let mut rests = rests.ok()?;
        rests.retain(|delta| !delta.is_empty());
        Some(rests)
    }

    /// The choice of that index, made if need be.
    fn choice_at(&mut self, index: u32) -> usize {
        match self.choices.binary_search_by_key(&index, |choice| choice.index) {
            Ok(at) => at,
            Err(at) => {
                let choice = Choice {
                    index,
                    ..Choice::default()
                };
                self.choices.insert(at, choice);
                self.beside.calls.insert(at, Vec::new());
                self.beside.extras.insert(at, Extras::default());
                at
            }
        }
    }
}

fn append(whole: &mut Option<String>, piece: &str) {
    if !piece.is_empty() {
        whole.get_or_insert_default().push_str(piece);
    }
}

fn apply_call(message: &mut Message, calls: &mut Vec<u32>, extras: &mut Vec<Growing>, piece: &ToolCallDelta) {
    let known = calls.iter().position(|index| *index == piece.index);
    let at = known.unwrap_or_else(|| {
        calls.push(piece.index);
        message.tool_calls.push(ToolCall::default());
        extras.push(Growing::default());
        calls.len() - 1
    });
    let call = &mut message.tool_calls[at];
    // Some endpoints say these with every piece: the first word counts.
    name_once(&mut call.id, piece.id.as_deref());
    name_once(&mut call.kind, piece.kind.as_deref());
    name_once(&mut call.name, piece.name.as_deref());
    call.arguments.push_str(&piece.arguments);
    if let Some(more) = &piece.extra {
        extras[at].join(more);
    }
}

fn name_once(name: &mut String, said: Option<&str>) {
    if let (true, Some(said)) = (name.is_empty(), said) {
        said.clone_into(name);
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::samples;

    use super::*;

    fn vector(values: &[f32]) -> Embedding {
        Embedding {
            index: 0,
            values: values.to_vec(),
        }
    }

    #[test]
    fn two_are_equal_only_where_choices_and_vectors_are() {
        let of = |text: &str, values: &[f32]| {
            Transcript::of(&Answer {
                embeddings: vec![vector(values)],
                ..samples::answer(text)
            })
        };
        assert_eq!(of("a", &[1.0]), of("a", &[1.0]));
        assert_ne!(of("a", &[1.0]), of("b", &[1.0]));
        assert_ne!(of("a", &[1.0]), of("a", &[2.0]));
    }

    #[test]
    fn what_a_frame_brings_is_taken_in_whole() {
        let answer = samples::rich_answer();
        let frame = Frame {
            deltas: deltas_of(&answer.choices),
            embeddings: answer.embeddings.clone(),
            ..samples::frame(0, "")
        };
        let mut taken = Transcript::default();
        taken.apply(&frame);
        assert_eq!(taken, Transcript::of(&answer));
        assert_eq!(taken.into_parts(), (answer.choices, answer.embeddings));
    }

    #[test]
    fn it_takes_what_its_pieces_took() {
        let mut transcript = Transcript::default();
        assert!(transcript.is_empty());
        assert_eq!(transcript.bytes(), 0);
        let (delta, piece) = (Delta::text("hello"), vector(&[1.0, 2.0]));
        transcript.apply_embedding(&piece);
        assert!(!transcript.is_empty());
        assert_eq!(transcript.bytes(), embedding_weight(&piece));
        transcript.apply_delta(&delta);
        transcript.apply_delta(&delta);
        assert_eq!(transcript.bytes(), embedding_weight(&piece) + 2 * weight(&delta));
    }

    #[test]
    fn its_first_text_is_that_of_the_first_choice() {
        let mut transcript = Transcript::default();
        assert_eq!(transcript.first_text(), "");
        for (index, text) in [(1, "second"), (0, "fir"), (0, "st")] {
            transcript.apply_delta(&Delta {
                index,
                ..Delta::text(text)
            });
        }
        assert_eq!(transcript.first_text(), "first");
    }

    #[test]
    fn its_choices_are_copied_only_where_unknown_fields_came_along() {
        let plain = Transcript::of(&samples::answer("a"));
        assert_eq!(plain.choices(), samples::answer("a").choices);
        assert!(plain.beside.whole.get().is_none());
        let rich = Transcript::of(&samples::rich_answer());
        assert_eq!(rich.choices(), samples::rich_answer().choices);
        assert!(rich.beside.whole.get().is_some());
    }
}
