//! Platform of the process, as far as its environment tells, and the durability of a folder there.
//!
//! | Platform | Variables that it sets | Part of the file system that outlives the process |
//! |---|---|---|
//! | AWS Lambda | `AWS_LAMBDA_…` | mounts below `/mnt` |
//! | Tencent SCF, event and web functions | `SCF_…` | the same |
//! | FunctionGraph, event and HTTP functions | `RUNTIME_…` | the same |
//! | Knative, Cloud Run | `K_…`, `CLOUD_RUN_…` | volumes, wherever they are mounted |
//! | any other | none of these | everything |
//!
//! A folder that the operator names in `DURABLE_FOLDER` counts as durable on every platform.

use crate::env::{Env, RUNTIME_API};

/// Variable with the folder that the operator declares to be durable.
pub(crate) const VOUCHED: &str = "DURABLE_FOLDER";

/// Only folder below which function platforms mount durable file systems.
const MOUNTS: &str = "/mnt";

/// Variable with the address of SCF's runtime interface.
pub(crate) const SCF_RUNTIME: &str = "SCF_RUNTIME_API";

/// Variable with the address of FunctionGraph's runtime interface.
pub(crate) const FUNCTION_GRAPH_RUNTIME: &str = "RUNTIME_API_ADDR";

/// Variable that names the platform whose credential header fields a function believes that is called over HTTP.
///
/// SCF keeps names that begin with `SCF_` for itself, and its console takes values of two bytes or more that begin
/// with a letter: <https://www.tencentcloud.com/document/product/583/32748>.
pub(crate) const TRUST: &str = "TRUST_PLATFORM_HEADERS";

/// Older switches with the same meaning as the two words of [`TRUST`].
pub(crate) const SCF_TRUST: &str = "SCF_TRUST_HEADERS";
pub(crate) const FUNCTION_GRAPH_TRUST: &str = "FGS_TRUST_HEADERS";

/// Variable with the name of a Lambda function.
pub(crate) const LAMBDA_FUNCTION: &str = "AWS_LAMBDA_FUNCTION_NAME";

/// Variables of the runtime interfaces that a function polls.
const RUNTIMES: [&str; 3] = [RUNTIME_API, SCF_RUNTIME, FUNCTION_GRAPH_RUNTIME];

/// Further variables of function platforms, each of which identifies a platform. Web and HTTP functions are
/// called without the platform's runtime interface, so the variables of that interface alone are not enough.
const FUNCTIONS: [&str; 7] = [
    LAMBDA_FUNCTION,
    "SCF_FUNCTIONNAME",
    "SCF_FUNCTIONVERSION",
    "SCF_NAMESPACE",
    "RUNTIME_FUNC_NAME",
    "RUNTIME_FUNC_VERSION",
    "RUNTIME_CODE_ROOT",
];

/// Variables of platforms that start and stop containers as requests come.
const CONTAINERS: [&str; 5] =
    ["K_SERVICE", "K_REVISION", "K_CONFIGURATION", "CLOUD_RUN_JOB", "CLOUD_RUN_EXECUTION"];

/// Platform that hands credentials to a function in header fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trusted {
    Scf,
    FunctionGraph,
}

impl Trusted {
    pub(crate) const ALL: [Self; 2] = [Self::Scf, Self::FunctionGraph];

    /// Returns the word for the platform in [`TRUST`].
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Scf => "scf",
            Self::FunctionGraph => "functiongraph",
        }
    }

    /// Returns the variable that declares trust in the platform, if there is one.
    pub(crate) fn named_by(self, env: &Env) -> Option<&'static str> {
        let switch = if self == Self::Scf { SCF_TRUST } else { FUNCTION_GRAPH_TRUST };
        if env.get(TRUST).is_some_and(|word| word == self.word()) {
            Some(TRUST)
        } else {
            env.is_on(switch).then_some(switch)
        }
    }
}

/// Environment that starts the process and may end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Function of a cloud, which may be frozen between two requests for any length of time. Holds the name
    /// of the variable that identifies it.
    Function(&'static str),
    /// Container that starts and stops as requests come. Holds the name of the variable that identifies it.
    Container(&'static str),
    /// Machine, or container that keeps running. Its folders count as durable.
    Machine,
}

/// Returns true if the environment names no function runtime, so that requests come over HTTP.
pub(crate) fn is_server(env: &Env) -> bool {
    // An invalid value of these variables is reported by the host that reads them.
    RUNTIMES.iter().all(|name| env.get(name).is_none())
}

/// Reason why data in a folder may be lost with the process. Holds the variable that identifies the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fleeting {
    /// Folder of a function. User action: name a bucket, or a mounted file system.
    #[error(
        "names a folder that is gone with the function ({0} is set, so this is one): use a bucket, or a file \
         system mounted under /mnt"
    )]
    Function(&'static str),
    /// Folder of a container. User action: name a bucket, or say which folder is a volume.
    #[error(
        "names a folder that is gone with the container ({0} is set, so the platform ends it when it likes): \
         use a bucket, or a volume that stays, and name its folder in DURABLE_FOLDER"
    )]
    Container(&'static str),
}

