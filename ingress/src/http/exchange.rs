//! One request and its response, as the metrics see them.

use std::time::Instant;

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::Response;
use relay_runner::crash_point;
use relay_schemas::RequestId;

use super::response;
use super::state::Counted;
use crate::answers::end::End;

/// Counts from arrival until it is dropped, which is when the response ended or the client went away.
pub struct Exchange {
    counted: Counted,
    endpoint: Option<MatchedPath>,
    began: Instant,
    answered: bool,
    finished: bool,
}

impl Exchange {
    /// A request arrived at `endpoint`.
    pub fn begin(counted: Counted, endpoint: Option<MatchedPath>) -> Self {
        counted.metrics.active.inc();
        Self {
            began: counted.clock.instant(),
            counted,
            endpoint,
            answered: false,
            finished: false,
        }
    }

    /// The response's head is decided.
    pub fn answer(&mut self, mut response: Response<Body>, id: &RequestId) -> Response<Body> {
        response::name(&mut response, id);
        self.answered = true;
        let requests = &self.counted.metrics.requests;
        requests.with_label_values(&[response.status().as_str()]).inc();
        response
    }

    /// The first byte of a stream leaves.
    pub fn first_byte(&self) {
        self.counted.metrics.first_byte.observe(self.seconds());
    }

    /// The end of an accepted request's answer leaves.
    pub fn finish(&mut self, end: &End) {
        self.finished = true;
        if let End::Finished { end, .. } = end {
            let tokens = u64::from(end.usage.completion_tokens.0);
            self.counted.metrics.tokens.inc_by(tokens);
        }
        crash_point(self.counted.service, "before_finish");
    }

    fn seconds(&self) -> f64 {
        let now = self.counted.clock.instant();
        now.saturating_duration_since(self.began).as_secs_f64()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let metrics = &self.counted.metrics;
        metrics.active.dec();
        let endpoint = self.endpoint.as_ref().map_or("", MatchedPath::as_str);
        metrics
            .duration
            .with_label_values(&[endpoint])
            .observe(self.seconds());
        if !self.answered {
            metrics.requests.with_label_values(&["499"]).inc();
        }
        if self.finished {
            crash_point(self.counted.service, "after_finish");
        }
    }
}
