fn main() -> std::process::ExitCode {
    runtime::serve_http(tokens::get_changes::route())
}
