//! What is known of a delivery before it is carried, and the terms that follow from it.

use super::course::{Form, Origin, Terms};
use crate::config::{Keeping, Mode, Oversize};
use crate::queue::Class;
use crate::sabotage::{Safeguard, is_pulled};
use crate::spill::Folder;

/// The class of a delivery that no message can be made of.
pub const UNRENDERABLE: &str = "unrenderable";

/// What is known of a delivery before it is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// What is stored of it; `None` where a sender waits.
    pub stored: Option<Kept<'a>>,
    /// What today's hook keeps; `None` if it is gone.
    pub keeping: Option<Keeping>,
    /// Whether today's hook can make messages for the target.
    pub has_recipe: bool,
    /// Whether there is a store.
    pub has_store: bool,
    /// Whether its id is the provider's.
    pub id_from_provider: bool,
}

/// What is known of a delivery that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept<'a> {
    /// Where it lies.
    pub folder: Folder,
    /// The form of the message that is stored with it.
    pub message: Option<Form>,
    /// The class that is stored with it.
    pub errorclass: &'a str,
    /// Whether the message is made anew, whatever failed.
    pub render: bool,
}

impl Terms {
    /// The terms that follow from the facts.
    pub fn of(facts: &Facts<'_>) -> Self {
        let Facts { keeping, has_recipe, has_store, .. } = *facts;
        let (origin, stored, render_first) = match facts.stored {
            None => {
                let spill = keeping.map_or(Mode::Never, |keeping| keeping.spill);
                let spill = if has_store { spill } else { Mode::Never };
                (Origin::Sender { spill }, None, false)
            }
            Some(kept) => {
                let origin = if kept.folder == Folder::Dead { Origin::Dead } else { Origin::Spill };
                // Whoever sends what lies in `dead/` has corrected something: the class that came last may
                // hide another one.
                let is_corrected = origin == Origin::Dead || is_corrected_in_hooks(kept.errorclass);
                let is_corrected = is_corrected && !is_pulled(Safeguard::RenderAnew);
                (origin, kept.message, kept.render || is_corrected)
            }
        };
        let is_named = facts.id_from_provider || is_pulled(Safeguard::DedupeByProvidersId);
        let dedupe = has_store && is_named && keeping.is_some_and(|keeping| keeping.dedupe.is_some());
        let may_refer =
            has_store && has_recipe && keeping.is_some_and(|keeping| keeping.oversize == Oversize::Reference);
        Self { origin, stored, has_hook: has_recipe, render_first, dedupe, may_refer }
    }
}

/// Whether what failed last is corrected in the hooks file; a delivery without a message waits for that.
fn is_corrected_in_hooks(errorclass: &str) -> bool {
    let mut corrected = Class::ALL.into_iter().filter(|class| class.is_corrected_in_hooks());
    errorclass == UNRENDERABLE || corrected.any(|class| class.as_str() == errorclass)
}
