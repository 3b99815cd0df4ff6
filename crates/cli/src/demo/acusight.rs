//! One life of an Acusight device: check-in, model update, images.

use anyhow::{Context, Result};
use fleetwire_protocol::Call;
use fleetwire_protocol::acusight::{
    ActionKind, Checkin, CheckinRequest, DeviceKey, ImageNotificationRequest, NotifyImage,
};
use http::Method;
use serde_json::{Value, json};

use super::steps::{Steps, proof, refusal};

const CHECKIN: &str = include_str!("../../fixtures/acusight/checkin/request.json");
const NOTIFY: &str = include_str!("../../fixtures/acusight/notify_image/request.json");

pub(super) async fn live(steps: &mut Steps) -> Result<()> {
    let mut checkin: CheckinRequest = serde_json::from_str(CHECKIN)?;
    let device = checkin.device_id.as_str().to_owned();
    let wish = json!({"vendor": "acusight", "id": device, "name": "gate camera"});
    let registered = steps.operate(Method::POST, "/agents", &wish).await?;
    let key = registered.get("key").and_then(Value::as_str).context("a device gets a key")?;
    let key = DeviceKey::from(key);

    checkin.current_model_id = Some("model-old".into());
    let before = Call::<Checkin>::new(checkin.clone());
    steps
        .send("fixture, the device registered", &key, &before, |answer, _| {
            proof("taken; no actions", &[(answer.pending_actions.is_empty(), "no actions")])
        })
        .await?;
    steps
        .refused("an unknown key", &DeviceKey::from("adk_0000"), &before, |answer| {
            refusal(answer, 401, "error", "refused in the flat envelope")
        })
        .await?;

    let model = json!({
        "id": "model-new", "name": "defects", "version": "2.0", "file_ext": ".onnx",
        "download_url": "https://downloads.example.org/defects-2.0.onnx", "label_map": "{\"0\":\"defect\"}",
    });
    steps.operate(Method::POST, "/models", &model).await?;
    let path = format!("/agents/acusight/{device}/model");
    steps.operate(Method::PUT, &path, &json!({"model": "model-new"})).await?;
    let mut ids = Vec::new();
    for what in ["a model assigned", "again, still the old model"] {
        let answer = steps
            .send(what, &key, &before, |answer, _| {
                let action = answer.pending_actions.first();
                proof(
                    "one model_update, until the device runs the model",
                    &[
                        (answer.pending_actions.len() == 1, "one action"),
                        (
                            action.is_some_and(|action| action.kind == Some(ActionKind::ModelUpdate)),
                            "its kind",
                        ),
                        (
                            action.is_some_and(|action| action.model_id == Some("model-new".into())),
                            "its model",
                        ),
                    ],
                )
            })
            .await?;
        ids.extend(answer.pending_actions.into_iter().map(|action| action.id));
    }
    checkin.current_model_id = Some("model-new".into());
    let after = Call::<Checkin>::new(checkin);
    let same = ids.first() == ids.last();
    steps
        .send("the new model reported", &key, &after, |answer, _| {
            proof(
                "the action is completed and not handed over again",
                &[(answer.pending_actions.is_empty(), "no actions"), (same, "both deliveries had one id")],
            )
        })
        .await?;
    let work =
        steps.operate(Method::GET, &format!("/work?vendor=acusight&agent={device}"), &Value::Null).await?;
    let state = work.pointer("/work/0/state").cloned();
    steps
        .send("once more", &key, &after, |answer, _| {
            proof(
                "quiet; the operator sees the work succeeded",
                &[
                    (answer.pending_actions.is_empty(), "no actions"),
                    (state == Some(json!("succeeded")), "succeeded"),
                ],
            )
        })
        .await?;

    let mut image: ImageNotificationRequest = serde_json::from_str(NOTIFY)?;
    image.device_id = device.as_str().into();
    let notify = Call::<NotifyImage>::new(image);
    let first = steps
        .send("fixture with annotations", &key, &notify, |answer, _| {
            proof(
                "recorded in a batch",
                &[
                    (answer.image_id.is_some(), "the image's id"),
                    (answer.batch_id.is_some(), "the batch's id"),
                ],
            )
        })
        .await?;
    steps
        .send("the same image again", &key, &notify, |answer, _| {
            proof("the same ids", &[(*answer == first, "the same ids")])
        })
        .await?;
    steps.keep::<Checkin>(key, move || {
        let mut request = CheckinRequest::new(device.as_str());
        request.current_model_id = Some("model-new".into());
        request.status = Some("healthy".to_owned());
        Call::new(request)
    })
}
