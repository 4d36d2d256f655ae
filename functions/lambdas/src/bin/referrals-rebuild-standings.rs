fn main() -> std::process::ExitCode {
    runtime::serve_sqs(referrals::rebuild_standings::worker())
}
