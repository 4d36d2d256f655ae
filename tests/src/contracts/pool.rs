//! [`UserPool`]: accounts, codes and sessions. Addresses are a rule's own, so that subjects may share a pool.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use access::{
    Clock, Cursors, EmailAddress, Kind, ManualClock, RandomIds, Rao, RaoConfig, SystemClock, Tables, Timestamp,
};
use async_trait::async_trait;
use futures::future::join_all;
use holdfast::Embedded;
use identity::{
    AccessToken, Attribute, Challenge, ChallengeResponse, ChallengeSession, Code, CodePurpose, CognitoPool,
    DeliveryFailed, EmbeddedPool, EmbeddedPoolParts, HashCost, LocalIssuer, NEW_PASSWORD_REQUIRED, NewUser, Password,
    PasswordAttempt, PasswordRefused, PoolError, PoolMessenger, PoolPolicy, RefreshToken, SignIn, Tokens, UserId,
    UserPool, UserStatus,
};
use tempfile::TempDir;

use crate::servers;

/// 14 November 2023, in the middle of a second.
const START: Timestamp = Timestamp(1_700_000_000_500);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Where MiniStack 1.5 is not Cognito. The rule holds for Cognito, so it is skipped there rather than loosened.
#[derive(Debug)]
enum Gap {
    /// Any code confirms and resets, as often as one likes, and nothing is counted.
    AnyCode,
    /// No custom message trigger is asked, and what is sent cannot be read.
    Mails,
    /// Its clock is the machine's.
    Clock,
    /// A refresh gives no new refresh token, and the old one serves on.
    Rotation,
    /// It takes tokens without looking at their signature.
    Signatures,
    /// Tokens of the second in which somebody signs out outlive it, and access tokens whoever signs out.
    SignOut,
    /// Confirming does not make the address a verified one.
    Verified,
    /// It tells that an account is not confirmed without the right password.
    Unconfirmed,
    /// It looks whether an address is taken and then takes it: of several at once two may get it.
    Uniqueness,
}

/// A pool under test and the means to look behind it.
struct Subject {
    pool: Arc<dyn UserPool>,
    behind: Option<Behind>,
}

/// What can be seen and moved of the embedded pool.
struct Behind {
    clock: Arc<ManualClock>,
    mailbox: Arc<Mailbox>,
    /// Gone with the subject.
    _kept: (Embedded, TempDir),
}

/// What was sent, and to whom; may be told to break.
#[derive(Default)]
struct Mailbox {
    mails: Mutex<Vec<(EmailAddress, CodePurpose, Code)>>,
    broken: Mutex<bool>,
}

#[async_trait]
impl PoolMessenger for Mailbox {
    async fn deliver(&self, to: &EmailAddress, purpose: CodePurpose, code: &Code) -> Result<(), DeliveryFailed> {
        if *self.broken.lock().unwrap() {
            return Err(DeliveryFailed("the mailbox is broken".into()));
        }
        self.mails.lock().unwrap().push((to.clone(), purpose, code.clone()));
        Ok(())
    }
}

/// Somebody with an address of their own.
struct Person {
    email: EmailAddress,
    password: Password,
}

impl Person {
    fn named(name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let email = format!("{name}{number}@example.org").parse().unwrap();
        Self { email, password: password("a lamp in the cellar") }
    }

    fn attempt(&self) -> PasswordAttempt {
        PasswordAttempt::from(&self.password)
    }
}

fn ann() -> Person {
    Person::named("ann")
}

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

impl Subject {
    async fn embedded() -> Self {
        let (engine, folder) = (Embedded::in_memory().await.unwrap(), tempfile::tempdir().unwrap());
        let tables = Tables::new(engine.aws(), "t-", Cursors::new(b"pool"));
        tables.create_missing().await.unwrap();
        let clock = Arc::new(ManualClock::at(START));
        let real: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let rao = Rao::new(RaoConfig::default(), None, real, Arc::new(RandomIds));
        let mailbox = Arc::new(Mailbox::default());
        let pool = EmbeddedPool::new(EmbeddedPoolParts {
            tables,
            rao,
            issuer: Arc::new(LocalIssuer::open(folder.path()).unwrap()),
            messenger: Arc::clone(&mailbox) as Arc<dyn PoolMessenger>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ids: Arc::new(RandomIds),
            client_id: "web".into(),
            // Rules hash a lot, and nobody guesses.
            policy: PoolPolicy { hash: HashCost { memory_kib: 64, passes: 1, lanes: 1 }, ..PoolPolicy::default() },
        });
        let behind = Behind { clock, mailbox, _kept: (engine, folder) };
        Self { pool: Arc::new(pool.unwrap()), behind: Some(behind) }
    }

    async fn cognito() -> Self {
        let (aws, config) = servers::user_pool().await;
        Self { pool: Arc::new(CognitoPool::new(aws, config)), behind: None }
    }

    fn lacks(&self, gap: Gap) -> bool {
        let lacks = self.behind.is_none();
        if lacks {
            println!("skipped for Cognito: MiniStack has the gap {gap:?}");
        }
        lacks
    }

    fn behind(&self) -> &Behind {
        self.behind.as_ref().expect("rules look behind after asking whether the subject lacks that")
    }

    fn advance(&self, by: Duration) {
        self.behind().clock.advance(by);
    }

    fn break_mailbox(&self, broken: bool) {
        *self.behind().mailbox.broken.lock().unwrap() = broken;
    }

    fn mails(&self, person: &Person, purpose: CodePurpose) -> Vec<Code> {
        let mails = self.behind().mailbox.mails.lock().unwrap();
        let wanted = mails.iter().filter(|(to, what, _)| (to, *what) == (&person.email, purpose));
        wanted.map(|(_, _, code)| code.clone()).collect()
    }

    /// What was sent last; where any code will do, any.
    fn code(&self, person: &Person, purpose: CodePurpose) -> Code {
        if self.behind.is_none() {
            return Code::new("123456").unwrap();
        }
        self.mails(person, purpose).pop().expect("a code was sent")
    }

