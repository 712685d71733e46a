//! Failures to connect, split into passing and lasting ones.
//!
//! A refusal by TLS (because of a certificate, its name, its authority, versions or ciphers) repeats until an
//! operator changes something, so its text says what to change. A name that is not found, a connection that
//! is refused or breaks off, and a time-out may pass.

use std::error::Error;
use std::io;

use rustls::{AlertDescription as Alert, CertificateError, Error as Tls};

use super::tls::BoxError;
use super::tunnel::Proxy;

/// Failure to make a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Failure after which another attempt may succeed.
    #[error("{0}")]
    Passing(String),
    /// Failure that each repetition would meet again. User action: as the text says.
    #[error("{0}")]
    Lasting(String),
}

impl ConnectError {
    /// Classifies a connector's error.
    pub(super) fn of(error: BoxError) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(known) => return *known,
            Err(error) => error,
        };
        match tls_error(&*error) {
            Some(tls) => remedy(tls).map_or_else(|| Self::Passing(tls.to_string()), Self::Lasting),
            None => Self::Passing(chain(&*error)),
        }
    }

    /// Adds the proxy's name to the text.
    pub(super) fn by(self, proxy: &Proxy) -> Self {
        match self {
            Self::Passing(why) => Self::Passing(format!("{proxy}: {why}")),
            Self::Lasting(why) => Self::Lasting(format!("{proxy}: {why}")),
        }
    }
}

/// Finds the error of TLS among an error's causes: an `io::Error` holds its cause inside.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Tls> {
    if let Some(tls) = error.downcast_ref() {
        return Some(tls);
    }
    match error.downcast_ref::<io::Error>() {
        Some(io) => tls_error(io.get_ref()?),
        None => tls_error(error.source()?),
    }
}

/// Describes the problem and its correction; `None` if the failure may pass.
fn remedy(error: &Tls) -> Option<String> {
    const PARAMETERS: &str = "it shares no TLS parameters with hookmq: have it offer TLS 1.2 or 1.3 with \
                              ECDHE over X25519, P-256 or P-384, and AES-GCM";
    let told = |what: &str| Some(format!("{what} ({error})"));
    match error {
        Tls::InvalidCertificate(why) => Some(certificate(why)),
        Tls::NoCertificatesPresented => Some("it presents no certificate: have it present one".to_owned()),
        Tls::PeerIncompatible(_) => told(PARAMETERS),
        Tls::InvalidMessage(_) => {
            told("it does not speak TLS: correct the port, or write http:// if that is meant")
        }
        Tls::AlertReceived(alert) => match alert {
            Alert::HandshakeFailure
            | Alert::ProtocolVersion
            | Alert::InsufficientSecurity
            | Alert::IllegalParameter
            | Alert::InappropriateFallback
            | Alert::MissingExtension
            | Alert::UnsupportedExtension
            | Alert::NoApplicationProtocol => told(PARAMETERS),
            Alert::UnrecognisedName => told("it does not know the host: correct the endpoint's host"),
            Alert::NoCertificate
            | Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied => {
                told("it asks for a client's certificate, which hookmq does not have: use another endpoint")
            }
            // The server has a fault of its own, or closes the connection.
            _ => None,
        },
        _ => None,
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::NotValidForName => "its certificate is for another host: correct the endpoint's host, \
                                              or have the certificate name it"
            .to_owned(),
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "its certificate does not name a host (it has no subject alternative name): have it name the \
             endpoint's"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = presented.iter().take(3).map(|name| plain(name)).collect::<Vec<_>>().join(", ");
            format!(
                "its certificate is for another host ({names}): correct the endpoint's host, or have the \
                 certificate name it"
            )
        }
        CertificateError::UnknownIssuer => "its certificate is from an authority that is not trusted here \
                                            (UnknownIssuer): name a file with the authority's certificate in \
                                            TLS_CA_FILE"
            .to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: have it renewed, or set this machine's clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: set this machine's clock, or wait".to_owned()
        }
        CertificateError::Revoked => "its certificate is revoked: have it replaced".to_owned(),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its certificate has a key or a signature of a kind that is not verified here: have one with RSA, \
             P-256, P-384 or Ed25519"
                .to_owned()
        }
        other => format!("its certificate is refused ({other}): have it replaced"),
    }
}

/// Extracts the name from a certificate's `DnsName("a.example")`.
fn plain(name: &str) -> &str {
    name.split_once('"').and_then(|(_, rest)| rest.split_once('"')).map_or(name, |(name, _)| name)
}

/// Joins the texts of an error and its causes, each once.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls_pki_types::UnixTime;

    use super::*;

    /// Wraps an error as the connectors do.
    fn wrapped(error: Tls) -> ConnectError {
        let inner = io::Error::new(io::ErrorKind::InvalidData, error);
        ConnectError::of(Box::new(io::Error::other(inner)))
    }

    #[test]
    fn what_tls_refuses_lasts_and_says_what_to_do() {
        let time = UnixTime::since_unix_epoch(Duration::ZERO);
        let of_name = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: "s3.test".try_into().unwrap(),
            presented: presented.iter().map(ToString::to_string).collect(),
        };
        let certificates = [
            (CertificateError::UnknownIssuer, "TLS_CA_FILE"),
            (CertificateError::NotValidForName, "endpoint's host"),
            (of_name(&[]), "no subject alternative name"),
            (of_name(&["DnsName(\"a.test\")", "DnsName(\"b.test\")"]), "another host (a.test, b.test)"),
            (CertificateError::Expired, "renewed"),
            (CertificateError::ExpiredContext { time, not_after: time }, "renewed"),
            (CertificateError::NotValidYet, "not valid yet: set"),
            (CertificateError::NotValidYetContext { time, not_before: time }, "not valid yet: set"),
            (CertificateError::Revoked, "is revoked"),
            (
                CertificateError::UnsupportedSignatureAlgorithmContext {
                    signature_algorithm_id: vec![6],
                    supported_algorithms: Vec::new(),
                },
                "P-384",
            ),
            (
                CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                    signature_algorithm_id: vec![6],
                    public_key_algorithm_id: vec![6],
                },
                "P-384",
            ),
            (CertificateError::BadEncoding, "replaced"),
        ];
        let certificates = certificates.map(|(error, words)| (Tls::InvalidCertificate(error), words));
        for (error, words) in certificates.into_iter().chain([
            (Tls::AlertReceived(Alert::HandshakeFailure), "TLS 1.2 or 1.3"),
            (Tls::AlertReceived(Alert::ProtocolVersion), "TLS 1.2 or 1.3"),
            (Tls::AlertReceived(Alert::CertificateRequired), "client's certificate"),
            (Tls::InvalidMessage(rustls::InvalidMessage::InvalidContentType), "http://"),
        ]) {
            match wrapped(error.clone()) {
                ConnectError::Lasting(text) => assert!(text.contains(words), "{text}"),
                passing @ ConnectError::Passing(_) => panic!("{error}: {passing:?}"),
            }
        }
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for error in [
            Tls::AlertReceived(Alert::InternalError),
            Tls::AlertReceived(Alert::CloseNotify),
            Tls::AlertReceived(Alert::UserCanceled),
            Tls::HandshakeNotComplete,
        ] {
            assert!(matches!(wrapped(error.clone()), ConnectError::Passing(_)), "{error}");
        }
        let broken = ConnectError::of(Box::new(io::Error::from(io::ErrorKind::UnexpectedEof)));
        assert!(matches!(broken, ConnectError::Passing(_)));
        let known = ConnectError::Lasting("x".to_owned());
        assert_eq!(ConnectError::of(Box::new(known.clone())), known);
    }
}
