//! Chat templates as `transformers` renders them: Jinja, with the functions, methods and whitespace rules they rely on.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, context};
use relay_schemas::TimestampMs;

use super::strftime::strftime;
use crate::prompt::Message;

/// A model's compiled template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

/// The one template of each environment.
const NAME: &str = "chat";

impl ChatTemplate {
    /// Compiles `source`; the error says where it is wrong.
    pub fn compile(source: &str, bos_token: &str, eos_token: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        environment.set_unknown_method_callback(python_method);
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", tojson);
        environment
            .add_template_owned(NAME, without_generation_tags(source))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            environment,
            bos_token: bos_token.to_owned(),
            eos_token: eos_token.to_owned(),
        })
    }

    /// The prompt for `messages`, up to where the assistant speaks. `now` is what `strftime_now` sees.
    pub fn render(&self, messages: &[Message], now: TimestampMs) -> Result<String, String> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|error| error.to_string())?;
        let rendered = template.render(context! {
            messages => Value::from(Serde(messages)),
            add_generation_prompt => true,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
            tools => (),
            documents => (),
            strftime_now => Value::from_function(move |format: String| strftime(&format, now)),
        });
        // The detail may quote the messages; the kind and what the template itself raised do not.
        rendered.map_err(|error| match error.kind() {
            ErrorKind::InvalidOperation => error
                .detail()
                .unwrap_or("the template refused the messages")
                .to_owned(),
            kind => format!("the chat template failed: {kind}"),
        })
    }
}

