use std::sync::Arc;

use access::{
    Aws, BadRedisUrl, BlobStore, Clock, Cursors, Ids, JobPolicy, Jobs, Queue, RandomIds, Rao, RaoConfig, RedisTier,
    S3Blobs, SqsQueue, SystemClock, Tables,
};
use app::{App, Parts, Settings};
use chains::{ChainSpecError, Chains};
use identity::{HttpJwksFetch, Issuer, IssuerError, Verifier};

use crate::config::{Config, ConfigError};
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
    pub jobs: JobPolicy,
    pub settings: Settings,
}

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
}

/// Puts an application together. Connects to nothing.
pub fn assemble(ports: Ports) -> Result<App, AssembleError> {
    let Ports { clock, ids, aws, table_prefix, queue, blobs, redis, cursor_secret, chains, issuers, jobs, settings } =
        ports;
    let cursors = Cursors::new(&cursor_secret);
    let tables = Tables::new(aws, &table_prefix, cursors.clone());
    let cache = RaoConfig { environment: settings.environment.clone(), ..RaoConfig::default() };
    let rao = Rao::new(cache, redis, Arc::clone(&clock), Arc::clone(&ids));
    let jobs = Jobs::open(&tables, &rao, Arc::clone(&queue), Arc::clone(&clock), jobs);
    let seconds = {
        let clock = Arc::clone(&clock);
        Arc::new(move || clock.now().seconds())
    };
    let keys = Arc::new(CachedJwks(rao.clone()));
    let verifier = Verifier::new(issuers, Arc::new(HttpJwksFetch::default()), Some(keys), seconds)?;
    let verifier = Arc::new(verifier);
    Ok(App::new(Parts { clock, ids, tables, rao, jobs, queue, blobs, cursors, chains, verifier, settings }))
}

/// The application as deployed: AWS behind every port.
pub fn deployed(config: &Config) -> Result<App, AssembleError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let ids: Arc<dyn Ids> = Arc::new(RandomIds);
    let aws = Aws::new(config.aws.config.clone());
    let redis = config.redis_url.as_ref().map(|url| RedisTier::open(&url.0, Arc::clone(&clock))).transpose()?;
    let issuers = config.issuers.iter().map(|issuer| match &issuer.jwks_url {
        None => Issuer::cognito(&issuer.issuer, issuer.client_ids.clone()),
        Some(url) => Ok(Issuer {
            issuer: issuer.issuer.clone(),
            jwks_url: Some(url.clone()),
            client_ids: issuer.client_ids.clone(),
            bundled: None,
        }),
    });
    assemble(Ports {
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
