//! The TDMQ client over real sockets.

mod queue_support;

use hookmq_shared::queue::Queue as _;
use hookmq_shared::queue::tdmq::Client;
use queue_support::{Server, Wall, context, message, ok, seconds};

const STORED: &str = r#"{"Response":{"MessageId":"71:11:0:0","ErrorMsg":"","RequestId":"r-1"}}"#;

fn vars(url: &str) -> Vec<(&str, &str)> {
    vec![
        ("TDMQ_ENDPOINT", url),
        ("TDMQ_REGION", "ap-guangzhou"),
        ("TENCENTCLOUD_SECRET_ID", "AKIDEXAMPLE"),
        ("TENCENTCLOUD_SECRET_KEY", "KEYEXAMPLE"),
    ]
}

fn client(url: &str) -> Client {
    Client::new(context(&vars(url), Wall::new().clock()))
}

#[tokio::test]
async fn a_message_is_stored() {
    let server = Server::start([ok(STORED), ok(STORED)]).await;
    let client = client(&server.url);
    let message = message("pulsar-a/ns/t", "hello");
    let receipt = client.send(&message, seconds(10)).await.unwrap();
    assert_eq!((receipt.message_id.as_str(), receipt.attempts), ("71:11:0:0", 1));
    assert_eq!(receipt.request_id.as_deref(), Some("r-1"));
    client.clone().send(&message, seconds(10)).await.unwrap();
    assert_eq!(server.connections(), 1, "kept alive");
}
