//! The lifecycle rules of a bucket, in short time: old objects in `claims/`, `sent/` and `quarantine/` are
//! deleted, while `spill/` still holds deliveries whose messages refer to a claim.
//!
//! In reality a claim lives for days, and a message that refers to it has been read long before the claim is
//! deleted. So this module deletes no object that a current message may still refer to: either no function
//! runs and every sent message has been read, or the deleted objects are older than any function leaves a
//! claim before it sends the message that refers to it.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::harvest::objects;
use super::ledger::Moment;
use super::processes::Process;
use super::world::World;

/// Folders that lifecycle rules cover: never `spill/` or `dead/`.
const PARTS: [&str; 3] = ["claims", "sent", "quarantine"];

/// Age at which objects are deleted while the functions run, in milliseconds: more than
/// [`FRESH`](super::harvest::FRESH).
pub(super) const LIFE: Moment = 90_000;

/// Interval between two checks if the vendor has closed the connections of the killed functions, because it
/// stores everything that it was sent before. `LOOKS` bounds the number of checks.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 500;

/// Kills the functions, harvests every sent message, deletes all objects that a lifecycle may delete, and
/// starts the functions again.
pub(super) fn expire_everything(world: &World) -> io::Result<()> {
    let _stage = world.stage();
    let from = world.watch.now();
    world.note_kill(|| {
        world.forwarders.iter().chain(&world.redrivers).for_each(Process::kill);
        Ok(())
    })?;
    // The first wait is long enough for data that the system accepted for the vendor before the kill.
    for _ in 0..LOOKS {
        thread::sleep(LOOK);
        if world.emulator.open_connections() == 0 {
            break;
        }
    }
    world.harvest();
    // Recorded before the deletion: a message read from here on may miss its claim.
    world.troubles().expiries.push((from, world.watch.now()));
    let deleted = delete(world, Duration::ZERO);
    for number in 0..world.forwarders.len() {
        world.restart_forwarder(number, None)?;
    }
    deleted?;
    world.start_redrivers()
}

/// Deletes objects older than [`LIFE`], after a harvest.
pub(super) fn expire_old(world: &World) -> io::Result<()> {
    world.harvest();
    // An object taken by mistake is put back; the ledger's lock keeps all readers out meanwhile.
    let _ledger = world.ledger();
    delete(world, Duration::from_millis(LIFE))
}

fn delete(world: &World, age: Duration) -> io::Result<()> {
    let store = world.site.store();
    let is_old = |path: &Path| {
        let written = path.metadata().and_then(|data| data.modified());
        written.is_ok_and(|at| at.elapsed().is_ok_and(|old| old >= age))
    };
    // A function may have deleted the object already.
    let missing =
        |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) };
    let aside = world.site.path("expired");
    for path in PARTS.iter().flat_map(|part| objects(&store, part)).filter(|path| is_old(path)) {
        // The object may be rewritten between the check and the move, so its age is checked again after the
        // move.
        if let Err(error) = std::fs::rename(&path, &aside) {
            missing(error)?;
        } else if !is_old(&aside) {
            std::fs::rename(&aside, &path)?;
        }
    }
    std::fs::remove_file(aside).or_else(missing)
}
