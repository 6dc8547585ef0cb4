//! Models on their way into memory.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use relay_schemas::{ModelState, OutcomeStatus};
use relay_workers::testing::House;

/// The files of `from`, but its graph: of that only a name, which is read for ever.
fn endless(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    fs::create_dir(to.join("onnx")).unwrap();
    let made = Command::new("mkfifo").arg(to.join("onnx/model.onnx")).status();
    assert!(made.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_loads_for_ever_keeps_no_other_waiting() {
    let sound = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/relay-chat"));
    let stuck = tempfile::tempdir().unwrap();
    endless(sound, stuck.path());
    let models = format!(
        "models:\n  a: {{backend: onnx, path: \"{}\", threads: 1}}\n  b: {{backend: onnx, path: \"{}\", threads: 1}}\n",
        stuck.path().display(),
        sound.display()
    );
    let library = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../.relay/tools/onnxruntime/libonnxruntime.so"
    );
    let mut house = House::start(&models, |config| config.onnxruntime = Some(library.into()))
        .await
        .unwrap();
    let told = house.status(|status| status.models == ["b"]).await.unwrap();
    let states = told
        .capacity
        .iter()
        .map(|it| (it.model.as_str(), it.state, it.slots));
    let expected = [("a", ModelState::Loading, 0), ("b", ModelState::Ready, 16)];
    assert_eq!(states.collect::<Vec<_>>(), expected);
    let work = house.work("r-1", "b", "What is the capital of France?");
    house.dispatch(&work).await.unwrap();
    let outcome = house.outcome().await.unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Completed, "{:?}", outcome.message);
    let missing = || house.runtime.health.all()["models"].clone().unwrap_or_default();
    assert!(missing().contains("loading a"), "{}", missing());
    // Else the test's runtime would wait for the thread that reads. It reads nothing now, as often as it likes.
    let fifo = stuck.path().join("onnx/model.onnx");
    std::thread::spawn(move || while fs::write(&fifo, "").is_ok() {});
    while missing().contains("loading a") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
