fn main() -> std::process::ExitCode {
    runtime::serve_http(tokens::keep_labels::route())
}
