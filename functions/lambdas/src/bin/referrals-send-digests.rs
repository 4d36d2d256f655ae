fn main() -> std::process::ExitCode {
    runtime::serve_sqs(referrals::send_digests::worker())
}
