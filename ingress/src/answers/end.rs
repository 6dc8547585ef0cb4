//! How an answer ended.

use relay_lifecycle::{Broken, final_of};
use relay_schemas::{Final, Outcome};

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As the record says; with the whole text where none was streamed.
    Finished {
        /// How.
        end: Final,
        /// The whole text of an answer that was not streamed.
        text: String,
    },
    /// Not truthfully.
    Broken(Broken),
}

impl End {
    /// What `outcome` records.
    pub fn recorded(outcome: Outcome) -> Self {
        let end = final_of(&outcome);
        match outcome.answer {
            Some(answer) if answer.text_dropped => Self::Broken(Broken::Unavailable),
            answer => Self::Finished {
                end,
                text: answer.map(|answer| answer.text).unwrap_or_default(),
            },
        }
    }
}
