//! Tests of `hops`.

use super::*;

fn hops(text: &str) -> Hops {
    Hops::from_env(&Env::of([(VARIABLE, text)])).unwrap()
}

/// Returns the sender of a request with these fields from 10.0.0.1, with `10.0.0.0/8` and `fd00::/8`
/// trusted.
fn sender(fields: &[(&str, &str)]) -> Option<String> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let sender = hops("10.0.0.0/8 fd00::/8").sender("10.0.0.1".parse().unwrap(), &headers);
    sender.map(|address| address.to_string())
}

#[test]
fn the_variable_names_ranges_or_nobody() {
    let of = |text: &str| Hops::from_env(&Env::of([(VARIABLE, text)]));
    assert_eq!(of(""), Ok(Hops::Unknown));
    assert_eq!(of(" None "), Ok(Hops::None));
    let ranges = ["10.0.0.0/8", "2001:db8::1"].map(|text| Cidr::parse(text).unwrap());
    for text in ["10.0.0.0/8,2001:db8::1", "10.0.0.0/8 , 2001:db8::1,", "10.0.0.0/8 2001:db8::1"] {
        assert_eq!(of(text), Ok(Hops::At(ranges.to_vec())), "{text}");
    }
    for wrong in ["proxy.example", "none, 10.0.0.1", "10.0.0.1/8", "0.0.0.0/0", ",", "10.0.0.1:80", "*"] {
        assert_eq!(of(wrong).unwrap_err().variable, VARIABLE, "{wrong}");
    }
}

#[test]
fn whoever_is_not_trusted_is_the_sender_whatever_it_writes() {
    let mut headers = HeaderMap::new();
    headers.append("x-forwarded-for", "203.0.113.9".parse().unwrap());
    headers.append("forwarded", "for=203.0.113.9".parse().unwrap());
    for (text, peer) in
        [("", "10.0.0.1"), ("none", "10.0.0.1"), ("10.0.0.0/8", "192.0.2.1"), ("::1", "127.0.0.1")]
    {
        let peer = peer.parse().unwrap();
        assert_eq!(hops(text).sender(peer, &headers), Some(peer), "{text}");
    }
    let mapped = "::ffff:10.0.0.1".parse().unwrap();
    assert_eq!(hops("10.0.0.1").sender(mapped, &headers), "203.0.113.9".parse().ok());
}

#[test]
fn the_last_foreign_address_counts() {
    let (plain, forwarded) = ("X-Forwarded-For", "Forwarded");
    for (fields, want) in [
        (&[(plain, "192.0.2.1")][..], "192.0.2.1"),
        (&[(plain, "203.0.113.9, 192.0.2.1")], "192.0.2.1"),
        (&[(plain, "203.0.113.9,192.0.2.1 , 10.9.9.9,10.0.0.2")], "192.0.2.1"),
        (&[(plain, "203.0.113.9"), (plain, "192.0.2.1")], "192.0.2.1"),
        (&[(plain, "203.0.113.9"), (plain, "192.0.2.1"), (plain, "10.0.0.2")], "192.0.2.1"),
        (&[(plain, "unknown, nonsense, 192.0.2.1")], "192.0.2.1"),
        (&[(plain, "192.0.2.1:4711")], "192.0.2.1"),
        (&[(plain, "2001:db8::1")], "2001:db8::1"),
        (&[(plain, "[2001:db8::1]")], "2001:db8::1"),
        (&[(plain, "[2001:db8::1]:4711, fd00::1")], "2001:db8::1"),
        (&[(plain, "::ffff:192.0.2.1, ::ffff:10.0.0.2")], "192.0.2.1"),
        (&[(forwarded, "for=192.0.2.1")], "192.0.2.1"),
        (
            &[(forwarded, "for=203.0.113.9;by=_x, For=\"192.0.2.1:4711\";proto=https ; by=10.0.0.1")],
            "192.0.2.1",
        ),
        (&[(forwarded, "proto=http;for=\"[2001:db8:cafe::17]:4711\"")], "2001:db8:cafe::17"),
        (&[(forwarded, "for=203.0.113.9"), (forwarded, "for=192.0.2.1, for=10.0.0.2")], "192.0.2.1"),
        // A quotation mark that a sender left open ends with its line.
        (&[(forwarded, "for=\"203.0.113.9"), (forwarded, "for=192.0.2.1")], "192.0.2.1"),
        (&[(plain, "203.0.113.9, 192.0.2.1"), (forwarded, "for=192.0.2.1")], "192.0.2.1"),
    ] {
        assert_eq!(sender(fields).as_deref(), Some(want), "{fields:?}");
    }
}

#[test]
fn in_doubt_there_is_no_address() {
    let (plain, forwarded) = ("X-Forwarded-For", "Forwarded");
    for fields in [
        &[][..],
        &[("X-Real-IP", "203.0.113.9")],
        &[(plain, "")],
        &[(plain, "10.0.0.2")],
        &[(plain, "203.0.113.9,")],
        &[(plain, "203.0.113.9, unknown")],
        &[(plain, "203.0.113.9, unknown, 10.0.0.2")],
        &[(plain, "203.0.113.9"), (plain, "")],
        &[(plain, "203.0.113.9:x")],
        &[(plain, "203.0.113.9:99999")],
        &[(plain, "[203.0.113.9]")],
        &[(plain, "2001:db8::1%eth0")],
        &[(plain, "\"203.0.113.9\"")],
        &[(plain, "203.0.113.09")],
        &[(forwarded, "203.0.113.9")],
        &[(forwarded, "by=203.0.113.9")],
        &[(forwarded, "for=203.0.113.9, by=10.0.0.1")],
        &[(forwarded, "for=203.0.113.9;for=192.0.2.1")],
        &[(forwarded, "for=203.0.113.9,")],
        &[(forwarded, "for=203.0.113.9;")],
        &[(forwarded, "for=unknown")],
        &[(forwarded, "for=_hidden")],
        &[(forwarded, "for=203.0.113.9, for=\"192.0.2.1")],
        // The open quotation mark swallows the hop that the proxy appended.
        &[(forwarded, "for=203.0.113.9, host=\", for=192.0.2.1;host=\"h\"")],
        &[(forwarded, "for=203.0.113.9, host=\"\\\", for=192.0.2.1;host=\"h\"")],
        &[(forwarded, "for=\"203.0.113.9\"x")],
        // The proxy wrote one of the fields, but it is unknown which one.
        &[(plain, "203.0.113.9"), (forwarded, "for=192.0.2.1")],
        &[(plain, "192.0.2.1"), (forwarded, "for=203.0.113.9")],
        &[(plain, "192.0.2.1"), (forwarded, "")],
        &[(plain, "10.0.0.2"), (forwarded, "for=10.0.0.2")],
    ] {
        assert_eq!(sender(fields), None, "{fields:?}");
    }
}
