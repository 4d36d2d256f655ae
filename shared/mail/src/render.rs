use std::fmt;

use askama::Template as _;

use crate::content::{
    AccountExists, ConfirmCode, Content, PasswordChanged, ReferralInvite, ResetPassword, Template, WeeklyPoints,
    Welcome,
};
use crate::wording::{counted, day, gained, grouped, moment, moved, span};
use crate::{Link, Name};

/// What Cognito takes from a custom-message trigger: `emailMessage`, which is HTML.
/// <https://docs.aws.amazon.com/cognito/latest/developerguide/quotas.html>
pub const COGNITO_MESSAGE_CHARS: usize = 20_000;
/// The same for `emailSubject`.
pub const COGNITO_SUBJECT_CHARS: usize = 140;

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letterhead {
    /// As in "Welcome to Holdfast".
    pub product: Name,
    /// The front page.
    pub site: Link,
}

/// A letter ready to be sent. `Debug` does not show what it says.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    pub template: Template,
    /// One line of at most 140 characters without control characters.
    pub subject: String,
    /// A whole document.
    pub html: String,
    /// The same in plain text, lines ended by `\n`.
    pub text: String,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered").field("template", &self.template).finish_non_exhaustive()
    }
}

impl Content {
    /// The same for the same content and letterhead.
    pub fn render(&self, letterhead: &Letterhead) -> Rendered {
        let product = letterhead.product.as_str();
        let subject = self.subject(product);
        let why = self.why(product);
        let frame = Frame {
            product,
            site: letterhead.site.as_str(),
            subject: &subject,
            why: &why,
            unsubscribe: self.unsubscribe().map(|way| way.link.as_str()),
        };
        let (html, text) = match self {
            Self::ConfirmCode(letter) => {
                let valid = &span(letter.valid_minutes);
                (ConfirmCodeHtml { frame, letter, valid }.render(), ConfirmCodeText { frame, letter, valid }.render())
            }
            Self::ResetPassword(letter) => {
                let valid = &span(letter.valid_minutes);
                let html = ResetPasswordHtml { frame, letter, valid };
                (html.render(), ResetPasswordText { frame, letter, valid }.render())
            }
            Self::PasswordChanged(letter) => {
                let changed_at = &moment(letter.changed_at);
                let html = PasswordChangedHtml { frame, letter, changed_at };
                (html.render(), PasswordChangedText { frame, letter, changed_at }.render())
            }
            Self::AccountExists(letter) => {
                (AccountExistsHtml { frame, letter }.render(), AccountExistsText { frame, letter }.render())
            }
            Self::Welcome(letter) => {
                let places = &open_places(letter.places);
                (WelcomeHtml { frame, letter, places }.render(), WelcomeText { frame, letter, places }.render())
            }
            Self::ReferralInvite(letter) => {
                let invited_by = inviter(letter);
                let expires_on = &day(letter.expires_at);
                let html = ReferralInviteHtml { frame, letter, invited_by, expires_on };
                (html.render(), ReferralInviteText { frame, letter, invited_by, expires_on }.render())
            }
            Self::WeeklyPoints(letter) => {
                let until = &day(letter.until);
                let rows = &weekly_rows(letter);
                let html = WeeklyPointsHtml { frame, letter, until, rows };
                (html.render(), WeeklyPointsText { frame, letter, until, rows }.render())
            }
        };
        let written = "writing to a string does not fail";
        let (html, text) = (html.expect(written), text.expect(written));
        Rendered { template: self.template(), subject, html, text }
    }

    /// Names are short and on one line, so a subject is.
    fn subject(&self, product: &str) -> String {
        match self {
            Self::ConfirmCode(_) => format!("Your code for {product}"),
            Self::ResetPassword(_) => format!("A new password for {product}"),
            Self::PasswordChanged(_) => format!("Your {product} password was changed"),
            Self::AccountExists(_) => format!("You have a {product} account already"),
            Self::Welcome(_) => format!("Welcome to {product}"),
            Self::ReferralInvite(letter) => format!("{} invites you to {product}", inviter(letter)),
            Self::WeeklyPoints(letter) => {
                let points = counted(letter.points, "point");
                format!("Your week on {product}: {points}, rank {}", grouped(letter.rank))
            }
        }
    }

