//! Tests of `presets`.

use super::*;

#[test]
fn every_preset_is_sound() {
    for name in preset_names() {
        let preset = Preset::load(name).unwrap();
        assert!(["confirmed", "unconfirmed"].contains(&preset.notes.confidence.as_str()), "{name}");
        assert!(
            preset.profile.sample.content_type != "application/json"
                || crate::json::is_valid(&preset.profile.sample.body),
            "{name}"
        );
    }
    assert!(PRESETS.is_sorted());
}

#[test]
fn a_function_reads_of_each_preset_what_verifies_and_answers() {
    const BARE: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/bare_presets.rs"));
    assert_eq!(BARE.len(), PRESETS.len());
    for ((name, bare), (of, whole)) in BARE.iter().zip(PRESETS) {
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
        let kept = ["about ", "evidence", "[sample", "# "].into_iter().find(|part| bare.contains(part));
        assert_eq!(kept, None, "{name}");
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
        ("", &format!("known are {}, ", preset_names().next().unwrap())),
    ] {
        let message = Preset::load(wrong).unwrap_err();
        assert!(message.contains(right), "{wrong}: {message}");
    }
    assert_eq!(distance("kitten", "sitting"), 3);
    assert_eq!(distance("", "abc"), 3);
}
