fn main() -> std::process::ExitCode {
    runtime::serve_sqs(jobs::fail_dead_letters::worker())
}
