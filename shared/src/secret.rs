//! Secrets and references to the places where they are stored.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use subtle::{Choice, ConstantTimeEq as _, ConstantTimeGreater as _};
use zeroize::Zeroizing;

use crate::env::Env;
use crate::files::unreadable;
use crate::json;

/// Upper bound on the size of a secret file, in bytes. Keys and tokens are far smaller.
const MAX_FILE: u64 = 64 * 1024;

/// Secret value. It is wiped when dropped, never printed, and compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Wraps a value so that it is wiped when dropped.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// Returns the bytes of the secret, which are for signing, comparing and masking only.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the value as text, if it is UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Returns the text at a key of the JSON object that this secret is; `id` names the secret in an error.
    pub(crate) fn member(&self, id: &str, key: &str) -> Result<Self, SecretError> {
        let members = json::members(self.expose()).map_err(|_| SecretError::NotAnObject(id.to_owned()))?;
        let found = members.into_iter().find(|(name, _)| name == key);
        let value = found.and_then(|(_, raw)| json::string(raw));
        let missing = || SecretError::NoMember { id: id.to_owned(), key: key.to_owned() };
        value.map(|value| Self::new(value.into_owned())).ok_or_else(missing)
    }

    /// Returns true if the value is empty or has no visible character (only white space, control characters,
    /// a byte-order mark). Such a value must never be used as a key.
    pub fn is_blank(&self) -> bool {
        let is_unseen = |c: char| {
            c.is_whitespace()
                || c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
        };
        self.expose_str().is_some_and(|text| text.chars().all(is_unseen))
    }
}

/// Comparison in constant time for values of the same length. The length itself is not hidden.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Sorts pieces that include a secret. The time depends on the lengths of the pieces, but not on the content
/// or the position of the secret.
pub(crate) fn sorted<'p>(pieces: &[&'p [u8]]) -> Vec<&'p [u8]> {
    let mut sorted = vec![&[][..]; pieces.len()];
    for (i, piece) in pieces.iter().enumerate() {
        let place = pieces.iter().enumerate().map(|(j, other)| {
            // Equal pieces keep their order.
            let is_first =
                is_before(other, piece) | (!is_before(piece, other) & Choice::from(u8::from(j < i)));
            usize::from(is_first.unwrap_u8())
        });
        if let Some(slot) = sorted.get_mut(place.sum::<usize>()) {
            *slot = piece;
        }
    }
    sorted
}

fn is_before(a: &[u8], b: &[u8]) -> Choice {
    let (mut is_less, mut is_equal) = (Choice::from(0), Choice::from(1));
    for (x, y) in a.iter().zip(b) {
        is_less |= is_equal & y.ct_gt(x);
        is_equal &= x.ct_eq(y);
    }
    is_less | (is_equal & Choice::from(u8::from(a.len() < b.len())))
}

/// Reference to a secret, as written in `hooks.toml` or in a credential variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// Value itself: `plain:VALUE`, or a bare value where the configuration allows it.
    Literal(Secret),
    /// Variable: `env:NAME` or `env:NAME#json_key`. It holds the secret, or a `secretsmanager:` or `ssm:` reference
    /// to the secret.
    Env {
        /// Name of the variable.
        name: String,
        /// Key in the JSON object that the variable holds: a platform may allow few variables.
        json_key: Option<String>,
    },
    /// File: `file:PATH`. A trailing line end is not part of the secret.
    File(PathBuf),
    /// Secret of AWS Secrets Manager: `secretsmanager:ID` or `secretsmanager:ID#json_key`, read through the
    /// AWS Parameters and Secrets Lambda extension.
    SecretsManager {
        /// Name or ARN of the secret.
        id: String,
        /// Key in the JSON object that the secret consists of.
        json_key: Option<String>,
    },
    /// Parameter of Systems Manager: `ssm:NAME`, read through the same extension as Secrets Manager.
    Ssm(String),
}

