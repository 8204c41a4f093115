//! The other nodes' clusmgr: what they say, and how this node compares with them.

pub mod compare;
mod differs;
mod items;
mod report;
mod told;

pub use differs::What;
