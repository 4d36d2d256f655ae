fn main() -> std::process::ExitCode {
    runtime::serve_http(accounts::answer_challenge::route())
}
