//! The pages' templates. Names end in `.html`, so every value is escaped.

use std::sync::LazyLock;

use axum::response::Html;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, source) in [
        ("layout.html", include_str!("../../templates/layout.html")),
        ("list.html", include_str!("../../templates/list.html")),
        ("trace.html", include_str!("../../templates/trace.html")),
        ("failure.html", include_str!("../../templates/failure.html")),
    ] {
        environment
            .add_template(name, source)
            .expect("the templates are compiled in and tested");
    }
    environment
});

/// A page.
pub(super) fn render(name: &str, view: &impl Serialize) -> Html<String> {
    let template = TEMPLATES.get_template(name).expect("the names stand above");
    let page = template.render(Serde(view)).unwrap_or_else(|error| {
        tracing::error!(template = name, %error, "a page cannot be made");
        "This page cannot be made; the log says why.".to_owned()
    });
    Html(page)
}
