//! Longest input and longest output allowance of what is held: the bound on fairness rests on them, and a client chooses them.
//!
//! A request without a limit (`max_tokens_unset`) counts as the `max` of its profile, which holds for models of Relay's own alone: what an endpoint
//! says to it beyond that is outside of the bound, as nothing in the plan bounds it.
//!
//! Invariant: each request that was added and not removed is counted once under either of its lengths.

use std::collections::BTreeMap;

use relay_schemas::Ready;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Longest {
    prompts: BTreeMap<u64, usize>,
    outputs: BTreeMap<u64, usize>,
}

fn lengths(ready: &Ready) -> (u64, u64) {
    let output = ready.planning.plan.decoding.max_tokens.0;
    (ready.request.prompt_tokens.0.into(), output.into())
}

fn drop_one(counts: &mut BTreeMap<u64, usize>, length: u64) {
    if let Some(count) = counts.get_mut(&length) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&length);
        }
    }
}

impl Longest {
    /// One more request.
    pub fn add(&mut self, ready: &Ready) {
        let (prompt, output) = lengths(ready);
        *self.prompts.entry(prompt).or_default() += 1;
        *self.outputs.entry(output).or_default() += 1;
    }

    /// One of them has ended.
    pub fn remove(&mut self, ready: &Ready) {
        let (prompt, output) = lengths(ready);
        drop_one(&mut self.prompts, prompt);
        drop_one(&mut self.outputs, output);
    }

    /// Longest input, longest output allowance, tokens.
    pub fn tokens(&self) -> (u64, u64) {
        let last = |counts: &BTreeMap<u64, usize>| counts.last_key_value().map_or(0, |(length, _)| *length);
        (last(&self.prompts), last(&self.outputs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Spec;

    fn ready(prompt: u32, output: u32) -> Ready {
        Spec {
            prompt,
            output,
            ..Spec::new("a", "t")
        }
        .ready()
    }

    #[test]
    fn the_longest_falls_to_the_next_one_with_the_last_of_its_length() {
        let mut longest = Longest::default();
        assert_eq!(longest.tokens(), (0, 0));
        let [long, short] = [ready(9, 3), ready(2, 7)];
        for ready in [&long, &short, &long, &long] {
            longest.add(ready);
        }
        let mut seen = Vec::new();
        for ready in [&long, &short, &long, &long] {
            seen.push(longest.tokens());
            longest.remove(ready);
        }
        assert_eq!(seen, [(9, 7), (9, 7), (9, 3), (9, 3)]);
        assert_eq!(longest.tokens(), (0, 0));
    }
}
