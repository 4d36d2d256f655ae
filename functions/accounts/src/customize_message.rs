//! Cognito's custom-message trigger: the words of the codes it sends. Where Cognito is not, its pool sends them itself.

use app::App;
use mail::{Code, ConfirmCode, Content, Link, ResetPassword};
use serde_json::{Value, json};
use worker::{CalledBy, RunError, Trigger};

pub fn trigger() -> Trigger<App> {
    Trigger::new("accounts-customize-message", CalledBy::Pool, customize)
}

/// How long Cognito's codes are good for.
const CONFIRM_MINUTES: u32 = 24 * 60;
const RESET_MINUTES: u32 = 60;

/// Sets subject and message of the event's response; an event it has no words for goes back as it came, and Cognito uses
/// its own.
async fn customize(app: App, mut event: Value) -> Result<Value, RunError> {
    let content = match event["triggerSource"].as_str() {
        Some("CustomMessage_SignUp" | "CustomMessage_ResendCode") => {
            Content::from(ConfirmCode { code: Code::Placeholder, valid_minutes: CONFIRM_MINUTES })
        }
        Some("CustomMessage_ForgotPassword") => {
            let page: Link = app.settings.pages.to("reset-password");
            Content::from(ResetPassword { code: Code::Placeholder, valid_minutes: RESET_MINUTES, page })
        }
        _ => return Ok(event),
    };
    let rendered = content.render(&app.settings.letterhead);
    event["response"]["emailSubject"] = json!(rendered.subject);
    event["response"]["emailMessage"] = json!(rendered.html);
    Ok(event)
}
