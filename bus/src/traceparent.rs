//! W3C trace context: which `traceparent` counts. Pure.

use crate::headers::{Headers, header};

/// Of `00-<trace id>-<parent id>-<flags>`.
const LENGTH: usize = 55;

/// `sent` as version 00 has it, where it is valid; else the trace begins anew, as the standard says, without a word to the client. Of a
/// later version, what stands in the same places counts, and of its flags the one that is known (sampled).
pub fn valid_traceparent(sent: &str) -> Option<String> {
    let known = sent.get(..LENGTH)?;
    let mut parts = known.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |text: &str, length| is_hex(text, length) && text.bytes().any(|byte| byte != b'0');
    let rest = &sent[LENGTH..];
    let ends_well = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    let is_valid = is_hex(version, 2)
        && version != "ff"
        && is_id(trace, 32)
        && is_id(parent, 16)
        && is_hex(flags, 2)
        && parts.next().is_none()
        && ends_well;
    if !is_valid {
        return None;
    }
    if version == "00" {
        return Some(known.to_owned());
    }
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    Some(format!("00-{trace}-{parent}-{sampled:02x}"))
}

/// The trace that a record belongs to. Also who writes to the log by themselves may have written anything.
pub fn traceparent_of(headers: &Headers) -> Option<String> {
    headers.text(header::TRACEPARENT).and_then(valid_traceparent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    fn of(version: &str, trace: &str, parent: &str, flags: &str) -> String {
        format!("{version}-{trace}-{parent}-{flags}")
    }

    #[test]
    fn one_as_the_standard_has_it_stays_as_it_is() {
        for flags in ["00", "01", "03"] {
            let sent = of("00", TRACE, PARENT, flags);
            assert_eq!(valid_traceparent(&sent), Some(sent));
        }
    }

    #[test]
    fn one_of_a_later_version_counts_as_far_as_it_is_known() {
        let known = of("00", TRACE, PARENT, "01");
        for sent in [
            of("01", TRACE, PARENT, "01"),
            of("cc", TRACE, PARENT, "09-what-the-future-will-be-like"),
        ] {
            assert_eq!(valid_traceparent(&sent).as_ref(), Some(&known), "{sent}");
        }
    }

    #[test]
    fn what_is_not_as_the_standard_has_it_is_ignored() {
        let (no_trace, no_parent) = ("0".repeat(32), "0".repeat(16));
        for sent in [
            "z".repeat(55),
            String::new(),
            "é".repeat(40),
            of("00", &no_trace, PARENT, "01"),
            of("00", TRACE, &no_parent, "01"),
            of("ff", TRACE, PARENT, "01"),
            of("0", TRACE, PARENT, "010"),
            of("00", &TRACE.to_uppercase(), PARENT, "01"),
            of("00", TRACE, PARENT, "0x"),
            of("00", TRACE, PARENT, "01-"),
            of("00", TRACE, PARENT, "01-more"),
            of("cc", TRACE, PARENT, "01.more"),
            of("00", TRACE, PARENT, "1"),
            of("00", PARENT, TRACE, "01"),
            format!("00-{TRACE}_{PARENT}-01"),
        ] {
            assert_eq!(valid_traceparent(&sent), None, "{sent}");
        }
    }
}
