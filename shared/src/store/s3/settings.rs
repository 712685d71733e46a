//! Settings of a bucket: its name, its endpoint, and its credentials' variables.

use std::fmt;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::env::{AWS_SESSION_TOKEN, Env, EnvProblem, PATH_STYLE, RUNTIME_API};
use crate::net::endpoint::{Endpoint, EndpointError};
use crate::platform::LAMBDA_FUNCTION;
use crate::queue::credentials::{Credentials, Family, HUAWEI, Keyring, TENCENT, never};
use crate::vault::Lender;

/// Upper bound on the length of a prefix, in bytes: with a name of about the same length, S3's limit of 1024
/// is kept.
const MAX_PREFIX: usize = 500;

/// Region name of S3-compatible servers that have only one region.
const DEFAULT_REGION: &str = "us-east-1";

/// Variable with the endpoint of a store other than AWS's.
pub(crate) const ENDPOINT: &str = "S3_ENDPOINT";

/// Variable with the bucket's region.
pub(super) const REGION: &str = "S3_REGION";

/// Variables with a region, in the order in which they count; those after the first are of AWS's tools.
pub(crate) const REGIONS: [&str; 3] = [REGION, "AWS_REGION", "AWS_DEFAULT_REGION"];

/// Variable with the header fields that the bucket's owner demands of each write.
const WRITE_HEADERS: &str = "S3_WRITE_HEADERS";

/// Beginnings of AWS's region names, and the domain of each partition. The first match counts:
/// <https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json>
static PARTITIONS: [(&str, &str); 7] = [
    ("cn-", ".amazonaws.com.cn"),
    ("eusc-", ".amazonaws.eu"),
    ("us-iso-", ".c2s.ic.gov"),
    ("us-isob-", ".sc2s.sgov.gov"),
    ("us-isof-", ".csp.hci.ic.gov"),
    ("eu-isoe-", ".cloud.adc-e.uk"),
    ("", ".amazonaws.com"),
];

/// Labels of hosts that name the service. The region follows.
const SERVICES: [&str; 6] = ["s3", "s3-fips", "cos", "cos-internal", "obs", "dualstack"];

/// Names of services before a region in the same label.
const BEFORE_REGION: [&str; 7] = ["s3-fips-", "s3-", "oss-", "sos-", "tos-s3-", "ks3-", "objects-"];

/// Domains of stores whose regions have names without a hyphen.
const SHORT_REGIONS: [&str; 6] = [
    ".ovh.net",
    ".ovh.us",
    ".bcebos.com",
    ".your-objectstorage.com",
    ".digitaloceanspaces.com",
    ".vultrobjects.com",
];

/// Domain of a store whose only region is `auto`.
const AUTO_REGION: &str = ".r2.cloudflarestorage.com";

static OWN: [Family; 1] = [Family {
    id: "S3_ACCESS_KEY_ID",
    key: "S3_SECRET_ACCESS_KEY",
    token: Some("S3_SESSION_TOKEN"),
    is_lent: never,
}];

static AWS: [Family; 1] = [Family {
    id: "AWS_ACCESS_KEY_ID",
    key: "AWS_SECRET_ACCESS_KEY",
    token: Some(AWS_SESSION_TOKEN),
    is_lent: never,
}];

/// Returns the variables of access keys that are not a vendor's own.
#[cfg(feature = "catalog")]
pub(crate) fn families() -> impl Iterator<Item = &'static Family> {
    OWN.iter().chain(&AWS)
}

/// Bucket and the way to it. The credentials are not part of it: they are read for each call.
#[derive(Clone, Debug)]
pub(super) struct S3Settings {
    pub(super) bucket: String,
    /// Prefix of all keys: empty, or with a slash at its end.
    pub(super) prefix: String,
    /// Host of the bucket, or of the store.
    pub(super) endpoint: Endpoint,
    /// Path before an object's key: the endpoint's, and the bucket unless it is in the host.
    pub(super) base: String,
    /// True if the bucket was put before the endpoint's host, which not every store has an address for.
    pub(super) is_in_front: bool,
    pub(super) region: String,
    /// Header fields that the bucket's owner demands of each write.
    pub(super) fields: HeaderMap,
    vendor: Vendor,
}