/// `transformers` marks the assistant's tokens for training with these tags; for inference they mean nothing.
fn without_generation_tags(source: &str) -> String {
    let mut source = source.to_owned();
    for word in ["generation", "endgeneration"] {
        for (open, close) in [("{%-", "-%}"), ("{%-", "%}"), ("{%", "-%}"), ("{%", "%}")] {
            source = source.replace(
                &format!("{open} {word} {close}"),
                &format!("{open} if true {close}{open} endif {close}"),
            );
        }
    }
    source
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// As `transformers` overrides it: nothing escaped but what JSON needs, Python's separators, optional indentation.
#[expect(clippy::needless_pass_by_value, reason = "minijinja's filters take values")]
fn tojson(value: Value, kwargs: Kwargs) -> Result<Value, Error> {
    let failed = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let indent: Option<usize> = kwargs.get("indent")?;
    let mut bytes = Vec::new();
    if let Some(indent) = indent {
        let spaces = " ".repeat(indent.min(16));
        let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        serde::Serialize::serialize(&value, &mut serializer).map_err(failed)?;
    } else {
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, PythonStyle);
        serde::Serialize::serialize(&value, &mut serializer).map_err(failed)?;
    }
    String::from_utf8(bytes)
        .map(Value::from_safe_string)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// `", "` and `": "`.
struct PythonStyle;

impl serde_json::ser::Formatter for PythonStyle {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// The methods of Python's `str` and `dict` that templates call.
fn python_method(_: &mut State<'_, '_>, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let unknown = || Error::from(ErrorKind::UnknownMethod);
    if let Some(text) = value.as_str() {
        return text_method(text, method, args).ok_or_else(unknown);
    }
    if value.kind() == ValueKind::Map {
        return map_method(value, method, args)?.ok_or_else(unknown);
    }
    Err(unknown())
}

fn text_method(text: &str, method: &str, args: &[Value]) -> Option<Value> {
    let text_arg = |at: usize| args.get(at).and_then(Value::as_str);
    let set = text_arg(0).map(|set| set.chars().collect::<Vec<char>>());
    let strips = |c: char| set.as_ref().map_or(c.is_whitespace(), |set| set.contains(&c));
    Some(match method {
        "strip" => text.trim_matches(strips).into(),
        "lstrip" => text.trim_start_matches(strips).into(),
        "rstrip" => text.trim_end_matches(strips).into(),
        "upper" => text.to_uppercase().into(),
        "lower" => text.to_lowercase().into(),
        "title" => title(text).into(),
        "capitalize" => {
            let mut chars = text.chars();
            let first: String = chars
                .next()
                .map(|c| c.to_uppercase().collect())
                .unwrap_or_default();
            (first + &chars.as_str().to_lowercase()).into()
        }
        "startswith" => any_of(args, |prefix| text.starts_with(prefix))?.into(),
        "endswith" => any_of(args, |suffix| text.ends_with(suffix))?.into(),
        "replace" => {
            let most = args.get(2).and_then(Value::as_usize).unwrap_or(usize::MAX);
            text.replacen(text_arg(0)?, text_arg(1)?, most).into()
        }
        "split" => {
            let most = args
                .get(1)
                .and_then(Value::as_usize)
                .map_or(usize::MAX, |most| most.saturating_add(1));
            let parts: Vec<Value> = match text_arg(0) {
                Some(separator) => text.splitn(most, separator).map(Value::from).collect(),
                None => text.split_whitespace().map(Value::from).collect(),
            };
            parts.into()
        }
        "splitlines" => text.lines().map(Value::from).collect::<Vec<_>>().into(),
        "find" => {
            let found = text.find(text_arg(0)?).map(|at| text[..at].chars().count());
            found.map_or(-1, |at| at as i64).into()
        }
        "count" => text.matches(text_arg(0)?).count().into(),
        "removeprefix" => text.strip_prefix(text_arg(0)?).unwrap_or(text).into(),
        "removesuffix" => text.strip_suffix(text_arg(0)?).unwrap_or(text).into(),
        "isdigit" => (!text.is_empty() && text.chars().all(char::is_numeric)).into(),
        "isspace" => (!text.is_empty() && text.chars().all(char::is_whitespace)).into(),
        _ => return None,
    })
}

/// Python takes one text, or a tuple of them.
fn any_of(args: &[Value], holds: impl Fn(&str) -> bool) -> Option<bool> {
    let first = args.first()?;
    if let Some(text) = first.as_str() {
        return Some(holds(text));
    }
    Some(
        first
            .try_iter()
            .ok()?
            .any(|item| item.as_str().is_some_and(&holds)),
    )
}

fn title(text: &str) -> String {
    let mut start = true;
    let mut titled = String::with_capacity(text.len());
    for c in text.chars() {
        if start {
            titled.extend(c.to_uppercase());
        } else {
            titled.extend(c.to_lowercase());
        }
        start = !c.is_alphabetic();
    }
    titled
}

fn map_method(map: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let keys = || map.try_iter().map(Iterator::collect::<Vec<Value>>);
    Ok(Some(match method {
        "keys" => keys()?.into(),
        "values" => keys()?
            .iter()
            .map(|key| map.get_item(key))
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        "items" => {
            let pair = |key: Value| Ok(Value::from(vec![key.clone(), map.get_item(&key)?]));
            keys()?
                .into_iter()
                .map(pair)
                .collect::<Result<Vec<_>, Error>>()?
                .into()
        }
        "get" => {
            let Some(key) = args.first() else { return Ok(None) };
            let found = map.get_item(key)?;
            let default = || args.get(1).cloned().unwrap_or_else(|| ().into());
            if found.is_undefined() { default() } else { found }
        }
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn render(source: &str, messages: &[(&str, &str)]) -> Result<String, String> {
        let message = |(role, content): &(&str, &str)| Message {
            role: (*role).to_owned(),
            content: (*content).to_owned(),
            name: None,
        };
        let messages: Vec<Message> = messages.iter().map(message).collect();
        // 2026-11-21 08:45:43 UTC, a Saturday.
        ChatTemplate::compile(source, "<s>", "</s>")?.render(&messages, TimestampMs(1_795_250_743_000))
    }

    #[test]
    fn the_usual_template_renders_to_the_letter() {
        let chatml = "{{ bos_token }}{% for message in messages %}\n    {% if not loop.first %}\n{{ '\\n' }}\n    {% endif %}\n\
                      <|im_start|>{{ message['role'] }}\n{{ message.content | trim }}<|im_end|>{{ eos_token }}\n{% endfor %}\n\
                      {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
        let rendered = render(chatml, &[("system", " be brief "), ("user", "hi")]).unwrap();
        assert_eq!(
            rendered,
            "<s><|im_start|>system\nbe brief<|im_end|></s>\n\n\n<|im_start|>user\nhi<|im_end|></s>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn python_methods_and_the_functions_of_transformers_are_there() {
        let cases = [
            ("{{ messages[0].content.strip() }}", "a B,c"),
            ("{{ messages[0].content.strip().split(',')[-1] }}", "c"),
            ("{{ 'x' if messages[0].content.startswith('  a') else 'y' }}", "x"),
            ("{{ messages[0].content.replace(' ', '').upper() }}", "AB,C"),
            ("{{ messages[0]['content'].rstrip() }}|", "  a B,c|"),
            ("{{ messages[0].get('tool_calls', 'none') }}", "none"),
            (
                "{% for k, v in messages[0].items() %}{{ k }};{% endfor %}",
                "role;content;",
            ),
            ("{{ {'a': [1, '<é>']} | tojson }}", "{\"a\": [1, \"<é>\"]}"),
            (
                "{{ strftime_now('%d %b %Y, %A %H:%M') }}",
                "21 Nov 2026, Saturday 08:45",
            ),
            ("{% generation %}x{% endgeneration %}", "x"),
            (
                "{% for m in messages %}{% break %}{% endfor %}{{ tools is none }}",
                "True",
            ),
            (
                "{% set ns = namespace(n=1) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}",
                "2",
            ),
            ("{{ messages[1:] | length }}{{ messages[0] is mapping }}", "0True"),
            ("{{ 'hello world'.title() }}{{ 'a-b'.find('b') }}", "Hello World2"),
        ];
        for (source, expected) in cases {
            assert_eq!(
                render(source, &[("user", "  a B,c ")]).as_deref(),
                Ok(expected),
                "{source}"
            );
        }
    }

    #[test]
    fn what_a_template_refuses_is_said_in_its_own_words_and_failures_quote_no_message() {
        let refused = render(
            "{{ raise_exception('roles must alternate') }}",
            &[("user", "secret")],
        );
        assert_eq!(refused.unwrap_err(), "roles must alternate");
        let failed = render("{{ messages[0].content.nonsense() }}", &[("user", "secret")]).unwrap_err();
        assert!(!failed.contains("secret"), "{failed}");
        let error = ChatTemplate::compile("{% for %}", "", "").unwrap_err();
        assert!(error.contains("syntax error"), "{error}");
    }
}
