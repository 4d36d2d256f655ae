fn main() -> std::process::ExitCode {
    runtime::serve_sqs(tokens::refresh_clusters::worker())
}
