//! Keys of corosync's maps: what they are of. Pure.

use super::links::Id;
use crate::sys::corosync::cmap::Change;
use crate::types::{ConfigVersion, NodeId};

/// What the nodes told the ring of themselves; of every node that was ever seen.
pub(super) const MEMBERS: &str = "runtime.members.";
/// What knet knows of the links.
pub(super) const LINKS: &str = "stats.knet.";

/// One of a link's keys.
pub(super) fn key((node, link): Id, what: &str) -> String {
    format!("{LINKS}node{node}.link{link}.{what}")
}

/// Of a change of `runtime.members.N.…`: what is gone says nothing.
pub(super) fn member_of(change: &Change) -> Option<(NodeId, Option<ConfigVersion>)> {
    let (id, what) = change.key.strip_prefix(MEMBERS)?.split_once('.')?;
    let value = change.value.as_ref()?;
    let version = match what {
        "config_version" => value.as_u64().map(ConfigVersion),
        _ => None,
    };
    Some((NodeId(id.parse().ok()?), version))
}

/// `stats.knet.nodeN.linkM.…`
pub(super) fn link_of(key: &str) -> Option<Id> {
    let (node, rest) = key
        .strip_prefix(LINKS)?
        .strip_prefix("node")?
        .split_once(".link")?;
    let (link, _) = rest.split_once('.')?;
    Some((NodeId(node.parse().ok()?), link.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::corosync::cmap::{TrackId, Value};

    #[test]
    fn a_member_is_read_from_what_changed() {
        let change = |key: &str, value| Change {
            track: TrackId(0),
            key: key.to_owned(),
            value,
        };
        let key = "runtime.members.3.config_version";
        let seven = Some(ConfigVersion(7));
        for (key, value, told) in [
            (key, Some(Value::U64(7)), Some((NodeId(3), seven))),
            (key, Some(Value::U8(7)), Some((NodeId(3), seven))),
            (key, Some(Value::I32(-7)), Some((NodeId(3), None))),
            (key, Some(Value::F64(7.5)), Some((NodeId(3), None))),
            (key, Some(Value::Bytes(vec![7; 9])), Some((NodeId(3), None))),
            (key, None, None),
            (
                "runtime.members.3.status",
                Some(Value::U64(7)),
                Some((NodeId(3), None)),
            ),
            (
                "runtime.members.4294967296.config_version",
                Some(Value::U64(7)),
                None,
            ),
            ("runtime.members.3", Some(Value::U64(7)), None),
        ] {
            assert_eq!(member_of(&change(key, value)), told, "{key}");
        }
    }

    #[test]
    fn a_link_is_read_from_its_key() {
        assert_eq!(
            link_of("stats.knet.node12.link7.connected"),
            Some((NodeId(12), 7))
        );
        for other in [
            "stats.knet.handle.rx",
            "stats.knet.nodex.link0.mtu",
            "stats.knet.node1",
            "stats.knet.node1.link300.mtu",
        ] {
            assert_eq!(link_of(other), None, "{other}");
        }
    }
}
