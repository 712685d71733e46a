//! Tests of `shard`.

use super::*;

fn all() -> impl Iterator<Item = Shard> {
    [1, 2, 4, 8].into_iter().flat_map(|of| (0..of).map(move |index| Shard { index, of }))
}

#[test]
fn what_is_written_is_read() {
    for shard in all() {
        assert_eq!(Shard::parse(&shard.to_string()), Ok(shard));
    }
    assert_eq!(Shard::default().to_string(), "0/1");
    assert_eq!(serde_json::to_string(&Shard { index: 3, of: 8 }).unwrap(), "\"3/8\"");
    for (wrong, error) in [
        ("", ShardError::Form),
        ("3", ShardError::Form),
        ("3/", ShardError::Form),
        ("/8", ShardError::Form),
        ("3/8/1", ShardError::Form),
        ("+3/8", ShardError::Form),
        ("03/8", ShardError::Form),
        ("-1/8", ShardError::Form),
        (" 3/8", ShardError::Form),
        ("3/ 8", ShardError::Form),
        ("٣/8", ShardError::Form),
        ("0x1/8", ShardError::Form),
        ("4294967296/8", ShardError::Form),
        ("all", ShardError::Form),
        ("0/0", ShardError::Of),
        ("0/3", ShardError::Of),
        ("0/16", ShardError::Of),
        ("8/8", ShardError::Index { of: 8 }),
        ("1/1", ShardError::Index { of: 1 }),
    ] {
        assert_eq!(Shard::parse(wrong), Err(error), "{wrong:?}");
        let told = error.to_string();
        assert!(told.contains("write") || told.contains("the first of"), "{told}");
    }
    assert_eq!(
        ShardError::Index { of: 4 }.to_string(),
        "does not name a shard: the first of 4 is \"0/4\", the last \"3/4\""
    );
}

/// Each digit, in either case, and each foreign name belongs to exactly one shard.
#[test]
fn shards_are_disjoint_and_together_the_whole() {
    let digits = "0123456789abcdefABCDEF".chars().map(|digit| format!("{digit}0"));
    let names: Vec<String> =
        digits.chain(["", "x", "ä", ".tmp", "/", "g0", "-"].map(str::to_owned)).collect();
    for of in [1, 2, 4, 8] {
        for name in &names {
            let takers: Vec<u32> = (0..of).filter(|&index| Shard { index, of }.takes(name)).collect();
            assert_eq!(takers.len(), 1, "{name:?} of {of}: {takers:?}");
            if !name.starts_with(|first: char| first.is_ascii_hexdigit()) {
                assert_eq!(takers, [0], "{name:?} of {of}");
            }
        }
    }
}

#[test]
fn its_digits_are_what_it_takes() {
    for shard in all().filter(|shard| !shard.is_whole()) {
        let taken = "0123456789abcdef".chars().map(String::from).filter(|digit| shard.takes(digit));
        assert_eq!(shard.digits(), taken.collect::<Vec<_>>(), "{shard}");
    }
    assert_eq!(Shard { index: 3, of: 8 }.digits(), ["6", "7"]);
    assert_eq!(Shard::WHOLE.digits(), [""]);
}

#[test]
fn the_environment_is_checked() {
    let of = |text: &str| Shard::from_env(&Env::of([(VARIABLE, text)]));
    assert_eq!(of("").unwrap(), Shard::WHOLE);
    assert_eq!(of("3/4").unwrap(), Shard { index: 3, of: 4 });
    // A Pod without the label leaves such a value.
    for wrong in ["/4", "$(POD_INDEX)/4", "4/4", "one"] {
        let problem = of(wrong).unwrap_err();
        assert_eq!(problem.variable, VARIABLE);
        assert!(problem.to_string().contains("does not name a shard"), "{problem}");
    }
}

#[test]
fn only_one_of_one_is_the_whole() {
    assert_eq!(all().filter(|shard| shard.is_whole()).collect::<Vec<_>>(), [Shard::WHOLE]);
    assert_eq!(all().filter(|shard| shard.is_first()).count(), 4);
}
