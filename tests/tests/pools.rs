//! The recipe of `deploy/policy.yaml`, word for word, with the files that `docs/connect.md` shows beside it: one process with a pool for
//! an endpoint, and a local model to fall back on.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use relay_tests::files::{executable, free_port, root};
use relay_tests::gateway::KILLABLE;
use relay_tests::http;
use relay_tests::mock::{Mock, executions};
use relay_tests::process::Process;
use serde_json::{Value, json};

fn text(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

/// The policy that comes along, with the recipe and its pool.
fn policy() -> String {
    let text = text("deploy/policy.yaml");
    let begin = text.find("  # big-chat:").expect("the recipe");
    let (before, recipe) = text.split_at(begin);
    let end = recipe.find("\n\n").expect("its end");
    let (recipe, behind) = recipe.split_at(end);
    let lines: Vec<String> = recipe.lines().map(|line| replaced(line, "  # ", "  ")).collect();
    let policy = format!("{before}{}{behind}", lines.join("\n"));
    replaced(&policy, "pools: [default]", "pools: [default, remote]")
}

/// Writes the four files into `folder`, for an endpoint at `base_url`.
fn write_files(folder: &Path, base_url: &str, ops: u16, port: u16) {
    let page = text("docs/connect.md");
    let (_, section) = page.split_once("## A pool for an endpoint").expect("it is there");
    let mut blocks = section
        .split("```yaml\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap_or_default());
    let models = blocks.next().expect("the models of the new pool");
    let configuration = blocks.next().expect("the configuration");
    let own = format!(
        "data: data\ninstance: one\ningress: {{ port: {port} }}\nops: {{ port: {ops} }}\n{configuration}"
    );
    let topics = text("deploy/topics.yaml");
    for (name, text) in [
        ("policy.yaml", policy()),
        (
            "topics.yaml",
            replaced(&topics, "pools: [default]", "pools: [default, remote]"),
        ),
        (
            "remote.yaml",
            replaced(models, "http://127.0.0.1:11434/v1", base_url),
        ),
        ("relay.yaml", own),
    ] {
        std::fs::write(folder.join(name), text).expect(name);
    }
}

struct House {
    api: String,
    ops: String,
    process: Process,
}

impl House {
    fn start(folder: &Path, ops: u16, port: u16) -> Self {
        let mut command = Command::new(executable(KILLABLE).expect("it is built"));
        command.arg("up").arg("--config").arg(folder.join("relay.yaml"));
        command.current_dir(root());
        let process = Process::start(command, &folder.join("relay.log"));
        Self {
            api: format!("http://127.0.0.1:{port}"),
            ops: format!("http://127.0.0.1:{ops}"),
            process: process.expect("it starts"),
        }
    }

    /// What `url` says once it answers with success and is as `wanted`.
    async fn until(&self, url: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut said = String::new();
        while Instant::now() < deadline {
            if let Ok(response) = http::get(url).await {
                let good = response.status().is_success();
                said = response.text().await.unwrap_or_default();
                if good && wanted(&said) {
                    return said;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{url} says {said}: {}", self.process.tail());
    }

    /// What it has printed, once that holds `words`: the banner comes a moment after `/readyz` says so.
    async fn said(&self, words: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let log = self.process.log();
            if log.contains(words) {
                return log;
            }
            assert!(Instant::now() < deadline, "`{words}` was never said: {log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What `big-chat` answers, and the recorded outcome.
    async fn ask(&self, content: &str) -> (Value, Value) {
        let body = json!({"model": "big-chat", "messages": [{"role": "user", "content": content}]});
        let request = http::client().post(format!("{}/v1/chat/completions", self.api));
        let response = request.json(&body).send().await.expect("an answer");
        let id = response.headers()["x-request-id"]
            .to_str()
            .expect("ASCII")
            .to_owned();
        let answer: Value = response.json().await.expect("JSON");
        let page = format!("{}/admin/traces/{id}?format=json", self.ops);
        let trace = self.until(&page, |_| true).await;
        let mut trace: Value = serde_json::from_str(&trace).expect("JSON");
        (answer, trace["outcome"].take())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recipe_of_the_policy_runs_in_one_process_and_falls_back_on_the_local_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let mock = Mock::start(folder.path(), &[]).expect("an endpoint");
    let (ops, port) = (free_port(), free_port());
    write_files(folder.path(), &mock.base_url, ops, port);
    let house = House::start(folder.path(), ops, port);
    house.until(&format!("{}/readyz", house.api), |_| true).await;
    let models = format!("{}/v1/models", house.api);
    house.until(&models, |said| said.contains("big-chat")).await;
    let log = house.said("\npools   default, remote\n").await;
    assert!(!log.contains("whose work no worker takes"), "{log}");

    let (answer, outcome) = house.ask("parrots say it again").await;
    let said = answer["choices"][0]["message"]["content"].as_str();
    assert!(said.is_some_and(|said| said.contains("parrots")), "{answer}");
    assert_eq!(answer["model"], "big-chat");
    assert_eq!(outcome["queueing"]["pool"], "remote", "{outcome}");
    assert_eq!(outcome["run"]["instance"], "one-remote", "{outcome}");
    assert_eq!(outcome["planning"]["handovers"], json!([]));
    assert_eq!(executions(&mock.base_url).await.expect("it counts"), 1);
    let counted = "relay_workers_runs_total{pool=\"remote\",status=\"completed\"} 1";
    let metrics = format!("{}/metrics", house.ops);
    house.until(&metrics, |said| said.contains(counted)).await;

    // Its endpoint is away.
    drop(mock);
    let (answer, outcome) = house.ask("What is the capital of France?").await;
    assert!(
        answer["choices"][0]["message"]["content"].is_string(),
        "{answer}: {}",
        house.process.tail()
    );
    assert_eq!(answer["model"], "big-chat", "by its public name");
    assert_eq!(outcome["answer"]["model"], "relay-chat", "{outcome}");
    assert_eq!(outcome["queueing"]["pool"], "default");
    assert_eq!(outcome["run"]["instance"], "one-default");
    let handover = &outcome["planning"]["handovers"][0];
    let told = [&handover["from_pool"], &handover["to_pool"], &handover["code"]];
    assert_eq!(told, ["remote", "default", "backend_unavailable"]);
}
