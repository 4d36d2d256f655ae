//! GET /v1/referrals/valid: whether somebody could sign up with a referral code now.

use access::limits::{REFERRAL_VALIDITY_BY_IP, REFERRAL_VALIDITY_IN_ALL};
use api::{ApiError, By, Endpoint, Query, evenly};
use app::App;
use axum::Json;
use axum::extract::State;
use members::ReferralCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

pub fn route() -> Endpoint<App> {
    Endpoint::new("referrals-check-code", routes!(check_code))
        .counted(&[(REFERRAL_VALIDITY_BY_IP, By::Ip), (REFERRAL_VALIDITY_IN_ALL, By::All)])
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// In upper or lower case, with or without the dash; I, L and O are read as 1, 1 and 0.
    #[param(value_type = String, example = "7K3F-9QXB")]
    code: ReferralCode,
}

#[derive(Serialize, ToSchema)]
struct Validity {
    #[schema(example = true)]
    valid: bool,
}

/// Whether a code is somebody's, enabled, and has a place left. Which of these it is not, is not told, nor does the time
/// it takes tell it.
#[utoipa::path(get, path = "/v1/referrals/valid", tag = "referrals", params(Asked),
    responses((status = 200, body = Validity)))]
async fn check_code(State(app): State<App>, Query(asked): Query<Asked>) -> Result<Json<Validity>, ApiError> {
    let valid = evenly(Box::pin(app.members.is_valid_code(&asked.code))).await?;
    Ok(Json(Validity { valid }))
}
