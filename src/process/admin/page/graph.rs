//! Small graphs, as pictures in the text: a line of what was over time.

use std::fmt;

use super::html::Text;

/// A line of values, the oldest first.
pub(super) struct Graph<'t> {
    pub(super) values: Vec<f64>,
    /// What it shows, for who does not see it.
    pub(super) label: &'t str,
}

impl fmt::Display for Graph<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.values.iter().copied().fold(0.0, f64::max);
        let label = format!("{}, at most {}", self.label, Short(most));
        write!(
            f,
            "<svg class=\"graph\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             preserveAspectRatio=\"none\">",
            Text(&label)
        )?;
        if self.values.len() > 1 {
            let step = WIDTH / (self.values.len() - 1) as f64;
            f.write_str("<polyline points=\"")?;
            for (index, value) in self.values.iter().enumerate() {
                let part = if most > 0.0 { value / most } else { 0.0 };
                let y = HEIGHT - 1.0 - part * (HEIGHT - 2.0);
                write!(f, "{:.1},{y:.1} ", index as f64 * step)?;
            }
            f.write_str("\"/>")?;
        }
        f.write_str("</svg>")
    }
}

/// A number of which people want to know two or three digits.
pub(super) struct Short(pub(super) f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            it if it >= 10_000.0 => write!(f, "{:.0}k", it / 1_000.0),
            it if it >= 10.0 => write!(f, "{it:.0}"),
            it if it >= 0.05 => write!(f, "{it:.1}"),
            it if it > 0.0 => f.write_str("<0.1"),
            _ => f.write_str("0"),
        }
    }
}

const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 24.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.01, 0.25, 9.96, 12.4, 999.9, 12_345.0].map(|it| Short(it).to_string());
        assert_eq!(shown, ["0", "<0.1", "0.2", "10.0", "12", "1000", "12k"]);
    }

    #[test]
    fn a_graph_says_its_most_and_stays_within_its_box() {
        let graph = Graph {
            values: vec![0.0, 5.0, 10.0],
            label: "requests",
        };
        let text = graph.to_string();
        assert!(
            text.contains("aria-label=\"requests, at most 10\""),
            "{text}"
        );
        assert!(
            text.contains("points=\"0.0,23.0 60.0,12.0 120.0,1.0 \""),
            "{text}"
        );
    }
}
