//! The conductor: makes things go wrong, and acts for the people who correct them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookmq_shared::queue::Class;
use tokio::time::sleep;

use crate::broker::span;
use crate::hooks::{HOOKS, Hook, TARGETS, Version, hook};
use crate::ledger::Paths;
use crate::people::{Pens, send};
use crate::processes::{FORWARDERS, Fleet, REDRIVERS};
use crate::world::{HOUR, MINUTE, Mode, OPEN_END, SECOND, StoreMode, World};

/// Upper bound on a delivery's wait in the absence of trouble: the longest back-off, the circuit of a locked
/// key, and some runs.
const BOUND: u64 = 80 * MINUTE;

/// Causes faults at random intervals until the planned hours are over.
pub(crate) async fn conduct(world: Arc<World>, fleet: Arc<Fleet>, pens: Arc<Pens>) {
    let end = world.plan.hours * HOUR;
    let mut step = 0_u64;
    loop {
        let pause = world.state().rng.range(SECOND, 2 * world.plan.gap * SECOND);
        sleep(Duration::from_millis(pause)).await;
        if world.now() >= end {
            return;
        }
        step += 1;
        // Each kind happens early once, and then at random.
        let kind = if step <= 12 { step } else { world.state().rng.range(0, 18) };
        match kind {
            2 => store(&world),
            3 => hook_fails(&world),
            4 => deploy(&world, &fleet).await,
            5 | 12 => jump(&world, &fleet),
            6 => wrong_key(&world),
            7 => burst(&world, &fleet, &pens),
            8 => old_form(&world),
            9 => rest(&world),
            10 => vendor(&world, Some(Mode::Lies(true))),
            11 => kill(&world, &fleet),
            13 | 16 | 17 => light(&world, &fleet),
            14 | 15 => {
                tokio::spawn(deploy_alone(Arc::clone(&world), Arc::clone(&fleet)));
            }
            _ => vendor(&world, None),
        }
    }
}

fn most(world: &World) -> u64 {
    (8 * HOUR).min(world.plan.hours * HOUR / 8)
}

/// Makes a target fail in this mode, or in a random one.
fn vendor(world: &World, mode: Option<Mode>) {
    let (now, most) = (world.now(), most(world));
    let mut state = world.state();
    let target = state.rng.below(TARGETS.len());
    if state.modes[target].is_some_and(|(_, until)| until > now) {
        return;
    }
    let draw = state.rng.below(20);
    let class = [
        Class::Quota,
        Class::Throttle,
        Class::Transient,
        Class::Ambiguous,
        Class::AuthRefresh,
        Class::ClockSkew,
    ][state.rng.below(6)];
    let mode = mode.unwrap_or(match draw {
        0..3 => Mode::Refuses,
        3 => Mode::Hangs(false),
        4 => Mode::Hangs(true),
        5 => Mode::Cuts(false),
        6 => Mode::Cuts(true),
        7 => Mode::Lies(false),
        8 => Mode::Lies(true),
        9 => Mode::Says(Class::Ambiguous, true),
        10 => Mode::SaysOfAll,
        11 => Mode::Slow,
        _ => Mode::Says(class, false),
    });
    let until = now + span(&mut state, most);
    state.modes[target] = Some((mode, until));
    let trouble = &mut state.target_trouble[target];
    *trouble = (*trouble).max(until);
}

/// Makes the store fail in a random mode.
fn store(world: &World) {
    let now = world.now();
    let mut state = world.state();
    if state.store_mode.is_some_and(|(_, until)| until > now) {
        return;
    }
    let modes = [
        StoreMode::Unreachable,
        StoreMode::Full,
        StoreMode::Denied,
        StoreMode::Slow,
        StoreMode::Lies,
        StoreMode::Late,
    ];
    let mode = state.rng.pick(&modes);
    let until = now + span(&mut state, 20 * MINUTE);
    state.store_mode = Some((mode, until));
    // A late write takes effect up to a minute later.
    state.last_store_trouble = state.last_store_trouble.max(until + 2 * MINUTE);
    state.trouble = state.trouble.max(until + 2 * MINUTE);
}

/// Makes the vendor refuse the messages of one hook.
fn hook_fails(world: &World) {
    let (now, most) = (world.now(), most(world));
    let mut state = world.state();
    let place = state.rng.below(HOOKS);
    let class = state.rng.pick(&[
        Class::Permission,
        Class::Permission,
        Class::Quota,
        Class::Config,
        Class::Permanent,
    ]);
    let until = now + span(&mut state, most);
    state.hook_modes.insert(place, (class, until));
    let trouble = &mut state.hook_trouble[place];
    *trouble = (*trouble).max(until);
}

/// Revokes the key of a target, and hands out the new key later.
fn wrong_key(world: &Arc<World>) {
    let (now, most) = (world.now(), most(world));
    let (target, until, key) = {
        let mut state = world.state();
        let target = state.rng.below(TARGETS.len());
        state.keys[target] += 1;
        let until = now + span(&mut state, most);
        let trouble = &mut state.target_trouble[target];
        *trouble = (*trouble).max(until);
        (target, until, state.keys[target])
    };
    let world = Arc::clone(world);
    tokio::spawn(async move {
        sleep(Duration::from_millis(until - now)).await;
        world.keys[target].fetch_max(key, Ordering::Relaxed);
    });
}

