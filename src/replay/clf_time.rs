//! Parses the time of the common and the combined format: `10/Oct/2000:13:55:36 -0700`.

use std::time::Duration;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Length of such a time.
pub(super) const TIME_BYTES: usize = 26;
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The time since 1970; `None` if the text is not such a time or the time is before 1970.
pub(super) fn seconds_since_1970(text: &str) -> Option<Duration> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let marks = [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':'), (20, b' ')];
    if marks.iter().any(|(at, mark)| bytes.get(*at) != Some(mark)) {
        return None;
    }
    let month = MONTHS.iter().position(|month| text.get(3..6) == Some(month))? as i64 + 1;
    let (day, year) = (number(0, 2)?, number(7, 11)?);
    let (hour, minute, second) = (number(12, 14)?, number(15, 17)?, number(18, 20)?);
    let is_real = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    let sign = match bytes.get(21)? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let offset = sign * (number(22, 24)? * 3600 + number(24, 26)? * 60);
    let local = days_since_1970(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
    u64::try_from(local - offset).ok().filter(|_| is_real).map(Duration::from_secs)
}

/// Days in the Gregorian calendar. Years begin in March here, so that the leap day is the last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_TO_1970: i64 = 719_468;
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - DAYS_TO_1970
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn dates_are_those_of_another_calendar(seconds in 0u64..8_000_000_000, hours in -12i64..=14) {
            let local = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds + 15 * 3600) - Duration::from_secs((15 - hours) as u64 * 3600);
            let text = humantime::format_rfc3339_seconds(local).to_string();
            let (sign, month) = (if hours < 0 { '-' } else { '+' }, MONTHS[text[5..7].parse::<usize>().unwrap() - 1]);
            let date = format!("{}/{month}/{}:{} {sign}{:02}00", &text[8..10], &text[..4], &text[11..19], hours.abs());
            prop_assert_eq!(seconds_since_1970(&date), Some(Duration::from_secs(seconds)), "{}", date);
        }
    }
}
