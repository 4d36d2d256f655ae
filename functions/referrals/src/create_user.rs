//! POST /v1/admin/users: a member who needs nobody's code.

use access::EmailAddress;
use api::{ApiError, Caller, Endpoint, Json};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::admin::{self, only_admins};
use crate::member::MemberView;

pub fn route() -> Endpoint<App> {
    Endpoint::new("referrals-create-user", routes!(create_user))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMember {
    #[schema(value_type = String, format = "email", example = "ann@example.org")]
    email: EmailAddress,
}

/// Creates a confirmed account that is a member without a referral. Its owner sets a password as for a forgotten one. An
/// account that is there keeps its own; only missing rows are made.
#[utoipa::path(post, path = "/v1/admin/users", tag = "admin", request_body = NewMember, security(("bearer" = [])),
    responses((status = 201, body = MemberView), (status = 403, description = "`not_allowed`: for the group `admin`")))]
async fn create_user(
    caller: Caller,
    State(app): State<App>,
    Json(body): Json<NewMember>,
) -> Result<Response, ApiError> {
    only_admins(&caller)?;
    let made = admin::create_user(&app, &body.email, None).await?;
    Ok((StatusCode::CREATED, axum::Json(made)).into_response())
}
