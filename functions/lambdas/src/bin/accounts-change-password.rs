fn main() -> std::process::ExitCode {
    runtime::serve_http(accounts::change_password::route())
}
