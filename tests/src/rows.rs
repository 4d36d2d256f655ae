//! What stands in the tables, read past everything above them.

use std::collections::{BTreeSet, HashMap};

use access::tables::{POINTS, REFERRAL_CODES, REFERRALS, Table, USERS};
use access::{Aws, Timestamp};
use serde_json::{Value, json};

pub(crate) type Row = HashMap<String, Value>;

/// The tables of one deployment.
#[derive(Clone)]
pub(crate) struct Rows {
    pub(crate) aws: Aws,
    /// In front of every table's name.
    pub(crate) prefix: &'static str,
    /// No member is older.
    pub(crate) since: Timestamp,
}

impl Rows {
    /// All rows of a table whose values are texts, numbers and truths.
    pub(crate) async fn of(&self, table: &Table) -> Vec<Row> {
        let scan = self.aws.dynamodb().scan().table_name(self.name(table)).consistent_read(true);
        let items: Result<Vec<_>, _> = scan.into_paginator().items().send().collect().await;
        let rows = items.unwrap().into_iter().map(|item| {
            let values = item.into_iter().map(|(name, value)| {
                let value = if let Ok(text) = value.as_s() {
                    json!(text)
                } else if let Ok(number) = value.as_n() {
                    json!(number.parse::<u64>().unwrap())
                } else {
                    json!(value.as_bool().unwrap())
                };
                (name, value)
            });
            values.collect()
        });
        rows.collect()
    }

    /// All rows of a table, each as one text with all its names and values.
    pub(crate) async fn texts(&self, table: &Table) -> Vec<String> {
        let scan = self.aws.dynamodb().scan().table_name(self.name(table)).consistent_read(true);
        let items: Result<Vec<_>, _> = scan.into_paginator().items().send().collect().await;
        items.unwrap().into_iter().map(|item| format!("{item:?}")).collect()
    }

    fn name(&self, table: &Table) -> String {
        format!("{}{}", self.prefix, table.name)
    }

    /// Holds the members' tables against each other: no row is there without those that belong to it, and what is
    /// counted is what is listed. Returns how many members there are.
    pub(crate) async fn check_members(&self) -> usize {
        let text = |row: &Row, name: &str| row[name].as_str().unwrap().to_owned();
        let number = |row: &Row, name: &str| row[name].as_u64().unwrap();
        let rows = self.of(&USERS).await;
        let (forgotten, users): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.contains_key("forgottenAt"));
        let users: HashMap<_, _> = users.into_iter().map(|row| (text(&row, "user"), row)).collect();
        for row in &forgotten {
            let names: BTreeSet<_> = row.keys().map(String::as_str).collect();
            let numbers = ["points", "referralsUsed", "timeCreated", "totalReferrals"];
            let others = ["expiresAt", "forgottenAt", "referralIsValid", "user"];
            assert_eq!(names, numbers.into_iter().chain(others).collect());
            assert!(numbers.iter().all(|name| number(row, name) == 0) && row["referralIsValid"] == false);
        }

        let codes = self.of(&REFERRAL_CODES).await;
        let codes: HashMap<_, _> = codes.iter().map(|row| (text(row, "referralCode"), text(row, "user"))).collect();
        assert_eq!(codes.len(), users.len(), "one code each");

        let mut lists: HashMap<String, Vec<Row>> = HashMap::new();
        for row in self.of(&REFERRALS).await {
            assert_eq!(row["confirmed"], true);
            let (owner, invitee) = (text(&row, "user"), text(&row, "invitedUser"));
            assert!(users.contains_key(&owner), "{owner}'s list is there without {owner}");
            if !invitee.starts_with("forgotten:") {
                let invitee = &users[&invitee];
                assert_eq!(invitee["invitedBy"], owner);
                assert_eq!(invitee["timeCreated"], row["timestamp"]);
            }
            lists.entry(owner).or_default().push(row);
        }
        let mut sums: HashMap<String, u64> = HashMap::new();
        for row in self.of(&POINTS).await {
            let user = text(&row, "user");
            assert!(users.contains_key(&user), "{user} has earnings and is no member");
            *sums.entry(user).or_default() += number(&row, "amount");
        }
        for (user, row) in &users {
            assert_eq!(codes[&text(row, "referralCode")], *user);
            assert!(row["referralIsValid"].is_boolean() && number(row, "timeCreated") >= self.since.millis());
            assert_eq!(number(row, "points"), sums.get(user).copied().unwrap_or(0), "what {user} earned");
            let used = usize::try_from(number(row, "referralsUsed")).unwrap();
            assert_eq!(used, lists.get(user).map_or(0, Vec::len), "places {user} has used");
            assert!(number(row, "referralsUsed") <= number(row, "totalReferrals"));
            if let Some(inviter) = row.get("invitedBy") {
                let list = &lists[inviter.as_str().unwrap()];
                assert!(list.iter().any(|referral| referral["invitedUser"] == **user), "{user} is in no list");
            }
        }
        users.len()
    }
}
