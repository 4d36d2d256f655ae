//! What only this adapter promises. The rules of every pool are among the project's contracts.

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use access::{Aws, AwsConfig, Credentials, Cursors, ManualClock, RandomIds, RaoConfig, Roots};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dynoxide::Database;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::denylist::{Denylist, ProcessDenylist};
use crate::pool::DeliveryFailed;
use crate::refused::Refused;
use crate::verifier::Verifier;

const START: Timestamp = Timestamp(1_700_000_000_500);
const SECRET: &str = "a lamp in the cellar";

/// A table engine, a clock and a folder that any number of pools may share.
struct House {
    aws: Aws,
    tables: Tables,
    clock: Arc<ManualClock>,
    folder: TempDir,
    mailbox: Arc<Mailbox>,
    _engine: DropGuard,
}

#[derive(Default)]
struct Mailbox {
    codes: Mutex<Vec<Code>>,
    broken: Mutex<bool>,
}

#[async_trait]
impl PoolMessenger for Mailbox {
    async fn deliver(&self, _to: &EmailAddress, _purpose: CodePurpose, code: &Code) -> Result<(), DeliveryFailed> {
        self.codes.lock().unwrap().push(code.clone());
        if *self.broken.lock().unwrap() { Err(DeliveryFailed("the mailbox is broken".into())) } else { Ok(()) }
    }
}

impl House {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let aws = Aws::new(AwsConfig {
            region: "eu-west-2".into(),
            endpoint_url: Some(format!("http://{}", listener.local_addr().unwrap())),
            credentials: Credentials::new("test", "test", None, None, "test"),
            roots: Roots::System,
        });
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, Database::memory().unwrap(), stopped));
        let tables = Tables::new(aws.clone(), "t-", Cursors::new(b"pool"));
        tables.create_missing().await.unwrap();
        Self {
            aws,
            tables,
            clock: Arc::new(ManualClock::at(START)),
            folder: tempfile::tempdir().unwrap(),
            mailbox: Arc::default(),
            _engine: stop.drop_guard(),
        }
    }

    fn pool(&self) -> EmbeddedPool {
        self.pool_with_key_in(self.folder.path())
    }

    fn pool_with_key_in(&self, folder: &Path) -> EmbeddedPool {
        let ids: Arc<dyn Ids> = Arc::new(RandomIds);
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let parts = EmbeddedPoolParts {
            tables: self.tables.clone(),
            rao: Rao::new(RaoConfig::default(), None, Arc::clone(&clock), Arc::clone(&ids)),
            issuer: Arc::new(LocalIssuer::open(folder).unwrap()),
            messenger: Arc::clone(&self.mailbox) as _,
            clock,
            ids,
            client_id: "web".into(),
            policy: PoolPolicy { hash: HashCost { memory_kib: 64, passes: 1, lanes: 1 }, ..PoolPolicy::default() },
        };
        EmbeddedPool::new(parts).unwrap()
    }

    fn code(&self) -> Code {
        self.mailbox.codes.lock().unwrap().last().unwrap().clone()
    }

    async fn join(&self, pool: &EmbeddedPool) -> UserId {
        let sub = pool.sign_up(&ann(), &password()).await.unwrap().sub;
        pool.confirm_sign_up(&ann(), &self.code()).await.unwrap();
        sub
    }

    fn verifier(&self, pool: &EmbeddedPool) -> Verifier {
        let network = Arc::new(crate::forge::NoNetwork);
        Verifier::new(vec![pool.as_issuer()], network, None, self.seconds()).unwrap()
    }

    fn seconds(&self) -> crate::Clock {
        let clock = Arc::clone(&self.clock);
        Arc::new(move || clock.now().seconds())
    }

    /// Every row of the pool, as text.
    async fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for table in access::tables::POOL_TABLES {
            let scanned = self.aws.dynamodb().scan().table_name(format!("t-{}", table.name)).send().await.unwrap();
            rows.extend(scanned.items.unwrap().iter().map(|row| format!("{} {row:?}", table.name)));
        }
        rows
    }
}

fn ann() -> EmailAddress {
    "ann@example.org".parse().unwrap()
}

fn password() -> Password {
    Password::new(SECRET).unwrap()
}

