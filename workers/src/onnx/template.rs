//! Chat templates as `transformers` renders them: Jinja, with the functions, methods and whitespace rules they rely on.

use jiff::Timestamp;
use jiff::fmt::strtime::{BrokenDownTime, Config};
use jiff::tz::TimeZone;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, State, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use relay_schemas::TimestampMs;

use crate::prompt::PromptMessage;

/// A model's compiled template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
    knows_developers: bool,
}

/// What the API calls newer instructions, and what models have learnt to call any.
const DEVELOPER: &str = "developer";
const SYSTEM: &str = "system";

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
            knows_developers: source.contains(DEVELOPER),
            environment,
            bos_token: bos_token.to_owned(),
            eos_token: eos_token.to_owned(),
        })
    }

    /// The prompt for `messages`, up to where the assistant speaks. `now` is what `strftime_now` sees. A developer's message is the system's
    /// where the template speaks of no developers, as the API itself has it for its older models.
    pub fn render(&self, messages: &[PromptMessage], now: TimestampMs) -> Result<String, String> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|error| error.to_string())?;
        let messages = messages.iter().map(|message| {
            let is_unknown = message.role == DEVELOPER && !self.knows_developers;
            let role = if is_unknown { SYSTEM } else { &message.role };
            PromptMessage {
                role: role.to_owned(),
                ..message.clone()
            }
        });
        let messages: Vec<PromptMessage> = messages.collect();
        let rendered = template.render(context! {
            messages => Value::from(Serde(&messages)),
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

/// The methods of Python's types that templates call: the library's, and the two that it lacks.
fn python_method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let affix = || args.first().and_then(Value::as_str);
    if let (Some(text), "removeprefix" | "removesuffix", Some(affix)) = (value.as_str(), method, affix()) {
        let rest = if method == "removeprefix" {
            text.strip_prefix(affix)
        } else {
            text.strip_suffix(affix)
        };
        return Ok(rest.unwrap_or(text).into());
    }
    unknown_method_callback(state, value, method, args)
}

/// What `datetime.now().strftime(format)` gives, in UTC. What a format asks for and no calendar has stays as it stands.
fn strftime(format: &str, now: TimestampMs) -> String {
    let Ok(now) = Timestamp::from_millisecond(now.0) else {
        return format.to_owned();
    };
    let now = BrokenDownTime::from(&now.to_zoned_datetime(TimeZone::UTC));
    now.to_string_with_config(&Config::new().lenient(true), format)
        .unwrap_or_else(|_| format.to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn render(source: &str, messages: &[(&str, &str)]) -> Result<String, String> {
        let message = |(role, content): &(&str, &str)| PromptMessage {
            role: (*role).to_owned(),
            content: (*content).to_owned(),
            name: None,
        };
        let messages: Vec<PromptMessage> = messages.iter().map(message).collect();
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

    /// The literal case: the small chat model refused the role by its template.
    #[test]
    fn a_developers_message_is_the_systems_where_the_template_speaks_of_no_developers() {
        let own = include_str!("../../../models/relay-chat/chat_template.jinja");
        let messages = [("developer", "be brief"), ("user", "hi")];
        assert_eq!(
            render(own, &messages).unwrap(),
            "<|system|>be brief<|end|><|user|>hi<|end|><|assistant|>"
        );
        let knows = "{% for m in messages %}{% if m.role == 'developer' %}D{% else %}{{ m.role }}{% endif %};{% endfor %}";
        assert_eq!(render(knows, &messages).unwrap(), "D;user;");
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
            (
                "{{ 'a b  c'.split() | join('|') }}{{ 'a.b.c'.split('.', 1)[1] }}",
                "a|b|cb.c",
            ),
            (
                "{{ 'aBC'.capitalize() }}{{ 'a\nb'.splitlines() | length }}",
                "Abc2",
            ),
            ("{{ 'x1'.removeprefix('x') }}{{ 'x1'.removesuffix('1') }}", "1x"),
            (
                "{{ 'aXa'.lower().count('a') }}{{ '12'.isdigit() }}{{ ' '.isspace() }}",
                "2TrueTrue",
            ),
            ("{{ 'x' if 'ab'.endswith(('c', 'b')) else 'y' }}", "x"),
            (
                "{% for key in messages[0].keys() %}{{ key }};{% endfor %}{{ messages[0].values() | length }}",
                "role;content;2",
            ),
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
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "%Y-%m-%d %H:%M:%S %a", "1970-01-01 00:00:00 Thu"),
            (951_782_400_000, "%d %B %Y", "29 February 2000"),
            (
                1_795_250_743_999,
                "%A, %e %b %y %I:%M %p",
                "Saturday, 21 Nov 26 08:45 AM",
            ),
            (-1, "%Y-%m-%d %H:%M:%S", "1969-12-31 23:59:59"),
            (43_200_000, "%I %p 100%% %! %-d %", "12 PM 100% %! 1 %"),
        ];
        for (ms, format, expected) in cases {
            assert_eq!(strftime(format, TimestampMs(ms)), expected);
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
