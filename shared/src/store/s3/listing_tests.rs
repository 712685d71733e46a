//! Tests of `listing`.

use super::*;

fn page(is_truncated: &str, keys: &[&str]) -> String {
    let object = |key: &&str| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2023-11-14T22:13:20.000Z</LastModified>\
                 <ETag>&#34;x&#34;</ETag><Size>7</Size><Owner><ID>&#39;</ID></Owner></Contents>"
        )
    };
    let objects: String = keys.iter().map(object).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3\"><Name>b</Name>\
             <IsTruncated>{is_truncated}</IsTruncated>{objects}<CommonPrefixes/></ListBucketResult>"
    )
}

fn names(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.name.as_str()).collect()
}

fn listing(body: &str, prefix: &str, marker: Option<&str>) -> Listing {
    read(body.as_bytes(), "p/", prefix, marker).unwrap()
}

#[test]
fn a_page_is_read() {
    let body = page("true", &["p/a/0", "p/a/1"]);
    let found = listing(&body, "", None);
    assert_eq!(names(&found.page), ["a/0", "a/1"]);
    assert_eq!((found.page.next.as_deref(), found.unreadable), (Some("p/a/1"), 0));
    assert_eq!(found.page.entries[0].size, 7);
    assert_eq!(found.page.entries[0].modified, Timestamp::from_unix(1_700_000_000));
    assert_eq!(listing(&body, "a/", None), found);
    let body = page("false", &[]);
    assert_eq!(read(body.as_bytes(), "", "", Some("a")).unwrap().page, Page::default());
}

#[test]
fn what_is_not_ours_is_passed_over_but_goes_on_from() {
    let body = page("true", &["p/", "p/.x", "p/B", "p/a", "p/a b&amp;c&#13;&#x41;"]);
    let found = listing(&body, "", None);
    assert_eq!((names(&found.page), found.unreadable), (vec!["a"], 0));
    let example = Some(".x".to_owned());
    assert_eq!(found.page.foreign, Foreign { count: 3, example }, "a folder's mark is nobody's mistake");
    assert_eq!(found.page.next.as_deref(), Some("p/a b&c\rA"));
}

#[test]
fn an_order_of_its_own_is_taken_as_it_comes() {
    let body = page("true", &["p/c", "p/a", "p/b", "p/a"]);
    for marker in [None, Some("p/d"), Some("p/0"), Some("p/c")] {
        let found = listing(&body, "", marker);
        assert_eq!(names(&found.page), ["a", "b", "c"]);
        assert_eq!(found.page.next.as_deref(), Some("p/a"), "the last one as it came");
    }
    let own = body.replace("<Contents>", "<NextMarker>token&amp;1</NextMarker><Contents>");
    let own = own.replacen("<NextMarker>token&amp;1</NextMarker>", "", 3);
    assert_eq!(listing(&own, "", Some("p/a")).page.next.as_deref(), Some("token&1"));
    // The store's token is empty.
    let empty = own.replace("token&amp;1", "");
    assert_eq!(listing(&empty, "", None).page.next.as_deref(), Some("p/a"));
}

#[test]
fn a_listing_that_does_not_go_on_is_refused() {
    let body = page("true", &["p/a", "p/b"]);
    assert!(read(body.as_bytes(), "p/", "", Some("p/b")).is_err());
    let own = body.replace("<IsTruncated>", "<NextMarker>t</NextMarker><IsTruncated>");
    assert!(read(own.as_bytes(), "p/", "", Some("t")).is_err());
    assert!(read(page("true", &[]).as_bytes(), "p/", "", None).is_err());
    // An empty page with a token is accepted.
    let empty = page("true", &[]).replace("<IsTruncated>", "<NextMarker>t</NextMarker><IsTruncated>");
    assert_eq!(listing(&empty, "", Some("s")).page, Page { next: Some("t".to_owned()), ..Page::default() });
}

#[test]
fn one_entry_that_cannot_be_read_hides_none() {
    let with = |text: &str, with: &str| page("false", &["p/a", "p/b"]).replacen(text, with, 1);
    for (body, want, unreadable) in [
        (with("<Key>p/a", "<Key>q/a"), &["b"][..], 1),
        (with("<Key>p/a", "<Key>p/&bogus;"), &["b"], 1),
        (with("<Key>p/a", "<Key>p/&#xffffffff;"), &["b"], 1),
        (with("<Key>p/a", "<Key>p/<x>y</x>"), &["b"], 1),
        (with("<Key>p/a</Key>", ""), &["b"], 1),
        (with("<Key>p/a</Key>", "<Key>p/a</Key><Key>p/c</Key>"), &["b"], 1),
        (with("<Size>7</Size>", "<Size>-7</Size>"), &["a", "b"], 1),
        (with("<Size>7</Size>", ""), &["a", "b"], 1),
        (with("2023-11-14T22:13:20.000Z", "yesterday"), &["a", "b"], 1),
        (with("<LastModified>2023-11-14T22:13:20.000Z</LastModified>", ""), &["a", "b"], 1),
    ] {
        let found = listing(&body, "", None);
        assert_eq!((names(&found.page), found.unreadable), (want.to_vec(), unreadable), "{body}");
    }
    let found = listing(&with("2023-11-14T22:13:20.000Z", "yesterday"), "", None);
    assert_eq!(found.page.entries[0].modified, Timestamp::from_unix(0));
    let body = page("false", &["p/a", "p/\u{1}"]).replace('\u{1}', "\u{e000}").into_bytes();
    let body: Vec<u8> = body.into_iter().map(|b| if b == 0xee { 0xff } else { b }).collect();
    assert_eq!(names(&read(&body, "p/", "", None).unwrap().page), ["a"]);
}

#[test]
fn folders_are_told_from_objects() {
    let common = |folder: &str| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>");
    let folders = common("p/x/b/") + &common("p/x/A/") + &common("p/x/c/") + &common("q/");
    let body = page("true", &["p/x/a"]).replace("<CommonPrefixes/>", &folders);
    let found = listing(&body, "x/", None);
    assert_eq!(found.folders, ["b", "c"]);
    assert_eq!(found.page.foreign, Foreign { count: 1, example: Some("x/A/".to_owned()) });
    assert_eq!((names(&found.page), found.page.next.as_deref()), (vec!["x/a"], Some("q/")));
}

#[test]
fn what_is_no_listing_is_refused() {
    for body in [
        String::new(),
        "{}".to_owned(),
        "<html></html>".to_owned(),
        "<ListBucketResult></ListBucketResult>".to_owned(),
        "<Error><IsTruncated>false</IsTruncated></Error>".to_owned(),
        page("maybe", &["p/a"]),
        page("false", &["p/a"]).replace("</ListBucketResult>", ""),
        page("false", &["p/a"])
            .replace("</ListBucketResult>", "<IsTruncated>false</IsTruncated></ListBucketResult>"),
    ] {
        assert!(read(body.as_bytes(), "p/", "", None).is_err(), "{body}");
    }
    assert!(read(b"\xff", "p/", "", None).is_err());
}
