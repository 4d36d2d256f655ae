use api::{ApiError, Query};
use axum::extract::FromRequestParts;
use http::Request;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::ReportParameters;

/// Parameters of one endpoint beside those of the report it reads.
pub(crate) trait Own: DeserializeOwned + Send {
    /// Their names in a query. `#[serde(flatten)]` would do without, but then a refusal could not name its parameter.
    const NAMES: &'static [&'static str];
}

/// A query with an endpoint's own parameters and those of the report; 400 `invalid_query` as [`Query`] says it.
pub(crate) struct Asked<T> {
    pub(crate) own: T,
    pub(crate) parameters: ReportParameters,
}

impl<T: Own, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let (own, others) = query.split('&').partition::<Vec<_>, _>(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            T::NAMES.contains(&name)
        });
        let Query(own) = Query::from_request_parts(&mut asking(&own), state).await?;
        let Query(parameters) = Query::from_request_parts(&mut asking(&others), state).await?;
        Ok(Self { own, parameters })
    }
}

/// A request with these pairs as its query.
fn asking(pairs: &[&str]) -> Parts {
    let request = Request::get(format!("/?{}", pairs.join("&"))).body(());
    let (parts, ()) = request.expect("pairs of a query are a query").into_parts();
    parts
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Colour {
        colour: u8,
    }

    impl Own for Colour {
        const NAMES: &'static [&'static str] = &["colour"];
    }

    async fn asked(query: &str) -> Result<(u8, u32), String> {
        let mut parts = asking(&[query]);
        let asked = Asked::<Colour>::from_request_parts(&mut parts, &()).await;
        asked.map(|asked| (asked.own.colour, asked.parameters.top.0)).map_err(|error| format!("{error:?}"))
    }

    #[tokio::test]
    async fn each_parameter_comes_to_whose_it_is_in_any_order() {
        assert_eq!(asked("colour=7&top=20").await, Ok((7, 20)));
        assert_eq!(asked("top=20&colour=7").await, Ok((7, 20)));
        assert_eq!(asked("colour=7").await, Ok((7, 1000)));
    }

    #[tokio::test]
    async fn a_wrong_one_is_refused_by_its_name() {
        for (query, named) in [
            ("top=20", "`colour` is required"),
            ("colour=x", "`colour` was `x`"),
            ("colour=1&colour=2", "`colour` was given more than once"),
            ("colour=1&top=0", "`top` was `0`"),
            ("colour=1&shade=2", "`shade` is unknown"),
        ] {
            let refused = asked(query).await.unwrap_err();
            assert!(refused.contains(named) && refused.contains("invalid_query"), "{query}: {refused}");
        }
    }
}
