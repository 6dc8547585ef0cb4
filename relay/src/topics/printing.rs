//! Prints answers: tables for people, JSON lines for programs.

use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::bytes::word;
use super::lines::{Answer, Line};
use super::table::Table;
use super::when::when;

/// How often it is looked whether what is printed is read, while nothing comes that could be printed.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How an answer is printed.
pub enum Form {
    /// Each item as it is.
    Json,
    /// The one item, for people.
    Pretty,
    /// What [`Row`] makes of each.
    Table(&'static [&'static str], Row),
    /// A sentence for each.
    Sentences(fn(&Value) -> String),
}

/// The cells of an item.
pub type Row = fn(&Value) -> Vec<String>;

/// Prints an answer to its end; `look` sees each item. What `follows` has no end of its own: it ends on Ctrl-C, and once nothing reads
/// what is printed.
pub async fn print(
    mut answer: Answer,
    form: Form,
    follows: bool,
    mut look: impl FnMut(&Value),
) -> anyhow::Result<()> {
    let mut table = match &form {
        Form::Table(headings, _) => Some(Table::new(headings)),
        _ => None,
    };
    let mut unwanted = pin!(unwanted(follows)?);
    loop {
        let line = tokio::select! {
            biased;
            () = &mut unwanted => return Ok(()),
            line = answer.recv() => line,
        };
        let item = match line.context("what answers ended before its answer did")? {
            Line::Item(item) => item,
            Line::End(Ok(())) => break,
            Line::End(Err(error)) => anyhow::bail!(error),
        };
        look(&item);
        let text = match (&form, &mut table) {
            (Form::Table(_, row), Some(table)) => table.row(row(&item)),
            (Form::Sentences(sentence), _) => format!("{}\n", sentence(&item)),
            (Form::Pretty, _) => format!("{item:#}\n"),
            _ => format!("{item}\n"),
        };
        tokio::select! {
            biased;
            () = &mut unwanted => return Ok(()),
            written = write(text) => written?,
        }
    }
    match table {
        Some(table) => write(table.end()).await,
        None => Ok(()),
    }
}

/// Waits until a follower is wanted no more. Whatever else there is ends by itself, or by the signal.
fn unwanted(follows: bool) -> io::Result<impl Future<Output = ()>> {
    // From now on the signal ends nothing by itself.
    let interrupt = follows.then(|| signal(SignalKind::interrupt())).transpose()?;
    Ok(async move {
        let Some(mut interrupt) = interrupt else {
            return std::future::pending().await;
        };
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            () = unread() => {}
        }
    })
}

/// Writes on a thread of its own: a reader that reads no more must not keep Ctrl-C from being heard.
async fn write(text: String) -> anyhow::Result<()> {
    let written = tokio::task::spawn_blocking(move || {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    });
    written.await?.context("standard output")
}

/// Returns once the pipe that standard output is has no reader any more; never for anything else.
async fn unread() {
    let now = Timespec::default();
    loop {
        let out = io::stdout();
        let mut watched = [PollFd::new(&out, PollFlags::empty())];
        let broken = poll(&mut watched, Some(&now)).is_ok_and(|found| found > 0);
        if broken && watched[0].revents().contains(PollFlags::ERR) {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// `relay topics offsets`.
pub const OFFSETS: &[&str] = &["TOPIC", "PARTITION", "FIRST", "NEXT", "RECORDS"];

/// Its rows. Compaction leaves gaps, so that the number is the most that there can be.
pub fn offsets(item: &Value) -> Vec<String> {
    if item["missing"] == true {
        let mut row = vec![
            word(&item["topic"]),
            "not there: `relay topics apply` makes it".to_owned(),
        ];
        row.resize(OFFSETS.len(), String::new());
        return row;
    }
    let number = |name: &str| item[name].as_i64().unwrap_or_default();
    let records = number("high") - number("low");
    let mut row: Vec<String> = ["topic", "partition", "low", "high"]
        .iter()
        .map(|name| word(&item[*name]))
        .collect();
    row.push(records.to_string());
    row
}

/// `relay dead-letters list`.
pub const LETTERS: &[&str] = &[
    "LETTER", "WHEN", "SERVICE", "RECORD", "CLASS", "KEY", "REQUEST", "TENANT", "STATE", "WHY",
];

/// Its rows.
pub fn letter(item: &Value) -> Vec<String> {
    let at = |value: &Value| when(relay_schemas::TimestampMs(value.as_i64().unwrap_or_default()));
    let closed = &item["closed"];
    let state = if closed.is_null() {
        "open".to_owned()
    } else {
        format!(
            "{} {} by {}",
            word(&closed["how"]),
            at(&closed["at"]),
            word(&closed["by"])
        )
    };
    vec![
        word(&item["letter"]),
        at(&item["at"]),
        word(&item["service"]),
        if item["topic"].is_null() {
            "-".to_owned()
        } else {
            place(item)
        },
        word(&item["class"]),
        word(&item["key"]),
        word(&item["request_id"]),
        word(&item["tenant"]),
        state,
        word(&item["why"]),
    ]
}

/// Topic, partition and offset in one word.
fn place(item: &Value) -> String {
    let [topic, partition, offset] = ["topic", "partition", "offset"].map(|name| word(&item[name]));
    format!("{topic}-{partition}@{offset}")
}

/// What `resend` and `discard` say of each letter.
pub fn closed(item: &Value) -> String {
    let letter = word(&item["letter"]);
    match item["did"].as_str() {
        Some("resent") => format!("{letter}: resent, lies at {}", place(&item["to"])),
        Some("discarded") => format!("{letter}: discarded"),
        _ => format!("{letter}: kept, {}", word(&item["why"])),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_item_is_a_row_with_as_many_cells_as_there_are_headings() {
        let letter_of = |closed: Value| {
            json!({"letter": "0/17", "at": 0, "service": "trace-sink", "topic": "t", "partition": 1, "offset": 2,
                   "class": "poison", "key": {"not_utf8": "\\xff"}, "request_id": "r", "tenant": null,
                   "closed": closed, "why": "a\nb"})
        };
        let open = letter(&letter_of(Value::Null));
        assert_eq!(
            open,
            [
                "0/17",
                "1970-01-01T00:00:00Z",
                "trace-sink",
                "t-1@2",
                "poison",
                "b\"\\xff\"",
                "r",
                "-",
                "open",
                "a\\nb"
            ]
        );
        let closed = letter(&letter_of(json!({"how": "resent", "by": "me", "at": 1_000})));
        assert_eq!(closed[8], "resent 1970-01-01T00:00:01Z by me");
        assert_eq!(open.len(), LETTERS.len());
        let row = offsets(&json!({"topic": "t", "partition": 0, "low": 3, "high": 10}));
        assert_eq!(row, ["t", "0", "3", "10", "7"]);
        assert_eq!(
            offsets(&json!({"topic": "t", "missing": true})).len(),
            OFFSETS.len()
        );
    }
}
