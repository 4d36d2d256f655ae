use std::error::Error as StdError;
use std::sync::OnceLock;

use access::{Aws, EmailAddress};
use async_trait::async_trait;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_email::SendEmailError;
use aws_sdk_sesv2::types::{Body, Content as Data, Destination, EmailContent, Message, MessageHeader, MessageTag};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::mailer::{Cause, check_deliverable};
use crate::{Letter, Letterhead, MailError, Mailer, MessageId, Name, Rendered, Unsubscribe};

/// Under which each letter is tagged with its template's name, for the events of a configuration set.
const TEMPLATE_TAG: &str = "template";

/// Who letters come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// SES has verified it or its domain.
    pub address: EmailAddress,
    /// Shown instead of the address.
    pub name: Option<Name>,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<EmailAddress>,
}

/// Amazon SES, by version 2 of its API. The client is built when the first letter is sent.
pub struct SesMailer {
    aws: Aws,
    client: OnceLock<Client>,
    letterhead: Letterhead,
    from: String,
    reply_to: Option<EmailAddress>,
    configuration_set: Option<String>,
}

impl SesMailer {
    /// `configuration_set` is where SES reports deliveries, bounces and complaints; nothing takes the identity's own.
    pub fn new(aws: Aws, letterhead: Letterhead, sender: Sender, configuration_set: Option<String>) -> Self {
        let from = mailbox(sender.name.as_ref(), &sender.address);
        Self { aws, client: OnceLock::new(), letterhead, from, reply_to: sender.reply_to, configuration_set }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            let config = aws_sdk_sesv2::config::Builder::from(self.aws.sdk_config())
                // An answer that is lost is not a letter that is lost: whoever repeats knows whether it may be twice.
                .retry_config(RetryConfig::disabled())
                .build();
            Client::from_conf(config)
        })
    }
}

#[async_trait]
impl Mailer for SesMailer {
    async fn send(&self, letter: &Letter) -> Result<MessageId, MailError> {
        check_deliverable(&letter.to)?;
        let rendered = letter.content.render(&self.letterhead);
        let tag = MessageTag::builder().name(TEMPLATE_TAG).value(rendered.template.name());
        let message = message(rendered, letter.content.unsubscribe()).map_err(unbuilt)?;
        let sent = self
            .client()
            .send_email()
            .from_email_address(&self.from)
            .set_reply_to_addresses(self.reply_to.as_ref().map(|address| vec![address.as_str().to_owned()]))
            .destination(Destination::builder().to_addresses(letter.to.as_str()).build())
            .content(EmailContent::builder().simple(message).build())
            .email_tags(tag.build().map_err(unbuilt)?)
            .set_configuration_set_name(self.configuration_set.clone())
            .send()
            .await
            .map_err(failed)?;
        Ok(MessageId(sent.message_id.unwrap_or_default()))
    }
}

fn message(rendered: Rendered, unsubscribe: Option<&Unsubscribe>) -> Result<Message, BuildError> {
    let utf8 = |text: String| Data::builder().data(text).charset("UTF-8").build();
    let header = |name: &str, value: String| MessageHeader::builder().name(name).value(value).build();
    let body = Body::builder().html(utf8(rendered.html)?).text(utf8(rendered.text)?).build();
    // So that no holiday notice answers.
    let mut message = Message::builder()
        .subject(utf8(rendered.subject)?)
        .body(body)
        .headers(header("Auto-Submitted", "auto-generated".into())?);
    if let Some(way) = unsubscribe {
        message = message.headers(header("List-Unsubscribe", format!("<{}>", way.link))?);
        if way.one_click {
            message = message.headers(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".into())?);
        }
    }
    Ok(message.build())
}

/// RFC 5322's `name-addr`, the name as RFC 2047 writes what is not ASCII.
fn mailbox(name: Option<&Name>, address: &EmailAddress) -> String {
    let address = address.as_str();
    match name.map(Name::as_str) {
        None => address.to_owned(),
        Some(name) if name.is_ascii() => format!("\"{}\" <{address}>", name.replace('"', "\\\"")),
        Some(name) => format!("{} <{address}>", encoded_words(name)),
    }
}

/// A word is at most 75 characters, 12 of them not its text; a letter is never divided between two.
fn encoded_words(text: &str) -> String {
    const WORD_BYTES: usize = 45;
    let mut words = vec![String::new()];
    for letter in text.chars() {
        match words.last_mut() {
            Some(word) if word.len() + letter.len_utf8() <= WORD_BYTES => word.push(letter),
            _ => words.push(letter.into()),
        }
    }
    words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word))).collect::<Vec<_>>().join(" ")
}

