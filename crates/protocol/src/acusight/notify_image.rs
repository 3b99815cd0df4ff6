use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::{Acusight, DeviceId, DeviceKeyAuth, ErrorMap, ImageId, ModelId};
use crate::wire::{FreeMap, IntOrText, Number, int, null_as_default};
use crate::{Documented, Endpoint, Envelope, Fault, Json, Source};

/// `POST /data/agent/images/notify`: a device says that it has uploaded an image.
///
/// Source: `acusight-image-notify`.
#[derive(Debug, Clone, Copy)]
pub struct NotifyImage;

impl Endpoint for NotifyImage {
    type Vendor = Acusight;
    type Auth = DeviceKeyAuth;
    type Params = ();
    type Request = Json<ImageNotificationRequest>;
    type Reply = Json<ImageNotificationResponse, 201>;
    type Error = ErrorMap;
    const ID: &'static str = "acusight.notify_image";
    const SUMMARY: &'static str = "A device says that it has uploaded an image";
    const TAG: &'static str = "Datasets & data";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/data/agent/images/notify";
    const SOURCE: Source = Source::new("acusight-image-notify", "#/paths/~1data~1agent~1images~1notify/post");
    const BODY_LIMIT: usize = 4 * 1024 * 1024;
    const FAILURES: &'static [Documented] = &[
        Documented::new(400, "The payload does not have the documented form"),
        Documented::new(500, "The image could not be recorded"),
        Documented::new(503, "No slot in a batch could be reserved"),
    ];

    // The source names no 404 here: a device that is not registered is a fault of the payload.
    fn status(fault: &Fault) -> StatusCode {
        match fault {
            Fault::NotYours(_) | Fault::Unknown(_) => StatusCode::BAD_REQUEST,
            other => ErrorMap::status(other),
        }
    }
}

/// An image that lies in the object store.
///
/// Origin: `acusight-image-notify`, `#/components/schemas/handlers.ImageNotificationRequest`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "handlers.ImageNotificationRequest")
)]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ImageNotificationRequest {
    /// The device that took the image. Required; the key must belong to it.
    ///
    /// Origin: `handlers.ImageNotificationRequest.device_id`.
    pub device_id: DeviceId,
    /// The image's file name. Required.
    ///
    /// Origin: `handlers.ImageNotificationRequest.filename`.
    pub filename: String,
    /// Where the image lies in the object store. Required; the same key again is the same image.
    ///
    /// Origin: `handlers.ImageNotificationRequest.storage_key`.
    pub storage_key: String,
    /// Width in pixels. Required; no bound is given.
    ///
    /// Origin: `handlers.ImageNotificationRequest.width`.
    #[serde(deserialize_with = "int::deserialize")]
    pub width: i64,
    /// Height in pixels. Required; no bound is given.
    ///
    /// Origin: `handlers.ImageNotificationRequest.height`.
    #[serde(deserialize_with = "int::deserialize")]
    pub height: i64,
    /// What a model found in the image. Optional: absent and null mean nothing.
    ///
    /// Origin: `handlers.ImageNotificationRequest.annotations`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "crate::wire::schema::NullAsDefault<Vec<AnnotationData>>")
    )]
    pub annotations: Vec<AnnotationData>,
    /// The model that found it. Optional.
    ///
    /// Origin: `handlers.ImageNotificationRequest.model_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<ModelId>,
    /// That model's name. Optional.
    ///
    /// Origin: `handlers.ImageNotificationRequest.model_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    /// That model's version. Optional.
    ///
    /// Origin: `handlers.ImageNotificationRequest.model_version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
}

impl ImageNotificationRequest {
    /// An image without annotations; `width` and `height` in pixels.
    pub fn new(
        device_id: impl Into<DeviceId>,
        filename: impl Into<String>,
        storage_key: impl Into<String>,
        width: i64,
        height: i64,
    ) -> Self {
        Self {
            device_id: device_id.into(),
            filename: filename.into(),
            storage_key: storage_key.into(),
            width,
            height,
            annotations: Vec::new(),
            model_id: None,
            model_name: None,
            model_version: None,
        }
    }
}

/// A box around something in an image, in fractions of the image's size. Nothing in it is required.
///
/// Origin: `acusight-image-notify`, `#/components/schemas/models.AnnotationData`; `type` and `geometry` from
/// the vendor's upload page (AC-5), read and never written by our client.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "models.AnnotationData"))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct AnnotationData {
    /// What it is.
    ///
    /// Origin: `models.AnnotationData.class_value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_value: Option<String>,
    /// How sure the model is, 0 to 1.
    ///
    /// Origin: `models.AnnotationData.confidence`, range in prose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Number>,
    /// Centre, as a fraction of the image's width, 0 to 1.
    ///
    /// Origin: `models.AnnotationData.x_center`, range in prose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_center: Option<Number>,
    /// Centre, as a fraction of the image's height, 0 to 1.
    ///
    /// Origin: `models.AnnotationData.y_center`, range in prose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y_center: Option<Number>,
    /// Width, as a fraction of the image's, 0 to 1.
    ///
    /// Origin: `models.AnnotationData.width`, range in prose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<Number>,
    /// Height, as a fraction of the image's, 0 to 1.
    ///
    /// Origin: `models.AnnotationData.height`, range in prose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<Number>,
    /// The kind of geometry of the other shape, `bbox`.
    ///
    /// Origin: the vendor's upload page (AC-5).
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The box of the other shape: x centre, y centre, width, height.
    ///
    /// Origin: the vendor's upload page (AC-5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geometry: Option<Vec<Number>>,
}

impl AnnotationData {
    /// The box as `[x_center, y_center, width, height]`, from whichever shape was sent; `None` if it is not
    /// whole.
    #[must_use]
    pub fn bounding_box(&self) -> Option<[f64; 4]> {
        if let (Some(x), Some(y), Some(width), Some(height)) =
            (self.x_center, self.y_center, self.width, self.height)
        {
            return Some([x.get(), y.get(), width.get(), height.get()]);
        }
        let [x, y, width, height] = self.geometry.as_deref()?.try_into().ok()?;
        Some([x, y, width, height].map(Number::get))
    }
}

/// Where the image went. The source leaves the object open and promises the ids in prose; the names are those
/// of the vendor's upload page.
///
/// Origin: `acusight-image-notify`, `#/paths/~1data~1agent~1images~1notify/post/responses/201`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "handlers.ImageNotificationResponse")
)]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ImageNotificationResponse {
    /// Whether the image was recorded; the status decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    /// The image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ImageId>,
    /// The batch it went into: text, on another page an integer (AC-6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<IntOrText>,
    /// Members that nobody documents.
    #[serde(flatten)]
    pub extra: FreeMap,
}

impl ImageNotificationResponse {
    /// A recorded image.
    pub fn new(image_id: impl Into<ImageId>, batch_id: impl Into<String>) -> Self {
        Self {
            success: Some(true),
            image_id: Some(image_id.into()),
            batch_id: Some(IntOrText::Text(batch_id.into())),
            extra: FreeMap::default(),
        }
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(ImageNotificationRequest, AnnotationData, ImageNotificationResponse);
