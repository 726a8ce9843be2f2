//! stub
pub mod x509 {
    //! stub
    /// s
    pub struct Certificate<'a> {
        /// s
        pub subject: String,
        /// s
        pub public_key: &'a [u8],
        /// s
        pub dns_names: Vec<&'a str>,
    }
    fn tlv(b: &[u8]) -> Option<(u8, &[u8], &[u8], &[u8])> {
        // tag, content, whole, rest
        let tag = *b.first()?;
        let l = *b.get(1)? as usize;
        let (len, h) = if l < 128 {
            (l, 2)
        } else {
            let n = l & 127;
            let mut v = 0;
            for i in 0..n {
                v = v << 8 | *b.get(2 + i)? as usize;
            }
            (v, 2 + n)
        };
        Some((tag, b.get(h..h + len)?, &b[..h + len], &b[h + len..]))
    }
    impl<'a> Certificate<'a> {
        /// s
        pub fn parse(der: &'a [u8]) -> Result<Self, ()> {
            Self::go(der).ok_or(())
        }
        fn go(der: &'a [u8]) -> Option<Self> {
            let (_, cert, _, _) = tlv(der)?;
            let (_, tbs, _, _) = tlv(cert)?;
            let mut r = tbs;
            let (t, _, _, n) = tlv(r)?;
            if t == 0xa0 {
                r = n;
            }
            for _ in 0..4 {
                r = tlv(r)?.3;
            } // serial alg issuer validity
            let (_, subj, _, n) = tlv(r)?;
            r = n;
            let (_, _, spki, _) = tlv(r)?;
            let mut subject = String::new();
            let mut s = subj;
            while !s.is_empty() {
                let (_, set, _, n) = tlv(s)?;
                s = n;
                let (_, atv, _, _) = tlv(set)?;
                let (_, oid, _, v) = tlv(atv)?;
                if oid == [0x55, 4, 3] {
                    subject = format!("CN={}", String::from_utf8_lossy(tlv(v)?.1));
                }
            }
            let mut dns_names = vec![];
            if let Some(at) = tbs.windows(5).position(|w| w == [6, 3, 0x55, 0x1d, 0x11]) {
                let mut v = &tbs[at + 5..];
                if v[0] == 1 {
                    v = tlv(v)?.3;
                }
                let (_, o, _, _) = tlv(v)?;
                let (_, mut g, _, _) = tlv(o)?;
                while !g.is_empty() {
                    let (t, c, _, n) = tlv(g)?;
                    g = n;
                    if t == 0x82 {
                        dns_names.push(std::str::from_utf8(c).ok()?);
                    }
                }
            }
            Some(Self {
                subject,
                public_key: spki,
                dns_names,
            })
        }
    }
}
pub mod server_name {
    //! stub
    /// s
    #[derive(Debug)]
    pub struct ServerNames(Vec<Vec<String>>);
    impl ServerNames {
        /// s
        pub fn new(n: &[Vec<String>]) -> Self {
            Self(n.to_vec())
        }
        /// s
        pub fn find(&self, name: &str) -> Option<usize> {
            let name = name.to_lowercase();
            let w = name.split_once('.').map(|(_, r)| format!("*.{r}"));
            self.0.iter().position(|n| n.contains(&name)).or_else(|| {
                self.0
                    .iter()
                    .position(|n| w.as_ref().is_some_and(|w| n.contains(w)))
            })
        }
    }
}
