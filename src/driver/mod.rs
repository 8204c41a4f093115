//! Cluster managers: what each can do for the monitor.

pub mod corosync;
