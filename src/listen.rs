//! Where the remote service listens: what `--listen` says.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The port of the remote service where none is given: of TCP. (corosync's third link has the same
/// number, of UDP.)
pub const PORT: u16 = 5407;
/// Most addresses.
pub const MAX: usize = 16;

/// Where the remote service listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere: there is no remote service.
    Off,
    /// On this node's link addresses, as the configuration has them, on [`PORT`].
    #[default]
    Links,
    /// On these and no others; at least one, at most [`MAX`], each once.
    Addrs(Vec<SocketAddr>),
}

/// What is wrong with a value, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The value.
    pub value: String,
    /// What is wrong, in words.
    pub cause: String,
}

impl Listen {
    /// Reads the values of all `--listen`, in order; none of them means [`Listen::Links`].
    ///
    /// # Errors
    /// The first that cannot be meant.
    pub fn read(values: &[String]) -> Result<Listen, Wrong> {
        let wrong = |value: &str, cause: String| Wrong {
            value: value.to_owned(),
            cause,
        };
        if let Some(off) = values.iter().find(|v| *v == "none") {
            if values.iter().any(|v| v != "none") {
                let cause = "it is off with none: write none alone, or addresses alone";
                return Err(wrong(off, cause.to_owned()));
            }
            return Ok(Listen::Off);
        }
        let mut addrs = Vec::new();
        let mut seen = BTreeSet::new();
        for value in values {
            let addr = address(value).map_err(|cause| wrong(value, cause))?;
            let all = |a: &SocketAddr| a.ip().is_unspecified();
            let covers = |a: &&SocketAddr| {
                **a != addr
                    && a.is_ipv4() == addr.is_ipv4()
                    && a.port() == addr.port()
                    && (all(a) || all(&addr))
            };
            if let Some(other) = addrs.iter().find(covers) {
                let cause = format!(
                    "{other} and {addr} are not to be had both: one of them is all addresses; give one"
                );
                return Err(wrong(value, cause));
            }
            if seen.insert(addr) {
                addrs.push(addr);
            }
            if addrs.len() > MAX {
                return Err(wrong(
                    value,
                    format!("at most {MAX} addresses can be given"),
                ));
            }
        }
        match addrs.is_empty() {
            true => Ok(Listen::Links),
            false => Ok(Listen::Addrs(addrs)),
        }
    }
}

