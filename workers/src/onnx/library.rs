//! ONNX Runtime's shared library: loaded once a process.

use std::path::{Path, PathBuf};

use ort::environment::Environment;
use ort::logging::LogLevel;
use parking_lot::Mutex;

use super::files::LoadError;
use crate::home;

/// Names the library; goes before the configuration.
pub const VARIABLE: &str = "RELAY_ONNXRUNTIME";

/// Where the library is: as the environment says, else as the configuration does.
pub fn path(configured: &Path) -> PathBuf {
    let named = std::env::var_os(VARIABLE).filter(|named| !named.is_empty());
    named.map_or_else(|| configured.to_owned(), PathBuf::from)
}

/// Where it was looked for, if it is the one that comes along and is not there.
fn looked(library: &Path) -> String {
    if library.exists() || library != home::library() {
        return String::new();
    }
    format!("; looked for {}", home::library_places())
}

/// The process's environment for sessions. ONNX Runtime allows one, which lives as long as the process; a library that
/// could not be loaded may be there at the next attempt.
pub fn environment(library: &Path) -> Result<Environment, LoadError> {
    static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);
    let mut environment = ENVIRONMENT.lock();
    if let Some(environment) = &*environment {
        return Ok(environment.clone());
    }
    let hint = |error: &dyn std::fmt::Display| {
        LoadError::file(
            library,
            format!(
                "ONNX Runtime cannot be loaded ({error}){}; {VARIABLE} or `workers.onnxruntime` names its library, a release has it in \
                 lib/, and `make tools` brings it to a checkout",
                looked(library)
            ),
        )
    };
    let builder = ort::init_from(library).map_err(|error| hint(&error))?;
    let made = builder
        .with_name("relay")
        .with_telemetry(false)
        .build()
        .map_err(|error| hint(&error))?;
    made.set_log_level(LogLevel::Error);
    Ok(environment.insert(made).clone())
}
