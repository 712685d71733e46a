//! Tests of `reader`.

use super::*;

fn read(text: &str, read: impl FnOnce(&Table<'_>)) -> Vec<String> {
    let mistakes = Mistakes::new("f.toml", text);
    let doc = DeTable::parse(text).unwrap();
    let table = Table::new(&mistakes, "", 0, doc.get_ref());
    read(&table);
    table.finish();
    mistakes.into_sorted().iter().map(ToString::to_string).collect()
}

#[test]
fn every_mistake_has_its_line() {
    let text = "a = 1\nb = \"x\"\n\n[t]\nc = [1, \"ok\"]\nd = 2\n";
    let found = read(text, |t| {
        assert!(t.str("a").is_none());
        assert_eq!(t.str("b").unwrap().value, "x");
        let inner = t.table("t").unwrap();
        assert_eq!(inner.strings("c").unwrap().value.len(), 1);
        inner.finish();
    });
    assert_eq!(
        found,
        [
            "f.toml:1: error: a: expected a string, found integer",
            "f.toml:5: error: t.c: expected a string, found integer",
            "f.toml:6: error: t.d: unknown key; known here: c",
        ]
    );
}

#[test]
fn durations_and_sizes() {
    assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
    assert_eq!(parse_duration("5m"), Some(Duration::from_secs(300)));
    for bad in ["", "s", "5", "5 parsecs", "-5s", "99999999999999999999s", "18446744073709551615h"] {
        assert_eq!(parse_duration(bad), None, "{bad}");
    }
    assert_eq!(parse_size("512KiB"), Some(524_288));
    assert_eq!(parse_size("1MB"), Some(1_000_000));
    assert_eq!(parse_size("18446744073709551615MiB"), None);
}

#[test]
fn a_near_key_is_named_first() {
    let found = read("paht = 1\nurl = 2\nkye = 3\nq = 4\n", |t| {
        t.bool("path");
        assert!(!t.has("key") && !t.is_str("id") && !t.is_table("tag"));
    });
    let known = "nown here: id, key, path, tag";
    assert_eq!(
        found,
        [
            format!("f.toml:1: error: paht: unknown key; did you mean path? K{known}"),
            format!("f.toml:2: error: url: unknown key; k{known}"),
            format!("f.toml:3: error: kye: unknown key; did you mean key? K{known}"),
            format!("f.toml:4: error: q: unknown key; k{known}"),
        ]
    );
    assert_eq!(distance("kitten", "sitting"), 3);
    assert_eq!(distance("", "abc"), 3);
}