/// Reason why a secret could not be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretError {
    /// Literal without `plain:` where a reference is required.
    #[error("write env:NAME, file:PATH, secretsmanager:ID, ssm:NAME or, for a literal, plain:VALUE")]
    NotAReference,
    /// Reference without a name.
    #[error("{0} needs a name after the colon")]
    NoName(&'static str),
    /// Variable that is unset or blank.
    #[error("environment variable {0} is unset or empty")]
    Unset(String),
    /// File that cannot be read.
    #[error("cannot read {}: {}", .0, unreadable(*.1))]
    File(String, std::io::ErrorKind),
    /// File that is too large for a secret.
    #[error("{0} is over 64 KiB: not a secret")]
    FileTooLarge(String),
    /// Value without a visible character.
    #[error("the secret is empty")]
    Empty,
    /// Secret in a store that only a running function can read.
    #[error("{0} is read by a running function only: use env: or file: here")]
    Remote(&'static str),
    /// Missing `AWS_SESSION_TOKEN`, which Lambda sets and the extension requires.
    #[error(
        "AWS_SESSION_TOKEN is unset: secretsmanager: and ssm: are for Lambda, elsewhere use env: or file:"
    )]
    NotInLambda,
    /// Invalid port number of the extension.
    #[error("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT is not a port: unset it, or write a number up to 65535")]
    Port,
    /// Port without a listener.
    #[error(
        "nothing answers at localhost:{0}: add the layer AWS-Parameters-and-Secrets-Lambda-Extension to the \
         function"
    )]
    NoExtension(u16),
    /// Extension that is still starting. It serves invocations only.
    #[error("the AWS Parameters and Secrets extension is not ready")]
    NotReady,
    /// Refusal by the extension, with its status.
    #[error("{0} is refused with status {1}: is the name right, and may the function's role read it?")]
    Refused(String, u16),
    /// Failure of the extension, with its status.
    #[error("{0} cannot be read: the AWS Parameters and Secrets extension answered {1}")]
    Failed(String, u16),
    /// Missing or incomplete answer.
    #[error("{0} cannot be read: {1}")]
    NoAnswer(String, String),
    /// Answer that does not come from the extension.
    #[error("{0} cannot be read: the answer is not from the AWS Parameters and Secrets extension")]
    NotUnderstood(String),
    /// Reference to a member of a secret that is not a JSON object.
    #[error("{0} is not a JSON object: leave #… out of the reference")]
    NotAnObject(String),
    /// Missing member, or member that is not a string.
    #[error("{id} has no text at {key:?}")]
    NoMember {
        /// Name or ARN of the secret, or name of the variable.
        id: String,
        /// Key after the `#` of the reference.
        key: String,
    },
}

impl SecretError {
    /// Returns true if the place of the secret was read and does not hold a usable secret. If the place
    /// cannot be reached or gives an unclear answer, the secret may still exist.
    pub(crate) const fn is_gone(&self) -> bool {
        match self {
            Self::File(_, kind) => matches!(kind, std::io::ErrorKind::NotFound),
            Self::Unset(_)
            | Self::FileTooLarge(_)
            | Self::Empty
            | Self::NotAnObject(_)
            | Self::NoMember { .. } => true,
            Self::NotAReference
            | Self::NoName(_)
            | Self::Remote(_)
            | Self::NotInLambda
            | Self::Port
            | Self::NoExtension(_)
            | Self::NotReady
            | Self::Refused(..)
            | Self::Failed(..)
            | Self::NoAnswer(..)
            | Self::NotUnderstood(_) => false,
        }
    }
}

