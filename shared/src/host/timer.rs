//! Events of a schedule, which may ask the redriver for one shard in the text of their trigger.
//!
//! | | place of the text |
//! |---|---|
//! | `EventBridge` Scheduler | the event itself, the schedule's `Input` |
//! | Tencent SCF's timer | `Message`, the trigger's additional information |
//! | FunctionGraph's timer | `user_event` |
//!
//! The text is `3/8`, or the JSON `{"shard":"3/8"}`. That JSON may also be the whole event on every cloud,
//! for a run that a person starts. An empty text asks for no shard. A text that names no valid shard is an
//! error: its author meant a shard, and a run of the whole store would send everything once per trigger.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::time::Instant;

use super::cloud::Cloud;
use super::job::{Job, Order};
use crate::json;
use crate::shard::{Shard, ShardError};

/// Errors in an event's choice of a shard. They never quote the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum TimerError {
    /// User action: invoke the function with JSON.
    #[error("the event is not a readable JSON object: write {{}} or {{\"shard\":\"3/8\"}}")]
    NotJson,
    /// User action: correct the trigger's text as the error says.
    #[error("the trigger's text {0}")]
    Shard(#[from] ShardError),
}

/// Field of an event that every cloud has.
#[derive(Deserialize)]
struct Asked {
    #[serde(default, deserialize_with = "present")]
    shard: Option<Value>,
}

/// Deserializes a field that is present, even as null: its author means something.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Runs the job once for an event; an error is a function error's type and message.
pub(super) async fn run<J: Job>(
    job: &J,
    cloud: &Cloud,
    event: Option<&str>,
    deadline: Instant,
) -> Result<Value, (&'static str, String)> {
    let asked = event.ok_or(TimerError::NotJson).and_then(|event| shard(cloud, event));
    let shard = asked.map_err(|error| ("Redrive.NoShard", error.to_string()))?;
    // Boxed: the future of a run is too deep a type to nest in another one.
    Box::pin(job.run(Order::due(shard), deadline)).await.map_err(|error| ("Redrive.Failed", error))
}

/// Returns the shard that an event asks for; `None` if it asks for no shard.
fn shard(cloud: &Cloud, event: &str) -> Result<Option<Shard>, TimerError> {
    // A function may be invoked with an empty event.
    if event.trim().is_empty() {
        return Ok(None);
    }
    let asked: Option<Asked> = match event.trim_start().as_bytes().first() {
        Some(b'{' | b'n') => serde_json::from_str(event).map_err(|_| TimerError::NotJson)?,
        _ => return Err(TimerError::NotJson),
    };
    let Some(Asked { shard }) = asked else { return Ok(None) };
    if let Some(shard) = shard {
        return Ok(Some(Shard::parse(shard.as_str().ok_or(ShardError::Form)?)?));
    }
    let text = match cloud.timer_text {
        Some(member) => json::find(event.as_bytes(), member).map_err(|_| TimerError::NotJson)?,
        None => None,
    };
    match text.and_then(|raw| serde_json::from_str::<Option<Value>>(raw.get()).ok().flatten()) {
        None => Ok(None),
        Some(Value::String(text)) => written(cloud, text.trim()),
        Some(_) => Err(ShardError::Form.into()),
    }
}

