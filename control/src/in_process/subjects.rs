//! Who listens to what: a tree with one level a token, as NATS keeps it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::queue::Queue;

/// Listeners by subject.
#[derive(Default)]
pub(crate) struct Tree {
    root: Node,
}

/// One listener's member in the tree.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) subject: String,
    pub(crate) group: Option<String>,
    pub(crate) queue: Arc<Queue>,
}

#[derive(Default)]
struct Node {
    children: HashMap<String, Node>,
    /// `*`: any one token.
    any: Option<Box<Node>>,
    /// `>`: one token or more.
    rest: Listeners,
    here: Listeners,
}

#[derive(Default)]
struct Listeners {
    each: Vec<Arc<Queue>>,
    shared: Vec<(String, Arc<Queue>)>,
}

/// Where one message goes: to each of `each`, and of `shared` one a group.
#[derive(Default)]
pub(super) struct Recipients<'a> {
    pub(super) each: Vec<&'a Arc<Queue>>,
    pub(super) shared: Vec<(&'a str, &'a Arc<Queue>)>,
}

impl Tree {
    pub(crate) fn add(&mut self, member: &Member) {
        let listeners = self.root.at(&member.subject);
        match &member.group {
            None => listeners.each.push(Arc::clone(&member.queue)),
            Some(group) => listeners.shared.push((group.clone(), Arc::clone(&member.queue))),
        }
    }

    pub(crate) fn remove(&mut self, member: &Member) {
        self.root.remove(Some(&member.subject), &member.queue);
    }

    pub(super) fn recipients(&self, subject: &str) -> Recipients<'_> {
        let mut recipients = Recipients::default();
        self.root.collect(Some(subject), &mut recipients);
        recipients
    }

    pub(super) fn all(&self) -> Vec<&Arc<Queue>> {
        let mut all = Vec::new();
        self.root.all(&mut all);
        all
    }
}

/// The first token, and what follows it.
fn first(subject: &str) -> (&str, Option<&str>) {
    match subject.split_once('.') {
        Some((token, rest)) => (token, Some(rest)),
        None => (subject, None),
    }
}

impl Node {
    /// The listeners of exactly this pattern, with the way to them made.
    fn at(&mut self, pattern: &str) -> &mut Listeners {
        let (token, rest) = first(pattern);
        let child = match token {
            ">" if rest.is_none() => return &mut self.rest,
            "*" => self.any.get_or_insert_default(),
            _ => self.children.entry(token.to_owned()).or_default(),
        };
        match rest {
            Some(rest) => child.at(rest),
            None => &mut child.here,
        }
    }

    fn remove(&mut self, pattern: Option<&str>, queue: &Arc<Queue>) {
        let Some(pattern) = pattern else {
            return self.here.remove(queue);
        };
        let (token, rest) = first(pattern);
        match token {
            ">" if rest.is_none() => self.rest.remove(queue),
            "*" => {
                if let Some(child) = &mut self.any {
                    child.remove(rest, queue);
                    if child.is_empty() {
                        self.any = None;
                    }
                }
            }
            _ => {
                if let Some(child) = self.children.get_mut(token) {
                    child.remove(rest, queue);
                    if child.is_empty() {
                        self.children.remove(token);
                    }
                }
            }
        }
    }

    fn collect<'a>(&'a self, subject: Option<&str>, recipients: &mut Recipients<'a>) {
        let Some(subject) = subject else {
            return self.here.collect(recipients);
        };
        self.rest.collect(recipients);
        let (token, rest) = first(subject);
        if let Some(child) = self.children.get(token) {
            child.collect(rest, recipients);
        }
        if let Some(child) = &self.any {
            child.collect(rest, recipients);
        }
    }

    fn all<'a>(&'a self, all: &mut Vec<&'a Arc<Queue>>) {
        for recipients in [&self.rest, &self.here] {
            all.extend(&recipients.each);
            all.extend(recipients.shared.iter().map(|(_, queue)| queue));
        }
        for child in self.children.values().chain(self.any.as_deref()) {
            child.all(all);
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.any.is_none() && self.rest.is_empty() && self.here.is_empty()
    }
}

impl Listeners {
    fn remove(&mut self, queue: &Arc<Queue>) {
        self.each.retain(|one| !Arc::ptr_eq(one, queue));
        self.shared.retain(|(_, one)| !Arc::ptr_eq(one, queue));
    }

    fn collect<'a>(&'a self, recipients: &mut Recipients<'a>) {
        recipients.each.extend(&self.each);
        let shared = self.shared.iter().map(|(group, queue)| (group.as_str(), queue));
        recipients.shared.extend(shared);
    }

    fn is_empty(&self) -> bool {
        self.each.is_empty() && self.shared.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(subject: &str) -> Member {
        Member {
            subject: subject.to_owned(),
            group: None,
            queue: Arc::new(Queue::new(crate::in_process::ONE)),
        }
    }

    #[test]
    fn a_pattern_hears_what_nats_says_it_hears() {
        let cases = [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.b", "a", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.*", "a", false),
            ("*.b", "a.b", true),
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.b.d", false),
            ("a.>", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            (">", "a.b.c", true),
        ];
        for (pattern, subject, hears) in cases {
            let mut tree = Tree::default();
            tree.add(&member(pattern));
            assert_eq!(
                !tree.recipients(subject).each.is_empty(),
                hears,
                "{pattern} and {subject}"
            );
        }
    }

    #[test]
    fn a_tree_whose_listeners_left_is_empty() {
        let members: Vec<Member> = ["a.b", "a.*", "a.>", "a.b.c", "*.*", ">", "a.b"]
            .map(member)
            .into();
        let mut tree = Tree::default();
        for member in &members {
            tree.add(member);
        }
        for (left, member) in members.iter().enumerate() {
            assert_eq!(tree.all().len(), members.len() - left);
            tree.remove(member);
        }
        assert!(tree.root.is_empty());
    }
}
