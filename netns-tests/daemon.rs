//! One daemon on its host: its processes, what they may do, how they start, stop and fail.

mod names;
mod notify;
mod privileges;
mod reload;
mod scripts;
mod shortages;
mod stop;
mod supervisor;
mod systemd;
