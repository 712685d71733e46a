//! Several verifiers on one hook: `kind = "any"` and `kind = "all"`.

use crate::clock::Timestamp;
use crate::delivery::Coverage;
use crate::reader::Table;
use crate::source::scheme::Scheme;
use crate::source::scheme::field::View;
use crate::source::scheme::proof::{Proof, Refusal};
use crate::source::{Rejection, VerifyStep};

/// The verifiers in the key `verify`, each written like a single one. If more than one takes secrets, each
/// names its own among the hook's `secrets`: a public key of one verifier must never be the token of another.
#[derive(Clone, Debug)]
pub(crate) struct Several {
    pub(crate) rule: Rule,
    pub(crate) members: Vec<Scheme>,
}

/// Number of verifiers that must accept a request: one, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Any,
    All,
}

impl Several {
    pub(super) fn read(table: &Table<'_>, rule: Rule) -> Option<Self> {
        const EXAMPLE: &str = r#"verify = [{ kind = "network", … }, { kind = "token", … }]"#;
        let tables = table.tables("verify").unwrap_or_default();
        if tables.len() < 2 {
            table.error("verify", format!("at least two verifiers are needed: write {EXAMPLE}"));
        }
        let members: Option<Vec<Scheme>> = tables.into_iter().map(Scheme::read_member).collect();
        let members = members.filter(|members| members.len() > 1)?;
        let keyed = members.iter().filter(|member| member.kind.takes_secrets());
        if keyed.clone().count() > 1 && keyed.clone().any(|member| member.own_secrets.is_none()) {
            table.error("verify", "each verifier needs a list of its secrets: write secrets = [0] into each");
            return None;
        }
        Some(Self { rule, members })
    }

    /// Returns the coverage of the set: that of the weakest member under `any`, of the strongest under `all`.
    pub(crate) fn coverage(&self) -> Coverage {
        let mut covers_body = self.members.iter().map(|member| member.coverage() == Coverage::Body);
        let is_covered = match self.rule {
            Rule::Any => covers_body.all(|covers| covers),
            Rule::All => covers_body.any(|covers| covers),
        };
        if is_covered { Coverage::Body } else { Coverage::Request }
    }

    pub(crate) fn prove(&self, view: &View<'_>, now: Timestamp) -> Result<Proof, Refusal> {
        match self.rule {
            Rule::All => self.all(view, now),
            Rule::Any => self.any(view, now),
        }
    }

    /// Proves a request by all members. A refusal takes precedence over a key that is still missing: nothing
    /// is fetched for a request that is refused in any case.
    fn all(&self, view: &View<'_>, now: Timestamp) -> Result<Proof, Refusal> {
        let (mut proof, mut open) = (Proof::default(), None);
        for member in &self.members {
            match member.prove(view, now) {
                Ok(next) => proof = proof.and(next),
                Err(refusal) if refusal.1.is_open() => open = open.or(Some(refusal)),
                Err(refusal) => return Err(refusal),
            }
        }
        open.map_or(Ok(proof), Err)
    }

    /// Proves a request by the first member that accepts it.
    fn any(&self, view: &View<'_>, now: Timestamp) -> Result<Proof, Refusal> {
        let mut rejections = Vec::new();
        for (number, member) in self.members.iter().enumerate() {
            match member.prove(view, now) {
                Ok(proof) => return Ok(Proof { verifier: Some(number), ..proof }),
                Err((_, rejection)) => rejections.push(rejection),
            }
        }
        // A member that awaits a key may still accept, so its fetch comes first; a key that cannot be fetched
        // is reported last.
        let is_fetch = |rejection: &Rejection| matches!(rejection, Rejection::Fetch(_));
        let open = rejections.iter().position(is_fetch).or(rejections.iter().position(Rejection::is_open));
        let open = open.map(|number| (VerifyStep::Key, rejections.swap_remove(number)));
        Err(open.unwrap_or((VerifyStep::Any, Rejection::NoVerifier(rejections))))
    }
}
