fn main() -> std::process::ExitCode {
    runtime::serve_sqs(referrals::credit_points::worker())
}