/// Makes the clock of one process jump, and sets it right later.
fn jump(world: &Arc<World>, fleet: &Arc<Fleet>) {
    let now = world.now();
    let (at, offset, until) = {
        let mut state = world.state();
        let hour = 3_600_000_i64;
        let offset = state.rng.pick(&[hour, -hour, 24 * 366 * hour, 24 * 366 * hour, -24 * 300 * hour]);
        let until = now + span(&mut state, HOUR);
        // The first redrivers are chosen, because they exist most of the time.
        let is_redriver = state.rng.happens(600);
        let at = if is_redriver { FORWARDERS + state.rng.below(2) } else { state.rng.below(FORWARDERS) };
        (at, offset, until)
    };
    let Some(process) = fleet.any(at) else { return };
    process.offset.store(offset, Ordering::Relaxed);
    let mut state = world.state();
    state.last_jump = state.last_jump.max(until + MINUTE);
    state.trouble = state.trouble.max(until + MINUTE);
    drop(state);
    tokio::spawn(async move {
        sleep(Duration::from_millis(until - now)).await;
        process.offset.store(0, Ordering::Relaxed);
    });
}

fn kill(world: &World, fleet: &Fleet) {
    let at = world.state().rng.below(FORWARDERS + REDRIVERS);
    if let Some(process) = fleet.any(at) {
        world.kill(&process);
    }
}

/// Sets a process to die in the middle of one of its next calls.
fn light(world: &World, fleet: &Fleet) {
    let (at, calls) = {
        let mut state = world.state();
        (state.rng.below(FORWARDERS + REDRIVERS), state.rng.range(1, 60))
    };
    if let Some(process) = fleet.any(at) {
        process.light(i64::try_from(calls).unwrap_or(1));
    }
}

/// Sends many deliveries of one hook at once.
fn burst(world: &Arc<World>, fleet: &Arc<Fleet>, pens: &Arc<Pens>) {
    let (place, count) = {
        let mut state = world.state();
        (state.rng.below(HOOKS), state.rng.range(100, world.plan.per_day / 12 + 100))
    };
    for _ in 0..count {
        send(world, fleet, pens, place);
    }
    let now = world.now();
    let mut state = world.state();
    // A backlog takes some time to send.
    state.trouble = state.trouble.max(now + 10 * MINUTE);
    state.meet("burst");
}

/// Replaces some `retry/` objects by those of an older release, which had another form of name.
fn old_form(world: &World) {
    let names = world.store.names("retry/");
    for name in names.iter().filter(|name| !name.contains("/cursor.")).step_by(3).take(20) {
        if let (Some((old, _)), Some(state)) = (name.split_once('.'), world.store.object(name)) {
            world.store.insert(old, state.bytes);
            world.store.remove(name);
        }
    }
}

fn rest(world: &World) {
    let now = world.now();
    let mut state = world.state();
    let until = now + span(&mut state, (48 * HOUR).min(world.plan.hours * HOUR / 6));
    state.redrivers_off = state.redrivers_off.max(until);
    state.trouble = state.trouble.max(until + 20 * MINUTE);
    state.meet("redrivers off");
}

async fn deploy_alone(world: Arc<World>, fleet: Arc<Fleet>) {
    deploy(&world, &fleet).await;
}

/// Releases a new version of the configuration, which the processes adopt one after another.
async fn deploy(world: &Arc<World>, fleet: &Arc<Fleet>) {
    let Ok(_releasing) = world.releasing.try_lock() else { return };
    let (now, part) = (world.now(), world.plan.hours * HOUR / 3);
    let mut version = Version::clone(&world.state().version);
    let mut follow_up = None;
    {
        let mut state = world.state();
        let state = &mut *state;
        if version.typos.is_empty() {
            let place = state.rng.below(HOOKS);
            version.typos.insert(place);
            state.hook_trouble[place] = OPEN_END;
            state.meet("typo");
            // The typo is corrected after hours or days.
            let most = (36 * HOUR).min(world.plan.hours * HOUR / 4);
            follow_up = Some(state.rng.range(most / 8, most));
        }
        if state.rng.happens(500) {
            version.generation += 1;
            state.meet("rotation of secrets");
        }
        if version.wrong_secret.is_none() {
            let place = state.rng.pick(&[18, 43]);
            version.wrong_secret = Some(place);
            state.wrong_secret.insert(place, OPEN_END);
        } else {
            version.wrong_secret = None;
        }
        let shards = state.rng.pick(&[1, 2, 4, 8]);
        if shards != state.shards {
            state.shards = shards;
            let left = world.store.count("spill/");
            state.meet(if left > 0 { "shards changed with work left" } else { "shards changed" });
        }
        // A delivery with a mistyped topic can go nowhere once its hook is gone, so the hook is not renamed or
        // removed then.
        let is_mistyped = |is_it: fn(Hook) -> bool| version.typos.iter().any(|place| is_it(hook(*place)));
        let waiting = world.store.count("spill/tdmq/h22");
        state.keeps_name = is_mistyped(|hook| hook.is_renamed) || (state.keeps_name && waiting > 0);
        version.is_renamed |= !state.keeps_name && now > part;
        let waiting = world.store.count("spill/rocketmq/h23");
        state.keeps_hook = is_mistyped(|hook| hook.is_removed) || (state.keeps_hook && waiting > 0);
        version.is_removed |= !state.keeps_hook && (now > part && waiting > 0 || now > 2 * part);
    }
    release(world, fleet, version).await;
    if let Some(wait) = follow_up {
        let (world, fleet) = (Arc::clone(world), Arc::clone(fleet));
        tokio::spawn(async move {
            sleep(Duration::from_millis(wait)).await;
            correct(&world, &fleet).await;
        });
    }
}

