use access::EmailAddress;
use app::App;
use identity::{NewUser, Password, PoolError, UserId};

/// Somebody who needs nobody's code: the first member, from whom all others come.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewMember {
    pub(crate) user: String,
    pub(crate) referral_code: String,
    pub(crate) places: u32,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum NewMemberError {
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Members(#[from] access::AccessError),
}

/// An account that is confirmed, and its member's rows. For an address that has an account already the password stays
/// and only missing rows are made.
pub(crate) async fn create(app: &App, email: &EmailAddress, password: Password) -> Result<NewMember, NewMemberError> {
    let user = NewUser { email: email.clone(), password, password_is_temporary: false };
    let sub: UserId = match app.users.create_user(&user).await {
        Ok(sub) => sub,
        Err(PoolError::UserExists) => app.users.find(email).await?.ok_or(PoolError::UnknownUser)?.sub,
        Err(error) => return Err(error.into()),
    };
    app.members.create_user(sub.as_str()).await?;
    // An account that was deleted has no rows, and gets none back.
    let member = app.members.find(sub.as_str()).await?.ok_or(PoolError::UnknownUser)?;
    Ok(NewMember {
        user: sub.to_string(),
        referral_code: member.referral_code.to_string(),
        places: member.referrals_remaining(),
    })
}
