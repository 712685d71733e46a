//! Tests of `secret`.

use super::*;

fn variable(name: &str) -> SecretRef {
    SecretRef::Env { name: name.to_owned(), json_key: None }
}

/// A platform that takes few variables can hold the secrets of all hooks in one.
#[test]
fn a_variable_may_hold_several_secrets() {
    let env = Env::of([
        ("ALL", r#"{"github":"one","a.b":"two","n":1,"empty":"","twice":"a"}"#),
        ("TEXT", "not JSON"),
        ("FAR", "secretsmanager:hooks"),
        ("NEAR", "secretsmanager:hooks#own"),
        ("SSM", "ssm:/hooks"),
    ]);
    let resolve = |text: &str| SecretRef::parse(text).unwrap().resolve(&env);
    assert_eq!(resolve("env:ALL#github"), Ok(Secret::new("one")));
    assert_eq!(resolve("env: ALL # a.b "), Ok(Secret::new("two")));
    for (text, error) in [
        ("env:ALL#none", SecretError::NoMember { id: "ALL".into(), key: "none".into() }),
        ("env:ALL#n", SecretError::NoMember { id: "ALL".into(), key: "n".into() }),
        ("env:ALL#empty", SecretError::Empty),
        ("env:TEXT#a", SecretError::NotAnObject("TEXT".into())),
        ("env:UNSET#a", SecretError::Unset("UNSET".into())),
        ("env:NEAR#a", SecretError::NotAnObject("NEAR".into())),
        ("env:SSM#a", SecretError::NotAnObject("SSM".into())),
    ] {
        assert_eq!(resolve(text), Err(error), "{text}");
    }
    assert_eq!(SecretRef::parse("env:ALL#"), Err(SecretError::NoName("env:NAME#")));
    assert_eq!(SecretRef::parse("env:#a"), Err(SecretError::NoName("env:")));
    let far = SecretRef::parse("env:FAR#github").unwrap();
    let hooks = SecretRef::SecretsManager { id: "hooks".into(), json_key: Some("github".into()) };
    assert_eq!(far.follow(&env).map(Cow::into_owned), Ok(hooks));
}

#[test]
fn references_are_read() {
    assert_eq!(SecretRef::parse("env:A"), Ok(variable("A")));
    assert_eq!(SecretRef::parse("plain:a:b"), Ok(SecretRef::Literal(Secret::new("a:b"))));
    assert_eq!(
        SecretRef::parse("secretsmanager:arn:aws:x#k"),
        Ok(SecretRef::SecretsManager { id: "arn:aws:x".into(), json_key: Some("k".into()) })
    );
    assert_eq!(SecretRef::parse("hunter2"), Err(SecretError::NotAReference));
    assert_eq!(SecretRef::parse("whsec_a:b"), Err(SecretError::NotAReference));
    assert_eq!(SecretRef::parse("env: "), Err(SecretError::NoName("env:")));
    assert_eq!(SecretRef::parse_or_literal("a:b"), Ok(SecretRef::Literal(Secret::new("a:b"))));
}

#[test]
fn blank_is_never_a_secret() {
    let env = Env::of([("E", "  ")]);
    assert_eq!(SecretRef::parse("plain: ").unwrap().resolve(&env), Err(SecretError::Empty));
    assert_eq!(SecretRef::parse("env:E").unwrap().resolve(&env), Err(SecretError::Unset("E".into())));
    for blank in ["", "\r\n", "\0", "\u{feff}", "\u{feff}\n", "\u{a0}\u{3000}", "\u{200b}"] {
        assert!(Secret::new(blank).is_blank(), "{blank:?}");
    }
    for key in [&b"0"[..], b" a ", "\u{feff}k".as_bytes(), &[0xff], &[0, 0xff, 0]] {
        assert!(!Secret::new(key).is_blank(), "{key:?}");
    }
}

#[test]
fn a_variable_may_name_a_secret_of_a_store_in_one_step() {
    let env = Env::of([
        ("S", " secretsmanager:hookmq#a "),
        ("P", "ssm:/a"),
        ("BROKEN", "ssm: "),
        ("E", "env:S"),
        ("F", "file:/etc/hostname"),
        ("L", "ssm-like:x"),
    ]);
    let follow = |name: &str| variable(name).follow(&env).map(Cow::into_owned);
    let store = SecretRef::SecretsManager { id: "hookmq".into(), json_key: Some("a".into()) };
    assert_eq!(follow("S"), Ok(store.clone()));
    assert_eq!(follow("P"), Ok(SecretRef::Ssm("/a".into())));
    assert_eq!(follow("BROKEN"), Err(SecretError::NoName("ssm:")));
    for (name, text) in [("E", "env:S"), ("F", "file:/etc/hostname"), ("L", "ssm-like:x")] {
        assert_eq!(follow(name), Ok(variable(name)), "{text} is a secret");
        assert_eq!(variable(name).resolve(&env), Ok(Secret::new(text)));
    }
    // The text of the reference is never the secret.
    assert_eq!(variable("S").resolve(&env), Err(SecretError::Remote("secretsmanager:")));
    assert_eq!(variable("P").resolve(&env), Err(SecretError::Remote("ssm:")));
    assert_eq!(variable("BROKEN").resolve(&env), Err(SecretError::NoName("ssm:")));
    assert_eq!(*store.follow(&env).unwrap(), store);
}

#[test]
fn a_file_loses_one_line_end_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    for (text, want) in [("k\n", "k"), ("k\r\n", "k"), ("k\n\n", "k\n"), ("k", "k"), (" k ", " k ")] {
        let path = dir.path().join("s");
        std::fs::write(&path, text).unwrap();
        assert_eq!(SecretRef::File(path).resolve(&Env::process()), Ok(Secret::new(want)));
    }
    let missing = SecretRef::File(dir.path().join("none")).resolve(&Env::process());
    assert!(matches!(missing, Err(SecretError::File(_, std::io::ErrorKind::NotFound))));
}

proptest::proptest! {
    #[test]
    fn pieces_are_sorted_as_ever(pieces in proptest::collection::vec("[ab]{0,3}|\\PC{0,3}", 0..6)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(String::as_bytes).collect();
        let mut want = pieces.clone();
        want.sort_unstable();
        proptest::prop_assert_eq!(sorted(&pieces), want);
    }
}

#[test]
fn debug_shows_nothing() {
    let text = format!("{:?}", SecretRef::Literal(Secret::new("hunter2")));
    assert!(!text.contains("hunter2"));
}
