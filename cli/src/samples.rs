//! The sample secrets, and the sample events that are signed with them.
//!
//! The sample secrets are published in this file, so they prove nothing: functions refuse them
//! (`hookmq_shared::config::is_published`), the demo and local invokes accept them.

use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Settings, Source};

/// Published secret of a preset, with which its sample events are signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub preset: &'static str,
    /// Value of the hook's `secrets`; empty for the preset `none`.
    pub secret: &'static str,
    /// Seed of the private key, which signs; set for public-key sources only.
    pub seed: Option<&'static str>,
    /// Names and values of the preset's parameters.
    pub params: &'static [(&'static str, &'static str)],
}

const fn sample(preset: &'static str, secret: &'static str) -> Sample {
    Sample { preset, secret, seed: None, params: &[] }
}

pub(crate) const SAMPLES: &[Sample] = &[
    sample("adyen-header", "686F6F6B6D712073616D706C6520616479656E20686D6163206B657920313233"),
    sample("basic", "hookmq:sample-password"),
    sample("bearer", "hookmq-sample-bearer-token"),
    sample("bitbucket-jira", "hookmq-sample-atlassian-secret"),
    Sample {
        preset: "discord",
        secret: "77d110abe917383438f6f5d870be1c25b240b32bc996b988e2a3abb3b9e1f71d",
        seed: Some("686f6f6b6d712073616d706c65206b6579206f6620646973636f726421212121"),
        params: &[],
    },
    sample("dropbox", "hookmq-sample-dropbox-secret"),
    sample("feishu", "hookmq-sample-feishu-encrypt-key"),
    sample("feishu-token", "hookmq-sample-feishu-token"),
    sample("gitea-forgejo", "hookmq-sample-gitea-secret"),
    sample("gitee", "hookmq-sample-gitee-key"),
    sample("github", "hookmq-sample-github-secret"),
    sample("gitlab-secret-token", "hookmq-sample-gitlab-token"),
    sample("gitlab-signing-token", "whsec_aG9va21xLXNhbXBsZS1naXRsYWItc2lnbmluZy1rZXk="),
    sample("hubspot-v1", "hookmq-sample-hubspot-v1-secret"),
    sample("hubspot-v2", "hookmq-sample-hubspot-v2-secret"),
    sample("hubspot-v3", "hookmq-sample-hubspot-v3-secret"),
    sample("intercom", "hookmq-sample-intercom-secret"),
    sample("linear", "hookmq-sample-linear-secret"),
    sample("mailgun", "hookmq-sample-mailgun-key"),
    Sample {
        params: &[("verify_token", "hookmq-sample-meta-verify-token")],
        ..sample("meta", "hookmq-sample-meta-secret")
    },
    sample("none", ""),
    sample("notion", "hookmq-sample-notion-token"),
    sample("pagerduty-v3", "hookmq-sample-pagerduty-secret"),
    sample("sentry", "hookmq-sample-sentry-secret"),
    sample("shopify", "hookmq-sample-shopify-secret"),
    sample("slack", "hookmq-sample-slack-signing-secret"),
    sample("square", "hookmq-sample-square-key"),
    sample("standard-webhooks", "whsec_aG9va21xLXNhbXBsZS1zdGFuZGFyZC13ZWJob29rcyE="),
    Sample {
        preset: "standard-webhooks-ed25519",
        secret: "whpk_19X7mU2fzO39GsOMRuCKGlRium3aAtMdKe0dINVPh5g=",
        seed: Some("whpk_aG9va21xIHNhbXBsZSBrZXkgb2ZzdGFuZGFyZCB3aCE="),
        params: &[],
    },
    sample("stripe", "whsec_hookmq-sample-stripe-secret"),
    sample("svix", "whsec_aG9va21xLXNhbXBsZS1zdml4LXNpZ25pbmcta2V5ISE="),
    sample("telegram", "hookmq-sample_telegram-token"),
    sample("tencent-im", "hookmq-sample-tencent-im-token"),
    sample("tencent-trtc", "hookmq-sample-tencent-trtc-key"),
    sample("typeform", "hookmq-sample-typeform-secret"),
    sample("wechat-mp-plain", "hookmq-sample-wechat-token"),
    sample("zoom", "hookmq-sample-zoom-secret"),
];

impl Sample {
    pub(crate) fn of(preset: &str) -> Option<&'static Self> {
        SAMPLES.iter().find(|sample| sample.preset == preset)
    }

    /// Builds the source that signs as the provider does.
    pub(crate) fn signer(&self) -> Option<Source> {
        let secret = self.seed.unwrap_or(self.secret);
        let secrets = if secret.is_empty() { Vec::new() } else { vec![Secret::new(secret)] };
        let params = self.params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = Settings { secrets, params: params.collect(), url: Some(self.url()) };
        Source::preset(self.preset, settings).ok()
    }

    /// Returns the public URL of the hook, which some providers sign.
    fn url(&self) -> String {
        format!("https://hooks.example.com/tdmq/{}", self.preset)
    }
}

