//! What is deployed: every endpoint, worker and schedule of every domain, one binary each in `src/bin`.

use api::Endpoint;
use app::App;
use utoipa::openapi::{Info, License, OpenApi};
use worker::{Departure, Schedule, Trigger, Worker};

pub fn endpoints() -> Vec<Endpoint<App>> {
    [system::routes(), accounts::routes(), jobs::routes(), referrals::routes(), tokens::routes()]
        .into_iter()
        .flatten()
        .collect()
}

pub fn workers() -> Vec<Worker<App>> {
    let referrals = referrals::workers();
    [accounts::workers(departures()), jobs::workers(), letters::workers(), referrals, tokens::workers()]
        .into_iter()
        .flatten()
        .collect()
}

pub fn schedules() -> Vec<Schedule<App>> {
    [jobs::schedules(), referrals::schedules()].into_iter().flatten().collect()
}

pub fn triggers() -> Vec<Trigger<App>> {
    [accounts::triggers(), referrals::triggers()].into_iter().flatten().collect()
}

/// How each domain lets an account go; a domain that is not here keeps it.
pub fn departures() -> Vec<Departure<App>> {
    vec![
        system::departure(),
        jobs::departure(),
        letters::departure(),
        referrals::departure(),
        tokens::departure(),
        accounts::departure(),
    ]
}

/// What all endpoints take and answer.
pub fn document() -> OpenApi {
    let mut info = Info::new("Holdfast", env!("CARGO_PKG_VERSION"));
    info.description = Some("A serverless backend for token communities: who really holds a token.".to_owned());
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    let mut document = api::document(&endpoints(), info);
    for examples in [accounts::EXAMPLES, jobs::EXAMPLES, referrals::EXAMPLES, system::EXAMPLES, tokens::EXAMPLES] {
        api::add_examples(&mut document, examples).expect("examples of what is in the document");
    }
    document
}
