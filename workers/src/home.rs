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

/// Where it is looked for, in this order: the folder that `RELAY_HOME` names, and nowhere else; else that of the executable, the one
/// above its `bin/`, the checkout above its `target/`, and the working folder.
fn places(named: Option<OsString>, executable: Option<&Path>) -> Vec<PathBuf> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return vec![named.into()];
    }
    let beside = executable.and_then(Path::parent);
    let above = |folder: &str| {
        let found = beside.into_iter().flat_map(Path::ancestors);
        found
            .into_iter()
            .find(|path| path.ends_with(folder))
            .and_then(Path::parent)
    };
    let bin = above("bin").filter(|home| beside == Some(&home.join("bin")));
    let found = [beside, bin, above("target")].into_iter().flatten();
    found.map(Path::to_owned).chain([PathBuf::new()]).collect()
}

/// Those of this process.
fn here() -> Vec<PathBuf> {
    places(
        std::env::var_os(VARIABLE),
        std::env::current_exe().ok().as_deref(),
    )
}

/// The first that holds the models, else the last.
fn home(places: &[PathBuf], exists: impl Fn(&Path) -> bool) -> PathBuf {
    let found = places.iter().find(|place| exists(&place.join(MODELS)));
    found.or(places.last()).cloned().unwrap_or_default()
}

/// The models file that comes along.
pub fn models() -> PathBuf {
    home(&here(), Path::exists).join(MODELS)
}

/// Every place where the models file is looked for, for people.
pub fn models_places() -> String {
    told(here().iter().map(|place| place.join(MODELS)))
}

fn told(places: impl Iterator<Item = PathBuf>) -> String {
    let whole = places.map(|place| std::path::absolute(&place).unwrap_or(place));
    let whole: Vec<String> = whole.map(|place| place.display().to_string()).collect();
    whole.join(", ")
}

/// The places of ONNX Runtime's library.
fn libraries() -> [PathBuf; 2] {
    let home = home(&here(), Path::exists);
    LIBRARIES.map(|name| home.join(name))
}

/// ONNX Runtime's library that comes along; where there is none, the place where a release has it.
pub fn library() -> PathBuf {
    let [released, installed] = libraries();
    if !released.exists() && installed.exists() {
        return installed;
    }
    released
}

/// Every place where the library is looked for, for people.
pub fn library_places() -> String {
    told(libraries().into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_along_is_beside_the_executable_or_above_its_bin_or_target_or_in_the_folder_that_relay_home_names()
     {
        let there = |file: &Path| {
            let homes = ["/opt/relay", "/usr", "/checkout"];
            homes.iter().any(|home| file == Path::new(home).join(MODELS))
        };
        for (named, executable, expected) in [
            (None, "/opt/relay/relay", "/opt/relay"),
            (None, "/usr/bin/relay", "/usr"),
            // Only a `bin` has what belongs to it in the folder above.
            (None, "/opt/relay/other/relay", ""),
            (None, "/usr/bin/other/relay", ""),
            (None, "/checkout/target/release/relay", "/checkout"),
            (None, "/checkout/target/debug/relay", "/checkout"),
            (
                None,
                "/checkout/target/x86_64-unknown-linux-gnu/release/relay",
                "/checkout",
            ),
            (None, "/elsewhere/target/debug/relay", ""),
            (Some("/elsewhere"), "/opt/relay/relay", "/elsewhere"),
            (Some(""), "/opt/relay/relay", "/opt/relay"),
        ] {
            let places = places(named.map(OsString::from), Some(Path::new(executable)));
            assert_eq!(
                home(&places, there),
                Path::new(expected),
                "{named:?}, {executable}"
            );
        }
        assert_eq!(home(&places(None, None), there), Path::new(""));
    }
}
