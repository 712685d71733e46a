//! Credentials that a platform hands over in header fields, with each event or request.
//!
//! | | fields | believed | instead of the variables |
//! |---|---|---|---|
//! | FunctionGraph, custom runtime | `X-CFF-Access-Key` … | from its own interface | `HUAWEICLOUD_SDK_AK` … |
//! | FunctionGraph, HTTP function | `X-CFF-Security-Access-Key` … | `TRUST_PLATFORM_HEADERS=functiongraph`, on loopback | the same |
//! | SCF, web function | `X-Scf-Secret-Id` … | `TRUST_PLATFORM_HEADERS=scf` | `TENCENTCLOUD_SECRETID` … |
//!
//! A client can write such fields into a request too. Believed or not, they are removed from every request
//! ([`Headers::without_platforms`](crate::http::Headers::without_platforms)).
//!
//! Sources: FunctionGraph's [custom runtime][fg] and its [HTTP functions][fg-http].
//!
//! [fg]: https://docs.otc.t-systems.com/function-graph/umn/
//! [fg-http]: https://support.huaweicloud.com/intl/en-us/usermanual-functiongraph/functiongraph_01_0395.html

use std::net::IpAddr;
use std::slice;

use http::HeaderMap;

use super::server;
use crate::env::{Env, EnvProblem, Lent};
use crate::platform::{TRUST, Trusted};
use crate::queue::credentials::{Family, HUAWEI, TENCENT};

/// Header fields of one platform's credentials, and the variables that they replace.
#[derive(Debug)]
pub(super) struct Handover {
    /// Names of the header fields for id, key and token, in lower case.
    fields: [&'static str; 3],
    /// Variables that id, key and token are lent as.
    lent: &'static Family,
    /// Variables of keys that a person set: if any of them is set, nothing is lent.
    own: &'static [Family],
}

/// Header fields of FunctionGraph's custom runtime.
pub(super) static CUSTOM_RUNTIME: Handover = Handover {
    fields: ["x-cff-access-key", "x-cff-secret-key", "x-cff-security-token"],
    lent: &HUAWEI[0],
    own: &HUAWEI,
};

/// Header fields of FunctionGraph's HTTP functions with "Include Keys" switched on.
static HTTP_FUNCTION: Handover = Handover {
    fields: ["x-cff-security-access-key", "x-cff-security-secret-key", "x-cff-security-token"],
    lent: &HUAWEI[0],
    own: &HUAWEI,
};

/// Header fields of SCF's web functions. The platform's own variables keep the values from the start of the
/// process.
static WEB_FUNCTION: Handover = Handover {
    fields: ["x-scf-secret-id", "x-scf-secret-key", "x-scf-session-token"],
    lent: &TENCENT[1],
    own: slice::from_ref(&TENCENT[0]),
};

impl Handover {
    /// Returns the credentials lent for one event; none unless id and key are present and well-formed.
    pub(super) fn lent<'a>(&self, field: impl Fn(&str) -> Option<&'a str>, env: &Env) -> Lent {
        let [id, key, token] = self.fields.map(field);
        let (Some(id), Some(key)) = (id, key) else { return Lent::default() };
        let has_own = Family::set_in(env, self.own).is_some();
        if has_own || ![id, key].into_iter().chain(token).all(is_plain) {
            return Lent::default();
        }
        let values = [Some(id), Some(key), token].map(|value| value.map(str::to_owned));
        Lent::new(self.lent.variables().zip(values))
    }
}

/// Returns true if the value is printable ASCII without blanks and colons, and not empty. A `file:` or `env:`
/// reference in a variable would be followed.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

