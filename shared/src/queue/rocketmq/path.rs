//! Address of the operation that stores a message, in the two forms that the vendor's SDKs have.
//!
//! | Form | Path | Operation of the SDK |
//! |---|---|---|
//! | [`EngineFirst`](PathForm::EngineFirst) | `/v2/rocketmq/{project_id}/instances/{instance_id}/messages` | `SendMessage` |
//! | [`ProjectFirst`](PathForm::ProjectFirst) | `/v2/{project_id}/rocketmq/instances/{instance_id}/messages` | `SendMessageForRocketMq` |
//!
//! Huawei Cloud documents the first one, Open Telekom Cloud the second:
//! <https://support.huaweicloud.com/api-hrm/SendMessage.html>,
//! <https://docs.otc.t-systems.com/distributed-message-service-rocketmq/api-ref/>. A gateway that does not know an
//! address says so by a code of its own, and has then stored nothing, so the other form is tried.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::env::{Env, EnvProblem};
use crate::net::endpoint::Endpoint;
use crate::queue::failure::Failure;

/// Variable that names the form.
pub(super) const PATH: &str = "ROCKETMQ_PATH";

/// Form of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathForm {
    EngineFirst,
    ProjectFirst,
}

impl PathForm {
    /// Reads the form that the environment names for all its endpoints.
    pub(super) fn named(env: &Env) -> Result<Option<Self>, EnvProblem> {
        let Some(word) = env.get(PATH) else { return Ok(None) };
        let words = [("engine-first", Self::EngineFirst), ("project-first", Self::ProjectFirst)];
        let known = words.into_iter().find(|(known, _)| *known == word);
        let message = "is neither engine-first (/v2/rocketmq/{project_id}/…) nor project-first \
                       (/v2/{project_id}/rocketmq/…)";
        let problem = || EnvProblem { variable: PATH, message: message.to_owned() };
        known.map(|(_, form)| Some(form)).ok_or_else(problem)
    }

    /// Returns the form that the cloud of this host documents.
    pub(super) fn of_host(host: &str) -> Self {
        let name = host.split(':').next().unwrap_or(host).to_ascii_lowercase();
        let is_huaweis = [".myhuaweicloud.com", ".myhuaweicloud.eu"].iter().any(|end| name.ends_with(end));
        if is_huaweis && name.starts_with("dms.") { Self::EngineFirst } else { Self::ProjectFirst }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::EngineFirst => Self::ProjectFirst,
            Self::ProjectFirst => Self::EngineFirst,
        }
    }

    /// Builds the path without `?topic=`: one example of the documents has it, but no SDK sends it.
    pub(super) fn path(self, project: &str, instance: &str) -> String {
        match self {
            Self::EngineFirst => format!("/v2/rocketmq/{project}/instances/{instance}/messages"),
            Self::ProjectFirst => format!("/v2/{project}/rocketmq/instances/{instance}/messages"),
        }
    }
}

/// Returns true if the gateway does not know the address. A missing instance or topic has a code of DMS, and a
/// proxy's 404 has none.
pub(super) fn is_unknown(status: u16, failure: &Failure) -> bool {
    status == 404 && matches!(failure.code.as_deref(), Some("APIG.0101" | "APIGW.0101"))
}

/// Forms of the address by endpoint: each endpoint is another gateway, perhaps another cloud's.
#[derive(Default)]
pub(super) struct Forms(Mutex<Vec<(Endpoint, PathForm)>>);

/// Upper bound on the endpoints that are remembered: an environment names a few.
const MAX_ENDPOINTS: usize = 16;

impl Forms {
    /// Returns the form that is remembered for this endpoint.
    pub(super) fn of(&self, endpoint: &Endpoint) -> Option<PathForm> {
        self.known().iter().find(|(known, _)| known == endpoint).map(|(_, form)| *form)
    }

    /// Remembers this form for this endpoint, and forgets the oldest one if there are many.
    pub(super) fn keep(&self, endpoint: &Endpoint, form: PathForm) {
        let mut known = self.known();
        known.retain(|(known, _)| known != endpoint);
        known.insert(0, (endpoint.clone(), form));
        known.truncate(MAX_ENDPOINTS);
    }

    // Each change leaves a valid list, so a poisoned lock is of no consequence.
    fn known(&self) -> MutexGuard<'_, Vec<(Endpoint, PathForm)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_one_that_the_cloud_documents() {
        for (host, form) in [
            ("dms.ap-southeast-3.myhuaweicloud.com", PathForm::EngineFirst),
            ("dms.eu-west-101.myhuaweicloud.eu", PathForm::EngineFirst),
            ("DMS.cn-north-4.myhuaweicloud.com:443", PathForm::EngineFirst),
            ("dms.eu-de.otc.t-systems.com", PathForm::ProjectFirst),
            ("obs.eu-west-101.myhuaweicloud.eu", PathForm::ProjectFirst),
            ("dms.myhuaweicloud.com.example.com", PathForm::ProjectFirst),
            ("127.0.0.1:8080", PathForm::ProjectFirst),
        ] {
            assert_eq!(PathForm::of_host(host), form, "{host}");
        }
    }

    #[test]
    fn the_oldest_endpoint_is_forgotten_first() {
        let endpoint =
            |number: usize| Endpoint::parse(&format!("https://dms-{number}.example"), false).unwrap();
        let forms = Forms::default();
        for number in 0..=MAX_ENDPOINTS {
            forms.keep(&endpoint(number), PathForm::EngineFirst);
        }
        let known: Vec<_> =
            (0..=MAX_ENDPOINTS).filter(|number| forms.of(&endpoint(*number)).is_some()).collect();
        assert_eq!(known, (1..=MAX_ENDPOINTS).collect::<Vec<_>>());
        // One that is kept again is the newest, once, and with its last form.
        forms.keep(&endpoint(1), PathForm::ProjectFirst);
        forms.keep(&endpoint(MAX_ENDPOINTS + 1), PathForm::EngineFirst);
        assert_eq!(forms.of(&endpoint(1)), Some(PathForm::ProjectFirst));
        assert_eq!((forms.of(&endpoint(2)), forms.of(&endpoint(3))), (None, Some(PathForm::EngineFirst)));
    }
}
