fn main() -> std::process::ExitCode {
    runtime::serve_sqs(letters::take_mail_events::worker())
}
