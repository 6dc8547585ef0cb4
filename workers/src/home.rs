//! Relay's own folder, with what comes along with the executable: ONNX Runtime in `lib/`, the models in `models/`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Names the folder; goes before what is looked for.
pub const VARIABLE: &str = "RELAY_HOME";
const MODELS: &str = "models/models.yaml";
/// In a release, and in a checkout, where `make tools` puts it.
const LIBRARIES: [&str; 2] = [
    "lib/libonnxruntime.so",
    ".relay/tools/onnxruntime/libonnxruntime.so",
];

/// The folder that `RELAY_HOME` names; else that of the executable, or the one above a `bin/`, where the models lie in it; else the
/// working folder, as in a checkout.
fn home(named: Option<OsString>, executable: Option<&Path>, exists: impl Fn(&Path) -> bool) -> PathBuf {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return named.into();
    }
    let beside = executable.and_then(Path::parent);
    let above = beside
        .filter(|folder| folder.ends_with("bin"))
        .and_then(Path::parent);
    let holds = |folder: &&Path| exists(&folder.join(MODELS));
    let found = [beside, above].into_iter().flatten().find(holds);
    found.map_or_else(PathBuf::new, Path::to_owned)
}

fn found() -> PathBuf {
    let executable = std::env::current_exe().ok();
    home(std::env::var_os(VARIABLE), executable.as_deref(), Path::exists)
}

/// The models file that comes along.
pub fn models() -> PathBuf {
    found().join(MODELS)
}

/// ONNX Runtime's library that comes along; where there is none, the place where a release has it.
pub fn library() -> PathBuf {
    let home = found();
    let [released, installed] = LIBRARIES.map(|name| home.join(name));
    if !released.exists() && installed.exists() {
        return installed;
    }
    released
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_along_is_beside_the_executable_or_above_its_bin_or_in_the_folder_that_relay_home_names() {
        let there = |file: &Path| {
            let homes = ["/opt/relay/models/models.yaml", "/usr/models/models.yaml"];
            homes.iter().any(|home| file == Path::new(home))
        };
        for (named, executable, expected) in [
            (None, "/opt/relay/relay", "/opt/relay"),
            (None, "/usr/bin/relay", "/usr"),
            // Only a `bin` has what belongs to it in the folder above.
            (None, "/opt/relay/other/relay", ""),
            (None, "/checkout/target/release/relay", ""),
            (Some("/elsewhere"), "/opt/relay/relay", "/elsewhere"),
            (Some(""), "/opt/relay/relay", "/opt/relay"),
        ] {
            let home = home(named.map(OsString::from), Some(Path::new(executable)), there);
            assert_eq!(home, Path::new(expected), "{named:?}, {executable}");
        }
        assert_eq!(home(None, None, there), Path::new(""));
    }
}
