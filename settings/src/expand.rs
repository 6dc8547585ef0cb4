//! `${NAME}` and `${NAME:-default}`, replaced in the tree.
//!
//! The tree is there before a variable is, so that no value can be taken for YAML: a `#`, a `: ` or a `\t` is what it is. A
//! plain scalar with a reference takes the type of its field (`port: ${PORT}`), a quoted one is text. A default was
//! written in the file and means what it would mean there; as in a shell it also stands for a variable that is set to nothing, which
//! is as good as not set.

use crate::mistake::{Mark, Mistake};
use crate::node::{Node, Path, Scalar, Value};

pub(crate) fn node(
    node: &mut Node,
    path: &Path<'_>,
    var: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Mistake> {
    match &mut node.value {
        Value::Scalar(scalar) => expand(scalar, var)
            .map_err(|(problem, remedy)| Mistake::new(node.mark, path.to_string(), problem, remedy)),
        Value::Removed => Ok(()),
        Value::List(items) => items
            .iter_mut()
            .enumerate()
            .try_for_each(|(index, item)| self::node(item, &Path::Index(path, index), var)),
        Value::Map(entries) => entries.iter_mut().try_for_each(|(key, value)| {
            no_reference(key.mark, key.name(), path)?;
            self::node(value, &Path::Key(path, key.name()), var)
        }),
    }
}

fn no_reference(mark: Mark, key: &str, path: &Path<'_>) -> Result<(), Mistake> {
    if key.contains("${") {
        let key = Path::Key(path, key).to_string();
        return Err(Mistake::new(
            mark,
            key,
            "a key holds a reference",
            "only values may",
        ));
    }
    Ok(())
}

/// A problem and its remedy.
type Complaint = (String, String);

fn expand(scalar: &mut Scalar, var: &dyn Fn(&str) -> Option<String>) -> Result<(), Complaint> {
    if !scalar.text.contains("${") {
        return Ok(());
    }
    let mut expanded = String::with_capacity(scalar.text.len());
    let mut from_outside = false;
    let mut rest = scalar.text.as_str();
    while let Some(start) = rest.find("${") {
        if let Some(before) = rest[..start].strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        let end = rest[start..].find('}').ok_or_else(|| {
            (
                "`${` has no `}`".to_owned(),
                "close it, or write `$${` for the characters themselves".to_owned(),
            )
        })?;
        let inside = &rest[start + 2..start + end];
        let (name, default) = inside
            .split_once(":-")
            .map_or((inside, None), |(name, default)| (name, Some(default)));
        if !is_name(name) {
            return Err((
                format!("`${{{inside}}}` names no variable"),
                "write `${NAME}` or `${NAME:-default}`, or `$${` for the characters themselves".to_owned(),
            ));
        }
        if default.is_some_and(|default| default.contains("${")) {
            return Err((
                format!("the default of `${{{name}}}` holds another reference"),
                "a default is written out, up to the next `}`".to_owned(),
            ));
        }
        expanded.push_str(&rest[..start]);
        let value = var(name);
        let is_set = value.is_some();
        match (value.filter(|value| !value.is_empty()), default) {
            (Some(value), _) => {
                expanded.push_str(&value);
                from_outside = true;
            }
            (None, Some(default)) => expanded.push_str(default),
            (None, None) => {
                let how = if is_set { "set to nothing" } else { "not set" };
                return Err((
                    format!("the environment variable {name} is {how}"),
                    format!("set it, or give a default: `${{{name}:-default}}`"),
                ));
            }
        }
        rest = &rest[start + end + 1..];
    }
    expanded.push_str(rest);
    let written = std::mem::replace(&mut scalar.text, expanded);
    scalar.written = from_outside.then_some(written);
    Ok(())
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}
