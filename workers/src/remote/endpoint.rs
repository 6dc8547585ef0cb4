//! The way to an endpoint: its address, its key, its connections. Redirects are not followed: the configuration says where the
//! server connects, and nothing else does.

use std::path::Path;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use relay_clock::Clock;
use relay_schemas::Operation;
use relay_settings::read_authorities;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Body, Certificate, Client, Response, StatusCode, Url};
use tokio::time::timeout;

use super::error::{Failed, Hidden, UpstreamError, unreachable};
use super::request::path;
use super::retry_after::retry_after;
use super::sent::TellingBody;
use crate::models::RemoteSpec;

/// A part of the path that is so long may be a key or an account; shorter ones are words such as `v1`.
const SECRET_SEGMENT: usize = 8;

const JSON: &str = "application/json";
const JSON_OR_EVENTS: &str = "text/event-stream, application/json";

/// Bytes of an error body that are read, to find what the error says.
const ERROR_BODY_BYTES: usize = 16 * 1_024;

/// An endpoint, with its connections.
pub struct Endpoint {
    base: Url,
    client: Client,
    hidden: Hidden,
    clock: Clock,
}

impl Endpoint {
    /// Prepares the connections; opens none.
    ///
    /// # Errors
    /// In words, if the configuration cannot work: the key's variable is not set, or holds what no header can; authorities that
    /// cannot be read; a proxy that is none.
    pub fn new(
        spec: &RemoteSpec,
        environment: impl Fn(&str) -> Option<String>,
        clock: Clock,
    ) -> Result<Self, String> {
        // reqwest wants a provider for the process; the first one to come has set the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = spec.url()?;
        if base.cannot_be_a_base() {
            return Err("base_url: is not an http or https address".to_owned());
        }
        let key = key(spec, &environment)?;
        let proxy = spec.proxy(&environment)?;
        let mut client = Client::builder()
            .default_headers(headers(key.as_deref(), spec)?)
            .connect_timeout(spec.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(spec.max_concurrent)
            .tcp_nodelay(true)
            // Which proxy it is has been decided: the client is not to look for one by itself.
            .no_proxy();
        if base.scheme() == "http" && spec.root_certificates.is_some() {
            return Err("root_certificates: the endpoint's base_url has no TLS; use https://".to_owned());
        }
        let has_tls = |url: &Url| url.scheme() == "https";
        if !has_tls(&base) && !proxy.as_ref().is_some_and(|proxy| has_tls(&proxy.url)) {
            // No certificates to load where none will be looked at.
            client = client.tls_certs_only([]);
        } else if let Some(file) = &spec.root_certificates {
            client = client.tls_certs_only(authorities(file)?);
        }
        let hidden = hidden(key, spec, &base, proxy.as_ref().map(|proxy| &proxy.url));
        if let Some(proxy) = proxy {
            let through = reqwest::Proxy::all(proxy.url);
            client = client.proxy(through.map_err(|error| error.without_url().to_string())?);
        }
        Ok(Self {
            hidden,
            client: client.build().map_err(|error| error.without_url().to_string())?,
            base,
            clock,
        })
    }

    /// Sends a request, in the client's trace where it has one, and gives the answer's beginning.
    pub async fn send(
        &self,
        operation: Operation,
        body: TellingBody,
        whole: bool,
        patience: Duration,
        spec: &RemoteSpec,
        traceparent: Option<&str>,
    ) -> Result<Response, Failed> {
        let url = url(&self.base, path(operation));
        let accepted = if whole { JSON } else { JSON_OR_EVENTS };
        let asked = self.client.post(url).header(ACCEPT, accepted);
        let mut asked = asked.body(Body::wrap(body));
        if let Some(traceparent) = traceparent {
            asked = asked.header("traceparent", traceparent);
        }
        let response = match timeout(patience, asked.send()).await {
            Err(_) => return Err(Failed::silent("answered", patience, whole)),
            Ok(Err(error)) => return Err(unreachable(&error)),
            Ok(Ok(response)) => response,
        };
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = timeout(spec.idle_timeout, beginning(response))
            .await
            .unwrap_or_default();
        let mut failed = UpstreamError::parse(&body).meaning(Some(status), &self.hidden);
        failed.said = true;
        if whole && matches!(status, 408 | 504 | 524) {
            // A proxy on the way has lost its patience with the silence: it would as soon again, and the endpoint may go on computing.
            (failed.passing, failed.said) = (false, false);
        }
        if matches!(status, 429 | 503 | 529) {
            failed.failure.retry_after = retry_after(&headers, self.clock.now());
            failed.turned_away = status != 429 && failed.passing;
        }
        Err(failed)
    }

    /// What an error that came inside an answer means.
    pub fn meaning(&self, error: &UpstreamError) -> Failed {
        Failed {
            said: true,
            ..error.meaning(None, &self.hidden)
        }
    }
}

/// Where `path` is served under `base`; a query of `base` stays behind it.
fn url(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
    url
}

fn authorities(file: &Path) -> Result<Vec<Certificate>, String> {
    let bundle = read_authorities(file)?;
    Certificate::from_pem_bundle(&bundle).map_err(|_| {
        format!(
            "root_certificates: {} holds a certificate that is none",
            file.display()
        )
    })
}

fn key(spec: &RemoteSpec, environment: impl Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    let Some(variable) = &spec.api_key_env else {
        return Ok(None);
    };
    let key = environment(variable).unwrap_or_default();
    match key.trim() {
        // Set to nothing is as good as not set, and no key.
        "" => Err(format!("the environment variable {variable} is not set")),
        key => Ok(Some(key.to_owned())),
    }
}

fn headers(key: Option<&str>, spec: &RemoteSpec) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    if let Some(key) = key {
        let variable = spec.api_key_env.as_deref().unwrap_or_default();
        let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| format!("the environment variable {variable} holds what no header can"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn hidden(key: Option<String>, spec: &RemoteSpec, base: &Url, proxy: Option<&Url>) -> Hidden {
    let query = base.query().map(str::to_owned);
    let named = key.into_iter().chain(query).chain(places(base));
    let whole = [spec.base_url.expose().to_owned(), base.to_string()];
    let known = named.chain(whole).chain(secrets(base));
    let of_proxy = proxy.map(|url| places(url).chain(secrets(url)).chain([url.to_string()]));
    Hidden::new(known.chain(of_proxy.into_iter().flatten()))
}

/// A host, and with its port where the address says one.
fn places(url: &Url) -> impl Iterator<Item = String> {
    let host = url.host_str().map(str::to_owned);
    let with_port = host
        .as_ref()
        .zip(url.port())
        .map(|(host, port)| format!("{host}:{port}"));
    host.into_iter().chain(with_port)
}

/// What of the address may be a secret by itself, both as it is written and decoded: an endpoint quotes either.
fn secrets(base: &Url) -> Vec<String> {
    let values = base.query().unwrap_or_default().split('&');
    let values = values.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    let segments = base.path_segments().into_iter().flatten();
    let written = [base.username(), base.password().unwrap_or_default()]
        .into_iter()
        .chain(values)
        .chain(segments.filter(|segment| segment.len() >= SECRET_SEGMENT));
    let mut secrets: Vec<String> = written
        .flat_map(|written| [written.to_owned(), decoded(written)])
        .collect();
    // Here a plus is a space.
    secrets.extend(base.query_pairs().map(|(_, value)| value.into_owned()));
    secrets
}

fn decoded(written: &str) -> String {
    percent_decode_str(written).decode_utf8_lossy().into_owned()
}

/// The first bytes of a body; what fails is left out.
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(ERROR_BODY_BYTES - body.len())]);
        if body.len() == ERROR_BODY_BYTES {
            break;
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;
    use crate::models::{BackendSpec, Models};

    #[test]
    fn what_may_be_a_secret_of_the_base_url_is_hidden_as_it_is_written_and_as_it_is_meant() {
        let base = "https://us%65r:p%40ss%2Fword@h.example/accounts%2D77/v1?key=SECRET&sig=a%2Bb+cd%3D";
        let base = Url::parse(base).expect("an address");
        let hidden = Hidden::new(secrets(&base));
        let quoted = [
            "user",
            "us%65r",
            "p@ss/word",
            "p%40ss%2Fword",
            "accounts-77",
            "SECRET",
            "a%2Bb+cd%3D",
            "a+b cd=",
        ];
        for secret in quoted {
            let body = format!(r#"{{"error":{{"message":"{secret} is not valid, nor is v1"}}}}"#);
            let failed = UpstreamError::parse(body.as_bytes()).meaning(Some(400), &hidden);
            let told = failed.failure.message;
            assert!(told.ends_with("[…] is not valid, nor is v1"), "{secret}: {told}");
        }
    }

    /// A server on this machine that tells the first line of each request, and answers.
    async fn listener() -> (u16, mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let port = listener.local_addr().expect("bound").port();
        let (told, lines) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = vec![0; 1_024];
                let read = stream.read(&mut asked).await.unwrap_or_default();
                let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
                let _ = told.send(asked.lines().next().unwrap_or_default().to_owned());
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                let _ = stream.write_all(answer).await;
            }
        });
        (port, lines)
    }

    /// Whether an endpoint answers, with the proxy at this port in the environment.
    async fn asks(base_url: &str, proxy: u16) -> bool {
        let endpoint = behind(base_url, &format!("http://127.0.0.1:{proxy}"));
        endpoint.client.get(endpoint.base.clone()).send().await.is_ok()
    }

    fn behind(base_url: &str, proxy: &str) -> Endpoint {
        let text = format!("models:\n  m: {{backend: openai, base_url: '{base_url}', upstream_model: x}}\n");
        let models = Models::parse(&text, Path::new("models.yaml")).expect("it parses");
        let BackendSpec::Remote(spec) = &models.models["m"] else {
            unreachable!("it is remote")
        };
        let all = |name: &str| (name == "ALL_PROXY").then(|| proxy.to_owned());
        Endpoint::new(spec, all, Clock::system()).expect("it can be asked")
    }

    #[test]
    fn what_a_proxy_says_of_itself_and_of_its_password_reaches_no_client() {
        let endpoint = behind("http://h.example/v1", "http://user:p%40ss@proxy.example:3128");
        for secret in ["proxy.example", "proxy.example:3128", "user", "p@ss", "p%40ss"] {
            let body = format!(r#"{{"error":{{"message":"{secret} says no"}}}}"#);
            let failed = UpstreamError::parse(body.as_bytes()).meaning(Some(400), &endpoint.hidden);
            let told = failed.failure.message;
            assert!(told.ends_with("[…] says no"), "{secret}: {told}");
        }
    }

    /// Before, an Ollama on this machine was asked through the proxy, with key and prompt.
    #[tokio::test]
    async fn a_proxy_sees_what_goes_to_other_machines_and_nothing_that_stays_on_this_one() {
        let (proxy, mut passed) = listener().await;
        let (port, mut own) = listener().await;
        for host in ["127.0.0.1", "localhost"] {
            assert!(asks(&format!("http://{host}:{port}/v1"), proxy).await, "{host}");
            assert_eq!(own.recv().await.expect("it was asked"), "GET /v1 HTTP/1.1");
        }
        assert!(passed.try_recv().is_err(), "the proxy saw nothing");
        assert!(asks("http://only-the-proxy-knows.invalid/v1", proxy).await);
        let seen = passed.recv().await.expect("it was asked");
        assert_eq!(seen, "GET http://only-the-proxy-knows.invalid/v1 HTTP/1.1");
        // Behind TLS it sees the host and nothing else; this one opens no tunnel.
        asks("https://only-the-proxy-knows.invalid/v1", proxy).await;
        let seen = passed.recv().await.expect("it was asked");
        assert_eq!(seen, "CONNECT only-the-proxy-knows.invalid:443 HTTP/1.1");
    }

    #[test]
    fn a_query_of_the_base_url_stays_behind_the_path() {
        let cases = [
            ("http://h/v1", "http://h/v1/chat/completions"),
            ("http://h/v1/", "http://h/v1/chat/completions"),
            ("http://h", "http://h/chat/completions"),
            (
                "https://h/deployments/x?api-version=2024-10-21&b=c%20d",
                "https://h/deployments/x/chat/completions?api-version=2024-10-21&b=c%20d",
            ),
            ("https://h/v1/?k=/", "https://h/v1/chat/completions?k=/"),
        ];
        for (base, expected) in cases {
            let base = Url::parse(base).expect("an address");
            assert_eq!(url(&base, "chat/completions").as_str(), expected);
        }
    }
}
