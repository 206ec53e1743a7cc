//! Host texts and addresses: how they are normalised, and what counts as an IP or a CIDR.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::Error;

/// ASCII lower case, the only case folding there is here.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Where `:port` begins in a Host header; colons inside brackets are an IPv6 address.
pub fn port_start(host: &str) -> Option<usize> {
    let colon = host.rfind(':')?;
    match host.rfind(']') {
        Some(bracket) if bracket > colon => None,
        _ => Some(colon),
    }
}

/// Lower case, without port, without one trailing dot (unless `keep_dot`). IPv6 without brackets is left whole.
pub fn normal_host(text: &str, keep_dot: bool) -> Cow<'_, str> {
    if is_plain(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    if !text.starts_with('[') && text.bytes().filter(|byte| *byte == b':').count() > 1 && ip_of(text).is_some() {
        return fold(text);
    }
    let mut text = port_start(text).map_or(text, |end| &text[..end]);
    if !keep_dot {
        text = text.strip_suffix('.').unwrap_or(text);
    }
    fold(text)
}

/// Lower case, no port and no dot behind it, as most hosts come. Looks at every byte, many at once.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let other =
        |bytes: &[u8; 16]| bytes.iter().fold(false, |other, byte| other | (*byte == b':') | byte.is_ascii_uppercase());
    let any = match text.last_chunk::<16>() {
        // What is left behind whole blocks is read again with what stands before it.
        Some(end) => text.as_chunks::<16>().0.iter().fold(other(end), |any, block| any | other(block)),
        None => words(text).fold(0, |any, word| any | equal_bytes(word, b':') | upper_bytes(word)) != 0,
    };
    !any && text.last() != Some(&b'.')
}

/// The address a text is, brackets of IPv6 allowed; None for names.
pub fn ip_of(text: &str) -> Option<IpAddr> {
    let text = unbracketed(text).unwrap_or(text);
    // Most texts are names, and few names end like this.
    let last = *text.as_bytes().last()?;
    if !(last.is_ascii_digit() || (last.is_ascii_hexdigit() || last == b':') && text.contains(':')) {
        return None;
    }
    text.parse().ok()
}

fn unbracketed(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// The first `length` bits of an address, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    pub v6: bool,
    pub length: u8,
    /// The bits, shifted down.
    pub bits: u128,
}

impl Network {
    /// The network of that length that holds the address.
    pub fn around(address: IpAddr, length: u8) -> Network {
        let (v6, value) = bits_of(address);
        Network { v6, length, bits: shifted(value, width(v6).saturating_sub(length)) }
    }

    /// The address alone.
    pub fn host(address: IpAddr) -> Network {
        Network::around(address, width(address.is_ipv6()))
    }

    /// The address that it is alone.
    pub fn address(self) -> Option<IpAddr> {
        self.is_host().then(|| match self.v6 {
            true => IpAddr::V6(Ipv6Addr::from_bits(self.bits)),
            false => IpAddr::V4(Ipv4Addr::from_bits(self.bits as u32)),
        })
    }

    pub fn is_host(self) -> bool {
        self.length == width(self.v6)
    }

    /// "10.0.0.0/8"; host bits are dropped, and as Python's ipaddress does, masks ("/255.0.0.0") and plain addresses
    /// are taken.
    pub fn parse(text: &str) -> Result<Network, Error> {
        let wrong = || Error::Invalid(format!("{text:?} is not a CIDR"));
        let (address, rest) = match text.split_once('/') {
            Some((address, rest)) => (address, Some(rest)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = width(address.is_ipv6());
        let length = match rest {
            None => Some(most),
            Some(rest) => match prefix_length(rest, most) {
                None if address.is_ipv4() => mask_length(rest),
                found => found,
            },
        };
        Ok(Network::around(address, length.ok_or_else(wrong)?))
    }

    /// A service's address: an IP or a CIDR.
    pub fn of_address(text: &str) -> Result<Network, Error> {
        if text.contains('/') {
            return Network::parse(text);
        }
        let address =
            ip_of(text).ok_or_else(|| Error::Invalid(format!("{text:?} is neither an IP address nor a CIDR")))?;
        Ok(Network::host(address))
    }

    pub fn contains(self, address: IpAddr) -> bool {
        Network::around(address, self.length) == self
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.bits.checked_shl(u32::from(width(self.v6) - self.length)).unwrap_or(0);
        match self.v6 {
            true => write!(f, "{}/{}", Ipv6Addr::from_bits(value), self.length),
            false => write!(f, "{}/{}", Ipv4Addr::from_bits(value as u32), self.length),
        }
    }
}

fn width(v6: bool) -> u8 {
    if v6 { 128 } else { 32 }
}

fn bits_of(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(address) => (false, u128::from(address.to_bits())),
        IpAddr::V6(address) => (true, address.to_bits()),
    }
}

fn shifted(value: u128, by: u8) -> u128 {
    value.checked_shr(u32::from(by)).unwrap_or(0)
}

fn prefix_length(text: &str, most: u8) -> Option<u8> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Leading zeros are allowed, so the value may be small though the text is long.
    let length: u8 = digits.then(|| text.trim_start_matches('0')).and_then(|text| match text {
        "" => Some(0),
        text => text.parse().ok(),
    })?;
    (length <= most).then_some(length)
}

