//! Tests of `job`.

use std::time::Duration;

use super::*;
use crate::clock::Random;
use crate::config::{Reading, Samples};
use crate::env::Env;
use crate::metrics::Figures;
use crate::store::memory::{Fault, FaultKind, MemoryStore, Operation};

/// The alarms of `deploy/` search for these words.
#[test]
fn a_run_of_a_shard_is_a_line_that_a_search_finds() {
    let text = crate::telemetry::doubles::Log::of(|| {
        ended(Shard::WHOLE, RunEnd::Done);
        ended(Shard::WHOLE, RunEnd::Stuck);
        ended(Shard::parse("3/8").unwrap(), RunEnd::Failed);
    });
    let [done, stuck, failed] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(done.contains(r#""run":"redrive_run_0_of_1","result":"redrive_done""#), "{done}");
    assert!(stuck.contains(r#""run":"redrive_run_0_of_1","result":"redrive_stuck""#), "{stuck}");
    assert!(failed.contains(r#""run":"redrive_run_3_of_8","result":"redrive_failed""#), "{failed}");
    assert!(done.contains("INFO") && stuck.contains("WARN") && failed.contains("ERROR"), "{text}");
}

#[test]
fn the_worst_target_is_the_end_of_a_run() {
    let aged = |age| Summary { oldest_age_s: age, ..Summary::default() };
    let (idle, young, old) = (aged(None), aged(Some(STUCK_S - 1)), aged(Some(STUCK_S)));
    let unlisted = Summary { unlisted: 1, ..aged(Some(STUCK_S)) };
    let end = |summaries: &[Option<&Summary>]| RunEnd::of(summaries.iter().copied());
    assert_eq!(end(&[]), RunEnd::Done);
    assert_eq!(end(&[Some(&idle), Some(&young)]), RunEnd::Done);
    assert_eq!(end(&[Some(&old), Some(&idle)]), RunEnd::Stuck);
    assert_eq!(end(&[Some(&old), Some(&unlisted)]), RunEnd::Failed);
    assert_eq!(end(&[None, Some(&idle)]), RunEnd::Failed);
}

#[test]
fn it_is_ready_while_it_can_send_to_one_or_to_all() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    let ready = |hooks: &str, more: &[(&str, &str)]| {
        let tencent = [("TENCENTCLOUD_SECRET_ID", "id"), ("TENCENTCLOUD_SECRET_KEY", "0123456789abcdef")];
        let own = [("TDMQ_REGION", "r"), ("SPILL_URL", url.as_str())];
        let env = Env::of(tencent.into_iter().chain(own).chain(more.iter().copied()));
        let context = Context { env, ..Context::system() };
        let config = Config::parse("hooks", hooks, Reading::new(&context.env, Samples::Refused));
        RedriveJob::new(config, &context).unwrap().readiness().is_ready()
    };
    let all = ("READY", "all");
    assert!(ready("", &[]) && ready("", &[all]), "one vendor is enough");
    assert!(!ready("", &[("TDMQ_REGION", " ")]), "nothing can be sent");
    assert!(
        !ready("", &[("SPILL_URL", "s3://bucket"), ("S3_REGION", "r"), ("S3_ACCESS_KEY_ID", "id")]),
        "no store"
    );
    let broken = "[hooks.h]\nsource = \"nonesuch\"\ntopic = \"t-1\"\n";
    let target = "[targets.eu]\nvendor = \"tdmq\"\nsecret_id = \"file:/nowhere\"\n";
    for hooks in [broken, target] {
        assert!(ready(hooks, &[]) && !ready(hooks, &[all]), "{hooks}");
    }
    assert!(!ready("", &[("READY", "some")]));
    let wrong = ("TRUST_PROXIES", "abc");
    assert!(ready("", &[wrong]) && !ready("", &[wrong, all]));
}

#[tokio::test]
async fn every_run_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::of([("SPILL_URL", format!("file://{}", dir.path().display()))]);
    let context = Context { env, clock: Clock::system(), random: Random::system() };
    let config = Config::parse("hooks", "", Reading::new(&context.env, Samples::Refused));
    let job = RedriveJob::new(config, &context).unwrap();
    let run = async |options: &Options| {
        let deadline = Instant::now() + Duration::from_secs(60);
        job.run(options, deadline).await;
        job.metrics().text(&Figures::default()).unwrap()
    };
    let text = run(&Options { hook: Some("h".to_owned()), ..Options::default() }).await;
    assert!(text.contains(r#"hookmq_redrive_runs_total{target="tdmq",result="done"} 1"#), "{text}");
    assert!(!text.contains("hookmq_spill_depth"), "a part of the store tells nothing of its depth: {text}");
    let text = run(&Options::default()).await;
    for target in ["tdmq", "rocketmq"] {
        for sample in [
            format!(r#"hookmq_redrive_runs_total{{target="{target}",result="done"}} 2"#),
            format!(r#"hookmq_spill_depth{{target="{target}"}} 0"#),
            format!(r#"hookmq_spill_oldest_age_seconds{{target="{target}"}} 0"#),
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample} in {text}");
        }
    }
    // Several shards' runs find entries of an unknown target: only one of them reports it.
    let deadline = Instant::now() + Duration::from_secs(60);
    let store = Spill::from_env(&context).unwrap().unwrap();
    store.store().put_new("spill/gone/00/11", "x".into(), deadline).await.unwrap();
    for (shard, is_told) in [("0/1", true), ("0/2", true), ("1/2", false)] {
        let shard = Shard::parse(shard).unwrap();
        let report = job.run(&Options { shard, ..Options::default() }, deadline).await;
        assert_eq!(report.0.contains_key("gone"), is_told, "{shard}");
    }
    // A target's folder that cannot be read may hold deliveries.
    let memory = MemoryStore::new(context.clock.clone());
    for (bad, told) in [("spill/gone/", "gone"), ("spill/", "spill")] {
        memory.insert("spill/gone/00/11", "x".into());
        memory.set_faults(move |operation, name| match operation {
            Operation::Folders if name == bad => FaultKind::Fails(StoreError::Denied("x".into())).into(),
            _ => Fault::default(),
        });
        let spill = Spill::new(Store::new(memory.clone()), &context);
        let config = Config::parse("hooks", "", Reading::new(&context.env, Samples::Refused));
        let report =
            RedriveJob::on(spill, config, &context).unwrap().run(&Options::default(), deadline).await;
        assert!(!report.is_whole() && report.0.contains_key(told), "{bad}: {report:?}");
    }
    // A delivery waits, and there are no credentials to send it with.
    store.store().put_new("spill/tdmq/00/11", "x".into(), deadline).await.unwrap();
    let text = run(&Options::default()).await;
    assert!(text.contains(r#"hookmq_redrive_runs_total{target="tdmq",result="failed"} 1"#), "{text}");
}
