use std::sync::Arc;

use access::{
    Aws, BadRedisUrl, BlobStore, Clock, Cursors, Idempotency, Ids, JobPolicy, Jobs, Limits, LimitsConfig, Queue,
    RandomIds, Ranking, Rao, RaoConfig, RedisTier, S3Blobs, SqsQueue, SystemClock, Tables, Vault,
};
use app::{App, Parts, Settings};
use async_trait::async_trait;
use chains::{ChainSpecError, Chains};
use identity::{
    CognitoPool, CognitoPoolConfig, Denylist, EmbeddedPoolError, HttpJwksFetch, Issuer, IssuerError, UserPool, Verifier,
};
use mail::{Ledger, Letter, MailError, Mailer, MessageId, Sender, SesMailer, Suppressions};
use members::Members;

use crate::config::{Config, ConfigError, IssuerConfig};
use crate::denylist::SharedDenylist;
use crate::jwks::CachedJwks;

/// What differs between the ways to run; [`assemble`] adds what does not.
pub struct Ports {
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    /// Where the tables are.
    pub aws: Aws,
    pub table_prefix: String,
    pub queue: Arc<dyn Queue>,
    pub blobs: Arc<dyn BlobStore>,
    pub redis: Option<RedisTier>,
    pub cursor_secret: Vec<u8>,
    pub chains: Chains,
    pub issuers: Vec<Issuer>,
    pub users: MakeUsers,
    pub mailer: Arc<dyn Mailer>,
    pub jobs: JobPolicy,
    pub settings: Settings,
}

/// Makes the user pool, which may keep its accounts in the application's own tables.
pub type MakeUsers = Box<dyn FnOnce(&Tables, &Rao) -> Result<Arc<dyn UserPool>, AssembleError> + Send>;

