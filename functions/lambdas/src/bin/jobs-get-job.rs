fn main() -> std::process::ExitCode {
    runtime::serve_http(jobs::get_job::route())
}
