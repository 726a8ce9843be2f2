//! The pages of a listener, as its answers have them: compiled once a generation, filled in for
//! each request.

use crate::config::{ListenerConfig, PageConfig, Statuses};
use crate::logic::access::Termination;
use crate::logic::http1::local_reply::{LocalReply, PageTemplate};

/// The pages of a listener.
#[derive(Debug)]
pub(in crate::process::proxy) struct Pages {
    /// By the answers they are for.
    errors: Vec<(Statuses, PageTemplate)>,
    maintenance: Option<PageTemplate>,
}

impl Pages {
    /// Compiles those of a listener whose texts were read.
    pub(in crate::process::proxy) fn new(config: &ListenerConfig) -> Self {
        let compiled = |page: &PageConfig| {
            let text = page.text.clone()?;
            Some(PageTemplate::new(page.content_type(), text))
        };
        let errors = config.error_pages.0.iter();
        Self {
            errors: errors
                .filter_map(|(statuses, page)| Some((*statuses, compiled(page)?)))
                .collect(),
            maintenance: config.maintenance.page.as_ref().and_then(compiled),
        }
    }

    /// Returns an answer with the page that takes the place of its line, where there is one; never
    /// where it has a page already.
    pub(in crate::process::proxy) fn dress(
        &self,
        reply: &LocalReply,
        termination: Termination,
        request_id: Option<&[u8]>,
    ) -> Option<LocalReply> {
        if reply.page.is_some() {
            return None;
        }
        let own = self.maintenance.as_ref();
        let own = own.filter(|_| termination == Termination::Maintenance);
        let template = own.or_else(|| self.of(reply.status))?;
        let mut dressed = reply.clone();
        dressed.page = Some(template.fill(reply.status, request_id));
        // A line says so itself.
        dressed.fields.extend_from_slice(NO_STORE);
        Some(dressed)
    }

    /// Returns the page of a status; its own goes before that of its class.
    fn of(&self, status: u16) -> Option<&PageTemplate> {
        let find = |wanted| {
            let mut errors = self.errors.iter();
            errors.find_map(|(statuses, page)| (*statuses == wanted).then_some(page))
        };
        find(Statuses::One(status)).or_else(|| find(Statuses::Class(status / 100)))
    }
}

const NO_STORE: &[u8] = b"Cache-Control: no-store\r\n";
