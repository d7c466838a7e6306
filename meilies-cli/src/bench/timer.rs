//! Waits that end when they should. The timers of tokio are good to a millisecond, which is more
//! than most of what is measured; those of Linux are good to some microseconds.

use std::io;
use std::time::Instant;

pub(crate) use self::system::Timer;

#[cfg(target_os = "linux")]
mod system {
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::net::unix::pipe::Receiver;

    use super::{Instant, io};

    /// What a timer gives to be read: how often it has expired.
    const EXPIRATIONS_BYTES: usize = 8;

    /// A timer of the system, for one wait at a time.
    #[derive(Debug)]
    pub(crate) struct Timer {
        /// It is no pipe, but is waited for and read as one: tokio has no other type that takes
        /// any file without unsafe code.
        file: Receiver,
    }

    impl Timer {
        /// Makes one, within a runtime.
        pub(crate) fn new() -> io::Result<Timer> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            Ok(Timer {
                file: Receiver::from_owned_fd_unchecked(fd)?,
            })
        }

        /// Waits until a time. May be dropped.
        pub(crate) async fn until(&mut self, time: Instant) -> io::Result<()> {
            // A wait can be over before anything else had its turn, and so can the next. Then
            // replies would lie unread: whoever waits lets the others go first.
            tokio::task::yield_now().await;
            let wait = time.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Ok(());
            }
            let once = Itimerspec {
                it_interval: Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                },
                it_value: Timespec {
                    tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: i64::from(wait.subsec_nanos()),
                },
            };
            timerfd_settime(&self.file, TimerfdTimerFlags::empty(), &once)?;
            loop {
                self.file.readable().await?;
                match self.file.try_read(&mut [0; EXPIRATIONS_BYTES]) {
                    Ok(_) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Instant, io};

    /// A timer of tokio: what is sent too late is told with the results.
    #[derive(Debug)]
    pub(crate) struct Timer;

    impl Timer {
        /// Makes one.
        pub(crate) fn new() -> io::Result<Timer> {
            Ok(Timer)
        }

        /// Waits until a time. May be dropped.
        pub(crate) async fn until(&mut self, time: Instant) -> io::Result<()> {
            tokio::time::sleep_until(time.into()).await;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_wait_does_not_end_too_early() {
        let mut timer = Timer::new().expect("the system has timers");
        for wait in [0, 1, 50, 1500] {
            let until = Instant::now() + Duration::from_micros(wait);
            timer.until(until).await.expect("the system has timers");
            assert!(Instant::now() >= until);
        }
    }

    #[tokio::test]
    async fn a_wait_that_was_dropped_does_not_end_the_next() {
        let mut timer = Timer::new().expect("the system has timers");
        let later = Instant::now() + Duration::from_secs(3600);
        let short = Duration::from_millis(1);
        let dropped = tokio::time::timeout(short, timer.until(later)).await;
        assert!(dropped.is_err(), "it is too early");
        let until = Instant::now() + Duration::from_millis(3);
        timer.until(until).await.expect("the system has timers");
        assert!(Instant::now() >= until);
    }
}
