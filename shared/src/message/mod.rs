//! Messages that are made of deliveries and stored by a queue.
//!
//! A delivery becomes one text: a CloudEvents envelope, or the body itself (`format = "raw"`). The delivery
//! id travels inside the message, so that a consumer can detect a repeat: neither vendor's API has a field
//! for the id.

mod envelope;
mod template;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::delivery::Delivery;
use crate::json;
pub use template::{Place, Placeholder, RenderError, Template, TemplateError};

/// Upper bound on the text of a message, in bytes of UTF-8: no queue takes more.
pub const MAX_TEXT: usize = 4 << 20;

/// Format of a message's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// JSON object of CloudEvents 1.0.
    #[default]
    CloudEvents,
    /// Body of the delivery and nothing else.
    Raw,
}

/// Message ready for a queue. It is stored in the same form while it waits in the spill store.
///
/// ```
/// use hookmq_shared::context::Context;
/// use hookmq_shared::message::Message;
/// use hookmq_shared::queue::{Class, Client, Queue as _, Vendor};
///
/// let message = Message {
///     id: "42".to_owned(),
///     topic: "tenant/webhooks/orders".to_owned(),
///     text: r#"{"order":42}"#.to_owned(),
///     key: None,
///     tag: None,
///     properties: Vec::new(),
/// };
/// // The limits of a vendor are checked before anything is sent.
/// let queue = Client::new(Vendor::Tdmq, Context::system());
/// queue.takes(&message)?;
///
/// let large = Message { text: "a".repeat(16 << 20), ..message };
/// assert!(queue.takes(&large).is_err_and(|error| error.class == Class::TooLarge));
/// # Ok::<(), hookmq_shared::queue::SendError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Id of the delivery: the same on every attempt and every redelivery.
    pub id: String,
    /// Topic with its placeholders filled in.
    pub topic: String,
    /// CloudEvents envelope, or the body itself.
    pub text: String,
    /// Further key beside the id (RocketMQ `KEYS`), already free of blanks.
    pub key: Option<String>,
    /// Tag of the message (RocketMQ `TAGS`).
    pub tag: Option<String>,
    /// CloudEvents attributes as message properties (`CE_id` and so on), for queues that have them.
    pub properties: Vec<(Cow<'static, str>, String)>,
}

/// Debug output without text and properties, which hold values of the request.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} to {}, {} bytes)", self.id, self.topic, self.text.len())
    }
}

/// Attribute with the address of the body; `ORIGINALREF` has that of the encrypted body. Both are also
/// properties of the message.
const DATAREF: &str = "dataref";
const ORIGINALREF: &str = "webhookoriginalref";

/// Addresses of the objects that a message refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Address of the body.
    pub body: String,
    /// Address of the encrypted body as it was received, for a hook with `keep_original`.
    pub original: Option<String>,
}

impl Message {
    /// Returns the address of the body, or `None` if the message carries the body.
    pub fn dataref(&self) -> Option<&str> {
        self.reference(DATAREF)
    }

    /// Returns the address of the encrypted body, or `None` if the message does not refer to one.
    pub fn originalref(&self) -> Option<&str> {
        self.reference(ORIGINALREF)
    }

    fn reference(&self, attribute: &str) -> Option<&str> {
        let is_it = |name: &str| name.strip_prefix("CE_").is_some_and(|name| name == attribute);
        let found = self.properties.iter().find(|(name, _)| is_it(name));
        found.map(|(_, address)| address.as_str())
    }

    /// Returns a copy of the message with the addresses of `claim` instead of its own. An address that the
    /// message does not have is not added.
    #[must_use]
    pub fn referring_to(&self, claim: &Claim) -> Self {
        let mut message = self.clone();
        message.refer_by(DATAREF, &claim.body);
        if let Some(original) = &claim.original {
            message.refer_by(ORIGINALREF, original);
        }
        message
    }

    fn refer_by(&mut self, attribute: &str, address: &str) {
        let Some(old) = self.reference(attribute).filter(|old| *old != address) else { return };
        let member = |address: &str| {
            let mut member = format!(",\"{attribute}\":");
            json::write_string(&mut member, address);
            member
        };
        // The first match is the attribute: quotes are escaped in the values before it.
        self.text = self.text.replacen(&member(old), &member(address), 1);
        let property = format!("CE_{attribute}");
        for (name, value) in &mut self.properties {
            if *name == property {
                address.clone_into(value);
            }
        }
    }
}