fn unbuilt(error: BuildError) -> MailError {
    MailError::Refused { source: Box::new(error) }
}

fn failed(error: SdkError<SendEmailError>) -> MailError {
    let cause = Cause::of(&error);
    match &error {
        SdkError::ConstructionFailure(_) => MailError::Refused { source: Box::new(cause) },
        SdkError::ServiceError(answer) => refused(answer.err(), answer.raw().status().as_u16(), cause),
        SdkError::DispatchFailure(failure) if never_connected(failure.as_connector_error(), &cause) => {
            MailError::Unavailable { source: Box::new(cause) }
        }
        _ => MailError::Uncertain { source: Box::new(cause) },
    }
}

/// What SES said. <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors>
fn refused(error: &SendEmailError, status: u16, cause: Cause) -> MailError {
    let source: Box<dyn StdError + Send + Sync> = Box::new(cause);
    let is_unverified = error.message().is_some_and(|message| message.contains("not verified"));
    match error {
        SendEmailError::MessageRejected(_) if is_unverified => MailError::NotVerified { source },
        SendEmailError::MailFromDomainNotVerifiedException(_) => MailError::NotVerified { source },
        SendEmailError::MessageRejected(_) | SendEmailError::BadRequestException(_) => MailError::Rejected { source },
        SendEmailError::AccountSuspendedException(_) | SendEmailError::SendingPausedException(_) => {
            MailError::Paused { source }
        }
        SendEmailError::TooManyRequestsException(_) | SendEmailError::LimitExceededException(_) => {
            MailError::Throttled { source }
        }
        other if status == 429 || other.code().is_some_and(|code| code.contains("Throttl")) => {
            MailError::Throttled { source }
        }
        _ if status == 503 => MailError::Unavailable { source },
        // Before or after it was taken: nobody says. A success we cannot read is one as well.
        _ if !(400..500).contains(&status) => MailError::Uncertain { source },
        _ => MailError::Refused { source },
    }
}

