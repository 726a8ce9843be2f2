//! What stands in the page for texts, moments and numbers.

use std::fmt;

use crate::model::date_of_day;

/// A text as HTML has it, in an element or the value of an attribute in double quotes.
pub(super) struct Text<T>(pub(super) T);

impl<T: AsRef<str>> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_ref();
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

/// A moment, milliseconds since 1970: the script of the page says beside it how long ago.
pub(super) struct Moment(pub(super) u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (year, month, day) = date_of_day(seconds / 86_400);
        let of_day = seconds % 86_400;
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(
            f,
            "<time datetime=\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z\">\
             {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC</time>"
        )
    }
}

/// A word for how something is, whose color says so too.
pub(super) struct Badge<'t>(pub(super) Tone, pub(super) &'t str);

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Calm,
    Warn,
    Bad,
}

impl Tone {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Calm => "calm",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }

    /// Returns the tone of a state of a virtual router.
    pub(super) fn of_state(state: &str) -> Self {
        match state {
            "Active" => Self::Good,
            "Backup" => Self::Calm,
            _ => Self::Bad,
        }
    }
}

impl fmt::Display for Badge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.0.class();
        write!(f, "<span class=\"badge {class}\">{}</span>", Text(self.1))
    }
}

/// Things in a row, with commas.
pub(super) fn joined<T: fmt::Display>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = all.into_iter().map(|it| it.to_string()).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_no_markup() {
        let shown = Text("<b a=\"1\" c='2'>&ß").to_string();
        assert_eq!(shown, "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;ß");
    }

    #[test]
    fn a_moment_is_read_by_people_and_programs() {
        let shown = Moment(1_790_000_123_456).to_string();
        assert_eq!(
            shown,
            "<time datetime=\"2026-09-21T14:15:23Z\">2026-09-21 14:15:23 UTC</time>"
        );
    }
}
