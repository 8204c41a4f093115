//! What this machine calls itself, and its addresses.

use crate::types::Pid;
use std::net::IpAddr;

/// The host name, as `uname -n` has it; empty if it is not text.
#[must_use]
pub fn hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|n| n.into_string().ok())
        .unwrap_or_default()
}

/// This process (`getpid(2)`).
#[must_use]
pub fn own_pid() -> Pid {
    Pid(nix::unistd::getpid().as_raw())
}

/// The user that we act as (`geteuid(2)`).
#[must_use]
pub fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The addresses of all interfaces; empty if they cannot be listed.
#[must_use]
pub fn addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    interfaces
        .filter_map(|i| {
            let address = i.address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_name_and_a_loopback_address() {
        assert!(!hostname().is_empty());
        assert!(addresses().iter().any(IpAddr::is_loopback));
    }
}