/// Vendor whose credentials a store takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vendor {
    Tencent,
    Huawei,
    Other,
}

impl S3Settings {
    /// Reads the part of the URL after `s3:`, and the environment.
    pub(super) fn read(variable: &'static str, rest: &str, env: &Env) -> Result<Self, EnvProblem> {
        let wrong = |message: &str| EnvProblem { variable, message: message.to_owned() };
        let rest = rest.strip_prefix("//").ok_or_else(|| wrong(NOT_A_URL))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_bucket(bucket) {
            return Err(wrong(if bucket.is_empty() { NOT_A_URL } else { NOT_A_BUCKET }));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_segment = |s: &str| {
            !matches!(s, "" | "." | "..")
                && s.bytes().all(|b| b"-._".contains(&b) || b.is_ascii_alphanumeric())
        };
        if prefix.len() > MAX_PREFIX || !(prefix.is_empty() || prefix.split('/').all(is_segment)) {
            return Err(wrong("has a prefix that is not of letters, digits, '.', '-', '_' and single '/'"));
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let place = match env.get(ENDPOINT) {
            Some(endpoint) => at_endpoint(&endpoint, bucket, env)?,
            None => at_aws(bucket, env)?,
        };
        let Place { endpoint, base, is_in_front, region } = place;
        let is_of = |domain: &str| endpoint.host().ends_with(domain);
        let vendor = if is_of(".myqcloud.com") || is_of(".tencentcos.cn") {
            Vendor::Tencent
        } else if is_of(".myhuaweicloud.com") || is_of(".myhuaweicloud.eu") || is_of(".t-systems.com") {
            Vendor::Huawei
        } else {
            Vendor::Other
        };
        let fields = write_headers(env)?;
        Ok(Self { bucket: bucket.to_owned(), prefix, endpoint, base, is_in_front, region, fields, vendor })
    }

    /// Returns the variables that credentials may be in. For a vendor's store the vendor's own come before
    /// AWS's: inside Lambda AWS's are always set, and another vendor should not see them.
    pub(super) fn families(&self) -> impl Iterator<Item = &'static Family> + use<> {
        let vendors: &[Family] = match self.vendor {
            Vendor::Tencent => &TENCENT,
            Vendor::Huawei => &HUAWEI,
            Vendor::Other => &[],
        };
        OWN.iter().chain(vendors).chain(&AWS)
    }

    /// Returns the lenders of keys for an environment that has none, the vendor's own first.
    pub(super) const fn lenders(&self) -> &'static [Lender] {
        match self.vendor {
            Vendor::Tencent => &[Lender::Tke, Lender::Container],
            Vendor::Huawei => &[Lender::Agency, Lender::Container],
            Vendor::Other => &[Lender::Container],
        }
    }

    /// Returns the endpoint of a redirect if it belongs to the store's own domain: a request is signed for no
    /// stranger.
    pub(super) fn redirected(&self, location: &str) -> Option<Endpoint> {
        let uri: Uri = location.parse().ok()?;
        let place = format!("{}://{}", uri.scheme_str()?, uri.authority()?);
        let there = Endpoint::parse(&place, !self.endpoint.is_https()).ok()?;
        (domain(&there) == domain(&self.endpoint)).then_some(there)
    }

    /// Reads the current credentials.
    pub(super) fn credentials(&self, keys: Keyring<'_>) -> Result<Credentials, EnvProblem> {
        for family in self.families() {
            if let Some(credentials) = Credentials::from_env(keys, std::slice::from_ref(family))? {
                return Ok(credentials);
            }
        }
        if let Some(credentials) = keys.lent(self.lenders())? {
            return Ok(credentials);
        }
        let message = "is not set, nor are AWS_ACCESS_KEY_ID or the vendor's own: set it and \
                       S3_SECRET_ACCESS_KEY, or give the function or the container a role";
        Err(EnvProblem { variable: "S3_ACCESS_KEY_ID", message: message.to_owned() })
    }
}

/// URL of bucket and prefix.
impl fmt::Display for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix.trim_end_matches('/'))
    }
}

const NOT_A_URL: &str = "is not a bucket's URL: write it as s3://bucket or s3://bucket/prefix";

