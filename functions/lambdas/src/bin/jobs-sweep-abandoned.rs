fn main() -> std::process::ExitCode {
    runtime::serve_schedule(jobs::sweep_abandoned::schedule())
}