/// Releases a version without the typo and the wrong secret.
pub(crate) async fn correct(world: &Arc<World>, fleet: &Arc<Fleet>) {
    let _releasing = world.releasing.lock().await;
    let mut version = Version::clone(&world.state().version);
    version.typos.clear();
    version.wrong_secret = None;
    release(world, fleet, version).await;
}

async fn release(world: &Arc<World>, fleet: &Arc<Fleet>, mut version: Version) {
    let number = {
        let mut state = world.state();
        version.number = state.version.number + 1;
        state.version = Arc::new(version.clone());
        state.meet("deployment");
        version.number
    };
    world.overlap(true);
    world.wishes.raise(number);
    while !fleet.is_at(number) && !world.is_over() {
        sleep(Duration::from_millis(30 * SECOND)).await;
    }
    // The old processes finish their work in progress.
    sleep(Duration::from_millis(6 * MINUTE)).await;
    world.overlap(false);
    let now = world.now();
    let mut state = world.state();
    if state.version.number != number {
        return;
    }
    state.generation = version.generation;
    for place in 0..HOOKS {
        if state.hook_trouble[place] == OPEN_END && !version.typos.contains(&place) {
            state.hook_trouble[place] = now;
        }
    }
    let right: Vec<usize> = state.wrong_secret.keys().copied().collect();
    for place in right.into_iter().filter(|place| version.wrong_secret != Some(*place)) {
        state.wrong_secret.insert(place, now + MINUTE);
    }
    state.trouble = state.trouble.max(now);
}

/// Ends all faults, and corrects the configuration.
pub(crate) async fn mend(world: &Arc<World>, fleet: &Arc<Fleet>) {
    {
        let now = world.now();
        let mut state = world.state();
        state.modes = [None; 3];
        state.hook_modes.clear();
        state.store_mode = None;
        state.redrivers_off = 0;
        state.target_trouble = [now; 3];
        state.trouble = state.trouble.max(now);
        for (at, key) in world.keys.iter().enumerate() {
            key.store(state.keys[at], Ordering::Relaxed);
        }
    }
    correct(world, fleet).await;
}

/// Checks the acknowledged deliveries that are not in the queue yet, every ten minutes.
pub(crate) async fn watch(world: Arc<World>) {
    loop {
        sleep(Duration::from_millis(10 * MINUTE)).await;
        look(&world);
    }
}

pub(crate) fn look(world: &World) {
    let now = world.now();
    let open: Vec<((u32, u8), Paths)> = {
        let mut state = world.state();
        if now % HOUR < 10 * MINUTE {
            let buried = std::mem::take(&mut state.ledger.buried);
            state.ledger.open.extend(buried);
        }
        state.ledger.open.iter().map(|(key, paths)| (*key, Arc::clone(paths))).collect()
    };
    for ((number, at), paths) in open {
        let Some(entry) = world.state().ledger.entries.get(number as usize).copied() else { continue };
        let (place, lane) = (usize::from(entry.place), usize::from(at));
        let Some(target) = hook(place).lanes.get(lane).copied() else { continue };
        let waits = world.has("spill", &paths);
        if !waits && !world.has("dead", &paths) {
            world.broke(format!(
                "lost: {number} of hook {place} was acknowledged, and is neither in the queue nor in the store"
            ));
            return;
        }
        if !waits {
            let mut state = world.state();
            state.ledger.open.remove(&(number, at));
            state.ledger.buried.insert((number, at), paths);
            continue;
        }
        let state = world.state();
        let quiet = [
            state.trouble,
            state.target_trouble[target],
            state.hook_trouble[place],
            entry.lanes[lane.min(1)].spilled,
            state.redrivers_off,
        ];
        let since = quiet.into_iter().max().unwrap_or_default();
        let is_late = since.saturating_add(BOUND) < now;
        drop(state);
        if is_late {
            world.broke(format!(
                "stranded: {number} of hook {place} has waited for {} min although nothing is wrong with it",
                (now - since) / MINUTE
            ));
            return;
        }
    }
}
