use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use access::{AwsConfig, Credentials, Roots};
use aws_sdk_cognitoidentityprovider::config::Builder;
use aws_sdk_cognitoidentityprovider::config::retry::RetryConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::password::PasswordRefused;

/// Answers as Cognito does on the wire, in the order of the script; fails the test on a call that is not in it.
struct Stub {
    script: Mutex<VecDeque<Expected>>,
    asked: Mutex<Vec<Value>>,
}

struct Expected {
    operation: &'static str,
    status: u16,
    body: Value,
}

fn ok(operation: &'static str, body: Value) -> Expected {
    Expected { operation, status: 200, body }
}

/// An exception as the JSON 1.1 protocol has it: its name in the body and in a header.
fn exception(operation: &'static str, name: &str, message: &str) -> Expected {
    let status = if name == "InternalErrorException" { 500 } else { 400 };
    Expected { operation, status, body: json!({ "__type": name, "message": message }) }
}

const SUB: &str = "3f1c6a3e-8d0e-4b7a-9c55-0a6a1a3f2b10";
const EMAIL: &str = "ann@example.org";
const SECRET: &str = "a lamp in the cellar";

/// A pool whose Cognito answers by `script`.
async fn scripted(script: Vec<Expected>) -> (CognitoPool, Arc<Stub>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let stub = Arc::new(Stub { script: Mutex::new(script.into()), asked: Mutex::default() });
    let serving = Arc::clone(&stub);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(Arc::clone(&serving), stream));
        }
    });
    (pool_at(endpoint), stub)
}

/// Without retries: a test need not wait between them.
fn pool_at(endpoint: String) -> CognitoPool {
    let aws = Aws::new(AwsConfig {
        region: "eu-west-2".into(),
        endpoint_url: Some(endpoint),
        credentials: Credentials::new("id", "secret", None, None, "test"),
        roots: Roots::Amazon,
    });
    let config = CognitoPoolConfig { user_pool_id: "eu-west-2_AbCdEf123".into(), client_id: "client".into() };
    let client = Builder::from(aws.sdk_config()).retry_config(RetryConfig::disabled()).build();
    let pool = CognitoPool::new(aws, config);
    assert!(pool.client.set(Client::from_conf(client)).is_ok());
    pool
}

