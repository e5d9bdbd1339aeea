//! `parsctl engine top`: a live look at the engine of a running process.

mod page;
mod picture;
mod scrape;
mod screen;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use console::Term;

use super::CtlError;
use page::Page;
use picture::Picture;
use scrape::Target;
use screen::History;

pub(super) use page::PageError;
pub(super) use scrape::ScrapeError;

/// Width of what does not go to a terminal.
const PLAIN_WIDTH: usize = 200;

/// Failures in a row after which a process that was there counts as gone.
const PATIENCE: u32 = 30;

#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// Where the process serves its metrics.
    #[arg(long, short, value_name = "URL", default_value = crate::metrics::DEFAULT_ADDRESS, env = "PARS_METRICS_URL")]
    url: String,
    /// Seconds between two looks.
    #[arg(long, short, value_name = "SECONDS", default_value_t = 1.0, value_parser = interval)]
    interval: f64,
    /// One picture, then the end.
    #[arg(long)]
    once: bool,
    /// A JSON object a line for each picture.
    #[arg(long)]
    json: bool,
}

fn interval(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3_600.0).contains(&seconds) => Ok(seconds),
        _ => Err("the interval is 0.1 to 3600 seconds".to_owned()),
    }
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<ExitCode, CtlError> {
    let target = Target::parse(&options.url)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let terminal = Term::stdout();
    if terminal.is_term() && !options.once && !options.json {
        let screen = Screen::enter(terminal)?;
        let watched = runtime.block_on(async {
            let mut view = View::Live(&screen);
            tokio::select! {
                watched = watch(&target, options, &mut view) => watched,
                _ = stop() => Ok(()),
            }
        });
        drop(screen);
        watched?;
    } else {
        let mut view = View::Plain(out);
        runtime.block_on(watch(&target, options, &mut view))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for Ctrl-C or a request to end.
async fn stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut end) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = end.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// A terminal's second screen; leaves it when dropped.
struct Screen(Term);

impl Screen {
    fn enter(terminal: Term) -> Result<Self, CtlError> {
        terminal.write_str("\x1b[?1049h\x1b[?25l")?;
        terminal.flush()?;
        Ok(Self(terminal))
    }

    fn show(&self, lines: &[String]) -> Result<(), CtlError> {
        let (rows, _) = self.0.size();
        // Overwriting line by line does not flicker.
        let mut text = String::from("\x1b[H");
        for line in lines.iter().take(usize::from(rows).saturating_sub(1)) {
            text.push_str(line);
            text.push_str("\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        self.0.write_str(&text)?;
        Ok(self.0.flush()?)
    }

    fn width(&self) -> usize {
        usize::from(self.0.size().1)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.0.write_str("\x1b[?25h\x1b[?1049l");
        let _ = self.0.flush();
    }
}

/// Where pictures go.
enum View<'a> {
    Live(&'a Screen),
    Plain(&'a mut dyn Write),
}

impl View<'_> {
    fn show(
        &mut self,
        picture: &Picture,
        history: &History,
        title: &str,
        json: bool,
    ) -> Result<(), CtlError> {
        match self {
            Self::Live(screen) => screen.show(&screen::draw(
                picture,
                history,
                &format!("{title}, Ctrl-C ends"),
                screen.width(),
            )),
            Self::Plain(out) if json => {
                serde_json::to_writer(&mut **out, &picture.json())?;
                writeln!(out)?;
                Ok(out.flush()?)
            }
            Self::Plain(out) => {
                for line in screen::draw(picture, history, title, PLAIN_WIDTH) {
                    writeln!(out, "{}", line.trim_end())?;
                }
                writeln!(out)?;
                Ok(out.flush()?)
            }
        }
    }
}

async fn look(target: &Target) -> Result<(Page, Instant), CtlError> {
    let text = target.page().await?;
    Ok((Page::parse(&text)?, Instant::now()))
}

async fn watch(target: &Target, options: &Options, view: &mut View<'_>) -> Result<(), CtlError> {
    let pause = Duration::from_secs_f64(options.interval);
    let mut history = History::default();
    let (mut before, mut at) = look(target).await?;
    let mut missed = 0;
    loop {
        tokio::time::sleep(pause).await;
        let (now, then) = match look(target).await {
            Ok(seen) => seen,
            // A process between two engines, or one that starts again.
            Err(CtlError::Scrape(_)) if missed < PATIENCE && !options.once => {
                missed += 1;
                if let View::Live(screen) = view {
                    let gone = format!("{} does not answer; trying again", target.url());
                    screen.show(&[gone])?;
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        missed = 0;
        let picture = Picture::between(&before, &now, then - at);
        (before, at) = (now, then);
        history.add(&picture);
        let title = format!(
            "pars engine at {}, every {} s",
            target.url(),
            options.interval
        );
        view.show(&picture, &history, &title, options.json)?;
        if options.once {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricsThread;
    use std::sync::Arc;

    fn options(url: String, json: bool) -> Options {
        Options {
            url,
            interval: 0.1,
            once: true,
            json,
        }
    }

    #[test]
    fn the_engine_of_a_process_is_seen_from_outside() {
        let engine = pars_engine::Engine::builder()
            .gpu(pars_engine::GpuPolicy::Off)
            .build()
            .unwrap();
        let page = engine.clone();
        let server = MetricsThread::start(
            ([127, 0, 0, 1], 0).into(),
            Arc::new(move || page.prometheus()),
        )
        .unwrap();
        let url = server.address().to_string();
        let mut out = Vec::new();
        run(&options(url.clone(), false), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for part in ["a second", "mldsa/verify", "cpu", "of 65,536 jobs"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let mut out = Vec::new();
        run(&options(url, true), &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["backends"][0]["backend"], "cpu");
    }

    #[test]
    fn nobody_there_is_said_with_what_to_do() {
        // A port that was free a moment ago.
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = free.local_addr().unwrap().to_string();
        drop(free);
        let error = run(&options(url, false), &mut Vec::new()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("parsctl engine bench") && text.contains("--url"),
            "{text}"
        );
        // Somebody else's page.
        let other =
            MetricsThread::start(([127, 0, 0, 1], 0).into(), Arc::new(|| "up 1\n".to_owned()))
                .unwrap();
        let url = other.address().to_string();
        let error = run(&options(url.clone(), false), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("another program"), "{error}");
        let error = run(&options(format!("{url}/other"), false), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("404"), "{error}");
    }
}