/// The length that a net mask (255.0.0.0) or a host mask (0.255.255.255) stands for.
fn mask_length(text: &str) -> Option<u8> {
    let mask = text.parse::<Ipv4Addr>().ok()?.to_bits();
    let ones = |mask: u32| (mask.leading_ones() + mask.trailing_zeros() >= 32).then(|| mask.leading_ones() as u8);
    ones(mask).or_else(|| ones(!mask))
}

const LOW: u64 = 0x0101_0101_0101_0101;

/// The high bit of each byte of the word that is `byte`.
#[inline]
pub fn equal_bytes(word: u64, byte: u8) -> u64 {
    let other = word ^ (LOW * u64::from(byte));
    let low = !(LOW << 7);
    !(((other & low) + low) | other | low)
}

/// The high bit of each byte of the word that is an upper-case letter.
#[inline]
fn upper_bytes(word: u64) -> u64 {
    let high = LOW << 7;
    let low = word & !high;
    let from = |letter: u8| low + LOW * u64::from(0x80 - letter);
    from(b'A') & !from(b'Z' + 1) & !word & high
}

/// Eight bytes a word in the order of the text, the last filled up with zeros.
#[inline]
pub fn words(text: &[u8]) -> impl Iterator<Item = u64> {
    let (whole, rest) = text.as_chunks::<8>();
    let last = (!rest.is_empty()).then(|| last_word(text, rest));
    whole.iter().map(|word| u64::from_le_bytes(*word)).chain(last)
}

/// What is left of a text behind its whole words, read with bytes before it that are pushed out, or in halves.
#[inline]
fn last_word(text: &[u8], rest: &[u8]) -> u64 {
    if let Some(last) = text.last_chunk::<8>() {
        return u64::from_le_bytes(*last) >> (64 - 8 * rest.len());
    }
    match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            let last = u64::from(u32::from_le_bytes(*last)) << (8 * (rest.len() - 4));
            u64::from(u32::from_le_bytes(*first)) | last
        }
        _ => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Whether no byte has its highest bit set.
#[inline]
pub fn is_ascii(text: &[u8]) -> bool {
    words(text).fold(0, |all, word| all | word) & (LOW << 7) == 0
}

/// Where the first of the bytes stands; none of them is 0.
#[inline]
pub fn first_of<const N: usize>(text: &[u8], wanted: [u8; N]) -> Option<usize> {
    words(text).enumerate().find_map(|(at, word)| {
        let found = wanted.iter().fold(0, |found, byte| found | equal_bytes(word, *byte));
        (found != 0).then(|| at * 8 + found.trailing_zeros() as usize / 8)
    })
}

/// The path without query and fragment.
#[inline]
pub fn bare(path: &str) -> &str {
    match first_of(path.as_bytes(), [b'?', b'#']) {
        Some(cut) => &path[..cut],
        None => path,
    }
}

/// The first value of a query parameter; "" for `?k`; None where it is absent. Nothing is decoded.
pub fn query_value<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = path.split_once('?')?;
    query.split('&').find_map(|parameter| {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (key == name).then_some(value)
    })
}

