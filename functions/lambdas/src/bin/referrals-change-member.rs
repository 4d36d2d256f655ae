fn main() -> std::process::ExitCode {
    runtime::serve_http(referrals::change_member::route())
}
