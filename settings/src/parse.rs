//! From YAML to the tree.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};
use serde::de::DeserializeOwned;

use crate::expand;
use crate::keys;
use crate::mistake::{Mark, Mistake};
use crate::node::{Node, Path, Scalar, Value};
use crate::paths::{self, Places};
use crate::read;

/// Most values of a file, those that aliases repeat included: a few lines of aliases could name billions.
const MOST_NODES: usize = 200_000;

/// A file's tree.
#[derive(Debug, Clone)]
pub struct Document {
    pub(crate) root: Node,
}

impl Document {
    /// Parses `text`, which may begin with a byte order mark.
    ///
    /// # Errors
    /// What is no YAML, a key that stands twice, and what such files have no use for: tags, a second document.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let (document, mistakes) = Self::parse_all(text);
        match (document, mistakes.into_iter().next()) {
            (Some(document), None) => Ok(document),
            (_, Some(mistake)) => Err(mistake),
            (None, None) => unreachable!("what is no document has a mistake"),
        }
    }

    /// As [`Document::parse`], with all mistakes, in the order of the file. What stands twice and a tag are left out of the document;
    /// what is no YAML leaves none.
    pub(crate) fn parse_all(text: &str) -> (Option<Self>, Vec<Mistake>) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut builder = Builder::default();
        let built = Parser::new_from_str(text).try_for_each(|event| {
            let (event, span) = event.map_err(|error| {
                let at = mark(*error.marker());
                Mistake::new(at, "", error.info(), way_out(text, at))
            })?;
            builder.take(event, &span)
        });
        let mut mistakes = builder.mistakes;
        if let Err(mistake) = built {
            mistakes.push(mistake);
            return (None, mistakes);
        }
        let root = builder.root.unwrap_or(Node {
            mark: Mark { line: 1, column: 1 },
            value: Value::Scalar(Scalar {
                text: String::new(),
                plain: true,
                written: None,
            }),
        });
        (Some(Self { root }), mistakes)
    }

    /// Replaces `${NAME}` and `${NAME:-default}` in every value by what `var` gives; `$${` stands for `${`.
    ///
    /// # Errors
    /// A variable that is not set and has no default, and what is no reference.
    pub fn expanded(mut self, var: impl Fn(&str) -> Option<String>) -> Result<Self, Mistake> {
        expand::node(&mut self.root, &Path::Root, &var)?;
        Ok(self)
    }

    /// Puts the file's folder before every relative path where `is_path` says so of key and value.
    pub(crate) fn rebased(
        mut self,
        places: &Places<'_>,
        is_path: &dyn Fn(&str, &str) -> bool,
    ) -> Result<Self, Mistake> {
        paths::rebase(&mut self.root, &Path::Root, places, is_path)?;
        Ok(self)
    }

    /// As [`Document::read`], where `moved` says of old keys, with those above them, where they stand now below the same
    /// mapping: `("ingress.gap_ms", "answers.gap")`, with a `/` before it from the top of the file, or nothing where they have no use any
    /// more. A `*` stands for any name (`models.*.chat_limit`), and a key for those of each item of a list. Who uses one is told so.
    ///
    /// # Errors
    /// The first thing that `T` refuses.
    pub fn read_moved<T: DeserializeOwned>(&self, moved: &[(&str, &str)]) -> Result<T, Mistake> {
        self.read().map_err(|mistake: Mistake| {
            let key = keys::without_indexes(&mistake.key);
            let now = moved
                .iter()
                .find(|(old, _)| keys::is_same(old, &key))
                .map(|(_, now)| *now);
            let (Some(now), Some(value)) = (now, value_behind(&self.root, mistake.mark)) else {
                return mistake;
            };
            let key = key.rsplit('.').next().unwrap_or_default();
            let problem = keys::moved(key, value, now);
            let remedy = String::new();
            Mistake {
                problem,
                remedy,
                ..mistake
            }
        })
    }

    /// What the file says, as a `T`.
    ///
    /// # Errors
    /// The first thing that `T` refuses.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Mistake> {
        read::read(&self.root)
    }
}

/// The value of the key that stands there. (Names hold dots too, so no path leads to it.)
fn value_behind(node: &Node, key: Mark) -> Option<&Node> {
    match &node.value {
        Value::Scalar(_) | Value::Removed => None,
        Value::List(items) => items.iter().find_map(|item| value_behind(item, key)),
        Value::Map(entries) => entries.iter().find_map(|(name, value)| {
            if name.mark == key {
                return Some(value);
            }
            value_behind(value, key)
        }),
    }
}

