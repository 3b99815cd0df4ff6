//! Why an operator's request was not done, as an answer.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use fleetwire_server_core::domain::WorkState;
use fleetwire_server_core::operator::OperatorError;
use fleetwire_server_core::store::StoreError;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;

use super::messages::{ErrorBody, ErrorDetail};

/// Seconds after which a store that is not available may be asked again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    state: Option<WorkState>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), state: None }
    }

    pub(super) fn unauthenticated() -> Self {
        let message = "an operator's token is needed: `Authorization: Bearer fwo_…`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
    }

    pub(super) fn limited() -> Self {
        let message = "too many wrong tokens came from this address";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "limited", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The header `Allow` is added by the router, which knows the methods.
    pub(super) fn method_not_allowed() -> Self {
        let message = "this address does not take this method; the header Allow has those that it takes";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(super) fn gone(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "gone", message)
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(super) fn too_slow(message: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "too_slow", message)
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }

    fn unread(status: StatusCode, error: &dyn std::error::Error, text: String) -> Self {
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(status, "too_large", format!("the body has more than {} bytes", super::BODY_LIMIT))
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(
                status,
                "unsupported_media_type",
                "the body must be JSON and be called application/json",
            ),
            status if status.is_server_error() => Self::internal(&text),
            // Beneath the outer layer, which names Rust's affairs, are the place and the fault.
            _ => Self::invalid(error.source().map_or(text, ToString::to_string)),
        }
    }

    pub(super) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "an operator's request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed; its log says why")
    }
}

impl From<OperatorError> for Refusal {
    fn from(error: OperatorError) -> Self {
        let message = error.to_string();
        match error {
            OperatorError::Missing(_) => Self::not_found(message),
            OperatorError::Taken(_) | OperatorError::KeyTaken { .. } => {
                Self::new(StatusCode::CONFLICT, "taken", message)
            }
            OperatorError::Transition(illegal) => Self {
                state: Some(illegal.from),
                ..Self::new(StatusCode::CONFLICT, "illegal_transition", message)
            },
            OperatorError::Unsuitable(_) | OperatorError::Invalid(_) => Self::invalid(message),
            OperatorError::Store(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        if let StoreError::Unavailable(why) = &error {
            tracing::warn!(why, "the store is not available");
            let message = "the store is not available at the moment";
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        }
        Self::internal(&error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let state = self.state.map(|state| state.as_str().to_owned());
        let detail = ErrorDetail { code: self.code.to_owned(), message: self.message, state };
        let body = ErrorBody { error: detail };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            _ => {}
        }
        response
    }
}

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let body = Json::from_request(request, state).await;
        body.map(|Json(body)| Self(body)).map_err(|rejection: JsonRejection| {
            let text = rejection.body_text();
            Refusal::unread(rejection.status(), &rejection, text)
        })
    }
}

/// The segments of a path that stand for something.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let segments = Path::from_request_parts(parts, state).await;
        segments.map(|Path(segments)| Self(segments)).map_err(|rejection: PathRejection| {
            let text = rejection.body_text();
            Refusal::unread(rejection.status(), &rejection, text)
        })
    }
}

/// The parameters of a query.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let parameters = Query::from_request_parts(parts, state).await;
        parameters.map(|Query(parameters)| Self(parameters)).map_err(|rejection: QueryRejection| {
            let text = rejection.body_text();
            Refusal::unread(rejection.status(), &rejection, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::*;

    async fn answer(error: OperatorError) -> (StatusCode, Option<HeaderValue>, Value) {
        let (parts, body) = Refusal::from(error).into_response().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let retry_after = parts.headers.get(header::RETRY_AFTER).cloned();
        (parts.status, retry_after, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn unavailable_store_says_when_to_come_back_and_nothing_of_itself() {
        let error = StoreError::Unavailable("disk /var/lib is full".to_owned()).into();
        let (status, retry_after, body) = answer(error).await;
        assert_eq!((status, retry_after), (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_AFTER)));
        let message = "the store is not available at the moment";
        assert_eq!(body, json!({"error": {"code": "unavailable", "message": message}}));
    }

    #[tokio::test]
    async fn broken_store_is_told_to_the_log_only() {
        let (status, retry_after, body) = answer(StoreError::Corrupt("row 7".to_owned()).into()).await;
        assert_eq!((status, retry_after), (StatusCode::INTERNAL_SERVER_ERROR, None));
        assert_eq!(body["error"]["code"], "internal");
        assert!(!body.to_string().contains("row 7"), "{body}");
    }
}
