//! Answers from earlier answers when that is safe.
