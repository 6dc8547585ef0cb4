//! One request and its response, as metrics and the access line see them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{Response, StatusCode};
use relay_runner::crash_point;
use relay_schemas::{Operation, RequestId, TenantId, Usage};

use super::response;
use super::state::Counted;
use crate::access::{Access, GONE};
use crate::answers::end::{Account, End};
use crate::answers::failure;
use crate::answers::pending::Pending;
use crate::labels::OTHER;
use crate::refusal::Refusal;

/// The operation behind an address.
fn operation_at(path: &str) -> Option<Operation> {
    match path {
        "/v1/chat/completions" => Some(Operation::Chat),
        "/v1/completions" => Some(Operation::Completion),
        "/v1/embeddings" => Some(Operation::Embedding),
        _ => None,
    }
}

/// Counts from arrival until it is dropped, which is when the response ended or the client went away.
pub struct Exchange {
    counted: Counted,
    endpoint: Option<MatchedPath>,
    began: Instant,
    access: Access,
    /// The status in the response's head.
    head: Option<StatusCode>,
    /// Whether its end left, or was about to, when the client went.
    ended: bool,
    /// The record of its end was told.
    finished: bool,
    /// What it waits for.
    pending: Option<Arc<Pending>>,
}

/// What is counted and written of it at its end.
struct Line {
    counted: Counted,
    access: Access,
    took: Duration,
}

impl Exchange {
    /// A request arrived at `endpoint`.
    pub fn begin(counted: Counted, endpoint: Option<MatchedPath>) -> Self {
        counted.metrics.active.inc();
        let operation = endpoint.as_ref().and_then(|path| operation_at(path.as_str()));
        Self {
            began: counted.clock.instant(),
            counted,
            endpoint,
            access: Access {
                operation,
                ..Access::default()
            },
            head: None,
            ended: false,
            finished: false,
            pending: None,
        }
    }

    /// Who asks is known; `key` stands for the key that was sent.
    pub fn of(&mut self, tenant: &TenantId, key: Option<String>) {
        self.access.tenant = Some(tenant.clone());
        self.access.key = key;
    }

    /// The model that is asked for is known.
    pub fn asks_for(&mut self, model: &str) {
        self.access.model = Some(model.to_owned());
    }

    /// It is called `id` from now on, whatever becomes of it.
    pub fn is_named(&mut self, id: &RequestId) {
        self.access.id = Some(id.clone());
    }

    /// The log has it, and it waits for an answer.
    pub fn waits_for(&mut self, pending: &Arc<Pending>) {
        self.pending = Some(Arc::clone(pending));
    }

    /// What the record says of an end that the client is not told.
    pub fn is_charged(&mut self, account: Option<Account>) {
        if let Some(account) = account {
            self.access.usage = account.usage;
            self.access.account = Some(account);
        }
    }

    /// The client is told of a mistake, a limit or a fault.
    pub fn fails(&mut self, refusal: &Refusal) {
        self.ended = true;
        self.access.code = Some(refusal.code.clone());
    }

    /// The response's head is decided.
    pub fn answer(&mut self, mut response: Response<Body>, id: &RequestId) -> Response<Body> {
        response::name(&mut response, id);
        self.is_named(id);
        self.head = Some(response.status());
        let requests = &self.counted.metrics.requests;
        requests.with_label_values(&[response.status().as_str()]).inc();
        response
    }

    /// The first byte of a stream leaves.
    pub fn first_byte(&mut self) {
        let took = self.took();
        self.access.ttft = Some(took);
        let first_byte = self.counted.metrics.first_byte.with_label_values(&[self.model()]);
        first_byte.observe(took.as_secs_f64());
    }

    /// The end of an accepted request's answer leaves; `account` is what its record says.
    pub fn finish(&mut self, end: &End, account: Option<Account>) {
        (self.ended, self.finished) = (true, true);
        self.access.account = account;
        self.access.code = failure::code_of(end);
        if let End::Finished { end, .. } = end {
            self.access.usage = end.usage;
        }
        crash_point(self.counted.service, "before_finish");
    }

    fn took(&self) -> Duration {
        let now = self.counted.clock.instant();
        now.saturating_duration_since(self.began)
    }

    fn model(&self) -> &str {
        model_label(&self.counted, &self.access)
    }
}

fn model_label<'a>(counted: &'a Counted, access: &'a Access) -> &'a str {
    let model = access.model.as_deref();
    model.map_or(OTHER, |model| counted.labels.model(model))
}

impl Line {
    /// Writes it; `account` is what the record of the end says, where the client did not wait for that.
    fn write(mut self, account: Option<Account>) {
        if let Some(account) = account {
            self.access.usage = account.usage;
            self.access.account = Some(account);
        }
        self.count();
        self.access.log(self.took);
    }

    /// Counts what tenants and models are told apart by.
    fn count(&self) {
        let metrics = &self.counted.metrics;
        let tenant = self.access.tenant.as_ref();
        let tenant = tenant.map_or(OTHER, |tenant| self.counted.labels.tenant(tenant));
        let model = model_label(&self.counted, &self.access);
        let operation = self.access.operation.map_or("", Operation::name);
        metrics
            .told_apart
            .with_label_values(&[tenant, model, operation, &self.access.status.to_string()])
            .inc();
        let Usage {
            prompt_tokens,
            completion_tokens,
        } = self.access.usage;
        metrics.tokens.inc_by(u64::from(completion_tokens.0));
        for (kind, tokens) in [("prompt", prompt_tokens.0), ("completion", completion_tokens.0)] {
            if tokens > 0 {
                let counter = metrics
                    .tokens_told_apart
                    .with_label_values(&[tenant, model, kind]);
                counter.inc_by(u64::from(tokens));
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let (metrics, took) = (&self.counted.metrics, self.took());
        metrics.active.dec();
        let endpoint = self.endpoint.as_ref().map_or("", MatchedPath::as_str);
        metrics
            .duration
            .with_label_values(&[endpoint])
            .observe(took.as_secs_f64());
        if self.head.is_none() {
            metrics.requests.with_label_values(&["499"]).inc();
        }
        let (counted, mut access) = (self.counted.clone(), std::mem::take(&mut self.access));
        if let Some(head) = self.head.filter(|_| self.ended) {
            access.status = head.as_u16();
            Line {
                counted,
                access,
                took,
            }
            .write(None);
        } else {
            access.status = GONE;
            access.code = Some("cancelled".to_owned());
            let line = Line {
                counted,
                access,
                took,
            };
            match self.pending.take() {
                // What it is charged is known once it has ended.
                Some(pending) => pending.parting.leave(Box::new(|account| line.write(account))),
                None => line.write(None),
            }
        }
        if self.finished {
            crash_point(self.counted.service, "after_finish");
        }
    }
}
