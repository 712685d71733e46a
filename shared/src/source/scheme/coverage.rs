//! Parts of a request that a scheme covers.

use crate::delivery::Coverage;
use crate::secret::Secret;
use crate::source::scheme::Scheme;
use crate::source::scheme::decrypt::Decrypt;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::kinds::{Kind, Rule, Several};
use crate::source::scheme::proof::Proof;

impl Scheme {
    pub(crate) fn coverage(&self) -> Coverage {
        match &self.kind {
            Kind::None => Coverage::None,
            Kind::Several(several) => several.coverage(),
            Kind::Signed(signed) if signed.template.has_body() || !signed.body_hash.is_empty() => {
                Coverage::Body
            }
            // The ciphertext holds everything that is forwarded of an encrypted event.
            Kind::Signed(signed)
                if self
                    .decrypt
                    .as_ref()
                    .is_some_and(|d| !d.optional && signed.template.covers(&d.ciphertext)) =>
            {
                Coverage::Body
            }
            Kind::Jwt(jwt) if jwt.covers_body() => Coverage::Body,
            Kind::Token(_) | Kind::Jwt(_) | Kind::Network(_) | Kind::Signed(_) => Coverage::Request,
        }
    }

    /// Returns true if nobody but the sender can change the id of a delivery.
    #[cfg(feature = "catalog")]
    pub(crate) fn signs_id(&self) -> bool {
        self.id.iter().all(|field| self.signs(field))
    }

    /// Returns true if a change of the value at this place is noticed.
    pub(crate) fn signs(&self, field: &Field) -> bool {
        match &self.kind {
            Kind::Signed(signed) => {
                let covers_event = |decrypt: &Decrypt| signed.template.covers(&decrypt.ciphertext);
                signed.template.covers(field)
                    || !signed.body_hash.is_empty() && field.in_body()
                    || field.is_decrypted() && self.decrypt.as_ref().is_some_and(covers_event)
            }
            Kind::Jwt(jwt) => jwt.covers_body() && (field.in_body() || field.is_decrypted()),
            Kind::Several(Several { rule: Rule::All, members }) => {
                members.iter().any(|member| member.signs(field))
            }
            Kind::Several(several) => several.members.iter().all(|member| member.signs(field)),
            Kind::None | Kind::Token(_) | Kind::Network(_) => false,
        }
    }

    /// Returns the members of a JSON body that are kept if this request signs only some of them: the signed
    /// members, and the members that say how they are signed. Returns `None` if the whole body is kept.
    pub(crate) fn signed_members(&self, view: &View<'_>) -> Option<Vec<&str>> {
        let Kind::Signed(signed) = &self.kind else { return None };
        let mut members = signed.template.members(view)?;
        let pins = self.require.iter().map(|pin| &pin.from);
        let key = signed.algorithm.named_by();
        let how = pins.chain([&signed.signature.from]).chain(key);
        members.extend(
            how.filter_map(|field| if let Field::Json(path) = field { Some(path.as_str()) } else { None }),
        );
        Some(members)
    }

    /// Returns the [`signed_members`](Self::signed_members) of the verifiers that accepted a request: all of
    /// them, or the one that did under `any`. If one of them signs the whole body, the whole body is kept.
    pub(crate) fn kept_members(&self, proof: &Proof, view: &View<'_>) -> Option<Vec<&str>> {
        let accepted = match proof.verifier {
            Some(number) => self.verifiers().get(number..=number).unwrap_or_default(),
            None => self.verifiers(),
        };
        let mut signed = accepted.iter().filter(|verifier| verifier.coverage() == Coverage::Body);
        let first = signed.next()?.signed_members(view)?;
        signed.all(|verifier| verifier.signed_members(view).is_some()).then_some(first)
    }

    pub(crate) fn needs_url(&self) -> bool {
        let needs = |verifier: &Self| matches!(&verifier.kind, Kind::Signed(s) if s.template.has_url());
        self.verifiers().iter().any(needs)
    }

    pub(crate) fn warning(&self) -> Option<&'static str> {
        match &self.kind {
            // A network beside another verifier already follows the advice of the warning.
            Kind::Several(Several { rule: Rule::All, members }) => {
                let mut others = members.iter().filter(|member| !matches!(member.kind, Kind::Network(_)));
                others.find_map(Self::warning)
            }
            Kind::Several(several) => several.members.iter().find_map(Self::warning),
            kind => kind.warning(),
        }
    }

    /// Returns the length of the shortest key that the hook's secret with this number makes, in bytes.
    pub(crate) fn key_length(&self, number: usize, secret: &Secret) -> usize {
        let takers = self.verifiers().iter().filter(|verifier| verifier.key_of(number).is_some());
        takers.map(|verifier| verifier.kind.key_length(secret)).min().unwrap_or(secret.expose().len())
    }
}
