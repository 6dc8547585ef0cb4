//! One request and its response, as the metrics see them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Response;
use relay_runner::crash_point;
use relay_schemas::RequestId;

use super::response;
use crate::gateway::Gateway;
use crate::slot::End;

/// Counts from arrival until it is dropped, which is when the response ended or the client went away.
pub struct Exchange {
    gateway: Arc<Gateway>,
    endpoint: &'static str,
    began: Instant,
    answered: bool,
    finished: bool,
}

impl Exchange {
    /// A request arrived at `endpoint`.
    pub fn begin(gateway: &Arc<Gateway>, endpoint: &'static str) -> Self {
        gateway.metrics.active.inc();
        Self {
            gateway: Arc::clone(gateway),
            endpoint,
            began: Instant::now(),
            answered: false,
            finished: false,
        }
    }

    /// The response's head is decided.
    pub fn answer(&mut self, mut response: Response<Body>, id: &RequestId) -> Response<Body> {
        response::name(&mut response, id);
        self.answered = true;
        let requests = &self.gateway.metrics.requests;
        requests.with_label_values(&[response.status().as_str()]).inc();
        response
    }

    /// The first byte of a stream leaves.
    pub fn first_byte(&self) {
        let waited = self.began.elapsed().as_secs_f64();
        self.gateway.metrics.first_byte.observe(waited);
    }

    /// Silence after which a stream gets a comment.
    pub fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.gateway.config.keep_alive_ms.max(1))
    }

    /// The end of an accepted request's answer leaves.
    pub fn finish(&mut self, end: &End) {
        self.finished = true;
        if let End::Finished { end, .. } = end {
            let tokens = u64::from(end.usage.completion_tokens.0);
            self.gateway.metrics.tokens.inc_by(tokens);
        }
        crash_point(self.gateway.identity.service, "before_finish");
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let metrics = &self.gateway.metrics;
        metrics.active.dec();
        let duration = metrics.duration.with_label_values(&[self.endpoint]);
        duration.observe(self.began.elapsed().as_secs_f64());
        if !self.answered {
            metrics.requests.with_label_values(&["499"]).inc();
        }
        if self.finished {
            crash_point(self.gateway.identity.service, "after_finish");
        }
    }
}
