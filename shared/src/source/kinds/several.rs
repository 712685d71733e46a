//! `kind = "any"` and `kind = "all"`: several verifiers on one hook.

use crate::clock::Timestamp;
use crate::delivery::Coverage;
use crate::reader::Table;
use crate::source::field::View;
use crate::source::grammar::Scheme;
use crate::source::proof::{Proof, Refusal};
use crate::source::{Rejection, Step};

/// `verify`: the verifiers, each a table as for one alone. With more than one that takes secrets each
/// says which of the hook's `secrets` are its own: a public key that one takes must never be the token
/// of another.
#[derive(Clone, Debug)]
pub(in crate::source) struct Several {
    pub(in crate::source) rule: Rule,
    pub(in crate::source) members: Vec<Scheme>,
}

/// How many of the verifiers must accept a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum Rule {
    Any,
    All,
}

impl Several {
    pub(super) fn read(table: &Table<'_>, rule: Rule) -> Option<Self> {
        const EXAMPLE: &str = r#"verify = [{ kind = "network", … }, { kind = "token", … }]"#;
        let tables = table.tables("verify").unwrap_or_default();
        if tables.len() < 2 {
            table.error("verify", format!("several verifiers are at least two: write {EXAMPLE}"));
        }
        let members: Option<Vec<Scheme>> = tables.into_iter().map(Scheme::read_member).collect();
        let members = members.filter(|members| members.len() > 1)?;
        let keyed = members.iter().filter(|member| member.kind.takes_secrets());
        if keyed.clone().count() > 1 && keyed.clone().any(|member| member.own_secrets.is_none()) {
            table.error("verify", "which secrets are whose? Write secrets = [0] into each verifier");
            return None;
        }
        Some(Self { rule, members })
    }

    /// `any` proves no more than its weakest member, `all` as much as its strongest.
    pub(in crate::source) fn coverage(&self) -> Coverage {
        let mut covers_body = self.members.iter().map(|member| member.coverage() == Coverage::Body);
        let is_covered = match self.rule {
            Rule::Any => covers_body.all(|covers| covers),
            Rule::All => covers_body.any(|covers| covers),
        };
        if is_covered { Coverage::Body } else { Coverage::Request }
    }

    pub(in crate::source) fn prove(&self, view: &View<'_>, now: Timestamp) -> Result<Proof, Refusal> {
        match self.rule {
            Rule::All => self.all(view, now),
            Rule::Any => self.any(view, now),
        }
    }

    /// One that refuses counts before one that cannot tell yet: nothing is fetched for a request that
    /// is refused in any case.
    fn all(&self, view: &View<'_>, now: Timestamp) -> Result<Proof, Refusal> {
        let (mut proof, mut open) = (Proof::default(), None);
        for member in &self.members {
            match member.prove(view, now) {
                Ok(next) => proof = proof.and(&next),
                Err(refusal) if refusal.1.is_open() => open = open.or(Some(refusal)),
                Err(refusal) => return Err(refusal),
            }
        }
        open.map_or(Ok(proof), Err)
    }

    /// The first that accepts counts.
    fn any(&self, view: &View<'_>, now: Timestamp) -> Result<Proof, Refusal> {
        let mut rejections = Vec::new();
        for (number, member) in self.members.iter().enumerate() {
            match member.prove(view, now) {
                Ok(proof) => return Ok(Proof { verifier: Some(number), ..proof }),
                Err((_, rejection)) => rejections.push(rejection),
            }
        }
        // One that cannot tell yet may still accept; one for which nothing is left to fetch, at last.
        let is_fetch = |rejection: &Rejection| matches!(rejection, Rejection::Fetch(_));
        let open = rejections.iter().position(is_fetch).or(rejections.iter().position(Rejection::is_open));
        let open = open.map(|number| (Step::Key, rejections.swap_remove(number)));
        Err(open.unwrap_or((Step::Any, Rejection::NoVerifier(rejections))))
    }
}
