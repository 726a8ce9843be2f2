//! A line of keepalived's grammar: comments, quotes, braces.
//!
//! `!` and `#` begin a comment outside of quotes. A word may be quoted in part; a backslash in
//! double quotes takes the next character as it is. Nothing here fails: a quote that is not closed
//! ends with its line.

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A word, without its quotes.
    Word(String),
    /// `{`.
    Open,
    /// `}`.
    Close,
}

/// Returns the line without its comment, and without spaces at its ends.
pub fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (index, c) in line.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '!' | '#') => return line[..index].trim(),
            (None, _) => {}
        }
    }
    line.trim()
}

/// Returns the parts of a line that has no comment.
pub fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' => quoted(c, &mut chars, word.get_or_insert_default()),
            '{' | '}' => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(if c == '{' { Token::Open } else { Token::Close });
            }
            c if c.is_whitespace() => tokens.extend(word.take().map(Token::Word)),
            c => word.get_or_insert_default().push(c),
        }
    }
    tokens.extend(word.map(Token::Word));
    tokens
}

fn quoted(quote: char, chars: &mut std::str::Chars<'_>, word: &mut String) {
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return,
            '\\' if quote == '"' => word.extend(chars.next()),
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let text = |token| match token {
            Token::Word(word) => word,
            Token::Open => "<".to_owned(),
            Token::Close => ">".to_owned(),
        };
        tokens(without_comment(line))
            .into_iter()
            .map(text)
            .collect()
    }

    #[test]
    fn lines_become_words() {
        for (line, hoped) in [
            ("  interface eth0 # the LAN", vec!["interface", "eth0"]),
            ("!interface eth0", vec![]),
            ("auth_pass \"a#b !c\"", vec!["auth_pass", "a#b !c"]),
            ("script '/a b' c", vec!["script", "/a b", "c"]),
            ("a\"b c\"d", vec!["ab cd"]),
            ("a \"b\\\"c\\d\"", vec!["a", "b\"cd"]),
            ("vrrp_instance A{", vec!["vrrp_instance", "A", "<"]),
            ("x { 10.0.0.1 }", vec!["x", "<", "10.0.0.1", ">"]),
            ("a \"{\"", vec!["a", "{"]),
            ("a \"", vec!["a", ""]),
            ("a 'b", vec!["a", "b"]),
            ("a \"b\\", vec!["a", "b"]),
        ] {
            assert_eq!(words(line), hoped, "{line}");
        }
    }
}
