//! A report as a map: holders as circles by share, coloured by cluster, with the links between them. [`Map::of`] lays
//! it out, always the same way for the same report; [`Map::to_svg`] draws it, [`page`] is a page to explore it on.
//! Pure: no I/O.

mod chart;
mod field;
mod layout;
mod page;
mod palette;
mod svg;

pub use chart::{Circle, Group, Line, Map, View};
pub use page::{CONTENT_SECURITY_POLICY, Content, page};
