use std::process::ExitCode;
use std::sync::Arc;

use api::{Endpoint, RequestId, edge};
use app::App;
use axum::Router;
use lambda_http::{Error, RequestExt};
use tower::util::MapRequestLayer;
use tower::{ServiceBuilder, ServiceExt};

use crate::telemetry::{self, Telemetry};
use crate::{Config, deployed};

/// Answers an API Gateway's requests with one endpoint until Lambda ends the process.
pub fn serve_http(endpoint: Endpoint<App>) -> ExitCode {
    run(async |config, telemetry| {
        let app = deployed(&config)?;
        let ids = Arc::clone(&app.ids);
        let clock = Arc::clone(&app.clock);
        let new_id = Arc::new(move || ids.id(clock.now()));
        let router = edge(Router::from(endpoint), &config.edge, new_id)?.with_state(app);
        let service = ServiceBuilder::new()
            .layer(MapRequestLayer::new(|mut request: lambda_http::Request| {
                // The id under which Lambda itself logs this invocation.
                if let Some(context) = request.lambda_context_ref() {
                    let id = RequestId::new(context.request_id.as_str());
                    request.extensions_mut().insert(id);
                }
                request
            }))
            .service(router)
            .map_response(move |response| {
                telemetry.flush();
                response
            });
        lambda_http::run(service).await
    })
}

/// Reads the environment, sets up logs, and runs until the runtime ends. What goes wrong before is told on the log
/// and by the exit code, which Lambda reports as a failed start.
pub(crate) fn run(serve: impl AsyncFnOnce(Config, Telemetry) -> Result<(), Error>) -> ExitCode {
    let served = Config::from_env().map_err(Error::from).and_then(|config| {
        let telemetry = telemetry::init(telemetry::Options {
            format: telemetry::Format::Json,
            filter: config.log_filter.clone(),
            namespace: format!("Holdfast/{}", config.settings.environment),
            metrics: telemetry::Metrics::Emf,
        })?;
        // One request at a time: a second thread would only cost its start.
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(config, telemetry))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &*error as &dyn std::error::Error, "the function cannot run");
            #[expect(clippy::print_stderr, reason = "the log may not be set up yet")]
            {
                eprintln!("the function cannot run: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