/// The suffixes that begin with a dot and leave at least one character, longest first, without the dot's predecessor.
pub fn dotted_suffixes(host: &str) -> impl Iterator<Item = &str> {
    let first = host.chars().next().map_or(0, char::len_utf8);
    host.bytes().enumerate().skip(first).filter(|(_, byte)| *byte == b'.').map(|(at, _)| &host[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_is_found_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..length {
                let mut text = vec![b'>'; length];
                text[at..].fill(b'?');
                assert_eq!(first_of(&text, [b'?', b'#']), Some(at), "{at} of {length}");
                assert_eq!(first_of(&text[..at], [b'?', b'#']), None);
            }
        }
    }

    #[test]
    fn what_is_to_be_normalised_is_seen_wherever_it_stands() {
        for length in 0..50 {
            let plain = "a".repeat(length);
            assert!(is_plain(plain.as_bytes()));
            for at in 0..length {
                for other in ["@", "[", "-", "é"] {
                    assert!(is_plain(format!("{}{other}{}", &plain[..at], &plain[at + 1..]).as_bytes()));
                }
                for other in ["A", "M", "Z", ":"] {
                    let text = format!("{}{other}{}", &plain[..at], &plain[at + 1..]);
                    assert!(!is_plain(text.as_bytes()), "{text}");
                }
            }
        }
    }

    #[test]
    fn words_are_the_bytes_in_order() {
        let text: Vec<u8> = (1..=40).collect();
        for length in 0..=text.len() {
            let bytes: Vec<u8> = words(&text[..length]).flat_map(u64::to_le_bytes).collect();
            assert_eq!(bytes[..length], text[..length]);
            assert!(bytes.len() - length < 8 && bytes[length..].iter().all(|byte| *byte == 0), "{length}");
        }
    }

    #[test]
    fn a_byte_beyond_ascii_is_seen_wherever_it_stands() {
        for length in 0..40 {
            let mut text = vec![b'~'; length];
            assert!(is_ascii(&text));
            for at in 0..length {
                text[at] = 0x80;
                assert!(!is_ascii(&text), "{at} of {length}");
                text[at] = b'~';
            }
        }
    }

    #[test]
    fn hosts_are_normalised() {
        for (text, expected) in [
            ("a.example.com", "a.example.com"),
            ("A.Example.COM", "a.example.com"),
            ("a.example.com.", "a.example.com"),
            ("a.example.com..", "a.example.com."),
            ("a.example.com:8080", "a.example.com"),
            ("A.example.com.:8080", "a.example.com"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
            ("2001:DB8::1", "2001:db8::1"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("a:b:c", "a:b"),
            ("É.com", "É.com"),
            ("", ""),
            (".", ""),
        ] {
            assert_eq!(normal_host(text, false), expected, "{text}");
        }
        assert_eq!(normal_host("A.com.", true), "a.com.");
    }

    #[test]
    fn addresses_are_told_from_names() {
        for text in ["10.0.0.1", "::1", "::", "fe80::aF", "[::1]", "[10.0.0.1]", "::ffff:1.2.3.4"] {
            assert!(ip_of(text).is_some(), "{text}");
        }
        for text in
            ["", "a.com", "1.2.3", "01.2.3.4", "1.2.3.4.", "fe80::1%eth0", "[::1", "1.2.3.256", "a1", "a.cc", "a:b"]
        {
            assert_eq!(ip_of(text), None, "{text}");
        }
    }

    #[test]
    fn networks_are_parsed_as_python_does() {
        for (text, expected) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/255.255.0.0", "10.1.0.0/16"),
            ("10.1.2.3/0.0.0.255", "10.1.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.0.0.1", "10.0.0.1/32"),
            ("10.0.0.0/008", "10.0.0.0/8"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(Network::parse(text).map(|network| network.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0.0/-1", "a/8", "10.0.0.0/", "::/129", "10.0.0.0/255.0.255.0"] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn queries_are_not_decoded() {
        for (path, name, expected) in [
            ("/a?k=1&k=2", "k", Some("1")),
            ("/a?k", "k", Some("")),
            ("/a?k=", "k", Some("")),
            ("/a?%6b=1", "k", None),
            ("/a", "k", None),
            ("/a?x=1#k=2", "k", None),
            ("/a?k=a=b", "k", Some("a=b")),
            ("/a?", "", Some("")),
        ] {
            assert_eq!(query_value(path, name), expected, "{path}");
        }
    }

    #[test]
    fn suffixes_leave_one_character() {
        let all = |host| dotted_suffixes(host).collect::<Vec<_>>();
        assert_eq!(all("a.b.c"), [".b.c", ".c"]);
        assert_eq!(all(".b.c"), [".c"]);
        assert_eq!(all("abc"), Vec::<&str>::new());
        assert_eq!(all(""), Vec::<&str>::new());
    }
}
