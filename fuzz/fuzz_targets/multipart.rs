//! Fuzz target for a text field of a form of several parts: the first line is its name, the second the boundary of
//! the content type, the rest the body. A value that is read is the only one that another reader, which goes by the
//! content type, finds under that name.
#![no_main]

use std::convert::Infallible;
use std::sync::OnceLock;

use hookmq_shared::http::{Headers, Request};
use hookmq_shared::source::fuzzing::read;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

/// Returns the values of the text fields with this name, or `None` if the reader refuses the body.
async fn values(name: &str, boundary: &str, body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let body = body.to_vec();
    let stream = futures_util::stream::once(async move { Ok::<_, Infallible>(body) });
    let mut form = multer::Multipart::new(stream, boundary);
    let mut values = Vec::new();
    while let Some(field) = form.next_field().await.ok()? {
        let is_wanted = field.name() == Some(name) && field.file_name().is_none();
        let value = field.bytes().await.ok()?;
        if is_wanted {
            values.push(value.to_vec());
        }
    }
    Some(values)
}

fuzz_target!(|text: &[u8]| {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let mut lines = text.splitn(3, |byte| *byte == b'\n');
    let (Some(Ok(name)), Some(Ok(boundary)), Some(body)) =
        (lines.next().map(std::str::from_utf8), lines.next().map(std::str::from_utf8), lines.next())
    else {
        return;
    };
    // What ends the quotes would be another parameter, and the boundary another one.
    if boundary.contains(['"', ';']) {
        return;
    }
    let mut headers = Headers::new();
    headers.push("content-type", format!("multipart/form-data; boundary=\"{boundary}\""));
    let request = Request {
        method: "POST".to_owned(),
        path: "/h".to_owned(),
        raw_query: String::new(),
        headers,
        body: body.to_vec().into(),
        request_id: String::new(),
        deadline: None,
        received: tokio::time::Instant::now(),
        source_ip: None,
    };
    let Some(Ok(found)) = read(&format!("form:{name}"), &request) else { return };
    // A body that does not begin with a boundary is read as pairs, and only of another type.
    assert!(body.starts_with(format!("--{boundary}\r\n").as_bytes()));
    let runtime = RUNTIME.get_or_init(|| tokio::runtime::Builder::new_current_thread().build().unwrap());
    // A name with a word that combines fields is more than one place.
    if name.contains(['{', '|', '=', '>', '#']) {
        return;
    }
    if let Some(values) = runtime.block_on(values(name, boundary, body)) {
        assert_eq!(values, [found]);
    }
});
