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
    /// Reads the form from the environment, else takes the one that the endpoint's cloud documents.
    pub(super) fn of(env: &Env, endpoint: &Endpoint) -> Result<Self, EnvProblem> {
        let Some(word) = env.get(PATH) else { return Ok(Self::of_host(endpoint.host())) };
        let words = [("engine-first", Self::EngineFirst), ("project-first", Self::ProjectFirst)];
        let known = words.into_iter().find(|(known, _)| *known == word);
        let message = "is neither engine-first (/v2/rocketmq/{project_id}/…) nor project-first \
                       (/v2/{project_id}/rocketmq/…)";
        known.map(|(_, form)| form).ok_or_else(|| EnvProblem { variable: PATH, message: message.to_owned() })
    }

    fn of_host(host: &str) -> Self {
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

/// Forms that stored a message where the environment or the host's name led to the other one, by endpoint.
#[derive(Default)]
pub(super) struct Learned(Mutex<Vec<(Endpoint, PathForm)>>);

/// Upper bound on the endpoints that are remembered: an environment names a few.
const MAX_LEARNED: usize = 16;

impl Learned {
    /// Returns the form that this endpoint is known to take, else `first`.
    pub(super) fn form(&self, endpoint: &Endpoint, first: PathForm) -> PathForm {
        let learned = self.known();
        learned.iter().find(|(known, _)| known == endpoint).map_or(first, |(_, form)| *form)
    }

    /// Remembers the form by which this endpoint has stored a message.
    pub(super) fn learn(&self, endpoint: &Endpoint, form: PathForm) {
        let mut learned = self.known();
        learned.retain(|(known, _)| known != endpoint);
        learned.insert(0, (endpoint.clone(), form));
        learned.truncate(MAX_LEARNED);
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
}
