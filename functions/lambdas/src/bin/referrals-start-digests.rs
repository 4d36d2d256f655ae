fn main() -> std::process::ExitCode {
    runtime::serve_schedule(referrals::start_digests::schedule())
}