impl SecretRef {
    /// Parses a reference of `hooks.toml`, where a literal needs `plain:`.
    ///
    /// ```
    /// use hookmq_shared::env::Env;
    /// use hookmq_shared::secret::{Secret, SecretError, SecretRef};
    ///
    /// let env = Env::of([("GITHUB_SECRET", "hunter2")]);
    /// let secret = SecretRef::parse("env:GITHUB_SECRET")?.resolve(&env)?;
    /// assert_eq!(secret, Secret::new("hunter2"));
    /// assert_eq!(format!("{secret:?}"), "<secret>");
    ///
    /// assert_eq!(SecretRef::parse("hunter2"), Err(SecretError::NotAReference));
    /// let unset = SecretRef::parse("env:STRIPE_SECRET")?.resolve(&env);
    /// assert_eq!(unset, Err(SecretError::Unset("STRIPE_SECRET".to_owned())));
    /// # Ok::<(), SecretError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let named = |rest: &str, kind| match rest.trim() {
            "" => Err(SecretError::NoName(kind)),
            name => Ok(name.to_owned()),
        };
        let keyed = |rest, kind| match str::split_once(rest, '#') {
            Some((name, key)) => named(key, kind).map(|key| (name, Some(key))),
            None => Ok((rest, None)),
        };
        match text.split_once(':') {
            Some(("plain", value)) => Ok(Self::Literal(Secret::new(value))),
            Some(("env", rest)) => {
                let (name, json_key) = keyed(rest, "env:NAME#")?;
                Ok(Self::Env { name: named(name, "env:")?, json_key })
            }
            Some(("file", path)) => named(path, "file:").map(|p| Self::File(p.into())),
            Some(("ssm", name)) => named(name, "ssm:").map(Self::Ssm),
            Some(("secretsmanager", rest)) => {
                let (id, json_key) = keyed(rest, "secretsmanager:ID#")?;
                Ok(Self::SecretsManager { id: named(id, "secretsmanager:")?, json_key })
            }
            _ => Err(SecretError::NotAReference),
        }
    }

    /// Parses a credential variable or a command line's value, where text that is not a reference is the
    /// secret itself.
    pub fn parse_or_literal(text: &str) -> Result<Self, SecretError> {
        match Self::parse(text) {
            Err(SecretError::NotAReference) => Ok(Self::Literal(Secret::new(text))),
            other => other,
        }
    }

    /// Follows an `env:` reference to the `secretsmanager:` or `ssm:` reference that its variable may hold.
    /// So the same `hooks.toml` works where a variable holds the secret and where no variable may hold one.
    /// Only a single step to these stores is allowed; any other text is the secret itself.
    pub(crate) fn follow(&self, env: &Env) -> Result<Cow<'_, Self>, SecretError> {
        let Self::Env { name, json_key } = self else { return Ok(Cow::Borrowed(self)) };
        let is_remote = |text: &String| ["secretsmanager:", "ssm:"].iter().any(|kind| text.starts_with(kind));
        match env.get(name).filter(is_remote) {
            Some(text) => match (Self::parse(&text)?, json_key) {
                (reference, None) => Ok(Cow::Owned(reference)),
                // The key may be written at either end.
                (Self::SecretsManager { id, json_key: None }, Some(key)) => {
                    Ok(Cow::Owned(Self::SecretsManager { id, json_key: Some(key.clone()) }))
                }
                (_, Some(_)) => Err(SecretError::NotAnObject(name.clone())),
            },
            None => Ok(Cow::Borrowed(self)),
        }
    }

    /// Returns true if the value can change while the reference stays the same.
    pub(crate) const fn is_reference(&self) -> bool {
        !matches!(self, Self::Literal(_))
    }

    /// Returns true if only a [`Resolver`](crate::vault::Resolver) can read the secret.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Self::SecretsManager { .. } | Self::Ssm(_))
    }

    /// Reads the value of a reference that is not remote. Empty and blank values are refused, because an
    /// empty key would verify any request that is signed with the empty key. The empty literal is a value: a
    /// parameter may be empty on purpose, and a source refuses it for anything else.
    pub fn resolve(&self, env: &Env) -> Result<Secret, SecretError> {
        let secret = match &*self.follow(env)? {
            Self::Literal(secret) if secret.expose().is_empty() => return Ok(secret.clone()),
            Self::Literal(secret) => secret.clone(),
            Self::Env { name, json_key } => {
                let value = Secret::new(env.get(name).ok_or_else(|| SecretError::Unset(name.clone()))?);
                match json_key {
                    Some(key) => value.member(name, key)?,
                    None => value,
                }
            }
            Self::File(path) => read_file(path)?,
            Self::SecretsManager { .. } => return Err(SecretError::Remote("secretsmanager:")),
            Self::Ssm(_) => return Err(SecretError::Remote("ssm:")),
        };
        if secret.is_blank() { Err(SecretError::Empty) } else { Ok(secret) }
    }
}

fn read_file(path: &std::path::Path) -> Result<Secret, SecretError> {
    use std::io::Read as _;
    let name = || path.display().to_string();
    let fail = |e: std::io::Error| SecretError::File(name(), e.kind());
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(path).map_err(fail)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(SecretError::FileTooLarge(name()));
    }
    let end = match bytes.as_slice() {
        [.., b'\r', b'\n'] => bytes.len() - 2,
        [.., b'\n'] => bytes.len() - 1,
        _ => bytes.len(),
    };
    bytes.truncate(end);
    Ok(Secret(bytes))
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
