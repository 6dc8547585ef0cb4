//! All mistakes of a file at once: what is refused is taken out of the tree, and the rest is read again.
//!
//! serde ends at the first refusal. So it is asked again, without what it has refused, and with something in the place of what is
//! missing where anything simple will do; what is wrong only for want of that is not told.

use serde::de::DeserializeOwned;

use crate::mistake::{Mark, Mistake};
use crate::node::{Node, Path, Scalar, Value};
use crate::parse::Document;
use crate::spanned::Place;

/// Most mistakes that are gathered of one file; who has mended these sees the next ones.
const MOST: usize = 100;

/// What a file says as far as it can be used, and what is wrong with it.
/// It may hold secrets, as they are written, so it cannot be shown.
#[derive(Clone)]
pub struct Reading<T> {
    /// What is good of it; `None` where nothing can be used. Where a key is missing, something may stand in for it.
    pub value: Option<T>,
    /// In the order of the file.
    pub mistakes: Vec<Mistake>,
    document: Option<Document>,
}

impl<T> Reading<T> {
    /// What it says, where nothing is wrong with it.
    ///
    /// # Errors
    /// The first mistake.
    pub fn sound(self) -> Result<T, Mistake> {
        match (self.value, self.mistakes.into_iter().next()) {
            (Some(value), None) => Ok(value),
            (_, Some(mistake)) => Err(mistake),
            (None, None) => unreachable!("what cannot be used has a mistake"),
        }
    }

    /// Where `key`, with those above it, or else the nearest above it that is written, stands.
    pub fn place(&self, key: &str) -> Option<Place> {
        nearest(&self.document.as_ref()?.root, &Path::Root, key)
    }

    /// Whether a mistake is about `key`, something in it or something that it is in: what it is set to is not known.
    pub fn is_mistaken(&self, key: &str) -> bool {
        let mut subjects = self.mistakes.iter().map(subject);
        subjects.any(|subject| !subject.is_empty() && (is_in(&subject, key) || is_in(key, &subject)))
    }

    /// Adds what a check of the whole found, but for what is about something that is mistaken already, and puts all in the order of the
    /// file.
    #[must_use]
    pub fn and(mut self, found: impl IntoIterator<Item = Mistake>) -> Self {
        let found = found.into_iter();
        let found: Vec<Mistake> = found.filter(|mistake| !self.is_mistaken(&mistake.key)).collect();
        self.mistakes.extend(found);
        self.mistakes
            .sort_by_key(|mistake| (mistake.mark.line, mistake.mark.column));
        self
    }
}

/// Reads `text`, in which `${NAME}` stands for itself.
pub fn read_all<T: DeserializeOwned>(text: &str) -> Reading<T> {
    gathered(text, Document::read)
}

/// As [`read_all`], with variables from `var`, and with `moved` as in [`Document::read_moved`].
pub fn read_all_expanded<T: DeserializeOwned>(
    text: &str,
    var: impl Fn(&str) -> Option<String>,
    moved: &[(&str, &str)],
) -> Reading<T> {
    gathered(text, |document| {
        document.clone().expanded(&var)?.read_moved(moved)
    })
}

/// What `read` makes of the document, without what it refuses.
pub(crate) fn gathered<T>(text: &str, read: impl Fn(&Document) -> Result<T, Mistake>) -> Reading<T> {
    let (document, found) = Document::parse_all(text);
    let mut reading = Reading {
        value: None,
        mistakes: Vec::new(),
        document: document.clone(),
    };
    let mut found = found;
    let Some(mut left) = document else {
        return reading.and(found);
    };
    while found.len() < MOST {
        let mistake = match read(&left) {
            Ok(value) => {
                reading.value = Some(value);
                break;
            }
            Err(mistake) => mistake,
        };
        let is_mended = mended(&mut left, &mistake, &read) || remove(&mut left.root, &Path::Root, &mistake);
        if !follows(&mistake, &found) {
            found.push(mistake);
        }
        if !is_mended {
            break;
        }
    }
    reading.and(found)
}

/// The key that a mistake is about: where one is missing, that.
fn subject(mistake: &Mistake) -> String {
    match mistake.missing {
        Some(name) if mistake.key.is_empty() => name.to_owned(),
        Some(name) => format!("{}.{name}", mistake.key),
        None => mistake.key.clone(),
    }
}

