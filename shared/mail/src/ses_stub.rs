//! The other side of [`SesMailer`](crate::SesMailer) in tests: answers on loopback as SES does, and keeps what it took.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use access::{Aws, AwsConfig, Credentials, EmailAddress, Roots};
use async_trait::async_trait;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::contract::{Arrived, Subject};
use crate::{Letterhead, Mailer, MessageId, Name, Sender, SesMailer, preview};

/// What the next request gets instead of being taken.
pub(crate) enum Answer {
    Error {
        status: u16,
        code: &'static str,
        message: &'static str,
    },
    /// The connection's end.
    HangUp,
    /// A 200 that is no JSON.
    Garbled,
}

pub(crate) struct SesStub {
    pub(crate) mailer: SesMailer,
    letterhead: Letterhead,
    state: Arc<State>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    received: Mutex<Vec<Value>>,
    answers: Mutex<VecDeque<Answer>>,
}

impl SesStub {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        let aws = Aws::new(AwsConfig {
            region: "eu-west-1".into(),
            endpoint_url: Some(endpoint),
            credentials: Credentials::new("id", "secret", None, None, "test"),
            roots: Roots::Amazon,
        });
        let letterhead = preview::letterhead();
        let sender = Sender {
            address: "no-reply@example.com".parse().unwrap(),
            name: Name::new("Holdfast"),
            reply_to: Some("support@example.com".parse().unwrap()),
        };
        let mailer = SesMailer::new(aws, letterhead.clone(), sender, Some("events".into()));
        Self { mailer, letterhead, state, server }
    }

    pub(crate) fn answer_next(&self, answer: Answer) {
        self.state.answers.lock().unwrap().push_back(answer);
    }

    /// The bodies of all requests, oldest first.
    pub(crate) fn received(&self) -> Vec<Value> {
        self.state.received.lock().unwrap().clone()
    }

    /// Nothing listens afterwards.
    pub(crate) async fn stop(&self) {
        self.server.abort();
        while !self.server.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl Subject for SesStub {
    fn mailer(&self) -> &dyn Mailer {
        &self.mailer
    }

    fn letterhead(&self) -> &Letterhead {
        &self.letterhead
    }

    async fn arrived(&self, to: &EmailAddress) -> Vec<Arrived> {
        let text = |request: &Value, path: &str| request.pointer(path).unwrap().as_str().unwrap().to_owned();
        let received = self.received();
        let numbered = received.iter().enumerate();
        let of_them = numbered.filter(|(_, request)| text(request, "/Destination/ToAddresses/0") == to.as_str());
        let arrived = of_them.map(|(number, request)| {
            let headers = request.pointer("/Content/Simple/Headers").unwrap().as_array().unwrap();
            let unsubscribe = headers.iter().find(|header| header["Name"] == "List-Unsubscribe");
            let link = unsubscribe.map(|header| text(header, "/Value").trim_matches(['<', '>']).to_owned());
            Arrived {
                id: message_id(number),
                subject: text(request, "/Content/Simple/Subject/Data"),
                text: text(request, "/Content/Simple/Body/Text/Data"),
                html: text(request, "/Content/Simple/Body/Html/Data"),
                template: Some(text(request, "/EmailTags/0/Value")),
                unsubscribe: Some(link),
            }
        });
        arrived.collect()
    }
}

fn message_id(number: usize) -> MessageId {
    MessageId(format!("stub-{number}"))
}

/// One request, one answer, and the connection's end.
async fn answer(mut stream: TcpStream, state: Arc<State>) {
    let Some((head, body)) = request(&mut stream).await else { return };
    assert!(head.starts_with("POST /v2/email/outbound-emails HTTP/1.1\r\n"), "{head}");
    let number = {
        let mut received = state.received.lock().unwrap();
        received.push(serde_json::from_slice(&body).unwrap());
        received.len() - 1
    };
    let next = state.answers.lock().unwrap().pop_front();
    let (status, code, body) = match next {
        None => (200, "", serde_json::json!({"MessageId": message_id(number)}).to_string()),
        Some(Answer::Error { status, code, message }) => {
            (status, code, serde_json::json!({"message": message}).to_string())
        }
        Some(Answer::Garbled) => (200, "", "<html>".to_owned()),
        Some(Answer::HangUp) => return,
    };
    let answer = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nx-amzn-errortype: {code}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// Head and body; nothing when the connection ends before.
async fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(read[..end + 2].to_vec()).unwrap();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                if name.eq_ignore_ascii_case("content-length") { value.trim().parse::<usize>().ok() } else { None }
            });
            let whole = end + 4 + length.unwrap_or(0);
            if read.len() >= whole {
                return Some((head, read[end + 4..whole].to_vec()));
            }
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}
