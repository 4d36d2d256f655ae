//! What domains say to each other through queues. A message type owns its queue.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A queue as the template creates it.
#[derive(Debug, PartialEq, Eq)]
pub struct QueueSpec {
    pub name: &'static str,
    pub fifo: bool,
    /// How long a received message stays hidden unless extended; at least six times the worker's time-out.
    pub visibility: Duration,
    /// After so many receives a message goes to the dead-letter queue.
    pub max_receive_count: u32,
    pub dead_letter: Option<&'static Self>,
}

/// A request for work, with the key under which it is one job.
pub trait Message: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What is done, as part of the job's key: `refresh-clusters`.
    const KIND: &'static str;
    const QUEUE: &'static QueueSpec;
}

pub const DEAD_LETTERS: QueueSpec = QueueSpec {
    name: "dead-letters",
    fifo: true,
    visibility: Duration::from_secs(180),
    max_receive_count: 1000,
    dead_letter: None,
};

pub const REFRESH_CLUSTERS: QueueSpec = QueueSpec {
    name: "refresh-clusters",
    fifo: true,
    visibility: Duration::from_secs(720),
    max_receive_count: 5,
    dead_letter: Some(&DEAD_LETTERS),
};

pub const SEND_MAIL: QueueSpec = QueueSpec {
    name: "send-mail",
    fifo: true,
    visibility: Duration::from_secs(180),
    max_receive_count: 5,
    dead_letter: Some(&DEAD_LETTERS),
};

pub const REMOVE_ACCOUNT: QueueSpec = QueueSpec {
    name: "remove-account",
    fifo: true,
    visibility: Duration::from_secs(360),
    max_receive_count: 5,
    dead_letter: Some(&DEAD_LETTERS),
};

pub const CREDIT_POINTS: QueueSpec = QueueSpec {
    name: "credit-points",
    fifo: true,
    visibility: Duration::from_secs(180),
    max_receive_count: 5,
    dead_letter: Some(&DEAD_LETTERS),
};

pub const REBUILD_STANDINGS: QueueSpec = QueueSpec {
    name: "rebuild-standings",
    fifo: true,
    visibility: Duration::from_secs(1800),
    max_receive_count: 5,
    dead_letter: Some(&DEAD_LETTERS),
};

pub const SEND_DIGESTS: QueueSpec = QueueSpec {
    name: "send-digests",
    fifo: true,
    visibility: Duration::from_secs(720),
    max_receive_count: 5,
    dead_letter: Some(&DEAD_LETTERS),
};

/// What the mail service reports of letters it took: not our envelope, and as often and in whatever order it likes.
pub const MAIL_EVENTS: QueueSpec = QueueSpec {
    name: "mail-events",
    fifo: false,
    visibility: Duration::from_secs(180),
    max_receive_count: 10,
    dead_letter: Some(&LOST_MAIL_EVENTS),
};

/// What could not be taken in: of its own, because a FIFO queue takes no messages of another kind of queue. Nobody works
/// on it; an alarm calls a person.
pub const LOST_MAIL_EVENTS: QueueSpec = QueueSpec {
    name: "lost-mail-events",
    fifo: false,
    visibility: Duration::from_secs(180),
    max_receive_count: 1000,
    dead_letter: None,
};

pub const QUEUES: [&QueueSpec; 9] = [
    &REFRESH_CLUSTERS,
    &SEND_MAIL,
    &REMOVE_ACCOUNT,
    &CREDIT_POINTS,
    &REBUILD_STANDINGS,
    &SEND_DIGESTS,
    &MAIL_EVENTS,
    &LOST_MAIL_EVENTS,
    &DEAD_LETTERS,
];

/// Compute the cluster report of a token with these parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshClusters {
    pub chain: String,
    /// `0x` and 40 lower-case hex digits.
    pub address: String,
    #[serde(flatten)]
    pub choices: Choices,
}

/// What somebody chose about an analysis. A message that does not name one means its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Choices {
    pub top: u32,
    pub hub_degree: u32,
    pub include_hubs: bool,
    pub include_zero_value: bool,
    pub dust_parts_per_billion: u32,
    pub gift_percent: u32,
    pub conduits: bool,
    pub magic_nodes: bool,
    pub contracts_are_hubs: bool,
    pub common_funder: bool,
    /// In blocks.
    pub funding_window: u32,
    pub synchronous: bool,
    /// In blocks.
    pub synchronous_window: u32,
    /// `none`, or the SHA-256 of a file of labels that add to the built-in ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// The state after this block; the newest without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            top: 1000,
            hub_degree: 200,
            include_hubs: false,
            include_zero_value: false,
            dust_parts_per_billion: 1,
            gift_percent: 35,
            conduits: true,
            magic_nodes: false,
            contracts_are_hubs: true,
            common_funder: false,
            funding_window: 7200,
            synchronous: false,
            synchronous_window: 0,
            labels: None,
            block: None,
        }
    }
}

