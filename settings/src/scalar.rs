//! What a plain scalar means: YAML 1.2's core schema.

/// What stands there without quotes, where no field says what it should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Plain {
    Bool(bool),
    Whole(i128),
    Number(f64),
    Text,
}

pub(crate) fn plain(text: &str) -> Plain {
    if let Some(bool) = bool(text) {
        return Plain::Bool(bool);
    }
    if let Some(whole) = whole(text) {
        return Plain::Whole(whole);
    }
    number(text).map_or(Plain::Text, Plain::Number)
}

pub(crate) fn bool(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

pub(crate) fn whole(text: &str) -> Option<i128> {
    let digits = |text: &str, radix| {
        let sound = text.chars().all(|c| c.is_digit(radix));
        sound.then(|| i128::from_str_radix(text, radix).ok()).flatten()
    };
    if let Some(hex) = text.strip_prefix("0x") {
        return digits(hex, 16);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, 8);
    }
    match text.strip_prefix('-') {
        Some(rest) => digits(rest, 10).map(|number| -number),
        None => digits(text.strip_prefix('+').unwrap_or(text), 10),
    }
}

pub(crate) fn number(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['-', '+']);
    match unsigned {
        ".nan" | ".NaN" | ".NAN" if unsigned == text => return Some(f64::NAN),
        ".inf" | ".Inf" | ".INF" => {
            return Some(if text.starts_with('-') {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            });
        }
        _ => {}
    }
    // Rust reads `inf`, `nan` and `infinity` too, which are texts in YAML.
    let begins = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    begins.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_yamls_core_schema_says() {
        for (text, meant) in [
            ("true", Plain::Bool(true)),
            ("yes", Plain::Text),
            ("off", Plain::Text),
            ("12", Plain::Whole(12)),
            ("-12", Plain::Whole(-12)),
            ("0x1f", Plain::Whole(31)),
            ("0o17", Plain::Whole(15)),
            ("0x", Plain::Text),
            ("1.5", Plain::Number(1.5)),
            ("-.inf", Plain::Number(f64::NEG_INFINITY)),
            ("1e3", Plain::Number(1000.0)),
            ("inf", Plain::Text),
            ("64MiB", Plain::Text),
            ("1.2.3", Plain::Text),
        ] {
            assert_eq!(plain(text), meant, "{text}");
        }
        assert!(matches!(plain(".nan"), Plain::Number(number) if number.is_nan()));
    }
}
