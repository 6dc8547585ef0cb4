//! Answers as `OpenAI` writes them: the completion object, and the chunks of a stream. Pure.
//!
//! A stream's fixed parts are written once; a piece of text costs one buffer.

use relay_schemas::{Choice, Delta, Final, FinishReason, Usage};

use crate::canonical::write_string;

/// Which answer this is.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// The model asked for.
    pub model: &'a str,
    /// When it was accepted, seconds since 1970.
    pub created: i64,
}

/// The `chat.completion` object.
pub fn completion(facts: Facts<'_>, end: &Final, choices: &[Choice]) -> String {
    let first = choices.first();
    let text = first
        .and_then(|choice| choice.message.text.as_deref())
        .unwrap_or_default();
    let reason = first.and_then(|choice| choice.finish_reason);
    let model = if end.model.is_empty() {
        facts.model
    } else {
        &end.model
    };
    let mut out = String::with_capacity(320 + text.len());
    out.push_str(r#"{"id":"chatcmpl-"#);
    out.push_str(facts.request_id);
    out.push_str(r#"","object":"chat.completion","created":"#);
    out.push_str(&facts.created.to_string());
    out.push_str(r#","model":"#);
    write_string(&mut out, model);
    out.push_str(r#","choices":[{"index":0,"message":{"role":"assistant","content":"#);
    write_string(&mut out, text);
    out.push_str(r#","refusal":null},"logprobs":null,"finish_reason":"#);
    write_string(&mut out, reason.unwrap_or(FinishReason::Stop).name());
    out.push_str(r#"}],"usage":"#);
    out.push_str(&usage(end.usage));
    out.push('}');
    out
}

fn usage(usage: Usage) -> String {
    let (prompt, completion) = (usage.prompt_tokens.0, usage.completion_tokens.0);
    let total = u64::from(prompt) + u64::from(completion);
    format!(r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}}}"#)
}

/// Writes the chunks of one stream.
#[derive(Debug)]
pub struct Chunks {
    /// Everything of a chunk before its `choices`.
    head: String,
    include_usage: bool,
    began: bool,
    /// Whether the client was told why the answer ended.
    finished: bool,
}

impl Chunks {
    /// A stream's writer. `include_usage`: a chunk with the usage comes before `[DONE]`.
    pub fn new(facts: Facts<'_>, include_usage: bool) -> Self {
        let mut head = String::with_capacity(160);
        head.push_str(r#"data: {"id":"chatcmpl-"#);
        head.push_str(facts.request_id);
        head.push_str(r#"","object":"chat.completion.chunk","created":"#);
        head.push_str(&facts.created.to_string());
        head.push_str(r#","model":"#);
        write_string(&mut head, facts.model);
        Self {
            head,
            include_usage,
            began: false,
            finished: false,
        }
    }

    /// The next pieces; the first one brings the role chunk with it.
    pub fn deltas(&mut self, deltas: &[Delta]) -> String {
        let text: usize = deltas.iter().map(|delta| delta.text.len()).sum();
        let mut out = String::with_capacity(3 * self.head.len() + text + 256);
        for delta in deltas {
            if !delta.text.is_empty() {
                self.begin(&mut out);
                self.open(&mut out);
                out.push_str(r#"{"content":"#);
                write_string(&mut out, &delta.text);
                out.push('}');
                self.close(&mut out, None);
            }
            if let Some(reason) = delta.finish_reason {
                self.finish(&mut out, reason);
            }
        }
        out
    }

    fn finish(&mut self, out: &mut String, reason: FinishReason) {
        self.begin(out);
        self.open(out);
        out.push_str("{}");
        self.close(out, Some(reason.name()));
        self.finished = true;
    }

    /// The end of a success: finish reason if none was told, usage if wanted, `[DONE]`.
    pub fn end(&mut self, end: &Final) -> String {
        let mut out = String::with_capacity(3 * self.head.len() + 320);
        if !self.finished {
            self.finish(&mut out, FinishReason::Stop);
        }
        if self.include_usage {
            out.push_str(&self.head);
            out.push_str(r#","choices":[],"usage":"#);
            out.push_str(&usage(end.usage));
            out.push_str("}\n\n");
        }
        out.push_str("data: [DONE]\n\n");
        out
    }

    fn begin(&mut self, out: &mut String) {
        if std::mem::replace(&mut self.began, true) {
            return;
        }
        self.open(out);
        out.push_str(r#"{"role":"assistant","content":"","refusal":null}"#);
        self.close(out, None);
    }

    fn open(&self, out: &mut String) {
        out.push_str(&self.head);
        out.push_str(r#","choices":[{"index":0,"delta":"#);
    }

    fn close(&self, out: &mut String, finish_reason: Option<&str>) {
        out.push_str(r#","logprobs":null,"finish_reason":"#);
        match finish_reason {
            Some(reason) => write_string(out, reason),
            None => out.push_str("null"),
        }
        out.push_str(if self.include_usage {
            r#"}],"usage":null}"#
        } else {
            "}]}"
        });
        out.push_str("\n\n");
    }
}
