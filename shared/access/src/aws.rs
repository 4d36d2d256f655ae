//! The AWS clients, built once a process and only when first used.

use std::sync::{Arc, OnceLock};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use base64::Engine;

/// Which roots TLS to AWS trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Roots {
    /// Amazon's own authorities, which sign every AWS endpoint: a fifth of the time of loading all of them.
    #[default]
    Amazon,
    /// The machine's store, for endpoints behind a proxy with its own authority.
    System,
}

/// Where AWS is and as whom we call it.
#[derive(Clone, Debug)]
pub struct AwsConfig {
    pub region: String,
    /// An emulator's address; `None` is AWS itself.
    pub endpoint_url: Option<String>,
    pub credentials: Credentials,
    pub roots: Roots,
}

/// Lazily built clients over one shared HTTP client.
#[derive(Clone)]
pub struct Aws {
    inner: Arc<Inner>,
}

struct Inner {
    config: AwsConfig,
    sdk: OnceLock<SdkConfig>,
    dynamodb: OnceLock<aws_sdk_dynamodb::Client>,
    sqs: OnceLock<aws_sdk_sqs::Client>,
    s3: OnceLock<aws_sdk_s3::Client>,
}

impl Aws {
    pub fn new(config: AwsConfig) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                sdk: OnceLock::new(),
                dynamodb: OnceLock::new(),
                sqs: OnceLock::new(),
                s3: OnceLock::new(),
            }),
        }
    }

    pub fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        self.inner.dynamodb.get_or_init(|| aws_sdk_dynamodb::Client::new(self.sdk_config()))
    }

    pub fn sqs(&self) -> &aws_sdk_sqs::Client {
        self.inner.sqs.get_or_init(|| aws_sdk_sqs::Client::new(self.sdk_config()))
    }

    pub fn s3(&self) -> &aws_sdk_s3::Client {
        self.inner.s3.get_or_init(|| {
            let config = aws_sdk_s3::config::Builder::from(self.sdk_config())
                // Emulators serve buckets by path; host names of buckets do not resolve on loopback.
                .force_path_style(self.inner.config.endpoint_url.is_some())
                .build();
            aws_sdk_s3::Client::from_conf(config)
        })
    }

    /// Region, credentials, limits and the one HTTP client, for the crates that are home to other services' clients.
    pub fn sdk_config(&self) -> &SdkConfig {
        self.inner.sdk.get_or_init(|| {
            let config = &self.inner.config;
            let mut sdk = SdkConfig::builder()
                .behavior_version(BehaviorVersion::v2026_01_12())
                .region(Region::new(config.region.clone()))
                .credentials_provider(SharedCredentialsProvider::new(config.credentials.clone()))
                .http_client(http_client(config))
                .retry_config(RetryConfig::standard().with_max_attempts(3))
                .timeout_config(
                    TimeoutConfig::builder()
                        .connect_timeout(std::time::Duration::from_secs(2))
                        .operation_attempt_timeout(std::time::Duration::from_secs(5))
                        .operation_timeout(std::time::Duration::from_secs(15))
                        .build(),
                )
                .sleep_impl(TokioSleep::new());
            if let Some(url) = &config.endpoint_url {
                sdk = sdk.endpoint_url(url.clone());
            }
            sdk.build()
        })
    }
}

fn http_client(config: &AwsConfig) -> SharedHttpClient {
    let builder = aws_smithy_http_client::Builder::new();
    if config.endpoint_url.as_deref().is_some_and(|url| url.starts_with("http://")) {
        return builder.build_http();
    }
    let roots = match config.roots {
        Roots::System => TrustStore::default(),
        Roots::Amazon => amazon_roots(),
    };
    let context =
        TlsContext::builder().with_trust_store(roots).build().expect("a trust store of valid certificates builds");
    builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build_https()
}

fn amazon_roots() -> TrustStore {
    // AWS endpoints chain to Amazon Root CA 1 to 4 or, cross-signed, to Starfield Services.
    const NAMES: [&[u8]; 2] = [b"Amazon Root CA", b"Starfield Services Root Certificate Authority"];
    let is_amazon = |der: &[u8]| NAMES.iter().any(|name| der.windows(name.len()).any(|window| window == *name));
    let mut store = TrustStore::empty();
    for der in webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter(|der| is_amazon(der)) {
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        store.add_pem_certificate(format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"));
    }
    store
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_amazons_roots_are_found() {
        let found = webpki_root_certs::TLS_SERVER_ROOT_CERTS
            .iter()
            .filter(|der| der.windows(14).any(|window| window == b"Amazon Root CA"))
            .count();
        assert_eq!(found, 4);
        let config = AwsConfig {
            region: "eu-west-2".into(),
            endpoint_url: None,
            credentials: Credentials::new("id", "secret", None, None, "test"),
            roots: Roots::Amazon,
        };
        http_client(&config);
    }
}
