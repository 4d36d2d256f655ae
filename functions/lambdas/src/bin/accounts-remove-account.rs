fn main() -> std::process::ExitCode {
    runtime::serve_sqs(accounts::remove_account::worker(lambdas::departures()))
}
