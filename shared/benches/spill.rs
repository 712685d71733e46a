//! Cost of the spill store in a folder on this machine: a single write, and the answer to a sender with a
//! time-out of three seconds during a stall of the vendor.
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

#[path = "../tests/kit/stalled.rs"]
mod stalled;

use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::spill::VARIABLE;
use hookmq_shared::store::Store;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn writes(criterion: &mut Criterion) {
    let (runtime, dir) = (runtime(), tempfile::tempdir().unwrap());
    let env = Env::of::<&str, &str>([]);
    let context = Context { env, clock: Clock::system(), random: Random::system() };
    let store = Store::open(VARIABLE, &format!("file://{}", dir.path().display()), &context).unwrap();
    let mut group = criterion.benchmark_group("write");
    for size in [4 << 10, 1 << 20] {
        let body = Bytes::from(vec![b'x'; size]);
        let mut number = 0_u64;
        group.bench_with_input(BenchmarkId::from_parameter(size), &body, |bencher, body| {
            bencher.iter(|| {
                number += 1;
                let name = format!("spill/tdmq/h/{size}-{number}");
                let deadline = Instant::now() + Duration::from_secs(60);
                runtime.block_on(store.put_new(&name, body.clone(), deadline)).unwrap()
            });
        });
    }
    group.finish();
}

fn stalled_vendor(criterion: &mut Criterion) {
    let (runtime, dir) = (runtime(), tempfile::tempdir().unwrap());
    let url = format!("file://{}", dir.path().display());
    let mut group = criterion.benchmark_group("stalled vendor");
    group.sample_size(10);
    group.bench_function("answer within 3 s", |bencher| {
        bencher.iter(|| {
            let (took, status) = runtime.block_on(stalled::answer(Duration::from_secs(3), Some(&url)));
            assert!(status == 200 && took < Duration::from_secs(3), "{status} after {took:?}");
        });
    });
    group.finish();
}

criterion_group!(benches, writes, stalled_vendor);
criterion_main!(benches);
