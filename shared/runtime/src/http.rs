use std::process::ExitCode;
use std::sync::Arc;

use api::{ClientIp, Endpoint, RequestId, edge, limited, replayed};
use app::App;
use axum::Router;
use lambda_http::request::RequestContext;
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
        let router = limited(Router::from(endpoint), app.limits.clone(), Arc::clone(&app.verifier));
        let router = replayed(router, app.idempotency.clone(), Arc::clone(&app.verifier));
        let router = edge(router, &config.edge, new_id)?.with_state(app);
        let service = ServiceBuilder::new()
            .layer(MapRequestLayer::new(|mut request: lambda_http::Request| {
                // The id under which Lambda itself logs this invocation.
                if let Some(context) = request.lambda_context_ref() {
                    let id = RequestId::new(context.request_id.as_str());
                    request.extensions_mut().insert(id);
                }
                if let Some(ip) = client_ip(&request) {
                    request.extensions_mut().insert(ip);
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

/// Whose connection the gateway took. `x-forwarded-for` is not asked: a caller may write into it.
fn client_ip(request: &lambda_http::Request) -> Option<ClientIp> {
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => Some(ClientIp::new(context.http.source_ip.as_ref()?.parse().ok()?)),
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn with_source_ip(ip: &str) -> lambda_http::Request {
        let event = include_str!("../../../events/tokens-get-chains/signed-in.json");
        let source = r#""sourceIp": "198.51.100.7""#;
        assert!(event.contains(source));
        let event = event.replace(source, &format!(r#""sourceIp": "{ip}""#));
        lambda_http::request::from_str(&event).unwrap()
    }

    #[test]
    fn the_client_ip_is_the_gateways_and_no_headers() {
        for ip in ["203.0.113.9", "2001:db8:1:2:3:4:5:6"] {
            let request = with_source_ip(ip);
            assert_eq!(request.headers()["x-forwarded-for"], "198.51.100.7");
            assert_eq!(client_ip(&request), Some(ClientIp::new(ip.parse().unwrap())));
        }
        assert_eq!(client_ip(&with_source_ip("nowhere")), None);
        assert_eq!(client_ip(&lambda_http::Request::default()), None);
    }
}
