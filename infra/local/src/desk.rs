//! What only the local server has, below `/_local`: the letters it wrote, and the door of `holdfast admin` while it runs.

use std::sync::Arc;

use access::Kind;
use api::{ApiError, Caller, Json, Path, Query};
use app::App;
use axum::Router;
use axum::extract::{FromRef, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use http::header::CONTENT_SECURITY_POLICY;
use identity::Verifier;
use mail::{FileOutbox, Filed, MailError};
use referrals::{Command, Done, carry_out};
use serde::{Deserialize, Serialize};

#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) app: App,
    pub(crate) outbox: Arc<FileOutbox>,
}

impl FromRef<Desk> for Arc<Verifier> {
    fn from_ref(desk: &Desk) -> Self {
        Self::clone(&desk.app.verifier)
    }
}

pub(crate) fn routes() -> Router<Desk> {
    Router::new()
        .route("/_local/outbox", get(page))
        .route("/_local/outbox.json", get(list))
        .route("/_local/outbox/{id}", get(letter))
        .route("/_local/admin", post(admin))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// The id after which older letters are wanted.
    before: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Letters {
    items: Vec<Filed>,
    /// For `before`; null on the last page.
    next_cursor: Option<String>,
}

async fn letters(desk: &Desk, query: &ListQuery) -> Result<Letters, ApiError> {
    let limit = query.limit.unwrap_or(50).clamp(1, 500);
    let items = desk.outbox.list(limit, query.before.as_deref()).await.map_err(|error| unreadable(&error))?;
    let last = items.last().filter(|_| items.len() == limit);
    Ok(Letters { next_cursor: last.map(|filed| filed.id.to_string()), items })
}

async fn list(State(desk): State<Desk>, Query(query): Query<ListQuery>) -> Result<Response, ApiError> {
    Ok(axum::Json(letters(&desk, &query).await?).into_response())
}

async fn page(State(desk): State<Desk>, Query(query): Query<ListQuery>) -> Result<Response, ApiError> {
    let letters = letters(&desk, &query).await?;
    let mut rows = String::new();
    for filed in &letters.items {
        let (id, to, subject) = (escaped(&filed.id.0), escaped(filed.to.as_str()), escaped(&filed.subject));
        rows += &format!(
            "<li><a href=\"/_local/outbox/{id}\" target=letter>{subject}</a><span>{to} · {} · <time>{}</time></span></li>",
            escaped(&filed.template),
            filed.sent_at.millis()
        );
    }
    if rows.is_empty() {
        rows = "<li>No letter yet.</li>".to_owned();
    }
    let older = letters
        .next_cursor
        .map_or_else(String::new, |id| format!("<p><a href=\"/_local/outbox?before={}\">Older</a></p>", escaped(&id)));
    Ok(html(PAGE.replace("{rows}", &rows).replace("{older}", &older)))
}

async fn letter(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = desk.outbox.find(&id).await.map_err(|error| unreadable(&error))?;
    let found = found.ok_or_else(|| ApiError::new(Kind::NotFound, "no_letter", "There is no such letter."))?;
    Ok(html(found.html))
}

/// Letters and their list style themselves and run nothing.
fn html(text: String) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-src 'self'; \
                  frame-ancestors 'self'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(text)).into_response()
}

async fn admin(
    caller: Caller,
    State(desk): State<Desk>,
    Json(command): Json<Command>,
) -> Result<axum::Json<Done>, ApiError> {
    if !caller.groups.iter().any(|group| group == "admin") {
        return Err(ApiError::new(Kind::Forbidden, "not_allowed", "Only the group admin may do this."));
    }
    Ok(axum::Json(carry_out(&desk.app, command).await?))
}

fn unreadable(error: &MailError) -> ApiError {
    ApiError::new(Kind::Internal, "outbox", "").caused_by(error.to_string())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const PAGE: &str = include_str!("outbox.html");
