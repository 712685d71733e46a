//! The plan of faults: which faults, in which order, before which delivery. A seed always gives the same
//! plan. The exact moment at which a fault hits depends on real time and differs from run to run.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use hookmq_emulator::Fault;

use super::faults::{self, VENDOR_FAULTS};
use super::rng::Rng;
use super::world::Asked;
use super::{FORWARDERS, REDRIVERS, Spilling};

/// Faults of processes, with the weight of each in the draw.
const KILLS: &[(&str, u64)] = &[("kill-forwarder", 14), ("kill-redriver", 12), ("freeze", 3)];
/// Faults of the store, with their weights.
const STORE: &[(&str, u64)] = &[("store-failing", 5), ("store-full", 4)];
/// Faults of keys and secrets, with their weights.
const KEYS: &[(&str, u64)] = &[("rotate-key", 3), ("wrong-key", 2), ("rotate-secret", 3)];
/// Faults that take days in reality, with their weights: a topic that fails for long, a store whose lifecycle
/// deletes objects, and a mistyped topic that is corrected.
const DAYS: &[(&str, u64)] = &[("outage", 3), ("lifecycle", 3), ("repair", 2)];
/// A fault that leaves a redriver with much to send. It is not drawn: it comes once in `BACKLOG_EVERY`
/// deliveries, and once in shorter runs.
const BACKLOG: &str = "backlog";
const BACKLOG_EVERY: u64 = 50_000;
/// Upper bound on the number of deliveries in a backlog.
const BACKLOG_SIZE: u64 = 5_000;
/// Faults that last for the whole run: a second redriver that competes with the first, and senders that hang
/// up.
const STANDING: &[&str] = &["two-redrivers", "impatient"];

fn names() -> Vec<&'static str> {
    let drawn = [VENDOR_FAULTS, KEYS, KILLS, STORE, DAYS].concat();
    drawn.into_iter().map(|(name, _)| name).chain([BACKLOG]).chain(STANDING.iter().copied()).collect()
}

/// Lists the names of faults and of groups of faults that `--faults` takes.
fn known() -> String {
    format!("none, vendor, kills, store, days, all, or a list of {}", names().join(", "))
}

/// The set of faults of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Faults(BTreeSet<&'static str>);

impl Faults {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut set = BTreeSet::new();
        let mut add = |group: &'static [(&'static str, u64)]| set.extend(group.iter().map(|(name, _)| *name));
        match text {
            "none" => {}
            "vendor" => {
                add(VENDOR_FAULTS);
                set.extend(["rotate-key", "wrong-key"]);
            }
            "kills" => {
                add(KILLS);
                set.extend(STANDING);
            }
            "store" => {
                add(STORE);
                set.insert("two-redrivers");
            }
            "days" => {
                add(DAYS);
                set.insert(BACKLOG);
            }
            "all" => {
                [VENDOR_FAULTS, KEYS, KILLS, STORE, DAYS].into_iter().for_each(add);
                set.extend(STANDING);
                set.insert(BACKLOG);
            }
            list => {
                for name in list.split(',').map(str::trim) {
                    let found = names().into_iter().find(|known| *known == name);
                    set.insert(found.ok_or_else(|| format!("no fault {name}: write {}", known()))?);
                }
            }
        }
        Ok(Self(set))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the plan makes the vendor, or the network to it, fail.
    pub(super) fn has_vendor_faults(&self) -> bool {
        let with_them = [BACKLOG, "outage", "lifecycle"];
        VENDOR_FAULTS.iter().map(|(name, _)| *name).chain(with_them).any(|name| self.has(name))
    }
}

/// One action of the plan.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// The replacement of the vendor's passing faults, with the name of the fault.
    Vendor(&'static str, Vec<Fault>),
    /// The kill and restart of a forwarder after this number of milliseconds.
    KillForwarder(usize, u64),
    KillRedriver(usize, u64),
    /// The freeze of a forwarder for this number of milliseconds.
    Freeze(usize, u64),
    StoreFails,
    StoreWorks,
    /// The restart of a forwarder with an upper bound on the size of its files, in blocks.
    StoreFull(usize, u64),
    /// The change to the next generation of webhook secrets; `live` if the running processes must find it
    /// themselves, else with new processes.
    RotateSecrets {
        live: bool,
    },
    /// The change to the next key at the vendor.
    RotateKey,
    /// A wrong secret for the current key, which the vendor refuses.
    WrongKey,
    /// The order to all redrivers to send everything that waits.
    Redrive,
    /// The failure of the topic of the hook at this index, until `OutageOver`.
    Outage(usize, Fault),
    OutageOver(usize),
    /// The failure of the vendor without any redriver, until `BacklogOver`.
    Backlog(Fault),
    BacklogOver,
    /// The deletion of everything that a lifecycle may delete, while no function runs.
    Expire,
    /// A topic that does not exist for the hook at this index, until `Correct`.
    Mistype(usize),
    Correct(usize),
}