const NOT_A_BUCKET: &str = "does not name a bucket: a bucket's name is 3 to 63 lower-case letters, digits, \
                            '.' and '-', with a letter or digit at both ends";

/// Returns true if a bucket may have this name:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
fn is_bucket(name: &str) -> bool {
    let is_taken = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let is_end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    (3..=63).contains(&name.len())
        && bytes.iter().all(|b| is_taken(*b))
        && is_end(bytes.first())
        && is_end(bytes.last())
        && !name.contains("..")
        && name.parse::<IpAddr>().is_err()
}

/// Address of a bucket.
struct Place {
    endpoint: Endpoint,
    base: String,
    is_in_front: bool,
    region: String,
}

fn at_aws(bucket: &str, env: &Env) -> Result<Place, EnvProblem> {
    let wrong = |message: String| EnvProblem { variable: REGION, message };
    let region = region(env, None, true)?.ok_or_else(|| {
        wrong("is not set, nor is AWS_REGION: set it to the bucket's, such as eu-central-1".to_owned())
    })?;
    let partition = PARTITIONS.iter().find(|(begin, _)| region.starts_with(begin));
    let domain = partition.map_or("", |(_, domain)| domain);
    // The certificate covers only one label before the region.
    let is_in_host = !bucket.contains('.') && !env.is_on(PATH_STYLE);
    let (label, base) = if is_in_host {
        (format!("{bucket}."), String::new())
    } else {
        (String::new(), format!("/{bucket}"))
    };
    let endpoint = Endpoint::parse(&format!("https://{label}s3.{region}{domain}"), false);
    Ok(Place { endpoint: endpoint.map_err(|e| wrong(e.to_string()))?, base, is_in_front: false, region })
}

fn at_endpoint(endpoint: &str, bucket: &str, env: &Env) -> Result<Place, EnvProblem> {
    let wrong = |e: EndpointError| EnvProblem { variable: ENDPOINT, message: e.to_string() };
    let (mut endpoint, path) = Endpoint::parse_with_path(endpoint, env.allows_http()).map_err(wrong)?;
    let host = endpoint.host().to_owned();
    let (name, _) = host.rsplit_once(':').unwrap_or((&host, ""));
    let is_aws = PARTITIONS.iter().any(|(_, domain)| name.ends_with(domain));
    // Consoles show a bucket's own domain, which is accepted too.
    let rest = name.strip_prefix(bucket).and_then(|rest| rest.strip_prefix('.'));
    let region =
        region(env, region_of(rest.unwrap_or(name)), is_aws)?.unwrap_or_else(|| DEFAULT_REGION.to_owned());
    let is_forced = env.is_on(PATH_STYLE);
    if rest.is_some() && !is_forced {
        return Ok(Place { endpoint, base: path, is_in_front: false, region });
    }
    // Only a domain that has subdomains can have the bucket as one, and a store below a path is one of several
    // services of its host.
    let is_domain = !host.starts_with('[') && !endpoint.is_loopback() && is_name(&host);
    if is_forced || !path.is_empty() || bucket.contains('.') || !is_domain {
        return Ok(Place { endpoint, base: format!("{path}/{bucket}"), is_in_front: false, region });
    }
    let scheme = if endpoint.is_https() { "https" } else { "http" };
    // Plain HTTP was allowed above, or the endpoint would have been refused.
    endpoint = Endpoint::parse(&format!("{scheme}://{bucket}.{host}"), true).map_err(wrong)?;
    Ok(Place { endpoint, base: String::new(), is_in_front: true, region })
}

/// Returns true if a host (with its port) is a name of several labels.
fn is_name(host: &str) -> bool {
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.contains('.') && name.parse::<IpAddr>().is_err()
}

/// Reads the region from `S3_REGION`, else from the endpoint, else from the variables of AWS's tools. On Lambda
/// those name the function's region, which says nothing of a store that is not AWS's.
fn region(env: &Env, of_host: Option<&str>, is_aws: bool) -> Result<Option<String>, EnvProblem> {
    let get = |variable| env.get(variable).map(|region| (variable, region));
    let is_told = is_aws || [RUNTIME_API, LAMBDA_FUNCTION].iter().all(|name| env.get(name).is_none());
    let found = get(REGION)
        .or_else(|| of_host.map(|region| (ENDPOINT, region.to_owned())))
        .or_else(|| REGIONS.into_iter().skip(1).filter(|_| is_told).find_map(get));
    match found {
        Some((variable, region)) if !is_region(&region) => {
            let message = "is not a region's name such as eu-central-1".to_owned();
            Err(EnvProblem { variable, message })
        }
        found => Ok(found.map(|(_, region)| region)),
    }
}

