//! Token analytics: what a token is and who really holds it.

pub mod explain_cluster;
pub mod get_chains;
pub mod get_changes;
pub mod get_cluster;
pub mod get_clusters;
pub mod get_history;
pub mod get_holders;
pub mod get_map;
pub mod get_map_data;
pub mod get_map_svg;
pub mod get_metadata;
pub mod keep_labels;
pub mod refresh_clusters;

mod asked;
mod bubblemaps;
mod cluster;
mod daily_point;
mod evidence;
mod kept;
mod label_file;
mod laid_out;
mod metadata;
mod parameter;
mod past;
mod report;
mod series;
mod source_failure;
mod tally;
mod token;

pub use metadata::Metadata;
pub use parameter::{BlockNumber, Bounded, LabelsParameter, Time};
pub use report::{ClusterReport, ReportParameters};
pub use series::MetricHistory;

use api::Endpoint;
use app::App;
use worker::{Departure, Worker};

/// What this domain is asked and answers, for the OpenAPI document; the tests hold it to what it really does.
pub const EXAMPLES: &str = include_str!("../examples.json");

pub fn routes() -> Vec<Endpoint<App>> {
    vec![
        explain_cluster::route(),
        get_chains::route(),
        get_changes::route(),
        get_cluster::route(),
        get_clusters::route(),
        get_history::route(),
        get_holders::route(),
        get_map::route(),
        get_map_data::route(),
        get_map_svg::route(),
        get_metadata::route(),
        keep_labels::route(),
    ]
}

pub fn workers() -> Vec<Worker<App>> {
    vec![refresh_clusters::worker()]
}

/// Reports are about tokens, whoever asked for them. A file of labels is kept under its digest alone: nothing says who
/// posted it, and whoever else posted the same needs it.
pub fn departure() -> Departure<App> {
    Departure::nothing_kept("tokens")
}
