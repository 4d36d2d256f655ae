//! POST /v1/labels: keeps a file of labels, which requests then name by its SHA-256.

use access::{Kind, LookupError};
use api::{ApiError, Caller, Endpoint, body};
use app::App;
use axum::Json;
use axum::extract::{Request, State};
use clusters::Digest;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::label_file;

pub fn route() -> Endpoint<App> {
    Endpoint::new("tokens-keep-labels", routes!(keep_labels))
}

const CSV: &str = "address,name,kind\n0x1111111111111111111111111111111111111111,Our pool,pool\n";

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KeptLabels {
    /// What to give as `labels=`: the SHA-256 of the file.
    #[schema(value_type = String, example = "a7d2c6f0e7a44a8d8a2f5b3dfef4e2f1c79cfdb0a4f4a1f1e6a1c5b0c3d2e1f0")]
    labels: Digest,
    /// How many addresses it labels.
    #[schema(example = 2)]
    count: usize,
}

/// Keeps a file of labels: a CSV with the columns `address`, `name` and `kind`, or a JSON list of objects with these,
/// at most 20,000. The same file again is the same labels. A file belongs to nobody, and whoever knows its digest may
/// use it; it is kept, also when its sender's account is deleted.
#[utoipa::path(post, path = "/v1/labels", tag = "tokens", security(("bearer" = [])),
    request_body(content((String = "text/csv", example = json!(CSV)), (serde_json::Value = "application/json")),
        description = "The file, at most 1 MiB."),
    responses(
        (status = 201, body = KeptLabels),
        (status = 400, description = "`invalid_labels`: the file is none; says line and column.")))]
async fn keep_labels(
    _: Caller,
    State(app): State<App>,
    request: Request,
) -> Result<(StatusCode, Json<KeptLabels>), ApiError> {
    let file = body(request).await?;
    let read = label_file::read(&file);
    let known = read.map_err(|unfit| ApiError::new(Kind::Invalid, "invalid_labels", unfit.to_string()))?;
    let labels = label_file::keep(&app, file).await.map_err(LookupError::from)?;
    Ok((StatusCode::CREATED, Json(KeptLabels { labels, count: known.len() })))
}
