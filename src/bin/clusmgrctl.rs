//! One call: everything is in the library.

fn main() {}
