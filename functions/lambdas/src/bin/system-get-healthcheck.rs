fn main() -> std::process::ExitCode {
    runtime::serve_http(system::get_healthcheck::route())
}
