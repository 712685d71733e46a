//! The modules of the library stand on floors, and each imports from floors below its own alone. What only
//! people or senders need stays out of the functions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::kit::rust_files::{code_of, is_test, rust_files};

/// Modules of one floor do not know each other. `ARCHITECTURE.md` says what each is for.
const FLOORS: &[&[&str]] = &[
    &["inflate", "pattern", "sort"],
    &[
        "cidr", "clock", "env", "files", "http", "json", "rate", "reader", "sabotage", "stopping", "tasks",
        "xml",
    ],
    &["context", "delivery", "hops", "net", "platform", "problem", "secret", "shard"],
    &["source", "vault"],
    &["fetch", "message"],
    &["queue"],
    &["store"],
    &["outcome"],
    &["metrics"],
    &["spill", "telemetry"],
    &["quarantine", "readiness"],
    &["config", "service"],
    &["carry"],
    &["gateway"],
    &["redrive"],
    &["host"],
];

/// Modules that open sockets. No module that verifies requests may import them, directly or through others.
const SOCKETS: &[&str] = &["net", "vault", "fetch", "queue", "store"];

fn code(path: &Path) -> String {
    code_of(&std::fs::read_to_string(path).unwrap())
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Returns the modules that a text names behind `crate::`, one by one or in a list.
fn imports(code: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        // `$crate::` stands in macros for users, and another crate's name may end like this.
        if code[..at].ends_with(|c: char| c == '$' || c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut begins = true;
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && depth == 0 && !c.is_whitespace() => {
                    found.insert(word(&list[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found.remove("");
    found
}

/// Returns the imports of each module, with the file that has them.
fn library() -> BTreeMap<String, BTreeMap<String, String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let paths = rust_files(&root);
    let mut modules: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for path in paths.iter().filter(|path| !is_test(path)) {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        let module = name.split(['/', '.']).next().unwrap();
        if module == "lib" {
            continue;
        }
        let of = modules.entry(module.to_owned()).or_default();
        for import in imports(&code(path)).into_iter().filter(|import| *import != module) {
            of.insert(import.to_owned(), name.to_owned());
        }
    }
    modules
}

/// Rooms of `source/`, from the lowest. Each imports only from itself and from lower rooms.
const ROOMS: &[&str] = &["crypto", "scheme", "reply", "presets", "verify", "sender"];

#[test]
fn no_room_of_source_imports_from_a_higher_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/source");
    for (at, room) in ROOMS.iter().enumerate() {
        let files = rust_files(&root.join(room));
        assert!(!files.is_empty(), "{room}");
        for path in files.iter().filter(|path| !is_test(path)) {
            let code = code(path).replace("crate::source::", "crate::");
            let above = imports(&code).into_iter().find(|import| ROOMS[at + 1..].contains(import));
            assert_eq!(above, None, "{} imports from a higher room", path.display());
        }
    }
}

#[test]
fn no_module_imports_from_its_own_floor_or_above() {
    let floor = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    let library = library();
    let named: BTreeSet<&str> = FLOORS.iter().copied().flatten().copied().collect();
    assert_eq!(library.keys().map(String::as_str).collect::<BTreeSet<_>>(), named, "each has its floor");
    for (module, imports) in &library {
        for (import, file) in imports {
            let (from, to) = (floor(module), floor(import));
            assert!(to.is_some(), "{file} imports crate::{import}, which is not a module");
            assert!(to < from, "{file} imports crate::{import}, which does not stand below {module}");
        }
    }
}

#[test]
fn what_verifies_reaches_no_socket() {
    let library = library();
    let (mut reached, mut next) = (BTreeSet::new(), vec!["source"]);
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(library[module].keys().map(String::as_str));
        }
    }
    assert!(SOCKETS.iter().all(|module| !reached.contains(module)), "{reached:?}");
    assert!(reached.contains("secret") && reached.len() > 5, "{reached:?}");
}

/// A feature in a function's manifest would bring private keys, or texts for people, into what is deployed.
#[test]
fn no_function_turns_on_a_feature_of_the_library() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let has = |manifest: &Path, line: &str| {
        std::fs::read_to_string(manifest).unwrap().lines().any(|found| found == line)
    };
    assert!(has(&root.join("Cargo.toml"), r#"hookmq-shared = { path = "shared" }"#));
    let functions = root.join("functions").read_dir().unwrap();
    let manifests: Vec<_> = functions.map(|entry| entry.unwrap().path().join("Cargo.toml")).collect();
    assert!(manifests.len() >= 3);
    for manifest in manifests {
        assert!(has(&manifest, "hookmq-shared.workspace = true"), "{}", manifest.display());
    }
}

#[test]
fn imports_are_found_however_they_are_written() {
    let code = "use crate::clock::Clock;\nuse crate::{env::Env, net::{answer::Answer, tls}, json};\n\
                fn f() { crate::queue::x(); $crate::no::y(); other_crate::no::z() }";
    assert_eq!(imports(code), BTreeSet::from(["clock", "env", "json", "net", "queue"]));
}
