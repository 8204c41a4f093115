//! The other nodes' clusmgr: what they say, and how this node compares with them.

pub mod compare;
mod differs;
pub mod isolated;
mod items;
mod report;
mod told;
pub mod watch;

pub use differs::What;
