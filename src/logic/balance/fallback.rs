//! Pools that answer in the place of pools of which nobody is up.

/// Pools that a request is handed on to, one after another, at most.
pub const FALLBACKS_MAX: usize = 4;

/// Returns these pools, and those that answer in their place, each once.
pub fn with_fallbacks<'a>(
    pools: impl IntoIterator<Item = &'a str>,
    fallback_of: impl Fn(&str) -> Option<&'a str>,
) -> Vec<&'a str> {
    let mut all = Vec::new();
    for pool in pools {
        let mut next = Some(pool);
        while let Some(name) = next.filter(|name| !all.contains(name)) {
            all.push(name);
            next = fallback_of(name);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pool_comes_once_and_circles_end() {
        let fallback_of = |name: &str| match name {
            "a" => Some("b"),
            "b" => Some("c"),
            "c" => Some("b"),
            _ => None,
        };
        assert_eq!(
            with_fallbacks(["d", "a", "b"], fallback_of),
            ["d", "a", "b", "c"]
        );
    }
}
