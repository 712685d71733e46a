//! IP networks in CIDR notation: the first address and the length of the prefix.

use std::net::IpAddr;

/// Network such as `203.0.113.0/24` or `2001:db8::/32`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    address: IpAddr,
    /// Number of bits after the prefix, always smaller than the width of the address.
    host: u32,
}

impl Cidr {
    /// Parses a network. The error says what is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a network: write \"203.0.113.0/24\" or \"2001:db8::/32\"");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        if address.to_canonical() != address {
            return Err(format!("{text:?} is an IPv4 address in IPv6: write \"203.0.113.0/24\""));
        }
        let width = width(address);
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|n| *n <= width).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        if prefix == 0 {
            return Err(format!("{text:?} allows every address: write the sender's networks"));
        }
        let host = width - prefix;
        if bits(address) >> host << host != bits(address) {
            return Err(format!("{text:?} has bits beyond its prefix: write the network's first address"));
        }
        Ok(Self { address, host })
    }

    /// Returns true if the network overlaps a network of [`OWN`] and so may contain the proxy in front
    /// of this machine.
    pub(crate) fn is_own(self) -> bool {
        OWN.iter()
            .filter_map(|text| Self::parse(text).ok())
            .any(|own| own.contains(self.address) || self.contains(own.address))
    }

    /// Returns the first address of the network.
    #[cfg(feature = "sender")]
    pub(crate) const fn first(self) -> IpAddr {
        self.address
    }

    /// Returns true if the address is in the network. An IPv4 address that is written as IPv6
    /// (`::ffff:192.0.2.1`) counts as the IPv4 address.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.address) && bits(address) >> self.host == bits(self.address) >> self.host
    }
}

/// Networks that no sender on the internet can have: this machine, and networks that are private (RFC 1918,
/// 4193, 6598) or end at the next router.
const OWN: [&str; 10] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::/127",
    "fc00::/7",
    "fe80::/10",
];

/// Returns true if the address is in a network that is written as `10.0.0.0/8` or as one address. Unlike
/// [`Cidr::parse`], bits beyond the prefix are passed over, and text that is not a network holds nothing.
pub(crate) fn holds(network: &str, address: IpAddr) -> bool {
    let (first, prefix) = network.split_once('/').map_or((network, None), |(a, p)| (a, Some(p)));
    let Ok(first) = first.parse::<IpAddr>() else { return false };
    let width = width(first);
    let prefix = prefix.map_or(Some(width), |digits| digits.parse().ok());
    let host = prefix.and_then(|prefix| width.checked_sub(prefix));
    let differing = bits(first) ^ bits(address);
    first.is_ipv4() == address.is_ipv4()
        && host.is_some_and(|host| differing.checked_shr(host).unwrap_or(0) == 0)
}

const fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        for (cidr, inside, outside) in [
            ("203.0.113.0/24", &["203.0.113.0", "203.0.113.255", "::ffff:203.0.113.7"][..], "203.0.114.0"),
            ("203.0.113.8", &["203.0.113.8"], "203.0.113.9"),
            ("128.0.0.0/1", &["255.255.255.255"], "127.255.255.255"),
            ("203.0.113.8/31", &["203.0.113.9"], "203.0.113.10"),
            ("2001:db8::/32", &["2001:db8::", "2001:db8:ffff::1"], "2001:db9::"),
            ("2001:db8::1", &["2001:db8::1"], "2001:db8::"),
            ("2001:db8::2/127", &["2001:db8::3"], "2001:db8::1"),
            ("::1/128", &["::1"], "0.0.0.1"),
            ("8000::/1", &["ffff::"], "203.0.113.1"),
        ] {
            let network = Cidr::parse(cidr).unwrap();
            for address in inside {
                assert!(network.contains(address.parse().unwrap()), "{cidr} {address}");
            }
            assert!(!network.contains(outside.parse().unwrap()), "{cidr} {outside}");
        }
    }

    #[test]
    fn what_overlaps_a_private_network_is_our_own() {
        for own in
            ["127.0.0.1", "10.1.0.0/16", "172.31.255.255", "192.168.0.0/15", "128.0.0.0/1", "100.100.0.0/16"]
        {
            assert!(Cidr::parse(own).unwrap().is_own(), "{own}");
        }
        for own in ["::1", "fd12::/16", "fe80::1", "8000::/1", "f000::/4"] {
            assert!(Cidr::parse(own).unwrap().is_own(), "{own}");
        }
        for foreign in
            ["203.0.113.0/24", "172.32.0.0/16", "11.0.0.0/8", "2001:db8::/32", "2000::/3", "100.128.0.0/16"]
        {
            assert!(!Cidr::parse(foreign).unwrap().is_own(), "{foreign}");
        }
    }

    #[test]
    fn what_is_no_network_says_what_is() {
        for (text, want) in [
            ("", "not a network"),
            ("203.0.113.0/", "not a network"),
            ("203.0.113.0/33", "not a network"),
            ("203.0.113.0/+8", "not a network"),
            ("203.0.113.0/99999999999", "not a network"),
            ("2001:db8::/129", "not a network"),
            ("example.com", "not a network"),
            ("0.0.0.0/0", "every address"),
            ("::/0", "every address"),
            ("203.0.113.1/24", "bits beyond"),
            ("2001:db8::1/64", "bits beyond"),
            ("::ffff:203.0.113.0/120", "IPv4 address in IPv6"),
            ("::ffff:203.0.113.1", "IPv4 address in IPv6"),
        ] {
            assert!(Cidr::parse(text).unwrap_err().contains(want), "{text}");
        }
    }
}
