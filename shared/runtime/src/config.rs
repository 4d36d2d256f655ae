use std::time::Duration;

use access::{AwsConfig, Credentials, EmailAddress, Freshness, Roots, Strictness};
use api::Edge;
use app::{Pages, Settings};

/// All that the environment says, read once.
#[derive(Clone, Debug)]
pub struct Config {
    pub settings: Settings,
    pub edge: Edge,
    pub log_filter: String,
    /// `redis://`, `rediss://` or `redis+cluster://`; none: the process's own cache alone.
    pub redis_url: Option<Secret>,
    /// Seals cursors; the same for all functions of a deployment.
    pub cursor_secret: Secret,
    /// `name=https://…`, `name=file:…` and `name=sample:`, separated by blanks. A URL may hold a key.
    pub chains: Secret,
    pub issuers: Vec<IssuerConfig>,
    /// From whom letters come; none: nothing can be sent.
    pub sender: Option<EmailAddress>,
    /// Where SES reports bounces and complaints.
    pub mail_configuration_set: Option<String>,
    pub aws: AwsSettings,
}

/// A text that does not show in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Whose tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// A Cognito pool's id, or another issuer's `iss`.
    pub issuer: String,
    /// None for a Cognito pool, whose address follows from its id.
    pub jwks_url: Option<String>,
    pub client_ids: Vec<String>,
}

/// Where the deployed resources are.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    pub config: AwsConfig,
    /// In front of every table's name.
    pub table_prefix: String,
    /// In front of every queue's name, with the scheme.
    pub queue_url_prefix: String,
    pub bucket: String,
}

/// What is wrong with the environment. Never quotes a value: it may be a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("environment variable {name} is missing: expected {expected}")]
    Missing { name: &'static str, expected: &'static str },
    #[error("environment variable {name} is not as expected: {expected}")]
    Bad { name: &'static str, expected: &'static str },
}

/// Where values come from; the process's environment, or a table in tests.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// # Errors
    /// The first variable that is missing or malformed, by name.
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(&|name| std::env::var(name).ok())
    }

    pub(crate) fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let given = |name: &str| lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let required = |name, expected| given(name).ok_or(ConfigError::Missing { name, expected });
        let seconds = |name, default: u64| -> Result<Duration, ConfigError> {
            let bad = ConfigError::Bad { name, expected: "whole seconds" };
            given(name).map_or(Ok(default), |text| text.parse().map_err(|_| bad)).map(Duration::from_secs)
        };
        let list = |name: &str| -> Vec<String> {
            given(name)
                .map(|text| text.split([',', ' ']).filter(|s| !s.is_empty()).map(str::to_owned).collect())
                .unwrap_or_default()
        };
        let flag = |name| match given(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ConfigError::Bad { name, expected: "true or false" }),
        };
        let edge = Edge {
            allowed_origins: list("ALLOWED_ORIGINS"),
            allow_credentials: flag("ALLOW_CREDENTIALS")?,
            max_body_bytes: given("MAX_BODY_BYTES").map_or(Ok(Edge::default().max_body_bytes), |text| {
                text.parse().map_err(|_| ConfigError::Bad { name: "MAX_BODY_BYTES", expected: "whole bytes" })
            })?,
            time_limit: seconds("TIME_LIMIT_SECONDS", Edge::default().time_limit.as_secs())?,
        };
        let freshness = |name, default| -> Result<Freshness, ConfigError> {
            Ok(Freshness { staleness: seconds(name, default)?, ..Freshness::default() })
        };
        let pages = match given("FRONT_END_URL") {
            None => Pages::default(),
            Some(url) => Pages::new(&url).map_err(|_| ConfigError::Bad {
                name: "FRONT_END_URL",
                expected: "https://…, the front end's address",
            })?,
        };
        let api = match given("API_URL") {
            None => Settings::default().api,
            Some(url) => {
                let bad = ConfigError::Bad { name: "API_URL", expected: "https://…, this API's own address" };
                Pages::new(&url).map_err(|_| bad)?
            }
        };
        let sender = given("MAIL_FROM").map(|address| {
            let bad = ConfigError::Bad { name: "MAIL_FROM", expected: "an e-mail address" };
            EmailAddress::new(&address).map_err(|_| bad)
        });
        let settings = Settings {
            letterhead: pages.letterhead(Settings::default().letterhead.product),
            pages,
            api,
            environment: given("STAGE").unwrap_or_else(|| "local".to_owned()),
            reports: freshness("REPORT_STALENESS_SECONDS", 21_600)?,
            metadata: freshness("METADATA_STALENESS_SECONDS", 1800)?,
            checkpoint_rows: Settings::default().checkpoint_rows,
            ledger_bytes: ledger_bytes(lookup)?,
            limits: Strictness::AsWritten,
            keys: Settings::default().keys,
        };
        let region = given("AWS_REGION").unwrap_or_else(|| "eu-west-2".to_owned());
        let credentials = Credentials::new(
            required("AWS_ACCESS_KEY_ID", "the function's credentials")?,
            required("AWS_SECRET_ACCESS_KEY", "the function's credentials")?,
            given("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        let roots = match given("TLS_ROOTS").as_deref() {
            None | Some("amazon") => Roots::Amazon,
            Some("system") => Roots::System,
            Some(_) => return Err(ConfigError::Bad { name: "TLS_ROOTS", expected: "amazon or system" }),
        };
        let issuers = match given("JWT_ISSUER") {
            None => Vec::new(),
            Some(issuer) => {
                let client_ids = list("JWT_CLIENT_IDS");
                if client_ids.is_empty() {
                    return Err(ConfigError::Missing {
                        name: "JWT_CLIENT_IDS",
                        expected: "client ids, separated by commas",
                    });
                }
                vec![IssuerConfig { issuer, jwks_url: given("JWT_JWKS_URL"), client_ids }]
            }
        };
        Ok(Self {
            settings,
            edge,
            log_filter: given("LOG_FILTER").unwrap_or_else(|| "info".to_owned()),
            redis_url: redis_url(lookup)?,
            cursor_secret: Secret(required("CURSOR_SECRET", "at least 16 characters, the same for all functions")?),
            chains: Secret(given("CHAINS").unwrap_or_default()),
            issuers,
            sender: sender.transpose()?,
            mail_configuration_set: given("MAIL_CONFIGURATION_SET"),
            aws: AwsSettings {
                config: AwsConfig { region, endpoint_url: given("AWS_ENDPOINT_URL"), credentials, roots },
                table_prefix: given("TABLE_PREFIX").unwrap_or_else(|| "holdfast-".to_owned()),
                queue_url_prefix: required(
                    "QUEUE_URL_PREFIX",
                    "https://sqs.<region>.amazonaws.com/<account>/<stack>-",
                )?,
                bucket: required("BLOB_BUCKET", "the name of an S3 bucket")?,
            },
        })
    }
}

