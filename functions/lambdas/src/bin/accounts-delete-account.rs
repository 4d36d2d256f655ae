fn main() -> std::process::ExitCode {
    runtime::serve_http(accounts::delete_account::route())
}
