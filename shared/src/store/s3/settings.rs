//! Settings of a bucket: its name, its endpoint, and its credentials' variables.

use std::fmt;
use std::net::IpAddr;

use crate::env::{AWS_SESSION_TOKEN, Env, EnvProblem};
use crate::net::endpoint::Endpoint;
use crate::queue::credentials::{Credentials, Family, HUAWEI, Keyring, TENCENT, never};

/// Upper bound on the length of a prefix, in bytes: with a name of about the same length, S3's limit of 1024
/// is kept.
const MAX_PREFIX: usize = 500;

/// Region name of S3-compatible servers that have only one region.
const DEFAULT_REGION: &str = "us-east-1";

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

/// Bucket and the way to it. The credentials are not part of it: they are read for each call.
#[derive(Clone, Debug)]
pub(super) struct S3Settings {
    pub(super) bucket: String,
    /// Prefix of all keys: empty, or with a slash at its end.
    pub(super) prefix: String,
    /// Host of the bucket, or of the store.
    pub(super) endpoint: Endpoint,
    /// Path before an object's key: the bucket, unless it is in the host.
    pub(super) base: String,
    pub(super) region: String,
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
        let place = match env.get("S3_ENDPOINT") {
            Some(endpoint) => at_endpoint(&endpoint, bucket, env)?,
            None => at_aws(bucket, env)?,
        };
        let (endpoint, is_in_host, region) = place;
        let base = if is_in_host { String::new() } else { format!("/{bucket}") };
        let is_of = |domain: &str| endpoint.host().ends_with(domain);
        let vendor = if is_of(".myqcloud.com") || is_of(".tencentcos.cn") {
            Vendor::Tencent
        } else if is_of(".myhuaweicloud.com") || is_of(".myhuaweicloud.eu") || is_of(".t-systems.com") {
            Vendor::Huawei
        } else {
            Vendor::Other
        };
        Ok(Self { bucket: bucket.to_owned(), prefix, endpoint, base, region, vendor })
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

    /// Reads the current credentials.
    pub(super) fn credentials(&self, keys: Keyring<'_>) -> Result<Credentials, EnvProblem> {
        for family in self.families() {
            if let Some(credentials) = Credentials::from_env(keys, std::slice::from_ref(family))? {
                return Ok(credentials);
            }
        }
        let message = "is not set, nor are AWS_ACCESS_KEY_ID or the vendor's own: set it and \
                       S3_SECRET_ACCESS_KEY, or give the function a role";
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

/// Endpoint, true if the bucket is in its host, and region.
type Place = (Endpoint, bool, String);

fn at_aws(bucket: &str, env: &Env) -> Result<Place, EnvProblem> {
    let wrong = |message: String| EnvProblem { variable: "S3_REGION", message };
    let region = region(env, None)?.ok_or_else(|| {
        wrong("is not set, nor is AWS_REGION: set it to the bucket's, such as eu-central-1".to_owned())
    })?;
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    // The certificate covers only one label before the region.
    let is_in_host = !bucket.contains('.') && !env.is_on("S3_FORCE_PATH_STYLE");
    let bucket = if is_in_host { format!("{bucket}.") } else { String::new() };
    let endpoint = Endpoint::parse(&format!("https://{bucket}s3.{region}.{domain}"), false);
    Ok((endpoint.map_err(|e| wrong(e.to_string()))?, is_in_host, region))
}

fn at_endpoint(endpoint: &str, bucket: &str, env: &Env) -> Result<Place, EnvProblem> {
    let wrong = |e: crate::net::endpoint::EndpointError| EnvProblem {
        variable: "S3_ENDPOINT",
        message: e.to_string(),
    };
    let endpoint = Endpoint::parse(endpoint, env.allows_http()).map_err(wrong)?;
    let host = endpoint.host().to_owned();
    let region = region(env, region_of(&host))?.unwrap_or_else(|| DEFAULT_REGION.to_owned());
    // Consoles show a bucket's own domain, which is accepted too.
    if host.starts_with(&format!("{bucket}.")) {
        return Ok((endpoint, true, region));
    }
    // Only a domain that has subdomains can have the bucket as one.
    let is_domain = !host.starts_with('[') && !endpoint.is_loopback() && is_name(&host);
    if bucket.contains('.') || !is_domain || env.is_on("S3_FORCE_PATH_STYLE") {
        return Ok((endpoint, false, region));
    }
    let scheme = if endpoint.is_https() { "https" } else { "http" };
    // Plain HTTP was allowed above, or the endpoint would have been refused.
    let endpoint = Endpoint::parse(&format!("{scheme}://{bucket}.{host}"), true).map_err(wrong)?;
    Ok((endpoint, true, region))
}

/// Returns true if a host (with its port) is a name of several labels.
fn is_name(host: &str) -> bool {
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.contains('.') && name.parse::<IpAddr>().is_err()
}

/// Reads the region from `S3_REGION`, else from the endpoint, else from the variables of AWS's tools.
fn region(env: &Env, of_host: Option<&str>) -> Result<Option<String>, EnvProblem> {
    const VARIABLES: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    let get = |variable| env.get(variable).map(|region| (variable, region));
    let found = get("S3_REGION")
        .or_else(|| of_host.map(|region| ("S3_ENDPOINT", region.to_owned())))
        .or_else(|| VARIABLES.into_iter().find_map(get));
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

/// Finds the region in a host: the label after the service's, where vendors put it: `s3.eu-west-1.…`,
/// `s3.dualstack.eu-west-1.…`, `cos.ap-guangzhou.…`, `obs.eu-de.…`.
fn region_of(host: &str) -> Option<&str> {
    const SERVICES: [&str; 5] = ["s3", "s3-fips", "cos", "cos-internal", "obs"];
    let mut labels = host.split('.').skip_while(|label| !SERVICES.contains(label));
    let mut next = labels.nth(1)?;
    if next == "dualstack" {
        next = labels.next()?;
    }
    (next.contains('-') && is_region(next)).then_some(next)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
