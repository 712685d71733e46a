//! Tests of `presets`.

use toml::de::DeValue;

use super::*;
use crate::delivery::Coverage;
use crate::source::scheme::window::Window;

#[test]
fn every_preset_is_sound() {
    for name in preset_names() {
        let preset = Preset::load(name).unwrap();
        let Notes { confidence, tried, evidence, .. } = &preset.notes;
        let is_confirmed = confidence == "confirmed";
        assert!(is_confirmed || confidence == "unconfirmed", "{name}");
        // What is not confirmed says what was looked up instead.
        assert_eq!(tried.is_none(), is_confirmed, "{name}");
        assert!(!is_confirmed || !evidence.is_empty() || name == "none", "{name}: without evidence");
        for Evidence { says, read, .. } in evidence {
            let is_day = read.len() == 10 && read.starts_with("20");
            assert!(is_day && says.chars().count() <= 200, "{name}: {says}");
        }
        assert!(
            preset.profile.sample.content_type != "application/json"
                || crate::json::is_valid(&preset.profile.sample.body),
            "{name}"
        );
    }
    assert!(PRESETS.is_sorted());
}

/// A sender whose repetition was refused for its age would send in vain what we asked for again.
#[test]
fn a_window_outlives_the_senders_retries() {
    for name in preset_names() {
        let Preset { scheme, notes, .. } = Preset::load(name).unwrap();
        let (age, lapse) = (scheme.max_age(), scheme.lapse());
        if age.is_none() && lapse.is_none() {
            continue;
        }
        let Retries { span, signed, valid, .. } =
            notes.retries.unwrap_or_else(|| panic!("{name} does not say how it is repeated"));
        // What ends by itself is accepted for its own time, and a token for some more.
        let is_expiry = scheme.timestamp.as_ref().is_some_and(Window::is_expiry);
        let lapse = if is_expiry { Some(Duration::ZERO) } else { lapse };
        assert!(valid.is_none() || lapse.is_some(), "{name} has no end of its own");
        // A token must name its end, unless its age or its body is checked.
        let is_ended = is_expiry || lapse.is_some() && age.is_none() && scheme.coverage() != Coverage::Body;
        assert!(valid.is_some() || !is_ended, "{name} does not say how long a request is valid");
        let end = valid.zip(lapse).map(|(valid, lapse)| valid + lapse);
        let bounds = age.filter(|_| !is_expiry).into_iter().chain(end);
        let span = span.unwrap_or_default();
        let short = bounds.filter(|bound| signed != "anew" && *bound < span).min();
        assert_eq!(short, None, "{name} is repeated for {span:?}");
    }
}

#[test]
fn a_function_reads_of_each_preset_what_verifies_and_answers() {
    let bare = || in_turn(include!(concat!(env!("OUT_DIR"), "/bare_presets.rs")));
    assert_eq!(bare().count(), presets().count());
    for ((name, bare), (of, whole)) in bare().zip(presets()) {
        assert_eq!(name, of);
        let told = |text: &'static str| {
            let mistakes = Mistakes::new(name.to_string(), text);
            let document = DeTable::parse(text).unwrap();
            let table = Table::new(&mistakes, "", 0, document.get_ref());
            let scheme = Scheme::read(table.table("verify").unwrap()).unwrap();
            let params = table.table("params").as_ref().map(Param::read_all);
            let profile = Profile { sample: Sample::default(), ..Profile::read(&table) };
            format!("{scheme:?} {params:?} {profile:?}")
        };
        assert_eq!(told(bare), told(whole), "{name}");
        let kept =
            ["about ", "evidence", "retries", "[sample", "# "].into_iter().find(|part| bare.contains(part));
        assert_eq!(kept, None, "{name}");
    }
}

