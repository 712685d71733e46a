//! Logs: a JSON line per delivery, never with a secret, a body or a signature.

mod queue;

use std::net::IpAddr;

use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::delivery::Delivery;
use crate::env::{Env, EnvProblem, LAMBDA_LOG_LEVEL};
use crate::metrics::{Ended, Metrics};
use crate::outcome::{Ending, Outcome, Sends, Why};
use crate::queue::Target;
use queue::LineQueue;

/// Name of the variable with the level of the log.
pub const LOG_LEVEL: &str = "LOG_LEVEL";
const LOG_FORMAT: &str = "LOG_FORMAT";
pub(crate) use queue::{dropped, flush};

/// Starts logging to standard output. Lambda's own settings take precedence over `LOG_LEVEL` and
/// `LOG_FORMAT`. Each binary calls this once; a second call has no effect.
pub fn init(env: &Env) {
    init_to(env, std::io::stdout);
}

/// Starts logging for a server, through a queue, so that a stalled reader of the log does not stop the
/// server.
pub(crate) fn init_queued(env: &Env) {
    match LineQueue::to_stdout() {
        Some(queue) => init_to(env, queue),
        None => init(env),
    }
}

/// Starts logging to `out` with the settings of [`init`].
pub fn init_to(env: &Env, out: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) {
    let level = env.get(LAMBDA_LOG_LEVEL).or_else(|| env.get(LOG_LEVEL));
    let format = env.get("AWS_LAMBDA_LOG_FORMAT").or_else(|| env.get(LOG_FORMAT));
    let builder = tracing_subscriber::fmt()
        .with_max_level(level.as_deref().and_then(parse_level).unwrap_or(LevelFilter::INFO))
        .with_target(false)
        .with_writer(out)
        // By default, errors of the log are written to standard error, and the process ends if that fails
        // too. Then a full disk under the log would lose more than the log.
        .log_internal_errors(false)
        .with_ansi(false);
    let plain = format.is_some_and(|f| is_plain(&f) == Some(true));
    // An error means that a subscriber is already set.
    let _ = if plain {
        builder.try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
}

/// Parses a log level. Trace becomes debug, because at trace the Lambda runtime logs whole events with
/// bodies.
fn parse_level(text: &str) -> Option<LevelFilter> {
    let level = match text.to_ascii_lowercase().as_str() {
        "trace" | "debug" => LevelFilter::DEBUG,
        "warn" | "warning" => LevelFilter::WARN,
        "error" | "fatal" | "critical" => LevelFilter::ERROR,
        "off" => LevelFilter::OFF,
        "info" => LevelFilter::INFO,
        _ => return None,
    };
    Some(level)
}

/// Returns true for plain text and false for JSON, or `None` for an unknown format.
fn is_plain(format: &str) -> Option<bool> {
    let is = |name| format.eq_ignore_ascii_case(name);
    (is("text") || is("json")).then(|| is("text"))
}

/// Returns the problems of `LOG_LEVEL` and `LOG_FORMAT`. Lambda checks its own variables.
pub(crate) fn problems(env: &Env) -> impl Iterator<Item = EnvProblem> {
    let is_no_level = "is not debug, info, warn, error or off: info is used instead";
    let level = EnvProblem::or_value(env, LOG_LEVEL, None, |text| parse_level(text).map(Some), is_no_level);
    let is_no_format = "is neither json nor text: json is used instead";
    let format = EnvProblem::or_value(env, LOG_FORMAT, None, |text| is_plain(text).map(Some), is_no_format);
    level.err().into_iter().chain(format.err())
}

/// Class of a request that was cancelled before it was verified.
const GIVEN_UP: &str = "cancelled";

/// Upper bound on the length of an event that is logged, in bytes.
const MAX_EVENT: usize = 256;

/// Upper bound on the length of a path that is logged, in bytes.
const MAX_PATH: usize = 256;

/// Returns as much of a path as the log shows.
pub(crate) fn shown(path: &str) -> &str {
    let end = (0..=MAX_PATH.min(path.len())).rev().find(|end| path.is_char_boundary(*end));
    path.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// Facts about a request, by which an operator finds its sender, or the wrong address that it was given. They
/// never include the query, which may hold a token.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Method, if the request was refused by its head.
    pub method: Option<String>,
    /// Path of the request, or of its hook.
    pub path: Option<String>,
    /// Size of the body, if it is known.
    pub bytes: Option<usize>,
    /// Upper bound on the size that the body exceeds.
    pub limit: Option<usize>,
    /// Address of the sender, if the platform reports it.
    pub source_ip: Option<IpAddr>,
}

/// Log line of a request, which is written once: with the request's ending, or without one if the request is
/// given up.
#[derive(Debug)]
pub struct Line {
    request_id: String,
    hook: Option<String>,
    event: Option<String>,
    delivery: Option<String>,
    secret: Option<usize>,
    verifier: Option<usize>,
    /// Facts about the request that only the line of a refusal has.
    asked: Asked,
    /// Time at which the request began to arrive, or `None` if no sender waits for the answer.
    received: Option<Instant>,
    metrics: Metrics,
    started: Instant,
    verified: Option<Instant>,
    is_written: bool,
}

impl Line {
    /// Starts a line and its clock. The ending is also counted in `metrics`. `received` is the time at which
    /// the request began to arrive, if a sender waits for the answer.
    pub fn new(request_id: &str, received: Option<Instant>, metrics: &Metrics) -> Self {
        Self {
            request_id: request_id.to_owned(),
            hook: None,
            event: None,
            delivery: None,
            secret: None,
            verifier: None,
            asked: Asked::default(),
            received,
            metrics: metrics.clone(),
            started: Instant::now(),
            verified: None,
            is_written: false,
        }
    }

    /// Records the name of the request's hook, if the request has one.
    pub fn of_hook(&mut self, name: Option<&str>) {
        self.hook = name.map(str::to_owned);
    }

    /// Records facts about the request, for the case that it is refused.
    pub fn asks(&mut self, asked: Asked) {
        self.asked = asked;
    }

    /// Records that verification has ended, and with which delivery.
    pub fn verified(&mut self, delivery: Option<&Delivery>) {
        self.verified = Some(Instant::now());
        let Some(delivery) = delivery else { return };
        // The body may hold the event's name, so an implausibly long name is not logged.
        self.event = delivery.event.clone().filter(|event| event.len() <= MAX_EVENT);
        self.delivery = Some(delivery.id.clone());
        self.secret = delivery.secret;
        self.verifier = delivery.verifier;
    }

    /// Writes the line at the level info if all is well, warn if the request is at fault, and error if the
    /// service is at fault.
    pub fn write(mut self, ending: &Ending) {
        self.is_written = true;
        self.log(ending.outcome, ending.why.as_ref(), &ending.sends, Some(ending.status()));
    }

    fn log(&self, outcome: Outcome, why: Option<&Why>, sends: &Sends, status: Option<u16>) {
        let now = Instant::now();
        let class = why.map(|why| why.class);
        let Sends { rendered, sent, .. } = *sends;
        self.metrics.ended(Ended {
            hook: self.hook.as_deref(),
            outcome,
            class,
            secret: self.secret,
            send: rendered.map(|from| sent.unwrap_or(now).saturating_duration_since(from)),
            ack: self.received.filter(|_| outcome.is_ack()).map(|received| now - received),
        });
        let verify_ms = self.verified.map(|at| millis(self.started, at));
        let render_ms = self.verified.zip(rendered).map(|(from, to)| millis(from, to));
        let send_ms = rendered.map(|from| millis(from, sent.unwrap_or(now)));
        let keep_ms = sent.map(|from| millis(from, now));
        let total_ms = millis(self.started, now);
        let Asked { method, path, bytes, limit, source_ip } = &self.asked;
        macro_rules! line {
            ($level:ident $(, $asked:ident = $value:expr)*) => {
                tracing::$level!(
                    request_id = %self.request_id,
                    hook = self.hook.as_deref(),
                    event = self.event.as_deref(),
                    delivery = self.delivery.as_deref(),
                    outcome = outcome.as_str(),
                    class,
                    reason = why.and_then(|why| why.reason.as_deref()),
                    status,
                    $($asked = $value,)*
                    to = sends.target.as_ref().map(Target::name),
                    topic = sends.topic.as_deref(),
                    attempts = sends.attempts,
                    secret = self.secret,
                    verifier = self.verifier,
                    message_id = sends.message_id.as_deref(),
                    code = sends.code(),
                    vendor_request_id = sends.vendor_request_id(),
                    maybe_stored = sends.maybe_stored.then_some(true),
                    verify_ms,
                    render_ms,
                    send_ms,
                    keep_ms,
                    total_ms,
                    "delivery"
                )
            };
        }
        match outcome {
            Outcome::Accepted | Outcome::Repeated | Outcome::Ignored | Outcome::Handshake => line!(info),
            Outcome::Spilled
            | Outcome::Rejected
            | Outcome::Refused
            | Outcome::Unprocessable
            | Outcome::TooLarge
            | Outcome::Limited
            | Outcome::Unverified => line!(
                warn,
                method = method.as_deref(),
                path = path.as_deref().map(shown),
                bytes = *bytes,
                limit = *limit,
                age_s = why.and_then(|why| why.age_s),
                source_ip = source_ip.map(display),
                object = sends.object.as_deref()
            ),
            Outcome::Dead | Outcome::Unavailable | Outcome::Cancelled => {
                line!(error, object = sends.object.as_deref());
            }
        }
    }
}

/// Last chance to write the line: it records a request that was cancelled.
impl Drop for Line {
    fn drop(&mut self) {
        if self.is_written {
            return;
        }
        // Only a verified request has a delivery id.
        if self.delivery.is_none() {
            let why = Why::bare(GIVEN_UP);
            self.log(Outcome::Unverified, Some(&why), &Sends::default(), None);
        } else {
            self.log(Outcome::Cancelled, None, &Sends::default(), None);
        }
    }
}

/// Returns the milliseconds between two moments, rounded to microseconds.
fn millis(from: Instant, to: Instant) -> f64 {
    (to.duration_since(from).as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
pub(crate) mod doubles {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    /// Writer that keeps the log in memory.
    #[derive(Clone, Default)]
    pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        /// Returns the JSON lines that were logged while `run` ran.
        pub(crate) fn of(run: impl FnOnce()) -> String {
            let log = Self::default();
            let out = log.clone();
            let subscriber = tracing_subscriber::fmt().json().with_writer(move || out.clone()).finish();
            tracing::subscriber::with_default(subscriber, run);
            String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::doubles::Log;
    use super::*;
    use crate::http::Response;
    use crate::message::tests::delivery;

    #[test]
    fn every_request_has_one_line() {
        let text = Log::of(|| {
            let line = |request_id| Line::new(request_id, None, &Metrics::off());
            let ack = Response::new(200, "text/plain", "");
            line("answered").write(&Ending::answered(Outcome::Accepted, ack));
            drop(line("given up"));
            let mut verified = line("given up later");
            verified.verified(Some(&delivery(b"{}", None)));
            drop(verified);
        });
        let outcomes: Vec<_> = ["accepted", "unverified", r#""outcome":"cancelled""#]
            .iter()
            .map(|outcome| text.matches(outcome).count())
            .collect();
        assert_eq!((text.lines().count(), outcomes), (3, vec![1, 1, 1]), "{text}");
    }

    #[test]
    fn a_refusal_says_who_asked_for_which_path_and_other_lines_do_not() {
        let text = Log::of(|| {
            let source_ip = Some([192, 0, 2, 1].into());
            let asked = || Asked {
                path: Some(format!("/{}", "é".repeat(MAX_PATH))),
                bytes: Some(7),
                limit: Some(5),
                source_ip,
                ..Asked::default()
            };
            for outcome in [Outcome::Refused, Outcome::Rejected, Outcome::Accepted] {
                let mut line = Line::new("id", None, &Metrics::off());
                line.asks(asked());
                line.write(&Ending::refused(outcome, crate::problem::Problem::TooLarge));
            }
        });
        let told = format!(r#""path":"/{}","bytes":7,"limit":5,"source_ip":"192.0.2.1""#, "é".repeat(127));
        let lines: Vec<bool> = text.lines().map(|line| line.contains(&told)).collect();
        assert_eq!(lines, [true, true, false], "{text}");
    }

    #[test]
    fn levels_are_those_of_lambda_and_of_tracing() {
        assert_eq!(parse_level("DEBUG"), Some(LevelFilter::DEBUG));
        assert_eq!(parse_level("trace"), Some(LevelFilter::DEBUG), "bodies are never logged");
        assert_eq!(parse_level("FATAL"), Some(LevelFilter::ERROR));
        assert_eq!(parse_level("Info"), Some(LevelFilter::INFO));
        assert_eq!(parse_level("nonsense"), None);
    }
}
