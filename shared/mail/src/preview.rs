use access::Timestamp;

use crate::content::{
    AccountExists, ConfirmCode, Content, PasswordChanged, ReferralInvite, ResetPassword, Template, Unsubscribe,
    WeeklyPoints, Welcome,
};
use crate::{Code, InviteCode, Letterhead, Link, Name, Rendered};

/// The template of this name with sample data.
pub fn preview(name: &str) -> Option<Rendered> {
    let template: Template = name.parse().ok()?;
    Some(sample(template).render(&letterhead()))
}

pub(crate) fn letterhead() -> Letterhead {
    Letterhead { product: name("Holdfast"), site: link("https://example.com/") }
}

/// Plausible data, the same each time.
pub(crate) fn sample(template: Template) -> Content {
    // 1 June 2026, 09:05 UTC.
    const MORNING: Timestamp = Timestamp(1_780_304_700_000);
    const WEEK_LATER: Timestamp = Timestamp(1_780_304_700_000 + 7 * 24 * 3600 * 1000);
    let digits = || Code::digits("493817").expect("six digits are a code");
    let invite_code = || InviteCode::new("7KQM-X2VD").expect("it is as invites are");
    let unsubscribe = || Unsubscribe {
        link: link("https://api.example.com/v1/referrals/unsubscribe?token=sample"),
        one_click: false,
    };
    match template {
        Template::ConfirmCode => ConfirmCode { code: digits(), valid_minutes: 24 * 60 }.into(),
        Template::ResetPassword => {
            ResetPassword { code: digits(), valid_minutes: 60, page: link("https://example.com/reset-password") }.into()
        }
        Template::PasswordChanged => {
            PasswordChanged { changed_at: MORNING, reset: link("https://example.com/forgot-password") }.into()
        }
        Template::AccountExists => AccountExists {
            sign_in: link("https://example.com/sign-in"),
            reset: link("https://example.com/forgot-password"),
        }
        .into(),
        Template::Welcome => {
            Welcome { invite_code: invite_code(), places: 10, page: link("https://example.com/tokens") }.into()
        }
        Template::ReferralInvite => ReferralInvite {
            invited_by: Some(name("Ann")),
            invite_code: invite_code(),
            join: link("https://example.com/join?code=7KQM-X2VD"),
            expires_at: WEEK_LATER,
            unsubscribe: unsubscribe(),
        }
        .into(),
        Template::WeeklyPoints => WeeklyPoints {
            until: WEEK_LATER,
            points: 1240,
            points_difference: 120,
            rank: 12,
            ranked: 3400,
            rank_difference: -3,
            invited: 4,
            places: 10,
            page: link("https://example.com/points"),
            unsubscribe: unsubscribe(),
        }
        .into(),
    }
}

fn link(text: &str) -> Link {
    Link::new(text).expect("every sample link is https")
}

fn name(text: &str) -> Name {
    Name::new(text).expect("every sample name has letters")
}
