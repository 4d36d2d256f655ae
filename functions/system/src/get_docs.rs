//! GET /docs: the OpenAPI document as a page to read and to try things on, without anything from another host.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use api::Endpoint;
use app::App;
use axum::response::{Html, IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, serve};

pub fn route() -> Endpoint<App> {
    Endpoint::new("system-get-docs", routes!(get_docs)).uncounted()
}

/// Built when first asked for: about 1.5 MB, a third of that as it is sent.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    let config = Arc::new(Config::from("/openapi.json"));
    let file = |name| serve(name, Arc::clone(&config)).ok().flatten().map(|file| file.bytes).unwrap_or_default();
    let (style, script) = (file("swagger-ui.css"), file("swagger-ui-bundle.js"));
    // A closing tag inside the script would end it.
    let script = String::from_utf8_lossy(&script).replace("</script", "<\\/script");
    page(&String::from_utf8_lossy(&style), &script)
});

/// These API docs as a page.
#[utoipa::path(get, path = "/docs", tag = "system",
    responses((status = 200, description = "A page", content_type = "text/html")))]
async fn get_docs() -> Response {
    const POLICY: &str =
        "default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:";
    ([(CACHE_CONTROL, "public, max-age=300"), (CONTENT_SECURITY_POLICY, POLICY)], Html(PAGE.as_str())).into_response()
}

fn page(style: &str, script: &str) -> String {
    let start = "window.ui = SwaggerUIBundle({url: '/openapi.json', dom_id: '#docs', deepLinking: true, \
                 tryItOutEnabled: true, persistAuthorization: true})";
    let parts: [Cow<'_, str>; 7] = [
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Holdfast API</title><style>".into(),
        style.into(),
        "</style></head><body><div id=\"docs\"></div><script>".into(),
        script.into(),
        "</script><script>".into(),
        start.into(),
        "</script></body></html>".into(),
    ];
    parts.concat()
}
