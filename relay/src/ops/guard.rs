//! Keeps web pages off the operators' listener, which trusts whoever reaches it.
//!
//! A page that an operator visits can make the browser send requests to `localhost`. Two things tell those apart, and both
//! are checked in front of every route, those to come included:
//! - After DNS rebinding the page's own name leads here, and the browser says so in `Host`: a name that is not ours is
//!   refused. An address cannot be rebound, so a listener on a wildcard address answers under every address.
//! - A page of another origin can send, though not read, a request that changes something. Browsers add `Sec-Fetch-Site` or
//!   `Origin` to it; programs that are no browsers add neither. The rule is that of Go's `http.CrossOriginProtection`.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Which requests the listener answers.
#[derive(Debug)]
pub(super) struct Guard {
    /// Lower case, without a port.
    hosts: HashSet<String>,
    /// The address that is bound; unspecified for all of the machine's.
    bound: IpAddr,
    /// Lower case: `https://ops.example`.
    origins: HashSet<String>,
}

/// Why a request is not answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// It names no host, several, or one that cannot be read.
    #[error("a request to the operators' listener names one host: {0}")]
    UnreadableHost(&'static str),
    /// It names somebody else's host.
    #[error(
        "the operators' listener does not answer for the host {0:?}; if that name is yours, add it to `ops.allowed_hosts`"
    )]
    ForeignHost(String),
    /// A page of another origin wants to change something.
    #[error(
        "a page of another origin changes nothing here ({0}); if that origin is yours, add it to `ops.allowed_origins`"
    )]
    ForeignOrigin(String),
}

/// A setting that names no host or no origin.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("`ops.allowed_hosts`: {0:?} is no host name or address; write it without scheme, port and path")]
    Host(String),
    #[error(
        "`ops.allowed_origins`: {0:?} is no origin; write it as https://ops.example or http://ops.example:8080"
    )]
    Origin(String),
}

impl Guard {
    /// Allows the loopback names, `host` as it was configured, the address `bound`, and what is given besides.
    pub(super) fn new(
        host: &str,
        bound: SocketAddr,
        allowed_hosts: &[String],
        allowed_origins: &[String],
    ) -> Result<Self, Unusable> {
        let mut hosts = HashSet::from(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        hosts.insert(plain(host));
        for allowed in allowed_hosts {
            hosts.insert(host_name(allowed).ok_or_else(|| Unusable::Host(allowed.clone()))?);
        }
        let origin = |allowed: &String| origin(allowed).ok_or_else(|| Unusable::Origin(allowed.clone()));
        Ok(Self {
            hosts,
            bound: bound.ip(),
            origins: allowed_origins.iter().map(origin).collect::<Result<_, _>>()?,
        })
    }

    /// Whether to answer.
    pub(super) fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = self.check_host(uri, headers)?;
        if matches!(*method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        self.check_origin(&host, headers)
    }

    /// The host, with its port, under which the request was sent.
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<String, Refusal> {
        let mut named: Vec<Authority> = uri.authority().cloned().into_iter().collect();
        for value in headers.get_all(header::HOST) {
            let text = value
                .to_str()
                .ok()
                .filter(|text| !text.contains('@'))
                .and_then(|text| text.parse().ok());
            named.push(text.ok_or(Refusal::UnreadableHost("this one cannot be read"))?);
        }
        let Some(first) = named.first() else {
            return Err(Refusal::UnreadableHost("there is none"));
        };
        if named.iter().any(|other| other != first) {
            return Err(Refusal::UnreadableHost("there are several"));
        }
        let host = plain(first.host());
        let address = host.parse::<IpAddr>();
        let bound = address.is_ok_and(|address| self.bound.is_unspecified() || self.bound == address);
        if bound || self.hosts.contains(&host) {
            return Ok(first.as_str().to_ascii_lowercase());
        }
        Err(Refusal::ForeignHost(host))
    }

    fn check_origin(&self, host: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let text = |name| {
            let values: Vec<&[u8]> = headers.get_all(name).iter().map(AsRef::as_ref).collect();
            (!values.is_empty()).then(|| String::from_utf8_lossy(&values.join(&b',')).to_ascii_lowercase())
        };
        let (origin, site) = (text(header::ORIGIN), text(SEC_FETCH_SITE));
        if origin
            .as_ref()
            .is_some_and(|origin| self.origins.contains(origin))
        {
            return Ok(());
        }
        match (site.as_deref(), origin.as_deref()) {
            // `none` is a person: a bookmark, the address bar.
            (Some("same-origin" | "none"), _) | (None, None) => Ok(()),
            (Some(site), _) => Err(Refusal::ForeignOrigin(format!("Sec-Fetch-Site: {site}"))),
            (None, Some(origin)) if origin.split_once("://").is_some_and(|(_, from)| from == host) => Ok(()),
            (None, Some(origin)) => Err(Refusal::ForeignOrigin(format!("Origin: {origin}"))),
        }
    }
}

/// Lower case, without the brackets of an IPv6 address and the dot that ends an absolute name.
fn plain(host: &str) -> String {
    let host = host.strip_suffix('.').unwrap_or(host);
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.to_ascii_lowercase()
}

fn host_name(text: &str) -> Option<String> {
    let host = plain(text);
    if host.parse::<IpAddr>().is_ok() {
        return Some(host);
    }
    let authority: Authority = host.parse().ok()?;
    (authority.as_str() == authority.host() && !host.contains('*')).then_some(host)
}

fn origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let authority: Authority = authority.parse().ok()?;
    let readable = matches!(scheme, "http" | "https") && !authority.as_str().contains(['@', '*']);
    readable.then_some(text)
}
