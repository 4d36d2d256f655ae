fn main() -> std::process::ExitCode {
    runtime::serve_http(tokens::explain_cluster::route())
}
