//! Key sets over the network.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::issuer::is_safe_address;

/// The longest wait for a key set. A person is waiting behind it.
pub const NETWORK_LIMIT: Duration = Duration::from_secs(2);

/// The largest key set read, in bytes. Cognito's is about 1 KB.
pub const JWKS_BYTES_MAX: usize = 64 * 1024;

/// Fetches key sets. [`crate::Verifier`] itself keeps to [`NETWORK_LIMIT`] and [`JWKS_BYTES_MAX`], asks for one
/// issuer's set once at a time, and pauses between attempts.
#[async_trait]
pub trait JwksFetch: Send + Sync {
    /// The JSON text published at `url`, one of the allow-list's `jwks_url`s.
    async fn fetch(&self, url: &str) -> Result<String, FetchError>;
}

/// Why a key set could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the address is neither https nor http on a loopback address")]
    Address,
    #[error("answered with status {0}")]
    Status(u16),
    #[error("larger than {JWKS_BYTES_MAX} bytes")]
    TooLarge,
    #[error("not UTF-8")]
    Encoding,
    #[error("no answer within {} s", NETWORK_LIMIT.as_secs())]
    TimedOut,
    #[error("the request failed")]
    Request(#[source] Box<dyn Error + Send + Sync>),
}

/// [`JwksFetch`] over HTTP. Redirects are not followed and proxies of the environment not used: the allow-list alone
/// says whose keys count. The client with its root certificates is built at the first fetch, so that a process which
/// never fetches never pays for it.
#[derive(Default)]
pub struct HttpJwksFetch {
    client: OnceCell<reqwest::Client>,
}

impl HttpJwksFetch {
    async fn client(&self) -> Result<&reqwest::Client, FetchError> {
        self.client
            .get_or_try_init(|| async {
                reqwest::Client::builder()
                    .redirect(reqwest::redirect::Policy::none())
                    .no_proxy()
                    .timeout(NETWORK_LIMIT)
                    .build()
            })
            .await
            .map_err(|error| FetchError::Request(Box::new(error)))
    }
}

#[async_trait]
impl JwksFetch for HttpJwksFetch {
    async fn fetch(&self, url: &str) -> Result<String, FetchError> {
        if !is_safe_address(url) {
            return Err(FetchError::Address);
        }
        let mut response = self.client().await?.get(url).send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        // Counted as it comes and after decompression: neither a missing length nor a small archive helps.
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > JWKS_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).map_err(|_| FetchError::Encoding)
    }
}

fn failed(error: reqwest::Error) -> FetchError {
    if error.is_timeout() { FetchError::TimedOut } else { FetchError::Request(Box::new(error)) }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Serves `response` to one connection; the address to ask.
    async fn serve(response: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).await.unwrap();
            // The client may hang up in the middle of a body it finds too long.
            let _sent = stream.write_all(&response).await;
        });
        url
    }

    async fn fetch(response: impl Into<Vec<u8>>) -> Result<String, FetchError> {
        let url = serve(response.into()).await;
        HttpJwksFetch::default().fetch(&url).await
    }

    #[tokio::test]
    async fn a_key_set_is_fetched() {
        let got = fetch("HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{\"keys\":[]}").await;
        assert_eq!(got.unwrap(), "{\"keys\":[]}");
    }

    #[tokio::test]
    async fn a_body_without_end_is_cut_off() {
        let mut response = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
        response.extend(std::iter::repeat_n(b' ', JWKS_BYTES_MAX + 1));
        assert!(matches!(fetch(response).await, Err(FetchError::TooLarge)));
    }

    #[tokio::test]
    async fn the_largest_body_allowed_is_read() {
        let mut response = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
        response.extend(std::iter::repeat_n(b' ', JWKS_BYTES_MAX));
        assert_eq!(fetch(response).await.unwrap().len(), JWKS_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let elsewhere = serve(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}".to_vec()).await;
        let got = fetch(format!("HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\nconnection: close\r\n\r\n")).await;
        assert!(matches!(got, Err(FetchError::Status(302))), "{got:?}");
    }

    #[tokio::test]
    async fn an_error_page_is_not_a_key_set() {
        let got = fetch("HTTP/1.1 503 Busy\r\nconnection: close\r\n\r\n{}").await;
        assert!(matches!(got, Err(FetchError::Status(503))), "{got:?}");
    }

    #[tokio::test]
    async fn bytes_that_are_not_utf8_are_refused() {
        let got = fetch(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\xff\xfe".to_vec()).await;
        assert!(matches!(got, Err(FetchError::Encoding)), "{got:?}");
    }

    #[tokio::test]
    async fn a_refused_connection_is_an_error_with_its_cause() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let error = HttpJwksFetch::default().fetch(&url).await.unwrap_err();
        assert!(matches!(error, FetchError::Request(_)) && error.source().is_some());
    }

    #[tokio::test]
    async fn an_unsafe_address_is_not_even_asked() {
        let got = HttpJwksFetch::default().fetch("http://192.0.2.1/jwks.json").await;
        assert!(matches!(got, Err(FetchError::Address)));
    }
}
