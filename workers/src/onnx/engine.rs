//! The engine thread of one session: several sequences in turn, a step each; they join and leave at any step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use relay_clock::Clock;

use super::sequence::{Generation, Sequence, Turn};
use super::session::CausalGraph;
use super::text::TextSide;

/// The way to an engine. The engine ends with its last handle, once its sequences are over.
#[derive(Clone)]
pub struct Engine {
    /// Bounded by what submits: a worker takes at most its slots and a margin at once.
    queue: Sender<Generation>,
    limits: EngineLimits,
    thread: Arc<JoinHandle<()>>,
}

/// Limits of an engine.
#[derive(Debug, Clone, Copy)]
pub struct EngineLimits {
    /// Most prompt tokens a step.
    pub prefill_chunk: usize,
    /// Most sequences in turn; more wait, first come first served.
    pub max_sequences: usize,
}

impl Engine {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        name: &str,
        graph: CausalGraph,
        text: Arc<TextSide>,
        limits: EngineLimits,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let (queue, arriving) = channel();
        let thread = std::thread::Builder::new().name(format!("onnx-{name}"));
        let thread = thread.spawn(move || run(graph, &text, limits, &clock, &arriving))?;
        Ok(Self {
            queue,
            limits,
            thread: Arc::new(thread),
        })
    }

    /// Most prompt tokens a step.
    pub fn prefill_chunk(&self) -> usize {
        self.limits.prefill_chunk
    }

    /// Sequences in turn at once; 0 once the engine has died.
    pub fn turns(&self) -> u32 {
        if self.thread.is_finished() {
            return 0;
        }
        u32::try_from(self.limits.max_sequences).unwrap_or(u32::MAX)
    }

    /// Queues a generation. False if the engine has died.
    pub fn submit(&self, generation: Generation) -> bool {
        self.queue.send(generation).is_ok()
    }
}

fn run(
    mut graph: CausalGraph,
    text: &TextSide,
    limits: EngineLimits,
    clock: &Clock,
    arriving: &Receiver<Generation>,
) {
    let mut turns: VecDeque<Sequence> = VecDeque::new();
    loop {
        while turns.len() < limits.max_sequences {
            // With nothing to do the thread sleeps here.
            let next = if turns.is_empty() {
                arriving.recv().ok()
            } else {
                arriving.try_recv().ok()
            };
            match next {
                Some(generation) => turns.push_back(Sequence::new(generation)),
                None if turns.is_empty() => return,
                None => break,
            }
        }
        let Some(mut sequence) = turns.pop_front() else {
            continue;
        };
        if sequence.is_abandoned() {
            continue;
        }
        if sequence.step(&mut graph, text, limits.prefill_chunk, clock) == Turn::Again {
            turns.push_back(sequence);
        }
    }
}
