fn main() -> std::process::ExitCode {
    runtime::serve_http(referrals::get_member::route())
}