/// Puts something in where a key is missing, so that what else is wrong with its mapping is seen; `false` where nothing will do.
fn mended<T>(
    document: &mut Document,
    mistake: &Mistake,
    read: &impl Fn(&Document) -> Result<T, Mistake>,
) -> bool {
    let Some(name) = mistake.missing else { return false };
    let key = subject(mistake);
    let scalar = |text: &str| {
        Value::Scalar(Scalar {
            text: text.to_owned(),
            plain: true,
            written: None,
        })
    };
    let stand_ins = [
        Value::Map(Vec::new()),
        Value::List(Vec::new()),
        scalar("x"),
        scalar("1"),
        scalar("1s"),
        scalar("true"),
    ];
    for value in stand_ins {
        let mut tried = document.clone();
        if !insert(&mut tried.root, &Path::Root, mistake, name, value) {
            return false;
        }
        // What is refused next may be neither what stands in nor, for its sake, what holds it.
        let will_do = read(&tried).err().is_none_or(|next| {
            let is_beside = next.missing.is_some() || !is_in(&key, &next.key);
            is_beside && !is_in(&subject(&next), &key)
        });
        if will_do {
            *document = tried;
            return true;
        }
    }
    false
}

/// Puts `name` into the mapping that `mistake` is about; `false` where there is none.
fn insert(node: &mut Node, path: &Path<'_>, mistake: &Mistake, name: &str, value: Value) -> bool {
    let here = path.to_string();
    if !is_in(&mistake.key, &here) {
        return false;
    }
    let mark = node.mark;
    if here == mistake.key && mark == mistake.mark {
        let Value::Map(entries) = &mut node.value else {
            return false;
        };
        let key = Scalar {
            text: name.to_owned(),
            plain: true,
            written: None,
        };
        let key = Node {
            mark,
            value: Value::Scalar(key),
        };
        entries.push((key, Node { mark, value }));
        return true;
    }
    match &mut node.value {
        Value::Map(entries) => entries
            .iter_mut()
            .any(|(key, below)| insert(below, &Path::Key(path, key.name()), mistake, name, value.clone())),
        Value::List(items) => items
            .iter_mut()
            .enumerate()
            .any(|(index, below)| insert(below, &Path::Index(path, index), mistake, name, value.clone())),
        Value::Scalar(_) | Value::Removed => false,
    }
}

/// Whether it is a mistake only because something was taken out.
fn follows(mistake: &Mistake, found: &[Mistake]) -> bool {
    match mistake.missing {
        Some(name) => {
            let key = subject(mistake);
            found
                .iter()
                .any(|earlier| is_in(&earlier.key, &key) || is_meant(earlier, name, &mistake.key))
        }
        None => found
            .iter()
            .any(|earlier| earlier.key != mistake.key && is_in(&earlier.key, &mistake.key)),
    }
}

/// Whether an unknown key in the same mapping is told to be spelled as the one that is missing.
fn is_meant(earlier: &Mistake, missing: &str, mapping: &str) -> bool {
    let beside = earlier.key.rsplit_once('.').map_or("", |(above, _)| above);
    let told = [&earlier.problem, &earlier.remedy];
    let spelled = format!("`{missing}");
    let mut told = told.into_iter().flat_map(|told| told.split(&spelled).skip(1));
    !earlier.known.is_empty() && beside == mapping && told.any(|rest| rest.starts_with(['`', ':']))
}

/// Whether `key` is `above` or below it.
fn is_in(key: &str, above: &str) -> bool {
    let rest = key.strip_prefix(above);
    rest.is_some_and(|rest| above.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Takes out what `mistake` is about; `false` where that is the whole file.
fn remove(node: &mut Node, path: &Path<'_>, mistake: &Mistake) -> bool {
    if !is_in(&mistake.key, &path.to_string()) {
        return false;
    }
    let meant =
        |path: &Path<'_>, marks: [Mark; 2]| path.to_string() == mistake.key && marks.contains(&mistake.mark);
    match &mut node.value {
        Value::Map(entries) => {
            let found = entries
                .iter()
                .position(|(key, value)| meant(&Path::Key(path, key.name()), [key.mark, value.mark]));
            if let Some(index) = found {
                entries.remove(index);
                return true;
            }
            entries
                .iter_mut()
                .any(|(key, value)| remove(value, &Path::Key(path, key.name()), mistake))
        }
        Value::List(items) => items.iter_mut().enumerate().any(|(index, item)| {
            let path = Path::Index(path, index);
            let is_there = !matches!(item.value, Value::Removed);
            if is_there && meant(&path, [item.mark; 2]) {
                item.value = Value::Removed;
                return true;
            }
            remove(item, &path, mistake)
        }),
        Value::Scalar(_) | Value::Removed => false,
    }
}

fn nearest(node: &Node, path: &Path<'_>, wanted: &str) -> Option<Place> {
    let below = |path: Path<'_>, mark: Mark, value: &Node| {
        let key = path.to_string();
        let mark = if key == wanted { value.mark } else { mark };
        let here = Place { mark, key };
        is_in(wanted, &here.key).then(|| nearest(value, &path, wanted).unwrap_or(here))
    };
    match &node.value {
        Value::Map(entries) => entries
            .iter()
            .find_map(|(key, value)| below(Path::Key(path, key.name()), key.mark, value)),
        Value::List(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| below(Path::Index(path, index), item.mark, item)),
        Value::Scalar(_) | Value::Removed => None,
    }
}
