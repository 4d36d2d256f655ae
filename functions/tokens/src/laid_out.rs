use access::Found;
use api::ApiError;
use map::Map;

use crate::ClusterReport;

/// A kept report as a map.
pub(crate) fn laid_out(hit: &Found<ClusterReport>) -> Result<Map, ApiError> {
    Ok(Map::of(&hit.stamped.value.read()?))
}