/// Why the parts do not make an application.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("environment variable CHAINS: {0}")]
    Chains(#[from] ChainSpecError),
    #[error("environment variable REDIS_URL: {0}")]
    Redis(#[from] BadRedisUrl),
    #[error("the issuers of bearer tokens: {0}")]
    Issuers(#[from] IssuerError),
    #[error("the embedded user pool: {0}")]
    Users(#[from] EmbeddedPoolError),
}

/// Of a deployment that takes no tokens: whoever calls it is told that the pool does not answer.
fn no_pool() -> CognitoPoolConfig {
    CognitoPoolConfig { user_pool_id: String::new(), client_id: String::new() }
}

/// A deployment without an address to send from.
struct NoSender;

#[async_trait]
impl Mailer for NoSender {
    async fn send(&self, _: &Letter) -> Result<MessageId, MailError> {
        Err(MailError::NoSender)
    }
}

/// Puts an application together. Connects to nothing.
pub fn assemble(ports: Ports) -> Result<App, AssembleError> {
    let Ports {
        clock,
        ids,
        aws,
        table_prefix,
        queue,
        blobs,
        redis,
        cursor_secret,
        chains,
        issuers,
        users,
        mailer,
        jobs,
        settings,
    } = ports;
    let cursors = Cursors::new(&cursor_secret);
    let vault = Vault::new(&cursor_secret);
    let tables = Tables::new(aws, &table_prefix, cursors.clone());
    let cache = RaoConfig { environment: settings.environment.clone(), ..RaoConfig::default() };
    let rao = Rao::new(cache, redis.clone(), Arc::clone(&clock), Arc::clone(&ids));
    let environment = settings.environment.clone();
    let ranking = Ranking::open(&environment, redis.clone());
    let limits = LimitsConfig { environment, secret: cursor_secret, strictness: settings.limits };
    let limits = Limits::new(limits, redis, Arc::clone(&clock));
    let jobs = Jobs::open(&tables, &rao, Arc::clone(&queue), Arc::clone(&clock), jobs);
    let seconds = {
        let clock = Arc::clone(&clock);
        Arc::new(move || clock.now().seconds())
    };
    let keys = Arc::new(CachedJwks(rao.clone()));
    let verifier = Verifier::new(issuers, Arc::new(HttpJwksFetch::default()), Some(keys), seconds)?;
    let denylist: Arc<dyn Denylist> = Arc::new(SharedDenylist::open(&tables, &rao, Arc::clone(&clock)));
    let verifier = Arc::new(verifier.with_denylist(Arc::clone(&denylist)));
    let users = users(&tables, &rao)?;
    let members = Members::open(&tables, &rao, &vault, Arc::clone(&clock), Arc::clone(&ids));
    let members = members.with_ranking(ranking.clone());
    let idempotency = Idempotency::open(&tables, &rao, Arc::clone(&clock), Arc::clone(&ids));
    let ledger = Ledger::open(&tables, &rao, Arc::clone(&clock));
    let suppressions = Suppressions::open(&tables, &rao, &vault, Arc::clone(&clock));
    Ok(App::new(Parts {
        clock,
        ids,
        tables,
        rao,
        jobs,
        queue,
        blobs,
        cursors,
        chains,
        verifier,
        limits,
        idempotency,
        denylist,
        users,
        vault,
        members,
        ranking,
        mailer,
        ledger,
        suppressions,
        settings,
    }))
}

/// The application as deployed: AWS behind every port.
pub fn deployed(config: &Config) -> Result<App, AssembleError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let ids: Arc<dyn Ids> = Arc::new(RandomIds);
    let aws = Aws::new(config.aws.config.clone());
    let redis = config.redis_url.as_ref().map(|url| RedisTier::open(&url.0, Arc::clone(&clock))).transpose()?;
    let issuers = config.issuers.iter().map(|given| issuer(given, config.aws.config.endpoint_url.as_deref()));
    let pool = config.issuers.first().map(|given| CognitoPoolConfig {
        user_pool_id: given.issuer.clone(),
        client_id: given.client_ids.first().cloned().unwrap_or_default(),
    });
    let users = Arc::new(CognitoPool::new(aws.clone(), pool.unwrap_or_else(no_pool)));
    let mailer: Arc<dyn Mailer> = match &config.sender {
        None => Arc::new(NoSender),
        Some(address) => {
            let sender = Sender {
                address: address.clone(),
                name: Some(config.settings.letterhead.product.clone()),
                reply_to: None,
            };
            let reports_to = config.mail_configuration_set.clone();
            Arc::new(SesMailer::new(aws.clone(), config.settings.letterhead.clone(), sender, reports_to))
        }
    };
    assemble(Ports {
        users: Box::new(move |_, _| Ok(users as Arc<dyn UserPool>)),
        mailer,
        queue: Arc::new(SqsQueue::new(aws.clone(), &config.aws.queue_url_prefix)),
        blobs: Arc::new(S3Blobs::new(aws.clone(), &config.aws.bucket)),
        aws,
        table_prefix: config.aws.table_prefix.clone(),
        redis,
        cursor_secret: config.cursor_secret.0.clone().into_bytes(),
        chains: Chains::parse(&config.chains.0)?,
        issuers: issuers.collect::<Result<_, _>>()?,
        jobs: JobPolicy::default(),
        settings: config.settings.clone(),
        clock,
        ids,
    })
}

/// A Cognito pool by its id, with its keys where AWS has them or, of an emulated one, where its API is; or another issuer,
/// whose keys are where the configuration says.
fn issuer(given: &IssuerConfig, endpoint_url: Option<&str>) -> Result<Issuer, IssuerError> {
    let IssuerConfig { issuer, jwks_url, client_ids } = given.clone();
    match Issuer::cognito(&issuer, client_ids.clone()) {
        Ok(pool) => {
            let emulated =
                endpoint_url.map(|url| format!("{}/{issuer}/.well-known/jwks.json", url.trim_end_matches('/')));
            Ok(Issuer { jwks_url: jwks_url.or(emulated).or(pool.jwks_url), ..pool })
        }
        Err(_) if jwks_url.is_some() => Ok(Issuer { issuer, jwks_url, client_ids, bundled: None }),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuers_keys_are_where_it_or_the_emulator_has_them() {
        let keys = |issuer_id: &str, jwks_url: Option<&str>, endpoint: Option<&str>| {
            let given = IssuerConfig {
                issuer: issuer_id.into(),
                jwks_url: jwks_url.map(str::to_owned),
                client_ids: vec!["web".into()],
            };
            issuer(&given, endpoint).map(|issuer| (issuer.issuer, issuer.jwks_url.unwrap()))
        };
        let pool = "https://cognito-idp.eu-west-2.amazonaws.com/eu-west-2_a".to_owned();
        let at = |url: &str| (pool.clone(), url.to_owned());
        assert_eq!(keys("eu-west-2_a", None, None).unwrap(), at(&format!("{pool}/.well-known/jwks.json")));
        let emulated = keys("eu-west-2_a", None, Some("http://127.0.0.1:4566/")).unwrap();
        assert_eq!(emulated, at("http://127.0.0.1:4566/eu-west-2_a/.well-known/jwks.json"));
        let told = keys("eu-west-2_a", Some("http://127.0.0.1:1/k"), Some("http://127.0.0.1:2")).unwrap();
        assert_eq!(told, at("http://127.0.0.1:1/k"));
        let other = keys("https://issuer.example", Some("https://issuer.example/k"), None).unwrap();
        assert_eq!(other, ("https://issuer.example".to_owned(), "https://issuer.example/k".to_owned()));
        assert!(keys("https://issuer.example", None, None).is_err());
    }
}
