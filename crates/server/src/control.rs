pub fn router<S: fleetwire_server_core::store::Store>(_c: std::sync::Arc<fleetwire_server_core::Core<S>>) -> axum::Router { axum::Router::new() }
