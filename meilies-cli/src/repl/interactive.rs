//! The prompt at a terminal.

use futures::FutureExt;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::editor::{Editor, Line, terminal_failure};
use super::shell::{Outcome, Shell};
use super::words::split;
use crate::failure::Failure;

/// What rustyline turns on while a line is edited: that the terminal marks text that is pasted.
const BRACKETED_PASTE_OFF: &[u8] = b"\x1b[?2004l";

/// Reads commands until the user has enough.
pub(crate) async fn run(shell: &mut Shell, mut editor: Editor) -> Result<(), Failure> {
    let terminal = tcgetattr(std::io::stdin()).ok();
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    tokio::select! {
        outcome = prompts(shell, &mut editor) => return outcome,
        _ = terminate.recv() => {}
    }
    restore(shell, terminal.as_ref()).await?;
    Err(Failure::Interrupted)
}

/// The thread that edits the line cannot be told to end: the terminal is put back without it.
async fn restore(shell: &mut Shell, terminal: Option<&Termios>) -> Result<(), Failure> {
    if let Some(terminal) = terminal {
        // There is nobody to tell if the terminal is gone.
        let _restored = tcsetattr(std::io::stdin(), OptionalActions::Now, terminal);
        shell.print(BRACKETED_PASTE_OFF).await?;
    }
    Ok(())
}

async fn prompts(shell: &mut Shell, editor: &mut Editor) -> Result<(), Failure> {
    let mut interrupts = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    let mut out = Vec::new();
    if let Err(error) = shell.session.connect().await {
        shell.view.error(&mut out, &error.to_string());
    }
    shell.view.note(
        &mut out,
        "Type help for what can be typed, and quit to end.",
    );
    shell.print(&out).await?;
    loop {
        editor.ask(prompt(shell).to_owned());
        let Some(line) = wait(shell, editor).await? else {
            return Ok(());
        };
        let mut out = Vec::new();
        match split(line.as_bytes()) {
            Ok(words) => {
                if command(shell, &words, &mut interrupts).await? {
                    return Ok(());
                }
            }
            Err(error) => shell.view.error(&mut out, &error.to_string()),
        }
        shell.print(&out).await?;
    }
}

fn prompt(shell: &Shell) -> &'static str {
    match shell.session.is_connected() {
        true => "meilies> ",
        false => "not connected> ",
    }
}

/// Waits for a line, and shows what comes meanwhile. Gives nothing at the end.
async fn wait(shell: &mut Shell, editor: &mut Editor) -> Result<Option<String>, Failure> {
    loop {
        tokio::select! {
            biased;
            line = editor.lines.recv() => match line {
                Some(Line::Typed(line)) => return Ok(Some(line)),
                Some(Line::Cleared) => return Ok(Some(String::new())),
                Some(Line::Failed(error)) => return Err(terminal_failure(error)),
                Some(Line::HistoryFailed(error)) => {
                    let mut out = Vec::new();
                    shell.view.note(&mut out, &format!("the history cannot be kept: {error}"));
                    shell.print(&out).await?;
                }
                Some(Line::End) | None => return Ok(None),
            },
            () = show_pushes(shell, &editor.shown) => {}
        }
    }
}

/// Waits for pushes, once there is room for them, and has them shown. May be dropped.
async fn show_pushes(shell: &mut Shell, shown: &mpsc::Sender<String>) {
    let Ok(room) = shown.reserve().await else {
        return std::future::pending().await;
    };
    let (mut out, lost) = shell.pushes().await;
    if let Some(error) = lost {
        shell.lost(&mut out, &error);
    }
    room.send(String::from_utf8_lossy(&out).into_owned());
}

/// Does what words say, and says whether that is to end.
async fn command(
    shell: &mut Shell,
    words: &[Vec<u8>],
    interrupts: &mut Signal,
) -> Result<bool, Failure> {
    // A Ctrl-C that came too late was not for this command.
    while interrupts.recv().now_or_never().is_some() {}
    let outcome = tokio::select! {
        outcome = connected(shell, words) => Some(outcome?),
        _ = interrupts.recv() => None,
    };
    let mut out = Vec::new();
    match outcome {
        Some(Outcome::End) => return Ok(true),
        Some(Outcome::Done | Outcome::Refused(_)) => {}
        Some(Outcome::Lost(error)) => shell.lost(&mut out, &error),
        None => {
            // The reply may come later, and would be taken for that to another command.
            shell.session.disconnect();
            shell
                .view
                .note(&mut out, "not waited for: the connection is closed");
        }
    }
    shell.print(&out).await?;
    Ok(false)
}

/// Does what words say, over a new connection if there is none.
async fn connected(shell: &mut Shell, words: &[Vec<u8>]) -> Result<Outcome, Failure> {
    if Shell::needs_server(words) && !shell.session.is_connected() {
        if let Err(error) = shell.session.connect().await {
            return Ok(Outcome::Lost(error));
        }
        let mut out = Vec::new();
        shell.view.note(&mut out, "connected again");
        shell.print(&out).await?;
    }
    shell.run(words).await
}
