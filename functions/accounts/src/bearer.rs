use http::HeaderMap;
use http::header::AUTHORIZATION;
use identity::AccessToken;

/// The caller's own token, for what the pool does in the caller's name. Beside `Caller`, which has verified it.
pub(crate) fn access_token(headers: &HeaderMap) -> AccessToken {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    AccessToken::new(value.split_once(' ').map_or("", |(_, token)| token.trim()))
}