    /// Why somebody gets this letter.
    fn why(&self, product: &str) -> String {
        match self {
            Self::ConfirmCode(_) => {
                format!("You get this mail because this address was entered to sign up to {product}.")
            }
            Self::ResetPassword(_) => {
                format!("You get this mail because a new password was asked for on {product} with this address.")
            }
            Self::PasswordChanged(_) | Self::Welcome(_) => {
                format!("You get this mail because you have a {product} account with this address.")
            }
            Self::AccountExists(_) => {
                format!("You get this mail because this address was entered to sign up to {product}.")
            }
            Self::ReferralInvite(_) => {
                format!("You get this mail because a member of {product} entered this address to invite you.")
            }
            Self::WeeklyPoints(_) => format!("You get this mail every week because you are a member of {product}."),
        }
    }
}

fn inviter(letter: &ReferralInvite) -> &str {
    letter.invited_by.as_ref().map_or("A member", Name::as_str)
}

fn open_places(places: u32) -> String {
    match places {
        0 => "Nobody joins without a code.".to_owned(),
        1 => "Nobody joins without a code, and you have one place to give.".to_owned(),
        places => format!("Nobody joins without a code, and you have {} to give.", counted(places.into(), "place")),
    }
}

fn weekly_rows(letter: &WeeklyPoints) -> [(&'static str, String, String); 3] {
    let left = counted(letter.places.saturating_sub(letter.invited).into(), "place");
    [
        ("Points", grouped(letter.points), gained(letter.points_difference)),
        ("Rank", format!("{} of {}", grouped(letter.rank), grouped(letter.ranked)), moved(letter.rank_difference)),
        ("Invited", grouped(letter.invited.into()), format!("{left} left")),
    ]
}

/// What the layout around a letter shows.
#[derive(Clone, Copy)]
struct Frame<'a> {
    product: &'a str,
    site: &'a str,
    subject: &'a str,
    why: &'a str,
    unsubscribe: Option<&'a str>,
}

macro_rules! page {
    ($name:ident, $path:tt, $letter:ty $(, $field:ident: $value:ty)*) => {
        #[derive(askama::Template)]
        #[template(path = $path)]
        struct $name<'a> {
            frame: Frame<'a>,
            letter: &'a $letter,
            $($field: $value,)*
        }
    };
}

