fn main() -> std::process::ExitCode {
    runtime::serve_http(referrals::check_code::route())
}
