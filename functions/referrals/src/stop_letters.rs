//! GET and POST /v1/referrals/unsubscribe: the link in a letter, for people and for mail programs (RFC 8058).

use access::Kind;
use api::{ApiError, Endpoint, Query};
use app::App;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use mail::{Scope, UnsubscribeError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

pub fn route() -> Endpoint<App> {
    Endpoint::new("referrals-stop-letters", routes!(unsubscribe, unsubscribe_at_once))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// From the letter: signed, it says which letters and to whom.
    #[param(example = "sQ0…")]
    token: String,
}

#[derive(Serialize, ToSchema)]
struct Unsubscribed {
    /// `invites`, `weekly` or `all`.
    #[schema(example = "invites")]
    scope: &'static str,
    #[schema(example = "No more invitations are sent to this address.")]
    detail: &'static str,
}

/// Unsubscribes the address of a letter. Again, nothing more happens. A page, or JSON for who accepts that rather.
#[utoipa::path(get, path = "/v1/referrals/unsubscribe", tag = "referrals", params(Asked),
    responses((status = 200, body = Unsubscribed), (status = 400, description = "`bad_token`: the link was changed.")))]
async fn unsubscribe(
    State(app): State<App>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let unsubscribed = stop(&app, &asked.token).await?;
    Ok(if wants_json(&headers) { json(unsubscribed) } else { page(&app, &unsubscribed) })
}

/// The same for mail programs, which post `List-Unsubscribe=One-Click` to the link on their own.
#[utoipa::path(post, path = "/v1/referrals/unsubscribe", tag = "referrals", params(Asked),
    responses((status = 200, body = Unsubscribed), (status = 400, description = "`bad_token`: the link was changed.")))]
async fn unsubscribe_at_once(State(app): State<App>, Query(asked): Query<Asked>) -> Result<Response, ApiError> {
    Ok(json(stop(&app, &asked.token).await?))
}

async fn stop(app: &App, token: &str) -> Result<Unsubscribed, ApiError> {
    let scope = app.suppressions.unsubscribe(token).await.map_err(|error| match error {
        UnsubscribeError::NotOurs(_) => {
            ApiError::new(Kind::Invalid, "bad_token", "This link is not as it was in the letter. Copy all of it.")
        }
        UnsubscribeError::Access(error) => error.into(),
    })?;
    let detail = match scope {
        Scope::Invites => "No more invitations are sent to this address.",
        Scope::Weekly => "The weekly mail is not sent to this address any more.",
        Scope::All => "No more letters are sent to this address.",
    };
    Ok(Unsubscribed { scope: scope.name(), detail })
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.contains("json") && !accepted.contains("html")
}

fn json(unsubscribed: Unsubscribed) -> Response {
    ([(CACHE_CONTROL, "no-store")], axum::Json(unsubscribed)).into_response()
}

fn page(app: &App, unsubscribed: &Unsubscribed) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let product = escaped(app.settings.letterhead.product.as_str());
    let page = PAGE.replace("{product}", &product).replace("{detail}", unsubscribed.detail);
    ([(CACHE_CONTROL, "no-store"), (CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const PAGE: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"robots\" content=\"noindex\"><title>Unsubscribed · {product}</title><style>
:root { color-scheme: light dark; --ground: #f2f4f1; --card: #fff; --line: #e1e6e2; --ink: #16211d; --soft: #5a6761; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #0f1412; --card: #18201d; --line: #27322d; --ink: #eaf0ed; --soft: #a3b1aa; }
}
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--ground); color: var(--ink);
  font: 16px/25px -apple-system, BlinkMacSystemFont, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; }
main { max-width: 26rem; margin: 1rem; padding: 36px; background: var(--card); border: 1px solid var(--line);
  border-radius: 14px; }
h1 { margin: 0 0 12px; font-size: 25px; line-height: 32px; } p { margin: 0; } p + p { margin-top: 12px; }
.soft { color: var(--soft); font-size: 13px; line-height: 20px; }
</style></head><body><main><h1>You are unsubscribed</h1><p>{detail}</p>
<p class=\"soft\">{product}. You can close this page.</p></main></body></html>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_for_programs_and_the_page_for_everybody_else() {
        let with = |accept: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, accept.parse().unwrap());
            }
            wants_json(&headers)
        };
        assert!(with(Some("application/json")));
        for other in [None, Some("*/*"), Some("text/html,application/xhtml+xml,application/json;q=0.9")] {
            assert!(!with(other), "{other:?}");
        }
    }
}
