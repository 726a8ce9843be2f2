//! One question to the system's resolver: its files, and the name servers that they name.
//!
//! IPv4 and IPv6 are asked for one after the other, because the answer to both at once does not
//! tell a name without addresses of a kind from a name server that failed there.

use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use crate::ipc::resolving::{ADDRESSES_MAX, Half, Halves, NO_ADDRESS};

/// Asks the resolver of the system (getaddrinfo(3)), and waits for it, however long it takes.
pub(super) fn addresses(host: &str) -> Halves {
    match CString::new(host) {
        Ok(host) => [libc::AF_INET, libc::AF_INET6].map(|family| ask(&host, family)),
        Err(error) => [
            Half::Failed(error.to_string()),
            Half::Failed(error.to_string()),
        ],
    }
}

fn ask(host: &CStr, family: libc::c_int) -> Half {
    // SAFETY: all of it may be zero: no flag, any protocol, and null pointers.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = family;
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list = ptr::null_mut();
    // SAFETY: the name ends in a zero byte, and all pointers are of values that live on here.
    let code =
        unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &raw const hints, &raw mut list) };
    let why = match code {
        0 => return of_list(list),
        libc::EAI_SYSTEM => io::Error::last_os_error().to_string(),
        // SAFETY: it returns a text that ends in a zero byte and is never freed, for any number.
        _ => unsafe { CStr::from_ptr(libc::gai_strerror(code)) }
            .to_string_lossy()
            .into_owned(),
    };
    match code {
        libc::EAI_NONAME | libc::EAI_NODATA | EAI_ADDRFAMILY => Half::Empty(why),
        _ => Half::Failed(why),
    }
}

/// Takes the addresses out of a list of getaddrinfo(3), and frees it.
fn of_list(list: *mut libc::addrinfo) -> Half {
    let mut addresses: Vec<IpAddr> = Vec::new();
    let mut next = list;
    // SAFETY: it is null at the end, and the list stands until it is freed below.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ai_next;
        if addresses.len() >= ADDRESSES_MAX {
            break;
        }
        match entry.ai_family {
            libc::AF_INET => {
                // SAFETY: an entry of this family has an address of this type.
                let address = unsafe { *entry.ai_addr.cast::<libc::sockaddr_in>() };
                let bytes = address.sin_addr.s_addr.to_ne_bytes();
                addresses.push(Ipv4Addr::from(bytes).into());
            }
            libc::AF_INET6 => {
                // SAFETY: the same.
                let address = unsafe { *entry.ai_addr.cast::<libc::sockaddr_in6>() };
                addresses.push(Ipv6Addr::from(address.sin6_addr.s6_addr).into());
            }
            _ => {}
        }
    }
    // SAFETY: getaddrinfo has made it, and nothing points into it any more.
    unsafe { libc::freeaddrinfo(list) };
    match addresses.is_empty() {
        true => Half::Empty(NO_ADDRESS.to_owned()),
        false => Half::Addresses(addresses),
    }
}

/// Addresses of another kind only; <netdb.h> has it for GNU alone.
const EAI_ADDRFAMILY: libc::c_int = -9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_knows_localhost_and_nobody_of_an_invalid_name() {
        let [v4, _] = addresses("localhost");
        assert_eq!(v4, Half::Addresses(vec![Ipv4Addr::LOCALHOST.into()]));
        for half in addresses("no.example.invalid") {
            assert!(!matches!(half, Half::Addresses(_)), "{half:?}");
        }
        for half in addresses("a\0b") {
            assert!(matches!(half, Half::Failed(_)), "{half:?}");
        }
    }
}
