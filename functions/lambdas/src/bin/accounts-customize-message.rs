fn main() -> std::process::ExitCode {
    runtime::serve_trigger(accounts::customize_message::trigger())
}
