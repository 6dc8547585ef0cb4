//! Tables keep records as JSON, in columns that nothing migrates: what an earlier version wrote there stays readable.
//!
//! A field that comes in later needs `#[serde(default)]` (an `Option` has it): else every row before it is lost to this test, and
//! to its readers. The rows are never written anew; a version that writes more adds a file.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use relay_schemas::{Answer, Caching, HandOver, Lease, Plan, Queueing, Request, RuleTrace, Run};
use serde::de::DeserializeOwned;
use serde_json::Value;

const FIRST: &str = include_str!("rows/1.json");

fn read<T: DeserializeOwned>(row: &Value, column: &str) -> T {
    let value = row.get(column).unwrap_or_else(|| panic!("the row has {column}"));
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{column}: {error}"))
}

fn read_all(row: &Value) {
    assert_eq!(read::<Run>(row, "run").attempt, 1);
    assert_eq!(read::<Request>(row, "request").body, r#"{"model":"tiny"}"#);
    assert_eq!(read::<Plan>(row, "plan").candidates[0].model, "tiny");
    assert_eq!(read::<Vec<RuleTrace>>(row, "rules")[0].conditions[0].seen, "acme");
    assert_eq!(read::<Vec<HandOver>>(row, "handovers")[0].code, "no_worker");
    assert_eq!(read::<Caching>(row, "cache").provenance.unwrap().source_offset, 7);
    assert_eq!(read::<Queueing>(row, "queue").queue_wait_ms, 3);
    assert_eq!(read::<Lease>(row, "lease").worker_epoch, 1);
    let answer: Answer = read(row, "response");
    assert_eq!(answer.choices[0].message.tool_calls[0].arguments, "{}");
    assert_eq!(answer.embeddings[0].values, [0.5, -1.0]);
}

#[test]
fn rows_that_the_first_version_wrote_stay_readable() {
    read_all(&serde_json::from_str(FIRST).unwrap());
}

#[test]
fn fields_of_a_later_version_do_not_keep_a_row_from_being_read() {
    let mut row: Value = serde_json::from_str(FIRST).unwrap();
    for column in row.as_object_mut().unwrap().values_mut() {
        let records = match column {
            Value::Array(list) => list.iter_mut().collect(),
            one => vec![one],
        };
        for record in records {
            record["of_a_later_version"] = Value::from(1);
        }
    }
    read_all(&row);
}
