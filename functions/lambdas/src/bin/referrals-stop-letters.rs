fn main() -> std::process::ExitCode {
    runtime::serve_http(referrals::stop_letters::route())
}
