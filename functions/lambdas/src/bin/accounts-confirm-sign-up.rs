fn main() -> std::process::ExitCode {
    runtime::serve_http(accounts::confirm_sign_up::route())
}
