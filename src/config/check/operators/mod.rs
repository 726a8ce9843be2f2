//! The sections for operators: `access_log` and `admin`.

mod access_log;
mod admin;

pub(super) use access_log::check as check_access_log;
pub(super) use admin::check as check_admin;
