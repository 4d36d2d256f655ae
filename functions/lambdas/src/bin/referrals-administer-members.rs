fn main() -> std::process::ExitCode {
    runtime::serve_trigger(referrals::administer_members::trigger())
}
