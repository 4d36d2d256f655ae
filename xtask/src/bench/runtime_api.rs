//! A stand-in for the Lambda Runtime API, for one function at a time; and, at the same address, for an AWS with
//! nothing in it. One thread a connection: a function has a handful.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::failure::{Doing, Result};

/// Larger bodies than Lambda's own limit are not read.
const BODY_LIMIT: u64 = 6 * 1024 * 1024;

const NEXT: &str = "/2018-06-01/runtime/invocation/next";

/// Lambda's answer when it has taken something.
const ACCEPTED: &str = "202 Accepted";

/// What a function did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// It is ready for an event.
    AskedForNext,
    /// It answered the event it was given.
    Answered(String),
    /// It reported that it could not start, or not answer.
    Failed(String),
}

pub(super) struct RuntimeApi {
    address: SocketAddr,
    happenings: Receiver<Happening>,
    /// Events for whoever asks for the next one; closed when this is dropped, which ends the waiting.
    events: Sender<String>,
}

/// What the connections share.
#[derive(Clone)]
struct Shared {
    happenings: Sender<Happening>,
    events: Arc<Mutex<Receiver<String>>>,
}

struct Request {
    method: String,
    path: String,
    body: String,
}

impl RuntimeApi {
    /// Listens on a port of its own on the loopback interface until its process ends; the listening thread waits and
    /// costs nothing.
    pub(super) fn listen() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").doing(|| "listening on 127.0.0.1".into())?;
        let address = listener.local_addr().doing(|| "asking for the port".into())?;
        let (happened, happenings) = mpsc::channel();
        let (events, next) = mpsc::channel();
        let shared = Shared { happenings: happened, events: Arc::new(Mutex::new(next)) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || shared.serve(&stream));
            }
        });
        Ok(Self { address, happenings, events })
    }

    /// `host:port`, as in `AWS_LAMBDA_RUNTIME_API`.
    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The next thing the function does; nothing when it does nothing for so long.
    pub(super) fn happening(&self, patience: Duration) -> Option<Happening> {
        self.happenings.recv_timeout(patience).ok()
    }

    /// Gives this event to the function as its next, now or when it asks.
    pub(super) fn invoke(&self, event: &str) {
        // Nobody is there to take it only after the listening thread has ended, which it does not.
        let _ = self.events.send(event.to_owned());
    }
}

