//! The system's bound on open files: every client is one, and the log and the index need theirs.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open beside the clients' sockets: segments being read, the index, standard
/// streams, the runtime's own.
const FILES_BESIDE_CLIENTS: u64 = 512;

/// Raises this process' bound on open files so that so many clients fit, as far as the system
/// lets it. Returns how many clients fit, `clients` at most.
pub fn make_room_for(clients: usize) -> usize {
    let needed = u64::try_from(clients)
        .unwrap_or(u64::MAX)
        .saturating_add(FILES_BESIDE_CLIENTS);
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < needed) else {
        return clients;
    };
    let wanted = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    let files = setrlimit(Resource::Nofile, raised).map_or(current, |()| wanted);
    clients_that_fit(files).min(clients)
}

fn clients_that_fit(files: u64) -> usize {
    let clients = files
        .saturating_sub(FILES_BESIDE_CLIENTS)
        .max(files / 2)
        .max(1);
    usize::try_from(clients).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_leave_half_of_them_to_clients() {
        assert_eq!(clients_that_fit(0), 1);
        assert_eq!(clients_that_fit(256), 128);
        assert_eq!(clients_that_fit(1024), 512);
        assert_eq!(clients_that_fit(4096), 3584);
    }

    #[test]
    fn a_few_clients_always_fit_and_never_more_than_asked() {
        assert_eq!(make_room_for(10), 10);
        assert!(make_room_for(usize::MAX) < usize::MAX);
    }
}
