//! The verifier `kind = "network"`: only the address of the sender counts, not the content of the request.

use crate::cidr::Cidr;
use crate::http::Request;
use crate::reader::Table;
use crate::source::Rejection;

/// Networks from which requests may come: the key `cidrs`.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    cidrs: Vec<Cidr>,
}

impl Network {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let list = table.strings("cidrs").map(|at| at.value).unwrap_or_default();
        if list.is_empty() {
            table.error("cidrs", r#"no network is allowed: write cidrs = ["203.0.113.0/24"]"#);
        }
        let mut cidrs = Vec::new();
        for at in &list {
            match Cidr::parse(at.value) {
                Ok(cidr) => cidrs.push(cidr),
                Err(message) => table.error_at(at.offset, "cidrs", message),
            }
        }
        (!cidrs.is_empty()).then_some(Self { cidrs })
    }

    /// Checks the source address, for which only the trigger vouches: see [`Request::source_ip`].
    pub(crate) fn check(&self, request: &Request) -> Result<(), Rejection> {
        let place = || "the source address".to_owned();
        let address = request.source_ip.ok_or_else(|| Rejection::Missing(place()))?;
        let is_in = self.cidrs.iter().any(|cidr| cidr.contains(address));
        if is_in { Ok(()) } else { Err(Rejection::Pinned(place())) }
    }

    /// Returns true if a network may hold a proxy of ours rather than a sender.
    pub(crate) fn is_own(&self) -> bool {
        self.cidrs.iter().any(|cidr| cidr.is_own())
    }

    /// Returns an address that the verifier admits.
    #[cfg(feature = "sender")]
    pub(crate) fn sample(&self) -> Option<std::net::IpAddr> {
        self.cidrs.first().map(|cidr| cidr.first())
    }
}
