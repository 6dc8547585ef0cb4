//! What to say of a key that is not known: its new spelling, or the nearest one that is.

use crate::node::Node;
use crate::size::ByteSize;

/// Problem and remedy.
pub(crate) fn unknown(key: &str, value: &Node, known: &[&str]) -> (String, String) {
    if let Some((spelt, value)) = respelt(key, value, known) {
        let value = value.unwrap_or_else(|| "…".to_owned());
        let now = match spelt {
            Respelt::Key(name) => format!("{name}: {value}"),
            Respelt::Group(group, name) => format!("{group}: {{{name}: {value}}}"),
        };
        return (format!("`{key}` is spelled `{now}` now"), String::new());
    }
    let problem = "is not a key here".to_owned();
    if let Some(near) = nearest(key, known) {
        return (problem, format!("did you mean `{near}`?"));
    }
    match known {
        [] => (problem, "there are none".to_owned()),
        known => (problem, format!("use one of: {}", known.join(", "))),
    }
}

/// The known word that is nearest, if it is near.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let far = (word.chars().count() / 3).clamp(1, 4);
    let distances = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate));
    let (distance, near) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= far).then_some(near)
}

/// The words, as a remedy lists them.
pub(crate) fn one_of(words: &[&str]) -> String {
    match words {
        [word] => (*word).to_owned(),
        words => format!("one of {}", words.join(", ")),
    }
}

enum Respelt<'k> {
    Key(&'k str),
    /// Inside of a group that is known.
    Group(&'k str, &'k str),
}

/// Units used to stand in the key (`grace_ms: 20000`); now they stand in the value (`grace: 20s`).
fn respelt<'k>(key: &'k str, value: &Node, known: &[&'k str]) -> Option<(Respelt<'k>, Option<String>)> {
    let (base, spell) = unit(key)?;
    let find = |name: &str| known.iter().find(|candidate| **candidate == name).copied();
    let group = || {
        let mut cuts = base
            .rmatch_indices('_')
            .map(|(at, _)| (&base[..at], &base[at + 1..]));
        cuts.find_map(|(group, name)| Some(Respelt::Group(find(group)?, name)))
    };
    let sized = || {
        known
            .iter()
            .find(|candidate| candidate.strip_suffix("_size") == Some(base))
            .copied()
    };
    let now = find(base).or_else(sized).map(Respelt::Key).or_else(group)?;
    let number = value.scalar().filter(|scalar| scalar.written.is_none());
    Some((now, number.and_then(|scalar| scalar.text.parse().ok()).map(spell)))
}

type Spell = fn(u64) -> String;

/// A key without the unit that it ends with, and how a number of that unit is written.
fn unit(key: &str) -> Option<(&str, Spell)> {
    let suffixes: [(&str, Spell); 6] = [
        ("_ms", duration),
        ("_seconds", |seconds| duration(seconds.saturating_mul(1_000))),
        ("_hours", |hours| duration(hours.saturating_mul(3_600_000))),
        ("_days", |days| duration(days.saturating_mul(86_400_000))),
        ("_kbytes", |kibibytes| ByteSize::kib(kibibytes).to_string()),
        ("_bytes", |bytes| ByteSize::b(bytes).to_string()),
    ];
    suffixes
        .into_iter()
        .find_map(|(unit, spell)| Some((key.strip_suffix(unit)?, spell)))
}

/// `workers[1].grace` is the key `workers.grace` of an item.
pub(crate) fn without_indexes(key: &str) -> String {
    let mut parts = key.split('[');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let index = part
            .split_once(']')
            .filter(|(index, _)| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()));
        match index {
            Some((_, rest)) => plain.push_str(rest),
            None => plain.extend(["[", part]),
        }
    }
    plain
}

/// Whether `key` is what a table of keys calls `known`, where a `*` stands for any name.
pub(crate) fn is_same(known: &str, key: &str) -> bool {
    match known.split_once('*') {
        None => known == key,
        Some((before, behind)) => key
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(behind))
            .is_some_and(|name| !name.is_empty()),
    }
}

/// What to say of `key`, which is `now` instead: a path below the same mapping or, behind a `/`, from the top of the file, or nothing.
pub(crate) fn moved(key: &str, value: &Node, now: &str) -> String {
    if now.is_empty() {
        return format!("`{key}` has no use any more; leave it out");
    }
    let scalar = value.scalar();
    let number = scalar.and_then(|scalar| scalar.text.parse().ok());
    let value = match (unit(key), number, scalar) {
        (Some((_, spell)), Some(number), _) => spell(number),
        (_, _, Some(scalar)) => scalar.shown().to_owned(),
        _ => "…".to_owned(),
    };
    let (now, place) = match now.strip_prefix('/') {
        Some(now) => (now, " at the top of the file"),
        None => (now, ""),
    };
    let mut path = now.rsplit('.');
    let innermost = format!("{}: {value}", path.next().unwrap_or_default());
    let entry = path.fold(innermost, |inside, group| format!("{group}: {{{inside}}}"));
    format!("`{key}` is spelled `{entry}`{place} now")
}

/// In the largest unit that divides it.
fn duration(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let exact = units
        .into_iter()
        .find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
    match exact {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}
