fn main() -> std::process::ExitCode {
    runtime::serve_http(referrals::list_letters::route())
}
