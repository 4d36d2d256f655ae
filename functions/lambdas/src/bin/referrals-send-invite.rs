fn main() -> std::process::ExitCode {
    runtime::serve_http(referrals::send_invite::route())
}
