//! How a line looks: JSON, or a text with placeholders that an operator chose.
//!
//! Parsed once, with the configuration; rendering neither allocates, given room for
//! [`LINE_BYTES_MAX`], nor fails.

use super::Line;
use super::field::Field;
use super::head::Parts;

/// The look of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// An object a line, with every field in the order of [`Field::ALL`]; those of TLS and of some
    /// pools where there was TLS, or such a pool.
    Json,
    /// A text with fields in it.
    Text(Vec<Piece>),
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands there.
    Literal(String),
    /// `{name}`.
    Field(Field),
}

/// Why a text is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// There is no field of that name.
    #[error("there is no field `{0}`")]
    Unknown(String),
    /// A field stands there twice.
    #[error("`{{{0}}}` is here twice")]
    Twice(&'static str),
    /// A brace is not closed.
    #[error("a `{{` is not closed")]
    Unclosed,
    /// A brace was not opened.
    #[error("a `}}` closes nothing")]
    Unopened,
    /// No field at all.
    #[error("it says nothing of the request")]
    Empty,
    /// A line break or another control character.
    #[error("it has a control character: a line of the log is one line")]
    Control,
    /// Longer than [`TEXT_BYTES_MAX`].
    #[error("it is longer than {TEXT_BYTES_MAX} bytes")]
    TooLong,
}

impl Format {
    /// Parses a format: `json`, or a text in which `{status}` is the status and `{{` a brace.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        if text == "json" {
            return Ok(Self::Json);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(FormatError::TooLong);
        }
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(FormatError::Control);
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(FormatError::Unopened);
            }
            let (name, after) = after.split_once('}').ok_or(FormatError::Unclosed)?;
            let field = Field::ALL.into_iter().find(|field| field.name() == name);
            let field = field.ok_or_else(|| FormatError::Unknown(name.to_owned()))?;
            if pieces.contains(&Piece::Field(field)) {
                return Err(FormatError::Twice(field.name()));
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Field(field));
            rest = after;
        }
        if pieces.is_empty() {
            return Err(FormatError::Empty);
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self::Text(pieces))
    }

    /// Appends a line and its end: at most [`LINE_BYTES_MAX`] bytes.
    pub fn render(&self, line: &Line<'_>, out: &mut Vec<u8>) {
        let mut parts = Parts::of(line.head);
        if let Some((target, host)) = line.asked {
            (parts.target, parts.host) = (Some(target), Some(host));
        }
        match self {
            Self::Json => {
                let from = out.len();
                let mut write = |field: Field| {
                    out.extend_from_slice(field.key().as_bytes());
                    field.write_json(line, &parts, out);
                };
                let of_some = Field::OF_POOL.len() + Field::OF_TLS.len();
                let of_all = &Field::ALL[..Field::ALL.len() - of_some];
                of_all.iter().for_each(|field| write(*field));
                if line.affinity.is_some() {
                    write(Field::Affinity);
                }
                if line.ejected.is_some() {
                    write(Field::Ejected);
                }
                if line.reproxied_by.is_some() {
                    write(Field::ReproxiedBy);
                }
                if line.tls.is_some() {
                    Field::OF_TLS.iter().for_each(|field| write(*field));
                }
                // Every key begins with a comma.
                out[from] = b'{';
                out.extend_from_slice(b"}\n");
            }
            Self::Text(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                        Piece::Field(field) => field.write_text(line, &parts, out),
                    }
                }
                out.push(b'\n');
            }
        }
    }
}

/// The longest text that is a format.
pub const TEXT_BYTES_MAX: usize = 1024;
/// The longest line, its end included: every value of a client at its longest, every byte of it
/// escaped.
pub const LINE_BYTES_MAX: usize = 28 * 1024;

#[cfg(test)]
mod tests;