/// An action, and the number of the delivery before which it happens.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) at: u64,
    pub(super) action: Action,
}

/// Draws all steps of a run, in order.
pub(super) fn draw(asked: &Asked) -> VecDeque<Step> {
    let Asked { seed, deliveries, every, vendor, spilling, hooks, faults, .. } = asked;
    let (seed, deliveries, vendor) = (*seed, *deliveries, *vendor);
    let mut rng = Rng::of(seed, 0);
    let with_store = *spilling != Spilling::Never;
    let mut choices: Vec<(&str, u64)> = [VENDOR_FAULTS, KEYS, KILLS, DAYS]
        .concat()
        .into_iter()
        .chain(if with_store { STORE } else { &[] }.iter().copied())
        .filter(|(name, _)| {
            faults.has(name) && (with_store || !["kill-redriver", "lifecycle"].contains(name))
        })
        .collect();
    if !choices.is_empty() && with_store {
        let all: u64 = choices.iter().map(|(_, weight)| weight).sum();
        choices.push(("redrive", all / 10 + 1));
    }
    let (mut at, mut steps) = (0, Vec::new());
    if faults.has(BACKLOG) && with_store {
        backlogs(asked, &mut rng, &mut steps);
    }
    let places: Vec<_> = hooks.iter().enumerate().collect();
    while let Some((name, _)) = rng.pick(&choices, |(_, weight)| *weight) {
        at += rng.range(every / 5, every * 9 / 5).max(1);
        if at >= deliveries {
            break;
        }
        let forwarder = usize::try_from(rng.next()).unwrap_or_default() % FORWARDERS;
        let redriver = usize::try_from(rng.next()).unwrap_or_default() % REDRIVERS;
        let mended = at + rng.range(3, 60);
        let action = match *name {
            "kill-forwarder" => Action::KillForwarder(forwarder, rng.range(0, 60)),
            "kill-redriver" => Action::KillRedriver(redriver, rng.range(0, 400)),
            "freeze" => Action::Freeze(forwarder, rng.range(50, 1500)),
            "store-failing" => {
                steps.push(Step { at: mended, action: Action::StoreWorks });
                Action::StoreFails
            }
            "store-full" => Action::StoreFull(forwarder, rng.range(0, 6)),
            "rotate-secret" => Action::RotateSecrets { live: rng.happens(250) },
            "rotate-key" => Action::RotateKey,
            "wrong-key" => {
                steps.push(Step { at: mended, action: Action::RotateKey });
                Action::WrongKey
            }
            "redrive" => Action::Redrive,
            "outage" => {
                let Some((place, hook)) = rng.pick(&places, |_| 1).copied() else { break };
                let Some(fault) = faults::outage(hook, vendor, &mut rng) else { break };
                steps.push(Step { at: at + rng.range(20, 400), action: Action::OutageOver(place) });
                Action::Outage(place, fault)
            }
            "lifecycle" => {
                steps.push(Step { at: mended, action: Action::Expire });
                Action::Vendor("lifecycle", faults::referring(vendor, &mut rng))
            }
            "repair" => {
                let Some((place, _)) = rng.pick(&places, |(_, hook)| hook.share).copied() else { break };
                steps.push(Step { at: at + rng.range(20, 400), action: Action::Correct(place) });
                Action::Mistype(place)
            }
            name => Action::Vendor(name, faults::draw(name, vendor, hooks, &mut rng)),
        };
        steps.push(Step { at, action });
    }
    steps.sort_by_key(|step| step.at);
    steps.into()
}

/// Adds the backlogs, spread over the run.
fn backlogs(asked: &Asked, rng: &mut Rng, steps: &mut Vec<Step>) {
    let count = asked.deliveries / BACKLOG_EVERY + 1;
    let each = asked.deliveries / count;
    let size = (each / 4).min(BACKLOG_SIZE);
    for number in 0..count {
        let Some((fault, is_slow)) = faults::down(asked.vendor, rng) else { return };
        // With a slow fault each delivery waits for its deadline, and a full backlog would take hours.
        let size = if is_slow { size / 10 } else { size };
        let at = number * each + rng.range(0, each / 2);
        steps.push(Step { at, action: Action::Backlog(fault) });
        steps.push(Step { at: at + size, action: Action::BacklogOver });
    }
}

