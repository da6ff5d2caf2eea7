//! The `Date` field. A recipient with a clock adds it to an answer without one (RFC 9110 section 6.6.1), and
//! our own answers need it like any origin server's.

use std::cell::Cell;
use std::time::SystemTime;

/// Length of a date in this format.
const BYTES: usize = 29;

thread_local! {
    /// The last formatted date of this thread and its second, so that most answers only read the clock.
    static LAST: Cell<(u64, [u8; BYTES])> = const { Cell::new((u64::MAX, [0; BYTES])) };
}

/// The current time as a field value: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn now() -> [u8; BYTES] {
    of(SystemTime::now())
}

fn of(time: SystemTime) -> [u8; BYTES] {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let second = since_epoch.as_secs();
    let (known, date) = LAST.get();
    if known == second {
        return date;
    }
    let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since_epoch);
    let Ok(date) = <[u8; BYTES]>::try_from(text.as_bytes()) else { return date };
    LAST.set((second, date));
    date
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_date_is_the_standard_s_form_and_moves_with_the_second() {
        let at = |seconds: f64| {
            let date = of(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds));
            String::from_utf8(date.to_vec()).unwrap()
        };
        assert_eq!(at(784_111_777.0), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_777.9), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_778.0), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(at(0.0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
