//! Certificates of connections that speak TLS: read by the keys that name their files, and what the errors of rustls mean for
//! whoever wrote these keys.

use std::fmt;
use std::path::Path;

/// What every PEM file of certificates holds.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// What every PEM file of a key holds: `PRIVATE KEY`, `RSA PRIVATE KEY`, `EC PRIVATE KEY`.
const KEY: &[u8] = b"PRIVATE KEY-----";

/// The files of `root_certificates`, `client_certificate` and `client_key`, as they are.
#[derive(Default)]
pub struct Certificates {
    /// The authorities that are trusted instead of the machine's.
    pub authorities: Option<Vec<u8>>,
    /// Our certificate and its key.
    pub ours: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    /// Reads those that are named.
    ///
    /// # Errors
    /// In words that begin with the key: a file that cannot be read or holds something else, half a pair.
    pub fn read(
        authorities: Option<&Path>,
        certificate: Option<&Path>,
        key: Option<&Path>,
    ) -> Result<Self, String> {
        let authorities = authorities.map(read_authorities).transpose()?;
        let ours = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((
                read("client_certificate", certificate, CERTIFICATE)?,
                read("client_key", key, KEY)?,
            )),
            (Some(_), None) => return Err("client_certificate needs client_key beside it".to_owned()),
            (None, Some(_)) => return Err("client_key needs client_certificate beside it".to_owned()),
        };
        Ok(Self { authorities, ours })
    }
}

/// Reads the file of `root_certificates`.
///
/// # Errors
/// In words that begin with the key.
pub fn read_authorities(file: &Path) -> Result<Vec<u8>, String> {
    read("root_certificates", file, CERTIFICATE)
}

fn read(key: &str, file: &Path, holds: &[u8]) -> Result<Vec<u8>, String> {
    let name = file.display();
    let bytes = std::fs::read(file).map_err(|error| format!("{key}: {name} cannot be read: {error}"))?;
    if bytes.windows(holds.len()).any(|part| part == holds) {
        return Ok(bytes);
    }
    let holds = String::from_utf8_lossy(holds);
    Err(format!("{key}: {name} is no PEM file: it holds no `{holds}`"))
}

/// What is wrong with a connection that speaks TLS, as far as its settings mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// The server's certificate is signed by an authority that we do not trust.
    UnknownAuthority,
    /// It is for another name.
    OtherName,
    /// It is not valid yet, or not any more.
    NotNow,
    /// The server wants a certificate of ours.
    WantsOurs,
    /// It does not accept the one we have.
    RefusesOurs,
    /// It speaks something else.
    NoTls,
    /// The two find nothing in common.
    Handshake,
}

impl TlsFault {
    /// What an error of rustls, in its words, means; nothing, where it is about something else.
    pub fn of(said: &str) -> Option<Self> {
        const FAULTS: [(&[&str], TlsFault); 7] = [
            (
                &["UnknownIssuer", "CaUsedAsEndEntity"],
                TlsFault::UnknownAuthority,
            ),
            (&["not valid for name", "NotValidForName"], TlsFault::OtherName),
            (
                &["certificate expired", "certificate not valid yet"],
                TlsFault::NotNow,
            ),
            (&["CertificateRequired"], TlsFault::WantsOurs),
            (
                &[
                    "UnknownCA",
                    "BadCertificate",
                    "CertificateUnknown",
                    "DecryptError",
                ],
                TlsFault::RefusesOurs,
            ),
            (&["received corrupt message"], TlsFault::NoTls),
            (&["received fatal alert"], TlsFault::Handshake),
        ];
        let means = |(words, _): &&(&[&str], Self)| words.iter().any(|word| said.contains(word));
        FAULTS.iter().find(means).map(|(_, fault)| *fault)
    }

    /// What mends it, where `authorities` and `ours` (one or several) are what the settings are called. Nothing out of a
    /// certificate or an address is repeated.
    pub fn words(self, authorities: &str, ours: &str) -> String {
        match self {
            Self::UnknownAuthority => format!(
                "the server's certificate is signed by an authority that is not trusted here; name its authority in {authorities}"
            ),
            Self::OtherName => {
                "the server's certificate is for another name than the one in the address".to_owned()
            }
            Self::NotNow => {
                "the server's certificate is not valid at this time; renew it, or set the clock".to_owned()
            }
            Self::WantsOurs => format!("the server wants a certificate of ours; name it in {ours}"),
            Self::RefusesOurs => {
                format!(
                    "the server does not accept our certificate; name one that an authority it trusts has signed in {ours}"
                )
            }
            Self::NoTls => "the server speaks no TLS on this port".to_owned(),
            Self::Handshake => {
                "the TLS handshake failed: the two sides share no version, no cipher or no name".to_owned()
            }
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.words("`root_certificates`", "`client_certificate` and `client_key`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_or_holds_something_else_is_refused_by_its_key() {
        let folder = std::env::temp_dir().join(format!("relay-certificates-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = |name: &str, holds: &str| {
            let path = folder.join(name);
            std::fs::write(&path, holds).expect("a file");
            path
        };
        let certificate = file(
            "c.pem",
            "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
        );
        let key = file("k.pem", "-----BEGIN EC PRIVATE KEY-----\nx\n");
        let empty = file("empty.pem", "");
        let absent = folder.join("absent.pem");
        let said = |authorities, certificate, key| {
            let read = Certificates::read(authorities, certificate, key);
            read.err()
                .unwrap_or_default()
                .replace(&format!("{}", folder.display()), "DIR")
        };
        assert_eq!(said(Some(&certificate), Some(&certificate), Some(&key)), "");
        assert_eq!(
            said(Some(&absent), None, None),
            "root_certificates: DIR/absent.pem cannot be read: No such file or directory (os error 2)"
        );
        assert_eq!(
            said(Some(&empty), None, None),
            "root_certificates: DIR/empty.pem is no PEM file: it holds no `-----BEGIN CERTIFICATE-----`"
        );
        assert_eq!(
            said(None, Some(&certificate), Some(&certificate)),
            "client_key: DIR/c.pem is no PEM file: it holds no `PRIVATE KEY-----`"
        );
        assert_eq!(
            said(None, Some(&certificate), None),
            "client_certificate needs client_key beside it"
        );
        assert_eq!(
            said(None, None, Some(&key)),
            "client_key needs client_certificate beside it"
        );
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }

    #[test]
    fn an_error_of_tls_says_what_mends_it_and_quotes_no_name() {
        let cases = [
            (
                "IO error: invalid peer certificate: UnknownIssuer",
                "name its authority in `root_certificates`",
            ),
            (
                "certificate not valid for name \"secret.example\"; certificate is only valid for x",
                "another name",
            ),
            (
                "invalid peer certificate: certificate expired: verification time 1 (UNIX)",
                "renew it",
            ),
            (
                "received fatal alert: CertificateRequired",
                "`client_certificate` and `client_key`",
            ),
            (
                "received fatal alert: UnknownCA",
                "does not accept our certificate",
            ),
            (
                "received corrupt message of type InvalidContentType",
                "speaks no TLS",
            ),
            ("received fatal alert: HandshakeFailure", "share no version"),
        ];
        for (said, means) in cases {
            let fault = TlsFault::of(said)
                .map(|fault| fault.to_string())
                .unwrap_or_default();
            assert!(
                fault.contains(means) && !fault.contains("secret"),
                "{said}: {fault}"
            );
        }
        assert_eq!(TlsFault::of("Connection refused (os error 111)"), None);
    }
}
