//! Paths inside a file are relative to that file, not to where the program is started.

use std::path::{Component, Path, PathBuf};

use crate::keys::without_indexes;
use crate::mistake::Mistake;
use crate::node::{self, Node, Scalar, Value};
use crate::query;

/// Where relative paths may begin.
pub(crate) struct Places<'p> {
    /// The folder of the file.
    pub file: &'p Path,
    /// The working folder, from which they were once counted.
    pub working: &'p Path,
}

/// Puts the file's folder before every relative path where `is_path` says so of key (that of each item of a list is the list's) and
/// value; of a value in the query of a URL it is asked as `store.url?sslrootcert`. A path that is found in the working folder alone is
/// refused with its new spelling.
pub(crate) fn rebase(
    node: &mut Node,
    path: &node::Path<'_>,
    places: &Places<'_>,
    is_path: &dyn Fn(&str, &str) -> bool,
) -> Result<(), Mistake> {
    let mark = node.mark;
    let whole = path.to_string();
    let key = without_indexes(&whole);
    match &mut node.value {
        Value::Scalar(scalar) if is_relative(scalar) && is_path(&key, &scalar.text) => {
            let rebased = places.rebased(&scalar.text, scalar.shown(), "");
            scalar.text = rebased.map_err(|(problem, remedy)| Mistake::new(mark, whole, problem, remedy))?;
            scalar.plain = false;
            Ok(())
        }
        Value::Removed => Ok(()),
        Value::Scalar(scalar) => {
            let rebased = query::replaced(&scalar.text, |name, value| {
                let is_one = !value.is_empty() && Path::new(value).is_relative();
                if !is_one || !is_path(&format!("{key}?{name}"), value) {
                    return Ok(None);
                }
                places.rebased(value, value, &format!("{name}=")).map(Some)
            });
            let rebased = rebased.map_err(|(problem, remedy)| Mistake::new(mark, whole, problem, remedy))?;
            if let Some(rebased) = rebased {
                scalar.text = rebased;
                scalar.plain = false;
            }
            Ok(())
        }
        Value::List(items) => items
            .iter_mut()
            .enumerate()
            .try_for_each(|(index, item)| rebase(item, &node::Path::Index(path, index), places, is_path)),
        Value::Map(entries) => entries
            .iter_mut()
            .try_for_each(|(key, value)| rebase(value, &node::Path::Key(path, key.name()), places, is_path)),
    }
}

fn is_relative(scalar: &Scalar) -> bool {
    !scalar.is_null() && !scalar.text.is_empty() && Path::new(&scalar.text).is_relative()
}

/// A problem and its remedy.
type Complaint = (String, String);

impl Places<'_> {
    /// The path from the file's folder on; `before` is what stands before it where it is written.
    fn rebased(&self, written: &str, shown: &str, before: &str) -> Result<String, Complaint> {
        let rebased = self.file.join(written);
        match self.misses(written, &rebased) {
            None => Ok(rebased.display().to_string()),
            Some(now) => Err((
                format!(
                    "`{before}{shown}` is in the working folder; a path in a file is relative to that file now"
                ),
                format!("write `{before}{now}`"),
            )),
        }
    }

    /// The new spelling, where `written` is found in the working folder and not beside the file.
    fn misses(&self, written: &str, rebased: &Path) -> Option<String> {
        if rebased.exists() {
            return None;
        }
        let found = self.working.join(written).canonicalize().ok()?;
        let from = self.working.join(self.file).canonicalize().ok()?;
        Some(spelled(&from, &found).display().to_string())
    }
}

