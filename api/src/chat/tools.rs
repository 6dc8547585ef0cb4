//! Tools that the model may ask its client to call.

use serde::Deserialize;

use crate::error::Invalid;
use crate::limits::Limits;
use crate::names::{self, Named, length};
use crate::values::AnyObject;

/// A tool. Of kinds other than `function` and `custom` only the kind is known.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Tool {
    /// `function`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// What may be called.
    #[serde(default, deserialize_with = "crate::members::one")]
    pub function: Option<Function>,
    /// What may be called with a text.
    #[serde(default, deserialize_with = "crate::members::one")]
    pub custom: Option<Named>,
}

/// A function. The schema of its parameters stays in the body.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the API's own names")]
pub struct Function {
    pub name: String,
    pub description: Option<String>,
    pub parameters: Option<AnyObject>,
    pub strict: Option<bool>,
}

/// A function that was called.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the API's own names")]
pub struct CalledFunction {
    pub name: String,
    #[serde(default)]
    pub arguments: String,
}

/// Holds the number of tools, or of functions as they were named before, against its bound.
///
/// # Errors
/// If there are more.
pub(super) fn not_too_many(path: &str, number: usize, limits: &Limits) -> Result<(), Invalid> {
    if number > limits.tools {
        let message = format!("`{path}` may hold at most {}, got {number}", limits.tools);
        return Err(Invalid::value(path, message));
    }
    Ok(())
}

/// # Errors
/// The first tool that is no tool, or does not keep to the bounds.
pub(super) fn check(tools: &[Tool], limits: &Limits) -> Result<(), Invalid> {
    not_too_many("tools", tools.len(), limits)?;
    for (index, tool) in tools.iter().enumerate() {
        names::check(&format!("tools[{index}].custom"), tool.custom.as_ref(), limits)?;
        let path = format!("tools[{index}].function");
        match &tool.function {
            None if tool.kind == "function" => {
                return Err(Invalid::missing(&path, "a tool of type `function` needs one"));
            }
            None => {}
            Some(function) => {
                let path = format!("{path}.name");
                if function.name.is_empty() {
                    return Err(Invalid::kind(&path, "a non-empty string", "an empty string"));
                }
                length(&path, Some(&function.name), limits.name_length)?;
            }
        }
    }
    Ok(())
}
