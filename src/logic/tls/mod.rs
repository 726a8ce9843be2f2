//! Certificates and names of servers, as far as the program has to understand them. Pure: nothing
//! here verifies a signature.

pub mod chain;
pub mod server_name;
pub mod x509;
