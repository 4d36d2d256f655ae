//! Numbers, times and spans as people read them.

use access::Timestamp;
use jiff::Zoned;
use jiff::tz::TimeZone;

/// `15 minutes`, `1 hour`, `24 hours`, `7 days`.
pub(crate) fn span(minutes: u32) -> String {
    const HOUR: u32 = 60;
    const DAY: u32 = 24 * HOUR;
    match minutes {
        minutes if minutes > DAY && minutes.is_multiple_of(DAY) => counted((minutes / DAY).into(), "day"),
        minutes if minutes > 0 && minutes.is_multiple_of(HOUR) => counted((minutes / HOUR).into(), "hour"),
        minutes => counted(minutes.into(), "minute"),
    }
}

/// `1 place`, `3,400 places`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(count))
}

/// `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `+120 this week`, `−3 this week`, `as a week ago`.
pub(crate) fn gained(difference: i64) -> String {
    let amount = grouped(difference.unsigned_abs());
    match difference {
        0 => "as a week ago".to_owned(),
        1.. => format!("+{amount} this week"),
        _ => format!("−{amount} this week"),
    }
}

/// New rank minus old: `up 3 places` for −3, `down 1 place` for 1, `as a week ago` for 0.
pub(crate) fn moved(rank_difference: i64) -> String {
    let places = counted(rank_difference.unsigned_abs(), "place");
    match rank_difference {
        0 => "as a week ago".to_owned(),
        1.. => format!("down {places}"),
        _ => format!("up {places}"),
    }
}

/// `1 June 2026`, in UTC.
pub(crate) fn day(time: Timestamp) -> String {
    utc(time).strftime("%-d %B %Y").to_string()
}

/// `1 June 2026 at 09:05 UTC`.
pub(crate) fn moment(time: Timestamp) -> String {
    utc(time).strftime("%-d %B %Y at %H:%M UTC").to_string()
}

/// Beyond the year 9999 it stays there.
fn utc(time: Timestamp) -> Zoned {
    let millis = i64::try_from(time.millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_zoned(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_in_the_largest_whole_unit() {
        let spans = [(0, "0 minutes"), (1, "1 minute"), (15, "15 minutes"), (60, "1 hour"), (90, "90 minutes")];
        for (minutes, expected) in spans.into_iter().chain([(1440, "24 hours"), (2880, "2 days"), (10_080, "7 days")]) {
            assert_eq!(span(minutes), expected);
        }
    }

    #[test]
    fn numbers_are_grouped_and_signed() {
        let numbers = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (number, expected) in numbers {
            assert_eq!(grouped(number), expected);
        }
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!([gained(1200), gained(-3), gained(0)], ["+1,200 this week", "−3 this week", "as a week ago"]);
        assert_eq!([moved(-3), moved(1), moved(0)], ["up 3 places", "down 1 place", "as a week ago"]);
        assert_eq!(moved(i64::MIN), "up 9,223,372,036,854,775,808 places");
    }

    #[test]
    fn times_are_utc_and_never_out_of_range() {
        let time = Timestamp(1_780_304_700_000);
        assert_eq!((day(time), moment(time)), ("1 June 2026".into(), "1 June 2026 at 09:05 UTC".into()));
        assert_eq!(day(Timestamp(0)), "1 January 1970");
        assert!(day(Timestamp(u64::MAX)).ends_with(" 9999"));
    }
}
