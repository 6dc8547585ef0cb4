//! Listeners that others than this machine reach, though nobody is asked who they are: told in the banner and in the log. Pure.

use std::net::SocketAddr;

/// Whether others than this machine may reach it.
fn is_exposed(bound: SocketAddr) -> bool {
    !bound.ip().to_canonical().is_loopback()
}

/// What is to be warned of.
pub fn warnings(api: Option<SocketAddr>, operators: SocketAddr) -> Vec<String> {
    let api = api.filter(|bound| is_exposed(*bound)).map(|bound| {
        format!(
            "the HTTP API on {bound} is open beyond this machine and asks for no key: whoever reaches it uses your models, under any \
             tenant's name. Put a proxy that knows its clients before it, or bind it to 127.0.0.1 (`ingress.host`, --host, HOST)"
        )
    });
    let operators = is_exposed(operators).then(|| {
        format!(
            "the operators' listener on {operators} is open beyond this machine and asks for no key: whoever reaches it reads every \
             prompt and answer, and on the embedded log closes dead letters and puts their records back. Keep it where only operators reach it, or bind it to 127.0.0.1 (`ops.host`)"
        )
    });
    api.into_iter().chain(operators).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(api: &str, operators: &str) -> Vec<String> {
        let bound = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text}"));
        warnings(Some(bound(api)), bound(operators))
    }

    #[test]
    fn a_listener_beyond_loopback_without_authentication_is_a_warning() {
        for own in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(warned(own, own), Vec::<String>::new(), "{own}");
        }
        for exposed in ["0.0.0.0:8000", "[::]:8000", "10.1.2.3:8000", "[fd00::1]:8000"] {
            let api = warned(exposed, "127.0.0.1:1");
            assert!(
                api.len() == 1 && api[0].contains(exposed) && api[0].contains("HTTP API"),
                "{api:?}"
            );
            let operators = warned("127.0.0.1:1", exposed);
            assert!(
                operators.len() == 1 && operators[0].contains("operators'"),
                "{operators:?}"
            );
        }
        assert_eq!(
            warnings(None, "127.0.0.1:1".parse().expect("an address")),
            Vec::<String>::new()
        );
    }
}