/// How to mend what is no YAML, where that is known.
fn way_out(text: &str, at: Mark) -> &'static str {
    let line = text.lines().nth(at.line - 1).unwrap_or_default();
    let flow = line
        .find("${")
        .is_some_and(|reference| line[..reference].contains(['{', '[']));
    if flow {
        "a reference such as `${NAME}` cannot stand between braces or brackets: write its key on a line of its own"
    } else {
        ""
    }
}

fn mark(marker: granit_parser::Marker) -> Mark {
    Mark {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

/// A list or mapping that is not yet at its end.
struct Open {
    mark: Mark,
    anchor: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<Node>),
    /// With the key whose value comes next.
    Map(Vec<(Node, Node)>, Option<Node>),
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    /// What does not keep the rest from being read.
    mistakes: Vec<Mistake>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Mistake> {
        let mark = mark(span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.untagged(tag.is_some(), mark);
                let plain = style == ScalarStyle::Plain;
                // The parser hands out `~` where nothing was written.
                let nothing = plain && span.start == span.end;
                let text = if nothing { String::new() } else { text.into_owned() };
                let written = None;
                let value = Value::Scalar(Scalar { text, plain, written });
                self.put(Node { mark, value }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.untagged(tag.is_some(), mark);
                let inside = Inside::List(Vec::new());
                self.open.push(Open { mark, anchor, inside });
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.untagged(tag.is_some(), mark);
                let inside = Inside::Map(Vec::new(), None);
                self.open.push(Open { mark, anchor, inside });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else {
                    return Ok(());
                };
                let value = match open.inside {
                    Inside::List(items) => Value::List(items),
                    Inside::Map(entries, _) => Value::Map(entries),
                };
                let mark = open.mark;
                self.put(Node { mark, value }, open.anchor)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().ok_or_else(|| {
                    Mistake::new(
                        mark,
                        "",
                        "an alias stands inside of what it repeats",
                        "write it out",
                    )
                })?;
                self.put(node, 0)
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Mistake::new(mark, "", "a second document begins", "keep one"))
            }
            _ => Ok(()),
        }
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Mistake> {
        self.nodes += size(&node);
        if self.nodes > MOST_NODES {
            return Err(Mistake::new(
                node.mark,
                "",
                "the file holds too much",
                "repeat less by aliases",
            ));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.inside) {
            None => self.root = Some(node),
            Some(Inside::List(items)) => items.push(node),
            Some(Inside::Map(entries, key @ None)) => {
                let twice = twice(entries, &node)?;
                *key = Some(node);
                if let Some(mistake) = twice {
                    let mistake = self.below(mistake);
                    self.mistakes.push(mistake);
                }
            }
            Some(Inside::Map(entries, key)) => {
                let key = key.take().filter(|key| first(entries, key).is_none());
                entries.extend(key.map(|key| (key, node)));
            }
        }
        Ok(())
    }

    fn untagged(&mut self, tagged: bool, mark: Mark) {
        if tagged {
            let remedy = "leave it out; quotes make a value text";
            self.mistakes
                .push(Mistake::new(mark, "", "a tag stands here", remedy));
        }
    }

    /// Puts the keys of what is open before a mistake's own.
    fn below(&self, mistake: Mistake) -> Mistake {
        let mut key = String::new();
        for open in &self.open {
            match &open.inside {
                Inside::Map(_, Some(name)) if key.is_empty() => key.push_str(name.name()),
                Inside::Map(_, Some(name)) => key = format!("{key}.{}", name.name()),
                Inside::List(items) => key = format!("{key}[{}]", items.len()),
                Inside::Map(_, None) if key.is_empty() => key.clone_from(&mistake.key),
                Inside::Map(_, None) => key = format!("{key}.{}", mistake.key),
            }
        }
        Mistake { key, ..mistake }
    }
}

/// Aliases are counted by what they repeat; what is put into something is counted with it once more, which is no matter.
fn size(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(_) | Value::Removed => 1,
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|(_, value)| 1 + size(value)).sum::<usize>(),
    }
}

/// YAML readers keep the last of two equal keys in silence; ours does not.
fn twice(entries: &[(Node, Node)], key: &Node) -> Result<Option<Mistake>, Mistake> {
    let Some(scalar) = key.scalar() else {
        return Err(Mistake::new(
            key.mark,
            "",
            format!("{} stands where a key is needed", key.kind()),
            "",
        ));
    };
    Ok(first(entries, key).map(|first| {
        let remedy = format!("the first is in line {}; keep one of them", first.mark.line);
        Mistake::new(key.mark, &scalar.text, "stands twice", remedy)
    }))
}

/// The same key, where it stands already.
fn first<'n>(entries: &'n [(Node, Node)], key: &Node) -> Option<&'n Node> {
    let same = entries.iter().find(|(known, _)| known.name() == key.name());
    same.map(|(known, _)| known)
}
