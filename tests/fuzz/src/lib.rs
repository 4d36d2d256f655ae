//! What the fuzz targets share. Each target is a file in `src/bin`; `cargo xtask fuzz <target>` builds and runs it.

pub mod bearer;
