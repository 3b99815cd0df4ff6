use fleetwire_protocol::wire::Timestamp;
use fleetwire_protocol::zstack::{LifecyclePage, LifecycleSnapshot, ListByLifecycleStatus, PageFigure};
use fleetwire_protocol::{Fault, Place, Violation};
use fleetwire_validation::Checked;

use super::status;
use crate::core::KeyScope;
use crate::domain::{HIGHEST_NO, Kind, Vendor};
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

/// Agents of a page if nothing is said, and the most.
const PAGE: (i64, i64) = (100, 1000);

impl<S: Store> Handle<ListByLifecycleStatus> for Core<S> {
    async fn handle(
        &self,
        scope: KeyScope,
        _: &Origin<'_>,
        call: Checked<ListByLifecycleStatus>,
    ) -> Result<LifecyclePage, Fault> {
        let at = call.at();
        let asked = call.into_inner().params;
        let limit = figure(asked.limit.as_ref(), "limit", PAGE.0, 1, PAGE.1)?;
        let offset = figure(asked.offset.as_ref(), "offset", 0, 0, HIGHEST_NO)?;

        let is_listed = |record: &AgentRecord| {
            let is_seen = record.look(|row| {
                row.tenant == scope.tenant
                    && row.vendor == Vendor::ZStack
                    && row.kind == Kind::Agent
                    && !row.disabled
            });
            is_seen && status(self.liveness(record, at)) == asked.status
        };
        let mut found: Vec<_> = match scope.agent {
            // A token of one agent sees that one.
            Some(bound) => self.registry.agent(bound).into_iter().filter(is_listed).collect(),
            None => self.registry.about(Vendor::ZStack).filter(is_listed).collect(),
        };
        let total = found.len();
        found.sort_unstable_by_key(AgentRecord::no);
        let on_page = found
            .into_iter()
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .take(usize::try_from(limit).unwrap_or(usize::MAX));

        let mut page = LifecyclePage::default();
        page.items = on_page
            .map(|record| {
                let mut item = LifecycleSnapshot::default();
                record.look(|row| {
                    item.agent_id = Some(row.id().into());
                    item.current_version = row.version().map(str::to_owned);
                });
                item.status = Some(asked.status.clone());
                item.last_heartbeat = record.lease().last_seen().map(Timestamp::seconds);
                item
            })
            .collect();
        page.total = i64::try_from(total).ok();
        page.limit = Some(limit);
        page.offset = Some(offset);
        Ok(page)
    }
}

/// A figure of the query within its bounds.
fn figure(
    given: Option<&PageFigure>,
    name: &'static str,
    otherwise: i64,
    least: i64,
    most: i64,
) -> Result<i64, Fault> {
    let Some(given) = given else { return Ok(otherwise) };
    let read = given.parse().and_then(|figure| i64::try_from(figure).ok());
    read.filter(|figure| (least..=most).contains(figure)).ok_or_else(|| {
        let message = format!("must be digits, {least} to {most}");
        Violation { place: Place::Query(name), rule: "param.range", message }.into()
    })
}
