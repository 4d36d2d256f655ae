fn main() -> std::process::ExitCode {
    runtime::serve_http(referrals::withdraw_invite::route())
}
