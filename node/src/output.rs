//! Writing to standard output and standard error when nobody may be reading any more.
//!
//! `println!` panics where its reader has gone (`parsd db verify | head -1`). Here that is an end of the output
//! and not of the work: what was asked for is still done, and the exit status still says how it went.

use std::fmt;
use std::io::{self, Write};

/// Writes a line to standard output. That nobody reads it is no error.
///
/// # Errors
/// Whatever else keeps the line from being written, such as a full disk behind a redirection.
pub(crate) fn line(text: fmt::Arguments<'_>) -> io::Result<()> {
    unread_is_fine(writeln!(io::stdout().lock(), "{text}"))
}

/// Writes text to standard output as it is. That nobody reads it is no error.
///
/// # Errors
/// As [`line`].
pub(crate) fn text(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    unread_is_fine(out.write_all(text).and_then(|()| out.flush()))
}

/// Says on standard error why a command failed. Where that cannot be said either, the exit status is left.
pub(crate) fn complaint(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// What a shell completes a command's arguments with.
///
/// # Errors
/// As [`line`].
pub(crate) fn completions<C: clap::CommandFactory>(
    shell: clap_complete::Shell,
    name: &str,
) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut C::command(), name, &mut script);
    text(&script)
}

fn unread_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_pipe_is_fine() {
        assert!(unread_is_fine(Err(io::ErrorKind::BrokenPipe.into())).is_ok());
        assert!(unread_is_fine(Err(io::ErrorKind::StorageFull.into())).is_err());
        assert!(unread_is_fine(Ok(())).is_ok());
    }
}