/// The client says in words only whether it had a connection.
fn never_connected(error: Option<&(impl StdError + ?Sized)>, cause: &Cause) -> bool {
    error.is_some() && (cause.contains("(Connect)") || cause.contains("HTTP connect timeout"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::ses_stub::{Answer, SesStub};
    use crate::{Code, ConfirmCode, Template, mailer_contract, preview};

    mailer_contract!(contract, super::SesStub::start().await);

    fn letter() -> Letter {
        let content = ConfirmCode { code: Code::digits("123456").unwrap(), valid_minutes: 15 }.into();
        Letter { to: "ann@example.com".parse().unwrap(), content }
    }

    async fn error_of(answer: Answer) -> MailError {
        let stub = SesStub::start().await;
        stub.answer_next(answer);
        let error = stub.mailer.send(&letter()).await.unwrap_err();
        assert_eq!(stub.received().len(), 1, "asked once and not again");
        stub.mailer.send(&letter()).await.expect("the next letter goes its way");
        error
    }

    #[tokio::test]
    async fn what_is_sent_to_ses() {
        let stub = SesStub::start().await;
        let content = preview::sample(Template::ReferralInvite);
        let id = stub.mailer.send(&Letter { to: "ann@example.com".parse().unwrap(), content }).await.unwrap();
        assert!(!id.0.is_empty());
        let mut asked = stub.received().remove(0);
        for part in ["/Content/Simple/Subject", "/Content/Simple/Body/Html", "/Content/Simple/Body/Text"] {
            let data = asked.pointer_mut(part).unwrap();
            assert!(data["Charset"] == "UTF-8" && data["Data"].as_str().is_some_and(|data| !data.is_empty()));
            *data = json!("checked by the contract");
        }
        let header = |name: &str, value: &str| json!({"Name": name, "Value": value});
        let expected = json!({
            "FromEmailAddress": "\"Holdfast\" <no-reply@example.com>",
            "ReplyToAddresses": ["support@example.com"],
            "Destination": {"ToAddresses": ["ann@example.com"]},
            "Content": {"Simple": {
                "Subject": "checked by the contract",
                "Body": {"Html": "checked by the contract", "Text": "checked by the contract"},
                "Headers": [
                    header("Auto-Submitted", "auto-generated"),
                    header(
                        "List-Unsubscribe",
                        "<https://api.example.com/v1/referrals/unsubscribe?token=sample>",
                    ),
                ],
            }},
            "EmailTags": [{"Name": "template", "Value": "referral-invite"}],
            "ConfigurationSetName": "events",
        });
        assert_eq!(asked, expected);
    }

    #[tokio::test]
    async fn one_click_is_promised_only_where_it_works() {
        let stub = SesStub::start().await;
        for one_click in [false, true] {
            let mut content = preview::sample(Template::WeeklyPoints);
            if let crate::Content::WeeklyPoints(letter) = &mut content {
                letter.unsubscribe.one_click = one_click;
            }
            stub.mailer.send(&Letter { to: "ann@example.com".parse().unwrap(), content }).await.unwrap();
        }
        stub.mailer.send(&letter()).await.unwrap();
        let names = |asked: &serde_json::Value| {
            let headers = asked.pointer("/Content/Simple/Headers").unwrap().as_array().unwrap();
            headers.iter().map(|header| header["Name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let [without, with, none] = &stub.received()[..] else { unreachable!("three letters were sent") };
        assert_eq!(names(without), ["Auto-Submitted", "List-Unsubscribe"]);
        assert_eq!(names(with), ["Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post"]);
        assert_eq!(names(none), ["Auto-Submitted"]);
    }

    #[tokio::test]
    async fn every_answer_of_ses_has_its_meaning() {
        macro_rules! means {
            ($status:literal $code:literal $message:literal => $meaning:ident) => {
                let error = error_of(Answer::Error { status: $status, code: $code, message: $message }).await;
                assert!(matches!(error, MailError::$meaning { .. }), "{} is {error:?}", $code);
                assert!(!error.to_string().contains("ann@"), "{error}");
            };
        }
        means! { 400 "MessageRejected" "Email address is not verified. The following identities failed the check in \
        region EU-WEST-1: ann@example.com" => NotVerified }
        means! { 400 "MessageRejected" "Message contains a virus" => Rejected }
        means! { 400 "BadRequestException" "Illegal address <ann@example.com>" => Rejected }
        means! { 400 "MailFromDomainNotVerifiedException" "The MAIL FROM domain is not verified" => NotVerified }
        means! { 400 "AccountSuspendedException" "suspended" => Paused }
        means! { 400 "SendingPausedException" "paused" => Paused }
        means! { 400 "LimitExceededException" "too many" => Throttled }
        means! { 429 "TooManyRequestsException" "Maximum sending rate exceeded" => Throttled }
        means! { 400 "ThrottlingException" "Rate exceeded" => Throttled }
        means! { 404 "NotFoundException" "Configuration set <events> does not exist" => Refused }
        means! { 403 "AccessDeniedException" "not authorized to perform ses:SendEmail" => Refused }
        means! { 403 "ExpiredTokenException" "The security token is expired" => Refused }
        means! { 500 "InternalFailure" "an internal error" => Uncertain }
        means! { 503 "ServiceUnavailable" "try later" => Unavailable }
    }

    #[tokio::test]
    async fn a_lost_answer_is_uncertain_and_a_refused_connection_is_not() {
        let lost = error_of(Answer::HangUp).await;
        assert!(lost.may_have_been_sent(), "{lost:?}");
        let garbled = error_of(Answer::Garbled).await;
        assert!(garbled.may_have_been_sent(), "{garbled:?}");
        let stub = SesStub::start().await;
        stub.stop().await;
        let unheard = stub.mailer.send(&letter()).await.unwrap_err();
        assert!(matches!(unheard, MailError::Unavailable { .. }) && !unheard.may_have_been_sent(), "{unheard:?}");
    }

    #[test]
    fn a_sender_is_written_as_mail_wants_it() {
        let address: EmailAddress = "no-reply@example.com".parse().unwrap();
        let from = |name: &str| mailbox(Name::new(name).as_ref(), &address);
        assert_eq!(from(""), "no-reply@example.com");
        assert_eq!(from("Holdfast"), "\"Holdfast\" <no-reply@example.com>");
        assert_eq!(from("A, \"B\" <c>"), "\"A, \\\"B\\\" <c>\" <no-reply@example.com>");
        assert_eq!(from("Ä\r\nB"), "=?UTF-8?B?w4QgQg==?= <no-reply@example.com>");
    }

    proptest! {
        #[test]
        fn encoded_words_are_short_whole_and_say_the_same(text in "\\PC{0,80}") {
            let encoded = encoded_words(&text);
            let mut decoded = String::new();
            for word in encoded.split(' ') {
                prop_assert!(word.len() <= 75 && word.is_ascii());
                let body = word.strip_prefix("=?UTF-8?B?").and_then(|word| word.strip_suffix("?=")).unwrap();
                decoded.push_str(&String::from_utf8(STANDARD.decode(body).unwrap()).unwrap());
            }
            prop_assert_eq!(decoded, text);
        }
    }
}
