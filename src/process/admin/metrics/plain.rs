//! The text of OpenMetrics as the older text format of Prometheus, which more programs read.
//!
//! Both have the same samples. The older one names a counter as its samples are named, and has no
//! end (Prometheus, "Exposition formats").

/// Returns the text in the older format.
pub(super) fn of(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len() + openmetrics.len() / 64);
    let mut lines = openmetrics.lines().peekable();
    while let Some(line) = lines.next() {
        // The help of a family comes right before its type.
        let next = lines.peek().copied().unwrap_or_default();
        match line.split_once("# HELP ") {
            Some(("", help)) => {
                let is_counter = next.starts_with("# TYPE ") && next.ends_with(" counter");
                push(&mut text, "# HELP ", help, is_counter);
            }
            _ => match line.split_once("# TYPE ") {
                Some(("", kind)) => {
                    push(&mut text, "# TYPE ", kind, kind.ends_with(" counter"));
                }
                _ if line == "# EOF" => {}
                _ => push(&mut text, "", line, false),
            },
        }
    }
    text
}

/// Writes a line that begins with the name of a family; that of a counter gets its ending.
fn push(text: &mut String, before: &str, line: &str, is_counter: bool) {
    text.push_str(before);
    match line.split_once(' ') {
        Some((name, rest)) if is_counter => {
            text.push_str(name);
            text.push_str("_total ");
            text.push_str(rest);
        }
        _ => text.push_str(line),
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_named_as_its_samples_are() {
        let openmetrics = "# HELP evenkeel_a A # HELP of a counter.\n# TYPE evenkeel_a counter\n\
                           evenkeel_a_total{x=\"# EOF counter\"} 4\n# HELP evenkeel_b B.\n\
                           # TYPE evenkeel_b gauge\nevenkeel_b 3\n# EOF\n";
        let plain = "# HELP evenkeel_a_total A # HELP of a counter.\n\
                     # TYPE evenkeel_a_total counter\nevenkeel_a_total{x=\"# EOF counter\"} 4\n\
                     # HELP evenkeel_b B.\n# TYPE evenkeel_b gauge\nevenkeel_b 3\n";
        assert_eq!(of(openmetrics), plain);
    }
}