/// Returns the TOML of the demo's hooks: one for each preset, named after it.
pub(crate) fn hooks() -> String {
    let hook = |sample: &Sample| {
        let Sample { preset, secret, params, .. } = sample;
        let secrets =
            if secret.is_empty() { String::new() } else { format!("secrets = [\"plain:{secret}\"]\n") };
        let params = params.iter().map(|(name, value)| format!("params.{name} = \"plain:{value}\"\n"));
        format!(
            "[hooks.{preset}]\nsource = \"{preset}\"\n{secrets}{}url = \"{}\"\n\
             topic = {{ tdmq = \"pulsar-demo/webhooks/{preset}\", rocketmq = \"webhooks_{preset}\" }}\n",
            params.collect::<String>(),
            sample.url(),
        )
    };
    SAMPLES.iter().map(hook).collect::<Vec<_>>().concat()
}

/// Expected result of a sample event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// The event is stored in the queue.
    Stored,
    /// The provider's handshake is answered, and the queue stays empty.
    Handshake,
}

macro_rules! events {
    ($($expect:ident $file:literal),* $(,)?) => {
        [$(($file, Expect::$expect, include_str!(concat!("../../events/", $file)))),*]
    };
}

/// The files of `events/` that are requests, with their expected results and contents.
pub(crate) const EVENTS: &[(&str, Expect, &str)] = &events![
    Stored "adyen-header-http-api.json",
    Stored "basic-http-api.json",
    Stored "bearer-http-api.json",
    Stored "bitbucket-jira-http-api.json",
    Stored "discord-http-api.json",
    Handshake "discord-ping-http-api.json",
    Handshake "dropbox-challenge-http-api.json",
    Stored "dropbox-http-api.json",
    Handshake "feishu-challenge-http-api.json",
    Stored "feishu-http-api.json",
    Stored "feishu-token-http-api.json",
    Stored "gitea-forgejo-http-api.json",
    Stored "gitee-http-api.json",
    Stored "github-alb-multi.json",
    Stored "github-alb.json",
    Stored "github-function-url.json",
    Stored "github-http-api.json",
    Stored "github-rest-api.json",
    Stored "gitlab-secret-token-http-api.json",
    Stored "gitlab-signing-token-http-api.json",
    Stored "hubspot-v1-http-api.json",
    Stored "hubspot-v2-http-api.json",
    Stored "hubspot-v3-http-api.json",
    Stored "intercom-http-api.json",
    Stored "linear-http-api.json",
    Stored "mailgun-http-api.json",
    Stored "meta-http-api.json",
    Handshake "meta-verification-http-api.json",
    Stored "none-http-api.json",
    Stored "notion-http-api.json",
    Stored "pagerduty-v3-http-api.json",
    Stored "sentry-http-api.json",
    Stored "shopify-http-api.json",
    Stored "slack-http-api.json",
    Handshake "slack-url-verification-http-api.json",
    Stored "square-http-api.json",
    Stored "standard-webhooks-ed25519-http-api.json",
    Stored "standard-webhooks-http-api.json",
    Stored "stripe-http-api.json",
    Stored "svix-http-api.json",
    Stored "telegram-http-api.json",
    Stored "tencent-im-http-api.json",
    Stored "tencent-trtc-http-api.json",
    Stored "typeform-http-api.json",
    Stored "wechat-mp-plain-http-api.json",
    Stored "zoom-http-api.json",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use base64::Engine as _;
    use clap::ValueEnum as _;
    use hookmq_shared::clock::{Random, Timestamp};
    use hookmq_shared::config::{Config, Reading, Samples, Severity, is_published};
    use hookmq_shared::env::Env;
    use hookmq_shared::host::trigger;
    use hookmq_shared::http::Request;
    use hookmq_shared::source::{Draft, VerifyOutcome, preset_names};
    use serde_json::Value;

    use super::*;
    use crate::trigger::{Signed, Trigger};

    /// The redriver's timer event, which is not a request.
    const SCHEDULE: &str = "redrive-schedule.json";

    #[test]
    fn every_sample_is_a_presets_and_has_an_event() {
        let presets: BTreeSet<_> = preset_names().collect();
        let requests = EVENTS.iter().map(|(file, ..)| *file);
        let files: BTreeSet<String> = requests.chain([SCHEDULE]).map(str::to_owned).collect();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../events");
        let present: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(files, present);
        for Sample { preset, .. } in SAMPLES {
            assert!(presets.contains(preset), "{preset}");
            assert!(files.contains(&format!("{preset}-http-api.json")), "{preset}");
        }
    }

    #[test]
    fn functions_refuse_every_sample_secret() {
        for Sample { secret, seed, preset, .. } in SAMPLES.iter().filter(|s| !s.secret.is_empty()) {
            assert!(is_published(secret.as_bytes()), "{preset}: {secret}");
            assert!(seed.is_none_or(|seed| is_published(seed.as_bytes())), "{preset}");
            // Other spellings give the same key.
            if let Some((_, bare)) =
                secret.split_once('_').filter(|_| *preset != "stripe" && *preset != "telegram")
            {
                assert!(is_published(bare.as_bytes()), "{preset}");
            }
            if ["adyen-header", "discord"].contains(preset) {
                assert!(is_published(secret.to_ascii_uppercase().as_bytes()), "{preset}");
                assert!(is_published(secret.to_ascii_lowercase().as_bytes()), "{preset}");
            }
            if *preset == "basic" {
                assert!(is_published(base64::engine::general_purpose::STANDARD.encode(secret).as_bytes()));
            }
        }
        let read = |samples| Config::parse("samples", &hooks(), Reading::new(&Env::of([("", "")]), samples));
        assert_eq!(read(Samples::Accepted).hooks().count(), SAMPLES.len());
        let refused = read(Samples::Refused);
        assert_eq!(refused.hooks().map(|hook| hook.name.as_str()).collect::<Vec<_>>(), ["none"]);
        let errors = refused.mistakes.iter().filter(|mistake| mistake.severity == Severity::Error);
        assert_eq!(errors.count(), SAMPLES.len() - 1, "{:?}", refused.mistakes);
    }

    #[test]
    fn seeds_belong_to_their_public_keys() {
        for sample in SAMPLES.iter().filter(|sample| sample.seed.is_some()) {
            assert_eq!(sample.signer().unwrap().public_key(0).as_deref(), Some(sample.secret));
        }
    }

    /// Each sample event is validly signed at the time of its own timestamp.
    #[test]
    fn every_event_is_validly_signed() {
        let env = Env::of([("", "")]);
        let config = Config::parse("samples", &hooks(), Reading::new(&env, Samples::Accepted));
        for (file, expect, text) in EVENTS {
            let invocation = trigger::Invocation { request_id: String::new(), deadline: None };
            let request = trigger::read(text, invocation).unwrap().request.unwrap();
            let hook = config.hook(request.path.strip_prefix("/tdmq/").unwrap()).unwrap();
            let event: serde_json::Value = serde_json::from_str(text).unwrap();
            let epoch = ["timeEpoch", "requestTimeEpoch"].map(|key| event["requestContext"][key].as_i64());
            let at = Timestamp::from_unix_millis(epoch.into_iter().flatten().next().unwrap_or(0));
            match (expect, hook.source.current().unwrap().explain(&request, at).outcome) {
                (Expect::Stored, VerifyOutcome::Verified(_))
                | (Expect::Handshake, VerifyOutcome::Handshake(_)) => {}
                (_, other) => panic!("{file}: {other:?}"),
            }
        }
    }

    /// Returns the shape of a value, with a placeholder for each text and number, which differ between two
    /// signings.
    fn form(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), form(value))).collect()
            }
            Value::Array(items) => items.iter().map(form).collect(),
            Value::String(_) => "text".into(),
            Value::Number(_) => "number".into(),
            other => other.clone(),
        }
    }

    /// The sample files of deliveries have the form that `hookmq sign` prints.
    #[test]
    fn every_delivery_has_the_form_that_sign_prints() {
        let mut compared = 0;
        for (file, _, text) in EVENTS.iter().filter(|(_, expect, _)| *expect == Expect::Stored) {
            let trigger = Trigger::of_event(file).unwrap();
            let name = trigger.to_possible_value().unwrap();
            let preset = file.strip_suffix(&format!("-{}.json", name.get_name())).unwrap();
            let signer = Sample::of(preset).unwrap().signer().unwrap();
            let draft = Draft { path: format!("/tdmq/{preset}"), ..Draft::default() };
            let at = Timestamp::from_unix(1_760_000_000);
            let request = signer.sign(draft, 0, at, &Random::system()).unwrap();
            let Request { method, path, raw_query, headers, body, .. } = &request;
            let printed = Signed { method, path, raw_query, headers, body, at }.print(trigger);
            let [kept, printed] =
                [text.as_bytes(), &printed].map(|text| serde_json::from_slice(text).unwrap());
            assert_eq!(form(&kept), form(&printed), "{file}");
            for fixed in ["/rawPath", "/path", "/httpMethod", "/isBase64Encoded", "/headers/content-type"] {
                assert_eq!(kept.pointer(fixed), printed.pointer(fixed), "{file} {fixed}");
            }
            compared += 1;
        }
        assert!(compared > SAMPLES.len(), "{compared}");
    }
}
