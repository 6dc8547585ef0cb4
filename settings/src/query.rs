//! Values in the query of a URL, as libpq's `sslrootcert`, read and written as a form's are.

/// The URL with each value of its query that `replace` gives another for; `None` where it gives none.
///
/// # Errors
/// What `replace` refuses.
pub(crate) fn replaced<E>(
    url: &str,
    mut replace: impl FnMut(&str, &str) -> Result<Option<String>, E>,
) -> Result<Option<String>, E> {
    let Some((address, query)) = url.split_once('?').filter(|(address, _)| address.contains("://")) else {
        return Ok(None);
    };
    let mut is_changed = false;
    let mut parts = Vec::new();
    for part in query.split('&') {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match replace(name, &meant(value))? {
            None => parts.push(part.to_owned()),
            Some(value) => {
                is_changed = true;
                parts.push(format!("{name}={}", written(&value)));
            }
        }
    }
    Ok(is_changed.then(|| format!("{address}?{}", parts.join("&"))))
}

/// What a value means: `+` is a space, `%2F` a slash. What is no such sign stays what it is.
fn meant(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (byte, read) = match (first, escaped) {
            (b'%', Some(byte)) => (byte, 2),
            (b'+', _) => (b' ', 0),
            (other, _) => (*other, 0),
        };
        bytes.push(byte);
        rest = &after[read..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How a value is written.
fn written(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    value
        .bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_replaced_as_it_is_meant_and_all_else_stays_as_it_is_written() {
        let below = |name: &str, value: &str| -> Result<Option<String>, ()> {
            Ok((name == "file").then(|| format!("/a folder/{value}")))
        };
        for (url, expected) in [
            (
                "db://u:p%2F@h/d?mode=a&file=ca.pem",
                Some("db://u:p%2F@h/d?mode=a&file=/a%20folder/ca.pem"),
            ),
            (
                "db://h?file=my+ca%2Epem&x=+%2F",
                Some("db://h?file=/a%20folder/my%20ca.pem&x=+%2F"),
            ),
            ("db://h?file=50%", Some("db://h?file=/a%20folder/50%25")),
            ("db://h?mode=a", None),
            ("db://h", None),
            ("no address?file=x", None),
        ] {
            assert_eq!(replaced(url, below), Ok(expected.map(str::to_owned)), "{url}");
        }
    }
}
