//! POST /v1/referrals/invites: invites an address by mail, once.

use access::messages::{AccountLetter, SendMail};
use access::{EmailAddress, Kind};
use api::{ApiError, Caller, Endpoint, Job, Json};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use members::{Invite, InviteRefusal, Invited};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::invite::InviteView;

pub fn route() -> Endpoint<App> {
    Endpoint::new("referrals-send-invite", routes!(send_invite)).idempotent()
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Invitation {
    #[schema(value_type = String, format = "email", example = "ben@example.org")]
    email: EmailAddress,
}

/// 202: the letter is on its way; `location` is its job.
#[derive(Serialize, ToSchema)]
struct InviteQueued {
    #[schema(example = 202)]
    status_code: u16,
    #[schema(example = "An invitation to b***@e*** is on its way.")]
    detail: String,
    job: Job,
    invite: InviteView,
}

/// Invites an address, with the caller's code. The same address again is the same invitation and no second letter;
/// withdrawn, it may be invited anew. At most 20 addresses in a day of UTC.
#[utoipa::path(post, path = "/v1/referrals/invites", tag = "referrals", request_body = Invitation,
    security(("bearer" = [])),
    responses((status = 202, body = InviteQueued),
        (status = 409, description = "`not_a_member`, `no_places_left` or `code_disabled`"),
        (status = 429, description = "`too_many_invites`: `retry-after` is the next day of UTC.")))]
async fn send_invite(
    caller: Caller,
    State(app): State<App>,
    Json(body): Json<Invitation>,
) -> Result<Response, ApiError> {
    let user = caller.sub.as_str();
    let invite = match app.members.invite(user, &body.email).await? {
        Invited::New(invite) | Invited::Already(invite) => invite,
        Invited::Refused(refusal) => return Err(refused(&app, refusal)),
    };
    // Again when it is there already: whoever asks after a failure between the two gets the letter queued.
    let job = app.jobs.enqueue(&job_key(&invite), &letter(&app, user, &invite, &body.email)).await?;
    let location = format!("/v1/jobs/{}", job.view.job);
    let answer = InviteQueued {
        status_code: StatusCode::ACCEPTED.as_u16(),
        detail: format!("An invitation to {} is on its way.", invite.shown_as),
        job: job.view.into(),
        invite: InviteView::of(&invite, app.clock.now()),
    };
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], axum::Json(answer)).into_response())
}

/// One job for each time an address is invited anew.
fn job_key(invite: &Invite) -> String {
    format!("invite/{}/{}", invite.invite_id, invite.created_at.millis())
}

fn letter(app: &App, user: &str, invite: &Invite, email: &EmailAddress) -> SendMail {
    SendMail {
        // The address's, whoever invites: nobody is mailed twice.
        key: format!("invite/{}", email.keyed_hash(&app.vault)),
        user: user.to_owned(),
        letter: AccountLetter::ReferralInvite { invite: invite.invite_id.clone() },
    }
}

fn refused(app: &App, refusal: InviteRefusal) -> ApiError {
    let (code, detail) = match refusal {
        InviteRefusal::NotAMember => ("not_a_member", "Only members can invite."),
        InviteRefusal::NoPlacesLeft => ("no_places_left", "All places of your code are used."),
        InviteRefusal::CodeDisabled => ("code_disabled", "Your code is disabled."),
        InviteRefusal::TooMany { next } => {
            let seconds = next.since(app.clock.now()).as_millis().div_ceil(1000);
            let detail = "You have invited 20 addresses today. Tomorrow you can invite more.";
            let error = ApiError::new(Kind::TooMany, "too_many_invites", detail);
            return error.retry_after(u32::try_from(seconds).unwrap_or(u32::MAX).max(1));
        }
    };
    ApiError::new(Kind::Conflict, code, detail)
}
