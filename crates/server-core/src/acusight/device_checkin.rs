use fleetwire_protocol::Fault;
use fleetwire_protocol::acusight::{DeviceCheckin, DeviceCheckinRequest, DeviceCheckinResponse};
use fleetwire_validation::Checked;
use serde_json::Value;

use crate::lease::Report;
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<DeviceCheckin> for Core<S> {
    async fn handle(
        &self,
        device: AgentRecord,
        origin: &Origin<'_>,
        call: Checked<DeviceCheckin>,
    ) -> Result<DeviceCheckinResponse, Fault> {
        let at = call.at();
        // What the device runs it says at the other check-in.
        let actions = self.actions_for(&device, origin, None, at).await?;
        self.renew(&device, report(call.into_inner().body), at);
        Ok(DeviceCheckinResponse::new(actions))
    }
}

/// Figures are kept as figures, all else as texts.
fn report(request: DeviceCheckinRequest) -> Report {
    let mut report =
        Report { status: request.status.map(|word| word.as_str().to_owned()), ..Report::default() };
    for (name, value) in request.metrics.into_iter().flat_map(|metrics| metrics.0) {
        match value {
            Value::Null => {}
            Value::String(text) => {
                report.notes.insert(name, text);
            }
            other => match other.as_f64().filter(|figure| figure.is_finite()) {
                Some(figure) => {
                    report.metrics.insert(name, figure);
                }
                None => {
                    report.notes.insert(name, other.to_string());
                }
            },
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_told_from_texts() {
        let request = json!({
            "status": "molten",
            "metrics": {"cpu": 45.2, "uptime": 86_400, "fan": "on", "ok": true, "none": null, "disks": [1]},
        });
        let report = report(serde_json::from_value(request).unwrap());
        assert_eq!(report.status.as_deref(), Some("molten"));
        assert_eq!(report.metrics, [("cpu".to_owned(), 45.2), ("uptime".to_owned(), 86_400.0)].into());
        let notes = [("fan", "on"), ("ok", "true"), ("disks", "[1]")];
        assert_eq!(report.notes, notes.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    }
}
