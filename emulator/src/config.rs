//! The emulator's configuration: credentials, topics and the clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::spec::{KeyPair, Lookup, Vendor};
use crate::store::StoredMessage;

/// The credentials and names of [`Config::default`], which are published and therefore worthless anywhere
/// else.
pub mod sample {
    /// Tencent Cloud `SecretId`.
    pub const SECRET_ID: &str = "AKIDhookmqEmulatorSample000000000000";
    /// Tencent Cloud `SecretKey`.
    pub const SECRET_KEY: &str = "hookmqEmulatorSampleSecretKey000";
    /// Huawei Cloud / OTC access key.
    pub const ACCESS_KEY: &str = "HOOKMQEMULATORSAMPLE";
    /// Huawei Cloud / OTC secret key.
    pub const SECRET_ACCESS_KEY: &str = "hookmqEmulatorSampleSecretAccessKey00000";
    /// Project id: 32 hex digits, as DMS demands.
    pub const PROJECT_ID: &str = "0123456789abcdef0123456789abcdef";
    /// Name of the same project.
    pub const PROJECT_NAME: &str = "eu-de";
    /// RocketMQ instance: a UUID, as DMS demands.
    pub const INSTANCE_ID: &str = "11111111-2222-3333-4444-555555555555";
    /// IAM domain (account) of the sample user.
    pub const DOMAIN: &str = "OTC00000000001000000000";
    /// IAM user name.
    pub const USERNAME: &str = "hookmq";
    /// IAM password.
    pub const PASSWORD: &str = "hookmq-emulator-sample-password";
}

/// Prefix of the names that `hookmq check --live` uses, for a TDMQ namespace or a DMS topic. No such name
/// exists, so a message to it is refused, regardless of [`Topics`].
pub(crate) const ABSENT: &str = "hookmq-check-";

/// Regions that Tencent lists for `SendMessages`
/// (<https://www.tencentcloud.com/document/api/1110/44129>, 2025-11-25).
const TDMQ_REGIONS: [&str; 17] = [
    "ap-bangkok",
    "ap-beijing",
    "ap-chengdu",
    "ap-chongqing",
    "ap-guangzhou",
    "ap-hongkong",
    "ap-jakarta",
    "ap-nanjing",
    "ap-seoul",
    "ap-shanghai",
    "ap-shanghai-fsi",
    "ap-shenzhen-fsi",
    "ap-singapore",
    "ap-tokyo",
    "eu-frankfurt",
    "na-ashburn",
    "na-siliconvalley",
];

/// The wall clock, against which signatures and tokens are checked, and which sets the `Date` header.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// A broker behind the emulator: takes each message before the emulator answers that it has it. The error is what the
/// client is told.
pub type Behind =
    Arc<dyn Fn(StoredMessage) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// Settings of an [`Emulator`](crate::Emulator). Start from [`Config::default`].
#[derive(Clone)]
pub struct Config {
    /// Keys that may call TDMQ.
    pub tdmq: Vec<TencentCredential>,
    /// Valid values of `X-TC-Region`; any other value is refused with `UnsupportedRegion`.
    pub tdmq_regions: Vec<String>,
    /// Regions of clusters, by the cluster's id, which is the tenant of a topic: such a cluster is found in
    /// its own region only. A cluster that is not listed is found in every region.
    pub tdmq_clusters: BTreeMap<String, String>,
    /// Topics of TDMQ.
    pub tdmq_topics: Topics,
    /// Keys that may call DMS, all of them for [`Config::project_id`].
    pub dms: Vec<HuaweiCredential>,
    /// Id of the only project: 32 hex digits.
    pub project_id: String,
    /// Name of the project, for IAM requests scoped by name.
    pub project_name: String,
    /// Id of the project's only RocketMQ instance: a UUID.
    pub instance_id: String,
    /// Forms of the address that the gateway in front of DMS knows; it refuses the others with `APIG.0101`.
    pub rocketmq_paths: BTreeSet<PathForm>,
    /// Topics of the RocketMQ instance.
    pub rocketmq_topics: Topics,
    /// Ids of access keys without the permission to send.
    pub denied: BTreeSet<String>,
    /// Users that may request a token from IAM.
    pub iam_users: Vec<IamUser>,
    /// Lifetime of a token; 24 hours at the vendor.
    pub token_ttl: Duration,
    /// The emulator's clock, to which `clock_offset_s` faults are added.
    pub clock: Clock,
    /// Broker that must have a message before the emulator does; `None` for none.
    pub behind: Option<Behind>,
    /// True if messages and requests are kept. Without them a long run takes little memory; they are counted
    /// in either case.
    pub keeps: bool,
}