    /// Not the one sent last.
    fn wrong_code(&self, person: &Person, purpose: CodePurpose) -> Code {
        let number: u32 = self.code(person, purpose).as_str().parse().unwrap();
        Code::new(&format!("{:06}", (number + 1) % 1_000_000)).unwrap()
    }

    async fn sign_up(&self, person: &Person) -> UserId {
        let signed_up = self.pool.sign_up(&person.email, &person.password).await.unwrap();
        assert!(signed_up.code_sent);
        signed_up.sub
    }

    async fn confirm(&self, person: &Person) -> Result<bool, PoolError> {
        let code = self.code(person, CodePurpose::ConfirmSignUp);
        self.pool.confirm_sign_up(&person.email, &code).await.map(|confirmed| confirmed.already)
    }

    /// An account that can sign in.
    async fn join(&self, person: &Person) -> UserId {
        let sub = self.sign_up(person).await;
        assert!(!self.confirm(person).await.unwrap());
        sub
    }

    async fn try_sign_in(&self, person: &Person, attempt: &PasswordAttempt) -> Result<Tokens, PoolError> {
        match self.pool.sign_in(&person.email, attempt).await? {
            SignIn::Tokens(tokens) => Ok(tokens),
            SignIn::Challenge(challenge) => panic!("no tokens but {challenge:?}"),
        }
    }

    async fn sign_in(&self, person: &Person) -> Tokens {
        self.try_sign_in(person, &person.attempt()).await.unwrap()
    }

    async fn refresh(&self, token: &RefreshToken) -> Result<Tokens, PoolError> {
        self.pool.refresh(token).await
    }

    async fn forget(&self, person: &Person) -> Code {
        self.pool.forgot_password(&person.email).await.unwrap();
        self.code(person, CodePurpose::ResetPassword)
    }
}

macro_rules! assert_fails {
    ($outcome:expr, $error:pat) => {
        let outcome = $outcome;
        assert!(matches!(outcome, Err($error)), "{outcome:?}");
    };
}

