//! An answer about the log, line by line: from the task that reads it to whoever prints it, in this process or over HTTP.

use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Most lines that wait to be taken.
const WAITING: usize = 16;
/// What the last line says, over HTTP.
const DONE: &str = "done";
const ERROR: &str = "error";

/// A line of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// What was asked for.
    Item(Value),
    /// The end: all was said, or why not. An answer without one was cut off.
    End(Result<(), String>),
}

/// Whoever asked takes no more.
#[derive(Debug, thiserror::Error)]
#[error("whoever asked has gone")]
pub struct Gone;

/// Where an answer is said.
#[derive(Clone)]
pub struct Lines(mpsc::Sender<Line>);

/// Where it is heard.
pub type Answer = mpsc::Receiver<Line>;

/// Both ends. Who reads slowly is waited for.
pub fn lines() -> (Lines, Answer) {
    let (sender, answer) = mpsc::channel(WAITING);
    (Lines(sender), answer)
}

impl Lines {
    /// Says a line, waiting until there is room for it.
    pub async fn say(&self, item: Value) -> Result<(), Gone> {
        self.0.send(Line::Item(item)).await.map_err(|_| Gone)
    }

    /// Says the last one.
    pub async fn end(&self, end: Result<(), String>) {
        // Who has gone needs no end.
        let _ = self.0.send(Line::End(end)).await;
    }

    /// Waits until nothing is taken any more.
    pub async fn gone(&self) {
        self.0.closed().await;
    }
}

impl Line {
    /// As it crosses HTTP.
    pub fn text(&self) -> String {
        let value = match self {
            Self::Item(item) => return format!("{item}\n"),
            Self::End(Ok(())) => json!({ DONE: true }),
            Self::End(Err(error)) => json!({ ERROR: error }),
        };
        format!("{value}\n")
    }

    /// Reads it back.
    pub fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        let value: Value = serde_json::from_slice(text)?;
        let one = value.as_object().filter(|fields| fields.len() == 1);
        Ok(match one.and_then(|fields| fields.iter().next()) {
            Some((name, Value::Bool(true))) if name == DONE => Self::End(Ok(())),
            Some((name, Value::String(error))) if name == ERROR => Self::End(Err(error.clone())),
            _ => Self::Item(value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_their_end_come_back_as_they_were_said() {
        for line in [
            Line::Item(json!({"topic": "t", "error": "x"})),
            Line::Item(json!({"done": false})),
            Line::End(Ok(())),
            Line::End(Err("it is \"so\"".to_owned())),
        ] {
            let text = line.text();
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert_eq!(Line::read(text.as_bytes()).expect("JSON"), line);
        }
    }
}
