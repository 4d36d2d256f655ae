use std::sync::Arc;

use access::EmailAddress;
use app::Pages;
use async_trait::async_trait;
use identity::{Code, CodePurpose, DeliveryFailed, PoolMessenger, PoolPolicy};
use mail::{ConfirmCode, Content, Letter, Mailer, ResetPassword};

/// Sends the embedded pool's codes as Cognito's trigger words them.
pub struct Messenger {
    pub mailer: Arc<dyn Mailer>,
    pub pages: Pages,
}

#[async_trait]
impl PoolMessenger for Messenger {
    async fn deliver(&self, to: &EmailAddress, purpose: CodePurpose, code: &Code) -> Result<(), DeliveryFailed> {
        let policy = PoolPolicy::default();
        let minutes = |valid: std::time::Duration| u32::try_from(valid.as_secs() / 60).unwrap_or(u32::MAX);
        let code = mail::Code::digits(code.as_str()).map_err(|error| DeliveryFailed(error.into()))?;
        let content: Content = match purpose {
            CodePurpose::ConfirmSignUp => ConfirmCode { code, valid_minutes: minutes(policy.confirm_code) }.into(),
            CodePurpose::ResetPassword => {
                let page = self.pages.to("reset-password");
                ResetPassword { code, valid_minutes: minutes(policy.reset_code), page }.into()
            }
        };
        let sent = self.mailer.send(&Letter { to: to.clone(), content }).await;
        sent.map(drop).map_err(|error| DeliveryFailed(error.into()))
    }
}