/// Recipe of a hook for messages to one target.
#[derive(Clone, Debug)]
pub struct Recipe<'h> {
    /// Template of the topic.
    pub topic: &'h Template,
    /// Check of a rendered topic by the vendor's rules.
    pub check_topic: fn(&str) -> Result<(), String>,
    /// Format of the text.
    pub format: Format,
    /// True if the body of an encrypted event is added to the message as it was received.
    pub keep_original: bool,
    /// Template of the further key.
    pub key: Option<&'h Template>,
    /// Template of the tag.
    pub tag: Option<&'h Template>,
    /// Prefix of the CloudEvents `source`.
    pub source_uri: &'h str,
    /// Reverse-DNS prefix of the CloudEvents `type`, given by the source; `webhook.HOOK` if `None`.
    pub type_prefix: Option<&'h str>,
}

/// Reason why a verified delivery cannot become a message, which a retry does not change. It never holds a
/// value of the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrenderable {
    /// Template with a placeholder for a value that is missing or does not fit.
    #[error(transparent)]
    Template(#[from] RenderError),
    /// Topic that the vendor does not take with the values of its placeholders.
    #[error("topic: with the placeholders' values it is not a topic that the vendor accepts")]
    Topic,
    /// CloudEvents attribute with a control character or more than 1024 bytes.
    #[error("the CloudEvents attribute {0} would hold a control character or over 1024 bytes")]
    Attribute(&'static str),
    /// Body that is not UTF-8, while `format = "raw"` carries only text.
    #[error("format = \"raw\" carries UTF-8 only: use format = \"cloudevents\"")]
    NotText,
    /// Reference to a body in a message with `format = "raw"`, which has no place for the address.
    #[error("format = \"raw\" cannot refer to a body elsewhere: use format = \"cloudevents\"")]
    Reference,
    /// Message of more than [`MAX_TEXT`] bytes, which no queue takes. It is not made, to save its memory.
    #[error("the message would have {0} bytes, and no queue takes more than {MAX_TEXT}")]
    TooLarge(usize),
    /// Empty body with `format = "raw"`: neither queue takes an empty message.
    #[error("format = \"raw\" cannot carry an empty body: use format = \"cloudevents\"")]
    Empty,
}

impl Recipe<'_> {
    /// Makes a message that carries the body of the delivery.
    ///
    /// ```
    /// # use hookmq_shared::clock::{Clock, Random};
    /// # use hookmq_shared::config::{Config, Reading, Samples};
    /// # use hookmq_shared::env::Env;
    /// # use hookmq_shared::queue::Vendor;
    /// # use hookmq_shared::source::{Draft, Verdict};
    /// # let hooks = r#"
    /// #     [hooks.github]
    /// #     source = "github"
    /// #     secrets = ["env:GITHUB_SECRET"]
    /// #     topic = "tenant/webhooks/{event}"
    /// #     key = "{json:repository.full_name}"
    /// # "#;
    /// # let env = Env::of([("GITHUB_SECRET", "a long random text")]);
    /// # let config = Config::parse("hooks.toml", hooks, Reading::new(&env, Samples::Refused));
    /// # let hook = config.hook("github").ok_or("a broken hook")?;
    /// # let source = hook.source.current().ok_or("no secrets")?;
    /// # let now = Clock::system().now();
    /// # let request = source.sign(Draft::default(), 0, now, &Random::system())?;
    /// # let Verdict::Verified(delivery) = source.check("github", request, now) else { panic!() };
    /// // The hook has `topic = "tenant/webhooks/{event}"` and `key = "{json:repository.full_name}"`.
    /// let recipe = hook.recipe(&Vendor::Tdmq.into(), "https://hooks.example.com").ok_or("no topic")?;
    /// let message = recipe.render(&delivery)?;
    /// assert_eq!(message.topic, "tenant/webhooks/push");
    /// assert_eq!(message.key.as_deref(), Some("octocat%2Fhello-world"));
    ///
    /// let event: serde_json::Value = serde_json::from_str(&message.text)?;
    /// assert_eq!((&event["type"], &event["webhookverified"]), (&"com.github.push".into(), &"body".into()));
    /// assert_eq!(event["data"]["ref"], "refs/heads/main");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn render(&self, delivery: &Delivery) -> Result<Message, Unrenderable> {
        self.message(delivery, None)
    }

    /// Makes a message with the address of the body instead of the body (CloudEvents' `dataref`, the claim
    /// check). Every queue takes such a message, regardless of the size of the body.
    pub fn refer(&self, delivery: &Delivery, claim: &Claim) -> Result<Message, Unrenderable> {
        self.message(delivery, Some(claim))
    }

    /// Returns true if the message also carries, or refers to, the encrypted body of the delivery.
    pub fn keeps_original_of(&self, delivery: &Delivery) -> bool {
        self.keep_original && delivery.original.is_some()
    }

    /// Returns a lower bound on the bytes of a message with the delivery's body, and with the encrypted body
    /// if `has_original`.
    pub(crate) fn least(delivery: &Delivery, has_original: bool) -> usize {
        envelope::least(delivery, delivery.original.as_deref().filter(|_| has_original))
    }

    /// Returns an upper bound on the bytes of a message, without reading the body.
    pub(crate) fn at_most(delivery: &Delivery, has_original: bool) -> usize {
        envelope::at_most(delivery, delivery.original.as_deref().filter(|_| has_original))
    }

    fn message(&self, delivery: &Delivery, claim: Option<&Claim>) -> Result<Message, Unrenderable> {
        let topic = self.topic.render(delivery, Place::Topic)?;
        if (self.check_topic)(&topic).is_err() {
            return Err(Unrenderable::Topic);
        }
        let key = self.key.map(|t| t.render(delivery, Place::Key)).transpose()?;
        let tag = self.tag.map(|t| t.render(delivery, Place::Tag)).transpose()?;
        let attributes =
            envelope::Attributes::new(delivery, self.source_uri, self.type_prefix, key.as_deref(), claim)
                .map_err(Unrenderable::Attribute)?;
        let original = delivery.original.as_deref().filter(|_| self.keep_original && claim.is_none());
        let text = match self.format {
            Format::CloudEvents => {
                attributes.envelope(delivery, original, MAX_TEXT).map_err(Unrenderable::TooLarge)?
            }
            Format::Raw if claim.is_some() => return Err(Unrenderable::Reference),
            Format::Raw => match std::str::from_utf8(&delivery.body) {
                Ok("") => return Err(Unrenderable::Empty),
                Ok(text) => text.to_owned(),
                Err(_) => return Err(Unrenderable::NotText),
            },
        };
        let properties = attributes.properties(self.format, delivery);
        Ok(Message { id: delivery.id.clone(), topic, text, key, tag, properties })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use base64::Engine as _;
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::clock::Timestamp;
    use crate::delivery::{Content, Coverage, Verified};

    /// Builds a verified GitHub push with one `X-One` and two `X-Two` fields.
    pub(crate) fn delivery(body: &[u8], content_type: Option<&str>) -> Delivery {
        let headers = [("x-one", "1"), ("x-two", "a"), ("x-two", "b")];
        let content = Content {
            hook: "github".into(),
            source: Some("github".into()),
            id: "72d3162e".into(),
            id_from_provider: true,
            event: Some("push".into()),
            may_have_other_events: false,
            subject: None,
            received_at: Timestamp::from_unix_millis(1_760_000_000_123),
            query: String::new(),
            headers: headers.map(|(n, v)| (n.into(), v.into())).into(),
            content_type: content_type.map(Into::into),
            body: Bytes::copy_from_slice(body),
            original: None,
            coverage: Coverage::Body,
            secret: Some(0),
            verifier: None,
        };
        Delivery::new(content, Verified::for_tests())
    }

    fn recipe(topic: &Template, format: Format) -> Recipe<'_> {
        Recipe {
            topic,
            check_topic: |topic| if topic.len() < 9 { Ok(()) } else { Err("is too long".to_owned()) },
            format,
            keep_original: false,
            key: None,
            tag: None,
            source_uri: "https://hooks.example.com",
            type_prefix: Some("com.github"),
        }
    }

    fn render(delivery: &Delivery, format: Format) -> Result<Message, Unrenderable> {
        recipe(&Template::parse("t").unwrap(), format).render(delivery)
    }

    fn envelope(body: &[u8], content_type: Option<&str>) -> Value {
        let message = render(&delivery(body, content_type), Format::CloudEvents).unwrap();
        serde_json::from_str(&message.text).unwrap()
    }

    #[test]
    fn the_envelope_has_every_attribute() {
        let mut event = delivery(br#"{"a":1}"#, Some("application/json"));
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        event.content_mut().headers.push(("traceparent".into(), trace.into()));
        event.content_mut().subject = Some("refs/heads/main".into());
        let (topic, key) = (Template::parse("t").unwrap(), Template::parse("{json:a}").unwrap());
        let mut recipe = recipe(&topic, Format::CloudEvents);
        recipe.key = Some(&key);
        let message = recipe.render(&event).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&message.text).unwrap(),
            json!({
                "specversion": "1.0", "id": "72d3162e", "source": "https://hooks.example.com/hooks/github",
                "type": "com.github.push", "time": "2025-10-09T08:53:20.123Z",
                "datacontenttype": "application/json", "subject": "refs/heads/main",
                "webhooksource": "github", "webhookverified": "body", "traceparent": trace,
                "partitionkey": "1", "data": {"a": 1},
                "webhookheaders": format!(r#"[["x-one","1"],["x-two","a"],["x-two","b"],["traceparent","{trace}"]]"#),
            })
        );
        assert_eq!(message.key.as_deref(), Some("1"));
        let property = |name| message.properties.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        assert_eq!(property("CE_type"), Some("com.github.push"));
        assert_eq!(property("CE_partitionkey"), Some("1"));
        assert_eq!(property("CE_webhookheaders"), None);
        assert_eq!(message.properties.len(), 11);
    }

    /// `CE_contenttype` decides how CloudEvents' RocketMQ binding reads a message.
    #[test]
    fn the_properties_say_whether_the_text_is_the_event_or_its_data() {
        let properties = |format, content_type| {
            let message = render(&delivery(b"{}", content_type), format).unwrap();
            let property = |name: &str| {
                let found = message.properties.iter().find(|(n, _)| n == name);
                found.map(|(_, value)| value.clone())
            };
            assert!(["CE_id", "CE_type", "CE_source", "CE_time"].iter().all(|name| property(name).is_some()));
            (property("CE_contenttype"), property("CE_specversion"), property("CE_datacontenttype"))
        };
        let text = |text: &str| Some(text.to_owned());
        let (json, odd) = ("application/json; charset=utf-8", "text/\u{e9}");
        let (event, octets) = ("application/cloudevents+json", "application/octet-stream");
        assert_eq!(properties(Format::CloudEvents, Some(json)), (text(event), None, text(json)));
        assert_eq!(properties(Format::CloudEvents, None), (text(event), None, text(octets)));
        assert_eq!(properties(Format::Raw, Some(json)), (text(json), text("1.0"), text(json)));
        for content_type in [None, Some(odd)] {
            assert_eq!(properties(Format::Raw, content_type), (None, text("1.0"), text(octets)));
        }
    }

    /// Returns the block of docs/messages.md that is marked with this word.
    fn documented(word: &str) -> Value {
        let page = include_str!("../../../docs/messages.md");
        let (_, block) = page.split_once(&format!("```json {word}\n")).unwrap();
        serde_json::from_str(block.split_once("\n```").unwrap().0).unwrap()
    }

    #[test]
    fn messages_are_as_the_page_of_the_contract_shows_them() {
        let body = br#"{"ref":"refs/heads/main","repository":{"full_name":"octocat/hello-world"}}"#;
        let mut event = delivery(body, Some("application/json"));
        let content = event.content_mut();
        content.id = "72d3162e-cc78-11e3-81ab-4c9367dc0958".into();
        content.headers = vec![
            ("content-type".into(), "application/json".into()),
            ("x-github-event".into(), "push".into()),
        ];
        let topic = Template::parse("t").unwrap();
        let made = |format| Recipe { source_uri: "", ..recipe(&topic, format) };
        let properties = |message: &Message| {
            let keys = ("KEYS".to_owned(), Value::from(message.id.clone()));
            let own = message.properties.iter().map(|(name, value)| (name.to_string(), value.clone().into()));
            [keys].into_iter().chain(own).collect::<Value>()
        };
        let whole = made(Format::CloudEvents).render(&event).unwrap();
        let parsed = |message: &Message| serde_json::from_str::<Value>(&message.text).unwrap();
        assert_eq!((parsed(&whole), properties(&whole)), (documented("envelope"), documented("properties")));
        let raw = made(Format::Raw).render(&event).unwrap();
        assert_eq!((parsed(&raw), properties(&raw)), (documented("raw"), documented("raw-properties")));
        let claim = Claim { body: "s3://bucket/claims/tdmq/github/0b4f".into(), original: None };
        let reference = made(Format::CloudEvents).refer(&event, &claim).unwrap();
        assert_eq!(parsed(&reference), documented("reference"));
    }

    #[test]
    fn a_reference_can_be_moved() {
        let mut event = delivery(br#"{"a":1}"#, Some("application/json"));
        event.content_mut().event = Some(r#"x","dataref":"file:///a"#.into());
        let topic = Template::parse("t").unwrap();
        let recipe = recipe(&topic, Format::CloudEvents);
        for originals in [None, Some(("file:///o", "s3://o/\"p"))] {
            let claim = |body: &str, original: Option<&str>| Claim {
                body: body.to_owned(),
                original: original.map(str::to_owned),
            };
            let (old, new) = originals.unzip();
            let message = recipe.refer(&event, &claim("file:///a", old)).unwrap();
            assert_eq!((message.dataref(), message.originalref()), (Some("file:///a"), old));
            let moved = claim("s3://b/\"c", new);
            assert_eq!(message.referring_to(&moved), recipe.refer(&event, &moved).unwrap());
            let envelope: Value = serde_json::from_str(&message.text).unwrap();
            assert_eq!(envelope["webhookoriginalref"].as_str(), old);
            let whole = recipe.render(&event).unwrap();
            assert_eq!((whole.dataref(), whole.referring_to(&moved)), (None, whole.clone()));
        }
    }

    #[test]
    fn an_original_travels_where_it_is_asked_for() {
        let topic = Template::parse("t").unwrap();
        let mut recipe = recipe(&topic, Format::CloudEvents);
        let mut event = delivery(b"{}", Some("application/json"));
        event.content_mut().original = Some(Bytes::from_static(b"\xff<"));
        assert!(!recipe.render(&event).unwrap().text.contains("webhookoriginal"));
        recipe.keep_original = true;
        let message = recipe.render(&event).unwrap();
        let envelope: Value = serde_json::from_str(&message.text).unwrap();
        assert_eq!((&envelope["webhookoriginal"], &envelope["data"]), (&json!("/zw="), &json!({})));
        assert!(message.properties.iter().all(|(name, _)| !name.contains("original")));
        event.content_mut().original = None;
        assert!(!recipe.render(&event).unwrap().text.contains("webhookoriginal"));
    }

    #[test]
    fn a_json_body_is_carried_verbatim() {
        let odd = " {\"b\":1.0,\"a\":\"\\u00e9\",\n\"a\":1e400} \n";
        let message = render(&delivery(odd.as_bytes(), Some("Application/X+JSON; a=b")), Format::CloudEvents);
        assert!(message.unwrap().text.ends_with(&format!(r#","data":{odd}}}"#)));
    }

    #[test]
    fn what_is_not_json_is_text_or_base64() {
        assert_eq!(envelope(b"a=b&c", Some("application/x-www-form-urlencoded"))["data"], json!("a=b&c"));
        assert_eq!(envelope(b"{}", None)["data"], json!("{}"));
        assert_eq!(envelope(b"{}", None)["datacontenttype"], json!("application/octet-stream"));
        assert_eq!(envelope(b"{", Some("application/json"))["data_base64"], json!("ew=="));
        assert_eq!(envelope(b"", Some("application/json"))["data_base64"], json!(""));
        assert_eq!(envelope(b"", Some("text/plain"))["data"], json!(""));
        assert_eq!(envelope(b"\xff", Some("text/plain"))["data_base64"], json!("/w=="));
    }

    #[test]
    fn types_without_prefix_or_event_name_the_hook() {
        let topic = Template::parse("t").unwrap();
        let mut recipe = recipe(&topic, Format::CloudEvents);
        let mut event = delivery(b"{}", None);
        recipe.type_prefix = None;
        let kind = |recipe: &Recipe<'_>, event: &Delivery| {
            let text = recipe.render(event).unwrap().text;
            serde_json::from_str::<Value>(&text).unwrap()["type"].clone()
        };
        assert_eq!(kind(&recipe, &event), "webhook.github.push");
        event.content_mut().event = None;
        assert_eq!(kind(&recipe, &event), "webhook.github");
    }

    #[test]
    fn a_control_character_in_an_attribute_is_refused() {
        let mut event = delivery(b"{}", None);
        event.content_mut().event = Some("a\u{1}DELAY\u{2}18".into());
        assert_eq!(render(&event, Format::CloudEvents), Err(Unrenderable::Attribute("type")));
        event.content_mut().event = Some("x".repeat(2000));
        assert_eq!(render(&event, Format::Raw), Err(Unrenderable::Attribute("type")));
    }

    #[test]
    fn a_topic_that_the_vendor_does_not_take_is_refused() {
        let event = delivery(b"{}", None);
        let topic =
            |text| recipe(&Template::parse(text).unwrap(), Format::Raw).render(&event).map(|m| m.topic);
        assert_eq!(topic("t-{event}"), Ok("t-push".to_owned()));
        assert_eq!(topic("topic-{event}"), Err(Unrenderable::Topic));
    }

    #[test]
    fn what_no_queue_takes_is_not_made() {
        let made = |body: &[u8], kind| render(&delivery(body, Some(kind)), Format::CloudEvents);
        let fits = vec![1; MAX_TEXT / 6 - 1];
        let text = made(&fits, "text/plain").unwrap().text;
        assert!(text.len() > MAX_TEXT, "with the attributes");
        let all = [b"1".repeat(MAX_TEXT + 1), vec![1; MAX_TEXT / 6 + 1], vec![0xff; MAX_TEXT / 4 * 3 + 1]];
        for (body, kind) in all.iter().zip(["application/json", "text/plain", "text/plain"]) {
            let Err(Unrenderable::TooLarge(bytes)) = made(body, kind) else { panic!("{kind}") };
            assert!((MAX_TEXT + 1..MAX_TEXT + 10).contains(&bytes), "{bytes}");
            let least = Recipe::least(&delivery(body, Some(kind)), true);
            assert_eq!(least, bytes);
        }
        // The size of a body does not matter to a message that refers to it.
        let topic = Template::parse("t").unwrap();
        let event = delivery(&all[1], Some("text/plain"));
        assert!(
            recipe(&topic, Format::CloudEvents)
                .refer(&event, &Claim { body: "s3://b/c".into(), original: None })
                .is_ok()
        );
    }

    #[test]
    fn raw_is_the_body_or_a_refusal() {
        assert_eq!(render(&delivery("é\n".as_bytes(), None), Format::Raw).unwrap().text, "é\n");
        assert_eq!(render(&delivery(b"", None), Format::Raw), Err(Unrenderable::Empty));
        assert_eq!(render(&delivery(b"\xff", None), Format::Raw), Err(Unrenderable::NotText));
    }

    proptest! {
        #[test]
        fn bytes_in_are_bytes_out(
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                ".{0,100}".prop_map(String::into_bytes),
                r#"[ \n]?(\{"a":(1|"[^"\\\x00-\x1f]{0,9}"|\[\])\}|null|-0\.5e9)[ \t]?"#.prop_map(String::into_bytes),
            ],
            content_type in proptest::option::of(prop_oneof![
                Just("application/json".to_owned()), Just("text/plain".to_owned()), "[ -~]{0,30}",
            ]),
        ) {
            let event = delivery(&body, content_type.as_deref());
            let text = render(&event, Format::CloudEvents).unwrap().text;
            let parsed: std::collections::BTreeMap<String, &serde_json::value::RawValue> =
                serde_json::from_str(&text).unwrap();
            let out = match (parsed.get("data"), parsed.get("data_base64")) {
                (None, Some(raw)) => {
                    let text: String = serde_json::from_str(raw.get()).unwrap();
                    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
                }
                (Some(_), None) if content_type.as_deref() == Some("application/json") => {
                    let before = text.len() - 1 - body.len();
                    text.as_bytes()[before..text.len() - 1].to_vec()
                }
                (Some(raw), None) => serde_json::from_str::<String>(raw.get()).unwrap().into_bytes(),
                _ => panic!("exactly one of data and data_base64"),
            };
            prop_assert_eq!(out, body.clone());
            match render(&event, Format::Raw) {
                Ok(message) => prop_assert_eq!(message.text.into_bytes(), body),
                Err(_) => prop_assert!(body.is_empty() || std::str::from_utf8(&body).is_err()),
            }
        }
    }
}
