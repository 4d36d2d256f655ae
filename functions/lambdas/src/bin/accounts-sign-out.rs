fn main() -> std::process::ExitCode {
    runtime::serve_http(accounts::sign_out::route())
}
