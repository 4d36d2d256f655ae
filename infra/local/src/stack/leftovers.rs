use std::ffi::OsStr;

use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, Signal, System, UpdateKind};

use super::servers::MARK;

/// Processes that carry a stack's mark in their environment, whoever their parent is by now; without this one.
pub fn leftovers(id: &str) -> Vec<u32> {
    marked(&list(), id).map(|process| process.pid().as_u32()).collect()
}

/// Ends the keeper of a stack and waits until it is gone, by itself or after ten seconds by force, then everything else
/// that carries its mark. True when nothing is left.
pub fn ended(id: &str, keeper: u32) -> bool {
    let pid = Pid::from_u32(keeper);
    let is_keeper = |system: &System| system.process(pid).is_some_and(|process| carries(process, id));
    if let Some(process) = list().process(pid).filter(|process| carries(process, id)) {
        process.kill_with(Signal::Term);
    }
    for _ in 0..150 {
        if !is_keeper(&list()) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    kill(id)
}

/// Ends everything with the mark at once.
pub(super) fn kill(id: &str) -> bool {
    for _ in 0..100 {
        let system = list();
        let mut left = marked(&system, id).peekable();
        if left.peek().is_none() {
            return true;
        }
        left.for_each(|process| {
            process.kill();
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    false
}

/// Asks a process to end.
pub(super) fn terminate(pid: u32) {
    let pid = Pid::from_u32(pid);
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
    if let Some(process) = system.process(pid) {
        process.kill_with(Signal::Term);
    }
}

fn list() -> System {
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().with_environ(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    system
}

fn marked<'a>(system: &'a System, id: &'a str) -> impl Iterator<Item = &'a Process> {
    let own = std::process::id();
    let others = system.processes().values().filter(move |process| process.pid().as_u32() != own);
    others.filter(move |process| process.thread_kind().is_none() && carries(process, id))
}

fn carries(process: &Process, id: &str) -> bool {
    let mark = format!("{MARK}={id}");
    process.environ().iter().any(|variable| variable == OsStr::new(&mark))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_carries_the_mark_is_found_and_ended_and_nothing_else() {
        let id = format!("test-{}", std::process::id());
        let start = |mark: &str| Command::new("sleep").arg("600").env(MARK, mark).spawn().unwrap();
        let (mut ours, mut other) = (start(&id), start("another"));
        assert_eq!(leftovers(&id), [ours.id()]);
        let waiting = std::thread::spawn(move || ours.wait().unwrap());
        assert!(kill(&id));
        assert!(!waiting.join().unwrap().success());
        assert_eq!(other.try_wait().unwrap(), None);
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