impl Default for Config {
    /// Returns a configuration with one credential of each kind (see [`sample`]), every documented region and
    /// every well-formed topic.
    fn default() -> Self {
        Self {
            tdmq: vec![TencentCredential {
                secret_id: sample::SECRET_ID.into(),
                secret_key: sample::SECRET_KEY.into(),
                token: None,
            }],
            tdmq_regions: TDMQ_REGIONS.map(String::from).into(),
            tdmq_clusters: BTreeMap::new(),
            tdmq_topics: Topics::default(),
            dms: vec![HuaweiCredential {
                access_key: sample::ACCESS_KEY.into(),
                secret_key: sample::SECRET_ACCESS_KEY.into(),
                security_token: None,
            }],
            project_id: sample::PROJECT_ID.into(),
            project_name: sample::PROJECT_NAME.into(),
            instance_id: sample::INSTANCE_ID.into(),
            rocketmq_paths: [PathForm::EngineFirst, PathForm::ProjectFirst].into(),
            rocketmq_topics: Topics::default(),
            denied: BTreeSet::new(),
            iam_users: vec![IamUser {
                domain: sample::DOMAIN.into(),
                name: sample::USERNAME.into(),
                password: sample::PASSWORD.into(),
            }],
            token_ttl: Duration::from_secs(24 * 60 * 60),
            clock: Arc::new(system_clock),
            behind: None,
            keeps: true,
        }
    }
}

impl Config {
    /// Returns the default with these key pairs and topics for every service, in place of the sample's.
    pub fn restricted(keys: &[KeyPair], topics: &Topics) -> Self {
        let mut config = Self::default();
        for service in Vendor::ALL {
            (service.spec().restrict)(&mut config, keys, topics);
        }
        config
    }

    /// Returns the default with the credentials and names that each API's clients read from variables, as far as
    /// they are set.
    pub fn from_variables(lookup: &Lookup<'_>) -> Self {
        let mut config = Self::default();
        for service in Vendor::ALL {
            (service.spec().configure)(&mut config, lookup);
        }
        config
    }
}

/// Form of the address of DMS for RocketMQ, as the vendor's SDKs have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathForm {
    /// `/v2/{engine}/{project_id}/instances/{instance_id}/messages`, which Huawei Cloud documents; the engine is
    /// `rocketmq` or `reliability`.
    EngineFirst,
    /// `/v2/{project_id}/rocketmq/instances/{instance_id}/messages`, which Open Telekom Cloud documents.
    ProjectFirst,
}

#[expect(clippy::disallowed_methods, reason = "the default of the injected clock")]
fn system_clock() -> SystemTime {
    SystemTime::now()
}

/// A Tencent Cloud key pair, permanent or (with `token`) temporary.
#[derive(Clone)]
pub struct TencentCredential {
    /// `SecretId`.
    pub secret_id: String,
    /// `SecretKey`.
    pub secret_key: String,
    /// The token of a temporary key, which each request must send as `X-TC-Token`.
    pub token: Option<String>,
}

/// A Huawei Cloud / OTC key pair, permanent or (with `security_token`) temporary.
#[derive(Clone)]
pub struct HuaweiCredential {
    /// Access key (AK).
    pub access_key: String,
    /// Secret key (SK).
    pub secret_key: String,
    /// The token of a temporary key, which each request must send and sign as `X-Security-Token`.
    pub security_token: Option<String>,
}

/// A user that authenticates to IAM with a password.
#[derive(Clone)]
pub struct IamUser {
    /// Name of the user's domain (account).
    pub domain: String,
    /// Name of the user.
    pub name: String,
    /// Password of the user, in clear.
    pub password: String,
}

// The secrets must not appear in any `Debug` output.
impl fmt::Debug for TencentCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TencentCredential").field("secret_id", &self.secret_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for HuaweiCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HuaweiCredential").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl fmt::Debug for IamUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IamUser")
            .field("domain", &self.domain)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The set of existing topics. A malformed name never exists.
#[derive(Clone, Debug)]
pub enum Topics {
    /// Every well-formed name except the listed ones.
    AllBut(BTreeSet<String>),
    /// The listed names only.
    Only(BTreeSet<String>),
}

impl Default for Topics {
    fn default() -> Self {
        Self::AllBut(BTreeSet::new())
    }
}

impl Topics {
    /// Builds the set of all well-formed names except these.
    pub fn all_but<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::AllBut(names.into_iter().map(Into::into).collect())
    }

    /// Builds the set of these names.
    pub fn only<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::Only(names.into_iter().map(Into::into).collect())
    }

    /// Returns true if the topic exists. `full_name` returns the form to compare by, or `None` for a
    /// malformed name.
    pub(crate) fn has(&self, topic: &str, full_name: fn(&str) -> Option<String>) -> bool {
        let Some(topic) = full_name(topic) else { return false };
        let listed =
            |list: &BTreeSet<String>| list.iter().any(|name| full_name(name).as_ref() == Some(&topic));
        match self {
            Self::AllBut(missing) => !listed(missing),
            Self::Only(existing) => listed(existing),
        }
    }
}
