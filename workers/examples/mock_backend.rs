//! A mock of an OpenAI-compatible endpoint for tests and benches: `cargo run --example mock_backend -- --help`.
//!
//! It answers every chat with the words of the last message, over and over, so that an answer follows from its prompt alone;
//! and with tool calls, several choices, log-probabilities, reasoning or vectors where they are asked for, or with a refusal.
//! Written on bare TCP: what is measured is Relay, so the mock must cost next to nothing.

#[path = "../src/testing/mock/mod.rs"]
mod mock;

use std::time::Duration;

use mock::{Mock, Settings};

const HELP: &str = "mock_backend: a mock of an OpenAI-compatible endpoint

  --port N        listen here on 127.0.0.1 (default 0: any free port)
  --first-ms N    wait before the first token (default 0)
  --token-ms N    wait between tokens (default 0)
  --tokens N      tokens of an answer, where the request's limit is not lower (default 16)
  --fail-rate X   share of requests that fail with status 500, 0 to 1 (default 0); spread evenly, not drawn

It prints `listening on http://127.0.0.1:PORT` once it listens; GET /count says how many requests came, GET /newest what the newest
one was.";

fn settings(mut args: impl Iterator<Item = String>) -> Result<(u16, Settings), String> {
    let (mut port, mut settings) = (0, Settings::default());
    while let Some(name) = args.next() {
        if name == "--help" {
            return Err(HELP.to_owned());
        }
        let value = args.next().ok_or_else(|| format!("{name} wants a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{name} {value}: not a number"))
        };
        match name.as_str() {
            "--port" => port = value.parse().map_err(|_| format!("--port {value}: not a port"))?,
            "--first-ms" => settings.first = Duration::from_millis(number()?),
            "--token-ms" => settings.token = Duration::from_millis(number()?),
            "--tokens" => settings.tokens = number()? as usize,
            "--fail-rate" => {
                settings.fail_rate = value
                    .parse()
                    .map_err(|_| format!("--fail-rate {value}: not a number"))?;
            }
            _ => return Err(format!("{name}: see --help")),
        }
    }
    Ok((port, settings))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (port, settings) = match settings(std::env::args().skip(1)) {
        Ok(settings) => settings,
        Err(message) => {
            println!("{message}");
            std::process::exit(i32::from(message != HELP) * 2);
        }
    };
    let mock = Mock::start(port, settings).await?;
    println!("listening on {}", mock.url());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