/// `10.0.0.1`, `10.0.0.1:5407`, `::1`, `[::1]` or `[::1]:5407`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || {
        "write ADDR or ADDR:PORT with a number of an address and no name, as 10.0.0.1:5407 or [::1]:5407, or none"
            .to_owned()
    };
    let addr = if let Ok(ip) = text.parse::<IpAddr>() {
        SocketAddr::new(ip, PORT)
    } else if let Some(ip) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        SocketAddr::new(IpAddr::V6(ip.parse().map_err(|_| wrong())?), PORT)
    } else {
        text.parse().map_err(|_| wrong())?
    };
    match addr {
        _ if addr.port() == 0 => Err("port 0 is none: write 1 to 65535".to_owned()),
        _ if addr.ip().is_multicast() => {
            Err("nobody can listen on a group's address: write one of this node".to_owned())
        }
        SocketAddr::V4(v4) if v4.ip().is_broadcast() => {
            Err("nobody can listen on a broadcast address: write one of this node".to_owned())
        }
        // It means nothing without the interface's name, which changes.
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => Err(
            "an address of fe80::/10 says nothing without its interface: write it as [fe80::1%2]:5407, \
             the number after % from 'ip link'"
                .to_owned(),
        ),
        addr => Ok(addr),
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Off => f.write_str("none"),
            Listen::Links => write!(f, "this node's link addresses, port {PORT}"),
            Listen::Addrs(addrs) => {
                let all: Vec<String> = addrs.iter().map(ToString::to_string).collect();
                f.write_str(&all.join(", "))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Listen, Wrong> {
        Listen::read(&values.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn addresses_are_read_with_and_without_a_port() {
        for (text, addr) in [
            ("10.0.0.1", "10.0.0.1:5407"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("0.0.0.0:65535", "0.0.0.0:65535"),
            ("::1", "[::1]:5407"),
            ("::", "[::]:5407"),
            ("[::1]", "[::1]:5407"),
            ("[fd00::2]:99", "[fd00::2]:99"),
            ("[fe80::1%2]:99", "[fe80::1%2]:99"),
        ] {
            let listen = read(&[text]).unwrap();
            assert_eq!(listen, Listen::Addrs(vec![addr.parse().unwrap()]), "{text}");
            assert_eq!(listen.to_string(), addr);
        }
        assert_eq!(read(&[]), Ok(Listen::Links));
        // Other families and ports are others.
        for both in [
            ["0.0.0.0", "::1"],
            ["0.0.0.0", "10.0.0.1:9"],
            ["::", "0.0.0.0"],
        ] {
            assert!(read(&both).is_ok(), "{both:?}");
        }
        assert!(read(&["::", "::"]).is_ok());
        assert_eq!(read(&["none"]), Ok(Listen::Off));
        assert_eq!(read(&["none", "none"]), Ok(Listen::Off));
        assert_eq!(
            read(&["::1", "10.0.0.1", "10.0.0.1:5407"])
                .unwrap()
                .to_string(),
            "[::1]:5407, 10.0.0.1:5407"
        );
    }

    #[test]
    fn what_cannot_be_meant_is_named_with_what_to_write() {
        for (values, value, advice) in [
            (&[""][..], "", "10.0.0.1:5407"),
            (&["localhost"], "localhost", "no name"),
            (&["NONE"], "NONE", "or none"),
            (&[":5407"], ":5407", "10.0.0.1:5407"),
            (&["10.0.0.1:"], "10.0.0.1:", "10.0.0.1:5407"),
            (&["10.0.0.1:65536"], "10.0.0.1:65536", "10.0.0.1:5407"),
            (&["10.0.0.1:-1"], "10.0.0.1:-1", "10.0.0.1:5407"),
            (&["10.0.0.256"], "10.0.0.256", "10.0.0.1:5407"),
            (&["010.0.0.1"], "010.0.0.1", "10.0.0.1:5407"),
            (&["10.0.0.1 "], "10.0.0.1 ", "10.0.0.1:5407"),
            (&["[10.0.0.1]"], "[10.0.0.1]", "10.0.0.1:5407"),
            (&["[::1"], "[::1", "[::1]:5407"),
            (&["10.0.0.1,10.0.0.2"], "10.0.0.1,10.0.0.2", "10.0.0.1:5407"),
            (&["10.0.0.1:0"], "10.0.0.1:0", "1 to 65535"),
            (&["224.0.0.1"], "224.0.0.1", "of this node"),
            (&["ff02::1"], "ff02::1", "of this node"),
            (&["255.255.255.255"], "255.255.255.255", "of this node"),
            (&["fe80::1"], "fe80::1", "interface"),
            (&["none", "::1"], "none", "none alone"),
            (&["::1", "none"], "none", "none alone"),
            (&["::1", "x"], "x", "10.0.0.1:5407"),
            (&["0.0.0.0", "10.0.0.1"], "10.0.0.1", "give one"),
            (&["10.0.0.1:9", "0.0.0.0:9"], "0.0.0.0:9", "give one"),
            (&["::", "::1"], "::1", "give one"),
        ] {
            let wrong = read(values).unwrap_err();
            assert_eq!(wrong.value, value);
            assert!(wrong.cause.contains(advice), "{wrong:?}");
        }
        let many: Vec<String> = (1..=17).map(|n| format!("10.0.0.{n}")).collect();
        assert!(Listen::read(&many[..16]).is_ok());
        let wrong = Listen::read(&many).unwrap_err();
        assert!(wrong.value == "10.0.0.17" && wrong.cause.contains("at most 16"));
    }
}
