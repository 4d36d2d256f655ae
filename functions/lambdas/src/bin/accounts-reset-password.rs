fn main() -> std::process::ExitCode {
    runtime::serve_http(accounts::reset_password::route())
}