/// Parses the text of a timer; `None` if it asks for no shard.
fn written(cloud: &Cloud, text: &str) -> Result<Option<Shard>, TimerError> {
    if text.is_empty() || cloud.whole_store == Some(text) {
        return Ok(None);
    }
    if !text.starts_with('{') {
        return Ok(Some(Shard::parse(text)?));
    }
    let inner: Asked = serde_json::from_str(text).map_err(|_| ShardError::Form)?;
    let text = inner.shard.as_ref().and_then(Value::as_str).ok_or(ShardError::Form)?;
    Ok(Some(Shard::parse(text)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::cloud::{AWS, CLOUDS, FUNCTION_GRAPH, SCF};
    use super::super::job::doubles::Noting;
    use super::*;

    fn three_of_eight() -> Shard {
        Shard::parse("3/8").unwrap()
    }

    fn scf(message: &Value) -> Value {
        json!({"Type": "Timer", "TriggerName": "t", "Time": "2026-11-22T11:49:00Z", "Message": message})
    }

    fn functiongraph(user_event: &Value) -> Value {
        json!({
            "version": "v1.0", "time": "2026-11-22T08:30:00+08:00", "trigger_type": "TIMER",
            "trigger_name": "t", "user_event": user_event,
        })
    }

    #[tokio::test]
    async fn an_event_runs_what_it_asks_for_or_nothing() {
        let job = Noting::default();
        let run = async |event| run(&job, &AWS, event, Instant::now()).await;
        assert_eq!(run(Some(r#"{"shard":"3/8"}"#)).await, Ok(Value::Null));
        assert_eq!(run(Some("{}")).await, Ok(Value::Null));
        for wrong in [Some(r#"{"shard":"8/8"}"#), Some("3/8"), None] {
            assert_eq!(run(wrong).await.unwrap_err().0, "Redrive.NoShard", "{wrong:?}");
        }
        assert_eq!(job.orders(), [Order::due(Some(three_of_eight())), Order::due(None)]);
    }

    #[test]
    fn each_clouds_text_names_the_shard() {
        for text in ["3/8", " 3/8\n", "{\"shard\":\"3/8\"}", " { \"shard\" : \"3/8\" } "] {
            let text = json!(text);
            assert_eq!(shard(&SCF, &scf(&text).to_string()), Ok(Some(three_of_eight())), "{text}");
            let event = functiongraph(&text).to_string();
            assert_eq!(shard(&FUNCTION_GRAPH, &event), Ok(Some(three_of_eight())), "{text}");
        }
        for cloud in CLOUDS {
            assert_eq!(shard(cloud, r#"{"shard":"3/8"}"#), Ok(Some(three_of_eight())), "{cloud:?}");
            let both = r#"{"shard":"3/8","Message":"0/2","user_event":"0/2"}"#;
            assert_eq!(shard(cloud, both), Ok(Some(three_of_eight())), "{cloud:?}");
        }
    }

    #[test]
    fn no_text_names_none() {
        // A schedule without an `Input` of its own sends this event.
        let scheduler = r#"{"version":"0","id":"0b1f5e2c-9d0a-4c58-9a1e-3f6d7c2b8a10","detail":"{}",
            "detail-type":"Scheduled Event","source":"aws.scheduler","account":"123456789012",
            "time":"2026-11-24T08:00:00Z","region":"eu-central-1","resources":[]}"#;
        for event in ["", " ", "{}", "null", scheduler] {
            for cloud in CLOUDS {
                assert_eq!(shard(cloud, event), Ok(None), "{cloud:?} {event}");
            }
        }
        for text in [json!(""), json!(" "), Value::Null] {
            assert_eq!(shard(&SCF, &scf(&text).to_string()), Ok(None), "{text}");
            let event = functiongraph(&text).to_string();
            assert_eq!(shard(&FUNCTION_GRAPH, &event), Ok(None), "{text}");
        }
        assert_eq!(shard(&FUNCTION_GRAPH, &functiongraph(&json!("redrive")).to_string()), Ok(None));
        // A field of another cloud is ignored.
        assert_eq!(shard(&AWS, r#"{"Message":"x","user_event":"x"}"#), Ok(None));
        assert_eq!(shard(&SCF, r#"{"user_event":"x"}"#), Ok(None));
    }

    /// A wrong text never causes a silent run of the whole store.
    #[test]
    fn a_wrong_text_is_an_error_that_says_what_to_write() {
        for text in [
            json!("redriv"),
            json!("8/8"),
            json!("3"),
            json!("{\"shard\":\"3\"}"),
            json!("{\"shards\":\"3/8\"}"),
            json!("{\"shard\":\"3/8\""),
            json!("{\"shard\":\"3/8\",\"shard\":\"4/8\"}"),
            json!("{}"),
            json!(3),
            json!(true),
            json!(["3/8"]),
            json!({"shard": "3/8"}),
        ] {
            for (cloud, event) in [(&SCF, scf(&text)), (&FUNCTION_GRAPH, functiongraph(&text))] {
                let error = shard(cloud, &event.to_string()).unwrap_err();
                assert!(matches!(error, TimerError::Shard(_)), "{text}: {error}");
                assert!(
                    error.to_string().starts_with("the trigger's text does not name a shard: "),
                    "{error}"
                );
            }
        }
        for event in [
            r#"{"shard":null}"#,
            r#"{"shard":3}"#,
            r#"{"shard":""}"#,
            r#"{"shard":"3/7"}"#,
            r#"{"shard":["3/8"]}"#,
            r#"{"shard":"3/8","shard":"3/8"}"#,
            r#"["3/8"]"#,
            r#""3/8""#,
            "3/8",
            "3",
            "nul",
            "{",
        ] {
            for cloud in CLOUDS {
                let error = shard(cloud, event).unwrap_err().to_string();
                assert!(error.contains("write"), "{event}: {error}");
            }
        }
        assert_eq!(shard(&SCF, &scf(&json!("redrive")).to_string()), Err(ShardError::Form.into()));
    }
}