async fn sign_in(pool: &EmbeddedPool) -> Tokens {
    match pool.sign_in(&ann(), &PasswordAttempt::new(SECRET)).await.unwrap() {
        SignIn::Tokens(tokens) => tokens,
        SignIn::Challenge(_) => panic!("a challenge"),
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The payload as it was written, since the order of its members is not lost in it.
fn payload(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn claims(token: &str) -> Value {
    serde_json::from_str(&payload(token)).unwrap()
}

#[tokio::test]
async fn the_verifier_takes_its_access_tokens_as_it_does_cognitos() {
    let house = House::new().await;
    let pool = house.pool();
    let sub = house.join(&pool).await;
    pool.add_to_group(&sub, "admin").await.unwrap();
    let tokens = sign_in(&pool).await;
    let verifier = house.verifier(&pool);
    let caller = verifier.verify(Some(&bearer(tokens.access.as_str()))).await.unwrap();
    assert_eq!((&caller.sub, caller.username.as_str()), (&sub, sub.as_str()));
    assert!(caller.is_in("admin"));
    assert_eq!((caller.issuer.as_str(), caller.client_id.as_str()), (crate::LOCAL_ISSUER, "web"));
    assert_eq!((caller.issued_at, caller.expires_at), (Some(START.seconds()), START.seconds() + 3600));

    let refused = async |token: &str| verifier.verify(Some(&bearer(token))).await.unwrap_err();
    // An id token has no `username`, here as at Cognito.
    assert_eq!(refused(tokens.id.as_str()).await, Refused::Malformed);
    assert_eq!(refused(tokens.refresh.as_str()).await, Refused::Malformed);
    house.clock.advance(Duration::from_secs(3600 + 60));
    assert_eq!(refused(tokens.access.as_str()).await, Refused::Expired);
}

#[tokio::test]
async fn another_applications_verifier_does_not_take_its_tokens() {
    let house = House::new().await;
    let pool = house.pool();
    house.join(&pool).await;
    let issuer = Issuer { client_ids: vec!["another".into()], ..pool.as_issuer() };
    let network = Arc::new(crate::forge::NoNetwork);
    let verifier = Verifier::new(vec![issuer], network, None, house.seconds()).unwrap();
    let token = sign_in(&pool).await.access;
    assert_eq!(verifier.verify(Some(&bearer(token.as_str()))).await.err(), Some(Refused::WrongClient));
}

#[tokio::test]
async fn its_key_set_is_the_one_its_tokens_are_signed_with() {
    let house = House::new().await;
    let pool = house.pool();
    house.join(&pool).await;
    let set: Value = serde_json::from_str(&pool.jwks()).unwrap();
    let token = sign_in(&pool).await.access;
    let header = URL_SAFE_NO_PAD.decode(token.as_str().split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!((&header["alg"], &header["kid"]), (&json!("RS256"), &set["keys"][0]["kid"]));
    assert_eq!(set["keys"][0]["d"], Value::Null);
    assert_eq!(pool.as_issuer().bundled, Some(pool.jwks()));
}

#[tokio::test]
async fn tokens_have_cognitos_claims_in_cognitos_order() {
    let house = House::new().await;
    let pool = house.pool();
    let sub = house.join(&pool).await;
    pool.add_to_group(&sub, "admin").await.unwrap();
    house.clock.advance(Duration::from_secs(5));
    let signed_in = sign_in(&pool).await;
    house.clock.advance(Duration::from_secs(1000));
    let tokens = pool.refresh(&signed_in.refresh).await.unwrap();
    let (signed_in_at, now) = (START.seconds() + 5, START.seconds() + 1005);
    let (access, id) = (claims(tokens.access.as_str()), claims(tokens.id.as_str()));
    let text = |claims: &Value, name: &str| claims[name].as_str().unwrap().to_owned();
    let (session, event) = (text(&access, "origin_jti"), text(&access, "event_id"));
    assert_eq!(
        payload(tokens.access.as_str()),
        format!(r#"{{"sub":"{sub}","cognito:groups":["admin"],"iss":"urn:holdfast:local","client_id":"web","#)
            + &format!(
                r#""origin_jti":"{session}","event_id":"{event}","token_use":"access","scope":"aws.cognito.signin.user.admin","#
            )
            + &format!(
                r#""auth_time":{signed_in_at},"exp":{},"iat":{now},"jti":"{}","username":"{sub}"}}"#,
                now + 3600,
                text(&access, "jti")
            )
    );
    assert_eq!(
        payload(tokens.id.as_str()),
        format!(r#"{{"sub":"{sub}","cognito:groups":["admin"],"email_verified":true,"iss":"urn:holdfast:local","#)
            + &format!(
                r#""cognito:username":"{sub}","origin_jti":"{session}","aud":"web","event_id":"{event}","token_use":"id","#
            )
            + &format!(
                r#""auth_time":{signed_in_at},"exp":{},"iat":{now},"jti":"{}","email":"ann@example.org"}}"#,
                now + 3600,
                text(&id, "jti")
            )
    );
    let before = claims(signed_in.access.as_str());
    assert_eq!(text(&before, "origin_jti"), session, "one session");
    assert_ne!(text(&before, "jti"), text(&access, "jti"));
    assert_ne!(text(&access, "jti"), text(&id, "jti"));
    assert_eq!(sub.as_str().len(), 36);
}

#[tokio::test]
async fn nothing_secret_is_kept_as_it_is() {
    let house = House::new().await;
    let pool = house.pool();
    house.join(&pool).await;
    pool.forgot_password(&ann()).await.unwrap();
    let first = sign_in(&pool).await;
    let second = pool.refresh(&first.refresh).await.unwrap();
    let rows = house.rows().await;
    assert!(rows.len() >= 6, "{rows:#?}");
    let mut secrets = vec![SECRET.to_owned()];
    secrets.extend([&first, &second].map(|tokens| tokens.refresh.as_str().to_owned()));
    secrets.extend([&first, &second].map(|tokens| tokens.access.as_str().to_owned()));
    // As a whole value: six digits may well be part of a time.
    secrets.extend(house.mailbox.codes.lock().unwrap().iter().map(|code| format!("\"{}\"", code.as_str())));
    for secret in secrets {
        assert!(rows.iter().all(|row| !row.contains(&secret)), "{rows:#?}");
    }
    assert!(rows.iter().any(|row| row.contains("$argon2id$v=19$")));
}

#[tokio::test]
async fn codes_of_another_folders_key_are_none() {
    let house = House::new().await;
    house.pool().sign_up(&ann(), &password()).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = house.pool_with_key_in(elsewhere.path());
    let refused = stranger.confirm_sign_up(&ann(), &house.code()).await;
    assert!(matches!(refused, Err(PoolError::CodeWrong)), "whoever has the tables alone cannot try them all");
    house.pool().confirm_sign_up(&ann(), &house.code()).await.unwrap();
}

#[tokio::test]
async fn what_ends_by_itself_has_a_time_to_live() {
    let house = House::new().await;
    let pool = house.pool();
    house.join(&pool).await;
    sign_in(&pool).await;
    let now = START.seconds();
    for (table, expires_at) in [
        ("pool-codes", now + 24 * 3600),
        ("pool-sessions", now + 30 * 24 * 3600),
        ("pool-refresh-tokens", now + 30 * 24 * 3600),
    ] {
        let rows = house.rows().await;
        let mine: Vec<_> = rows.iter().filter(|row| row.starts_with(&format!("{table} "))).collect();
        let expiry = format!("\"expiresAt\": N(\"{expires_at}\")");
        assert!(!mine.is_empty() && mine.iter().all(|row| row.contains(&expiry)), "{mine:#?}");
    }
}

#[tokio::test]
async fn several_processes_are_one_pool() {
    let house = House::new().await;
    let (one, two) = (house.pool(), house.pool());
    one.sign_up(&ann(), &password()).await.unwrap();
    two.confirm_sign_up(&ann(), &house.code()).await.unwrap();
    let tokens = sign_in(&one).await;
    let next = two.refresh(&tokens.refresh).await.unwrap();
    two.revoke(&next.refresh).await.unwrap();
    assert!(matches!(one.refresh(&next.refresh).await, Err(PoolError::SessionEnded)));
}

#[tokio::test]
async fn a_signed_out_token_is_refused_before_it_expires() {
    let house = House::new().await;
    let pool = house.pool();
    let sub = house.join(&pool).await;
    let list = ProcessDenylist::new(house.seconds());
    let verifier = house.verifier(&pool).with_denylist(Arc::clone(&list) as _);
    let verify = async |tokens: &Tokens| verifier.verify(Some(&bearer(tokens.access.as_str()))).await;

    let (one, two) = (sign_in(&pool).await, sign_in(&pool).await);
    list.revoke_token(&verify(&one).await.unwrap()).await.unwrap();
    assert_eq!(verify(&one).await.err(), Some(Refused::Revoked));
    verify(&two).await.unwrap();

    pool.sign_out_user(&sub).await.unwrap();
    list.revoke_user(&sub, house.clock.now().seconds()).await.unwrap();
    assert_eq!(verify(&two).await.err(), Some(Refused::Revoked));
    house.clock.advance(Duration::from_secs(1));
    verify(&sign_in(&pool).await).await.expect("signed in again");
}

#[tokio::test]
async fn a_deletion_that_stopped_half_way_is_finished_by_the_next() {
    let house = House::new().await;
    let pool = house.pool();
    let sub = house.join(&pool).await;
    let address = serde_dynamo::to_attribute_value("ann@example.org").unwrap();
    let call = house.aws.dynamodb().delete_item().table_name("t-pool-addresses");
    call.set_key(Some([("address".to_owned(), address)].into())).send().await.unwrap();
    assert!(pool.find_by_sub(&sub).await.unwrap().is_some());
    pool.delete(&sub).await.unwrap();
    assert_eq!(pool.find_by_sub(&sub).await.unwrap(), None);
}

#[tokio::test]
async fn tables_that_are_gone_are_unavailable_not_a_wrong_password() {
    let House { clock, folder, mailbox, tables, .. } = House::new().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    drop(closed);
    // The engine ended with the rest of the house.
    let ids: Arc<dyn Ids> = Arc::new(RandomIds);
    let clock: Arc<dyn Clock> = clock;
    let pool = EmbeddedPool::new(EmbeddedPoolParts {
        tables,
        rao: Rao::new(RaoConfig::default(), None, Arc::clone(&clock), Arc::clone(&ids)),
        issuer: Arc::new(LocalIssuer::open(folder.path()).unwrap()),
        messenger: mailbox,
        clock,
        ids,
        client_id: "web".into(),
        policy: PoolPolicy::default(),
    });
    let error = pool.unwrap().sign_in(&ann(), &PasswordAttempt::new(SECRET)).await.unwrap_err();
    assert_eq!(error.kind(), access::Kind::Unavailable, "{error:?}");
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_secret_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    // The engine logs on threads of its own, and it is not ours.
    let house = House::new().await;
    let _logging = tracing::subscriber::set_default(subscriber);
    let pool = house.pool();
    *house.mailbox.broken.lock().unwrap() = true;
    let sub = pool.sign_up(&ann(), &password()).await.unwrap().sub;
    *house.mailbox.broken.lock().unwrap() = false;
    pool.resend_code(&ann()).await.unwrap();
    pool.confirm_sign_up(&ann(), &house.code()).await.unwrap();
    let first = sign_in(&pool).await;
    let second = pool.refresh(&first.refresh).await.unwrap();
    house.clock.advance(Duration::from_secs(600));
    assert!(pool.refresh(&first.refresh).await.is_err());
    let user = pool.find_by_sub(&sub).await.unwrap();

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("could not be sent its code"), "{log}");
    assert!(log.contains("used again"), "{log}");
    let ours: String = log.lines().filter(|line| line.contains("identity")).collect();
    assert!(!ours.is_empty());
    let mut secrets = vec![SECRET.to_owned(), "ann@example.org".into()];
    secrets.extend([&first, &second].map(|tokens| tokens.refresh.as_str().to_owned()));
    secrets.extend([&first, &second].map(|tokens| tokens.access.as_str().to_owned()));
    for shown in [ours, format!("{user:?} {first:?}")] {
        assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
}

#[test]
fn the_default_policy_is_cognitos_and_owasps() {
    let policy = PoolPolicy::default();
    assert_eq!((policy.hash.memory_kib, policy.hash.passes, policy.hash.lanes), (19_456, 2, 1));
    assert_eq!((policy.confirm_code.as_secs(), policy.reset_code.as_secs()), (86_400, 3600));
    assert_eq!((policy.access.as_secs(), policy.session.as_secs()), (3600, 2_592_000));
    assert_eq!(policy.code_guesses, 5);
    assert!(policy.refresh_grace.as_secs() <= 60);
}
