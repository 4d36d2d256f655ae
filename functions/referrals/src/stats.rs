//! A member's points and rank as the front end draws them.

use access::Timestamp;
use members::{MemberStanding, Snapshot};
use serde::Serialize;
use utoipa::ToSchema;

/// The caller's points, rank and invitations. Differences are against the newest ranking at least seven days ago.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InviteStatsResponse {
    #[schema(example = 340)]
    points: u64,
    /// Now minus then; of who joined since, all points.
    #[schema(example = 120)]
    points_difference: i64,
    /// From 1.
    #[schema(example = 12)]
    rank: u64,
    /// How many have one.
    #[schema(example = 1840)]
    total_rank: u64,
    /// Now minus then: negative is climbed. 0 for who joined since.
    #[schema(example = -3)]
    rank_difference: i64,
    /// How many joined with the caller's code.
    #[schema(example = 3)]
    invited: u32,
    /// How many may in all.
    #[schema(example = 10)]
    total_invites: u32,
    invite_chart: InviteChart,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InviteChart {
    points_chart: Chart,
    rank_chart: Chart,
}

/// One value a day.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Chart {
    /// Milliseconds since 1970.
    #[schema(example = 1_790_035_200_000_u64)]
    timestamp_min: u64,
    #[schema(example = 1_790_121_600_000_u64)]
    timestamp_max: u64,
    #[schema(example = 220)]
    value_min: u64,
    #[schema(example = 340)]
    value_max: u64,
    #[schema(example = 2)]
    num_datapoints: usize,
    /// Oldest first.
    data: Vec<Datum>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Datum {
    /// The beginning of the day, UTC, in milliseconds since 1970.
    #[schema(example = 1_790_121_600_000_u64)]
    timestamp: u64,
    #[schema(example = 340)]
    value: u64,
}

impl InviteStatsResponse {
    /// `history`: oldest first.
    pub(crate) fn of(standing: &MemberStanding, history: &[Snapshot], today: u64) -> Self {
        let MemberStanding { member, place, points_difference, rank_difference, .. } = standing;
        let chart = |now: u64, value: fn(&Snapshot) -> u64| {
            let days = history.iter().filter(|snapshot| snapshot.day < today);
            let days = days.map(|snapshot| (snapshot.day, value(snapshot)));
            Chart::of(days.chain([(today, now)]))
        };
        Self {
            points: member.points,
            points_difference: *points_difference,
            rank: place.rank,
            total_rank: place.total,
            rank_difference: *rank_difference,
            invited: member.referrals_used,
            total_invites: member.total_referrals,
            invite_chart: InviteChart {
                points_chart: chart(member.points, |snapshot| snapshot.points),
                rank_chart: chart(place.rank, |snapshot| snapshot.rank),
            },
        }
    }
}

impl Chart {
    /// Days with their values, oldest first.
    fn of(days: impl Iterator<Item = (u64, u64)>) -> Self {
        let data: Vec<_> =
            days.map(|(day, value)| Datum { timestamp: Timestamp::of_day(day).millis(), value }).collect();
        let values = || data.iter().map(|datum| datum.value);
        Self {
            timestamp_min: data.first().map_or(0, |datum| datum.timestamp),
            timestamp_max: data.last().map_or(0, |datum| datum.timestamp),
            value_min: values().min().unwrap_or_default(),
            value_max: values().max().unwrap_or_default(),
            num_datapoints: data.len(),
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_chart_of_one_day_begins_and_ends_there() {
        let chart = Chart::of([(2, 7)].into_iter());
        let day = 2 * 24 * 3600 * 1000;
        let datum = Datum { timestamp: day, value: 7 };
        let expected = Chart {
            timestamp_min: day,
            timestamp_max: day,
            value_min: 7,
            value_max: 7,
            num_datapoints: 1,
            data: vec![datum],
        };
        assert_eq!(chart, expected);
    }

    proptest! {
        #[test]
        fn all_values_are_within_the_charts_bounds(values in prop::collection::vec(0_u64..1000, 1..50)) {
            let chart = Chart::of((0..).zip(values.iter().copied()));
            prop_assert_eq!(chart.num_datapoints, values.len());
            for datum in &chart.data {
                prop_assert!((chart.value_min..=chart.value_max).contains(&datum.value));
                prop_assert!((chart.timestamp_min..=chart.timestamp_max).contains(&datum.timestamp));
            }
            prop_assert!(values.contains(&chart.value_min) && values.contains(&chart.value_max));
        }
    }
}
