//! The HTTP edge: what every endpoint answers the same way. Extractors that say what was wrong, errors as problem
//! documents, who is calling, request ids, limits, CORS, compression, one log line and two metrics a request, and the
//! OpenAPI document. Generic over the application's state; knows nothing of AWS or of the environment.

mod caller;
mod cors;
mod document;
mod edge;
mod endpoint;
mod evenly;
mod examples;
mod extract;
mod idempotency;
mod limit;
mod mismatch;
mod observe;
mod page;
mod problem;
mod read;
mod request_id;

pub use caller::Caller;
pub use document::{conflicting_schemas, document};
pub use edge::{Edge, EdgeError, edge};
pub use endpoint::Endpoint;
pub use evenly::{LONG_BEAT, evenly, on_the_beat};
pub use examples::{BadExamples, add_examples};
pub use extract::{Json, Path, Query, body};
pub use idempotency::replayed;
pub use limit::{By, ClientIp, limited};
pub use mismatch::{Location, Mismatch};
pub use observe::describe_metrics;
pub use page::{Limit, Page};
pub use problem::{ApiError, Fault, Problem};
pub use read::{Job, Queued, found};
pub use request_id::{NewRequestId, RequestId};

#[cfg(test)]
mod testing;
