//! Tests of `remote`.

use super::SecretStore::{ParameterStore, SecretsManager};
use super::*;

fn remote<'r>(store: SecretStore, id: &'r str, json_key: Option<&'r str>) -> Remote<'r> {
    Remote { store, id, json_key }
}

#[test]
fn names_are_encoded() {
    let target = |store, id| remote(store, id, None).target();
    assert_eq!(
        target(SecretsManager, "arn:aws:secretsmanager:eu-central-1:1:secret:a/b+c=d@e-Xy"),
        "/secretsmanager/get?secretId=arn%3Aaws%3Asecretsmanager%3Aeu-central-1%3A1%3Asecret%3A\
             a%2Fb%2Bc%3Dd%40e-Xy"
    );
    assert_eq!(
        target(ParameterStore, "/hooks/git hub&x=1"),
        "/systemsmanager/parameters/get?name=%2Fhooks%2Fgit%20hub%26x%3D1&withDecryption=true"
    );
}

#[test]
fn answers_of_both_stores_are_read() {
    let read = |store, body: &str| remote(store, "x", None).read(body.as_bytes());
    let secret = |text: &str| Ok(Secret::new(text));
    let none = || Err(SecretError::NotUnderstood("x".to_owned()));
    assert_eq!(read(SecretsManager, r#"{"ARN":"a","SecretString":"s\u00e9\"c"}"#), secret("sé\"c"));
    assert_eq!(read(SecretsManager, r#"{"SecretBinary":"AP8="}"#), Ok(Secret::new([0, 255])));
    let null = r#"{"SecretString":null,"SecretBinary":"YQ=="}"#;
    assert_eq!(read(SecretsManager, null), secret("a"));
    for body in ["", "<html>", "{}", r#"{"SecretString":1}"#, r#"{"SecretBinary":"!"}"#, "[]"] {
        assert_eq!(read(SecretsManager, body), none(), "{body}");
    }
    let parameter = r#"{"Parameter":{"Name":"n","Type":"SecureString","Value":"v"},"ResultMetadata":{}}"#;
    assert_eq!(read(ParameterStore, parameter), secret("v"));
    for body in ["{}", r#"{"Parameter":{}}"#, r#"{"Parameter":{"Value":{}}}"#, r#"{"Value":"v"}"#] {
        assert_eq!(read(ParameterStore, body), none(), "{body}");
    }
}

#[test]
fn a_member_is_picked() {
    let pick = |text: &str, key| remote(SecretsManager, "x", key).pick(Secret::new(text));
    let object = r#"{"a.b":"1","c":{"d":"2"},"n":3}"#;
    assert_eq!(pick(object, None), Ok(Secret::new(object)));
    assert_eq!(pick(object, Some("a.b")), Ok(Secret::new("1")));
    for key in ["c", "n", "z", "c.d"] {
        let missing = SecretError::NoMember { id: "x".to_owned(), key: key.to_owned() };
        assert_eq!(pick(object, Some(key)), Err(missing));
    }
    for text in ["plain", "[1]", r#"{"a":"1","a":"2"}"#] {
        assert_eq!(pick(text, Some("a")), Err(SecretError::NotAnObject("x".to_owned())), "{text}");
    }
}

/// Files that hang do not block other files, however often they are read.
#[cfg(unix)]
#[tokio::test]
async fn files_that_hang_keep_no_other_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let good = dir.path().join("good");
    std::fs::write(&good, "a-secret").unwrap();
    let resolver = Resolver::new(&Env::of::<&str, &str>([]));
    let bad: Vec<_> = (0..5).map(|n| dir.path().join(format!("bad{n}"))).collect();
    for pipe in &bad {
        // A pipe without a writer, so that reading it hangs.
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    }
    for _ in 0..20 {
        let soon = Instant::now() + std::time::Duration::from_millis(10);
        let read = bad.iter().map(|path| SecretRef::File(path.clone()));
        let read = read.map(async |reference| resolver.resolve(&reference, soon).await);
        for read in futures_util::future::join_all(read).await {
            assert!(matches!(read, Err(SecretError::File(_, std::io::ErrorKind::TimedOut))), "{read:?}");
        }
    }
    let soon = Instant::now() + std::time::Duration::from_secs(60);
    assert_eq!(resolver.resolve(&SecretRef::File(good), soon).await, Ok(Secret::new("a-secret")));
    for pipe in &bad {
        drop(std::fs::OpenOptions::new().write(true).open(pipe)); // Whoever reads it meets its end.
    }
}