page!(ConfirmCodeHtml, "confirm-code.html", ConfirmCode, valid: &'a str);
page!(ConfirmCodeText, "confirm-code.txt", ConfirmCode, valid: &'a str);
page!(ResetPasswordHtml, "reset-password.html", ResetPassword, valid: &'a str);
page!(ResetPasswordText, "reset-password.txt", ResetPassword, valid: &'a str);
page!(PasswordChangedHtml, "password-changed.html", PasswordChanged, changed_at: &'a str);
page!(PasswordChangedText, "password-changed.txt", PasswordChanged, changed_at: &'a str);
page!(AccountExistsHtml, "account-exists.html", AccountExists);
page!(AccountExistsText, "account-exists.txt", AccountExists);
page!(WelcomeHtml, "welcome.html", Welcome, places: &'a str);
page!(WelcomeText, "welcome.txt", Welcome, places: &'a str);
page!(ReferralInviteHtml, "referral-invite.html", ReferralInvite, invited_by: &'a str, expires_on: &'a str);
page!(ReferralInviteText, "referral-invite.txt", ReferralInvite, invited_by: &'a str, expires_on: &'a str);
page!(
    WeeklyPointsHtml,
    "weekly-points.html",
    WeeklyPoints,
    until: &'a str,
    rows: &'a [(&'static str, String, String)]
);
page!(
    WeeklyPointsText,
    "weekly-points.txt",
    WeeklyPoints,
    until: &'a str,
    rows: &'a [(&'static str, String, String)]
);

#[cfg(test)]
mod tests {
    use access::Timestamp;
    use proptest::prelude::*;
    use scraper::{Html, Selector};

    use super::*;
    use crate::preview::{letterhead, sample};
    use crate::{Code, InviteCode, Unsubscribe, preview};

    fn all(document: &Html, selector: &str) -> Vec<String> {
        let selector = Selector::parse(selector).unwrap();
        document.select(&selector).map(|element| element.text().collect()).collect()
    }

    fn attributes(document: &Html, selector: &str, name: &str) -> Vec<String> {
        let selector = Selector::parse(selector).unwrap();
        document.select(&selector).filter_map(|element| element.attr(name)).map(str::to_owned).collect()
    }

    /// What somebody sees, in one line.
    fn seen(document: &Html) -> String {
        let body = all(document, "body").concat();
        body.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What holds for every letter, whatever is in it.
    #[track_caller]
    fn assert_sound(rendered: &Rendered) -> Html {
        let document = Html::parse_document(&rendered.html);
        assert_eq!(document.errors, Vec::<&str>::new(), "{}", rendered.template);
        assert_eq!(attributes(&document, "html", "lang"), ["en"]);
        assert_eq!(all(&document, "title"), [rendered.subject.as_str()]);
        assert_eq!(all(&document, "h1").len(), 1);
        assert_eq!(attributes(&document, "meta[charset]", "charset"), ["utf-8"]);
        for link in attributes(&document, "a", "href") {
            assert!(link.starts_with("https://"), "{link}");
            assert!(rendered.text.contains(&link), "{link} is in the text as well");
        }
        assert!(all(&document, "script, img, link, iframe, object, embed, form, input, base").is_empty());
        for table in attributes(&document, "table", "role") {
            assert_eq!(table, "presentation", "no table is one to a screen reader");
        }
        let on: Vec<_> = document.tree.values().filter_map(|node| node.as_element()).collect();
        assert!(on.iter().all(|element| element.attrs().all(|(name, _)| !name.starts_with("on"))));

        let subject_chars = rendered.subject.chars().count();
        assert!((1..=COGNITO_SUBJECT_CHARS).contains(&subject_chars), "{subject_chars}");
        assert!(rendered.html.chars().count() <= COGNITO_MESSAGE_CHARS, "{}", rendered.html.chars().count());
        assert!(!rendered.subject.contains(char::is_control));
        assert!(rendered.text.chars().all(|c| c == '\n' || !c.is_control()));
        assert!(!rendered.text.contains("\n\n\n") && !rendered.text.contains(" \n"));
        assert!(rendered.text.trim() == rendered.text, "no blank around the text");
        document
    }

    #[test]
    fn every_template_is_sound_html_and_says_the_same_in_text() {
        for template in Template::ALL {
            let rendered = preview(template.name()).unwrap();
            let document = assert_sound(&rendered);
            assert!(!rendered.html.contains("url(") && !rendered.html.contains("@import"), "nothing is fetched");
            assert!(!rendered.text.contains("&"), "nothing in the text is escaped");
            let links = attributes(&document, "a", "href");
            let in_text = rendered.text.split_whitespace().filter(|word| word.starts_with("https://"));
            let missing: Vec<_> = in_text.filter(|link| !links.iter().any(|other| other == link)).collect();
            assert!(missing.is_empty(), "{template}: {missing:?} are not in the HTML");
            let codes = all(&document, "td.well");
            for code in &codes {
                assert!(rendered.text.contains(code.as_str()), "{template}: {code} is not in the text");
            }
            use Template::{ConfirmCode, ReferralInvite, ResetPassword, Welcome};
            let has_code = matches!(template, ConfirmCode | ResetPassword | Welcome | ReferralInvite);
            assert_eq!(codes.len(), usize::from(has_code), "{template}");
            assert_eq!(rendered.template, template);
        }
    }

    #[test]
    fn a_preview_is_by_name_and_the_same_each_time() {
        assert_eq!(preview("welcome"), preview("welcome"));
        assert_eq!(preview("Welcome"), None);
        assert_eq!(preview(""), None);
    }

    #[test]
    fn a_letter_says_when_and_why() {
        let cases = [
            ("confirm-code", "493817", "24 hours", "was entered to sign up to Holdfast"),
            ("reset-password", "493817", "1 hour", "a new password was asked for"),
            ("password-changed", "1 June 2026 at 09:05 UTC", "was not, take", "you have a Holdfast account"),
            ("account-exists", "none was made", "not told", "was entered to sign up to Holdfast"),
            ("welcome", "7KQM-X2VD", "10 places", "you have a Holdfast account"),
            ("referral-invite", "Ann invites you", "8 June 2026", "a member of Holdfast entered this address"),
            ("weekly-points", "12 of 3,400", "up 3 places", "because you are a member of Holdfast"),
        ];
        for (name, one, two, why) in cases {
            let rendered = preview(name).unwrap();
            let seen = seen(&Html::parse_document(&rendered.html));
            for expected in [one, two, why] {
                assert!(seen.contains(expected), "{name}: {expected:?} in {seen}");
                assert!(rendered.text.contains(expected), "{name}: {expected:?} in {}", rendered.text);
            }
        }
    }

    #[test]
    fn only_letters_nobody_asked_for_can_be_unsubscribed() {
        for template in Template::ALL {
            let rendered = preview(template.name()).unwrap();
            let expected = matches!(template, Template::ReferralInvite | Template::WeeklyPoints);
            assert_eq!(rendered.text.contains("Unsubscribe: https://api.example.com/"), expected, "{template}");
            assert_eq!(rendered.html.contains(">Unsubscribe</a>"), expected, "{template}");
            assert_eq!(sample(template).unsubscribe().is_some(), expected, "{template}");
        }
    }

    #[test]
    fn cognito_finds_its_placeholder_once_and_nothing_of_it_too_long() {
        let page = Link::new("https://example.com/reset-password").unwrap();
        let (code, long) = (Code::Placeholder, Name::new(&"W".repeat(100)).unwrap());
        let letters: [Content; 2] = [
            ConfirmCode { code: code.clone(), valid_minutes: 1440 }.into(),
            ResetPassword { code, valid_minutes: 60, page }.into(),
        ];
        for letter in letters {
            for product in [letterhead().product, long.clone()] {
                let rendered = letter.render(&Letterhead { product, ..letterhead() });
                assert_sound(&rendered);
                assert_eq!(rendered.html.matches("{####}").count(), 1);
                assert_eq!(rendered.text.matches("{####}").count(), 1);
                assert!(!rendered.subject.contains('#'));
                // Cognito's pattern has no place for control, format or private-use characters.
                assert!(rendered.html.chars().all(|c| "\n…".contains(c) || (' '..='~').contains(&c)));
            }
        }
    }

    fn hostile(name: &str) -> Rendered {
        let mut content = sample(Template::ReferralInvite);
        if let Content::ReferralInvite(letter) = &mut content {
            letter.invited_by = Name::new(name);
        }
        content.render(&Letterhead { product: Name::new(name).unwrap_or(letterhead().product), ..letterhead() })
    }

    #[test]
    fn a_hostile_name_is_shown_and_does_nothing() {
        let names = [
            "<script>alert(1)</script>",
            "\"><img src=x onerror=alert(1)>",
            "' onmouseover='alert(1)",
            "</title></style><b>bold</b>",
            "<!-- comment",
            "{{ frame.site }}{% include \"layout.html\" %}",
            "&lt;b&gt; &amp; {####}",
            "Ann\r\nBcc: bob@example.com\r\n\r\nbody",
            "\u{202e}gnitset\u{2066}\u{200f}",
            "]]><svg/onload=alert(1)>",
        ];
        for text in names {
            let rendered = hostile(text);
            let document = assert_sound(&rendered);
            let name = Name::new(text).unwrap();
            assert!(rendered.subject.starts_with(&format!("{name} invites you to {name}")), "{}", rendered.subject);
            assert_eq!(all(&document, "bdi"), [name.as_str()], "shown as it is written");
            assert!(rendered.text.starts_with(&format!("{name} invites you")));
            assert!(all(&document, "b, svg").is_empty());
        }
        assert!(hostile("\u{200b}").subject.starts_with("A member invites you to Holdfast"));
    }

    #[test]
    fn links_keep_their_query_in_both_forms() {
        let page = Link::new("https://example.com/a?b=1&lt=2&c='\"<d>#e").unwrap();
        let rendered =
            Content::from(AccountExists { sign_in: page.clone(), reset: page.clone() }).render(&letterhead());
        let document = assert_sound(&rendered);
        assert_eq!(attributes(&document, "a.button-text", "href"), [page.as_str()]);
        assert!(rendered.text.contains(page.as_str()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_a_name_is_the_letter_is_sound(name in any::<String>()) {
            assert_sound(&hostile(&name));
        }

        #[test]
        fn whatever_the_numbers_are_the_letter_is_sound(
            [points, rank, ranked, until] in any::<[u64; 4]>(),
            [points_difference, rank_difference] in any::<[i64; 2]>(),
            [invited, places] in any::<[u32; 2]>(),
        ) {
            let page = Link::new("https://example.com/points").unwrap();
            let unsubscribe = Unsubscribe { link: page.clone(), one_click: true };
            let until = Timestamp(until);
            let letter = WeeklyPoints {
                until, points, points_difference, rank, ranked, rank_difference, invited, places, page, unsubscribe,
            };
            assert_sound(&Content::from(letter).render(&letterhead()));
        }

        #[test]
        fn whatever_the_place_is_the_letter_is_sound(path in any::<String>(), places: u32) {
            if let Ok(page) = Link::new(&format!("https://example.com/{path}")) {
                let invite_code = InviteCode::new("ABCD-EFGH").unwrap();
                assert_sound(&Content::from(Welcome { invite_code, places, page }).render(&letterhead()));
            }
        }
    }
}
