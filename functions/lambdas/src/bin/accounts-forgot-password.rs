fn main() -> std::process::ExitCode {
    runtime::serve_http(accounts::forgot_password::route())
}
