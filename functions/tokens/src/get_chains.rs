//! GET /v1/chains: the chains whose tokens can be asked for.

use api::{Caller, Endpoint};
use app::App;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn route() -> Endpoint<App> {
    Endpoint::new("tokens-get-chains", routes!(get_chains))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChainView {
    /// As in the paths of other requests.
    #[schema(example = "ethereum")]
    id: String,
    /// The number of EIP-155, where the chain has one.
    #[schema(example = 1)]
    chain_id: Option<u64>,
    #[schema(example = "Ethereum")]
    name: String,
    /// In which fees are paid.
    #[schema(example = "ETH")]
    native_asset: Option<String>,
}

/// The chains whose tokens can be asked for, in the order they were configured.
#[utoipa::path(get, path = "/v1/chains", tag = "tokens", security(("bearer" = [])),
    responses((status = 200, body = Vec<ChainView>)))]
async fn get_chains(_: Caller, State(app): State<App>) -> Json<Vec<ChainView>> {
    let view = |chain: &chains::Chain| ChainView {
        id: chain.id.clone(),
        chain_id: chain.chain_id,
        name: chain.name.clone(),
        native_asset: chain.native_asset.clone(),
    };
    Json(app.chains.iter().map(view).collect())
}