/// Half of the function's memory: saving what was added up takes up to two thirds as much again.
fn ledger_bytes(lookup: Lookup<'_>) -> Result<u64, ConfigError> {
    const NAME: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
    let Some(text) = lookup(NAME) else { return Ok(Settings::default().ledger_bytes) };
    let megabytes: u64 = text.parse().map_err(|_| ConfigError::Bad { name: NAME, expected: "whole megabytes" })?;
    Ok(megabytes * (1 << 20) / 2)
}

/// `REDIS_URL`, which may be a bare host with its port in `REDIS_PORT`; `default` asks for this machine's.
pub(crate) fn redis_url(lookup: Lookup<'_>) -> Result<Option<Secret>, ConfigError> {
    let Some(url) = lookup("REDIS_URL").filter(|url| !url.trim().is_empty()) else { return Ok(None) };
    let url = url.trim();
    if url.contains("://") {
        return Ok(Some(Secret(url.to_owned())));
    }
    let port = lookup("REDIS_PORT").filter(|port| !port.is_empty()).unwrap_or_else(|| "6379".to_owned());
    if port.parse::<u16>().is_err() {
        return Err(ConfigError::Bad { name: "REDIS_PORT", expected: "a port number" });
    }
    let host = if url == "default" { "127.0.0.1" } else { url };
    Ok(Some(Secret(format!("redis://{host}:{port}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(extra: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut all = vec![
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "key"),
            ("CURSOR_SECRET", "0123456789abcdef"),
            ("QUEUE_URL_PREFIX", "https://sqs/1/h-"),
            ("BLOB_BUCKET", "b"),
        ];
        all.retain(|(name, _)| !extra.iter().any(|(other, _)| other == name));
        all.extend(extra.iter().copied());
        Config::read(&|name| all.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_least_environment_is_enough() {
        let config = with(&[]).unwrap();
        assert_eq!(config.aws.config.region, "eu-west-2");
        assert_eq!(config.settings.reports.staleness, Duration::from_secs(21_600));
        assert!(config.redis_url.is_none());
        let config = with(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "3008")]).unwrap();
        assert_eq!(config.settings.ledger_bytes, 1504 << 20);
    }

    #[test]
    fn an_error_names_the_variable_and_never_its_value() {
        for (name, value) in [
            ("REPORT_STALENESS_SECONDS", "soon"),
            ("ALLOW_CREDENTIALS", "maybe"),
            ("MAX_BODY_BYTES", "-1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "much"),
            ("TLS_ROOTS", "mine"),
        ] {
            let error = with(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains(value), "{error}");
        }
        assert!(with(&[("BLOB_BUCKET", "")]).unwrap_err().to_string().contains("BLOB_BUCKET"));
        assert!(with(&[("JWT_ISSUER", "eu-west-2_a")]).unwrap_err().to_string().contains("JWT_CLIENT_IDS"));
    }

    #[test]
    fn redis_is_an_address_or_a_host_with_a_port() {
        let url = |extra: &[(&str, &str)]| with(extra).unwrap().redis_url.map(|secret| secret.0);
        assert_eq!(url(&[("REDIS_URL", "rediss://a:1")]).as_deref(), Some("rediss://a:1"));
        assert_eq!(url(&[("REDIS_URL", "cache"), ("REDIS_PORT", "7000")]).as_deref(), Some("redis://cache:7000"));
        assert_eq!(url(&[("REDIS_URL", "default")]).as_deref(), Some("redis://127.0.0.1:6379"));
        assert!(with(&[("REDIS_URL", "cache"), ("REDIS_PORT", "x")]).is_err());
    }

    #[test]
    fn secrets_do_not_show() {
        let config = with(&[("CHAINS", "ethereum=https://node/key"), ("REDIS_URL", "redis://:pw@h")]).unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("node/key") && !shown.contains("pw") && !shown.contains("0123456789abcdef"), "{shown}");
    }
}
