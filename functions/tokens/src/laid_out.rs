use access::{Found, Kind};
use api::ApiError;
use clusters::Report;
use map::Map;

use crate::ClusterReport;

/// A kept report as a map.
pub(crate) fn laid_out(hit: &Found<ClusterReport>) -> Result<Map, ApiError> {
    let report: Report = serde_json::from_str(hit.stamped.value.0.get())
        .map_err(|error| ApiError::new(Kind::Internal, "malformed_report", "").caused_by(error))?;
    Ok(Map::of(&report))
}
