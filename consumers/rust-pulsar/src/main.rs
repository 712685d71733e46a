//! Reads hookmq's messages with Pulsar's client for Rust: Pulsar 2.8 to 4.x, TDMQ for Pulsar. Tried with 4.0.7.
//!
//!     SERVICE_URL=pulsar://127.0.0.1:6650 TOPIC=persistent://public/default/github cargo run
//!
//! Replace `handle`. Settings are environment variables; docs/consumers.md of hookmq explains them. The build needs
//! protoc.
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use cloudevents::{AttributesReader, Event};
use futures::TryStreamExt;
use pulsar::consumer::{ConsumerOptions, DeadLetterPolicy, InitialPosition};
use pulsar::{Authentication, Consumer, Pulsar, SubType, TokioExecutor};
use rusqlite::{Connection, params};

type Failure = Box<dyn std::error::Error>;

const LEASE_MS: i64 = 60_000; // longer than `handle` takes
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS seen (source TEXT, id TEXT, lease BIGINT, done BIGINT DEFAULT 0,
    PRIMARY KEY (source, id))"; // keep rows for 75 hours
// PostgreSQL takes the same statements. With `lease TIMESTAMPTZ` and the database's clock this one is
// … VALUES ($1, $2, now() + interval '60 s') … WHERE seen.done = 0 AND seen.lease < now()
const LEASE: &str = "INSERT INTO seen (source, id, lease) VALUES ($1, $2, $3) ON CONFLICT (source, id)
    DO UPDATE SET lease = excluded.lease WHERE seen.done = 0 AND seen.lease < $4";
const REPEAT: &str = "UPDATE seen SET lease = 0 WHERE source = $1 AND id = $2 AND done > 0";
const DONE: &str = "UPDATE seen SET done = $1 WHERE source = $2 AND id = $3";
const FREE: &str = "UPDATE seen SET lease = 0 WHERE source = $1 AND id = $2 AND lease = $3";

/// Does your own work. Returns `Ok` when it is done, and an error if the message shall come again.
async fn handle(event: &Event, data: &[u8]) -> Result<(), Failure> {
    let _ = data;
    println!("{} {} {}", event.ty(), event.id(), event.subject().unwrap_or("-"));
    Ok(())
}

/// Returns the event without its data, and the bytes of the data as they stand in the message.
fn read(text: &[u8], properties: &BTreeMap<String, String>) -> Result<(Event, Vec<u8>), Failure> {
    if properties.contains_key("ce_specversion") {
        // `format = "raw"`: the text is the data.
        let named = properties.iter().filter_map(|(name, value)| Some((name.strip_prefix("ce_")?, value)));
        let head = serde_json::to_value(named.collect::<BTreeMap<_, _>>())?;
        return Ok((serde_json::from_value(head)?, text.to_vec()));
    }
    // The data is the last member. Whoever parses it loses its white space, its large numbers and repeated names.
    let text = std::str::from_utf8(text)?;
    let Some((head, member)) = text.strip_suffix('}').and_then(|text| text.split_once(",\"data\":")) else {
        let mut event: Event = serde_json::from_str(text)?;
        let data = event.take_data().2.map(Vec::try_from).transpose()?;
        return Ok((event, data.unwrap_or_default()));
    };
    let head: serde_json::Value = serde_json::from_str(&format!("{head}}}"))?;
    let kind = head["datacontenttype"].as_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    let is_json = kind.ends_with("/json") || kind.ends_with("+json");
    let data = if is_json { member.to_owned() } else { serde_json::from_str(member)? };
    Ok((serde_json::from_value(head)?, data.into_bytes()))
}

/// Gets a body that was too large: `DATAREF_PREFIX=s3://BUCKET/` is found at `DATAREF_BASE=https://…`
async fn fetch(reference: &str) -> Result<Vec<u8>, Failure> {
    let base = env("DATAREF_BASE", "");
    let key = reference.strip_prefix(&env("DATAREF_PREFIX", "s3://")).unwrap_or("..");
    let is_plain =
        key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./-".contains(&b)) && !key.contains("..");
    if !base.starts_with("https://") || !is_plain {
        return Err(format!("refused {reference}: see DATAREF_PREFIX and DATAREF_BASE").into());
    }
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    Ok(client.get(base + key).send().await?.error_for_status()?.bytes().await?.to_vec())
}

/// Returns true if the message is to be acknowledged; otherwise it comes again.
async fn take(
    database: &Connection,
    text: &[u8],
    properties: &BTreeMap<String, String>,
) -> Result<bool, Failure> {
    let (event, mut data) = read(text, properties)?;
    let (source, id) = (event.source().to_string(), event.id());
    let verified = event.extension("webhookverified").map(ToString::to_string).unwrap_or_default();
    if verified != env("WEBHOOK_VERIFIED", "body") {
        return Err(format!("refused {id}: webhookverified is {verified}").into());
    }
    let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed()?.as_millis())?;
    let lease = now + LEASE_MS;
    if database.execute(LEASE, params![source, id, lease, now])? == 0 {
        let is_done = database.execute(REPEAT, params![source, id])? == 1;
        if is_done {
            eprintln!("repeat {id}")
        } // else another consumer is at work on it
        return Ok(is_done);
    }
    let work = async {
        if let Some(reference) = event.extension("dataref") {
            data = fetch(&reference.to_string()).await?
        }
        handle(&event, &data).await?;
        Ok(database.execute(DONE, params![now, source, id])? == 1)
    };
    let result = work.await;
    database.execute(FREE, params![source, id, lease])?; // after a failure the next attempt need not wait
    result
}

fn env(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let database = Connection::open(env("DATABASE", "seen.db"))?;
    database.execute(TABLE, [])?;
    let topic = env("TOPIC", "webhooks");
    let mut client = Pulsar::builder(env("SERVICE_URL", "pulsar://127.0.0.1:6650"), TokioExecutor);
    if let Ok(token) = std::env::var("TOKEN") {
        client = client.with_auth(Authentication { name: "token".into(), data: token.into_bytes() });
    }
    let options = ConsumerOptions { initial_position: InitialPosition::Earliest, ..Default::default() };
    let dead = DeadLetterPolicy { max_redeliver_count: 16, dead_letter_topic: format!("{topic}-DLQ") };
    let mut consumer: Consumer<Vec<u8>, _> = client
        .build()
        .await?
        .consumer()
        .with_topic(topic)
        .with_subscription(env("GROUP", "webhooks"))
        .with_subscription_type(SubType::Shared)
        .with_options(options)
        .with_dead_letter_policy(dead)
        .build()
        .await?;
    while let Some(message) = consumer.try_next().await? {
        let named = message.metadata().properties.iter().map(|pair| (pair.key.clone(), pair.value.clone()));
        match take(&database, &message.payload.data, &named.collect()).await {
            Ok(true) => consumer.ack(&message).await?,
            Ok(false) => consumer.nack(&message).await?,
            Err(failure) => {
                eprintln!("{failure}");
                consumer.nack(&message).await?
            }
        }
    }
    Ok(())
}
