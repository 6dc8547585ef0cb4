//! How an answer ended.

use relay_lifecycle::{Broken, Transcript, final_of};
use relay_schemas::{Final, Outcome};

/// How an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// As the record says; with the whole content where none was streamed.
    Finished {
        /// How.
        end: Box<Final>,
        /// The whole content of an answer that was not streamed.
        content: Transcript,
    },
    /// Not truthfully.
    Broken(Broken),
}

impl End {
    /// About what its content takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Finished { content, .. } => content.bytes(),
            Self::Broken(_) => 0,
        }
    }

    /// What `outcome` records.
    pub fn recorded(outcome: &Outcome) -> Self {
        let end = Box::new(final_of(outcome));
        match &outcome.answer {
            Some(answer) if answer.content_dropped => Self::Broken(Broken::Unavailable),
            answer => Self::Finished {
                end,
                content: answer.as_ref().map(Transcript::of).unwrap_or_default(),
            },
        }
    }
}
