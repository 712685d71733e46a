//! The lifecycle rules of a bucket, in short: what is old in `claims/`, `sent/` and `quarantine/` is
//! deleted, while deliveries still wait in `spill/` whose messages refer to a claim.
//!
//! In truth a claim lives for days, and a message that was sent while it was there has been read long
//! before it goes. So nothing is deleted here that a message of this moment may still refer to: either no
//! function runs and everything that was sent has been read, or what is deleted is older than any function
//! leaves a claim before it sends what refers to it.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::harvest::objects;
use super::ledger::Moment;
use super::processes::Process;
use super::world::World;

/// What lifecycle rules are for: never `spill/` or `dead/`.
const PARTS: [&str; 3] = ["claims", "sent", "quarantine"];

/// What is as old goes while the functions run, in milliseconds: more than [`FRESH`](super::harvest::FRESH).
pub(super) const LIFE: Moment = 90_000;

/// Between two looks at whether the vendor has noticed that those who sent to it are gone: it stores what it
/// was sent before.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 500;

/// Kills the functions, has everything read that was sent, deletes all that a lifecycle may delete, and
/// starts the functions again.
pub(super) fn expire_everything(world: &World) -> io::Result<()> {
    let _stage = world.stage();
    let from = world.watch.now();
    world.note_kill(|| {
        world.forwarders.iter().chain(&world.redrivers).for_each(Process::kill);
        Ok(())
    })?;
    // The first look is late enough for what the system took for it before they were killed.
    for _ in 0..LOOKS {
        thread::sleep(LOOK);
        if world.emulator.open_connections() == 0 {
            break;
        }
    }
    world.harvest();
    // Known before it is done: what is read from here on may miss its claim.
    world.troubles().expiries.push((from, world.watch.now()));
    let deleted = delete(world, Duration::ZERO);
    for number in 0..world.forwarders.len() {
        world.restart_forwarder(number, None)?;
    }
    deleted?;
    world.start_redrivers()
}

/// Deletes what has been there for long.
pub(super) fn expire_old(world: &World) -> io::Result<()> {
    world.harvest();
    // What is taken by mistake is put back; nobody looks for it meanwhile.
    let _ledger = world.ledger();
    delete(world, Duration::from_millis(LIFE))
}

fn delete(world: &World, age: Duration) -> io::Result<()> {
    let store = world.site.store();
    let is_old = |path: &Path| {
        let written = path.metadata().and_then(|data| data.modified());
        written.is_ok_and(|at| at.elapsed().is_ok_and(|old| old >= age))
    };
    // What is gone already was deleted by a function.
    let missing =
        |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) };
    let aside = world.site.path("expired");
    for path in PARTS.iter().flat_map(|part| objects(&store, part)).filter(|path| is_old(path)) {
        // It may be written anew between the look and the deletion: what was taken is looked at again.
        if let Err(error) = std::fs::rename(&path, &aside) {
            missing(error)?;
        } else if !is_old(&aside) {
            std::fs::rename(&aside, &path)?;
        }
    }
    std::fs::remove_file(aside).or_else(missing)
}