impl Shared {
    /// Answers one request after the other until the function closes the connection.
    fn serve(&self, stream: &TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut reader = BufReader::new(stream);
        while let Ok(Some(request)) = read_request(&mut reader) {
            let Some(answer) = self.answer(&request) else { return };
            let mut stream = stream;
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    /// Nothing when there will not be an answer any more.
    fn answer(&self, request: &Request) -> Option<String> {
        let path = request.path.as_str();
        match request.method.as_str() {
            "GET" if path == NEXT => {
                self.happenings.send(Happening::AskedForNext).ok()?;
                let event = self.events.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()?;
                let headers = "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
                    Lambda-Runtime-Deadline-Ms: 32503680000000\r\n\
                    Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-2:123456789012:function:bench\r\n\
                    Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\n";
                Some(response("200 OK", headers, &event))
            }
            "POST" if path.starts_with("/2018-06-01/runtime/") && path.ends_with("/response") => {
                self.happenings.send(Happening::Answered(request.body.clone())).ok()?;
                Some(response(ACCEPTED, "", r#"{"status":"OK"}"#))
            }
            "POST" if path.starts_with("/2018-06-01/runtime/") && path.ends_with("/error") => {
                self.happenings.send(Happening::Failed(request.body.clone())).ok()?;
                Some(response(ACCEPTED, "", r#"{"status":"OK"}"#))
            }
            "POST" if path == "/2020-01-01/extension/register" => {
                let body = r#"{"functionName":"bench","functionVersion":"$LATEST","handler":"bootstrap"}"#;
                Some(response("200 OK", "Lambda-Extension-Identifier: bench\r\n", body))
            }
            // An extension waits here for the end, which is the end of the process.
            "GET" if path == "/2020-01-01/extension/event/next" => loop {
                thread::park();
            },
            // AWS's JSON protocols: an empty answer to every call is an account with nothing in it.
            _ => Some(response("200 OK", "", "{}")),
        }
    }
}

fn response(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
}

/// One HTTP/1.1 request; nothing at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "expected `METHOD /path HTTP/1.1`"));
    };
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        is_chunked |= name.eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked");
    }
    let mut body = Vec::new();
    if is_chunked {
        read_chunks(reader, &mut body)?;
    } else {
        read_exactly(reader, length, &mut body)?;
    }
    Ok(Some(Request { method, path, body: String::from_utf8_lossy(&body).into_owned() }))
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let digits = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
        if size == 0 {
            break;
        }
        read_exactly(reader, size, body)?;
        reader.read_line(&mut String::new())?;
    }
    // Trailers, then an empty line.
    loop {
        let mut trailer = String::new();
        if reader.read_line(&mut trailer)? == 0 || trailer.trim().is_empty() {
            return Ok(());
        }
    }
}

fn read_exactly(reader: &mut impl BufRead, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
    if length > BODY_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a body of more than 6 MiB"));
    }
    let read = reader.take(length).read_to_end(into)?;
    if u64::try_from(read).is_ok_and(|read| read == length) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Sends these bytes and reads one answer: its first line and its body.
    fn exchange(stream: &mut TcpStream, request: &str) -> (String, String) {
        stream.write_all(request.as_bytes()).unwrap();
        read_answer(stream)
    }

    fn read_answer(stream: &mut TcpStream) -> (String, String) {
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let Some((name, value)) = header.split_once(": ") else { break };
            if name == "Content-Length" {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = Vec::new();
        read_exactly(&mut reader, length, &mut body).unwrap();
        (status.trim().to_owned(), String::from_utf8(body).unwrap())
    }

    #[test]
    fn a_function_is_given_its_event_when_it_asks_and_its_answer_arrives() {
        let api = RuntimeApi::listen().unwrap();
        let mut function = TcpStream::connect(api.address()).unwrap();
        function.write_all(format!("GET {NEXT} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(api.happening(PATIENCE), Some(Happening::AskedForNext));
        api.invoke("{\"a\":1}");
        assert_eq!(read_answer(&mut function), ("HTTP/1.1 200 OK".into(), "{\"a\":1}".into()));
        let answer = "POST /2018-06-01/runtime/invocation/8476a536/response HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(exchange(&mut function, answer).0, "HTTP/1.1 202 Accepted");
        assert_eq!(api.happening(PATIENCE), Some(Happening::Answered("{}".into())));
    }

    #[test]
    fn errors_at_the_start_and_in_an_invocation_arrive() {
        let api = RuntimeApi::listen().unwrap();
        for path in ["init/error", "invocation/8476a536/error"] {
            let mut function = TcpStream::connect(api.address()).unwrap();
            let request = format!("POST /2018-06-01/runtime/{path} HTTP/1.1\r\ncontent-length: 4\r\n\r\noops");
            assert_eq!(exchange(&mut function, &request).0, "HTTP/1.1 202 Accepted");
            assert_eq!(api.happening(PATIENCE), Some(Happening::Failed("oops".into())));
        }
    }

    #[test]
    fn bodies_in_chunks_are_put_together() {
        let api = RuntimeApi::listen().unwrap();
        let mut function = TcpStream::connect(api.address()).unwrap();
        let request = "POST /2018-06-01/runtime/invocation/a/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
            3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: a\r\n\r\n";
        assert_eq!(exchange(&mut function, request).0, "HTTP/1.1 202 Accepted");
        assert_eq!(api.happening(PATIENCE), Some(Happening::Answered("abc0123456789".into())));
    }

    #[test]
    fn aws_answers_everything_with_nothing() {
        let api = RuntimeApi::listen().unwrap();
        let mut client = TcpStream::connect(api.address()).unwrap();
        let request = "POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.GetItem\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(exchange(&mut client, request), ("HTTP/1.1 200 OK".into(), "{}".into()));
    }

    #[test]
    fn what_is_no_request_closes_the_connection() {
        let api = RuntimeApi::listen().unwrap();
        for bad in ["\r\n", "POST /a HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"] {
            let mut client = TcpStream::connect(api.address()).unwrap();
            client.write_all(bad.as_bytes()).unwrap();
            let mut rest = Vec::new();
            // An end of the connection, or its reset when bytes were left unread.
            let _ = client.read_to_end(&mut rest);
            assert!(rest.is_empty(), "{bad}");
        }
    }
}
