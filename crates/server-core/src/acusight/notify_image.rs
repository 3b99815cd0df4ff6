use std::time::Duration;

use fleetwire_protocol::Fault;
use fleetwire_protocol::acusight::{AnnotationData, ImageNotificationResponse, ModelId, NotifyImage};
use fleetwire_validation::Checked;

use super::own;
use crate::core::internal;
use crate::domain::{Annotation, NewImage, Recorded};
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

/// A full quota is not emptied in a moment.
const QUOTA_RETRY: Duration = Duration::from_secs(60);

impl<S: Store> Handle<NotifyImage> for Core<S> {
    async fn handle(
        &self,
        device: AgentRecord,
        _: &Origin<'_>,
        call: Checked<NotifyImage>,
    ) -> Result<ImageNotificationResponse, Fault> {
        let at = call.at();
        let request = call.into_inner().body;
        own(&device, request.device_id.as_str())?;
        let image = NewImage {
            id: format!("img_{}", self.new_id()),
            batch: format!("batch_{}", self.new_id()),
            agent: device.no(),
            storage_key: request.storage_key,
            filename: request.filename,
            width: request.width,
            height: request.height,
            model: [request.model_id.map(ModelId::into_string), request.model_name, request.model_version],
            annotations: request.annotations.iter().map(annotation).collect(),
            at,
        };
        match self.store.record_image(image, self.config.batches).await.map_err(internal)? {
            Recorded::Now { image, batch } | Recorded::Before { image, batch } => {
                Ok(ImageNotificationResponse::new(image, batch))
            }
            Recorded::Full => Err(Fault::Overloaded {
                what: "no batch slot could be reserved: the device's image quota is full",
                retry_after: QUOTA_RETRY,
            }),
        }
    }
}

fn annotation(wire: &AnnotationData) -> Annotation {
    Annotation {
        class: wire.class_value.clone(),
        confidence: wire.confidence.map(|confidence| confidence.get()),
        bounds: wire.bounding_box(),
    }
}
