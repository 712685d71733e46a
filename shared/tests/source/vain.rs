//! Tests of `[verify]` tables that could never do what they are written for: deliveries would be lost, none could be
//! accepted, or strangers could have texts signed.

use crate::grammar::{SOUND, mistakes};

/// Texts of [`SOUND`], each with another in its place.
type Changes = &'static [(&'static str, &'static str)];

/// Conditions of a handshake that every delivery fulfils, each with changes of [`SOUND`] and the beginning of the
/// mistake.
const LOST: &[(Changes, &str, &str)] = &[
    (&[], r#"present = "header:S""#, r#"present: present = "header:S""#),
    (&[], r#"present = "header:s""#, r#"present: present = "header:s""#),
    (&[], r#"present = "header:T""#, r#"present: present = "header:T""#),
    (&[], r#"present = "body""#, r#"present: present = "body""#),
    (&[], r#"present = ["body", "header:T"]"#, r#"present: present = "body""#),
    (&[], r#"present = "json:a|header:S""#, r#"present: present = "json:a|header:S""#),
    (&[], r#"present = "header:S#1""#, r#"present: present = "header:S#1""#),
    (&[], r#"present = "{header:S}.{header:T}""#, r#"present: present = "{header:S}.{header:T}""#),
    (&[], "method = \"POST\"\npresent = \"header:S\"", r#"present: present = "header:S""#),
    (&[], "before_verify = true\npresent = \"header:S\"", r#"present: present = "header:S""#),
    (&[], "present = \"header:S\"\nsigned = [\"{header:T}\"]", r#"present: present = "header:S""#),
    (&[], "present = \"header:S\"\ntoken = { from = \"header:X\" }", r#"present: present = "header:S""#),
    (
        &[("header:S\"", "json:a.s\""), ("{body}", "{json:x}")],
        r#"present = "body""#,
        r#"present: present = "body""#,
    ),
    (
        &[("header:S\"", "json:s>json:a\""), ("{body}", "{json:x}")],
        r#"present = "json:s""#,
        r#"present: present = "json:s""#,
    ),
    (
        &[("header:S\"", "json:s\""), ("{body}", "{json:x}")],
        r#"present = "body>json:s""#,
        r#"present: present = "json:s""#,
    ),
    (
        &[("header:S\"", "query:a|query:b\"")],
        r#"present = "query:b|query:a""#,
        r#"present: present = "query:b|query:a""#,
    ),
    (
        &[("\"hex\"", "\"hex\", format = \"kv\", sep = \",\", take = \"v1\"")],
        r#"present = "sigkv:v1""#,
        r#"present: present = "sigkv:v1""#,
    ),
    (&[("\"{body}\"", "\"{fieldlines:a,b?}\"")], r#"present = "json:a""#, r#"present: present = "json:a""#),
    (
        &[("\"{body}\"", "\"{named_headers:header:L,a}\"")],
        r#"present = "header:L""#,
        r#"present: present = "header:L""#,
    ),
    (
        &[("[\"{header:T}\", \".\", \"{body}\"]", "{ by = \"json:t\", cases = { a = [\"{body}\"] } }")],
        r#"when = { "json:t" = "a" }"#,
        "when: json:t = \"a\"",
    ),
    (PINNED, r#"when = { "header:V" = "2" }"#, "when: header:V = \"2\""),
    (PINNED, r#"when = { "header:v" = "2" }"#, "when: header:v = \"2\""),
    (PINNED, r#"when = { "header:V#1" = "2" }"#, "when: header:V#1 = \"2\""),
    (PINNED, r#"when = { "v{header:V}" = "v2" }"#, "when: v{header:V} = \"v2\""),
    (PINNED, r#"when = { "header:V|header:W" = "2" }"#, "when: header:V|header:W = \"2\""),
    (PINNED, r#"present = "header:V""#, r#"present: present = "header:V""#),
    (PINNED, r#"present = "header:V==2""#, "when: header:V = \"2\""),
    (PINNED, r#"absent = "header:V==3""#, r#"absent: absent = "header:V==3""#),
    (PINNED, "when = { \"header:V\" = \"2\" }\npresent = \"header:S\"", "when: header:V = \"2\""),
    (&[], r#"absent = "sigkv:x""#, r#"absent: absent = "sigkv:x""#),
    (&[], r#"absent = "item:a""#, r#"absent: absent = "item:a""#),
    (&[], r#"absent = "decrypted:a""#, r#"absent: absent = "decrypted:a""#),
    (&[], r#"absent = "header:X:Y""#, r#"absent: absent = "header:X:Y""#),
    (&[], r#"absent = "header:Ä""#, r#"absent: absent = "header:Ä""#),
    (&[], r#"absent = "header:X-Scf-Foo""#, r#"absent: absent = "header:X-Scf-Foo""#),
    (&[], r#"absent = "header:x-CFF-a""#, r#"absent: absent = "header:x-CFF-a""#),
    (&[], r#"absent = "header:X-Scf-Foo|sigkv:x""#, r#"absent: absent = "header:X-Scf-Foo|sigkv:x""#),
    (&[], r#"absent = "header:X-Scf-Foo>json:a""#, r#"absent: absent = "header:X-Scf-Foo>json:a""#),
    (&[], r#"absent = "{header:A}{sigkv:x}""#, r#"absent: absent = "{header:A}{sigkv:x}""#),
    (&[], r#"absent = "header:A==""#, r#"absent: absent = "header:A==""#),
    (&[], "absent = \"sigkv:x\"\npresent = \"header:S\"", r#"present: present = "header:S""#),
    (&[("\"{body}\"", "\"{json:a}\"")], r#"absent = "xml:a""#, r#"absent: absent = "xml:a""#),
    (&[("\"{body}\"", "\"{json:a}\"")], r#"absent = "form:a""#, r#"absent: absent = "form:a""#),
    (&[("\"{body}\"", "\"{sorted_form}\"")], r#"absent = "json:a""#, r#"absent: absent = "json:a""#),
    (&[("kind =", "unwrap = \"form:p\"\nkind =")], r#"absent = "form:a""#, r#"absent: absent = "form:a""#),
    (
        &[("kind =", "content_coding = \"decoded\"\nkind =")],
        r#"absent = "header:Content-Encoding""#,
        r#"absent: absent = "header:Content-Encoding""#,
    ),
    (
        &[("\"hex\"", "\"hex\", format = \"kv\", sep = \",\", take = \"v1\"")],
        "before_verify = true\nabsent = \"sigkv:t\"",
        r#"absent: absent = "sigkv:t""#,
    ),
];

/// A change of [`SOUND`] that fixes the value of a field.
const PINNED: Changes = &[("kind =", "require = [{ from = \"header:V\", in = [\"2\"] }]\nkind =")];

fn changed(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(SOUND.to_owned(), |table, (from, to)| {
        assert!(table.contains(from), "{from}");
        table.replace(from, to)
    })
}

#[test]
fn a_handshake_has_a_condition_that_deliveries_do_not_fulfil() {
    for (changes, conditions, want) in LOST {
        let (key, why) = want.split_once(": ").unwrap();
        let table = format!("{}[[handshake]]\nstatus = 200\n{conditions}", changed(changes));
        let found = mistakes(&table);
        let want = format!(
            "verify.handshake[0].{key}: every delivery would be answered as this handshake, and be lost: it fulfils \
             {why}; name what only handshakes have"
        );
        assert!(found.len() == 1 && found[0].ends_with(&want), "{conditions}\n{want}\n{found:#?}");
    }
    for (changes, conditions) in [
        (&[][..], r#"present = "header:X""#),
        (&[], r#"absent = "header:S""#),
        (&[("kind =", "event = \"json:e\"\nkind =")], r#"absent = "json:e""#),
        (&[], "present = [\"header:S\", \"json:challenge\"]"),
        (&[], "absent = \"sigkv:x\"\nwhen = { \"json:type\" = \"ping\" }"),
        (PINNED, r#"when = { "header:W" = "2" }"#),
        (PINNED, r#"when = { "header:W|header:V" = "2" }"#),
        (
            &[("kind =", "require = [{ from = \"header:V\", in = [\"2\", \"3\"] }]\nkind =")],
            r#"when = { "header:V" = "2" }"#,
        ),
        (
            &[("kind =", "require = [{ from = \"header:V\", in = [\"2\"], optional = true }]\nkind =")],
            r#"when = { "header:V" = "2" }"#,
        ),
        (&[("kind =", "methods = \"GET, POST\"\nkind =")], "method = \"GET\"\npresent = \"header:S\""),
        (&[("kind =", "methods = \"GET, POST\"\ndelivers_by_get = true\nkind =")], r#"present = "body""#),
    ] {
        let table = format!("{}[[handshake]]\nstatus = 200\n{conditions}", changed(changes));
        assert_eq!(mistakes(&table), [""; 0], "{conditions}");
    }
    // Whether deliveries have such a field is known to their sender.
    for (changes, absent) in [
        (&[][..], "header:X"),
        (&[], "header:X-Scf-A|header:A"),
        (&[("\"{body}\"", "\"{json:a|form:a}\"")], "form:b"),
    ] {
        for more in ["", "before_verify = true\n"] {
            let found = mistakes(&format!(
                "{}[[handshake]]\nstatus = 200\n{more}absent = \"{absent}\"",
                changed(changes)
            ));
            let want =
                format!("handshake[0].absent: each delivery without {absent} is answered as this handshake");
            assert!(found.len() == 1 && found[0].contains(&want), "{found:#?}");
        }
    }
}

/// Handshakes that each leave some deliveries can take all together.
#[test]
fn handshakes_leave_deliveries_together() {
    let table = |changes: &[(&str, &str)], one: &str, other: &str| {
        let handshake = |conditions: &str| format!("[[handshake]]\nstatus = 200\n{conditions}\n");
        format!("{}{}{}", changed(changes), handshake(one), handshake(other))
    };
    let two: &[(&str, &str)] =
        &[("kind =", "require = [{ from = \"header:V\", in = [\"1\", \"2\"] }]\nkind =")];
    let open: &[(&str, &str)] =
        &[("kind =", "require = [{ from = \"header:V\", in = [\"1\"], optional = true }]\nkind =")];
    let (one, other) = (r#"when = { "header:V" = "1" }"#, r#"when = { "header:V" = "2" }"#);
    for (changes, first, second, key) in [
        (&[][..], r#"present = "json:a""#, r#"absent = "json:a""#, r#"absent = "json:a""#),
        (&[], r#"absent = "json:a""#, r#"present = "json:a""#, r#"present = "json:a""#),
        (
            &[],
            r#"absent = "json:a""#,
            "present = [\"json:a|json:b\", \"header:S\"]",
            r#"present = "json:a|json:b""#,
        ),
        (&[], "method = \"POST\"\npresent = \"json:a\"", r#"absent = "json:a""#, r#"absent = "json:a""#),
        (two, one, other, "header:V = \"2\""),
        (two, other, r#"present = "header:V==1""#, "header:V = \"1\""),
        (open, one, r#"absent = "header:V""#, r#"absent = "header:V""#),
    ] {
        let mut found = mistakes(&table(changes, first, second));
        found.retain(|mistake| !mistake.contains("each delivery without"));
        let want = format!("if no other handshake takes it, and be lost: it fulfils {key}; name");
        assert!(found.len() == 1 && found[0].contains(&want), "{first} {second}: {found:#?}");
        assert!(found[0].contains("handshake[1]"), "{found:?}");
    }
    for (changes, first, second) in [
        (&[][..], r#"present = "json:a""#, r#"absent = "json:b""#),
        (&[], r#"absent = "json:a|json:b""#, r#"present = "json:a""#),
        (&[], r#"absent = "json:a""#, "present = [\"json:a\", \"json:b\"]"),
        (two, one, one),
        (open, one, r#"absent = "header:W""#),
    ] {
        let found = mistakes(&table(changes, first, second));
        assert!(found.iter().all(|mistake| mistake.contains("each delivery without")), "{found:#?}");
    }
}

/// The conditions follow from whether all of the verifiers or one of them must accept.
#[test]
fn a_handshake_leaves_the_deliveries_of_several_verifiers() {
    let table = |rule: &str, conditions: &str| {
        let hmac = |field: &str, rest: &str| {
            format!(
                "{{ kind = \"hmac\", hash = \"sha256\", signature = {{ from = \"header:{field}\", encoding = \"hex\" }}, \
                 signed = [\"{{body}}\"], secrets = [0]{rest} }}"
            )
        };
        let pin = ", require = [{ from = \"header:V\", in = [\"1\"] }]";
        format!(
            "kind = \"{rule}\"\nverify = [{}, {}]\n[[handshake]]\nstatus = 200\n{conditions}",
            hmac("A", pin),
            hmac("B", "")
        )
    };
    for (rule, conditions, is_lost) in [
        ("all", r#"present = "header:B""#, true),
        ("any", r#"present = "header:B""#, false),
        ("any", r#"present = "header:A|header:B""#, true),
        ("all", r#"when = { "header:V" = "1" }"#, true),
        ("any", r#"when = { "header:V" = "1" }"#, false),
    ] {
        let found = mistakes(&table(rule, conditions));
        assert_eq!(
            found.iter().any(|mistake| mistake.contains("and be lost")),
            is_lost,
            "{conditions}: {found:?}"
        );
    }
}

/// A genuine handshake that was recorded can be sent again with other values in what is not signed.
#[test]
fn a_handshake_signs_only_what_was_signed() {
    let table = |changes: &[(&str, &str)], rest: &str, part: &str| {
        format!(
            "{}methods = \"GET, POST\"\n[[handshake]]\nstatus = 200\ntype = \"text/plain\"\nbody = [\"{part}\"]\n{rest}",
            changed(changes)
        )
    };
    let late = r#"when = { "json:type" = "challenge" }"#;
    let proof = "method = \"GET\"\nsigned = [\"{query:ts}\"]";
    let fields: &[(&str, &str)] = &[("\"{body}\"", "\"{json:a}\", \"{json:type}\"")];
    let any: &[(&str, &str)] = &[];
    for (changes, rest, part, field) in [
        (any, late, "{hex(sign(header:C))}", "header:C"),
        (any, late, "{hex(sign(query:c))}", "query:c"),
        (any, late, "{base64(hmac_sha256(header:C))}", "header:C"),
        (any, late, "{hex(sign({json:a}{header:C}))}", "{json:a}{header:C}"),
        (any, late, "{hex(sign(json:c|header:C))}", "json:c|header:C"),
        (fields, late, "{hex(sign(json:c))}", "json:c"),
        (any, proof, "{hex(sign(query:crc))}", "query:crc"),
        (any, proof, "{hex(sign(json:c))}", "json:c"),
    ] {
        let found = mistakes(&table(changes, rest, part));
        let want =
            format!("verify.handshake[0].body: {field} is not signed: who has seen one handshake could ask");
        assert!(found.len() == 1 && found[0].contains(&want), "{part}: {found:#?}");
    }
    let header = table(any, late, "{json:c}").replace(
        "type = \"text",
        "headers = { validation-token = \"{hex(sign(header:C))}\" }\ntype = \"text",
    );
    assert!(mistakes(&header)[0].contains("header:C is not signed"));
    for (changes, rest, part) in [
        (any, late, "{hex(sign(json:c))}"),
        (any, late, "{hex(sign({header:T}{json:c}))}"),
        (any, late, "{header:C}"),
        (fields, late, "{hex(sign(json:a))}"),
        (any, proof, "{hex(sign(query:ts))}"),
        (any, "before_verify = true\nmethod = \"GET\"", "{hex(sign(query:c))}"),
    ] {
        assert_eq!(mistakes(&table(changes, rest, part)), [""; 0], "{part}");
    }
}

/// Changes of [`SOUND`] by which nothing could be accepted, each with the beginning of the mistake.
const NEVER: &[(Changes, &str)] = &[
    // A signature cannot be in what it signs.
    (&[("header:S\"", "json:s\"")], "signed: json:s is the signature, which no signed text can hold"),
    (&[("header:S\"", "form:s\"")], "signed: form:s is the signature"),
    (&[("header:S\"", "xml:s\"")], "signed: xml:s is the signature"),
    (&[("header:S\"", "json:s|form:s\"")], "signed: json:s|form:s is the signature"),
    (&[("header:S\"", "json:s>json:s\"")], "signed: json:s>json:s is the signature"),
    (&[("header:S\"", "json:s\""), ("{body}", "{sha256(body):hex}")], "signed: json:s is the signature"),
    (&[("header:S\"", "json:s\""), ("{body}", "{crc32(body)}")], "signed: json:s is the signature"),
    (&[("header:S\"", "json:s\""), ("{body}", "{fieldlines:a,s?}")], "signed: json:s is the signature"),
    (&[("header:S\"", "json:s\""), ("{body}", "{json:s?}")], "signed: json:s is the signature"),
    (&[("header:S\"", "form:s\""), ("{body}", "{sorted_form}")], "signed: form:s is the signature"),
    (&[("header:S\"", "form:s\""), ("{body}", "{sorted_pairs:x}")], "signed: form:s is the signature"),
    (&[("header:S\"", "query:s\""), ("{body}", "{url}")], "signed: query:s is the signature"),
    (&[("header:S\"", "query:s\""), ("{body}", "{path_query}")], "signed: query:s is the signature"),
    (&[("{body}", "{header:s}")], "signed: header:S is the signature"),
    (&[("{body}", "{header:A|header:S}")], "signed: header:S is the signature"),
    (&[("{body}", "{canon_headers:s}")], "signed: header:S is the signature"),
    (&[("{body}", "{named_headers:header:L,a,s}")], "signed: header:S is the signature"),
    (&[("{body}", "{named_values:header:S}")], "signed: header:S is the signature"),
    (
        &[("header:S\"", "header:S-*\", several = true"), ("{body}", "{canon_headers:s-}")],
        "signed: header:S-* is the signature",
    ),
    (
        &[("\"hex\"", "\"hex\", format = \"kv\", sep = \",\", take = \"v1\""), ("{body}", "{sigkv:v1}")],
        "signed: sigkv:v1 is the signature",
    ),
    (
        &[(
            "[\"{header:T}\", \".\", \"{body}\"]",
            "{ by = \"json:t\", cases = { a = [\"{json:t}\"], b = [\"{json:t}\", \"{header:S}\"] } }",
        )],
        "signed: header:S is the signature",
    ),
    // A hash cannot be in what it is the hash of.
    (
        &[
            ("{body}", "{json:h}"),
            ("kind =", "body_hash = [{ from = \"json:h\", hash = \"sha256\" }]\nkind ="),
        ],
        "body_hash: json:h is in the body, whose hash it follows from",
    ),
    (
        &[
            ("header:S\"", "json:s\""),
            ("{body}", "{header:H}"),
            ("kind =", "body_hash = [{ from = \"header:H\", hash = \"sha256\" }]\nkind ="),
        ],
        "body_hash: json:s is in the body, whose hash it follows from",
    ),
    // Fields that no request has.
    (&[("header:S\"", "header:X-Scf-Sig\"")], "signature: header:X-Scf-Sig: such fields are a platform's"),
    (&[("header:S\"", "header:X:Sig\"")], "signature: header:X:Sig: no header field can have this name"),
    (&[("header:S\"", "header:X/Sig\"")], "signature: header:X/Sig: no header field can have this name"),
    (&[("header:S\"", "header:Ä\"")], "signature: header:Ä: no header field can have this name"),
    (
        &[("header:S\"", "header:X-Cff-A|header:S\"")],
        "signature: header:X-Cff-A: such fields are a platform's",
    ),
    (&[("{body}", "{header:X-CFF-Id}")], "signed: header:X-CFF-Id: such fields are a platform's"),
    (&[("{body}", "{header:X-CFF-Id?}")], "signed: header:X-CFF-Id: such fields are a platform's"),
    (&[("{body}", "{canon_headers:x-scf-}")], "signed: header:x-scf-: such fields are a platform's"),
    (
        &[("{body}", "{named_headers:header:L,x-scf-a}")],
        "signed: header:x-scf-a: such fields are a platform's",
    ),
    (&[("header:T", "header:X-Scf-Time")], "timestamp: header:X-Scf-Time: such fields are a platform's"),
    (&[("kind =", "id = \"header:X-Scf-Id\"\nkind =")], "id: header:X-Scf-Id is a credential"),
    (&[("kind =", "id = \"header:X Id\"\nkind =")], "id: \"header:X Id\" does not name a field"),
    (&[("kind =", "event = \"header:X:E\"\nkind =")], "event: no delivery has any of these fields"),
    (
        &[("kind =", "subject = [\"header:A\", \"header:X:E\"]\nkind =")],
        "subject: header:X:E: no header field",
    ),
    (
        &[("kind =", "require = [{ from = \"header:X-Scf-A\", in = [\"1\"] }]\nkind =")],
        "require: header:X-Scf-A: ",
    ),
    (&[("kind =", "event = \"xml:a\"\nkind ="), ("{body}", "{json:a}")], "event: no delivery has any"),
    (&[("kind =", "id = \"form:a\"\nkind ="), ("{body}", "{json:a}")], "id: form:a is in no body that has"),
    (&[("{body}", "{json:a}\", \"{form:a}")], "signed: json:a is in no body that has"),
    (
        &[("header:S\"", "json:a..s\""), ("{body}", "{json:a}")],
        "signature.from: \"json:a..s\" does not name a field",
    ),
    (
        &[("header:S\"", "xml:.s\""), ("{body}", "{xml:a}")],
        "signature.from: \"xml:.s\" does not name a field",
    ),
    (&[("{body}", "{form:a>json:}")], "signed: \"{form:a>json:}\" is not a part"),
    // Values that exclude each other.
    (
        &[(
            "kind =",
            "require = [{ from = \"header:X\", in = [\"1\"] }, { from = \"header:x\", in = [\"2\"] }]\nkind =",
        )],
        "require: no value of header:X is allowed everywhere",
    ),
    (
        &[("kind =", "require = [{ from = \"header:X\", in = [\"\"] }]\nkind =")],
        "require: no value of header:X",
    ),
    (
        &[
            ("kind =", "require = [{ from = \"json:t\", in = [\"b\"] }]\nkind ="),
            ("[\"{header:T}\", \".\", \"{body}\"]", "{ by = \"json:t\", cases = { a = [\"{body}\"] } }"),
        ],
        "require: no value of json:t is allowed everywhere",
    ),
    (
        &[("kind =", "require = [{ from = \"header:S\", in = [\"1\"] }]\nkind =")],
        "require: header:S differs in each",
    ),
    (
        &[("kind =", "require = [{ from = \"header:T\", in = [\"1\"] }]\nkind =")],
        "require: header:T differs in each",
    ),
    (
        &[("[\"{header:T}\", \".\", \"{body}\"]", "{ by = \"json:t\", cases = { \"\" = [\"{body}\"] } }")],
        "signed.cases: no request has an empty value there",
    ),
    // A form that is taken away.
    (&[("header:S\"", "form:s\""), ("kind =", "unwrap = \"form:p\"\nkind =")], "unwrap: takes away the form"),
    (
        &[("{body}", "{sorted_form}"), ("kind =", "unwrap = \"form:p\"\nkind =")],
        "unwrap: takes away the form",
    ),
    (
        &[("kind =", "unwrap = \"form:p\"\nevent = \"form:type\"\nkind =")],
        "event: no delivery has any of these fields",
    ),
    (&[("kind =", "unwrap = \"form:p\"\nid = \"form:id\"\nkind =")], "id: form:id is in no body that has"),
    // Times that never come.
    (&[("\"header:T\"", "\"header:S\"")], "timestamp: header:S is the signature, and no time"),
    (&[("unit = \"s\"", "unit = \"s\", past = 0, future = 0")], "timestamp: no request arrives in a window"),
    (&[("unit = \"s\"", "unit = \"expires\", max_ahead = 0")], "timestamp: no request arrives in a window"),
];

#[test]
fn a_table_can_accept_a_request() {
    for (changes, want) in NEVER {
        let found = mistakes(&changed(changes));
        assert!(
            found.iter().any(|mistake| mistake.contains(&format!("verify.{want}"))),
            "{want}\n{found:#?}"
        );
    }
    let sound: &[Changes] = &[
        &[("header:S\"", "json:s\""), ("{body}", "{fieldlines:a,b?}")],
        &[("header:S\"", "json:s.a\""), ("{body}", "{json:s.b}")],
        &[("header:S\"", "form:s\""), ("{body}", "{sorted_pairs:s}")],
        &[("header:S\"", "query:s|json:s\"")],
        &[("header:S\"", "header:S>json:s\""), ("{body}", "{header:S>json:t}")],
        &[("header:S\"", "query:s\"")],
        &[("{body}", "{canon_headers:x-}")],
        &[("{body}", "{header:Transfer-Encoding}")],
        &[("kind =", "event = [\"json:a\", \"form:a\"]\nkind =")],
        &[("kind =", "unwrap = \"form:p\"\nevent = \"json:a\"\nkind =")],
        &[(
            "kind =",
            "require = [{ from = \"header:X\", in = [\"1\", \"2\"] }, { from = \"header:X\", in = [\"2\"] }]\nkind =",
        )],
        &[("unit = \"s\"", "unit = \"s\", past = 1, future = 0")],
    ];
    for changes in sound {
        assert_eq!(mistakes(&changed(changes)), [""; 0], "{changes:?}");
    }
    let members = "kind = \"all\"\nverify = [{ kind = \"token\", from = \"header:X-Scf-T\", secrets = [0] }, \
                   { kind = \"token\", from = \"header:B\", secrets = [0], require = [{ from = \"header:V\", in = [\"1\"] }] }]\n\
                   require = [{ from = \"header:V\", in = [\"2\"] }]";
    let found = mistakes(members);
    assert!(found[0].contains("verify[0].from: header:X-Scf-T: such fields are a platform's"), "{found:#?}");
    let found = mistakes(&members.replace("X-Scf-T", "A"));
    assert!(found[0].contains("verify.require: no value of header:V is allowed everywhere"), "{found:#?}");
    let unwrapped = "kind = \"any\"\nunwrap = \"form:p\"\nverify = [{ kind = \"token\", from = \"form:t\", secrets = [0] }, \
                     { kind = \"token\", from = \"header:B\", secrets = [0] }]";
    assert!(mistakes(unwrapped)[0].contains("verify.unwrap: takes away the form"));
    let jwt = "kind = \"jwt\"\nalgorithm = \"HS256\"\nfrom = \"json:t\"\nbody_hash = { claim = \"h\", encoding = \"hex\" }";
    assert!(mistakes(jwt)[0].contains("verify.body_hash: the body has the token"));
}

/// A delivery must sign something else than what a handshake signs for anybody.
#[test]
fn deliveries_differ_from_what_is_signed_for_anybody() {
    let table = |signed: &str, rest: &str| {
        let table = SOUND.replace("[\"{header:T}\", \".\", \"{body}\"]", signed);
        format!(
            "{table}{rest}methods = \"GET, POST\"\n[[handshake]]\nbefore_verify = true\nmethod = \"GET\"\nstatus = 200\n\
             type = \"text/plain\"\nbody = [\"{{hex(sign(query:c))}}\"]"
        )
    };
    let hash = "body_hash = [{ from = \"header:H\", hash = \"sha256\" }]\n";
    let pin = "require = [{ from = \"header:V\", in = [\"a\", \"b\"] }]\n";
    for (signed, rest) in [
        ("[\"{sha256(body):hex}\"]", ""),
        ("[\"v1=\", \"{sha256(body):base64}\"]", ""),
        ("[\"{crc32(body)}\"]", ""),
        ("[\"{header:T}\"]", ""),
        ("[\"{method}\", \"-\", \"{header:T}\", \"{sha1(body):hex}\"]", ""),
        ("[\"{header:H}\"]", hash),
        ("[\"{header:V}\", \"{header:T}\"]", pin),
        ("{ sort = true, parts = [\"{header:T}\"] }", ""),
    ] {
        let found = mistakes(&table(signed, rest));
        let want =
            "handshake[0].body: deliveries sign a text of the form that this handshake signs for anybody";
        assert!(found.len() == 1 && found[0].contains(want), "{signed}: {found:#?}");
    }
    for (signed, is_doubtful) in [
        ("[\"{header:T}\", \".\", \"{body}\"]", false),
        ("[\"{body}\"]", false),
        ("[\"{sha256(body)}\"]", false),
        ("[\"{header:T}\", \"\\n\", \"{sha256(body):hex}\"]", false),
        ("[\"{sha256(body):hex}\", \"{sha256(body):hex}\", \"-\"]", false),
        ("[\"{header:N}\"]", true),
        ("[\"{header:T}\", \"{json:id?}\"]", true),
    ] {
        let found = mistakes(&table(signed, ""));
        assert_eq!(found.len(), usize::from(is_doubtful), "{signed}: {found:#?}");
        assert!(found.iter().all(|mistake| mistake.contains("only letters, digits and +/=_- is refused")));
    }
}

#[test]
fn a_handshake_can_be_met() {
    for (conditions, want) in [
        (r#"when = { "json:a" = "" }"#, "when: an empty json:a counts as missing"),
        ("present = \"json:a\"\nabsent = \"json:a\"", "absent: other conditions need json:a"),
        (
            "when = { \"json:a\" = \"1\" }\nabsent = \"json:a|json:b\"",
            "absent: other conditions need json:a|json:b",
        ),
        ("present = \"json:a>json:b\"\nabsent = \"json:a\"", "absent: other conditions need json:a"),
        (r#"present = "header:X-Scf-A""#, "present: no request has header:X-Scf-A"),
        (r#"present = "sigkv:a""#, "present: no request has sigkv:a"),
        (r#"when = { "item:a" = "1" }"#, "when: no request has item:a"),
        ("before_verify = true\npresent = \"decrypted:a\"", "present: no request has decrypted:a"),
    ] {
        let found = mistakes(&format!("{SOUND}[[handshake]]\nstatus = 200\n{conditions}"));
        assert!(found.len() == 1 && found[0].contains(&format!("handshake[0].{want}")), "{want}: {found:#?}");
    }
}
