//! Which proxy stands between here and an endpoint, by what the environment says of proxies. What is on this
//! machine is never asked through one: key and prompt do not leave it.

use std::fmt;
use std::net::IpAddr;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// Where a proxy for `http` and for `https` addresses is named; the first that is not empty counts.
const HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const HTTPS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// What is asked without one.
const WITHOUT: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A proxy.
pub struct Proxy {
    /// The variable that names it.
    pub variable: &'static str,
    /// Its address, which may hold a password.
    pub(crate) url: Url,
}

/// Without its address, which may hold a password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("variable", &self.variable)
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// Its host and port.
    pub fn address(&self) -> Option<(String, u16)> {
        address(&self.url)
    }
}

/// Host and port of an address, as they are connected to.
pub(crate) fn address(url: &Url) -> Option<(String, u16)> {
    Some((host(url)?.to_owned(), url.port_or_known_default()?))
}

/// The proxy between here and `to`, if there is one.
///
/// # Errors
/// In words, if what the environment names is no proxy that this build can use.
pub(crate) fn between(
    to: &Url,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, String> {
    if is_here(to) {
        return Ok(None);
    }
    let first = |names: &[&'static str]| {
        let mut named = names
            .iter()
            .map(|name| (*name, environment(name).unwrap_or_default()));
        named.find(|(_, value)| !value.trim().is_empty())
    };
    let variables = if to.scheme() == "https" { HTTPS } else { HTTP };
    let Some((variable, named)) = first(&variables) else {
        return Ok(None);
    };
    if first(&WITHOUT).is_some_and(|(_, without)| is_without(to, &without)) {
        return Ok(None);
    }
    let named = named.trim();
    let whole = if named.contains("://") {
        named.to_owned()
    } else {
        format!("http://{named}")
    };
    let url = Url::parse(&whole).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    // It may hold a password, so it is not quoted.
    let url = url.ok_or_else(|| {
        format!(
            "the environment variable {variable} names no proxy that can be used: an address is \
             http://host:port or https://host:port (no SOCKS); NO_PROXY names hosts to ask without one"
        )
    })?;
    Ok(Some(Proxy { variable, url }))
}

/// Whether `to` is this machine itself.
fn is_here(to: &Url) -> bool {
    let Some(host) = host(to) else { return false };
    if let Ok(ip) = host.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        return ip.is_loopback() || ip.is_unspecified();
    }
    let name = host.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

fn host(url: &Url) -> Option<&str> {
    let host = url.host_str()?;
    Some(host.trim_start_matches('[').trim_end_matches(']'))
}

/// Whether `NO_PROXY` names it: names with all below them, addresses, networks, or `*`.
fn is_without(to: &Url, without: &str) -> bool {
    // The matcher only decides; which proxy it would be does not matter to it.
    let matcher = Matcher::builder().all("http://proxy").no(without).build();
    let to = to.as_str().parse();
    to.is_ok_and(|to| matcher.intercept(&to).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands between here and `to`: the variable and the address, by these variables.
    fn told(to: &str, set: &[(&str, &str)]) -> Result<Option<(&'static str, String)>, String> {
        let to = Url::parse(to).expect("an address");
        let environment = |name: &str| {
            let found = set.iter().find(|(set, _)| *set == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let proxy = between(&to, environment)?;
        assert!(!format!("{proxy:?}").contains("secret"), "{proxy:?}");
        Ok(proxy.map(|proxy| (proxy.variable, proxy.url.to_string())))
    }

    #[test]
    fn an_outside_endpoint_is_asked_through_the_proxy_of_its_scheme_or_that_of_all() {
        let both = [
            ("HTTP_PROXY", "http://a:1"),
            ("HTTPS_PROXY", "b:2"),
            ("ALL_PROXY", "https://c"),
        ];
        for (to, set, expected) in [
            ("http://x/v1", &both[..], ("HTTP_PROXY", "http://a:1/")),
            ("https://x/v1", &both, ("HTTPS_PROXY", "http://b:2/")),
            ("https://x/v1", &both[2..], ("ALL_PROXY", "https://c/")),
            ("http://10.0.0.7:8000/v1", &both[2..], ("ALL_PROXY", "https://c/")),
            (
                "http://x/v1",
                &[("HTTP_PROXY", ""), ("http_proxy", "user:secret@d:3")],
                ("http_proxy", "http://user:secret@d:3/"),
            ),
        ] {
            let expected = (expected.0, expected.1.to_owned());
            assert_eq!(told(to, set), Ok(Some(expected)), "{to}");
        }
        assert_eq!(told("http://x/v1", &[]), Ok(None));
        assert_eq!(told("http://x/v1", &[("HTTPS_PROXY", "http://b:2")]), Ok(None));
    }

    #[test]
    fn what_is_on_this_machine_and_what_no_proxy_names_is_asked_without_one() {
        let all = ("ALL_PROXY", "http://a:1");
        for here in [
            "http://127.0.0.1:11434/v1",
            "http://127.8.9.1/v1",
            "http://localhost:11434/v1",
            "http://LOCALHOST./v1",
            "http://ollama.localhost/v1",
            "https://[::1]:8443/v1",
            "http://[::ffff:127.0.0.1]/v1",
            "http://0.0.0.0:11434/v1",
        ] {
            assert_eq!(
                told(here, &[all, ("HTTP_PROXY", "no address: x")]),
                Ok(None),
                "{here}"
            );
        }
        for (to, is_without) in [
            ("http://vllm.internal/v1?key=a%20b", true),
            ("http://internal:8000/v1", true),
            ("http://notinternal/v1", false),
            ("http://10.0.3.7:8000/v1", true),
            ("http://10.1.0.7:8000/v1", false),
            ("http://localhost.example/v1", false),
        ] {
            let found = told(to, &[all, ("no_proxy", ".internal, 10.0.0.0/16")]);
            assert_eq!(found.expect("a proxy").is_none(), is_without, "{to}");
        }
        assert_eq!(told("http://x/v1", &[all, ("NO_PROXY", "*")]), Ok(None));
    }

    #[test]
    fn what_is_no_proxy_is_told_by_the_name_of_its_variable_and_not_passed_by() {
        for wrong in [
            "socks5://user:hunter2@a:1",
            "ftp://hunter2",
            "http://",
            "a b hunter2",
        ] {
            let said = told("https://x/v1", &[("ALL_PROXY", wrong)]).expect_err(wrong);
            assert!(
                said.contains("ALL_PROXY names no proxy") && !said.contains("hunter2"),
                "{said}"
            );
        }
    }
}