/// The tables that are refused are none of a preset's.
#[test]
fn every_preset_is_sound_as_a_table_of_a_hooks_own() {
    const BESIDE: [&str; 6] = ["handshake", "ack", "methods", "delivers_by_get", "deadline", "type_prefix"];
    for name in preset_names() {
        let (_, text) = preset_text(name).unwrap();
        let document = DeTable::parse(text).unwrap();
        let mut own = document.get_ref()["verify"].get_ref().as_table().unwrap().clone();
        let beside = document.get_ref().iter().filter(|(key, _)| BESIDE.contains(&&**key.get_ref()));
        own.extend(beside.map(|(key, value)| (key.clone(), value.clone())));
        let mistakes = Mistakes::new(name, text);
        let built = blueprint::Blueprint::custom(Table::new(&mistakes, "verify", 0, &own));
        let errors = mistakes.errors();
        let found: Vec<_> = mistakes.into_sorted().iter().map(ToString::to_string).collect();
        assert!(built.is_ok() && errors == 0, "{found:?}");
    }
}

#[test]
fn the_documented_preset_is_sound() {
    let text = include_str!("../../../../docs/add-a-source.md");
    let (_, block) = text.split_once("```toml\n").unwrap();
    let preset = Preset::parse("acme", block.split_once("```").unwrap().0).unwrap();
    assert_eq!((preset.notes.confidence.as_str(), preset.profile.handshakes.len()), ("confirmed", 1));
    assert_eq!(preset.profile.ack.response("accepted", "1").body, "ok");
    assert!(crate::json::is_valid(&preset.profile.sample.body));
}

#[test]
fn a_wrong_name_is_met_with_the_right_one() {
    for (wrong, right) in [
        ("githb", "did you mean github?"),
        ("gitlab", "did you mean gitlab-secret-token or gitlab-signing-token?"),
        ("standard_webhooks", "did you mean standard-webhooks or standard-webhooks-ed25519?"),
        ("gitlb", "did you mean gitlab-secret-token or gitlab-signing-token?"),
        ("wechatpay", "did you mean wechat-pay-v3?"),
        ("Stripe", "did you mean stripe?"),
        ("kafka", "`hookmq sources` lists all"),
        ("", "`hookmq sources` lists all"),
    ] {
        let message = Preset::load(wrong).unwrap_err();
        assert!(message.contains(right), "{wrong}: {message}");
    }
}

/// Returns the name and the end of each key of a table and of the tables in it.
fn keys<'t>(table: &'t DeTable<'_>, found: &mut Vec<(&'t str, usize)>) {
    for (key, value) in table {
        found.push((key.get_ref(), key.span().end));
        match value.get_ref() {
            DeValue::Table(inner) => keys(inner, found),
            DeValue::Array(items) => {
                items.iter().filter_map(|item| item.get_ref().as_table()).for_each(|t| keys(t, found));
            }
            _ => {}
        }
    }
}

/// A mistyped key is answered with the keys of its table, of which it is one: in every table of every preset.
#[test]
fn a_mistyped_key_is_met_with_the_keys_of_its_table() {
    let mut met = std::collections::BTreeSet::new();
    for name in preset_names() {
        let (_, text) = preset_text(name).unwrap();
        let document = DeTable::parse(text).unwrap();
        let mut all = Vec::new();
        keys(document.get_ref(), &mut all);
        for (key, end) in all {
            let mut wrong = text.to_owned();
            wrong.insert(end, 'x');
            let Ok(document) = DeTable::parse(&wrong) else { continue };
            let mistakes = Mistakes::new("p", &wrong);
            let _ = Preset::read(name, Table::new(&mistakes, "", 0, document.get_ref()));
            let unknown = |m: &crate::reader::Mistake| {
                let own = m.key.rsplit('.').next() == Some(&format!("{key}x"));
                own.then(|| m.message.split_once("nown here: ").map(|(_, list)| list.to_owned())).flatten()
            };
            for list in mistakes.into_sorted().iter().filter_map(unknown) {
                assert!(list.split(", ").any(|known| known == key), "{name}: {key}: {list}");
                met.insert(key.to_owned());
            }
        }
    }
    assert!(met.len() > 40, "{met:?}");
}
