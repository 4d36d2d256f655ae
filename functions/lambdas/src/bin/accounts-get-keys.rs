fn main() -> std::process::ExitCode {
    runtime::serve_http(accounts::get_keys::route())
}
