//! Robustness: no input from a client stops the emulator.

use crate::kit::*;
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Generates JSON that resembles the services' own.
fn odd_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("password")),
    ];
    let names =
        ["Topic", "Payload", "topic", "body", "property_list", "name", "value", "auth", "identity", "scope"];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(names.to_vec()), inner, 0..5)
                .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

#[tokio::test]
async fn odd_bodies_signed_rightly_are_answered() {
    let emulator = start().await;
    let mut runner = TestRunner::deterministic();
    for _ in 0..200 {
        let body = odd_json().new_tree(&mut runner).unwrap().current();
        assert_eq!(tdmq_signed(tdmq_unsigned(&emulator, &body)).send(&emulator).await.status, 200, "{body}");
        let status = dms_signed(dms_unsigned(&emulator, &body)).send(&emulator).await.status;
        assert!(status == 200 || status == 400, "{status}: {body}");
        let status = iam(&emulator, &body).send(&emulator).await.status;
        assert!(status == 400 || status == 401, "{status}: {body}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_request_end_their_connection_only() {
    let emulator = start().await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    let many = format!("POST / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    for bytes in [
        &b"\0\xff\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nAuthorization: \xff\xfe\r\nX-TC-Action: \xff\r\nContent-Length: 0\r\n\r\n",
        b"POST http://[::1]/v2/%ff/%00/?%zz=%&= HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        long.as_bytes(),
        many.as_bytes(),
    ] {
        let mut stream = TcpStream::connect(emulator.addr()).await.unwrap();
        // The server may close the connection during the write, which is a valid answer too.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        assert_eq!(tdmq(&emulator, "x").send(&emulator).await.code(), "none");
    }
    assert!(emulator.messages().iter().all(|message| message.text == "x"));
}
