//! What happened at the seams, line by line: two runs of one seed are the same if these bytes are.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use parking_lot::Mutex;

use super::time::Beginning;

/// The lines so far. Cheap to clone; all clones write one text.
#[derive(Clone)]
pub(crate) struct Trace {
    lines: Arc<Mutex<String>>,
    began: Beginning,
}

impl Trace {
    /// No line yet.
    pub fn new(began: Beginning) -> Self {
        Self {
            lines: Arc::default(),
            began,
        }
    }

    /// `process` does, or meets, `what`.
    pub fn line(&self, process: &str, what: fmt::Arguments<'_>) {
        let ms = self.began.passed().as_millis();
        let _ = writeln!(self.lines.lock(), "{ms:>8} {process} {what}");
    }

    /// All of them.
    pub fn text(&self) -> String {
        self.lines.lock().clone()
    }
}

/// The first line in which two texts differ, with the lines before it; nothing where they are the same.
pub fn difference(one: &str, other: &str) -> Option<String> {
    const BEFORE: usize = 20;
    if one == other {
        return None;
    }
    let same = one
        .lines()
        .zip(other.lines())
        .take_while(|(one, other)| one == other);
    let at = same.count();
    let mut told = String::new();
    for line in one.lines().take(at).skip(at.saturating_sub(BEFORE)) {
        let _ = writeln!(told, "  {line}");
    }
    for (sign, text) in [("-", one), ("+", other)] {
        let _ = writeln!(told, "{sign} {}", text.lines().nth(at).unwrap_or("(it ends)"));
    }
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_with_what_was_the_same_before_it() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\nb\nc", "a\nx\nc").expect("one"), "  a\n- b\n+ x\n");
        assert_eq!(
            difference("a\n", "a\nb\n").expect("one"),
            "  a\n- (it ends)\n+ b\n"
        );
    }
}
