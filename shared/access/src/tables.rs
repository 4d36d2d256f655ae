use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, TimeToLiveSpecification,
};

/// A table as the template creates it. The one place where key names stand in code; `tidy` holds it against the
/// template.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    pub name: &'static str,
    /// Partition key, a string.
    pub partition_key: &'static str,
    /// What tells a partition's rows apart and orders them.
    pub sort_key: Option<SortKey>,
    pub index: Option<Index>,
}

/// The second half of a key. Numbers are ordered by value, texts by their UTF-8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    pub name: &'static str,
    pub kind: SortKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKind {
    Number,
    Text,
}

impl SortKey {
    pub const fn number(name: &'static str) -> Self {
        Self { name, kind: SortKind::Number }
    }

    pub const fn text(name: &'static str) -> Self {
        Self { name, kind: SortKind::Text }
    }
}

impl SortKind {
    const fn attribute_type(self) -> ScalarAttributeType {
        match self {
            Self::Number => ScalarAttributeType::N,
            Self::Text => ScalarAttributeType::S,
        }
    }
}

/// A global secondary index, sparse: only rows with both attributes are in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Index {
    pub name: &'static str,
    /// A string.
    pub partition_key: &'static str,
    /// A number.
    pub sort_key: &'static str,
}

/// The attribute by which DynamoDB removes rows of any table: seconds since 1970.
pub const EXPIRES_AT: &str = "expiresAt";

/// One row per job key: who computes what, since when, and how it ended.
pub const JOBS: Table = Table {
    name: "jobs",
    partition_key: "job",
    sort_key: None,
    index: Some(Index { name: "open-jobs", partition_key: "open", sort_key: "leaseUntil" }),
};

/// Cluster reports, one row per refresh.
pub const REPORTS: Table =
    Table { name: "reports", partition_key: "report", sort_key: Some(SortKey::number("timestamp")), index: None };

/// What a token says of itself, one row per refresh.
pub const METADATA: Table =
    Table { name: "metadata", partition_key: "token", sort_key: Some(SortKey::number("timestamp")), index: None };

/// Which block ranges of a token's transfers are stored, and where.
pub const SEGMENTS: Table =
    Table { name: "segments", partition_key: "token", sort_key: Some(SortKey::number("fromBlock")), index: None };

/// Members: their code, its places, their points. A row with `forgottenAt` is of nobody any more: it keeps a late
/// repetition from making a member of a deleted account, until it expires.
pub const USERS: Table = Table { name: "users", partition_key: "user", sort_key: None, index: None };

/// Whose a referral code is. One row per code, by condition.
pub const REFERRAL_CODES: Table =
    Table { name: "referralcodes", partition_key: "referralCode", sort_key: None, index: None };

/// Who was invited by whom, one row per invitee.
pub const REFERRALS: Table =
    Table { name: "referrals", partition_key: "user", sort_key: Some(SortKey::text("invitedUser")), index: None };

/// Which code a sign-up that is not confirmed yet came with.
pub const SIGNUPS: Table = Table { name: "signups", partition_key: "user", sort_key: None, index: None };

/// Which tokens were signed out before they ended, by token and by account, until they end.
pub const SIGN_OUTS: Table = Table { name: "signouts", partition_key: "mark", sort_key: None, index: None };

/// Letters somebody has set out to send, one row per letter. Those not known to be sent are in the index.
pub const LETTERS: Table = Table {
    name: "letters",
    partition_key: "letter",
    sort_key: None,
    index: Some(Index { name: "open-letters", partition_key: "open", sort_key: "claimedAt" }),
};

/// Invitations by mail, one row per member and address. The address is encrypted, and the id derived from it.
pub const INVITES: Table =
    Table { name: "invites", partition_key: "user", sort_key: Some(SortKey::text("inviteId")), index: None };

/// Addresses, by their keyed hash, that get no letters of a kind any more: they bounced, complained or asked.
pub const SUPPRESSIONS: Table =
    Table { name: "suppressions", partition_key: "address", sort_key: Some(SortKey::text("scope")), index: None };

/// How much of a day's allowance somebody has used.
pub const QUOTAS: Table = Table { name: "quotas", partition_key: "quota", sort_key: None, index: None };

/// Which points a member got for what: append-only, the day and the source for a key.
pub const POINTS: Table =
    Table { name: "points", partition_key: "user", sort_key: Some(SortKey::text("entry")), index: None };

/// A member's points and rank at the end of each day, by days since 1970.
pub const POINT_HISTORY: Table =
    Table { name: "pointhistory", partition_key: "user", sort_key: Some(SortKey::number("day")), index: None };