/// Trust of an HTTP server in one platform's credential header fields.
#[derive(Debug, Default)]
pub(super) struct Trust(Option<(&'static Handover, Env)>);

impl Trust {
    /// Returns the problem with `TRUST_PLATFORM_HEADERS` and its older names, if there is one.
    pub(super) fn problem(env: &Env) -> Option<EnvProblem> {
        let problem = |variable, message: &str| Some(EnvProblem { variable, message: message.to_owned() });
        if env.get(TRUST).is_some_and(|word| Trusted::ALL.iter().all(|trusted| trusted.word() != word)) {
            return problem(TRUST, "is neither scf nor functiongraph: name the platform, or unset it");
        }
        // An address that cannot be read ends the process elsewhere.
        let is_own = || server::address(env).map_or(true, |address| server::is_loopback(&address));
        match Trusted::ALL.map(|trusted| trusted.named_by(env)) {
            [Some(scf), Some(other)] => problem(
                scf,
                &format!("and {other} name two platforms: keep the one that this function runs on"),
            ),
            [None, Some(variable)] if !is_own() => problem(
                variable,
                "is for FunctionGraph, which calls 127.0.0.1:8000: set LISTEN to that, or clients could \
                 write the headers themselves",
            ),
            _ => None,
        }
    }

    /// Reads the trust from the environment, for a server at `address`. If the variables are wrong, no field
    /// is believed: the function still serves with the credentials of its environment.
    pub(super) fn from_env(env: &Env, address: IpAddr) -> Self {
        if Self::problem(env).is_some() {
            return Self::default();
        }
        let handover = match Trusted::ALL.map(|trusted| trusted.named_by(env)) {
            // A name in `LISTEN` may belong to another machine, so the bound address decides.
            [None, Some(_)] if address.is_loopback() => &HTTP_FUNCTION,
            [Some(_), None] => &WEB_FUNCTION,
            _ => return Self::default(),
        };
        Self(Some((handover, env.clone())))
    }

    /// Returns the credentials lent to a request. A field that occurs twice counts as absent: one of the two
    /// is not the platform's.
    pub(super) fn lent(&self, headers: &HeaderMap) -> Lent {
        let Some((handover, env)) = &self.0 else { return Lent::default() };
        let one = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?.to_str().ok()?;
            values.next().is_none().then_some(value)
        };
        handover.lent(one, env)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const ANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

    /// Returns the value of the variable `variable` during a request with these fields.
    async fn id(
        vars: &[(&str, &str)],
        at: IpAddr,
        variable: &str,
        fields: &[(&str, &str)],
    ) -> Option<String> {
        let env = Env::of(vars.iter().copied());
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        Trust::from_env(&env, at).lent(&headers).to(async { env.get(variable) }).await
    }

    const CFF: [(&str, &str); 3] = [
        ("X-CFF-Security-Access-Key", "id"),
        ("X-CFF-Security-Secret-Key", "key"),
        ("X-CFF-Security-Token", "token/+=-_"),
    ];

    #[tokio::test]
    async fn functiongraph_is_believed_on_loopback_when_told_to() {
        const AK: &str = "HUAWEICLOUD_SDK_AK";
        let on = [("FGS_TRUST_HEADERS", "1")];
        assert_eq!(id(&on, LOOPBACK, AK, &CFF).await.as_deref(), Some("id"));
        let named = [("TRUST_PLATFORM_HEADERS", "functiongraph")];
        assert_eq!(id(&named, LOOPBACK, AK, &CFF).await.as_deref(), Some("id"));
        assert_eq!(
            id(&on, LOOPBACK, "HUAWEICLOUD_SDK_SECURITY_TOKEN", &CFF).await.as_deref(),
            Some(CFF[2].1)
        );
        assert_eq!(id(&on, LOOPBACK, AK, &CFF[..2]).await.as_deref(), Some("id"), "a token is optional");
        for (vars, at, why) in [
            (&[][..], LOOPBACK, "not told to"),
            (&[("FGS_TRUST_HEADERS", "0")], LOOPBACK, "told not to"),
            (&on, ANY, "anybody can write them"),
            (&[on[0], ("SCF_TRUST_HEADERS", "1")], LOOPBACK, "it cannot be both"),
            (&[on[0], ("TRUST_PLATFORM_HEADERS", "scf")], LOOPBACK, "it cannot be both"),
            (&[("TRUST_PLATFORM_HEADERS", "1")], LOOPBACK, "no platform is named"),
            (&[("TRUST_PLATFORM_HEADERS", "functiongraph")], ANY, "anybody can write them"),
            (&[on[0], ("OTC_SDK_AK", "own")], LOOPBACK, "there is a key"),
        ] {
            assert_eq!(id(vars, at, AK, &CFF).await, None, "{why}");
        }
        let with = |field: (&'static str, &'static str)| [CFF[0], CFF[1], CFF[2], field];
        assert_eq!(id(&on, LOOPBACK, AK, &with(CFF[1])).await, None, "which of two is the platform's?");
        for wrong in ["file:/etc/passwd", "env:OTHER", "", "a b"] {
            for n in 0..3 {
                let mut fields = CFF;
                fields[n].1 = wrong;
                assert_eq!(id(&on, LOOPBACK, AK, &fields).await, None, "{wrong}");
            }
        }
        assert_eq!(id(&on, LOOPBACK, AK, &CFF[1..]).await, None, "half a key is none");
    }

    #[tokio::test]
    async fn scf_is_believed_wherever_it_listens() {
        let fields =
            [("X-Scf-Secret-Id", "new"), ("X-Scf-Secret-Key", "key"), ("X-Scf-Session-Token", "token")];
        let injected = [("SCF_TRUST_HEADERS", "1"), ("TENCENTCLOUD_SECRETID", "at start")];
        let id = async |vars: &[(&str, &str)]| id(vars, ANY, "TENCENTCLOUD_SECRETID", &fields).await;
        assert_eq!(id(&injected).await.as_deref(), Some("new"));
        for (word, known) in [("scf", "new"), ("functiongraph", "at start"), ("1", "at start")] {
            let named = [("TRUST_PLATFORM_HEADERS", word), injected[1]];
            assert_eq!(id(&named).await.as_deref(), Some(known), "{word}");
        }
        assert_eq!(id(&injected[1..]).await.as_deref(), Some("at start"));
        let own = [injected[0], injected[1], ("TENCENTCLOUD_SECRET_ID", "own")];
        assert_eq!(id(&own).await.as_deref(), Some("at start"), "and the client takes a person's own first");
    }
}
