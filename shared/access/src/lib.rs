//! The read path: Redis Access Object, Database Access Object, Database Queue Object, and what they share. The only
//! crate that talks to Redis, DynamoDB, SQS or object storage.

mod aws;
mod blobs;
mod clock;
mod cursor;
mod dao;
mod dqo;
mod email;
mod error;
mod idempotency;
mod ids;
mod jobs;
mod kind;
pub mod limits;
pub mod messages;
mod queue;
mod ranking;
mod rao;
mod redis_tier;
pub mod tables;
mod vault;

pub use aws::{Aws, AwsConfig, Roots};
pub use aws_credential_types::Credentials;
pub use blobs::{BlobError, BlobStore, FolderBlobs, S3Blobs};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use cursor::Cursors;
pub use dao::{Dao, Expression, KeySchema, Page, Row, Sort, Tables, Transacted, Unique, Unmet, Write};
pub use dqo::{Computed, Dqo, Found, Freshness, Lookup, LookupError, Stamped};
pub use email::{BadEmailAddress, EmailAddress};
pub use error::AccessError;
pub use idempotency::{Answer, Attempt, Begun, Digest, Idempotency};
pub use ids::{Ids, RandomIds, SeededIds};
pub use jobs::{
    Claim, Claimed, EnqueueError, Envelope, GoOnError, JobError, JobPolicy, JobRow, JobState, JobView, Jobs, Recovered,
    Start,
};
pub use kind::Kind;
pub use limits::{Decision, Limits, LimitsConfig, Rule, Strictness, TooMany};
pub use queue::{Delivery, InProcessQueue, Outgoing, Queue, QueueError, SqsQueue};
pub use ranking::{Place, Rank, Ranked, Ranking};
pub use rao::{Cached, Hit, Rao, RaoConfig, Tier};
pub use redis_tier::{BadRedisUrl, RedisTier};
pub use tables::{LETTERS, SIGN_OUTS, Table};
pub use vault::{NotOurs, Vault};
