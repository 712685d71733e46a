//! The plans of the exploration. No single plan can explore everything at once, so several plans cover the
//! combinations that can interact.

use hookmq_shared::config::Mode;
use hookmq_shared::sabotage::Safeguard;

use crate::actions::Limits;
use crate::setting::{Body, Condition, Setting};
use crate::state::Left;

/// A plan, which is explored exhaustively.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the plan in the output.
    pub name: &'static str,
    /// The configurations of the hooks to explore.
    pub settings: Vec<Setting>,
    /// The bounds of the plan.
    pub limits: Limits,
}

/// Bits of the deliveries: the delivery of hook `a`; the first and the second of hook `b`.
const A: u8 = 1;
const B: u8 = 2;
const B2: u8 = 4;

const NONE: Left = Left { faults: 0, crashes: 0, requests: 0, deads: 0, removals: 0, jumps: 0, forgeries: 0 };

const fn plan(name: &'static str, things: u8, redrivers: usize, requests: usize, left: Left) -> Plan {
    Plan { name, settings: Vec::new(), limits: Limits { things, redrivers, requests, left } }
}

impl Plan {
    fn with(self, settings: Vec<Setting>) -> Self {
        Self { settings, ..self }
    }

    /// Returns the large plans, for a separate command.
    pub fn large() -> Vec<Self> {
        let all = Setting::all();
        let one = Left { faults: 1, crashes: 1, ..NONE };
        [
            plan(
                "everything that can meet one delivery",
                A,
                1,
                1,
                Left { requests: 1, deads: 1, removals: 1, jumps: 0, forgeries: 1, ..one },
            ),
            plan("a clock that jumps", A, 1, 1, Left { jumps: 1, crashes: 0, ..one }),
            plan("two faults", A, 1, 1, Left { faults: 2, crashes: 0, ..one }),
            plan("two redrivers", A, 2, 1, one),
            plan("a sender that does not wait for its answer", A, 1, 2, Left { requests: 1, ..one }),
            plan("two hooks", A | B, 1, 1, Left { crashes: 0, ..one }),
            plan(
                "two deliveries that share their id or their body",
                B | B2,
                1,
                1,
                Left { crashes: 0, ..one },
            ),
        ]
        .map(|plan| plan.with(all.clone()))
        .into()
    }

    /// Returns the small plans, for the tests: the same combinations with lower bounds.
    pub fn small() -> Vec<Self> {
        let all = Setting::all();
        let corrected: Vec<Setting> = all
            .iter()
            .filter(|setting| {
                setting.mode == Mode::OnFailure && setting.begins != Condition::Misfit && setting.refer
            })
            .copied()
            .collect();
        let one = Left { faults: 1, ..NONE };
        vec![
            plan("one delivery", A, 1, 1, Left { crashes: 1, forgeries: 1, ..one }).with(all),
            plan("an operator", A, 1, 1, Left { deads: 1, removals: 1, ..one }).with(corrected.clone()),
            plan("a sender that sends again", A, 1, 2, Left { requests: 1, ..one }).with(corrected.clone()),
            plan("two redrivers", A, 2, 1, one).with(corrected.clone()),
            plan("two hooks", A | B, 1, 1, one).with(corrected.clone()),
            plan("two deliveries that look alike", B | B2, 1, 1, NONE).with(corrected),
        ]
    }

    /// Returns a plan that breaks a promise without this safeguard; `None` if the model cannot detect the
    /// loss.
    pub fn against(safeguard: Safeguard) -> Option<Self> {
        let setting = Setting {
            mode: Mode::OnFailure,
            dedupe: true,
            named: true,
            body: Body::Small,
            refer: true,
            begins: Condition::Sound,
        };
        let fault = Left { faults: 1, ..NONE };
        let two = Left { faults: 2, ..NONE };
        let large = Setting { body: Body::TooLarge, ..setting };
        let typo = Setting { begins: Condition::Typo, ..setting };
        let nameless = Setting { named: false, ..setting };
        let (settings, things, left) = match safeguard {
            Safeguard::AnswerAfterWrite | Safeguard::Delete | Safeguard::ReceiptNamesMessage => {
                (vec![setting], A, fault)
            }
            Safeguard::HeldIsNoFailure
            | Safeguard::StoreFailureIsFailure
            | Safeguard::DeleteAfterReceipt
            | Safeguard::DeadBeforeDelete
            | Safeguard::MarkAfterReceipt
            | Safeguard::WaitIsClamped => (vec![setting], A, two),
            Safeguard::DedupeByProvidersId => (vec![nameless], A, Left { requests: 1, ..fault }),
            Safeguard::ClaimRenewed | Safeguard::ClaimReplaced => (vec![large], A, fault),
            Safeguard::RenderAnew => (vec![typo], A, fault),
            Safeguard::NameOfAll => (vec![setting], B | B2, two),
            Safeguard::IdOfAll => (vec![nameless], B | B2, two),
            Safeguard::Verification => (vec![setting], A, Left { forgeries: 1, ..NONE }),
            Safeguard::FailureStopsItsCause => (vec![typo], A | B, fault),
            Safeguard::MessageAsStored | Safeguard::SendOnce | Safeguard::CursorPassesHandled => return None,
        };
        Some(plan(safeguard.as_str(), things, 1, 1, left).with(settings))
    }
}

/// Returns the check that detects the loss of a safeguard.
pub const fn seen_by(safeguard: Safeguard) -> &'static str {
    match safeguard {
        Safeguard::MessageAsStored => "it is about bytes: processes (tests/conservation/sabotage.py)",
        Safeguard::SendOnce => "it is about duplicates, which are allowed: processes and the simulation",
        Safeguard::CursorPassesHandled => "it is about pages: the simulation and the tests of the walk",
        _ => "the model",
    }
}
