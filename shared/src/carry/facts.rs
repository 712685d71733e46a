//! Facts about a delivery before it is carried, and the terms that follow from the facts.

use super::course::{Form, Origin, Terms};
use crate::config::{Keeping, Mode, Oversize};
use crate::queue::Class;
use crate::sabotage::{Safeguard, is_pulled};
use crate::spill::Folder;

/// Class of a delivery that cannot become a message.
pub const UNRENDERABLE: &str = "unrenderable";

/// Facts about a delivery before it is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Facts about the stored delivery; `None` if a sender waits for the answer.
    pub stored: Option<KeptFacts<'a>>,
    /// Settings of today's hook for the store; `None` if the hook is gone.
    pub keeping: Option<Keeping>,
    /// True if today's hook can make messages for the target.
    pub has_recipe: bool,
    /// True if there is a spill store.
    pub has_store: bool,
    /// True if the delivery's id is the provider's.
    pub id_from_provider: bool,
}

/// Facts about a delivery that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptFacts<'a> {
    /// Folder that holds the delivery.
    pub folder: Folder,
    /// Form of the stored message; `None` if the delivery is stored without one.
    pub message: Option<Form>,
    /// Class of the failure that is stored with the delivery.
    pub errorclass: &'a str,
    /// True if today's hook makes the message again, regardless of the stored failure.
    pub render: bool,
}

impl Terms {
    /// Derives the terms of a course from the facts.
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
                // A person who sends a delivery from `dead/` has corrected something, even if the class of
                // the last failure hides that.
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

/// Returns true if a person corrects the last failure in the hooks file. A delivery that could not become a
/// message waits for that, too.
fn is_corrected_in_hooks(errorclass: &str) -> bool {
    let mut corrected = Class::ALL.into_iter().filter(|class| class.is_corrected_in_hooks());
    errorclass == UNRENDERABLE || corrected.any(|class| class.as_str() == errorclass)
}