/// Every rule once for each adapter.
macro_rules! rules {
    ($($rule:ident)*) => {
        mod embedded {
            $(#[tokio::test] async fn $rule() { super::$rule(super::Subject::embedded().await).await; })*
        }

        mod cognito {
            $(#[tokio::test] async fn $rule() { super::$rule(super::Subject::cognito().await).await; })*
        }
    };
}

rules! {
    whoever_signs_up_and_confirms_can_sign_in
    an_address_signs_up_once
    a_code_that_could_not_be_sent_does_not_lose_the_sign_up
    confirming_twice_says_so_whatever_the_code
    a_wrong_code_is_refused_and_the_right_one_still_taken
    five_wrong_guesses_make_a_code_void
    guesses_side_by_side_are_all_counted
    a_code_expires
    another_code_makes_the_one_before_void
    codes_are_not_sent_without_end
    an_address_nobody_has_looks_like_a_wrong_code
    nobody_is_told_whether_a_code_was_sent
    an_unconfirmed_account_cannot_sign_in
    a_wrong_password_and_an_unknown_address_look_the_same
    what_cannot_be_a_password_is_a_wrong_one
    a_password_is_the_same_from_any_keyboard
    an_address_is_the_same_in_any_spelling
    addresses_beyond_ascii_have_accounts_of_their_own
    an_address_too_long_for_a_pool_is_refused
    a_refresh_gives_new_tokens_and_a_new_refresh_token
    a_used_refresh_token_serves_for_a_short_grace
    a_refresh_token_used_again_ends_the_session
    a_session_ends_by_itself
    what_is_no_refresh_token_refreshes_nothing
    revoking_ends_one_session
    revoking_what_is_no_token_is_fine
    signing_out_everywhere_ends_every_session
    signing_somebody_out_ends_every_session
    whoever_is_signed_out_everywhere_can_sign_in_again
    a_reset_sets_the_password_and_ends_every_session
    a_reset_code_is_good_once
    five_wrong_guesses_make_a_reset_code_void
    a_reset_code_expires
    a_code_of_one_purpose_is_none_of_the_other
    an_unconfirmed_account_is_sent_no_reset_code
    a_change_needs_the_old_password_and_keeps_the_session
    a_change_needs_a_session
    a_common_password_can_nowhere_be_chosen
    accounts_are_found_by_address_and_by_sub
    attributes_can_be_set
    a_deleted_account_is_gone_and_its_address_free
    deleting_what_is_not_there_is_fine
    an_account_made_by_an_administrator_needs_no_confirmation
    a_temporary_password_must_be_replaced
    a_challenge_is_answered_once_and_in_time
    what_is_no_challenge_cannot_be_answered
    groups_are_in_the_tokens_from_then_on
    of_many_who_sign_up_with_one_address_one_gets_it
    of_many_who_confirm_one_account_one_does_and_all_succeed
    many_refreshes_of_one_token_keep_one_session
    many_resets_with_one_code_set_one_password
}

async fn whoever_signs_up_and_confirms_can_sign_in(subject: Subject) {
    let ann = ann();
    let sub = subject.sign_up(&ann).await;
    let code = subject.code(&ann, CodePurpose::ConfirmSignUp);
    let confirmed = subject.pool.confirm_sign_up(&ann.email, &code).await.unwrap();
    assert_eq!((confirmed.sub, confirmed.already), (sub, false));
    let tokens = subject.sign_in(&ann).await;
    assert_eq!(tokens.expires_in_seconds, 3600);
    assert_eq!(tokens.access.as_str().split('.').count(), 3);
    assert_eq!(tokens.id.as_str().split('.').count(), 3);
    assert_ne!(tokens.access.as_str(), tokens.id.as_str());
}

async fn an_address_signs_up_once(subject: Subject) {
    let ann = ann();
    let sub = subject.sign_up(&ann).await;
    let other = password("quite another lamp");
    assert_fails!(subject.pool.sign_up(&ann.email, &other).await, PoolError::UserExists);
    subject.confirm(&ann).await.unwrap();
    assert_fails!(subject.pool.sign_up(&ann.email, &other).await, PoolError::UserExists);
    // The first one's password is the account's.
    subject.sign_in(&ann).await;
    assert_eq!(subject.pool.find(&ann.email).await.unwrap().unwrap().sub, sub);
    if !subject.lacks(Gap::Mails) {
        assert_eq!(subject.mails(&ann, CodePurpose::ConfirmSignUp).len(), 1);
    }
}

async fn a_code_that_could_not_be_sent_does_not_lose_the_sign_up(subject: Subject) {
    if subject.lacks(Gap::Mails) {
        return;
    }
    let ann = ann();
    subject.break_mailbox(true);
    let signed_up = subject.pool.sign_up(&ann.email, &ann.password).await.unwrap();
    assert!(!signed_up.code_sent);
    assert_fails!(subject.pool.resend_code(&ann.email).await, PoolError::Unavailable { .. });
    subject.break_mailbox(false);
    subject.pool.resend_code(&ann.email).await.unwrap();
    assert!(!subject.confirm(&ann).await.unwrap());
    assert_eq!(subject.pool.find(&ann.email).await.unwrap().unwrap().sub, signed_up.sub);
}

async fn confirming_twice_says_so_whatever_the_code(subject: Subject) {
    if subject.lacks(Gap::AnyCode) {
        return;
    }
    let ann = ann();
    let sub = subject.join(&ann).await;
    for code in [subject.code(&ann, CodePurpose::ConfirmSignUp), subject.wrong_code(&ann, CodePurpose::ConfirmSignUp)] {
        let again = subject.pool.confirm_sign_up(&ann.email, &code).await.unwrap();
        assert_eq!((again.sub, again.already), (sub.clone(), true));
    }
    subject.advance(DAY * 40);
    assert!(subject.confirm(&ann).await.unwrap(), "also long after the code expired");
}

async fn a_wrong_code_is_refused_and_the_right_one_still_taken(subject: Subject) {
    if subject.lacks(Gap::AnyCode) {
        return;
    }
    let ann = ann();
    subject.sign_up(&ann).await;
    let wrong = subject.wrong_code(&ann, CodePurpose::ConfirmSignUp);
    for _ in 0..4 {
        assert_fails!(subject.pool.confirm_sign_up(&ann.email, &wrong).await, PoolError::CodeWrong);
    }
    assert!(!subject.confirm(&ann).await.unwrap());
}

async fn five_wrong_guesses_make_a_code_void(subject: Subject) {
    if subject.lacks(Gap::AnyCode) {
        return;
    }
    let ann = ann();
    subject.sign_up(&ann).await;
    let wrong = subject.wrong_code(&ann, CodePurpose::ConfirmSignUp);
    for _ in 0..5 {
        assert_fails!(subject.pool.confirm_sign_up(&ann.email, &wrong).await, PoolError::CodeWrong);
    }
    assert_fails!(subject.pool.confirm_sign_up(&ann.email, &wrong).await, PoolError::TooMany);
    assert_fails!(subject.confirm(&ann).await, PoolError::TooMany);
    let user = subject.pool.find(&ann.email).await.unwrap().unwrap();
    assert_eq!((user.status, user.email_verified), (UserStatus::Unconfirmed, false));
    // A new code starts anew.
    subject.pool.resend_code(&ann.email).await.unwrap();
    assert!(!subject.confirm(&ann).await.unwrap());
}

async fn guesses_side_by_side_are_all_counted(subject: Subject) {
    if subject.lacks(Gap::AnyCode) {
        return;
    }
    let ann = ann();
    subject.sign_up(&ann).await;
    let wrong = subject.wrong_code(&ann, CodePurpose::ConfirmSignUp);
    let guesses = (0..40).map(|_| subject.pool.confirm_sign_up(&ann.email, &wrong));
    let outcomes = join_all(guesses).await;
    let wrong = outcomes.iter().filter(|outcome| matches!(outcome, Err(PoolError::CodeWrong))).count();
    let void = outcomes.iter().filter(|outcome| matches!(outcome, Err(PoolError::TooMany))).count();
    assert_eq!((wrong, void), (5, 35));
}

async fn a_code_expires(subject: Subject) {
    if subject.lacks(Gap::Clock) {
        return;
    }
    let ann = ann();
    subject.sign_up(&ann).await;
    subject.advance(DAY);
    assert_fails!(subject.confirm(&ann).await, PoolError::CodeExpired);
    let bob = Person::named("bob");
    subject.sign_up(&bob).await;
    subject.advance(DAY - Duration::from_secs(1));
    assert!(!subject.confirm(&bob).await.unwrap());
}

async fn another_code_makes_the_one_before_void(subject: Subject) {
    if subject.lacks(Gap::AnyCode) {
        return;
    }
    let ann = ann();
    subject.sign_up(&ann).await;
    let first = subject.code(&ann, CodePurpose::ConfirmSignUp);
    subject.pool.resend_code(&ann.email).await.unwrap();
    // One time in a million both are the same.
    if subject.code(&ann, CodePurpose::ConfirmSignUp) != first {
        assert_fails!(subject.pool.confirm_sign_up(&ann.email, &first).await, PoolError::CodeWrong);
    }
    assert!(!subject.confirm(&ann).await.unwrap());
}

async fn codes_are_not_sent_without_end(subject: Subject) {
    if subject.lacks(Gap::Mails) {
        return;
    }
    let ann = ann();
    subject.sign_up(&ann).await;
    for _ in 1..10 {
        subject.pool.resend_code(&ann.email).await.unwrap();
    }
    assert_fails!(subject.pool.resend_code(&ann.email).await, PoolError::TooMany);
    assert_eq!(subject.mails(&ann, CodePurpose::ConfirmSignUp).len(), 10);
    subject.advance(HOUR);
    subject.pool.resend_code(&ann.email).await.unwrap();
    assert!(!subject.confirm(&ann).await.unwrap());
}

async fn an_address_nobody_has_looks_like_a_wrong_code(subject: Subject) {
    let nobody = Person::named("nobody");
    let code = Code::new("123456").unwrap();
    assert_fails!(subject.pool.confirm_sign_up(&nobody.email, &code).await, PoolError::CodeWrong);
    let reset = subject.pool.reset_password(&nobody.email, &code, &nobody.password).await;
    assert_fails!(reset, PoolError::CodeWrong);
}

async fn nobody_is_told_whether_a_code_was_sent(subject: Subject) {
    if subject.lacks(Gap::Mails) {
        return;
    }
    let (ann, bob, nobody) = (ann(), Person::named("bob"), Person::named("nobody"));
    subject.join(&ann).await;
    subject.sign_up(&bob).await;
    for person in [&ann, &bob, &nobody] {
        subject.pool.resend_code(&person.email).await.unwrap();
        subject.pool.forgot_password(&person.email).await.unwrap();
    }
    let sent = |person, purpose| subject.mails(person, purpose).len();
    assert_eq!(sent(&ann, CodePurpose::ConfirmSignUp), 1, "she has confirmed");
    assert_eq!(sent(&bob, CodePurpose::ConfirmSignUp), 2);
    assert_eq!(sent(&ann, CodePurpose::ResetPassword), 1);
    assert_eq!(sent(&bob, CodePurpose::ResetPassword), 0, "he has not");
    assert_eq!(sent(&nobody, CodePurpose::ConfirmSignUp) + sent(&nobody, CodePurpose::ResetPassword), 0);
}

async fn an_unconfirmed_account_cannot_sign_in(subject: Subject) {
    let ann = ann();
    subject.sign_up(&ann).await;
    assert_fails!(subject.try_sign_in(&ann, &ann.attempt()).await, PoolError::NotConfirmed);
    if !subject.lacks(Gap::Unconfirmed) {
        let wrong = PasswordAttempt::new("not her password");
        assert_fails!(subject.try_sign_in(&ann, &wrong).await, PoolError::WrongCredentials);
    }
}

async fn a_wrong_password_and_an_unknown_address_look_the_same(subject: Subject) {
    let (ann, nobody) = (ann(), Person::named("nobody"));
    subject.join(&ann).await;
    let wrong = subject.try_sign_in(&ann, &PasswordAttempt::new("not her password")).await.unwrap_err();
    let unknown = subject.try_sign_in(&nobody, &nobody.attempt()).await.unwrap_err();
    for error in [&wrong, &unknown] {
        assert_eq!((error.kind(), error.code()), (Kind::Unauthenticated, "wrong_credentials"));
        assert!(std::error::Error::source(error).is_none());
    }
    assert_eq!(format!("{wrong} {wrong:?}"), format!("{unknown} {unknown:?}"));
    subject.sign_in(&ann).await;
}

async fn what_cannot_be_a_password_is_a_wrong_one(subject: Subject) {
    let ann = ann();
    subject.join(&ann).await;
    let spaced = format!(" {}", "a lamp in the cellar");
    for impossible in ["", " ", "x", &spaced, "a\0b", &"x".repeat(257), &"🦀".repeat(100_000)] {
        let attempt = PasswordAttempt::new(impossible);
        assert_fails!(subject.try_sign_in(&ann, &attempt).await, PoolError::WrongCredentials);
    }
}

async fn a_password_is_the_same_from_any_keyboard(subject: Subject) {
    let ann = Person { password: password("ein caf\u{e9} bitte"), ..ann() };
    subject.join(&ann).await;
    subject.try_sign_in(&ann, &PasswordAttempt::new("ein cafe\u{301} bitte")).await.unwrap();
    let plain = PasswordAttempt::new("ein cafe bitte");
    assert_fails!(subject.try_sign_in(&ann, &plain).await, PoolError::WrongCredentials);
}

async fn an_address_is_the_same_in_any_spelling(subject: Subject) {
    let ann = ann();
    subject.join(&ann).await;
    let shouted = format!("  {}  ", ann.email.as_str().to_uppercase()).parse().unwrap();
    assert_fails!(subject.pool.sign_up(&shouted, &ann.password).await, PoolError::UserExists);
    let shouting = Person { email: shouted, password: ann.password.clone() };
    subject.sign_in(&shouting).await;
}

async fn addresses_beyond_ascii_have_accounts_of_their_own(subject: Subject) {
    let mut subs = Vec::new();
    for name in ["zoë.", "zoe.", "Ζωή.", "佐藤.", "müller+x."] {
        let person = Person::named(name);
        let sub = subject.join(&person).await;
        subject.sign_in(&person).await;
        let found = subject.pool.find_by_sub(&sub).await.unwrap().unwrap();
        assert_eq!(found.email, person.email);
        subs.push(sub);
    }
    subs.sort();
    subs.dedup();
    assert_eq!(subs.len(), 5);
}

async fn an_address_too_long_for_a_pool_is_refused(subject: Subject) {
    let long = format!("{}@{}.example.org", "a".repeat(60), "b".repeat(60));
    let person = Person { email: long.parse().unwrap(), ..ann() };
    assert!(person.email.as_str().len() > 128);
    assert_fails!(subject.pool.sign_up(&person.email, &person.password).await, PoolError::AddressRefused);
    assert_fails!(subject.try_sign_in(&person, &person.attempt()).await, PoolError::WrongCredentials);
    assert_eq!(subject.pool.find(&person.email).await.unwrap(), None);
    subject.pool.forgot_password(&person.email).await.unwrap();
    subject.pool.resend_code(&person.email).await.unwrap();
}

async fn a_refresh_gives_new_tokens_and_a_new_refresh_token(subject: Subject) {
    let ann = ann();
    subject.join(&ann).await;
    let mut seen = vec![subject.sign_in(&ann).await];
    for _ in 0..3 {
        if !subject.lacks(Gap::Clock) {
            subject.advance(HOUR);
        }
        let last = seen.last().unwrap();
        let next = subject.refresh(&last.refresh).await.unwrap();
        assert!(seen.iter().all(|before| {
            let rotated = before.refresh != next.refresh || subject.lacks(Gap::Rotation);
            before.access != next.access && before.id != next.id && rotated
        }));
        seen.push(next);
    }
}

async fn a_used_refresh_token_serves_for_a_short_grace(subject: Subject) {
    if subject.lacks(Gap::Rotation) {
        return;
    }
    let ann = ann();
    subject.join(&ann).await;
    let tokens = subject.sign_in(&ann).await;
    let lost = subject.refresh(&tokens.refresh).await.unwrap();
    subject.advance(Duration::from_secs(20));
    let second = subject.refresh(&tokens.refresh).await.unwrap();
    assert_ne!(lost.refresh, second.refresh);
    subject.refresh(&second.refresh).await.unwrap();
}

async fn a_refresh_token_used_again_ends_the_session(subject: Subject) {
    if subject.lacks(Gap::Rotation) {
        return;
    }
    let ann = ann();
    subject.join(&ann).await;
    let (stolen, other) = (subject.sign_in(&ann).await, subject.sign_in(&ann).await);
    let next = subject.refresh(&stolen.refresh).await.unwrap();
    subject.advance(Duration::from_secs(120));
    assert_fails!(subject.refresh(&stolen.refresh).await, PoolError::SessionEnded);
    assert_fails!(subject.refresh(&next.refresh).await, PoolError::SessionEnded);
    subject.refresh(&other.refresh).await.expect("another sign-in is another session");
}

async fn a_session_ends_by_itself(subject: Subject) {
    if subject.lacks(Gap::Clock) {
        return;
    }
    let ann = ann();
    subject.join(&ann).await;
    let first = subject.sign_in(&ann).await;
    subject.advance(DAY * 20);
    let second = subject.refresh(&first.refresh).await.unwrap();
    subject.advance(DAY * 10 - Duration::from_secs(10));
    let third = subject.refresh(&second.refresh).await.unwrap();
    // Thirty days after the sign-in, not after the last refresh.
    subject.advance(Duration::from_secs(11));
    assert_fails!(subject.refresh(&third.refresh).await, PoolError::SessionEnded);
}

async fn what_is_no_refresh_token_refreshes_nothing(subject: Subject) {
    let ann = ann();
    subject.join(&ann).await;
    let tokens = subject.sign_in(&ann).await;
    let mut changed = tokens.refresh.as_str().to_owned();
    changed.replace_range(..1, if changed.starts_with('A') { "B" } else { "A" });
    for bad in ["", "x", tokens.access.as_str(), &"x".repeat(10_000)] {
        assert_fails!(subject.refresh(&RefreshToken::new(bad)).await, PoolError::SessionEnded);
    }
    if !subject.lacks(Gap::Signatures) {
        assert_fails!(subject.refresh(&RefreshToken::new(changed)).await, PoolError::SessionEnded);
    }
    subject.refresh(&tokens.refresh).await.unwrap();
}

async fn revoking_ends_one_session(subject: Subject) {
    let ann = ann();
    subject.join(&ann).await;
    let (one, two) = (subject.sign_in(&ann).await, subject.sign_in(&ann).await);
    let next = subject.refresh(&one.refresh).await.unwrap();
    subject.pool.revoke(&one.refresh).await.unwrap();
    for token in [&one.refresh, &next.refresh] {
        assert_fails!(subject.refresh(token).await, PoolError::SessionEnded);
    }
    subject.refresh(&two.refresh).await.unwrap();
}

async fn revoking_what_is_no_token_is_fine(subject: Subject) {
    let ann = ann();
    subject.join(&ann).await;
    let tokens = subject.sign_in(&ann).await;
    for token in ["", "x", tokens.access.as_str()] {
        subject.pool.revoke(&RefreshToken::new(token)).await.unwrap();
    }
    subject.pool.revoke(&tokens.refresh).await.unwrap();
    subject.pool.revoke(&tokens.refresh).await.unwrap();
}

async fn signing_out_everywhere_ends_every_session(subject: Subject) {
    let (ann, bob) = (ann(), Person::named("bob"));
    subject.join(&ann).await;
    subject.join(&bob).await;
    let (one, two, bobs) = (subject.sign_in(&ann).await, subject.sign_in(&ann).await, subject.sign_in(&bob).await);
    subject.pool.sign_out_everywhere(&one.access).await.unwrap();
    for tokens in [&one, &two] {
        if !subject.lacks(Gap::SignOut) {
            assert_fails!(subject.refresh(&tokens.refresh).await, PoolError::SessionEnded);
            assert_fails!(subject.pool.sign_out_everywhere(&tokens.access).await, PoolError::SessionEnded);
        }
    }
    subject.refresh(&bobs.refresh).await.unwrap();
    for bad in ["", "x", two.id.as_str(), bobs.refresh.as_str()] {
        if subject.lacks(Gap::SignOut) {
            break;
        }
        assert_fails!(subject.pool.sign_out_everywhere(&AccessToken::new(bad)).await, PoolError::SessionEnded);
    }
    if !subject.lacks(Gap::Clock) {
        subject.advance(HOUR);
        assert_fails!(subject.pool.sign_out_everywhere(&bobs.access).await, PoolError::SessionEnded);
    }
}

async fn signing_somebody_out_ends_every_session(subject: Subject) {
    let ann = ann();
    let sub = subject.join(&ann).await;
    let (one, two) = (subject.sign_in(&ann).await, subject.sign_in(&ann).await);
    subject.pool.sign_out_user(&sub).await.unwrap();
    subject.pool.sign_out_user(&sub).await.unwrap();
    for tokens in [&one, &two] {
        if !subject.lacks(Gap::SignOut) {
            assert_fails!(subject.refresh(&tokens.refresh).await, PoolError::SessionEnded);
        }
    }
    let nobody = UserId::new("00000000-0000-4000-8000-000000000000").unwrap();
    assert_fails!(subject.pool.sign_out_user(&nobody).await, PoolError::UnknownUser);
}

async fn whoever_is_signed_out_everywhere_can_sign_in_again(subject: Subject) {
    let ann = ann();
    subject.join(&ann).await;
    let tokens = subject.sign_in(&ann).await;
    subject.pool.sign_out_everywhere(&tokens.access).await.unwrap();
    let again = subject.sign_in(&ann).await;
    subject.refresh(&again.refresh).await.unwrap();
}

async fn a_reset_sets_the_password_and_ends_every_session(subject: Subject) {
    let ann = ann();
    subject.join(&ann).await;
    let tokens = subject.sign_in(&ann).await;
    let code = subject.forget(&ann).await;
    subject.sign_in(&ann).await;
    let new = password("a lamp in the attic");
    subject.pool.reset_password(&ann.email, &code, &new).await.unwrap();
    assert_fails!(subject.try_sign_in(&ann, &ann.attempt()).await, PoolError::WrongCredentials);
    if !subject.lacks(Gap::SignOut) {
        assert_fails!(subject.refresh(&tokens.refresh).await, PoolError::SessionEnded);
    }
    subject.try_sign_in(&ann, &PasswordAttempt::from(&new)).await.unwrap();
}

async fn a_reset_code_is_good_once(subject: Subject) {
    if subject.lacks(Gap::AnyCode) {
        return;
    }
    let ann = ann();
    subject.join(&ann).await;
    let code = subject.forget(&ann).await;
    let (one, two) = (password("a lamp in the attic"), password("a lamp in the garden"));
    subject.pool.reset_password(&ann.email, &code, &one).await.unwrap();
    assert!(subject.pool.reset_password(&ann.email, &code, &two).await.is_err());
    subject.try_sign_in(&ann, &PasswordAttempt::from(&one)).await.unwrap();
}

async fn five_wrong_guesses_make_a_reset_code_void(subject: Subject) {
    if subject.lacks(Gap::AnyCode) {
        return;
    }
    let ann = ann();
    subject.join(&ann).await;
    let right = subject.forget(&ann).await;
    let wrong = subject.wrong_code(&ann, CodePurpose::ResetPassword);
    let new = password("a lamp in the attic");
    for _ in 0..5 {
        assert_fails!(subject.pool.reset_password(&ann.email, &wrong, &new).await, PoolError::CodeWrong);
    }
    assert_fails!(subject.pool.reset_password(&ann.email, &right, &new).await, PoolError::TooMany);
    subject.sign_in(&ann).await;
}

async fn a_reset_code_expires(subject: Subject) {
    if subject.lacks(Gap::Clock) {
        return;
    }
    let ann = ann();
    subject.join(&ann).await;
    let code = subject.forget(&ann).await;
    subject.advance(HOUR);
    let new = password("a lamp in the attic");
    assert_fails!(subject.pool.reset_password(&ann.email, &code, &new).await, PoolError::CodeExpired);
    subject.sign_in(&ann).await;
}

async fn a_code_of_one_purpose_is_none_of_the_other(subject: Subject) {
    if subject.lacks(Gap::AnyCode) {
        return;
    }
    let ann = ann();
    subject.join(&ann).await;
    let confirm = subject.code(&ann, CodePurpose::ConfirmSignUp);
    if subject.forget(&ann).await != confirm {
        let new = password("a lamp in the attic");
        assert_fails!(subject.pool.reset_password(&ann.email, &confirm, &new).await, PoolError::CodeWrong);
    }
    subject.sign_in(&ann).await;
}

async fn an_unconfirmed_account_is_sent_no_reset_code(subject: Subject) {
    if subject.lacks(Gap::AnyCode) {
        return;
    }
    let ann = ann();
    subject.sign_up(&ann).await;
    subject.pool.forgot_password(&ann.email).await.unwrap();
    let code = subject.code(&ann, CodePurpose::ConfirmSignUp);
    assert!(subject.pool.reset_password(&ann.email, &code, &ann.password).await.is_err());
    assert_fails!(subject.try_sign_in(&ann, &ann.attempt()).await, PoolError::NotConfirmed);
}

async fn a_change_needs_the_old_password_and_keeps_the_session(subject: Subject) {
    let ann = ann();
    subject.join(&ann).await;
    let tokens = subject.sign_in(&ann).await;
    let new = password("a lamp in the attic");
    let wrong = PasswordAttempt::new("not her password");
    assert_fails!(subject.pool.change_password(&tokens.access, &wrong, &new).await, PoolError::WrongCredentials);
    subject.pool.change_password(&tokens.access, &ann.attempt(), &new).await.unwrap();
    assert_fails!(subject.try_sign_in(&ann, &ann.attempt()).await, PoolError::WrongCredentials);
    subject.try_sign_in(&ann, &PasswordAttempt::from(&new)).await.unwrap();
    subject.refresh(&tokens.refresh).await.unwrap();
}

async fn a_change_needs_a_session(subject: Subject) {
    if subject.lacks(Gap::SignOut) {
        return;
    }
    let ann = ann();
    subject.join(&ann).await;
    let (tokens, late) = (subject.sign_in(&ann).await, subject.sign_in(&ann).await);
    let new = password("a lamp in the attic");
    subject.pool.revoke(&tokens.refresh).await.unwrap();
    for token in [&tokens.access, &AccessToken::new("x"), &AccessToken::new(tokens.id.as_str())] {
        assert_fails!(subject.pool.change_password(token, &ann.attempt(), &new).await, PoolError::SessionEnded);
    }
    subject.advance(HOUR);
    let changed = subject.pool.change_password(&late.access, &ann.attempt(), &new).await;
    assert_fails!(changed, PoolError::SessionEnded);
    subject.sign_in(&ann).await;
}

async fn a_common_password_can_nowhere_be_chosen(_subject: Subject) {
    // No call takes one: there is no such `Password`.
    assert_eq!(Password::new("1234567890"), Err(PasswordRefused::TooCommon));
}

async fn accounts_are_found_by_address_and_by_sub(subject: Subject) {
    let (ann, nobody) = (ann(), Person::named("nobody"));
    let sub = subject.sign_up(&ann).await;
    let user = subject.pool.find(&ann.email).await.unwrap().unwrap();
    assert_eq!((&user.sub, &user.email), (&sub, &ann.email));
    assert_eq!((user.status, user.email_verified), (UserStatus::Unconfirmed, false));
    subject.confirm(&ann).await.unwrap();
    let user = subject.pool.find_by_sub(&sub).await.unwrap().unwrap();
    assert_eq!(user.status, UserStatus::Confirmed);
    assert!(user.email_verified || subject.lacks(Gap::Verified));
    assert_eq!(Some(user), subject.pool.find(&ann.email).await.unwrap());
    assert_eq!(subject.pool.find(&nobody.email).await.unwrap(), None);
    let nobody = UserId::new("00000000-0000-4000-8000-000000000000").unwrap();
    assert_eq!(subject.pool.find_by_sub(&nobody).await.unwrap(), None);
}

async fn attributes_can_be_set(subject: Subject) {
    let ann = ann();
    let sub = subject.join(&ann).await;
    assert_eq!(subject.pool.find_by_sub(&sub).await.unwrap().unwrap().locale, None);
    subject.pool.set_attribute(&sub, &Attribute::Locale("de-AT".into())).await.unwrap();
    subject.pool.set_attribute(&sub, &Attribute::EmailVerified(false)).await.unwrap();
    let user = subject.pool.find_by_sub(&sub).await.unwrap().unwrap();
    assert_eq!((user.locale.as_deref(), user.email_verified), (Some("de-AT"), false));
    let nobody = UserId::new("00000000-0000-4000-8000-000000000000").unwrap();
    let unknown = subject.pool.set_attribute(&nobody, &Attribute::EmailVerified(true)).await;
    assert_fails!(unknown, PoolError::UnknownUser);
}

async fn a_deleted_account_is_gone_and_its_address_free(subject: Subject) {
    let ann = ann();
    let first = subject.join(&ann).await;
    let tokens = subject.sign_in(&ann).await;
    subject.pool.delete(&first).await.unwrap();
    assert_eq!(subject.pool.find(&ann.email).await.unwrap(), None);
    assert_eq!(subject.pool.find_by_sub(&first).await.unwrap(), None);
    assert_fails!(subject.try_sign_in(&ann, &ann.attempt()).await, PoolError::WrongCredentials);
    assert_fails!(subject.refresh(&tokens.refresh).await, PoolError::SessionEnded);
    if !subject.lacks(Gap::SignOut) {
        assert_fails!(subject.pool.sign_out_everywhere(&tokens.access).await, PoolError::SessionEnded);
    }

    let second = subject.join(&ann).await;
    assert_ne!(first, second, "another person as far as anybody knows");
    subject.sign_in(&ann).await;
    assert_fails!(subject.refresh(&tokens.refresh).await, PoolError::SessionEnded);
    subject.pool.delete(&first).await.unwrap();
    assert_eq!(subject.pool.find(&ann.email).await.unwrap().unwrap().sub, second, "the new one stays");
}

async fn deleting_what_is_not_there_is_fine(subject: Subject) {
    let ann = ann();
    let sub = subject.sign_up(&ann).await;
    subject.pool.delete(&sub).await.unwrap();
    subject.pool.delete(&sub).await.unwrap();
}

async fn an_account_made_by_an_administrator_needs_no_confirmation(subject: Subject) {
    let ann = ann();
    let new = NewUser { email: ann.email.clone(), password: ann.password.clone(), password_is_temporary: false };
    let sub = subject.pool.create_user(&new).await.unwrap();
    let user = subject.pool.find_by_sub(&sub).await.unwrap().unwrap();
    assert_eq!((user.status, user.email_verified), (UserStatus::Confirmed, true));
    subject.sign_in(&ann).await;
    if !subject.lacks(Gap::Mails) {
        assert_eq!(subject.mails(&ann, CodePurpose::ConfirmSignUp).len(), 0);
    }
    assert_fails!(subject.pool.create_user(&new).await, PoolError::UserExists);
    assert_fails!(subject.pool.sign_up(&ann.email, &ann.password).await, PoolError::UserExists);
}

/// An account with a temporary password, asked for another.
async fn challenged(subject: &Subject, person: &Person) -> Challenge {
    match subject.pool.sign_in(&person.email, &person.attempt()).await.unwrap() {
        SignIn::Challenge(challenge) => challenge,
        SignIn::Tokens(_) => panic!("tokens for a temporary password"),
    }
}

async fn with_temporary_password(subject: &Subject) -> Person {
    let ann = ann();
    let new = NewUser { email: ann.email.clone(), password: ann.password.clone(), password_is_temporary: true };
    subject.pool.create_user(&new).await.unwrap();
    ann
}

async fn a_temporary_password_must_be_replaced(subject: Subject) {
    let ann = with_temporary_password(&subject).await;
    let user = subject.pool.find(&ann.email).await.unwrap().unwrap();
    assert_eq!(user.status, UserStatus::MustChangePassword);
    let challenge = challenged(&subject, &ann).await;
    assert_eq!(challenge.name, NEW_PASSWORD_REQUIRED);
    let new = password("a lamp in the attic");
    let answered = subject.pool.answer_challenge(&challenge, &ChallengeResponse::NewPassword(new.clone())).await;
    let SignIn::Tokens(tokens) = answered.unwrap() else { panic!("another challenge") };
    subject.refresh(&tokens.refresh).await.unwrap();
    assert_fails!(subject.try_sign_in(&ann, &ann.attempt()).await, PoolError::WrongCredentials);
    subject.try_sign_in(&ann, &PasswordAttempt::from(&new)).await.unwrap();
    assert_eq!(subject.pool.find(&ann.email).await.unwrap().unwrap().status, UserStatus::Confirmed);
}

async fn a_challenge_is_answered_once_and_in_time(subject: Subject) {
    if subject.lacks(Gap::Clock) {
        return;
    }
    let ann = with_temporary_password(&subject).await;
    let (late, one, two) =
        (challenged(&subject, &ann).await, challenged(&subject, &ann).await, challenged(&subject, &ann).await);
    let answer = || ChallengeResponse::NewPassword(password("a lamp in the attic"));
    assert_fails!(
        subject.pool.answer_challenge(&one, &ChallengeResponse::Code(Code::new("123456").unwrap())).await,
        PoolError::CodeWrong
    );
    subject.pool.answer_challenge(&one, &answer()).await.unwrap();
    for used in [&one, &two] {
        assert_fails!(subject.pool.answer_challenge(used, &answer()).await, PoolError::ChallengeExpired);
    }
    subject.advance(HOUR);
    assert_fails!(subject.pool.answer_challenge(&late, &answer()).await, PoolError::ChallengeExpired);
    let bob = with_temporary_password(&subject).await;
    let challenge = challenged(&subject, &bob).await;
    subject.advance(Duration::from_secs(180));
    assert_fails!(subject.pool.answer_challenge(&challenge, &answer()).await, PoolError::ChallengeExpired);
    challenged(&subject, &bob).await;
    subject.advance(DAY * 7);
    assert_fails!(subject.try_sign_in(&bob, &bob.attempt()).await, PoolError::WrongCredentials);
}

async fn what_is_no_challenge_cannot_be_answered(subject: Subject) {
    let ann = with_temporary_password(&subject).await;
    let challenge = challenged(&subject, &ann).await;
    let answer = ChallengeResponse::NewPassword(password("a lamp in the attic"));
    let made_up = ["", "x", "a b", "a.b.c.d"]
        .map(|session| Challenge { name: challenge.name.clone(), session: ChallengeSession::new(session) });
    let renamed = Challenge { name: "CUSTOM_CHALLENGE".into(), ..challenge.clone() };
    for bad in made_up.iter().chain([&renamed]) {
        assert_fails!(subject.pool.answer_challenge(bad, &answer).await, PoolError::ChallengeExpired);
    }
    subject.pool.answer_challenge(&challenge, &answer).await.unwrap();
}

async fn groups_are_in_the_tokens_from_then_on(subject: Subject) {
    use base64::Engine;
    let ann = ann();
    let sub = subject.join(&ann).await;
    let claims = |token: &str| -> serde_json::Value {
        let payload = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    };
    let before = subject.sign_in(&ann).await;
    assert_eq!(claims(before.access.as_str()).get("cognito:groups"), None);
    subject.pool.add_to_group(&sub, "admin").await.unwrap();
    subject.pool.add_to_group(&sub, "admin").await.unwrap();
    let after = subject.refresh(&before.refresh).await.unwrap();
    for token in [after.access.as_str(), after.id.as_str()] {
        assert_eq!(claims(token)["cognito:groups"], serde_json::json!(["admin"]));
    }
    let nobody = UserId::new("00000000-0000-4000-8000-000000000000").unwrap();
    assert_fails!(subject.pool.add_to_group(&nobody, "admin").await, PoolError::UnknownUser);
}

async fn of_many_who_sign_up_with_one_address_one_gets_it(subject: Subject) {
    if subject.lacks(Gap::Uniqueness) {
        return;
    }
    let ann = ann();
    let outcomes = join_all((0..20).map(|_| subject.pool.sign_up(&ann.email, &ann.password))).await;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|outcome| matches!(outcome, Err(PoolError::UserExists))), "{lost:?}");
    let sub = won.into_iter().next().unwrap().unwrap().sub;
    assert_eq!(subject.pool.find(&ann.email).await.unwrap().unwrap().sub, sub);
    assert!(!subject.confirm(&ann).await.unwrap());
    subject.sign_in(&ann).await;
}

