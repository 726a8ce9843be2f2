//! As much of mdoc(7) as evenkeel.yaml(5) is written in, as plain text.

/// Returns a line of macros, without its leading dot, as text.
pub(super) fn line(macros: &str) -> String {
    let mut text = Text::default();
    write(&arguments(macros), &mut text);
    text.out
}

/// Returns a text with its escapes replaced.
pub(super) fn unescape(text: &str) -> String {
    let mut text = text.to_owned();
    for (escape, meant) in [
        ("\\&", ""),
        ("\\(aq", "'"),
        ("\\(dq", "\""),
        ("\\-", "-"),
        ("\\e", "\\"),
    ] {
        text = text.replace(escape, meant);
    }
    text
}

/// A line as it grows.
#[derive(Default)]
struct Text {
    out: String,
    /// The next word follows without a space.
    joined: bool,
}

impl Text {
    fn word(&mut self, word: &str) {
        if !self.out.is_empty() && !self.joined {
            self.out.push(' ');
        }
        self.joined = false;
        self.out.push_str(word);
    }

    fn open(&mut self, bracket: &str) {
        self.word(bracket);
        self.joined = true;
    }

    fn close(&mut self, bracket: &str) {
        self.out.push_str(bracket);
        self.joined = false;
    }
}

/// An argument, and whether it was in quotes: what is in quotes is no macro.
type Argument = (String, bool);

fn write(arguments: &[Argument], text: &mut Text) {
    let mut rest = arguments;
    let mut before = "";
    while let Some(((word, quoted), after)) = rest.split_first() {
        rest = after;
        match word.as_str() {
            "Ns" if !quoted => text.joined = true,
            "Brq" if !quoted => return enclose(rest, "{", "}", text),
            "Bq" if !quoted => return enclose(rest, "[", "]", text),
            "Pq" if !quoted => return enclose(rest, "(", ")", text),
            "Dq" if !quoted => return enclose(rest, "\"", "\"", text),
            "Ql" if !quoted => return enclose(rest, "`", "`", text),
            "Bo" if !quoted => text.open("["),
            "Bc" if !quoted => text.close("]"),
            "Po" if !quoted => text.open("("),
            "Pc" if !quoted => text.close(")"),
            "Do" if !quoted => text.open("\""),
            "Dc" if !quoted => text.close("\""),
            "Nm" if !quoted => text.word("evenkeel.yaml"),
            name if !quoted && STYLES.contains(&name) => before = name,
            mark if !quoted && is_mark(mark) => text.close(mark),
            _ if before == "Fl" => text.word(&format!("-{}", unescape(word))),
            // `Xr evenkeel 8`: the section of the page.
            section if before == "Xr" && section.chars().all(|c| c.is_ascii_digit()) => {
                text.close(&format!("({section})"));
            }
            word => text.word(&unescape(word)),
        }
    }
}

/// Writes arguments between brackets, and the marks that end them behind.
fn enclose(arguments: &[Argument], open: &str, close: &str, text: &mut Text) {
    let marks = arguments.iter().rev();
    let marks =
        marks.take_while(|(word, quoted)| !quoted && [".", ",", ";", ":"].contains(&word.as_str()));
    let inside = arguments.len() - marks.count();
    let (inside, marks) = arguments.split_at(inside);
    text.open(open);
    write(inside, text);
    text.close(close);
    for (mark, _) in marks {
        text.close(mark);
    }
}

/// Returns the arguments of a line.
fn arguments(macros: &str) -> Vec<Argument> {
    let mut found = Vec::new();
    let mut rest = macros.trim_start();
    while !rest.is_empty() {
        let (word, quoted, after) = match rest.strip_prefix('"') {
            Some(inside) => {
                let (word, after) = inside.split_once('"').unwrap_or((inside, ""));
                (word, true, after)
            }
            None => {
                let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
                (word, false, after)
            }
        };
        found.push((word.to_owned(), quoted));
        rest = after.trim_start();
    }
    found
}

fn is_mark(word: &str) -> bool {
    matches!(word, "." | "," | ":" | ";" | ")" | "]" | "?" | "!")
}

/// Macros that only say how words look.
const STYLES: [&str; 12] = [
    "Cm", "Ar", "Li", "Va", "Em", "Sy", "Sx", "Pa", "Ev", "Dv", "Fl", "Xr",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_become_text() {
        for (macros, hoped) in [
            ("Cm lease : Ar duration", "lease: duration"),
            ("Ql node: lb1 .", "`node: lb1`."),
            ("Ql \\&. ,", "`.`,"),
            (
                "Ql \"bind: [\\(dq[::]:80\\(dq]\" .",
                "`bind: [\"[::]:80\"]`.",
            ),
            ("Xr evenkeel 8 ;", "evenkeel(8);"),
            ("Fl -node", "--node"),
            (
                "Cm gateway : Bo Ar a , ... Bc ; Cm fall : Ar number",
                "gateway: [a, ...]; fall: number",
            ),
            (
                "Cm addresses : Bq Ar address Ns / Ns Ar prefix , ...",
                "addresses: [address/prefix, ...]",
            ),
            (
                "Cm owner : Cm true | false | Brq Ar node : Cm true | false , ...",
                "owner: true | false | {node: true | false, ...}",
            ),
            ("Pq Cm buffer_requests ;", "(buffer_requests);"),
            (
                "Cm expect : Ar status | Do Ar status Ns - Ns Ar status Dc | Bq Ar ...",
                "expect: status | \"status-status\" | [...]",
            ),
        ] {
            assert_eq!(line(macros), hoped, "{macros}");
        }
    }
}
