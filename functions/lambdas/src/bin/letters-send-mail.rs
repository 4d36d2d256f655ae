fn main() -> std::process::ExitCode {
    runtime::serve_sqs(letters::send_mail::worker())
}
