fn main() -> std::process::ExitCode {
    runtime::serve_http(referrals::create_user::route())
}
