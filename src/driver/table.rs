//! The static driver table: the only file that names all drivers (C: `gl_drivers[]`).

use super::{DriverOps, corosync};
use crate::error::{Error, Kind, Result};

/// All cluster managers that there are.
pub static DRIVERS: &[DriverOps] = &[DriverOps {
    name: "corosync",
    about: "corosync 3: knet, votequorum, cpg",
    init: corosync::corosync_init,
    test: corosync::corosync_test,
}];

/// Finds a driver by name (C: `cs_find_ops`).
///
/// # Errors
/// An unknown name is a usage error that lists the names.
pub fn find(name: &str) -> Result<&'static DriverOps> {
    find_in(DRIVERS, name)
}

/// The same in any table.
///
/// # Errors
/// As [`find`].
pub fn find_in<'t>(table: &'t [DriverOps], name: &str) -> Result<&'t DriverOps> {
    table.iter().find(|d| d.name == name).ok_or_else(|| {
        let names: Vec<&str> = table.iter().map(|d| d.name).collect();
        Error::new("use driver", name, "there is no such driver")
            .hint(format!("use one of: {}", names.join(", ")))
            .kind(Kind::Usage)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_table_takes_a_second_driver() {
        let second = |_: crate::driver::Params| Err(Error::new("init", "second", "not here"));
        let row = |name| DriverOps {
            name,
            about: "",
            init: second,
            test: |_| Vec::new(),
        };
        let table = [row("corosync"), row("second")];
        assert_eq!(find_in(&table, "second").unwrap().name, "second");
        assert_eq!(find_in(&table, "corosync").unwrap().name, "corosync");
        let e = find_in(&table, "third").unwrap_err();
        assert_eq!(e.of_kind(), Kind::Usage);
        assert_eq!(
            e.to_string(),
            "use driver third: there is no such driver; use one of: corosync, second"
        );
    }

    #[test]
    fn corosync_is_in_the_table() {
        assert_eq!(find("corosync").unwrap().name, "corosync");
    }
}
