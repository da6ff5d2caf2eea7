//! `axum_app PORT`, with the graceful stop that axum's documentation shows.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::routing::any;
use tokio::signal::unix::{SignalKind, signal};

async fn read_all(body: Body) -> &'static str {
    let _ = to_bytes(body, usize::MAX).await;
    "ok\n"
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_secs(2)).await;
    "ok\n"
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_default();
    let routes = Router::new()
        .route("/refuse", any(|| async { (StatusCode::UNAUTHORIZED, "no\n") }))
        .route("/slow", any(slow))
        .fallback(read_all);
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let mut ended = signal(SignalKind::terminate())?;
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move {
            ended.recv().await;
        })
        .await
}