impl Platform {
    /// Determines the platform from the environment's variables.
    pub fn of(env: &Env) -> Self {
        let is_set = |name: &&'static str| env.get(name).is_some();
        let function = RUNTIMES.into_iter().chain(FUNCTIONS).find(is_set);
        // Trust in a platform only makes sense in functions that are called over HTTP.
        let function =
            function.or_else(|| Trusted::ALL.into_iter().find_map(|trusted| trusted.named_by(env)));
        match (function, CONTAINERS.into_iter().find(is_set)) {
            (Some(variable), _) => Self::Function(variable),
            (None, Some(variable)) => Self::Container(variable),
            (None, None) => Self::Machine,
        }
    }

    /// Returns true if the process may be frozen between two requests.
    pub const fn freezes(self) -> bool {
        matches!(self, Self::Function(_))
    }
}

/// Checks that data below this folder outlives the process. `folder` is an absolute path without a slash at
/// its end.
pub fn keeps(env: &Env, folder: &str) -> Result<(), Fleeting> {
    let is_below = |mount: &str| {
        let rest = folder.strip_prefix(mount.trim_end_matches('/'));
        mount.starts_with('/') && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // The root of a file system is never a mounted volume.
    let is_vouched = env.get(VOUCHED).is_some_and(|mount| mount.len() > 1 && is_below(&mount));
    match Platform::of(env) {
        _ if is_vouched => Ok(()),
        Platform::Machine => Ok(()),
        Platform::Function(_) if is_below(MOUNTS) && folder != MOUNTS => Ok(()),
        Platform::Function(variable) => Err(Fleeting::Function(variable)),
        Platform::Container(variable) => Err(Fleeting::Container(variable)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_every_platform_is_known() {
        for (variables, platform) in [
            (&[][..], Platform::Machine),
            (&[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("PORT", "8080")], Platform::Machine),
            (&[("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")], Platform::Function("AWS_LAMBDA_RUNTIME_API")),
            // A function behind a web adapter, without the runtime interface.
            (&[("AWS_LAMBDA_FUNCTION_NAME", "f")], Platform::Function("AWS_LAMBDA_FUNCTION_NAME")),
            (&[("SCF_RUNTIME_API", "169.254.0.1")], Platform::Function("SCF_RUNTIME_API")),
            (&[("SCF_FUNCTIONNAME", "f")], Platform::Function("SCF_FUNCTIONNAME")),
            (&[("SCF_NAMESPACE", "default")], Platform::Function("SCF_NAMESPACE")),
            (&[("SCF_TRUST_HEADERS", "1")], Platform::Function("SCF_TRUST_HEADERS")),
            (&[("SCF_TRUST_HEADERS", "0")], Platform::Machine),
            (&[("TRUST_PLATFORM_HEADERS", "scf")], Platform::Function("TRUST_PLATFORM_HEADERS")),
            (&[("TRUST_PLATFORM_HEADERS", "functiongraph")], Platform::Function("TRUST_PLATFORM_HEADERS")),
            (&[("TRUST_PLATFORM_HEADERS", "1")], Platform::Machine),
            (&[("RUNTIME_API_ADDR", "127.0.0.1:1")], Platform::Function("RUNTIME_API_ADDR")),
            (&[("RUNTIME_FUNC_NAME", "f")], Platform::Function("RUNTIME_FUNC_NAME")),
            (&[("RUNTIME_CODE_ROOT", "/opt/function/code")], Platform::Function("RUNTIME_CODE_ROOT")),
            (&[("FGS_TRUST_HEADERS", "true")], Platform::Function("FGS_TRUST_HEADERS")),
            (&[("K_SERVICE", "s"), ("K_REVISION", "s-1")], Platform::Container("K_SERVICE")),
            (&[("CLOUD_RUN_JOB", "j")], Platform::Container("CLOUD_RUN_JOB")),
            (&[("CLOUD_RUN_EXECUTION", "j-1")], Platform::Container("CLOUD_RUN_EXECUTION")),
        ] {
            assert_eq!(Platform::of(&Env::of(variables.iter().copied())), platform, "{variables:?}");
        }
    }

    #[test]
    fn a_folder_is_durable_where_something_outlives_the_process() {
        let function = ("SCF_FUNCTIONNAME", "f");
        let container = ("K_SERVICE", "s");
        let vouched = |folder| ("DURABLE_FOLDER", folder);
        for (variables, folder, is_kept) in [
            (&[][..], "/tmp/x", true),
            (&[function], "/tmp/x", false),
            (&[function], "/mnt/efs/x", true),
            (&[function], "/mnt/../tmp", true), // No folder of ours has such a part: the URL is refused before.
            (&[function], "/mnt", false),
            (&[function], "/mntx/y", false),
            (&[function, vouched("/data")], "/data/spill", true),
            (&[container], "/mnt/x", false),
            (&[container, vouched("/data")], "/data", true),
            (&[container, vouched("/data/")], "/data/spill", true),
            (&[container, vouched("/data")], "/database", false),
            (&[container, vouched("/")], "/data", false),
            (&[container, vouched("data")], "/data", false),
            (&[container, vouched("1")], "/data", false),
        ] {
            let env = Env::of(variables.iter().copied());
            assert_eq!(keeps(&env, folder).is_ok(), is_kept, "{variables:?} {folder}");
        }
    }
}