impl Message for RefreshClusters {
    const KIND: &'static str = "refresh-clusters";
    const QUEUE: &'static QueueSpec = &REFRESH_CLUSTERS;
}

/// Compute how concentrated a token was at each of several blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshHistory {
    pub chain: String,
    /// `0x` and 40 lower-case hex digits.
    pub address: String,
    /// At how many blocks, 2 or more.
    pub points: u32,
    /// The first; without it the first with a transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The last; without it the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    #[serde(flatten)]
    pub choices: Choices,
}

impl Message for RefreshHistory {
    const KIND: &'static str = "refresh-history";
    const QUEUE: &'static QueueSpec = &REFRESH_CLUSTERS;
}

/// What comes through the queue of token analyses. A history is told by its `points`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AnalyseToken {
    History(RefreshHistory),
    Clusters(RefreshClusters),
}

impl Message for AnalyseToken {
    const KIND: &'static str = "analyse-token";
    const QUEUE: &'static QueueSpec = &REFRESH_CLUSTERS;
}

/// Write to the owner of an account, or for one to somebody else. The address is looked up when the letter is sent: none
/// waits in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendMail {
    /// What makes this letter one: a second with the same key is not sent.
    pub key: String,
    /// The account's id.
    pub user: String,
    pub letter: AccountLetter,
}

/// What an account's owner is told, or tells others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum AccountLetter {
    Welcome,
    /// `at` in milliseconds since 1970.
    PasswordChanged {
        at: u64,
    },
    /// Somebody tried to sign up with the address.
    AccountExists,
    /// How many points and which rank the member has. `week` in whole weeks since 1970.
    WeeklyPoints {
        week: u64,
    },
    /// To whom the account's owner invites, by the invitation's id.
    ReferralInvite {
        invite: String,
    },
}

impl Message for SendMail {
    const KIND: &'static str = "send-mail";
    const QUEUE: &'static QueueSpec = &SEND_MAIL;
}

/// Take an account out of every domain, and at last out of the user pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoveAccount {
    /// The account's id.
    pub user: String,
}

impl Message for RemoveAccount {
    const KIND: &'static str = "remove-account";
    const QUEUE: &'static QueueSpec = &REMOVE_ACCOUNT;
}

/// Give a member the points for something, once a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreditPoints {
    /// The account's id.
    pub user: String,
    /// Days since 1970, UTC.
    pub day: u64,
    pub source: PointSource,
}

/// What a member gets points for on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointSource {
    /// The day's first cluster report the member asked for.
    Report,
}

impl Message for CreditPoints {
    const KIND: &'static str = "credit-points";
    const QUEUE: &'static QueueSpec = &CREDIT_POINTS;
}

/// Rank all members anew, from the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebuildStandings {
    /// The day whose points and ranks this is to be remembered as; days since 1970, UTC.
    pub day: u64,
}

impl Message for RebuildStandings {
    const KIND: &'static str = "rebuild-standings";
    const QUEUE: &'static QueueSpec = &REBUILD_STANDINGS;
}

/// Write to every member who has points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendDigests {
    /// Whole weeks since 1970: no member gets two letters of the same week.
    pub week: u64,
}

impl Message for SendDigests {
    const KIND: &'static str = "send-digests";
    const QUEUE: &'static QueueSpec = &SEND_DIGESTS;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_queued_by_an_older_version_means_the_defaults() {
        let old = r#"{"chain":"ethereum","address":"0xab","top":50,"hubDegree":20}"#;
        let choices = Choices { top: 50, hub_degree: 20, ..Choices::default() };
        let message = RefreshClusters { chain: "ethereum".into(), address: "0xab".into(), choices };
        assert_eq!(serde_json::from_str::<RefreshClusters>(old).unwrap(), message);
        assert_eq!(serde_json::from_str::<AnalyseToken>(old).unwrap(), AnalyseToken::Clusters(message));
    }

    #[test]
    fn both_analyses_come_through_one_queue_as_they_were_sent() {
        let choices = Choices { labels: Some("none".into()), block: Some(7), magic_nodes: true, ..Choices::default() };
        let (chain, address) = ("ethereum".to_owned(), "0xab".to_owned());
        let clusters = RefreshClusters { chain: chain.clone(), address: address.clone(), choices: choices.clone() };
        let history = RefreshHistory { chain, address, points: 30, from: None, to: Some(9), choices };
        let through = |text: String| serde_json::from_str::<AnalyseToken>(&text).unwrap();
        assert_eq!(through(serde_json::to_string(&clusters).unwrap()), AnalyseToken::Clusters(clusters));
        assert_eq!(through(serde_json::to_string(&history).unwrap()), AnalyseToken::History(history));
    }
}
