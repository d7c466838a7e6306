//! Answers to many requests in one wake-up.
//!
//! A commit of fifty requests has fifty connections waiting. Woken one by one from outside the
//! runtime they cost a system call or two each; so the answers of a commit are handed to one task
//! inside the runtime, which passes them on.

use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::transaction::Transacted;
use crate::engine::{StoreError, WriteOutcome};

/// An answer and who waits for it.
#[derive(Debug)]
pub(super) enum Answer {
    Append(
        oneshot::Sender<Result<Vec<WriteOutcome>, StoreError>>,
        Result<Vec<WriteOutcome>, StoreError>,
    ),
    Transact(oneshot::Sender<Transacted>, Transacted),
}

impl Answer {
    /// The commit could not be written. What ran in vain is told so: its facts may have been those
    /// of this commit.
    pub(super) fn fail(&mut self, error: &StoreError) {
        match self {
            Answer::Append(_, result) => *result = Err(error.clone()),
            Answer::Transact(_, transacted) => transacted.fail(error),
        }
    }
}

/// The way to the task. Bounded by the requests that have a place in the queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    task: Arc<OnceLock<mpsc::UnboundedSender<Vec<Answer>>>>,
}

impl Answers {
    /// Starts the task in the runtime of the caller, once.
    pub(super) fn start(&self) {
        self.task.get_or_init(|| {
            let (sender, mut commits) = mpsc::unbounded_channel::<Vec<Answer>>();
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(async move {
                    while let Some(answers) = commits.recv().await {
                        pass_on(answers);
                    }
                });
            }
            sender
        });
    }

    /// Answers all, whatever became of the task.
    pub(super) fn send(&self, answers: Vec<Answer>) {
        match self.task.get() {
            Some(task) if answers.len() > 1 => {
                if let Err(unsent) = task.send(answers) {
                    // Its runtime is gone.
                    pass_on(unsent.0);
                }
            }
            _ => pass_on(answers),
        }
    }
}

fn pass_on(answers: Vec<Answer>) {
    for answer in answers {
        // A connection that is gone does not wait for its answer.
        match answer {
            Answer::Append(done, result) => drop(done.send(result)),
            Answer::Transact(done, transacted) => drop(done.send(transacted)),
        }
    }
}