impl Action {
    /// Returns the name of the fault; `None` for an action that ends a fault, and for `Redrive`.
    pub(super) fn fault(&self) -> Option<&'static str> {
        Some(match self {
            Self::Vendor(name, _) => name,
            Self::KillForwarder(..) => "kill-forwarder",
            Self::KillRedriver(..) => "kill-redriver",
            Self::Freeze(..) => "freeze",
            Self::StoreFails => "store-failing",
            Self::StoreFull(..) => "store-full",
            Self::RotateSecrets { .. } => "rotate-secret",
            Self::RotateKey => "rotate-key",
            Self::WrongKey => "wrong-key",
            Self::Outage(..) => "outage",
            Self::Backlog(_) => BACKLOG,
            Self::Mistype(_) => "repair",
            Self::StoreWorks
            | Self::Redrive
            | Self::OutageOver(_)
            | Self::BacklogOver
            | Self::Expire
            | Self::Correct(_) => return None,
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} ", self.at)?;
        match &self.action {
            Action::Vendor(name, faults) => {
                let faults = serde_json::to_string(faults).unwrap_or_default();
                write!(f, "{name} {faults}")
            }
            other => write!(f, "{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64, faults: &str, spilling: Spilling) -> VecDeque<Step> {
        draw(&Asked { deliveries: 20_000, spilling, ..Asked::of(seed, faults) })
    }

    #[test]
    fn a_seed_gives_the_same_plan_and_another_seed_another() {
        let one = plan(1, "all", Spilling::OnFailure);
        assert_eq!(one, plan(1, "all", Spilling::OnFailure));
        assert_ne!(one, plan(2, "all", Spilling::OnFailure));
        assert!(one.len() > 900, "{}", one.len());
        assert!(one.iter().zip(one.iter().skip(1)).all(|(a, b)| a.at <= b.at));
    }

    #[test]
    fn every_fault_of_a_plan_happens_and_no_other() {
        let all = [VENDOR_FAULTS, KEYS, KILLS, STORE, DAYS].concat();
        let all: BTreeSet<_> = all.iter().map(|(name, _)| *name).chain([BACKLOG]).collect();
        let met = |faults, spilling| {
            plan(1, faults, spilling).iter().filter_map(|step| step.action.fault()).collect::<BTreeSet<_>>()
        };
        assert_eq!(met("all", Spilling::OnFailure), all);
        assert_eq!(met("clock, freeze", Spilling::Always), BTreeSet::from(["clock", "freeze"]));
        let without = met("all", Spilling::Never);
        assert!(!["store-full", "lifecycle", BACKLOG].iter().any(|name| without.contains(name)));
        assert!(without.contains("repair"));
        assert!(plan(1, "none", Spilling::OnFailure).is_empty());
        assert!(plan(1, "two-redrivers", Spilling::OnFailure).is_empty());
        assert!(Faults::parse("clock,sulk").unwrap_err().contains("sulk"));
    }

    #[test]
    fn what_breaks_is_mended() {
        type IsIt = fn(&Action) -> bool;
        let steps = plan(5, "store-failing,wrong-key", Spilling::OnFailure);
        let count = |action: &Action| steps.iter().filter(|step| step.action == *action).count();
        assert_eq!(count(&Action::StoreFails), count(&Action::StoreWorks));
        assert_eq!(count(&Action::WrongKey), count(&Action::RotateKey));
        let steps = plan(5, "days", Spilling::OnFailure);
        let count = |is_it: IsIt| steps.iter().filter(|step| is_it(&step.action)).count();
        let pairs: [[IsIt; 2]; 4] = [
            [|a| matches!(a, Action::Outage(..)), |a| matches!(a, Action::OutageOver(_))],
            [|a| matches!(a, Action::Mistype(_)), |a| matches!(a, Action::Correct(_))],
            [|a| matches!(a, Action::Vendor("lifecycle", _)), |a| matches!(a, Action::Expire)],
            [|a| matches!(a, Action::Backlog(_)), |a| matches!(a, Action::BacklogOver)],
        ];
        for [breaks, mends] in pairs {
            assert!(count(breaks) > 0 && count(breaks) == count(mends));
        }
    }

    #[test]
    fn faults_are_as_far_apart_as_is_asked() {
        let steps = draw(&Asked { deliveries: 100_000, every: 100, ..Asked::of(1, "vendor") });
        assert!((900..1200).contains(&steps.len()), "{}", steps.len());
    }
}
