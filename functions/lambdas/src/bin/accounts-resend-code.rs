fn main() -> std::process::ExitCode {
    runtime::serve_http(accounts::resend_code::route())
}