async fn of_many_who_confirm_one_account_one_does_and_all_succeed(subject: Subject) {
    if subject.lacks(Gap::AnyCode) {
        return;
    }
    let ann = ann();
    subject.sign_up(&ann).await;
    let outcomes = join_all((0..20).map(|_| subject.confirm(&ann))).await;
    let already: Vec<bool> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(already.iter().filter(|already| !**already).count(), 1);
    subject.sign_in(&ann).await;
}

async fn many_refreshes_of_one_token_keep_one_session(subject: Subject) {
    if subject.lacks(Gap::Rotation) {
        return;
    }
    let ann = ann();
    subject.join(&ann).await;
    let tokens = subject.sign_in(&ann).await;
    let outcomes = join_all((0..20).map(|_| subject.refresh(&tokens.refresh))).await;
    let mut refreshed: Vec<String> =
        outcomes.into_iter().map(|outcome| outcome.unwrap().refresh.as_str().to_owned()).collect();
    refreshed.sort();
    refreshed.dedup();
    assert_eq!(refreshed.len(), 20, "no two are the same");
    subject.pool.revoke(&tokens.refresh).await.unwrap();
    for token in refreshed {
        assert_fails!(subject.refresh(&RefreshToken::new(token)).await, PoolError::SessionEnded);
    }
}

async fn many_resets_with_one_code_set_one_password(subject: Subject) {
    if subject.lacks(Gap::AnyCode) {
        return;
    }
    let ann = ann();
    subject.join(&ann).await;
    let code = subject.forget(&ann).await;
    let passwords: Vec<Password> = (0..8).map(|number| password(&format!("lamp number {number}"))).collect();
    let outcomes = join_all(passwords.iter().map(|new| subject.pool.reset_password(&ann.email, &code, new))).await;
    let won: Vec<usize> = (0..8).filter(|&at| outcomes[at].is_ok()).collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    for (at, new) in passwords.iter().enumerate() {
        let signed_in = subject.try_sign_in(&ann, &PasswordAttempt::from(new)).await;
        assert_eq!(signed_in.is_ok(), at == won[0]);
    }
}