fn is_region(region: &str) -> bool {
    let is_taken = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=63).contains(&region.len())
        && region.bytes().all(is_taken)
        && !region.starts_with('-')
        && !region.ends_with('-')
}

/// Finds the region in a host, without the bucket: the label after the service's (`s3.eu-west-1.…`,
/// `s3.dualstack.eu-west-1.…`, `cos.ap-guangzhou.…`), behind the service in one label (`oss-cn-hangzhou.…`), or a
/// label of the usual form (`us-east-1.linodeobjects.com`).
fn region_of(host: &str) -> Option<&str> {
    if host.ends_with(AUTO_REGION) {
        return Some("auto");
    }
    let is_short = SHORT_REGIONS.iter().any(|domain| host.ends_with(domain));
    // The domain itself names no region.
    let (rest, _) = host.rsplit_once('.')?;
    let (labels, _) = rest.rsplit_once('.')?;
    let mut is_behind_service = is_short;
    labels.split('.').find_map(|label| {
        if SERVICES.contains(&label) || (is_short && label == "storage") {
            is_behind_service = true;
            return None;
        }
        let bare = BEFORE_REGION.iter().find_map(|service| label.strip_prefix(service));
        let region = bare.unwrap_or(label);
        let region = region.strip_suffix("-internal").unwrap_or(region);
        let has_country = region.as_bytes().get(2) == Some(&b'-');
        let is_it = match bare {
            Some(_) => has_country,
            None if std::mem::take(&mut is_behind_service) => is_short || region.contains('-'),
            None => has_country && region.ends_with(|last: char| last.is_ascii_digit()),
        };
        (is_it && is_region(region)).then_some(region)
    })
}

/// Reads `S3_WRITE_HEADERS`: fields as `NAME: VALUE`, with semicolons between them. A name that is written twice
/// counts once, with its last value.
fn write_headers(env: &Env) -> Result<HeaderMap, EnvProblem> {
    const OWN: [&str; 3] = ["x-amz-date", "x-amz-content-sha256", "x-amz-security-token"];
    let field = |text: &str| {
        let (name, value) = text.split_once(':')?;
        let name: HeaderName = name.trim().parse().ok()?;
        let is_free = name.as_str().starts_with("x-") && !OWN.contains(&name.as_str());
        let mut value: HeaderValue = value.trim().parse().ok().filter(|_| is_free)?;
        value.to_str().ok().filter(|text| !text.is_empty())?;
        value.set_sensitive(true);
        Some((name, value))
    };
    let fields = |text: &str| {
        let mut fields = HeaderMap::new();
        for text in text.split(';').filter(|text| !text.trim().is_empty()) {
            let (name, value) = field(text)?;
            fields.insert(name, value);
        }
        Some(fields)
    };
    let wrong = "is not a list of fields such as \"x-amz-server-side-encryption: aws:kms\", with ';' between them: \
                 names begin with x-, and x-amz-date, x-amz-content-sha256 and x-amz-security-token are hookmq's";
    EnvProblem::or_value(env, WRITE_HEADERS, HeaderMap::new(), fields, wrong)
}

/// Returns the part of a host that its owner registered, as far as its form tells; an address as a whole.
fn domain(endpoint: &Endpoint) -> &str {
    let (host, _) = endpoint.place();
    if host.parse::<IpAddr>().is_ok() {
        return host;
    }
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let (last, second, third) = (dots.next().unwrap_or(0), dots.next(), dots.next());
    // `amazonaws.com.cn`, `co.uk`: the label before the last belongs to the registry.
    let is_registry = second.is_some_and(|second| last - second <= 4);
    let start = if is_registry { third } else { second };
    start.and_then(|dot| host.get(dot + 1..)).unwrap_or(host)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