/// The way from a folder to a file; both are canonical.
fn spelled(from: &Path, to: &Path) -> PathBuf {
    let shared = from
        .components()
        .zip(to.components())
        .take_while(|(one, other)| one == other)
        .count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::Document;

    fn read(text: &str, file: &Path, working: &Path) -> Result<serde_json::Value, Mistake> {
        let is_path =
            |key: &str, _: &str| ["data", "planner.policy", "bus.files", "workers.models"].contains(&key);
        let places = Places { file, working };
        Document::parse(text)?.rebased(&places, &is_path)?.read()
    }

    #[test]
    fn a_path_in_a_file_is_relative_to_that_file_and_nothing_else_is_touched() {
        let text = "data: 2024\nplanner: { policy: policy.yaml, other: policy.yaml }\nbus: { files: [a, /b] }\nworkers: [{ models: m, pool: p }]\n";
        let read = read(text, Path::new("/etc/relay"), Path::new("/somewhere")).expect("it is good");
        let expected = serde_json::json!({
            "data": "/etc/relay/2024",
            "planner": { "policy": "/etc/relay/policy.yaml", "other": "policy.yaml" },
            "bus": { "files": ["/etc/relay/a", "/b"] },
            "workers": [{ "models": "/etc/relay/m", "pool": "p" }],
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn a_path_in_the_query_of_a_url_is_relative_to_the_file_too() {
        let is_path = |key: &str, _: &str| key == "store.url?sslrootcert";
        let root = tempfile::tempdir().expect("a folder");
        let deploy = root.path().join("deploy");
        std::fs::create_dir(&deploy).expect("a folder");
        std::fs::write(root.path().join("ca.pem"), "").expect("an authority");
        let places = Places {
            file: &deploy,
            working: root.path(),
        };
        let read = |url: &str| -> Result<serde_json::Value, Mistake> {
            let text = format!("store: {{ url: '{url}' }}");
            Document::parse(&text)?.rebased(&places, &is_path)?.read()
        };
        let url = |given: &str| read(given).expect(given)["store"]["url"].clone();
        let before = "postgres://u:p@h/d?sslmode=verify-full&sslrootcert=";
        let rebased = format!("{before}{}", deploy.join("tls/ca.pem").display());
        assert_eq!(url(&format!("{before}tls/ca.pem")), rebased);
        assert_eq!(url(&format!("{before}tls%2Fca.pem")), rebased);
        for same in [
            format!("{before}/etc/ca.pem"),
            "postgres://h/d?sslcert=ca.pem".to_owned(),
        ] {
            assert_eq!(url(&same), same);
        }
        let refused = read(&format!("{before}ca.pem"))
            .expect_err("the old meaning")
            .to_string();
        assert_eq!(
            refused,
            "1:15: store.url: `sslrootcert=ca.pem` is in the working folder; a path in a file is relative to that file now; write \
             `sslrootcert=../ca.pem`"
        );
    }

    #[test]
    fn an_absolute_path_and_none_stay_what_they_are() {
        for (text, value) in [
            ("data: /srv/data", serde_json::json!("/srv/data")),
            ("data: null", serde_json::Value::Null),
            ("data: ''", serde_json::json!("")),
        ] {
            let read = read(text, Path::new("deploy"), Path::new("/")).expect(text);
            assert_eq!(read["data"], value, "{text}");
        }
    }

    #[test]
    fn a_path_that_only_the_old_meaning_finds_is_refused_with_the_new_spelling() {
        let root = tempfile::tempdir().expect("a folder");
        let deploy = root.path().join("deploy");
        for folder in ["deploy", "models"] {
            std::fs::create_dir(root.path().join(folder)).expect(folder);
        }
        std::fs::write(deploy.join("policy.yaml"), "").expect("a policy");
        let read = |text: &str| read(text, &deploy, root.path());

        let refused = read("planner:\n  policy: deploy/policy.yaml").expect_err("the old meaning");
        assert_eq!(
            refused.to_string(),
            "2:11: planner.policy: `deploy/policy.yaml` is in the working folder; a path in a file is relative to that file now; \
             write `policy.yaml`"
        );
        let refused = read("data: models").expect_err("the old meaning");
        assert!(refused.to_string().ends_with("write `../models`"), "{refused}");
        // What the new meaning finds is good, whatever stands in the working folder.
        std::fs::create_dir(deploy.join("models")).expect("a folder");
        read("data: models").expect("beside the file");
        // And what neither finds is not there yet.
        read("data: nowhere").expect("it may be made");
    }
}