/// Rankings that were finished, and where their pages are.
pub const STANDINGS: Table =
    Table { name: "standings", partition_key: "board", sort_key: Some(SortKey::number("timestamp")), index: None };

/// What requests with an `Idempotency-Key` were answered, by caller, endpoint and key.
pub const IDEMPOTENCY: Table = Table { name: "idempotency", partition_key: "request", sort_key: None, index: None };

pub const TABLES: [&Table; 17] = [
    &JOBS,
    &REPORTS,
    &METADATA,
    &SEGMENTS,
    &USERS,
    &REFERRAL_CODES,
    &REFERRALS,
    &SIGNUPS,
    &SIGN_OUTS,
    &LETTERS,
    &INVITES,
    &SUPPRESSIONS,
    &QUOTAS,
    &POINTS,
    &POINT_HISTORY,
    &STANDINGS,
    &IDEMPOTENCY,
];

/// Accounts of the embedded user pool, by `sub`.
pub const POOL_USERS: Table = Table { name: "pool-users", partition_key: "user", sort_key: None, index: None };

/// Whose an address is in the embedded user pool. One row per address, by condition.
pub const POOL_ADDRESSES: Table =
    Table { name: "pool-addresses", partition_key: "address", sort_key: None, index: None };

/// Codes the embedded user pool has sent, one row per person and purpose.
pub const POOL_CODES: Table = Table { name: "pool-codes", partition_key: "code", sort_key: None, index: None };

/// Sign-ins at the embedded user pool.
pub const POOL_SESSIONS: Table = Table { name: "pool-sessions", partition_key: "session", sort_key: None, index: None };

/// Refresh tokens of the embedded user pool, by their hash.
pub const POOL_REFRESH_TOKENS: Table =
    Table { name: "pool-refresh-tokens", partition_key: "token", sort_key: None, index: None };

/// The embedded user pool's tables: no template has them, a deployment's accounts are Cognito's.
pub const POOL_TABLES: [&Table; 5] = [&POOL_USERS, &POOL_ADDRESSES, &POOL_CODES, &POOL_SESSIONS, &POOL_REFRESH_TOKENS];

/// Creates every table that is not there, with its index and expiry; a table another process creates meanwhile is fine.
pub(crate) async fn create_missing(client: &aws_sdk_dynamodb::Client, prefix: &str) -> Result<(), crate::AccessError> {
    for table in TABLES.into_iter().chain(POOL_TABLES) {
        match table.definition(client, prefix).send().await {
            Ok(_) => {}
            Err(e) if e.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => continue,
            Err(e) => return Err(crate::AccessError::from_sdk(table.name, e)),
        }
        let expiry = TimeToLiveSpecification::builder().attribute_name(EXPIRES_AT).enabled(true).build();
        let expiry = expiry.map_err(|e| crate::AccessError::malformed(table.name, e))?;
        let sent = client.update_time_to_live().table_name(format!("{prefix}{}", table.name));
        let sent = sent.time_to_live_specification(expiry).send().await;
        sent.map_err(|e| crate::AccessError::from_sdk(table.name, e))?;
    }
    Ok(())
}

impl Table {
    fn definition(&self, client: &aws_sdk_dynamodb::Client, prefix: &str) -> CreateTableFluentBuilder {
        let attribute = |name: &str, kind| {
            AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().expect("both are given")
        };
        let key = |name: &str, kind| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("both are given")
        };
        let mut create = client
            .create_table()
            .table_name(format!("{prefix}{}", self.name))
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute(self.partition_key, ScalarAttributeType::S))
            .key_schema(key(self.partition_key, KeyType::Hash));
        if let Some(sort) = self.sort_key {
            create = create
                .attribute_definitions(attribute(sort.name, sort.kind.attribute_type()))
                .key_schema(key(sort.name, KeyType::Range));
        }
        if let Some(index) = &self.index {
            let definition = GlobalSecondaryIndex::builder()
                .index_name(index.name)
                .key_schema(key(index.partition_key, KeyType::Hash))
                .key_schema(key(index.sort_key, KeyType::Range))
                .projection(Projection::builder().projection_type(ProjectionType::All).build())
                .build()
                .expect("name, keys and projection are given");
            create = create
                .attribute_definitions(attribute(index.partition_key, ScalarAttributeType::S))
                .attribute_definitions(attribute(index.sort_key, ScalarAttributeType::N))
                .global_secondary_indexes(definition);
        }
        create
    }
}
