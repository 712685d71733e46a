//! Tests of `error`.

use super::*;

#[test]
fn the_table_is_sorted_for_its_search() {
    assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
    assert!(EVERYWHERE.is_sorted());
}

#[test]
fn unknown_codes_are_of_their_status() {
    for (status, class, maybe) in [
        (400, Class::Config, false),
        (401, Class::Auth, false),
        (403, Class::Permission, false),
        (404, Class::Config, false),
        (405, Class::Config, false),
        (408, Class::Ambiguous, true),
        (402, Class::Quota, false),
        (407, Class::Config, false),
        (409, Class::Transient, false),
        (413, Class::TooLarge, false),
        (414, Class::Config, false),
        (418, Class::Config, false),
        (423, Class::Transient, false),
        (425, Class::Transient, false),
        (429, Class::Throttle, false),
        (431, Class::Config, false),
        (494, Class::Config, false),
        (500, Class::Transient, true),
        (501, Class::Config, false),
        (502, Class::Transient, true),
        (503, Class::Transient, true),
        (504, Class::Ambiguous, true),
        (302, Class::Transient, false),
        (200, Class::Transient, true),
    ] {
        assert_eq!(classify(status, "DMS.99999999", "new"), (class, maybe), "{status}");
    }
    assert_eq!(classify(200, "DMS.00404022", ""), (Class::Config, false));
    assert_eq!(classify(200, "DMS.00400002", ""), (Class::Config, false));
    assert_eq!(classify(200, "401", ""), (Class::Auth, false));
}

#[test]
fn one_code_has_many_texts() {
    for (text, class) in [
        ("verify aksk signature fail", Class::Auth),
        ("signature expired, signature time:20240102T030405Z,server time:20240102T040405Z", Class::ClockSkew),
        ("Get secretKey failed,ak:AK,err:ak not exist", Class::Auth),
        ("AK access failed to reach the limit,forbidden.", Class::Auth),
        ("decrypt token fail", Class::Auth),
        ("token expires, expires_at=2024-01-02", Class::AuthRefresh),
    ] {
        let text = format!("Incorrect IAM authentication information: {text}");
        assert_eq!(classify(401, "APIGW.0301", &text), (class, false), "{text}");
    }
}
