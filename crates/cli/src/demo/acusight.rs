//! Lives of Acusight devices: check-in, model update, images; and one that is provisioned by a token.

use anyhow::{Context, Result};
use fleetwire_protocol::Call;
use fleetwire_protocol::acusight::{
    ActionKind, Checkin, CheckinRequest, DeviceCheckin, DeviceCheckinRequest, DeviceKey, DeviceSelf,
    DeviceStatus, ImageNotificationRequest, NotifyImage, Provision, ProvisionRequest,
};
use http::Method;
use serde_json::{Value, json};

use super::steps::{Steps, proof, refusal};

const CHECKIN: &str = include_str!("../../fixtures/acusight/checkin/request.json");
const DEVICE_CHECKIN: &str = include_str!("../../fixtures/acusight/device_checkin/request.json");
const PROVISION: &str = include_str!("../../fixtures/acusight/provision/request.json");
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
    })?;
    live_by_token(steps).await
}

/// A device that trades a token for its key.
async fn live_by_token(steps: &mut Steps) -> Result<()> {
    let wish = json!({"vendor": "acusight", "max_uses": 1});
    let made = steps.operate(Method::POST, "/tokens", &wish).await?;
    let token = made.get("token").and_then(Value::as_str).context("a token is shown once")?;
    let mut request: ProvisionRequest = serde_json::from_str(PROVISION)?;
    request.token = token.into();
    let device = request.device_info.device_id.clone();
    let base = steps.base::<Provision>()?;
    let provision = Call::<Provision>::new(request.clone());
    let first = steps
        .send("fixture, with a token", &(), &provision, |answer, _| {
            let data = answer.data.as_ref();
            proof(
                "a key, and the address to report to",
                &[
                    (data.is_some_and(|data| data.api_key.is_some()), "a key"),
                    (data.is_some_and(|data| data.base().as_deref() == Some(base.as_str())), "the address"),
                ],
            )
        })
        .await?;
    let again = steps
        .send("again, as if the answer was lost", &(), &provision, |answer, _| {
            let fresh = |data: &fleetwire_protocol::acusight::ProvisionData| data.api_key.clone();
            let keys = (answer.data.as_ref().and_then(fresh), first.data.as_ref().and_then(fresh));
            proof("the same device, a fresh key", &[(keys.0.is_some() && keys.0 != keys.1, "a fresh key")])
        })
        .await?;
    let key = again.data.and_then(|data| data.api_key).context("a device gets a key")?;
    let myself = Call::<DeviceSelf>::new(());
    steps
        .send("who it is", &key, &myself, |answer, _| {
            let data = answer.data.as_ref();
            proof(
                "the device, approved",
                &[
                    (data.is_some_and(|data| data.device_id.as_ref() == Some(&device)), "its id"),
                    (data.is_some_and(|data| data.status == Some(DeviceStatus::Approved)), "its status"),
                ],
            )
        })
        .await?;
    request.device_info.device_id = "another".into();
    let another = Call::<Provision>::new(request);
    steps
        .refused("another device, the same token", &(), &another, |answer| {
            refusal(answer, 401, "INVALID_TOKEN", "used up; refused in the envelope")
        })
        .await?;

    let path = format!("/agents/acusight/{}/work", device.as_str());
    let wish = json!({"type": "deploy", "payload": {"stack_id": "counting"}});
    let work = steps.operate(Method::POST, &path, &wish).await?;
    let checkin: DeviceCheckinRequest = serde_json::from_str(DEVICE_CHECKIN)?;
    let call = Call::<DeviceCheckin>::new(checkin.clone());
    steps
        .send("fixture, an action queued", &key, &call, |answer, _| {
            let action = answer.data.actions.first();
            let payload = action.and_then(|action| action.payload.as_ref());
            proof(
                "the action in the envelope, with its payload",
                &[
                    (answer.data.actions.len() == 1, "one action"),
                    (
                        payload.and_then(|payload| payload.get("stack_id")) == Some(&json!("counting")),
                        "its payload",
                    ),
                ],
            )
        })
        .await?;
    let id = work.get("id").and_then(Value::as_str).context("work has an id")?;
    steps.operate(Method::POST, &format!("/work/{id}/cancel"), &Value::Null).await?;
    steps
        .send("the action called off", &key, &call, |answer, _| {
            proof("quiet", &[(answer.data.actions.is_empty(), "no actions")])
        })
        .await?;
    steps.keep::<DeviceCheckin>(key, move || Call::new(checkin.clone()))
}
