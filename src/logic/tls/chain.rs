//! Certificates in the order in which a server shows them (RFC 8446 §4.4.2): its own first, then
//! each that has signed the one before.

use thiserror::Error;

use super::x509::{Certificate, X509Error};
use crate::model::Der;

/// Why certificates are no chain.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChainError {
    /// There is none.
    #[error("there is no certificate in it")]
    Empty,
    /// One of them cannot be read; they are counted from 1.
    #[error("certificate {number} cannot be read")]
    Unreadable {
        /// Which.
        number: usize,
        /// Why.
        #[source]
        error: X509Error,
    },
    /// Two are of servers.
    #[error("`{0}` and `{1}` are both certificates of a server, and only one can be shown")]
    Leaves(String, String),
    /// One has signed none of the others.
    #[error("`{0}` has signed none of the others: it does not belong there")]
    Stranger(String),
}

/// Brings certificates into order. Those that are there twice are dropped; the root may be missing.
///
/// # Errors
/// When they are not those of one server and of who has signed for it.
pub fn ordered(certificates: Vec<Der>) -> Result<Vec<Der>, ChainError> {
    let mut unique: Vec<Der> = Vec::new();
    for certificate in certificates {
        if !unique.contains(&certificate) {
            unique.push(certificate);
        }
    }
    let order = order_of(&unique)?;
    Ok(order
        .into_iter()
        .map(|index| std::mem::take(&mut unique[index]))
        .collect())
}

/// Returns their order, by index.
fn order_of(ders: &[Der]) -> Result<Vec<usize>, ChainError> {
    let read = ders.iter().enumerate().map(|(index, der)| {
        Certificate::parse(&der.0).map_err(|error| ChainError::Unreadable {
            number: index + 1,
            error,
        })
    });
    let read: Vec<Certificate<'_>> = read.collect::<Result<_, _>>()?;
    let others = |of: usize| (0..read.len()).filter(move |other| *other != of);
    // Who has signed none of the others, and is no authority where there is a choice.
    let has_signed = |index: usize| others(index).any(|it| read[it].may_be_issued_by(&read[index]));
    let mut leaves: Vec<usize> = (0..read.len())
        .filter(|index| !has_signed(*index))
        .collect();
    if leaves.len() > 1 && leaves.iter().any(|leaf| !read[*leaf].is_ca) {
        leaves.retain(|leaf| !read[*leaf].is_ca);
    }
    let subject = |index: usize| read[index].subject.to_string();
    let mut order = match leaves[..] {
        [leaf] => vec![leaf],
        [one, other, ..] => return Err(ChainError::Leaves(subject(one), subject(other))),
        // Each has signed another: a circle of authorities.
        [] if !read.is_empty() => vec![0],
        [] => return Err(ChainError::Empty),
    };
    while let Some(last) = order.last().copied() {
        // A root has signed itself.
        let is_root = read[last].issuer == read[last].subject;
        let signer = (0..read.len())
            .filter(|_| !is_root)
            .filter(|index| !order.contains(index))
            .find(|index| read[last].may_be_issued_by(&read[*index]));
        match signer {
            Some(signer) => order.push(signer),
            None => break,
        }
    }
    match (0..read.len()).find(|index| !order.contains(index)) {
        Some(stranger) => Err(ChainError::Stranger(subject(stranger))),
        None => Ok(order),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    struct Signed {
        der: Der,
        issuer: Issuer<'static, KeyPair>,
    }

    fn signed(name: &str, ca: bool, by: Option<&Signed>) -> Signed {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![format!("{name}.example.org")]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = by.is_some();
        if ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let made = match by {
            Some(by) => params.signed_by(&key, &by.issuer).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        Signed {
            der: Der(made.der().to_vec()),
            issuer: Issuer::new(params, key),
        }
    }

    #[test]
    fn every_order_of_a_chain_becomes_the_right_one() {
        let root = signed("root", true, None);
        let middle = signed("middle", true, Some(&root));
        let leaf = signed("www", false, Some(&middle));
        let right = [&leaf.der, &middle.der, &root.der].map(Der::clone);
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            let mut mixed: Vec<Der> = order.map(|index| right[index].clone()).to_vec();
            assert_eq!(ordered(mixed.clone()).unwrap(), right, "{order:?}");
            mixed.push(mixed[0].clone());
            assert_eq!(ordered(mixed).unwrap(), right, "one is there twice");
        }
        let short = vec![middle.der.clone(), leaf.der.clone()];
        assert_eq!(
            ordered(short).unwrap(),
            right[..2],
            "the root is not needed"
        );
        assert_eq!(ordered(vec![root.der.clone()]).unwrap(), right[2..]);
    }

    #[test]
    fn what_is_no_chain_is_refused_with_its_subjects() {
        let root = signed("root", true, None);
        let other = signed("other", true, None);
        let leaf = signed("www", false, Some(&root));
        let second = signed("api", false, Some(&root));
        let text = |ders: &[&Signed]| {
            let ders = ders.iter().map(|it| it.der.clone()).collect();
            ordered(ders).unwrap_err().to_string()
        };
        assert_eq!(text(&[]), "there is no certificate in it");
        let said = text(&[&leaf, &second, &root]);
        assert!(said.contains("CN=www") && said.contains("CN=api"), "{said}");
        let said = text(&[&leaf, &root, &other]);
        assert!(said.contains("CN=other") && said.contains("none"), "{said}");
        let broken = ordered(vec![leaf.der, Der(vec![0x30, 0])]).unwrap_err();
        assert!(
            broken.to_string().starts_with("certificate 2 cannot"),
            "{broken}"
        );
    }

    #[test]
    fn an_authority_that_was_renewed_with_another_key_is_told_by_its_key() {
        let old = signed("root", true, None);
        let new = signed("root", true, None);
        let leaf = signed("www", false, Some(&new));
        let mixed = vec![leaf.der.clone(), old.der.clone(), new.der.clone()];
        let error = ordered(mixed).unwrap_err();
        assert!(matches!(error, ChainError::Stranger(_)), "{error}");
        let right = vec![new.der.clone(), leaf.der.clone()];
        assert_eq!(ordered(right).unwrap(), [leaf.der, new.der]);
    }
}
