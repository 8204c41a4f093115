//! The corosync driver.

pub mod authkey;
pub mod finding;
pub mod limits;
pub mod model;
pub mod nodes;
pub mod parse;
pub mod render;
pub mod validate;
pub mod value;
