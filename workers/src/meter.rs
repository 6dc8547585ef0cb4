//! What a run has used so far, there also where it is dropped: a cancel and a deadline end it anywhere.
//!
//! A model that runs here counts by itself. Of an endpoint's request it is known when it was sent, and what was estimated of its prompt;
//! from then on the prompt and the time count, whatever the end, unless the endpoint refuses it.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use relay_schemas::{TokenCount, Usage};

/// When a request was sent, once it was.
pub type Sent = Arc<OnceLock<Instant>>;

/// See the module.
#[derive(Debug, Default)]
pub struct Meter {
    /// Prompt tokens that were taken in here.
    prompt_tokens: Option<u32>,
    /// The estimate of a prompt that was sent.
    estimate: Option<u32>,
    /// What the endpoint says so far.
    told: Option<Usage>,
    computed: Duration,
    /// What an endpoint is being asked.
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    estimate: u32,
    sent: Sent,
}

/// What a run has used, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Tokens.
    pub usage: Usage,
    /// The prompt's are an estimate.
    pub is_estimate: bool,
    /// Time computed; of an endpoint the time that it took.
    pub computed: Duration,
}

impl Meter {
    /// So many tokens of the prompt were taken in.
    pub fn prompt_tokens(&mut self, tokens: u32) {
        self.prompt_tokens = Some(tokens);
    }

    /// The model computed for so long.
    pub fn computed(&mut self, time: Duration) {
        self.computed += time;
    }

    /// An endpoint is asked; to be filled in once the request is on its way.
    pub fn ask(&mut self, estimate: u32) -> Sent {
        let sent = Sent::default();
        self.asked = Some(Asked {
            estimate,
            sent: sent.clone(),
        });
        sent
    }

    /// The endpoint says so much of the run so far.
    pub fn told(&mut self, usage: Usage) {
        self.told = Some(usage);
    }

    /// It refused what it was asked, and computed nothing.
    pub fn refused(&mut self) {
        self.asked = None;
    }

    /// What was asked is over.
    pub fn over(&mut self, now: Instant) {
        if let Some(Asked { estimate, sent }) = self.asked.take()
            && let Some(sent) = sent.get()
        {
            self.computed += now.saturating_duration_since(*sent);
            self.estimate = Some(estimate);
        }
    }

    /// Another model answers. The time that was computed stays.
    pub fn start_over(&mut self) {
        *self = Self {
            computed: self.computed,
            ..Self::default()
        };
    }

    /// What was used, where `tokens` of the answer have come.
    pub fn used(mut self, tokens: u32, now: Instant) -> Used {
        self.over(now);
        let counted = self.told.map(|told| told.prompt_tokens.0).or(self.prompt_tokens);
        let prompt = counted.or(self.estimate).unwrap_or(0);
        let told = self.told.map_or(0, |told| told.completion_tokens.0);
        Used {
            usage: Usage {
                prompt_tokens: TokenCount(prompt),
                completion_tokens: TokenCount(told.max(tokens)),
            },
            is_estimate: counted.is_none() && prompt > 0,
            computed: self.computed,
        }
    }
}

impl Used {
    /// In words, for the trace.
    pub fn in_words(&self) -> String {
        let Usage {
            prompt_tokens,
            completion_tokens,
        } = self.usage;
        if self.usage == Usage::default() && self.computed.is_zero() {
            return "nothing was computed".to_owned();
        }
        let estimated = if self.is_estimate { " (estimated)" } else { "" };
        format!(
            "charged are {} tokens of its prompt{estimated}, {} of its answer and {} ms",
            prompt_tokens.0,
            completion_tokens.0,
            self.computed.as_micros().div_ceil(1_000)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn sent_at(meter: &mut Meter, at: Instant) {
        meter.ask(50).set(at).expect("it is set once");
    }

    #[test]
    fn what_was_sent_counts_from_then_on_whatever_the_end_and_what_was_refused_or_never_sent_does_not() {
        let began = Instant::now();
        let used = |prepare: &dyn Fn(&mut Meter)| {
            let mut meter = Meter::default();
            prepare(&mut meter);
            let used = meter.used(3, began + 10 * MS);
            (used.usage.prompt_tokens.0, used.is_estimate, used.computed)
        };
        assert_eq!(used(&|_| {}), (0, false, Duration::ZERO));
        assert_eq!(
            used(&|meter| drop(meter.ask(50))),
            (0, false, Duration::ZERO),
            "it was never sent"
        );
        assert_eq!(used(&|meter| sent_at(meter, began + 2 * MS)), (50, true, 8 * MS));
        let refused = |meter: &mut Meter| {
            sent_at(meter, began);
            meter.refused();
        };
        assert_eq!(used(&refused), (0, false, Duration::ZERO));
        let again = |meter: &mut Meter| {
            sent_at(meter, began);
            meter.over(began + MS);
            drop(meter.ask(50));
        };
        assert_eq!(used(&again), (50, true, MS), "the first try was sent");
        let told = |meter: &mut Meter| {
            sent_at(meter, began);
            meter.told(Usage {
                prompt_tokens: TokenCount(41),
                completion_tokens: TokenCount(2),
            });
        };
        assert_eq!(used(&told), (41, false, 10 * MS));
        let other = |meter: &mut Meter| {
            sent_at(meter, began);
            meter.over(began + MS);
            meter.start_over();
        };
        assert_eq!(used(&other), (0, false, MS));
    }

    #[test]
    fn the_words_say_what_counts() {
        let mut meter = Meter::default();
        assert_eq!(
            Meter::default().used(0, Instant::now()).in_words(),
            "nothing was computed"
        );
        meter.prompt_tokens(7);
        meter.computed(Duration::from_micros(1_001));
        let words = meter.used(3, Instant::now()).in_words();
        assert_eq!(
            words,
            "charged are 7 tokens of its prompt, 3 of its answer and 2 ms"
        );
    }
}