async fn serve(stub: Arc<Stub>, stream: TcpStream) {
    let mut stream = BufStream::new(stream);
    loop {
        let (mut target, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("x-amz-target") => target = value.to_owned(),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let (status, header, body) = stub.answer(&target, &serde_json::from_slice(&body).unwrap());
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\n{header}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
}

impl Stub {
    fn answer(&self, target: &str, asked: &Value) -> (u16, String, String) {
        let operation = target.rsplit_once('.').map_or(target, |(_, operation)| operation);
        self.asked.lock().unwrap().push(json!({ "operation": operation, "input": asked }));
        let mut script = self.script.lock().unwrap();
        match script.pop_front() {
            Some(expected) if expected.operation == operation => {
                let name = expected.body["__type"].as_str();
                let header = name.map(|name| format!("x-amzn-errortype: {name}:\r\n")).unwrap_or_default();
                (expected.status, header, expected.body.to_string())
            }
            // No exception that any test expects.
            _ => (400, String::new(), json!({ "__type": "NotInTheScript", "message": operation }).to_string()),
        }
    }

    /// What was asked, call by call; all of the script must have been.
    fn asked(&self) -> Vec<Value> {
        assert!(self.script.lock().unwrap().is_empty(), "calls that were expected were not made");
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn email() -> EmailAddress {
    EMAIL.parse().unwrap()
}

fn sub() -> UserId {
    UserId::new(SUB).unwrap()
}

fn password() -> Password {
    Password::new(SECRET).unwrap()
}

fn attempt() -> PasswordAttempt {
    PasswordAttempt::new(SECRET)
}

fn code() -> Code {
    Code::new("012345").unwrap()
}

fn token() -> AccessToken {
    AccessToken::new("access-token")
}

fn refresh_token() -> RefreshToken {
    RefreshToken::new("refresh-token")
}

fn user(status: &str) -> Value {
    json!({
        "Username": SUB,
        "Enabled": true,
        "UserStatus": status,
        "UserCreateDate": 1_700_000_000.25,
        "UserLastModifiedDate": 1_700_000_001.0,
        "UserAttributes": [
            { "Name": "email", "Value": EMAIL },
            { "Name": "email_verified", "Value": if status == "CONFIRMED" { "true" } else { "false" } },
            { "Name": "locale", "Value": "de" },
            { "Name": "sub", "Value": SUB },
        ],
    })
}

fn tokens(refresh: Option<&str>) -> Value {
    let mut result = json!({ "AccessToken": "a.b.c", "IdToken": "d.e.f", "ExpiresIn": 3600, "TokenType": "Bearer" });
    if let Some(refresh) = refresh {
        result["RefreshToken"] = json!(refresh);
    }
    json!({ "AuthenticationResult": result, "ChallengeParameters": {} })
}

fn expected_tokens(refresh: &str) -> Tokens {
    Tokens {
        access: AccessToken::new("a.b.c"),
        id: IdToken::new("d.e.f"),
        refresh: RefreshToken::new(refresh),
        expires_in_seconds: 3600,
    }
}

fn name_of<T: std::fmt::Debug>(outcome: Result<T, PoolError>) -> String {
    match outcome {
        Ok(value) => format!("{value:?}"),
        Err(PoolError::Unavailable { .. }) => "Unavailable".into(),
        Err(PoolError::Refused { .. }) => "Refused".into(),
        Err(error) => format!("{error:?}"),
    }
}

/// Each exception and what the call makes of it.
macro_rules! assert_maps {
    ($operation:literal, |$pool:ident| $call:expr, [$($exception:literal $message:literal => $expected:literal),* $(,)?]) => {
        for (name, message, expected) in [$(($exception, $message, $expected)),*] {
            let ($pool, stub) = scripted(vec![exception($operation, name, message)]).await;
            assert_eq!(name_of($call.await), expected, "{} {name}: {message}", $operation);
            stub.asked();
        }
    };
}

#[tokio::test]
async fn signing_up_names_address_and_password_and_gives_the_sub() {
    let answer = json!({
        "UserConfirmed": false,
        "UserSub": SUB,
        "CodeDeliveryDetails": { "AttributeName": "email", "DeliveryMedium": "EMAIL", "Destination": "a***@e***" },
    });
    let (pool, stub) = scripted(vec![ok("SignUp", answer)]).await;
    let signed_up = pool.sign_up(&email(), &password()).await.unwrap();
    assert_eq!(signed_up, SignedUp { sub: sub(), code_sent: true });
    let input = json!({
        "ClientId": "client", "Username": EMAIL, "Password": SECRET,
        "UserAttributes": [{ "Name": "email", "Value": EMAIL }],
    });
    assert_eq!(stub.asked(), [json!({ "operation": "SignUp", "input": input })]);
}

#[tokio::test]
async fn a_sign_up_whose_code_was_not_sent_is_one_all_the_same() {
    let failed = || exception("SignUp", "CodeDeliveryFailureException", "Failed to send.");
    let (pool, stub) = scripted(vec![failed(), ok("AdminGetUser", user("UNCONFIRMED"))]).await;
    let signed_up = pool.sign_up(&email(), &password()).await.unwrap();
    assert_eq!(signed_up, SignedUp { sub: sub(), code_sent: false });
    assert_eq!(stub.asked()[1]["input"], json!({ "UserPoolId": "eu-west-2_AbCdEf123", "Username": EMAIL }));

    let gone = exception("AdminGetUser", "UserNotFoundException", "User does not exist.");
    let (pool, _stub) = scripted(vec![failed(), gone]).await;
    assert_eq!(name_of(pool.sign_up(&email(), &password()).await), "Unavailable");
}

#[tokio::test]
async fn a_refused_sign_up_deletes_nothing_and_says_why() {
    assert_maps!("SignUp", |pool| pool.sign_up(&email(), &password()), [
        "UsernameExistsException" "User already exists" => "UserExists",
        "InvalidPasswordException" "Password did not conform with policy: Password must have symbol characters"
            => "PasswordRefused(ByPool)",
        "InvalidParameterException" "Username should be an email." => "Refused",
        "ResourceNotFoundException" "User pool client client does not exist." => "Refused",
        "NotAuthorizedException" "SignUp is not permitted for this user pool" => "Refused",
        "UserLambdaValidationException" "PreSignUp failed with error no." => "Refused",
        "UnexpectedLambdaException" "CustomMessage invocation failed due to error Timeout." => "Unavailable",
        "InvalidLambdaResponseException" "Unrecognizable lambda output" => "Refused",
        "TooManyRequestsException" "Rate exceeded" => "TooMany",
        "LimitExceededException" "Exceeded daily email limit for the operation or the account." => "TooMany",
        "InternalErrorException" "Something went wrong" => "Unavailable",
        "ForbiddenException" "Request not allowed due to WAF block." => "Refused",
    ]);
}

#[tokio::test]
async fn confirming_gives_the_sub() {
    let (pool, stub) = scripted(vec![ok("ConfirmSignUp", json!({})), ok("AdminGetUser", user("CONFIRMED"))]).await;
    let confirmed = pool.confirm_sign_up(&email(), &code()).await.unwrap();
    assert_eq!(confirmed, Confirmed { sub: sub(), already: false });
    let input = json!({ "ClientId": "client", "Username": EMAIL, "ConfirmationCode": "012345" });
    assert_eq!(stub.asked()[0]["input"], input);
}

#[tokio::test]
async fn confirming_again_succeeds_whatever_cognito_says_of_the_code() {
    for (name, message) in [
        ("NotAuthorizedException", "User cannot be confirmed. Current status is CONFIRMED"),
        ("ExpiredCodeException", "Invalid code provided, please request a code again."),
        ("CodeMismatchException", "Invalid verification code provided, please try again."),
        ("TooManyFailedAttemptsException", "Exceeded number of invalid attempts"),
        ("LimitExceededException", "Attempt limit exceeded, please try after some time."),
    ] {
        let refused = exception("ConfirmSignUp", name, message);
        let (pool, stub) = scripted(vec![refused, ok("AdminGetUser", user("CONFIRMED"))]).await;
        let confirmed = pool.confirm_sign_up(&email(), &code()).await.unwrap();
        assert_eq!(confirmed, Confirmed { sub: sub(), already: true }, "{name}");
        stub.asked();
    }
}

#[tokio::test]
async fn a_code_that_does_not_confirm_says_why() {
    for (name, message, expected) in [
        ("CodeMismatchException", "Invalid verification code provided, please try again.", "CodeWrong"),
        ("ExpiredCodeException", "Invalid code provided, please request a code again.", "CodeExpired"),
        ("TooManyFailedAttemptsException", "Exceeded number of invalid attempts", "TooMany"),
        ("LimitExceededException", "Attempt limit exceeded, please try after some time.", "TooMany"),
        ("NotAuthorizedException", "User is disabled.", "CodeWrong"),
    ] {
        let refused = exception("ConfirmSignUp", name, message);
        let (pool, stub) = scripted(vec![refused, ok("AdminGetUser", user("UNCONFIRMED"))]).await;
        assert_eq!(name_of(pool.confirm_sign_up(&email(), &code()).await), expected, "{name}");
        stub.asked();
    }
    assert_maps!("ConfirmSignUp", |pool| pool.confirm_sign_up(&email(), &code()), [
        "UserNotFoundException" "Username/client id combination not found." => "CodeWrong",
        "AliasExistsException" "An account with the email already exists." => "UserExists",
        "TooManyRequestsException" "Rate exceeded" => "TooMany",
        "InternalErrorException" "Something went wrong" => "Unavailable",
        "UserLambdaValidationException" "PostConfirmation failed with error no." => "Refused",
    ]);
}

#[tokio::test]
async fn a_resend_tells_nobody_apart() {
    let (pool, stub) = scripted(vec![ok("ResendConfirmationCode", json!({}))]).await;
    pool.resend_code(&email()).await.unwrap();
    assert_eq!(stub.asked()[0]["input"], json!({ "ClientId": "client", "Username": EMAIL }));
    let confirmed = exception("ResendConfirmationCode", "InvalidParameterException", "User is already confirmed.");
    let (pool, stub) = scripted(vec![confirmed, ok("AdminGetUser", user("CONFIRMED"))]).await;
    pool.resend_code(&email()).await.unwrap();
    stub.asked();
    let other = exception("ResendConfirmationCode", "InvalidParameterException", "Cannot resend codes.");
    let (pool, stub) = scripted(vec![other, ok("AdminGetUser", user("UNCONFIRMED"))]).await;
    assert_eq!(name_of(pool.resend_code(&email()).await), "Refused");
    stub.asked();
    assert_maps!("ResendConfirmationCode", |pool| pool.resend_code(&email()), [
        "UserNotFoundException" "Username/client id combination not found." => "()",
        "CodeDeliveryFailureException" "Failed to send." => "Unavailable",
        "LimitExceededException" "Attempt limit exceeded, please try after some time." => "TooMany",
    ]);
}

#[tokio::test]
async fn signing_in_gives_tokens() {
    let (pool, stub) = scripted(vec![ok("InitiateAuth", tokens(Some("r")))]).await;
    let signed_in = pool.sign_in(&email(), &attempt()).await.unwrap();
    assert_eq!(signed_in, SignIn::Tokens(expected_tokens("r")));
    let input = json!({
        "AuthFlow": "USER_PASSWORD_AUTH", "ClientId": "client",
        "AuthParameters": { "USERNAME": EMAIL, "PASSWORD": SECRET },
    });
    assert_eq!(stub.asked()[0]["input"], input);
}

#[tokio::test]
async fn a_refused_sign_in_says_no_more_than_it_must() {
    assert_maps!("InitiateAuth", |pool| pool.sign_in(&email(), &attempt()), [
        "NotAuthorizedException" "Incorrect username or password." => "WrongCredentials",
        "UserNotFoundException" "User does not exist." => "WrongCredentials",
        "NotAuthorizedException" "User is disabled." => "WrongCredentials",
        "NotAuthorizedException" "Password attempts exceeded" => "TooMany",
        "UserNotConfirmedException" "User is not confirmed." => "NotConfirmed",
        "PasswordResetRequiredException" "Password reset required for the user" => "ResetRequired",
        "InvalidParameterException" "USER_PASSWORD_AUTH flow not enabled for this client" => "Refused",
        "TooManyRequestsException" "Rate exceeded" => "TooMany",
        "InternalErrorException" "Something went wrong" => "Unavailable",
        "UserLambdaValidationException" "PreAuthentication failed with error no." => "Refused",
    ]);
}

#[tokio::test]
async fn what_cannot_be_a_password_is_not_even_asked_about() {
    for impossible in ["", " x", &"x".repeat(257)] {
        let (pool, stub) = scripted(vec![]).await;
        let refused = pool.sign_in(&email(), &PasswordAttempt::new(impossible)).await;
        assert_eq!(name_of(refused), "WrongCredentials");
        assert_eq!(stub.asked(), Vec::<Value>::new());
    }
}

#[tokio::test]
async fn what_cannot_be_a_token_is_not_even_asked_about() {
    for impossible in ["", " ", "a b", "töken", "a/b+c"] {
        let (pool, stub) = scripted(vec![]).await;
        let (refresh, access) = (RefreshToken::new(impossible), AccessToken::new(impossible));
        assert_eq!(name_of(pool.refresh(&refresh).await), "SessionEnded");
        assert_eq!(name_of(pool.sign_out_everywhere(&access).await), "SessionEnded");
        assert_eq!(name_of(pool.change_password(&access, &attempt(), &password()).await), "SessionEnded");
        pool.revoke(&refresh).await.unwrap();
        assert_eq!(stub.asked(), Vec::<Value>::new());
    }
}

/// A sign-in that asks for something first.
fn challenge(name: &str) -> Value {
    json!({
        "ChallengeName": name, "Session": "cognito-session",
        "ChallengeParameters": { "USER_ID_FOR_SRP": SUB, "requiredAttributes": "[]" },
    })
}

async fn challenged(name: &str, next: Expected) -> (CognitoPool, Arc<Stub>, Challenge) {
    let (pool, stub) = scripted(vec![ok("InitiateAuth", challenge(name)), next]).await;
    match pool.sign_in(&email(), &attempt()).await.unwrap() {
        SignIn::Challenge(challenge) => (pool, stub, challenge),
        SignIn::Tokens(_) => panic!("tokens"),
    }
}

#[tokio::test]
async fn a_challenge_is_answered_under_the_name_cognito_gave() {
    let answered = || ok("RespondToAuthChallenge", tokens(Some("r")));
    let (pool, stub, asked) = challenged("NEW_PASSWORD_REQUIRED", answered()).await;
    assert_eq!(asked.name, super::super::NEW_PASSWORD_REQUIRED);
    let signed_in = pool.answer_challenge(&asked, &ChallengeResponse::NewPassword(password())).await.unwrap();
    assert_eq!(signed_in, SignIn::Tokens(expected_tokens("r")));
    let input = json!({
        "ClientId": "client", "ChallengeName": "NEW_PASSWORD_REQUIRED", "Session": "cognito-session",
        "ChallengeResponses": { "USERNAME": SUB, "NEW_PASSWORD": SECRET },
    });
    assert_eq!(stub.asked()[1]["input"], input);

    for (name, parameter) in [
        ("SOFTWARE_TOKEN_MFA", "SOFTWARE_TOKEN_MFA_CODE"),
        ("SMS_MFA", "SMS_MFA_CODE"),
        ("EMAIL_OTP", "EMAIL_OTP_CODE"),
    ] {
        let (pool, stub, asked) = challenged(name, answered()).await;
        pool.answer_challenge(&asked, &ChallengeResponse::Code(code())).await.unwrap();
        assert_eq!(stub.asked()[1]["input"]["ChallengeResponses"], json!({ "USERNAME": SUB, parameter: "012345" }));
    }
}

#[tokio::test]
async fn a_challenge_may_be_followed_by_another() {
    let next = ok("RespondToAuthChallenge", challenge("SOFTWARE_TOKEN_MFA"));
    let (pool, stub, asked) = challenged("NEW_PASSWORD_REQUIRED", next).await;
    let answered = pool.answer_challenge(&asked, &ChallengeResponse::NewPassword(password())).await.unwrap();
    assert!(matches!(answered, SignIn::Challenge(next) if next.name == "SOFTWARE_TOKEN_MFA"));
    stub.asked();
}

#[tokio::test]
async fn an_answer_that_is_refused_says_why() {
    for (name, message, expected) in [
        ("CodeMismatchException", "Invalid code received for user", "CodeWrong"),
        ("ExpiredCodeException", "Your software token has already been used once.", "ChallengeExpired"),
        ("NotAuthorizedException", "Invalid session for the user, session is expired.", "ChallengeExpired"),
        ("NotAuthorizedException", "Invalid session for the user.", "ChallengeExpired"),
        ("UserNotFoundException", "User does not exist.", "ChallengeExpired"),
        ("InvalidPasswordException", "Password does not conform to policy", "PasswordRefused(ByPool)"),
        ("PasswordHistoryPolicyViolationException", "Password has previously been used.", "PasswordRefused(ByPool)"),
        ("InternalErrorException", "Something went wrong", "Unavailable"),
    ] {
        let refused = exception("RespondToAuthChallenge", name, message);
        let (pool, stub, asked) = challenged("SOFTWARE_TOKEN_MFA", refused).await;
        assert_eq!(name_of(pool.answer_challenge(&asked, &ChallengeResponse::Code(code())).await), expected, "{name}");
        stub.asked();
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_not_sent() {
    let asked = |name: &str, session: &str| Challenge { name: name.into(), session: ChallengeSession::new(session) };
    let new = || ChallengeResponse::NewPassword(password());
    for (challenge, answer, expected) in [
        (asked("NEW_PASSWORD_REQUIRED", "made up"), ChallengeResponse::Code(code()), "CodeWrong"),
        (asked("SMS_MFA", "made up"), new(), "CodeWrong"),
        (asked("NEW_PASSWORD_REQUIRED", "made-up"), new(), "ChallengeExpired"),
        (asked("NEW_PASSWORD_REQUIRED", ""), new(), "ChallengeExpired"),
        (asked("CUSTOM_CHALLENGE", "made up"), new(), "ChallengeExpired"),
        (asked("", "made up"), new(), "ChallengeExpired"),
    ] {
        let (pool, stub) = scripted(vec![]).await;
        assert_eq!(name_of(pool.answer_challenge(&challenge, &answer).await), expected);
        assert_eq!(stub.asked(), Vec::<Value>::new());
    }
}

#[tokio::test]
async fn a_refresh_rotates_the_refresh_token_where_the_pool_does() {
    for (given, expected) in [(Some("next"), "next"), (None, "refresh-token")] {
        let (pool, stub) = scripted(vec![ok("GetTokensFromRefreshToken", tokens(given))]).await;
        assert_eq!(pool.refresh(&refresh_token()).await.unwrap(), expected_tokens(expected));
        assert_eq!(stub.asked()[0]["input"], json!({ "ClientId": "client", "RefreshToken": "refresh-token" }));
    }
    assert_maps!("GetTokensFromRefreshToken", |pool| pool.refresh(&refresh_token()), [
        "RefreshTokenReuseException" "Refresh token has been invalidated because of reuse." => "SessionEnded",
        "NotAuthorizedException" "Refresh Token has been revoked" => "SessionEnded",
        "NotAuthorizedException" "Refresh Token has expired" => "SessionEnded",
        "NotAuthorizedException" "Invalid Refresh Token" => "SessionEnded",
        "UserNotFoundException" "User does not exist." => "SessionEnded",
        "InvalidParameterException" "1 validation error detected" => "Refused",
        "TooManyRequestsException" "Rate exceeded" => "TooMany",
        "InternalErrorException" "Something went wrong" => "Unavailable",
    ]);
}

#[tokio::test]
async fn revoking_needs_a_pool_that_allows_it_but_no_good_token() {
    let (pool, stub) = scripted(vec![ok("RevokeToken", json!({}))]).await;
    pool.revoke(&refresh_token()).await.unwrap();
    assert_eq!(stub.asked()[0]["input"], json!({ "ClientId": "client", "Token": "refresh-token" }));
    assert_maps!("RevokeToken", |pool| pool.revoke(&refresh_token()), [
        "UnsupportedTokenTypeException" "Unsupported token type" => "()",
        "InvalidParameterException" "Invalid token" => "()",
        "UnsupportedOperationException" "Revoke Token is not enabled for client client" => "Refused",
        "UnauthorizedException" "Client is not authorized" => "Refused",
        "InternalErrorException" "Something went wrong" => "Unavailable",
    ]);
}

#[tokio::test]
async fn signing_out_goes_by_token_or_by_sub() {
    let (pool, stub) = scripted(vec![ok("GlobalSignOut", json!({})), ok("AdminUserGlobalSignOut", json!({}))]).await;
    pool.sign_out_everywhere(&token()).await.unwrap();
    pool.sign_out_user(&sub()).await.unwrap();
    let asked = stub.asked();
    assert_eq!(asked[0]["input"], json!({ "AccessToken": "access-token" }));
    assert_eq!(asked[1]["input"], json!({ "UserPoolId": "eu-west-2_AbCdEf123", "Username": SUB }));
    assert_maps!("GlobalSignOut", |pool| pool.sign_out_everywhere(&token()), [
        "NotAuthorizedException" "Access Token has been revoked" => "SessionEnded",
        "NotAuthorizedException" "Access Token has expired" => "SessionEnded",
        "NotAuthorizedException" "Invalid Access Token" => "SessionEnded",
        "InternalErrorException" "Something went wrong" => "Unavailable",
    ]);
    assert_maps!("AdminUserGlobalSignOut", |pool| pool.sign_out_user(&sub()), [
        "UserNotFoundException" "User does not exist." => "UnknownUser",
        "AccessDeniedException" "User: arn is not authorized to perform: cognito-idp:AdminUserGlobalSignOut" => "Refused",
    ]);
}

#[tokio::test]
async fn forgetting_tells_nobody_apart() {
    let (pool, stub) = scripted(vec![ok("ForgotPassword", json!({}))]).await;
    pool.forgot_password(&email()).await.unwrap();
    assert_eq!(stub.asked()[0]["input"], json!({ "ClientId": "client", "Username": EMAIL }));
    let no_address = "Cannot reset password for the user as there is no registered/verified email or phone_number";
    for (name, message, status, expected) in [
        ("InvalidParameterException", no_address, "UNCONFIRMED", "()"),
        (
            "NotAuthorizedException",
            "User password cannot be reset in the current state.",
            "FORCE_CHANGE_PASSWORD",
            "()",
        ),
        ("InvalidParameterException", "1 validation error detected", "CONFIRMED", "Refused"),
    ] {
        let script = vec![exception("ForgotPassword", name, message), ok("AdminGetUser", user(status))];
        let (pool, stub) = scripted(script).await;
        assert_eq!(name_of(pool.forgot_password(&email()).await), expected, "{status}");
        stub.asked();
    }
    assert_maps!("ForgotPassword", |pool| pool.forgot_password(&email()), [
        "UserNotFoundException" "Username/client id combination not found." => "()",
        "CodeDeliveryFailureException" "Failed to send." => "Unavailable",
        "LimitExceededException" "Attempt limit exceeded, please try after some time." => "TooMany",
        "InternalErrorException" "Something went wrong" => "Unavailable",
    ]);
}

#[tokio::test]
async fn a_reset_ends_every_session_or_counts_as_failed() {
    let reset = || ok("ConfirmForgotPassword", json!({}));
    let (pool, stub) = scripted(vec![reset(), ok("AdminUserGlobalSignOut", json!({}))]).await;
    pool.reset_password(&email(), &code(), &password()).await.unwrap();
    let asked = stub.asked();
    let input = json!({ "ClientId": "client", "Username": EMAIL, "ConfirmationCode": "012345", "Password": SECRET });
    assert_eq!(asked[0]["input"], input);
    assert_eq!(asked[1]["input"], json!({ "UserPoolId": "eu-west-2_AbCdEf123", "Username": EMAIL }));
    let failed = exception("AdminUserGlobalSignOut", "InternalErrorException", "Something went wrong");
    let (pool, stub) = scripted(vec![reset(), failed]).await;
    assert_eq!(name_of(pool.reset_password(&email(), &code(), &password()).await), "Unavailable");
    stub.asked();
    assert_maps!("ConfirmForgotPassword", |pool| pool.reset_password(&email(), &code(), &password()), [
        "CodeMismatchException" "Invalid verification code provided, please try again." => "CodeWrong",
        "ExpiredCodeException" "Invalid code provided, please request a code again." => "CodeExpired",
        "UserNotFoundException" "Username/client id combination not found." => "CodeWrong",
        "UserNotConfirmedException" "User is not confirmed." => "CodeWrong",
        "NotAuthorizedException" "User is disabled." => "CodeWrong",
        "TooManyFailedAttemptsException" "Exceeded number of invalid attempts" => "TooMany",
        "LimitExceededException" "Attempt limit exceeded, please try after some time." => "TooMany",
        "InvalidPasswordException" "Password does not conform to policy" => "PasswordRefused(ByPool)",
        "PasswordHistoryPolicyViolationException" "Password has previously been used." => "PasswordRefused(ByPool)",
        "InternalErrorException" "Something went wrong" => "Unavailable",
    ]);
}

#[tokio::test]
async fn a_change_tells_a_wrong_password_from_a_session_that_is_over() {
    let new = Password::new("a lamp in the attic").unwrap();
    let (pool, stub) = scripted(vec![ok("ChangePassword", json!({}))]).await;
    pool.change_password(&token(), &attempt(), &new).await.unwrap();
    let input = json!({
        "AccessToken": "access-token", "PreviousPassword": SECRET, "ProposedPassword": "a lamp in the attic",
    });
    assert_eq!(stub.asked()[0]["input"], input);
    assert_maps!("ChangePassword", |pool| pool.change_password(&token(), &attempt(), &new), [
        "NotAuthorizedException" "Incorrect username or password." => "WrongCredentials",
        "NotAuthorizedException" "Access Token has expired" => "SessionEnded",
        "NotAuthorizedException" "Access Token has been revoked" => "SessionEnded",
        "NotAuthorizedException" "Invalid Access Token" => "SessionEnded",
        "NotAuthorizedException" "Password attempts exceeded" => "TooMany",
        "UserNotFoundException" "User does not exist." => "SessionEnded",
        "LimitExceededException" "Attempt limit exceeded, please try after some time." => "TooMany",
        "InvalidPasswordException" "Password does not conform to policy" => "PasswordRefused(ByPool)",
    ]);
}

#[tokio::test]
async fn an_account_is_read_whole() {
    let script = vec![ok("AdminGetUser", user("CONFIRMED")), ok("AdminGetUser", user("FORCE_CHANGE_PASSWORD"))];
    let (pool, stub) = scripted(script).await;
    let expected = PoolUser {
        sub: sub(),
        email: email(),
        email_verified: true,
        status: UserStatus::Confirmed,
        locale: Some("de".into()),
        created_at: Timestamp(1_700_000_000_250),
    };
    assert_eq!(pool.find(&email()).await.unwrap(), Some(expected));
    assert_eq!(pool.find_by_sub(&sub()).await.unwrap().unwrap().status, UserStatus::MustChangePassword);
    assert_eq!(stub.asked()[1]["input"]["Username"], SUB);
    assert_maps!("AdminGetUser", |pool| pool.find(&email()), [
        "UserNotFoundException" "User does not exist." => "None",
        "ResourceNotFoundException" "User pool eu-west-2_AbCdEf123 does not exist." => "Refused",
        "TooManyRequestsException" "Rate exceeded" => "TooMany",
        "InternalErrorException" "Something went wrong" => "Unavailable",
    ]);
    for (status, expected) in [
        ("UNCONFIRMED", UserStatus::Unconfirmed),
        ("RESET_REQUIRED", UserStatus::ResetRequired),
        ("EXTERNAL_PROVIDER", UserStatus::Other),
        ("WHAT_IS_NEW", UserStatus::Other),
    ] {
        let (pool, _stub) = scripted(vec![ok("AdminGetUser", user(status))]).await;
        assert_eq!(pool.find(&email()).await.unwrap().unwrap().status, expected);
    }
}

#[tokio::test]
async fn an_account_without_what_every_account_has_is_refused() {
    for missing in ["sub", "email"] {
        let mut account = user("CONFIRMED");
        account["UserAttributes"].as_array_mut().unwrap().retain(|attribute| attribute["Name"] != missing);
        let (pool, _stub) = scripted(vec![ok("AdminGetUser", account)]).await;
        assert_eq!(name_of(pool.find(&email()).await), "Refused", "{missing}");
    }
}

#[tokio::test]
async fn an_administrators_account_has_a_password_of_its_own_or_a_temporary_one() {
    let created = || {
        let attributes = json!([{ "Name": "sub", "Value": SUB }, { "Name": "email", "Value": EMAIL }]);
        let user = json!({
            "Username": SUB, "Attributes": attributes, "Enabled": true, "UserStatus": "FORCE_CHANGE_PASSWORD",
        });
        ok("AdminCreateUser", json!({ "User": user }))
    };
    let new = |password_is_temporary| NewUser { email: email(), password: password(), password_is_temporary };

    let (pool, stub) = scripted(vec![created(), ok("AdminSetUserPassword", json!({}))]).await;
    assert_eq!(pool.create_user(&new(false)).await.unwrap(), sub());
    let asked = stub.asked();
    let input = json!({
        "UserPoolId": "eu-west-2_AbCdEf123", "Username": EMAIL, "TemporaryPassword": SECRET,
        "MessageAction": "SUPPRESS",
        "UserAttributes": [{ "Name": "email", "Value": EMAIL }, { "Name": "email_verified", "Value": "true" }],
    });
    assert_eq!(asked[0]["input"], input);
    let input = json!({ "UserPoolId": "eu-west-2_AbCdEf123", "Username": SUB, "Password": SECRET, "Permanent": true });
    assert_eq!(asked[1]["input"], input);

    let (pool, stub) = scripted(vec![created()]).await;
    assert_eq!(pool.create_user(&new(true)).await.unwrap(), sub());
    stub.asked();
    assert_maps!("AdminCreateUser", |pool| pool.create_user(&new(false)), [
        "UsernameExistsException" "User account already exists" => "UserExists",
        "InvalidPasswordException" "Password did not conform with password policy" => "PasswordRefused(ByPool)",
        "AccessDeniedException" "User: arn is not authorized" => "Refused",
        "TooManyRequestsException" "Rate exceeded" => "TooMany",
    ]);
}

#[tokio::test]
async fn deleting_grouping_and_attributes_go_by_sub() {
    let script = vec![
        ok("AdminDeleteUser", json!({})),
        ok("AdminAddUserToGroup", json!({})),
        ok("AdminUpdateUserAttributes", json!({})),
        ok("AdminUpdateUserAttributes", json!({})),
    ];
    let (pool, stub) = scripted(script).await;
    pool.delete(&sub()).await.unwrap();
    pool.add_to_group(&sub(), "admin").await.unwrap();
    pool.set_attribute(&sub(), &Attribute::EmailVerified(true)).await.unwrap();
    pool.set_attribute(&sub(), &Attribute::Locale("de".into())).await.unwrap();
    let asked = stub.asked();
    assert_eq!(asked[0]["input"], json!({ "UserPoolId": "eu-west-2_AbCdEf123", "Username": SUB }));
    assert_eq!(asked[1]["input"]["GroupName"], "admin");
    assert_eq!(asked[2]["input"]["UserAttributes"], json!([{ "Name": "email_verified", "Value": "true" }]));
    assert_eq!(asked[3]["input"]["UserAttributes"], json!([{ "Name": "locale", "Value": "de" }]));
    assert_maps!("AdminDeleteUser", |pool| pool.delete(&sub()), [
        "UserNotFoundException" "User does not exist." => "()",
        "InternalErrorException" "Something went wrong" => "Unavailable",
    ]);
    assert_maps!("AdminAddUserToGroup", |pool| pool.add_to_group(&sub(), "admin"), [
        "UserNotFoundException" "User does not exist." => "UnknownUser",
        "ResourceNotFoundException" "Group not found." => "Refused",
    ]);
    assert_maps!("AdminUpdateUserAttributes", |pool| pool.set_attribute(&sub(), &Attribute::EmailVerified(true)), [
        "UserNotFoundException" "User does not exist." => "UnknownUser",
        "InvalidParameterException" "user.email_verified: Cannot modify the non-mutable attribute" => "Refused",
    ]);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_a_fault_without_its_text() {
    let half = json!({ "AuthenticationResult": { "AccessToken": "a.b.c", "ExpiresIn": 3600 } });
    let (pool, _stub) = scripted(vec![ok("InitiateAuth", half)]).await;
    let error = pool.sign_in(&email(), &attempt()).await.unwrap_err();
    assert!(matches!(error, PoolError::Refused { .. }));
    assert!(!format!("{error:?}").contains("a.b.c"), "{error:?}");
}

#[tokio::test]
async fn a_cognito_that_does_not_answer_is_unavailable_and_says_what_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = pool_at(endpoint).sign_in(&email(), &attempt()).await.unwrap_err();
    assert_eq!(error.kind(), access::Kind::Unavailable);
    let shown = format!("{error:?}");
    assert!(std::error::Error::source(&error).is_some());
    assert!(!shown.contains(SECRET) && !shown.contains(EMAIL), "{shown}");
}

#[tokio::test]
async fn the_client_is_built_at_the_first_call_and_once() {
    let (pool, _stub) = scripted(vec![]).await;
    let CognitoPool { aws, config, .. } = pool;
    let fresh = CognitoPool::new(aws, config);
    assert!(fresh.client.get().is_none());
    assert!(std::ptr::eq(fresh.client(), fresh.client()));
}

#[test]
fn a_password_refused_by_the_pool_has_a_code_of_its_own() {
    assert_eq!(PoolError::PasswordRefused(PasswordRefused::ByPool).code(), "password_refused");
}
