fn main() -> std::process::ExitCode {
    runtime::serve_http(accounts::refresh_session::route())
}
